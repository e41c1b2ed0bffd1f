"""The least eigenvalue of the Gram form, at eight points."""

import runpy
from pathlib import Path

import numpy as np

problem = runpy.run_path(str(Path(__file__).with_name("koopman_pseudospectra_problem.py")))["problem"]


def prepare(case):
    A, S, z = problem(case)
    z = z.ravel()[:: max(1, z.size // 8)][:8]
    growth = A.conj().T @ A + S.conj().T @ S

    def run():
        found = []
        for w in z:
            H = growth - w * A.conj().T - np.conj(w) * A + abs(w) ** 2 * np.eye(len(A))
            found.append(np.sqrt(max(np.linalg.eigvalsh(H)[0], 0)))
        return np.array(found)

    run.work = len(z)
    return run
