"""Derivatives of the mean field: finite differences, the dense matrix of the theory, symmetry, a training step."""

import numpy as np
import pytest
import torch

from lemmata.errors import DomainError, NotConverged
from lemmata.kernels.monotone_dbm import Convolution, MonotoneDBM, response, solve
from lemmata.problems.monotone_dbm import antiferromagnet, random_model
from lemmata.theory import monotone_dbm as theory


def _case(seed, rank, batch=2):
    """A model, biases, soft evidence and which nodes it is for."""
    rng = np.random.default_rng(seed)
    model = random_model(nodes=(3, 4), states=(2, 3), rank=(rank, rank), seed=seed)
    soft = np.concatenate([rng.dirichlet(np.ones(k), size=batch) for k in model.states], axis=1)
    mask = rng.random((batch, len(model.states))) < 0.4
    mask[:, 0] = False
    return model, *(torch.tensor(x) for x in (rng.standard_normal((batch, model.n)), soft, mask))


@pytest.mark.parametrize("rank", [1, 8])
def test_gradcheck(rank):
    model, bias, observed, mask = _case(1, rank)
    module = MonotoneDBM.from_model(model)
    A = torch.tensor(model.A, requires_grad=True)
    bias.requires_grad_()

    def mean_field(A, bias):
        options = {"observed": observed, "mask": mask, "soft": True, "tol": 1e-12}
        return torch.func.functional_call(module, {"A": A}, (bias,), options)

    assert torch.autograd.gradcheck(mean_field, (A, bias))


def test_the_derivative_in_soft_evidence():
    """Along directions that keep to the simplex: the values of a held node are checked."""
    model, bias, observed, mask = _case(2, 8)
    module = MonotoneDBM.from_model(model)
    rng = np.random.default_rng(0)
    weights = torch.tensor(rng.standard_normal(observed.shape))
    toward = torch.tensor(np.concatenate([rng.dirichlet(np.ones(k), size=2) for k in model.states], axis=1)) - observed
    h = 1e-5

    def loss(observed):
        q, logits = module(bias, observed=observed, mask=mask, soft=True, tol=1e-13)
        return (weights * (q + logits)).sum()

    observed.requires_grad_()
    loss(observed).backward()
    with torch.no_grad():
        difference = (loss(observed + h * toward) - loss(observed - h * toward)) / (2 * h)
    # h² third derivative, and rounding of 1e-13/h
    assert float((observed.grad * toward).sum()) == pytest.approx(float(difference), rel=1e-6, abs=1e-8)
    held = torch.repeat_interleave(mask, torch.tensor(model.states), 1)
    assert (observed.grad[~held] == 0).all()
    assert (observed.grad[held] != 0).any()


@pytest.mark.parametrize("rank", [1, 8])
def test_the_response_is_the_matrix_of_the_theory(rank):
    model, bias, observed, mask = _case(3, rank)
    q = solve(model, bias=bias, observed=observed, mask=mask, soft=True, tol=1e-13).q
    held = torch.repeat_interleave(mask, torch.tensor(model.states), 1)
    phi = MonotoneDBM.from_model(model).interactions()
    rng = np.random.default_rng(0)
    u, v = torch.tensor(rng.standard_normal((2, *q.shape)))
    with torch.no_grad():
        Ru, Rv = response(phi, q, held, u), response(phi, q, held, v)
    for b in range(len(q)):
        matrix = theory.response(model, q[b].numpy(), mask[b].numpy())
        np.testing.assert_allclose(Rv[b], matrix @ v[b].numpy(), rtol=0, atol=1e-9)
    np.testing.assert_allclose((u * Rv).sum(1), (v * Ru).sum(1), rtol=1e-9)
    assert ((v * Rv).sum(1) >= 0).all()
    assert (Rv[held] == 0).all()


def test_it_is_finite_where_probabilities_vanish():
    model = antiferromagnet(4)
    bias = torch.zeros(2, model.n, dtype=torch.float64)
    bias[0, ::2] = 800.0  # probabilities of e^-800 are 0 in float64
    bias.requires_grad_()
    q, _ = MonotoneDBM.from_model(model)(bias)
    assert (q[0] == 0).any()
    (q**2).sum().backward()
    assert torch.isfinite(bias.grad).all()


@pytest.mark.parametrize(("dtype", "sizes"), [(torch.float64, (1e-200, 1e200)), (torch.float32, (1e-30, 1e30))])
def test_the_response_is_linear_at_any_size(dtype, sizes):
    model, bias, observed, mask = _case(3, 8)
    given = {"observed": observed, "mask": mask, "soft": True}
    q = solve(model, bias=bias, tol=1e-13, **given).q.to(dtype)
    held = torch.repeat_interleave(mask, torch.tensor(model.states), 1)
    phi = MonotoneDBM.from_model(model, dtype).interactions()
    v = torch.tensor(np.random.default_rng(0).standard_normal(q.shape), dtype=dtype)
    with torch.no_grad():
        expected = response(phi, q, held, v)
        assert (expected[~held] != 0).any()
        for size in sizes:
            found = response(phi, q, held, size * v) / size
            torch.testing.assert_close(found, expected, rtol=1e-4 if dtype == torch.float32 else 1e-9, atol=1e-9)
        mixed = response(phi, q, held, v * torch.tensor([[sizes[0]], [sizes[1]], *[[0.0]] * (len(v) - 2)], dtype=dtype))
        assert (mixed[2:] == 0).all()
        torch.testing.assert_close(mixed[1] / sizes[1], expected[1], rtol=1e-4, atol=1e-9)


def test_a_gradient_that_is_not_finite_stays_so():
    model, bias, observed, mask = _case(3, 8)
    q = solve(model, bias=bias, observed=observed, mask=mask, soft=True).q
    held = torch.repeat_interleave(mask, torch.tensor(model.states), 1)
    phi = MonotoneDBM.from_model(model).interactions()
    v = torch.ones_like(q) * torch.arange(q.shape[1]).double()
    with torch.no_grad():
        expected = response(phi, q, held, v)
        for bad in (torch.nan, torch.inf):
            w = v.clone()
            w[1, int(torch.nonzero(~held[1])[0])] = bad
            found = response(phi, q, held, w)
            assert torch.isnan(found[1][~held[1]]).all()
            assert (found[1][held[1]] == 0).all()
            torch.testing.assert_close(found[0], expected[0])
    module = MonotoneDBM.from_model(model)
    (module(bias).q * torch.nan).sum().backward()
    assert torch.isnan(module.A.grad).any()


@pytest.mark.parametrize("tol", [0.0, 1.0, -1e-3, float("nan"), 5.0])
def test_a_tolerance_that_would_give_zero(tol):
    model, bias, *_ = _case(4, 8)
    module = MonotoneDBM.from_model(model)
    with pytest.raises(DomainError, match=r"must lie in \(0, 1\)"):
        module(bias, backward_tol=tol)
    q = module(bias).q.detach()
    with pytest.raises(DomainError, match=r"must lie in \(0, 1\)"):
        response(module.interactions(), q, torch.zeros_like(q, dtype=torch.bool), q, tol=tol)


def test_conjugate_gradients_say_when_they_fail():
    model, bias, *_ = _case(4, 8)
    q = solve(model, bias=bias).q
    phi = MonotoneDBM.from_model(model).interactions()
    with torch.no_grad(), pytest.raises(NotConverged, match=r"relative residual of .* after 1 steps"):
        response(phi, q, torch.zeros_like(q, dtype=torch.bool), torch.randn_like(q), max_steps=1)


def test_a_step_of_training_is_that_of_the_dense_reference():
    """Adam on a loss of the mean field; the reference solves 400 softmax steps and differentiates through them."""
    model, bias, *_ = _case(5, 8)
    target = torch.rand(bias.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    losses = []
    for implicit in (True, False):
        module = MonotoneDBM.from_model(model)
        optimizer = torch.optim.Adam(module.parameters(), 1e-2)
        for _ in range(2):
            if implicit:
                q = module(bias + module.bias, tol=1e-12).q
            else:
                phi, q, weight = module.phi(), torch.full_like(bias, 0.5), min(1.0, 4 / (2.1 + module.lipschitz))
                for _ in range(400):
                    field = q @ phi + bias + module.bias
                    parts = [torch.softmax(x, 1) for x in field.split(list(model.states), 1)]
                    q = torch.lerp(q, torch.cat(parts, 1), weight)
            loss = ((q - target) ** 2).sum()
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert losses[1] < losses[0]
    assert abs(losses[1] - losses[3]) < 1e-6


def test_a_convolution_can_be_trained():
    g = torch.Generator().manual_seed(0)
    A = Convolution((4, 4), 2, torch.randn(3, 2, 3, 3, generator=g, dtype=torch.float64) / 3)
    module = MonotoneDBM((2,) * 16, A)
    target = torch.rand(4, 32, generator=g, dtype=torch.float64)
    bias = torch.randn(4, 32, generator=g, dtype=torch.float64)
    optimizer = torch.optim.Adam(module.parameters(), 2e-2)
    losses = []
    for _ in range(10):
        loss = ((module(bias).q - target) ** 2).sum()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]


def test_an_early_stop_costs_the_gradient_in_proportion():
    """The saboteur of the tolerance: a loose forward solve is seen in the gradient, a tight one is not."""
    model, bias, *_ = _case(6, 8)
    gradients = []
    for tol in (1e-12, 1e-9, 0.3):
        module = MonotoneDBM.from_model(model)
        (module(bias, tol=tol).q ** 2).sum().backward()
        gradients.append(module.A.grad)
    assert (gradients[1] - gradients[0]).abs().max() < 1e-7
    assert (gradients[2] - gradients[0]).abs().max() > 1e-6
