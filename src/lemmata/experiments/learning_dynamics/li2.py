"""Learning to add modulo M: the gradient of lazy features, and what a hidden unit climbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lemmata.experiments.learning_dynamics.grokking import train
from lemmata.experiments.learning_dynamics.shared import run_on
from lemmata.problems import learning_dynamics as problems
from lemmata.problems.learning_dynamics import Addition, Recipe, RidgeFeatures
from lemmata.theory.learning_dynamics import li2 as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS", "SQUARED"]

#: how the networks are trained whose need of pairs is measured
SQUARED = Recipe(loss="squared", activation="square", rate=0.01, decay=1.0, epsilon=1e-8, betas=(0.9, 0.999))


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
    energy, value, learned = [], [], []
    for data in instances:
        M = data.modulus
        start = problems.random_units(M, setup.size(40, 400), seed=setup.seed + M)
        w = run_on(setup, "energy_ascent", start, steps=steps)
        frequency = theory.spectrum(w)[:, 1 : M // 2 + 1].argmax(axis=1) + 1
        energy.append(((data.Y.T @ (data.X @ w.T) ** 2) ** 2).sum(axis=0) / 2)
        value.append(theory.li2_maxima(M=M, k=np.full_like(frequency, 1) if odd else frequency))
        learned.append(frequency)
    moduli = np.array([[data.modulus] for data in instances])
    return Measurement(energy, value, {"M": moduli, "k": np.array(learned), "start": np.arange(setup.size(40, 400))})


def _repulsion(
    instances: Sequence[RidgeFeatures], setup: Setup, *, whole: bool = False, free: bool = False
) -> Measurement:
    """The columns of ten units; to be sabotaged: its `whole` features in place of f', no decay (`free`) below."""
    measured, claimed, scale = [], [], []
    for p in instances:
        G, residual = theory.ridge_gradient(p.F, p.Y, eta=p.eta), theory.ridge_residual(p.F, p.Y, eta=p.eta)
        for i, f in enumerate(p.F.T[:10]):
            rest = f if whole else theory.ridge_residual(np.delete(p.F, i, axis=1), f, eta=p.eta)
            measured.append(G[:, i])
            claimed.append(residual @ (p.Y.T @ rest) / ((0 if free else p.eta) + f @ rest))
            scale.append(np.full(len(f), abs(G).max()))
    unexplained = theory.li2_repulsion(unexplained=np.concatenate(claimed))
    return Measurement(np.concatenate(measured), unexplained, scale=np.concatenate(scale))


def _ends(data: Addition, target: np.ndarray, w: np.ndarray, steps: int = 100) -> np.ndarray:
    """Frequencies in which units end that climb ``|target^T (X w)^2|^2 / 2`` on the sphere, in steps of its slope."""
    M = data.modulus
    for _ in range(steps):
        h = data.X @ w.T
        slope = 2 * (data.X.T @ (h * (target @ (target.T @ h**2)))).T
        w = w + slope / np.linalg.norm(slope, axis=1, keepdims=True)
        w /= np.linalg.norm(w, axis=1, keepdims=True)
    return theory.spectrum(w)[:, 1 : (M + 1) // 2].argmax(axis=1) + 1


def _missing(instances: Sequence[Addition], setup: Setup, *, eta: float = 1e-3, few: bool = False) -> Measurement:
    """Half of the frequencies learned; to be sabotaged: `eta` of the readout, too `few` learned units."""
    share: list[float] = []
    control: list[float] = []
    for data in instances:
        M = data.modulus
        learned = run_on(setup, "energy_ascent", problems.random_units(M, 20 * M, seed=setup.seed), steps=300)
        frequency = theory.spectrum(learned)[:, 1 : (M + 1) // 2].argmax(axis=1) + 1
        known = frequency <= M // 4
        F = (data.X @ learned[known][: 3 if few else None].T) ** 2
        new = problems.random_units(M, setup.size(100, 1000), seed=setup.seed + 1)
        for target, found in ((theory.ridge_residual(F, data.Y, eta=eta), share), (data.Y, control)):
            found.append(float((_ends(data, target, new) > M // 4).mean()))
    return Measurement(share, theory.li2_missing(), {"M": [data.modulus for data in instances]}, control=control)


def _samples(instances: Sequence[int], setup: Setup, *, few: float = 1.5, many: float = 4.5) -> Measurement:
    """Errors on the pairs left out; to be sabotaged: pairs for training over M ln M, too `few` and enough (`many`)."""
    failed, control = [], []
    for M in instances:
        shares = [c * np.log(M) / M for c in (few, many)] * setup.size(1, 3)
        path = train(M, (128,), shares, SQUARED, at=[setup.size(300, 1000)], device=setup.device, seed=setup.seed)
        errors = 1 - path.test[:, 0].cpu().numpy()
        failed.append(errors[::2])
        control.append(errors[1::2])
    return Measurement(failed, theory.li2_samples(), {"M": np.array(instances)[:, None]}, control=control)


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
        theory.li2_repulsion,
        "random square features",
        _features,
        _repulsion,
        (
            Saboteur("what the other units explain left in", {"whole": True}),
            Saboteur("no decay in the denominator", {"free": True}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.li2_missing,
        "half of all frequencies learned",
        _moduli(11, 13),
        _missing,
        (
            Saboteur("a readout under strong weight decay", {"eta": 1e4}),
            Saboteur("three units for all learned frequencies", {"few": True}),
        ),
    ),
    Experiment(
        theory.li2_samples,
        "addition modulo 17 and more",
        lambda setup: [17] if setup.budget == "quick" else [17, 23, 31, 41],
        _samples,
        (
            Saboteur("three times the pairs", {"few": 4.5}),
            Saboteur("half the pairs in the control", {"many": 2.25}),
        ),
        backends=("kernels",),
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
