"""Spectral measures: each function against its definition, another form of it, or a system that is solved."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from lemmata.errors import AssumptionError, DomainError, NonFiniteError, ShapeError
from lemmata.problems.koopman import (
    GOLDEN,
    Fourier,
    Hermite,
    ResolutionWarning,
    cat,
    doubling,
    ornstein_uhlenbeck,
    rotation,
    rule,
    tensor_rule,
)
from lemmata.sims import koopman as sims
from lemmata.theory import koopman as theory

THETA = np.linspace(-3.1, 3.1, 17)
COEFFICIENTS = np.array([1, 0.5, 0.25j])


def unitary(size, seed=0):
    random = np.random.default_rng(seed)
    matrix = random.standard_normal((2, size, size))
    return np.linalg.qr(matrix[0] + 1j * matrix[1])[0]


def measure(size=12, seed=0):
    """A unitary matrix, a vector, its atoms, and its first moments from powers of the matrix."""
    U = unitary(size, seed)
    g = unitary(size, seed + 1)[0] * 2
    values, vectors = np.linalg.eig(U)
    return U, g, np.angle(values), np.abs(np.linalg.solve(vectors, g)) ** 2 * (np.abs(vectors) ** 2).sum(axis=0)


# ------------------------------------------------------------------------------------------ rational kernels


@pytest.mark.parametrize("order", range(1, 11))
def test_moment_conditions_of_the_kernel(order):
    poles, residues = sims.rational_kernel(order)
    assert (poles.imag > 0).all()
    powers = poles[:, None] ** np.arange(order)
    error = np.abs(residues @ powers - np.eye(order)[0]).max()
    assert error < 1e-15 * np.abs(residues).sum() * order


@pytest.mark.parametrize("order", [0, 11])
def test_orders_that_are_refused(order):
    with pytest.raises(DomainError, match=r"1\.\.10, got 11|order must be >= 1, got 0"):
        sims.rational_kernel(order)


@pytest.mark.filterwarnings("ignore::lemmata.problems.koopman.ResolutionWarning")
@pytest.mark.parametrize("order", [1, 3, 6])
def test_three_forms_of_the_smoothed_measure_agree(order):
    U, g, angles, weights = measure()
    by_atoms = sims.atom_density(THETA, 0.3, angles, weights, order=order)
    moments = [np.vdot(g, np.linalg.matrix_power(U, n) @ g) for n in range(160)]
    by_moments = sims.moment_density(THETA, 0.3, np.array(moments), order=order)
    by_resolvents = sims.resolvent_density(THETA, 0.3, U, g, order=order, chunk=5)
    assert np.abs(by_moments - by_atoms).max() < 1e-10
    assert np.abs(by_resolvents - by_atoms).max() < 1e-10


@pytest.mark.filterwarnings("ignore::lemmata.problems.koopman.ResolutionWarning")
def test_the_first_order_is_poissons_integral_and_positive():
    _, _, angles, weights = measure()
    q = np.exp(-0.3)
    poisson = (1 - q**2) / (2 * np.pi * np.abs(1 - q * np.exp(1j * (angles - THETA[:, None]))) ** 2) @ weights
    density = sims.atom_density(THETA, 0.3, angles, weights)
    np.testing.assert_allclose(density, poisson, rtol=1e-12)
    assert (density > 0).all()
    assert (sims.atom_density(THETA, 0.3, angles, weights, order=4) < 0).any()


def published_isometry_form(theta, epsilon, A, g, order):
    """The kernel with poles ``1 + i(2j/(m + 1) - 1)`` in ``e^{i theta}(1 + eps delta)``, of exterior resolvents."""
    delta = 1 + 1j * (2 * np.arange(1, order + 1) / (order + 1) - 1)
    sigma = -delta.conj() / (1 + epsilon * delta.conj())
    unit = np.eye(order)[0]
    c, d = (np.linalg.solve(np.vander(pole, increasing=True).T, unit) for pole in (sigma, delta))
    total = np.zeros(theta.size)
    for j in range(order):
        lam = np.exp(1j * theta) * (1 + epsilon * delta[j])
        for i, value in enumerate(lam):
            resolved = np.linalg.solve(A - value * np.eye(len(A)), g)
            total[i] -= (c[j] * value.conj() * np.vdot(resolved, g) + d[j] * np.vdot(A.conj().T @ g, resolved)).real
    return total / (2 * np.pi)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_ours_and_the_published_kernel_have_one_limit(order):
    A, g = np.eye(40, k=-1), np.zeros(40, dtype=complex)
    g[:3] = COEFFICIENTS
    known = theory.density(THETA, theory.shift_moments(COEFFICIENTS))
    for form in (published_isometry_form, sims.resolvent_density):
        arguments = {"order": order}
        errors = [np.abs(form(THETA, e, A, g, **arguments) - known).max() for e in (0.02, 0.01)]
        assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


def test_narrow_smoothing_is_warned_of():
    with pytest.warns(ResolutionWarning, match="2 pi/40"):
        sims.atom_density(THETA, 0.4, np.linspace(-3, 3, 40), np.ones(40))


def test_a_density_does_not_know_its_chunks():
    rng = np.random.default_rng(2)
    A, g = np.linalg.qr(rng.standard_normal((7, 7)))[0], rng.standard_normal(7)
    whole, parts = (sims.resolvent_density(THETA, 0.2, A, g, order=3, chunk=n) for n in (10**6, 5))
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: sims.moment_density(THETA, -0.1, np.ones(3)),
            DomainError,
            r"epsilon must lie in 1e-12\.\.100, got -0\.1",
        ),
        (lambda: sims.moment_density(THETA, 0.1, np.ones((3, 3))), ShapeError, "vector"),
        (lambda: sims.moment_density(THETA, 0.1, np.array([1, np.nan])), NonFiniteError, "moments"),
        (lambda: sims.moment_density(np.array([np.inf]), 0.1, np.ones(3)), NonFiniteError, "theta"),
        (lambda: sims.atom_density(THETA, 1.0, np.zeros(3), -np.ones(3)), DomainError, "least is -1"),
        (lambda: sims.atom_density(THETA, 1.0, np.zeros(3), np.ones(4)), ShapeError, "as many angles"),
        (lambda: sims.resolvent_density(THETA, 0.1, np.eye(3), np.ones(4)), ShapeError, "square A"),
        (lambda: sims.filtered_density(THETA, np.ones(3), "hat"), DomainError, "fejer, cosine, vandeven, bump"),
        (lambda: sims.resolvent_density(THETA, 0.1, np.eye(3), np.ones(3), chunk=0), DomainError, "chunk must be >= 1"),
        (lambda: sims.autocorrelation(np.ones(4), 5), DomainError, r"1\.\.4 moments, not 5"),
        (lambda: sims.autocorrelation(np.ones((4, 2)), 2), ShapeError, "one axis"),
        (lambda: sims.delay_gram(np.ones(4), 4), DomainError, "4 moments for N = 4"),
        (lambda: sims.circle_distance(np.zeros(1), np.ones(1), (np.zeros(1), 2 * np.ones(1))), DomainError, "masses"),
        (lambda: sims.circle_distance(np.zeros(0), np.ones(0), (np.zeros(1), np.ones(1))), ShapeError, "atomic"),
        (lambda: sims.circle_distance(np.zeros(1), np.ones(1), lambda t: np.nan * t), NonFiniteError, "distribution"),
        (
            lambda: sims.circle_distance(np.zeros(1), np.ones(1), lambda t: t[:1]),
            ShapeError,
            "distribution function at",
        ),
        (lambda: sims.circle_distance(np.zeros(1), np.ones(1), np.sign, cells=0), DomainError, "cells must be >= 1"),
        (
            lambda: sims.circle_distance(np.zeros(1), np.ones(1), np.sign, cells=np.nan),
            TypeError,
            "cells must be an int",
        ),
        (lambda: sims.autocorrelation(np.ones(4), 2.5), TypeError, "count must be an int, got float"),
        (lambda: sims.delay_gram(np.ones(4), 2.5), TypeError, "size must be an int, got float"),
        (
            lambda: sims.resolvent_density(THETA, 0.1, np.eye(3) / 2, np.ones(3), chunk=2.5),
            TypeError,
            "chunk must be an",
        ),
        (
            lambda: sims.atom_density(THETA, 1.0, np.zeros(3) + 0j, np.ones(3)),
            TypeError,
            "angles must hold real numbers",
        ),
    ],
)
def test_what_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


# ------------------------------------------------------------------------------------------- Wasserstein


def transport(a, v, b, w):
    """W_1 by linear programming with the arc length as its cost."""
    arc = np.abs(a[:, None] - b)
    cost = np.minimum(arc, 2 * np.pi - arc)
    n, m = cost.shape
    rows = np.concatenate((np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))))
    return linprog(cost.ravel(), A_eq=rows, b_eq=np.concatenate((v, w)), method="highs").fun


@pytest.mark.parametrize("seed", range(6))
def test_the_circle_distance_is_optimal_transport(seed):
    random = np.random.default_rng(seed)
    a, b = random.uniform(-np.pi, np.pi, 7), random.uniform(-np.pi, np.pi, 5)
    v, w = random.dirichlet(np.ones(7)), random.dirichlet(np.ones(5))
    assert sims.circle_distance(a, v, (b, w)) == pytest.approx(transport(a, v, b, w), abs=1e-9)


@given(st.floats(-20, 20), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_circle_distance_does_not_see_where_the_circle_is_cut(turn, seed):
    random = np.random.default_rng(seed)
    a, b, v, w = random.uniform(-3, 3, 4), random.uniform(-3, 3, 6), random.random(4), random.random(6)
    v, w = v / v.sum(), w / w.sum()
    there = sims.circle_distance(a, v, (b, w))
    assert sims.circle_distance(a + turn, v, (b + turn, w)) == pytest.approx(there, abs=1e-9)
    assert sims.circle_distance(b, w, (a, v)) == pytest.approx(there, abs=1e-9)


def test_equispaced_atoms_and_the_uniform_measure():
    for N in (1, 4, 9):
        angles = 0.3 + 2 * np.pi * np.arange(N) / N
        distance = sims.circle_distance(angles, np.full(N, 1 / N), lambda t: (t + np.pi) / (2 * np.pi))
        assert distance == pytest.approx(np.pi / (2 * N), rel=1e-7)  # the median is that of a cell
    assert sims.circle_distance([3.0], [1.0], ([-3.0], [1.0])) == pytest.approx(2 * np.pi - 6)


# --------------------------------------------------------------------------------------- atoms, moments


def test_a_rotation_has_atoms_at_its_eigenvalues():
    dictionary, points = Fourier(4), rule("periodic", 32)
    made = sims.section(dictionary(points.x), dictionary(sims.images(rotation(), points.x)), points.w)
    c = np.arange(1.0, 10) * np.exp(1j * np.arange(9))
    angles, weights = sims.spectral_measure(sims.mpedmd(made), sims.coordinates(made, c))
    known = np.angle(np.exp(2j * np.pi * GOLDEN * np.arange(-4, 5)))
    order = np.argsort(known)
    np.testing.assert_allclose(angles, known[order], atol=1e-12, rtol=0)
    np.testing.assert_allclose(weights, np.abs(c[order]) ** 2, rtol=1e-10)


def test_what_a_dictionary_misses_of_an_observable_is_reported():
    points, dictionary = rule("periodic", 32), Fourier(4)
    psi = dictionary(points.x)
    made = sims.section(psi, dictionary(sims.images(rotation(), points.x)), points.w)
    k = np.arange(-4, 5)
    g = psi @ (1j**k) + 0.3 * np.exp(2j * np.pi * 7 * points.x[:, 0])
    v, missing = sims.project(made, psi, g, points.w)
    np.testing.assert_allclose(v, sims.coordinates(made, 1j**k), atol=1e-13, rtol=0)
    assert missing == pytest.approx(0.3, rel=1e-12)
    assert sims.project(made, psi, psi[:, 2])[1] < 1e-13
    with pytest.raises(ShapeError, match="at the same snapshots"):
        sims.project(sims.section(np.eye(9, 2), np.eye(9, 2)), np.zeros((0, 2)), np.zeros(0))
    with pytest.raises(ShapeError, match="9 functions"):
        sims.project(made, psi, g[1:])


def test_atoms_need_the_circle():
    made = sims.section(np.random.default_rng(0).random((30, 4)), np.random.default_rng(1).random((30, 4)))
    with pytest.raises(DomainError, match="use mpedmd"):
        sims.spectral_measure(sims.edmd(made), np.ones(4))
    with pytest.raises(ShapeError, match="4 values"):
        sims.spectral_measure(sims.mpedmd(made), np.ones(5))
    with pytest.raises(ShapeError, match="4 functions"):
        sims.coordinates(made, np.ones(5))


def chain(x):
    return np.exp(2j * np.pi * x @ np.array([[1, 2, 5], [0, 1, 3]])) @ COEFFICIENTS


def delayed(size):
    """g, Kg, ..., K^size g of the cat map on a grid that is exact for them."""
    grid = tensor_rule(rule("periodic", 64), rule("periodic", 64))
    x, columns = grid.x, []
    for _ in range(size + 1):
        columns.append(chain(x))
        x = sims.images(cat(), x)
    return np.stack(columns, axis=1), grid.w


def test_delays_of_the_cat_map_have_toeplitz_matrices():
    columns, w = delayed(8)
    x, y = columns[:, :-1], columns[:, 1:]
    moments = np.zeros(9, dtype=complex)
    moments[:3] = theory.shift_moments(COEFFICIENTS)
    for left, right, known in zip((x, x, y), (x, y, y), sims.delay_gram(moments, 8), strict=True):
        np.testing.assert_allclose(left.conj().T @ (w[:, None] * right), known, atol=1e-13, rtol=0)


def test_mpedmd_on_snapshots_of_the_cat_map_reproduces_moments():
    columns, w = delayed(8)
    made = sims.section(columns[:, :-1], columns[:, 1:], w)
    angles, weights = sims.spectral_measure(sims.mpedmd(made), sims.coordinates(made, np.eye(8)[0]))
    found = np.exp(1j * np.outer(np.arange(8), angles)) @ weights
    known = np.zeros(8, dtype=complex)
    known[:3] = theory.shift_moments(COEFFICIENTS)
    np.testing.assert_allclose(found, known, atol=1e-12, rtol=0)


def test_autocorrelation_is_the_sum_that_it_stands_for():
    signal = unitary(40)[0]
    found = sims.autocorrelation(signal, 7)
    for n in range(7):
        assert found[n] == pytest.approx((signal[n:] @ signal[: 40 - n].conj()) / (40 - n), abs=1e-14)


def test_moments_of_an_orbit_of_the_cat_map():
    x = sims.orbit(cat(), [0.1234, 0.5678], 2**16)
    found = sims.autocorrelation(chain(x), 6)
    known = np.zeros(6, dtype=complex)
    known[:3] = theory.shift_moments(COEFFICIENTS)
    # the products are trigonometric polynomials of variance below 4, uncorrelated in time but for three steps
    assert np.abs(found - known).max() < 5 * np.sqrt(4 * 7 / 2**16)


# --------------------------------------------------------------------------------------------- filters


@pytest.mark.parametrize(("name", "order"), [("fejer", 1), ("cosine", 2), ("vandeven", 4), ("bump", 12)])
def test_filters_are_flat_at_zero_and_vanish_at_one(name, order):
    phi = sims.FILTERS[name]
    x = np.array([1e-3, 1e-2])
    assert phi(np.array([0.0]))[0] == 1
    assert phi(np.array([1.0]))[0] == pytest.approx(0, abs=1e-15)
    assert (1 - phi(x) <= 36 * x**order + 1e-16).all()
    assert (np.diff(phi(np.linspace(0, 1, 101))) <= 1e-15).all()


def test_filtered_densities_keep_the_mass_and_fejers_is_positive():
    moments = 0.9 ** np.arange(20) * np.exp(1j * np.arange(20))
    theta = 2 * np.pi * np.arange(64) / 64
    for name in sims.FILTERS:
        assert sims.filtered_density(theta, moments, name).mean() * 2 * np.pi == pytest.approx(1, rel=1e-12)
    atom = np.exp(1j * np.arange(20))
    assert (sims.filtered_density(theta, atom, "fejer") >= -1e-14).all()
    assert theta[sims.filtered_density(theta, atom, "fejer").argmax()] == pytest.approx(1, abs=0.1)


def test_fejers_filter_of_an_atom_is_fejers_kernel():
    found = sims.filtered_density(THETA, np.exp(1j * np.arange(9)), "fejer")
    half = (THETA - 1) / 2
    np.testing.assert_allclose(found, (np.sin(9 * half) / np.sin(half)) ** 2 / (2 * np.pi * 9), atol=1e-13, rtol=0)


# ------------------------------------------------------------------------------------------ wave packets


@pytest.mark.parametrize("order", [1, 2, 5])
def test_wave_packets_are_the_published_sum_of_resolvents(order):
    U, g, _, _ = measure()
    values, vectors = np.linalg.eig(U)
    vectors = np.linalg.qr(vectors[:, np.argsort(np.angle(values))])[0]
    values = np.diag(vectors.conj().T @ U @ vectors)
    eigen = sims.Eigen(values / np.abs(values), vectors, np.zeros(12))
    poles, residues = sims.rational_kernel(order)
    theta, epsilon, identity = 0.7, 0.2, np.eye(12)
    total = np.zeros(12, dtype=complex)
    for a, alpha in zip(poles, residues, strict=True):
        z, mirrored = np.exp(1j * theta - 1j * epsilon * a), np.exp(1j * theta - 1j * epsilon * a.conj())
        total += alpha * (U + z * identity) @ np.linalg.solve(U - z * identity, g)
        total -= alpha.conj() * (U + mirrored * identity) @ np.linalg.solve(U - mirrored * identity, g)
    found = sims.wave_packet(theta, epsilon, eigen, g, order=order)
    np.testing.assert_allclose(found, -total / (4 * np.pi), atol=1e-10, rtol=0)
    with pytest.raises(ShapeError):
        sims.wave_packet(theta, epsilon, eigen, g[:5])


# -------------------------------------------------------------------------------------------- two images


def process(size, seed, time=0.5):
    random = np.random.default_rng(seed)
    x, first, second = random.standard_normal((3, size))
    psi = Hermite(4)
    return [psi(p[:, None]) for p in (x, ornstein_uhlenbeck(x, first, time), ornstein_uhlenbeck(x, second, time))]


def test_two_images_of_a_sampled_process():
    x, y, y2 = process(20000, 0)
    pairs = sims.two_images(x, y, y2)
    order = np.argsort(-pairs.values.real)
    k = np.arange(4)
    # standard errors are sqrt(E psi^4/M) or so: 0.007 for the functions of degree 1, 0.04 for degree 3
    np.testing.assert_allclose(pairs.values[order].real, np.exp(-0.5 * k), atol=0.1, rtol=0)
    np.testing.assert_allclose(pairs.variances[order], np.sqrt(1 - np.exp(-k)), atol=0.1, rtol=0)
    assert (pairs.residuals[order] < 0.2).all()
    one = sims.edmd(sims.section(x, y))
    assert np.sort(one.residuals)[1] > 0.7  # one image takes the noise for an error
    sizes = np.linalg.norm(x @ pairs.vectors, axis=0) / np.sqrt(len(x))
    np.testing.assert_allclose(sizes, 1, rtol=1e-10)


def test_two_images_are_the_definition():
    """Against the plain formulas on every snapshot, with weights, of complex functions, and few snapshots."""
    rng = np.random.default_rng(7)
    for size in (9, 11, 40):  # fewer than three times the functions, and more
        x, y, y2 = rng.standard_normal((3, size, 4)) + 1j * rng.standard_normal((3, size, 4))
        w = rng.random(size)
        pairs = sims.two_images(x, y, y2, w)
        G, A = x.conj().T @ (w[:, None] * x), x.conj().T @ (w[:, None] * (y + y2)) / 2
        off = np.linalg.norm(A @ pairs.vectors - G @ pairs.vectors * pairs.values)
        assert off < 1e-9 * np.linalg.norm(A @ pairs.vectors)
        e, e2 = (v @ pairs.vectors - x @ pairs.vectors * pairs.values for v in (y, y2))
        product, square = (e.conj() * e2).real.T @ w, (np.abs(e) ** 2 + np.abs(e2) ** 2).T @ w / 2
        np.testing.assert_allclose(pairs.residuals, np.sqrt(np.maximum(product, 0)), rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(pairs.variances, np.sqrt(square), rtol=1e-8)


def test_two_images_take_the_memory_that_they_say():
    rng = np.random.default_rng(8)
    x, y, y2 = rng.standard_normal((3, 20000, 10))
    tracemalloc.start()
    sims.two_images(x, y, y2)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 6.2 * x.nbytes


def test_without_noise_both_residuals_are_that_of_edmd():
    points = rule("periodic", 64)
    x, y = (Fourier(3)(p) for p in (points.x, sims.images(doubling(), points.x)))
    random = np.random.default_rng(0).standard_normal(y.shape) * 1e-9
    pairs = sims.two_images(x, y, y + random, points.w)
    np.testing.assert_allclose(np.sort(pairs.residuals), [0, *[1] * 6], atol=1e-4, rtol=0)
    np.testing.assert_allclose(np.sort(pairs.variances), [0, *[1] * 6], atol=1e-4, rtol=0)


def test_one_image_is_refused():
    x, y, _ = process(50, 0)
    for second in (None, y, y.copy()):
        with pytest.raises(AssumptionError, match="two independent images"):
            sims.two_images(x, y, second)
    with pytest.raises(ShapeError):
        sims.two_images(x, y, y[:, :2] + 1)
    with pytest.raises(DomainError, match="linearly dependent"):
        sims.two_images(x[:, [0, 0]], y[:, :2], y[:, 2:])
