"""Deep linear networks: three modes along their exact curves, and what depth costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.results import dataset
from lemmata.theory.learning_dynamics import learning_time, learning_time_limit, mode_strength
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

STRENGTHS, INITIAL = (3.0, 2.0, 1.0), 0.01
#: the mode whose depth is varied
U0, UF = 0.01, 0.9


def simulate(budget: Budget, seed: int, progress: Progress, *, deepest: int = 0, rate: float = 0.0) -> xr.Dataset:
    """Gradient descent from an aligned and from small random starts, and chains of growing depth."""
    from lemmata.problems.learning_dynamics import aligned_network, random_network, stack
    from lemmata.sims.learning_dynamics import chain_time, deep_linear_descent

    rate = rate or (1e-3 if budget == "quick" else 1e-4)
    deepest = deepest or (1024 if budget == "quick" else 4096)
    time = np.linspace(0, 6, 61)
    aligned = aligned_network((6, 8, 5), STRENGTHS, (INITIAL,) * 3, seed=seed)
    others = [random_network((6, 8, 5), STRENGTHS, scale=0.01, seed=seed + i) for i in range(20)]
    at = np.round(time / rate).astype(int).tolist()
    found = []
    for i, networks in enumerate(([aligned], others)):
        progress(i / 3, "gradient descent")
        maps = deep_linear_descent(*stack(networks), rate, at)[:, :, :5, :6]
        modes = [np.diagonal(n.modes(W), axis1=1, axis2=2) for n, W in zip(networks, maps, strict=True)]
        found.append(np.array(modes))
    progress(2 / 3, "chains")
    depth = np.unique(np.append([2, 3], 2 ** np.arange(2, int(np.log2(deepest)) + 1)))
    chains = [d * chain_time(np.full(d, U0 ** (1 / d)), UF, 1.0) for d in depth]
    exact = [mode_strength(time, INITIAL, s, depth=2) for s in STRENGTHS]
    return dataset(
        {
            "strength": (("time", "mode"), found[0][0], "u"),
            "exact": (("time", "mode"), np.transpose(exact), "u"),
            "random": (("start", "time", "mode"), found[1], "u from small random weights"),
            "delay": (("depth",), chains, "D t(D)"),
            "formula": (("depth",), [d * float(learning_time(U0, UF, 1.0, depth=int(d))) for d in depth], "D t(D)"),
        },
        {"time": time, "mode": np.array(STRENGTHS), "depth": depth},
        rate=rate,
        limit=float(learning_time_limit(U0, UF, 1.0)),
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    apart = float((abs(ds.strength - ds.exact) / ds["mode"]).max())
    formula = float(abs(ds.delay / ds.formula - 1).max())
    left = float(1 - ds.delay[-1] / ds.attrs["limit"])
    half = ds.time.where(ds.random > ds["mode"] / 2).min("time").fillna(np.inf)  # infinite if it is never learned
    first = float((half.isel(mode=2) - half.isel(mode=0)).min())
    return [
        Check("descent lies within 10 learning rates of the sigmoids: distance", apart <= 10 * ds.attrs["rate"], apart),
        Check("chains take the time of the formula: relative error", formula <= 1e-7, formula),
        Check("the delay grows with depth", bool((np.diff(ds.delay) > 0).all()), float(np.diff(ds.delay).min())),
        Check("and at the largest depth is within 10 % of its limit, below", 0 < left < 0.1, left),
        Check("from random weights the strongest mode is learned first: least lead", first > 0, first),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    apart = float((abs(ds.strength - ds.exact) / ds["mode"]).max())
    return (
        f"(a) Strengths of three modes of a two-layer linear network in gradient descent with learning rate "
        f"{ds.attrs['rate']:g}, from aligned weights (markers) and from {ds.sizes['start']} starts with random weights "
        f"of scale .01 (thin). Dashed: the sigmoids of gradient flow; the aligned start leaves them by at most "
        f"{apart:.2g} s. (b) Learning time of a mode from u_0 = {U0:g} to {UF:g}, times depth D, which is what counts "
        f"when the learning rate is of order 1/D: chains of scalars, each layer integrated (markers), and the formula "
        f"(dashed). The limit is {ds.attrs['limit']:.1f} (dotted): depth costs a finite delay."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Modes on the left, depth on the right."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.7)
    for mode, color, marker in zip(ds["mode"], ("C0", "C2", "C1"), ("o", "s", "^"), strict=True):
        at = ds.sel(mode=mode)
        left.plot(ds.time, at.random.T, color=color, linewidth=0.3, alpha=0.6)
        name = f"$s = {float(mode):g}$"
        left.plot(ds.time, at.strength, color=color, marker=marker, markevery=3, linewidth=0, label=name)
        theory(left, ds.time, at.exact, f"{name}, flow")
    handles, labels = left.get_legend_handles_labels()
    thin = left.lines[0]
    left.legend(
        [*handles[::2], handles[1], thin], [*labels[::2], "gradient flow", "random start"], ncols=2, loc="upper right"
    )
    left.set(title="(a) two layers", xlabel=r"time $t/\tau$", ylabel="mode strength $u$")
    left.set_ylim(top=4.2)
    measured(right, ds.depth, ds.delay, "chains of scalars", color="C0")
    theory(right, ds.depth, ds.formula, "formula")
    right.axhline(ds.attrs["limit"], color="0.4", linestyle=":", label=r"limit $D\to\infty$")
    right.set(title="(b) the cost of depth", xlabel="depth $D$", ylabel=r"$D\, t(D)/\tau$", xscale="log")
    right.legend(loc="lower right")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("learning_dynamics/deep-linear", "Modes of deep linear networks", simulate, draw, caption, check),
)
