"""Worst residuals over rotations of the plane: who falls like 1/k and who like 1/sqrt(k)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.problems.halpern import FixedPointProblem, Operator, eag_c, eag_v, eg, feg, skew_rotations
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

# Maps: T turns the plane by an angle in (0, pi]. Halpern's iterate is then the mean of x_0, T x_0, ..., T^k x_0, so
# that its residual |1 - exp(i (k+1) angle)| / (k+1) meets 2/(k+1) at the angle pi/(k+1): the envelope over all angles
# is the bound. That of Krasnoselskii-Mann is its bound, too. Fields: F = theta J, J the right angle, theta in (0, 1].

EXPONENTS = {"Halpern": 1.0, "KM": 0.5, "EG": 0.5, "EAG-C": 1.0, "EAG-V": 1.0, "FEG": 1.0}
MAPS = ("Halpern", "KM")
FIELDS = ("EG", "EAG-C", "EAG-V", "FEG")
#: half-width of the band of a fitted exponent
BAND = 0.05
#: first step of the fit: EAG-C takes a hundred steps to get going
FIRST = 256


def simulate(budget: Budget, seed: int, progress: Progress, *, steps: int = 0, rotations: int = 600) -> xr.Dataset:
    """Largest residual over `rotations` at up to 80 steps k <= `steps`, and the bounds. Nothing is random."""
    from lemmata.sims.halpern import extragradient, halpern, krasnoselskii_mann
    from lemmata.theory import halpern as claims

    steps = steps or (8_192 if budget == "quick" else 131_072)
    k = np.unique(np.geomspace(1, steps, 80).round().astype(int))
    # the worst rotation after k steps turns by about 1/k, or by 1/sqrt(k)
    speeds = np.geomspace(1 / steps, 1, rotations)
    maps = FixedPointProblem(
        "planar", Operator.rotation(np.pi * speeds[:, None]), np.tile([1.0, 0.0], (rotations, 1)), np.zeros(2)
    )
    fields = skew_rotations(speeds)
    schedules = (eg(steps, 0.5), eag_c(steps, 0.125), eag_v(steps), feg(steps))
    runs = {
        "Halpern": partial(halpern, maps.operator, maps.x0, steps),
        "KM": partial(krasnoselskii_mann, maps.operator, maps.x0, steps),
        **{s.name: partial(extragradient, fields.operator, fields.x0, s) for s in schedules},
    }
    envelope = []
    for i, (name, run) in enumerate(runs.items()):
        progress(i / len(runs), name)
        envelope.append(run(at=k)["residual"].values.max(axis=0))

    one: dict[str, Any] = {"k": k, "dist": 1.0, "lipschitz": 1.0}
    bounds = {
        "Halpern": claims.residual(k=k, dist=1.0),
        "KM": claims.km_residual(k=k, step=0.5, dist=1.0),
        "EG": np.full(k.size, np.nan),
        "EAG-C": claims.eag_c_residual(**one),
        "EAG-V": claims.eag_v_residual(**one, first_step=0.618, last_step=eag_v(100_000).half[-1]),
        "FEG": claims.feg_residual(**one),
    }
    for problem, claim in ((maps, claims.residual), (fields, claims.feg_residual)):
        claim.check(problem)
    return dataset(
        {
            "envelope": (("algorithm", "k"), np.stack(envelope), "largest residual over the rotations, D = L = 1"),
            "bound": (("algorithm", "k"), np.stack([bounds[name] for name in runs]), "the theorem's, D = L = 1"),
        },
        {"algorithm": list(runs), "k": k},
        rotations=rotations,
    )


def _slope(curve: xr.DataArray) -> float:
    """Least-squares slope of log residual against log k from k = 256 on."""
    window = (curve.k >= FIRST).values
    return float(np.polyfit(np.log(curve.k[window]), np.log(curve[window]), 1)[0])


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    ratio = ds.envelope / ds.bound
    # each step can add one rounding of the iterate, of length at most 1, to the residual
    largest = float(((ds.envelope - 2 * np.finfo(float).eps * (ds.k + 1)) / ds.bound).max())
    met = float(ratio.sel(algorithm=list(MAPS)).min(skipna=False))
    slopes = {name: _slope(ds.envelope.sel(algorithm=name)) for name in EXPONENTS}
    return [
        Check("no envelope exceeds its bound: largest ratio beyond rounding", largest <= 1, largest),
        Check("rotations meet the bounds of Halpern and KM within 1 %: least ratio", met >= 0.99, met),
        *(
            Check(
                f"{name}: slope of the envelope from k = {FIRST} on in {-power:g} ± {BAND}",
                abs(slopes[name] + power) <= BAND,
                slopes[name],
            )
            for name, power in EXPONENTS.items()
        ),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    ratio = (ds.envelope / ds.bound).max("k")
    slopes = ", ".join(f"{_slope(ds.envelope.sel(algorithm=name)):.3f} ({name})" for name in EXPONENTS)

    def share(names: tuple[str, ...]) -> str:
        return ", ".join(f"{float(ratio.sel(algorithm=name)):.3f} ({name})" for name in names)

    return (
        f"Largest residual of the last iterate over {int(ds.attrs['rotations']):,} rotations of the plane, D = L = 1. "
        f"(a) Maps that turn by an angle up to π: Halpern with weights 1/(k+2), Krasnoselskii-Mann (KM) with step 1/2. "
        f"(b) Fields F = θJ, 0 < θ <= 1, which are monotone and nowhere cocoercive: extragradient (EG) at step "
        f"1/(2L), EAG-C at 1/(8L), EAG-V from 0.618/L, FEG at 1/L. Dashed: the theorems' bounds, 2/(k+1) for Halpern "
        f"and 2/k for FEG; for EG only an order, 1/√k, is stated. Slopes fitted from k = {FIRST} to "
        f"{int(ds.k[-1]):,}: {slopes}. Largest ratio to the bound: {share(MAPS)} in (a), {share(FIELDS[1:])} in (b). "
        f"No randomness enters."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Envelopes of the maps and of the fields under their bounds."""
    figure, panels = canvas(1, 2, width=DOUBLE_COLUMN, height=2.7)
    for axes, names in zip(panels, (MAPS, FIELDS), strict=True):
        for i, (name, marker) in enumerate(zip(names, "o^sD", strict=False)):
            measured(axes, ds.k, ds.envelope.sel(algorithm=name), name, color=f"C{i}", marker=marker)
        for name in names:
            if not ds.bound.sel(algorithm=name).isnull().all():
                theory(axes, ds.k, ds.bound.sel(algorithm=name), f"{name}, bound")
        if names is FIELDS:
            guide = ds.k[(ds.k >= FIRST).values]
            order = 1.5 * ds.envelope.sel(algorithm="EG", k=guide[0]) * (guide / guide[0]) ** -0.5
            axes.plot(guide, order, color="0.4", linestyle=":", label=r"order $k^{-1/2}$")
        handles, labels = axes.get_legend_handles_labels()
        entries = {"bounds" if t.endswith("bound") else t: h for h, t in zip(handles, labels, strict=True)}
        axes.legend(entries.values(), entries.keys(), loc="lower left")
        axes.set(xscale="log", yscale="log", xlabel="steps $k$")
    maps, fields = panels
    maps.set(title="(a) maps: rotations of the plane", ylabel=r"worst $\Vert x_k-Tx_k\Vert\,/\,D$")
    fields.set(title=r"(b) fields $\theta J$, $0<\theta\leq L$", ylabel=r"worst $\Vert F(z_k)\Vert\,/\,(LD)$")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "halpern/envelopes",
        "Worst residuals over rotations: 1/k with an anchor, 1/sqrt(k) without",
        simulate,
        draw,
        caption,
        check,
    ),
)
