"""Halpern's iteration beside the loop that any numpy user would write, on the same operators."""

from pathlib import Path

from harness import Benchmark, Implementation, Target

HERE = Path(__file__).resolve().parent / "implementations"

FEW = ["lemmata.sims", "numpy loop"]
MANY = [*FEW, "lemmata.kernels"]

CASES = {
    "rotation, d = 10": {"operator": "rotation", "dim": 10, "steps": 20_000, "only": MANY},
    "dense matrix, d = 10": {"operator": "dense", "dim": 10, "steps": 20_000, "only": FEW},
    "rotation, d = 1,000": {"operator": "rotation", "dim": 1000, "steps": 1000, "only": MANY},
    "dense matrix, d = 1,000": {"operator": "dense", "dim": 1000, "steps": 100, "only": FEW},
    "rotation, d = 1,000,000": {"operator": "rotation", "dim": 1_000_000, "steps": 10},
}

BENCHMARK = Benchmark(
    name="halpern-iteration",
    title="Halpern's iteration",
    cases=CASES,
    ours=Implementation("lemmata.sims", HERE / "halpern_sims.py", packages=("lemmata", "numba", "numpy", "scipy")),
    peers=(
        Implementation("numpy loop", HERE / "halpern_numpy.py", requirements=("numpy==2.4.6",)),
        Implementation("lemmata.kernels", HERE / "halpern_kernels.py", packages=("torch",)),
    ),
    floors=(Implementation("copy of as many bytes", HERE / "copy_bandwidth.py"),),
    # the order of additions differs, and 20,000 steps carry it on
    accuracy=1e-10,
    targets=(
        Target("rotation, d = 10", "numpy loop", 20),
        Target("dense matrix, d = 10", "numpy loop", 20),
        Target("rotation, d = 1,000", "numpy loop", 1 / 1.1),
        Target("dense matrix, d = 1,000", "numpy loop", 1 / 1.1),
    ),
    # x, x0 and the angles read, x written, in float64, 10 steps
    bytes_moved={"rotation, d = 1,000,000": 4 * 8 * 1e6 * 10},
)
