"""Every torch kernel of the family in single precision, where its inputs are, and on a GPU where there is one."""

import numpy as np
import pytest
import torch

from lemmata.kernels import learning_dynamics as on_device
from lemmata.problems import learning_dynamics as problems
from lemmata.problems.learning_dynamics import Recipe

CUDA = torch.cuda.is_available()
NETWORKS = [problems.aligned_network((4, 5, 3), (2.0, 1.0), (0.1, 0.1), seed=s) for s in (0, 1)]
POINTS = np.random.default_rng(0).standard_normal((3, 20, 4)) + 2.0
RUNS = [problems.random_lazy_rich(6, 20, 40, alpha=a, eps=0.3, seed=0) for a in (0.5, 2.0)]
SINE = problems.random_sine(6, 4, sigma=0.8, seed=0)
UPDATE = problems.random_updates(3, seed=0)[0]
WEIGHTS, MASK = problems.modular_networks(5, (8, 8), [0.7, 0.8], seed=0)

#: name: arrays, and what is called with them as tensors; a tensor or a tuple of them
CASES = {
    "deep_linear_descent": (
        problems.stack(NETWORKS),
        lambda w, target: on_device.deep_linear_descent(w, target, 0.05, [0, 10, 100]),
    ),
    "eggroll_sine": (
        (SINE.C, SINE.M),
        lambda C, M: on_device.eggroll_sine(C, M, sigma=0.8, rank=2, pairs=300, replicates=70, seed=3),
    ),
    "energy_ascent": ((problems.random_units(7, 5, seed=0),), lambda w: on_device.energy_ascent(w, steps=10)),
    "lazy_rich_train": (
        problems.lazy_rich_batch(RUNS),
        lambda *batch: on_device.lazy_rich_train(*batch, rate=0.5, at=[0, 40]),
    ),
    "lazy_rich_train, linearised": (
        problems.lazy_rich_batch(RUNS),
        lambda *batch: on_device.lazy_rich_train(*batch, rate=0.5, at=[0, 40], linearised=True),
    ),
    **{
        f"modular_training, {recipe.loss}": (
            (*WEIGHTS, MASK),
            lambda *arrays, recipe=recipe: on_device.modular_training(arrays[:-1], arrays[-1], recipe, at=[0, 20]),
        )
        for recipe in (Recipe(projection="rescaled"), Recipe(loss="stablemax"), Recipe(loss="squared", decay=1.0))
    },
    "perp_grad": ((UPDATE.w, UPDATE.g), lambda w, g: on_device.perp_grad(w, g, renormalize=True)),
    "separation_path": (
        (POINTS, np.array([0.5, 1.0, 2.0])),  # weights of points far on their side underflow: not that far
        lambda p, gamma: on_device.separation_path(p, gamma, rule="normalized", steps=5),
    ),
    "separation_steps": (
        (POINTS, np.array([0.5, 1.0, 5.0])),
        lambda p, gamma: on_device.separation_steps(p, gamma, rule="plain", most=500),
    ),
    "stablemax_loss": (
        (np.random.default_rng(0).standard_normal((6, 4)), np.array([0, 1, 2, 3, 0, 1])),
        on_device.stablemax_loss,
    ),
}


def outcome(name, device="cpu", dtype=torch.float64):
    arrays, call = CASES[name]
    tensors = [torch.tensor(a, device=device, dtype=dtype if a.dtype == np.float64 else None) for a in arrays]
    found = call(*tensors)
    return found if isinstance(found, tuple) else (found,)


def test_no_kernel_is_left_out():
    called = {name.partition(",")[0] for name in CASES}
    within = {"eggroll_gradient", "modular_logits", "stablemax"}  # by others of the list
    assert called | within == {name for name in on_device.__all__ if not name[0].isupper()}


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_made_on_another_device(name):
    expected = outcome(name)
    arrays, call = CASES[name]
    tensors = [torch.tensor(a) for a in arrays]
    with torch.device("meta"):  # whatever is made without a device lands there, and cannot meet the inputs
        found = call(*tensors)
    for one, two in zip(found if isinstance(found, tuple) else (found,), expected, strict=True):
        assert one.device.type == "cpu"
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", CASES)
def test_single_precision_follows_double(name):
    for single, double in zip(outcome(name, dtype=torch.float32), outcome(name), strict=True):
        scale = float(abs(double).max()) or 1.0
        # a hundred steps with errors of 6e-8, a thousandfold where a direction grows
        assert abs(single.double() - double.double()).max() <= 1e-3 * scale


@pytest.mark.gpu
@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
@pytest.mark.parametrize("name", CASES)
def test_a_gpu_gives_the_same_every_time_and_what_a_cpu_gives(name):
    first, again = outcome(name, "cuda"), outcome(name, "cuda")
    for one, two, cpu in zip(first, again, outcome(name), strict=True):
        assert one.device.type == "cuda"
        assert torch.equal(one, two)
        np.testing.assert_allclose(one.cpu(), cpu, rtol=1e-7, atol=1e-9 * (float(abs(cpu).max()) or 1.0))
    for single, double in zip(outcome(name, "cuda", torch.float32), first, strict=True):
        assert abs(single.double() - double.double()).max() <= 1e-3 * (float(abs(double).max()) or 1.0)
