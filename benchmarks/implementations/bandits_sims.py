"""lemmata.sims: many replicates of the same game."""

import runpy
from pathlib import Path

from lemmata.problems.bandits import KLUCB, MOSS, UCB1, Bernoulli, Exp3, ThompsonBeta, ThompsonGaussian, TsallisINF
from lemmata.sims.bandits import simulate

MEANS = runpy.run_path(str(Path(__file__).with_name("bandits_game.py")))["MEANS"]


POLICIES = {
    "UCB1": UCB1,
    "MOSS": MOSS,
    "KL-UCB": KLUCB,
    "Thompson": ThompsonBeta,
    "Thompson, Gaussian": ThompsonGaussian,
    "Exp3": Exp3,
    "Tsallis-INF": TsallisINF,
}


def prepare(case):
    policy, env = POLICIES[case["policy"]](), Bernoulli(MEANS)

    def run():
        counts = simulate(policy, env, case["horizon"], case["replicates"], checkpoints=[case["horizon"]], seed=0)
        return counts["counts"].values.mean(axis=0) / case["horizon"]

    run.work = case["horizon"] * case["replicates"]
    return run
