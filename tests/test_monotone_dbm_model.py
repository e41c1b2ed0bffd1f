"""The parametrisation, the checks of a user's own interactions, and conditioning."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lemmata.errors import AssumptionError, DomainError, NonFiniteError, ShapeError
from lemmata.problems.monotone_dbm import (
    MonotoneModel,
    NonUniqueWarning,
    PairwiseModel,
    antiferromagnet,
    block_slices,
    centred,
    check_evidence,
    condition,
    ising_pair,
    low_rank_model,
    random_model,
)
from lemmata.theory.monotone_dbm import marginals, scores


@st.composite
def hostile(draw):
    """Parameters with zero columns, equal columns, no rows, and scales from 1e-8 to 1e8."""
    states = tuple(draw(st.lists(st.integers(2, 4), min_size=1, max_size=5)))
    n = sum(states)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    A = rng.standard_normal((draw(st.integers(0, 6)), n)) * 10.0 ** rng.uniform(-8, 8, n)
    A[:, rng.random(n) < draw(st.sampled_from([0, 0.3]))] = 0
    if draw(st.booleans()):
        A[:, rng.integers(n, size=n // 2)] = A[:, :1]
    return MonotoneModel(states, A, np.zeros(n), draw(st.floats(1e-6, 1 - 1e-6)))


@given(hostile())
def test_it_is_monotone_whatever_the_parameters(model):
    W = np.eye(model.n) - model.phi
    values = np.linalg.eigvalsh(W)
    assert values[0] >= model.m - 1e-13 * max(values[-1], 1)
    np.testing.assert_array_equal(model.phi, model.phi.T)
    for own in block_slices(model.states):
        assert not model.phi[own, own].any()
        assert np.linalg.norm(model.A_hat[:, own].T @ model.A_hat[:, own], 2) <= (1 - model.m) * (1 + 1e-12)
    assert model.lipschitz == pytest.approx(values[-1], rel=1e-12)
    assert model.lipschitz <= 1 + np.linalg.norm(model.A_hat.T @ model.A_hat, 2) + 1e-12
    assert model.step < model.step_limit


def test_it_is_the_product_of_its_parts():
    model = random_model(seed=5)
    D = np.zeros((model.n, model.n))
    at = 0
    for own, k in zip(block_slices(model.states), model.states, strict=True):
        D[own, own] = model.blocks[at : at + k * k].reshape(k, k)
        at += k * k
    np.testing.assert_allclose(model.phi, D - model.A_hat.T @ model.A_hat, rtol=0, atol=1e-14)


def test_a_small_parameter_is_left_as_it_is():
    A = np.random.default_rng(0).standard_normal((4, 7))
    for own in (slice(0, 2), slice(2, 7)):
        A[:, own] *= 0.94 / np.linalg.norm(A[:, own], 2)  # between 1 - m and its root
    np.testing.assert_array_equal(MonotoneModel((2, 5), A, np.zeros(7), 0.1).A_hat, A)


def test_the_antiferromagnet_is_what_it_says():
    model = antiferromagnet(40)
    assert model.lipschitz == pytest.approx(36.1, rel=1e-12)
    assert np.linalg.eigvalsh(np.eye(80) - model.phi)[0] == pytest.approx(0.1, rel=1e-12)
    np.testing.assert_allclose(model.phi[:2, 2:4], -0.45 * np.array([[1, -1], [-1, 1]]), rtol=0, atol=1e-15)
    assert model.step_limit == pytest.approx(0.05698005698, rel=1e-9)
    given = PairwiseModel(model.states, model.phi, model.bias)
    assert (given.modulus, given.lipschitz) == (pytest.approx(0.1), pytest.approx(36.1))
    assert given.step == pytest.approx(model.step)


def test_the_ising_pair_has_its_threshold_at_one():
    assert ising_pair(1.0).attraction == pytest.approx(2, rel=1e-14)
    assert np.linalg.eigvalsh(np.eye(4) - ising_pair(0.9).phi)[0] == pytest.approx(-0.8, rel=1e-12)
    assert ising_pair(0.9).convexity == pytest.approx(0.2, rel=1e-12)


def test_a_large_model_has_a_bound_on_its_eigenvalue(monkeypatch):
    from lemmata.problems.monotone_dbm import models

    exact = low_rank_model(100, rank=8, seed=1).lipschitz
    monkeypatch.setattr(models, "DENSE", 10)
    bound = low_rank_model(100, rank=8, seed=1).lipschitz
    assert exact <= bound <= exact + 1


def test_arrays_are_copies_that_nobody_writes_to():
    A = np.zeros((1, 4))
    model = MonotoneModel((2, 2), A, np.zeros(4))
    A[:] = 7
    assert not model.A.any()
    for array in (model.A, model.bias, model.A_hat, model.phi, model.blocks):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1


def test_the_spectrum_is_that_of_the_tangent_space():
    # a block constant along one side says the same as a bias: it changes nothing that matters
    model = random_model(seed=7)
    gauge = np.zeros((model.n, model.n))
    first, second = block_slices(model.states)[:2]
    gauge[first, second] = 5 * np.arange(first.stop)[:, None]
    plain = PairwiseModel(model.states, model.phi, model.bias, "none")
    gauged = PairwiseModel(model.states, model.phi + gauge + gauge.T, model.bias, "none")
    assert gauged.attraction == pytest.approx(plain.attraction, abs=1e-12)
    assert gauged.lipschitz == pytest.approx(plain.lipschitz, rel=1e-12)
    assert plain.lipschitz <= model.lipschitz + 1e-12
    assert plain.modulus >= model.m - 1e-12


def test_interactions_are_kept_symmetric():
    model = random_model(seed=2)
    skew = model.phi * (1 + 3e-13 * np.triu(np.ones((model.n, model.n))))
    assert (skew != skew.T).any()
    kept = PairwiseModel(model.states, skew, model.bias)
    np.testing.assert_array_equal(kept.phi, kept.phi.T)
    with pytest.raises(DomainError, match="fields would overflow"):
        PairwiseModel(model.states, 1e306 * model.phi, model.bias)


def test_what_is_projected_away_is_a_bias():
    model = random_model(seed=2)
    given = PairwiseModel(model.states, model.phi, model.bias)
    q = np.concatenate([np.random.default_rng(k).dirichlet(np.ones(k)) for k in model.states])
    np.testing.assert_allclose(
        centred(given.projected @ q + given.gauge, given.states),
        centred(given.phi @ q, given.states),
        rtol=0,
        atol=1e-14,
    )


def test_centring():
    x = np.arange(10.0).reshape(2, 5)
    np.testing.assert_allclose(centred(x, (2, 3)), [[-0.5, 0.5, -1, 0, 1]] * 2, rtol=0, atol=1e-15)


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("m", [0.0, 1.0, -0.1, np.nan])
def test_a_modulus_outside_the_open_interval(m):
    with pytest.raises(DomainError, match=r"m must lie in \(0, 1\)"):
        MonotoneModel((2, 2), np.zeros((1, 4)), np.zeros(4), m)


@pytest.mark.parametrize(
    ("A", "bias", "error", "words"),
    [
        (np.zeros((1, 3)), np.zeros(4), ShapeError, r"A must have shape \(any, 4\), got \(1, 3\)"),
        (np.full((1, 4), np.inf), np.zeros(4), NonFiniteError, r"A is inf at \(0, 0\)"),
        (np.zeros((1, 4)), np.full(4, np.nan), NonFiniteError, r"bias is nan at \(0,\)"),
    ],
)
def test_bad_parameters(A, bias, error, words):
    with pytest.raises(error, match=words):
        MonotoneModel((2, 2), A, bias)


SYMMETRIC = np.kron([[0, 1], [1, 0]], np.ones((2, 2)))


@pytest.mark.parametrize(
    ("states", "phi", "bias", "error", "words"),
    [
        ((2, 1), np.zeros((3, 3)), np.zeros(3), DomainError, "at least 2 states"),
        ((), np.zeros((0, 0)), np.zeros(0), DomainError, "there must be a node"),
        ((2.5, 2), np.zeros((4, 4)), np.zeros(4), DomainError, "at least 2 states"),
        ((2, 2), np.zeros((4, 3)), np.zeros(4), ShapeError, r"phi must have shape \(4, 4\), got \(4, 3\)"),
        ((2, 2), np.zeros((4, 4)), np.zeros(3), ShapeError, r"bias must have shape \(4\), got \(3,\)"),
        ((2, 2), np.triu(SYMMETRIC), np.zeros(4), DomainError, "entry of 1.*Try"),
        ((2, 2), SYMMETRIC + np.eye(4), np.zeros(4), DomainError, "node 0 to one another.*half the diagonal"),
        ((2, 2), SYMMETRIC + np.nan, np.zeros(4), NonFiniteError, r"phi is nan at \(0, 0\)"),
        ((2, 2), SYMMETRIC, np.array([0, 0, np.nan, 0]), NonFiniteError, r"bias is nan at \(2,\)"),
    ],
)
def test_bad_interactions(states, phi, bias, error, words):
    with pytest.raises(error, match=words):
        PairwiseModel(states, phi, bias)


def test_interactions_without_a_guarantee():
    strong = ising_pair(1.2).phi
    with pytest.warns(NonUniqueWarning, match=r"eigenvalue of Pi phi Pi is 2\.4, not below 2"):
        PairwiseModel((2, 2), strong, np.zeros(4))
    with pytest.raises(AssumptionError, match=r"2\.4, not below 2"):
        PairwiseModel((2, 2), strong, np.zeros(4), "required")
    assert PairwiseModel((2, 2), strong, np.zeros(4), "none").convexity < 0
    with pytest.raises(DomainError, match="guarantee must be"):
        PairwiseModel((2, 2), strong, np.zeros(4), "maybe")
    PairwiseModel((2, 2), 0.8 * strong, np.zeros(4), "required")


E4 = np.eye(4)[[0, 3]].sum(axis=0)


@pytest.mark.parametrize(
    ("observed", "mask", "soft", "error", "words"),
    [
        (E4, None, False, ShapeError, "go together"),
        (E4, [1, 0], False, ShapeError, r"mask must be bool\[batch, 2\] or bool\[batch, 4\], got int64"),
        (E4, [True] * 3, False, ShapeError, "mask must be bool"),
        (E4[:3], [True, False], False, ShapeError, r"observed must have shape \(4,\)"),
        (E4, [True, False, True, True], False, DomainError, "a part of node 0 of sample 0"),
        ([E4] * 3, [[True, False]] * 2, False, ShapeError, "observed has 3 samples and mask has 2"),
        ([0.5, 0.5, 0, 1], [True, False], False, DomainError, r"node 0 of sample 0 is \[0.5 0.5\], not one-hot"),
        ([0.5, 0.6, 0, 1], [True, False], True, DomainError, "node 0 of sample 0 is off by 0.1"),
        ([1.5, -0.5, 0, 1], [True, False], True, DomainError, "off by 0.5"),
        ([np.nan, 1, 0, 1], [True, False], True, NonFiniteError, "observed of sample 0 is nan"),
    ],
)
def test_bad_evidence(observed, mask, soft, error, words):
    with pytest.raises(error, match=words):
        check_evidence(ising_pair(0.5), observed, mask if mask is None else np.array(mask), soft=soft)


def test_evidence_is_read_where_it_is_observed_only():
    model = ising_pair(0.5)
    values, mask = check_evidence(model, [np.nan, 7, 0, 1], [False, True])
    np.testing.assert_array_equal(values, [[0, 0, 0, 1]])
    np.testing.assert_array_equal(mask, [[False, True]])
    again, whole = check_evidence(model, [[0.5, 0.5, 0, 1]] * 2, np.array([False, False, True, True]))
    np.testing.assert_array_equal(again, np.repeat(values, 2, axis=0))
    assert whole.shape == (2, 2)
    check_evidence(model, [0.5, 0.5, 0, 1], [True, True], soft=True)


# ------------------------------------------------------------------------------------ conditioning


def test_conditioning_is_bayes_rule():
    model = random_model(nodes=(4, 4), seed=3)
    states = model.states
    mask = np.array([True, False, True, False])
    rng = np.random.default_rng(1)
    chosen = [int(rng.integers(k)) for k in states]
    observed = np.concatenate([np.eye(k)[c] for k, c in zip(states, chosen, strict=True)])
    p = np.exp(scores(model))[chosen[0], :, chosen[2], :]
    p /= p.sum()
    reduced = condition(model, observed, mask)
    np.testing.assert_allclose(marginals(reduced), np.concatenate([p.sum(1), p.sum(0)]), rtol=1e-12)
    assert reduced.states == (states[1], states[3])
    assert reduced.modulus >= model.m - 1e-12
    with pytest.raises(ShapeError, match=r"mask must be bool\[4\]"):
        condition(model, observed, mask[:3])
    with pytest.raises(ShapeError, match=rf"observed must have shape \({model.n},\), got \({model.n - 1},\)"):
        condition(model, observed[:-1], mask)
    with pytest.raises(DomainError, match="all 4 nodes are observed"):
        condition(model, observed, np.ones(4, dtype=bool))
    with pytest.raises(NonFiniteError, match="observed is nan"):
        condition(model, np.full(model.n, np.nan), mask)
