"""Closed forms of the Koopman family against brute force, and what the claims refuse."""

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad

from lemmata.claims import Claim
from lemmata.errors import AssumptionError, DomainError, NonFiniteError
from lemmata.experiments.koopman.shared import Case, Observable
from lemmata.problems.koopman import (
    GOLDEN,
    Fourier,
    Legendre,
    contraction,
    doubling,
    gauss_iterated,
    rotation,
    rule,
    tent,
)
from lemmata.theory import koopman as theory

Z = np.array([0.0, 0.5j, 0.99, -1.2, 0.3 - 0.8j, 2.0])
COEFFICIENTS = np.array([1, 0.5, 0.25j])

# ----------------------------------------------------------------------------------------- pseudospectra


@pytest.mark.parametrize("order", [1, 2, 7, 8, 20])
def test_tau_of_a_shift_is_a_singular_value(order):
    k = np.arange(-order, order + 1)
    images = np.zeros((4 * order + 1, k.size))  # of e_k, in the frequencies -2K..2K
    images[2 * k + 2 * order, np.arange(k.size)] = 1
    inclusion = np.zeros_like(images)
    inclusion[k + 2 * order, np.arange(k.size)] = 1
    known = [np.linalg.svd(images - z * inclusion, compute_uv=False)[-1] for z in Z]
    np.testing.assert_allclose(theory.tau_shift(Z, theory.chain_length(order)), known, atol=1e-13, rtol=0)


def test_tau_of_a_shift_falls_like_the_square_of_a_logarithm():
    orders = np.array([8, 16, 64, 256])
    found = [float(theory.tau_shift(0.5j, theory.chain_length(int(K)))) for K in orders]
    np.testing.assert_allclose(found, [0.664066, 0.619657, 0.571070, 0.546757], atol=6e-7, rtol=0)
    chains = np.array([10, 100, 1000])
    gap = np.array([theory.tau_shift(0.5j, int(p)) - 0.5 for p in chains])
    np.testing.assert_allclose(gap[:-1] / gap[1:], 100, rtol=0.25)
    # and on the circle itself like the logarithm
    on = np.array([theory.tau_shift(1j, int(p)) for p in chains])
    np.testing.assert_allclose(on[:-1] / on[1:], 10, rtol=0.1)


@pytest.mark.parametrize("degree", [1, 2, 6, 9])
def test_tau_of_a_contraction_in_long_and_in_short_arithmetic(degree):
    points, dictionary = rule("legendre", 2 * degree + 2), Legendre(degree, 0.0, 1.0)
    root = np.sqrt(points.w)[:, None]
    x, y = root * dictionary(points.x), root * dictionary(0.5 * points.x)
    for z in (0.7, 0.2 + 1.1j, 1.6):
        short = np.linalg.svd(y - z * x, compute_uv=False)[-1]
        assert theory.tau_contraction(z, degree) == pytest.approx(short, rel=1e-9)


def test_tau_of_a_contraction_within_and_beyond_the_disc():
    found = [theory.tau_contraction(0.7, n) for n in (5, 10, 20)]
    np.testing.assert_allclose(found, [9.5e-3, 2.3e-3, 5.6e-4], rtol=0.01)
    # beyond, |z| - ||K|| bounds it from below
    assert 1.6 - np.sqrt(2) < theory.tau_contraction(1.6, 20) < theory.tau_contraction(1.6, 10)
    # x^k is an eigenfunction
    assert theory.tau_contraction(0.25, 3) == 0 < theory.tau_contraction(0.25, 2)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: theory.tau_contraction(0.5, 3, a=1.5), DomainError, "0 < a < 1"),
        (lambda: theory.tau_contraction(0.7, 25, digits=30), DomainError, "of size 25 needs 55 digits, got 30"),
        (lambda: theory.tau_contraction(np.nan, 3), NonFiniteError, "z must be finite"),
        (lambda: theory.tau_shift(0.3, 0), DomainError, "p >= 1 functions, got 0"),
        (lambda: theory.rotation_gram(np.array([1, 0]), 0.3, 5), DomainError, "difference 0"),
        (lambda: theory.gauss_error(np.exp, 4, np.array([np.nan])), DomainError, "radii > 1"),
        (lambda: theory.gauss_error(np.exp, 4, np.array([])), DomainError, "radii > 1"),
        (lambda: theory.smoothed_density(np.zeros(1), np.ones(3), 0.1, 7), DomainError, r"1\.\.6, not 7"),
    ],
)
def test_what_closed_forms_refuse(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_tau_of_a_rotation():
    values = np.exp(2j * np.pi * GOLDEN * np.arange(-3, 4))
    np.testing.assert_allclose(theory.tau_rotation(Z, GOLDEN, 3), np.abs(Z[:, None] - values).min(axis=1))


# ------------------------------------------------------------------------------------------- quadrature


def test_orbit_sums_of_a_rotation_stay_below_their_bound_and_reach_it():
    ratios = []
    for d in range(1, 21):
        for M in (5, 34, 100):
            mean = abs(np.exp(2j * np.pi * d * GOLDEN * np.arange(M)).mean())
            ratios.append(mean / theory.rotation_gram(d, GOLDEN, M))
    assert max(ratios) <= 1 + 1e-9
    assert max(ratios) > 0.99


def test_the_gauss_bound_holds_and_is_not_far_off():
    radii = np.geomspace(1.05, 8, 60)
    for M in (4, 8, 12):
        x, w = np.polynomial.legendre.leggauss(M)
        error = abs(w @ (1 / (x + 1.5)) / 2 - np.log(5) / 2)
        poles = radii[(radii + 1 / radii) / 2 < 1.49]
        bound = theory.gauss_error(lambda z: 1 / (z + 1.5), M, poles)
        assert error <= bound < 300 * error
    with pytest.raises(DomainError, match="radii > 1"):
        theory.gauss_error(np.exp, 4, np.array([0.9]))


# -------------------------------------------------------------------------------------- spectral measures


def test_moments_density_and_distribution_of_a_chain():
    moments = theory.shift_moments(COEFFICIENTS)
    np.testing.assert_allclose(moments, [1.3125, 0.5 - 0.125j, -0.25j])
    for n in range(4):
        for part in (np.real, np.imag):
            wave = lambda t, n=n, part=part: part(np.exp(1j * n * t)) * theory.density(t, moments)  # noqa: E731
            value, _ = quad(wave, -np.pi, np.pi)
            known = part(moments[n]) if n < 3 else 0
            assert value == pytest.approx(known, abs=1e-10)
    # the density is the square of the symbol, at the angle and not at its mirror image
    theta = np.linspace(-3, 3, 7)
    symbol = np.exp(1j * theta[:, None] * np.arange(3)) @ COEFFICIENTS
    np.testing.assert_allclose(theory.density(theta, moments), np.abs(symbol) ** 2 / (2 * np.pi), atol=1e-14, rtol=0)
    for t in (-np.pi, -1.0, 2.0, np.pi):
        value, _ = quad(theory.density, -np.pi, t, args=(moments,))
        assert theory.distribution(np.array(t), moments) == pytest.approx(value, abs=1e-10)


def test_poisson_moments_have_poissons_density():
    r, theta = 0.6 * np.exp(0.7j), np.linspace(-3, 3, 13)
    poisson = (1 - abs(r) ** 2) / (2 * np.pi * np.abs(1 - r * np.exp(-1j * theta)) ** 2)
    np.testing.assert_allclose(theory.density(theta, theory.poisson_moments(r, 120)), poisson, rtol=1e-12)
    q = r * np.exp(-0.3)
    smooth = (1 - abs(q) ** 2) / (2 * np.pi * np.abs(1 - q * np.exp(-1j * theta)) ** 2)
    found = theory.smoothed_density(theta, theory.poisson_moments(r, 120), 0.3, 1)
    np.testing.assert_allclose(found, smooth, rtol=1e-12)
    with pytest.raises(DomainError, match="< 1"):
        theory.poisson_moments(1.0, 3)


@pytest.mark.parametrize("order", theory.RESIDUES)
def test_printed_residues_satisfy_their_conditions(order):
    poles = 2 * np.arange(1, order + 1) / (order + 1) - 1 + 1j
    conditions = np.array(theory.RESIDUES[order]) @ poles[:, None] ** np.arange(order)
    np.testing.assert_allclose(conditions, np.eye(order)[0], atol=1e-12, rtol=0)


def test_residuals_of_wave_packets_are_below_epsilon():
    epsilon = np.array([1e-3, 0.1, 1.0, 3.0])
    found = theory.wave_packet_residual(epsilon=epsilon)
    q = np.exp(-epsilon)
    np.testing.assert_allclose(found, np.sqrt(2) * (1 - q) / np.sqrt(1 + q**2), rtol=1e-6)
    assert (found <= epsilon).all()


def test_wirsings_constant_in_long_arithmetic():
    from lemmata.sims.koopman import gauss_map_eigenvalues

    values = gauss_map_eigenvalues(20, digits=40)
    assert abs(values[0] - 1) < mpmath.mpf(10) ** -14
    assert float(values[1].real) == pytest.approx(theory.WIRSING, abs=1e-14)
    with pytest.raises(DomainError, match="degree must be >= 2"):
        gauss_map_eigenvalues(1)


@pytest.mark.slow
def test_the_false_eigenvalue_of_the_gauss_map_at_high_degrees():
    from lemmata.sims.koopman import gauss_map_eigenvalues

    false = []
    for degree, digits in ((32, 40), (44, 60)):
        values = [complex(v) for v in gauss_map_eigenvalues(degree, digits=digits)]
        assert values[1].real == pytest.approx(theory.WIRSING, abs=1e-15)
        near = [v.real for v in values if abs(v.imag) < 1e-8 and -0.03 < v.real < -0.015]
        false.append(min(near))
    np.testing.assert_allclose(false, [-0.0253, -0.0204], atol=1e-4, rtol=0)


# -------------------------------------------------------------------------------------------- assumptions


def case(system):
    return Case(system, Fourier(2), rule("periodic", 16), 2)


@pytest.mark.parametrize(
    ("claim", "problem", "words"),
    [
        (theory.residual_isometry, case(contraction()), "contraction does not preserve the measure"),
        (theory.residual_normal, case(doubling()), "doubling map is not known to be invertible"),
        (theory.certified_inclusion, case(contraction()), "contraction is not known to be"),
        (theory.shift_pseudospectrum, case(rotation()), "the system is the rotation"),
        (theory.rotation_pseudospectrum, case(doubling()), "the system is the doubling map"),
        (theory.contraction_disc, case(doubling()), "the system is the doubling map"),
        (theory.ergodic_rotation, case(tent()), "the system is the tent map"),
        (theory.trapezium_quadrature, case(tent()), "tent map is not smooth"),
        (theory.gauss_quadrature, case(doubling()), "doubling map is not smooth"),
        (theory.favard_bound, Observable(gauss_iterated(), "", np.ones(1)), "does not preserve"),
        (theory.rational_order, Observable(contraction(), "", np.ones(1)), "does not preserve"),
    ],
)
def test_claims_refuse_what_they_do_not_speak_of(claim, problem, words):
    with pytest.raises(AssumptionError, match=words):
        claim.check(problem)


def test_every_claim_can_be_printed():
    claims = [value for value in vars(theory).values() if isinstance(value, Claim)]
    assert len(claims) >= 35
    for claim in claims:
        assert claim.family == "koopman"
        assert claim.statement
        assert claim.formula()
        assert claim.latex()
