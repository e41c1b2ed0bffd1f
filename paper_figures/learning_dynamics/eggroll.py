"""The bias of low-rank noise by rank: closed form, Monte Carlo, leading term, and noise that is not symmetric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from lemmata.figures import SINGLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.results import dataset
from lemmata.theory.learning_dynamics import gaussian_gradient, leading_bias, low_rank_gradient, scalar_gradient
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

LEVEL = 0.01


def simulate(budget: Budget, seed: int, progress: Progress, *, pairs: int = 0) -> xr.Dataset:
    """Norms of the bias; Monte Carlo projects on its direction, which keeps the noise of the other entries out."""
    from lemmata.problems.learning_dynamics import random_sine
    from lemmata.sims.learning_dynamics import eggroll_sine

    pairs = pairs or (1000 if budget == "quick" else 20000)
    p = random_sine(6, 4, sigma=0.8, seed=seed)
    exact = gaussian_gradient(p.C, p.M, sigma=p.sigma)
    rank, sampled = 2 ** np.arange(0, 15), 2 ** np.arange(0, 4)
    bias = np.array([low_rank_gradient(p.C, p.M, sigma=p.sigma, rank=int(r)) - exact for r in rank])
    size = np.linalg.norm(bias, axis=(1, 2))
    mean, half = [], []
    for i, r in enumerate(sampled):
        progress(i / sampled.size, f"rank {r}")
        found = eggroll_sine(p.C, p.M, sigma=p.sigma, rank=int(r), pairs=pairs, replicates=400, seed=seed)
        along = ((found - exact) * bias[i] / size[i]).sum(axis=(1, 2))
        mean.append(along.mean())
        half.append(norm.isf(LEVEL / 2) * along.std(ddof=1) / np.sqrt(along.size))
    limit = gaussian_gradient(np.array([[1.3]]), np.array([[1.0]]), sigma=0.8)[0, 0]
    skewed = [abs(scalar_gradient(1.3, 1.0, sigma=0.8, rank=int(r), factors="exponential") - limit) for r in rank[2:]]
    return dataset(
        {
            "bias": (("rank",), size, "Frobenius norm"),
            "skewed": (("skewed_rank",), skewed, "bias, one parameter"),
            "sampled": (("sampled_rank",), mean, "component along the bias"),
            "half": (("sampled_rank",), half, "half-width of its interval"),
        },
        {"rank": rank, "skewed_rank": rank[2:], "sampled_rank": sampled},
        coefficient=float(np.linalg.norm(leading_bias(p.C, p.M, sigma=p.sigma))),
        pairs=400 * pairs,
    )


def _slope(x: xr.DataArray, y: xr.DataArray) -> float:
    return float(np.polyfit(np.log(x[-5:]), np.log(y[-5:]), 1)[0])


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    z = float((abs(ds.sampled.values - ds.bias.values[: ds.sizes["sampled_rank"]]) / ds.half.values).max())
    slope, skewed = _slope(ds["rank"], ds.bias), _slope(ds.skewed_rank, ds.skewed)
    last = float(ds.bias[-1] * ds["rank"][-1] / ds.attrs["coefficient"])
    return [
        Check("Monte Carlo agrees: distance in half-widths", z <= 1.5, z),
        Check("the bias has slope -1", abs(slope + 1) < 0.02, slope),
        Check("and the coefficient of the leading term: ratio", abs(last - 1) < 0.01, last),
        Check("noise that is not symmetric has slope -1/2", abs(skewed + 0.5) < 0.05, skewed),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    return (
        f"Distance of the expected gradient estimate with noise of rank r from the gradient of the smoothed fitness, "
        f"f(W) = sin<C, W> of a 6 x 4 matrix. Circles: Monte Carlo with {int(ds.attrs['pairs']):,} antithetic pairs "
        f"({100 * (1 - LEVEL):g} % intervals), projected on the bias. Solid: closed form. Dashed: its leading term "
        f"{ds.attrs['coefficient']:.4f}/r. Squares: exponential factors, which are not symmetric (one parameter); "
        f"their bias falls with slope {_slope(ds.skewed_rank, ds.skewed):.2f}."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """One panel."""
    figure, axes = canvas(1, 1, width=SINGLE_COLUMN, height=2.7)
    axes.plot(ds["rank"], ds.bias, color="C0", label="closed form")
    axes.errorbar(
        ds.sampled_rank, ds.sampled, yerr=ds.half, fmt="o", color="C0", capsize=2, label="Monte Carlo", zorder=4
    )
    measured(axes, ds.skewed_rank, ds.skewed, "skewed factors", color="C1", marker="s")
    theory(axes, ds["rank"], ds.attrs["coefficient"] / ds["rank"], "leading term")
    axes.set(xscale="log", yscale="log", xlabel="rank $r$", ylabel=r"$\|\hat g_r - \nabla J\|_F$", title="Bias by rank")
    axes.legend(loc="lower left")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("learning_dynamics/eggroll", "The bias of low-rank evolution strategies", simulate, draw, caption, check),
)
