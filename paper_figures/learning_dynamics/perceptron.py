"""Logistic regression with growing steps: steps until separation, and the distance from the perceptron's path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.results import dataset
from lemmata.theory.learning_dynamics import margin, normalized_logistic_bound
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]


def simulate(budget: Budget, seed: int, progress: Progress, *, n: int = 1000, sets: int = 0) -> xr.Dataset:
    """Steps by step size on the worst case, and gaps between paths on random sets."""
    from lemmata.problems.learning_dynamics import random_separable, worst_case
    from lemmata.sims.learning_dynamics import separation_path, separation_steps

    sets = sets or (50 if budget == "quick" else 500)
    data = worst_case(n)
    gamma = np.geomspace(0.1, 1e4, 16)
    points = np.repeat(data.points[None], gamma.size, axis=0)
    found = [
        separation_steps(points, gamma, rule=rule, most=200 * n, on_fail="return") for rule in ("plain", "normalized")
    ]
    progress(0.5, "paths")
    bound = normalized_logistic_bound(n=n, R=data.radius, mu=margin(data.points), gamma=gamma)
    perceptron = separation_steps(points[:1], np.array([np.inf]), rule="plain", most=10 * n)[0]
    gaps, widths = np.empty((sets, gamma.size)), np.append(gamma, np.inf)
    for i in range(sets):
        z = random_separable(55, 3, seed=1000 * seed + i).points
        path = separation_path(np.repeat(z[None], widths.size, axis=0), widths, rule="plain", steps=40)
        gaps[i] = np.linalg.norm(path[:-1] - path[-1], axis=2).max(axis=1)
    return dataset(
        {
            "steps": (("rule", "gamma"), found, "steps"),
            "bound": (("gamma",), bound, "steps"),
            "gap": (("set", "gamma"), gaps, "max_t |theta_t/gamma - perceptron|"),
        },
        {"rule": ["plain", "normalized"], "gamma": gamma},
        n=n,
        perceptron=float(perceptron),
        proved=float(n * data.radius**2 / margin(data.points) ** 2),
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    normalized = ds.steps.sel(rule="normalized")
    ratio = float((normalized / ds.bound).max())
    last = float(ds.steps.sel(rule="plain")[-1])
    small = ds.steps.sel(rule="plain")[0] / normalized[0]
    gap = ds.gap.median("set")
    return [
        Check("normalized descent keeps its bound: largest ratio", ratio <= 1, ratio),
        Check("with the largest step plain descent takes the perceptron's steps", last == ds.attrs["perceptron"], last),
        Check("with the smallest step it takes ten times those of normalized descent", float(small) > 10, float(small)),
        Check("the median gap falls below 1e-6", float(gap[-1]) < 1e-6, float(gap[-1])),
        Check("and never grows", bool((np.diff(gap) <= 0).all()), float(np.diff(gap).max())),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    return (
        f"(a) Steps of gradient descent on the logistic loss until one point is separated from "
        f"{int(ds.attrs['n']) - 1} others. Plain descent tends to the batch perceptron (dotted, "
        f"{ds.attrs['perceptron']:.0f} steps; its bound n R²/μ² is "
        f"{ds.attrs['proved']:.0f}); normalized descent keeps below R²/μ² + 2 ln(2n-1)/(γ μ²) (dashed). "
        f"(b) Largest distance between θ_t/γ and the perceptron's iterate over 40 steps on {ds.sizes['set']} random "
        f"sets of 55 points in three dimensions: median and the band from the 10th to the 90th percentile. Points "
        f"below 1e-17 are drawn there."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Steps on the left, gaps on the right."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.7)
    for rule, color, marker in (("plain", "C0", "o"), ("normalized", "C1", "s")):
        measured(left, ds.gamma, ds.steps.sel(rule=rule), rule, color=color, marker=marker)
    theory(left, ds.gamma, ds.bound, "bound, normalized")
    left.axhline(ds.attrs["perceptron"], color="0.4", linestyle=":", label="perceptron")
    left.set(title="(a) steps until separation", ylabel="steps", yscale="log")
    low, middle, high = (ds.gap.quantile(q, "set").clip(min=1e-17) for q in (0.1, 0.5, 0.9))
    measured(right, ds.gamma, middle, "random sets", color="C0", band=(low, high))
    right.set(title="(b) distance from the perceptron", yscale="log")
    right.set_ylabel(r"$\max_t |\theta_t/\gamma - \hat\theta_t|$")
    for axes in (left, right):
        axes.set(xscale="log", xlabel=r"step size $\gamma$")
        axes.legend()
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("learning_dynamics/perceptron", "From logistic regression to perceptron", simulate, draw, caption, check),
)
