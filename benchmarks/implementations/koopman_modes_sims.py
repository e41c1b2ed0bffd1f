"""lemmata.sims."""

import runpy
from pathlib import Path

from lemmata.sims.koopman import dmd

parts = runpy.run_path(str(Path(__file__).with_name("koopman_modes_problem.py")))


def prepare(case):
    x = parts["snapshots"](case)
    return lambda: parts["summary"](dmd(x[:, :-1], x[:, 1:], case["rank"]).values)
