"""Four solvers against one another, what a batch, a mask or a symmetry must not change, and how they fail."""

import numpy as np
import pytest
import torch

from lemmata.errors import DomainError, NonFiniteError, NotConverged, ShapeError
from lemmata.kernels import monotone_dbm as kernels
from lemmata.problems.monotone_dbm import (
    CONVERGED,
    MAX_STEPS,
    OSCILLATING,
    MonotoneModel,
    PairwiseModel,
    antiferromagnet,
    block_slices,
    check_step,
    condition,
    default_tolerance,
    ising_pair,
    low_rank_model,
    random_model,
)
from lemmata.sims import monotone_dbm as sims
from lemmata.sims.monotone_dbm import solve, trajectory
from lemmata.sims.monotone_dbm.solvers import _interactions, _resolvent

SURE = ("forward-backward", "peaceman-rachford", "averaged", "sequential")


def softmax(x, states):
    parts = [np.exp(x[..., own] - x[..., own].max(axis=-1, keepdims=True)) for own in block_slices(states)]
    return np.concatenate([p / p.sum(axis=-1, keepdims=True) for p in parts], axis=-1)


def drawn(seed, batch, **options):
    """A model, biases, random states and masks."""
    model = random_model(seed=seed, **options)
    rng = np.random.default_rng(seed)
    states = np.concatenate([np.eye(k)[rng.integers(k, size=batch)] for k in model.states], axis=1)
    return model, rng.standard_normal((batch, model.n)), states, rng.random((batch, len(model.states))) < 0.4


def as_matrix(model):
    return PairwiseModel(model.states, model.phi, model.bias, "none")


# --------------------------------------------------------------------------------------- they agree


@pytest.mark.parametrize("rank", [(1, 1), (11, 11)], ids=["of low rank", "dense"])
def test_four_methods_agree(rank):
    for seed in range(15):
        model, bias, states, mask = drawn(seed, 6, rank=rank)
        reference = solve(model, bias=bias, method="sequential", observed=states, mask=mask, tol=1e-12)
        for problem in (model, as_matrix(model)):
            for method in SURE:
                found = solve(problem, bias=bias, method=method, observed=states, mask=mask, tol=1e-12)
                np.testing.assert_allclose(found.q, reference.q, rtol=0, atol=2e-12)
                assert found.converged.all()


@pytest.mark.parametrize("method", SURE)
def test_the_answer_is_a_mean_field_and_says_how_good_it_is(method):
    model, bias, *_ = drawn(2, 5)
    found = solve(model, bias=bias, method=method, tol=1e-6)
    exact = solve(model, bias=bias, method="sequential", tol=1e-13)
    again = softmax(found.q @ model.phi + bias, model.states)
    np.testing.assert_allclose(np.abs(found.q - again).max(axis=1), found.residual, rtol=0, atol=1e-15)
    assert (np.linalg.norm(found.q - exact.q, axis=1) <= found.certificate + 1e-13).all()
    assert (found.certificate <= 1e-6).all()
    assert (found.certificate > 1e-10).all()  # it stops when it has what was asked for


def test_the_low_rank_form_is_the_matrix():
    model = low_rank_model(20, K=3, rank=4, seed=0)
    for alpha in (0.05, 2.0):
        for operator, matrix in (
            (_interactions(model), model.phi),
            (_resolvent(model, alpha), np.linalg.inv((1 + alpha) * np.eye(60) - alpha * model.phi)),
        ):
            assert operator.dense.size == 0
            D = np.zeros((60, 60))
            for i, own in enumerate(block_slices(model.states)):
                D[own, own] = operator.blocks[9 * i : 9 * i + 9].reshape(3, 3)
            np.testing.assert_allclose(D - operator.A.T @ operator.A, matrix, rtol=0, atol=1e-13)


def test_steps_are_counted_and_stop_when_they_suffice():
    model = antiferromagnet(10, bias=0.3)
    found = solve(model, tol=1e-10)
    steps = int(found.steps[0])
    iterates = trajectory(model, np.full(20, 0.5), steps)[0]
    np.testing.assert_allclose(
        found.q[0], softmax(iterates[-1] @ model.phi + model.bias, model.states), rtol=0, atol=1e-15
    )
    fewer = solve(model, tol=1e-10, max_steps=steps - 2, raise_on_fail=False)
    assert fewer.status == MAX_STEPS
    np.testing.assert_allclose(
        fewer.q[0], softmax(iterates[-3] @ model.phi + model.bias, model.states), rtol=0, atol=1e-15
    )
    assert fewer.residual > found.residual


# ------------------------------------------------------------------------------ batches and symmetries


@pytest.mark.parametrize("method", SURE)
def test_a_batch_is_its_samples(method):
    model, bias, states, mask = drawn(3, 5)
    bias[2] *= 30  # samples that end at different times
    whole = solve(model, bias=bias, method=method, observed=states, mask=mask)
    assert len(set(whole.steps.tolist())) > 1
    for b in range(5):
        alone = solve(model, bias=bias[b], method=method, observed=states[b], mask=mask[b])
        for name in ("q", "residual", "certificate", "steps", "status"):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(whole, name)[b])


def test_a_large_batch_on_threads_is_its_samples():
    model = low_rank_model(200, rank=6, seed=1)
    bias = np.random.default_rng(0).standard_normal((30, 400))  # beyond the size from which threads share it
    whole = solve(model, bias=bias, tol=1e-8)
    for b in (0, 17):
        np.testing.assert_array_equal(solve(model, bias=bias[b], tol=1e-8).q[0], whole.q[b])


def test_batches_of_no_and_of_one_sample():
    model = random_model(seed=1)
    assert solve(model, bias=np.empty((0, model.n))).q.shape == (0, model.n)
    one = solve(model)
    assert one.q.shape == (1, model.n)
    mask = np.zeros((3, len(model.states)), dtype=bool)
    np.testing.assert_array_equal(solve(model, observed=np.zeros(model.n), mask=mask).q, np.repeat(one.q, 3, axis=0))


def test_order_of_nodes_and_names_of_states_do_not_matter():
    model, bias, *_ = drawn(4, 1, nodes=(5, 5))
    rng = np.random.default_rng(0)
    nodes = rng.permutation(5)
    own = block_slices(model.states)
    order = np.concatenate([rng.permutation(np.arange(own[i].start, own[i].stop)) for i in nodes])
    shuffled = MonotoneModel(tuple(model.states[i] for i in nodes), model.A[:, order], np.zeros(model.n), model.m)
    found = solve(shuffled, bias=bias[:, order], tol=1e-12)
    np.testing.assert_allclose(found.q, solve(model, bias=bias, tol=1e-12).q[:, order], rtol=0, atol=2e-12)


@pytest.mark.parametrize("size", [1.0, 100.0])
def test_a_gauge_is_a_bias(size):
    model, bias, *_ = drawn(5, 1)
    first, second = block_slices(model.states)[:2]
    phi, shift = model.phi.copy(), bias.copy()
    c = size * np.random.default_rng(1).standard_normal(model.states[1])
    phi[first, second] += c
    phi[second, first] += c[:, None]
    shift[:, second] -= c
    gauged = PairwiseModel(model.states, phi, np.zeros(model.n))
    if size > 1:
        assert np.linalg.eigvalsh(np.eye(model.n) - phi)[0] < -1  # not monotone, but for the gauge
    expected = solve(model, bias=bias, tol=1e-12).q
    for method in SURE:
        found = solve(gauged, bias=shift, method=method, tol=1e-12, max_steps=2000)
        np.testing.assert_allclose(found.q, expected, rtol=0, atol=2e-12)
        found = kernels.solve(gauged, bias=shift, method=method, tol=1e-12, max_steps=2000)
        np.testing.assert_allclose(found.q, expected, rtol=0, atol=2e-12)


@pytest.mark.parametrize("method", SURE)
@pytest.mark.parametrize("common", [1e8, 1e15])
def test_what_the_states_of_a_node_have_in_common_costs_no_digits(method, common):
    model, bias, *_ = drawn(8, 3)
    expected = solve(model, bias=bias, tol=1e-12).q
    lifted = bias + common * np.repeat(np.arange(len(model.states)), model.states)
    # what is left of the biases in the digits of the sum
    same = lifted - common * np.repeat(np.arange(len(model.states)), model.states)
    exact = solve(model, bias=same, tol=1e-12).q
    for found in (
        solve(model, bias=lifted, method=method, tol=1e-12).q,
        kernels.solve(model, bias=lifted, method=method, tol=1e-12).q,
    ):
        np.testing.assert_allclose(found, exact, rtol=0, atol=2e-12)
    assert common > 1e8 or np.abs(exact - expected).max() < 1e-7


def test_an_impossible_state_takes_no_digits_from_the_certificate():
    """Field and certificate of a state of bias -1e12 are sums in which Phi q would drown."""
    model, bias, *_ = drawn(8, 1)
    bias[0, 0] = -1e12
    expected = solve(model, bias=np.maximum(bias, -1e3), tol=1e-13).q
    loose = solve(model, bias=bias, tol=1e-3)
    alike = solve(model, bias=np.maximum(bias, -1e3), tol=1e-3)
    np.testing.assert_allclose(loose.certificate, alike.certificate, rtol=1e-6)
    assert (np.linalg.norm(loose.q - expected, axis=1) <= loose.certificate).all()
    np.testing.assert_allclose(solve(model, bias=bias, tol=1e-12).q, expected, rtol=0, atol=2e-12)


def test_overflow_ends_a_run_at_once():
    model = antiferromagnet(2, bias=[0, -1.7e308, 0, 0])
    with pytest.raises(NonFiniteError, match="sample 0 overflowed"):
        solve(model, method="peaceman-rachford", alpha=1e3, max_steps=10**12)


def test_without_interactions_it_is_the_softmax_of_the_bias():
    model = MonotoneModel((2, 4), np.zeros((0, 6)), np.arange(6.0))
    for method in SURE:
        np.testing.assert_allclose(
            solve(model, method=method).q[0], softmax(model.bias, model.states), rtol=0, atol=1e-12
        )


# --------------------------------------------------------------------------------------------- evidence


@pytest.mark.parametrize("method", SURE)
def test_observing_is_reducing(method):
    model, bias, states, mask = drawn(6, 8)
    mask[0], mask[1] = False, True
    mask[2], mask[2, 0] = False, True
    found = solve(model, bias=bias, method=method, observed=states, mask=mask, tol=1e-12)
    held = np.repeat(mask, model.states, axis=1)
    np.testing.assert_array_equal(found.q[held], states[held])
    np.testing.assert_allclose(found.q[0], solve(model, bias=bias[0], tol=1e-12).q[0], rtol=0, atol=2e-12)
    assert found.certificate[1] == found.residual[1] == 0
    for b in np.flatnonzero(~mask.all(axis=1)):
        reduced = condition(PairwiseModel(model.states, model.phi, bias[b], "none"), states[b], mask[b])
        np.testing.assert_allclose(found.q[b, ~held[b]], solve(reduced, tol=1e-12).q[0], rtol=0, atol=2e-12)


def test_a_large_bias_observes():
    model, bias, states, mask = drawn(7, 4)
    held = np.repeat(mask, model.states, axis=1)
    pulled = solve(model, bias=bias + 40 * held * states, tol=1e-11).q
    observed = solve(model, bias=bias, observed=states, mask=mask, tol=1e-11).q
    np.testing.assert_allclose(pulled, observed, rtol=0, atol=1e-8)


def test_soft_evidence_is_held():
    model = random_model(seed=8)
    q = solve(model, tol=1e-12).q[0]
    mask = np.arange(len(model.states)) % 2 == 0
    again = solve(model, observed=q, mask=mask, soft=True, tol=1e-12).q[0]
    np.testing.assert_allclose(again, q, rtol=0, atol=1e-11)  # what it would be anyway


# --------------------------------------------------------------------------------- failures, and input


def test_the_parallel_update_oscillates_and_says_so():
    model = antiferromagnet(10, bias=0.3)
    found = solve(model, method="parallel", max_steps=500, raise_on_fail=False)
    assert found.status == OSCILLATING
    assert found.residual > 0.99
    error = np.linalg.norm(found.q - solve(model, tol=1e-12).q)
    assert 0.5 < error <= found.certificate
    with pytest.raises(NotConverged, match=r"limit of 500 steps of parallel.*alternates.*use forward") as caught:
        solve(model, method="parallel", max_steps=500)
    np.testing.assert_array_equal(caught.value.result.q, found.q)
    assert solve(antiferromagnet(3, bias=0.3), method="parallel").status == CONVERGED


def test_a_failure_names_the_worst_sample():
    model, bias, *_ = drawn(9, 4)
    with pytest.raises(NotConverged, match="4 of 4 samples stopped at the limit of 2 steps of averaged") as caught:
        solve(model, bias=bias, method="averaged", max_steps=2)
    result = caught.value.result
    assert (result.status == MAX_STEPS).all()
    assert f"sample {result.certificate.argmax()} has residual" in str(caught.value)


def test_without_a_guarantee_there_is_no_certificate():
    found = solve(ising_pair(1.5), start=[[1, 0, 1, 0], [0, 1, 0, 1]], tol=1e-12)
    assert np.isinf(found.certificate).all()
    np.testing.assert_allclose(found.q[:, 0] - found.q[:, 1], [0.85855963664011, -0.85855963664011], rtol=0, atol=1e-11)
    assert (found.residual <= 1e-12).all()


def test_steps_beyond_the_limit_are_refused_and_shown_to_diverge():
    model = antiferromagnet(40, bias=0.3)
    with pytest.raises(DomainError, match=r"alpha < 2/\(L - 1\) = 0.0569801 \(L = 36.1\), got 0.125"):
        solve(model, alpha=0.125)
    with pytest.raises(DomainError, match=r"below 4/\(L \+ 1\) = 0.107817"):
        solve(model, method="averaged", alpha=0.11)
    with pytest.raises(DomainError, match=r"I - Pi phi Pi > 0, but its modulus is -0\.8"):
        solve(ising_pair(0.9), method="peaceman-rachford")
    last = trajectory(model, np.full(80, 0.5), 1000, alpha=0.125)[0, -3:]
    assert np.linalg.norm(last[2] - last[1]) > 5
    np.testing.assert_allclose(last[2], last[0], rtol=0, atol=1e-9)
    for method, alpha in (("forward-backward", 0.0565), ("averaged", 0.1065), ("peaceman-rachford", 30.0)):
        assert solve(model, method=method, alpha=alpha, max_steps=50_000).converged.all()


def test_default_steps():
    model = antiferromagnet(40)
    assert check_step(model, "forward-backward", None) == pytest.approx(2 / 36.2)
    assert check_step(model, "peaceman-rachford", None) == pytest.approx(1 / np.sqrt(3.61))
    assert check_step(model, "averaged", None) == pytest.approx(4 / 38.2)
    assert check_step(antiferromagnet(1), "averaged", None) == 1
    # without a guarantee half the limits, 2/(L - 1) and 4/(L + 1)
    assert check_step(ising_pair(1.5), "forward-backward", None) == pytest.approx(1 / 3)
    assert check_step(ising_pair(1.5), "averaged", None) == pytest.approx(2 / 5)
    assert check_step(ising_pair(1.5), "averaged", 0.79) == 0.79


def test_a_vanishing_modulus():
    model = low_rank_model(6, rank=2, m=1e-300, seed=0)
    expected = solve(model, method="sequential").q
    for made in (model, as_matrix(model)):
        assert np.isfinite(check_step(model, "peaceman-rachford", None))
        for library in (sims, kernels):
            found = library.solve(made, method="peaceman-rachford").q
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-10)
    for library in (sims, kernels):
        with pytest.raises(DomainError, match=r"singular to rounding at alpha = 1e\+20 and modulus 1e-300"):
            library.solve(model, method="peaceman-rachford", alpha=1e20)


def test_the_default_tolerance_is_what_rounding_allows():
    model = low_rank_model(784, rank=32, seed=0)
    assert default_tolerance(model, 2.0**-52) == 1e-10
    single = kernels.solve(model, bias=torch.tensor(model.bias, dtype=torch.float32))
    assert (single.certificate <= default_tolerance(model, 2.0**-23)).all()
    assert default_tolerance(model, 2.0**-23) < 1e-3
    exact = solve(model).q
    assert np.linalg.norm(single.q.double().numpy() - exact) <= 1e-3
    # it is no more than ten times what rounding leaves
    stalled = kernels.solve(
        model, bias=torch.tensor(model.bias, dtype=torch.float32), tol=1e-6, max_steps=3000, raise_on_fail=False
    )
    assert float(stalled.certificate) > 1e-6
    assert default_tolerance(model, 2.0**-23) < 10 * float(stalled.certificate)
    assert default_tolerance(antiferromagnet(2), 2.0**-23) == 1e-5


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "newton"}, DomainError, "method must be one of forward-backward"),
        ({"alpha": 0}, DomainError, "alpha must be positive"),
        ({"alpha": np.nan}, DomainError, "alpha must be positive"),
        ({"method": "parallel", "alpha": 0.5}, DomainError, "has no step"),
        ({"method": "averaged", "alpha": 1.5}, DomainError, "weight of at most 1"),
        ({"tol": 0}, DomainError, "tol must be positive"),
        ({"max_steps": 0}, DomainError, "max_steps must be at least 1"),
        ({"bias": np.zeros(5)}, ShapeError, r"bias must have shape \(4,\) or \(batch, 4\)"),
        ({"bias": [0, 0, np.nan, 0]}, NonFiniteError, "bias of sample 0 is nan at entry 2"),
        ({"start": [1, 1, 0, 1]}, DomainError, "node 0 of sample 0 is off by 1"),
        ({"bias": np.zeros((2, 4)), "start": [[0, 1, 0, 1]] * 3}, ShapeError, r"have \[2, 3\] samples"),
        ({"observed": [0, 1, 0, 1]}, ShapeError, "go together"),
    ],
)
def test_bad_input(options, error, words):
    with pytest.raises(error, match=words):
        solve(antiferromagnet(2), **options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"steps": -1}, DomainError, "steps must be >= 0"),
        ({"alpha": -1}, DomainError, "alpha must be positive"),
        ({"method": "newton"}, DomainError, "method must be one of"),
        ({"start": [2, 0, 0, 1]}, DomainError, "off by 1"),
    ],
)
def test_bad_trajectories(options, error, words):
    given = {"start": [0, 1, 0, 1], "steps": 3} | options
    with pytest.raises(error, match=words):
        trajectory(antiferromagnet(2), given.pop("start"), given.pop("steps"), **given)


def test_the_same_input_gives_the_same_bits():
    model, bias, *_ = drawn(10, 5)
    one, other = (solve(model, bias=bias) for _ in range(2))
    np.testing.assert_array_equal(one.q, other.q)
