"""Pseudospectra of a section of 500 functions on 1,891 points."""

from pathlib import Path

from harness import Benchmark, Implementation, Target

HERE = Path(__file__).resolve().parent / "implementations"

PEER = "numpy, an eigenproblem a point"
SIZE = {"functions": 500, "angles": 61, "radii": 31}
ANGLES, GENERAL = "measure preserving, 61 angles x 31 radii", "general, 1,891 points"

BENCHMARK = Benchmark(
    name="koopman-pseudospectra",
    title="Pseudospectra, 500 functions, two threads",
    cases={ANGLES: SIZE | {"isometric": True}, GENERAL: SIZE | {"isometric": False}},
    ours=Implementation(
        "lemmata.sims", HERE / "koopman_pseudospectra_sims.py", packages=("lemmata", "numpy", "scipy"), threads=2
    ),
    peers=(
        Implementation(
            PEER,
            HERE / "koopman_pseudospectra_numpy.py",
            packages=("numpy",),
            threads=2,
            compared=False,  # it does a few of the points
        ),
    ),
    accuracy=1e-6,
    unit="point",
    # 5 s and 60 s for all points are 2.6 ms and 32 ms for one
    targets=(Target(ANGLES, PEER, 10), Target(GENERAL, PEER, 2)),
    repeats=3,
)
