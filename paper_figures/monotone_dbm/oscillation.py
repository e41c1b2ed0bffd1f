"""The parallel update flips the antiferromagnet for ever where four other iterations settle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.problems.monotone_dbm import Method, antiferromagnet
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

N, M, BIAS, STEPS = 40, 0.1, 0.3, 500
#: colour, marker and name of each method
STYLES: dict[Method, tuple[str, str, str]] = {
    "parallel": ("C1", "s", "parallel"),
    "forward-backward": ("C0", "o", "forward-backward"),
    "averaged": ("C2", "^", "averaged"),
    "peaceman-rachford": ("C3", "D", "Peaceman-Rachford"),
    "sequential": ("C4", "v", "sequential (sweeps)"),
}
#: antiferromagnets of the right panel: nodes for each m
SIZES = {0.1: (2, 3, 4, 5, 6, 8, 10, 14, 20), 0.6: (2, 4, 5, 7, 8, 10, 14, 20, 30)}


def simulate(budget: Budget, seed: int, progress: Progress, *, steps: int = STEPS) -> xr.Dataset:
    """Residuals along the way, and the swing of the parallel update after 5,000 steps. Nothing is random."""
    from lemmata.sims.monotone_dbm import prox, trajectory
    from lemmata.theory.monotone_dbm import ising_magnetisation

    model = antiferromagnet(N, M, BIAS)
    uniform = np.full(model.n, 0.5)
    residual = np.empty((len(STYLES), steps + 1))
    for i, method in enumerate(STYLES):
        progress(0.5 * i / len(STYLES), method)
        q = trajectory(model, uniform, steps, method=method)[0]
        if method == "peaceman-rachford":
            q = prox(q, 1 / np.sqrt(M * model.lipschitz), model.states)
        field = q @ model.phi + model.bias
        residual[i] = abs(q - prox(field, 1.0, model.states)).max(axis=1)
    swing, root, coupling = np.empty((3, len(SIZES), 9))
    for i, (m, nodes) in enumerate(SIZES.items()):
        progress(0.5 + 0.25 * i, f"m = {m}")
        for j, n in enumerate(nodes):
            start = np.tile([0.55, 0.45], n)
            before, after = trajectory(antiferromagnet(n, m), start, 5000, method="parallel")[0, -2:]
            swing[i, j] = abs(after[0] - before[0])
            coupling[i, j] = (1 - m) * (n - 1) / 2
            root[i, j] = ising_magnetisation(coupling[i, j])
    return dataset(
        {
            "residual": (("algorithm", "step"), residual, "max |q - softmax(Phi q + b)|"),
            "swing": (("m", "size"), swing, "change of q_11 in the 5,000th parallel step, without bias"),
            "root": (("m", "size"), root, "largest root of s = tanh(g s)"),
            "coupling": (("m", "size"), coupling, "g = (1 - m)(N - 1)/2"),
        },
        {"algorithm": list(STYLES), "step": np.arange(steps + 1), "m": list(SIZES)},
        lipschitz=model.lipschitz,
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    # a NaN must fail: numpy's extremes hand it on where xarray's pass over it
    last = ds.residual[:, -1]
    stuck = ds.residual.sel(algorithm="parallel")[100:].values.min()
    slow = last.drop_sel(algorithm=["parallel", "sequential"]).values.max()
    descent = float(last.sel(algorithm="sequential") / ds.residual.sel(algorithm="sequential")[0])
    off = abs(ds.swing - ds.root).values.max()
    weak = (ds.coupling < 1).values
    still, moving = ds.swing.values[weak].max(), ds.swing.values[~weak].min()
    return [
        Check("the parallel update never settles: least residual after 100 steps", stuck > 0.99, stuck),
        Check("three others have settled to 1e-6: largest residual at the end", slow < 1e-6, slow),
        Check("the sequential one, whose sweeps are serial, falls too: share left", descent < 1e-6, descent),
        Check("the swing is the Ising magnetisation of coupling g to 1e-8: largest error", off < 1e-8, off),
        Check("no swing below g = 1: largest", still < 1e-8, still),
        Check("and one above it: least", moving > 0.3, moving),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    last, off = ds.residual[:, -1], float(abs(ds.swing - ds.root).max())

    def end(method: str) -> str:
        return f"{float(last.sel(algorithm=method)):.1e}"

    return (
        f"Antiferromagnets of binary nodes, whose mean field is unique. (a) {N} nodes, m = {M}, bias {BIAS} on one "
        f"state, L = {float(ds.attrs['lipschitz']):.1f}: largest change that softmax(Φq + b) would make, from the "
        f"uniform start. Updated all at once, the nodes flip between two points for ever (residual "
        f"{float(last[0]):.4f}). After {int(ds.step[-1])} steps the others are at {end('forward-backward')} "
        f"(forward-backward, α = 2/(m + L)), {end('averaged')} (averaged), {end('peaceman-rachford')} "
        f"(Peaceman-Rachford) and {end('sequential')} (sequential, in sweeps). (b) Swing of the parallel update "
        "without bias against g = (1 - m)(N - 1)/2: it is the magnetisation s = tanh(gs) of an Ising pair (dashed), "
        f"since the nodes move together, and starts at g = 1, where L = 3; largest error {off:.1e}. Nothing is random."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Residuals on a logarithmic axis, and the swing with its closed form."""
    from lemmata.theory.monotone_dbm import ising_magnetisation

    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.6)
    for method, (color, marker, label) in STYLES.items():
        curve = ds.residual.sel(algorithm=method)
        curve = curve.where(curve > 1e-15)
        every = 5 if method == "peaceman-rachford" else 50
        left.plot(ds.step, curve, color=color, marker=marker, markevery=every, linewidth=0.7, label=label)
    left.set(yscale="log", ylim=(1e-13, 30), xlabel="steps", ylabel=r"$\max|q-\mathrm{softmax}(\Phi q+b)|$")
    left.set_title(f"(a) $N={N}$, $m={M}$")
    left.legend(loc=(0.09, 0.02))
    grid = np.concatenate([[0.0], np.geomspace(1, 10, 300)])
    for m, (color, marker) in zip(SIZES, (("C0", "o"), ("C1", "s")), strict=True):
        at = ds.sel(m=m)
        right.plot(at.coupling, at.swing, color=color, marker=marker, linewidth=0, label=f"$m={m}$")
    theory(right, grid, [ising_magnetisation(g) for g in grid], r"$s=\tanh(gs)$")
    right.set(xlabel=r"$g=(1-m)(N-1)/2$", ylabel="swing of a node", title="(b) the parallel update, without bias")
    right.set(xlim=(0, 9), ylim=(-0.03, 1.05))
    right.legend(loc="lower right")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "monotone_dbm/oscillation",
        "The parallel update oscillates where forward-backward converges",
        simulate,
        draw,
        caption,
        check,
    ),
)
