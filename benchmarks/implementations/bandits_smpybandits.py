"""SMPyBandits' policies, round by round."""

import runpy
from pathlib import Path

from SMPyBandits.Policies import UCB, Thompson, klUCB

game = runpy.run_path(str(Path(__file__).with_name("bandits_game.py")))
POLICIES = {"UCB1": UCB, "Thompson": Thompson, "KL-UCB": klUCB}


def prepare(case):
    arms = game["MEANS"].size
    made = {}

    def fresh():
        made["policy"] = POLICIES[case["policy"]](arms)
        made["policy"].startGame()

    return game["rounds"](
        case, fresh, lambda: made["policy"].choice(), lambda arm, reward: made["policy"].getReward(arm, reward)
    )
