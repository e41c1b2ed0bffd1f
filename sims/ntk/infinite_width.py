"""Kernels of infinitely wide fully connected networks: one product of matrices, then all layers of a pair in cache.

The products ``x.x'`` are written where the result will stand, for a symmetric kernel on and above the diagonal. Tiles
of `BLOCK` x `BLOCK` pairs are then taken through all layers and written back, with their mirror image, so that nothing
of the kernel's size is held beside the kernel. Tiles are shared out over numba's threads
(``numba.set_num_threads``); an entry does not depend on their number.

Activations with a kink need the angle between the points, which is lost near 0 and pi when its cosine is rounded: at
equal points an error of 1e-16 in the cosine is one of 1e-8 in the kernel. So the state of a pair is not its
covariance. It is ``w = 1 - |cos|``, exactly 0 for a point with itself, taken from ``|u - v|^2 / 2`` where it is small,
with a flag for cosines below 0; one layer maps w to w without a subtraction of nearly equal numbers that matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange
from scipy.linalg.blas import dsyrk

from lemmata.errors import ShapeError
from lemmata.problems.ntk.activations import Activation, as_activation
from lemmata.problems.ntk.infinite_width import InfiniteNetwork, Lazy, Tables, tables
from lemmata.problems.ntk.networks import check_points

__all__ = ["Kernels", "fc_kernels", "nngp", "ntk"]

#: Rows and columns of a tile: what a first-level cache holds twice.
BLOCK = 64
#: Below this 1 - |cos| is taken from differences: there rounding of the product costs the angle more than 1e-14.
NEAR = 1e-3
#: Logarithm of what a Hermite series may leave out.
LEFT_OUT = math.log(1e-17)
FAMILIES = {"piecewise": 0, "step": 1, "erf": 2, "sin": 3, "quadratic": 4, "smooth": 5}
#: Threads where prange says so, not in every array expression.
PARALLEL: Any = {"prange": True} | dict.fromkeys(
    ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False
)
#: What lets loops with min, max and products vectorise; their numbers are finite. (Those with a division want numpy's
#: error model too, or each is checked for 0.)
FAST: Any = {"contract", "nnan", "ninf", "nsz"}


# ------------------------------------------------------------------------------------------------- angles


@njit(cache=True, fastmath={"contract"})
def arcsine(s: float) -> float:
    """arcsin(s) for 0 <= s <= 1/sqrt(2), without a branch, for loops that the compiler vectorises.

    ``s + s^3 R(s^2)``, R a polynomial of degree 18 (Chebyshev nodes, relative error 1.3e-17). Relative error 2e-16 with
    its rounding.
    """
    z = s * s
    p = 0.8387674099544927
    p = p * z - 3.0948547605199717
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
    return s + s * z * p


@njit(cache=True, fastmath=FAST, error_model="numpy")
def angle(sine: float, cosine: float) -> float:
    """The angle in [0, pi/2] of this sine and cosine, from the smaller of them: relative error 3e-16."""
    found = arcsine(min(sine, cosine))
    return found if sine <= cosine else 1.5707963267948966 - found


# ------------------------------------------------------------------------------- one layer of a row of pairs


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _bend(w, far, theta, size, sizes, k, bend, sw2, gain, shift):  # type: ignore[no-untyped-def]
    """A piecewise-linear layer: w becomes ``1 - cos`` of the activations, in [0, 2], and theta the next kernel.

    With t the angle and g = sin t - t cos t, ``cos' = cos t + (bend/pi) g``; for cosines below 0 the same from pi - t.
    """
    rate = bend / math.pi
    for j in range(w.size):
        cosine, sine = 1.0 - w[j], math.sqrt(w[j] * (2.0 - w[j]))
        t = angle(sine, cosine)
        down = rate * (sine - t * cosine)
        if far[j] > 0.0:
            turned = 2.0 - bend + (bend - 1.0) * w[j] - down
            slope = 1.0 - bend + rate * t
        else:
            turned = w[j] - down
            slope = 1.0 - rate * t
        value = k * (size * sizes[j]) * (1.0 - turned)
        theta[j] = gain * value + shift + sw2 * k * slope * theta[j]
        w[j] = turned


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _step(w, far, theta, size, sizes, gain, shift):  # type: ignore[no-untyped-def]
    """A layer of steps: ``cos' = 1 - t/pi``, and no derivative."""
    for j in range(w.size):
        t = angle(math.sqrt(w[j] * (2.0 - w[j])), 1.0 - w[j]) / math.pi
        turned = 1.0 - t if far[j] > 0.0 else t
        theta[j] = gain * 0.5 * (size * sizes[j]) * (1.0 - turned) + shift
        w[j] = turned


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _fold(w, far, size, sizes, root, roots, weight, sb2):  # type: ignore[no-untyped-def]
    """From ``1 - cos`` of the activations to w of the preactivations, the biases added.

    For the variances ``a^2 = weight s^2 + sb2`` and ``b^2`` alike, ``a b (1 - cos) = h + weight s s' (1 - cos')`` with
    h, what the cosine loses to unequal norms, free of cancellation by Lagrange's identity.
    """
    if sb2 > 0.0:
        for j in range(w.size):
            product, whole = weight * (size * sizes[j]), root * roots[j]
            gap = size - sizes[j]
            h = weight * sb2 * (gap * gap) / (whole + product + sb2)
            w[j] = (h + product * w[j]) / whole
    for j in range(w.size):
        back = w[j] > 1.0
        w[j] = max(2.0 - w[j] if back else w[j], 0.0)
        far[j] = 1.0 if back else 0.0


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _erf(q, theta, root, roots, size, sizes, sw2, sb2, gain, shift):  # type: ignore[no-untyped-def]
    """``T = (2/pi) arctan(2 q / D)``, ``T' = (4/pi) / D``, with D^2 = 1 + 2 q11 + 2 q22 + 4 (q11 q22 - q12^2).

    ``D^2 + 4 q^2`` is the square of the product of the sizes; one division serves all quotients.
    """
    for j in range(q.size):
        product, whole = root * roots[j], size * sizes[j]
        minor = max((product - q[j]) * (product + q[j]), 0.0)
        square = 1.0 + 2.0 * (root * root + roots[j] * roots[j]) + 4.0 * minor
        D = math.sqrt(square)
        inverse = 1.0 / (whole * D)
        value = angle(2.0 * abs(q[j]) * (D * inverse), square * inverse) * 2.0 / math.pi
        value = value if q[j] >= 0.0 else -value
        theta[j] = gain * value + shift + sw2 * (4.0 / math.pi) * (whole * inverse) * theta[j]
        q[j] = sw2 * value + sb2


@njit(cache=True)
def _sin(q, theta, root, roots, sw2, sb2, gain, shift):  # type: ignore[no-untyped-def]
    """``T = e^{-(q11 + q22)/2} sinh q12``, ``T' = e^{-(q11 + q22)/2} cosh q12``, neither of which can overflow."""
    for j in range(q.size):
        size = abs(q[j])
        # at most 0, but for rounding, which a huge variance would turn into infinity
        up = math.exp(min(size - (root * root + roots[j] * roots[j]) / 2, 0.0)) / 2
        fall = math.expm1(-2.0 * size)
        value = up * fall if q[j] < 0.0 else -up * fall
        theta[j] = gain * value + shift + sw2 * up * (2.0 + fall) * theta[j]
        q[j] = sw2 * value + sb2


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _quadratic(q, theta, root, roots, sw2, sb2, gain, shift):  # type: ignore[no-untyped-def]
    """``T = q11 q22 + 2 q12^2``, ``T' = 4 q12``."""
    for j in range(q.size):
        product = root * roots[j]
        value = product * product + 2.0 * (q[j] * q[j])
        theta[j] = gain * value + shift + sw2 * 4.0 * q[j] * theta[j]
        q[j] = sw2 * value + sb2


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _series(q, theta, c, slope, inverse, inverses, a, b, sw2, sb2, gain, shift):  # type: ignore[no-untyped-def]
    """``T = sum_k a_k b_k c^k`` and its slope by Horner's rule, all pairs of the row side by side.

    What follows K terms is at most ``|c|^K`` of the root of T on the diagonals, and so it is for the slope: a row takes
    as many terms as its largest cosine needs.
    """
    largest = 0.0
    for j in range(q.size):
        c[j] = min(max(q[j] * (inverse * inverses[j]), -1.0), 1.0)
        largest = max(largest, abs(c[j]))
        q[j], slope[j] = 0.0, 0.0
    terms = a.size
    if largest < 0.99:
        terms = min(terms, 1 + int(LEFT_OUT / math.log(max(largest, 1e-9))))
    while terms > 1 and a[terms - 1] == 0.0:
        terms -= 1
    for k in range(4 * ((terms - 1) // 4), -1, -4):  # four at a time, or loads and stores outlast the arithmetic
        for j in range(q.size):
            x, value, derivative = c[j], q[j], slope[j]
            derivative = derivative * x + value
            value = value * x + a[k + 3] * b[k + 3, j]
            derivative = derivative * x + value
            value = value * x + a[k + 2] * b[k + 2, j]
            derivative = derivative * x + value
            value = value * x + a[k + 1] * b[k + 1, j]
            slope[j] = derivative * x + value
            q[j] = value * x + a[k] * b[k, j]
    for j in range(q.size):
        theta[j] = gain * q[j] + shift + sw2 * (slope[j] * (inverse * inverses[j])) * theta[j]
        q[j] = sw2 * q[j] + sb2


# -------------------------------------------------------------------------------------- a tile through all layers


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _open(q, w, far, scale, sb2, inverse, inverses):  # type: ignore[no-untyped-def]
    """Covariances q of the first layer from products, w and its flag; returns the smallest w."""
    least = 1.0
    for j in range(q.size):
        q[j] = scale * q[j] + sb2
        c = q[j] * (inverse * inverses[j])
        w[j] = max(1.0 - abs(c), 0.0)
        far[j] = 1.0 if c < 0.0 else 0.0
        least = min(least, w[j])
    return least


@njit(cache=True)
def _half_square(x, y, f, g, bias, other, sign):  # type: ignore[no-untyped-def]
    """``|u - v|^2 / 2`` (for sign -1: ``|u + v|^2 / 2``) of u = (f x, bias) and v = (g y, other)."""
    total = (bias - sign * other) ** 2
    for k in range(x.size):
        total += (f * x[k] - sign * g * y[k]) ** 2
    return total / 2


@njit(cache=True)
def _tile(i0, j0, symmetric, G, nngp_out, ntk_out, X, Y, rows, columns, numbers, shares, layers, family):  # type: ignore[no-untyped-def]
    """All layers of one tile. `numbers` is (sw2, sb2, sw2/d, k, bend), `rows` and `columns` are tables.

    On the diagonal of a symmetric kernel what lies below it is computed too, from products of 0, and never written.
    """
    sw2, sb2, scale, k, bend = numbers
    roots, inverse, sizes, a = rows
    other_roots, other_inverse, other_sizes, b = columns
    i1, j1 = min(i0 + BLOCK, G.shape[0]), min(j0 + BLOCK, G.shape[1])
    here, width = slice(j0, j1), j1 - j0
    kernel, tangent = np.empty((BLOCK, BLOCK)), np.empty((BLOCK, BLOCK))
    buffers = np.empty((2, BLOCK))
    angular = family < 2
    for i in range(i0, i1):
        q, theta = kernel[i - i0, :width], tangent[i - i0, :width]
        w, far = buffers[0, :width], buffers[1, :width]
        same = i - j0 if symmetric and i0 == j0 else -1
        for j in range(width):
            q[j] = G[i, j0 + j] if j >= same else 0.0
        least = _open(q, w, far, scale, sb2, inverse[0, i], other_inverse[0, here])
        if same >= 0:
            w[same], q[same] = 0.0, roots[0, i] * roots[0, i]
        if angular and least < NEAR:
            f, bias = math.sqrt(scale) * inverse[0, i], math.sqrt(sb2) * inverse[0, i]
            for j in range(width):
                if w[j] < NEAR and j != same:
                    g, other = math.sqrt(scale) * other_inverse[0, j0 + j], math.sqrt(sb2) * other_inverse[0, j0 + j]
                    sign = 1.0 - 2.0 * far[j]
                    w[j] = _half_square(X[i], Y[j0 + j], f, g, bias, other, sign)
                    q[j] = sign * (1.0 - w[j]) * (roots[0, i] * other_roots[0, j0 + j])
        for j in range(width):
            theta[j] = shares[0, 0] * q[j]
        for layer in range(layers):
            gain, shift = shares[layer + 1]
            root, others = roots[layer, i], other_roots[layer, here]
            if angular:
                size, wide = sizes[layer, i], other_sizes[layer, here]
                if family == 0:
                    _bend(w, far, theta, size, wide, k, bend, sw2, gain, shift)
                else:
                    _step(w, far, theta, size, wide, gain, shift)
                _fold(w, far, size, wide, roots[layer + 1, i], other_roots[layer + 1, here], sw2 * k, sb2)
            elif family == 2:
                _erf(q, theta, root, others, sizes[layer, i], other_sizes[layer, here], sw2, sb2, gain, shift)
            elif family == 3:
                _sin(q, theta, root, others, sw2, sb2, gain, shift)
            elif family == 4:
                _quadratic(q, theta, root, others, sw2, sb2, gain, shift)
            else:
                between = (inverse[layer, i], other_inverse[layer, here], a[layer, i], b[j0 // BLOCK, layer])
                _series(q, theta, w, far, *between, sw2, sb2, gain, shift)
        if angular:
            for j in range(width):
                cosine = (1.0 - w[j]) * (1.0 - 2.0 * far[j])
                q[j] = roots[layers, i] * other_roots[layers, j0 + j] * cosine
    if nngp_out.size:
        _write(kernel, nngp_out, i0, i1, j0, j1, symmetric)
    if ntk_out.size:
        _write(tangent, ntk_out, i0, i1, j0, j1, symmetric)


@njit(cache=True)
def _write(tile, out, i0, i1, j0, j1, symmetric):  # type: ignore[no-untyped-def]
    for i in range(i0, i1):
        for j in range(max(i, j0) if symmetric else j0, j1):
            out[i, j] = tile[i - i0, j - j0]
    if symmetric:
        for j in range(j0, j1):
            for i in range(i0, min(i1, j)):
                out[j, i] = tile[i - i0, j - j0]


@njit(cache=True, parallel=PARALLEL)
def _fill(tiles, symmetric, G, nngp_out, ntk_out, X, Y, rows, columns, numbers, shares, layers, family):  # type: ignore[no-untyped-def]
    for t in prange(tiles.shape[1]):
        i0, j0 = tiles[0, np.int64(t)] * BLOCK, tiles[1, np.int64(t)] * BLOCK  # prange counts in uint64
        _tile(i0, j0, symmetric, G, nngp_out, ntk_out, X, Y, rows, columns, numbers, shares, layers, family)


# -------------------------------------------------------------------------------------------- entry points


class Kernels(NamedTuple):
    """Both kernels of a network of infinite width, float64[n, m]."""

    nngp: np.ndarray
    ntk: np.ndarray


def _points(x: Any, name: str) -> np.ndarray:
    check_points(x, None, name)
    view = np.ascontiguousarray(x, dtype=np.float64).view()
    view.setflags(write=False)  # one type for numba
    return view


def _blocked(table: np.ndarray) -> np.ndarray:
    """From [L, K, N] to [tile, L, K, BLOCK], zeros after the last point: what the columns of a tile read together."""
    layers, degrees, points = table.shape
    count = -(-points // BLOCK)
    padded = np.zeros((layers, degrees, count * BLOCK))
    padded[..., :points] = table
    return np.ascontiguousarray(padded.reshape(layers, degrees, count, BLOCK).transpose(2, 0, 1, 3))


def _run(network: InfiniteNetwork, x: Any, y: Any, *, want_nngp: bool, want_ntk: bool) -> Kernels:
    X = _points(x, "x")
    Y = X if y is None else _points(y, "y")
    if X.shape[1] != Y.shape[1]:
        raise ShapeError(f"x and y must have the same number of columns, got shapes {X.shape} and {Y.shape}")
    symmetric, inputs = y is None, X.shape[1]
    square = np.einsum("ij,ij->i", X, X)
    blocks = tuple(-(-len(points) // BLOCK) for points in (X, Y))
    if symmetric:
        rows = columns = tables(network, square, inputs)
        G = dsyrk(1.0, X.T, trans=1, lower=1).T  # Fortran's lower triangle is the upper one of its transpose
        tiles = np.stack(np.triu_indices(blocks[0]))
    else:
        both = tables(network, np.concatenate((square, np.einsum("ij,ij->i", Y, Y))), inputs)
        rows, columns = (
            Tables(*(np.ascontiguousarray(table[..., part]) for table in both))
            for part in (slice(len(X)), slice(len(X), None))
        )
        G = X @ Y.T
        tiles = np.indices(blocks).reshape(2, -1)
    theta = G if want_ntk else np.empty((0, 0))
    K = G if not want_ntk else np.empty(G.shape if want_nngp else (0, 0))
    phi = network.activation
    numbers = tuple(map(float, (network.sw2, network.sb2, network.sw2 / inputs, phi.mean_square_slope, phi.bend)))
    row_tables = (*rows[:3], np.ascontiguousarray(rows.coefficients.transpose(0, 2, 1)))
    points = (X, Y, row_tables, (*columns[:3], _blocked(columns.coefficients)))
    _fill(
        tiles, symmetric, G, K, theta, *points, numbers, np.array(network.shares), network.depth, FAMILIES[phi.family]
    )
    return Kernels(K, theta)


def nngp(
    x: Any, y: Any = None, *, depth: int, activation: str | Activation, sw2: float = 1.0, sb2: float = 0.0
) -> np.ndarray:
    """The NNGP kernel ``q^{L+1}``: covariance of the outputs of a wide network at initialisation.

    ``q^1 = sw2 x.x'/d + sb2``, ``q^{l+1} = sw2 E phi(u) phi(v) + sb2`` for (u, v) ~ N(0, q^l). It is the same in the
    parametrisations ``ntk`` and ``standard``.

    Parameters
    ----------
    x : float64[n, d]
    y : float64[m, d], optional
        By default x itself, and the result is symmetric to the bit.
    depth : int
        L, the number of hidden layers.
    activation : str or Activation
        See `ACTIVATIONS`, `leaky_relu`, `smooth`.
    sw2, sb2 : float
        Variances of weights (times fan_in) and of biases.

    Returns
    -------
    float64[n, m]
        Memory: the kernel, 8 n m bytes; points, (n + m)(d + 3 L + 5) numbers; for a smooth activation three times L K
        more a point, K its Hermite coefficients (tanh at variance q: 140 q). On the diagonal, at equal and at opposite
        points entries are as exact as elsewhere; for erf and sin at a variance q above 1 by 1e-16 q less.

    Raises
    ------
    ShapeError, NonFiniteError
        Points that are not finite matrices with the same number of columns.
    DomainError
        See `InfiniteNetwork` and `tables`.

    References
    ----------
    Lee et al., "Deep neural networks as Gaussian processes", ICLR 2018, Section 2.
    """
    network = InfiniteNetwork(depth, as_activation(activation), sw2, sb2, parametrization="ntk")
    return _run(network, x, y, want_nngp=True, want_ntk=False).nngp


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
) -> np.ndarray:
    """The neural tangent kernel ``Theta^{L+1}`` of a wide network, of one output.

    ``Theta^1 = q^1``, ``Theta^{l+1} = q^{l+1} + sw2 E phi'(u) phi'(v) Theta^l`` for (u, v) ~ N(0, q^l). With C outputs
    the kernel is this one times the identity.

    Parameters
    ----------
    x, y, depth, activation, sw2, sb2
        As for `nngp`.
    rates : sequence of float, optional
        Multiples of the learning rate, one a layer (L + 1 of them); 1 by default, 0 freezes a layer.
    parametrization : {"ntk", "standard"}
        No default. ``standard``: the limit of the kernel over n, without the first layer and the biases; see
        `InfiniteNetwork`.

    Returns
    -------
    float64[n, m]
        Memory and exactness: as for `nngp`.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
        As for `nngp`.

    References
    ----------
    Jacot, Gabriel and Hongler, "Neural tangent kernel: convergence and generalization in neural networks", NeurIPS
    2018, Theorem 1.
    """
    network = _network(depth, activation, sw2, sb2, rates, parametrization)
    return _run(network, x, y, want_nngp=False, want_ntk=True).ntk


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
) -> Kernels:
    """`nngp` and `ntk` in one pass, for what one of them costs; arguments and errors of `ntk`.

    Returns
    -------
    Kernels
        (nngp, ntk), float64[n, m] each. Memory: both kernels, 16 n m bytes, and the points as for `nngp`.
    """
    network = _network(depth, activation, sw2, sb2, rates, parametrization)
    return _run(network, x, y, want_nngp=True, want_ntk=True)


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
