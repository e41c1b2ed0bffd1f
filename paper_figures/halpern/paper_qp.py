"""The published comparison of variance-reduced methods on a quadratic program that is hard for first-order methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured
from lemmata.problems.halpern import Operator, eag_c, eg
from lemmata.problems.halpern.finite_sums import FiniteSumProblem, inexact, loopless, ouyang_xu, page
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["DETERMINISTIC", "FIGURES", "SAMPLED", "Steps", "draw_curves", "five", "spread"]

DETERMINISTIC = ("EG", "EAG")
SAMPLED = ("VR-EG", "Algorithm 1", "Algorithm 2")
STYLES = {
    "EG": ("C1", "^"),
    "EAG": ("C0", "o"),
    "VR-EG": ("C4", "v"),
    "Algorithm 1": ("C2", "s"),
    "Algorithm 2": ("C3", "D"),
}

# ------------------------------------------------------------------------------ the five methods, by calls
#
# What is fixed here is what the published scripts compare; what is corrected is their bookkeeping. The previous point
# of the estimator is the one at which it was formed last, also where F was recomputed; the snapshot of an inner solver
# moves to its current iterate; a step of a loopless method costs two calls, a new snapshot n; batches are drawn with
# replacement. In the inner problems the identity sits in the proximal step.


@dataclass(frozen=True)
class Steps:
    """Steps of the five methods.

    Attributes
    ----------
    eg, eag, vr_eg, page : float
        Steps of extragradient, its anchored form, the loopless method and Algorithm 1.
    batch : int
        b of Algorithm 1.
    resolvent, inner : float
        Algorithm 2: step eta of the resolvent, and of the inner solver on eta F.
    """

    eg: float
    eag: float
    vr_eg: float
    page: float
    batch: int
    resolvent: float
    inner: float


def five(
    problem: FiniteSumProblem,
    operator: Operator,
    steps: Steps,
    epochs: np.ndarray,
    replicates: int,
    seed: int,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Natural residuals of the last iterates, float64[replicates or 1, epochs], for at most n `epochs` calls each.

    `operator` is F once more, for the methods that evaluate it in full.
    """
    from lemmata.sims.halpern import extragradient
    from lemmata.sims.halpern.variance_reduced import inexact_halpern, loopless_vr, vr_halpern

    F, z0, split = problem.operator, problem.x0, problem.simplices
    n, budget = F.n, F.n * float(epochs[-1])
    found = {}
    # an iteration evaluates F twice
    at, place = np.unique(epochs // 2, return_inverse=True)
    for i, schedule in enumerate((eg(int(at[-1]), steps.eg), eag_c(int(at[-1]), steps.eag))):
        name = DETERMINISTIC[i]
        progress(0.05 * i, name)
        run = extragradient(operator, z0, schedule, simplices=split, at=np.union1d(0, at))
        start = float(run["residual"][0, 0])
        found[name] = run["residual"].sel(step=at).values[:, place]

    options: dict[str, Any] = {"simplices": split, "replicates": replicates, "seed": seed}
    progress(0.1, SAMPLED[0])
    length = _enough(3.0, np.sqrt(n), budget)
    plain = loopless_vr(F, z0, loopless(n, step=steps.vr_eg), length, at=_grid(length), **options)

    progress(0.7, SAMPLED[1])
    p = 4 / (np.sqrt(n) + 5)
    length = _enough(p * n + (1 - p) * 2 * steps.batch, n / 2, budget)
    anchored = vr_halpern(F, z0, page(n, length, eta=steps.page, batch=steps.batch), at=_grid(length), **options)

    progress(0.75, SAMPLED[2])
    counts = (0.05 * n * np.log(np.arange(int(epochs[-1]) + 100) + 2)).astype(int)
    inner = np.cumsum(counts)
    least = n * np.arange(1, len(counts) + 1) + 3 * inner - 6 * np.sqrt(n * inner)
    length = int(np.argmax(least >= budget)) + 1
    implicit = inexact(
        n,
        length,
        lipschitz=F.lipschitz,
        eta=steps.resolvent,
        counts=counts[:length],
        method="forward-reflected",
        step=steps.inner,
        reflected=False,
    )
    resolvents = inexact_halpern(F, z0, implicit, at=_grid(length) - 1, **options)
    for name, run in zip(SAMPLED, (plain, anchored, resolvents), strict=True):
        found[name] = _within(run["calls"].values, run["natural_residual"].values, n * epochs, start)
    return found


def _grid(steps: int) -> np.ndarray:
    """Steps 1, ..., 100, then 500 log-spaced ones up to `steps`."""
    return np.unique(np.append(np.arange(1, min(steps, 100) + 1), np.geomspace(1, steps, 500).round().astype(int)))


def _enough(mean: float, deviation: float, budget: float) -> int:
    """Steps that spend `budget` calls but for six standard deviations: ``mean k - 6 deviation sqrt(k) >= budget``."""
    root = (6 * deviation + np.sqrt(36 * deviation**2 + 4 * mean * budget)) / (2 * mean)
    return int(np.ceil(root**2))


def _within(calls: np.ndarray, residual: np.ndarray, budget: np.ndarray, start: float) -> np.ndarray:
    """Residual of the last recorded iterate that each budget pays for, one row a replicate."""
    if (calls[:, -1] < budget[-1]).any():
        raise RuntimeError(f"a run ended after {calls[:, -1].min()} of {budget[-1]} calls")
    last = [np.searchsorted(row, budget, side="right") for row in calls]
    known = np.concatenate([np.full((len(residual), 1), start), residual], axis=1)
    return np.take_along_axis(known, np.stack(last), axis=1)


def spread(ds: xr.Dataset, name: str, epoch: float) -> tuple[float, float, float]:
    """Median, least and largest residual of a sampled method over the seeds, within `epoch` epochs."""
    values = ds.sampled.sel(sampled_algorithm=name).sel(epoch=epoch, method="nearest")
    return float(values.median()), float(values.min()), float(values.max())


def draw_curves(axes: Axes, ds: xr.Dataset, first: int, band: tuple[float, float] = (0, 1)) -> None:
    """The five curves from the epoch `first` on: medians of the sampled ones, quantiles `band` of their seeds."""
    shown = ds.sel(epoch=slice(first, None))
    for name in DETERMINISTIC:
        color, marker = STYLES[name]
        measured(axes, shown.epoch, shown.full.sel(algorithm=name), name, color=color, marker=marker)
    for name in SAMPLED:
        color, marker = STYLES[name]
        low, median, high = shown.sampled.sel(sampled_algorithm=name).quantile([band[0], 0.5, band[1]], "replicate")
        measured(axes, shown.epoch, median, name, color=color, marker=marker, band=(low, high))
    axes.set(xscale="log", yscale="log", xlabel="epochs (oracle calls / $n$)")


# ------------------------------------------------------------------------------------- the quadratic program

SIZE = 200
STEPS = Steps(eg=0.5, eag=0.3, vr_eg=0.01, page=0.3, batch=14, resolvent=SIZE**0.5, inner=1e-3)
#: epochs at which residuals are compared with those of an independent implementation
REFERENCE_EPOCHS = 4_000
#: its residuals; that of Algorithm 1 is one draw
REFERENCE = {"EG": 3.4110, "EAG": 3.0636, "Algorithm 1": 0.855}
#: replicates with the stale point, and steps in which two implementations are compared
STALE, COMPARED = 2, 500


def simulate(budget: Budget, seed: int, progress: Progress, *, epochs: int = 0, replicates: int = 20) -> xr.Dataset:
    """The five methods, and Algorithm 1 with the stale point; `epochs` is at least 4,000."""
    from lemmata.experiments.halpern.variance_reduced import by_hand
    from lemmata.sims.halpern.variance_reduced import vr_halpern

    epochs = epochs or (REFERENCE_EPOCHS if budget == "quick" else 100_000)
    grid = np.union1d(np.geomspace(2, epochs, 250).round().astype(int), REFERENCE_EPOCHS)
    problem = ouyang_xu(SIZE)
    field, z0 = problem.operator, problem.x0
    if field.cocoercive is not None:
        raise RuntimeError("the field is cocoercive on average, with which the caption does not agree")
    operator = Operator.affine(field.matrix, is_map=False).centred(field.centre)
    runs = five(problem, operator, STEPS, grid, replicates, seed, lambda f, text: progress(0.6 * f, text))

    progress(0.6, "the stale point")
    early = grid[grid <= REFERENCE_EPOCHS]
    p = 4 / (np.sqrt(SIZE) + 5)
    length = _enough(p * SIZE + (1 - p) * 2 * STEPS.batch, SIZE / 2, SIZE * REFERENCE_EPOCHS)
    at = _grid(length)
    options = page(SIZE, length, eta=STEPS.page, batch=STEPS.batch)
    iterates, calls = by_hand(problem, options, at, STALE, seed, stale=True)
    stale = _within(calls, np.linalg.norm(field(iterates), axis=2), SIZE * early, float(np.linalg.norm(field(z0))))
    # the same code without the defect, on the same random stream, against the simulator
    options = page(SIZE, COMPARED, eta=STEPS.page, batch=STEPS.batch)
    every = np.arange(COMPARED + 1)
    sound, spent = by_hand(problem, options, every, 1, seed)
    ours = vr_halpern(field, z0, options, at=every, iterates=True, seed=seed)
    gap = np.linalg.norm(sound - ours["iterate"].values, axis=2) / np.linalg.norm(sound, axis=2)
    return dataset(
        {
            "full": (("algorithm", "epoch"), np.concatenate([runs[m] for m in DETERMINISTIC]), "||F(z)||"),
            "sampled": (("sampled_algorithm", "replicate", "epoch"), np.stack([runs[m] for m in SAMPLED]), "||F(z)||"),
            "stale": (("stale_replicate", "stale_epoch"), stale, "||F(z)||, defective"),
            "start": ((), np.linalg.norm(field(z0)), "||F(z_0)||"),
            "dist": ((), problem.dist, "D = ||z_0 - z*||"),
            "mean_lipschitz": ((), field.mean_lipschitz, "L_F"),
            "lipschitz": ((), field.lipschitz, "L on average"),
            "disagreement": ((), gap.max(), "largest relative distance of the iterates"),
            "miscounted": ((), np.abs(spent - ours["calls"].values).max(), "calls"),
        },
        {"algorithm": list(DETERMINISTIC), "sampled_algorithm": list(SAMPLED), "epoch": grid, "stale_epoch": early},
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    at = ds.sel(epoch=REFERENCE_EPOCHS)
    off = {m: abs(float(at.full.sel(algorithm=m)) - REFERENCE[m]) for m in DETERMINISTIC}
    median, low, high = spread(ds, "Algorithm 1", REFERENCE_EPOCHS)
    once = REFERENCE["Algorithm 1"]
    others = min(float(at.full.min()), *(spread(ds, m, REFERENCE_EPOCHS)[1] for m in SAMPLED if m != "Algorithm 1"))
    stale = float(ds.stale[:, -1].min())
    routes, miscounted = float(ds.disagreement), float(ds.miscounted)
    ahead = float(at.full.sel(algorithm="EAG") / at.full.sel(algorithm="EG"))
    return [
        *(
            Check(
                f"{m}: residual at {REFERENCE_EPOCHS:,} epochs is {REFERENCE[m]:.4f} to its digits: difference",
                off[m] <= 5e-5,
                off[m],
            )
            for m in DETERMINISTIC
        ),
        Check(
            f"Algorithm 1: {once} at {REFERENCE_EPOCHS:,} epochs lies within the range of the seeds: distance to it",
            low <= once <= high,
            max(low - once, once - high, 0.0),
        ),
        Check(
            f"at {REFERENCE_EPOCHS:,} epochs Algorithm 1 is below every other curve in the median: ratio",
            median < others,
            median / others,
        ),
        Check(f"at {REFERENCE_EPOCHS:,} epochs EAG is below EG: ratio", ahead < 1, ahead),
        Check(f"with the stale point Algorithm 1 exceeds 1e20 by {REFERENCE_EPOCHS:,} epochs", stale > 1e20, stale),
        Check("two implementations of Algorithm 1 agree to 1e-9: largest relative distance", routes <= 1e-9, routes),
        Check("they count the same calls: largest difference", miscounted == 0, miscounted),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    end = float(ds.epoch[-1])
    mean, lipschitz, p = float(ds.mean_lipschitz), float(ds.lipschitz), 1 / SIZE
    covered = np.sqrt(p * (1 - p)) / (2 * STEPS.resolvent * lipschitz)

    def sampled(name: str) -> str:
        median, low, high = spread(ds, name, end)
        return f"{median:.3g} [{low:.3g}, {high:.3g}] ({name})"

    full = ", ".join(f"{float(ds.full.sel(algorithm=m)[-1]):.4f} ({m})" for m in DETERMINISTIC)
    peak = float(ds.sampled.sel(sampled_algorithm="Algorithm 1").max())
    return (
        f"Quadratic program of Ouyang and Xu, n = {SIZE}, in R^{2 * SIZE}, sampled by coordinates, from 1/n "
        f"everywhere: L_F = {mean:.5f}, L = {lipschitz:.3f} on average, D = ‖z_0 - z*‖ = {float(ds.dist):.2f}, "
        f"‖F(z_0)‖ = {float(ds.start):.5f}. ‖F‖ of the last iterate against oracle calls over n, every call counted. "
        f"Published steps: {STEPS.eg} (EG, below 1/L_F = {1 / mean:.3f}); {STEPS.eag} (EAG, whose theorem ends at "
        f"1/(8 L_F) = {1 / (8 * mean):.3f}); {STEPS.vr_eg} (VR-EG, loopless extragradient with p = 1/n, whose theorem "
        f"ends at √p/L = {np.sqrt(p) / lipschitz:.4f}); {STEPS.page} with batches of {STEPS.batch} (Algorithm 1, "
        f"outside its theorem: the field is monotone and not cocoercive); √n for the resolvent and {STEPS.inner:g} for "
        f"its inner solver with int(0.05 n log(k+2)) steps (Algorithm 2, whose theorem ends at {covered:.2g}). "
        f"(a) Medians of {ds.sizes['replicate']} seeds and their quartiles. After {end:,.0f} epochs, with least and "
        f"largest: {full}, {', '.join(map(sampled, SAMPLED))}. D is so large that EG barely moves. (b) Algorithm 1, "
        f"every seed, and the median: single runs rise to {peak:.0f} on their way. (c) Algorithm 1 where the previous "
        f"point is not refreshed when F is recomputed, a defect of the published script: at least "
        f"{float(ds.stale[:, -1].min()):.1e} after {REFERENCE_EPOCHS:,} epochs, for {ds.sizes['stale_replicate']} "
        f"seeds. Its median without the defect: {spread(ds, 'Algorithm 1', REFERENCE_EPOCHS)[0]:.3f}."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """The five methods, the seeds of Algorithm 1, and what one stale point does."""
    figure, (left, middle, right) = canvas(1, 3, width=DOUBLE_COLUMN, height=2.7)
    draw_curves(left, ds, 10, (0.25, 0.75))
    left.set(title="(a) five methods", ylabel=r"$\Vert F(z)\Vert$ at the last iterate")

    color, marker = STYLES["Algorithm 1"]
    rows = ds.sampled.sel(sampled_algorithm="Algorithm 1", epoch=slice(10, None))
    for i, row in enumerate(rows.values):
        middle.plot(rows.epoch, row, color=color, linewidth=0.4, alpha=0.6, gid=f"seed {i}")
    measured(middle, rows.epoch, rows.median("replicate"), "median", color="black", marker=marker)
    middle.set(title="(b) Algorithm 1, every seed", ylabel=r"$\Vert F(z)\Vert$", xscale="log", yscale="log")
    middle.set_ylim(top=10 * float(rows.max()))
    note = "the field is not cocoercive:\nno theorem covers this"
    middle.text(0.04, 0.97, note, transform=middle.transAxes, va="top")

    sound = ds.sampled.sel(sampled_algorithm="Algorithm 1", epoch=ds.stale_epoch.values)
    for rows, name, style in (
        (ds.stale, "stale previous point", ("C1", "X")),
        (sound, "refreshed with $F$", ("C2", "s")),
    ):
        rows, seeds = rows[:, (ds.stale_epoch >= 10).values], rows.dims[0]
        band = (rows.min(seeds), rows.max(seeds))
        color, marker = style
        measured(right, rows[rows.dims[1]], rows.median(seeds), name, color=color, marker=marker, band=band)
    right.set(title="(c) Algorithm 1 with a defect", ylabel=r"$\Vert F(z)\Vert$", xscale="log", yscale="log")
    right.legend(loc="upper left")
    for axes in (middle, right):
        axes.set_xlabel("epochs (oracle calls / $n$)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "halpern/paper-qp",
        "Variance-reduced methods on a hard quadratic program",
        simulate,
        draw,
        caption,
        check,
    ),
)
