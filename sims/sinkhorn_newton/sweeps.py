"""Passes over the cost matrix: exponentials at vector speed, row and column sums, one exponential an entry.

A full Sinkhorn step needs ``exp`` of every entry once. With ``P_ij = exp((f_i + g_j - C_ij)/eps)`` and row sums
R_i, the row update multiplies row i by r_i/R_i; so the column sums after it are ``S_j = sum_i (r_i/R_i) P_ij``, read
from the same exponentials while they are in cache. No running maximum is needed either: after a column update
``P_ij <= c_j``, so the old f is a safe shift, and a row (or column) whose sum leaves the range of a double is summed
again about its own maximum.

Rows are cut into blocks of `BLOCK`, whatever the number of threads, and partial sums are added in the order of the
blocks: the same numbers come out on one thread and on many. ``numba.set_num_threads`` sets their number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange, types
from numba.extending import intrinsic

__all__ = [
    "BLOCK",
    "HUGE",
    "candidates",
    "exp",
    "plan",
    "row_log_sums",
    "scaled_steps",
    "sinkhorn_steps",
    "update_columns",
]

#: Rows in a block, the unit of parallel work.
BLOCK = 64
#: Row and column sums outside [1/HUGE, HUGE] are taken again about the maximum.
HUGE = 1e200
#: Entries of a problem below which threads cost more than they save.
SERIAL = 16_384
#: Threads where prange says so, not in every array expression.
PARALLEL: Any = {"prange": True} | dict.fromkeys(
    ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False
)


@intrinsic
def _bits(typingctx, x):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], context.get_value_type(types.int64))

    return types.int64(types.float64), codegen


@intrinsic
def _double(typingctx, bits):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], context.get_value_type(types.float64))

    return types.float64(types.int64), codegen


# Only "contract" may be allowed here: with "reassoc" the compiler removes the rounding to an integer.
@njit(cache=True, fastmath={"contract"})
def exp(x: float) -> float:
    """exp(x) without a branch, for loops that the compiler vectorises; 0 below -708, no guard above 709.

    ``x = k log 2 + t`` with |t| <= log(2)/2, a polynomial of degree 11 in t (Chebyshev nodes, relative error 1.7e-17)
    and 2^k by the exponent bits. Relative error 1.4e-16 with its rounding.
    """
    # adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits
    shifted = x * 1.4426950408889634 + 6755399441055744.0
    k = shifted - 6755399441055744.0
    t = x - k * 6.93147180369123816490e-01
    t = t - k * 1.90821492927058770002e-10
    p = 2.5110049204818658e-08
    p = p * t + 2.763265472252779e-07
    p = p * t + 2.755724088722987e-06
    p = p * t + 2.4801485441561313e-05
    p = p * t + 0.00019841269890076403
    p = p * t + 0.0013888888952352863
    p = p * t + 0.008333333333319589
    p = p * t + 0.04166666666648795
    p = p * t + 0.1666666666666668
    p = p * t + 0.5000000000000019
    p = p * t + 1.0
    p = p * t + 1.0
    power = _double((_bits(shifted) + 1023) << 52)  # type: ignore[call-arg, var-annotated]
    return p * power if x > -708.0 else 0.0


# Sums may be reordered here, so that they vectorise; there is no rounding trick to lose.
@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _exp_row(C, g, f, inverse_eps, out):  # type: ignore[no-untyped-def]
    """out_j <- exp((f + g_j - C_j)/eps); returns the sum."""
    total = 0.0
    for j in range(C.size):
        value = exp((f + g[j] - C[j]) * inverse_eps)
        out[j] = value
        total += value
    return total


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _add(out, factor, x):  # type: ignore[no-untyped-def]
    for j in range(x.size):
        out[j] += factor * x[j]


@njit(cache=True)
def _safe_row(C, g, f, inverse_eps, out):  # type: ignore[no-untyped-def]
    """Row sum about a shift that keeps it in range; returns (sum, shift), the shift being f where f will do."""
    total = _exp_row(C, g, f, inverse_eps, out)
    if not 1 / HUGE < total < HUGE:
        f = np.inf
        for j in range(C.size):
            f = min(f, C[j] - g[j])
        total = _exp_row(C, g, f, inverse_eps, out)
    return total, f


# --------------------------------------------------------------------------------- log-domain Sinkhorn


@njit(cache=True)
def _sweep_block(C, f, g, r, log_r, eps, omega, start, sums, change):  # type: ignore[no-untyped-def]
    """Row updates of one block in f; adds to `sums` the column sums after them.

    Returns the L1 error of the rows after the (over-relaxed) update; `change` is by how much f moved.
    """
    row = np.empty(g.size)
    error = 0.0
    sums[:] = 0.0
    for i in range(start, min(start + BLOCK, f.size)):
        total, shift = _safe_row(C[i], g, f[i], 1 / eps, row)
        step = log_r[i] - np.log(total)
        if omega == 1.0:
            factor = r[i] / total
        else:
            # the relaxed step starts from f itself, also where the row was summed about another shift
            step = omega * step + (omega - 1) * ((shift - f[i]) / eps)
            factor = np.exp(step)
            error += abs(factor * total - r[i])
        change[i] = shift - f[i] + eps * step
        f[i] = shift + eps * step
        _add(sums, factor, row)
    return error


@njit(cache=True)
def _column_log_sum(C, f, g, eps, j):  # type: ignore[no-untyped-def]
    """log sum_i exp((f_i + g_j - C_ij)/eps) about its maximum."""
    largest = -np.inf
    for i in range(f.size):
        largest = max(largest, f[i] - C[i, j])
    total = 0.0
    for i in range(f.size):
        total += np.exp((f[i] - C[i, j] - largest) / eps)
    return np.log(total) + (largest + g[j]) / eps


@njit(cache=True)
def update_columns(C, f, g, S, log_c, eps, omega):  # type: ignore[no-untyped-def]
    """``g_j <- g_j + omega eps log(c_j / S_j)`` for column sums S at (f, g)."""
    for j in range(g.size):
        log_sum = np.log(S[j]) if 1 / HUGE < S[j] < HUGE else _column_log_sum(C, f, g, eps, j)
        g[j] += omega * eps * (log_c[j] - log_sum)


@njit(cache=True, parallel=PARALLEL)
def sinkhorn_steps(C, f, g, r, c, log_r, log_c, eps, omega, steps, tol, S, change, deltas, duals):  # type: ignore[no-untyped-def]
    """A row update, then up to `steps` times a column and a row update; stops where a row update meets `tol`.

    Parameters
    ----------
    C : float64[n, m]
    f, g : float64[n], float64[m]
        Overwritten. Only g matters for omega = 1; f is a shift.
    r, c, log_r, log_c : float64[n], float64[m], float64[n], float64[m]
    eps, omega : float
        Temperature; over-relaxation, 1 for Sinkhorn's own step.
    steps : int
    tol : float
    S : float64[m]
        Column sums after the last row update.
    change : float64[n]
        By how much the last row update moved f.
    deltas, duals : float64[steps + 1]
        L1 marginal error after each row update, and D there.

    Returns
    -------
    int
        Number of row updates.
    """
    n, m = C.shape
    blocks = (n + BLOCK - 1) // BLOCK
    partial = np.empty((blocks, m))
    errors = np.empty(blocks)
    for k in range(steps + 1):
        if n * m <= SERIAL or blocks == 1:
            for b in range(blocks):
                errors[b] = _sweep_block(C, f, g, r, log_r, eps, omega, b * BLOCK, partial[b], change)
        else:
            for i in prange(blocks):
                block = np.int64(i)  # prange counts in uint64, which mixes with int64 into float64
                errors[i] = _sweep_block(C, f, g, r, log_r, eps, omega, block * BLOCK, partial[i], change)
        S[:] = 0.0
        for b in range(blocks):
            _add(S, 1.0, partial[b])
        delta, dual = 0.0, 0.0
        for b in range(blocks):
            delta += errors[b]
        for j in range(m):
            delta += abs(S[j] - c[j])
            dual += c[j] * g[j] - eps * S[j]
        for i in range(n):
            dual += r[i] * f[i]
        deltas[k], duals[k] = delta, dual
        if delta <= tol or k == steps:
            return k + 1
        update_columns(C, f, g, S, log_c, eps, omega)
    return steps + 1


# ------------------------------------------------------------------------------ exp domain, stabilised


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _dot(x, y):  # type: ignore[no-untyped-def]
    total = 0.0
    for j in range(x.size):
        total += x[j] * y[j]
    return total


# A row or column of subnormal mass may vanish from K: the infinity that numpy's rule gives tells the caller.
@njit(cache=True, error_model="numpy")
def _scale_block(K, u, v, r, start, sums):  # type: ignore[no-untyped-def]
    sums[:] = 0.0
    for i in range(start, min(start + BLOCK, u.size)):
        u[i] = r[i] / _dot(K[i], v)
        _add(sums, u[i], K[i])


@njit(cache=True, parallel=PARALLEL, error_model="numpy")
def scaled_steps(K, u, v, r, c, bound, steps, tol, deltas):  # type: ignore[no-untyped-def]
    """Up to `steps` steps ``u = r / K v``, ``v = c / K'u``; K is read once a step.

    Parameters
    ----------
    K : float64[n, m]
    u, v : float64[n], float64[m]
        Overwritten; v is the start.
    r, c : float64[n], float64[m]
    bound : float
        The steps end where |log u| or |log v| passes it.
    steps : int
    tol : float
        The steps end at the row update whose L1 marginal error meets it.
    deltas : float64[steps]
        L1 marginal error after each row update.

    Returns
    -------
    int
        Number of row updates.
    """
    n, m = K.shape
    blocks = (n + BLOCK - 1) // BLOCK
    partial = np.empty((blocks, m))
    high, low = np.exp(bound), np.exp(-bound)
    S = np.empty(m)
    for k in range(steps):
        if n * m <= SERIAL or blocks == 1:
            for b in range(blocks):
                _scale_block(K, u, v, r, b * BLOCK, partial[b])
        else:
            for i in prange(blocks):
                block = np.int64(i)
                _scale_block(K, u, v, r, block * BLOCK, partial[i])
        S[:] = 0.0
        for b in range(blocks):
            _add(S, 1.0, partial[b])
        inside = True
        for i in range(n):
            inside &= low < u[i] < high
        deltas[k] = 0.0
        for j in range(m):
            deltas[k] += abs(S[j] * v[j] - c[j])
        if deltas[k] <= tol:
            return k + 1
        for j in range(m):
            v[j] = c[j] / S[j]
            inside &= low < v[j] < high
        if not inside:
            return k + 1
    return steps


# ------------------------------------------------------------------------------------ plans and sparsity


@njit(cache=True, parallel=PARALLEL)
def plan(C, f, g, eps, P):  # type: ignore[no-untyped-def]
    """P_ij <- exp((f_i + g_j - C_ij)/eps)."""
    if C.size <= SERIAL:
        for i in range(f.size):
            _exp_row(C[i], g, f[i], 1 / eps, P[i])
    else:
        for k in prange(f.size):
            _exp_row(C[k], g, f[k], 1 / eps, P[k])


@njit(cache=True)
def _row_log_sum(C, f, g, eps):  # type: ignore[no-untyped-def]
    total, shift = _safe_row(C, g, f, 1 / eps, np.empty(g.size))
    return np.log(total) + (f - shift) / eps


@njit(cache=True, parallel=PARALLEL)
def row_log_sums(C, f, g, eps, out):  # type: ignore[no-untyped-def]
    """out_i <- log sum_j exp((f_i + g_j - C_ij)/eps)."""
    if C.size <= SERIAL:
        for i in range(f.size):
            out[i] = _row_log_sum(C[i], f[i], g, eps)
    else:
        for k in prange(f.size):
            out[k] = _row_log_sum(C[k], f[k], g, eps)


@njit(cache=True)
def _candidates_of_row(C, f, g, r, c, eps, nu, n, values, columns):  # type: ignore[no-untyped-def]
    m = c.size
    row = np.empty(m)
    _exp_row(C, g, f, 1 / eps, row)
    count = 0
    for j in range(m):
        values[count] = row[j]
        columns[count] = j
        count += row[j] > 0.1 * nu * min(r / m, c[j] / n)
    ordered = np.sort(values[:count])
    spared, k = 0.0, 0
    while k < count and spared + ordered[k] <= 0.9 * nu * r:
        spared += ordered[k]
        k += 1
    return count, ordered[k] if k < count else np.inf


@njit(cache=True, parallel=PARALLEL)
def candidates(C, f, g, r, c, eps, nu, values, columns, counts, cut):  # type: ignore[no-untyped-def]
    """Entries of the plan that a drop budget nu cannot spare, row by row.

    An entry below ``0.1 nu min(r_i/m, c_j/n)`` is never listed: together these are at most a tenth of the budget of
    any row or column. `cut` is the row rule on the others: the smallest entries of row i, of total mass at most
    ``0.9 nu r_i``, lie below ``cut[i]``.

    Parameters
    ----------
    C, f, g, r, c, eps
        As for `sinkhorn_steps`.
    nu : float
    values, columns : float64[n, m], int32[n, m]
        Row i holds ``counts[i]`` entries in front; what is behind them is scratch.
    counts : int64[n]
    cut : float64[n]
    """
    n = f.size
    if C.size <= SERIAL:
        for i in range(n):
            counts[i], cut[i] = _candidates_of_row(C[i], f[i], g, r[i], c, eps, nu, n, values[i], columns[i])
    else:
        for k in prange(n):
            counts[k], cut[k] = _candidates_of_row(C[k], f[k], g, r[k], c, eps, nu, n, values[k], columns[k])
