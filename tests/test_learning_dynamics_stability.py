"""StableMax, orthogonal gradients and the end of softmax: known thresholds, both backends, what is refused."""

import math

import numpy as np
import pytest
import torch

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.kernels import learning_dynamics as on_device
from lemmata.problems.learning_dynamics import CollapseCase, random_updates
from lemmata.sims import learning_dynamics as on_cpu
from lemmata.theory import learning_dynamics as theory


def test_stablemax_by_hand():
    s = np.array([3.0, 1.0, 1 / 3])
    np.testing.assert_allclose(on_cpu.stablemax([2.0, 0.0, -2.0]), s / s.sum(), rtol=1e-15)


def test_stablemax_survives_huge_logits():
    x = np.array([[1e300, -1e300, 0.0, -1.0, 1.0]])
    for p in (on_cpu.stablemax(x), on_device.stablemax(torch.tensor(x)).numpy(), theory.softmax_of_logarithms(x)):
        assert np.isfinite(p).all()
        assert p.sum() == pytest.approx(1)


def test_the_gradient_of_stablemax_is_that_of_its_formula_everywhere():
    x = torch.tensor([[-20.0, -1.0, 0.5, 1.0, 3.0]], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([3])
    assert torch.autograd.gradcheck(lambda z: on_device.stablemax_loss(z, labels), x)
    loss = on_device.stablemax_loss(x, labels)
    expected = -math.log(theory.softmax_of_logarithms(x.detach().numpy())[0, 3])
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    on_edge = torch.tensor([[1.0, 1.0]], requires_grad=True)  # 1/(1 - x) is infinite in the branch not taken
    on_device.stablemax_loss(on_edge, torch.tensor([0])).backward()
    assert torch.isfinite(on_edge.grad).all()


def test_stablemax_still_learns_where_softmax_has_stopped():
    x = torch.zeros(1, 113)
    x[0, 0] = 30.0
    grads = []
    for loss in (torch.nn.functional.cross_entropy, on_device.stablemax_loss):
        free = x.clone().requires_grad_()
        loss(free, torch.tensor([0])).backward()
        grads.append(float(free.grad[0, 0]))
    assert grads[0] == 0
    assert grads[1] < -1e-3


@pytest.mark.parametrize("order", ["pairwise", "sequential"])
def test_single_precision_ends_between_16_and_21(order):
    case = CollapseCase("float32", 113, order)
    loss = on_cpu.softmax_loss(case.logits(np.array([16.0, 21.5, 40.0])), order=order)
    assert loss[0] > 0
    assert loss[1] == loss[2] == 0
    assert CollapseCase("float64", 113, order).bits == 53


def test_pytorch_ends_there_too():
    for dtype, name in ((torch.float32, "float32"), (torch.float64, "float64")):
        case = CollapseCase(name, 113, "pairwise")
        upper = float(theory.collapse_upper(p=case.bits, C=113))
        lower = float(theory.collapse_lower(p=case.bits))
        x = torch.tensor(case.logits(np.array([lower - 0.1, upper + 0.1])), dtype=dtype)
        loss = torch.nn.functional.cross_entropy(x, torch.zeros(2, dtype=torch.int64), reduction="none")
        assert loss[0] > 0
        assert loss[1] == 0


def test_the_loss_is_right_before_it_ends():
    case = CollapseCase("float64", 10, "pairwise")
    gap = np.array([1.0, 5.0, 15.0])
    np.testing.assert_allclose(
        on_cpu.softmax_loss(case.logits(gap), order="pairwise"), np.log1p(9 * np.exp(-gap)), rtol=1e-9
    )


@pytest.mark.parametrize("renormalize", [True, False])
def test_orthogonal_gradients_on_both_backends(renormalize):
    for p in random_updates(20, seed=1):
        found = on_cpu.perp_grad(p.w, p.g, renormalize=renormalize)
        device = on_device.perp_grad(torch.tensor(p.w), torch.tensor(p.g), renormalize=renormalize).numpy()
        np.testing.assert_allclose(device, found, rtol=1e-6, atol=1e-9 * np.linalg.norm(p.g))
        assert abs((p.w * found).sum()) <= 1e-12 * np.linalg.norm(p.w) * np.linalg.norm(p.g)
        length = np.linalg.norm(found) / np.linalg.norm(p.g)
        assert length == pytest.approx(1, rel=1e-12) if renormalize else length < 1


def test_a_gradient_along_the_weights_leaves_nothing():
    w = np.array([3.0, 4.0])
    np.testing.assert_allclose(on_cpu.perp_grad(w, 2 * w, renormalize=False), 0, atol=1e-15)


def test_squares_of_weights_neither_over_nor_underflow():
    rng = np.random.default_rng(0)
    w, g = rng.standard_normal((512, 512)), 1e-2 * rng.standard_normal((512, 512)) + 1e-2
    for dtype in (np.float16, np.float32, np.float64):
        high, low = (50.0, 1e-3) if dtype is np.float16 else (np.finfo(dtype).max / 10, 1e5 * np.finfo(dtype).tiny)
        for scale in (high, 1.0, low):
            a, b = (abs(w) * scale).astype(dtype), g.astype(dtype)
            for renormalize in (False, True):
                one = on_cpu.perp_grad(a, b, renormalize=renormalize)
                two = on_device.perp_grad(torch.tensor(a), torch.tensor(b), renormalize=renormalize).numpy()
                assert one.dtype == two.dtype == dtype
                exact, unit = np.float64(b), np.float64(a) / np.float64(a.max())
                exact = exact - (unit * exact).sum() / (unit * unit).sum() * unit
                exact *= np.linalg.norm(np.float64(b)) / np.linalg.norm(exact) if renormalize else 1
                for found in (one, two):
                    np.testing.assert_allclose(found, exact, rtol=0, atol=16 * np.finfo(dtype).eps * abs(exact).max())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nothing_but_rounding_is_left_of_a_parallel_gradient(dtype):
    for w in ([30.0, 40.0], [1.0, 1e-2, 7.0, 3.0]):
        w = np.array(w, dtype=dtype)
        for renormalize in (False, True):
            for found in (
                on_cpu.perp_grad(w, w / 2, renormalize=renormalize),
                on_device.perp_grad(torch.tensor(w), torch.tensor(w / 2), renormalize=renormalize).numpy(),
            ):
                np.testing.assert_allclose(found, 0, atol=8 * np.finfo(dtype).eps * max(w))


def test_integers_are_widened_by_the_simulators():
    found = on_cpu.perp_grad(np.array([100, 100], dtype=np.int8), np.array([1, 3]), renormalize=False)
    np.testing.assert_allclose(found, [-1, 1], rtol=1e-15)
    np.testing.assert_allclose(on_cpu.stablemax(np.array([127, 0], dtype=np.int8)), [128 / 129, 1 / 129], rtol=1e-15)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.array([4e4, 4e4], dtype=np.float16), [0.5, 0.5]),
        (np.array([3e38, 3e38, 3e38], dtype=np.float32), [1 / 3, 1 / 3, 1 / 3]),
        (np.array([1.5e308, 0.75e308]), [2 / 3, 1 / 3]),
        (np.array([np.inf, 5.0]), [1.0, 0.0]),
        (np.array([-np.inf, 0.0]), [0.0, 1.0]),
        (np.array([np.inf, np.inf, -np.inf]), [0.5, 0.5, 0.0]),
    ],
)
def test_stablemax_at_the_end_of_its_arithmetic(x, expected):
    for p in (on_cpu.stablemax(x), on_device.stablemax(torch.tensor(x)).numpy()):
        assert p.dtype == x.dtype
        np.testing.assert_allclose(p, expected, rtol=2 * np.finfo(x.dtype).eps, atol=1e-300)


@pytest.mark.parametrize(
    ("w", "g", "error", "words"),
    [
        (np.ones(3), np.ones(2), ShapeError, r"got \(3,\) and \(2,\)"),
        (np.ones(1), np.ones(1), DomainError, "single weight"),
        (np.zeros(2), np.ones(2), DomainError, "w = 0 has no direction"),
        (np.ones(2), np.array([1.0, np.nan]), NonFiniteError, "g is not finite"),
        (1j * np.ones(2), np.ones(2), TypeError, "complex128"),
    ],
)
def test_what_has_no_direction_is_refused(w, g, error, words):
    for module, convert in ((on_cpu, np.asarray), (on_device, torch.tensor)):
        with pytest.raises(error, match=words):
            module.perp_grad(convert(w), convert(g), renormalize=False)


def test_bad_cases_are_refused():
    with pytest.raises(DomainError, match="precision must be one of"):
        CollapseCase("bfloat16", 3, "pairwise")
    with pytest.raises(DomainError, match="classes must be at least 2, got 1"):
        CollapseCase("float32", 1, "pairwise")
    with pytest.raises(ShapeError, match="last axis"):
        on_cpu.stablemax(np.empty((3, 0)))
    with pytest.raises(ShapeError, match="last axis"):
        on_device.stablemax(torch.empty(3, 0))
    with pytest.raises(NonFiniteError, match="NaN in 1 of"):
        on_cpu.stablemax([0.0, np.nan])
    with pytest.raises(TypeError, match="complex128"):
        on_cpu.stablemax([1j, 0.0])
    with pytest.raises(DomainError, match="order must be one of pairwise, sequential, got 'foo'"):
        on_cpu.softmax_loss(np.zeros((1, 2)), order="foo")
