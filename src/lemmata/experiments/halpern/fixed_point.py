"""Experiments on fixed-point iterations: each claim on random, structured and hard operators, with saboteurs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.experiments.halpern.shared import join, library, rounding, start
from lemmata.problems import halpern as problems
from lemmata.problems.halpern import FixedPointProblem, anchor_weights, ohm_weights
from lemmata.theory import halpern as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS", "PROTOCOL"]

#: What `lemmata.testing.assert_claim` can put in place of our iteration.
PROTOCOL = "algorithm(T, x0, steps) -> iterates x_0..x_steps, float64[steps + 1, d]; T maps float64[d] to float64[d]"

SWEEP = range(1, 101)
TIGHT_SIZES = (*SWEEP, 200, 500, 1000)
#: two points an octave over 1.8 decades
RATE_SIZES = np.unique(np.round(64 * 2 ** np.arange(0, 6.5, 0.5)).astype(int))


def _residuals(problem: FixedPointProblem, operator: Any, iterates: np.ndarray) -> dict[str, np.ndarray]:
    """What the simulators record, recomputed from iterates ``[B, step, d]``, and ``||x_k - x*||`` beside it."""
    gap = np.stack([x - operator(x) for x in np.swapaxes(iterates, 0, 1)], axis=1)
    return {
        "residual": np.linalg.norm(gap, axis=2),
        "anchor_product": np.einsum("bkd,bkd->bk", gap, iterates - problem.x0[:, None]),
        "distance": np.linalg.norm(iterates - problem.solution[:, None], axis=2),
    }


def _simulate(
    problem: FixedPointProblem,
    operator: Any,
    setup: Setup,
    steps: int,
    *,
    method: str = "halpern",
    algorithm: Callable[..., Any] | None = None,
    **options: Any,
) -> dict[str, np.ndarray]:
    """Residual and anchor product, float64[B, steps + 1], by our simulator or by a user's algorithm."""
    if algorithm is not None:
        runs = [
            np.asarray(algorithm(operator.row(b), x0.copy(), steps), dtype=np.float64)
            for b, x0 in enumerate(problem.x0)
        ]
        for points in runs:
            if points.shape != (steps + 1, problem.x0.shape[1]):
                raise ValueError(
                    f"the algorithm gave shape {points.shape}, expected {(steps + 1, problem.x0.shape[1])}"
                )
        return _residuals(problem, operator, np.stack(runs))
    # the library's own residual where there is one to read; the distance to x* from its iterates
    trace = getattr(library(setup), method)(operator, start(problem.x0, setup), steps, iterates=True, **options)
    run = _residuals(problem, operator, trace["iterate"].values.astype(np.float64))
    return run | {name: trace[name].values.astype(np.float64) for name in ("residual", "anchor_product")}


#: anchor weights from the number of steps and gamma; those of the optimal method are Halpern's at gamma = 1
Weights = Callable[[int, float], np.ndarray]


def _along(
    instances: Sequence[FixedPointProblem],
    setup: Setup,
    *,
    claim: Claim,
    steps: int,
    only_last: bool = False,
    weights: Weights = ohm_weights,
    algorithm: Callable[..., Any] | None = None,
    shift: int = 0,
    forward: float = 2.0,
) -> Measurement:
    """Residual of Halpern's iteration against the claim, at every step or at k = N of the N-th hard problem.

    `weights`, `shift` (steps missed) and `forward` (the step of ``I - (forward/L) F``) are there to be sabotaged.
    """
    parts = []
    for problem in instances:
        field = not problem.operator.is_map
        operator, factor = problem.operator, 1.0
        values: dict[str, Any] = {}
        if field:
            constant = float(problem.operator.lipschitz.max())
            operator, factor = problem.operator.forward(forward / constant), constant / forward
            values["lipschitz"] = constant
        k = np.arange(steps + 1)
        if "gamma" in problem.at:
            values["gamma"] = float(problem.at["gamma"][0])
        options: dict[str, Any] = {} if algorithm else {"weights": weights(steps, values.get("gamma", 1.0))}
        run = _simulate(problem, operator, setup, steps, algorithm=algorithm, **options)
        measured = factor * run["residual"]
        noise = factor * rounding(setup, problem, k)
        bound = claim(k=k, dist=problem.dist[:, None], **values)
        at: dict[str, Any] = {"k": k, **{name: value[:, None] for name, value in problem.at.items()}}
        if only_last:
            # on the hard problems x_N has a known size too, which the residual cannot tell: it is flat there
            rows, last = np.arange(len(problem.x0)), problem.at["N"]
            twice = (1 + 1 / values.get("gamma", 1.0)) * factor * run["distance"]
            measured = np.stack([measured, twice])[:, rows, last - shift]
            noise, bound, at = (
                noise[rows, last],
                bound[rows, last],
                {"N": last, "of": [["residual"], ["distance to x*"]]},
            )
        parts.append(Measurement(measured, bound, at, noise=noise))
    return join(parts)


def _potential(
    instances: Sequence[FixedPointProblem],
    setup: Setup,
    *,
    steps: int,
    weights: Weights = ohm_weights,
    algorithm: Callable[..., Any] | None = None,
) -> Measurement:
    """-V_{k+1} against -V_k along every run."""
    parts = []
    for problem in instances:
        options: dict[str, Any] = {} if algorithm else {"weights": weights(steps, 1.0)}
        run = _simulate(problem, problem.operator, setup, steps, algorithm=algorithm, **options)
        k = np.arange(steps + 1)
        value = theory.potential(k=k, residual=run["residual"], anchor_product=run["anchor_product"])
        # V_k is a difference of terms of size k^2 residual^2, known to eps of that size
        noise = 100 * np.finfo(setup.dtype).eps * (problem.dist[:, None] ** 2) * (k[1:] + 1)
        at = {"k": k[1:], **{name: v[:, None] for name, v in problem.at.items()}}
        parts.append(Measurement(value[:, 1:], value[:, :-1], at, noise=noise))
    return join(parts)


def _mann(
    instances: Sequence[FixedPointProblem],
    setup: Setup,
    *,
    claim: Claim,
    steps: int,
    only_last: bool = False,
    factor: float = 1.0,
    shift: int = 0,
    algorithm: Callable[..., Any] | None = None,
) -> Measurement:
    """Residual of Krasnoselskii-Mann against its bound; the step is a coordinate of the problem.

    `factor` (on the step) and `shift` (steps missed) are there to be sabotaged.
    """
    parts = []
    for problem in instances:
        g = float(problem.at["step"][0])
        k = np.arange(steps + 1)
        if algorithm is not None:
            run = _simulate(problem, problem.operator, setup, steps, algorithm=partial(algorithm, step=g))
        else:
            run = _simulate(
                problem,
                problem.operator,
                setup,
                steps,
                method="krasnoselskii_mann",
                step=min(factor * g, 1 - 1e-9),
            )
        measured, noise = run["residual"], rounding(setup, problem, k)
        bound = claim(k=k, dist=problem.dist[:, None], step=g)
        at = {"k": k, **{name: value[:, None] for name, value in problem.at.items()}}
        if only_last:
            rows, last = np.arange(len(problem.x0)), problem.at["N"]
            measured, noise, bound = measured[rows, last - shift], noise[rows, last], bound[rows, last]
            at = {"N": last, "step": problem.at["step"]}
        parts.append(Measurement(measured, bound, at, noise=noise))
    return join(parts)


def _inexact(
    instances: Sequence[FixedPointProblem],
    setup: Setup,
    *,
    steps: int,
    decay: float,
    true_decay: float | None = None,
) -> Measurement:
    """Residual with errors of norm ``0.1 (j+1)^-decay``, random or always in one direction.

    `true_decay` is there to be sabotaged: the errors made are then not those accounted for.
    """
    parts = []
    k = np.arange(steps + 1)
    for problem in instances:
        rng = np.random.default_rng(setup.seed + 1)
        shape = (len(problem.x0), steps, problem.x0.shape[1])
        direction = rng.standard_normal(shape)
        direction[::2] = direction[::2, :1]  # in half of the rows the errors never average out
        direction /= np.linalg.norm(direction, axis=2, keepdims=True)
        made = 0.1 * (k[1:] ** -(decay if true_decay is None else true_decay))
        claimed = 0.1 * k[1:] ** -decay
        run = _simulate(problem, problem.operator, setup, steps, errors=direction * made[:, None])
        weighted = np.concatenate([[0], np.cumsum(k[1:] * claimed)])
        bound = theory.inexact_residual(k=k, dist=problem.dist[:, None], weighted_error=weighted)
        at = {"k": k, **{name: value[:, None] for name, value in problem.at.items()}}
        parts.append(Measurement(run["residual"], bound, at, noise=rounding(setup, problem, k)))
    return join(parts)


def _epochs(
    instances: Sequence[FixedPointProblem], setup: Setup, *, epochs: int, stretch: float = 1.0, restart: bool = True
) -> Measurement:
    """Residual at the restarts over the first one; `stretch` (of the epoch) and `restart` are to be sabotaged."""
    parts = []
    for problem in instances:
        length = int(np.ceil(stretch * np.ceil(2 * np.e / problem.at["alpha"][0])))
        at = length * np.arange(epochs + 1)
        x0, steps = start(problem.x0, setup), int(at[-1])
        period = length if restart else steps + 1
        trace = library(setup).restarted(problem.operator, x0, steps, period=period, at=at)
        residual = trace["residual"].values.astype(np.float64)
        first, epoch = residual[:, :1], np.arange(1, epochs + 1)
        where = {"epoch": epoch, "alpha": problem.at["alpha"][:, None]}
        noise = rounding(setup, problem, length) / first
        bound = theory.restart_contraction(epoch=epoch)
        parts.append(Measurement(residual[:, 1:] / first, bound, where, noise=noise))
    return join(parts)


def _envelope(
    instances: Sequence[FixedPointProblem], setup: Setup, *, method: str, sizes: np.ndarray, **options: Any
) -> Measurement:
    """Largest residual over the batch at each size: one deterministic curve."""
    (problem,) = instances
    steps = int(sizes[-1])
    if "weights" in options:
        options = {**options, "weights": options["weights"](steps, 1.0)}
    run = getattr(library(setup), method)(problem.operator, start(problem.x0, setup), steps, at=sizes, **options)
    return Measurement(run["residual"].values.astype(np.float64).max(axis=0), x=sizes)


# -------------------------------------------------------------------------------------------- instances


def _with_step(problem: FixedPointProblem, step: float) -> FixedPointProblem:
    rows = len(problem.x0)
    at = {**problem.at, "step": np.full(rows, step)}
    return FixedPointProblem(problem.name, problem.operator, problem.x0, problem.solution, at)


def _random(setup: Setup) -> list[FixedPointProblem]:
    batch = setup.size(16, 64)
    return [
        problems.random_nonexpansive(batch, 6, stages, seed=1_000 * setup.seed + i)
        for i, stages in enumerate(setup.size(1, 4) * (1, 2, 3, 4, 5, 3))
    ]


def _rotations(setup: Setup, gain: float = 1.0) -> list[FixedPointProblem]:
    return [problems.rotations(setup.size(64, 1024), 6, gain=gain, seed=setup.seed)]


def _steps(
    base: Callable[[Setup], list[FixedPointProblem]], *steps: float
) -> Callable[[Setup], list[FixedPointProblem]]:
    return lambda setup: [_with_step(p, g) for p in base(setup) for g in steps]


def _sweep(setup: Setup) -> list[FixedPointProblem]:
    return [problems.halpern_hard(SWEEP)]


def _tight(setup: Setup) -> list[FixedPointProblem]:
    return [problems.halpern_hard(TIGHT_SIZES)]


def _huber(sizes: Sequence[int]) -> Callable[[Setup], list[FixedPointProblem]]:
    return lambda setup: [problems.halpern_hard(sizes, lipschitz=3.0)]


def _fields(setup: Setup) -> list[FixedPointProblem]:
    return [problems.random_cocoercive(setup.size(32, 256), 8, lipschitz=2.0, seed=setup.seed)]


def _mann_hard(*steps: float, last_branch: bool = False) -> Callable[[Setup], list[FixedPointProblem]]:
    def make(setup: Setup) -> list[FixedPointProblem]:
        made = []
        for g in steps:
            sizes = np.arange(1, 101)
            first = g <= (1 + np.sqrt(sizes / (sizes + 1))) / 2
            made.append(_with_step(problems.km_hard(sizes[~first if last_branch else first].tolist(), g), g))
        return made

    return make


GAMMAS = (1.001, 1.1, 2.0)


def _contractions(setup: Setup, gain: float = 1.0) -> list[FixedPointProblem]:
    made = []
    for i, gamma in enumerate(GAMMAS):
        p = problems.random_nonexpansive(setup.size(32, 256), 6, 2, seed=1_000 * setup.seed + i)
        at = {**p.at, "gamma": np.full(len(p.x0), gamma)}
        made.append(FixedPointProblem("random contractions", p.operator.scale(gain / gamma), p.x0, p.solution, at))
    return made


def _contractive_hard(setup: Setup) -> list[FixedPointProblem]:
    # beyond these sizes delta is below the rounding of x_0
    return [problems.ohm_hard(range(1, n + 1), g) for g, n in zip(GAMMAS, (100, 60, 12), strict=True)]


def _planar(setup: Setup) -> list[FixedPointProblem]:
    """Rotations of the plane by 400 angles: what the worst of them does is the envelope."""
    angles = np.geomspace(1e-4, np.pi, 400)
    return [
        FixedPointProblem(
            "planar rotations", problems.Operator.rotation(angles[:, None]), np.tile([1.0, 0.0], (400, 1)), np.zeros(2)
        )
    ]


def _sharp(setup: Setup, gain: float = 1.0) -> list[FixedPointProblem]:
    """Rotations of the plane, whose sharpness is ``2 sin(theta/2)``; their epochs differ, so one a problem."""
    made = []
    for theta in (0.02, 0.05, 0.1, 0.3, 1.0):
        operator = problems.Operator.rotation([theta], gain=gain)
        at = {"alpha": np.array([2 * np.sin(theta / 2)])}
        made.append(FixedPointProblem("sharp rotations", operator, np.array([1.0, 0.0]), np.zeros(2), at))
    return made


# ------------------------------------------------------------------------------------------- saboteurs


def _anchor(shift: int = 2, numerator: int = 1, power: float = 1.0) -> dict[str, Any]:
    return {"weights": lambda steps, gamma: anchor_weights(steps, shift=shift, numerator=numerator) ** power}


ONE_STEP_BEHIND = Saboteur("anchor weights 1/(k+1)", _anchor(shift=1))
HEAVY_ANCHOR = Saboteur("anchor weights 2/(k+3)", _anchor(shift=3, numerator=2))
LIGHT_ANCHOR = Saboteur("anchor weights 1/(k+3)", _anchor(shift=3))
NO_ANCHOR = Saboteur("no anchor", {"weights": lambda steps, gamma: np.zeros(steps)})
HALPERN_WEIGHTS = Saboteur("anchor weights of gamma = 1", _anchor())
EXPANSIVE = Saboteur("expansive operator, constant 1.03", problems=partial(_rotations, gain=1.03))
EXPANSIVE_CONTRACTION = Saboteur("constant 1.03/gamma", problems=lambda setup: _contractions(setup, gain=1.03))
ONE_STEP_FEWER = Saboteur("one step fewer than counted", {"shift": 1})

EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.residual,
        "random operators",
        _random,
        partial(_along, claim=theory.residual, steps=80),
        (NO_ANCHOR, EXPANSIVE),
        protocol=PROTOCOL,
    ),
    Experiment(
        theory.residual,
        "rotations",
        _rotations,
        partial(_along, claim=theory.residual, steps=200),
        (NO_ANCHOR, EXPANSIVE),
        protocol=PROTOCOL,
    ),
    Experiment(
        theory.residual,
        "sweep of hard problems",
        _sweep,
        partial(_along, claim=theory.residual, steps=200),
        (ONE_STEP_BEHIND, HEAVY_ANCHOR, NO_ANCHOR, EXPANSIVE),
        protocol=PROTOCOL,
    ),
    Experiment(
        theory.residual_tight,
        "sweep of hard problems",
        _tight,
        partial(_along, claim=theory.residual_tight, steps=1000, only_last=True),
        (ONE_STEP_BEHIND, HEAVY_ANCHOR, LIGHT_ANCHOR, NO_ANCHOR, ONE_STEP_FEWER),
        protocol=PROTOCOL,
    ),
    Experiment(
        theory.potential,
        "random operators",
        _random,
        partial(_potential, steps=80),
        (ONE_STEP_BEHIND, HEAVY_ANCHOR, LIGHT_ANCHOR, NO_ANCHOR, EXPANSIVE),
        protocol=PROTOCOL,
    ),
    Experiment(
        theory.km_residual,
        "random operators",
        _steps(_random, 0.5, 0.75, 0.95),
        partial(_mann, claim=theory.km_residual, steps=80),
        (
            Saboteur("no averaging", {"factor": 2.0}),
            Saboteur("expansive operator, constant 1.03", problems=_steps(partial(_rotations, gain=1.03), 0.5)),
        ),
        protocol=PROTOCOL.replace("steps)", "steps, step)"),
    ),
    Experiment(
        theory.km_residual_tight,
        "hard rotations, first branch",
        _mann_hard(0.5, 0.6, 0.75),
        partial(_mann, claim=theory.km_residual_tight, steps=100, only_last=True),
        (ONE_STEP_FEWER, Saboteur("step 1 % too large", {"factor": 1.01})),
    ),
    Experiment(
        theory.km_residual_tight,
        "half turn, second branch",
        _mann_hard(0.98, 0.995, last_branch=True),
        partial(_mann, claim=theory.km_residual_tight, steps=100, only_last=True),
        (ONE_STEP_FEWER, Saboteur("step 1 % too small", {"factor": 0.99})),
    ),
    Experiment(
        theory.cocoercive_residual,
        "random fields",
        _fields,
        partial(_along, claim=theory.cocoercive_residual, steps=100),
        (NO_ANCHOR, Saboteur("forward step 3/L", {"forward": 3.0})),
        protocol=PROTOCOL,
    ),
    Experiment(
        theory.cocoercive_residual,
        "sweep of Huber gradients",
        _huber(SWEEP),
        partial(_along, claim=theory.cocoercive_residual, steps=200),
        (ONE_STEP_BEHIND, HEAVY_ANCHOR, NO_ANCHOR, Saboteur("forward step 3/L", {"forward": 3.0})),
        protocol=PROTOCOL,
    ),
    Experiment(
        theory.cocoercive_residual_tight,
        "sweep of Huber gradients",
        _huber(TIGHT_SIZES),
        partial(_along, claim=theory.cocoercive_residual_tight, steps=1000, only_last=True),
        (ONE_STEP_BEHIND, HEAVY_ANCHOR, LIGHT_ANCHOR, NO_ANCHOR, ONE_STEP_FEWER),
        protocol=PROTOCOL,
    ),
    Experiment(
        theory.ohm_residual,
        "random contractions",
        _contractions,
        partial(_along, claim=theory.ohm_residual, steps=60),
        (NO_ANCHOR, EXPANSIVE_CONTRACTION),
        protocol=PROTOCOL,
    ),
    Experiment(
        theory.ohm_residual_tight,
        "sweep of hard contractions",
        _contractive_hard,
        partial(_along, claim=theory.ohm_residual_tight, steps=100, only_last=True),
        (HALPERN_WEIGHTS, NO_ANCHOR, ONE_STEP_FEWER),
        protocol=PROTOCOL,
    ),
    *(
        Experiment(
            theory.inexact_residual,
            f"{name}, errors decaying like j^-{decay:g}",
            make,
            partial(_inexact, steps=200, decay=decay),
            (Saboteur("errors that do not decay", {"true_decay": 0.0}), EXPANSIVE),
        )
        for name, make, decay in (("rotations", _rotations, 2.0), ("random operators", _random, 1.5))
    ),
    Experiment(
        theory.restart_contraction,
        "sharp rotations",
        _sharp,
        partial(_epochs, epochs=6),
        (
            Saboteur("never restarted", {"restart": False}),
            Saboteur("epochs a quarter as long", {"stretch": 0.25}),
            Saboteur("expansive operator, constant 1.03", problems=partial(_sharp, gain=1.03)),
        ),
    ),
    Experiment(
        theory.rate,
        "planar rotations",
        _planar,
        partial(_envelope, method="halpern", sizes=RATE_SIZES),
        (NO_ANCHOR, Saboteur("anchor weights (k+2)^-1/2", _anchor(power=0.5))),
    ),
    Experiment(
        theory.km_rate,
        "planar rotations",
        _planar,
        partial(_envelope, method="krasnoselskii_mann", sizes=RATE_SIZES),
        (
            Saboteur("no averaging", {"step": 1 - 1e-9}),
            Saboteur("an anchor, so Halpern's rate", {"method": "halpern"}),
        ),
    ),
)
