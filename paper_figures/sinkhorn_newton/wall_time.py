"""Marginal error against wall time on one thread, and how many times faster SNS is at each error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas
from lemmata.paper_figures.sinkhorn_newton.shared import (
    CASES,
    COLORS,
    LEVELS,
    STYLES,
    TOLERANCE,
    crosswise,
    make,
    one_thread,
    plain_sinkhorn,
    settled,
    spread,
    stated,
    title_of,
    trace_of,
)
from lemmata.problems.sinkhorn_newton import OTResult, TransportProblem
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

#: Sinkhorn steps after which a run is given up, and over-relaxed steps, which are taken in the log domain
LIMIT, RELAXED_LIMIT = 250_000, 10_000
#: runs of a method that takes less than so many seconds, of which the fastest counts
REPEATS, SHORT = 3, 0.2
#: problems on which the advantage of SNS is large enough to survive a busy machine
CLEAR = ("random assignment", "digits, L1 distance")


def runs_of(method: str, problem: TransportProblem) -> list[OTResult]:
    """One run of a method, in parts that continue each other."""
    from lemmata.sims.sinkhorn_newton import solve

    if method == "Sinkhorn":
        return plain_sinkhorn(problem, LIMIT)
    how: Any = {"SNS": "sns", "dense Newton": "newton"}.get(method, method)
    steps = RELAXED_LIMIT if method == "over-relaxed" else None
    data = (problem.C, problem.r, problem.c, problem.eps)
    return [solve(*data, method=how, tol=TOLERANCE, max_steps=steps, on_fail="return")]


def simulate(
    budget: Budget, seed: int, progress: Progress, *, rows: int = 0, size: int = 0, instances: int = 0
) -> xr.Dataset:
    """Seconds until delta stays below each level, the fastest of a few runs of each method.

    With the full budget the sizes are those of the paper, and there are five instances.
    """
    quick = budget == "quick"
    rows, size = rows or (300 if quick else 500), size or (20 if quick else 28)
    instances = instances or (3 if quick else 5)
    seconds = np.full((len(CASES), len(STYLES), instances, LEVELS.size), np.nan)
    final = np.full(seconds.shape[:-1], np.nan)
    with one_thread():
        for method in STYLES:
            runs_of(method, make("random assignment", 0, (20, 4), 0))  # compiled before the clock starts
        for i, case in enumerate(CASES):
            for k in range(instances):
                problem = make(case, k, (rows, size), seed)
                for j, method in enumerate(STYLES):
                    progress((i + (k + j / len(STYLES)) / instances) / len(CASES), f"{case}: {method}")
                    tried = [trace_of(runs_of(method, problem))]
                    while len(tried) < REPEATS and tried[0][1][-1] < SHORT:
                        tried.append(trace_of(runs_of(method, problem)))
                    delta, at = min(tried, key=lambda trace: trace[1][-1])
                    seconds[i, j, k], final[i, j, k] = settled(delta, at), delta[-1]
    axes = ("case", "algorithm", "instance")
    return dataset(
        {
            "seconds": ((*axes, "level"), seconds, "s, of the iteration, until delta stays below the level"),
            "final": (axes, final, "L1 marginal error at the end"),
        },
        {"case": list(CASES), "algorithm": list(STYLES), "level": LEVELS},
        rows=rows,
        size=size,
    )


def _gain(ds: xr.Dataset) -> xr.DataArray:
    """Seconds of Sinkhorn's iteration over those of SNS: (case, instance, level)."""
    sns = ds.seconds.sel(algorithm="SNS", drop=True)
    return ds.seconds.sel(algorithm="Sinkhorn", drop=True) / sns.where(sns > 0)


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    reached = float(ds.final.sel(algorithm=["SNS", "dense Newton"]).max(skipna=False))
    gain = _gain(ds)
    clear = float(gain.sel(case=list(CLEAR)).isel(level=-1).median("instance").min(skipna=False))
    # the first Newton step comes after 20 Sinkhorn steps, in the log domain, which take longer than those of products
    loose = float(gain.isel(level=4).median("instance").max())
    grows = float((gain.isel(level=-1) / gain.isel(level=8)).sel(case=list(CLEAR)).median("instance").min())
    tight = ds.seconds.isel(level=-1).median("instance")
    dense = float((tight.sel(algorithm="dense Newton") / tight.sel(algorithm="SNS")).sel(case=list(CLEAR)).min())
    return [
        Check(f"both Newton methods bring delta to {TOLERANCE:g}: largest delta", reached <= TOLERANCE, reached),
        Check(
            "random assignment and digits, L1: SNS is over five times faster in the median: least gain",
            clear > 5,
            clear,
        ),
        Check("there is nothing to gain at delta = .1: largest median gain", loose < 3, loose),
        Check("the gain from delta = .01 to 1e-13 grows where it is clear: least factor", grows > 3, grows),
        Check("dense Newton steps take longer than sparse ones there: least median ratio", dense > 1, dense),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    tight = ds.seconds.isel(level=-1)

    def told(case: str) -> str:
        parts = []
        for method in STYLES:
            at = tight.sel(case=case, algorithm=method)
            ended = at.where(np.isfinite(at))
            lost = int(np.isinf(at).sum())
            text = f"{method} {spread(ended, '{:.2g}')} s" if lost < at.size else method
            parts.append(text + (f" ({lost} of {at.size} not)" if lost else ""))
        return f"{case}: {', '.join(parts)}"

    return (
        f"Marginal error against the seconds after which it stays below, on one thread, at {stated(ds)}. Medians and "
        f"ranges over {ds.sizes['instance']} instances, each the fastest of {REPEATS} runs where these take less than "
        f"{SHORT:g} s. Sinkhorn's iteration is computed by products with a kernel that is rebuilt when scalings grow; "
        f"over-relaxed steps in the log domain, up to {RELAXED_LIMIT:,} of them; dense Newton steps by Cholesky "
        f"factorisation. A curve ends where fewer than half of the runs get. (f) Seconds of Sinkhorn's iteration over "
        f"those of SNS; the line is at one. Until {TOLERANCE:g}, median [range]: "
        f"{'. '.join(told(case) for case in CASES)}."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """One panel a problem, and the gain."""
    figure, grid = canvas(2, 3, width=DOUBLE_COLUMN, height=4.4)
    *panels, last = grid.flat
    for letter, axes, case in zip("abcde", panels, CASES, strict=True):
        for method, (color, marker) in STYLES.items():
            at = ds.seconds.sel(case=case, algorithm=method)
            # no place for zero seconds on a logarithmic axis
            crosswise(axes, at.where(at > 0), color, marker, method)
        axes.set(title=title_of(ds, case, letter), xlabel="seconds", xscale="log", yscale="log", ylim=(3e-14, 4))
        axes.set_yticks(10.0 ** np.arange(-12, 1, 3))
    gain = _gain(ds)
    for case in CASES:
        color, marker = COLORS[case]
        at = gain.sel(case=case)
        at = at.where((at < np.inf).all("instance"), drop=True)
        low, middle, high = (at.quantile(q, "instance") for q in (0, 0.5, 1))
        last.fill_between(at.level, low, high, color=color, alpha=0.25, linewidth=0)
        last.plot(at.level, middle, color=color, marker=marker, markevery=4, linewidth=0.7, label=case)
    last.axhline(1, color="0.5", linewidth=0.8, zorder=1)
    last.set(title="(f) Sinkhorn / SNS", xlabel=r"marginal error $\delta$", xscale="log", yscale="log")
    last.set(ylabel="ratio of seconds", xlim=(3, 3e-14), ylim=(0.001, None))
    last.set_xticks(10.0 ** np.arange(-12, 1, 3))
    last.legend(loc="lower right", fontsize=5.5, labelspacing=0.25, handlelength=1.6)
    for axes in grid[:, 0]:
        axes.set_ylabel(r"marginal error $\delta$")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "sinkhorn_newton/wall-time",
        "Marginal error of Sinkhorn's iteration and of its Newton accelerations, by wall time",
        simulate,
        draw,
        caption,
        check,
    ),
)
