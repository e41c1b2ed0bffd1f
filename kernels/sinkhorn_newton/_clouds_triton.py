"""Row sums of a plan between point clouds, tile by tile in Triton: neither the plan nor its cost is ever stored.

Exponents are in base 2. With ``alpha = log2(e)/eps``, points scaled so that alpha is part of the cost, and F, G the
potentials times alpha,

    t_ij = F_i + G_j - C(x_i, y_j),        R_i = sum_j 2^t_ij.

Where F is known to keep every t_ij below a small number (after an update of the other side ``P_ij <= c_j``), no
maximum is needed: a pair costs its products, two additions and one exponential of the hardware. Else a running
maximum is kept for each row and updated once a tile.

Squared distances are products: ``t_ij = (F_i - |u_i|^2) + (G_j - |v_j|^2) + 2 u_i.v_j``. Below 16 dimensions u and v
are taken from the centre of each row tile, with the points in the order of a space-filling curve: then the terms of a
pair that carries mass are small, and so is their rounding. From 16 dimensions on the products go through ``tl.dot``,
from the centre of all points, in three passes of TF32 that together keep about as many digits as float32. l1 and
Euclidean distances are made of differences.

Apart from `lemmata.kernels.sinkhorn_newton.clouds` so that it does not need Triton. Where there is no GPU, set
``TRITON_INTERPRET=1`` before Triton is first imported and the kernels run interpreted on the CPU.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from lemmata.kernels.sinkhorn_newton.clouds import to_tf32

__all__ = ["TritonEngine", "space_filling"]

COSTS = {"sqeuclidean": 0, "euclidean": 1, "l1": 2}
#: Dimensions from which coordinates are not held in registers, and squared distances go through tl.dot.
WIDE = 16
#: Points are filled up to a multiple of this, which is one of every tile.
PAD = 128
#: Programs wanted: several for each place on the largest GPU.
PROGRAMS = 8192
#: Tiles whose sum is added up before it joins the total.
GROUP = tl.constexpr(64)
#: log2 of the mass of a point that only fills up.
NOTHING = -1e30


# What is not a size is compiled once for all problems.
LOOSE = ("n", "m", "chunk")


@triton.jit
def _tile(f, u, x, G, y, centre, i, j, n, m, D: tl.constexpr, COST: tl.constexpr, HELD: tl.constexpr):
    """Exponents t of a tile and, for Euclidean costs, the distances."""
    g = tl.load(G + j)
    if HELD and COST == 0:
        # what depends on the column alone is done once for all rows; a pair is left with a chain of multiply-adds
        for k in tl.static_range(D):
            v = tl.load(y + k * m + j) - tl.load(centre + k)
            g -= v * v
        t = f[:, None] + g[None, :]
        for k in tl.static_range(D):
            v = tl.load(y + k * m + j) - tl.load(centre + k)
            t += u[k][:, None] * v[None, :]
        return t, t
    t = f[:, None] + g[None, :]
    cost = tl.zeros_like(t)
    if HELD:
        for k in tl.static_range(D):
            gap = u[k][:, None] - tl.load(y + k * m + j)[None, :]
            cost += tl.abs(gap) if COST == 2 else gap * gap
    else:
        for k in range(D):
            gap = tl.load(x + k * n + i)[:, None] - tl.load(y + k * m + j)[None, :]
            cost += tl.abs(gap) if COST == 2 else gap * gap
    if COST == 1:
        cost = tl.sqrt(cost)
    return t - cost, cost


@triton.jit
def _rows(f, x, centre, i, n, D: tl.constexpr, COST: tl.constexpr, HELD: tl.constexpr):
    """What a row tile holds throughout: potentials and coordinates, for squared costs those of the products."""
    u = ()
    if HELD:
        for k in tl.static_range(D):
            if COST == 0:
                w = tl.load(x + k * n + i) - tl.load(centre + k)
                f -= w * w
                u = u + (2 * w,)  # type: ignore[assignment]  # noqa: RUF005 - Triton does not unpack
            else:
                u = u + (tl.load(x + k * n + i),)  # type: ignore[assignment]  # noqa: RUF005
    return f, u


@triton.jit(do_not_specialize=LOOSE)
def _sums(
    x,
    y,
    F,
    G,
    centres,
    sums,
    tops,
    n,
    m,
    chunk,
    D: tl.constexpr,
    COST: tl.constexpr,
    HELD: tl.constexpr,
    SAFE: tl.constexpr,
    BI: tl.constexpr,
    BJ: tl.constexpr,
):
    """sums[s, i] <- sum of 2^(t_ij - tops[s, i]) over the s-th chunk of columns; the tops are 0 where SAFE."""
    i = tl.program_id(0) * BI + tl.arange(0, BI)
    centre = centres + tl.program_id(0) * D
    f, u = _rows(tl.load(F + i), x, centre, i, n, D, COST, HELD)
    begin = tl.program_id(1) * chunk
    end = tl.minimum(begin + chunk, m)
    total = tl.zeros_like(f)
    top = tl.full((BI,), float("-inf"), f.dtype)
    for start in range(begin, end, GROUP * BJ):
        group = tl.zeros((BI, BJ), f.dtype)
        for column in range(start, tl.minimum(start + GROUP * BJ, end), BJ):
            j = column + tl.arange(0, BJ)
            t, _ = _tile(f, u, x, G, y, centre, i, j, n, m, D, COST, HELD)
            if SAFE:
                group += tl.exp2(t)
            else:
                new = tl.maximum(top, tl.max(t, 1))
                total = total * tl.exp2(top - new) + tl.sum(tl.exp2(t - new[:, None]), 1)
                top = new
        if SAFE:
            total += tl.sum(group, 1)
    at = tl.program_id(1) * n + i
    tl.store(sums + at, total)
    if not SAFE:
        tl.store(tops + at, top)


@triton.jit(do_not_specialize=LOOSE)
def _gradient(
    x,
    y,
    F,
    G,
    centres,
    out,
    n,
    m,
    D: tl.constexpr,
    DP: tl.constexpr,
    COST: tl.constexpr,
    HELD: tl.constexpr,
    BLOCK: tl.constexpr,
    BI: tl.constexpr,
    BJ: tl.constexpr,
):
    """out[i, k] <- sum_j 2^t_ij dC_ij/dx_ik, in scaled coordinates."""
    i = tl.program_id(0) * BI + tl.arange(0, BI)
    centre = centres + tl.program_id(0) * BI // BLOCK * D
    f, u = _rows(tl.load(F + i), x, centre, i, n, D, COST, HELD)
    axis = tl.arange(0, DP)
    total = tl.zeros((BI, DP), f.dtype)
    for column in range(0, m, BJ):
        j = column + tl.arange(0, BJ)
        t, distance = _tile(f, u, x, G, y, centre, i, j, n, m, D, COST, HELD)
        P = tl.exp2(t)
        if COST == 1:
            P = tl.where(distance > 0, P / tl.where(distance > 0, distance, 1.0), 0.0)
        for k in range(D):
            gap = tl.load(x + k * n + i)[:, None] - tl.load(y + k * m + j)[None, :]
            if COST == 0:
                gap = 2 * gap
            elif COST == 2:
                gap = tl.where(gap > 0, 1.0, tl.where(gap < 0, -1.0, 0.0))
            total += tl.where(axis[None, :] == k, tl.sum(P * gap, 1)[:, None], 0.0)
    tl.store(out + i[:, None] * DP + axis[None, :], total)


@triton.jit
def _product_tile(f, held, x, y, G, i, j, DP: tl.constexpr, KB: tl.constexpr, PRECISION: tl.constexpr):
    """Exponents ``F_i + G_j + x_i.y_j`` of a tile, KB of DP coordinates at a time."""
    axis = tl.arange(0, KB)
    t = f[:, None] + tl.load(G + j)[None, :]
    if DP == KB:
        columns = tl.load(y + j[:, None] * DP + axis[None, :])
        t = tl.dot(held, tl.trans(columns), t, input_precision=PRECISION)
    else:
        for k in range(0, DP, KB):
            rows = tl.load(x + i[:, None] * DP + k + axis[None, :])
            columns = tl.load(y + j[:, None] * DP + k + axis[None, :])
            t = tl.dot(rows, tl.trans(columns), t, input_precision=PRECISION)
    return t


@triton.jit(do_not_specialize=LOOSE)
def _product_sums(
    x,
    y,
    F,
    G,
    sums,
    tops,
    n,
    m,
    chunk,
    DP: tl.constexpr,
    KB: tl.constexpr,
    PRECISION: tl.constexpr,
    SAFE: tl.constexpr,
    BI: tl.constexpr,
    BJ: tl.constexpr,
):
    """As `_sums` for exponents ``F_i + G_j + x_i.y_j``, with x and y by rows of DP."""
    i = tl.program_id(0) * BI + tl.arange(0, BI)
    f = tl.load(F + i)
    held = tl.load(x + i[:, None] * DP + tl.arange(0, KB)[None, :])
    begin = tl.program_id(1) * chunk
    total = tl.zeros_like(f)
    top = tl.full((BI,), float("-inf"), f.dtype)
    for column in range(begin, tl.minimum(begin + chunk, m), BJ):
        j = column + tl.arange(0, BJ)
        t = _product_tile(f, held, x, y, G, i, j, DP, KB, PRECISION)
        if SAFE:
            total += tl.sum(tl.exp2(t), 1)
        else:
            new = tl.maximum(top, tl.max(t, 1))
            total = total * tl.exp2(top - new) + tl.sum(tl.exp2(t - new[:, None]), 1)
            top = new
    at = tl.program_id(1) * n + i
    tl.store(sums + at, total)
    if not SAFE:
        tl.store(tops + at, top)


@triton.jit(do_not_specialize=LOOSE)
def _product_gradient(
    x,
    y,
    F,
    G,
    out,
    n,
    m,
    DP: tl.constexpr,
    KB: tl.constexpr,
    PRECISION: tl.constexpr,
    BI: tl.constexpr,
    BJ: tl.constexpr,
):
    """out[i, :] <- sum_j 2^t_ij (x_i - y_j), in scaled coordinates, KB of them in a program."""
    i = tl.program_id(0) * BI + tl.arange(0, BI)
    axis = tl.program_id(1) * KB + tl.arange(0, KB)
    f = tl.load(F + i)
    held = tl.load(x + i[:, None] * DP + tl.arange(0, KB)[None, :])
    mass = tl.zeros_like(f)
    total = tl.zeros((BI, KB), f.dtype)
    for column in range(0, m, BJ):
        j = column + tl.arange(0, BJ)
        P = tl.exp2(_product_tile(f, held, x, y, G, i, j, DP, KB, PRECISION))
        mass += tl.sum(P, 1)
        total += tl.dot(P, tl.load(y + j[:, None] * DP + axis[None, :]), input_precision=PRECISION)
    rows = tl.load(x + i[:, None] * DP + axis[None, :])
    tl.store(out + i[:, None] * DP + axis[None, :], rows * mass[:, None] - total)


# ---------------------------------------------------------------------------------------------- points


def space_filling(x: Tensor) -> Tensor:
    """An order of points, float[n, d], in which neighbours lie near each other: by interleaved bits of coordinates."""
    low, high = x.amin(0), x.amax(0)
    bits = min(20, 62 // x.shape[1])
    cell = ((x - low) / (high - low).clamp_min(torch.finfo(x.dtype).tiny) * (2**bits - 1)).long()
    code = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    for bit in range(bits - 1, -1, -1):
        for k in range(x.shape[1]):
            code = (code << 1) | ((cell[:, k] >> bit) & 1)
    return code.argsort()


def _coordinates_at_once(d: int) -> int:
    """What a matrix product of kernels takes of d coordinates."""
    return min(64, max(16, 1 << (d - 1).bit_length()))


class _Cloud:
    """Points as the kernels read them: scaled, in order, filled up to a multiple of `PAD`."""

    def __init__(self, points: Tensor, ordered: bool, by_rows: bool, block: int) -> None:
        size, d = points.shape
        self.order = space_filling(points) if ordered else torch.arange(size, device=points.device)
        padded = points.new_zeros(-(-size // PAD) * PAD, d)
        padded[:size] = points[self.order]
        self.size, self.padded = size, len(padded)
        self.centres = padded.view(-1, block, d).mean(1).contiguous()
        if by_rows:
            self.points = torch.nn.functional.pad(padded, (0, -d % _coordinates_at_once(d))).contiguous()
            self.half_square = padded.double().square().sum(1) / 2
        else:
            self.points = padded.T.contiguous()
            self.half_square = padded.new_zeros(len(padded), dtype=torch.float64)

    def load(self, potential: Tensor, rest: float) -> Tensor:
        """Potentials in base 2, float64, as the kernels take them."""
        filled = potential.new_full((self.padded,), rest)
        filled[: self.size] = potential[self.order]
        return filled - self.half_square

    def unload(self, values: Tensor) -> Tensor:
        """One value a point, in the caller's order."""
        out = values.new_empty(self.size, *values.shape[1:])
        out[self.order] = values[: self.size]
        return out


class TritonEngine:
    """Row and column sums, and gradients, of ``P_ij = exp((f_i + g_j - C_ij)/eps)`` on a GPU.

    Parameters
    ----------
    x, y : float32 or float64 tensor, (n, d), (m, d)
    cost : {"sqeuclidean", "euclidean", "l1"}
    eps : float
    precision : {"full", "tf32"}
        "tf32": the points, from their centre, are rounded to the mantissa of TF32, so that products are exact.
    """

    def __init__(self, x: Tensor, y: Tensor, cost: str, eps: float, precision: str) -> None:
        d, alpha = x.shape[1], math.log2(math.e) / eps
        self.cost, self.alpha = COSTS[cost], alpha
        self.product = cost == "sqeuclidean" and x.dtype == torch.float32 and (d >= WIDE or precision == "tf32")
        self.held = d < WIDE
        self.dot = "tf32" if precision == "tf32" else "tf32x3"
        self.block = 64 if d <= 5 else 32
        self.scale = alpha if self.cost else math.sqrt(2 * alpha if self.product else alpha)
        centre = (x.double().mean(0) + y.double().mean(0)) / 2
        points = [((z.double() - centre) * self.scale).to(x.dtype) for z in (x, y)]
        if self.product and self.dot == "tf32":
            points = [to_tf32(z) for z in points]
        ordered = self.held and self.cost == 0 and not self.product
        self.x, self.y = (_Cloud(z, ordered, self.product, self.block) for z in points)
        self.d = d
        #: whether a sum has left the range of floating point since the last look
        self.lost = torch.zeros((), dtype=torch.bool, device=x.device)

    def rows(self, f: Tensor, g: Tensor, safe: bool) -> Tensor:
        """``log sum_j P_ij``, float64[n]; if `safe`, no exponent may be large, and a sum below range counts as tiny."""
        return self._log_sums(self.x, self.y, f, g, safe)

    def columns(self, f: Tensor, g: Tensor, safe: bool) -> Tensor:
        """``log sum_i P_ij``, float64[m]."""
        return self._log_sums(self.y, self.x, g, f, safe)

    def gradient(self, f: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """``sum_j P_ij dC_ij/dx_i`` and ``sum_i P_ij dC_ij/dy_j``, float64[n, d], float64[m, d]."""
        return self._gradient(self.x, self.y, f, g), self._gradient(self.y, self.x, g, f)

    def _potentials(self, rows: _Cloud, columns: _Cloud, f: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        F, G = rows.load(self.alpha * f, 0.0), columns.load(self.alpha * g, NOTHING)
        dtype = rows.points.dtype
        return F, F.to(dtype), G.to(dtype)

    def _log_sums(self, rows: _Cloud, columns: _Cloud, f: Tensor, g: Tensor, safe: bool) -> Tensor:
        exact, F, G = self._potentials(rows, columns, f, g)
        # as many pairs a thread as its registers hold
        BI, BJ = (128, 64) if self.product else (self.block, 64 if 5 < self.d <= 8 or not self.held else 32)
        splits = min(-(-PROGRAMS * BI // rows.padded), columns.padded // BJ, 64)
        chunk = -(-columns.padded // (splits * BJ)) * BJ
        splits = -(-columns.padded // chunk)
        sums, tops = F.new_empty(2, splits, rows.padded)
        grid = (rows.padded // BI, splits)
        sizes = (rows.padded, columns.padded, chunk)
        with torch.cuda.device_of(F):
            if self.product:
                _product_sums[grid](
                    rows.points,
                    columns.points,
                    F,
                    G,
                    sums,
                    tops,
                    *sizes,
                    DP=rows.points.shape[1],
                    KB=_coordinates_at_once(self.d),
                    PRECISION=self.dot,
                    SAFE=safe,
                    BI=BI,
                    BJ=BJ,
                    num_warps=8,
                    num_stages=2,
                    enable_fp_fusion=True,
                )
            else:
                _sums[grid](
                    rows.points,
                    columns.points,
                    F,
                    G,
                    rows.centres,
                    sums,
                    tops,
                    *sizes,
                    D=self.d,
                    COST=self.cost,
                    HELD=self.held,
                    SAFE=safe,
                    BI=BI,
                    BJ=BJ,
                    num_warps=4,
                    enable_fp_fusion=True,
                )
        total = sums.double()
        if safe:
            total = total.sum(0)
            least = torch.finfo(F.dtype).tiny
            self.lost |= (total[: rows.size] < least).any()
            found = total.clamp_min(least).log2()
        else:
            top = tops.double().amax(0)
            found = (total * torch.exp2(tops.double() - top)).sum(0).log2() + top
        # the kernel knew F rounded; what it lost is put back
        return rows.unload(math.log(2) * (found + (exact - F.double())))

    def _gradient(self, rows: _Cloud, columns: _Cloud, f: Tensor, g: Tensor) -> Tensor:
        _, F, G = self._potentials(rows, columns, f, g)
        KB = _coordinates_at_once(self.d)
        width = rows.points.shape[1] if self.product else 1 << (self.d - 1).bit_length()
        out = F.new_empty(rows.padded, width)
        sizes = (rows.padded, columns.padded)
        with torch.cuda.device_of(F):
            if self.product:
                _product_gradient[(rows.padded // 64, width // KB)](
                    rows.points,
                    columns.points,
                    F,
                    G,
                    out,
                    *sizes,
                    DP=width,
                    KB=KB,
                    PRECISION=self.dot,
                    BI=64,
                    BJ=32,
                    num_warps=4,
                    num_stages=2,
                    enable_fp_fusion=True,
                )
            else:
                _gradient[(rows.padded // 32,)](
                    rows.points,
                    columns.points,
                    F,
                    G,
                    rows.centres,
                    out,
                    *sizes,
                    D=self.d,
                    DP=width,
                    COST=self.cost,
                    HELD=self.held,
                    BLOCK=self.block,
                    BI=32,
                    BJ=PAD,
                    num_warps=8,
                    enable_fp_fusion=True,
                )
        # from scaled points and a cost that holds alpha to the caller's: sqeuclidean 2 (x - y), of which a product
        # gives (x - y)
        factor = self.scale / self.alpha if not self.product else 2 / self.scale
        return factor * rows.unload(out[:, : self.d].double())
