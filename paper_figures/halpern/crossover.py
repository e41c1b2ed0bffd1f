"""How many calls a given accuracy costs, against the number of components: where variance reduction pays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.problems.halpern.finite_sums import page
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

STYLES = {
    "Algorithm 1, η = 1/(4L)": ("C2", "s", True),
    "Algorithm 1, η = 1/(2L) (tuned)": ("C4", "v", False),
    "Algorithm 1, η = 1/L (tuned)": ("C3", "D", False),
    "Halpern, 2/L_F": ("C0", "o", True),
    "EG, 0.9/L_F": ("C1", "^", True),
}
COVERED, FULL = "Algorithm 1, η = 1/(4L)", ("Halpern, 2/L_F", "EG, 0.9/L_F")
INEXACT, FEG = "Algorithm 2, reflected, certified", "FEG, 1/L_F"
#: band of the exponent: 1/2, and what the term n log n adds while n is finite
EXPONENT = (0.45, 0.70)


def simulate(budget: Budget, seed: int, progress: Progress, *, sizes: Sequence[int] | None = None) -> xr.Dataset:
    """The table of `lemmata.experiments.halpern.variance_reduced.crossover`, and what the theorem promises."""
    from lemmata.experiments.halpern.variance_reduced import crossover

    progress(0, "every method, every n")
    ds = crossover(budget=budget, sizes=sizes or [4**i for i in range(2, 9 if budget == "quick" else 10)], seed=seed)
    # the residual is at most ε L D in mean square after 16/ε steps
    promised = [[_expected(int(n), int(np.ceil(16 / eps))) for n in ds.n] for eps in ds.eps.values]
    return ds.assign(promised=(("eps", "n"), promised, {"units": "component evaluations, expected"}))


def _expected(n: int, steps: int) -> float:
    """Expected calls of `steps` steps of Algorithm 1, with the batch of the measurement."""
    options = page(n, steps, lipschitz=1.0, batch=min(n, int(np.ceil(1.5 * np.sqrt(n)))))
    return float(options.expected_calls(n)[-1])


def _crossing(n: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> float:
    """The n from which ours stay below theirs, interpolated between the logarithms; infinite if never."""
    gap = np.log(ours / theirs)
    above = np.flatnonzero(gap >= 0)
    if above.size == 0:
        return float(n[0])
    i = above[-1]
    if i == n.size - 1:
        return float("inf")
    share = gap[i] / (gap[i] - gap[i + 1])
    return float(n[i] * (n[i + 1] / n[i]) ** share)


def _crossover(ds: xr.Dataset, name: str, eps: float) -> float:
    """The n from which a row of Algorithm 1 is cheaper than the cheaper of the deterministic methods."""
    at = ds.calls.sel(eps=eps)
    return _crossing(ds.n.values, at.sel(algorithm=name).values, at.sel(algorithm=list(FULL)).min("algorithm").values)


def _monotone_crossover(ds: xr.Dataset, eps: float) -> float:
    at = ds.monotone_calls.sel(monotone_eps=eps)
    ours, theirs = (at.sel(monotone_algorithm=name).values for name in (INEXACT, FEG))
    return _crossing(ds.monotone_n.values, ours, theirs)


def _sampled(ds: xr.Dataset) -> list[str]:
    return [name for name in ds.algorithm.values if name.startswith("Algorithm 1")]


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    sampled, slopes = _sampled(ds), ds.slope.sel(algorithm=COVERED).values
    outside = float(np.maximum(EXPONENT[0] - slopes, slopes - EXPONENT[1]).max())
    full = float(abs(ds.slope.sel(algorithm=list(FULL)) - 1).max())
    labels = float(sum(("(tuned)" in name) != bool(ds.tuned.sel(algorithm=name)) for name in ds.algorithm.values))
    kept = float((ds.calls_max.sel(algorithm=COVERED) / ds.promised).max())
    small = float((ds.calls.sel(algorithm=COVERED) / ds.calls.sel(algorithm=list(FULL)).max("algorithm"))[:, 0].min())
    earlier = [[_crossover(ds, name, eps) for name in sampled] for eps in ds.eps.values]
    order = float(max(b / a for row in earlier for a, b in pairwise(row)))
    monotone = ds.monotone_calls.sel(monotone_algorithm=INEXACT) / ds.monotone_calls.sel(monotone_algorithm=FEG)
    first, last = float(monotone[:, 0].min()), float(monotone[:, -1].max())
    return [
        Check("deterministic methods cost exactly n times a constant: largest error of a slope", full <= 1e-9, full),
        Check(
            f"slopes of Algorithm 1 with η = 1/(4L) lie in [{EXPONENT[0]}, {EXPONENT[1]}]: how far outside at worst",
            outside <= 0,
            outside,
        ),
        Check("every row outside the theorem says that it is tuned: rows that do not agree", labels == 0, labels),
        Check("Algorithm 1 needs no more calls than 16/ε steps cost: largest ratio", kept <= 1, kept),
        Check(
            f"at n = {int(ds.n[0])} Algorithm 1 as its theorem has it costs more than any deterministic method: ratio",
            small > 1,
            small,
        ),
        Check("a longer step crosses over at smaller n: largest ratio", order < 1, order),
        Check(f"Algorithm 2 costs more than FEG at n = {int(ds.monotone_n[0])}: least ratio", first > 1, first),
        Check(f"it costs less at n = {int(ds.monotone_n[-1])}: largest ratio", last < 1, last),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""

    def number(n: float) -> str:
        if np.isinf(n):
            return f"none up to {int(ds.n[-1]):,}"
        return f"n ≈ {float(f'{n:.2g}'):,.0f}"

    def row(name: str) -> str:
        slopes = ", ".join(f"{float(s):.3f}" for s in ds.slope.sel(algorithm=name))
        crossings = ", ".join(number(_crossover(ds, name, eps)) for eps in ds.eps.values)
        return f"{name.removeprefix('Algorithm 1, ')}: slopes {slopes}, cheaper than both from {crossings}"

    eps = " and ".join(f"{e:g}" for e in ds.eps.values)
    rows = "; ".join(map(row, _sampled(ds)))
    full = "; ".join(
        f"{name}: {', '.join(f'{float(c / ds.n[-1]):,.0f}' for c in ds.calls.sel(algorithm=name)[:, -1])} calls a "
        f"component"
        for name in FULL
    )
    monotone = ", ".join(number(_monotone_crossover(ds, e)) for e in ds.monotone_eps.values)
    tight = " and ".join(f"{e:g}" for e in ds.monotone_eps.values)
    last = ds.monotone_calls[:, :, -1]
    return (
        f"Component evaluations until ‖F‖ <= ε L D. (a), (b) Balanced diagonal sums, d = 40, D = 1, L = 1.25 on "
        f"average, L_F = 1, ε = {eps}: medians of five replicates, bands their range. Algorithm 1 with batches of "
        f"ceil(1.5 √n); its theorem covers η = 1/(4L) and promises the accuracy, in mean square, after 16/ε steps "
        f"(dashed: their expected calls); longer steps are tuned. In the order of ε: {rows} (dotted: the crossover of "
        f"η = 1/(4L), interpolated). Deterministic methods have slope 1; {full}. Slopes of Algorithm 1 exceed 1/2 by "
        f"the term n log n, most where it takes few steps. (c) Skew sums, d = 10, D = L = 1, ε = {tight}, medians "
        f"and ranges over five instances: Algorithm 2 with the reflected resolvent, inner extragradient stopped by "
        f"its certificate, against FEG. It is cheaper from {monotone} on; at n = {int(ds.monotone_n[-1])} the medians "
        f"are {', '.join(f'{float(c):,.0f}' for c in last.sel(monotone_algorithm=INEXACT))} against "
        f"{', '.join(f'{float(c):,.0f}' for c in last.sel(monotone_algorithm=FEG))} calls."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Calls against n for two accuracies, and Algorithm 2 against FEG."""
    figure, (left, middle, right) = canvas(1, 3, width=DOUBLE_COLUMN, height=2.9)
    middle.sharey(left)
    for axes, eps, letter in zip((left, middle), ds.eps.values, "ab", strict=True):
        at = ds.sel(eps=eps)
        for name, (color, marker, filled) in STYLES.items():
            row = at.sel(algorithm=name)
            band = (row.calls_min, row.calls_max) if name.startswith("Algorithm") else None
            measured(axes, ds.n, row.calls, _maths(name), color=color, marker=marker, filled=filled, band=band)
        theory(axes, ds.n, at.promised, "expected calls of $16/\\varepsilon$ steps")
        crossing = _crossover(ds, COVERED, eps)
        if np.isfinite(crossing):
            axes.axvline(crossing, color="C2", linestyle=":", linewidth=0.8)
        axes.set(title=rf"({letter}) cocoercive, $\varepsilon={eps:g}$", xscale="log", yscale="log", xlabel="$n$")
    left.set_ylabel(r"calls until $\Vert F\Vert\leq\varepsilon LD$")
    for eps, filled in zip(ds.monotone_eps.values, (True, False), strict=True):
        for name, color, marker in ((INEXACT, "C3", "D"), (FEG, "C1", "^")):
            row = ds.sel(monotone_eps=eps, monotone_algorithm=name)
            label = rf"{name.partition(',')[0]}, $\varepsilon={eps:g}$"
            band = (row.monotone_calls_min, row.monotone_calls_max)
            measured(
                right, ds.monotone_n, row.monotone_calls, label, color=color, marker=marker, filled=filled, band=band
            )
    right.set(title="(c) monotone: skew sums", xscale="log", yscale="log", xlabel="$n$")
    right.set_xticks(ds.monotone_n.values, [f"{n}" for n in ds.monotone_n.values])
    right.minorticks_off()
    right.set_ylim(bottom=float(ds.monotone_calls_min.min()) / 4)
    right.legend(loc="lower right", ncols=1)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _maths(name: str) -> str:
    return name.replace("η = ", "$\\eta=").replace("L)", "L)$").replace("1/L ", "1/L$ ").replace("L_F", "$L_F$")


FIGURES: tuple[Figure, ...] = (
    Figure(
        "halpern/crossover",
        "Where variance reduction pays: calls against the number of components",
        simulate,
        draw,
        caption,
        check,
    ),
)
