"""Enumeration against loops over configurations, and closed forms against differences."""

import itertools

import numpy as np
import pytest

from lemmata.errors import DomainError
from lemmata.problems.monotone_dbm import MonotoneModel, PairwiseModel, block_slices, low_rank_model, random_model
from lemmata.sims.monotone_dbm import solve
from lemmata.theory import monotone_dbm as theory

MODEL = random_model(nodes=(4, 4), states=(2, 4), seed=11)


def _configurations(model):
    for chosen in itertools.product(*(range(k) for k in model.states)):
        yield chosen, np.concatenate([np.eye(k)[c] for k, c in zip(model.states, chosen, strict=True)])


def test_scores_are_those_of_each_configuration():
    total = theory.scores(MODEL)
    Z, mean = 0.0, np.zeros(MODEL.n)
    for chosen, x in _configurations(MODEL):
        value = x @ MODEL.phi @ x / 2 + MODEL.bias @ x
        assert total[chosen] == pytest.approx(value, rel=1e-13)
        Z += np.exp(value)
        mean += np.exp(value) * x
    assert theory.log_partition(MODEL) == pytest.approx(np.log(Z), rel=1e-13)
    np.testing.assert_allclose(theory.marginals(MODEL), mean / Z, rtol=1e-12)


def test_marginals_are_the_gradient_of_log_z():
    h = 1e-5
    moved = [[PairwiseModel(MODEL.states, MODEL.phi, MODEL.bias + s * h * e) for s in (1, -1)] for e in np.eye(MODEL.n)]
    slope = [(theory.log_partition(up) - theory.log_partition(down)) / (2 * h) for up, down in moved]
    np.testing.assert_allclose(slope, theory.marginals(MODEL), rtol=0, atol=1e-9)


def test_the_free_energy_is_a_divergence():
    q = solve(MODEL).q[0]
    p = np.exp(theory.scores(MODEL) - theory.log_partition(MODEL))
    divergence = 0.0
    for chosen, _ in _configurations(MODEL):
        own = block_slices(MODEL.states)
        product = np.prod([q[own[i]][c] for i, c in enumerate(chosen)])
        divergence += product * np.log(product / p[chosen])
    assert theory.free_energy(MODEL, q) + theory.log_partition(MODEL) == pytest.approx(divergence, rel=1e-9)
    assert divergence > 1e-4


def test_the_free_energy_of_a_single_configuration_is_its_score():
    """Where probabilities vanish 0 log 0 is 0."""
    total = theory.scores(MODEL)
    chosen, x = next(itertools.islice(_configurations(MODEL), 7, None))
    assert theory.free_energy(MODEL, x) == pytest.approx(-total[chosen], rel=1e-13)


def test_the_mean_field_is_exact_without_interactions():
    free = MonotoneModel(MODEL.states, np.zeros((1, MODEL.n)), MODEL.bias)
    q = solve(free, tol=1e-13).q[0]
    assert -theory.free_energy(free, q) == pytest.approx(theory.log_partition(free), rel=1e-14)
    np.testing.assert_allclose(theory.marginals(free), q, rtol=0, atol=1e-13)
    assert theory.gap_coefficient(free) == 0


def test_the_gap_coefficient_is_a_sum_over_pairs():
    own = block_slices(MODEL.states)
    q = [np.exp(MODEL.bias[o]) / np.exp(MODEL.bias[o]).sum() for o in own]
    J = [np.diag(p) - np.outer(p, p) for p in q]
    pairs = itertools.combinations(range(4), 2)
    total = sum(np.trace(J[i] @ MODEL.phi[own[i], own[j]] @ J[j] @ MODEL.phi[own[j], own[i]]) for i, j in pairs)
    assert theory.gap_coefficient(MODEL) == pytest.approx(total / 2, rel=1e-12)


def test_the_response_is_a_covariance():
    h = 1e-5
    q = solve(MODEL, tol=1e-13).q[0]
    R = theory.response(MODEL, q)
    up, down = (solve(MODEL, bias=MODEL.bias + s * h * np.eye(MODEL.n), tol=1e-13).q for s in (1, -1))
    np.testing.assert_allclose(R, (up - down).T / (2 * h), rtol=0, atol=1e-8)
    np.testing.assert_allclose(R, R.T, rtol=0, atol=1e-15)
    assert np.linalg.eigvalsh(R)[0] > -1e-15


def test_the_magnetisation():
    assert theory.ising_magnetisation(1.1) == pytest.approx(0.502940574944642, abs=1e-14)
    assert theory.ising_magnetisation(1.5) == pytest.approx(0.85855963664011, abs=1e-13)
    for c in (0.3, 1.0):
        assert theory.ising_magnetisation(c) == 0
    for c in (1 + 1e-9, 1.0001, 40.0):
        m = theory.ising_magnetisation(c)
        assert 0 < m <= 1
        assert np.tanh(c * m) == pytest.approx(m, rel=1e-12)
    assert theory.ising_magnetisation(1 + 1e-6) == pytest.approx(np.sqrt(3e-6), rel=1e-5)


def test_too_many_configurations():
    with pytest.raises(DomainError, match=r"1.68e\+07 configurations are too many to enumerate; at most 1e\+07"):
        theory.scores(low_rank_model(24, rank=1, seed=0))
