"""An ensemble in training beside the Gaussian process of infinite width: mean and variance at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.ntk.shared import LEVEL, mean_and_half, tensor
from lemmata.problems.ntk import Network, sphere_points
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

#: points that are drawn: number and label; the first four are trained on
DRAWN = {0: "training, target 1", 1: "training, target −1", 4: "test"}
TARGETS = np.array([[1.0], [-1.0], [1.0], [-1.0]])
#: variances below this share of the prior are not compared: terms of order 1/n take over
FLOOR = 0.1
#: the band about the law's variance that an ensemble leaves in the end, since the kernels of its members differ
BAND = 0.1


def departure(ds: xr.Dataset) -> xr.DataArray:
    """First step at which the interval of the variance lies outside the band, by point; NaN where there is none."""
    apart = abs(ds.variance - ds.law_variance) - ds.variance_half > BAND * ds.law_variance
    return ds.step.where(apart).min("step")


def simulate(
    budget: Budget, seed: int, progress: Progress, *, width: int = 1024, outputs: int = 8, networks: int = 0
) -> xr.Dataset:
    """Mean and variance over an ensemble at about thirty steps, and the law of the limit."""
    from lemmata.kernels.ntk import train
    from lemmata.sims.ntk import ensemble_law, fc_kernels

    networks = networks or (600 if budget == "quick" else 6000)
    X = sphere_points(6, 4, seed=23)[:5]
    Y = np.tile(TARGETS, (1, outputs))
    shape: dict[str, Any] = {"activation": "erf", "sw2": 2.0, "sb2": 0.1, "parametrization": "ntk"}
    network = Network(4, width, outputs, **shape)
    K, limit = fc_kernels(X, depth=1, **shape)
    values = np.linalg.eigvalsh(limit[:4, :4])
    eta = 0.5 / float(values[-1])
    steps = np.unique(np.append(0, np.geomspace(1, 8 / (eta * values[0]), 28).round().astype(int)))
    progress(0.0, f"training {networks} networks")
    run = train(
        network,
        tensor(X[:4]),
        tensor(Y),
        X_test=tensor(X[4:]),
        eta=eta,
        steps=int(steps[-1]),
        at=steps.tolist(),
        loss="half_sum",
        replicates=networks,
        seed=seed,
    )
    options: dict[str, Any] = {"eta": eta, "loss": "half_sum", "dynamics": "descent", "covariance": "diagonal"}
    law = ensemble_law(K, limit, Y[:, :1], steps, **options)
    f = run["output"].values
    # outputs of one network are uncorrelated: a replicate is the mean over them
    found, half = mean_and_half(f.mean(axis=3))
    spread, spread_half = mean_and_half(((f - law.mean) ** 2).mean(axis=3))
    posterior = ensemble_law(K, K, Y[:, :1], np.inf, eta=eta, loss="half_sum").variance[0, 4]  # the readout alone
    dims = ("step", "point")
    return dataset(
        {
            "mean": (dims, found, "mean over networks and outputs"),
            "mean_half": (dims, half, "half-width of its interval"),
            "variance": (dims, spread, "mean of (f - P_t y)^2"),
            "variance_half": (dims, spread_half, "half-width of its interval"),
            "law_mean": (dims, law.mean[..., 0], "P_t y"),
            "law_variance": (dims, law.variance, "(I - P_t) K (I - P_t)^T"),
            "prior": (("point",), K.diagonal(), "K(x, x)"),
        },
        {"step": steps, "point": np.arange(5)},
        networks=networks,
        outputs=outputs,
        width=width,
        eta=eta,
        posterior=float(posterior),
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    mean = float(abs(ds["mean"] - ds.law_mean).max())
    ratio = (ds.variance / ds.law_variance).where(ds.law_variance > FLOOR * ds.prior)
    variance = float(abs(ratio - 1).max())
    test = ds.sel(point=4).isel(step=-1)
    other = float((test.variance - test.variance_half) / ds.attrs["posterior"])
    left_at = departure(ds)
    share = float((ds.law_variance / ds.prior).where(ds.step == left_at).max())
    stays = bool(left_at.sel(point=4).isnull())
    left = float(abs(ds["mean"].isel(step=-1, point=slice(0, 4)) - TARGETS[:, 0]).max())
    return [
        Check("means lie within .05 of P_t y: largest distance", mean <= 0.05, mean),
        Check("variances above a tenth of the prior lie within 10 % of the law's", variance <= 0.1, variance),
        Check("the variance leaves 10 % about the law where less than a tenth is left: share", share < FLOOR, share),
        Check("and at the test point nowhere", stays, float(stays)),
        Check("at the end the test variance exceeds the posterior's by 10 % at least: ratio", other >= 1.1, other),
        Check("targets are met at the end within .02: largest distance", left <= 0.02, left),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    test, left_at = ds.sel(point=4).isel(step=-1), departure(ds)
    first, remaining = left_at.min(), (ds.law_variance / ds.prior).where(ds.step == left_at).max()
    end = "No variance is off the law by more than 10 %."
    if first.notnull():
        end = (
            f"Step {int(first)} (vertical line) is the first at which a variance is off the law by more than "
            f"{100 * BAND:g} %: the kernels of the members differ, and the slow ones are seen longest. By then "
            f"{100 * float(remaining):.1f} % of the prior is left. At the test point that does not happen."
        )
    return (
        f"{int(ds.attrs['networks']):,} networks with one hidden erf layer of {int(ds.attrs['width'])} units and "
        f"{int(ds.attrs['outputs'])} outputs, trained by full-batch gradient descent on four points, bands "
        f"{100 * (1 - LEVEL):g} % intervals over networks. (a) Mean output and (b) variance at two training points and "
        f"a test point. Dashed: the law at infinite width, mean P_t y and variance (I - P_t) K (I - P_t)^T; nothing is "
        f"fitted. At the end the test variance is {float(test.variance):.3f} ± {float(test.variance_half):.3f}, the "
        f"law says {float(test.law_variance):.3f}; the posterior variance of the prior K (dotted) would be "
        f"{ds.attrs['posterior']:.3f}. {end}"
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Mean on the left, variance on the right."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.9)
    t = ds.step + 1
    for (point, label), color, marker in zip(DRAWN.items(), ("C0", "C2", "C1"), ("o", "s", "^"), strict=True):
        at = ds.sel(point=point)
        for axes, name in ((left, "mean"), (right, "variance")):
            ends = at[name] - at[f"{name}_half"], at[name] + at[f"{name}_half"]
            measured(axes, t, at[name], label, color=color, marker=marker, band=ends)
            theory(axes, t, at[f"law_{name}"], f"{label}, law")
    right.axvline(float(departure(ds).min()) + 1, color="0.4", linestyle="-.", linewidth=0.8, label="first 10 % off")
    right.axhline(ds.attrs["posterior"], color="0.4", linestyle=":", label="posterior of $K$, test")
    left.set(title="(a) mean output", ylabel="mean of $f_t(x)$")
    right.set(title="(b) variance", ylabel="variance of $f_t(x)$", yscale="log", ylim=(2e-3, 2))
    for axes in (left, right):
        axes.set(xscale="log", xlabel="$t + 1$, steps of gradient descent")
    handles, labels = right.get_legend_handles_labels()
    entries = {name: handle for handle, name in zip(handles, labels, strict=True) if not name.endswith("law")}
    entries["law of the limit"] = handles[1]
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=len(entries))
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "ntk/training",
        "An ensemble in training and the Gaussian process of infinite width",
        simulate,
        draw,
        caption,
        check,
    ),
)
