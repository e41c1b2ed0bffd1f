"""Networks trained a second: two-layer ReLU networks that learn a permutation of eight places, 60 steps each."""

from pathlib import Path

from harness import Benchmark, Implementation, Target

HERE = Path(__file__).resolve().parent / "implementations"

OURS, VMAP, LOOP = "lemmata.kernels", "vmap(grad)", "one at a time"

BENCHMARK = Benchmark(
    name="ntk-ensembles",
    title="Ensembles of small networks",
    cases={
        f"k = {k}, n = {width:,}": {"k": k, "width": width, "networks": networks, "steps": 60}
        for k, width, networks in ((4, 256, 64), (8, 1024, 32), (8, 4096, 16))
    },
    # the time of ours includes the draw of the weights, that of the others does not
    ours=Implementation(OURS, HERE / "ntk_ensembles_kernels.py", packages=("lemmata", "torch", "numpy")),
    peers=(
        Implementation(VMAP, HERE / "ntk_ensembles_vmap.py", packages=("torch",)),
        Implementation(LOOP, HERE / "ntk_ensembles_loop.py", packages=("torch",)),
    ),
    # float32 over 60 steps
    accuracy=1e-4,
    unit="network",
    targets=(
        *(Target(f"k = {k}, n = {n:,}", VMAP, 1.0) for k, n in ((4, 256), (8, 1024))),
        Target("k = 8, n = 1,024", LOOP, 3.0),
    ),
)
