"""mabwiser, one prediction and one update a pull."""

import runpy
from pathlib import Path

from mabwiser.mab import MAB, LearningPolicy

game = runpy.run_path(str(Path(__file__).with_name("bandits_game.py")))
POLICIES = {"UCB1": LearningPolicy.UCB1(alpha=1.0), "Thompson": LearningPolicy.ThompsonSampling()}


def prepare(case):
    arms = list(range(game["MEANS"].size))
    made = {}

    def fresh():
        made["mab"] = MAB(arms, POLICIES[case["policy"]], seed=0)
        made["mab"].fit(arms, [1] * len(arms))  # it wants data before the first prediction

    return game["rounds"](
        case, fresh, lambda: made["mab"].predict(), lambda arm, reward: made["mab"].partial_fit([arm], [reward])
    )
