"""The published comparison of variance-reduced methods on the policeman and burglar game."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas
from lemmata.paper_figures.halpern.matrix_game import natural_residual
from lemmata.paper_figures.halpern.paper_qp import DETERMINISTIC, SAMPLED, Steps, draw_curves, five, spread
from lemmata.problems.halpern import bilinear, matrix_game, simplices
from lemmata.problems.halpern.finite_sums import game_sum, page
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES", "published_steps"]

#: share of the first residual at which epochs are compared
SHARE = 0.25


def published_steps(matrix: np.ndarray) -> Steps:
    """Steps of the published run on the game of an n x n matrix."""
    n, p = len(matrix), 1 / len(matrix)
    norm, frobenius = float(np.linalg.norm(matrix, 2)), float(np.linalg.norm(matrix))
    return Steps(
        eg=5 / norm,
        eag=5 / norm,
        vr_eg=3 * p**0.5 / frobenius,
        page=5 / frobenius,
        batch=int(n**0.5),
        resolvent=n**0.5 / frobenius,
        inner=5 * (p * (1 - p)) ** 0.5 / (n**0.5 + 1),
    )


def simulate(
    budget: Budget, seed: int, progress: Progress, *, size: int = 500, epochs: int = 0, replicates: int = 0
) -> xr.Dataset:
    """The five methods on the published matrix; `seed` is that of the samples."""
    from lemmata.sims.halpern.variance_reduced import vr_halpern

    epochs = epochs or (1_000 if budget == "quick" else 5_000)
    replicates = replicates or (3 if budget == "quick" else 5)
    matrix = matrix_game(size)
    problem, steps = game_sum(matrix), published_steps(matrix)
    grid = np.unique(np.geomspace(2, epochs, 250).round().astype(int))
    runs = five(problem, bilinear(matrix), steps, grid, replicates, seed, progress)
    # one step of Algorithm 1 is the projection of z_0 - eta F(z_0), whatever the coins
    first = vr_halpern(
        problem.operator, problem.x0, page(size, 1, eta=steps.page, batch=steps.batch), simplices=size, seed=seed
    )
    point = simplices(problem.x0 - steps.page * problem.operator(problem.x0), size)
    gap = abs(float(first["natural_residual"][0, 0]) - float(natural_residual(matrix, point)))
    return dataset(
        {
            "full": (("algorithm", "epoch"), np.concatenate([runs[m] for m in DETERMINISTIC]), "natural residual"),
            "sampled": (
                ("sampled_algorithm", "replicate", "epoch"),
                np.stack([runs[m] for m in SAMPLED]),
                "natural residual",
            ),
            "start": ((), natural_residual(matrix, problem.x0), "natural residual of z_0"),
            "disagreement": ((), gap, "|simulator - numpy| after a step"),
            "norm": ((), np.linalg.norm(matrix, 2), "||A||"),
            "frobenius": ((), np.linalg.norm(matrix), "||A||_F"),
            "lipschitz": ((), problem.operator.lipschitz, "L on average of the sampled field"),
        },
        {"algorithm": list(DETERMINISTIC), "sampled_algorithm": list(SAMPLED), "epoch": grid},
        size=size,
    )


def _curve(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Residuals of a method, one row a seed; a deterministic method has one row."""
    if name in DETERMINISTIC:
        return ds.full.sel(algorithm=[name])
    return ds.sampled.sel(sampled_algorithm=name)


def _reached(ds: xr.Dataset, name: str) -> np.ndarray:
    """First epoch at which each seed has a `SHARE` of the residual it started from; infinite where none has."""
    below = _curve(ds, name).values <= SHARE * float(ds.start)
    return np.where(below.any(axis=1), ds.epoch.values[below.argmax(axis=1)], np.inf)


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    reached = {name: _reached(ds, name) for name in (*DETERMINISTIC, *SAMPLED)}
    eg, eag = (float(reached[name][0]) for name in DETERMINISTIC)
    loopless, first, second = (reached[name] for name in SAMPLED)
    routes = float(ds.disagreement)
    return [
        *(
            Check(
                f"every seed of {name} has a quarter of the residual before EG: largest ratio of epochs",
                reached[name].max() < eg,
                reached[name].max() / eg,
            )
            for name in SAMPLED
        ),
        Check("EAG has it after EG: ratio of epochs", eg < eag < np.inf, eag / eg),
        Check(
            "every seed of VR-EG has it before every seed of Algorithm 1: ratio of epochs",
            loopless.max() < first.min(),
            loopless.max() / first.min(),
        ),
        Check(
            "every seed of Algorithm 1 has it before every seed of Algorithm 2: ratio of epochs",
            first.max() < second.min(),
            first.max() / second.min(),
        ),
        Check("residuals of the first iterates match those of numpy to 1e-12", routes <= 1e-12, routes),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    size, p = int(ds.attrs["size"]), 1 / int(ds.attrs["size"])
    norm, frobenius, lipschitz = float(ds.norm), float(ds.frobenius), float(ds.lipschitz)
    end = float(ds.epoch[-1])

    def quarter(name: str) -> str:
        return f"{np.median(_reached(ds, name)):,.0f} ({name})"

    def last(name: str) -> str:
        if name in DETERMINISTIC:
            return f"{float(_curve(ds, name)[0, -1]):.3g} ({name})"
        median, low, high = spread(ds, name, end)
        return f"{median:.3g} [{low:.3g}, {high:.3g}] ({name})"

    names = (*DETERMINISTIC, *SAMPLED)
    return (
        f"Policeman and burglar game, {size} × {size}, the published matrix (‖A‖ = {norm:.2f}, ‖A‖_F = "
        f"{frobenius:.2f}), the weighted column chosen by the minimising player, from uniform strategies. Natural "
        f"residual, with unit step, of the last iterate against oracle calls over n, every call counted; component i "
        f"is row i and column i of A. Published steps: 5/‖A‖ (EG, and EAG with weights 1/(k+2)), 3√p/‖A‖_F with p = "
        f"1/n (VR-EG, loopless extragradient), 5/‖A‖_F with batches of {int(size**0.5)} and weights 2/(k+4) (Algorithm "
        f"1), √n/‖A‖_F for the resolvent and 5√(p(1-p))/(√n+1) for its inner solver with int(0.05 n log(k+2)) steps "
        f"(Algorithm 2). No theorem covers them: that of EG ends at 1/‖A‖, that of EAG at 1/(8‖A‖), that of VR-EG at "
        f"√p/L, L = {lipschitz:.0f} on average, which is {np.sqrt(p) / lipschitz / (3 * p**0.5 / frobenius):.2f} of "
        f"the step taken; that of Algorithm 1 asks for a cocoercive field. Lines: medians of "
        f"{ds.sizes['replicate']} seeds; bands: their range. Epochs to {SHARE:g} of the first residual "
        f"{float(ds.start):.4f} (dotted), medians: {', '.join(map(quarter, names))}. After {end:,.0f} epochs: "
        f"{', '.join(map(last, names))}. On this game the anchor costs time, and sampling gains it."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """The five methods by oracle calls."""
    figure, axes = canvas(width=DOUBLE_COLUMN, height=2.9)
    draw_curves(axes, ds, 2)
    axes.axhline(SHARE * float(ds.start), color="0.4", linestyle=":", label="a quarter of the first")
    axes.set_ylabel(r"natural residual $\Vert z-P(z-F(z))\Vert$")
    axes.text(0.03, 0.05, "no theorem covers these steps", transform=axes.transAxes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "halpern/paper-game",
        "Variance-reduced methods on the policeman and burglar game",
        simulate,
        draw,
        caption,
        check,
    ),
)
