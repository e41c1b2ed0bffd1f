"""Bandits on tensors: the simulator's decisions, replicate by replicate, in torch and in interpreted Triton."""

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from textwrap import dedent

import numpy as np
import pytest
import torch

from lemmata.errors import DomainError, ShapeError
from lemmata.kernels import bandits as kernels
from lemmata.kernels.bandits import rounds, simulation
from lemmata.problems import bandits as problems
from lemmata.problems.bandits import (
    KLUCB,
    LUCB,
    MOSS,
    OFUL,
    UCB1,
    AsymptoticUCB,
    Bernoulli,
    Bounded,
    ConfidenceUCB,
    DecayingEpsilonGreedy,
    EpsilonGreedy,
    Exp3,
    ExploreThenCommit,
    Gaussian,
    SuccessiveElimination,
    Switching,
    ThompsonBeta,
    ThompsonGaussian,
    TsallisINF,
    kl_bernoulli,
)
from lemmata.sims import bandits as sims

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
ENGINES = [pytest.param("torch", id="torch"), pytest.param("triton", id="triton", marks=pytest.mark.triton)]
ARMS = Bernoulli(np.array([0.9, 0.5, 0.8, 0.85, 0.2]))
#: Without a logarithm in a round: equal to the simulator's on every device.
EXACT = [
    UCB1(),
    AsymptoticUCB(0.5),
    ConfidenceUCB(sigma=0.5),
    MOSS(),
    MOSS("subgaussian", 0.5),
    MOSS("anytime"),
    EpsilonGreedy(0.2),
    DecayingEpsilonGreedy(6.0, 0.1),
    ExploreThenCommit(7),
    SuccessiveElimination(scale=0.3),
]
#: With logarithms and sums in some order: equal as far as these agree in the last place.
CLOSE = [KLUCB(), KLUCB(3.0), Exp3(), Exp3(1.0), TsallisINF(), TsallisINF("rv")]
SAMPLED = [ThompsonBeta(), ThompsonBeta(2.0, 3.5), ThompsonGaussian(sigma=0.5), ThompsonGaussian("normal", 0.5)]
WORLDS = {
    "bounded": Bounded(np.array([[0.0, 0.3, 1.0], [0.1, 0.5, 0.6]]), np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])),
    "switching": Switching(np.array([[0.0, 0.1, 0.4], [1.0, 0.3, 0.0], [0.2, 0.2, 0.7]]), np.array([1, 6, 22])),
}


def plays(policy, engine):
    if engine == "triton" and policy.kind not in simulation.TRITON:
        pytest.skip("played by torch")
    return engine


def both(policy, env, horizon, replicates, engine, seed=0, **options):
    given = {"samples": True, "seed": seed} | options
    ours = kernels.simulate(policy, env, horizon, replicates, device=DEVICE, engine=plays(policy, engine), **given)
    return ours, sims.simulate(policy, env, horizon, replicates, **given)


def assert_same(ours, theirs):
    np.testing.assert_array_equal(ours["counts"], theirs["counts"])
    np.testing.assert_array_equal(ours["regret"], theirs["regret"])
    np.testing.assert_array_equal(ours["quantile"], theirs["quantile"])
    for name in ("mean", "variance"):  # sums over replicates in another order
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-13, atol=1e-13)


# ------------------------------------------------------------------------------------------- as on the CPU


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("policy", [*EXACT, *CLOSE], ids=repr)
def test_the_same_pulls_as_sims(policy, engine):
    """Launches end at the checkpoints, amidst the words of a block."""
    checkpoints = [1, 2, 7, 24, 60]
    assert_same(*both(policy, ARMS, 60, 40, engine, checkpoints=checkpoints, first_replicate=2**32 - 7, seed=2**63 + 5))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("policy", [UCB1(), EpsilonGreedy(0.3), TsallisINF("rv")], ids=repr)
def test_the_same_pulls_in_other_worlds(policy, world, engine):
    assert_same(*both(policy, WORLDS[world], 36, 30, engine, checkpoints=[5, 12, 36]))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("policy", [AsymptoticUCB(), ThompsonGaussian()], ids=repr)
def test_gaussian_rewards(policy, engine):
    """The normals of rewards are the simulator's up to a last place of log and cos; the posterior's are not."""
    env = Gaussian(np.array([0.5, 0.0, 0.2]), 1.3)
    ours, theirs = both(policy, env, 41, 60, engine, checkpoints=[3, 10, 41])
    if policy.kind == "ucb":
        assert_same(ours, theirs)
    error = math.hypot(*(float(np.sqrt(run["variance"][-1] / 60)) for run in (ours, theirs)))
    assert abs(float(ours["mean"][-1] - theirs["mean"][-1])) < 4 * error


@pytest.mark.parametrize("policy", SAMPLED, ids=repr)
def test_sampling_follows_the_same_law(policy):
    """Mean within four standard errors, and at each of sims' quantiles the share of replicates below it."""
    replicates = 3000
    ours, theirs = (run["regret"].values for run in both(policy, ARMS, 60, replicates, "torch", checkpoints=[10, 60]))
    for x, y in zip(ours.T, theirs.T, strict=True):
        assert abs(x.mean() - y.mean()) < 4 * math.sqrt((x.var() + y.var()) / replicates)
        for level in (0.05, 0.25, 0.5, 0.75, 0.95):
            q = np.quantile(y, level) + 1e-9
            p, found = (y <= q).mean(), (x <= q).mean()
            assert abs(found - p) < 4 * math.sqrt(2 * p * (1 - p) / replicates) + 1e-12


@pytest.mark.triton
@pytest.mark.parametrize("policy", SAMPLED, ids=repr)
def test_engines_sample_the_same(policy):
    """Same words, same formulas: only the rounding of float32 draws may decide otherwise."""
    runs = [
        kernels.simulate(policy, ARMS, 20, 60, checkpoints=[3, 20], device=DEVICE, engine=engine, seed=1)
        for engine in ("torch", "triton")
    ]
    assert (runs[0]["counts"].values != runs[1]["counts"].values).any(axis=1).mean() <= 0.02


@pytest.mark.parametrize("engine", ENGINES)
def test_exponential_weights_start_again_before_they_vanish(engine):
    """All have fallen below 1e-100 after some 60 rounds; a last place decides much by then, so the law is compared."""
    env = Switching(np.array([[1.0, 1.0, 0.9]]))
    ours, theirs = both(Exp3(5.0), env, 150, 300, engine, checkpoints=[10, 150])
    same_start = ours["regret"].values[:, 0] == theirs["regret"].values[:, 0]
    assert same_start.all()
    x, y = (run["regret"].values[:, 1] for run in (ours, theirs))
    assert abs(x.mean() - y.mean()) < 4 * math.sqrt((x.var() + y.var()) / 300)


def test_the_index_of_kl_ucb_by_bisection():
    rng = np.random.default_rng(0)
    pulls = rng.integers(1, 400, 500)
    total = np.floor(rng.uniform(0, pulls + 1))
    total[:3] = 0, 1, pulls[2]
    for level in (0.3, 5.0, 9.0):
        start = torch.tensor(rng.uniform(0, 1, 500))
        given = (torch.tensor(x, dtype=torch.float64) for x in (total, pulls))
        found = rounds.kl_index(*given, level, start).numpy()
        low, high = total / pulls, np.ones(500)
        for _ in range(60):
            middle = (low + high) / 2
            below = pulls * kl_bernoulli(total / pulls, middle) <= level
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        np.testing.assert_allclose(found, np.where(total == pulls, 1.0, low), atol=1e-12)


# ------------------------------------------------------------------------------------------ batches, modes


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("policy", [MOSS("anytime"), TsallisINF(), ThompsonGaussian()], ids=repr)
def test_a_batch_is_its_replicates_one_by_one(policy, engine):
    """Whatever the chunk, and wherever a block ends."""
    whole = kernels.simulate(policy, ARMS, 12, 13, samples=True, device=DEVICE, engine=engine, seed=4)
    chunked = kernels.simulate(policy, ARMS, 12, 13, samples=True, device=DEVICE, engine=engine, chunk=5, seed=4)
    np.testing.assert_array_equal(whole["regret"], chunked["regret"])
    np.testing.assert_array_equal(whole["quantile"], chunked["quantile"])
    np.testing.assert_allclose(whole["mean"], chunked["mean"], rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(whole["variance"], chunked["variance"], rtol=1e-13, atol=1e-13)
    (one,) = kernels.simulate(policy, ARMS, 12, 1, first_replicate=11, device=DEVICE, engine=engine, seed=4)["counts"]
    np.testing.assert_array_equal(whole["counts"][11], one)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("policy", [UCB1(), ThompsonBeta(), EpsilonGreedy(0.2)], ids=repr)
def test_the_fast_mode_decides_nearly_alike(policy, engine):
    """float32 parts from float64 where two indices are within its rounding: in few of these rounds."""
    horizon = 20 if policy.kind == "thompson-beta" else 30
    exact, fast = (
        kernels.simulate(policy, ARMS, horizon, 60, device=DEVICE, engine=engine, precision=precision, seed=2)
        for precision in ("exact", "fast")
    )
    assert fast.attrs["precision"] == "fast"
    np.testing.assert_array_equal(fast["counts"].sum("arm"), horizon)
    assert (exact["counts"].values != fast["counts"].values).any(axis=1).mean() <= 0.1


def test_attributes_say_what_was_done():
    run = kernels.simulate(UCB1(), ARMS, 20, 3, device="cpu", seed=0)
    assert (run.attrs["backend"], run.attrs["engine"], run.attrs["precision"]) == ("kernels", "torch", "exact")
    assert run.attrs["regret"] == "pseudo"
    assert "regret" not in run
    one = kernels.simulate(UCB1(), ARMS, 20, 1, device="cpu", seed=0)
    assert "variance" not in one


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"policy": OFUL(np.eye(5))}, DomainError, "OFUL is played by lemmata.sims.bandits alone"),
        ({"policy": LUCB(0.1)}, TypeError, "use identify"),
        ({"policy": SuccessiveElimination(), "engine": "triton"}, DomainError, "it is by engine 'torch'"),
        ({"env": Bernoulli(np.full(65, 0.5)), "horizon": 100, "engine": "triton"}, DomainError, "at most 64 arms"),
        ({"engine": "cuda"}, DomainError, "engine must be 'auto', 'triton' or 'torch'"),
        ({"precision": "double"}, DomainError, "precision must be 'exact' or 'fast'"),
        ({"policy": KLUCB(), "precision": "fast"}, DomainError, "KLUCB has no fast mode"),
        ({"horizon": 2**24 + 1, "precision": "fast"}, DomainError, "counts pulls up to 16777216"),
        ({"horizon": 2**31}, DomainError, "counts pulls up to 2147483647"),
        ({"horizon": 3}, DomainError, "T must be >= 5, got 3"),
        ({"replicates": 0}, DomainError, "replicates must be >= 1"),
        ({"chunk": 0}, DomainError, "chunk must be >= 1"),
        ({"checkpoints": [[1]]}, ShapeError, "checkpoints must have shape"),
        ({"env": Gaussian(np.zeros(5), 1.0), "policy": MOSS()}, DomainError, "needs rewards in"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else None,
)
def test_bad_input_is_refused_before_any_round(options, error, words, monkeypatch):
    monkeypatch.setattr(rounds, "Replicates", None)
    given = {"policy": UCB1(), "env": ARMS, "horizon": 20, "replicates": 2, "seed": 0, "device": "cpu"} | options
    with pytest.raises(error, match=words):
        kernels.simulate(given.pop("policy"), given.pop("env"), given.pop("horizon"), given.pop("replicates"), **given)


@pytest.mark.skipif(CUDA, reason="there is a CUDA device")
def test_no_device_is_said():
    with pytest.raises(DomainError, match="no CUDA device is here"):
        kernels.simulate(UCB1(), ARMS, 20, 2, device="cuda", seed=0)


# ---------------------------------------------------------------------------------------------- on a GPU


@pytest.mark.triton
def test_the_kernel_compiles_for_a_hopper_gpu(tmp_path):
    """Needs no GPU. The arms of a replicate lie in one thread, and exact products do not melt into sums."""
    pytest.importorskip("triton")
    code = """
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
        from lemmata.kernels.bandits import rounds_triton as module

        def compiled(kind, fast, rewards=0):
            kernel = module._play_by_index
            constants = dict(FIRST=True, KIND=kind, REWARDS=rewards, FAST=fast, K=10, B=128)
            real = "*fp32" if fast else "*fp64"
            kinds = dict.fromkeys(kernel.arg_names, real) | dict.fromkeys(("mean_of", "value", "pay"), "*fp64")
            kinds |= dict.fromkeys(("replicate", "threshold", "cumulative"), "*i64") | {"pulls_out": "*i32"}
            kinds |= dict.fromkeys(("first", "last", "outcomes"), "i32")
            kinds |= {"n": "i64", "exploring": "i64", "seed": "u64"}
            kinds |= dict.fromkeys(constants, "constexpr")
            source = ASTSource(fn=kernel, signature=kinds, constexprs=constants)
            options = {"num_warps": 4, "enable_fp_fusion": fast}
            made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
            assert made.metadata.shared == 0, (kind, made.metadata.shared)
            assert "bar.sync" not in made.asm["ptx"] and "shfl" not in made.asm["ptx"]
            return made.asm["ptx"]

        for kind in ("ucb", "moss", "moss-anytime", "etc"):
            exact, fast = (compiled(kind, fast) for fast in (False, True))
            assert "fma.rn.f64" not in exact
            assert "f64" not in fast
        assert "fma.rn.f32" in compiled("ucb", True)
        assert {"div.rn.f64", "sqrt.rn.f64"} <= set(compiled("moss-anytime", False).replace("\\t", " ").split())
    """
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Large:
    """A run that fills a GPU."""

    policy: problems.Policy
    horizon: int = 1000
    replicates: int = 20_000


@pytest.mark.gpu
@pytest.mark.triton
@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
@pytest.mark.parametrize("policy", [p for p in (*EXACT, *CLOSE) if p.kind != "elimination"], ids=repr)
def test_large_runs_equal_sims_on_a_gpu(policy):
    """A high learning rate makes much of a last place: 5 in 100 replicates of Exp3(1.0) part from sims."""
    case = Large(policy)
    ours, theirs = both(policy, ARMS, case.horizon, case.replicates, "triton")
    if policy in EXACT:
        assert_same(ours, theirs)
    else:
        differ = (ours["counts"].values != theirs["counts"].values).any(axis=1).mean()
        assert differ < (0.1 if policy == Exp3(1.0) else 0.01)
    np.testing.assert_allclose(ours["mean"], theirs["mean"], rtol=0.01, atol=0.02)


@pytest.mark.gpu
@pytest.mark.triton
@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["exact", "fast"])
@pytest.mark.parametrize("policy", [*SAMPLED, UCB1()], ids=repr)
def test_large_runs_follow_the_law_of_sims_on_a_gpu(policy, precision):
    case = Large(policy, horizon=300)
    given = {"samples": True, "checkpoints": [30, case.horizon], "seed": 0}
    ours = kernels.simulate(policy, ARMS, case.horizon, case.replicates, precision=precision, engine="triton", **given)
    theirs = sims.simulate(policy, ARMS, case.horizon, case.replicates, **given)
    for x, y in zip(ours["regret"].values.T, theirs["regret"].values.T, strict=True):
        assert abs(x.mean() - y.mean()) < 4 * math.sqrt((x.var() + y.var()) / case.replicates)
        for level in (0.05, 0.25, 0.5, 0.75, 0.95, 0.99):
            q = np.quantile(y, level) + 1e-9
            p, found = (y <= q).mean(), (x <= q).mean()
            assert abs(found - p) < 4 * math.sqrt(2 * p * (1 - p) / case.replicates) + 1e-12


@pytest.mark.gpu
@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
@pytest.mark.parametrize("policy", [UCB1(), SuccessiveElimination(scale=0.3), ThompsonBeta()], ids=repr)
def test_torch_on_a_gpu_is_torch_on_a_cpu(policy):
    cuda, cpu = (kernels.simulate(policy, ARMS, 100, 500, device=d, engine="torch", seed=0) for d in ("cuda", "cpu"))
    assert (cuda["counts"].values != cpu["counts"].values).any(axis=1).mean() <= (0.01 if policy in SAMPLED else 0.0)
