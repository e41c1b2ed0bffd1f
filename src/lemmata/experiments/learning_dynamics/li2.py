"""Learning to add modulo M: the gradient of lazy features, and what a hidden unit climbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lemmata.experiments.learning_dynamics.shared import run_on
from lemmata.problems import learning_dynamics as problems
from lemmata.problems.learning_dynamics import Addition, RidgeFeatures
from lemmata.theory.learning_dynamics import li2 as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]


def _features(setup: Setup) -> list[RidgeFeatures]:
    cases = ((5, 8, 1.0), (7, 30, 0.1), (7, 200, 10.0), (11, 60, 100.0))
    return [problems.random_features(M, K, eta=eta, seed=setup.seed + i) for i, (M, K, eta) in enumerate(cases)]


def _gradient(
    instances: Sequence[RidgeFeatures], setup: Setup, *, decay: float = 1.0, once: bool = False
) -> Measurement:
    """To be sabotaged: `decay` (factor of eta where V is solved), `once` (one Q of the formula dropped)."""
    measured, claimed, scale = [], [], []
    for p in instances:
        V = np.linalg.solve(p.F.T @ p.F + decay * p.eta * np.eye(p.F.shape[1]), p.F.T @ p.Y)
        found = (p.Y - p.F @ V) @ V.T
        expected = theory.ridge_gradient(p.F, p.Y, eta=p.eta)
        if once:
            expected = (p.F @ p.F.T + p.eta * np.eye(len(p.F))) @ expected
        measured.append(found.ravel())
        claimed.append(expected.ravel())
        scale.append(np.full(found.size, abs(expected).max()))
    ridge = theory.li2_gradient(ridge=np.concatenate(claimed))
    return Measurement(np.concatenate(measured), ridge, scale=np.concatenate(scale))


def _energy(instances: Sequence[Addition], setup: Setup, *, constant: float = 0.0, kept: float = 1.0) -> Measurement:
    """To be sabotaged: `constant` (added to the targets), `kept` (share of all pairs in the data)."""
    measured, claimed = [], []
    for data in instances:
        w = problems.random_units(data.modulus, 20, seed=setup.seed)
        rows = slice(0, round(kept * data.modulus**2))
        measured.append((((data.Y + constant)[rows].T @ (data.X[rows] @ w.T) ** 2) ** 2).sum(axis=0) / 2)
        claimed.append(theory.spectral_energy(w))
    return Measurement(measured, theory.li2_energy(spectral=claimed))


def _maxima(instances: Sequence[Addition], setup: Setup, *, steps: int = 1000, odd: bool = False) -> Measurement:
    """To be sabotaged: `steps`, `odd` (the value M/4 at every frequency)."""
    energy, value = [], []
    for data in instances:
        M = data.modulus
        start = problems.random_units(M, setup.size(40, 400), seed=setup.seed + M)
        w = run_on(setup, "energy_ascent", start, steps=steps)
        frequency = theory.spectrum(w)[:, 1 : M // 2 + 1].argmax(axis=1) + 1
        energy.append(((data.Y.T @ (data.X @ w.T) ** 2) ** 2).sum(axis=0) / 2)
        value.append(theory.li2_maxima(M=M, k=np.full_like(frequency, 1) if odd else frequency))
    return Measurement(energy, value, {"M": np.array([[data.modulus] for data in instances])})


def _moduli(*moduli: int) -> Callable[[Setup], list[Addition]]:
    return lambda setup: [Addition(M) for M in moduli]


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.li2_gradient,
        "random square features",
        _features,
        _gradient,
        (
            Saboteur("the readout fitted with 1 % less decay", {"decay": 0.99}),
            Saboteur("one factor Q missed", {"once": True}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.li2_energy,
        "random units, M = 5, 8, 11",
        _moduli(5, 8, 11),
        _energy,
        (
            Saboteur("targets that are not centred", {"constant": 0.01}),
            Saboteur("one pair in ten left out", {"kept": 0.9}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.li2_maxima,
        "odd moduli, random starts",
        _moduli(7, 23),
        _maxima,
        (Saboteur("stopped after 10 steps", {"steps": 10}),),
    ),
    Experiment(
        theory.li2_maxima,
        "even moduli, random starts",
        _moduli(6, 10),
        _maxima,
        (
            Saboteur("the value of odd moduli", {"odd": True}),
            Saboteur("stopped after 10 steps", {"steps": 10}),
        ),
    ),
)
