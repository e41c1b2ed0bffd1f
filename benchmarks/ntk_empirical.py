"""The tangent kernel of a fully connected network at 200 points, by three methods."""

from pathlib import Path

from harness import Benchmark, Implementation, Target

HERE = Path(__file__).resolve().parent / "implementations"

OURS, TANGENTS, FUNCTORCH = "lemmata.kernels", "neural-tangents", "vmap(jacrev)"
SIZES = [784, 512, 512, 1]

BENCHMARK = Benchmark(
    name="ntk-empirical",
    title="Empirical tangent kernels",
    cases={
        "structured": {"method": "structured", "points": 200, "sizes": SIZES, "only": [OURS, TANGENTS]},
        "Jacobian": {"method": "jacobian", "points": 200, "sizes": SIZES, "only": [OURS, TANGENTS, FUNCTORCH]},
        "vector products": {"method": "vector_product", "points": 200, "sizes": SIZES, "only": [OURS, TANGENTS]},
        "structured, 10 outputs": {
            "method": "structured",
            "points": 200,
            "sizes": [*SIZES[:-1], 10],
            "only": [OURS, TANGENTS],
        },
    },
    ours=Implementation(OURS, HERE / "ntk_empirical_kernels.py", packages=("lemmata", "torch", "numpy")),
    peers=(
        Implementation(
            TANGENTS,
            HERE / "ntk_empirical_tangents.py",
            # the newest jax with which it imports; --no-deps, or it asks for tensorflow, which this needs nowhere
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
        Implementation(FUNCTORCH, HERE / "ntk_empirical_functorch.py", packages=("torch",)),
    ),
    # float32, sums over 660,000 parameters
    accuracy=1e-5,
    targets=(
        Target("structured", TANGENTS, 1 / 1.25),
        Target("Jacobian", FUNCTORCH, 1 / 1.25),
    ),
)
