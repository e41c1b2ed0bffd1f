"""Kernels of infinite width: known digits, two other routes to each activation, near-coincident points, bad input."""

import math
import subprocess
import sys
import tracemalloc

import mpmath
import numba
import numpy as np
import pytest
import scipy
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special

from lemmata.errors import AssumptionError, DomainError, NonFiniteError, ShapeError
from lemmata.kernels.ntk.ensembles import empirical_kernels
from lemmata.problems.ntk import (
    ACTIVATIONS,
    InfiniteNetwork,
    KernelTask,
    Network,
    leaky_relu,
    piecewise_linear,
    smooth,
    sphere_points,
)
from lemmata.problems.ntk.activations import as_activation, dual_diagonal, hermite_coefficients
from lemmata.sims.ntk import fc_kernels, nngp, ntk
from lemmata.sims.ntk.infinite_width import BLOCK
from lemmata.theory import ntk as theory

NTK = {"parametrization": "ntk"}
ONE_THIRD = leaky_relu(1 / 3)
#: Every closed form, with variances at which six layers stay of order one.
CLOSED = {
    "relu": ("relu", 2.0),
    "leaky": (ONE_THIRD, 1.8),
    "abs": ("abs", 1.0),
    "linear": ("linear", 1.0),
    "step": ("step", 2.0),
    "erf": ("erf", 1.5),
    "sin": ("sin", 1.5),
    "quadratic": ("quadratic", 0.4),
}
PHI = {
    "relu": (lambda u: np.maximum(u, 0), lambda u: np.where(u > 0, 1.0, 0.0)),
    "leaky": (lambda u: np.where(u > 0, u, u / 3), lambda u: np.where(u > 0, 1.0, 1 / 3)),
    "abs": (np.abs, np.sign),
    "linear": (lambda u: u, np.ones_like),
    "step": (lambda u: np.where(u > 0, 1.0, 0.0), np.zeros_like),
    "erf": (special.erf, lambda u: 2 / np.sqrt(np.pi) * np.exp(-(u**2))),
    "sin": (np.sin, np.cos),
    "quadratic": (np.square, lambda u: 2 * u),
    "tanh": (np.tanh, lambda u: np.cosh(u) ** -2.0),
    "sigmoid": (special.expit, lambda u: special.expit(u) * special.expit(-u)),
    "softplus": (lambda u: np.logaddexp(0, u), special.expit),
    "silu": (lambda u: u * special.expit(u), lambda u: special.expit(u) * (1 + u * special.expit(-u))),
    "gelu": (
        lambda u: u * special.ndtr(u),
        lambda u: special.ndtr(u) + u * np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi),
    ),
    "gaussian": (lambda u: np.exp(-(u**2)), lambda u: -2 * u * np.exp(-(u**2))),
}
GAUSSIAN = smooth(lambda u: np.exp(-(u**2)), "gaussian")


def points(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


# ------------------------------------------------------------------------------------ the two other routes


def dual(name, q11, q22, q12):
    """T and T' in 40 digits, from the textbook forms."""
    mp = mpmath
    if name == "erf":
        size = (1 + 2 * q11) * (1 + 2 * q22)
        return 2 / mp.pi * mp.asin(2 * q12 / mp.sqrt(size)), 4 / mp.pi / mp.sqrt(size - 4 * q12**2)
    if name == "sin":
        decay = mp.exp(-(q11 + q22) / 2)
        return decay * mp.sinh(q12), decay * mp.cosh(q12)
    if name == "quadratic":
        return q11 * q22 + 2 * q12**2, 4 * q12
    norm = mp.sqrt(q11 * q22)
    theta = mp.acos(min(max(q12 / norm, mp.mpf(-1)), mp.mpf(1)))
    if name == "step":
        return (mp.pi - theta) / (2 * mp.pi), mp.mpf(0)
    a, b = {"relu": (0, 1), "leaky": (mp.mpf(1 / 3), 1), "abs": (-1, 1), "linear": (1, 1)}[name]
    slope = (a * a + b * b) / mp.mpf(2) - (a - b) ** 2 * theta / (2 * mp.pi)
    return (a - b) ** 2 * norm * mp.sin(theta) / (2 * mp.pi) + slope * q12, slope


def recursion(name, x, y, depth, sw2, sb2):
    """K and Theta of one pair in 40 digits."""
    with mpmath.workdps(40):
        x, y = [mpmath.mpf(float(v)) for v in x], [mpmath.mpf(float(v)) for v in y]
        sw2, sb2 = mpmath.mpf(float(sw2)), mpmath.mpf(float(sb2))
        q11, q22, q12 = (sw2 * mpmath.fdot(a, b) / len(x) + sb2 for a, b in ((x, x), (y, y), (x, y)))
        theta = q12
        for _ in range(depth):
            value, slope = dual(name, q11, q22, q12)
            q11, q22 = (sw2 * dual(name, q, q, q)[0] + sb2 for q in (q11, q22))
            q12 = sw2 * value + sb2
            theta = q12 + sw2 * slope * theta
        return float(q12), float(theta)


def table(name, X, Y, depth, sw2, sb2):
    found = [[recursion(name, x, y, depth, sw2, sb2) for y in Y] for x in X]
    return np.moveaxis(np.array(found), 2, 0)


def expectation(f, q11, q22, q12):
    """E f(u) f(v) in polar coordinates, an adaptive rule on each arc between the kinks of f at 0."""
    turn = math.acos(q12 / math.sqrt(q11 * q22))
    kinks = sorted((math.pi / 2 + k + shift * turn) % (2 * math.pi) for k in (0, math.pi) for shift in (0, 1))
    total = 0.0
    for low, high in zip(kinks, [*kinks[1:], kinks[0] + 2 * math.pi], strict=True):
        # both signs are constant on an arc; the radius is taken to 12 standard deviations
        psi, weight = special.roots_legendre(48)
        psi, weight = low + (high - low) * (psi + 1) / 2, weight * (high - low) / 2

        def shell(r, psi=psi, weight=weight):
            u, v = math.sqrt(q11) * r * np.cos(psi), math.sqrt(q22) * r * np.cos(psi - turn)
            return r * math.exp(-r * r / 2) * float(weight @ (f(u) * f(v)))

        total += scipy.integrate.quad(shell, 0, 12, epsabs=1e-13, epsrel=1e-12, limit=200)[0]
    return total / (2 * math.pi)


# --------------------------------------------------------------------------------------------------- values

REFERENCE = [
    (
        {"depth": 1, "activation": "relu", "sw2": 2.0},
        [5, 0.7957747154595, 2.773336438587, 1.25, 0.001069619538862, 10],
        [10, 0.7957747154595, 3.318503673888, 2.5, -0.1570157040142, 20],
    ),
    (
        {"depth": 2, "activation": "relu", "sw2": 2.0, "sb2": 0.2},
        [5.6, 1.813115112178, 4.374263552808, 1.85, 1.652303642427, 10.6],
        [16.2, 2.618797108267, 6.807229555486, 4.95, 1.49401465, 31.2],
    ),
    (
        {"depth": 1, "activation": "erf"},
        [0.6271410026453, 0, 0.07856172352184, 0.3749887621765, -0.4967846939463, 0.7264446963483],
        [1.586881420402, 0, 0.1575246880217, 0.800348239649, -1.127006115256, 2.115662932434],
    ),
]


@pytest.mark.parametrize(("network", "K", "theta"), REFERENCE)
def test_thirteen_digits(network, K, theta):
    X = np.array([(1, 2), (-1, 0.5), (3, -1)])
    found = fc_kernels(X, **network, **NTK)
    upper = np.triu_indices(3)
    # printed to 13 digits; the smallest nonzero one is 1e-3
    np.testing.assert_allclose(found.nngp[upper], K, rtol=6e-13, atol=1e-15)
    np.testing.assert_allclose(found.ntk[upper], theta, rtol=6e-13, atol=1e-15)
    np.testing.assert_array_equal(nngp(X, **network), found.nngp)
    np.testing.assert_array_equal(ntk(X, **network, **NTK), found.ntk)


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("sb2", [0.0, 0.3])
def test_closed_forms_in_forty_digits(name, sb2):
    activation, sw2 = CLOSED[name]
    X, Y = 0.6 * points(4, 3), 0.6 * points(3, 3, seed=1)
    for depth in (1, 3):
        K, theta = table(name, X, Y, depth, sw2, sb2)
        found = fc_kernels(X, Y, depth=depth, activation=activation, sw2=sw2, sb2=sb2, **NTK)
        # a few units of rounding in the largest entry, a layer
        np.testing.assert_allclose(found.nngp, K, rtol=0, atol=2e-15 * depth * np.abs(K).max())
        np.testing.assert_allclose(found.ntk, theta, rtol=0, atol=2e-15 * depth * np.abs(theta).max())


@pytest.mark.parametrize("name", PHI)
@pytest.mark.parametrize("cosine", [0.7, -0.9])
def test_every_activation_by_adaptive_quadrature(name, cosine):
    phi, slope = PHI[name]
    activation = {"leaky": ONE_THIRD, "gaussian": GAUSSIAN}.get(name, name)
    X = np.array([[1.3, 0.0], [0.8 * cosine, 0.8 * math.sqrt(1 - cosine**2)]])
    K, theta = fc_kernels(X, depth=1, activation=activation, sw2=1.0, **NTK)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        q11, q22, q12 = (X[i] @ X[i] / 2, X[j] @ X[j] / 2, X[i] @ X[j] / 2)
        if i == j:
            value, derivative = (scipy.integrate.quad(gauss(f, q11), -12, 12, points=[0])[0] for f in (phi, slope))
        else:
            value, derivative = (expectation(f, q11, q22, q12) for f in (phi, slope))
        assert abs(K[i, j] - value) < 1e-11
        assert abs(theta[i, j] - (value + derivative * q12)) < 1e-11


@pytest.mark.parametrize("name", PHI)
def test_the_dual_on_the_diagonal(name):
    """By one-dimensional quadrature; what `tables` carries from layer to layer, its slope in the check of ranges."""
    activation = as_activation({"leaky": ONE_THIRD, "gaussian": GAUSSIAN}.get(name, name))
    q = np.array([0.0, 0.4, 2.3])
    a = hermite_coefficients(activation, q) if activation.family == "smooth" else None
    for found, f in zip(dual_diagonal(activation, q, a), PHI[name], strict=True):
        expected = [scipy.integrate.quad(gauss(f, v), -12, 12, points=[0], epsabs=1e-13)[0] for v in q[1:]]
        np.testing.assert_allclose(found[1:], expected, rtol=1e-11)


def gauss(f, q):
    return lambda x: float(f(np.array(math.sqrt(q) * x))) ** 2 * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def test_tanh_in_twelve_digits():
    """At variances 1.3 and .9 and covariance .7, from an arbitrary-precision rule."""
    X = np.sqrt(2) * np.array([[math.sqrt(1.3), 0.0], [0.7 / math.sqrt(1.3), math.sqrt(0.9 - 0.49 / 1.3)]])
    K, theta = fc_kernels(X, depth=1, activation="tanh", **NTK)
    assert abs(K[0, 1] - 0.250965159875) < 6e-13
    assert abs((theta[0, 1] - K[0, 1]) / 0.7 - 0.380362996972) < 2e-12


# ---------------------------------------------------------------------------------- smooth activations


def test_a_users_smooth_activation_against_its_closed_form():
    """``E e^{-u^2 - v^2} = D^{-1/2}``, ``E 4 u v e^{-u^2 - v^2} = 4 q12 D^{-3/2}``."""
    X = 1.5 * points(5, 3)
    q = X @ X.T / 3
    D = np.add.outer(2 * q.diagonal(), 2 * q.diagonal()) + 1 + 4 * (np.outer(q.diagonal(), q.diagonal()) - q**2)
    K, theta = fc_kernels(X, depth=1, activation=GAUSSIAN, **NTK)
    np.testing.assert_allclose(K, D**-0.5, rtol=1e-13)
    np.testing.assert_allclose(theta, D**-0.5 + 4 * q**2 * D**-1.5, rtol=1e-12)


@given(st.floats(0.05, 40), st.integers(1, 3))
def test_a_series_is_right_or_refused(scale, depth):
    """erf(scale u): beyond some scale no affordable number of nodes resolves the step at 0."""
    X, options = points(3, 2), {"depth": depth, "sw2": 0.9, "sb2": 0.1, **NTK}
    steep = smooth(lambda u: special.erf(scale * u), "steep")
    try:
        found = fc_kernels(X, activation=steep, **options)
    except DomainError:
        assert scale > 3
        return
    assert scale < 12
    # erf of the next layers is that of variances times scale^2, and what is trained there scales along
    scaled = {**options, "sw2": 0.9 * scale**2, "sb2": 0.1 * scale**2}
    K, theta = fc_kernels(X, activation="erf", **scaled)
    np.testing.assert_allclose(found.nngp, K / scale**2, rtol=0, atol=1e-13 * K.max() / scale**2)
    np.testing.assert_allclose(found.ntk, theta / scale**2, rtol=0, atol=1e-12 * theta.max() / scale**2)


@pytest.mark.parametrize("name", ["relu", "leaky", "abs", "step"])
def test_a_series_is_refused_where_there_is_a_kink(name):
    for phi in (PHI[name][0], lambda u: PHI[name][0](u - 0.7)):
        with pytest.raises(DomainError, match=r"fall too slowly .* variance .* 2048 leave .* a closed form"):
            ntk(points(3, 2), depth=1, activation=smooth(phi, name), **NTK)


def test_coefficients_settle_and_a_truncation_would_be_seen():
    q = np.array([0.0, 0.3, 1.7])
    a = hermite_coefficients(smooth(special.erf), q)
    diagonal = 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q))
    np.testing.assert_allclose((a**2).sum(axis=0), diagonal, rtol=1e-14, atol=1e-30)
    assert abs((a[: len(a) // 2] ** 2).sum(axis=0) - diagonal)[2] > 1e-12
    np.testing.assert_allclose(a[0::2], 0, atol=1e-15)  # erf is odd
    alone = [hermite_coefficients(smooth(special.erf), q[i : i + 1])[:, 0] for i in range(3)]
    for i, one in enumerate(alone):  # of a point: not of the set
        np.testing.assert_allclose(a[: len(one), i], one, atol=1e-15)
        np.testing.assert_array_equal(a[len(one) :, i], 0)
    assert [len(one) for one in alone] == sorted(len(one) for one in alone)


@given(st.floats(0.5, 1000))
def test_no_frequency_is_mistaken_for_another(omega):
    X, fast = points(2, 3), smooth(lambda u: np.sin(omega * u), "fast")
    try:
        found = nngp(X, depth=1, activation=fast)
    except DomainError:
        assert omega > 15
        return
    assert omega < 100
    np.testing.assert_allclose(found, nngp(omega * X, depth=1, activation="sin"), atol=2e-13)


@pytest.mark.parametrize(
    ("phi", "error", "words"),
    [
        (lambda u: u.sum(axis=1), DomainError, r"must act on each entry: \(3, 111\) -> \(3,\)"),
        (np.log, NonFiniteError, "phi is nan at -"),
        (lambda u: np.exp(u**4), NonFiniteError, "phi is inf at -"),
    ],
)
def test_activations_without_a_kernel(phi, error, words):
    with pytest.raises(error, match=words):
        nngp(points(3, 2), depth=1, activation=smooth(phi, "phi"))


@pytest.mark.parametrize("growth", [0.01, 0.1, 0.15, 0.2, 0.23, 0.24, 0.249, 0.26, 0.4])
def test_growth_that_the_gaussian_does_not_tame(growth):
    """``E e^{growth (u^2 + v^2)}`` at variance 1 is finite below 1/4, but lives too far out before."""
    X = np.sqrt(2) * np.array([[1.0, 0.0], [0.6, 0.8]])
    try:
        K = nngp(X, depth=1, activation=smooth(lambda u: np.exp(growth * u**2), "growth"))
    except DomainError:
        assert growth > 0.15
        return
    assert growth < 0.25
    expected = [((1 - 2 * growth) ** 2 - 4 * (growth * c) ** 2) ** -0.5 for c in (1.0, 0.6)]
    np.testing.assert_allclose(K[0], expected, rtol=1e-11)


def test_a_constant_activation_has_no_slope():
    K, theta = fc_kernels(points(4, 2), depth=2, activation=smooth(lambda u: np.full_like(u, 0.5)), sb2=1.0, **NTK)
    np.testing.assert_allclose(K, 1.25, rtol=1e-15)
    np.testing.assert_allclose(theta, 1.25, rtol=1e-14)


# ----------------------------------------------------------------------------------- coincident points

ANGULAR = ("relu", "leaky", "abs", "step")


@pytest.mark.parametrize("name", ANGULAR)
@pytest.mark.parametrize("sb2", [0.0, 0.3])
@pytest.mark.parametrize("sign", [1, -1])
def test_nearly_coincident_and_nearly_opposite_points(name, sb2, sign):
    """An arccos of the rounded cosine is wrong by 1e-8 here."""
    activation, sw2 = CLOSED[name]
    x = points(1, 5, seed=3)[0]
    aside = points(1, 5, seed=4)[0]
    distances = np.array([0.0, 1e-15, 1e-12, 1e-8, 1e-6, 1e-4, 0.03, 0.05, 0.1])  # w = 1e-3 lies between the last
    X, Y = x[None], sign * (x + distances[:, None] * aside)
    for depth in (1, 3, 6):
        expected = table(name, X, Y, depth, sw2, sb2)
        size = table(name, X, X, depth, sw2, sb2)[:, 0]
        options = {"depth": depth, "activation": activation, "sw2": sw2, "sb2": sb2, **NTK}
        # each layer of steps takes the root of the angle, so that a rounding e of it weighs e t^(1/2^(L-1) - 1)
        root = 2.0 ** (1 - depth) - 1 if name == "step" else 0.0
        blur = 2e-16 * np.where(distances > 0, distances, 1.0) ** root
        for found in (fc_kernels(X, Y, **options), [k[:1, 1:] for k in fc_kernels(np.concatenate((X, Y)), **options)]):
            for kernel, exact, scale in zip(found, expected, size, strict=True):
                assert (np.abs(kernel - exact) <= (2e-15 * depth + blur) * scale).all()


def test_a_huge_variance_stays_finite():
    """Rounding of sizes near 1e24 must not become the exponent of infinity where x and y hold the same points."""
    X = 1e12 * points(40, 5)
    found = fc_kernels(X, X.copy(), depth=2, activation="sin", **NTK)
    assert np.isfinite(found.nngp).all()
    assert (found.nngp <= 1.0).all()
    assert np.isfinite(found.ntk).all()


@pytest.mark.parametrize("name", ["erf", "sin", "quadratic", "tanh"])
def test_coincident_points_of_smooth_activations(name):
    X = np.repeat(points(2, 6), 3, axis=0)
    activation, sw2 = CLOSED.get(name, (name, 1.5))
    for kernel in fc_kernels(X, depth=3, activation=activation, sw2=sw2, sb2=0.1, **NTK):
        np.testing.assert_allclose(kernel[:3, :3], kernel[0, 0], rtol=1e-14)


@pytest.mark.parametrize("width", [1, 7, 64, 784])
def test_the_diagonal_is_exact_and_so_are_repeated_rows(width):
    X = points(5, width)
    q = (X**2).sum(axis=1) / width
    for depth in (1, 5, 50):
        K, theta = fc_kernels(X, depth=depth, activation="relu", sw2=2.0, **NTK)
        np.testing.assert_allclose(K.diagonal(), 2 * q, rtol=1e-14)
        np.testing.assert_allclose(theta.diagonal(), 2 * (depth + 1) * q, rtol=1e-14)
        across = ntk(X, X[::-1].copy(), depth=depth, activation="relu", sw2=2.0, **NTK)
        np.testing.assert_allclose(across[:, ::-1].diagonal(), theta.diagonal(), rtol=1e-14)


@given(arrays(np.float64, (4, 3), elements=st.floats(-4, 4)), st.sampled_from(sorted(CLOSED)), st.integers(1, 6))
def test_the_diagonal_of_its_own_recursion(X, name, depth):
    """Every entry where row and column are the same point is the diagonal's, in the kernel of two sets too."""
    activation, sw2 = CLOSED[name]
    options = {"depth": depth, "activation": activation, "sw2": sw2, "sb2": 0.1, **NTK}
    one, two = fc_kernels(X, **options), fc_kernels(X, X.copy(), **options)
    expected = np.array([recursion(name, x, x, depth, sw2, 0.1) for x in X])
    for k in range(2):
        np.testing.assert_allclose(one[k].diagonal(), expected[:, k], rtol=1e-13)
        np.testing.assert_allclose(two[k].diagonal(), expected[:, k], rtol=1e-13)


# ------------------------------------------------------------------------------------------ properties

SOME = st.sampled_from(["relu", "erf", "tanh"])
ROWS = arrays(np.float64, (5, 3), elements=st.floats(-2, 2, allow_subnormal=False).map(lambda v: round(v, 3)))


@given(ROWS, SOME, st.integers(1, 6), st.sampled_from([0.0, 0.2]))
def test_kernels_are_semidefinite_and_ordered(X, activation, depth, sb2):
    K, theta = fc_kernels(X, depth=depth, activation=activation, sw2=1.7, sb2=sb2, **NTK)
    assert np.isfinite(theta).all()
    for matrix in (K, theta, theta - K):  # training of the other layers only adds
        values = np.linalg.eigvalsh(matrix)
        assert values[0] >= -1e-12 * max(values[-1], theta.max())
    size = np.sqrt(np.outer(theta.diagonal(), theta.diagonal()))
    assert (np.abs(theta) <= size * (1 + 1e-13)).all()
    np.testing.assert_array_equal(theta, theta.T)


@pytest.mark.parametrize("name", ["relu", "erf", "tanh", "sin"])
def test_distinct_points_with_a_bias_are_separated(name):
    X = points(12, 3)
    X[6:] = -X[:6]
    for depth in (1, 4):
        K, theta = fc_kernels(X, depth=depth, activation=name, sw2=1.5, sb2=0.2, **NTK)
        assert np.linalg.eigvalsh(theta)[0] > np.linalg.eigvalsh(K)[0] > 1e-6


@given(ROWS, SOME, st.integers(1, 4))
def test_order_and_orientation_do_not_matter(X, activation, depth):
    options = {"depth": depth, "activation": activation, "sw2": 1.7, "sb2": 0.1, **NTK}
    theta, Y = ntk(X, **options), points(4, 3)
    rotation = np.linalg.qr(points(3, 3, seed=9))[0]
    # a rotation moves points by rounding, which cos = +-1 turns into its square root at worst
    np.testing.assert_allclose(ntk(X @ rotation, **options), theta, rtol=0, atol=1e-12 * theta.max())
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(ntk(X[order], **options), theta[np.ix_(order, order)], rtol=0, atol=1e-14 * theta.max())
    np.testing.assert_allclose(ntk(X, Y, **options), ntk(Y, X, **options).T, rtol=0, atol=1e-14 * theta.max() + 1e-14)
    np.testing.assert_allclose(ntk(X, X[1:4], **options), theta[:, 1:4], rtol=0, atol=1e-14 * theta.max())


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.sampled_from(["relu", "leaky", "abs"]), st.integers(1, 4))
def test_homogeneity_where_there_is_any(a, b, name, depth):
    X, Y = points(3, 4), points(2, 4, seed=1)
    options = {"depth": depth, "activation": CLOSED[name][0], "sw2": 2.0, **NTK}
    theta = ntk(X, Y, **options)
    np.testing.assert_allclose(ntk(a * X, b * Y, **options), a * b * theta, rtol=1e-12, atol=1e-13 * a * b)
    if max(a, b) > 2:
        for broken in ({"activation": "erf"}, {"sb2": 0.1}):
            other = options | broken
            gap = ntk(a * X, b * Y, **other) - a * b * ntk(X, Y, **other)
            assert np.abs(gap).max() > 1e-3 * a * b * np.abs(theta).max() * min(1, 1 / a, 1 / b)


@given(st.lists(st.integers(0, 30).map(lambda v: v / 10), min_size=4, max_size=4), st.sampled_from(sorted(CLOSED)))
def test_a_kernel_is_the_sum_of_what_each_layer_adds(rates, name):
    X = 0.7 * points(4, 3)
    options = {"depth": 3, "activation": CLOSED[name][0], "sw2": CLOSED[name][1], "sb2": 0.2, **NTK}
    parts = [ntk(X, **options, rates=np.eye(4)[k]) for k in range(4)]
    whole = ntk(X, **options, rates=rates)
    assert np.abs(whole - np.tensordot(rates, parts, 1)).max() <= 1e-14 * np.abs(parts).max() * (1 + sum(rates))
    K, theta = fc_kernels(X, **options)
    np.testing.assert_allclose(parts[3], K, rtol=0, atol=2e-15 * K.max())  # readout and its bias: the NNGP kernel
    np.testing.assert_allclose(sum(parts), theta, rtol=0, atol=2e-15 * theta.max())


@pytest.mark.parametrize("name", [*CLOSED, "tanh"])
@pytest.mark.parametrize("sb2", [0.0, 0.2])
def test_a_zero_row(name, sb2):
    """Its cosine is 0/0; with sb2 = 0 a phi with phi(0) = 0 has kernel 0 there, whatever T' is."""
    activation, sw2 = CLOSED.get(name, (name, 1.5))
    X = np.concatenate((np.zeros((2, 3)), points(3, 3)))
    K, theta = fc_kernels(X, depth=3, activation=activation, sw2=sw2, sb2=sb2, **NTK)
    assert np.isfinite(K).all()
    assert np.isfinite(theta).all()
    zero = sb2 == 0
    assert ((K[:2] == 0) == zero).all()
    assert ((theta[:2] == 0) == zero).all()


@pytest.mark.parametrize("name", ["relu", "erf", "sin", "tanh"])
def test_no_variance_at_all(name):
    for kernel in fc_kernels(points(3, 2), depth=2, activation=name, sw2=0.0, **NTK):
        np.testing.assert_array_equal(kernel, 0.0)
    for kernel in fc_kernels(points(3, 2), depth=2, activation=name, sw2=0.0, sb2=0.5, **NTK):
        np.testing.assert_allclose(kernel, 0.5, rtol=1e-15)


# ------------------------------------------------------------------------------- parametrisation, widths


def test_parametrisation_has_no_default():
    for kernel in (ntk, fc_kernels):
        with pytest.raises(TypeError, match="parametrization"):
            kernel(points(2, 2), depth=1, activation="relu")
    with pytest.raises(TypeError, match="parametrization"):
        InfiniteNetwork(1, "relu")


@pytest.mark.parametrize(
    ("activation", "parametrization"), [("tanh", "ntk"), ("relu", "standard"), ("erf", "standard")]
)
def test_the_limit_of_wide_networks(activation, parametrization):
    """The mean kernel of wide networks with two hidden layers; under ``standard`` over the width."""
    X, width, depth = points(4, 3), 700, 2
    options = {"activation": activation, "sw2": 1.5, "sb2": 0.3, "parametrization": parametrization}
    run = empirical_kernels(Network(3, width, 1, depth, **options), torch.tensor(X), replicates=20, seed=0)
    kernels = run["kernel"].values / (width if parametrization == "standard" else 1)
    expected = ntk(X, depth=depth, **options)
    error = kernels.std(axis=0, ddof=1) / math.sqrt(len(kernels))
    # t with 19 degrees of freedom at 1e-5 over 30 entries, and a bias of order 1/n
    assert (np.abs(kernels.mean(axis=0) - expected) < 6.5 * error + 4 / width * expected.max()).all()
    assert error.max() < 0.03 * expected.max()


# --------------------------------------------------------------------------------- tiles, threads, memory


@pytest.mark.parametrize("name", ["relu", "erf", "tanh"])
def test_tiles_do_not_show(name):
    n, m = 2 * BLOCK + 22, BLOCK + 6
    X, Y = points(n, 5), points(m, 5, seed=1)
    options = {"depth": 3, "activation": name, "sw2": 1.7, "sb2": 0.1, **NTK}
    whole, across = fc_kernels(X, **options), fc_kernels(X, Y, **options)
    for k in range(2):
        assert whole[k].shape == (n, n)
        assert across[k].shape == (n, m)
        np.testing.assert_array_equal(whole[k], whole[k].T)
        scale = 1e-14 * np.abs(whole[k]).max()
        for part in (slice(0, 3), slice(BLOCK - 2, BLOCK + 3), slice(n - 4, n)):
            one = fc_kernels(X[part], **options)[k]
            np.testing.assert_allclose(whole[k][part, part], one, rtol=0, atol=scale)
            two = fc_kernels(X[part], Y[: BLOCK + 1], **options)[k]
            np.testing.assert_allclose(across[k][part, : BLOCK + 1], two, rtol=0, atol=scale)


def test_one_thread_and_two_give_the_same_bits():
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread is all there is")
    X, Y = points(3 * BLOCK + 5, 4), points(BLOCK + 1, 4, seed=1)
    before, found = numba.get_num_threads(), []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            found.append(
                [
                    kernel
                    for name in ("relu", "erf", "tanh")
                    for other in (None, Y)
                    for kernel in fc_kernels(X, other, depth=3, activation=name, sw2=1.7, sb2=0.1, **NTK)
                ]
            )
    finally:
        numba.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_nothing_of_the_kernels_size_stands_beside_the_kernel():
    n = 1200
    X = points(n, 5)
    tracemalloc.start()
    try:
        for kernels, call in ((1, ntk), (2, fc_kernels)):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            call(X, depth=3, activation="relu", sw2=2.0, **NTK)
            assert tracemalloc.get_traced_memory()[1] - before < 1.1 * kernels * 8 * n * n
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on the address space")
def test_memory_of_a_process():
    """What numba and BLAS allocate is seen only from outside: a run within so many times the kernel's bytes."""
    script = """
import resource
import sys
import numpy as np
from lemmata.sims.ntk import ntk
X = np.random.default_rng(0).standard_normal((3000, 5))
run = lambda X: ntk(X, depth=3, activation="relu", sw2=2.0, parametrization="ntk")
run(X[:300])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(float(sys.argv[1]) * 8 * 3000**2),) * 2)
run(X)
"""
    for share, fits in ((1.1, True), (0.9, False)):
        done = subprocess.run([sys.executable, "-c", script, str(share)], capture_output=True, text=True, timeout=120)
        assert (done.returncode == 0) == fits, done.stderr
        assert fits or "MemoryError" in done.stderr


def test_points_of_any_layout_and_number():
    X = points(6, 4)
    whole = ntk(X, depth=2, activation="relu", sw2=2.0, **NTK)
    for same in (X.tolist(), np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2]):
        np.testing.assert_array_equal(ntk(same, depth=2, activation="relu", sw2=2.0, **NTK), whole)
    single = X.astype(np.float32)
    np.testing.assert_array_equal(
        ntk(single, depth=2, activation="relu", **NTK), ntk(single.astype(float), depth=2, activation="relu", **NTK)
    )
    X.setflags(write=False)
    np.testing.assert_array_equal(ntk(X, depth=2, activation="relu", sw2=2.0, **NTK), whole)


# ------------------------------------------------------------------------------------------------- claims


@pytest.mark.parametrize("name", ["relu", "leaky", "abs", "erf"])
def test_hermite_coefficients_of_the_eigenvalue_bound(name):
    """Each by one-dimensional quadrature against ``h_i``; together they are T + q T' on the diagonal."""
    activation, q = as_activation({"leaky": ONE_THIRD}.get(name, name)), 1.7
    weight, total = theory.infinite_width._squares(activation, q, 4000)
    for i in range(7):
        polynomial = special.hermitenorm(i)

        def integrand(x, polynomial=polynomial):
            return float(PHI[name][0](np.array(math.sqrt(q) * x)) * polynomial(x)) * math.exp(-x * x / 2)

        a = scipy.integrate.quad(integrand, -14, 14, points=[0])[0] / math.sqrt(2 * math.pi * math.factorial(i))
        assert abs(weight[i] - (i + 1) * a**2) < 1e-12
    value, slope = (float(v[0]) for v in dual_diagonal(activation, np.array([q])))
    assert abs(total - (value + q * slope)) < 1e-14
    # what is left falls like i^{-1/2} for a kink, and geometrically for erf
    left = total - weight.sum()
    assert -1e-14 < left < (1e-12 if name == "erf" else 0.05)


def test_the_definition_by_quadrature():
    value, slope = theory.dual_by_quadrature(as_activation("tanh"), 1.3, 0.9, 0.7)
    assert abs(value - 0.250965159875) < 6e-13
    assert abs(slope - 0.380362996972) < 6e-13


@pytest.mark.parametrize(
    ("claim", "network", "scale", "words"),
    [
        ("kernel_diagonal", {"sb2": 0.1}, 1.0, "sb2 = 0.1"),
        ("kernel_diagonal", {"activation": "erf"}, 1.0, "the activation is erf"),
        ("kernel_homogeneity", {"rates": (1.0, 0.0)}, 1.0, "rates"),
        ("smallest_eigenvalue", {"depth": 2}, 1.0, "2 hidden layers"),
        ("smallest_eigenvalue", {}, 1.1, "x.x/d differs from 1 by 0.21"),
        ("opposite_points", {"parametrization": "standard"}, 1.0, "'standard' scaling"),
        ("depth_angle", {"activation": "linear"}, 1.0, "linear is linear"),
    ],
)
def test_assumptions_are_checked(claim, network, scale, words):
    network = {"depth": 1, "activation": "relu", "sw2": 2.0, **NTK, **network}
    task = KernelTask(InfiniteNetwork(**network), scale * sphere_points(3, 4, seed=0))
    with pytest.raises(AssumptionError, match=words):
        getattr(theory, claim).check(task)


def test_closed_forms_of_other_activations_are_refused():
    network, x = InfiniteNetwork(1, "tanh", parametrization="ntk"), np.ones(2)
    with pytest.raises(DomainError, match="piecewise-linear activations, not for tanh"):
        theory.exact_kernels(network, x, x)
    with pytest.raises(DomainError, match="piecewise-linear activations and erf, not for tanh"):
        theory.least_eigenvalue(network, 2, 0.5)


# ----------------------------------------------------------------------------------------------- refusals

RELU = {"depth": 1, "activation": "relu", **NTK}
HOLE = np.ones((4, 2))
HOLE[2, 1] = np.nan


@pytest.mark.parametrize(
    ("X", "Y", "changes", "error", "words"),
    [
        (np.ones(3), None, {}, ShapeError, r"x must have shape \(N, d\), got \(3,\)"),
        (np.ones((0, 3)), None, {}, ShapeError, r"got \(0, 3\)"),
        (np.ones((3, 0)), None, {}, ShapeError, r"got \(3, 0\)"),
        (np.ones((3, 2)), np.ones((4, 3)), {}, ShapeError, r"shapes \(3, 2\) and \(4, 3\)"),
        (np.ones((3, 2)), np.ones(2), {}, ShapeError, r"y must have shape \(N, d\), got \(2,\)"),
        (HOLE, None, {}, NonFiniteError, "x is not finite in row 2"),
        (np.ones((3, 2)), np.inf * HOLE, {}, NonFiniteError, "y is not finite in row 0"),
        (1e200 * np.ones((3, 2)), None, {}, DomainError, "the variance of row 0 leaves"),
        (np.ones((3, 2)), None, {"depth": 400, "sw2": 20.0}, DomainError, "in layer .* of 401: .* sw2 = 20"),
        (np.ones((3, 2)), None, {"depth": 2000, "sw2": 1.0}, DomainError, "grows or shrinks"),
        (np.ones((3, 2)), None, {"depth": 0}, DomainError, "depth, the number of hidden layers, .* got 0"),
        (np.ones((3, 2)), None, {"depth": 1.5}, TypeError, "depth, .* must be an int, got float"),
        (np.ones((3, 2)), None, {"depth": True}, TypeError, "depth, .* must be an int, got bool"),
        (np.ones((3, 2)) + 1j, None, {}, TypeError, "x must hold real numbers, got dtype complex128"),
        (np.ones((3, 2)), np.ones((3, 2)) > 0, {}, TypeError, "y must hold real numbers, got dtype bool"),
        (np.ones((3, 2)), None, {"sw2": -1.0}, DomainError, "sw2 is a variance, >= 0 and finite, got -1"),
        (np.ones((3, 2)), None, {"sb2": -0.5}, DomainError, "sb2 is a variance, >= 0 and finite, got -0.5"),
        (np.ones((3, 2)), None, {"sb2": math.nan}, DomainError, "sb2 is a variance, >= 0 and finite, got nan"),
        (np.ones((3, 2)), None, {"rates": (1.0,)}, DomainError, "1 hidden layers need 2 rates, got 1"),
        (np.ones((3, 2)), None, {"rates": (1.0, -1.0)}, DomainError, "rates must be >= 0"),
        (np.ones((3, 2)), None, {"activation": "rely"}, DomainError, "activation must be one of relu, .* got 'rely'"),
        (np.ones((3, 2)), None, {"activation": np.tanh}, TypeError, "smooth"),
        (np.ones((3, 2)), None, {"parametrization": "mean_field"}, DomainError, "moves in training"),
        (np.ones((3, 2)), None, {"parametrization": "NTK"}, DomainError, "must be one of ntk, standard, got 'NTK'"),
    ],
)
def test_what_is_refused(X, Y, changes, error, words):
    with pytest.raises(error, match=words):
        ntk(X, Y, **(RELU | changes))


def test_slopes_that_are_refused():
    for slopes in ((0.0, 0.0), (math.nan, 1.0), (1.0, math.inf)):
        with pytest.raises(DomainError, match="slopes must be finite and not both 0"):
            piecewise_linear(*slopes)
    assert set(CLOSED) - set(ACTIVATIONS) == {"leaky"}
