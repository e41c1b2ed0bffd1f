"""Pulls a second of the bandit simulator: ten arms, ten thousand rounds."""

from pathlib import Path

from harness import Benchmark, Implementation, Target

HERE = Path(__file__).resolve().parent / "implementations"

OURS, TWO, FLOOR = "lemmata.sims", "lemmata.sims, two threads", "word and argmax"
PEERS = {
    "UCB1": ["SMPyBandits", "mabwiser", "coba"],
    "Thompson": ["SMPyBandits", "mabwiser"],
    "KL-UCB": ["SMPyBandits"],
}
# half a second a sample: the system takes a while to give a second thread its own core
REPLICATES = {
    "UCB1": 2000,
    "MOSS": 2000,
    "KL-UCB": 500,
    "Thompson": 200,
    "Thompson, Gaussian": 500,
    "Exp3": 500,
    "Tsallis-INF": 200,
}

BENCHMARK = Benchmark(
    name="bandits-pulls",
    title="Bandits",
    cases={
        policy: {
            "policy": policy,
            "horizon": 10_000,
            "replicates": replicates,
            "only": [OURS, TWO, *PEERS.get(policy, []), *([FLOOR] if policy == "UCB1" else [])],
        }
        for policy, replicates in REPLICATES.items()
    },
    ours=Implementation(OURS, HERE / "bandits_sims.py", packages=("lemmata", "numba", "numpy")),
    peers=(
        Implementation(TWO, HERE / "bandits_sims.py", packages=(), threads=2),
        Implementation(
            "SMPyBandits",
            HERE / "bandits_smpybandits.py",
            # the newest numpy, scipy and numba with which its policies import
            requirements=("SMPyBandits==0.9.7", "numpy==1.23.5", "scipy==1.10.1", "numba==0.57.1"),
            packages=("SMPyBandits", "numpy", "numba"),
        ),
        Implementation(
            "mabwiser", HERE / "bandits_mabwiser.py", requirements=("mabwiser==2.7.4",), packages=("mabwiser", "numpy")
        ),
        Implementation(
            "coba",
            HERE / "bandits_coba.py",
            requirements=("coba==8.1.0", "numpy==2.4.6"),
            packages=("coba",),
            compared=False,
        ),
    ),
    floors=(Implementation(FLOOR, HERE / "bandits_floor.py"),),
    # shares of the pulls; a peer plays one replicate, whose share of the best arm has a standard deviation near .04
    accuracy=0.25,
    unit="pull",
    targets=(
        *(Target("UCB1", peer, 500) for peer in PEERS["UCB1"]),
        Target("UCB1", FLOOR, 1 / 4),
        *(Target(policy, OURS, 1.7, than=TWO) for policy in REPLICATES),
    ),
)
