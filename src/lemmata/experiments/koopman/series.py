"""Measured series: which eigenvalues of delay coordinates survive data that they were not learned from.

`report` says what was found and how sure it is; it asserts nothing about nature. The claim is what holds of any series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from lemmata.experiments.koopman.shared import SIMS, quiet
from lemmata.problems.koopman import Affine, ResidualVacuousWarning, Series, logistic
from lemmata.theory import koopman as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS", "Mode", "features", "report", "surrogate_residuals"]

#: Rounding of an eigenvalue: what is real, and what is the constant's.
ZERO = 1e-9


@dataclass(frozen=True)
class Mode:
    """One eigenvalue of a series' delays; of a conjugate pair that with the positive angle.

    Attributes
    ----------
    value : complex
        lambda, per step.
    period : float
        Years; infinite for a positive lambda.
    rate : float
        ``log|lambda|/dt``, per year: growth, or decay where negative.
    period_interval, rate_interval : (float, float)
        5 and 95 % quantiles of the block bootstrap.
    learned, held_out : float
        Residual on the data that it was learned from, and on the later ones.
    noise : float
        Least residual that any function of as many orthonormal delays, and the constant, has at this lambda.
    """

    value: complex
    period: float
    rate: float
    period_interval: tuple[float, float]
    rate_interval: tuple[float, float]
    learned: float
    held_out: float
    noise: float


def features(series: Series, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The constant and `size` delays, and their images: float64[T - size, size + 1] each."""
    pairs, dictionary = series.snapshots(size), Affine(size)
    return dictionary(pairs.x), dictionary(pairs.y)


def _learn(series: Series, size: int, share: float, learn: Callable[[Any], Any]) -> tuple[Any, np.ndarray]:
    """Eigenpairs of the earlier part, and their residuals on the later one."""
    from lemmata.sims.koopman import held_out, section

    earlier, later = series.split(share)
    made = section(*features(earlier, size))
    eigen = learn(made)
    return eigen, held_out(made, eigen, *features(later, size))


@threadpool_limits.wrap(limits=1, user_api="blas")
def report(
    series: Series,
    size: int,
    *,
    share: float = 2 / 3,
    block: int,
    replicates: int = 200,
    learn: Callable[[Any], Any] | None = None,
    seed: int = 0,
) -> list[Mode]:
    """Eigenvalues from the first `share` of a series, judged on the rest, the least held-out residual first.

    Parameters
    ----------
    series : Series
    size : int
        Delays N.
    share : float
    block : int
        Snapshots of a block of the bootstrap, which resamples the earlier part.
    replicates : int
    learn : callable, optional
        `lemmata.sims.koopman.edmd`, the default, or `mpedmd`.
    seed : int

    Returns
    -------
    list of Mode
        Without the constant, whose residual is 0 whatever the series.

    Raises
    ------
    DomainError
    ResidualVacuousError
        As many functions as snapshots, or more.
    """
    from lemmata.sims.koopman import block_bootstrap, edmd

    eigen, judged = _learn(series, size, share, learn or edmd)
    upper = (eigen.values.imag > -ZERO) & (np.abs(eigen.values - 1) > ZERO)
    order = np.argsort(np.where(upper, judged, np.inf), kind="stable")[: int(upper.sum())]
    again = block_bootstrap(
        *features(series.split(share)[0], size),
        eigen.values[order],
        block=block,
        replicates=replicates,
        learn=learn or edmd,
        seed=seed,
    )
    modes = []
    for i, others in zip(order, again.T, strict=True):
        value = complex(eigen.values[i])
        (period, rate), (periods, rates) = _clock(np.array(value), series.dt), _clock(others, series.dt)
        modes.append(
            Mode(
                value,
                float(period),
                float(rate),
                _quantiles(periods),
                _quantiles(rates),
                float(eigen.residuals[i]),
                float(judged[i]),
                float(theory.tau_shift(np.array(value), size)),
            )
        )
    return modes


def _clock(values: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Periods and rates; a real positive eigenvalue turns in no time at all."""
    angle = np.abs(np.angle(values))
    period = np.where(angle > ZERO, 2 * np.pi * dt / np.maximum(angle, ZERO), np.inf)
    return period, np.log(np.abs(values)) / dt


def _quantiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.05, 0.95], method="nearest")  # periods may be infinite
    return float(low), float(high)


@threadpool_limits.wrap(limits=1, user_api="blas")
def surrogate_residuals(
    series: Series,
    size: int,
    *,
    share: float = 2 / 3,
    count: int = 100,
    learn: Callable[[Any], Any] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """The least held-out residual of a pair that oscillates, infinite if none does, for each of `count` shuffles.

    A shuffle has the same values and no dynamics. A residual that shuffles reach shows nothing.

    Returns
    -------
    float64[count]
    """
    from lemmata.sims.koopman import edmd

    least = []
    for k in range(count):
        eigen, judged = _learn(series.shuffled(seed=seed + k), size, share, learn or edmd)
        least.append(np.min(judged, where=eigen.values.imag > ZERO, initial=np.inf))
    return np.array(least)


# ------------------------------------------------------------------------------------------- the claim


def _series(setup: Setup) -> list[tuple[Series, int]]:
    """Independent values, and a cycle in noise, each with 4 and with 12 delays."""
    from lemmata.sims.koopman import orbit

    noise = Series("shuffled", orbit(logistic(), [0.3], 799)[:, 0]).shuffled(seed=setup.seed)
    cycle = np.cos(2 * np.pi * np.arange(800) / 11)
    return [(s, N) for s in (noise, Series("cycle", cycle + 0.5 * noise.values)) for N in (4, 12)]


def _delays(
    instances: Sequence[tuple[Series, int]], setup: Setup, *, vacuous: bool = False, square: bool = False
) -> Measurement:
    """Held-out residuals; `vacuous` (on the data, as many as functions) and `square` (S left out) are saboteurs."""
    from lemmata.sims.koopman import edmd, held_out, residuals, section

    found, shift, kappa, at = [], [], [], []
    for series, size in instances:
        # of one scale: an unlucky unit would cost kappa and prove less
        series = replace(series, values=(series.values - series.values.mean()) / series.values.std())
        earlier, later = series.split(0.5)
        psi_x, psi_y = features(earlier, size)
        if vacuous:
            psi_x, psi_y = psi_x[: size + 1], psi_y[: size + 1]
        made = quiet(lambda x=psi_x, y=psi_y: section(x, y), ResidualVacuousWarning)  # type: ignore[misc]
        eigen = edmd(made)
        psi_x, psi_y = features(later, size)
        judged = held_out(made, eigen, psi_x, psi_y)
        if vacuous:
            judged = eigen.residuals
        elif square:
            true = section(psi_x, psi_y)
            vectors = np.linalg.solve(true.basis, made.basis @ eigen.vectors)
            judged = residuals(replace(true, S=np.zeros_like(true.S)), eigen.values, vectors)
        s = np.linalg.svd(np.concatenate([psi_x, psi_y[:, -1:]], axis=1), compute_uv=False)
        found.append(judged)
        shift.append(theory.tau_shift(eigen.values, size))
        kappa.append(np.full(judged.size, s[0] / s[-1]))
        at.append(np.full(judged.size, size))
    bound = theory.delay_residual(shift=np.concatenate(shift), kappa=np.concatenate(kappa))
    # the constant: a residual of 0 to rounding, and a bound of as much
    return Measurement(np.concatenate(found), bound, {"N": np.concatenate(at)}, noise=1e-12)


EXPERIMENTS = (
    Experiment(
        theory.delay_residual,
        "independent values, and a cycle in noise",
        _series,
        _delays,
        (
            Saboteur("on the data, as many snapshots as functions", {"vacuous": True}),
            Saboteur("what leaves the span left out", {"square": True}),
        ),
        backends=SIMS,
    ),
)
