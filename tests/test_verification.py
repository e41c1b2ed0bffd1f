"""The rule of every kind of claim at its boundaries, its power, and what `run` makes of an experiment."""

import math
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import lemmata as lm
from lemmata import registry, stats, verification
from lemmata.claims import Assumption, Claim, Source
from lemmata.errors import AssumptionError, DomainError, NonFiniteError, UnknownName
from lemmata.verification import Experiment, Measurement, Saboteur, Setup, choose, decide, rows, run, verify

SOURCE = Source("doe2001", "Doe, Jane", "On toys", "J. Toys", 2001)
#: what each kind needs beyond the common fields
EXTRA = {
    "identity": {},
    "bound": {},
    "mean-bound": {},
    "mean-identity": {"tolerance": 0.05},
    "tail-bound": {"delta": 0.05},
    "rate": {"exponent": 1.0},
    "limit": {"exponent": 1.0, "tolerance": 0.01},
    "demonstration": {},
}
GRID = np.geomspace(10, 1000, 9)


def claim(kind, **changes):
    fields = {
        "id": "toy/claim",
        "kind": kind,
        "quantity": "q",
        "expression": sp.Symbol("n"),
        "symbols": {"n": "size"},
        "assumptions": (),
        "source": SOURCE,
    }
    return Claim(**{**fields, **EXTRA[kind], **changes})


def status(kind, *measurement, dtype="float64", options=None, **fields):
    return decide(claim(kind, **(options or {})), Measurement(*measurement, **fields), dtype=dtype).status


def good(kind):
    """A measurement on which the claim of this kind holds."""
    uniform = np.random.default_rng(0).uniform(size=2000)
    return {
        "identity": Measurement([1.0, 2.0], [1.0, 2.0], scale=[1.0, 2.0]),
        "bound": Measurement([1.0, 2.0], [1.0, 3.0], noise=[0.0, 1e-12]),
        "mean-bound": Measurement(uniform, 0.7, support=(0, 1)),
        "mean-identity": Measurement(uniform, 0.5, support=(0, 1)),
        "tail-bound": Measurement(uniform, 1.5),
        "rate": Measurement(3 / GRID, x=GRID),
        "limit": Measurement(3 / GRID, x=GRID),
        "demonstration": Measurement([3.0, 4.0], 2.0, control=[0.1, 0.2]),
    }[kind]


# ------------------------------------------------------------------------------- a broken run never passes


@pytest.mark.parametrize("kind", EXTRA)
def test_good_data_pass(kind):
    assert decide(claim(kind), good(kind)).status == ("demonstrated" if kind == "demonstration" else "holds")


@pytest.mark.parametrize("kind", EXTRA)
@pytest.mark.parametrize("name", ["measured", "theory", "x", "scale", "noise", "control"])
def test_one_nan_is_an_error(kind, name):
    measurement = good(kind)
    value = getattr(measurement, name)
    values = np.atleast_1d(np.array(0.0 if value is None else value, dtype=float))
    values[-1] = math.nan
    decision = decide(claim(kind), replace(measurement, **{name: values}))
    assert decision.status == "error"
    assert f"1 of {values.size} values of {name} are NaN" in decision.reason


@pytest.mark.parametrize("kind", EXTRA)
def test_nothing_measured_is_an_error(kind):
    decision = decide(claim(kind), replace(good(kind), measured=[]))
    assert (decision.status, decision.reason) == ("error", f"a {kind} needs values of measured")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, "theory") for kind in EXTRA if kind not in ("rate", "limit")),
        ("rate", "x"),
        ("limit", "x"),
        ("demonstration", "control"),
    ],
)
@pytest.mark.parametrize("empty", [None, ()])
def test_a_missing_or_empty_array_is_an_error(kind, name, empty):
    decision = decide(claim(kind), replace(good(kind), **{name: empty}))
    assert (decision.status, decision.reason) == ("error", f"a {kind} needs values of {name}")


@pytest.mark.parametrize("kind", EXTRA)
def test_an_infinite_measurement_never_passes(kind):
    measured = np.array(good(kind).measured, dtype=float)
    one = slice(None) if kind == "tail-bound" else -1  # a single one is a failure like any other there
    measured[one] = math.inf if kind != "demonstration" else -math.inf
    try:
        decision = decide(claim(kind), replace(good(kind), measured=measured))
    except NonFiniteError:  # from a confidence interval: `run` reports an error
        return
    assert decision.status in ("violated", "error", "inconclusive")


# ---------------------------------------------------------------------------------------------- identity


@pytest.mark.parametrize(
    ("left", "right", "fields", "outcome"),
    [
        (1.0 + 0.9e-9, 1.0, {}, "holds"),
        (1.0 + 1.1e-9, 1.0, {}, "violated"),
        (1.0, 1.0 + 1.1e-9, {}, "violated"),
        (0.0, 0.0, {}, "holds"),
        (1e-300, 0.0, {}, "violated"),
        # a small difference of large terms is measured by the terms
        (1e-8, 2e-8, {"scale": 100.0}, "holds"),
        (1e-8, 2e-8, {"scale": 1.0}, "violated"),
        (1.0, 2.0, {"scale": 0.0}, "violated"),
        (0.0, 0.0, {"scale": 0.0}, "holds"),
        (math.inf, math.inf, {}, "violated"),
        (1.0, 2.0, {"scale": math.inf}, "violated"),
        (-1.0, 1.0, {}, "violated"),
    ],
)
def test_identity(left, right, fields, outcome):
    assert status("identity", [left], [right], **fields) == outcome


def test_identity_has_the_claims_tolerance_and_names_the_worst_place():
    measured = np.array([[1.0, 1.001], [1.0, 1.0]])
    decision = decide(claim("identity", tolerance=1e-2), Measurement(measured, 1.0, {"a": [[0], [1]], "b": [5, 6]}))
    assert decision.status == "holds"
    assert decision.at == {"a": 0, "b": 6}
    assert decision.tolerance == 1e-2
    assert decision.ratio == pytest.approx(0.001 / 1.001 / 1e-2, rel=1e-12)  # one quotient of rounded numbers
    tight = decide(claim("identity", tolerance=1e-4), Measurement(measured, 1.0))
    assert tight.status == "violated"
    assert "differ by 0.000999 of the largest term" in tight.reason


# ------------------------------------------------------------------------------------------------- bound


@pytest.mark.parametrize(
    ("direction", "measured", "outcome"),
    [
        ("upper", 2 * (1 + 0.9e-9), "holds"),
        ("upper", 2 * (1 + 1.1e-9), "violated"),
        ("upper", -5.0, "holds"),
        ("lower", 2 * (1 - 0.9e-9), "holds"),
        ("lower", 2 * (1 - 1.1e-9), "violated"),
        ("lower", 5.0, "holds"),
        ("tight", 2 * (1 + 0.9e-9), "holds"),
        ("tight", 2 * (1 - 0.9e-9), "holds"),
        ("tight", 2 * (1 + 1.1e-9), "violated"),
        ("tight", 2 * (1 - 1.1e-9), "violated"),
    ],
)
def test_bound_at_its_rounding_allowance(direction, measured, outcome):
    assert status("bound", [measured], [2.0], options={"direction": direction}) == outcome
    # the sign of both sides turned: upper becomes lower
    mirrored = {"upper": "lower", "lower": "upper", "tight": "tight"}[direction]
    assert status("bound", [-measured], [-2.0], options={"direction": mirrored}) == outcome


@pytest.mark.parametrize(
    ("direction", "measured", "theory", "outcome"),
    [
        ("upper", 5.0, math.inf, "holds"),
        ("upper", 5.0, -math.inf, "violated"),
        ("upper", math.inf, math.inf, "violated"),
        ("lower", 5.0, -math.inf, "holds"),
        ("lower", 5.0, math.inf, "violated"),
        ("lower", -math.inf, -math.inf, "violated"),
        ("tight", 5.0, math.inf, "violated"),
        ("tight", 5.0, -math.inf, "violated"),
        ("tight", math.inf, math.inf, "violated"),
    ],
)
def test_infinite_bounds(direction, measured, theory, outcome):
    assert status("bound", [measured], [theory], options={"direction": direction}) == outcome


def test_bound_names_the_worst_place():
    at = {"row": [[0], [1]], "k": [3, 4]}
    measured, theory = np.array([[0.5, 0.9], [0.1, 0.2]]), np.ones(2)
    decision = decide(claim("bound"), Measurement(measured, theory, at))
    assert (decision.at, decision.ratio, decision.measured, decision.theory) == ({"row": 0, "k": 4}, 0.9, 0.9, 1.0)
    lower = decide(claim("bound", direction="lower"), Measurement(measured, theory, at))
    assert (lower.at, lower.ratio, lower.reason) == ({"row": 1, "k": 3}, 0.1, "4 of 4 values below the bound")
    tight = decide(claim("bound", direction="tight"), Measurement([1.0, 0.5], [1.0, 1.0]))
    assert (tight.ratio, tight.reason) == (0.5, "1 of 2 values below the value")
    above = decide(claim("bound"), Measurement(3 * measured, theory, at))
    assert above.reason == "2 of 4 values above the bound"
    assert above.ratio == pytest.approx(2.7, rel=1e-15)  # 3 * 0.9 is rounded once


def test_a_zero_bound_is_compared_with_the_rounding_of_the_data():
    assert status("bound", [1e-16], [0.0], noise=1e-15) == "holds"
    assert status("bound", [1e-14], [0.0], noise=1e-15) == "violated"
    assert status("bound", [1e-300], [0.0]) == "violated"
    assert status("bound", [0.0], [0.0]) == "holds"
    assert status("bound", [-1e-14], [0.0], noise=1e-15, options={"direction": "lower"}) == "violated"


def test_a_place_below_the_rounding_is_named_only_where_it_fails():
    noise = [1e-12, 0.0]
    holds = decide(claim("bound"), Measurement([1e-13, 0.5], [1e-14, 1.0], {"k": [0, 1]}, noise=noise))
    assert (holds.status, holds.at, holds.ratio) == ("holds", {"k": 1}, 0.5)
    fails = decide(claim("bound"), Measurement([1e-11, 2.0], [1e-14, 1.0], {"k": [0, 1]}, noise=noise))
    assert (fails.status, fails.at) == ("violated", {"k": 0})


def test_an_infinite_allowance_is_an_error():
    decision = decide(claim("bound"), Measurement([5.0], [1.0], noise=math.inf))
    assert (decision.status, decision.reason) == ("error", "an infinite rounding allowance would pass everything")


@pytest.mark.parametrize("kind", ["identity", "bound"])
@pytest.mark.parametrize("tolerance", [None, 1e-12])
def test_float32_has_an_allowance_of_its_own(kind, tolerance):
    options = {"tolerance": tolerance}
    assert status(kind, [1 + 0.9e-4], [1.0], dtype="float32", options=options) == "holds"
    assert status(kind, [1 + 1.1e-4], [1.0], dtype="float32", options=options) == "violated"
    assert status(kind, [1 + 0.9e-4], [1.0], dtype="float64", options=options) == "violated"


@pytest.mark.parametrize("kind", ["identity", "bound"])
def test_a_coarse_tolerance_is_the_claims_in_both_precisions(kind):
    for dtype in ("float64", "float32"):
        assert status(kind, [1.009], [1.0], dtype=dtype, options={"tolerance": 1e-2}) == "holds"
        assert status(kind, [1.02], [1.0], dtype=dtype, options={"tolerance": 1e-2}) == "violated"


@pytest.mark.parametrize("steps", [1, 10, 1000])
def test_one_step_more_than_counted_is_seen_on_a_tight_bound(steps):
    """2/(N+1) against 2/(N+2) differ by 1/(N+2): a million times the allowance at N = 1,000."""
    assert status("bound", [2 / (steps + 2)], [2 / (steps + 1)], options={"direction": "tight"}) == "violated"
    assert status("bound", [2 / (steps + 2)], [2 / (steps + 1)]) == "holds"


# -------------------------------------------------------------------------------------------- mean-bound


def uniform(n, checkpoints=None, seed=0):
    return np.random.default_rng(seed).uniform(size=n if checkpoints is None else (n, checkpoints))


@pytest.mark.parametrize(
    ("direction", "bound", "outcome"),
    [
        ("upper", 0.6, "holds"),
        ("upper", 0.4, "violated"),
        ("upper", 0.5, "inconclusive"),
        ("lower", 0.4, "holds"),
        ("lower", 0.6, "violated"),
        ("lower", 0.5, "inconclusive"),
    ],
)
@pytest.mark.parametrize("support", [(0.0, 1.0), None])
def test_mean_bound(direction, bound, outcome, support):
    """Known range: betting. Unknown range, signed: Student t both ways."""
    decision = decide(claim("mean-bound", direction=direction), Measurement(uniform(4000), bound, support=support))
    assert decision.status == outcome
    assert decision.approximate is (support is None)
    assert decision.level == (1e-3 if support is None else 1e-6)
    assert decision.replicates == 4000
    assert decision.ci[0] <= decision.measured <= decision.ci[1]
    assert decision.ratio == pytest.approx(decision.measured / bound, rel=1e-15)  # the same quotient


@pytest.mark.parametrize("checkpoints", [1, 3])
def test_the_level_is_split_over_the_checkpoints(checkpoints):
    x = uniform(500, checkpoints)
    exact = decide(claim("mean-bound"), Measurement(x, 0.9, support=(0, 1)))
    assert exact.level == 1e-6 / checkpoints
    widest = [stats.betting_interval(c, 0, 1, level=1e-6 / checkpoints) for c in x.T]
    assert exact.ci in [(i.lower, i.upper) for i in widest]
    approximate = decide(claim("mean-bound"), Measurement(x, 0.9))
    assert approximate.level == 1e-3 / checkpoints
    widest = [stats.student_interval(c, level=1e-3 / checkpoints) for c in x.T]
    assert approximate.ci in [(i.lower, i.upper) for i in widest]
    identity = decide(claim("mean-identity", tolerance=0.4), Measurement(x, 0.5, support=(0, 1)))
    assert identity.level == 1e-6 / checkpoints


def test_a_checkpoint_that_fails_is_found_among_many():
    x = uniform(2000, 6) * 0.5
    x[:, 4] = uniform(2000, seed=1)
    measurement = Measurement(x.reshape(2000, 2, 3), 0.4, {"size": [[1], [2]], "arm": [7, 8, 9]}, support=(0, 1))
    decision = decide(claim("mean-bound"), measurement)
    assert (decision.status, decision.at) == ("violated", {"size": 2, "arm": 8})


def evidence(size, bound=1.0):
    """As few replicates of 2 bounds as give at least exp(size) of evidence, and their evidence."""
    n = next(n for n in range(1, 500) if stats.log_e_process(np.full(n, 2 * bound), bound) >= size)
    return np.full(n, 2 * bound), stats.log_e_process(np.full(n, 2 * bound), bound)


def test_nonnegative_samples_are_refuted_by_an_e_process_at_checkpoints_times_a_million():
    x, found = evidence(math.log(1e6))
    assert math.log(1e6) <= found < math.log(4e6)
    assert status("mean-bound", x, 1.0, nonnegative=True) == "violated"
    assert status("mean-bound", x[:-1], 1.0, nonnegative=True) == "inconclusive"
    four = np.tile(x[:, None], 4)
    assert status("mean-bound", four, 1.0, nonnegative=True) == "inconclusive"
    x, _ = evidence(math.log(4e6))
    assert status("mean-bound", np.tile(x[:, None], 4), 1.0, nonnegative=True) == "violated"


def test_what_an_e_process_refutes_is_exact():
    decision = decide(claim("mean-bound"), Measurement(evidence(14.0)[0], 1.0, nonnegative=True))
    assert (decision.status, decision.approximate, decision.level, decision.ci) == ("violated", False, 1e-6, None)


def test_nonnegative_samples_are_accepted_by_a_one_sided_t_limit_from_256_replicates():
    x = np.random.default_rng(0).exponential(size=400)
    decision = decide(claim("mean-bound"), Measurement(x, 1.5, nonnegative=True))
    limit = stats.student_interval(x, level=1e-3, sides=1)
    assert (decision.status, decision.approximate, decision.level) == ("holds", True, 1e-3)
    assert decision.ci == (limit.lower, limit.upper)
    # between the one-sided and the two-sided limit only the first accepts
    between = (limit.upper + stats.student_interval(x, level=1e-3).upper) / 2
    assert status("mean-bound", x, between, nonnegative=True) == "holds"
    assert status("mean-bound", x, between) == "inconclusive"


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("direction", ["upper", "lower"])
@pytest.mark.parametrize("bound", [0.1, 10.0])
def test_255_replicates_of_unknown_range_are_too_few(nonnegative, direction, bound):
    x = 1 + 0.01 * uniform(256)
    many = decide(claim("mean-bound", direction=direction), Measurement(x, bound, nonnegative=nonnegative))
    few = decide(claim("mean-bound", direction=direction), Measurement(x[:255], bound, nonnegative=nonnegative))
    assert many.status == ("holds" if (bound > 1) == (direction == "upper") else "violated")
    if nonnegative and many.status == "violated" and direction == "upper":
        assert few.status == "violated"  # by the e-process, at any sample size
    else:
        assert (few.status, few.reason) == ("inconclusive", "255 replicates; an approximate limit needs 256")


@pytest.mark.parametrize("kind", ["mean-bound", "mean-identity"])
def test_one_replicate_decides_nothing(kind):
    assert status(kind, [0.3], 0.9, support=(0, 1)) == "inconclusive"
    assert status(kind, [0.3], 0.9) == "inconclusive"


def test_samples_outside_their_range_are_refused():
    with pytest.raises(DomainError, match="samples must lie in"):
        decide(claim("mean-bound"), Measurement([0.5, 1.5], 0.9, support=(0, 1)))


@pytest.mark.parametrize(
    ("law", "fields"), [("two-point", {"support": (0, 1)}), ("exponential", {"nonnegative": True})]
)
def test_false_alarms_at_the_boundary_of_the_null(law, fields, monkeypatch):
    """At level .05 over four dependent checkpoints at most 5 % of runs may ever cry violated.

    300 runs at 5 % give more than 29 alarms with probability 1e-4.
    """
    monkeypatch.setattr(verification, "LEVEL", 0.05)
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(300):
        draws = rng.binomial(1, 0.2, (200, 4)) if law == "two-point" else rng.exponential(0.2, (200, 4))
        alarms += status("mean-bound", draws.astype(float), 0.2, **fields) == "violated"
    assert alarms <= 29


def test_power_against_a_mean_a_tenth_too_large():
    x = np.random.default_rng(0).binomial(1, 0.33, 40_000).astype(float)
    assert status("mean-bound", x, 0.30, support=(0, 1)) == "violated"
    assert status("mean-bound", x, 0.36, support=(0, 1)) == "holds"
    skewed = np.random.default_rng(0).exponential(1.1, 40_000)
    assert status("mean-bound", skewed, 1.0, nonnegative=True) == "violated"
    signed = np.random.default_rng(0).normal(0.1, 1, 40_000)
    assert status("mean-bound", signed, 0.0) == "violated"


# ----------------------------------------------------------------------------------------- mean-identity


@pytest.mark.parametrize(
    ("target", "tolerance", "outcome"),
    [
        (0.5, 0.1, "holds"),
        (0.7, 0.1, "violated"),
        (0.3, 0.1, "violated"),
        (0.6, 0.1, "inconclusive"),
        (0.5, 0.001, "inconclusive"),
    ],
)
@pytest.mark.parametrize("support", [(0.0, 1.0), None])
def test_mean_identity(target, tolerance, outcome, support):
    decision = decide(claim("mean-identity", tolerance=tolerance), Measurement(uniform(4000), target, support=support))
    assert decision.status == outcome
    assert decision.approximate is (support is None)
    assert decision.tolerance == tolerance


def test_mean_identity_needs_256_replicates_of_unknown_range():
    x = uniform(256)
    options = {"tolerance": 0.4}
    assert status("mean-identity", x, 0.5, options=options) == "holds"
    assert status("mean-identity", x[:255], 0.5, options=options) == "inconclusive"
    assert status("mean-identity", x[:255], 5.0, options=options) == "inconclusive"
    assert status("mean-identity", x[:255], 0.5, options=options, support=(0, 1)) == "holds"


# -------------------------------------------------------------------------------------------- tail-bound


def test_tail_bound_needs_as_many_replicates_as_confirm_it():
    """ceil(ln 1e6 / -ln .95) = 270 replicates without a failure show P <= .05, 269 do not."""
    assert stats.tail_sample_size(0.05) == 270
    assert status("tail-bound", np.zeros(270), 1.0) == "holds"
    few = decide(claim("tail-bound"), Measurement(np.zeros(269), 1.0))
    assert (few.status, few.reason) == ("inconclusive", "269 replicates; delta 0.05 needs 270")
    # two checkpoints share the level
    shared = decide(claim("tail-bound"), Measurement(np.zeros((270, 2)), 1.0))
    assert (shared.status, shared.reason) == ("inconclusive", "270 replicates; delta 0.05 needs 283")
    two = decide(claim("tail-bound"), Measurement(np.zeros((stats.tail_sample_size(0.05, level=5e-7), 2)), 1.0))
    assert (two.status, two.level) == ("holds", 5e-7)


def failing(share, n=2000):
    return np.arange(n) < share * n


@pytest.mark.parametrize(
    ("share", "outcome"), [(0.01, "holds"), (0.05, "inconclusive"), (0.1, "violated"), (1.0, "violated")]
)
def test_tail_bound(share, outcome):
    upper = decide(claim("tail-bound"), Measurement(failing(share) + 1.0, 1.5))
    lower = decide(claim("tail-bound", direction="lower"), Measurement(-1.0 - failing(share), -1.5))
    for decision in (upper, lower):
        assert decision.status == outcome
        assert decision.measured == share
        assert decision.ratio == share / 0.05
        assert decision.ci == stats.clopper_pearson(int(share * 2000), 2000)[:2]
        assert not decision.approximate


def test_many_failures_refute_even_a_short_run():
    assert status("tail-bound", np.full(20, 2.0), 1.0) == "violated"


def test_a_value_on_the_bound_is_no_failure():
    assert status("tail-bound", np.ones(300), 1.0) == "holds"
    assert status("tail-bound", np.ones(300), 1.0, options={"direction": "lower"}) == "holds"


# ------------------------------------------------------------------------------------------------- rates


def sampled(curve, n=400, spread=0.05, seed=0):
    """Replicates of a curve, each with a multiplicative error of its own at every point."""
    noise = np.random.default_rng(seed).uniform(1 - spread, 1 + spread, (n, len(curve)))
    return curve * noise


CURVES = {
    "1/n": 3 / GRID,
    "1/n^0.5": GRID**-0.5,
    "1/n^2": GRID**-2.0,
    "log(n)/n": np.log(GRID) / GRID,
    "log(n)^2/n": np.log(GRID) ** 2 / GRID,
    "1/n + 1e-3": 1 / GRID + 1e-3,
}
#: (curve, powers of the logarithm divided out) -> outcome of Theta and of O for exponent 1
RATES = [
    ("1/n", 0, "holds", "holds"),
    ("1/n^0.5", 0, "violated", "violated"),
    ("1/n^2", 0, "violated", "holds"),
    ("log(n)/n", 0, "violated", "violated"),
    ("log(n)/n", 1, "holds", "holds"),
    ("log(n)^2/n", 1, "violated", "violated"),
    ("log(n)^2/n", 2, "holds", "holds"),
    ("1/n", 1, "violated", "holds"),
    ("1/n + 1e-3", 0, "violated", "violated"),
]


@pytest.mark.parametrize("make", [np.asarray, sampled], ids=["deterministic", "sampled"])
@pytest.mark.parametrize(("curve", "logs", "theta", "big_o"), RATES)
def test_rate(curve, logs, theta, big_o, make):
    measurement = Measurement(make(CURVES[curve]), x=GRID)
    for order, outcome in (("Theta", theta), ("O", big_o)):
        decision = decide(claim("rate", order=order, logs=logs), measurement)
        assert decision.status == outcome, decision.reason
        assert "on the window 10 to 1000" in decision.reason
        assert decision.approximate is (make is sampled)


def test_an_exponent_outside_the_band_by_a_hundredth_is_refused():
    for exponent, outcome in [(0.96, "holds"), (1.04, "holds"), (0.94, "violated"), (1.06, "violated")]:
        assert status("rate", GRID**-exponent, x=GRID) == outcome
    # O: only a slower decay is refused
    assert status("rate", GRID**-1.06, x=GRID, options={"order": "O"}) == "holds"
    assert status("rate", GRID**-0.94, x=GRID, options={"order": "O"}) == "violated"


def test_a_rate_may_state_its_own_tolerance():
    assert status("rate", GRID**-0.9, x=GRID, options={"tolerance": 0.11}) == "holds"
    assert status("rate", GRID**-0.9, x=GRID, options={"tolerance": 0.09}) == "violated"


def test_a_rate_of_growth_has_a_negative_exponent():
    decision = decide(claim("rate", exponent=-0.5), Measurement(GRID**0.5, x=GRID))
    assert decision.status == "holds"
    assert decision.ratio == pytest.approx(1, abs=1e-12)  # least squares on nine rounded logarithms
    assert status("rate", GRID**0.6, x=GRID, options={"exponent": -0.5, "order": "O"}) == "violated"


def test_a_noisy_curve_is_inconclusive():
    noisy = sampled(3 / GRID, n=200, spread=0.999)
    decision = decide(claim("rate", tolerance=0.02), Measurement(noisy, x=GRID))
    assert decision.status == "inconclusive"
    assert decision.ci[0] < -1 < decision.ci[1]


@pytest.mark.parametrize("make", [np.asarray, sampled], ids=["deterministic", "sampled"])
@pytest.mark.parametrize("order", ["Theta", "O"])
def test_the_last_octave_decides_too(make, order):
    """A curve that turns flat only on its last octave has a slope of -1 as a whole."""
    x = np.geomspace(1, 1024, 21)
    curve = 1 / np.minimum(x, 512)
    assert abs(stats.loglog_slope(x, curve) + 1) < 0.05
    flat = decide(claim("rate", order=order), Measurement(make(curve), x=x))
    assert flat.status == "violated"
    assert decide(claim("rate", order=order), Measurement(make(1 / x), x=x)).status == "holds"


@pytest.mark.parametrize("order", ["Theta", "O"])
@pytest.mark.parametrize(("kink", "outcome"), [(10, "holds"), (30, "violated")])
def test_every_local_slope_of_the_last_half_of_a_deterministic_curve_counts(order, kink, outcome):
    """A step up of 10 % at one point leaves the slope as a whole where it was."""
    x = np.geomspace(1, 1000, 41)
    curve = np.where(np.arange(41) >= kink, 1.1, 1.0) / x
    assert abs(stats.loglog_slope(x, curve) + 1) < 0.05
    assert status("rate", curve, x=x, options={"order": order}) == outcome


def test_theta_asks_for_the_slope_of_the_whole_window_too():
    x = np.geomspace(1, 1000, 13)
    late = np.where(x < 30, x**-0.2 * 30**-0.8, 1 / x)
    assert status("rate", late, x=x) == "violated"
    assert status("rate", late, x=x, options={"order": "O"}) == "holds"


@pytest.mark.parametrize("kind", ["rate", "limit"])
@pytest.mark.parametrize("replicates", [None, 400])
@pytest.mark.parametrize(
    ("grid", "words"),
    [(np.geomspace(1, 1000, 4), "4 points over 3.00 decades"), (np.geomspace(1, 31, 9), "9 points over 1.49 decades")],
)
def test_a_short_grid_decides_nothing(kind, replicates, grid, words):
    for curve in (1 / grid, grid**-0.1):  # neither what fits nor what does not
        measured = curve if replicates is None else sampled(curve, n=replicates)
        decision = decide(claim(kind), Measurement(measured, x=grid))
        assert decision.status == "inconclusive"
        assert words in decision.reason


@pytest.mark.parametrize("kind", ["rate", "limit"])
def test_five_points_over_a_decade_and_a_half_are_enough(kind):
    grid = 100 * np.geomspace(1, 10**1.5, 5)
    assert status(kind, 1 / grid, x=grid) == "holds"


@pytest.mark.parametrize("kind", ["rate", "limit"])
def test_199_replicates_decide_nothing(kind):
    curve = sampled(3 / GRID, n=200)
    assert status(kind, curve, x=GRID) == "holds"
    for few in (curve[:199], curve[:199] * GRID**0.5):
        decision = decide(claim(kind), Measurement(few, x=GRID))
        assert (decision.status, decision.reason) == ("inconclusive", "199 replicates; a bootstrap needs 200")


def test_a_bootstrap_repeats_itself_under_its_seed():
    measurement = Measurement(sampled(3 / GRID), x=GRID)
    first, again, other = (decide(claim("rate"), measurement, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first.ci != other.ci


@pytest.mark.parametrize(
    ("measured", "grid", "words"),
    [
        (1 / GRID[:-1], GRID, "8 values on a grid of 9 points"),
        (np.append(1 / GRID[:-1], 0.0), GRID, "positive finite curve"),
        (-1 / GRID, GRID, "positive finite curve"),
        (np.append(1 / GRID[:-1], np.inf), GRID, "positive finite curve"),
        (1 / GRID, GRID[::-1], "increase strictly"),
        (1 / GRID, np.append(0.0, GRID[1:]), "must be positive"),
        (1 / GRID, np.append(GRID[:-1], GRID[-2]), "increase strictly"),
    ],
)
@pytest.mark.parametrize("kind", ["rate", "limit"])
def test_a_curve_without_a_slope_is_an_error(measured, grid, words, kind):
    decision = decide(claim(kind), Measurement(measured, x=grid))
    assert decision.status == "error"
    assert words in decision.reason


def test_log_factors_need_a_grid_above_one():
    grid = np.geomspace(1, 1000, 9)
    decision = decide(claim("rate", logs=1), Measurement(1 / grid, x=grid))
    assert (decision.status, "starts at 1, not above 1" in decision.reason) == ("error", True)


# ------------------------------------------------------------------------------------------------- limit


@pytest.mark.parametrize("make", [np.asarray, sampled], ids=["deterministic", "sampled"])
@pytest.mark.parametrize(
    ("distance", "outcome"),
    [(3 / GRID, "holds"), (30 / GRID, "violated"), (GRID**-0.5 / 10, "violated"), (1e-3 + 0 * GRID, "violated")],
)
def test_limit_asks_for_the_rate_and_for_the_distance_at_the_largest_size(make, distance, outcome):
    assert status("limit", make(distance), x=GRID) == outcome


def test_limit_needs_the_interval_of_the_last_point_below_its_tolerance():
    curve = sampled(3 / GRID)
    last = curve[:, -1].mean()
    interval = stats.student_interval(curve[:, -1], level=1e-3)
    for tolerance, outcome in [
        (last, "inconclusive"),
        (interval.upper * (1 + 1e-9), "holds"),
        (interval.lower * (1 - 1e-9), "violated"),
    ]:
        assert status("limit", curve, x=GRID, options={"tolerance": tolerance}) == outcome
    # without replicates the distance is what it is
    assert status("limit", 3 / GRID, x=GRID, options={"tolerance": 3 / GRID[-1]}) == "holds"
    assert status("limit", 3 / GRID, x=GRID, options={"tolerance": 2.999 / GRID[-1]}) == "violated"


# ----------------------------------------------------------------------------------------- demonstration


@pytest.mark.parametrize(
    ("failure", "control", "outcome", "words"),
    [
        ([3.0, 2.0], [0.1, 0.2], "demonstrated", ""),
        ([3.0, 1.9], [0.1, 0.2], "violated", "the stated failure was not seen"),
        ([3.0, 2.0], [0.1, 2.0], "violated", "the benign control fails too (2)"),
        ([1.0, 1.0], [3.0, 3.0], "violated", "the stated failure was not seen"),
        ([math.inf, 2.0], [0.1], "demonstrated", ""),
        ([3.0, 2.0], [math.inf], "violated", "the benign control fails too (inf)"),
    ],
)
def test_demonstration(failure, control, outcome, words):
    decision = decide(claim("demonstration"), Measurement(failure, 2.0, {"size": [8, 9]}, control=control))
    assert (decision.status, decision.reason) == (outcome, words)
    if outcome == "demonstrated":
        assert (decision.at, decision.ratio, decision.theory) == ({"size": 9}, 1.0, 2.0)


@pytest.mark.filterwarnings("error")
def test_demonstration_with_a_zero_threshold():
    assert status("demonstration", [0.0, 1.0], 0.0, control=[-1.0]) == "demonstrated"
    assert status("demonstration", [-1e-9, 1.0], 0.0, control=[-1.0]) == "violated"


# ----------------------------------------------------------------------------------------------- running


def experiment(measure=None, *, kind="bound", options=None, **fields):
    """A toy experiment: the measured value is `value`, the bound is 1."""

    def at_most_one(problems, setup, value=0.5):
        return Measurement([value], [1.0])

    defaults = {
        "claim": claim(kind, **(options or {})),
        "instance": "toys",
        "problems": lambda setup: [None],
        "measure": measure or at_most_one,
        "saboteurs": (Saboteur("twice", {"value": 2.0}), Saboteur("a little", {"value": 1.01})),
    }
    return Experiment(**{**defaults, **fields})


def test_a_row_carries_the_decision_and_how_it_was_reached():
    row = run(experiment(), Setup("kernels", "cpu", "float32", "full", 7))
    assert (row.status, row.ratio, row.theory, row.measured, row.tolerance) == ("holds", 0.5, 1.0, 0.5, 1e-4)
    assert (row.backend, row.device, row.dtype, row.budget, row.seed) == ("kernels", "cpu", "float32", "full", 7)
    assert (row.claim, row.family, row.kind, row.instance) == ("toy/claim", "toy", "bound", "toys")
    assert (row.sabotage, [s.name for s in row.saboteurs]) == ("violated", ["twice", "a little"])
    # of the saboteurs caught, the one that came closest to slipping through
    assert row.sabotage_ratio == 1.01
    assert row.seconds > 0


@pytest.mark.parametrize(
    ("values", "outcome"),
    [([2.0, 3.0], "violated"), ([2.0, 0.9], "holds"), ([0.9, math.nan], "error"), ([], None)],
)
def test_sabotage_is_what_the_worst_saboteur_got_away_with(values, outcome):
    saboteurs = tuple(Saboteur(str(v), {"value": v}) for v in values)
    assert run(experiment(saboteurs=saboteurs), Setup()).sabotage == outcome


def test_saboteurs_can_be_left_out():
    row = run(experiment(), Setup(), sabotage=False)
    assert (row.sabotage, row.sabotage_ratio, row.saboteurs) == (None, None, ())


def test_changes_reach_the_measurement_and_not_the_saboteurs():
    row = run(experiment(), Setup(), changes={"value": 3.0})
    assert (row.status, row.measured) == ("violated", 3.0)
    assert [s.ratio for s in row.saboteurs] == [2.0, 1.01]


def test_what_would_be_violated_on_a_quoted_claim_is_inconclusive_and_its_saboteurs_are_caught():
    quoted = experiment(options={"standing": "quoted"})
    wrong = run(quoted, Setup(), changes={"value": 1.5})
    assert wrong.status == "inconclusive"
    assert wrong.reason.startswith("quoted constant")
    assert wrong.ratio == 1.5
    assert wrong.sabotage == "violated"
    assert run(quoted, Setup()).status == "holds"
    # the rule itself is the same for every standing
    assert decide(quoted.claim, Measurement([1.5], [1.0])).status == "violated"


@pytest.mark.parametrize(
    ("error", "reason", "sabotage"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero", "error"),
        (DomainError("L must be > 0, got -1"), "L must be > 0, got -1", "error"),
        # a sabotaged method may diverge, ours may not
        (NonFiniteError("T(x) is inf at k = 3", step=3), "non-finite: T(x) is inf at k = 3", "violated"),
    ],
)
def test_an_experiment_that_raises_is_an_error_with_its_message(error, reason, sabotage):
    def measure(problems, setup, value=0.5):
        raise error

    row = run(experiment(measure), Setup())
    assert (row.status, row.reason, row.sabotage) == ("error", reason, sabotage)
    assert row.ratio is None


def test_an_interruption_is_not_swallowed():
    def measure(problems, setup, value=0.5):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(experiment(measure), Setup())


@pytest.mark.filterwarnings("error")
def test_a_saboteur_may_overflow():
    def measure(problems, setup, value=0.5):
        return Measurement(np.array([value]) * 1e200, [1e200])

    row = run(experiment(measure, saboteurs=(Saboteur("huge", {"value": 1e200}),)), Setup())
    assert (row.status, row.sabotage) == ("holds", "violated")
    assert row.to_json()["sabotage_ratio"] is None


def test_problems_are_checked_unless_a_saboteur_brings_its_own():
    even = Assumption("the size is even", lambda size: f"{size} is odd" if size % 2 else None)

    def measure(problems, setup):
        return Measurement([float(max(problems))], [10.0])

    toys = experiment(
        measure,
        options={"assumptions": (even,)},
        problems=lambda setup: [2, 4],
        saboteurs=(Saboteur("odd", problems=lambda setup: [11]),),
    )
    row = run(toys, Setup())
    assert (row.status, row.sabotage, row.sabotage_ratio) == ("holds", "violated", 1.1)
    broken = run(replace(toys, problems=lambda setup: [2, 3]), Setup())
    assert (broken.status, broken.reason) == ("error", "toy/claim assumes that the size is even: 3 is odd")
    with pytest.raises(AssumptionError):
        toys.claim.check(3)


def test_an_experiment_runs_on_its_own_backends_only():
    with pytest.raises(DomainError, match="toy/claim on toys runs on kernels, not on 'sims'"):
        run(experiment(backends=("kernels",)), Setup())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"backend": "numba"}, "backend must be one of sims, kernels, triton, got 'numba'"),
        ({"budget": "ful"}, "budget must be one of quick, full, got 'ful'"),
        ({"dtype": "float16"}, "dtype must be one of float64, float32, got 'float16'"),
        ({"device": "cuda"}, "the sims backend runs on the cpu, not on 'cuda'"),
        ({"seed": -1}, "seed = -1 lies outside"),
        ({"seed": 2**64}, "seed = 18446744073709551616 lies outside"),
    ],
)
def test_a_setup_is_refused_before_any_work(fields, words):
    with pytest.raises(DomainError, match=words):
        Setup(**fields)
    with pytest.raises(TypeError, match="seed must be an integer"):
        Setup(seed=0.5)


def test_the_budget_chooses_a_size():
    assert (Setup().size(3, 9), Setup(budget="full").size(3, 9)) == (3, 9)


# --------------------------------------------------------------------------- choosing and the Python door


@pytest.fixture
def toys(monkeypatch):
    """A registry with one family: two claims, three experiments, one of them only on kernels."""
    first = experiment()
    made = (
        first,
        replace(first, instance="others", backends=("kernels",)),
        replace(
            first,
            claim=replace(first.claim, id="toy/second"),
            measure=lambda p, s, value=2.0: Measurement([value], [1.0]),
        ),
    )
    monkeypatch.setattr(registry, "families", lambda: ["toy"])
    monkeypatch.setattr(registry, "load", {"toy": made}.__getitem__)
    return made


def test_choose(toys):
    assert choose([], "sims") == ([toys[0], toys[2]], [toys[1]])
    assert choose(["toy/claim"], "kernels") == ([toys[0], toys[1]], [])
    assert choose(["toy/second", "toy", "toy/claim"], "kernels") == ([toys[2], toys[0], toys[1]], [])
    assert choose(["toy"], "triton") == ([], list(toys))
    with pytest.raises(UnknownName, match="no claim is called 'toy/clam'; there is toy/claim"):
        choose(["toy/clam"], "sims")


def test_rows_tell_what_they_are_about_to_do(toys):
    told = []
    done = list(rows(toys[::2], Setup(), progress=lambda e, i: told.append((e.claim.id, i))))
    assert told == [("toy/claim", 0), ("toy/second", 1)]
    assert [row.status for row in done] == ["holds", "violated"]


def test_verify_gives_a_verdict_of_one_row_an_instance(toys):
    verdict = verify("toy/claim", backend="kernels", seed=3)
    assert verdict.status == "holds"
    assert verdict.caught
    assert [(row.instance, row.seed) for row in verdict.rows] == [("toys", 3), ("others", 3)]
    assert verify("toy/second").status == "violated"
    assert lm.verify is verify


def test_verify_takes_one_claim_that_runs_there(toys):
    with pytest.raises(DomainError, match="verify takes one claim, such as 'toy/claim'; 'toy' is a family"):
        verify("toy")
    with pytest.raises(DomainError, match="toy/claim runs on sims, kernels, not on 'triton'"):
        verify("toy/claim", backend="triton")
    with pytest.raises(DomainError, match="backend must be one of"):
        verify("toy/claim", backend="numba")
    with pytest.raises(UnknownName):
        verify("toy/nothing")


@pytest.mark.parametrize("device", ["nope", "meta:x"])
def test_a_device_that_cannot_be_used_is_refused_before_any_work(device):
    with pytest.raises(DomainError, match=f"device '{device}' cannot be used"):
        verification.verify("halpern/residual", backend="kernels", device=device)
