"""lemmata.sims, in blocks."""

import runpy
from pathlib import Path

import numpy as np

from lemmata.problems.koopman import Radial, Snapshots
from lemmata.sims.koopman import edmd, section_from_gram, stream_gram

parts = runpy.run_path(str(Path(__file__).with_name("koopman_problem.py")))
BLOCK = 1 << 13


def prepare(case):
    x, y, centres = parts["problem"](case)
    psi, size = Radial(centres), len(x)

    def block(i):
        rows = slice(i * BLOCK, (i + 1) * BLOCK)
        return Snapshots(x[rows], y[rows], np.full(len(x[rows]), 1 / size))

    def gram():
        return np.stack(stream_gram(block, -(-size // BLOCK), psi))

    def fit():
        return edmd(section_from_gram(*gram())).values

    return gram if case["task"] == "gram" else fit
