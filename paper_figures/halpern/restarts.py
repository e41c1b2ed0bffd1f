"""Restarts make Halpern's iteration linear on a sharp map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import SINGLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.problems.halpern import FixedPointProblem, Operator
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

#: angle of the rotation
ANGLE = 0.02
#: what an epoch makes of the residual, by theory: sin((K+1) angle/2) / ((K+1) sin(angle/2)), K = 272
CONTRACTION = 0.146548
EPOCHS = 8
RESTARTED = ("restarted", "adaptive")


def simulate(budget: Budget, seed: int, progress: Progress) -> xr.Dataset:
    """Residuals at every step of eight epochs of ceil(2e/alpha) steps, with either budget. Nothing is random."""
    from lemmata.sims.halpern import halpern, krasnoselskii_mann, restarted
    from lemmata.theory import halpern as claims

    alpha = 2 * np.sin(ANGLE / 2)
    period = int(np.ceil(2 * np.e / alpha))
    problem = FixedPointProblem(
        "rotation", Operator.rotation([ANGLE]), np.array([1.0, 0.0]), np.zeros(2), {"alpha": np.array([alpha])}
    )
    for claim in (claims.residual, claims.restart_contraction):
        claim.check(problem)
    steps = EPOCHS * period
    operator, x0 = problem.operator, problem.x0
    runs = {
        "Halpern": halpern(operator, x0, steps),
        "KM": krasnoselskii_mann(operator, x0, steps),
        "restarted": restarted(operator, x0, steps, period=period),
        "adaptive": restarted(operator, x0, steps, decrease=np.exp(-1)),
    }
    k, epoch = np.arange(steps + 1), np.arange(EPOCHS + 1)
    residual = np.stack([run["residual"].values[0] for run in runs.values()])
    restarts = np.stack([runs[name]["restarts"].values[0] for name in RESTARTED])
    return dataset(
        {
            "residual": (("algorithm", "k"), residual, "||x_k - T x_k||, D = 1"),
            "restarts": (("rule", "k"), restarts, "restarts made by step k"),
            "bound": (("k",), claims.residual(k=k, dist=1.0), "2 D / (k + 1)"),
            "contraction": (("epoch",), claims.restart_contraction(epoch=epoch), "e^-m"),
        },
        {"algorithm": list(runs), "rule": list(RESTARTED), "k": k, "epoch": epoch},
        period=period,
        alpha=alpha,
    )


def _epochs(ds: xr.Dataset, rule: str) -> xr.DataArray:
    """Residuals where the epochs begin: at k = 0 and at every restart."""
    return ds.residual.sel(algorithm=rule)[np.diff(ds.restarts.sel(rule=rule), prepend=-1) > 0]


def _stairs(ds: xr.Dataset) -> np.ndarray:
    """Residuals at the restarts after m epochs of ceil(2e/alpha) steps; NaN where none was made."""
    return _epochs(ds, "restarted").reindex(k=int(ds.attrs["period"]) * ds.epoch.values).values


def _longest(ds: xr.Dataset) -> int:
    """Steps of the longest adaptive epoch, the unfinished one at the end included."""
    return int(np.diff(_epochs(ds, "adaptive").k, append=ds.k[-1]).max())


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    period, last = int(ds.attrs["period"]), ds.residual[:, -1]
    plain = float((ds.residual.sel(algorithm="Halpern") / ds.bound).max())
    stairs = _stairs(ds)
    share = (stairs / stairs[0] / ds.contraction.values)[1:].max()
    off = abs(stairs[1:] / stairs[:-1] - CONTRACTION).max()
    longest = _longest(ds)
    gain = float(last.sel(algorithm="restarted") / last.sel(algorithm="Halpern"))
    km = float(last.sel(algorithm="KM") / ds.residual.sel(algorithm="KM")[0])
    return [
        Check("Halpern without restarts never exceeds 2D/(k+1): largest ratio", plain <= 1, plain),
        Check("at the m-th restart the residual is within exp(-m) of the first: largest ratio", share <= 1, share),
        Check(f"every epoch multiplies the residual by {CONTRACTION} to 1e-5: largest error", off <= 1e-5, off),
        Check(f"no adaptive epoch is longer than {period} steps: longest", longest <= period, longest),
        Check("at the end restarts have gained a factor 10,000 on Halpern: ratio", gain <= 1e-4, gain),
        Check("at the end Krasnoselskii-Mann keeps over half of its residual: share", km >= 0.5, km),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    period, last, stairs = int(ds.attrs["period"]), ds.residual[:, -1], _stairs(ds)
    factor = (stairs[1:] / stairs[:-1]).max()

    def end(name: str) -> str:
        return f"{float(last.sel(algorithm=name)):.2e}"

    return (
        f"Rotation of the plane by {ANGLE}, of sharpness α = 2 sin({ANGLE / 2}) = {float(ds.attrs['alpha']):.5f}, "
        f"D = 1: residual of the last iterate, at first r_0 = {float(ds.residual[0, 0]):.2e}. Restarted every "
        f"K = ceil(2e/α) = {period} steps, Halpern's iteration multiplies its residual by {factor:.6f} an epoch, where "
        f"the theorem promises 1/e: r_0 e^-m at the m-th restart (dashed stairs). Restarted adaptively, "
        f"when the residual has fallen by 1/e, its longest epoch has {_longest(ds)} steps. Squares and diamonds mark "
        f"the restarts. Without restarts it stays below 2D/(k+1) (dashed), which it meets again and again. After "
        f"{int(ds.k[-1]):,} steps the residuals are {end('Halpern')} (Halpern), {end('restarted')} (every K steps), "
        f"{end('adaptive')} (adaptive) and {end('KM')} (Krasnoselskii-Mann, step 1/2). No randomness enters."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Residuals on a logarithmic axis, where the restarted ones are straight lines."""
    figure, axes = canvas(width=SINGLE_COLUMN, height=2.9)
    period = int(ds.attrs["period"])
    marks = {rule: np.searchsorted(ds.k, _epochs(ds, rule).k) for rule in RESTARTED}
    # there |1 - exp(i (k+1) angle)| / (k+1), Halpern's residual, meets its bound
    peaks = np.arange(np.pi / ANGLE, ds.sizes["k"], 2 * np.pi / ANGLE).round().astype(int) - 1
    marks |= {"KM": peaks, "Halpern": peaks}
    styles = {
        "KM": ("Krasnoselskii-Mann", "C1", "^"),
        "Halpern": ("Halpern", "C0", "o"),
        "adaptive": ("restarted adaptively", "C3", "D"),
        "restarted": ("restarted every $K$ steps", "C2", "s"),
    }
    for name, (label, color, marker) in styles.items():
        curve = ds.residual.sel(algorithm=name)
        axes.plot(ds.k, curve, color=color, marker=marker, markevery=marks[name], linewidth=0.7, label=label)
    stairs = ds.residual[0, 0] * ds.contraction
    theory(axes, ds.k, ds.bound, "bound $2D/(k+1)$")
    theory(axes, np.repeat(period * ds.epoch, 2)[1:], np.repeat(stairs, 2)[:-1], "bound $r_0\\,e^{-m}$")
    axes.annotate("$2D/(k+1)$", (0, 2), (7, -4), textcoords="offset points", fontsize=7)
    axes.annotate("$r_0\\,e^{-m}$", (ds.k[-1], stairs[-2]), (3, 3), textcoords="offset points", ha="right", fontsize=7)
    measured, labels = axes.get_legend_handles_labels()
    axes.legend(measured[:4], labels[:4], loc="lower left")
    axes.set(yscale="log", xlabel=f"steps $k$ (an epoch: $K={period}$)", ylabel=r"$\Vert x_k-Tx_k\Vert$, $D=1$")
    axes.set_xticks(2 * period * np.arange(int(ds.epoch[-1]) // 2 + 1))
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "halpern/restarts",
        "Restarts make Halpern's iteration linear on a sharp map",
        simulate,
        draw,
        caption,
        check,
    ),
)
