"""coba's UCB learner, which is UCB1-Tuned: about as much work a pull as UCB1, other arms."""

import runpy
from pathlib import Path

from coba.learners import BanditUCBLearner

game = runpy.run_path(str(Path(__file__).with_name("bandits_game.py")))


def prepare(case):
    arms = list(range(game["MEANS"].size))
    made = {}

    def fresh():
        made["learner"] = BanditUCBLearner(seed=1)

    def choose():
        arm, made["p"] = made["learner"].predict(None, arms)[:2]
        return arm

    return game["rounds"](case, fresh, choose, lambda arm, reward: made["learner"].learn(None, arm, reward, made["p"]))
