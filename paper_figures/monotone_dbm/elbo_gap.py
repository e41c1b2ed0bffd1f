"""What the mean field loses against the exact model: the ELBO's gap and the error of its marginals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.problems.monotone_dbm import PairwiseModel, random_model
from lemmata.results import dataset
from lemmata.stats import loglog_slope
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

#: strengths s of the interactions s Phi; 1 is the model itself, and no model here reaches the threshold of uniqueness
STRENGTHS = np.geomspace(1e-3, 1, 25)


def simulate(budget: Budget, seed: int, progress: Progress, *, instances: int = 0) -> xr.Dataset:
    """Exact log Z and marginals by enumeration, and the mean field, of random models at each strength."""
    from lemmata.sims.monotone_dbm import solve
    from lemmata.theory.monotone_dbm import free_energy, gap_coefficient, log_partition, marginals

    instances = instances or (50 if budget == "quick" else 500)
    gap, error = np.empty((2, instances, len(STRENGTHS)))
    coefficient = np.empty(instances)
    for k in range(instances):
        progress(k / instances, f"model {k}")
        model = random_model(nodes=(2, 5), states=(2, 4), seed=1_000_000 * seed + k)
        coefficient[k] = gap_coefficient(model)
        for j, s in enumerate(STRENGTHS):
            weak = PairwiseModel(model.states, s * model.phi, model.bias, "required")
            q = solve(weak, method="sequential", tol=1e-13).q[0]
            gap[k, j] = log_partition(weak) + float(free_energy(weak, q))
            error[k, j] = abs(marginals(weak) - q).max()
    return dataset(
        {
            "gap": (("instance", "s"), gap, "log Z - ELBO"),
            "error": (("instance", "s"), error, "largest error of a marginal"),
            "coefficient": (("instance",), coefficient, "tr(J Phi J Phi)/4"),
        },
        {"s": STRENGTHS},
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    # a NaN must fail: numpy's extremes hand it on where xarray's pass over it
    small = ds.isel(instance=~(ds.coefficient <= 1e-4).values, s=0)
    off = abs(small.gap / small.coefficient / small.s**2 - 1).values.max()
    middle = ds.gap.median("instance", skipna=False).sel(s=slice(None, 0.1))
    slope = float(loglog_slope(middle.s.values, middle.values))
    errors = ds.error.median("instance", skipna=False).sel(s=slice(None, 0.1))
    marginal = float(loglog_slope(errors.s.values, errors.values))
    least = ds.gap.values.min()
    return [
        Check("the ELBO is below log Z, to the rounding of both: least gap", least > -1e-13, least),
        Check("the gap is of second order up to s = .1: slope", abs(slope - 2) < 0.05, slope),
        Check("its coefficient is tr(JΦJΦ)/4 to 1 % at s = .001: largest error", off < 0.01, off),
        Check("so is the error of the marginals: slope", abs(marginal - 2) < 0.1, marginal),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    one = ds.error.sel(s=1.0)
    ratio = (ds.gap / ds.coefficient / ds.s**2).sel(s=1.0)
    return (
        f"Interactions sΦ of {ds.sizes['instance']} random monotone models of two to five nodes with two to four "
        "states; log Z and the marginals are exact, by enumeration. (a) Gap between log Z and the ELBO of the mean "
        "field over its coefficient tr(JΦJΦ)/4, J the covariance of the nodes without interactions; median, and the "
        "range of the models; inset, the ratio to s². Dashed: theory. At s = 1, the model itself, that ratio is "
        f"{float(ratio.median()):.3f} in the median and between {float(ratio.min()):.3f} and "
        f"{float(ratio.max()):.3f}. (b) Largest error of a marginal: median, range, and the order s². At s = 1 it is "
        f"{float(one.median()):.4f} in the median and {float(one.max()):.3f} at most. A mean field that is unique is "
        "not therefore exact."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Both errors against the strength, on logarithmic axes."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.6)
    for axes, values, color, label in (
        (left, ds.gap / ds.coefficient, "C0", "gap"),
        (right, ds.error, "C1", "error of a marginal"),
    ):
        band = values.min("instance"), values.max("instance")
        measured(axes, ds.s, values.median("instance"), label, color=color, band=band)
        axes.set(xscale="log", yscale="log", xlabel="strength $s$ of the interactions $s\\Phi$")
    theory(left, ds.s, ds.s**2, "$s^2$")
    start = float(ds.error.median("instance")[0])
    theory(right, ds.s, start * (ds.s / ds.s[0]) ** 2, "order $s^2$")
    ratio = ds.gap / ds.coefficient / ds.s**2
    inset = left.inset_axes((0.62, 0.12, 0.36, 0.28))
    inset.fill_between(ds.s, ratio.min("instance"), ratio.max("instance"), color="C0", alpha=0.25, linewidth=0)
    inset.plot(ds.s, ratio.median("instance"), color="C0", linewidth=0.7, gid="gap over its law")
    inset.axhline(1, color="black", linestyle="--", linewidth=0.8)
    inset.set(xscale="log", ylim=(0.3, 1.7), xticks=(1e-3, 1e-1), yticks=(0.5, 1, 1.5))
    inset.text(0.05, 0.08, "over $s^2$", transform=inset.transAxes)
    left.set(title="(a) the bound", ylabel=r"$(\log Z-\mathrm{ELBO})\,/\,\frac{1}{4}\mathrm{tr}(J\Phi J\Phi)$")
    right.set(title="(b) the marginals", ylabel=r"$\max|p_{ik}-q_{ik}|$")
    for axes in (left, right):
        axes.legend(loc="upper left")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "monotone_dbm/elbo-gap",
        "The mean field loses what is of second order in the interactions",
        simulate,
        draw,
        caption,
        check,
    ),
)
