"""The tensors' prox, operators and solvers against Numba's, against dense matrices, and against one another."""

import os
import subprocess
import sys
from dataclasses import replace
from textwrap import dedent

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lemmata.errors import DomainError, NonFiniteError, NotConverged, ShapeError
from lemmata.kernels import monotone_dbm as kernels
from lemmata.kernels.monotone_dbm import Convolution, Layered, Matrix, MonotoneDBM
from lemmata.problems.monotone_dbm import (
    CONVERGED,
    OSCILLATING,
    PairwiseModel,
    antiferromagnet,
    condition,
    low_rank_model,
    random_model,
)
from lemmata.sims import monotone_dbm as sims

ALPHAS = st.floats(-5, 3).map(lambda e: 10.0**e) | st.sampled_from([1.0, 1 - 1e-9, 1 + 1e-9])
STATES = (2, 2, 3, 5, 5, 2, 10)
METHODS = ("forward-backward", "peaceman-rachford", "averaged", "sequential")


def _rows(count, n, seed=0):
    """Rows from nearly flat to far apart."""
    g = torch.Generator().manual_seed(seed)
    return torch.randn(count, n, generator=g, dtype=torch.float64) * torch.logspace(-2, 3, count).double()[:, None]


# ------------------------------------------------------------------------------------------------ prox


@given(ALPHAS, st.integers(0, 99))
@settings(max_examples=25)
def test_the_prox_is_that_of_the_simulator(alpha, seed):
    x = _rows(6, sum(STATES), seed)
    np.testing.assert_allclose(
        kernels.prox(x, alpha, STATES).numpy(), sims.prox(x.numpy(), alpha, STATES), rtol=0, atol=1e-13
    )
    single = kernels.prox(x.float(), alpha, STATES)
    assert single.dtype == torch.float32
    # inputs of 1e3 carry 6e-5 in single precision, which a small alpha magnifies
    moved = sims.prox(x.float().double().numpy(), alpha, STATES)
    np.testing.assert_allclose(single.numpy(), moved, rtol=0, atol=2e-6 + 1e-7 * float(x.abs().max()) / (1 + alpha))


@pytest.mark.parametrize("alpha", [1e-30, 1e-15, 1e-8, 1e-5, 1e8, 1e15, 1e30])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_prox_at_the_ends_of_the_steps(alpha, dtype):
    x = _rows(6, sum(STATES)).clamp(-3, 3).to(dtype) * max(alpha, 1)
    exact = sims.prox(x.double().numpy(), alpha, STATES)
    z = kernels.prox(x, alpha, STATES)
    np.testing.assert_allclose(z, exact, rtol=0, atol=100 * torch.finfo(dtype).eps)
    two = torch.tensor([1 - 1e-3, 0.0], dtype=dtype)  # the smaller probability is 5e-4 or less
    np.testing.assert_allclose(
        kernels.prox(two, alpha, (2,)), sims.prox(two.double().numpy(), alpha, (2,)), rtol=100 * torch.finfo(dtype).eps
    )


@pytest.mark.triton
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
@pytest.mark.parametrize("alpha", [1e-30, 1e-8, 1e-3, 0.3, 1.0, 100.0, 1e30])
def test_the_fused_step_is_that_of_torch(alpha, dtype, atol):
    pytest.importorskip("triton")
    from lemmata.kernels.monotone_dbm._prox_triton import activate, step

    field = _rows(4, sum(STATES)).to(dtype)
    q = torch.rand(4, sum(STATES), generator=torch.Generator().manual_seed(1)).to(dtype)
    held = torch.zeros(4, sum(STATES), dtype=torch.bool)
    held[1, :4] = held[2, 7:12] = True
    expected = torch.where(held, q, kernels.prox(torch.lerp(q, field, alpha), alpha, STATES))
    np.testing.assert_allclose(step(q, field, held, alpha, STATES), expected, rtol=0, atol=atol)
    for rows in (field[:, 7:12].reshape(2, 2, 5), field[:, :2], field[:, :6].reshape(12, 2)):
        K = rows.shape[-1]
        expected = kernels.prox(rows.reshape(-1, K), alpha, (K,)).view(rows.shape)
        np.testing.assert_allclose(activate(rows, alpha), expected, rtol=0, atol=atol)
    binary = (2,) * (sum(STATES) // 2)
    at = sum(binary)
    given = q[:, :at], field[:, :at], held[:, :at]
    expected = torch.where(given[2], given[0], kernels.prox(torch.lerp(given[0], given[1], alpha), alpha, binary))
    np.testing.assert_allclose(step(*given, alpha, binary), expected, rtol=0, atol=atol)
    assert step(q[:0], field[:0], held[:0], alpha, STATES).shape == (0, sum(STATES))


@pytest.mark.triton
@pytest.mark.parametrize("model", [random_model(nodes=(4, 4), states=(2, 4), seed=11), antiferromagnet(2)])
def test_where_there_is_a_gpu_the_fused_step_is_taken(model, monkeypatch):
    """Interpreted here: solvers and prox are told that their tensors are on a GPU."""
    pytest.importorskip("triton")
    from lemmata.kernels.monotone_dbm import _prox_triton

    x = _rows(2, model.n)
    options = {"bias": x.clamp(-2, 2), "max_steps": 3, "raise_on_fail": False}
    expected, z = kernels.solve(model, **options), kernels.prox(x, 0.2, model.states)
    taken, launch = [], _prox_triton._launch
    monkeypatch.setattr(_prox_triton, "_launch", lambda *given: taken.append(given) or launch(*given))
    for module in ("prox", "solvers"):
        monkeypatch.setattr(sys.modules[f"lemmata.kernels.monotone_dbm.{module}"], "fused", lambda x: True)
    np.testing.assert_allclose(kernels.solve(model, **options).q, expected.q, rtol=0, atol=1e-13)
    assert len(taken) == 5  # three, and two more to see whether they cancel
    np.testing.assert_allclose(kernels.prox(x, 0.2, model.states), z, rtol=0, atol=1e-13)
    assert len(taken) > 5


@pytest.mark.triton
def test_the_fused_step_compiles_for_a_hopper_gpu(tmp_path):
    """Needs no GPU."""
    pytest.importorskip("triton")
    code = """
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
        from lemmata.kernels.monotone_dbm import _prox_triton as module

        for double, real in ((True, "*fp64"), (False, "*fp32")):
            for K, KP, rows, flat in ((2, 2, 1024, True), (2, 2, 1024, False), (10, 16, 64, True)):
                kernel = module._step
                constants = dict(K=K, KP=KP, ROWS=rows, EPS=2.2e-16 if double else 1.2e-7, DOUBLE=double, SOFTMAX=False)
                constants |= dict(FLAT=flat, ALONE=flat)
                kinds = dict.fromkeys(kernel.arg_names, real) | {"held": "*u8"}
                kinds |= dict.fromkeys(("count", "n", "start", "nodes"), "i32") | dict.fromkeys(constants, "constexpr")
                aligned = {(i,): [["tt.divisibility", 16]] for i in range(5)}
                source = ASTSource(fn=kernel, signature=kinds, constexprs=constants, attrs=aligned)
                made = triton.compile(source, target=GPUTarget("cuda", 90, 32))
                assert "f64" not in made.asm["ptx"] or double
                # the states of a node lie side by side: neighbouring threads read neighbouring pairs
                assert not flat or "ld.global.v2" in made.asm["ptx"]
    """
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@given(ALPHAS.filter(lambda a: a > 1e-2), st.integers(0, 99))
@settings(max_examples=10)
def test_derivatives_of_the_prox(alpha, seed):
    x = _rows(1, 9, seed)[0] * 30
    states = (2, 3, 4)
    jacobian = torch.autograd.functional.jacobian(lambda y: kernels.prox(y, alpha, states), x)
    z = kernels.prox(x, alpha, states)
    np.testing.assert_allclose(jacobian, kernels.prox_jacobian(z, alpha, states), rtol=0, atol=1e-14 / alpha)
    np.testing.assert_allclose(jacobian, sims.prox_jacobian(z.numpy(), alpha, states), rtol=0, atol=1e-13 / alpha)


def test_the_prox_is_differentiable_twice():
    x = _rows(2, 9)[:, :9].clamp(-3, 3).requires_grad_()
    for alpha in (0.2, 1.0, 3.0):
        assert torch.autograd.gradcheck(lambda y, a=alpha: kernels.prox(y, a, (2, 3, 4)), x)
        assert torch.autograd.gradgradcheck(lambda y, a=alpha: kernels.prox(y, a, (2, 3, 4)), x)


# ------------------------------------------------------------------------------------------- operators


def _dense(operator, n):
    return operator.forward(torch.eye(n, dtype=torch.float64)).detach().T


def _convolution(size, states, groups, kernel, stride, channels, seed=0):
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(channels, groups * states, kernel, kernel, generator=g, dtype=torch.float64)
    return Convolution(size, states, weight, groups, stride)


@pytest.mark.parametrize(
    ("size", "states", "groups", "kernel", "stride"),
    [((6, 6), 2, 1, 3, 1), ((6, 6), 2, 1, 4, 2), ((5, 7), 3, 2, 3, 2), ((5, 7), 3, 2, 5, 3), ((4, 4), 2, 1, 1, 1)],
)
def test_a_convolution_is_a_matrix_with_the_same_blocks_at_every_border(size, states, groups, kernel, stride):
    A = _convolution(size, states, groups, kernel, stride, 4)
    n = A.nodes * states
    dense = _dense(A, n)
    assert dense.shape == (A.rows, n)
    y = _rows(3, A.rows).clamp(-3, 3)
    np.testing.assert_allclose(A.adjoint(y).detach(), y @ dense, rtol=0, atol=1e-12)
    parts = dense.unflatten(1, (A.nodes, states))
    np.testing.assert_allclose(A.blocks()[0].detach(), torch.einsum("rnk,rnl->nkl", parts, parts), rtol=0, atol=1e-12)
    model = MonotoneDBM((states,) * A.nodes, A)
    phi = model.interactions()(torch.eye(n, dtype=torch.float64)).detach()
    for i in range(A.nodes):
        own = slice(i * states, (i + 1) * states)
        assert phi[own, own].abs().max() < 1e-14
    np.testing.assert_allclose(phi, phi.T, rtol=0, atol=1e-14)
    assert torch.linalg.eigvalsh(torch.eye(n) - phi)[0] >= 0.1 - 1e-12


def _layers():
    """An image, a coarser layer of two groups, and a label, coupled by convolutions and matrices."""
    g = torch.Generator().manual_seed(5)
    image, inner = _convolution((4, 4), 2, 1, 4, 2, 3), _convolution((2, 2), 3, 2, 3, 1, 3, seed=1)
    label = Matrix(1, 5, torch.randn(inner.rows, 5, generator=g, dtype=torch.float64))
    A = Layered([(16, 2), (8, 3), (1, 5)], [{0: image, 1: inner, 2: label}, {0: _convolution((4, 4), 2, 1, 3, 1, 2)}])
    return MonotoneDBM(A.states, A, torch.randn(A_n := sum(A.states), generator=g, dtype=torch.float64)), A_n


def test_layers_are_the_model_of_their_matrix():
    model, n = _layers()
    made = model.to_model()
    np.testing.assert_allclose(model.phi().detach(), made.phi, rtol=0, atol=1e-14)
    np.testing.assert_allclose(model.A_hat().detach(), made.A_hat, rtol=0, atol=1e-14)
    assert model.states == made.states == (2,) * 16 + (3,) * 8 + (5,)
    assert abs(model.lipschitz - made.lipschitz) < 1e-12
    for method in METHODS:
        np.testing.assert_allclose(kernels.solve(model, method=method).q, sims.solve(made).q, rtol=0, atol=2e-10)
    target = torch.linspace(0, 1, n, dtype=torch.float64)
    (model().q * target).sum().backward()
    dense = MonotoneDBM.from_model(made)
    (dense().q * target).sum().backward()
    weights = dense.A.grad
    # the label's part of the first row of blocks is a matrix in both
    np.testing.assert_allclose(model.A.parts[0]["2"].weight.grad, weights[: model.A.parts[0]["2"].rows, -5:], atol=1e-9)
    np.testing.assert_allclose(model.bias.grad, dense.bias.grad, rtol=0, atol=1e-9)


def test_the_largest_eigenvalue_of_an_operator():
    g = torch.Generator().manual_seed(0)
    # many eigenvalues near the largest
    crowded = Matrix(150, 2, torch.randn(600, 300, generator=g, dtype=torch.float64))
    for A in (crowded, _convolution((12, 12), 2, 1, 3, 1, 4), _convolution((16, 16), 2, 1, 3, 1, 1)):
        model = MonotoneDBM((2,) * A.nodes, A)
        exact = 1 - float(torch.linalg.eigvalsh(model.phi().detach())[0])
        assert 1.0195 * exact <= model.lipschitz <= 1.0201 * exact  # a margin of 2 %
    with torch.no_grad():
        A.weight.zero_()  # the search is over at once
    assert 1 <= model.lipschitz <= 1.021


class _Comb(torch.nn.Module):
    """Nodes of two states whose differences are coupled by a diagonal matrix; no parameters."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, x):
        return (x[:, ::2] - x[:, 1::2]) * self.weights @ self.mix

    def adjoint(self, y):
        d = y @ self.mix.T * self.weights
        return torch.stack([d, -d], -1).flatten(1)

    def blocks(self):
        square = self.weights.square()[:, None, None] * (self.mix.square().sum(1))[:, None, None]
        return (square * torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).double(),)

    @property
    def mix(self):
        """What all nodes have in common, and each by itself."""
        N = len(self.weights)
        return torch.cat([torch.ones(N, 1), torch.eye(N)], 1).double()


def test_an_operator_without_parameters():
    model = MonotoneDBM((2,) * 5, _Comb(torch.linspace(0.1, 0.5, 5).double()))
    assert model.bias.dtype == torch.float64
    np.testing.assert_allclose(kernels.solve(model).q, sims.solve(model.to_model()).q, rtol=0, atol=2e-10)


@pytest.mark.parametrize("n", [20, 600])
def test_the_largest_eigenvalue_follows_what_is_written_to_data(n):
    g = torch.Generator().manual_seed(0)
    model = MonotoneDBM((2,) * (n // 2), torch.randn(4, n, generator=g, dtype=torch.float64))
    before = model.lipschitz
    model.A.data[:2] = model.A.data[2:]
    assert abs(model.lipschitz - model.to_model().lipschitz) < 1e-9 or n > 256
    assert model.lipschitz > before + 0.1
    held = model.lipschitz
    model.A.data.mul_(1e-3)
    assert model.lipschitz < held
    # m belongs to what is saved
    other = MonotoneDBM((2,) * (n // 2), torch.randn(4, n, generator=g, dtype=torch.float64), m=0.7)
    _ = other.lipschitz
    other.load_state_dict(model.state_dict())
    assert other.m == model.m == 0.1
    assert other.lipschitz == model.lipschitz
    assert MonotoneDBM((2, 2), torch.zeros(0, 4)).bias.dtype == torch.float32


class _Same(Convolution):
    """Padding by which a border's pixels meet fewer taps, with the blocks of the others."""

    @property
    def out_size(self):
        return self.size

    def forward(self, x):
        image = x.unflatten(-1, (*self.size, -1)).movedim(-1, -3)
        return torch.nn.functional.conv2d(image, self.weight, padding=self.weight.shape[-1] // 2).flatten(-3)

    def adjoint(self, y):
        image = y.unflatten(-1, (len(self.weight), *self.size))
        pad = self.weight.shape[-1] // 2
        return torch.nn.functional.conv_transpose2d(image, self.weight, padding=pad).movedim(-3, -1).flatten(-3)


class _Lopsided(Matrix):
    def adjoint(self, y):
        return 2 * super().adjoint(y)


class _Wrong(Matrix):
    def blocks(self):
        return (super().blocks()[0][:1],)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Matrix(2, 2, torch.zeros(3, 5)), ShapeError, r"weight must have shape \(any, 4\)"),
        (lambda: Convolution((4, 4), 2, torch.zeros(3, 3, 3, 3)), ShapeError, r"shape \(any, 2, kernel, kernel\)"),
        (lambda: Convolution((4, 4), 2, torch.zeros(3, 2, 3, 3), stride=4), DomainError, "a stride of 4 leaves out"),
        (lambda: Layered([(2, 2)], []), DomainError, "at least one row"),
        (lambda: Layered([(2, 2)], [{1: Matrix(2, 2, torch.zeros(3, 4))}]), DomainError, "map for layer 1"),
        (lambda: Layered([(2, 3)], [{0: Matrix(2, 2, torch.zeros(3, 4))}]), ShapeError, "for 2 nodes of 2 states"),
        (lambda: MonotoneDBM((2, 2), torch.zeros(3, 5)), ShapeError, r"A must have shape \(any, 4\)"),
        (lambda: MonotoneDBM((2, 2), torch.full((1, 4), torch.nan)), NonFiniteError, "A of sample 0 is nan"),
        (lambda: MonotoneDBM((2, 2), torch.zeros(3, 4), m=1.0), DomainError, r"m must lie in \(0, 1\), got 1.0"),
        (lambda: MonotoneDBM((2, 2), torch.nn.Linear(4, 2)), DomainError, "needs forward, adjoint and blocks"),
        (lambda: MonotoneDBM((2, 3), Matrix(2, 2, torch.ones(3, 4))), ShapeError, "state vectors of 5 entries"),
        (
            lambda: MonotoneDBM((4,), Matrix(2, 2, torch.ones(3, 4))),
            ShapeError,
            r"blocks must have shapes \[\(1, 4, 4\)\]",
        ),
        (lambda: MonotoneDBM((2, 2), _Wrong(2, 2, torch.ones(3, 4))), ShapeError, "blocks must have shapes"),
        (lambda: MonotoneDBM((2, 2), _Lopsided(2, 2, torch.ones(3, 4))), DomainError, "not the adjoint of forward"),
        (
            lambda: MonotoneDBM((2,) * 16, _Same((4, 4), 2, torch.ones(1, 2, 3, 3) / 9)),
            DomainError,
            "node 0 of the run of 2 states is off by 0.0.*full padding",
        ),
        (lambda: MonotoneDBM((2, 2), torch.zeros(3, 4), torch.zeros(3)), ShapeError, "bias must have shape"),
    ],
)
def test_bad_models(make, error, words):
    with pytest.raises(error, match=words):
        make()


# --------------------------------------------------------------------------------------------- solvers


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rank", [1, 11])
def test_solvers_are_those_of_the_simulator(method, rank):
    """Rank 1 is held as A, rank 11 as a matrix."""
    rng = np.random.default_rng(rank)
    model = random_model(seed=rank, rank=(rank, rank))
    bias, mask = 2 * rng.standard_normal((4, model.n)), rng.random((4, len(model.states))) < 0.4
    observed = np.concatenate([np.eye(k)[rng.integers(k, size=4)] for k in model.states], axis=1)
    given = {"bias": bias, "observed": observed, "mask": mask}
    ours, theirs = kernels.solve(model, method=method, **given), sims.solve(model, method="sequential", **given)
    np.testing.assert_allclose(ours.q, theirs.q, rtol=0, atol=2e-10)
    assert ours.q.dtype == torch.float64
    assert (ours.certificate <= 1e-10).all()
    assert bool(ours.converged.all())
    held = np.repeat(mask, model.states, axis=1)
    np.testing.assert_array_equal(ours.q.numpy()[held], observed[held])
    # float32 says so and is as close as it says, up to the rounding of the field
    single = kernels.solve(model, method=method, **given | {"bias": torch.tensor(bias, dtype=torch.float32)})
    assert single.q.dtype == torch.float32
    assert (np.linalg.norm(single.q.numpy() - theirs.q, axis=1) <= 3e-5).all()


@pytest.mark.parametrize("method", [*METHODS, "parallel"])
@pytest.mark.parametrize("rank", [1, 11])
def test_trajectories_are_those_of_the_simulator(method, rank):
    """Rank 1 is held as A, rank 11 as a matrix."""
    rng = np.random.default_rng(rank)
    model = random_model(seed=rank, rank=(rank, rank))
    bias = rng.standard_normal((3, model.n))
    start = np.concatenate([rng.dirichlet(np.ones(k), size=3) for k in model.states], axis=1)
    beyond = None if method in ("sequential", "parallel") else 1.3 * model.step_limit
    if method == "peaceman-rachford":
        start = rng.standard_normal(start.shape)
    for alpha in {None, beyond}:
        given = {"bias": bias, "method": method, "alpha": alpha}
        ours, theirs = (library.trajectory(model, start, 12, **given) for library in (kernels, sims))
        assert ours.shape == (3, 13, model.n)
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)  # averaged iterates can diverge
    module = MonotoneDBM.from_model(model, torch.float32)
    single = kernels.trajectory(module, start[0], 12, bias=bias, method=method)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(
        single, sims.trajectory(model, start[0], 12, bias=bias, method=method), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"steps": -1}, DomainError, "steps must be >= 0"),
        ({"alpha": -1}, DomainError, "alpha must be positive"),
        ({"method": "newton"}, DomainError, "method must be one of"),
        ({"start": [2, 0, 0, 1]}, DomainError, "off by 1"),
        ({"bias": np.zeros((2, 4)), "start": [[0, 1, 0, 1]] * 3}, ShapeError, "bias and start have 2 and 3 samples"),
    ],
)
def test_bad_trajectories(options, error, words):
    chosen = {"start": [0, 1, 0, 1], "steps": 3} | options
    with pytest.raises(error, match=words):
        kernels.trajectory(antiferromagnet(2), chosen.pop("start"), chosen.pop("steps"), **chosen)


def test_device_and_dtype_are_those_of_the_module_or_of_what_is_given():
    model = random_model(seed=1)
    double, single = (MonotoneDBM.from_model(model, dtype) for dtype in (torch.float64, torch.float32))
    expected = sims.solve(model).q
    for module, dtype in ((double, torch.float64), (single, torch.float32)):
        for other in (torch.float64, torch.float32, torch.float16):
            bias = torch.zeros(model.n, dtype=other)
            assert kernels.solve(module, bias=bias).q.dtype == dtype
            assert module(bias).q.dtype == dtype
        np.testing.assert_allclose(kernels.solve(module).q, expected, rtol=0, atol=1e-10 if module is double else 1e-5)
    for other in (torch.float64, torch.float32, torch.float16):
        made = kernels.solve(model, bias=torch.zeros(model.n, dtype=other)).q
        assert made.dtype == (torch.float32 if other == torch.float32 else torch.float64)
    # Python's floats have the digits of float64
    third = [1 / 3 * k for k in range(model.n)]
    np.testing.assert_allclose(kernels.solve(model, bias=third).q, sims.solve(model, bias=third).q, rtol=0, atol=2e-10)
    assert MonotoneDBM((2, 2), [[1 / 3, 0, 0, 0]]).A[0, 0].item() == 1 / 3


def test_parameters_that_have_diverged_are_named():
    model = MonotoneDBM((2, 2, 3), torch.ones(2, 7))
    for value in (torch.nan, torch.inf, 1e25):  # the last one's square is infinite in float32
        model.A.data[0, 0] = value
        with pytest.raises(NonFiniteError, match=r"A' A is not finite in torch\.float32"):
            model()


def test_evidence_may_be_an_array():
    model = random_model(seed=8)
    module = MonotoneDBM.from_model(model)
    mask = np.arange(len(model.states)) % 2 == 0
    observed = np.concatenate([np.eye(k)[0] for k in model.states])
    q, logits = module(np.zeros(model.n), observed=observed, mask=mask)
    expected = sims.solve(model, bias=np.zeros(model.n), observed=observed, mask=mask).q
    np.testing.assert_allclose(q.detach(), expected, rtol=0, atol=2e-10)
    assert logits.requires_grad


def test_every_sample_stops_by_itself():
    model = antiferromagnet(8)
    bias = torch.zeros(3, model.n, dtype=torch.float64)
    bias[1, 0], bias[2, ::2] = 0.3, 9.0
    whole = kernels.solve(model, bias=bias)
    assert len(set(whole.steps.tolist())) > 1
    for b in range(3):
        one = kernels.solve(model, bias=bias[b])
        np.testing.assert_allclose(one.q[0], whole.q[b], rtol=0, atol=1e-14)
        assert one.steps[0] == whole.steps[b]
    assert kernels.solve(model, bias=bias[:0]).q.shape == (0, model.n)


def test_conditioning_is_the_reduced_model():
    model = random_model(seed=8)
    mask = np.zeros(len(model.states), dtype=bool)
    mask[::2] = True
    observed = np.concatenate([np.eye(k)[0] for k in model.states])
    whole = kernels.solve(model, observed=observed, mask=mask).q[0].numpy()
    rest = np.repeat(~mask, model.states)
    reduced = kernels.solve(condition(model, observed, mask)).q[0].numpy()
    np.testing.assert_allclose(whole[rest], reduced, rtol=0, atol=2e-10)
    all_seen = kernels.solve(model, observed=observed, mask=np.ones_like(mask))
    np.testing.assert_array_equal(all_seen.q[0], observed)
    assert all_seen.steps[0] == 0


def test_a_failure_is_said():
    model = antiferromagnet(10, bias=0.3)
    with pytest.raises(NotConverged, match="alternates between two points: use forward-backward") as caught:
        kernels.solve(model, method="parallel", max_steps=200)
    assert caught.value.result.status[0] == OSCILLATING
    partial = kernels.solve(model, max_steps=4, raise_on_fail=False)
    assert not bool(partial.converged.any())
    assert partial.certificate[0] > 1e-10
    assert partial.steps[0] == 4
    with pytest.raises(NotConverged, match="stopped at the limit of 4 steps"):
        MonotoneDBM.from_model(model)(max_steps=4)


def test_low_rank_and_dense_are_one_model():
    model = low_rank_model(20, rank=3, seed=0)
    module = MonotoneDBM.from_model(model)
    assert module.interactions().dense is None
    dense = PairwiseModel(model.states, model.phi, model.bias, guarantee="none")
    np.testing.assert_allclose(kernels.solve(module).q, kernels.solve(dense).q, rtol=0, atol=2e-10)
    np.testing.assert_allclose(module.phi().detach(), model.phi, rtol=0, atol=1e-14)
    x = _rows(3, model.n)
    np.testing.assert_allclose(module.interactions()(x).detach(), x @ torch.tensor(model.phi), rtol=1e-12, atol=1e-10)
    assert kernels.solve(replace(model, A=np.zeros((0, model.n)))).steps.max() == 0


@pytest.mark.parametrize("states", [(2,) * 37, (2,) * 21 + (3,) * 12 + (40,), (2, 3, 2, 3)])
def test_a_block_diagonal_in_groups_is_its_blocks(states):
    """Whole groups, the rest of a run, and nodes larger than a group; with derivatives."""
    n = sum(states)
    A = torch.randn(2, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bias, x, y = _rows(3, n).clamp(-3, 3)
    model = MonotoneDBM(states, A, bias)
    held = model.to_model()
    phi = model.interactions()
    assert phi.dense is None
    np.testing.assert_allclose(phi(x[None])[0].detach(), held.phi @ x.numpy(), rtol=0, atol=1e-12)
    given = []
    for product in (lambda: (phi(x[None])[0] * y).sum(), lambda: x @ model.phi() @ y):
        model.zero_grad()
        product().backward()
        given.append(model.A.grad.clone())
    np.testing.assert_allclose(*given, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rank", [3, 40])
@pytest.mark.parametrize("method", ["forward-backward", "averaged", "parallel"])
def test_binary_nodes_are_solved_by_differences(method, rank, monkeypatch):
    """The same iterates as with all entries, with some nodes observed and softly so."""
    model = low_rank_model(25, rank=rank, seed=1)
    rng = np.random.default_rng(0)
    first = rng.random((4, 25, 1))
    mask = rng.random((4, 25)) < 0.3
    mask[0] = False
    options = {"method": method, "observed": np.concatenate([first, 1 - first], 2).reshape(4, 50), "mask": mask}
    bias = rng.standard_normal((4, 50)) * [[0.1], [1], [3], [3]]
    options |= {"bias": bias, "soft": True, "raise_on_fail": False, "max_steps": 200}
    found = kernels.solve(model, **options)
    monkeypatch.setattr("lemmata.kernels.monotone_dbm.solvers.HALVED", ())
    whole = kernels.solve(model, **options)
    np.testing.assert_allclose(found.q, whole.q, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(found.certificate, whole.certificate, rtol=1e-3, atol=1e-13)
    np.testing.assert_allclose(found.residual, whole.residual, rtol=1e-3, atol=1e-14)
    np.testing.assert_array_equal(found.steps, whole.steps)
    np.testing.assert_array_equal(found.status, whole.status)
    assert found.status[0] == (OSCILLATING if method == "parallel" and rank == 3 else CONVERGED)
    low = MonotoneDBM.from_model(model).interactions().of_differences()
    d = torch.tensor(rng.standard_normal((2, 25)))
    spread = torch.stack([d, -d], -1).flatten(1).numpy() @ model.phi
    np.testing.assert_allclose(low(d).detach(), (spread[:, ::2] - spread[:, 1::2]) / 2, rtol=0, atol=1e-12)


def test_a_large_module_has_a_bound_on_its_eigenvalue():
    model = low_rank_model(150, rank=20, seed=0)
    assert model.lipschitz <= MonotoneDBM.from_model(model).lipschitz <= model.lipschitz + 1
    wide = replace(model, A=np.random.default_rng(0).standard_normal((310, 300)))
    assert wide.lipschitz <= MonotoneDBM.from_model(wide).lipschitz <= wide.lipschitz + 1


@pytest.mark.parametrize("library", [kernels, sims], ids=["kernels", "sims"])
def test_iterates_that_overflow_are_named(library):
    model = antiferromagnet(2, bias=[0, -1.7e308, 0, 0])
    with pytest.raises(NonFiniteError, match="the iterates of sample 0 overflowed"):
        library.solve(model, method="peaceman-rachford", alpha=1e3)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"bias": np.zeros(3)}, ShapeError, "bias must have shape"),
        ({"bias": np.full(6, np.nan)}, NonFiniteError, "bias of sample 0 is nan at entry 0"),
        ({"alpha": 50.0}, DomainError, r"forward-backward needs alpha < 2/\(L - 1\)"),
        ({"alpha": -1.0}, DomainError, "alpha must be positive"),
        ({"method": "newton"}, DomainError, "method must be one of"),
        ({"bias": torch.zeros(6), "tol": 1e-9}, DomainError, "below what torch.float32 can tell"),
        ({"mask": [True, False, False]}, ShapeError, "give both or neither"),
        ({"observed": np.full(6, 0.5), "mask": np.array([True, False, False])}, DomainError, "not one-hot"),
        ({"start": np.zeros(6)}, DomainError, "start must lie on the simplex"),
        ({"bias": np.zeros((2, 6)), "start": np.full((3, 6), 0.5)}, ShapeError, "samples; give as many of each"),
    ],
)
def test_bad_calls(options, error, words):
    with pytest.raises(error, match=words):
        kernels.solve(antiferromagnet(3), **options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gpu_gives_the_same(dtype):
    model = low_rank_model(100, K=3, rank=8, seed=0)
    bias = torch.randn(16, model.n, dtype=dtype)
    here = kernels.solve(model, bias=bias)
    there = kernels.solve(model, bias=bias.cuda())
    np.testing.assert_allclose(there.q.cpu(), here.q, rtol=0, atol=3e-5 if dtype == torch.float32 else 3e-10)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
@pytest.mark.parametrize("alpha", [0.01, 0.3, 1.0, 100.0])
def test_the_prox_on_a_gpu(alpha, dtype, atol):
    x = _rows(6, sum(STATES)).to(dtype)
    here, there = kernels.prox(x, alpha, STATES), kernels.prox(x.cuda(), alpha, STATES)
    np.testing.assert_allclose(there.cpu(), here, rtol=0, atol=atol)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_derivatives_on_a_gpu():
    model = random_model(seed=3, rank=(1, 1))
    mask = torch.zeros(2, len(model.states), dtype=torch.bool)
    mask[1, 0] = True
    observed = torch.cat([torch.eye(k, dtype=torch.float64)[0] for k in model.states])
    gradients = []
    for device in ("cpu", "cuda"):
        module = MonotoneDBM.from_model(model).to(device)
        bias = module.bias.detach().expand(2, -1)
        q = module(bias, observed=observed.to(device), mask=mask.to(device)).q
        (q**2).sum().backward()
        gradients.append(module.A.grad.cpu())
    np.testing.assert_allclose(*gradients, rtol=0, atol=1e-8)
