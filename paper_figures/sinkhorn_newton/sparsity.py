"""How much of the plan its largest entries hold, after more and more steps of Sinkhorn's iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas
from lemmata.paper_figures.sinkhorn_newton.shared import (
    CASES,
    COLORS,
    TOLERANCE,
    extremes,
    make,
    median_range,
    one_thread,
    plain_sinkhorn,
    stated,
    title_of,
)
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES", "left_out", "needed"]

#: Sinkhorn steps after which the plan is looked at; OPTIMUM stands for the optimal plan
OPTIMUM = -1
WARMUPS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
#: those whose whole curve is drawn, with colour and marker
DRAWN = {0: ("C5", "v"), 20: ("C0", "o"), 100: ("C2", "s"), 1000: ("C4", "^"), OPTIMUM: ("black", "D")}
#: entries in units of n
ENTRIES = np.array([0.5, 0.7, 1, 1.4, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 70, 100])
#: entries in units of n that the paper keeps
KEPT = {"random assignment": 2, "digits, squared distance": 2, "digits, L1 distance": 15}
#: share of the mass that may be left out
SHARE = 0.01
#: smallest share that is drawn: what rounding has left of it
FLOOR = 1e-15


def _tails(P: np.ndarray) -> np.ndarray:
    """Share of the mass outside the k largest entries of P, k = 0, 1, ..., n m."""
    # summed from the small end, where a difference from the whole would cancel
    tails = np.append(np.cumsum(np.sort(P, axis=None))[::-1], 0.0)
    return tails / tails[0]


def left_out(P: np.ndarray) -> np.ndarray:
    """Share of the mass outside the largest entries of P, for each of the `ENTRIES`."""
    return _tails(P)[np.minimum(np.ceil(ENTRIES * len(P)).astype(int), P.size)]


def needed(P: np.ndarray, share: float = SHARE) -> float:
    """Least number of entries of P that hold all but a share of its mass, in units of its rows."""
    return float(np.argmax(_tails(P) <= share)) / len(P)


def simulate(
    budget: Budget, seed: int, progress: Progress, *, rows: int = 0, size: int = 0, instances: int = 0
) -> xr.Dataset:
    """Mass outside the largest entries, and how many are needed, for every instance.

    With the full budget the sizes are those of the paper, and there are ten instances.
    """
    from lemmata.sims.sinkhorn_newton import solve
    from lemmata.theory.sinkhorn_newton import vertex_gap

    quick = budget == "quick"
    rows, size, instances = (
        rows or (300 if quick else 500),
        size or (20 if quick else 28),
        instances or (3, 10)[not quick],
    )
    left = np.full((len(CASES), len(DRAWN), instances, ENTRIES.size), np.nan)
    entries = np.full((len(CASES), len(WARMUPS) + 1, instances), np.nan)
    hypothesis = np.full(instances, np.nan)
    with one_thread():
        for i, case in enumerate(CASES):
            for k in range(instances):
                progress((i + k / instances) / len(CASES), case)
                problem = make(case, k, (rows, size), seed)
                if problem.is_assignment:
                    hypothesis[k] = vertex_gap(problem.C) / problem.eps / (1 + 2 * np.log(rows))
                g, taken = None, 0
                for j, warmup in enumerate((*WARMUPS, OPTIMUM)):
                    if warmup == OPTIMUM:
                        P = solve(problem.C, problem.r, problem.c, problem.eps, tol=TOLERANCE).P
                    else:
                        # a tolerance that is never met
                        last = plain_sinkhorn(problem, warmup - taken, tol=1e-300, g=g)[-1]
                        P, g, taken = last.P, last.g, warmup
                    entries[i, j, k] = needed(P)
                    if warmup in DRAWN:
                        left[i, list(DRAWN).index(warmup), k] = left_out(P)
    return dataset(
        {
            "left_out": (("case", "drawn", "instance", "entries"), left, "share of the mass"),
            "needed": (("case", "warmup", "instance"), entries, "entries for 99 % of the mass, in units of n"),
            "hypothesis": (("instance",), hypothesis, "eta Delta / (1 + 2 log n), random assignment"),
        },
        {"case": list(CASES), "drawn": list(DRAWN), "warmup": [*WARMUPS, OPTIMUM], "entries": ENTRIES},
        rows=rows,
        size=size,
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    uniform = ds.left_out.sel(case="random assignment")
    dropped = float(uniform.sel(drawn=20, entries=2).min())
    few = float(uniform.sel(drawn=[20, 100, 1000, OPTIMUM], entries=10).max())
    ratio = ds.needed / ds.needed.sel(warmup=OPTIMUM)
    same = float(abs(ratio.sel(case="random assignment", warmup=[20, 50, 100, 200, 500, 1000]) - 1).max())
    wide = float(ds.left_out.sel(case="digits, squared distance", entries=2).min())
    early = float(ratio.sel(case="digits, L1 distance", warmup=20).median())
    hypothesis = float(ds.hypothesis.max(skipna=False))
    return [
        Check("random assignment: 10 n entries hold all but .1 % of the mass from N1 = 20 on", few <= 1e-3, few),
        Check("its plan is then as sparse as it ever is, to 10 %: largest difference", same <= 0.1, same),
        Check("but 2 n entries, the paper's density, leave out over 3 % of the mass: least", dropped > 0.03, dropped),
        Check("digits, squared: 2 n entries leave out over a tenth: least", wide > 0.1, wide),
        Check("digits, L1: after 20 steps the plan is far sparser than the optimum: ratio", early < 0.6, early),
        Check("the theorem on sparsity asks for 1,000 times as large an eta: share met", hypothesis < 1e-3, hypothesis),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    middle = ds.needed.median("instance")

    def told(case: str) -> str:
        text = (
            f"{case}: {float(middle.sel(case=case, warmup=20)):.1f} n at N1 = 20 and "
            f"{float(middle.sel(case=case, warmup=OPTIMUM)):.1f} n at the optimum"
        )
        if case in KEPT:
            at = ds.left_out.sel(case=case, drawn=OPTIMUM, entries=KEPT[case]).median("instance")
            text += f", where the {KEPT[case]} n of the paper leave out {100 * float(at):.2g} %"
        return text

    return (
        f"Share of the plan's mass outside its largest entries, whose number is in units of n, after N1 Sinkhorn steps "
        f"and at the optimum, at {stated(ds)}. Medians and ranges of {ds.sizes['instance']} instances. Dotted: the "
        f"density that the paper keeps. (f) Entries that hold 99 % of the mass, in units of n; dashed: the same at the "
        f"optimum. For 99 % one needs, in the median, with {'; '.join(told(case) for case in CASES)}. With random "
        f"assignment the number of steps soon does not matter to the sparsity of the plan; on the L1 costs the first "
        f"plans are sparse because they are far from the optimum, with wrong marginals. No theorem is drawn: that of "
        f"the paper asks for eta > (1 + 2 log n)/Delta, Delta the gap between the best and the second-best assignment, "
        f"and here eta is at most {float(ds.hypothesis.max()):.1e} of that."
    )


def _curves(axes: Axes, ds: xr.Dataset) -> None:
    """Mass left out against entries kept, one curve a number of steps."""
    for steps, (color, marker) in DRAWN.items():
        at = ds.left_out.sel(drawn=steps)
        middle, low, high = extremes(at.where(at > FLOOR, 0.1 * FLOOR))
        label = "optimum" if steps == OPTIMUM else f"$N_1={steps:,}$"
        axes.fill_between(ds.entries, low, high, color=color, alpha=0.25, linewidth=0)
        for edge, y in (("low", low), ("high", high)):
            axes.plot(ds.entries, y, color=color, linewidth=0.3, gid=f"{label}, {edge}")
        axes.plot(ds.entries, middle, color=color, marker=marker, linewidth=0.7, label=label)


def draw(ds: xr.Dataset) -> Canvas:
    """One panel a problem, and the entries needed against the steps."""
    figure, grid = canvas(2, 3, width=DOUBLE_COLUMN, height=4.4)
    *panels, last = grid.flat
    for letter, axes, case in zip("abcde", panels, CASES, strict=True):
        _curves(axes, ds.sel(case=case))
        if case in KEPT:
            axes.axvline(KEPT[case], color="0.5", linestyle=":", linewidth=0.8, zorder=1)
        axes.set(title=title_of(ds, case, letter), xlabel="entries kept, in units of $n$")
        axes.set(xscale="log", yscale="log", ylim=(FLOOR, 3))
        axes.set_xticks([1, 10, 100], ["1", "10", "100"])
        axes.set_yticks(10.0 ** np.arange(-15, 1, 5))
    panels[0].annotate("paper", (KEPT["random assignment"], FLOOR), (3, 3), textcoords="offset points", fontsize=7)
    steps = np.array(WARMUPS) + 1
    for case in CASES:
        at = ds.needed.sel(case=case)
        median_range(last, steps, at.sel(warmup=list(WARMUPS)), case)
        best = np.full(2, float(at.sel(warmup=OPTIMUM).median()))
        last.plot(steps[[0, -1]], best, color=COLORS[case][0], linestyle="--", linewidth=0.8, gid=f"{case}, optimum")
    last.set(title="(f) entries for 99 % of the mass", xlabel="$N_1+1$", ylabel="entries, in units of $n$")
    last.set(xscale="log", yscale="log")
    for axes in grid[:, 0]:
        axes.set_ylabel("share of the mass left out")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=2, title="(a) to (e)")
    figure.legend(*last.get_legend_handles_labels(), loc="outside lower right", ncols=2, title="(f)")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "sinkhorn_newton/sparsity",
        "How sparse the plan is, and when",
        simulate,
        draw,
        caption,
        check,
    ),
)
