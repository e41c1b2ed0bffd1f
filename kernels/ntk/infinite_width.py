"""Kernels of infinitely wide fully connected networks, a tile of pairs at a time.

A tile is one product of matrices, of points divided by the roots of their variances, and then all layers of its pairs;
nothing of the kernel's size is held beside the kernel, and the host waits for nothing from the first tile to the last.
On a CUDA device one Triton kernel does a tile in registers for the piecewise-linear activations, step and erf; anywhere
else, and for the other activations, torch does.

The state of a pair is what `lemmata.sims.ntk` makes it. For an activation with a kink it is ``w = 1 - |cos|``, with a
flag for cosines below 0: such a layer needs the angle, which is lost near 0 and pi when its cosine is rounded. Where w
is small it is taken again from ``|u - v|^2 / 2``. What depends on one point alone, the diagonal above all, is computed
once for each point, in float64.

A float32 kernel is computed in float32 where that costs no digits, in the layers of piecewise-linear activations, from
w of a float64 product, which is off by 1e-16 and its angle by 2e-8 at most (in Triton: of a product as good as
float32, and from differences where w is small). The layers of a step take the root of an angle each, and a covariance
can lose all its digits in a difference: all other layers are float64, and rounded once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.ntk.activations import Activation, as_activation, dual_diagonal
from lemmata.problems.ntk.infinite_width import InfiniteNetwork, Lazy, Tables, tables
from lemmata.problems.ntk.networks import check_points

__all__ = ["Kernels", "fc_kernels", "nngp", "ntk"]

#: Rows and columns of a tile: on a CPU what a second-level cache holds, on a GPU what keeps it busy.
BLOCK, DEVICE = 256, 2048
#: Below this 1 - |cos| is taken from differences in float64: there rounding of the product costs the angle over 1e-14.
NEAR = 1e-3
#: Variances and kernels in float32 must stay between these, so that products of two of them are numbers.
LARGEST, SMALLEST = 1e15, 1e-15
#: Families whose state is an angle, and families that Triton knows.
ANGULAR, FUSED = ("piecewise", "step"), ("piecewise", "step", "erf")


class Kernels(NamedTuple):
    """Both kernels of a network of infinite width, tensors (n, m)."""

    nngp: Tensor
    ntk: Tensor


class _Points(NamedTuple):
    """What pairs need of their points, which lie along the last axis of every table but `unit`."""

    unit: Tensor  # (n, d + 1), float64: inputs and bias of the first layer, divided by sqrt(q^1): |u| = 1
    roots: Tensor  # the rest as in `Tables`
    inverse: Tensor
    sizes: Tensor
    coefficients: Tensor

    def at(self, part: slice | Tensor, axis: int | None = None) -> _Points:
        """Some of the points, their tables with an axis of length 1 beside them where a tile is to be made."""
        unit, *tables = (self.unit[part], *(table[..., part] for table in self[1:]))
        return _Points(unit, *(table if axis is None else table.unsqueeze(axis) for table in tables))


# ------------------------------------------------------------------------------------------------- layers


def _covariance(w: Tensor, far: Tensor, a: Tensor, b: Tensor) -> Tensor:
    cosine = 1 - w
    return torch.where(far, -cosine, cosine).mul_(a * b)


def _folded(turned: Tensor) -> tuple[Tensor, Tensor]:
    """w and its flag from ``1 - cos`` in [0, 2]."""
    far = turned > 1
    return torch.where(far, 2 - turned, turned).clamp_min_(0), far


def _angular(network: InfiniteNetwork, w: Tensor, far: Tensor, a: _Points, b: _Points) -> tuple[Tensor, Tensor]:
    """K and Theta from ``w = 1 - |cos|`` and ``far = cos < 0`` of the first layer.

    With t the angle and g = sin t - t cos t, a piecewise-linear layer has ``cos' = cos t + (bend/pi) g`` and for
    cosines below 0 the same from pi - t; a step has ``cos' = 1 - t/pi`` and no slope. For the variances ``c^2 = weight
    s^2 + sb2`` and ``d^2`` of the next layer ``c d (1 - cos) = h + weight s s' (1 - cos')`` with h, what the cosine
    loses to unequal norms, by Lagrange's identity.
    """
    phi, sw2, sb2 = network.activation, network.sw2, network.sb2
    k, bend = phi.mean_square_slope, phi.bend
    theta = _covariance(w, far, a.roots[0], b.roots[0]).mul_(network.shares[0][0])
    for layer, (gain, shift) in enumerate(network.shares[1:]):
        cosine, sine = 1 - w, (w * (2 - w)).sqrt_()
        t = torch.atan2(sine, cosine)
        if phi.family == "step":
            turned = torch.where(far, 1 - t / math.pi, t / math.pi)
            theta = torch.zeros_like(theta)
        else:
            rate = bend / math.pi
            turned = torch.where(far, 2 - bend + (bend - 1) * w, w).sub_(sine.sub_(cosine.mul_(t)), alpha=rate)
            theta = torch.where(far, 1 - bend + rate * t, 1 - rate * t).mul_(theta).mul_(sw2 * k)
        product = a.sizes[layer] * b.sizes[layer]
        theta.add_((1 - turned).mul_(product), alpha=gain * k).add_(shift)
        if sb2:
            product.mul_(sw2 * k)
            whole, gap = a.roots[layer + 1] * b.roots[layer + 1], a.sizes[layer] - b.sizes[layer]
            h = gap.square_().mul_(sw2 * k * sb2).div_(whole + product + sb2)
            turned = turned.mul_(product).add_(h).div_(whole)
        w, far = _folded(turned)
    return _covariance(w, far, a.roots[-1], b.roots[-1]), theta


def _erf(q: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """``T = (2/pi) arctan(2 q / D)``, ``T' = (4/pi) / D``, with D^2 = 1 + 2 q11 + 2 q22 + 4 (q11 q22 - q12^2)."""
    product = a * b
    square = (product - q).mul_(product + q).clamp_min_(0).mul_(4).add_(1 + 2 * (a * a + b * b))
    D = square.sqrt_()
    return torch.atan2(2 * q, D).mul_(2 / math.pi), (4 / math.pi) / D


def _sin(q: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """``T = e^{-(q11 + q22)/2} sinh q12``, ``T' = e^{-(q11 + q22)/2} cosh q12``."""
    half = (a * a + b * b) / 2
    up, down = ((sign * q - half).clamp_max_(0).exp_() for sign in (1, -1))  # |q12| <= half, but for rounding
    value = torch.where(q.abs() < 1, torch.exp(-half) * torch.sinh(q.clamp(-1, 1)), (up - down) / 2)
    return value, up.add_(down).div_(2)


def _quadratic(q: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """``T = q11 q22 + 2 q12^2``, ``T' = 4 q12``."""
    return (a * b).square_().add_(q * q, alpha=2), 4 * q


def _series(q: Tensor, a: Tensor, b: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """``T = sum_k a_k b_k c^k`` for ``c = scale q`` and its slope, by Horner's rule."""
    c = (q * scale).clamp_(-1, 1)
    value, slope = torch.zeros_like(q), torch.zeros_like(q)
    for one, other in zip(a.flip(0), b.flip(0), strict=True):
        torch.addcmul(value, slope, c, out=slope)
        value.mul_(c).addcmul_(one, other)
    return value, slope.mul_(scale)


DUALS = {"erf": _erf, "sin": _sin, "quadratic": _quadratic}


def _smooth(network: InfiniteNetwork, cosine: Tensor, a: _Points, b: _Points) -> tuple[Tensor, Tensor]:
    """K and Theta from the cosine of the first layer."""
    family = network.activation.family
    q = cosine.mul_(a.roots[0] * b.roots[0])
    theta = network.shares[0][0] * q
    for layer, (gain, shift) in enumerate(network.shares[1:]):
        if family == "smooth":
            scale = a.inverse[layer] * b.inverse[layer]
            value, slope = _series(q, a.coefficients[layer], b.coefficients[layer], scale)
        else:
            value, slope = DUALS[family](q, a.roots[layer], b.roots[layer])
        theta.mul_(slope).mul_(network.sw2).add_(value, alpha=gain).add_(shift)
        q = value.mul_(network.sw2).add_(network.sb2)
    return q, theta


# -------------------------------------------------------------------------------------------------- tiles


def _tiles(n: int, m: int, size: int, symmetric: bool) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of every tile, on and above the diagonal where the kernel is symmetric."""
    for i in range(0, n, size):
        for j in range(i if symmetric else 0, m, size):
            yield slice(i, min(i + size, n)), slice(j, min(j + size, m))


def _cosines(x: _Points, y: _Points, rows: slice, columns: slice) -> Tensor:
    return x.unit[rows] @ y.unit[columns].mT


def _fill(network: InfiniteNetwork, x: _Points, y: _Points | None, outs: Sequence[Tensor | None]) -> None:
    """Write the kernels that are asked for, all but their diagonal."""
    symmetric = y is None
    other = x if y is None else y
    angular, dtype = network.activation.family in ANGULAR, x.roots.dtype
    tiles = list(_tiles(len(x.unit), len(other.unit), DEVICE if x.unit.is_cuda else BLOCK, symmetric))
    near = []
    for rows, columns in tiles:
        cosine = _cosines(x, other, rows, columns)
        a, b = x.at(rows, -1), other.at(columns, -2)
        if angular:
            w = (1 - cosine.abs()).clamp_min_(0)
            if dtype == torch.float64:
                if symmetric and rows == columns:
                    w.fill_diagonal_(1)
                near.append((w < NEAR).any())
            found = _angular(network, w.to(dtype), cosine < 0, a, b)
        else:
            found = _smooth(network, cosine, a, b)
        for out, tile in zip(outs, found, strict=True):
            if out is None:
                continue
            if symmetric and rows == columns:  # rounding of the product need not be symmetric
                out[rows, columns] = torch.triu(tile) + torch.triu(tile, 1).mT
            else:
                out[rows, columns] = tile
                if symmetric:
                    out[columns, rows] = tile.mT
    if near:
        for (rows, columns), some in zip(tiles, torch.stack(near).tolist(), strict=True):
            if some:
                _mend(network, x, other, rows, columns, symmetric, outs)


def _mend(
    network: InfiniteNetwork,
    x: _Points,
    y: _Points,
    rows: slice,
    columns: slice,
    symmetric: bool,
    outs: Sequence[Tensor | None],
) -> None:
    """Pairs of a tile with small ``1 - |cos|``, once more, from ``|u - v|^2 / 2`` or, opposite, ``|u + v|^2 / 2``."""
    cosine = _cosines(x, y, rows, columns)
    close = cosine.abs() > 1 - NEAR
    if symmetric and rows == columns:
        close = close.triu_(1)
    size = max(1, cosine.numel() // x.unit.shape[1])  # so that differences take no more than the tile
    for pairs in close.nonzero().split(size):
        far = cosine[pairs[:, 0], pairs[:, 1]] < 0
        i, j = pairs[:, 0] + rows.start, pairs[:, 1] + columns.start
        a, b = x.at(i), y.at(j)
        sign = torch.where(far, 1.0, -1.0).to(a.unit)[:, None]
        w = torch.addcmul(a.unit, sign, b.unit).square_().sum(1) / 2
        for out, found in zip(outs, _angular(network, w, far, a, b), strict=True):
            if out is not None:
                out[i, j] = found = found.to(out.dtype)
                if symmetric:
                    out[j, i] = found


# -------------------------------------------------------------------------------------------- entry points


def _points(x: Any, name: str, device: torch.device | str | None) -> Tensor:
    """Points in float64, a finite matrix."""
    if not isinstance(x, Tensor):
        check_points(x, None, name)
        return torch.tensor(np.ascontiguousarray(x, dtype=np.float64), device=device)
    if x.requires_grad:
        raise TypeError(f"{name} requires a gradient, and none is propagated through these kernels: pass x.detach()")
    if x.is_complex() or x.dtype == torch.bool:
        raise TypeError(f"{name} must hold real numbers, got dtype {x.dtype}")
    found = x.to(device=device, dtype=torch.float64)
    if found.ndim != 2 or 0 in found.shape or not bool(torch.isfinite(found).all()):
        check_points(found.cpu().numpy(), None, name)
    return found


def _tangents(network: InfiniteNetwork, of: Tables) -> np.ndarray:
    """Theta^l(x, x), float64[L + 1, N]."""
    q = of.roots**2
    found = [network.shares[0][0] * q[0]]
    for layer, (gain, shift) in enumerate(network.shares[1:]):
        a = of.coefficients[layer] if len(of.coefficients) else None
        value, slope = dual_diagonal(network.activation, q[layer], a)
        found.append(gain * value + shift + network.sw2 * slope * found[-1])
    return np.stack(found)


def _check_float32(network: InfiniteNetwork, variances: np.ndarray, tangents: np.ndarray) -> None:
    """Raise `DomainError` where float32 would overflow or lose digits to subnormal numbers."""
    if (most := max(network.sw2, network.sb2, *(network.rates or (1.0,)))) > LARGEST:
        raise DomainError(f"float32 can carry sw2, sb2 and rates up to {LARGEST:g}, got {most:g}: take torch.float64")
    for name, value in (("variance", variances), ("tangent kernel", tangents)):
        bad = np.argwhere((value > LARGEST) | ((value < SMALLEST) & (value > 0)))
        if len(bad):
            layer, row = bad[0]
            raise DomainError(
                f"the {name} of row {row} leaves [{SMALLEST:g}, {LARGEST:g}], what float32 can carry, in layer "
                f"{layer + 1} of {len(value)}: {value[layer, row]:.4g}. Take dtype=torch.float64, or rescale the "
                "inputs; a ReLU network keeps its variances at sw2 = 2."
            )


def _run(
    network: InfiniteNetwork,
    x: Any,
    y: Any,
    device: torch.device | str | None,
    dtype: torch.dtype,
    *,
    want_nngp: bool,
    want_ntk: bool,
) -> list[Tensor]:
    if dtype not in (torch.float64, torch.float32):
        raise TypeError(f"dtype must be torch.float64 or torch.float32, got {dtype}")
    X = _points(x, "x", device)
    Y = None if y is None else _points(y, "y", X.device)
    if Y is not None and X.shape[1] != Y.shape[1]:
        raise ShapeError(
            f"x and y must have the same number of columns, got shapes {tuple(X.shape)} and {tuple(Y.shape)}"
        )
    inputs, sides = X.shape[1], [X] if Y is None else [X, Y]
    square = torch.cat([torch.linalg.vecdot(side, side) for side in sides])
    both = tables(network, square.cpu().numpy(), inputs)
    coefficients = both.coefficients.reshape(*both.coefficients.shape[:2], len(square))  # an axis of points if empty
    variances, tangents = both.roots**2, _tangents(network, both)
    if dtype == torch.float32:
        _check_float32(network, variances, tangents)
    layers = dtype if network.activation.family == "piecewise" else torch.float64
    points, start = [], 0
    for side in sides:
        part = slice(start, start := start + len(side))
        inverse = torch.tensor(both.inverse[0, part], device=X.device)[:, None]
        unit = torch.nn.functional.pad(side * math.sqrt(network.sw2 / inputs), (0, 1), value=math.sqrt(network.sb2))
        held = (torch.tensor(table[..., part], dtype=layers, device=X.device) for table in (*both[:3], coefficients))
        points.append(_Points(unit.mul_(inverse), *held))
    shape = (len(sides[0]), len(sides[-1]))
    outs = [torch.empty(shape, dtype=dtype, device=X.device) if want else None for want in (want_nngp, want_ntk)]
    fill = _fill
    if X.is_cuda and network.activation.family in FUSED and find_spec("triton"):
        from lemmata.kernels.ntk import _infinite_width_triton

        fill = _infinite_width_triton.fill
    with torch.no_grad():
        fill(network, points[0], points[1] if len(points) > 1 else None, outs)
        if Y is None:
            for out, diagonal in zip(outs, (variances[-1], tangents[-1]), strict=True):
                if out is not None:
                    out.diagonal().copy_(torch.from_numpy(diagonal))
    return [out for out in outs if out is not None]


def nngp(
    x: Any,
    y: Any = None,
    *,
    depth: int,
    activation: str | Activation,
    sw2: float = 1.0,
    sb2: float = 0.0,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """The NNGP kernel ``q^{L+1}``: covariance of the outputs of a wide network at initialisation.

    ``q^1 = sw2 x.x'/d + sb2``, ``q^{l+1} = sw2 E phi(u) phi(v) + sb2`` for (u, v) ~ N(0, q^l). It is the same in the
    parametrisations ``ntk`` and ``standard``.

    Parameters
    ----------
    x : array or tensor (n, d)
        Not differentiated.
    y : array or tensor (m, d), optional
        By default x itself, and the result is symmetric to the bit.
    depth : int
        L, the number of hidden layers.
    activation : str or Activation
        See `ACTIVATIONS`, `leaky_relu`, `smooth`.
    sw2, sb2 : float
        Variances of weights (times fan_in) and of biases.
    device : torch.device or str, optional
        Where to compute; by default where x is.
    dtype : torch.float64 or torch.float32
        Of the result. In float32 the diagonal is rounded once from float64, and so is the whole kernel of an activation
        that is not piecewise linear. For those that are, layers are float32: as measured at angles from 0 to pi, 1e-9
        from either end included, an entry is off by up to 3e-7 of ``sqrt(q(x, x) q(x', x'))``, one of the tangent
        kernel by 2e-6 up to ten layers and 3e-5 at fifty.

    Returns
    -------
    Tensor
        (n, m), `dtype`, on `device`. Memory: the kernel, the points in float64 three times, and with torch a dozen
        tiles of 256 x 256 numbers (2,048 x 2,048 on a GPU); for a smooth activation some 100 L numbers more a point.

    Raises
    ------
    ShapeError, NonFiniteError
        Points that are not finite matrices with the same number of columns.
    DomainError
        See `InfiniteNetwork` and `tables`; in float32 variances or kernels outside [1e-15, 1e15].
    TypeError
        Another dtype; points that require a gradient.

    References
    ----------
    Lee et al., "Deep neural networks as Gaussian processes", ICLR 2018, Section 2.
    """
    network = InfiniteNetwork(depth, as_activation(activation), sw2, sb2, parametrization="ntk")
    return _run(network, x, y, device, dtype, want_nngp=True, want_ntk=False)[0]


def ntk(
    x: Any,
    y: Any = None,
    *,
    depth: int,
    activation: str | Activation,
    sw2: float = 1.0,
    sb2: float = 0.0,
    rates: Sequence[float] | None = None,
    parametrization: Lazy,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """The neural tangent kernel ``Theta^{L+1}`` of a wide network, of one output.

    ``Theta^1 = q^1``, ``Theta^{l+1} = q^{l+1} + sw2 E phi'(u) phi'(v) Theta^l`` for (u, v) ~ N(0, q^l). With C outputs
    the kernel is this one times the identity.

    Parameters
    ----------
    x, y, depth, activation, sw2, sb2, device, dtype
        As for `nngp`.
    rates : sequence of float, optional
        Multiples of the learning rate, one a layer (L + 1 of them); 1 by default, 0 freezes a layer.
    parametrization : {"ntk", "standard"}
        No default. ``standard``: the limit of the kernel over n, without the first layer and the biases; see
        `InfiniteNetwork`.

    Returns
    -------
    Tensor
        (n, m); memory and precision as for `nngp`.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
        As for `nngp`.

    References
    ----------
    Jacot, Gabriel and Hongler, "Neural tangent kernel: convergence and generalization in neural networks", NeurIPS
    2018, Theorem 1.
    """
    network = _network(depth, activation, sw2, sb2, rates, parametrization)
    return _run(network, x, y, device, dtype, want_nngp=False, want_ntk=True)[0]


def fc_kernels(
    x: Any,
    y: Any = None,
    *,
    depth: int,
    activation: str | Activation,
    sw2: float = 1.0,
    sb2: float = 0.0,
    rates: Sequence[float] | None = None,
    parametrization: Lazy,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float64,
) -> Kernels:
    """`nngp` and `ntk` in one pass, for what one of them costs; arguments and errors of `ntk`.

    Returns
    -------
    Kernels
        (nngp, ntk), tensors (n, m). Memory: both kernels, and the rest as for `nngp`.
    """
    network = _network(depth, activation, sw2, sb2, rates, parametrization)
    return Kernels(*_run(network, x, y, device, dtype, want_nngp=True, want_ntk=True))


def _network(
    depth: int,
    activation: str | Activation,
    sw2: float,
    sb2: float,
    rates: Sequence[float] | None,
    parametrization: Lazy,
) -> InfiniteNetwork:
    layers = None if rates is None else tuple(rates)
    return InfiniteNetwork(depth, as_activation(activation), sw2, sb2, layers, parametrization=parametrization)
