"""Dynamic mode decomposition of a thousand coordinates at two thousand times."""

from pathlib import Path

from harness import Benchmark, Implementation, Target

HERE = Path(__file__).resolve().parent / "implementations"

CASE, PYDMD = "1,000 x 2,000, rank 40", "PyDMD"

BENCHMARK = Benchmark(
    name="koopman-modes",
    title="Exact DMD",
    cases={CASE: {"states": 1000, "times": 2000, "rank": 40}},
    ours=Implementation(
        "lemmata.sims", HERE / "koopman_modes_sims.py", packages=("lemmata", "numpy", "scipy"), threads=2
    ),
    peers=(
        Implementation(
            PYDMD,
            HERE / "koopman_modes_pydmd.py",
            requirements=("pydmd==2025.8.1", "numpy==2.4.6", "scipy==1.17.1"),
            packages=("pydmd", "numpy", "scipy"),
            threads=2,
        ),
    ),
    # moduli and angles of the eigenvalues; noise of 1e-6 is the same for both
    accuracy=1e-8,
    targets=(Target(CASE, PYDMD, 1),),
)
