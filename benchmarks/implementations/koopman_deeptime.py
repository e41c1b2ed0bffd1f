"""deeptime's EDMD."""

import runpy
from pathlib import Path

import numpy as np
from deeptime.decomposition import EDMD

parts = runpy.run_path(str(Path(__file__).with_name("koopman_problem.py")))


def prepare(case):
    x, y, centres = parts["problem"](case)

    def basis(states):
        return parts["radial"](states, centres)

    return lambda: np.asarray(EDMD(basis, n_eigs=case["functions"]).fit((x, y)).fetch_model().eigenvalues)
