"""Thousands of small fully connected networks, drawn, run and trained at once.

Weights of B networks are tensors ``(B, fan_out, fan_in)``; activations are ``(B, units, N)``, a column a point. A step
of gradient descent is a batched product and an elementwise operation a layer forward, two and one backward, written
by hand: no graph is recorded. On a CUDA device one step is captured as a graph and replayed.

Member r is drawn from counters of its own: weights of layer l from stream 2l, biases from stream 2l + 1 of replicate r.
So any member can be recomputed alone, and what is computed does not depend on `chunk`, the number of networks that are
held at once, but for the order of additions inside a product of matrices (on a CPU the same bits were seen for every
chunk; to rounding in general).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from lemmata.errors import DomainError, NonFiniteError
from lemmata.kernels import _philox
from lemmata.problems.ntk.networks import (
    Loss,
    Network,
    check_points,
    check_targets,
    check_training,
    loss_factor,
    replicate_ids,
)
from lemmata.random import check_integer, check_seed
from lemmata.results import dataset

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["draw", "empirical_kernels", "train"]

#: Bytes of weights and activations that are held at once: on a CPU what its cache holds, on a GPU what keeps it busy.
CACHE, DEVICE = 2**21, 2**31


class Layer(NamedTuple):
    """Weights (B, out, in) and biases (B, out, 1) of a layer of B networks, and the speeds of both."""

    weight: Tensor
    bias: Tensor | None
    speed: float
    bias_speed: float


# ------------------------------------------------------------------------------------------- activations


def _erf_slope(z: Tensor, h: Tensor) -> Tensor:
    return (2 / math.sqrt(math.pi)) * torch.exp(-z * z)


#: phi(z), and phi'(z) from z and phi(z).
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "relu": (torch.relu, lambda z, h: h.sign()),
    "erf": (torch.erf, _erf_slope),
    "tanh": (torch.tanh, lambda z, h: 1 - h * h),
    "linear": (lambda z: z, lambda z, h: torch.ones_like(z)),
}

# ------------------------------------------------------------------------------------------------- drawing


def _normals(shape: tuple[int, int], stream: int, ids: Tensor, like: Tensor, seed: int) -> Tensor:
    """Standard normals (B, out, in), entry i of a member from half of block i // 2."""
    count = shape[0] * shape[1]
    blocks = torch.arange((count + 1) // 2, device=ids.device)
    four = _philox.words(blocks, stream, ids[:, None], seed=seed)
    pair = _philox.normal(four[..., 0], four[..., 1], four[..., 2], four[..., 3], like.dtype)
    return torch.stack(pair, dim=-1).flatten(1)[:, :count].reshape(-1, *shape).contiguous()


def draw(network: Network, replicates: Tensor, like: Tensor, *, antithetic: bool = False, seed: int) -> list[Layer]:
    """Layers of the members `replicates` at initialisation, in the dtype and on the device of `like`.

    Parameters
    ----------
    network : Network
    replicates : int64 tensor (B,)
    like : Tensor
    antithetic : bool
        Members 2r and 2r + 1 share the draw r, with readouts of opposite sign: f_0 changes sign, the kernel does not.
    seed : int

    Returns
    -------
    list of Layer
        Weights that act, of standard deviation `Network.scales`. Memory: `Network.parameters` numbers a member, and
        while a layer is drawn some 20 times that of its int64 words.
    """
    source, member = torch.unique(replicates // 2, return_inverse=True) if antithetic else (replicates, None)

    def normals(shape: tuple[int, int], stream: int) -> Tensor:
        drawn = _normals(shape, stream, source, like, seed)
        return drawn if member is None else drawn[member]

    layers = []
    for i, (shape, (scale, bias_scale), (speed, bias_speed)) in enumerate(
        zip(network.shapes, network.scales, network.speeds, strict=True)
    ):
        weight = normals(shape, 2 * i).mul_(scale)
        bias = None
        if network.biases:
            bias = normals((shape[0], 1), 2 * i + 1).mul_(bias_scale)
        layers.append(Layer(weight, bias, speed, bias_speed))
    if antithetic:
        sign = (1 - 2 * (replicates % 2)).to(like.dtype)[:, None, None]
        for part in layers[-1][:2]:
            if part is not None:
                part.mul_(sign)
    return layers


# ------------------------------------------------------------------------------------- forward and backward


def _forward(layers: Sequence[Layer], activation: str, x: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Inputs h of every layer, slopes phi' of every hidden layer, and outputs (B, C, N); `x` is (d, N)."""
    phi, slope = ACTIVATIONS[activation]
    h = x.expand(len(layers[0].weight), *x.shape)
    inputs: list[Tensor] = [h]
    slopes: list[Tensor] = []
    for i, layer in enumerate(layers):
        z = torch.bmm(layer.weight, h) if layer.bias is None else torch.baddbmm(layer.bias, layer.weight, h)
        if i + 1 == len(layers):
            return inputs, slopes, z
        h = phi(z)
        slopes.append(slope(z, h))
        inputs.append(h)
    raise AssertionError("a network has at least one layer")


def _backward(layers: Sequence[Layer], slopes: Sequence[Tensor], delta: Tensor) -> Iterator[tuple[int, Tensor]]:
    """``(i, d<delta, f>/dz^i)`` from the last layer to the first, each computed before the layer may be changed."""
    for i in range(len(layers) - 1, -1, -1):
        below = torch.bmm(layers[i].weight.mT, delta).mul_(slopes[i - 1]) if i else None
        yield i, delta
        if below is not None:
            delta = below


def _step(layers: Sequence[Layer], activation: str, x: Tensor, y: Tensor, rate: float) -> None:
    """One step of gradient descent on ``sum (f - y)^2 / 2`` with learning rate `rate`, in place."""
    inputs, slopes, f = _forward(layers, activation, x)
    for i, delta in _backward(layers, slopes, f - y):
        layer = layers[i]
        if layer.speed:
            layer.weight.baddbmm_(delta, inputs[i].mT, alpha=-rate * layer.speed)
        if layer.bias is not None and layer.bias_speed:
            layer.bias.sub_(delta.sum(dim=2, keepdim=True), alpha=rate * layer.bias_speed)


def _kernels(layers: Sequence[Layer], activation: str, x: Tensor) -> Tensor:
    """Empirical kernels (B, N, N), the mean over outputs of the diagonal blocks, in float64.

    ``sum_l speed_l (delta^T delta) o (h^T h) + bias_speed_l delta^T delta``, summed over the output that delta starts
    from.
    """
    inputs, slopes, f = _forward(layers, activation, x)
    total = torch.zeros(len(f), x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    grams = [torch.bmm(h.mT, h) for h in inputs]
    for c in range(f.shape[1]):
        start = torch.zeros_like(f)
        start[:, c] = 1
        for i, delta in _backward(layers, slopes, start):
            backward = torch.bmm(delta.mT, delta)
            total += layers[i].speed * (backward * grams[i]) + layers[i].bias_speed * backward
    return total / f.shape[1]


# ------------------------------------------------------------------------------------------------ training


def _stepper(layers: Sequence[Layer], activation: str, x: Tensor, y: Tensor, rate: float) -> Callable[[int], None]:
    """``advance(count)``: so many steps, as a replayed graph on a CUDA device and as a loop elsewhere."""

    def step() -> None:
        _step(layers, activation, x, y, rate)

    if not x.is_cuda:

        def loop(count: int) -> None:
            for _ in range(count):
                step()

        return loop

    state = [part.clone() for layer in layers for part in layer[:2] if part is not None]
    side = torch.cuda.Stream(x.device)
    side.wait_stream(torch.cuda.current_stream(x.device))
    with torch.cuda.stream(side):  # libraries choose their workspaces before the capture
        step()
    torch.cuda.current_stream(x.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    for part, saved in zip((p for layer in layers for p in layer[:2] if p is not None), state, strict=True):
        part.copy_(saved)  # the warm-up moved them

    def replay(count: int) -> None:
        for _ in range(count):
            graph.replay()

    return replay


@contextmanager
def _one_thread(like: Tensor) -> Iterator[None]:
    """One thread on a CPU: products this small only make threads wait, and their number would change the last bits."""
    threads = torch.get_num_threads()
    if not like.is_cuda:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _chunk(network: Network, points: int, like: Tensor, chunk: int | None) -> int:
    """Networks held at once: as many as `CACHE` or `DEVICE` bytes hold, at least one."""
    if chunk is not None:
        return check_integer("chunk", chunk, 1)
    units = network.inputs + network.depth * network.width + network.outputs
    each = like.element_size() * (network.parameters + 3 * units * points)
    return max(1, (DEVICE if like.is_cuda else CACHE) // each)


def _check_tensor(name: str, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.dtype not in (torch.float64, torch.float32):
        raise TypeError(f"{name} must be float64 or float32, got {value.dtype}")


def _check_rate(network: Network, first: Sequence[Layer], x: Tensor, rate: float, eta: float) -> None:
    """Raise `DomainError` where gradient descent would diverge on the linearised first member."""
    largest = float(torch.linalg.eigvalsh(_kernels(first, network.activation, x)[0])[-1])
    if rate * largest >= 2:
        hint = f"; under 'standard' the kernel grows with the width n = {network.width}: divide eta by it"
        raise DomainError(
            f"eta = {eta:g} is not below {2 * eta / (rate * largest):.4g}, where gradient descent starts to diverge "
            f"(2 over the largest eigenvalue {largest:.4g} of member 0's kernel, loss convention included)"
            + hint
            * (network.parametrization == "standard")
        )


@torch.no_grad()
def train(
    network: Network,
    X: Tensor,
    Y: Tensor,
    *,
    eta: float,
    steps: int,
    loss: Loss,
    X_test: Tensor | None = None,
    at: Sequence[int] | None = None,
    kernels: bool = False,
    motion: bool = False,
    antithetic: bool = False,
    chunk: int | None = None,
    replicates: int | Sequence[int],
    seed: int,
) -> xr.Dataset:
    """Train an ensemble by full-batch gradient descent, every member from its own draw.

    ``theta <- theta - eta speed dLoss/dtheta``, with the speeds of the parametrisation (`Network.speeds`).

    Parameters
    ----------
    network : Network
    X, Y : float64 or float32 tensors (N, d), (N, C)
        Training points and targets; they say on which device and in which dtype to work.
    eta : float
        Learning rate, below 2 over the largest eigenvalue of the kernel (times 2/(N C) for the mean loss).
    steps : int
    loss : {"half_sum", "mean"}
        ``sum (f - y)^2 / 2`` over points and outputs, or the mean of ``(f - y)^2`` over both. No default: they differ
        by the factor 2/(N C) in time.
    X_test : tensor (M, d), optional
        Points that are watched beside X.
    at : sequence of int, optional
        Steps at which to record; (0, steps) by default.
    kernels : bool
        Whether to record the empirical kernel at all N + M points.
    motion : bool
        Whether to record ``|W_t - W_0|_F / |W_0|_F`` of each layer; needs ``sw2 > 0``.
    antithetic : bool
        Members 2r and 2r + 1 differ in the sign of their readouts at initialisation. Each is a fair draw, and the mean
        of the pair is free of f_0 to first order.
    chunk : int, optional
        Networks held at once.
    replicates : int or sequence of int
        Number of members, or their ids.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``output`` (replicate, step, point, output), float64: the N training points, then the M others; ``loss``
        (replicate, step), as `loss` says, on the training points; ``kernel`` (replicate, step, point, other), mean over
        the outputs; ``motion`` (replicate, step, layer).
        Memory: the outputs, 8 (N + M) C bytes a member and recorded step, and `chunk` times the parameters and three
        times the activations of one member. On a CPU one thread works.

    Raises
    ------
    TypeError
        X, Y or X_test is not a float32 or float64 tensor, or they differ in dtype or device; steps, chunk or replicates
        that are no integers.
    ShapeError, NonFiniteError, DomainError
        See `check_points`, `check_targets`, `check_training`; eta so large that gradient descent diverges; motion
        of weights that start at 0; a member that diverged all the same (`NonFiniteError`, its id in the message).
    """
    points = [("X", X), ("Y", Y), *([("X_test", X_test)] if X_test is not None else [])]
    for name, value in points:
        _check_tensor(name, value)
        if value.dtype != X.dtype or value.device != X.device:
            raise TypeError(f"{name} is {value.dtype} on {value.device}, X is {X.dtype} on {X.device}")
    check_points(X.cpu().numpy(), network.inputs)
    check_targets(Y.cpu().numpy(), len(X), network.outputs)
    if X_test is not None:
        check_points(X_test.cpu().numpy(), network.inputs, "X_test")
    kept = check_training(eta, steps, loss, at)
    ids, seed = replicate_ids(replicates), check_seed(seed)
    if motion and not network.sw2:
        raise DomainError("motion is relative to the initial weights, and sw2 = 0 makes them 0: leave motion out")

    every = (X if X_test is None else torch.cat((X, X_test))).mT.contiguous()
    x, y, rate = X.mT.contiguous(), Y.mT.contiguous(), eta * loss_factor(loss, *Y.shape)
    where = torch.tensor(ids, device=X.device)
    shape = (len(ids), kept.size)
    output = torch.empty(*shape, every.shape[1], network.outputs, dtype=torch.float64)
    losses = torch.empty(*shape, dtype=torch.float64)
    grams = torch.empty(*shape, *(every.shape[1],) * 2 if kernels else (0, 0), dtype=torch.float64)
    moved = torch.empty(*shape, network.depth + 1 if motion else 0, dtype=torch.float64)
    with _one_thread(X):
        if steps:
            first = draw(network, where[:1], X, antithetic=antithetic, seed=seed)
            _check_rate(network, first, x, rate, eta)
        size = _chunk(network, every.shape[1], X, chunk)
        for start in range(0, len(ids), size):
            part = slice(start, start + size)
            layers = draw(network, where[part], X, antithetic=antithetic, seed=seed)
            initial = [layer.weight.clone() for layer in layers] if motion else []
            advance = _stepper(layers, network.activation, x, y, rate) if steps else None
            done = 0
            for r, step in enumerate(kept.tolist()):
                if advance is not None and step > done:
                    advance(step - done)
                    done = step
                f = _forward(layers, network.activation, every)[2].to(torch.float64)
                output[part, r] = f.mT.cpu()
                residual = f[:, :, : len(X)] - y
                losses[part, r] = (residual**2).sum(dim=(1, 2)).cpu() * (0.5 if loss == "half_sum" else 1 / Y.numel())
                if kernels:
                    grams[part, r] = _kernels(layers, network.activation, every).cpu()
                for i, weight in enumerate(initial):
                    change = torch.linalg.vector_norm(layers[i].weight - weight, dim=(1, 2))
                    moved[part, r, i] = (change / torch.linalg.vector_norm(weight, dim=(1, 2))).to(torch.float64).cpu()
    finite = torch.isfinite(output).flatten(1).all(dim=1)
    if not bool(finite.all()):
        bad = int((~finite).nonzero()[0])
        raise NonFiniteError(
            f"{int((~finite).sum())} of {len(ids)} members diverged, the first is {ids[bad]}: lower eta = {eta:g}",
            index=(bad,),
        )
    variables = {
        "output": (("replicate", "step", "point", "output"), output.numpy(), "f, training points first"),
        "loss": (("replicate", "step"), losses.numpy(), loss),
    }
    if kernels:
        variables["kernel"] = (("replicate", "step", "point", "other"), grams.numpy(), "mean over outputs")
    if motion:
        variables["motion"] = (("replicate", "step", "layer"), moved.numpy(), "|W_t - W_0| / |W_0|")
    return dataset(
        variables,
        {"replicate": ids, "step": kept},
        parametrization=network.parametrization,
        loss=loss,
        eta=eta,
        width=network.width,
        antithetic=int(antithetic),
        dtype=str(X.dtype).removeprefix("torch."),
        seed=seed,
    )


def empirical_kernels(
    network: Network, X: Tensor, *, chunk: int | None = None, replicates: int | Sequence[int], seed: int
) -> xr.Dataset:
    """Outputs and empirical kernels of an ensemble at initialisation: `train` without a step.

    Returns
    -------
    xarray.Dataset
        ``output`` (replicate, point, output) and ``kernel`` (replicate, point, other).
    """
    _check_tensor("X", X)
    Y = torch.zeros(len(X), network.outputs, dtype=X.dtype, device=X.device)
    run = train(
        network, X, Y, eta=1.0, steps=0, loss="half_sum", kernels=True, chunk=chunk, replicates=replicates, seed=seed
    )
    return run[["output", "kernel"]].isel(step=0, drop=True)
