"""The tangent kernel of one finite network: ``Theta(x, x')_{cc'} = sum_p speed_p df_c(x)/dp df_c'(x')/dp``.

Three ways to it, which share no line but the tile loop:

``jacobian``
    rows of the Jacobian by reverse mode, one a point and output, and their products. Time N C backward passes and
    ``N^2 C^2 P`` multiplications, memory ``2 block C P`` numbers for P parameters.
``vector_product``
    ``J(X) (J(X2)^T v)``: one backward and one forward-mode pass, nothing of size P x N. `kernel_vector_product` applies
    it to one vector (for conjugate gradients and Lanczos); here to as many unit vectors as there are columns.
``structured``
    for chains of linear layers and elementwise activations: ``sum_l (delta_l delta_l'^T) o (h_{l-1} h_{l-1}'^T)``,
    products of forward and backward Gram matrices, nothing of size P. Nearly always the fastest.

The kernel is computed in tiles of `block` points by `block` points, those of the upper triangle where both sets are the
same; the lower half is their mirror image, so that the result is symmetric to the bit.

References
----------
Novak, Sohl-Dickstein and Schoenholz, "Fast finite width neural tangent kernel", ICML 2022.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, jvp, vjp, vmap
from torch.nn.utils.parametrize import is_parametrized

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.kernels.ntk.ensembles import ACTIVATIONS, draw
from lemmata.problems.ntk.networks import Network, check_points
from lemmata.random import check_integer

__all__ = ["FullyConnected", "Method", "Outputs", "empirical_ntk", "kernel_memory", "kernel_vector_product"]

Method = Literal["structured", "jacobian", "vector_product"]
Outputs = Literal["trace", "full"]
Speeds: TypeAlias = Mapping[str, float] | None

#: Default limit on memory in bytes.
LIMIT = 4 * 2**30
#: Modules that act on each entry by itself.
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.Softplus, nn.ELU, nn.Sigmoid, nn.Identity)
DROPOUTS = (nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.RReLU)


class FullyConnected(nn.Module):
    """One member of an ensemble as a module, with parameters as its parametrisation writes them.

    Under ``ntk`` the parameters are standard normals and the forward pass multiplies them by `Network.scales`; under
    ``standard`` they are the weights that act. Under ``mean_field`` they are standard normals, and the learning rate
    carries the factor n.

    Parameters
    ----------
    network : Network
    replicate : int
        Which member; its weights are those of `lemmata.kernels.ntk.train`.
    dtype : torch.dtype
    device : str or torch.device
    seed : int
    """

    def __init__(
        self,
        network: Network,
        *,
        replicate: int = 0,
        dtype: torch.dtype = torch.float64,
        device: str | torch.device = "cpu",
        seed: int,
    ) -> None:
        super().__init__()
        self.network = network
        standard = network.parametrization == "standard"
        ids = torch.tensor([check_integer("replicate", replicate, 0)], device=device)
        layers = draw(network, ids, torch.empty(0, dtype=dtype, device=device), seed=seed)
        #: factors of W and b in the forward pass
        self.factors = [(1.0, 1.0) if standard else scales for scales in network.scales]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for layer, (scale, bias_scale) in zip(layers, self.factors, strict=True):
            self.weights.append(nn.Parameter(layer.weight[0] / scale if scale else layer.weight[0]))
            if layer.bias is not None:
                self.biases.append(
                    nn.Parameter(layer.bias[0, :, 0] / bias_scale if bias_scale else layer.bias[0, :, 0])
                )

    @property
    def speeds(self) -> dict[str, float]:
        """Multiples of the learning rate by parameter name: `Network.rates`, and n under ``mean_field``."""
        rates = self.network.rates or (1.0,) * (self.network.depth + 1)
        factor = self.network.width if self.network.parametrization == "mean_field" else 1
        named = {f"weights.{i}": factor * rate for i, rate in enumerate(rates)}
        return named | {f"biases.{i}": rates[i] for i in range(len(self.biases))}

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (N, C) at points (N, d)."""
        phi = ACTIVATIONS[self.network.activation][0]
        last = len(self.weights) - 1
        for i, (weight, (scale, bias_scale)) in enumerate(zip(self.weights, self.factors, strict=True)):
            x = scale * (x @ weight.mT)
            if len(self.biases):
                x = x + bias_scale * self.biases[i]
            if i < last:
                x = phi(x)
        return x


# ------------------------------------------------------------------------------------------ three methods


def _trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def _push(f: Callable[..., Tensor], parameters: Mapping[str, Tensor], tangent: Mapping[str, Tensor]) -> Tensor:
    """``J tangent`` by forward mode."""
    with warnings.catch_warnings():
        # torch compiles its own rules when forward mode is first used, with a compiler that it deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        return jvp(f, (parameters,), (tangent,))[1]


def _function(model: nn.Module) -> Callable[[Mapping[str, Tensor], Tensor], Tensor]:
    """``f(parameters, X)`` as (N, C); what is frozen stays as it is."""
    frozen = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    frozen |= {name: b.detach() for name, b in model.named_buffers()}

    def f(parameters: Mapping[str, Tensor], X: Tensor) -> Tensor:
        out = functional_call(model, {**frozen, **parameters}, (X,))
        return out[:, None] if out.ndim == 1 else out

    return f


class _Jacobian:
    """Rows of the Jacobian of a block of points, a matrix (T, C, p) for each parameter, times the root of its speed."""

    def __init__(self, model: nn.Module, outputs: int, mode: Outputs, speeds: Speeds) -> None:
        self.parameters, self.f, self.mode = _trained(model), _function(model), mode
        self.roots = {name: (speeds or {}).get(name, 1.0) ** 0.5 for name in self.parameters}
        self.C, self.P = outputs, sum(p.numel() for p in self.parameters.values())

    def features(self, X: Tensor) -> list[Tensor]:
        one = jacrev(lambda parameters, x: self.f(parameters, x[None])[0])
        jacobian = vmap(one, in_dims=(None, 0))(self.parameters, X)
        # no copy of a Jacobian where the speed is 1
        return [
            leaf.flatten(2) if self.roots[name] == 1 else self.roots[name] * leaf.flatten(2)
            for name, leaf in jacobian.items()
        ]

    def gram(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        if self.mode == "trace":
            return sum(x.flatten(1) @ y.flatten(1).mT for x, y in zip(a, b, strict=True)) / self.C  # type: ignore[return-value]
        T, S = len(a[0]), len(b[0])
        total = sum(x.flatten(0, 1) @ y.flatten(0, 1).mT for x, y in zip(a, b, strict=True))
        return total.view(T, self.C, S, self.C).transpose(1, 2)  # type: ignore[union-attr]

    def numbers(self, block: int, columns: int) -> int:
        """Numbers held for a tile of `block` rows: two Jacobians."""
        return 2 * block * self.C * self.P


class _Products(_Jacobian):
    """Columns of the kernel by one forward-mode pass each, over the tangent that one backward pass gave."""

    def columns(self, X: Tensor, X2: Tensor) -> Tensor:
        """(N, C, M, C), or (N, M) for the mean over outputs."""
        speeds = {name: root * root for name, root in self.roots.items()}

        def column(x: Tensor, unit: Tensor) -> Tensor:
            pull: Any = vjp(lambda p: self.f(p, x[None])[0], self.parameters)[1]
            tangent = {name: speeds[name] * value for name, value in pull(unit)[0].items()}
            return _push(lambda p: self.f(p, X), self.parameters, tangent)

        units = torch.eye(self.C, dtype=X.dtype, device=X.device)
        every = vmap(vmap(column, in_dims=(None, 0)), in_dims=(0, None))(X2, units)  # (M, C', N, C)
        if self.mode == "full":
            return every.permute(2, 0, 3, 1)
        return torch.diagonal(every, dim1=1, dim2=3).mean(dim=-1).mT

    def numbers(self, block: int, columns: int) -> int:
        """A tangent of all parameters for each column of a block, and the activations of a block along each."""
        return block * self.C * (2 * self.P + 4 * columns * (self.C + int(self.P**0.5) + 1))


class _Rows(NamedTuple):
    inputs: list[Tensor]
    deltas: list[Tensor]


class _Structured:
    """Inputs h (T, in) and back-propagated signals delta (C, T, out) of every linear layer."""

    def __init__(self, model: nn.Module, outputs: int, mode: Outputs, speeds: Speeds) -> None:
        self.layers = _chain(model, speeds or {})
        self.C, self.mode = outputs, mode

    def features(self, X: Tensor) -> _Rows:
        h = X
        inputs: list[Tensor] = []
        slopes: list[Tensor | None] = []
        for layer in self.layers:
            inputs.append(h)
            z = torch.addmm(layer.bias, h, layer.weight.mT) if layer.bias is not None else h @ layer.weight.mT
            h, slope = layer.activate(z)
            slopes.append(slope)
        # d f_c / d f is a unit vector: the first product picks a row of the readout
        delta = torch.eye(self.C, dtype=X.dtype, device=X.device)[:, None, :].expand(self.C, len(X), self.C)
        deltas: list[Tensor] = []
        for i in range(len(self.layers) - 1, -1, -1):
            slope = slopes[i]
            delta = delta if slope is None else delta * slope
            deltas.insert(0, delta)
            if i:
                delta = delta @ self.layers[i].weight
        return _Rows(inputs, deltas)

    def gram(self, a: _Rows, b: _Rows) -> Tensor:
        total: Any = 0.0
        for layer, h, h2, delta, delta2 in zip(self.layers, a.inputs, b.inputs, a.deltas, b.deltas, strict=True):
            if not layer.speed and not layer.bias_speed:
                continue
            forward = h @ h2.mT
            forward = forward * layer.speed + layer.bias_speed
            if self.mode == "trace":
                T, S = len(h), len(h2)
                one, two = (d.transpose(0, 1).reshape(n, -1) for d, n in ((delta, T), (delta2, S)))
                total = total + forward * (one @ two.mT) / self.C
            else:
                backward = delta[:, None] @ delta2[None].mT  # (C, C', T, S)
                total = total + (forward * backward).permute(2, 3, 0, 1)
        return total

    def numbers(self, block: int, columns: int) -> int:
        """Activations and signals of two blocks, and the Gram matrices of one layer."""
        units = sum(sum(layer.weight.shape) for layer in self.layers)
        each = 1 if self.mode == "trace" else self.C**2
        return 2 * block * units * (1 + 2 * self.C) + 3 * block * block * each


class _Linear(NamedTuple):
    """A linear layer with the weights that act, its speeds, and the activation that follows it."""

    weight: Tensor
    bias: Tensor | None
    speed: float
    bias_speed: float
    activate: Callable[[Tensor], tuple[Tensor, Tensor | None]]


def _last(z: Tensor) -> tuple[Tensor, None]:
    return z, None


def _activation(modules: Sequence[nn.Module]) -> Callable[[Tensor], tuple[Tensor, Tensor | None]]:
    """Value and slope of what stands between two linear layers."""
    if not modules:
        return _last
    if len(modules) == 1 and type(modules[0]) is nn.ReLU:

        def relu(z: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.relu(z)
            return h, h.sign()

        return relu

    def apply(z: Tensor) -> Tensor:
        for module in modules:
            z = module(z.clone())  # it may act in place
        return z

    def differentiated(z: Tensor) -> tuple[Tensor, Tensor]:
        h, pull = vjp(apply, z)[:2]
        return h, pull(torch.ones_like(h))[0]

    return differentiated


def _changed(module: nn.Module) -> str:
    """What makes a module compute something else than its class and its weights say, or nothing."""
    if module._forward_hooks or module._forward_pre_hooks:
        return "a forward hook"
    if is_parametrized(module):
        return "a parametrization"
    kinds = (FullyConnected, nn.Sequential, nn.Linear, *ELEMENTWISE, *DROPOUTS)
    kind = next((kind for kind in kinds if isinstance(module, kind)), None)
    own = kind is not None and getattr(module.forward, "__func__", None) is not kind.forward
    return "a forward of its own" if own else ""


def _chain(model: nn.Module, speeds: Mapping[str, float]) -> list[_Linear]:
    """The linear layers of a `FullyConnected` or of an ``nn.Sequential``; frozen parameters have speed 0.

    Raises
    ------
    DomainError
        Where the model is something else, or computes something else.
    """
    for name, module in model.named_modules():
        if found := _changed(module):
            raise DomainError(
                f"method 'structured' reads the weights of the layers, but {name or 'the model'} "
                f"({type(module).__name__}) has {found}: try method='jacobian' or 'vector_product'"
            )
    if len(list(model.named_parameters(remove_duplicate=False))) > len(list(model.parameters())):
        raise DomainError("two layers share a weight matrix or a bias: try method='jacobian' or 'vector_product'")
    trained = set(_trained(model))

    def speed(name: str) -> float:
        return speeds.get(name, 1.0) if name in trained else 0.0

    if isinstance(model, FullyConnected):
        phi, slope = ACTIVATIONS[model.network.activation]

        def activate(z: Tensor) -> tuple[Tensor, Tensor]:
            h = phi(z)
            return h, slope(z, h)

        layers, last = [], len(model.weights) - 1
        for i, (weight, (scale, bias_scale)) in enumerate(zip(model.weights, model.factors, strict=True)):
            bias = bias_scale * model.biases[i].detach() if len(model.biases) else None
            squares = (
                scale**2 * speed(f"weights.{i}"),
                bias_scale**2 * speed(f"biases.{i}") if bias is not None else 0.0,
            )
            layers.append(_Linear(scale * weight.detach(), bias, *squares, activate if i < last else _last))
        return layers
    if not isinstance(model, nn.Sequential) or not isinstance(next(iter(model), None), nn.Linear):
        raise DomainError(
            f"method 'structured' takes a FullyConnected or an nn.Sequential that starts with nn.Linear, got "
            f"{type(model).__name__}; try method='jacobian' or 'vector_product'"
        )
    # named_children() would leave out a module that stands in two places
    layers, modules = [], list(model._modules.items())
    for i, (name, module) in enumerate(modules):
        if isinstance(module, nn.Linear):
            following: list[nn.Module] = []
            for _, after in modules[i + 1 :]:
                if isinstance(after, nn.Linear):
                    break
                following.append(after)
            bias = None if module.bias is None else module.bias.detach()
            bias_speed = 0.0 if bias is None else speed(f"{name}.bias")
            layers.append(
                _Linear(module.weight.detach(), bias, speed(f"{name}.weight"), bias_speed, _activation(following))
            )
        elif not isinstance(module, (*ELEMENTWISE, *DROPOUTS)):
            raise DomainError(
                f"method 'structured' knows linear layers and elementwise activations, not {type(module).__name__}; "
                "try method='jacobian' or 'vector_product'"
            )
    return layers


METHODS: dict[str, type[Any]] = {"structured": _Structured, "jacobian": _Jacobian, "vector_product": _Products}

# -------------------------------------------------------------------------------------------- public calls


def _check_model(model: nn.Module, speeds: Speeds) -> None:
    """Raise `DomainError` where no kernel is defined: a sample's output that depends on others or on chance."""
    for name, module in model.named_modules():
        batch = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if batch and (module.training or not module.track_running_stats):
            raise DomainError(
                f"{name or 'the model'} is a BatchNorm that mixes the points of a batch: call model.eval() first"
            )
        if isinstance(module, DROPOUTS) and module.training:
            raise DomainError(
                f"{name or 'the model'} is a {type(module).__name__} that draws at random: call model.eval() first"
            )
    trained = _trained(model)
    if not trained:
        raise DomainError("no parameter of the model requires a gradient: there is no kernel")
    if unknown := set(speeds or {}) - set(trained):
        raise DomainError(f"speeds of unknown or frozen parameters {sorted(unknown)}; there are {sorted(trained)}")
    if negative := {name: s for name, s in (speeds or {}).items() if not s >= 0}:
        raise DomainError(f"speeds must be >= 0, got {negative}")


def _check_tensor(name: str, X: Tensor, model: nn.Module) -> None:
    like = next(iter(_trained(model).values()))
    if not isinstance(X, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(X).__name__}")
    if X.dtype != like.dtype or X.device != like.device:
        raise TypeError(f"{name} is {X.dtype} on {X.device}, the model's parameters are {like.dtype} on {like.device}")
    if X.ndim < 2:
        raise ShapeError(f"{name} must have shape (N, ...), got {tuple(X.shape)}")
    check_points(X.detach().flatten(1).cpu().numpy(), name=name)


def _outputs(model: nn.Module, X: Tensor, name: str) -> int:
    """C, from one point."""
    out = model(X[:1])
    if not isinstance(out, Tensor) or out.ndim not in (1, 2) or len(out) != 1:
        shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ShapeError(f"the model must map (N, ...) to (N,) or (N, C); one point of {name} gave {shape}")
    if not bool(torch.isfinite(out).all()):
        raise NonFiniteError(f"the model's output at the first row of {name} is not finite")
    return 1 if out.ndim == 1 else int(out.shape[1])


def _mode(outputs: Outputs | None, C: int) -> Outputs:
    """What was asked for; with one output the two differ in shape only."""
    if outputs is None and C > 1:
        raise DomainError(
            f"the model has {C} outputs, and at finite width each pair has a kernel of its own: say outputs='trace' "
            "for the mean of the diagonal blocks, or 'full'"
        )
    return outputs or "trace"


def _check_words(method: str, outputs: str | None) -> None:
    for name, value, known in (("method", method, get_args(Method)), ("outputs", outputs, (None, *get_args(Outputs)))):
        if value not in known:
            known = tuple(word for word in known if word)
            raise DomainError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def _bytes(way: Any, rows: int, columns: int, block: int, X: Tensor) -> int:
    tile = min(block, max(rows, columns))
    each = 1 if way.mode == "trace" else way.C**2
    return X.element_size() * (rows * columns * each + way.numbers(tile, min(tile, rows)))


@torch.no_grad()
def kernel_memory(
    model: nn.Module,
    X: Tensor,
    X2: Tensor | None = None,
    *,
    method: Method = "structured",
    outputs: Outputs | None = None,
    block: int | None = None,
) -> int:
    """Estimated peak in bytes of `empirical_ntk` with these arguments: its result, and what a tile of it needs.

    Within a factor of 2 of what was measured on networks of half a million parameters, and rather too much than too
    little.

    Parameters
    ----------
    model, X, X2, method, outputs, block
        As for `empirical_ntk`; without a block, one tile of all points.

    Returns
    -------
    int
    """
    _check_words(method, outputs)
    _check_model(model, None)
    C = _outputs(model, X, "X")
    way = METHODS[method](model, C, _mode(outputs, C), None)
    rows, columns = len(X), len(X if X2 is None else X2)
    return _bytes(way, rows, columns, max(rows, columns) if block is None else block, X)


@torch.no_grad()
def empirical_ntk(
    model: nn.Module,
    X: Tensor,
    X2: Tensor | None = None,
    *,
    method: Method = "structured",
    outputs: Outputs | None = None,
    speeds: Speeds = None,
    block: int | None = None,
    limit: float = LIMIT,
) -> Tensor:
    """Tangent kernel of a model in its present state, over the parameters that require a gradient.

    Parameters
    ----------
    model : torch.nn.Module
        Maps (N, ...) to (N,) or (N, C), each point by itself: dropout and batch normalisation must be in eval mode.
    X, X2 : tensors (N, ...), (M, ...)
        In the dtype and on the device of the parameters; X2 = X by default.
    method : {"structured", "jacobian", "vector_product"}
        See the module.
    outputs : {"trace", "full"}
        ``trace``: the mean over outputs of the diagonal blocks, which estimates the kernel that all outputs share as
        the width grows. ``full``: every pair of outputs. To be said where there are several.
    speeds : mapping of parameter name to float, optional
        Multiples of the learning rate; 1 by default.
    block : int, optional
        Points to a side of a tile; by default as many as `limit` allows.
    limit : float
        Bytes that the result and a tile may take, as `kernel_memory` counts them.

    Returns
    -------
    Tensor
        (N, M), or (N, M, C, C) for ``full``, on the device and in the dtype of X. Tiles of another size differ by
        rounding; without X2 the result is symmetric to the bit.

    Raises
    ------
    TypeError
        A tensor of another dtype or device than the model's.
    ShapeError, NonFiniteError
        Points that are no finite (N, ...), outputs that are no (N,) or (N, C).
    DomainError
        An unknown word; a training-mode dropout or batch normalisation; a model without trained parameters, or none
        that `structured` knows (layers with hooks, parametrizations, shared weights or a forward of their own are not);
        unknown or negative speeds; more memory than `limit` even for the smallest block.
    """
    _check_words(method, outputs)
    _check_model(model, speeds)
    _check_tensor("X", X, model)
    if X2 is not None:
        _check_tensor("X2", X2, model)
        if X2.shape[1:] != X.shape[1:]:
            raise ShapeError(f"X has points of shape {tuple(X.shape[1:])}, X2 of {tuple(X2.shape[1:])}")
    C = _outputs(model, X, "X")
    outputs = _mode(outputs, C)
    way = METHODS[method](model, C, outputs, speeds)
    same, other = X2 is None, X if X2 is None else X2
    rows, columns = len(X), len(other)
    size = _block(way, rows, columns, block, limit, X)
    result = X.new_empty((rows, columns) if outputs == "trace" else (rows, columns, C, C))
    for i in range(0, rows, size):
        here = slice(i, min(i + size, rows))
        mine = None if method == "vector_product" else way.features(X[here])
        for j in range(i if same else 0, columns, size):
            there = slice(j, min(j + size, columns))
            if method == "vector_product":
                tile = way.columns(X[here], other[there])
            else:
                tile = way.gram(mine, mine if same and i == j else way.features(other[there]))
            result[here, there] = _symmetric(tile) if same and i == j else tile
            if same and i < j:
                result[there, here] = tile.mT if tile.ndim == 2 else tile.permute(1, 0, 3, 2)
    return result


def _symmetric(tile: Tensor) -> Tensor:
    """The tile with its lower half, of points and outputs together, replaced by the mirror image of the upper one."""
    if tile.ndim == 2:
        return torch.triu(tile) + torch.triu(tile, 1).mT
    T, _, C, _ = tile.shape
    whole = tile.transpose(1, 2).reshape(T * C, T * C)
    return _symmetric(whole).view(T, C, T, C).transpose(1, 2)


def _block(way: Any, rows: int, columns: int, block: int | None, limit: float, X: Tensor) -> int:
    """The block asked for, or the largest power-of-two fraction of all points, that fits the limit."""
    size = max(rows, columns) if block is None else min(check_integer("block", block, 1), max(rows, columns))
    while block is None and size > 1 and _bytes(way, rows, columns, size, X) > limit:
        size = (size + 1) // 2
    needed = _bytes(way, rows, columns, size, X)
    if needed > limit:
        alone = _bytes(way, rows, columns, 1, X)
        advice = (
            f"leave block out, smaller ones fit (a block of 1 needs {alone / 2**30:.3g} GiB)"
            if block is not None and alone <= limit
            else "raise limit, pass fewer points at a time (X2), use float32, outputs='trace' or method='structured'"
        )
        raise DomainError(
            f"a kernel of {rows} x {columns} points needs about {needed / 2**30:.3g} GiB with blocks of {size}, "
            f"the limit is {limit / 2**30:.3g} GiB: {advice}"
        )
    return size


@torch.no_grad()
def kernel_vector_product(
    model: nn.Module, X: Tensor, vector: Tensor, X2: Tensor | None = None, *, speeds: Speeds = None
) -> Tensor:
    """``Theta(X, X2) v`` without the kernel: one backward pass over X2, one forward-mode pass over X.

    Parameters
    ----------
    model : torch.nn.Module
        As for `empirical_ntk`.
    X, X2 : tensors (N, ...), (M, ...)
    vector : tensor (M, C)
        v; for one output (M,) will do.
    speeds : mapping of parameter name to float, optional

    Returns
    -------
    Tensor
        (N, C), or (N,) for a vector (M,): ``sum_{j, c'} Theta(x_i, x_j)_{cc'} v_{jc'}``. Memory: two copies of the
        parameters and the activations of one pass.

    Raises
    ------
    TypeError, ShapeError, NonFiniteError, DomainError
        As `empirical_ntk`, and for a vector of another shape than the outputs at X2.
    """
    _check_model(model, speeds)
    other = X if X2 is None else X2
    for name, points in (("X", X), ("X2", other)):
        _check_tensor(name, points, model)
    C = _outputs(model, X, "X")
    flat = vector.ndim == 1 and C == 1
    v = vector[:, None] if flat else vector
    if v.shape != (len(other), C):
        raise ShapeError(f"the vector must have shape ({len(other)}, {C}), got {tuple(vector.shape)}")
    parameters, f = _trained(model), _function(model)
    pull: Any = vjp(lambda p: f(p, other), parameters)[1]
    tangent = {name: (speeds or {}).get(name, 1.0) * value for name, value in pull(v)[0].items()}
    product = _push(lambda p: f(p, X), parameters, tangent)
    return product[:, 0] if flat else product
