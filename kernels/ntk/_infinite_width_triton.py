"""Kernels of infinite width, a tile a program: a product of matrices, then all layers of its pairs in registers.

Points come in divided by their roots ``sqrt(q^1)``, so that the product is the cosine. In float32 each coordinate is
the sum of two in float16, 22 bits together, and three products on the matrix unit, which lose nothing but the product
of the two rests, take the place of one in float32 at a multiple of its rate. The matrix unit cuts off what it adds up;
so it sums `KB` coordinates at a time, and these sums are added in float32. Coordinates are at most 1; times `SCALE`
both parts are normal numbers. In float64 there is one product. Tiles on and above the diagonal are computed, and each
is written twice.

The state of a pair is one signed number x: ``1 - cos`` where the cosine is not below 0, else ``-(1 + cos)``, never 0
there. Where |x| is small it is taken from differences of the points, in tiles that have such pairs: the product alone
would cost the angle half of its digits. See `lemmata.sims.ntk.infinite_width`.

Apart from `lemmata.kernels.ntk.infinite_width` so that it does not need Triton. Where there is no GPU, set
``TRITON_INTERPRET=1`` before Triton is first imported and the kernel runs interpreted on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from lemmata.problems.ntk.infinite_width import InfiniteNetwork

if TYPE_CHECKING:
    from lemmata.kernels.ntk.infinite_width import _Points

__all__ = ["fill"]

FAMILIES = {"piecewise": 0, "step": 1, "erf": 2}
#: Rows and columns of a tile, and coordinates at once, by whether layers are float64.
TILES = {False: (128, 64, 64), True: (64, 64, 16)}
#: Of coordinates in float16.
SCALE = tl.constexpr(4096.0)
#: Below this 1 - |cos| is taken from differences, by whether layers are float64: above it rounding of the product, by
#: estimate 4e-7 and 1e-15 at worst, costs the angle 3e-6 and 2e-14.
NEAR = {False: 1e-2, True: 1e-3}
#: Tiles are worked off in bands of so many rows of tiles, so that what is read stays in the second-level cache.
BAND = 8

#: What is not a size is compiled once for all problems.
LOOSE = ("n", "m", "rows", "columns", "layers", "inputs")


@triton.jit
def _angle(sine, cosine, DOUBLE: tl.constexpr):
    """The angle in [0, pi/2], by a polynomial in the smaller of sine and cosine: see `lemmata.sims`."""
    s = tl.minimum(sine, cosine)
    z = s * s
    if DOUBLE:
        p = 0.8387674099544927 * z - 3.0948547605199717
        p = p * z + 5.436384462318588
        p = p * z - 5.883233416999023
        p = p * z + 4.3847119392409954
        p = p * z - 2.3535297860232123
        p = p * z + 0.952265420570822
        p = p * z - 0.2809947932275328
        p = p * z + 0.07377343868679113
        p = p * z - 0.0032941927380090922
        p = p * z + 0.011310924828955462
        p = p * z + 0.01139924601483468
        p = p * z + 0.013975730180211136
        p = p * z + 0.017352221539201188
        p = p * z + 0.0223721770065477
        p = p * z + 0.030381944084994415
        p = p * z + 0.04464285714665563
        p = p * z + 0.07499999999998412
        p = p * z + 0.16666666666666669
    else:  # relative error 8e-9
        p = 0.09469734959597223 * z - 0.07972071595315332
        p = p * z + 0.06379697638268081
        p = p * z + 0.010435325974988746
        p = p * z + 0.03199023922716213
        p = p * z + 0.044538813973175724
        p = p * z + 0.07500252163633334
        p = p * z + 0.16666665678232892
    t = s + s * z * p
    return tl.where(sine <= cosine, t, 1.5707963267948966 - t)


@triton.jit
def _signed(turned):
    """x of ``1 - cos`` in [0, 2]."""
    return tl.where(turned > 1.0, -tl.maximum(2.0 - turned, 1e-30), tl.maximum(turned, 0.0))


@triton.jit
def _cosine(x):
    return tl.where(x < 0, -1.0 - x, 1.0 - x)


@triton.jit
def _angular(x, theta, a, b, c, d, k, bend, sw2, sb2, gain, shift, STEP: tl.constexpr, DOUBLE: tl.constexpr):
    """One layer of an activation with a kink, from sizes a, b and with roots c, d of the next layer."""
    w = tl.abs(x)
    cosine, sine = 1.0 - w, tl.sqrt(w * (2.0 - w))
    t = _angle(sine, cosine, DOUBLE)
    product = k * (a[:, None] * b[None, :])
    if STEP:
        t = t * 0.3183098861837907
        turned = tl.where(x < 0, 1.0 - t, t)
        theta = gain * (product * (1.0 - turned)) + shift
    else:
        rate = bend * 0.3183098861837907
        turned = tl.where(x < 0, 2.0 - bend + (bend - 1.0) * w, w) - rate * (sine - t * cosine)
        slope = tl.where(x < 0, 1.0 - bend + rate * t, 1.0 - rate * t)
        theta = gain * (product * (1.0 - turned)) + shift + sw2 * k * slope * theta
    if sb2 > 0:
        whole, gap = c[:, None] * d[None, :], a[:, None] - b[None, :]
        weighted = sw2 * product
        turned = (sw2 * k * sb2 * gap * gap / (whole + weighted + sb2) + weighted * turned) / whole
    return _signed(turned), theta


@triton.jit
def _erf(q, theta, a, b, sw2, sb2, gain, shift, DOUBLE: tl.constexpr):
    """One layer of erf, from roots a, b."""
    product = a[:, None] * b[None, :]
    minor = tl.maximum((product - q) * (product + q), 0.0)
    square = 1.0 + 2.0 * ((a * a)[:, None] + (b * b)[None, :]) + 4.0 * minor
    norm, root = tl.sqrt(square + 4.0 * q * q), tl.sqrt(square)
    value = 0.6366197723675814 * _angle(2.0 * tl.abs(q) / norm, root / norm, DOUBLE)
    value = tl.where(q < 0, -value, value)
    return sw2 * value + sb2, gain * value + shift + sw2 * (1.2732395447351628 / root) * theta


@triton.jit
def _store(out, tile, i, j, n, m, SYMMETRIC: tl.constexpr):
    """The tile; where the kernel is symmetric what lies above the diagonal, and its mirror image."""
    seen = (i < n)[:, None] & (j < m)[None, :]
    if SYMMETRIC:
        seen = seen & (i[:, None] < j[None, :])
        tl.store(out + j.to(tl.int64)[None, :] * n + i[:, None], tile, mask=seen)
    tl.store(out + i.to(tl.int64)[:, None] * m + j[None, :], tile, mask=seen)


@triton.jit(do_not_specialize=LOOSE)
def _fill(
    x,
    x_rest,
    y,
    y_rest,
    x_roots,
    y_roots,
    x_sizes,
    y_sizes,
    numbers,
    shares,
    tile_rows,
    tile_columns,
    nngp,
    ntk,
    n,
    m,
    rows,
    columns,
    layers,
    inputs,
    DP: tl.constexpr,
    KIND: tl.constexpr,
    DOUBLE: tl.constexpr,
    SYMMETRIC: tl.constexpr,
    NNGP: tl.constexpr,
    NTK: tl.constexpr,
    CLOSE: tl.constexpr,
    BI: tl.constexpr,
    BJ: tl.constexpr,
    KB: tl.constexpr,
):
    tile = tl.program_id(0)
    i = tl.load(tile_rows + tile) * BI + tl.arange(0, BI)
    j = tl.load(tile_columns + tile) * BJ + tl.arange(0, BJ)
    sw2, sb2, k, bend = tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2), tl.load(numbers + 3)
    at_x, at_y = i.to(tl.int64) * DP, j.to(tl.int64) * DP
    axis = tl.arange(0, KB)

    c = tl.zeros((BI, BJ), x_roots.dtype.element_ty)
    for first in range(0, DP, KB):
        here, there = at_x[:, None] + first + axis[None, :], at_y[:, None] + first + axis[None, :]
        u, v = tl.load(x + here), tl.load(y + there)
        if DOUBLE:
            c = tl.dot(u, tl.trans(v), c, out_dtype=tl.float64)
        else:
            part = tl.dot(tl.load(x_rest + here), tl.trans(v))
            part = tl.dot(u, tl.trans(tl.load(y_rest + there)), part)
            part = tl.dot(u, tl.trans(v), part)
            c += part * (1 / (SCALE * SCALE))  # the factor keeps the compiler from adding up in the matrix unit
    state = _signed(1.0 - c)

    if KIND < 2:
        near = (tl.abs(state) < CLOSE) & (i < n)[:, None] & (j < m)[None, :]
        if SYMMETRIC:
            near = near & (i[:, None] < j[None, :])
        if tl.max(tl.max(near.to(tl.int32), 1), 0) > 0:
            sign = tl.where(state < 0, -1.0, 1.0).to(c.dtype)
            total = tl.zeros_like(c)
            for coordinate in range(inputs):
                u, v = tl.load(x + at_x + coordinate).to(c.dtype), tl.load(y + at_y + coordinate).to(c.dtype)
                if not DOUBLE:
                    u = (u + tl.load(x_rest + at_x + coordinate).to(tl.float32)) * (1 / SCALE)
                    v = (v + tl.load(y_rest + at_y + coordinate).to(tl.float32)) * (1 / SCALE)
                gap = u[:, None] - sign * v[None, :]
                total += gap * gap
            total *= 0.5
            state = tl.where(near, tl.where(state < 0, -tl.maximum(total, 1e-30), total), state)
        c = _cosine(state)

    a, b = tl.load(x_roots + i), tl.load(y_roots + j)
    q = a[:, None] * b[None, :] * c
    theta = tl.load(shares) * q
    if KIND == 2:
        state = q
    for layer in range(layers):
        gain, shift = tl.load(shares + 2 * layer + 2), tl.load(shares + 2 * layer + 3)
        if KIND == 2:
            a, b = tl.load(x_roots + layer * rows + i), tl.load(y_roots + layer * columns + j)
            state, theta = _erf(state, theta, a, b, sw2, sb2, gain, shift, DOUBLE)
        else:
            a, b = tl.load(x_sizes + layer * rows + i), tl.load(y_sizes + layer * columns + j)
            d, e = tl.load(x_roots + (layer + 1) * rows + i), tl.load(y_roots + (layer + 1) * columns + j)
            state, theta = _angular(state, theta, a, b, d, e, k, bend, sw2, sb2, gain, shift, KIND == 1, DOUBLE)
    if NTK:
        _store(ntk, theta, i, j, n, m, SYMMETRIC)
    if NNGP:
        if KIND < 2:
            a, b = tl.load(x_roots + layers * rows + i), tl.load(y_roots + layers * columns + j)
            state = a[:, None] * b[None, :] * _cosine(state)
        _store(nngp, state, i, j, n, m, SYMMETRIC)


# --------------------------------------------------------------------------------------------- launching


def _filled(table: Tensor, size: int) -> Tensor:
    return torch.nn.functional.pad(table, (0, size - table.shape[-1]), value=1.0)


class _Side:
    """Points as the kernel reads them: filled up to whole tiles."""

    def __init__(self, x: _Points, tile: int, at_once: int) -> None:
        n, width = x.unit.shape
        self.size = -(-n // tile) * tile
        self.roots, self.sizes = _filled(x.roots, self.size), _filled(x.sizes, self.size)
        self.points = self.rest = torch.nn.functional.pad(x.unit, (0, -width % at_once, 0, self.size - n))
        if x.roots.dtype == torch.float32:
            scaled = self.points.mul_(SCALE.value)
            self.points = scaled.to(torch.float16)
            self.rest = scaled.sub_(self.points).to(torch.float16)


def _tiles(rows: int, columns: int, BI: int, BJ: int, symmetric: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tiles to compute, in bands of rows."""
    i = torch.arange(rows, device=device).repeat_interleave(columns)
    j = torch.arange(columns, device=device).repeat(rows)
    order = ((i // BAND) * columns * BAND + j * BAND + i % BAND).argsort()
    i, j = i[order], j[order]
    if symmetric:
        above = (j + 1) * BJ > i * BI
        i, j = i[above], j[above]
    return i.to(torch.int32), j.to(torch.int32)


def fill(network: InfiniteNetwork, x: _Points, y: _Points | None, outs: Sequence[Tensor | None]) -> None:
    """Write the kernels that are asked for, of a symmetric one all but the diagonal.

    Parameters
    ----------
    network : InfiniteNetwork
        Of a piecewise-linear activation, step or erf.
    x, y : _Points
        None for the kernel of x with itself. The dtype of their tables is that of the layers.
    outs : (nngp, ntk)
        Tensors (n, m), float32 or float64, or None. Memory beside them: the points once more, filled up.
    """
    phi, double = network.activation, x.roots.dtype == torch.float64
    BI, BJ, KB = TILES[double]
    a = _Side(x, max(BI, BJ), KB)
    b = a if y is None else _Side(y, max(BI, BJ), KB)
    tile_rows, tile_columns = _tiles(a.size // BI, b.size // BJ, BI, BJ, y is None, x.unit.device)
    numbers = x.roots.new_tensor([network.sw2, network.sb2, phi.mean_square_slope, phi.bend])
    nngp, ntk = outs
    with torch.cuda.device_of(x.unit):
        _fill[(len(tile_rows),)](
            a.points,
            a.rest,
            b.points,
            b.rest,
            a.roots,
            b.roots,
            a.sizes,
            b.sizes,
            numbers,
            x.roots.new_tensor(network.shares),
            tile_rows,
            tile_columns,
            numbers if nngp is None else nngp,
            numbers if ntk is None else ntk,
            len(x.unit),
            len(x.unit if y is None else y.unit),
            a.size,
            b.size,
            network.depth,
            x.unit.shape[1],
            DP=a.points.shape[1],
            KIND=FAMILIES[phi.family],
            DOUBLE=double,
            SYMMETRIC=y is None,
            NNGP=nngp is not None,
            NTK=ntk is not None,
            CLOSE=NEAR[double],
            BI=BI,
            BJ=BJ,
            KB=KB,
            num_warps=8,
            num_stages=3,
            enable_fp_fusion=True,
        )
