"""Mean fields of 784 binary nodes with interactions of rank 32, for a batch of 128, at an equal certificate."""

from pathlib import Path

from harness import Benchmark, Implementation, Target

HERE = Path(__file__).resolve().parent / "implementations"

OURS, DENSE, FLOOR = "lemmata.kernels", "dense steps", "bytes alone"
FIXED, ANDERSON, LOW_RANK = "torchdeq fixed point", "torchdeq Anderson", "torchdeq, low rank"
TORCHDEQ = ("torchdeq==0.1.0", "torch==2.13.0", "numpy==2.4.6")
SIZE = {"nodes": 784, "rank": 32, "batch": 128}
SOLVE, PRODUCT = "certificate 1e-3", "Phi x"
FORWARD, MATRIX = f"{SOLVE}, forward-backward", f"{SOLVE}, Phi given as a matrix"


def _peer(name: str, script: str, **options) -> Implementation:
    return Implementation(name, HERE / f"monotone_dbm_{script}.py", packages=("torch", "numpy"), **options)


BENCHMARK = Benchmark(
    name="monotone-dbm-solves",
    title="Mean fields of 784 binary nodes, rank 32, 128 samples, single precision",
    cases={
        # as many steps as ours takes
        SOLVE: SIZE | {"task": "solve", "steps": 154},
        FORWARD: SIZE | {"task": "solve", "steps": 137, "method": "forward-backward", "only": [OURS, FLOOR]},
        MATRIX: SIZE | {"task": "solve", "matrix": True, "only": [OURS]},
        PRODUCT: SIZE | {"task": "product", "steps": 1, "only": [OURS, DENSE, FLOOR]},
    },
    ours=Implementation(OURS, HERE / "monotone_dbm_kernels.py", packages=("lemmata", "torch", "numpy")),
    peers=(
        _peer(DENSE, "dense"),
        _peer(FIXED, "torchdeq", requirements=TORCHDEQ),
        _peer(ANDERSON, "torchdeq_anderson", requirements=TORCHDEQ),
        _peer(LOW_RANK, "torchdeq_low_rank", requirements=TORCHDEQ),
    ),
    floors=(Implementation(FLOOR, HERE / "monotone_dbm_floor.py"),),
    # twice the certificate
    accuracy=2e-3,
    targets=(
        *(Target(SOLVE, peer, 5.0) for peer in (FIXED, ANDERSON)),
        Target(SOLVE, DENSE, 4.0),
        Target(PRODUCT, DENSE, 10.0),
    ),
    repeats=5,
)
