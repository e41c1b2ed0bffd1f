"""The whole grid from lazy to rich: delays, losses against the linearised model, alignment of kernel and target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

ALPHA, EPS, RATIOS, LOW, RATE = (0.25, 0.5, 1.0, 2.0, 4.0), (0.02, 0.1, 0.25, 0.5), (2, 4, 8, 16), 0.2, 2.0


def simulate(
    budget: Budget, seed: int, progress: Progress, *, D: int = 0, starts: int = 0, last: int = 0
) -> xr.Dataset:
    """Every alpha, eps and P/D, 240 runs in small sizes and 400 of 12,000 units of time in full ones."""
    from lemmata.experiments.learning_dynamics.lazy_rich import lazy_rich_grid
    from lemmata.problems.learning_dynamics import random_lazy_rich
    from lemmata.theory.learning_dynamics import final_kernel, kernel_alignment
    from lemmata.verification import Setup

    quick = budget == "quick"
    D, starts, last = D or (20 if quick else 40), starts or (3 if quick else 5), last or (2000 if quick else 6000)
    step = np.unique(np.append(0, np.geomspace(1, last, 80).round().astype(int)))
    ds = lazy_rich_grid(
        Setup("kernels", dtype="float32", budget=budget, seed=seed),
        D=D,
        ratios=RATIOS,
        alphas=ALPHA,
        epsilons=EPS,
        starts=starts,
        at=step.tolist(),
        rate=RATE,
        progress=progress,
    )
    # what a network that has learned the target has, on the same points
    bend = np.geomspace(EPS[0] / ALPHA[-1], EPS[-1] / ALPHA[0], 25)
    final = np.empty((len(RATIOS), bend.size))
    for i, ratio in enumerate(RATIOS):
        runs = [random_lazy_rich(D, ratio * D, 1, alpha=1.0, eps=1.0, seed=1000 * seed + s) for s in range(starts)]
        for j, b in enumerate(bend):
            final[i, j] = np.median(
                [kernel_alignment(final_kernel(r.X, r.beta, b), (r.X @ r.beta) ** 2 / 2) for r in runs]
            )
    units = {"units": "alignment where the population loss is 0"}
    return ds.assign_coords(bend=bend).assign(final=(("ratio", "bend"), final, units))


def _first(ds: xr.Dataset, loss: xr.DataArray) -> xr.DataArray:
    """Time (steps at rate 1) of the first value below LOW, NaN for never."""
    return (ds.step * ds.attrs["rate"]).where(loss < LOW).min("step")


def _delay(ds: xr.Dataset) -> xr.DataArray:
    """Median over the starts, never counted as infinite; NaN where that is the median."""
    delay = (_first(ds, ds.test).fillna(np.inf) - _first(ds, ds.train)).median("start")
    return delay.where(np.isfinite(delay))


def _beyond(ds: xr.Dataset) -> xr.DataArray:
    return (ds.test.isel(step=-1) / ds.linear.min("step")).median("start")


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    least = float(_delay(ds).sel(ratio=[4, 8]).diff("alpha").min())
    none = float((ds.test.sel(ratio=2) < LOW).any("step").mean())
    hump = float(
        (ds.test.sel(ratio=4, eps=0.02).max("step") / ds.test.sel(ratio=4, eps=0.02, step=0)).median("start").min()
    )
    beyond = float(_beyond(ds).sel(ratio=[4, 8, 16]).max())
    gain = float((ds.after / ds.before).min())
    learned = ds.test.isel(step=-1).median("start") < 1e-3
    off = float(abs(_predicted(ds) / ds.after.median("start") - 1).where(learned).max())
    return [
        Check(
            "every run fits its points", bool((ds.train.isel(step=-1) < LOW).all()), float(ds.train.isel(step=-1).max())
        ),
        Check("the delay grows with alpha at 4 and 8 points a dimension: least step", least > 0, least),
        Check("no run generalises at 2 points a dimension: share", none == 0, none),
        Check("at 4 points and the least eps the test loss first rises: ratio", hump > 1.1, hump),
        Check("at 4 points and more all beat the linearised model at its best: largest ratio", beyond < 1, beyond),
        Check("every kernel turns towards the target: least growth", gain > 1, gain),
        Check("learned ones have the kernel of the formula: largest error", off < 0.05, off),
    ]


def _predicted(ds: xr.Dataset) -> xr.DataArray:
    """`final` at every eps/alpha, interpolated along its logarithm."""
    return np.exp(np.log(ds.final).assign_coords(bend=np.log(ds.bend)).interp(bend=np.log(ds.eps / ds.alpha)))


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    runs = ds.train.isel(step=-1).size
    learned = int((ds.test.isel(step=-1) < LOW).sum())
    return (
        f"{runs} networks in D = {int(ds.attrs['D'])} dimensions, medians over {ds.sizes['start']} starts. Top: time "
        f"(steps at learning rate N/α²) from training loss {LOW:g} to population loss {LOW:g}; crosses: more than half "
        f"do not generalise within {int(ds.step[-1] * ds.attrs['rate'])}; {learned} runs end below {LOW:g}. Middle: "
        f"population loss at the end over the least one of the linearised model at any time. Bottom: alignment of "
        f"tangent kernel and target after training against ε/α (circles; bars: range), and where the target is learned "
        f"exactly (dashed)."
    )


def _cells(axes: Axes, values: np.ndarray, norm: Normalize, cmap: str, pattern: str) -> QuadMesh:
    """A heatmap over eps and alpha with its numbers; a cross where there is none."""
    image = axes.pcolormesh(np.ma.masked_invalid(values), norm=norm, cmap=cmap, edgecolors="white", linewidth=0.5)
    for (i, j), value in np.ndenumerate(values):
        text = pattern.format(value) if np.isfinite(value) else "×"
        dark = np.isfinite(value) and norm(value) < 0.5
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=6, color="white" if dark else "black")
    axes.set_xticks(np.arange(values.shape[1]) + 0.5, [f"{eps:g}" for eps in EPS])
    axes.set_yticks(np.arange(values.shape[0]) + 0.5, [f"{alpha:g}" for alpha in ALPHA])
    axes.tick_params(length=0)
    axes.grid(False)
    return image


def draw(ds: xr.Dataset) -> Canvas:
    """A column a sample size."""
    from matplotlib.colors import LogNorm

    figure, rows = canvas(3, len(RATIOS), width=DOUBLE_COLUMN, height=5.6)
    delay, beyond = _delay(ds), _beyond(ds)
    norms = (LogNorm(1, 1e4), LogNorm(1e-4, 1))
    bend = (ds.eps / ds.alpha).transpose("alpha", "eps").values.ravel()
    order = np.argsort(bend, kind="stable")
    for column, ratio in enumerate(RATIOS):
        top, middle, bottom = rows[:, column]
        shown = _cells(top, delay.sel(ratio=ratio).values, norms[0], "viridis", "{:.0f}")
        other = _cells(middle, beyond.sel(ratio=ratio).values, norms[1], "cividis", "{:.1g}")
        at = ds.after.sel(ratio=ratio).transpose("alpha", "eps", "start").values.reshape(bend.size, -1)[order]
        low, mid, high = at.min(axis=1), np.median(at, axis=1), at.max(axis=1)
        bottom.errorbar(
            bend[order], mid, yerr=(mid - low, high - mid), fmt="o", color="C0", markersize=3, label="trained"
        )
        theory(bottom, ds.bend, ds.final.sel(ratio=ratio), "target learned")
        bottom.set(xscale="log", yscale="log", xlabel=r"$\varepsilon/\alpha$", ylim=(0.008, 0.6))
        top.set(title=f"({'abcd'[column]}) $P/D = {ratio}$", xlabel=r"$\varepsilon$")
        middle.set(title=f"({'efgh'[column]})", xlabel=r"$\varepsilon$")
        bottom.set(title=f"({'ijkl'[column]})")
    for row, label in zip(rows[:, 0], (r"$\alpha$", r"$\alpha$", "alignment"), strict=True):
        row.set_ylabel(label)
    figure.colorbar(shown, ax=rows[0].tolist(), label="delay", pad=0.01)
    figure.colorbar(other, ax=rows[1].tolist(), label="loss ratio", pad=0.01)
    rows[2, 0].legend(loc="lower right")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("learning_dynamics/lazy-rich-grid", "The whole grid from lazy to rich", simulate, draw, caption, check),
)
