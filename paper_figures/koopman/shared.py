"""Snapshots, dictionaries and grids that the figures share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Learned",
    "circle",
    "duffing_data",
    "leaving",
    "lorenz_data",
    "mirrored",
    "spectral_plane",
    "upper_half",
]

#: Largest energy y^2/2 - x^2/2 + x^4/4 all of whose states lie in the square |x|, |y| <= 2.
ENERGY = 1.75
#: The invariant region of Duffing's square fills this share of it, and a little more.
SHARE = 0.6


@dataclass(frozen=True, eq=False)
class Learned:
    """A dictionary at snapshots to learn from, and at others to judge by: float64[M, N] each."""

    x: np.ndarray
    y: np.ndarray
    fresh_x: np.ndarray
    fresh_y: np.ndarray

    def judge(self, values: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """``||psi(y) c - lambda psi(x) c||/||psi(x) c||`` on the fresh snapshots."""
        own = self.fresh_x @ coefficients
        return np.linalg.norm(self.fresh_y @ coefficients - values * own, axis=0) / np.linalg.norm(own, axis=0)


def _starts(random: np.random.Generator, size: int, square: bool = False) -> np.ndarray:
    """Uniform in the square |x|, |y| <= 2, or in the largest part of it that Duffing's flow preserves."""
    if square:
        return random.uniform(-2, 2, (size, 2))
    x = random.uniform(-2, 2, (int(size / SHARE) + 2000, 2))
    kept = x[x[:, 1] ** 2 / 2 - x[:, 0] ** 2 / 2 + x[:, 0] ** 4 / 4 <= ENERGY]
    return kept[:size]


def duffing_data(seed: int, trajectories: int, functions: int, *, delta: float = 0.0, square: bool = False) -> Learned:
    """Five steps of each trajectory, ``exp(-2 r/d)`` about k-means centres of other data, d the mean distance.

    The published trajectories start in a square (`square`) whose uniform law the flow does not preserve; here they
    start in the largest region of it that is invariant, and every snapshot has the same law.
    """
    from scipy.cluster.vq import kmeans2

    from lemmata.problems.koopman import Radial, duffing
    from lemmata.sims.koopman import images

    def pairs(stream: int) -> tuple[np.ndarray, np.ndarray]:
        steps = [_starts(np.random.default_rng([seed, stream]), trajectories)]
        for _ in range(5):
            steps.append(images(duffing(), steps[-1]))
        return np.concatenate(steps[:-1]), np.concatenate(steps[1:])

    (x, y), (fresh_x, fresh_y) = pairs(0), pairs(1)
    random = np.random.default_rng([seed, 2])
    centres, _ = kmeans2(_starts(random, 10 * functions), functions, minit="points", rng=random)
    scale = float(np.linalg.norm(x - x.mean(axis=0), axis=1).mean()) / 2
    psi = Radial(centres, "exponential", scale)
    return Learned(psi(x), psi(y), psi(fresh_x), psi(fresh_y))


def leaving(seed: int, trajectories: int, *, square: bool) -> float:
    """The share of Duffing's trajectories that are outside of the square |x|, |y| <= 2 after five steps."""
    from lemmata.problems.koopman import duffing
    from lemmata.sims.koopman import images

    x = _starts(np.random.default_rng([seed, 0]), trajectories, square)
    for _ in range(5):
        x = images(duffing(), x)
    return float((np.abs(x).max(axis=1) > 2 + 1e-3).mean())


def lorenz_data(seed: int, snapshots: int, size: int, *, repeat: bool = False) -> Learned:
    """``size`` delays of each coordinate along an orbit, 0.05 apart; the fresh snapshots follow after a gap.

    `repeat` takes the delays of y twice and those of z never, as the index list of the published code does.
    """
    from lemmata.problems.koopman import delays, lorenz
    from lemmata.sims.koopman import orbit

    start = np.random.default_rng([seed, 3]).uniform(-2, 2, 3)
    states = orbit(lorenz(), start, 2 * (snapshots + size) + 1000, burn_in=1000)

    def features(first: int) -> tuple[np.ndarray, np.ndarray]:
        part = states[first : first + snapshots + size]
        # functions of size 1
        both = [delays(part[:, i] / 20, size) for i in ((0, 1, 1) if repeat else (0, 1, 2))]
        return np.concatenate([b[0] for b in both], axis=1), np.concatenate([b[1] for b in both], axis=1)

    return Learned(*features(0), *features(snapshots + size + 1000))


def upper_half(step: float, left: float = -1.5, right: float = 1.5, top: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Axes of a grid over the upper half plane: data that are real have a spectrum symmetric to the real axis."""
    return (
        left + step * np.arange(round((right - left) / step) + 1),
        step * np.arange(round(top / step) + 1),
    )


def mirrored(y: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values [y, x] of the upper half plane and their reflection, from y = 0 once."""
    return np.concatenate([-y[:0:-1], y]), np.concatenate([values[:0:-1], values])


def circle(axes: Axes, radius: float = 1.0, label: str = "", **style: Any) -> None:
    """A circle about 0."""
    turn = np.linspace(0, 2 * np.pi, 361)
    axes.plot(radius * np.cos(turn), radius * np.sin(turn), label=label or None, **style)


def spectral_plane(axes: Axes, limit: float, **labels: Any) -> None:
    """Equal scales about 0."""
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="Re $z$", ylabel="Im $z$", **labels)
    axes.grid(False)
