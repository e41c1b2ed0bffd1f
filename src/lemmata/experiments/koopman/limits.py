"""Systems that fool every algorithm, and limits that do not commute: constructions that run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from lemmata.experiments.koopman.shared import BOTH, SIMS, Case, library, quiet
from lemmata.problems.koopman import (
    Fourier,
    ResidualVacuousWarning,
    ResolutionWarning,
    Rule,
    doubling,
    rule,
)
from lemmata.theory import koopman as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS", "PROTOCOL", "Alpha", "Disc", "golden", "liouville", "near_golden"]

#: What `lemmata.testing.assert_claim` can put in place of ours.
PROTOCOL = "algorithm(x float64[M, 2], y float64[M, 2]) -> complex128[k], points said to be the spectrum; rows (s, phi)"
Algorithm = Callable[[np.ndarray, np.ndarray], np.ndarray]


# ------------------------------------------------------------------------------------ the adversarial disc


@dataclass(frozen=True, eq=False)
class Disc:
    """Random points of the disc, float64[M, 2], and the amplitude of the twist ``delta(s) = amplitude (1 + s)``."""

    x: np.ndarray
    amplitude: float

    def delta(self, s: np.ndarray) -> np.ndarray:
        """Excess over half a turn."""
        return self.amplitude * (1 + s)


def _discs(setup: Setup, amplitude: float = 0.3) -> list[Disc]:
    made = []
    for k, size in enumerate((50, 200)):
        draw = np.random.default_rng([setup.seed, k])
        s = (np.arange(size) + 0.2 + 0.6 * draw.random(size)) / size  # no two of them close
        made.append(Disc(np.column_stack([s, 2 * np.pi * draw.random(size)]), amplitude))
    return made


def disc_dictionary(x: np.ndarray) -> np.ndarray:
    """``e^{ik phi}`` times s^0 and s^1 for |k| <= 4: 18 functions of rows (s, phi)."""
    waves = np.exp(1j * np.outer(x[:, 1], np.arange(-4, 5)))
    return np.concatenate([waves, x[:, :1] * waves], axis=1)


def _learned(room: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The eigenvalues that a backend's EDMD gives."""
    values: np.ndarray = room.edmd(room.section(disc_dictionary(x), disc_dictionary(y))).values
    return values


def _fooled(
    instances: Sequence[Disc], setup: Setup, *, algorithm: Algorithm | None = None, turned: bool = True
) -> Measurement:
    """The worse of two distances; without the twist (`turned`) both systems are the rotation, spectrum {1, -1}."""
    from lemmata.sims.koopman import circle_gap, hausdorff, interpolating_involution, twist

    answer = algorithm or partial(_learned, library(setup))
    measured, control = [], []
    for disc in instances:
        if turned:
            involution = interpolating_involution(disc.x, disc.delta)
            worse = max(
                circle_gap(answer(disc.x, twist(disc.x, disc.delta))),
                hausdorff(answer(disc.x, involution(disc.x)), np.array([1, -1])),
            )
        else:
            worse = hausdorff(answer(disc.x, twist(disc.x, np.zeros_like)), np.array([1, -1]))
        measured.append(worse)
        # a spectrum that is {1, -1}, and nobody to lie about it: what is fooled must be right here
        control.append(hausdorff(answer(disc.x, twist(disc.x, np.zeros_like)), np.array([1, -1])))
    at = {"M": [len(disc.x) for disc in instances]}
    return Measurement(measured, theory.adversarial_disc(), at, control=np.array(control))


def _interpolated(instances: Sequence[Disc], setup: Setup, *, reach: float = 1.0) -> Measurement:
    """G against the twist at the data, G(G(x)) against x elsewhere; ellipses `reach` times as wide are a saboteur."""
    from lemmata.sims.koopman import Involution, interpolating_involution, twist

    measured, claimed = [], []
    for disc in instances:
        made = interpolating_involution(disc.x, disc.delta)
        G = Involution(made.s, made.phi, made.height, reach * made.width)
        other = np.random.default_rng(setup.seed).random((len(disc.x), 2)) * [1, 2 * np.pi]
        for x, image, true in ((disc.x, G(disc.x), twist(disc.x, disc.delta)), (other, G(G(other)), other)):
            measured.append([np.max(np.abs(image[:, 0] - x[:, 0])), np.max(np.abs(_wrap(image[:, 1] - true[:, 1])))])
            claimed.append(np.zeros(2))
    return Measurement(measured, np.array(claimed), {"coordinate": np.arange(2)}, scale=np.ones((len(measured), 2)))


def _wrap(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi


# --------------------------------------------------------------------------------------- the torus


@dataclass(frozen=True)
class Alpha:
    """A rotation number ``numerator/denominator``, exactly, and whether it stands for the golden mean."""

    name: str
    numerator: int
    denominator: int
    golden: bool = False


def golden(size: int = 200) -> Alpha:
    """A quotient of Fibonacci numbers with the digits of the golden mean far beyond any frequency here."""
    a, b = 1, 1
    for _ in range(size):
        a, b = b, a + b
    return Alpha("golden mean", a, b, True)


def liouville() -> Alpha:
    """``2^-2 + 2^-6 + 2^-18 + 2^-16422``: gaps of ``2^n/16`` and a little more; stages at 4, 64 and 2^18."""
    places = [2, 6, 18, 16422]
    last = places[-1]
    return Alpha("Liouville", sum(1 << (last - n) for n in places), 1 << last)


def near_golden() -> Alpha:
    """``162013/2^18 + 2^-16422``: 18 binary digits of the golden mean, and then none for very long."""
    return Alpha("Liouville, 18 digits of the golden mean", (162013 << 16404) + 1, 1 << 16422)


RATIO = 2.0 ** (-1 / 16)
#: Where 2^-16422 is seen: the frequency 2^18 is resonant with both numbers but for it.
STAGE = 2**18


@cache
def _sums(alpha: Alpha, largest: int) -> np.ndarray:
    from lemmata.sims.koopman import torus_sum

    return torus_sum(alpha.numerator, alpha.denominator, largest, RATIO)


def _bounded(instances: Sequence[Alpha], setup: Setup, *, number: Alpha | None = None) -> Measurement:
    """S_k at five frequencies; another `number` is there to be sabotaged."""
    at = np.array([10, 100, 1000, 10_000, STAGE])
    measured = [_sums(number or alpha, STAGE)[at - 1] for alpha in instances]
    bound = float(theory.torus_diophantine(ratio=RATIO, constant=(3 - math.sqrt(5)) / 2))
    return Measurement(measured, np.full((len(instances), at.size), bound), {"k": at})


def _unbounded(instances: Sequence[Alpha], setup: Setup, *, number: Alpha | None = None) -> Measurement:
    """S at the stage over S just below it; the golden mean is the control, and in its place the saboteur."""

    def growth(alpha: Alpha) -> float:
        sums = _sums(alpha, STAGE)
        return float(sums[STAGE - 1] / sums[STAGE - 2])

    measured = [growth(number or alpha) for alpha in instances]
    return Measurement(measured, theory.torus_liouville(), control=np.full(len(measured), growth(golden())))


# ------------------------------------------------------------------------------ limits that do not commute


def _plane(setup: Setup) -> list[int]:
    return [1, 10, 100]


def _averages(instances: Sequence[int], setup: Setup, *, fewer: int = 0) -> Measurement:
    """Means of ||P_n K^l g||^2; `fewer` modes kept are there to be sabotaged."""
    from lemmata.sims.koopman import rage_average

    L = np.array([0, 5, 10, 100, 1000, setup.size(10_000, 10**6)])
    n = np.array(instances)[:, None]
    measured = [rage_average(k - fewer, L) for k in instances]
    claimed = np.array([[float(theory.rage(dimension=int(i), length=int(j))) for j in L] for i in n[:, 0]])
    return Measurement(measured, claimed, {"n": n, "L": L})


def _orders(instances: Sequence[int], setup: Setup, *, coupled: bool = False) -> Measurement:
    """n far above L, less L far above n; `coupled`, both grow together and nothing differs."""
    from lemmata.sims.koopman import rage_average

    measured = []
    for n in instances:
        early, late = (n, n + 1) if coupled else (n // 10, 100 * n)
        first, last = rage_average(n, np.array([early, late]))
        measured.append(first - last)
    # a pure point spectrum: nothing leaves
    return Measurement(measured, theory.rage_limits(), {"n": instances}, control=np.zeros(len(measured)))


def _few(setup: Setup, ratio: int = 1) -> list[Case]:
    """M = `ratio` N random points of the doubling map."""
    made = []
    for K in (5, 10):
        size = ratio * (2 * K + 1)
        x = np.random.default_rng([setup.seed, K]).random((size, 1))
        made.append(Case(doubling(), Fourier(K), Rule(x, np.full(size, 1 / size)), K))
    return made


def _vacuous(instances: Sequence[Case], setup: Setup) -> Measurement:
    """Median of the true residuals, by exact quadrature, less those on the data; the control has 200 N points."""
    from lemmata.sims.koopman import edmd, residuals, section

    def excess(case: Case) -> float:
        learned = quiet(case.section, ResidualVacuousWarning)
        found, exact = edmd(learned), rule("periodic", 8 * case.size + 8, 0, 1)
        true = section(case.dictionary(exact.x), case.dictionary(2 * exact.x))
        vectors = np.linalg.solve(true.basis, learned.basis @ found.vectors)
        return float(np.median(residuals(true, found.values, vectors) - found.residuals))

    measured, control = ([excess(case) for case in cases] for cases in (instances, _few(setup, 200)))
    at = {"N": [2 * case.size + 1 for case in instances]}
    return Measurement(measured, theory.vacuous_residual(), at, control=np.array(control))


def _sizes(setup: Setup) -> list[int]:
    return [20, 80]


def _spikes(instances: Sequence[int], setup: Setup, *, wide: bool = False) -> Measurement:
    """N equispaced atoms of weight 1/N, Lebesgue's Krylov section, smoothed; the control is epsilon at 3 spacings."""
    from lemmata.sims.koopman import atom_density

    theta = np.linspace(-np.pi, np.pi, 2001)

    def error(size: int, spacings: float) -> float:
        angles = 2 * np.pi * (np.arange(size) + 0.5) / size - np.pi
        smooth = quiet(
            lambda: atom_density(theta, spacings * 2 * np.pi / size, angles, np.full(size, 1 / size)), ResolutionWarning
        )
        return float(np.abs(2 * np.pi * smooth - 1).max())

    measured = [error(n, 3.0 if wide else 0.1) for n in instances]
    return Measurement(
        measured, theory.atoms_show_through(), {"N": instances}, control=[error(n, 3) for n in instances]
    )


def _golden(setup: Setup) -> list[Alpha]:
    return [golden()]


def _liouville(setup: Setup) -> list[Alpha]:
    return [liouville(), near_golden()]


EXPERIMENTS = (
    Experiment(
        theory.adversarial_disc,
        "random points of the disc, delta = .3 (1 + s)",
        _discs,
        _fooled,
        (Saboteur("no twist: the data tell the truth", {"turned": False}),),
        backends=BOTH,
        protocol=PROTOCOL,
    ),
    Experiment(
        theory.involution_data,
        "random points of the disc, delta = .3 (1 + s)",
        _discs,
        _interpolated,
        (Saboteur("ellipses a tenth too narrow", {"reach": 0.9}),),
        backends=SIMS,
    ),
    Experiment(
        theory.torus_diophantine,
        "f with coefficients 2^(-|j|/16)",
        _golden,
        _bounded,
        (
            Saboteur("a Liouville number in its place", {"number": liouville()}),
            Saboteur("a number with the same first 18 binary digits", {"number": near_golden()}),
        ),
        backends=SIMS,
    ),
    Experiment(
        theory.torus_liouville,
        "f with coefficients 2^(-|j|/16)",
        _liouville,
        _unbounded,
        (Saboteur("the golden mean in its place", {"number": golden()}),),
        backends=SIMS,
    ),
    Experiment(
        theory.rage,
        "rotation times cat map",
        _plane,
        _averages,
        (Saboteur("n modes kept for n + 1", {"fewer": 1}),),
        backends=SIMS,
    ),
    Experiment(
        theory.rage_limits,
        "rotation times cat map",
        lambda setup: [100, 1000],
        _orders,
        (Saboteur("n and L grow together", {"coupled": True}),),
        backends=SIMS,
    ),
    Experiment(
        theory.vacuous_residual,
        "random points of the doubling map, M = N = 11 and 21",
        _few,
        _vacuous,
        (Saboteur("two hundred times as many points", problems=partial(_few, ratio=200)),),
        backends=SIMS,
    ),
    Experiment(
        theory.atoms_show_through,
        "Lebesgue spectrum, Krylov section",
        _sizes,
        _spikes,
        (Saboteur("epsilon at three spacings", {"wide": True}),),
        backends=SIMS,
    ),
)
