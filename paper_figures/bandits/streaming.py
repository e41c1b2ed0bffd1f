"""Arms in a stream: what six policies pay at the scale of the paper, who is charged, the rate on the hard family."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.bandits.shared import LEVEL, band, mean_and_half
from lemmata.problems.bandits import (
    GameOfArms,
    LogLevels,
    LogLogLevels,
    LogStarLevels,
    StreamPolicy,
    clear_cut_streams,
    eps_best,
    hard_streams,
    mix_in_streams,
    uniform_exploration,
)
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

Rule = Callable[[int, int], StreamPolicy]
RULES: dict[str, Rule] = {
    "uniform": uniform_exploration,
    "eps-best": eps_best,
    "log-levels": lambda arms, horizon: LogLevels(),
    "log-log": lambda arms, horizon: LogLogLevels(),
    "log-star": lambda arms, horizon: LogStarLevels(),
    "game of arms": lambda arms, horizon: GameOfArms(),
}
STYLES = {
    "uniform": ("C0", "o"),
    "eps-best": ("C3", "D"),
    "log-levels": ("C2", "s"),
    "log-log": ("C5", "P"),
    "log-star": ("C4", "v"),
    "game of arms": ("C1", "^"),
}
SETTINGS = {"clear-cut": clear_cut_streams, "mix-in": mix_in_streams}
HARD_ARMS = 50


def simulate(budget: Budget, seed: int, progress: Progress, *, largest: int = 0, replicates: int = 0) -> xr.Dataset:
    """Mean regret of 50 streams at T = 1000 K³, both ways of charging; and on the hard family against T."""
    from lemmata.sims.bandits import simulate_stream as play

    largest = largest or (5000 if budget == "quick" else 50_000)
    arms = np.unique(np.geomspace(50, largest, 5 if budget == "quick" else 7).round().astype(np.int64))
    streams = replicates or 50
    cost = np.empty((2, len(SETTINGS), len(RULES), arms.size))
    for a, (count, horizon) in enumerate((int(k), 1000 * int(k) ** 3) for k in arms):
        for s, (name, make) in enumerate(SETTINGS.items()):
            progress(0.7 * (a + s / 2) / arms.size, f"{name}, K = {count}")
            stream = make(count, streams, seed=seed + count)
            for r, rule in enumerate(RULES.values()):
                for c, charge in enumerate(("pulled", "stored")):
                    run = play(rule(count, horizon), stream, horizon, charge=charge, seed=seed)  # type: ignore[arg-type]
                    cost[c, s, r, a] = run["regret"].mean()
    horizons = 4 ** np.arange(7, 14 if budget == "quick" else 17)
    n = 40 * streams
    hard, half = np.empty((2, len(RULES), horizons.size))
    for h, horizon in enumerate(map(int, horizons)):
        progress(0.7 + 0.3 * h / horizons.size, f"hard family, T = {horizon}")
        stream = hard_streams(HARD_ARMS, horizon, n, seed=seed + h)
        for r, rule in enumerate(RULES.values()):
            run = play(rule(HARD_ARMS, horizon), stream, horizon, seed=seed)["regret"].values / horizon ** (2 / 3)
            (hard[r, h],), (half[r, h],) = mean_and_half(run / HARD_ARMS ** (1 / 3))
    uniform = cost[:1, :, :1]
    return dataset(
        {
            "ratio": (("charge", "setting", "policy", "arms"), cost / uniform, "regret over uniform exploration"),
            "hard": (("policy", "horizon"), hard, "regret over K^(1/3) T^(2/3)"),
            "half": (("policy", "horizon"), half, "half-width of the interval"),
        },
        {
            "charge": ["pulled", "stored"],
            "setting": list(SETTINGS),
            "policy": list(RULES),
            "arms": arms,
            "horizon": horizons,
        },
        streams=streams,
        hard_streams=n,
    )


def _slopes(ds: xr.Dataset) -> dict[str, float]:
    x = np.log(ds.horizon.values)
    return {name: 2 / 3 + float(np.polyfit(x, np.log(ds.hard.sel(policy=name)), 1)[0]) for name in RULES}


def _least(ds: xr.Dataset) -> np.ndarray:
    """``1 / (ln T)^(1/3)``: one unit of pulls of each arm over what uniform exploration takes."""
    return 1 / np.log(1000.0 * ds.arms.values.astype(float) ** 3) ** (1 / 3)


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    own, other = ds.ratio.sel(charge="pulled"), ds.ratio.sel(charge="stored")
    saved = own.sel(policy=["log-levels", "log-star"])
    most = float(saved.values.max())
    floor = float((own / _least(ds)).values.min())
    below = float((other.sel(policy="log-levels") / _least(ds)).values.max())
    naive = float((own.sel(policy="eps-best") / (np.log(ds.arms) * _least(ds))).values.max())
    slopes = _slopes(ds)
    ends = {name: slopes[name] for name in ("uniform", "eps-best")}
    grown = ds.hard.sel(policy="uniform")
    return [
        Check("levels save a quarter of uniform exploration and more: largest ratio", most < 0.75, most),
        Check("no policy costs less than one unit an arm: least ratio to it", floor > 0.97, floor),
        Check("charged to the arm stored, log-levels seem to: largest ratio to it", below < 1, below),
        Check("eps-best costs ln K units an arm: largest ratio", naive < 1.05, naive),
        Check(
            "slopes in T of uniform and eps-best lie in .62 to .72",
            all(0.62 < s < 0.72 for s in ends.values()),
            max(ends.values()),
        ),
        Check("over K^(1/3) T^(2/3) uniform exploration grows", float(grown[-1]) > float(grown[0]), float(grown[-1])),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    last = int(ds.arms[-1])

    def at(name: str) -> str:
        own, other = (ds.ratio.sel(charge=c, policy=name)[:, -1].values for c in ("pulled", "stored"))
        return f"{name} {own[0]:.3f} and {own[1]:.3f} (to the arm stored {other[0]:.3f} and {other[1]:.3f})"

    naive = float(ds.ratio.sel(charge="pulled", policy="eps-best")[0, -1])
    slopes = ", ".join(f"{name} {slope:.3f}" for name, slope in _slopes(ds).items())
    return (
        f"Single-pass streams, {int(ds.attrs['streams'])} streams of each kind, T = 1000 K³. (a) and (b): mean regret "
        f"over that of uniform exploration; filled, charged to the arm that is pulled; open, where a challenge on a "
        f"level is charged to the arm stored, which is the better one. Dashed: one unit (T/K)^(2/3) of pulls an arm, "
        f"1 / (ln T)^(1/3): nothing that pulls every arm that often can be below. At K = {last:,}: "
        f"{at('log-levels')}; {at('log-star')}; eps-best {naive:.2f}. "
        f"(c) Hard family, K = {HARD_ARMS}, c = 1/2, {int(ds.attrs['hard_streams'])} streams a horizon: mean regret "
        f"over K^(1/3) T^(2/3), bands {100 * (1 - LEVEL):g} % intervals. Slopes in T: {slopes}; "
        "the order 2/3 is flat here."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Ratios against K in both settings; regret over its order against T."""
    figure, panels = canvas(1, 3, width=DOUBLE_COLUMN, height=3.0)
    for axes, letter, setting in zip(panels[:2], "ab", SETTINGS, strict=True):
        for name, (color, marker) in STYLES.items():
            for charge, fill in (("pulled", color), ("stored", "white")):
                if charge == "stored" and not name.startswith("log"):
                    continue
                axes.plot(
                    ds.arms,
                    ds.ratio.sel(charge=charge, setting=setting, policy=name),
                    color=color,
                    marker=marker,
                    markerfacecolor=fill,
                    linewidth=0.7,
                    label=name if charge == "pulled" else f"{name}, to stored",
                )
        theory(axes, ds.arms, _least(ds), "a unit an arm")
        axes.set(title=f"({letter}) {setting}", xscale="log", yscale="log", xlabel="arms $K$")
        axes.set_ylabel("regret over uniform")
        axes.set_yticks([0.2, 0.3, 0.5, 1, 2, 3], ["0.2", "0.3", "0.5", "1", "2", "3"])
        axes.minorticks_off()
    for name, (color, marker) in STYLES.items():
        hard, half = ds.hard.sel(policy=name), ds.half.sel(policy=name)
        measured(panels[2], ds.horizon, hard, name, color=color, marker=marker, band=band(hard, half))
    panels[2].set(title="(c) hard family", xscale="log", yscale="log", xlabel="rounds $T$")
    panels[2].set_ylabel(r"mean regret over $K^{1/3}T^{2/3}$")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("bandits/streaming", "Arms in a stream: what is saved, and who is charged", simulate, draw, caption, check),
)
