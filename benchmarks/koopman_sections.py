"""Learning a Koopman operator: 500 radial functions at 1e5 snapshot pairs of Duffing's flow."""

from pathlib import Path

from harness import Benchmark, Implementation, Target

HERE = Path(__file__).resolve().parent / "implementations"

OURS, FLOOR, DEEPTIME = "lemmata.sims", "three products alone", "deeptime"
SIZE = {"snapshots": 100_000, "functions": 500}
GRAM, FIT = "features, G, A and L", "features to eigenvalues"

BENCHMARK = Benchmark(
    name="koopman-sections",
    title="EDMD with 500 radial functions at 100,000 snapshot pairs, two threads",
    cases={
        # deeptime's whole fit in both: it keeps no matrices
        GRAM: SIZE | {"task": "gram"},
        FIT: SIZE | {"task": "fit", "only": [OURS, DEEPTIME]},
    },
    ours=Implementation(OURS, HERE / "koopman_sims.py", packages=("lemmata", "numpy", "scipy"), threads=2),
    peers=(
        Implementation("numpy", HERE / "koopman_numpy.py", packages=("numpy",), threads=2),
        Implementation(
            DEEPTIME,
            HERE / "koopman_deeptime.py",
            requirements=("deeptime==0.4.5", "numpy==2.4.6", "scipy==1.17.1"),
            packages=("deeptime", "numpy", "scipy"),
            threads=2,
            # the dictionary has a condition number of 1e5, and theirs is another truncation
            compared=False,
        ),
    ),
    floors=(Implementation(FLOOR, HERE / "koopman_floor.py", packages=("numpy",), threads=2),),
    accuracy=1e-10,
    targets=(Target(GRAM, FLOOR, 1 / 1.5), Target(GRAM, DEEPTIME, 3)),
    repeats=5,
)
