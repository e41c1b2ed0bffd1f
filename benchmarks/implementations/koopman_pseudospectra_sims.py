"""lemmata.sims."""

import runpy
from pathlib import Path

import numpy as np

from lemmata.sims.koopman import Section, pseudospectrum

problem = runpy.run_path(str(Path(__file__).with_name("koopman_pseudospectra_problem.py")))["problem"]


def prepare(case):
    A, S, z = problem(case)
    section = Section(A, S, np.eye(len(A)), len(A), 1.0, 0.0, 1e-12)

    def run():
        return pseudospectrum(section, z)

    run.work = z.size
    return run
