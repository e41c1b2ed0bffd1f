"""Logistic regression with large steps against the perceptron, iteration bounds, and the paper's table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lemmata.experiments.learning_dynamics.shared import run_on
from lemmata.problems import learning_dynamics as problems
from lemmata.problems.learning_dynamics import Separable, StepRule
from lemmata.theory.learning_dynamics import perceptron as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

Data = Callable[[Setup], list[Separable]]


def _random(setup: Setup) -> list[Separable]:
    shapes = ((20, 2), (60, 5), (200, 10), (1000, 3))
    sets = setup.size(2, 20)
    return [
        problems.random_separable(n, d, seed=setup.seed * 1000 + 10 * i + j)
        for i in range(sets)
        for j, (n, d) in enumerate(shapes)
    ]


def _flipped(setup: Setup) -> list[Separable]:
    """Twenty points in the plane, the first one opposite the mean of the others: 0 is between them."""
    points = _random(setup)[0].points.copy()
    points[0] = -points[1:].mean(axis=0)
    return [Separable(points)]


def _steps(setup: Setup, data: Separable, gamma: Sequence[float], rule: StepRule, most: float) -> np.ndarray:
    """Steps until separation; a run that needs more than `most` counts as one more."""
    points, end = np.repeat(data.points[None], len(gamma), axis=0), math.floor(most)
    found = run_on(setup, "separation_steps", points, np.array(gamma), rule=rule, most=end, on_fail="return")
    return np.minimum(found, end + 1)


def _path(setup: Setup, data: Separable, gamma: float, steps: int) -> np.ndarray:
    return run_on(setup, "separation_path", data.points[None], np.array([gamma]), rule="plain", steps=steps)[0]


# ------------------------------------------------------------------------------------------- the limit


def _limit(instances: Sequence[Separable], setup: Setup, *, large: float = 100.0, first: float = 0.5) -> Measurement:
    """Paths until the perceptron is done; `large` (gamma) and `first` (its weight at the start) to be sabotaged."""
    measured, claimed, scale = [], [], []
    for data in instances:
        steps = int(_steps(setup, data, [math.inf], "plain", most=400)[0])
        perceptron = _path(setup, data, math.inf, steps)
        sides = abs(perceptron[1:-1] @ data.points.T) if steps > 1 else np.ones(1)
        found = _path(setup, data, large / sides.min(), steps)
        expected = (perceptron + (first / 0.5 - 1) * perceptron[1])[1:]  # all start at 0
        measured.append(found[1:].ravel())
        claimed.append(expected.ravel())
        scale.append(np.full(expected.size, abs(expected).max()))
    limit = theory.logistic_perceptron(perceptron=np.concatenate(claimed))
    return Measurement(np.concatenate(measured), limit, scale=np.concatenate(scale))


def _spike(instances: Sequence[Separable], setup: Setup, *, gammas: Sequence[float] = (10, 1e2, 1e4)) -> Measurement:
    """Loss after one step; the step sizes are to be sabotaged."""
    (data,) = instances

    def loss(gamma: float) -> float:
        path = _path(setup, data, gamma, 2)
        solved = bool((data.points @ path[2] > 0).all())
        return float(np.logaddexp(0, -gamma * data.points @ path[1]).mean()) if solved else 0.0

    control = [loss(gamma) for gamma in (0.1, 1.0)]
    return Measurement([loss(g) for g in gammas], theory.logistic_spike(), {"gamma": gammas}, control=control)


# -------------------------------------------------------------------------------------------- bounds


def _data(data: Separable, without: int, wide: Callable[[float], float]) -> dict[str, float]:
    """R and mu; to be sabotaged: points `without` which mu is taken, and what stands for it."""
    return {"R": data.radius, "mu": wide(theory.margin(data.points[without:]))}


def _perceptron(
    instances: Sequence[Separable],
    setup: Setup,
    *,
    rule: StepRule = "plain",
    points: bool = True,
    without: int = 0,
    wide: Callable[[float], float] = float,
) -> Measurement:
    """Steps of the perceptron, or of its `rule` normalized, up to twice the bound.

    To be sabotaged: `points` (the factor n of the bound), `without` and `wide` (see `_data`).
    """
    n = np.array([len(data.points) for data in instances])
    bounds = [
        float(theory.perceptron_bound(n=len(data.points) if points else 1, **_data(data, without, wide)))
        for data in instances
    ]
    found = [_steps(setup, data, [math.inf], rule, 2 * bound)[0] for data, bound in zip(instances, bounds, strict=True)]
    return Measurement(found, bounds, {"n": n})


def _normalized(
    instances: Sequence[Separable], setup: Setup, *, rule: StepRule = "normalized", **changes: Any
) -> Measurement:
    """The normalized perceptron; its `rule` and the `changes` are to be sabotaged."""
    return _perceptron(instances, setup, rule=rule, points=False, **changes)


GAMMAS = (0.1, 1.0, 10.0, 100.0)


def _logistic(
    instances: Sequence[Separable],
    setup: Setup,
    *,
    rule: StepRule = "normalized",
    claimed: float = 1.0,
    without: int = 0,
    wide: Callable[[float], float] = float,
) -> Measurement:
    """Normalized descent with all step sizes, up to twice the largest bound.

    To be sabotaged: `rule`, `claimed` (factor of gamma in the bound), `without` and `wide` (see `_data`).
    """
    found, bounds = [], []
    for data in instances:
        known, gamma = _data(data, without, wide), claimed * np.array(GAMMAS)
        bounds.append(theory.normalized_logistic_bound(n=len(data.points), gamma=gamma, **known))
        found.append(_steps(setup, data, GAMMAS, rule, 2 * bounds[-1].max()))
    return Measurement(found, bounds, {"gamma": np.array(GAMMAS)})


def _growth(instances: Sequence[Separable], setup: Setup, *, rule: StepRule = "plain") -> Measurement:
    found = [_steps(setup, data, [math.inf], rule, most=4000)[0] for data in instances]
    return Measurement(found, x=[len(data.points) for data in instances])


def _table(instances: Sequence[Separable], setup: Setup, *, late: int = 0) -> Measurement:
    """The printed rows; `late` (steps counted too many) is to be sabotaged."""
    (data,) = instances
    plain = _steps(setup, data, [100.0], "plain", most=400)
    found = np.append(plain, _steps(setup, data, [100.0, 10.0, 1.0, 0.1], "normalized", most=400))
    return Measurement(found + late, theory.logistic_table(printed=[308, 2, 2, 16, 157]))


def _worst(*sizes: int) -> Data:
    return lambda setup: [problems.worst_case(n) for n in sizes]


def _opposed(setup: Setup) -> list[Separable]:
    return [problems.nearly_opposed(e) for e in (0.1, 0.05, 0.02)]


UNSEPARABLE = Saboteur("one more point, which cannot be separated from the others", {"without": 1}, problems=_flipped)

EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.logistic_perceptron,
        "random separable points",
        lambda setup: [problems.random_separable(55, 3, seed=setup.seed * 100 + i) for i in range(setup.size(4, 40))],
        _limit,
        (
            Saboteur("a first step of weights 1", {"first": 1.0}),
            Saboteur("a step size 20 times smaller", {"large": 5.0}),
        ),
    ),
    Experiment(
        theory.logistic_spike,
        "two points",
        lambda setup: [problems.two_points()],
        _spike,
        (
            Saboteur("small steps", {"gammas": (0.2, 0.5)}),
            Saboteur("points that agree", problems=lambda setup: [Separable(np.array([[1.0, 0.1], [1.0, 4.0]]))]),
        ),
    ),
    Experiment(
        theory.perceptron_bound,
        "random separable points",
        _random,
        _perceptron,
        (UNSEPARABLE,),
        backends=("sims",),
    ),
    Experiment(
        theory.perceptron_bound,
        "one point against n - 1",
        _worst(10, 100, 1000),
        _perceptron,
        (Saboteur("the bound without its factor n", {"points": False}),),
        backends=("sims",),
    ),
    Experiment(
        theory.perceptron_bound,
        "two points nearly opposed",
        _opposed,
        _perceptron,
        (Saboteur("the square of the margin missed", {"wide": math.sqrt}),),
        backends=("sims",),
    ),
    Experiment(
        theory.perceptron_worst_case,
        "one point against n - 1",
        _worst(100, 215, 464, 1000, 2154, 4642),
        _growth,
        (Saboteur("moved by the mean over misclassified points", {"rule": "normalized"}),),
        backends=("sims",),
    ),
    Experiment(
        theory.normalized_perceptron_bound,
        "one point against n - 1",
        _worst(10, 100, 1000),
        _normalized,
        (Saboteur("1/n of the sum over misclassified points", {"rule": "plain"}),),
        backends=("sims",),
    ),
    Experiment(
        theory.normalized_perceptron_bound,
        "random separable points",
        _random,
        _normalized,
        (UNSEPARABLE,),
        backends=("sims",),
    ),
    Experiment(
        theory.normalized_perceptron_bound,
        "two points nearly opposed",
        _opposed,
        _normalized,
        (Saboteur("the width of the gap, twice the margin", {"wide": lambda mu: 2 * mu}),),
        backends=("sims",),
    ),
    Experiment(
        theory.normalized_logistic_bound,
        "one point against n - 1",
        _worst(10, 100),
        _logistic,
        (
            Saboteur("not normalized", {"rule": "plain"}),
            Saboteur("the bound of the perceptron at every step size", {"claimed": 1e9}),
        ),
    ),
    Experiment(
        theory.normalized_logistic_bound,
        "random separable points",
        _random,
        _logistic,
        (UNSEPARABLE,),
        backends=("sims",),
    ),
    Experiment(
        theory.normalized_logistic_bound,
        "two points nearly opposed",
        _opposed,
        _logistic,
        (Saboteur("the width of the gap, twice the margin", {"wide": lambda mu: 2 * mu}),),
        backends=("sims",),
    ),
    Experiment(
        theory.logistic_table,
        "one point against 999",
        _worst(1000),
        _table,
        (
            Saboteur("one point fewer in a hundred", problems=_worst(990)),
            Saboteur("iterates counted in place of steps", {"late": 1}),
        ),
    ),
)
