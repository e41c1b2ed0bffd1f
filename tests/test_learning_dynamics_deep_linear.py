"""Deep linear networks: closed forms against quadrature, simulators against each other, what is refused."""

import math

import mpmath
import numpy as np
import pytest
import torch

from lemmata.errors import AssumptionError, DomainError, NonFiniteError, ShapeError
from lemmata.kernels import learning_dynamics as on_device
from lemmata.problems.learning_dynamics import (
    aligned_network,
    gaussian_weights,
    orthogonal_weights,
    random_network,
    stack,
)
from lemmata.sims import learning_dynamics as on_cpu
from lemmata.theory import learning_dynamics as theory

NETWORK = aligned_network((6, 8, 5), (3.0, 2.0, 1.0), (0.02, 0.05, 0.1), seed=3)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 7, 64, 1000])
def test_learning_time_is_the_integral_of_the_mode_equation(depth):
    u0, uf, s = 0.03, 1.7, 1.9
    slope = lambda u: depth * u ** (2 - mpmath.mpf(2) / depth) * (s - u)  # noqa: E731
    integral = mpmath.quad(lambda u: 1 / slope(u), [u0, 0.1, 0.5, 1.5, uf])
    assert theory.learning_time(u0, uf, s, depth=depth, tau=2.5) == pytest.approx(2.5 * float(integral), rel=1e-12)


@pytest.mark.parametrize(
    ("depth", "scaled"),
    [(2, 6.79), (3, 13.76), (4, 21.33), (8, 45.3), (16, 68.5), (64, 94.7), (256, 102.8)],
)
def test_depth_costs_a_finite_delay(depth, scaled):
    assert depth * theory.learning_time(0.01, 0.9, 1.0, depth=depth) == pytest.approx(scaled, rel=1e-3)
    assert theory.learning_time_limit(0.01, 0.9, 1.0) == pytest.approx(105.681, abs=1e-3)


def test_a_sigmoid_is_half_way_at_its_half_time():
    u0, s, tau = 1e-3, 2.0, 3.0
    assert theory.learning_time(u0, s / 2, s, depth=2, tau=tau) == pytest.approx(tau / (2 * s) * math.log(s / u0 - 1))


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 40])
def test_strength_inverts_the_learning_time(depth):
    u0, s = 0.05, np.array([0.3, 1.0, 4.0])
    time = theory.learning_time(u0, 0.8 * s, s, depth=depth, tau=0.7)
    np.testing.assert_allclose(theory.mode_strength(time, u0, s, depth=depth, tau=0.7), 0.8 * s, rtol=1e-10)
    np.testing.assert_allclose(theory.mode_strength(0.0, u0, s, depth=depth), u0, rtol=1e-10)
    np.testing.assert_allclose(theory.mode_strength(1e9, u0, s, depth=depth), s, rtol=1e-12)


@pytest.mark.parametrize("u0", [1e-1, 1e-8, 1e-14, 1e-20])
def test_small_starts_cost_no_accuracy(u0):
    """Two layers: u = s / (1 + (s/u_0 - 1) e^(-2 s t))."""
    network = aligned_network((4, 5, 3), (3.0, 2.0, 1.0), (u0,) * 3, seed=0)
    s = network.strengths
    half = np.log(s / u0 - 1) / (2 * s)
    found = on_cpu.deep_linear_flow(network.weights, network.target, half)
    exact = s / (1 + np.exp(2 * s * (half - half[:, None])))
    np.testing.assert_allclose(np.diagonal(network.modes(found), axis1=1, axis2=2), exact, rtol=0, atol=1e-9)
    for depth in (1, 2, 3, 8):
        time = theory.learning_time(u0, 1.5, 3.0, depth=depth, tau=0.3)
        found = on_cpu.chain_time(np.full(depth, u0 ** (1 / depth)), 1.5, 3.0, tau=0.3)
        assert found == pytest.approx(time, rel=1e-10)


def test_a_product_that_underflows_still_grows():
    """a = b from 1e-200: the product is u_f at ``t = ln(u_f/u_0) / (2 s)`` while it is far below s."""
    assert on_cpu.chain_time(np.full(2, 1e-200), 1e-10, 1.0) == pytest.approx(195 * math.log(10), rel=1e-9)


def test_times_may_repeat():
    once = on_cpu.deep_linear_flow(NETWORK.weights, NETWORK.target, [0.0, 1.0])
    again = on_cpu.deep_linear_flow(NETWORK.weights, NETWORK.target, [0.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(again, once[[0, 0, 1, 1]])
    start = on_cpu.deep_linear_flow(NETWORK.weights, NETWORK.target, [0.0, 0.0])
    np.testing.assert_allclose(start, [NETWORK.product] * 2, atol=1e-14)


def test_a_chain_of_four_layers():
    assert on_cpu.chain_time(np.full(4, 0.01**0.25), 0.9, 1.0) == pytest.approx(5.332009279, rel=1e-9)


def test_descent_is_the_same_on_both_backends_and_alone():
    networks = [NETWORK, random_network((6, 8, 5), (2.0, 1.0), scale=0.1, seed=1)]
    weights, targets = stack(networks)
    at = [0, 1, 1, 50]
    found = on_cpu.deep_linear_descent(weights, targets, 0.01, at)
    device = on_device.deep_linear_descent(torch.tensor(weights), torch.tensor(targets), 0.01, at)
    np.testing.assert_allclose(device.numpy(), found, atol=1e-13)
    np.testing.assert_array_equal(on_cpu.deep_linear_descent(weights[1:], targets[1:], 0.01, at)[0], found[1])
    np.testing.assert_allclose(found[0, 0, :5, :6], NETWORK.product, atol=1e-14)


def test_one_step_is_minus_the_gradient():
    W = [
        torch.tensor(w, requires_grad=True)
        for w in aligned_network((4, 3, 5, 2), (1.0, 2.0), (0.3, 0.4), seed=2).weights
    ]
    network = aligned_network((4, 3, 5, 2), (1.0, 2.0), (0.3, 0.4), seed=2)
    loss = ((W[2] @ W[1] @ W[0] - torch.tensor(network.target)) ** 2).sum() / 2
    loss.backward()
    moved = [w.detach() - 0.1 * w.grad for w in W]
    weights, target = stack([network])
    found = on_cpu.deep_linear_descent(weights, target, 0.1, [1])[0, 0, :2, :4]
    np.testing.assert_allclose(found, (moved[2] @ moved[1] @ moved[0]).numpy(), atol=1e-14)


def test_the_flow_is_followed_to_first_order():
    times = np.array([0.0, 1.0, 2.0])
    flow = on_cpu.deep_linear_flow(NETWORK.weights, NETWORK.target, times)
    weights, target = stack([NETWORK])
    gaps = []
    for eta in (1e-2, 1e-3):
        at = np.round(times / eta).astype(int).tolist()
        gaps.append(abs(on_cpu.deep_linear_descent(weights, target, eta, at)[0, :, :5, :6] - flow).max())
    assert 8 < gaps[0] / gaps[1] < 12
    assert gaps[0] < 0.1


def test_weights_are_what_they_are_called():
    assert NETWORK.imbalance() < 1e-14
    assert aligned_network((6, 8, 5), (3.0,), (0.1,), skew=1.1, seed=0).imbalance() > 0.01
    for W in orthogonal_weights(3, 7, seed=0):
        np.testing.assert_allclose(W @ W.T, np.eye(7), atol=1e-14)
    lengths = np.mean([(W**2).sum() for W in gaussian_weights(50, 40, seed=0)])
    assert lengths == pytest.approx(40, rel=0.05)


def test_a_claim_looks_at_its_problem():
    with pytest.raises(AssumptionError, match=r"balanced.*differ by 0\.0"):
        theory.sigmoid_mode.check(aligned_network((6, 8, 5), (3.0,), (0.1,), skew=1.1, seed=0))
    with pytest.raises(AssumptionError, match=r"aligned.* off the diagonal"):
        theory.deep_mode.check(random_network((4, 4), (1.0, 2.0), scale=1.0, seed=0))


W2 = np.zeros((1, 2, 3, 3))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: theory.learning_time(0.0, 0.5, 1.0, depth=2), DomainError, r"u_0 = 0, s = 1"),
        (lambda: theory.learning_time(0.1, 1.0, 1.0, depth=2), DomainError, r"u_f < s"),
        (lambda: theory.learning_time(1.0, 1.0, 1.0, depth=2), DomainError, r"u_0 = 1, s = 1"),
        (lambda: theory.learning_time(0.1, 0.5, 1.0, depth=1.5), DomainError, "whole number >= 1, got 1.5"),
        (lambda: theory.mode_strength(1.0, 0.1, 1.0, depth=math.inf), DomainError, "learning_time_limit"),
        (lambda: theory.mode_strength(-1.0, 0.1, 1.0, depth=2), DomainError, "time must be >= 0, got -1"),
        (lambda: theory.mode_strength(1.0, 0.1, 1.0, depth=2, tau=0.0), DomainError, "tau must be > 0"),
        (lambda: aligned_network((3, 2), (1.0,), (2.0,), seed=0), DomainError, "mode 0 has u_0 = 2, s = 1"),
        (lambda: aligned_network((3, 2), (1.0,) * 3, (0.1,) * 3, seed=0), ShapeError, "smallest width 2"),
        (lambda: random_network((3, 2), (1.0,), scale=0.0, seed=0), DomainError, "scale must be > 0"),
        (lambda: stack([NETWORK, aligned_network((3, 2), (1.0,), (0.1,), seed=0)]), ShapeError, r"depths \[1, 2\]"),
        (lambda: on_cpu.deep_linear_flow(NETWORK.weights, np.eye(3), [1.0]), ShapeError, r"\(5, 6\), got \(3, 3\)"),
        (lambda: on_cpu.deep_linear_flow(NETWORK.weights[::-1], np.eye(3), [1.0]), ShapeError, "W_1 first"),
        (lambda: on_cpu.deep_linear_flow((np.full((1, 1), np.nan),), np.eye(1), [1.0]), NonFiniteError, "W_1 is not"),
        (lambda: on_cpu.deep_linear_flow((np.eye(2),), np.eye(2), [1.0, 0.5]), DomainError, "not fall"),
        (lambda: on_cpu.chain_time(np.array([1.0, 0.0]), 0.5, 1.0), DomainError, "numbers > 0"),
        (lambda: on_cpu.chain_time(np.ones(2), 0.5, 1.0), DomainError, r"got e\^0, 0.5 and 1"),
        (lambda: on_cpu.chain_time(np.full(400, 0.1), 0.5, 1.0), DomainError, r"time of e\^910"),
        (lambda: on_cpu.chain_time(np.full(2, 0.1), 0.5, 1.0, tau=-1.0), DomainError, "tau must be > 0 .* got -1"),
        (lambda: on_cpu.chain_time(np.full(2, 0.1), 0.5, 1.0, tau=0.0), DomainError, "tau must be > 0 .* got 0"),
        (lambda: on_cpu.chain_time(np.full(2, 0.1), 0.5, math.inf), DomainError, "< s < inf"),
        (lambda: on_cpu.chain_time(np.array([1j]), 0.5, 1.0), TypeError, "layers must hold real"),
        (lambda: aligned_network((3, 2), (1.0,), (0.1,), skew=0.0, seed=0), DomainError, "skew must be .* not 0"),
        (lambda: aligned_network((3, 2), (math.inf,), (0.1,), seed=0), DomainError, "u_0 = 0.1, s = inf"),
        (lambda: aligned_network((3,), (1.0,), (0.1,), seed=0), ShapeError, r"two widths .* got \[3\]"),
        (lambda: random_network((3, 3), (1.0, 2.0, 3.0, 4.0), scale=1.0, seed=0), ShapeError, r"from 1 to 3 .*\(4,\)"),
        (lambda: random_network((3, 3), (math.nan,), scale=1.0, seed=0), DomainError, r"finite; got \[nan\]"),
        (lambda: random_network((3, 3), (1.0,), scale=math.inf, seed=0), DomainError, "finite, got inf"),
        (lambda: on_cpu.deep_linear_flow((1j * np.eye(2),), np.eye(2), [1.0]), TypeError, "W_1 must hold real"),
        (lambda: on_cpu.deep_linear_descent(W2 * np.nan, W2[:, 0], 0.1, [1]), NonFiniteError, "entries of weights"),
        (lambda: on_cpu.deep_linear_descent(W2, 1j * W2[:, 0], 0.1, [1]), TypeError, "target must hold real"),
        (
            lambda: on_device.deep_linear_descent(torch.tensor(W2 * np.nan), torch.tensor(W2[:, 0]), 0.1, [1]),
            NonFiniteError,
            "entries of weights",
        ),
        (
            lambda: on_device.deep_linear_descent(torch.tensor(W2), torch.zeros(1, 3, 3), 0.1, [1]),
            TypeError,
            "weights of torch.float64, target of torch.float32",
        ),
        (lambda: on_cpu.deep_linear_descent(W2, np.eye(3), 0.1, [1]), ShapeError, r"\(1, 2, 3, 3\) and \(3, 3\)"),
        (lambda: on_cpu.deep_linear_descent(W2, W2[:, 0], 0.0, [1]), DomainError, "eta must be > 0"),
        (lambda: on_cpu.deep_linear_descent(W2, W2[:, 0], 0.1, [2, 1]), DomainError, r"got \[2, 1\]"),
        (
            lambda: on_device.deep_linear_descent(torch.zeros(1, 2, 3, 3), torch.zeros(3, 3), 0.1, [1]),
            ShapeError,
            "B, D",
        ),
    ],
)
def test_what_has_no_course_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
