"""The prox activation against 40-digit arithmetic, its optimality condition, its limits and its Jacobian."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.sims.monotone_dbm import prox, prox_jacobian

ALPHAS = st.floats(-7, 4).map(lambda e: 10.0**e) | st.sampled_from([1.0, 1 - 1e-9, 1 + 1e-9])


def _precise(x, alpha):
    """z by Lambert's W and bisection with 40 digits: neither Newton nor the starts of the code under test."""
    with mpmath.workdps(40):
        a, xs = mpmath.mpf(alpha), [mpmath.mpf(v) for v in x]

        def z(y):
            return a / (1 - a) * mpmath.lambertw((1 - a) / a * mpmath.exp(y / a)).real

        low, high = 1 - max(xs) - a * (len(xs) + 1), 1 - max(xs)
        for _ in range(110):
            nu = (low + high) / 2
            low, high = (nu, high) if sum(z(v + nu - a) for v in xs) < 1 else (low, nu)
        return np.array([float(z(v + low - a)) for v in xs])


def _projection(x):
    """Euclidean projection onto the simplex, by sorting."""
    ordered = np.sort(x)[::-1]
    thresholds = (np.cumsum(ordered) - 1) / np.arange(1, x.size + 1)
    return np.maximum(x - thresholds[np.flatnonzero(ordered > thresholds)[-1]], 0)


def _softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


@pytest.mark.parametrize(
    ("x", "alpha"),
    [([1, 0, -1], 0.125), ([1, 0, -1], 3.0), ([0.3, -7], 0.05), ([5, 4.9, -30, 0], 0.5), ([2, -1], 40.0)],
)
def test_it_has_the_digits_of_40_digit_arithmetic(x, alpha):
    exact = _precise(x, alpha)
    np.testing.assert_allclose(prox(x, alpha, (len(x),)), exact, rtol=2e-14, atol=1e-300)


def test_values_that_are_printed_elsewhere():
    np.testing.assert_allclose(
        prox([1, 0, -1], 0.125, (3,)), [0.907903497, 0.0920377223, 5.8780e-5], rtol=0, atol=5e-10
    )
    np.testing.assert_allclose(prox([1, 0, -1], 0.5, (3,)), [0.77958136, 0.19020995, 0.03020869], rtol=0, atol=5e-9)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9), ALPHAS)
def test_the_optimality_condition(x, alpha):
    x = np.array(x)
    z = prox(x, alpha, (x.size,))
    assert (z >= 0).all()
    assert abs(z.sum() - 1) < 1e-14
    seen = z > 1e-300
    multiplier = alpha * np.log(z[seen]) + (1 - alpha) * z[seen] - x[seen]
    assert np.ptp(multiplier) <= 1e-13 * (1 + alpha + np.ptp(x))
    order = np.argsort(x)
    assert (np.diff(z[order]) >= -1e-15).all()


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=9), st.floats(-30, 30).map(lambda e: 10.0**e))
def test_the_optimality_condition_at_the_ends_of_the_steps(x, alpha):
    x = np.array(x) * max(alpha, 1)
    z = prox(x, alpha, (x.size,))
    assert abs(z.sum() - 1) < 1e-14
    seen = z > 1e-300
    multiplier = alpha * np.log(z[seen]) + (1 - alpha) * z[seen] - x[seen]
    assert np.ptp(multiplier) <= 2e-14 * (1 + alpha)
    np.testing.assert_allclose(z[~seen], 0, atol=1e-299)


@pytest.mark.parametrize("alpha", [1e-30, 1e-20, 1e-12, 1e-8, 1e-4, 0.3])
@pytest.mark.parametrize("d", [1e-9, 0.5, 1 - 1e-6, 1.0, 1 + 1e-9])
def test_the_smaller_of_two_probabilities_keeps_its_digits(d, alpha):
    with mpmath.workdps(60):
        a, low, high = mpmath.mpf(alpha), mpmath.mpf(0), mpmath.mpf(2000)
        for _ in range(200):  # bisection: the left-hand side increases
            odds = (low + high) / 2
            low, high = (odds, high) if a * odds + (1 - a) * mpmath.tanh(odds / 2) < d else (low, odds)
        exact = float(1 / (1 + mpmath.exp(low)))
    np.testing.assert_allclose(prox([d, 0], alpha, (2,))[1], exact, rtol=1e-13, atol=1e-300)


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=6), st.floats(-50, 50), ALPHAS, st.randoms())
def test_shifts_and_permutations(x, shift, alpha, random):
    x = np.array(x)
    z = prox(x, alpha, (x.size,))
    # a shift costs the digits of x that it moves out, magnified by 1/alpha in the logarithms
    np.testing.assert_allclose(prox(x + shift, alpha, (x.size,)), z, rtol=0, atol=1e-13 / min(alpha, 1))
    order = list(range(x.size))
    random.shuffle(order)
    np.testing.assert_allclose(prox(x[order], alpha, (x.size,)), z[order], rtol=0, atol=1e-14)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6))
def test_limits_of_the_step(x):
    x, K = np.array(x), (len(x),)
    np.testing.assert_allclose(prox(x, 1.0, K), _softmax(x), rtol=1e-13)
    for near in (1 - 1e-7, 1 + 1e-7):
        np.testing.assert_allclose(prox(x, near, K), _softmax(x), rtol=0, atol=1e-6)
    np.testing.assert_allclose(prox(x, 1e-4, K), _projection(x), rtol=0, atol=1e-2)
    np.testing.assert_allclose(prox(x, 1e-7, K), _projection(x), rtol=0, atol=2e-5)
    np.testing.assert_allclose(prox(x, 1e6, K), np.full(len(x), 1 / len(x)), rtol=0, atol=1e-4)


@given(st.floats(-50, 50), st.floats(-50, 50), ALPHAS)
def test_two_states_are_three_of_which_one_is_impossible(a, b, alpha):
    # below everything by 1000 (1 + alpha) the third state has probability exp(-1000) at most
    three = prox([a, b, min(a, b) - 1000 * (1 + alpha)], alpha, (3,))
    np.testing.assert_allclose(prox([a, b], alpha, (2,)), three[:2], rtol=0, atol=2e-14)


def test_rows_nodes_and_shapes():
    rng = np.random.default_rng(0)
    states, x = (2, 3, 4), rng.standard_normal((5, 9))
    whole = prox(x, 0.3, states)
    for b in range(5):
        np.testing.assert_array_equal(prox(x[b], 0.3, states), whole[b])
        parts = [prox(x[b, lo:hi], 0.3, (hi - lo,)) for lo, hi in ((0, 2), (2, 5), (5, 9))]
        np.testing.assert_array_equal(np.concatenate(parts), whole[b])
    assert prox(np.empty((0, 9)), 0.3, states).shape == (0, 9)


@pytest.mark.parametrize("alpha", [1e-12, 1e-3, 0.5, 1.0, 2.0, 1e9])
def test_nothing_overflows(alpha):
    for x in ([1e8, -1e8], [1.7e308, -1.7e308, 0], [-1e300, 1e300, 0], [-1.7e308, 1.7e308], [0, 0, 0, 0]):
        z = prox(x, alpha, (len(x),))
        assert np.isfinite(z).all()
        assert abs(z.sum() - 1) < 1e-14


@given(st.lists(st.floats(-4, 4), min_size=2, max_size=5), st.floats(0.05, 5))
def test_the_jacobian(x, alpha):
    x, K = np.array(x), (len(x),)
    J = prox_jacobian(prox(x, alpha, K), alpha, K)
    h = 1e-5
    up, down = (prox(x + s * h * np.eye(len(x)), alpha, K) for s in (1, -1))
    np.testing.assert_allclose(J, (up - down) / (2 * h), rtol=0, atol=1e-6)  # h² f''', which is at most alpha^-3
    values = np.linalg.eigvalsh(J)
    assert values[0] > -1e-14
    assert values[-1] <= (1 + 1e-12) / (1 + alpha)


def test_the_lipschitz_constant_is_met_by_two_states_alike():
    for alpha in (0.05, 0.125, 0.5, 1, 2):
        J = prox_jacobian([0.5, 0.5], alpha, (2,))
        assert np.linalg.norm(J, 2) == pytest.approx(1 / (1 + alpha), rel=1e-14)


@pytest.mark.parametrize(
    ("x", "alpha", "states", "error", "words"),
    [
        ([0, 1], 0.0, (2,), DomainError, "alpha must be positive and finite, got 0.0"),
        ([0, 1], np.nan, (2,), DomainError, "alpha must be positive"),
        ([0, 1], 1e-31, (2,), DomainError, "alpha must lie between 1e-30 and 1e.30, got 1e-31"),
        ([0, 1], 1e31, (2,), DomainError, "alpha must lie between"),
        ([0, 1, 2], 1.0, (2,), ShapeError, r"x must have shape \(2,\)"),
        ([0, np.inf], 1.0, (2,), NonFiniteError, "x of sample 0 is inf at entry 1"),
        ([0], 1.0, (1,), DomainError, "at least 2 states"),
        ([], 1.0, (), DomainError, "there must be a node"),
    ],
)
def test_bad_input(x, alpha, states, error, words):
    with pytest.raises(error, match=words):
        prox(x, alpha, states)
