"""Derivatives of the mean field against differences, an independent linear solve and theory; the module they train."""

import numpy as np
import pytest
import torch
from torch import nn

from lemmata.errors import DomainError, NonFiniteError, NotConverged, ShapeError
from lemmata.kernels.monotone_dbm import MonotoneDBM, response, solve
from lemmata.kernels.monotone_dbm.interactions import blocks_of
from lemmata.problems.monotone_dbm import MonotoneModel, antiferromagnet, random_model
from lemmata.sims import monotone_dbm as sims
from lemmata.theory import monotone_dbm as theory

SMALL = {"nodes": (3, 3), "states": (2, 3)}


def given(model, batch, seed=0):
    """Biases, soft evidence and masks, of which one is empty and one is full."""
    rng = np.random.default_rng(seed)
    soft = np.concatenate([rng.dirichlet(np.ones(k), size=batch) for k in model.states], axis=1)
    mask = rng.random((batch, len(model.states))) < 0.4
    mask[0], mask[-1] = False, True
    return torch.tensor(rng.standard_normal((batch, model.n))), torch.tensor(soft), torch.tensor(mask)


def entries(mask, model):
    return torch.repeat_interleave(mask, torch.tensor(model.states), 1)


@pytest.mark.parametrize("rank", [(1, 1), (8, 8)], ids=["of low rank", "dense"])
def test_derivatives_in_parameters_and_biases(rank):
    model = random_model(seed=1, rank=rank, **SMALL)
    module = MonotoneDBM.from_model(model)
    bias, soft, mask = given(model, 3)

    def function(A, own, bias):
        options = {"observed": soft, "mask": mask, "soft": True, "tol": 1e-13}
        shared = torch.func.functional_call(module, {"A": A, "bias": own}, (), options)
        given_bias = torch.func.functional_call(module, {"A": A}, (bias,), options)
        return (*shared, *given_bias)

    A, own = (p.detach().clone().requires_grad_() for p in (module.A, module.bias))
    assert torch.autograd.gradcheck(function, (A, own, bias.requires_grad_()), fast_mode=True)


def test_derivatives_in_what_is_observed():
    model = random_model(seed=2, **SMALL)
    module = MonotoneDBM.from_model(model)
    bias, soft, mask = given(model, 3)

    def function(logits):
        observed = torch.cat([torch.softmax(x, 1) for x in logits.split(model.states, 1)], 1)
        return module(bias, observed=observed, mask=mask, soft=True, tol=1e-13)

    assert torch.autograd.gradcheck(function, soft.log().requires_grad_(), fast_mode=True)


def test_the_response_is_that_of_theory_and_symmetric():
    for seed in range(6):
        model = random_model(seed=seed)
        bias, soft, mask = given(model, 4)
        q = solve(model, bias=bias, observed=soft, mask=mask, soft=True, tol=1e-13).q
        module, held = MonotoneDBM.from_model(model), entries(mask, model)
        u, v = torch.randn(2, 4, model.n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            Gu, Gv = (response(module.interactions(), q, held, x) for x in (u, v))
        for b in range(4):
            exact = theory.response(model, q[b].numpy(), mask[b].numpy()) @ u[b].numpy()
            # the relative residual of conjugate gradients, over the least eigenvalue 1/2
            np.testing.assert_allclose(Gu[b], exact, rtol=0, atol=5e-11 * float(u[b].norm()))
        np.testing.assert_allclose((u * Gv).sum(1), (v * Gu).sum(1), rtol=0, atol=1e-9)
        assert ((u * Gu).sum(1) >= -1e-12).all()
        assert (Gu[held] == 0).all()


def test_probabilities_that_underflow_have_a_derivative():
    model = antiferromagnet(3)
    bias = torch.tensor([[900.0, -900, 0, 0, 5, 0]], dtype=torch.float64, requires_grad=True)
    q, logits = MonotoneDBM.from_model(model)(bias)
    assert q[0, 1] == 0
    (gradient,) = torch.autograd.grad(logits.square().sum() + q[0, 2], bias)
    assert torch.isfinite(gradient).all()


def test_one_step_of_descent_is_that_of_dense_arithmetic():
    model = random_model(seed=4, nodes=(4, 4), rank=(5, 5))
    bias, soft, mask = given(model, 5)
    weight = torch.randn(5, model.n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss_at(A):
        made = MonotoneModel(model.states, A, model.bias, model.m)
        evidence = {"observed": soft.numpy(), "mask": mask.numpy(), "soft": True}
        q = sims.solve(made, bias=bias.numpy(), method="sequential", tol=1e-13, **evidence).q
        return float((weight.numpy() * q).sum())

    losses = {}
    for dtype in (torch.float64, torch.float32):
        module = MonotoneDBM.from_model(model, dtype)
        optimiser = torch.optim.SGD(module.parameters(), lr=1e-2)
        q, _ = module(bias.to(dtype), observed=soft.to(dtype), mask=mask, soft=True)
        (weight.to(dtype) * q).sum().backward()
        optimiser.step()
        losses[dtype] = loss_at(module.A.detach().numpy())
        if dtype == torch.float64:
            # a step of size lr changes the loss by -lr |gradient|², to first order
            predicted = loss_at(model.A) - 1e-2 * float(module.A.grad.square().sum())
            assert losses[dtype] == pytest.approx(predicted, abs=0.1 * abs(predicted - loss_at(model.A)))
    assert losses[torch.float32] == pytest.approx(losses[torch.float64], abs=1e-5)


def test_too_few_steps_backwards_raise():
    model = antiferromagnet(10, bias=0.3)
    q = solve(model, bias=torch.randn(2, 20, dtype=torch.float64)).q
    phi = MonotoneDBM.from_model(model).interactions()
    with pytest.raises(NotConverged, match="conjugate gradients left a relative residual"):
        response(phi, q, torch.zeros(2, 20, dtype=torch.bool), torch.rand_like(q), tol=1e-14, max_steps=1)


# ------------------------------------------------------------------------------------------ the module


@pytest.mark.parametrize("rank", [(1, 1), (11, 11)], ids=["of low rank", "dense"])
def test_the_module_is_the_model(rank):
    for seed in range(3):
        model = random_model(seed=seed, rank=rank)
        module = MonotoneDBM.from_model(model)
        phi = module.phi().detach().numpy()
        np.testing.assert_allclose(phi, model.phi, rtol=0, atol=1e-14)
        np.testing.assert_allclose(module.A_hat().detach(), model.A_hat, rtol=0, atol=1e-14)
        assert np.linalg.eigvalsh(np.eye(model.n) - phi)[0] >= model.m - 1e-10
        assert module.lipschitz == pytest.approx(model.lipschitz, rel=1e-12)
        again = module.to_model()
        np.testing.assert_array_equal(again.A, model.A)
        np.testing.assert_allclose(module().q.detach(), sims.solve(model).q, rtol=0, atol=2e-10)


def test_the_lipschitz_constant_follows_the_parameters():
    module = MonotoneDBM.from_model(antiferromagnet(5))
    assert module.lipschitz == pytest.approx(1 + 0.9 * 4)
    with torch.no_grad():
        module.A.mul_(0.5)
    assert module.lipschitz == pytest.approx(1 + 0.25 * 4)
    large = MonotoneDBM((2,) * 200, torch.randn(8, 400, dtype=torch.float64))
    exact = 1 - np.linalg.eigvalsh(large.phi().detach())[0]
    assert exact <= large.lipschitz <= exact + 1  # the blocks of D it does without have norm 1 - m


class _Product(nn.Module):
    """A matrix behind the interface of operators."""

    def __init__(self, A, states):
        super().__init__()
        self.matrix, self.states = nn.Parameter(A), states

    def forward(self, x):
        return x @ self.matrix.T

    def adjoint(self, y):
        return y @ self.matrix

    def blocks(self):
        return blocks_of(self.matrix, self.states)


def test_an_operator_is_its_matrix():
    model = random_model(seed=5, nodes=(90, 90), states=(3, 3))
    _, soft, mask = given(model, 4)
    plain = MonotoneDBM.from_model(model)
    module = MonotoneDBM(model.states, _Product(torch.tensor(model.A), model.states), torch.tensor(model.bias), model.m)
    np.testing.assert_allclose(module.phi().detach(), model.phi, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(module.to_model().A, model.A)
    gradients = []
    for made in (plain, module):
        q, logits = made(observed=soft, mask=mask, soft=True, tol=1e-12)
        gradients.append(torch.autograd.grad((q * logits).sum(), sorted(made.parameters(), key=lambda p: -p.ndim)))
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9 * float(one.norm()))
    for method in ("peaceman-rachford", "averaged", "sequential"):
        np.testing.assert_allclose(solve(module, method=method).q, solve(plain).q, rtol=0, atol=2e-10)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"m": 1.0}, DomainError, r"m must lie in \(0, 1\), got 1.0"),
        ({"m": np.nan}, DomainError, r"m must lie in \(0, 1\), got nan"),
        ({"A": torch.zeros(2, 5)}, ShapeError, r"A must have shape \(any, 4\)"),
        ({"A": torch.full((2, 4), torch.nan)}, NonFiniteError, "A of sample 0 is nan"),
        ({"bias": torch.zeros(2, 4)}, ShapeError, r"bias must have shape \(4,\)"),
        ({"states": (2, 1)}, DomainError, "at least 2 states"),
        ({"A": nn.Linear(4, 3)}, DomainError, "an operator needs forward, adjoint and blocks"),
    ],
)
def test_bad_modules(options, error, words):
    arguments = {"states": (2, 2), "A": torch.zeros(2, 4)} | options
    with pytest.raises(error, match=words):
        MonotoneDBM(**arguments)
