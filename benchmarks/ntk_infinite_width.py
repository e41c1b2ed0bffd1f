"""The tangent kernel of an infinitely wide ReLU network with three hidden layers."""

from pathlib import Path

from harness import Benchmark, Implementation, Target

HERE = Path(__file__).resolve().parent / "implementations"

OURS, TANGENTS = "lemmata.sims", "neural-tangents"
CASES = {f"n = {n:,}, d = {d}": {"n": n, "d": d, "depth": 3} for n, d in ((500, 10), (2000, 10), (2000, 784))}

BENCHMARK = Benchmark(
    name="ntk-infinite-width",
    title="Tangent kernel of infinite width, three hidden ReLU layers, float64",
    cases=CASES,
    ours=Implementation(OURS, HERE / "ntk_infinite_sims.py", packages=("lemmata", "numba", "numpy", "scipy")),
    peers=(
        Implementation(f"{OURS}, two threads", HERE / "ntk_infinite_sims.py", packages=(), threads=2),
        Implementation("lemmata.kernels", HERE / "ntk_infinite_kernels.py", packages=("torch",)),
        Implementation("numpy", HERE / "ntk_infinite_numpy.py", packages=("numpy",)),
        Implementation(
            TANGENTS,
            HERE / "ntk_infinite_tangents.py",
            # as for the empirical kernels, whose environment this is
            requirements=(
                "--no-deps",
                "neural-tangents==0.6.5",
                "jax==0.4.23",
                "jaxlib==0.4.23",
                "ml_dtypes==0.4.1",
                "opt_einsum==3.4.0",
                "numpy==1.26.4",
                "scipy==1.12.0",
                "frozendict==2.4.6",
                "absl-py==2.1.0",
            ),
            packages=("neural-tangents", "jax", "jaxlib", "numpy"),
        ),
    ),
    floors=(
        Implementation(
            "product, an arccosine a pair and layer, one write", HERE / "ntk_infinite_floor.py", packages=()
        ),
    ),
    # an arccos of the rounded cosine is wrong by 1e-8 on the diagonal, and three layers add to it
    accuracy=1e-7,
    targets=tuple(Target(case, TANGENTS, 3) for case in CASES if case.startswith("n = 2,000")),
)
