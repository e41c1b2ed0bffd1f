"""StableMax, orthogonal gradients, and where softmax ends in each arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.experiments.learning_dynamics.shared import run_on
from lemmata.problems import learning_dynamics as problems
from lemmata.problems.learning_dynamics import CollapseCase, WeightUpdate
from lemmata.theory.learning_dynamics import stability as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

#: gaps are tried in steps of
STEP = 0.01


def _logits(setup: Setup) -> list[np.ndarray]:
    rng = np.random.default_rng(setup.seed)
    return [scale * rng.standard_normal((20, 7)) for scale in (0.1, 1.0, 100.0)]


def _stablemax(instances: Sequence[np.ndarray], setup: Setup, *, shift: float = 0.0) -> Measurement:
    """`shift` of all logits, which softmax would not see, is to be sabotaged."""
    found = [run_on(setup, "stablemax", x + shift) for x in instances]
    return Measurement(found, theory.stablemax_softmax(softmax=[theory.softmax_of_logarithms(x) for x in instances]))


def _tail(instances: Sequence[float], setup: Setup, *, softmax: bool = False) -> Measurement:
    x = np.zeros((len(instances), 113))
    x[:, 0] = instances
    e = np.exp(x / max(instances) * 30)  # far from underflow
    p = e / e.sum(axis=1, keepdims=True) if softmax else run_on(setup, "stablemax", x)
    return Measurement(p[:, 1:].sum(axis=1), x=np.array(instances))


def _updates(setup: Setup) -> list[WeightUpdate]:
    return problems.random_updates(setup.size(20, 500), seed=setup.seed)


def _perp(setup: Setup, p: WeightUpdate, renormalize: bool) -> np.ndarray:
    return run_on(setup, "perp_grad", p.w, p.g, renormalize=renormalize)


def _orthogonal(instances: Sequence[WeightUpdate], setup: Setup, *, unit: bool = False) -> Measurement:
    """`unit` (the division by <w, w> forgotten) is to be sabotaged."""
    inner, size = [], []
    for p in instances:
        for renormalize in (False, True):
            found = p.g - (p.w * p.g).sum() * p.w if unit else _perp(setup, p, renormalize)
            inner.append((p.w * found).sum())
            size.append(np.linalg.norm(p.w) * np.linalg.norm(p.g))
    return Measurement(inner, theory.perp_orthogonality(), {"size": size}, scale=size)


def _growth(instances: Sequence[WeightUpdate], setup: Setup, *, wrong: str = "") -> Measurement:
    """To be sabotaged: the "gradient" itself in the step, or a "rescaled" g⊥ with the growth of the plain one."""
    length, claimed = [], []
    for p in instances:
        plain = _perp(setup, p, False)
        step = {"": plain, "gradient": p.g, "rescaled": _perp(setup, p, True)}[wrong]
        length.append(((p.w - p.eta * step) ** 2).sum())
        claimed.append(theory.perp_growth(w2=(p.w**2).sum(), eta=p.eta, p2=(plain**2).sum()))
    return Measurement(length, claimed)


def _collapse(
    instances: Sequence[CollapseCase], setup: Setup, *, claim: Claim, bits: int = 0, one: bool = False
) -> Measurement:
    """Thresholds by case; to be sabotaged: `bits` added to the claim's, `one` (class in place of C - 1)."""
    from lemmata.sims.learning_dynamics import softmax_loss

    gap = np.arange(1.0, 60.0, STEP)
    found, claimed = [], []
    for case in instances:
        alive = softmax_loss(case.logits(gap), order=case.order) > 0
        found.append(gap[np.flatnonzero(alive)[-1] + 1])
        values: dict[str, Any] = {"p": case.bits + bits}
        if claim is theory.collapse_upper:
            values["C"] = 2 if one else case.classes
        claimed.append(claim(**values))
    at = {"bits": [case.bits for case in instances], "C": [case.classes for case in instances]}
    # one step of the grid, and the rounding of a logit in half precision near 12
    noise = [STEP + np.finfo(case.precision).eps * 12 for case in instances]
    return Measurement(found, claimed, at, noise=noise)


def _cases(setup: Setup) -> list[CollapseCase]:
    return [
        CollapseCase(precision, classes, order)
        for precision in ("float16", "float32", "float64")
        for classes in (2, 10, 113)
        for order in ("pairwise", "sequential")
    ]


def _upper(instances: Sequence[CollapseCase], setup: Setup, **changes: Any) -> Measurement:
    return _collapse(instances, setup, claim=theory.collapse_upper, **changes)


def _lower(instances: Sequence[CollapseCase], setup: Setup, **changes: Any) -> Measurement:
    return _collapse(instances, setup, claim=theory.collapse_lower, **changes)


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.stablemax_softmax,
        "random logits",
        _logits,
        _stablemax,
        (Saboteur("logits less a constant, as for softmax", {"shift": -0.01}),),
    ),
    Experiment(
        theory.stablemax_tail,
        "113 classes",
        lambda setup: [1e3, 1e4, 1e5, 1e6, 1e7],
        _tail,
        (Saboteur("softmax", {"softmax": True}),),
    ),
    Experiment(
        theory.perp_orthogonality,
        "random weights and gradients",
        _updates,
        _orthogonal,
        (Saboteur("the division by <w, w> forgotten", {"unit": True}),),
    ),
    Experiment(
        theory.perp_growth,
        "random weights and gradients",
        _updates,
        _growth,
        (
            Saboteur("a step along the gradient", {"wrong": "gradient"}),
            Saboteur("rescaled to the length of g", {"wrong": "rescaled"}),
        ),
    ),
    Experiment(
        theory.collapse_upper,
        "half, single and double precision",
        _cases,
        _upper,
        (
            Saboteur("one bit fewer", {"bits": -1}),
            Saboteur("one class in place of C - 1", {"one": True}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.collapse_lower,
        "half, single and double precision",
        _cases,
        _lower,
        (Saboteur("one bit more", {"bits": 1}),),
        backends=("sims",),
    ),
)
