"""Sparse Newton to convergence beside RegOT's, and the exact network simplex."""

from pathlib import Path

from harness import Benchmark, Implementation, Target

HERE = Path(__file__).resolve().parent / "implementations"

OURS, REGOT = "lemmata.sims", "RegOT ssns"
POT = ("POT==0.9.7.post1", "numpy==2.4.6", "scipy==1.17.1")
CASES = {
    # RegOT stops at |gradient|_2 <= 1e-8, which leaves an L1 error between 2e-9 and 6e-7: ours is at least as exact
    f"n = {n:,}, eps = {share:g} median": {"n": n, "share": share, "tol": 2e-9}
    for n in (500, 1000, 2000)
    for share in (1e-2, 1e-3)
}

BENCHMARK = Benchmark(
    name="sinkhorn-solves",
    title="Sinkhorn-Newton to convergence",
    cases=CASES,
    ours=Implementation(OURS, HERE / "sinkhorn_sims.py", packages=("lemmata", "numba", "numpy")),
    peers=(
        Implementation(f"{OURS}, two threads", HERE / "sinkhorn_sims.py", packages=(), threads=2),
        Implementation(
            REGOT,
            HERE / "sinkhorn_regot.py",
            requirements=("regot==0.0.3", "numpy==2.4.6"),
            packages=("regot", "numpy"),
        ),
        Implementation("ot.emd, exact", HERE / "sinkhorn_emd.py", requirements=POT, packages=("POT",), compared=False),
    ),
    accuracy=1e-5,
    targets=tuple(Target(case, REGOT, 1 / 0.7) for case in CASES),
    repeats=5,
)
