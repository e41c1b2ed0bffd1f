"""A log-domain Sinkhorn step beside POT's and OTT's."""

from pathlib import Path

from harness import Benchmark, Implementation, Target

HERE = Path(__file__).resolve().parent / "implementations"

OURS, POT, OTT, EXP = "lemmata.sims", "POT sinkhorn_log", "OTT", "an exponential an entry"
SIZES = (500, 1000, 2000)

BENCHMARK = Benchmark(
    name="sinkhorn-steps",
    title="Log-domain Sinkhorn",
    # at a tenth of the median cost the plan has settled after 100 steps, so that the results can be compared
    cases={f"n = {n:,}": {"n": n, "share": 0.1, "steps": 100 if n < 2000 else 50} for n in SIZES},
    ours=Implementation(OURS, HERE / "sinkhorn_sims.py", packages=("lemmata", "numba", "numpy")),
    peers=(
        Implementation(f"{OURS}, two threads", HERE / "sinkhorn_sims.py", packages=(), threads=2),
        Implementation(
            POT,
            HERE / "sinkhorn_pot.py",
            requirements=("POT==0.9.7.post1", "numpy==2.4.6", "scipy==1.17.1"),
            packages=("POT", "numpy"),
        ),
        Implementation(
            OTT,
            HERE / "sinkhorn_ott.py",
            requirements=("ott-jax==0.6.0", "jax==0.10.2", "numpy==2.4.6", "scipy==1.17.1"),
            packages=("ott-jax", "jax", "numpy"),
        ),
    ),
    floors=(Implementation(EXP, HERE / "sinkhorn_exp.py", packages=()),),
    accuracy=1e-4,
    unit="step",
    targets=(
        *(Target(f"n = {n:,}", POT, 5) for n in SIZES),
        *(Target(f"n = {n:,}", OTT, 1 / 1.2) for n in SIZES),
    ),
)
