"""The pseudospectrum of the pendulum for a small and a large dictionary, and EDMD's eigenvalues over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas
from lemmata.paper_figures.koopman.shared import circle, mirrored, spectral_plane, upper_half
from lemmata.problems.koopman import Hermite, Snapshots, pendulum, rule, tensor_rule
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

#: Largest |y|, where Hermite functions of the orders used have died away.
TOP = 15.0
#: The contour that is drawn, as published.
LEVEL = 0.25
LEVELS = np.arange(-2, 0.05, 0.25)


@dataclass(frozen=True)
class Cross:
    """``cos jx, sin jx`` times Hermite functions ``h_k(y)`` with ``max(1, j) (k + 1) <= cross``: N of them.

    The span is that of ``e^{ijx} h_k`` with ``max(1, |j|) max(1, k + 1) <= cross``, in real numbers. Dictionaries of
    smaller crosses come first.
    """

    cross: int
    largest: int

    @property
    def orders(self) -> np.ndarray:
        """int64[N, 2]: row of the waves ``1, cos x, sin x, cos 2x, ...``, and k."""
        wave, k = np.indices((2 * self.largest + 1, self.cross)).reshape(2, -1)
        need = np.maximum(1, (wave + 1) // 2) * (k + 1)
        order = np.argsort(need, kind="stable")
        return np.column_stack([wave, k])[order][need[order] <= self.cross]

    def size(self, cross: int) -> int:
        """Functions within a smaller cross."""
        wave, k = self.orders.T
        return int((np.maximum(1, (wave + 1) // 2) * (k + 1) <= cross).sum())

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        turn = np.exp(1j * x[:, :1]) ** np.arange(1, self.largest + 1)
        waves = np.empty((len(x), 2 * self.largest + 1))
        waves[:, 0], waves[:, 1::2], waves[:, 2::2] = 1.0, turn.real, turn.imag
        # with this scale the Hermite functions carry e^{-y^2/2}, and that of order 99 reaches as far as 14.1
        hermite = Hermite(self.cross, np.sqrt(0.5), weighted=True)(x[:, 1:])
        wave, k = self.orders.T
        return waves[:, wave] * hermite[:, k]


def simulate(
    budget: Budget, seed: int, progress: Progress, *, points: int = 0, crosses: tuple[int, int] | None = None
) -> xr.Dataset:
    """Snapshots on a grid, nothing is random; full: 300^2 of them and the cross of 100, as published."""
    from lemmata.sims.koopman import edmd, images, pseudospectrum, section_from_gram, stream_gram

    quick = budget == "quick"
    points, crosses = points or (80 if quick else 300), crosses or ((6, 20) if quick else (20, 100))
    psi = Cross(crosses[1], crosses[1] // 2)
    grid = tensor_rule(rule("periodic", points, -np.pi, np.pi), rule("trapezium", points, -TOP, TOP))
    flow = pendulum(substeps=10)

    def block(i: int) -> Snapshots:
        part = slice(i * points, (i + 1) * points)
        return Snapshots(grid.x[part], images(flow, grid.x[part]), grid.w[part])

    progress(0.0, "snapshots")
    G, A, L = stream_gram(block, points, psi)
    x, y = upper_half(0.1 if quick else 0.05)
    z = x + 1j * y[:, None]
    variables: dict[str, Any] = {}
    for i, cross in enumerate(crosses):
        progress(0.2 + 0.3 * i, f"cross of {cross}")
        n = psi.size(cross)
        made = section_from_gram(G[:n, :n], A[:n, :n], L[:n, :n])
        eigen = edmd(made)
        name = ("small", "large")[i]
        variables |= {
            f"{name}_tau": (("y", "x"), pseudospectrum(made, z), "least residual"),
            f"{name}_re": ((f"{name}_eigen",), eigen.values.real, "eigenvalues of EDMD"),
            f"{name}_im": ((f"{name}_eigen",), eigen.values.imag, "eigenvalues of EDMD"),
            f"{name}_residual": ((f"{name}_eigen",), eigen.residuals, "residual"),
            f"{name}_mismatch": ((), np.linalg.norm(made.growth - np.eye(made.rank), 2), "norm"),
        }
    return dataset(variables, {"x": x, "y": y}, points=points, small=crosses[0], large=crosses[1])


def _off_curve(ds: xr.Dataset, name: str) -> float:
    """Where A v = lambda v the squared residual is ``||K g||^2 - |lambda|^2``, and K an isometry."""
    square = ds[f"{name}_re"].values ** 2 + ds[f"{name}_im"].values ** 2
    return float(np.max(np.abs(ds[f"{name}_residual"].values ** 2 - 1 + square)))


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    distance = np.abs(1 - np.abs(ds.x.values + 1j * ds.y.values[:, None]))
    small, large = ds.small_tau.values, ds.large_tau.values
    m = float(np.maximum(ds.small_mismatch, ds.large_mismatch))
    short, falls = float(np.max(distance - np.minimum(small, large))), float(np.max(large - small))
    over = [float(np.mean(tau - distance)) for tau in (small, large)]
    curve = float(np.max([_off_curve(ds, name) for name in ("small", "large")]))
    false = float(np.mean(ds.large_residual.values > LEVEL))
    return [
        Check("no least residual is below the distance from the circle, to the data's mismatch", short <= m, short),
        # inverse iteration ends with residuals of 2e-7 of the squares
        Check("none rises with the dictionary", falls <= 2e-7, falls),
        Check("they come nearer to it: mean excess, large over small", over[1] < 0.8 * over[0], over[1] / over[0]),
        Check("EDMD's residuals are the root of 1 - |lambda|^2, to the mismatch", curve <= m + 1e-9, curve),
        Check("more than half of its eigenvalues lie outside of their own contour", false > 0.5, false),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    false = float(np.mean(ds.large_residual.values > LEVEL))
    return (
        f"Least residual τ(z) of the pendulum, time 0.5 between snapshots, on a grid of {int(ds.attrs['points'])}² "
        f"points with |y| ≤ {TOP:g}: Fourier times Hermite functions within a hyperbolic cross of "
        f"{int(ds.attrs['small'])} (a, N = {ds.sizes['small_eigen']}) and {int(ds.attrs['large'])} "
        f"(b, N = {ds.sizes['large_eigen']}). White: the contour τ = {LEVEL:g}. Dashed: the spectrum, and where the "
        f"distance from it is {LEVEL:g} (dotted), to which the contour falls. Points: eigenvalues of EDMD, filled "
        f"where their residual is at most {LEVEL:g}; {false:.0%} of those in (b) have a larger one. Images and "
        f"functions have Gram matrices that differ by at most "
        f"{float(np.maximum(ds.small_mismatch, ds.large_mismatch)):.1e}."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """A panel a dictionary."""
    figure, panels = canvas(1, 2, width=DOUBLE_COLUMN, height=3.2)
    for axes, name, letter in zip(panels, ("small", "large"), "ab", strict=True):
        y, tau = mirrored(ds.y.values, ds[f"{name}_tau"].values)
        shown = axes.contourf(ds.x, y, np.log10(np.clip(tau, 1e-2, None)), levels=LEVELS, cmap="viridis", extend="both")
        axes.contour(ds.x, y, tau, levels=[LEVEL], colors="white", linewidths=1.0)
        circle(axes, color="black", linestyle="--", label="spectrum")
        for radius, label in ((1 - LEVEL, f"distance {LEVEL:g}"), (1 + LEVEL, "")):
            circle(axes, radius, color="black", linestyle=":", label=label)
        small = ds[f"{name}_residual"].values <= LEVEL
        for kept, face, label in (
            (~small, "white", "EDMD"),
            (small, "C1", rf"EDMD, residual $\leq {LEVEL:g}$"),
        ):
            axes.plot(
                ds[f"{name}_re"].values[kept],
                ds[f"{name}_im"].values[kept],
                linestyle="",
                marker="o",
                color=face,
                markeredgecolor="black",
                markeredgewidth=0.4,
                markersize=2.4,
                label=label,
            )
        spectral_plane(axes, 1.5, title=f"({letter}) $N = {ds.sizes[f'{name}_eigen']}$")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    bar = figure.colorbar(shown, ax=panels.tolist(), label=r"least residual $\tau(z)$", pad=0.01)
    bar.set_ticks([-2, -1.5, -1, -0.5, 0], labels=["0.01", "0.03", "0.1", "0.3", "1"])
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("koopman/pseudospectrum", "The pseudospectrum of the pendulum", simulate, draw, caption, check),
)
