"""PyDMD."""

import runpy
from pathlib import Path

from pydmd import DMD

parts = runpy.run_path(str(Path(__file__).with_name("koopman_modes_problem.py")))


def prepare(case):
    x = parts["snapshots"](case)
    return lambda: parts["summary"](DMD(svd_rank=case["rank"], exact=True).fit(x).eigs)
