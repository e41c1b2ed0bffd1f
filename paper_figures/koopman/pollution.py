"""Eigenvalues of EDMD that belong to nothing, and what residuals leave: Duffing's oscillator and Lorenz's flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.paper_figures.koopman.shared import (
    circle,
    duffing_data,
    leaving,
    lorenz_data,
    mirrored,
    spectral_plane,
    upper_half,
)
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

    from lemmata.sims.koopman import Section

__all__ = ["FIGURES"]

SYSTEMS = {"duffing": "Duffing", "lorenz": "Lorenz"}
#: log10 of the levels of the contours
LEVELS = np.arange(-2, -0.45, 0.25)


def simulate(
    budget: Budget,
    seed: int,
    progress: Progress,
    *,
    trajectories: int = 0,
    functions: int = 0,
    snapshots: int = 0,
    delays: int = 0,
    steps: tuple[float, ...] = (),
) -> xr.Dataset:
    """Full sizes are the published ones: 10^4 trajectories and 500 functions, 10^4 snapshots and 3 x 100 delays."""
    from lemmata.sims.koopman import certified_set, edmd, pseudospectrum, section

    quick = budget == "quick"
    trajectories, functions = trajectories or (1000 if quick else 10_000), functions or (60 if quick else 500)
    snapshots, delays = snapshots or (1500 if quick else 10_000), delays or (13 if quick else 100)
    steps = steps or ((0.1, 0.1) if quick else (0.05, 0.02))
    variables: dict[str, Any] = {}
    coords: dict[str, np.ndarray] = {}
    for i, name in enumerate(SYSTEMS):
        progress(i / 2, f"{name}: learning")
        data = (
            duffing_data(seed, trajectories, functions) if name == "duffing" else lorenz_data(seed, snapshots, delays)
        )
        made = section(data.x, data.y)
        eigen = edmd(made)
        progress(i / 2 + 0.1, f"{name}: pseudospectrum")
        x, y = upper_half(steps[i])
        tau = pseudospectrum(made, x + 1j * y[:, None])
        progress(i / 2 + 0.4, f"{name}: certified set")
        a, b = upper_half(max(steps[i], 0.05))
        # as a normal operator: the distance |1 - |z|| of a unitary one is what the output is judged by
        points, bound = certified_set(made, a + 1j * b[:, None], operator="normal")
        variables |= {
            f"{name}_tau": ((f"{name}_y", f"{name}_x"), tau, "least residual"),
            f"{name}_re": ((f"{name}_eigen",), eigen.values.real, "eigenvalues of EDMD"),
            f"{name}_im": ((f"{name}_eigen",), eigen.values.imag, "eigenvalues of EDMD"),
            f"{name}_residual": (
                (f"{name}_eigen",),
                data.judge(eigen.values, made.basis @ eigen.vectors),
                "residual on fresh snapshots",
            ),
            f"{name}_kept_re": ((f"{name}_point",), points.real, "certified points, upper half plane"),
            f"{name}_kept_im": ((f"{name}_point",), points.imag, "certified points, upper half plane"),
            f"{name}_bound": ((), bound, "distance from the spectrum"),
            f"{name}_learned": ((f"{name}_eigen",), eigen.residuals, "residual on the snapshots learned from"),
            # how far the images are from an isometry on either snapshots
            f"{name}_mismatch": ((), _mismatch(made), "norm"),
            f"{name}_fresh_mismatch": ((), _mismatch(section(data.fresh_x, data.fresh_y)), "norm"),
        }
        coords |= {f"{name}_x": x, f"{name}_y": y}
    shares = [leaving(seed, trajectories, square=square) for square in (True, False)]
    variables["left"] = (("region",), shares, "share of trajectories that leave the square in five steps")
    coords["region"] = np.array(["square", "energy"])
    sizes = {"trajectories": trajectories, "functions": functions, "snapshots": snapshots, "delays": delays}
    return dataset(variables, coords, **sizes)


def _mismatch(made: Section) -> float:
    return float(np.linalg.norm(made.growth - np.eye(made.rank), 2))


def _values(ds: xr.Dataset, name: str) -> np.ndarray:
    return ds[f"{name}_re"].values + 1j * ds[f"{name}_im"].values


def _kept(ds: xr.Dataset, name: str) -> np.ndarray:
    return ds[f"{name}_kept_re"].values + 1j * ds[f"{name}_kept_im"].values


def _short(z: np.ndarray, residual: np.ndarray, mismatch: xr.DataArray) -> float:
    """How much less a residual is, at most, than ``|1 - |z||`` on data with the mismatch m.

    On them ``||K g||/||g||`` lies within ``sqrt(1 -+ m)``, in place of 1.
    """
    modulus, m = np.abs(z), float(mismatch)
    least = np.maximum(np.sqrt(np.maximum(0.0, 1 - m)) - modulus, modulus - np.sqrt(1 + m))
    return float(np.max(least - residual))


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    made = []
    for name, title in SYSTEMS.items():
        values, residual, bound = _values(ds, name), ds[f"{name}_residual"].values, float(ds[f"{name}_bound"])
        m, fresh = ds[f"{name}_mismatch"], ds[f"{name}_fresh_mismatch"]
        off = float(np.max(np.abs(1 - np.abs(_kept(ds, name)))))
        false = float(np.mean(np.abs(1 - np.abs(values)) > bound))
        ratio = float(np.max(residual)) / bound
        z = ds[f"{name}_x"].values + 1j * ds[f"{name}_y"].values[:, None]
        short = float(np.maximum(_short(values, residual, fresh), _short(z, ds[f"{name}_tau"].values, m)))
        curve = float(np.max(np.abs(ds[f"{name}_learned"].values ** 2 - 1 + np.abs(values) ** 2)))
        made += [
            Check(f"{title}: certified points are within their bound of the circle", off <= bound, off),
            Check(f"{title}: EDMD's largest residual over the certified bound", ratio > 3, ratio),
            Check(
                f"{title}: more than a quarter of EDMD's eigenvalues are farther from the circle", false > 0.25, false
            ),
            Check(f"{title}: no residual falls short of the distance from the circle", short <= 1e-9, short),
            # where A v = lambda v, the squared residual is ||K g||^2 - |lambda|^2
            Check(f"{title}: on the data they lie on the curve, to the mismatch", curve <= float(m) + 1e-9, curve),
        ]
    square, energy = ds.left.values
    made += [
        Check("trajectories from all of the square leave it: share", square > 0.03, square),
        Check("and none from the part of energy up to 7/4", energy == 0, energy),
    ]
    return made


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    at = ds.attrs
    return (
        f"Eigenvalues of EDMD (points) and the least residual τ(z) (colours). Both operators are unitary with the "
        f"circle as spectrum. (a) Duffing's oscillator without damping, {int(at['trajectories'])} trajectories of 5 "
        f"steps of 0.3, {ds.sizes['duffing_eigen']} radial functions. (b) Lorenz, {int(at['snapshots'])} snapshots "
        f"0.05 apart, {int(at['delays'])} delays of each coordinate. Red: output of the certified algorithm, within "
        f"{float(ds.duffing_bound):.3f} and {float(ds.lorenz_bound):.3f} of the spectrum. (c, d) Residuals of EDMD on "
        f"fresh snapshots, up to {float(np.max(ds.duffing_residual.values)):.2f} and "
        f"{float(np.max(ds.lorenz_residual.values)):.2f}: where K is an isometry they are the root of 1 − |λ|² "
        f"(dashed), which no dictionary avoids, and never below the distance |1 − |λ|| (dotted). Two things are not as "
        f"published. Duffing's trajectories started uniformly in the square |x|, |y| ≤ 2, whose law the flow does not "
        f"preserve: {float(ds.left[0]):.0%} are outside of it after five steps. Here they start in its part of energy "
        f"at most 7/4, which is invariant; what sampling leaves is a Gram matrix of the images that is off by "
        f"{float(ds.duffing_mismatch):.2f}. And Lorenz's index list, where sizes vary, named the delays of y twice and "
        f"those of z never; here all three are used."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """The plane above, residuals below."""
    figure, rows = canvas(2, 2, width=DOUBLE_COLUMN, height=5.2, height_ratios=(1.7, 1))
    for column, (name, title) in enumerate(SYSTEMS.items()):
        top, bottom = rows[:, column]
        values, kept = _values(ds, name), _kept(ds, name)
        y, tau = mirrored(ds[f"{name}_y"].values, ds[f"{name}_tau"].values)
        shown = top.contourf(
            ds[f"{name}_x"], y, np.log10(np.clip(tau, 1e-2, None)), levels=LEVELS, cmap="viridis", extend="both"
        )
        circle(top, color="black", linestyle="--", label="spectrum")
        top.plot(
            values.real,
            values.imag,
            linestyle="",
            marker="o",
            color="white",
            markeredgecolor="black",
            markeredgewidth=0.4,
            markersize=2.4,
            label="EDMD",
            gid=f"EDMD, {title}",
        )
        both = np.concatenate([kept, kept.conj()])
        top.plot(
            both.real,
            both.imag,
            linestyle="",
            marker="D",
            color="C1",
            markeredgecolor="white",
            markeredgewidth=0.5,
            markersize=4.2,
            label="certified",
            gid=f"certified, {title}",
        )
        spectral_plane(top, 1.5, title=f"({'ab'[column]}) {title}")
        modulus = np.abs(values)
        bottom.plot(
            modulus,
            ds[f"{name}_residual"],
            linestyle="",
            marker="o",
            markersize=2.2,
            color="C0",
            label="EDMD",
        )
        bound = float(ds[f"{name}_bound"])
        bottom.axhline(bound, color="C1", label=f"certified bound {bound:.3f}")
        grid = np.linspace(0, 1.25, 1001)
        theory(bottom, grid[grid <= 1], np.sqrt(1 - grid[grid <= 1] ** 2), r"$\sqrt{1 - |\lambda|^2}$")
        bottom.plot(grid, np.abs(1 - grid), color="black", linestyle=":", label=r"$|1 - |\lambda||$")
        bottom.set(
            title=f"({'cd'[column]}) {title}", xlabel=r"$|\lambda|$", ylabel="residual", xlim=(0, 1.2), ylim=(0, 1.6)
        )
        bottom.legend(loc="upper right", ncols=2)
    rows[0, 0].legend(loc="upper right", fontsize=6.5, facecolor="white", frameon=True, framealpha=0.9)
    bar = figure.colorbar(
        shown, ax=rows[0].tolist(), label=r"least residual $\tau(z)$", pad=0.01, ticks=[-2, -1.5, -1, -0.5]
    )
    bar.ax.set_yticklabels(["0.01", "0.03", "0.1", "0.3"])
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("koopman/pollution", "Eigenvalues that belong to nothing", simulate, draw, caption, check),
)
