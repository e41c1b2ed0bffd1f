"""lemmata.sims."""

import runpy
from pathlib import Path

from lemmata.sims.ntk import ntk

points = runpy.run_path(str(Path(__file__).with_name("ntk_infinite_problem.py")))["points"]


def prepare(case):
    X = points(case)
    return lambda: ntk(X, depth=case["depth"], activation="relu", sw2=2.0, parametrization="ntk")
