"""Contextual bandits by network: where no linear oracle sees anything, and on classes with labels as arms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.bandits.shared import LEVEL, band, mean_and_half
from lemmata.problems.bandits import InverseGap, NeuralOracle, classes, log_checkpoints, ring_contexts
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

STYLES = {"linear": ("C0", "o"), "NeuSquareCB": ("C1", "^"), "NeuFastCB": ("C2", "s"), "uniform": ("C4", "v")}
GAMMA, RATE = 100.0, 0.5
PROBLEMS = ("ring", "classes")


def _policies(width: int) -> dict[str, InverseGap]:
    return {
        "linear": InverseGap(GAMMA),
        "NeuSquareCB": InverseGap(GAMMA, "square", NeuralOracle(width, "square", rate=RATE)),
        "NeuFastCB": InverseGap(GAMMA, "fast", NeuralOracle(width, "kl", rate=RATE)),
        "uniform": InverseGap(0.0),
    }


def simulate(
    budget: Budget, seed: int, progress: Progress, *, horizon: int = 0, replicates: int = 0, width: int = 0
) -> xr.Dataset:
    """Mean regret against t on the ring and on classes."""
    from lemmata.kernels.bandits.contextual import simulate_contextual as play_network
    from lemmata.sims.bandits import simulate_contextual as play_quickly

    horizon = horizon or (3000 if budget == "quick" else 10_000)
    n = replicates or (16 if budget == "quick" else 64)
    points = log_checkpoints(horizon, per_octave=2)
    points = points[points >= 16]
    worlds = (ring_contexts(16, 4), classes(500, 5, 8, seed=seed))
    mean, half = np.empty((2, len(worlds), len(STYLES), points.size))
    for w, env in enumerate(worlds):
        for p, (name, policy) in enumerate(_policies(width or 64).items()):
            progress((w + p / len(STYLES)) / len(worlds), f"{name} on {PROBLEMS[w]}")
            play = play_network if isinstance(policy.oracle, NeuralOracle) else play_quickly
            run = play(policy, env, horizon, n, checkpoints=points, seed=seed)
            mean[w, p], half[w, p] = mean_and_half(run["regret"].values)
    dims = ("problem", "policy", "round")
    return dataset(
        {
            "mean": (dims, mean, "regret"),
            "half": (dims, half, "half-width of the interval"),
            "gap": (("problem",), [env.gaps.mean() for env in worlds], "mean gap: the uniform policy's regret a round"),
        },
        {"problem": list(PROBLEMS), "policy": list(STYLES), "round": points},
        replicates=n,
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    end, ring = ds["mean"].isel(round=-1), ds["mean"].sel(problem="ring")
    at_random = ds.gap * ds["round"][-1]
    uniform = float((abs(end.sel(policy="uniform") - at_random) / ds.half[..., -1].sel(policy="uniform")).values.max())
    late = ring[:, -1] - ring[:, -3]
    blind = float(late.sel(policy="linear") / late.sel(policy="uniform"))
    nets = float((late.sel(policy=["NeuSquareCB", "NeuFastCB"]) / late.sel(policy="uniform")).values.max())
    low, high = ((ds["mean"] + sign * ds.half).sel(problem="classes")[:, -1] for sign in (-1, 1))
    below = float(low.sel(policy="NeuSquareCB") / high.sel(policy="NeuFastCB"))
    late = (ds["mean"][..., -1] - ds["mean"][..., -3]).sel(problem="classes")
    least = float((late.drop_sel(policy="NeuFastCB") / late.sel(policy="NeuFastCB")).values.min())
    return [
        Check("uniform pays the mean gap: largest distance in half-widths", uniform <= 2, uniform),
        Check(
            "ring: the linear oracle saves nothing in the last octave: share of uniform above .9", blind > 0.9, blind
        ),
        Check("ring: both networks pay less than a quarter of it", nets < 0.25, nets),
        Check("classes: NeuFastCB pays less than NeuSquareCB, intervals apart: ratio", below > 1, below),
        Check("and in the last octave less than any other: least ratio", least > 1, least),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    end = ds.isel(round=-1)

    def values(problem: str) -> str:
        at = end.sel(problem=problem)
        return ", ".join(
            f"{name} {float(at['mean'].sel(policy=name)):.0f} ± {float(at.half.sel(policy=name)):.0f}"
            for name in STYLES
        )

    return (
        f"Mean regret of inverse-gap weighting, γ = {GAMMA:g}, {int(ds.attrs['replicates'])} replicates, bands "
        f"{100 * (1 - LEVEL):g} % intervals of the mean. Linear: SquareCB with the forecaster of Vovk, Azoury and "
        f"Warmuth. NeuSquareCB: a network of one hidden layer with 8 perturbed outputs, step {RATE:g}, trained on the "
        f"square loss; NeuFastCB: on the logarithmic loss, with the weights of FastCB. Instances and sizes are ours. "
        f"(a) Points of the circle, losses sin² of twice an angle: the best linear function of the features is "
        f"constant. (b) Five classes of 500 points in 8 dimensions, labels as arms, 2 % noise: the best arm costs "
        f"little, and NeuFastCB explores in proportion. Dashed: what it costs to play at random. At t = "
        f"{int(ds['round'][-1]):,}: (a) {values('ring')}; (b) {values('classes')}."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Regret against t on both problems."""
    figure, panels = canvas(1, 2, width=DOUBLE_COLUMN, height=2.9)
    for axes, problem, title in zip(
        panels, ds.problem.values, ("(a) a ring: nothing linear to see", "(b) classes, labels as arms"), strict=True
    ):
        for name, (color, marker) in STYLES.items():
            mean, half = (a.sel(problem=problem, policy=name) for a in (ds["mean"], ds.half))
            measured(axes, ds["round"], mean, name, color=color, marker=marker, band=band(mean, half))
        theory(axes, ds["round"], float(ds.gap.sel(problem=problem)) * ds["round"], "at random")
        axes.set(title=title, xscale="log", yscale="log", xlabel="round $t$")
    panels[0].set_ylabel("mean regret")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "bandits/neural",
        "Inverse-gap weighting with networks",
        simulate,
        draw,
        caption,
        check,
    ),
)
