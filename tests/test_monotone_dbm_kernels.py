"""The tensor prox and solvers against those of the simulators, on every method, dtype, mask and failure."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lemmata.errors import DomainError, NonFiniteError, NotConverged, ShapeError
from lemmata.kernels.monotone_dbm import MonotoneDBM, prox, prox_jacobian, solve
from lemmata.kernels.monotone_dbm.interactions import interactions_of, resolvent
from lemmata.problems.monotone_dbm import (
    CONVERGED,
    MAX_STEPS,
    OSCILLATING,
    PairwiseModel,
    antiferromagnet,
    ising_pair,
    low_rank_model,
    random_model,
)
from lemmata.sims import monotone_dbm as sims

SURE = ("forward-backward", "peaceman-rachford", "averaged", "sequential")
ALPHAS = (1e-7, 1e-3, 0.02, 0.125, 0.5, 1 - 1e-9, 1.0, 1 + 1e-9, 2.0, 40.0, 1e4)
DOUBLE = torch.empty(0, dtype=torch.float64)


def drawn(seed, batch, **options):
    """A model, biases, random states and masks."""
    model = random_model(seed=seed, **options)
    rng = np.random.default_rng(seed)
    states = np.concatenate([np.eye(k)[rng.integers(k, size=batch)] for k in model.states], axis=1)
    return model, rng.standard_normal((batch, model.n)), states, rng.random((batch, len(model.states))) < 0.4


# -------------------------------------------------------------------------------------------- the prox


@pytest.mark.parametrize("states", [(2,) * 5, (3,) * 4, (2, 2, 3, 4, 10, 2)], ids=str)
def test_the_prox_is_the_simulators(states):
    rng = np.random.default_rng(0)
    for alpha in ALPHAS:
        for size in (0.01, 1.0, 30.0, 1e3, 1e8):
            x = size * rng.standard_normal((20, sum(states)))
            # sums and quotients of the last bits; logarithms of z are larger by 1/alpha, but z is not
            np.testing.assert_allclose(prox(x, alpha, states), sims.prox(x, alpha, states), rtol=0, atol=2e-15)
            single = torch.tensor(x, dtype=torch.float32)
            found, exact = prox(single, alpha, states), sims.prox(single.numpy(), alpha, states)
            assert found.dtype == torch.float32
            np.testing.assert_allclose(found, exact, rtol=0, atol=2e-6)


def test_the_smaller_of_two_probabilities_keeps_its_digits():
    x = np.array([[d, 0.0] for d in (0.5, 1.5, 5.0, 30.0)])
    np.testing.assert_allclose(prox(x, 0.3, (2,)), sims.prox(x, 0.3, (2,)), rtol=5e-14)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9), st.sampled_from(ALPHAS))
def test_the_optimality_condition(x, alpha):
    x = np.array(x)
    z = prox(x, alpha, (x.size,)).numpy()
    assert (z >= 0).all()
    assert abs(z.sum() - 1) < 1e-14
    seen = z > 1e-300
    multiplier = alpha * np.log(z[seen]) + (1 - alpha) * z[seen] - x[seen]
    assert np.ptp(multiplier) <= 1e-13 * (1 + alpha + np.ptp(x))


@pytest.mark.parametrize("alpha", [0.05, 0.3, 1.0, 2.5])
def test_the_jacobian_is_exact_and_so_are_second_derivatives(alpha):
    states = (2, 3, 2)
    x = torch.tensor(np.random.default_rng(1).standard_normal((2, 7)), requires_grad=True)

    def function(x):
        return prox(x, alpha, states)

    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)
    z = function(x[0]).detach()
    jacobian = torch.autograd.functional.jacobian(function, x[0].detach())
    np.testing.assert_allclose(prox_jacobian(z, alpha, states), jacobian, rtol=0, atol=1e-14)
    np.testing.assert_allclose(
        prox_jacobian(z, alpha, states), sims.prox_jacobian(z.numpy(), alpha, states), rtol=0, atol=1e-14
    )
    assert torch.linalg.eigvalsh(jacobian)[-1] <= (1 + 1e-12) / (1 + alpha)


def test_shapes_and_empty_batches():
    assert prox(torch.zeros(4), 0.3, (2, 2)).shape == (4,)
    assert prox(torch.zeros(0, 5), 0.3, (2, 3)).shape == (0, 5)


@pytest.mark.parametrize(
    ("x", "alpha", "states", "error", "words"),
    [
        ([0.0, 1], 0.0, (2,), DomainError, "alpha must be positive and finite, got 0.0"),
        ([0.0, 1], np.nan, (2,), DomainError, "alpha must be positive"),
        ([0.0, 1, 2], 1.0, (2,), ShapeError, r"x must have shape \(2,\)"),
        ([[0.0, 1], [0, np.inf]], 1.0, (2,), NonFiniteError, "x of sample 1 is inf at entry 1"),
        ([0.0], 1.0, (1,), DomainError, "at least 2 states"),
    ],
)
def test_bad_input_of_the_prox(x, alpha, states, error, words):
    with pytest.raises(error, match=words):
        prox(x, alpha, states)
    with pytest.raises((error, ShapeError)):  # one row at a time
        prox_jacobian(x, alpha, states)


# ------------------------------------------------------------------------------------------ the solvers


@pytest.mark.parametrize("rank", [(1, 1), (11, 11)], ids=["of low rank", "dense"])
def test_four_methods_find_the_simulators_mean_field(rank):
    for seed in (1, 2):
        model, bias, states, mask = drawn(seed, 6, rank=rank)
        mask[0], mask[1] = False, True
        exact = sims.solve(model, bias=bias, method="sequential", observed=states, mask=mask, tol=1e-13).q
        module = MonotoneDBM.from_model(model)
        for problem in (model, PairwiseModel(model.states, model.phi, model.bias, "none"), module):
            for method in SURE:
                found = solve(problem, bias=bias, method=method, observed=states, mask=mask, tol=1e-12)
                np.testing.assert_allclose(found.q, exact, rtol=0, atol=2e-12)
                assert found.converged.all()
                held = np.repeat(mask, model.states, axis=1)
                np.testing.assert_array_equal(found.q[held], states[held])
        for method in SURE:
            given = {"bias": torch.tensor(bias, dtype=torch.float32), "observed": torch.tensor(states), "mask": mask}
            found = solve(model, method=method, **given)
            assert found.q.dtype == torch.float32
            np.testing.assert_allclose(found.q, exact, rtol=0, atol=2e-5)  # the tolerance, and rounding of its size


@pytest.mark.parametrize("method", SURE)
def test_a_batch_is_its_samples(method):
    model, bias, states, mask = drawn(3, 5)
    bias[2] *= 30  # samples that end at different times
    whole = solve(model, bias=bias, method=method, observed=states, mask=mask)
    assert len(set(whole.steps.tolist())) > 1
    for b in range(5):
        alone = solve(model, bias=bias[b], method=method, observed=states[b], mask=mask[b])
        # products of matrices of other sizes round otherwise
        np.testing.assert_allclose(alone.q[0], whole.q[b], rtol=0, atol=1e-14)
        assert alone.steps[0] == whole.steps[b]
    assert solve(model, bias=np.empty((0, model.n))).q.shape == (0, model.n)


@pytest.mark.parametrize("method", SURE)
def test_the_answer_says_how_good_it_is(method):
    model, bias, *_ = drawn(2, 5)
    found = solve(model, bias=bias, method=method, tol=1e-6)
    exact = sims.solve(model, bias=bias, method="sequential", tol=1e-13).q
    assert (np.linalg.norm(found.q.numpy() - exact, axis=1) <= found.certificate.numpy() + 1e-13).all()
    assert (found.certificate <= 1e-6).all()
    assert (found.certificate > 1e-12).all()  # it stops when it has what was asked for
    field = found.q.numpy() @ model.phi + bias
    again = prox(field, 1.0, model.states)
    np.testing.assert_allclose((found.q - again).abs().amax(1), found.residual, rtol=0, atol=1e-14)


def test_the_low_rank_form_is_the_matrix():
    model = low_rank_model(20, K=3, rank=4, seed=0)
    phi = interactions_of(model, DOUBLE)
    assert phi.dense is None
    np.testing.assert_allclose(phi.matrix(), model.phi, rtol=0, atol=1e-14)
    eye = torch.eye(60, dtype=torch.float64)
    for alpha in (0.05, 2.0):
        exact = np.linalg.inv((1 + alpha) * np.eye(60) - alpha * model.phi)
        for A in (torch.tensor(model.A_hat), None):
            np.testing.assert_allclose(resolvent(phi, A, alpha)(eye), exact, rtol=0, atol=1e-13)


def test_the_parallel_update_oscillates_and_says_so():
    model = antiferromagnet(10, bias=0.3)
    found = solve(model, method="parallel", max_steps=300, raise_on_fail=False)
    assert found.status == OSCILLATING
    assert found.residual > 0.99
    with pytest.raises(NotConverged, match=r"limit of 300 steps of parallel.*alternates.*use forward"):
        solve(model, method="parallel", max_steps=300)
    assert solve(antiferromagnet(3, bias=0.3), method="parallel").status == CONVERGED
    few = solve(model, max_steps=7, raise_on_fail=False)
    assert few.status == MAX_STEPS
    assert few.steps == 7


def test_without_a_guarantee_there_is_no_certificate():
    found = solve(ising_pair(1.5), start=[[1, 0, 1, 0], [0, 1, 0, 1]], tol=1e-12)
    assert torch.isinf(found.certificate).all()
    np.testing.assert_allclose(found.q[:, 0] - found.q[:, 1], [0.85855963664011, -0.85855963664011], rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "newton"}, DomainError, "method must be one of forward-backward"),
        ({"alpha": 3.0}, DomainError, r"alpha < 2/\(L - 1\)"),
        ({"tol": 0}, DomainError, "tol must be positive"),
        ({"tol": 1e-16}, DomainError, "below what torch.float64 can tell"),
        ({"bias": torch.zeros(4), "tol": 1e-8}, DomainError, "below what torch.float32 can tell, 9.5e-07"),
        ({"bias": torch.zeros(5)}, ShapeError, r"bias must have shape \(4,\) or \(batch, 4\)"),
        ({"bias": [0.0, 0, np.nan, 0]}, NonFiniteError, "bias of sample 0 is nan at entry 2"),
        ({"start": [1, 1, 0, 1]}, DomainError, "node 0 of sample 0 is off by 1"),
        ({"bias": torch.zeros(2, 4), "start": [[0, 1, 0, 1]] * 3}, ShapeError, r"have \[2, 3\] samples"),
        ({"observed": [0, 1, 0, 1]}, ShapeError, "go together"),
        ({"observed": [0.5, 0.5, 0, 1], "mask": [True, False]}, DomainError, "not one-hot"),
    ],
)
def test_bad_input_of_the_solver(options, error, words):
    with pytest.raises(error, match=words):
        solve(antiferromagnet(2), **options)
