"""What the figures of the family share: problems of the paper, the look of a method, Sinkhorn to the end, spreads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.problems.sinkhorn_newton import (
    OTResult,
    TransportProblem,
    densities,
    digits,
    quantile_cost,
    random_assignment,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

__all__ = [
    "CASES",
    "COLORS",
    "DENSITIES_NOTE",
    "DIGITS_NOTE",
    "ETA",
    "LEVELS",
    "STYLES",
    "TOLERANCE",
    "crosswise",
    "decade_steps",
    "extremes",
    "last_decades",
    "make",
    "median_range",
    "one_thread",
    "plain_sinkhorn",
    "rows_of",
    "settled",
    "sigma_squared",
    "spread",
    "stated",
    "title_of",
    "trace_of",
]

#: temperature of every experiment in the paper, as its inverse
ETA = 1200.0
#: delta at which a run ends: rounding of C/eps leaves about a tenth of it
TOLERANCE = 1e-13
#: values of delta at which curves of several instances are compared
LEVELS = 10 ** -np.arange(0, 13.25, 0.25)
#: colour and marker of a method, the same in every figure
STYLES = {
    "SNS": ("C0", "o"),
    "Sinkhorn": ("C1", "s"),
    "over-relaxed": ("C3", "D"),
    "dense Newton": ("C2", "^"),
}
DIGITS_NOTE = (
    "The digits are 8 × 8 images of the UCI repository interpolated to {size} × {size}, plus 0.01, and stand in for "
    "MNIST, which is not bundled"
)
DENSITIES_NOTE = (
    "The densities, whose shapes the paper does not print, are mixtures of two normal laws against Beta laws on the "
    "unit interval"
)


def _assignment(k: int, n: int, eta: float, seed: int) -> TransportProblem:
    # eta grows with n: what matters is how many costs of a row lie within a temperature of the least
    return random_assignment(n, eta=eta * n / 500, seed=1_000 * seed + k)


def _digits(cost: Any) -> Callable[[int, int, float, int], TransportProblem]:
    return lambda k, size, eta, seed: digits(k % 10, (k + 1 + k // 10) % 10, cost=cost, size=size, eta=eta)


def _densities(p: Any) -> Callable[[int, int, float, int], TransportProblem]:
    def make(k: int, n: int, eta: float, seed: int) -> TransportProblem:
        one = densities(n, p=p, eta=eta)
        if k == 0:
            return one
        rng = np.random.default_rng((seed, k))
        means, deviations = rng.uniform((0.15, 0.55), (0.45, 0.85)), rng.uniform(0.04, 0.12, 2)
        weight, (alpha, beta) = rng.uniform(0.3, 0.7), rng.uniform(1, 5, 2)
        x = (np.arange(n) + 0.5) / n
        first, second = (np.exp(-(((x - mean) / s) ** 2) / 2) for mean, s in zip(means, deviations, strict=True))
        beta_law = x**alpha * (1 - x) ** beta
        r = weight * first + (1 - weight) * second + 1e-3
        c = beta_law / beta_law.max() + 1e-3
        r, c = r / r.sum(), c / c.sum()
        return TransportProblem(one.C, r, c, one.eps, one.name, one.at, quantile_cost(x, x, r, c, p))

    return make


#: the k-th instance of a problem, (k, size, eta, seed) -> TransportProblem; the size is a number of rows, or of
#: pixels a side. Digits are k and k + 1, and the first densities those of ``problems.sinkhorn_newton``
CASES: dict[str, Callable[[int, int, float, int], TransportProblem]] = {
    "random assignment": _assignment,
    "digits, squared distance": _digits("sqeuclidean"),
    "digits, L1 distance": _digits("l1"),
    "densities, squared distance": _densities(2),
    "densities, L1 distance": _densities(1),
}
#: colour and marker of a problem, the same in every figure
COLORS = dict(zip(CASES, (("C0", "o"), ("C1", "s"), ("C2", "^"), ("C3", "D"), ("C4", "v")), strict=True))


def make(case: str, k: int, sizes: tuple[int, int], seed: int, *, eta: float = ETA) -> TransportProblem:
    """The k-th instance of a problem; `sizes` are the rows of all but digits, and the pixels a side of those."""
    return CASES[case](k, sizes[case.startswith("digits")], eta, seed)


def rows_of(ds: xr.Dataset, case: str) -> int:
    """Rows of a problem of a dataset with the attributes ``rows`` and ``size``."""
    return int(ds.attrs["size"]) ** 2 if case.startswith("digits") else int(ds.attrs["rows"])


def title_of(ds: xr.Dataset, case: str, letter: str) -> str:
    """Title of the panel of a problem."""
    return f"({letter}) {case}, $n={rows_of(ds, case)}$"


def stated(ds: xr.Dataset) -> str:
    """What the problems are, for captions."""
    rows, size = int(ds.attrs["rows"]), int(ds.attrs["size"])
    note = "" if rows == 500 else f" (for random assignment 1200 n/500 = {1200 * rows / 500:g})"
    return (
        f"eta = 1/eps = 1200{note}. Random assignment with n = {rows} and uniform costs, digits of {size} × {size} "
        f"pixels with the largest cost 1, densities on n = {rows} nodes. {DIGITS_NOTE.format(size=size)}. "
        f"{DENSITIES_NOTE}"
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Numba on one thread, and BLAS where threadpoolctl is installed, for wall times.

    On a machine with other work a second thread may have to wait for its turn.
    """
    import numba

    # limits reach the libraries that are loaded: the solvers bring SciPy's
    import_module("lemmata.sims.sinkhorn_newton")

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with import_module("threadpoolctl").threadpool_limits(1) if find_spec("threadpoolctl") else nullcontext():
            yield
    finally:
        numba.set_num_threads(before)


def plain_sinkhorn(
    problem: TransportProblem, limit: int, *, tol: float = TOLERANCE, g: np.ndarray | None = None
) -> list[OTResult]:
    """Sinkhorn's iteration from g until delta meets `tol` or `limit` steps are spent, also across plateaus.

    ``solve`` calls a run stalled where delta falls by less than 1e-4 of it in 100 steps. On degenerate costs it falls
    again later, so each such run is taken up where it ended.
    """
    from lemmata.sims.sinkhorn_newton import solve

    data, spent = (problem.C, problem.r, problem.c, problem.eps), 0
    runs: list[OTResult] = []
    while not runs or (spent < limit and not runs[-1].converged):
        runs.append(solve(*data, method="stabilised", g=g, tol=tol, max_steps=limit - spent, on_fail="return"))
        g, spent = runs[-1].g, spent + runs[-1].sinkhorn_steps
    return runs


def trace_of(runs: list[OTResult]) -> tuple[np.ndarray, np.ndarray]:
    """Delta before each step of runs that continue each other and at the end, and the seconds spent by then."""
    delta, seconds, start = [], [], 0.0
    for run in runs:
        ends = run.trace["seconds"].values
        # the end of one run is the beginning of the next
        delta.append(run.trace["delta"].values[:-1])
        seconds.append(start + np.concatenate([[0.0], ends])[:-2])
        start += ends[-1]
    return np.concatenate([*delta, [runs[-1].delta]]), np.concatenate([*seconds, [start]])


def settled(delta: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Where delta falls below each of the `LEVELS` for good, by interpolation in log delta; inf where it does not.

    Parameters
    ----------
    delta : float64[steps]
    at : float64[steps]
        Step, or second, of each.
    """
    # the largest from here on: what annealing makes of delta at a new temperature counts
    ahead = np.log(np.maximum.accumulate(delta[::-1])[::-1].clip(min=1e-300))
    found = np.interp(-np.log(LEVELS), -ahead, at)
    found[np.log(LEVELS) < ahead[-1]] = np.inf
    return found


def sigma_squared(P: np.ndarray) -> float:
    """Sinkhorn's rate at the plan P, the square of its second singular value; at most 1 less the rounding of it."""
    from lemmata.theory.sinkhorn_newton import slowest_mode

    return float(min(slowest_mode(P)[0] ** 2, 1 - 1e-15))


def last_decades(delta: np.ndarray, high: float, low: float) -> float:
    """Steps in which delta falls from `high` to `low`, with fractions of steps in log delta; NaN where it does not."""
    if not delta.min() < low:
        return np.nan

    def crossing(level: float) -> float:
        k = int(np.argmax(delta < level))
        if k == 0:
            return 0.0
        before, after = np.log(delta[k - 1 : k + 1])
        return float(k - 1 + (before - np.log(level)) / (before - after))

    return crossing(low) - crossing(high)


def decade_steps(rate: Any, decades: float) -> Any:
    """Steps in which Sinkhorn's iteration gains so many decades at its asymptotic rate, sigma squared."""
    return -decades * np.log(10) / np.log(rate)


def extremes(values: xr.DataArray, dim: str = "instance") -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Median, least and largest over the instances."""
    return values.median(dim), values.min(dim), values.max(dim)


def median_range(axes: Axes, x: Any, values: xr.DataArray, case: str) -> None:
    """A curve of a problem against x: median over the instances at every x, and their range as a band."""
    color, marker = COLORS[case]
    middle, low, high = extremes(values)
    axes.fill_between(x, low, high, color=color, alpha=0.25, linewidth=0)
    for edge, y in (("low", low), ("high", high)):
        axes.plot(x, y, color=color, linewidth=0.3, gid=f"{case}, {edge}")
    axes.plot(x, middle, color=color, marker=marker, linewidth=0.7, label=case)


def crosswise(axes: Axes, values: xr.DataArray, color: str, marker: str, label: str) -> None:
    """Delta against what it takes to fall below it: median over the instances, their range as a band along x.

    `values` are (instance, level); a level that not every instance meets has no band, one that most do not no point.
    """
    middle, low, high = extremes(values)
    seen = np.isfinite(middle.values)
    banded = np.isfinite(high.values)
    axes.fill_betweenx(LEVELS[banded], low[banded], high[banded], color=color, alpha=0.25, linewidth=0)
    for edge, x in (("low", low), ("high", high)):
        axes.plot(x[banded], LEVELS[banded], color=color, linewidth=0.3, gid=f"{label}, {edge}")
    style: dict[str, Any] = {"color": color, "marker": marker, "markevery": 4, "linewidth": 0.7}
    axes.plot(middle[seen], LEVELS[seen], label=label, **style)


def spread(values: xr.DataArray, form: str = "{:,.0f}") -> str:
    """Median [least, largest] over all values, as text."""
    median, low, high = (float(v) for v in (values.median(), values.min(), values.max()))
    return f"{form.format(median)} [{form.format(low)}, {form.format(high)}]"
