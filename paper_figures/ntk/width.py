"""The empirical kernel against the width: how it concentrates at initialisation, and how far training moves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.experiments.ntk.finite_width import limit_kernels
from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.ntk.shared import LEVEL, mean_and_half, slope, tensor
from lemmata.problems.ntk import Network, sphere_points
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

#: networks at initialisation: label, options, largest width by budget (more layers have n^2 weights)
INITIAL: dict[str, tuple[dict[str, Any], dict[Budget, int]]] = {
    "ReLU, one hidden layer": ({"activation": "relu", "sw2": 2.0}, {"quick": 2**30, "full": 2**30}),
    "ReLU, three": ({"activation": "relu", "sw2": 2.0, "depth": 3}, {"quick": 128, "full": 1024}),
    "erf, one": ({"activation": "erf", "sw2": 1.5}, {"quick": 2**30, "full": 2**30}),
    "erf, three": ({"activation": "erf", "sw2": 1.5, "depth": 3}, {"quick": 128, "full": 1024}),
}
#: networks in training: label, options, number of points, target
TRAINED: dict[str, tuple[dict[str, Any], int, float]] = {
    "ReLU, mean-field scaling": ({"activation": "relu", "sw2": 2.0, "parametrization": "mean_field"}, 3, 1.0),
    "ReLU": ({"activation": "relu", "sw2": 2.0}, 3, 1.0),
    "ReLU, closing gates": ({"activation": "relu", "sw2": 1.0, "rates": (1.0, 0.0)}, 1, 2.0),
    "erf": ({"activation": "erf", "sw2": 1.0}, 3, 1.0),
}
INPUTS, POINTS, STEPS = 5, 5, 30
SIGNS = np.array([[1.0], [-1.0], [1.0]])


def _network(width: int, options: dict[str, Any]) -> Network:
    return Network(INPUTS, width, **{"parametrization": "ntk", **options})


def _error(width: int, options: dict[str, Any], replicates: int, seed: int) -> np.ndarray:
    """Squared relative errors of the kernel at initialisation."""
    from lemmata.kernels.ntk import empirical_kernels

    network, X = _network(width, options), sphere_points(POINTS, INPUTS, seed=0)
    limit = limit_kernels(network, X)[1]
    kernels = empirical_kernels(network, tensor(X), replicates=replicates, seed=seed)["kernel"].values
    return ((kernels - limit) ** 2).sum(axis=(1, 2)) / (limit**2).sum()


def _drift(label: str, width: int, replicates: int, seed: int) -> tuple[np.ndarray, float]:
    """Relative drifts of the kernel in training; for the gates the signed loss, and what theory says of its mean."""
    from lemmata.kernels.ntk import train
    from lemmata.theory.ntk import gate_loss

    options, points, target = TRAINED[label]
    network, X = _network(width, options), sphere_points(points, INPUTS, seed=0)
    Y, limit = target * SIGNS[:points], limit_kernels(network, X)[1]
    eta = (0.5 if points == 1 else 1.0) / float(np.linalg.eigvalsh(limit)[-1])
    run = train(
        network,
        tensor(X),
        tensor(Y),
        eta=eta,
        steps=STEPS,
        loss="half_sum",
        kernels=True,
        replicates=replicates,
        seed=seed,
    )
    first, last = run["kernel"].values[:, 0], run["kernel"].values[:, 1]
    if points > 1:
        return np.linalg.norm(last - first, axis=(1, 2)) / np.linalg.norm(first, axis=(1, 2)), np.nan
    residual = run["output"].values[:, 0, 0, 0] - target
    expected = gate_loss(residual, sw2=network.sw2, q=network.sw2, n=width).mean()
    return (first - last)[:, 0, 0] / limit[0, 0], float(expected)


def simulate(budget: Budget, seed: int, progress: Progress, *, last: int = 0, replicates: int = 0) -> xr.Dataset:
    """Errors and drifts at n = 2^4, ..., 2^last."""
    from lemmata.theory.ntk import unit_variance

    widths = 2 ** np.arange(4, 1 + (last or (11 if budget == "quick" else 13)))
    replicates = replicates or (300 if budget == "quick" else 2000)
    error, error_half = np.full((2, len(INITIAL), widths.size), np.nan)
    for i, (label, (options, largest)) in enumerate(INITIAL.items()):
        for j, n in enumerate(map(int, widths)):
            progress(0.5 * (i + j / widths.size) / len(INITIAL), f"initialisation, {label}")
            if n <= largest[budget]:
                error[i, j], error_half[i, j] = mean_and_half(_error(n, options, replicates, seed))
    drift, drift_half, gates = np.full((3, len(TRAINED), widths.size), np.nan)
    for i, label in enumerate(TRAINED):
        for j, n in enumerate(map(int, widths)):
            progress(0.5 + 0.5 * (i + j / widths.size) / len(TRAINED), f"training, {label}")
            found, gates[i, j] = _drift(label, n, replicates, seed)
            drift[i, j], drift_half[i, j] = mean_and_half(found)
    X, options = sphere_points(POINTS, INPUTS, seed=0), INITIAL["ReLU, one hidden layer"][0]
    network = _network(1, options)
    unit = float(unit_variance(network, X).sum() / (limit_kernels(network, X)[1] ** 2).sum())
    dims = ("trained", "width")
    return dataset(
        {
            "error": (("initial", "width"), error, "mean of |Theta_n - Theta|_F^2 / |Theta|_F^2"),
            "error_half": (("initial", "width"), error_half, "half-width of its interval"),
            "exact": (("width",), unit / widths, "its expectation with one hidden ReLU layer"),
            "drift": (dims, drift, "mean of |Theta_n(t) - Theta_n(0)|_F / |Theta_n(0)|_F, or of the signed loss"),
            "drift_half": (dims, drift_half, "half-width of its interval"),
            "gates": (dims, gates, "mean loss by closing gates, to leading order"),
        },
        {"initial": list(INITIAL), "trained": list(TRAINED), "width": widths},
        replicates=replicates,
    )


def _slopes(ds: xr.Dataset) -> dict[str, float]:
    """Slopes of the errors over all widths, and of the drifts over the upper half of them."""
    found = {}
    for label in INITIAL:
        curve = ds.error.sel(initial=label).dropna("width")
        found[f"error, {label}"] = slope(curve.width, curve) / 2
    for label in TRAINED:
        curve = ds.drift.sel(trained=label)[ds.sizes["width"] // 2 :]
        found[label] = slope(curve.width, curve)
    return found


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    slopes = _slopes(ds)
    shallow, deep = (
        max(abs(slopes[f"error, {label}"] + 0.5) for label in INITIAL if ("three" in label) is many)
        for many in (False, True)
    )
    exact = float(abs(ds.error.sel(initial="ReLU, one hidden layer") / ds.exact - 1).max())
    wide = ds.sel(trained="ReLU, closing gates").isel(width=slice(ds.sizes["width"] // 2, None))
    gates = float((abs(wide.drift - wide.gates) / (wide.drift_half + 0.05 * wide.gates)).max())
    order = slopes["ReLU, closing gates"]
    return [
        Check("the kernel concentrates like n^-1/2, one hidden layer: |slope + 1/2| <= .05", shallow <= 0.05, shallow),
        # the next order in 1/n bends the curves of three layers at the first widths
        Check("and three: |slope + 1/2| <= .12", deep <= 0.12, deep),
        Check("its error is the closed form with one hidden ReLU layer, within 15 %", exact <= 0.15, exact),
        Check("erf: the drift has the slope -1 ± .1", abs(slopes["erf"] + 1) <= 0.1, slopes["erf"]),
        Check("ReLU: between -.85 and -.5 on these widths", -0.85 <= slopes["ReLU"] <= -0.5, slopes["ReLU"]),
        Check("closing gates: the slope -1/2 ± .1", abs(order + 0.5) <= 0.1, order),
        Check("and the constant, within 5 % and its interval on the upper widths: largest ratio", gates <= 1, gates),
        Check(
            "mean-field scaling: the kernel moves at every width, slope above -.15",
            slopes["ReLU, mean-field scaling"] > -0.15,
            slopes["ReLU, mean-field scaling"],
        ),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    slopes = _slopes(ds)
    errors = ", ".join(f"{v:.3f} ({n.removeprefix('error, ')})" for n, v in slopes.items() if n.startswith("error"))
    drifts = ", ".join(f"{slopes[label]:.2f} ({label})" for label in TRAINED)
    half = int(ds.width[ds.sizes["width"] // 2])
    return (
        f"Empirical tangent kernel of fully connected networks against the width n, {int(ds.attrs['replicates']):,} "
        f"draws, bands {100 * (1 - LEVEL):g} % intervals. (a) Root mean square of the relative error at "
        f"initialisation, at {POINTS} points of the sphere in {INPUTS} dimensions. Dashed: the closed form √(V/n) of "
        f"one hidden ReLU layer, which holds at every n. Slopes: {errors}. (b) Relative change of the kernel in "
        f"{STEPS} steps of gradient descent on 3 points with targets ±1. Lee et al. bound it by O(n^-1/2) (dotted); "
        f"for erf it falls like 1/n. ReLU attains the bound: on one point, with a frozen readout, gates close and do "
        f"not open, and the mean loss of the kernel meets 4|r|/(π √(sw2 q n)) (dashed). Mean-field scaling has the "
        f"same kernel at the start and learns features at every width. Slopes from n = {half} on: {drifts}."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Errors at initialisation and drifts in training."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=3.1)
    for label, color, marker, filled in zip(
        INITIAL, ("C0", "C0", "C1", "C1"), ("o", "s", "o", "s"), (True, False, True, False), strict=True
    ):
        at = ds[["error", "error_half"]].sel(initial=label).dropna("width")
        ends = np.sqrt(at.error - at.error_half), np.sqrt(at.error + at.error_half)
        measured(left, at.width, np.sqrt(at.error), label, color=color, marker=marker, filled=filled, band=ends)
    theory(left, ds.width, np.sqrt(ds.exact), r"$\sqrt{V/n}$, exact")
    left.set(
        title="(a) at initialisation",
        ylabel=r"rms $\Vert\Theta_n-\Theta\Vert_F\,/\,\Vert\Theta\Vert_F$",
    )
    for label, color, marker in zip(TRAINED, ("C5", "C0", "C2", "C1"), ("D", "o", "v", "^"), strict=True):
        at = ds.sel(trained=label)
        ends = at.drift - at.drift_half, at.drift + at.drift_half
        measured(right, at.width, at.drift, label, color=color, marker=marker, band=ends)
    gates = ds.gates.sel(trained="ReLU, closing gates")
    theory(right, ds.width, gates, r"$4|r|\,/\,(\pi\sqrt{\sigma_w^2\,q\,n})$")
    bound = 1.6 * float(ds.drift.sel(trained="ReLU")[0]) * (ds.width / ds.width[0]) ** -0.5
    right.plot(ds.width, bound, color="0.4", linestyle=":", label=r"order $n^{-1/2}$")
    right.set(title="(b) in training", ylabel=r"$\Vert\Theta_n(t)-\Theta_n(0)\Vert_F\,/\,\Vert\Theta_n(0)\Vert_F$")
    for axes in (left, right):
        axes.set(yscale="log", xlabel="width $n$")
        axes.set_xscale("log", base=2)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "ntk/width",
        "The empirical tangent kernel against the width: concentration and drift",
        simulate,
        draw,
        caption,
        check,
    ),
)
