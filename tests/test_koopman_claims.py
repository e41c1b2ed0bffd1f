"""Statements on Koopman operators: every claim is tried, and tables are met by what the simulators measure."""

import numpy as np
import pytest

from lemmata.claims import Claim
from lemmata.experiments.koopman import EXPERIMENTS
from lemmata.problems.koopman import (
    GOLDEN,
    Fourier,
    Legendre,
    ResidualVacuousError,
    contraction,
    doubling,
    gauss_iterated,
    rotation,
    rule,
)
from lemmata.sims import koopman as sims
from lemmata.theory import koopman as theory
from lemmata.verification import Setup, run


def test_every_claim_is_tried():
    claims = {value.id for value in vars(theory).values() if isinstance(value, Claim)}
    assert claims == {experiment.claim.id for experiment in EXPERIMENTS}
    assert len({(e.claim.id, e.instance) for e in EXPERIMENTS}) == len(EXPERIMENTS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_claims_hold_for_other_seeds(seed):
    for experiment in EXPERIMENTS:
        row = run(experiment, Setup(seed=seed))
        assert row.status in ("holds", "demonstrated"), (experiment.claim.id, row.reason)
        assert row.sabotage == "violated", (experiment.claim.id, row.saboteurs)


def matrix(system, dictionary, points):
    x, y = dictionary(points.x), dictionary(sims.images(system, points.x))
    return x.conj().T @ (points.w[:, None] * y)


def test_table_of_quadrature_errors():
    """The Gaussian iterated map and 40 Legendre polynomials: the trapezium rule and Gauss's."""
    dictionary = Legendre(40, -1.0, 0.0)
    exact = matrix(gauss_iterated(), dictionary, rule("legendre", 120, -1.0, 0.0))

    def error(name, M):
        return np.abs(matrix(gauss_iterated(), dictionary, rule(name, M, -1.0, 0.0)) - exact).max()

    trapezium = [error("trapezium", M) for M in (200, 400, 800, 1600, 3200, 6400)]
    np.testing.assert_allclose(trapezium, [2.0e-1, 8.7e-2, 2.5e-2, 6.5e-3, 1.65e-3, 4.1e-4], rtol=0.03)
    gauss = [error("legendre", M) for M in (40, 50, 60)]
    np.testing.assert_allclose(gauss, [2.8e-1, 2.4e-4, 1.2e-10], rtol=0.05)
    assert error("legendre", 80) < 1e-12


def test_table_of_orbit_sums():
    """The rotation by the golden mean, frequencies up to 10: largest |G_jk| and the constant of the bound."""
    k = np.arange(1, 21)
    assert theory.rotation_gram(k, GOLDEN, 1).max() == pytest.approx(9.26, abs=0.01)
    x = sims.orbit(rotation(), [0.0], 10**5 - 1)
    for M, known in ((10**2, 9.1e-2), (10**3, 9.1e-3), (10**4, 9.0e-4), (10**5, 5.1e-5)):
        psi = Fourier(10)(x[:M])
        off = psi.conj().T @ psi / M - np.eye(21)
        assert np.abs(off).max() == pytest.approx(known, rel=0.02)


def test_the_constant_of_sampling():
    """N^2 - ||A||^2 = 441 - 11 for 21 Fourier functions of the doubling map."""
    A = matrix(doubling(), Fourier(10), rule("periodic", 64))
    assert len(A) ** 2 - np.linalg.norm(A) ** 2 == pytest.approx(430)
    assert np.sqrt(430) == pytest.approx(20.74, abs=0.005)


def test_too_few_snapshots_fit_everything():
    random = np.random.default_rng(0)
    x = random.random((20, 1))
    with pytest.raises(ResidualVacuousError):
        sims.section(Fourier(10)(x), Fourier(10)(sims.images(doubling(), x)))


def test_polynomials_see_a_contraction_and_not_its_spectrum():
    points = rule("legendre", 40)
    x, y = (Legendre(20, 0.0, 1.0)(p) for p in (points.x, sims.images(contraction(), points.x)))
    made = sims.section(x, y, points.w)
    tau = sims.pseudospectrum(made, np.array([0.7, 1.2]))
    np.testing.assert_allclose(tau, [5.6e-4, 0.036], rtol=0.02)
    assert sims.edmd(made).residuals.max() < 1e-12


def test_favards_bound_is_twice_what_smooth_densities_need():
    """N W_1/||g||^2 of Poisson's kernel rises to pi/2."""
    moments = theory.poisson_moments(0.4, 100)
    ratios = []
    for N in (10, 20, 40):
        made = sims.section_from_gram(*sims.delay_gram(moments, N))
        with pytest.warns(UserWarning, match="polar factor"):
            eigen = sims.mpedmd(made)
        atoms = sims.spectral_measure(eigen, sims.coordinates(made, np.eye(N)[0]))
        ratios.append(N * sims.circle_distance(*atoms, lambda t: theory.distribution(t, moments)))
    assert (np.diff(ratios) > 0).all()
    assert ratios[-1] == pytest.approx(np.pi / 2, abs=0.02)
