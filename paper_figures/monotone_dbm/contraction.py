"""Forward-backward on the antiferromagnet: contraction and steps against the step, up to the cliff at 2/(L - 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.problems.monotone_dbm import antiferromagnet
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

M = 0.1
NODES = (3, 10, 40)
STYLES = {3: ("C2", "^"), 10: ("C1", "s"), 40: ("C0", "o")}
#: steps as shares of the limit
SHARES = np.sort(np.concatenate([[0.05], np.arange(0.1, 1.25, 0.1), [0.95, 0.98, 0.99, 1.02, 1.05]])).round(2)
#: certificate at which steps are counted, and steps after which a run is given up
TOLERANCE, LIMIT = 1e-9, 50_000


def simulate(budget: Budget, seed: int, progress: Progress, *, instances: int = 0) -> xr.Dataset:
    """Contraction beside the uniform mean field, and steps to the tolerance from random starts; no bias."""
    from lemmata.sims.monotone_dbm import solve, trajectory
    from lemmata.theory.monotone_dbm import contraction_tight

    instances = instances or (5 if budget == "quick" else 50)
    rng = np.random.default_rng(seed)
    shape = (len(NODES), len(SHARES))
    factor, bound = np.empty(shape), np.empty(shape)
    steps, splitting = np.full((2, *shape, instances), np.nan)
    limits = np.empty(len(NODES))
    for i, N in enumerate(NODES):
        progress(i / len(NODES), f"{N} nodes")
        model = antiferromagnet(N, M)
        limits[i] = model.step_limit
        first = rng.random((instances, N))
        starts = np.stack([first, 1 - first], axis=2).reshape(instances, -1)
        together = np.tile([1.0, -1.0], N) / np.sqrt(2 * N)
        apart = np.concatenate([[1.0, -1.0, -1.0, 1.0], np.zeros(2 * N - 4)]) / 2
        start = 0.5 + 1e-4 * np.stack([together, apart])
        for j, share in enumerate(SHARES):
            alpha = share * model.step_limit
            distance = np.linalg.norm(trajectory(model, start, 10, alpha=alpha) - 0.5, axis=2)
            factor[i, j] = ((distance[:, -1] / distance[:, 0]) ** 0.1).max()
            bound[i, j] = contraction_tight(alpha=alpha, m=M, lipschitz=model.lipschitz)
            options = {"start": starts, "tol": TOLERANCE, "max_steps": LIMIT, "raise_on_fail": False}
            for found, method in ((steps, "forward-backward"), (splitting, "peaceman-rachford")):
                if share < 1 or method == "peaceman-rachford":
                    solution = solve(model, method=method, alpha=alpha, **options)  # type: ignore[arg-type]
                    found[i, j] = np.where(solution.converged, solution.steps, np.nan)
    # beyond the limit `solve` refuses the step: the iterates themselves say what would happen
    beyond = np.array([_stuck(N, seed) for N in NODES])
    axes = ("nodes", "share")
    return dataset(
        {
            "factor": (axes, factor, "||q_10 - q*||/||q_0 - q*||, tenth root, larger of two directions"),
            "bound": (axes, bound, "max(|1 - alpha m|, |1 - alpha L|)/(1 + alpha)"),
            "steps": ((*axes, "instance"), steps, f"steps of forward-backward to a certificate of {TOLERANCE:g}"),
            "splitting": ((*axes, "instance"), splitting, "steps of Peaceman-Rachford to the same"),
            "limit": (("nodes",), limits, "2/(L - 1)"),
            "beyond": (("nodes",), beyond, "last move after 2000 steps at 1.02 of the limit"),
        },
        {"nodes": list(NODES), "share": SHARES},
        m=M,
        tolerance=TOLERANCE,
        given_up=LIMIT,
    )


def _stuck(N: int, seed: int) -> float:
    """The last move of 2000 steps just above the limit."""
    from lemmata.sims.monotone_dbm import trajectory

    model = antiferromagnet(N, M)
    start = np.random.default_rng(seed).uniform(0.45, 0.55, N)
    last = trajectory(model, np.stack([start, 1 - start], axis=1).ravel(), 2000, alpha=1.02 * model.step_limit)[0, -2:]
    return float(np.linalg.norm(last[1] - last[0]))


def _best(ds: xr.Dataset) -> xr.DataArray:
    """Share of the limit at 2/(m + L), which is (L - 1)/(L + m)."""
    L = 1 + 2 / ds.limit
    return (L - 1) / (L + M)


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    # a NaN must fail: numpy's extremes hand it on where xarray's pass over it
    off = abs(ds.factor / ds.bound - 1).values.max()
    inside = ds.sel(share=ds.share < 1)
    below, above = inside.factor.values.max(), ds.factor.sel(share=ds.share > 1).values.min()
    lost = float(inside.steps.isnull().sum())
    # the certificate of q is at most (L - 1)(1 + (L - 1)/2)/(1 + m) times its distance, at first at most sqrt(N/2)
    L = 1 + 2 / ds.limit
    first = np.log((L**2 - 1) / 2 / (1 + M) * np.sqrt(ds.nodes / 2) / TOLERANCE)
    share = (inside.steps / (1 + first / -np.log(inside.bound))).values.max()
    best = ds.bound.argmin("share")
    away = abs(ds.share[best] - _best(ds)).values.max()
    middle = inside.steps.median("instance", skipna=False)
    cliff = (middle.sel(share=0.99) / middle.min("share", skipna=False)).values.min()
    beyond = ds.splitting.sel(share=ds.share >= 1)
    stuck = ds.beyond.values.min()
    return [
        Check("the contraction is the predicted one at every step: largest relative error", off < 1e-6, off),
        Check("it is below 1 up to the limit: largest factor", below < 1, below),
        Check("and above 1 beyond it: least factor", above > 1, above),
        Check("forward-backward needs no more steps than the bound says: largest share", share <= 1, share),
        Check("every run below the limit converges: runs given up", lost == 0, lost),
        Check("the bound is best at 2/(m + L), to the grid: largest difference of shares", away <= 0.1, away),
        Check("just above the limit it never settles: least move", stuck > 0.1, stuck),
        Check("at .99 of the limit steps have multiplied again: least factor", cliff > 3, cliff),
        Check("Peaceman-Rachford passes the limit: runs given up", beyond.isnull().sum() == 0, beyond.isnull().sum()),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    limits = ", ".join(f"{float(ds.limit.sel(nodes=N)):.4f} ({N} nodes)" for N in NODES)
    middle = ds.steps.sel(nodes=40).median("instance")
    least, cliff = float(middle.min()), float(middle.sel(share=0.99))
    off = float(abs(ds.factor / ds.bound - 1).max())
    return (
        f"Antiferromagnets of binary nodes without bias, m = {M}, against the step as a share of its limit 2/(L - 1): "
        f"{limits}. (a) Contraction per step of a small change of the uniform mean field, in the worse of the two "
        "eigendirections (points), and max(|1 - αm|, |1 - αL|)/(1 + α) (dashed): the largest relative error is "
        f"{off:.1e}. It crosses 1 at the limit (dotted). (b) Steps from random starts to a certificate of "
        f"{TOLERANCE:g}, median and range of {ds.sizes['instance']}, colours as in (a). Filled: forward-backward, with "
        f"40 nodes {least:.0f} at the best step and {cliff:.0f} at .99 of the limit, beyond which no run ends. Open: "
        "Peaceman-Rachford with the same step, which has no limit."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """The contraction with its bound, and the steps that it takes."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.6)
    x = ds.share
    for N, (color, marker) in STYLES.items():
        label = f"$N={N}$"
        left.plot(x, ds.factor.sel(nodes=N), color=color, marker=marker, linewidth=0, label=label)
        fine = np.linspace(0.01, 1.2, 400)
        alpha, L = fine * float(ds.limit.sel(nodes=N)), 1 + 2 / float(ds.limit.sel(nodes=N))
        bound = np.maximum(abs(1 - alpha * M), abs(1 - alpha * L)) / (1 + alpha)
        theory(left, fine, bound, f"{label}, bound")
        for values, face, name in ((ds.steps, color, label), (ds.splitting, "white", f"{label}, Peaceman-Rachford")):
            at = values.sel(nodes=N)
            known = ~at.isnull().any("instance").values
            right.fill_between(
                x[known], at.min("instance")[known], at.max("instance")[known], color=color, alpha=0.2, linewidth=0
            )
            style = {"color": color, "marker": marker, "markerfacecolor": face, "linewidth": 0.7}
            right.plot(x[known], at.median("instance")[known], label=name, **style)
    for axes in (left, right):
        axes.axvline(1, color="black", linewidth=0.6, linestyle=":")
        axes.set(xlabel=r"step $\alpha\,(L-1)/2$", xlim=(0, 1.22))
    right.text(1.02, 5e3, "limit")
    left.axhline(1, color="black", linewidth=0.4)
    left.set(ylabel="contraction per step", title="(a) beside the mean field", ylim=(0.2, 1.2))
    right.set(
        ylabel="steps",
        yscale="log",
        title=f"(b) from random starts to a certificate of $10^{{{np.log10(TOLERANCE):.0f}}}$",
    )
    handles, labels = left.get_legend_handles_labels()
    left.legend(handles[::2] + handles[1:2], [*labels[::2], "theory"], loc="lower left")
    shapes, _ = right.get_legend_handles_labels()
    right.legend(shapes[4:6], ["forward-backward", "Peaceman-Rachford"], loc="upper left")
    right.set_ylim(3, 5e4)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "monotone_dbm/contraction",
        "Forward-backward contracts up to the step 2/(L - 1)",
        simulate,
        draw,
        caption,
        check,
    ),
)
