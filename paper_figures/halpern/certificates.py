"""Exact worst cases of few steps, their closed forms, and what simulations reach of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.problems.halpern import (
    FixedPointProblem,
    eag_c,
    eag_v,
    eg,
    feg,
    halpern_hard,
    km_hard,
    ohm_hard,
    ohm_weights,
    random_monotone,
    random_nonexpansive,
    rotations,
    skew_rotations,
)
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

#: contractions are 1/gamma-Lipschitz
GAMMA = 1.1
MAPS = ("Halpern", "KM, g = 1/2", "KM, g = 3/4", f"OHM, γ = {GAMMA}")
FIELDS = ("EG", "EAG-C", "EAG-V", "FEG")
#: accuracy of a semidefinite programme, relative
SOLVER = 1e-5
#: rounding of a simulated residual, relative
ROUNDING = 1e-12
#: steps after which EAG-C is looked at
LOOK = 10
#: largest N for which the quick budget confirms a field's certificate in exact arithmetic, which takes seconds
FIRST = 6


class _Method(NamedTuple):
    """How to certify, bound and run a method, for D = L = 1.

    Attributes
    ----------
    name, options
        As `lemmata.theory.halpern.certify` takes them.
    bound : callable or None
        ``bound(k=k)``, the residual that its theorem promises after k steps.
    run : callable
        ``run(operator, x0, steps)``, its simulator. No method here looks at the horizon.
    hard : callable or None
        ``hard(sizes)``, the instances whose N-th row meets the bound after N steps.
    """

    name: str
    options: dict[str, Any]
    bound: Callable[..., np.ndarray] | None
    run: Callable[..., xr.Dataset]
    hard: Callable[[Sequence[int]], FixedPointProblem] | None = None


def _methods() -> dict[str, _Method]:
    from lemmata.sims import halpern as sims
    from lemmata.theory import halpern as claims

    one = {"dist": 1.0, "lipschitz": 1.0}
    limit = eag_v(100_000).half[-1]

    def mann(step: float) -> _Method:
        return _Method(
            "km",
            {"step": step},
            partial(claims.km_residual, step=step, dist=1.0),
            partial(sims.krasnoselskii_mann, step=step),
            partial(km_hard, step=step),
        )

    def ohm(operator: Any, x0: Any, steps: int) -> xr.Dataset:
        return sims.halpern(operator, x0, steps, weights=ohm_weights(steps, GAMMA))

    def anchored(schedule: Callable[[int], Any]) -> Callable[..., xr.Dataset]:
        return lambda operator, z0, steps: sims.extragradient(operator, z0, schedule(steps))

    made = (
        _Method("halpern", {}, partial(claims.residual, dist=1.0), sims.halpern, halpern_hard),
        mann(1 / 2),
        mann(3 / 4),
        _Method(
            "ohm",
            {"gamma": GAMMA},
            partial(claims.ohm_residual, gamma=GAMMA, dist=1.0),
            ohm,
            partial(ohm_hard, gamma=GAMMA),
        ),
        _Method("eg", {"step": 1 / 2}, None, anchored(lambda steps: eg(steps, 1 / 2))),
        _Method(
            "eag-c",
            {"step": 1 / 8},
            partial(claims.eag_c_residual, **one),
            anchored(lambda steps: eag_c(steps, 1 / 8)),
        ),
        _Method(
            "eag-v",
            {"step": 0.618},
            partial(claims.eag_v_residual, **one, first_step=0.618, last_step=limit),
            anchored(lambda steps: eag_v(steps, 0.618)),
        ),
        _Method("feg", {}, partial(claims.feg_residual, **one), anchored(feg)),
    )
    return dict(zip((*MAPS, *FIELDS), made, strict=True))


def _operators(label: str, batch: int, seed: int) -> list[FixedPointProblem]:
    """Random operators of a method's class: maps of dimension 6, or rotations and fields of dimension 8."""
    if label in FIELDS:
        return [skew_rotations(np.linspace(0, 1, 401)[1:]), random_monotone(batch, 8, seed=seed)]
    made = [rotations(batch, 6, seed=seed)]
    made += [random_nonexpansive(batch, 6, stages, seed=1_000 * seed + stages) for stages in (1, 2, 3, 4, 5)]
    if label == MAPS[-1]:
        made = [FixedPointProblem(p.name, p.operator.scale(1 / GAMMA), p.x0, p.solution) for p in made]
    return made


def _residual(method: _Method, problem: FixedPointProblem, steps: int) -> np.ndarray:
    """Residual over D after 1, ..., `steps` steps, float64[B, steps]."""
    run = method.run(problem.operator, problem.x0, steps)
    return run["residual"].values[:, 1:] / problem.dist[:, None]


def simulate(budget: Budget, seed: int, progress: Progress, *, steps: int = 0, batch: int = 0) -> xr.Dataset:
    """Certificates of every method for N = 1, ..., `steps`, and the worst residuals of simulations."""
    from lemmata.theory.halpern import certify, formula

    quick = budget == "quick"
    steps = steps or (10 if quick else 15)
    batch = batch or (400 if quick else 10_000)
    k = np.arange(1, steps + 1)
    methods = _methods()
    certified, proved, closed, bound, hard, worst = np.full((6, len(methods), steps), np.nan)
    for i, (label, method) in enumerate(methods.items()):
        for j in range(steps):
            progress((i + j / steps) / len(methods), f"{label}, N = {k[j]}")
            found = certify(method.name, int(k[j]), **method.options)
            certified[i, j] = np.sqrt(found.certified)
            if label in MAPS or k[j] <= FIRST or not quick:
                proved[i, j] = found.verify()
            form = formula(method.name, int(k[j]), **method.options)
            closed[i, j] = np.nan if form is None else np.sqrt(form)
        if method.bound is not None:
            bound[i] = method.bound(k=k)
        if method.hard is not None:
            hard[i] = np.diagonal(_residual(method, method.hard(k.tolist()), steps))
        problems = _operators(label, batch, seed)
        worst[i] = np.max([_residual(method, problem, steps).max(axis=0) for problem in problems], axis=0)
    axes = ("algorithm", "k")
    unit = "residual in units of D, or L D"
    return dataset(
        {
            "certified": (axes, certified, f"{unit}: upper bound, by performance estimation"),
            "proved": (axes, proved, "1 where exact arithmetic confirms the multipliers, NaN where not asked"),
            "closed_form": (axes, closed, f"{unit}: worst case in closed form"),
            "bound": (axes, bound, f"{unit}: the theorem's"),
            "hard": (axes, hard, f"{unit}: the N-th hard instance after N steps"),
            "worst": (axes, worst, f"{unit}: worst of the random operators"),
        },
        {"algorithm": list(methods), "k": k},
        batch=batch,
        cvxpy=version("cvxpy"),
        clarabel=version("clarabel"),
    )


def _ratios(ds: xr.Dataset) -> xr.Dataset:
    """Simulated residuals over their certificates."""
    return ds[["hard", "worst"]] / ds.certified


def _right_angle(ds: xr.Dataset) -> xr.DataArray:
    """Worst simulated residual of FEG over 2 L D / N, where the rotation by a right angle meets it: N = 2, 6, ..."""
    row = ds.sel(algorithm="FEG")
    return (row.worst / row.bound)[(ds.k % 4 == 2).values]


def _kept(ds: xr.Dataset) -> float:
    """What simulated EAG-C keeps of ``||F(z_0)||``, after ten steps or the last."""
    return float(ds.worst.sel(algorithm="EAG-C")[min(LOOK, ds.sizes["k"]) - 1])


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    unproved = int((ds.proved == 0).sum())
    error = float(abs(ds.certified / ds.closed_form - 1).max())
    above = float((ds.certified / ds.bound).max())
    ratios = _ratios(ds)
    largest = max(float(ratios.hard.max()), float(ratios.worst.max()))
    met, right_angle = float(ratios.hard.sel(algorithm=list(MAPS)).min(skipna=False)), float(_right_angle(ds).min())
    kept = _kept(ds)
    return [
        Check("exact arithmetic confirms the multipliers wherever it was asked: failures", unproved == 0, unproved),
        Check("certificates equal their closed forms to 1e-5", error <= SOLVER, error),
        Check("no certificate exceeds the theorem's bound: largest ratio at most 1 + 1e-5", above <= 1 + SOLVER, above),
        Check("no simulated residual exceeds its certificate: largest ratio", largest <= 1 + ROUNDING, largest),
        Check("the hard instances meet the certificates of the maps: least ratio", met >= 1 - SOLVER, met),
        Check(
            "FEG's bound is met by the rotation at N = 2, 6, 10, ...: least ratio",
            right_angle >= 1 - ROUNDING,
            right_angle,
        ),
        Check(f"a simulation of EAG-C keeps 85 % of LD for {LOOK} steps: share kept", kept >= 0.85, kept),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    last = int(ds.k[-1])
    ratios, look = _ratios(ds), min(LOOK, last)
    end = ds.certified.sel(k=last)

    def least(name: str) -> str:
        return f"{float(ratios.worst.sel(algorithm=name).min()):.3f}"

    def listed(names: Sequence[str]) -> str:
        return ", ".join(f"{float(end.sel(algorithm=name)):.4f} ({name})" for name in names)

    batch = int(ds.attrs["batch"])
    return (
        f"Worst residual of the last iterate after N = 1, ..., {last} steps. (a) Nonexpansive maps, and 1/γ-Lipschitz "
        f"ones for OHM; (b) monotone L-Lipschitz fields, with EG at step 1/(2L), EAG-C at 1/(8L), EAG-V from 0.618/L. "
        f"Open markers: certificates by performance estimation, the exact worst case over all operators in (a), an "
        f"upper bound in (b); exact rational arithmetic confirms the multipliers of {int(ds.proved.sum())} of the "
        f"{ds.proved.size}. At N = {last} they are {listed(MAPS)}; {listed(FIELDS)}. Dashed: the theorems' bounds, "
        f"which are the closed forms in (a), and for FEG from N = 2 (largest relative difference "
        f"{float(abs(ds.certified / ds.closed_form - 1).max()):.1e}; FEG at N = 1 has √2, not 2); EG has none here. "
        f"(c, d) What simulations reach of the certificate. Bars: the N-th hard instance of a map (least ratio "
        f"1 - {1 - float(ratios.hard.min()):.1e}). Filled: the worst of {batch:,} random rotations and {5 * batch:,} "
        f"compositions of elementary maps in (c); of 400 planar rotations at speeds up to L and {batch:,} random "
        f"monotone matrices in (d). The least ratio is {least('Halpern')} (Halpern), {least('EG')} (EG), "
        f"{least('EAG-C')} (EAG-C), {least('EAG-V')} (EAG-V) and {least('FEG')} (FEG), whose bound the right-angle "
        f"rotation meets at N = 2, 6, 10, ... In the first {look} steps EAG-C is barely better than doing nothing: "
        f"its certificate at N = {look} is {float(ds.certified.sel(algorithm='EAG-C', k=look)):.3f} LD, of which a "
        f"rotation attains {_kept(ds):.3f} LD, where EG's is {float(ds.certified.sel(algorithm='EG', k=look)):.3f} LD."
    )


def _italic(name: str) -> str:
    """The name of a method with its parameter as a formula."""
    return re.sub(r"(\w) =", r"$\1$ =", name)


def _panel(ds: xr.Dataset, top: Axes, bottom: Axes, names: Sequence[str]) -> None:
    """Certificates under their bounds, and the ratios of simulations to them."""
    ratios = _ratios(ds)
    for name, color, marker in zip(names, ("C0", "C1", "C2", "C3"), "o^sD", strict=True):
        label, row, ratio = _italic(name), ds.sel(algorithm=name), ratios.sel(algorithm=name)
        style: dict[str, Any] = {"color": color, "marker": marker}
        top.plot(row.k, row.certified, markerfacecolor="none", linestyle="none", zorder=4, label=label, **style)
        bottom.plot(row.k, ratio.worst, linewidth=0.5, markersize=2.6, gid=f"{label}, simulated", **style)
        if not ratio.hard.isnull().all():
            bottom.plot(row.k, ratio.hard, "k_", markersize=6, zorder=4, gid=f"{label}, hard instances")
    for name in names:
        if not ds.bound.sel(algorithm=name).isnull().all():
            theory(top, ds.k, ds.bound.sel(algorithm=name), f"{_italic(name)}, bound")
    handles, labels = top.get_legend_handles_labels()
    entries = {"bounds" if t.endswith("bound") else t: h for h, t in zip(handles, labels, strict=True)}
    top.legend(entries.values(), entries.keys(), loc="lower left", ncols=2)
    top.set_yscale("log")
    bottom.set(xlabel="steps $N$", xticks=np.arange(1, ds.sizes["k"] + 1, 1 + ds.sizes["k"] // 12))


def _decimal(axes: Axes, *ticks: float) -> None:
    """Ticks of a logarithmic y axis that spans about a decade."""
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)


def draw(ds: xr.Dataset) -> Canvas:
    """Certificates of maps and of fields, and below them what simulations reach."""
    options = {"sharex": True, "height_ratios": (2.4, 1)}
    figure, ((maps, fields), (left, right)) = canvas(2, 2, width=DOUBLE_COLUMN, height=4.0, **options)
    right.sharey(left)
    _panel(ds, maps, left, MAPS)
    _panel(ds, fields, right, FIELDS)
    _decimal(maps, 0.05, 0.1, 0.2, 0.5, 1)
    _decimal(fields, 0.1, 0.2, 0.5, 1, 2, 5, 10)
    maps.set(title="(a) maps, nonexpansive or contractive", ylabel=r"worst $\Vert x_N-Tx_N\Vert\,/\,D$")
    fields.set(title="(b) monotone $L$-Lipschitz fields", ylabel=r"worst $\Vert F(z_N)\Vert\,/\,(LD)$")
    maps.set_ylim(bottom=0.04)
    fields.set_ylim(bottom=0.07)
    fields.axhline(1, color="0.4", linestyle=":", linewidth=0.8, zorder=1)
    fields.text(4.5, 1.04, "doing nothing", va="bottom", color="0.3", fontsize=7)
    for name, at, offset in zip(FIELDS[1:], (2.5, 2.5, 6), ((3, 3), (3, 3), (-6, -10)), strict=True):
        height = np.interp(at, ds.k, ds.bound.sel(algorithm=name))
        fields.annotate(name, (at, height), offset, textcoords="offset points", fontsize=7)
    left.set(title="(c) simulations of (a)", ylabel="simulated / certified")
    (random,) = left.plot([], color="0.4", marker="o", linewidth=0.5, markersize=2.6)
    hard = next(line for line in left.lines if line.get_marker() == "_")
    left.legend([hard, random], ["hard instances", "worst of the other operators"], loc="lower left")
    right.set(title="(d) simulations of (b)")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "halpern/certificates",
        "Exact worst cases of few steps, and what simulations reach of them",
        simulate,
        draw,
        caption,
        check,
    ),
)
