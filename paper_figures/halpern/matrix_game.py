"""Figures on Halpern-type iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linprog

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.problems.halpern import FixedPointProblem, bilinear, eag_c, eg, matrix_game, pdhg, simplices
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES", "m_norm", "natural_residual", "saddle_point"]

# ------------------------------------------------------------------------------------------ matrix game
#
# min over x, max over y of <y, B x> on two probability simplices. The published experiment multiplies the houses'
# wealth w onto the columns of A, A_ij = w_j (1 - exp(-theta |i - j|)), and its minimiser x picks the column: the
# burglar then minimises his loot. With B = A' he maximises it, as the game's name has it. Residuals are those of the
# iterates; the published curve of extragradient is that of its half steps.

GAMES = ("burglar minimises", "burglar maximises")
ALGORITHMS = ("extragradient", "anchored extragradient")
#: horizon of the published comparison, in epochs
PUBLISHED_EPOCHS = 5_000
#: residual of a solution that counts as exact
EXACT = 1e-9


def saddle_point(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """Saddle point (x, y), float64[n + m], and value of ``min_x max_y <y, B x>``, B of shape (m, n), by HiGHS.

    The linear programme is ``min v`` over x in the simplex with ``B x <= v``; y is its vector of multipliers.
    """
    m, n = matrix.shape
    found = linprog(
        np.append(np.zeros(n), 1.0),
        A_ub=np.column_stack([matrix, -np.ones(m)]),
        b_ub=np.zeros(m),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return np.append(found.x[:n], -found.ineqlin.marginals), found.fun


def natural_residual(matrix: np.ndarray, z: np.ndarray) -> np.ndarray:
    """``||z - P(z - F(z))||``, ``F(x, y) = (B'y, -B x)``, of points z of shape (..., n + m); shape (...)."""
    n = matrix.shape[1]
    x, y = z[..., :n], z[..., n:]
    field = np.concatenate([y @ matrix, -(x @ matrix.T)], axis=-1)
    return np.linalg.norm(z - simplices(z - field, n), axis=-1)


def m_norm(matrix: np.ndarray, step: float, z: np.ndarray) -> np.ndarray:
    """``||z||_M`` with ``||z||_M^2 = ||x||^2/s - 2 <y, B x> + ||y||^2/s``, of shape (...) for z of (..., n + m).

    The primal-dual map with both steps s is firmly nonexpansive in this norm (He and Yuan 2012).
    """
    n = matrix.shape[1]
    x, y = z[..., :n], z[..., n:]
    square = ((x**2).sum(-1) + (y**2).sum(-1)) / step - 2 * ((x @ matrix.T) * y).sum(-1)
    return np.sqrt(square)


def _grid(steps: int) -> np.ndarray:
    """Every step up to 100, then 400 log-spaced ones."""
    return np.unique(np.append(np.arange(min(steps, 100) + 1), np.geomspace(1, steps, 400).round().astype(int)))


def _play(matrix: np.ndarray, steps: int, progress: Progress) -> xr.Dataset:
    """Saddle point of one game and the residuals of three methods on it, from the uniform strategies."""
    from lemmata.sims.halpern import extragradient, halpern
    from lemmata.theory.halpern import residual as claim

    # an iteration of extragradient evaluates F twice, a primal-dual step costs one evaluation
    at, k = _grid(steps), _grid(2 * steps)
    m, n = matrix.shape
    z0 = np.append(np.full(n, 1 / n), np.full(m, 1 / m))
    norm = float(np.linalg.norm(matrix, 2))
    step = 0.99 / norm
    primal_dual = pdhg(matrix, step)

    progress(0, "saddle point")
    solution, value = saddle_point(matrix)
    claim.check(FixedPointProblem("matrix game", primal_dual, z0[None], solution))
    dist = m_norm(matrix, step, z0 - solution)

    runs = []
    for i, schedule in enumerate((eg(steps, 5 / norm), eag_c(steps, 5 / norm))):
        progress(0.1 + 0.3 * i, ALGORITHMS[i])
        runs.append(extragradient(bilinear(matrix), z0, schedule, simplices=n, at=at, iterates=True))
    progress(0.7, "Halpern on the primal-dual map")
    anchored = halpern(primal_dual, z0, 2 * steps, at=k, iterates=True)

    # from the iterates, not from the simulators: a second route to the same numbers
    extra = np.stack([natural_residual(matrix, run["iterate"].values[0]) for run in runs])
    z = anchored["iterate"].values[0]
    moved = z - primal_dual(z)
    routes = [
        *(np.abs(ours - run["residual"].values[0]).max() for ours, run in zip(extra, runs, strict=True)),
        np.abs(np.linalg.norm(moved, axis=1) - anchored["residual"].values[0]).max(),
    ]
    return dataset(
        {
            "extragradient": (("algorithm", "step"), extra, "natural residual with unit step"),
            "halpern": (("k",), natural_residual(matrix, z), "natural residual with unit step"),
            "m_residual": (("k",), m_norm(matrix, step, moved), "||z_k - T z_k||_M"),
            "bound": (("k",), claim(k=k, dist=dist), "2 D / (k + 1)"),
            "dist": ((), dist, "D = ||z_0 - z*||_M"),
            "solution": (("dim",), solution, "probability"),
            "value": ((), value, "expected loot"),
            "solution_residual": ((), natural_residual(matrix, solution), "natural residual with unit step"),
            "duality_gap": ((), (matrix @ solution[:n]).max() - (solution[n:] @ matrix).min(), "expected loot"),
            "disagreement": ((), max(routes), "largest |simulator - numpy|"),
        },
        {"algorithm": list(ALGORITHMS), "step": at, "k": k},
        size=n,
    )


def simulate(budget: Budget, seed: int, progress: Progress, *, size: int = 500) -> xr.Dataset:
    """Three methods on both games; seed 0 is the published matrix, 2,500 iterations the published run."""
    import xarray as xr

    steps = 2_500 if budget == "quick" else 25_000
    payoff = matrix_game(size, seed=1 + seed)

    def part(g: int) -> Progress:
        return lambda fraction, text: progress((g + fraction) / 2, f"{GAMES[g]}: {text}")

    matrices = (payoff, np.ascontiguousarray(payoff.T))
    games = [_play(matrix, steps, part(g)) for g, matrix in enumerate(matrices)]
    both = xr.concat(games, "game", data_vars="all", coords="minimal", compat="override", join="exact")
    return both.assign_coords(game=list(GAMES), epochs=2 * both.step)


def _worst(ds: xr.Dataset, game: str, algorithm: str) -> float:
    """Largest residual over the last octave of the published horizon: residuals oscillate."""
    window = (ds.epochs > PUBLISHED_EPOCHS / 2) & (ds.epochs <= PUBLISHED_EPOCHS)
    return float(ds.extragradient.sel(game=game, algorithm=algorithm)[window.values].max())


def _slope(ds: xr.Dataset, game: str, algorithm: str) -> float:
    """Least-squares slope of log residual against log epochs over the last decade."""
    window = (ds.epochs >= ds.epochs[-1] / 10).values
    curve = ds.extragradient.sel(game=game, algorithm=algorithm)[window]
    return float(np.polyfit(np.log(ds.epochs[window]), np.log(curve), 1)[0])


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    minimises, maximises = GAMES
    extra, anchored = ALGORITHMS
    ratio = float((ds.m_residual / ds.bound).max())
    exact, gap, routes = (float(ds[name].max()) for name in ("solution_residual", "duality_gap", "disagreement"))
    slope = _slope(ds, maximises, anchored)
    order = {game: _worst(ds, game, anchored) / _worst(ds, game, extra) for game in GAMES}
    return [
        Check("Halpern's residual in the M-norm never exceeds 2D/(k+1): largest ratio at most 1", ratio <= 1, ratio),
        Check("the saddle points have natural residual at most 1e-9", exact <= EXACT, exact),
        Check("the saddle points have duality gap at most 1e-9", gap <= EXACT, gap),
        Check("residuals of the iterates match the simulators' to 1e-9", routes <= 1e-9, routes),
        Check(
            f"{maximises}: the anchored method falls like 1/k, slope over the last decade in -1 ± 0.15",
            abs(slope + 1) <= 0.15,
            slope,
        ),
        Check(
            f"{maximises}: by {PUBLISHED_EPOCHS} epochs the anchored residual is below a third of extragradient's",
            order[maximises] <= 1 / 3,
            order[maximises],
        ),
        Check(
            f"{minimises}: by {PUBLISHED_EPOCHS} epochs the anchored residual is above extragradient's",
            order[minimises] >= 1,
            order[minimises],
        ),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    extra, anchored = ALGORITHMS
    minimises, maximises = GAMES
    size = int(ds.attrs["size"])

    def last(values: xr.DataArray) -> str:
        return f"{float(values[-1]):.2g}"

    def end(game: str) -> str:
        curves = ds.extragradient.sel(game=game)
        return (
            f"{last(curves.sel(algorithm=extra))} (extragradient), {last(curves.sel(algorithm=anchored))} (anchored) "
            f"and {last(ds.halpern.sel(game=game))} (Halpern)"
        )

    def support(game: str) -> str:
        z = ds.solution.sel(game=game).values
        return f"{int((z[:size] > EXACT).sum())} and {int((z[size:] > EXACT).sum())}"

    ratios = (ds.m_residual / ds.bound).max("k")
    return (
        f"Policeman and burglar game, {size} × {size} houses, A_ij = w_j (1 - exp(-0.8 |i - j|)), from uniform "
        f"strategies. (a) As in the published experiment the weighted column is chosen by the minimising player "
        f"(value {float(ds.value.sel(game=minimises)):.4g}, supports {support(minimises)}). (b) The burglar, who owns "
        f"the weights, maximises (value {float(ds.value.sel(game=maximises)):.4g}, supports {support(maximises)}). "
        f"Curves: natural residual, with unit step, of the last iterate. Extragradient and its anchored form take the "
        f"published step 5/‖A‖, which no theorem covers (the theorems ask for less than 1/‖A‖); Halpern runs on the "
        f"primal-dual map with step 0.99/‖A‖. An epoch is one evaluation of F, n oracle calls. After "
        f"{int(ds.epochs[-1]):,} epochs the residuals are {end(minimises)} in (a), {end(maximises)} in (b); the "
        f"anchored method's slope over the last decade is {_slope(ds, minimises, anchored):.2f} in (a), "
        f"{_slope(ds, maximises, anchored):.2f} in (b). (c) Residual of the primal-dual map T in its own norm over "
        f"D = ‖z_0 - z*‖_M (D = {float(ds.dist[0]):.4g} and {float(ds.dist[1]):.4g}, z* by linear programming), under "
        f"the bound 2/(k+1); the largest ratio to the bound is {float(ratios[0]):.3f} and {float(ratios[1]):.3f}. "
        f"No randomness enters beyond the one draw of the weights w."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Natural residuals on both games, and Halpern's residual under its bound."""
    figure, (left, middle, right) = canvas(1, 3, width=DOUBLE_COLUMN, height=2.6)
    middle.sharey(left)
    styles = (("C0", "o"), ("C1", "^"), ("C2", "s"))
    for axes, game, letter in ((left, GAMES[0], "a"), (middle, GAMES[1], "b")):
        curves = [(ds.epochs, ds.extragradient.sel(game=game, algorithm=name), name) for name in ALGORITHMS]
        curves.append((ds.k, ds.halpern.sel(game=game), "Halpern on the primal-dual map"))
        for (epochs, residual, name), (color, marker) in zip(curves, styles, strict=True):
            measured(axes, epochs[1:], residual[1:], name, color=color, marker=marker)
        end = float(ds.epochs[-1])
        guide = np.array([end / 5, end])
        height = 0.3 * float(ds.extragradient.sel(game=game, algorithm=ALGORITHMS[1])[-1])
        axes.plot(guide, height * end / guide, color="0.4", linestyle=":", label="slope −1, to guide the eye")
        axes.set(title=f"({letter}) {game}", xscale="log", yscale="log", xlabel="epochs (oracle calls / $n$)")
    left.set_ylabel(r"natural residual $\Vert z-P(z-F(z))\Vert$")
    left.text(0.04, 0.05, "extragradient steps $5/\\Vert A\\Vert$:\nno theorem covers them", transform=left.transAxes)

    for game, filled in zip(GAMES, (True, False), strict=True):
        scaled = ds.m_residual.sel(game=game) / ds.dist.sel(game=game)
        measured(right, ds.k + 1, scaled, game, color="C2", marker="s", filled=filled)
    theory(right, ds.k + 1, ds.bound[0] / ds.dist[0], "bound $2/(k+1)$")
    right.set(title="(c) Halpern under its bound", xscale="log", yscale="log", xlabel="$k+1$")
    right.set_ylabel(r"$\Vert z_k-Tz_k\Vert_M\,/\,D$")
    right.set_ylim(bottom=0.02 * float((ds.m_residual / ds.dist).min()))
    right.legend(loc="lower left")
    figure.legend(*middle.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "halpern/matrix-game",
        "Anchored and plain extragradient on a matrix game, and Halpern's bound",
        simulate,
        draw,
        caption,
        check,
    ),
)
