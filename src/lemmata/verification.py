"""Run an experiment, decide a verdict.

An experiment pairs a claim with problems, a measurement and saboteurs. `decide` turns a measurement into a
decision by the rule of the claim's kind; `run` adds the saboteurs, each of which must come out ``violated``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np

from lemmata import registry, stats
from lemmata.claims import Claim, Row, SaboteurResult, Verdict, worst
from lemmata.errors import DomainError, LemmataError, NonFiniteError
from lemmata.random import check_seed
from lemmata.typing import Backend, Budget, Status

__all__ = [
    "Decision",
    "Experiment",
    "Measurement",
    "Saboteur",
    "Setup",
    "check_device",
    "choose",
    "decide",
    "rows",
    "run",
    "verify",
]

#: Error probability of an exact confidence statement, and of an approximate one.
LEVEL, APPROXIMATE_LEVEL = 1e-6, 1e-3
#: Replicates below which an approximate interval decides nothing, and a bootstrap neither.
MIN_REPLICATES, MIN_BOOTSTRAP = 256, 200
#: Relative rounding allowance of a pointwise comparison.
ROUNDING = {"float64": 1e-9, "float32": 1e-4}
#: A rate is fitted on at least so many points over at least so many decades.
MIN_POINTS, MIN_DECADES = 5, 1.5


@dataclass(frozen=True)
class Setup:
    """How an experiment is run: backend, device, dtype, budget ("quick" or "full") and seed."""

    backend: Backend = "sims"
    device: str = "cpu"
    dtype: str = "float64"
    budget: Budget = "quick"
    seed: int = 0

    def __post_init__(self) -> None:
        words = {"backend": get_args(Backend), "dtype": tuple(ROUNDING), "budget": get_args(Budget)}
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise DomainError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.backend == "sims" and self.device != "cpu":
            raise DomainError(f"the sims backend runs on the cpu, not on {self.device!r}: use the kernels backend")
        check_seed(self.seed)

    def size(self, quick: int, full: int) -> int:
        """The size that the budget allows."""
        return quick if self.budget == "quick" else full


@dataclass(frozen=True, eq=False)
class Measurement:
    """What an experiment measured, beside what the claim says at the same places.

    Attributes
    ----------
    measured : array_like
        float. ``identity``, ``bound``: one value a place, any shape. ``mean-*``: samples ``[replicate, ...]``.
        ``tail-bound``: samples of the quantity ``[replicate, ...]``, compared with `theory`.
        ``rate``, ``limit``: ``[grid]`` for a deterministic curve, ``[replicate, grid]`` for a sampled one
        (for a limit: the distance to the limit). ``demonstration``: one value a place, where the failure is
        expected.
    theory : array_like or None
        The claim's value at each place; None for a rate or limit.
    at : mapping of str to array_like
        Coordinates of the places, each broadcastable to their shape.
    x : array_like or None
        Grid of a rate or limit.
    scale : array_like or None
        Largest term of an identity, at each place; by default the larger of its two sides.
    noise : float or array_like
        Absolute rounding allowance of a bound, where theory falls below the rounding of the data.
    support : (float, float) or None
        Range that the samples of a mean cannot leave, where it is known.
    nonnegative : bool
        Whether the samples of a mean are known to be >= 0.
    control : array_like or None
        ``demonstration``: the same quantity on the benign control, which must stay below `theory`.
    """

    measured: Any
    theory: Any = None
    at: Mapping[str, Any] = field(default_factory=dict)
    x: Any = None
    scale: Any = None
    noise: Any = 0.0
    support: tuple[float, float] | None = None
    nonnegative: bool = False
    control: Any = None


@dataclass(frozen=True)
class Decision:
    """Outcome of one rule on one measurement; the fields of `lemmata.claims.Row` of the same names."""

    status: Status
    reason: str = ""
    at: dict[str, Any] = field(default_factory=dict)
    theory: float | None = None
    measured: float | None = None
    ratio: float | None = None
    ci: tuple[float, float] | None = None
    level: float | None = None
    approximate: bool = False
    tolerance: float | None = None
    replicates: int = 1


@dataclass(frozen=True, eq=False)
class Saboteur:
    """One small defect that a person could make, or one broken assumption.

    Attributes
    ----------
    name : str
    changes : mapping
        Keyword arguments that reach the experiment's `measure`.
    problems : callable or None
        ``problems(setup)``: problems that break an assumption, used in place of the experiment's own and not
        checked against the claim.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    problems: Callable[[Setup], Sequence[Any]] | None = None


@dataclass(frozen=True, eq=False)
class Experiment:
    """A claim on an instance: how it is measured and how it could be refuted.

    Attributes
    ----------
    claim : Claim
    instance : str
        Name of the family of problems; a claim has one row for each.
    problems : callable
        ``problems(setup) -> sequence`` of problems; each is checked against the claim's assumptions.
    measure : callable
        ``measure(problems, setup, **changes) -> Measurement``.
    saboteurs : tuple of Saboteur
    backends : tuple of str
        Backends on which the quantity can be measured.
    protocol : str
        Signature of a user's algorithm that `lemmata.testing.assert_claim` can put in place of ours; empty
        where none can be.
    """

    claim: Claim
    instance: str
    problems: Callable[[Setup], Sequence[Any]]
    measure: Callable[..., Measurement]
    saboteurs: tuple[Saboteur, ...]
    backends: tuple[Backend, ...] = ("sims", "kernels")
    protocol: str = ""


# ------------------------------------------------------------------------------------------- the rules


def decide(claim: Claim, measurement: Measurement, *, dtype: str = "float64", seed: int = 0) -> Decision:
    """Decide a claim on a measurement by the rule of its kind.

    The decision is about the measurement alone: a quoted claim is decided like any other here, and `run`
    reports what would be ``violated`` as ``inconclusive``.

    Parameters
    ----------
    claim : Claim
    measurement : Measurement
    dtype : {"float64", "float32"}
        Arithmetic in which the quantity was measured; it sets the rounding allowance.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    Decision
        ``error`` where an array of the measurement holds a NaN, is empty, or is missing: a NaN never passes.
    """
    arrays: dict[str, Any] = {}
    for name in ("measured", "theory", "x", "scale", "noise", "control"):
        given = getattr(measurement, name)
        if given is not None:
            arrays[name] = np.asarray(given, dtype=np.float64)
    needed = {"rate": ("x",), "limit": ("x",), "demonstration": ("theory", "control")}.get(claim.kind, ("theory",))
    for name in ("measured", *needed):
        if name not in arrays or arrays[name].size == 0:
            return Decision("error", f"a {claim.kind} needs values of {name}")
    for name, values in arrays.items():
        if np.isnan(values).any():
            return Decision("error", f"{int(np.isnan(values).sum())} of {values.size} values of {name} are NaN")
    if np.isinf(arrays["noise"]).any():
        return Decision("error", "an infinite rounding allowance would pass everything")
    return _RULES[claim.kind](claim, replace(measurement, **arrays), dtype, seed)


def _allowance(claim: Claim, dtype: str) -> float:
    """Relative rounding allowance: the claim's own, but never below what the arithmetic can do."""
    if claim.tolerance is None:
        return ROUNDING[dtype]
    return max(claim.tolerance, ROUNDING[dtype]) if dtype == "float32" else claim.tolerance


def _place(measurement: Measurement, where: int, shape: tuple[int, ...]) -> dict[str, Any]:
    index = np.unravel_index(where, shape)
    return {name: np.broadcast_to(np.asarray(v), shape)[index].item() for name, v in measurement.at.items()}


def _identity(claim: Claim, m: Measurement, dtype: str, seed: int) -> Decision:
    tolerance = _allowance(claim, dtype)
    left, right = np.broadcast_arrays(m.measured, m.theory)
    scale = np.maximum(np.abs(left), np.abs(right)) if m.scale is None else np.broadcast_to(m.scale, left.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(left == right, 0.0, np.abs(left - right) / scale)
    # sides that overflowed agree on nothing
    error = np.where(np.isfinite(left) & np.isfinite(right) & np.isfinite(scale), error, np.inf)
    i = int(error.argmax())
    return Decision(
        "holds" if error.flat[i] <= tolerance else "violated",
        "" if error.flat[i] <= tolerance else f"the sides differ by {error.flat[i]:.3g} of the largest term",
        _place(m, i, left.shape),
        float(right.flat[i]),
        float(left.flat[i]),
        float(error.flat[i] / tolerance),
        tolerance=tolerance,
    )


def _bound(claim: Claim, m: Measurement, dtype: str, seed: int) -> Decision:
    allowance = _allowance(claim, dtype)
    q, b, noise = np.broadcast_arrays(m.measured, m.theory, m.noise)
    slack = allowance * np.where(np.isfinite(b), np.abs(b), 0.0) + noise
    # a value that overflowed lies beyond every bound, an infinite one included
    over = (q > b + slack) | (q == np.inf)
    under = (q < b - slack) | (q == -np.inf)
    wrong = {"upper": over, "lower": under, "tight": over | under}[claim.direction]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(q == b, 1.0, q / b)
    # below the rounding of the data a ratio says nothing: such a place is named only when it fails
    off = {"upper": ratio, "lower": -ratio, "tight": np.abs(ratio - 1)}[claim.direction]
    blind = np.abs(b) <= noise
    i = int(
        (
            np.where(wrong, np.where(blind, np.inf, off), -np.inf) if wrong.any() else np.where(blind, -np.inf, off)
        ).argmax()
    )
    reason = ""
    if wrong.any():
        side = "above" if over.flat[i] else "below"
        reason = (
            f"{int(wrong.sum())} of {wrong.size} values {side} the {'value' if claim.direction == 'tight' else 'bound'}"
        )
    return Decision(
        "violated" if wrong.any() else "holds",
        reason,
        _place(m, i, q.shape),
        float(b.flat[i]),
        float(q.flat[i]),
        float(ratio.flat[i]),
        tolerance=allowance,
    )


def _columns(m: Measurement) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Samples as [replicate, checkpoint], theory as [checkpoint], and the checkpoints' shape."""
    shape = m.measured.shape[1:]
    return m.measured.reshape(len(m.measured), -1), np.broadcast_to(m.theory, shape).reshape(-1), shape


def _gather(m: Measurement, shape: tuple[int, ...], parts: list[Decision], lower_side: bool) -> Decision:
    """The gravest of the checkpoints' decisions; among equals the one whose ratio is nearest to trouble."""
    gravest = worst(p.status for p in parts)
    sign = -1.0 if lower_side else 1.0

    def danger(i: int) -> float:
        ratio = parts[i].ratio
        return -np.inf if ratio is None else sign * ratio

    i = max((i for i, p in enumerate(parts) if p.status == gravest), key=danger)
    return replace(parts[i], at=_place(m, i, shape))


def _mean_interval(x: np.ndarray, m: Measurement, checkpoints: int, sides: int) -> stats.Interval:
    if m.support is not None:
        return stats.betting_interval(x, *m.support, level=LEVEL / checkpoints)
    return stats.student_interval(x, level=APPROXIMATE_LEVEL / checkpoints, sides=sides)


def _mean_bound(claim: Claim, m: Measurement, dtype: str, seed: int) -> Decision:
    samples, bounds, shape = _columns(m)
    n, checkpoints = samples.shape
    lower_side = claim.direction == "lower"
    parts = []
    for x, bound in zip(samples.T, bounds, strict=True):
        if n < 2:
            parts.append(Decision("inconclusive", f"{n} replicate; an interval needs 2", replicates=n))
            continue
        interval = _mean_interval(x, m, checkpoints, sides=2)
        mean = float(x.mean())
        values: dict[str, Any] = {
            "theory": float(bound),
            "measured": mean,
            "ratio": mean / bound if bound else None,
            "ci": (interval.lower, interval.upper),
            "level": interval.level,
            "approximate": interval.approximate,
            "replicates": n,
        }
        safe = interval.lower >= bound if lower_side else interval.upper <= bound
        broken = interval.upper < bound if lower_side else interval.lower > bound
        if m.support is None and m.nonnegative and not lower_side and bound > 0:
            # q >= 0 with no known range: an e-process refutes at any stopping time, a t limit accepts
            one_sided = stats.student_interval(x, level=APPROXIMATE_LEVEL / checkpoints, sides=1)
            safe, values["ci"] = one_sided.upper <= bound, (one_sided.lower, one_sided.upper)
            broken = bool(stats.log_e_process(x, bound) >= np.log(checkpoints / LEVEL))
            if broken:
                values |= {"ci": None, "level": LEVEL / checkpoints, "approximate": False}
        if values["approximate"] and n < MIN_REPLICATES:
            reason = f"{n} replicates; an approximate limit needs {MIN_REPLICATES}"
            parts.append(Decision("inconclusive", reason, **values))
        elif broken:
            parts.append(Decision("violated", f"the mean is {'below' if lower_side else 'above'} the bound", **values))
        elif safe:
            parts.append(Decision("holds", **values))
        else:
            parts.append(Decision("inconclusive", "the interval contains the bound: more replicates", **values))
    return _gather(m, shape, parts, lower_side)


def _mean_identity(claim: Claim, m: Measurement, dtype: str, seed: int) -> Decision:
    assert claim.tolerance is not None
    samples, targets, shape = _columns(m)
    n, checkpoints = samples.shape
    parts = []
    for x, target in zip(samples.T, targets, strict=True):
        if n < (2 if m.support is not None else MIN_REPLICATES):
            parts.append(Decision("inconclusive", f"{n} replicates are too few", replicates=n))
            continue
        interval = _mean_interval(x, m, checkpoints, sides=2)
        low, high = target - claim.tolerance, target + claim.tolerance
        values: dict[str, Any] = {
            "theory": float(target),
            "measured": float(x.mean()),
            "ratio": abs(float(x.mean()) - target) / claim.tolerance,
            "ci": (interval.lower, interval.upper),
            "level": interval.level,
            "approximate": interval.approximate,
            "tolerance": claim.tolerance,
            "replicates": n,
        }
        if interval.lower > high or interval.upper < low:
            parts.append(Decision("violated", "the interval of the mean is disjoint from the value", **values))
        elif low <= interval.lower and interval.upper <= high:
            parts.append(Decision("holds", **values))
        else:
            parts.append(Decision("inconclusive", "the interval leaves the tolerance: more replicates", **values))
    return _gather(m, shape, parts, lower_side=False)


def _tail_bound(claim: Claim, m: Measurement, dtype: str, seed: int) -> Decision:
    assert claim.delta is not None
    samples, bounds, shape = _columns(m)
    n, checkpoints = samples.shape
    level = LEVEL / checkpoints
    needed = stats.tail_sample_size(claim.delta, level=level)
    parts = []
    for x, bound in zip(samples.T, bounds, strict=True):
        failures = int((x < bound).sum() if claim.direction == "lower" else (x > bound).sum())
        interval = stats.clopper_pearson(failures, n, level=level)
        values: dict[str, Any] = {
            "theory": claim.delta,
            "measured": failures / n,
            "ratio": failures / n / claim.delta,
            "ci": (interval.lower, interval.upper),
            "level": level,
            "replicates": n,
        }
        if interval.lower > claim.delta:
            parts.append(Decision("violated", f"{failures} failures in {n}", **values))
        elif n < needed:
            parts.append(Decision("inconclusive", f"{n} replicates; delta {claim.delta:g} needs {needed}", **values))
        elif interval.upper <= claim.delta:
            parts.append(Decision("holds", **values))
        else:
            parts.append(Decision("inconclusive", "the interval contains delta: more replicates", **values))
    return _gather(m, shape, parts, lower_side=False)


def _rate(claim: Claim, m: Measurement, dtype: str, seed: int) -> Decision:
    assert claim.exponent is not None
    tolerance = claim.tolerance if claim.tolerance is not None and claim.kind == "rate" else 0.05
    return _slope(claim, m, tolerance, seed)


def _slope(claim: Claim, m: Measurement, tolerance: float, seed: int) -> Decision:
    assert claim.exponent is not None
    x, curves = m.x, np.atleast_2d(m.measured)
    if x.ndim != 1 or x[0] <= 0 or (np.diff(x) <= 0).any():
        return Decision("error", "the grid of a rate must be positive and increase strictly")
    if curves.shape[1] != x.size:
        return Decision("error", f"{curves.shape[1]} values on a grid of {x.size} points")
    if claim.logs and x.min() <= 1:
        return Decision("error", f"log factors on a grid that starts at {x.min():g}, not above 1")
    curves = curves / np.log(x) ** claim.logs if claim.logs else curves
    sampled = np.ndim(m.measured) == 2
    n = len(curves) if sampled else 1
    decades = float(np.log10(x.max() / x.min()))
    mean = curves.mean(axis=0)
    base: dict[str, Any] = {"theory": -claim.exponent, "tolerance": tolerance, "replicates": n}
    window = f"on the window {x.min():g} to {x.max():g}"
    if x.size < MIN_POINTS or decades < MIN_DECADES - 1e-9:
        reason = f"{x.size} points over {decades:.2f} decades; a rate needs {MIN_POINTS} over {MIN_DECADES}"
        return Decision("inconclusive", reason, **base)
    if not (np.isfinite(mean).all() and (mean > 0).all()):
        return Decision("error", "a rate is fitted to a positive finite curve", **base)

    if sampled and n < MIN_BOOTSTRAP:
        return Decision("inconclusive", f"{n} replicates; a bootstrap needs {MIN_BOOTSTRAP}", **base)
    octave = x >= x.max() / 2
    if octave.sum() < 2:
        octave = np.arange(x.size) >= x.size - 2
    if sampled:
        whole = stats.slope_interval(x, curves, level=APPROXIMATE_LEVEL, seed=seed)
        last = stats.slope_interval(x[octave], curves[:, octave], level=APPROXIMATE_LEVEL, seed=seed)
        intervals = [(whole.lower, whole.upper), (last.lower, last.upper)]
        base |= {"level": APPROXIMATE_LEVEL, "approximate": True}
    else:
        # a deterministic curve has no sampling error: every local slope of the last half must lie in the band
        slope = float(stats.loglog_slope(x, mean))
        local = stats.local_slopes(x, mean)[(x.size - 1) // 2 :]
        intervals = [(slope, slope), *((float(s), float(s)) for s in local)]
        if claim.order == "O":
            intervals = intervals[1:]  # only the growth at the end is claimed
    low, high = -claim.exponent - tolerance, -claim.exponent + tolerance
    if claim.order == "O":
        good = [b <= high for _, b in intervals]
        bad = [a > high for a, _ in intervals]
    else:
        good = [low <= a and b <= high for a, b in intervals]
        bad = [b < low or a > high for a, b in intervals]
    slope = float(stats.loglog_slope(x, mean))
    base |= {
        "measured": slope,
        "ratio": slope / -claim.exponent if claim.exponent else None,
        "ci": (min(a for a, _ in intervals), max(b for _, b in intervals)) if not sampled else intervals[0],
    }
    status: Status = "violated" if any(bad) else "holds" if all(good) else "inconclusive"
    if status == "holds":
        return Decision(status, window, **base)
    a, b = intervals[bad.index(True) if any(bad) else good.index(False)]
    exponent = f"{a:.3f}" if a == b else f"[{a:.3f}, {b:.3f}]"
    return Decision(status, f"exponent {exponent} against [{low:.3f}, {high:.3f}] {window}", **base)


def _limit(claim: Claim, m: Measurement, dtype: str, seed: int) -> Decision:
    assert claim.tolerance is not None
    decision = _slope(claim, m, 0.05, seed)
    if decision.measured is None or decision.status == "violated":
        return decision  # without a slope there were too few points or replicates to say anything
    last = np.atleast_2d(m.measured)[:, -1]
    lower = upper = float(last.mean())
    if decision.approximate:
        lower, upper, *_ = stats.student_interval(last, level=APPROXIMATE_LEVEL)
    if upper <= claim.tolerance:
        return decision
    reason = f"distance {last.mean():.3g} at the largest size, tolerance {claim.tolerance:g}"
    return replace(decision, status="violated" if lower > claim.tolerance else "inconclusive", reason=reason)


def _demonstration(claim: Claim, m: Measurement, dtype: str, seed: int) -> Decision:
    failure, threshold = np.broadcast_arrays(m.measured, m.theory)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(failure == threshold, 1.0, failure / threshold)
    i = int(ratio.argmin())
    values: dict[str, Any] = {
        "at": _place(m, i, failure.shape),
        "theory": float(threshold.flat[i]),
        "measured": float(failure.flat[i]),
        "ratio": float(ratio.flat[i]),
    }
    if not (failure >= threshold).all():
        return Decision("violated", "the stated failure was not seen", **values)
    if not (m.control < threshold.min()).all():
        return Decision("violated", f"the benign control fails too ({m.control.max():.3g})", **values)
    return Decision("demonstrated", **values)


_RULES: dict[str, Callable[[Claim, Measurement, str, int], Decision]] = {
    "identity": _identity,
    "bound": _bound,
    "mean-bound": _mean_bound,
    "mean-identity": _mean_identity,
    "tail-bound": _tail_bound,
    "rate": _rate,
    "limit": _limit,
    "demonstration": _demonstration,
}


# ---------------------------------------------------------------------------------------------- running


def _measure(experiment: Experiment, setup: Setup, saboteur: Saboteur | None, changes: Mapping[str, Any]) -> Decision:
    own = experiment.problems if saboteur is None or saboteur.problems is None else saboteur.problems
    problems = own(setup)
    if saboteur is None:
        for problem in problems:
            experiment.claim.check(problem)
    with np.errstate(over="ignore"):  # a saboteur may grow without bound; infinity is above every bound
        measurement = experiment.measure(problems, setup, **changes)
    return decide(experiment.claim, measurement, dtype=setup.dtype, seed=setup.seed)


def run(
    experiment: Experiment,
    setup: Setup,
    *,
    changes: Mapping[str, Any] | None = None,
    sabotage: bool = True,
) -> Row:
    """Run one experiment and its saboteurs.

    Parameters
    ----------
    experiment : Experiment
    setup : Setup
    changes : mapping, optional
        Keyword arguments for the experiment's `measure` (an algorithm of the user's, for instance).
    sabotage : bool
        Whether to run the saboteurs too.

    Returns
    -------
    Row
        ``error`` with the message as `reason` where the experiment raised one of lemmata's errors or any other
        exception.

    Raises
    ------
    DomainError
        Where the experiment does not run on the setup's backend.
    """
    claim = experiment.claim
    if setup.backend not in experiment.backends:
        raise DomainError(
            f"{claim.id} on {experiment.instance} runs on {', '.join(experiment.backends)}, not on {setup.backend!r}"
        )
    start = time.perf_counter()
    decision = _attempt(lambda: _measure(experiment, setup, None, changes or {}))
    results = []
    for saboteur in experiment.saboteurs if sabotage else ():
        # a sabotaged method that diverges past the numbers of its arithmetic is as wrong as one can be
        d = _attempt(lambda s=saboteur: _measure(experiment, setup, s, s.changes), diverged="violated")  # type: ignore[misc]
        results.append(SaboteurResult(saboteur.name, d.status, d.ratio, d.reason))
    ratios = [r.ratio for r in results if r.ratio is not None]
    if claim.standing == "quoted" and decision.status == "violated":
        decision = replace(decision, status="inconclusive", reason=f"quoted constant; {decision.reason}")
    return Row(
        claim=claim.id,
        family=claim.family,
        kind=claim.kind,
        standing=claim.standing,
        source=str(claim.source),
        instance=experiment.instance,
        quantity=claim.quantity,
        status=decision.status,
        reason=decision.reason,
        at=decision.at,
        theory=decision.theory,
        measured=decision.measured,
        ratio=decision.ratio,
        ci=decision.ci,
        level=decision.level,
        approximate=decision.approximate,
        tolerance=decision.tolerance,
        sabotage=_least_caught(results) if results else None,
        sabotage_ratio=min(ratios, key=lambda r: abs(r - 1)) if ratios else None,
        replicates=decision.replicates,
        seconds=time.perf_counter() - start,
        backend=setup.backend,
        device=setup.device,
        dtype=setup.dtype,
        seed=setup.seed,
        budget=setup.budget,
        saboteurs=tuple(results),
    )


def _least_caught(results: Sequence[SaboteurResult]) -> Status:
    """ "violated" when every saboteur was caught, else what the worst of them got away with."""
    missed: list[Status] = [r.status for r in results if r.status != "violated"]
    return worst(missed) if missed else "violated"


def _attempt(measure: Callable[[], Decision], diverged: Status = "error") -> Decision:
    try:
        return measure()
    except NonFiniteError as error:
        return Decision(diverged, f"non-finite: {error}")
    except LemmataError as error:
        return Decision("error", str(error))
    except Exception as error:  # the table must say that one experiment broke, and show the others
        return Decision("error", f"{type(error).__name__}: {error}")


def check_device(device: str) -> None:
    """Refuse a torch device on which nothing can be allocated, with `DomainError`."""
    import torch

    try:
        torch.empty(1, device=device)
    except Exception as error:  # torch raises whatever its build can: RuntimeError, AssertionError
        raise DomainError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None


def choose(names: Sequence[str], backend: Backend) -> tuple[list[Experiment], list[Experiment]]:
    """Experiments of some claims or families that run on a backend, and those that do not.

    Parameters
    ----------
    names : sequence of str
        Claim ids or families; empty for every family.
    backend : str

    Raises
    ------
    UnknownName
        Where a name is unknown.
    """
    named = [e for name in names or registry.families() for e in registry.experiments(name)]
    every = list(dict.fromkeys(named))  # a claim named twice runs once
    return [e for e in every if backend in e.backends], [e for e in every if backend not in e.backends]


def rows(
    experiments: Sequence[Experiment],
    setup: Setup,
    *,
    progress: Callable[[Experiment, int], None] | None = None,
) -> Iterator[Row]:
    """Run experiments one after the other, a row each; ``progress(experiment, done)`` is called before each."""
    for i, experiment in enumerate(experiments):
        if progress is not None:
            progress(experiment, i)
        yield run(experiment, setup)


def verify(
    claim: str,
    *,
    budget: Budget = "quick",
    backend: Backend = "sims",
    device: str = "cpu",
    dtype: str = "float64",
    seed: int = 0,
) -> Verdict:
    """Run the experiments of one claim and return the verdict.

    Parameters
    ----------
    claim : str
        Claim id, ``family/kebab-case``.
    budget : {"quick", "full"}
    backend : {"sims", "kernels", "triton"}
    device : str
        Torch device of the ``kernels`` and ``triton`` backends.
    dtype : {"float64", "float32"}
    seed : int
        Seed of every random draw; the same seed gives the same verdict.

    Returns
    -------
    Verdict

    Raises
    ------
    UnknownName
        Where no claim has this id.
    DomainError
        Where the claim has no experiment on this backend, or the device cannot be used.
    """
    setup = Setup(backend, device, dtype, budget, seed)
    if backend != "sims":
        check_device(device)
    able, unable = choose([claim], backend)
    if "/" not in claim:
        raise DomainError(f"verify takes one claim, such as {(able + unable)[0].claim.id!r}; {claim!r} is a family")
    if not able:
        raise DomainError(f"{claim} runs on {', '.join(unable[0].backends)}, not on {backend!r}")
    return Verdict(able[0].claim, tuple(run(e, setup) for e in able))
