"""Worst-case certificates: they equal the closed forms, they are proofs, and nothing simulated beats them."""

import dataclasses
import functools
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lemmata.errors import DomainError, NonFiniteError, NotConverged, ShapeError, UnknownName
from lemmata.theory.halpern import certificates
from lemmata.theory.halpern.certificates import METHODS, Certificate, certify, formula, prove, step_matrix

# Worst cases for N = 1..10 from another formulation (primal, Gram matrix over x_0, T x_0, ..., T x_N).
TABLE = {
    "halpern": "1.0 .44444444 .25 .16 .11111111 .08163265 .06250000 .04938272 .04 .03305785",
    "km .5": "1.0 .59259259 .42187499 .32768 .26791837 .22661111 .19634790 .17321966 .15496819 .14019752",
    "km .75": ("1.33333333 .79012346 .5625 .43690666 .35722449 .30214814 .26179724 .23095957 .20662417 .18693002"),
    "ohm 1.1": (".82644628 .33265743 .16921158 .09778397 .06122273 .04049298 .02786849 .01976456 .01434884 .01061323"),
    "ohm 2": ".25 .04591837 .01 .00234131 .00056689 .00013950 .00003460 .00000862 .00000215 .00000054",
    "algorithm-1": ".8 .714286 .659341 .617647 .583333 .553846 .527859 .504587 .483516 .464286",
    "eg": ".812500 .674098 .561532 .465655 .383012 .317400 - .232451 .203840 .181030",
    "eag-c": ".984619 .971188 .955337 .937122 .916670 .894160 .869764 .843655 .816008 .786999",
    "eag-v": ".763942 .678137 .577451 .467977 .368080 .289543 .232765 .190411 .158297 .133775",
    "feg": "2.000000 1.000000 .444444 .25 .16 .111111 .081633 .0625 .049383 .04",
}
# A table entry is a rounded solver value: 1e-8 or 1e-6 by its digits, and 1e-5 for the solver behind it.
CASES = [
    pytest.param(column, steps, float(entry), id=f"{column}-N{steps}")
    for column, entries in TABLE.items()
    for steps, entry in enumerate(entries.split(), start=1)
    if entry != "-"
]
CLOSED = [(c, n) for c in ("halpern", "km .5", "km .75", "ohm 1.1", "ohm 2", "algorithm-1") for n in range(1, 11)]
CLOSED += [("halpern-cocoercive", n) for n in range(1, 6)] + [("feg", n) for n in range(1, 11)]


@functools.cache
def certificate(column: str, steps: int) -> Certificate:
    method, keywords = keywords_of(column)
    return certify(method, steps, **keywords)


def keywords_of(column: str) -> tuple[str, dict[str, float]]:
    method, _, number = column.partition(" ")
    return method, {{"km": "step", "ohm": "gamma"}[method]: float(number)} if number else {}


def close_to(value: float, expected: float) -> bool:
    """The accuracy that is promised: 1e-5 relative or 1e-8 absolute, whichever is larger."""
    return abs(value - expected) <= max(1e-5 * expected, 1e-8)


# ------------------------------------------------------------------------------------------- the values


@pytest.mark.parametrize(("column", "steps", "entry"), CASES)
def test_value_agrees_with_independent_table(column, steps, entry):
    digits = 1e-8 if column.split()[0] in ("halpern", "km", "ohm") else 1e-6
    assert abs(certificate(column, steps).value - entry) <= max(1e-5 * entry, digits)


@pytest.mark.parametrize(("column", "steps"), CLOSED)
def test_value_and_certified_bound_equal_closed_form(column, steps):
    found = certificate(column, steps)
    assert found.formula is not None
    assert close_to(found.value, found.formula)
    # theta is twice what is needed, so `certified` is further away, but only by rounding-sized amounts
    assert found.formula * (1 - 1e-12) <= found.certified
    assert found.certified - found.formula <= max(1e-5 * found.formula, 1e-7)
    assert abs(found.gap) <= 1e-8
    assert found.infeasibility <= 1e-8
    assert found.status in ("optimal", "optimal_inaccurate")


def test_km_second_branch():
    found = certify("km", 3, step=0.98)
    assert close_to(found.value, 3.13103116)
    assert found.formula == pytest.approx(4 * (2 * 0.98 - 1) ** 6, rel=1e-14)
    # (g-1)^{2N}, another form of this branch that is in print, is far away
    assert not close_to(found.value, 4 * (0.98 - 1) ** 6)


def test_km_branches_meet():
    edge = (1 + math.sqrt(3 / 4)) / 2
    below, above = formula("km", 3, step=edge * (1 - 1e-12)), formula("km", 3, step=edge * (1 + 1e-12))
    assert below == pytest.approx(above, rel=1e-9)
    assert formula("km", 3, step=0.4) is None


@pytest.mark.parametrize("eta", [0.0625, 0.125, 0.2])
@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_algorithm_1_closed_form_below_quarter(eta, steps):
    found = certify("algorithm-1", steps, step=eta)
    assert close_to(found.value, found.formula)


def test_algorithm_1_closed_form_fails_at_full_step():
    found = certify("algorithm-1", 2, step=1.0)
    assert found.formula is None
    assert close_to(found.value, 0.4)  # attained by F = L I; the closed form would say 0.384615
    assert found.value > 1 / (1 + 2 - 8 / 20) + 0.01


def test_general_anchor_costs_half_again():
    for steps in (1, 2, 5):
        k = np.arange(steps)
        found = certify(certificates._anchored(2 / (k + 3), (k + 1) / (k + 3)), operator="nonexpansive")
        assert close_to(found.value, (6 / (2 * steps + 3)) ** 2)


def test_increasing_km_agrees_with_pesto():
    k = np.arange(10)
    found = certify(np.tril(np.tile((k + 1) / (k + 2), (10, 1))), operator="nonexpansive")
    # reference value printed by the MATLAB toolbox for a quarter of the squared residual, five digits
    assert found.value / 4 == pytest.approx(0.059527, rel=2e-4)


def test_halpern_beats_km_and_ohm_improves_on_halpern():
    for steps in (2, 5, 10):
        assert certificate("halpern", steps).value < certificate("km .5", steps).value
        assert certificate("ohm 1.1", steps).value < certificate("halpern", steps).value
    assert certify("ohm", 4, gamma=1.0).value == pytest.approx(certificate("halpern", 4).value, rel=1e-7)


@pytest.mark.parametrize("method", ["halpern-cocoercive", "algorithm-1", "eg", "eag-c", "eag-v", "feg"])
def test_units(method):
    lipschitz, dist = 2.5, 0.3
    plain, scaled = certify(method, 2), certify(method, 2, lipschitz=lipschitz, dist=dist)
    unit = lipschitz * dist if method == "algorithm-1" else (lipschitz * dist) ** 2
    np.testing.assert_allclose(scaled.value, unit * plain.value, rtol=1e-8)  # both to solver accuracy
    np.testing.assert_allclose(scaled.step_matrix * lipschitz, plain.step_matrix, rtol=1e-14)
    if plain.formula is not None:
        assert scaled.formula == pytest.approx(unit * plain.formula, rel=1e-14)
    assert scaled.verify()


def test_quantity_says_whether_it_is_squared():
    assert certificate("algorithm-1", 1).quantity == "‖F(u_N)‖"
    assert certificate("halpern", 1).quantity == "‖x_N − T x_N‖²"
    assert certificate("feg", 1).quantity == "‖F(z_N)‖²"
    assert not certificate("feg", 1).tight
    assert certificate("halpern", 1).tight


@pytest.mark.parametrize("method", METHODS)
def test_second_solver_agrees(method):
    keywords = {"gamma": 1.5} if method == "ohm" else {}
    steps = 2 if method == "feg" else 3
    first, second = certify(method, steps, **keywords), certify(method, steps, solver="scs", **keywords)
    np.testing.assert_allclose(second.value, first.value, rtol=1e-6)
    assert second.solver == "scs"
    assert second.verify()


# ------------------------------------------------------------------------------------------- the proofs


@pytest.mark.parametrize("steps", [1, 3, 6])
@pytest.mark.parametrize("column", [*TABLE, "halpern-cocoercive"])
def test_certificate_verifies_exactly(column, steps):
    assert certificate(column, steps).verify()


@pytest.mark.slow
@pytest.mark.parametrize("steps", [2, 4, 5, 7, 8, 9, 10])
@pytest.mark.parametrize("column", [*TABLE, "halpern-cocoercive"])
def test_certificate_verifies_exactly_for_all_steps(column, steps):
    assert certificate(column, steps).verify()


@pytest.mark.slow
@pytest.mark.parametrize(("method", "steps"), [("halpern", 25), ("feg", 15), ("eag-c", 15)])
def test_long_certificates(method, steps):
    found = certify(method, steps)
    assert found.verify()
    assert found.formula is None or close_to(found.value, found.formula)


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 5), operator=st.sampled_from(certificates.OPERATORS))
@settings(max_examples=40, deadline=None)
def test_certificate_of_any_step_matrix_verifies(seed, size, operator):
    matrix = np.tril(np.random.default_rng(seed).uniform(-1, 1, (size, size)))
    found = certify(matrix, operator=operator, gamma=1.3 if operator == "contractive" else None)
    assert found.verify()
    assert found.certified >= found.primal - 1e-6 * (1 + found.primal)


def test_tampered_certificates_do_not_verify():
    found = certificate("halpern", 4)
    assert not dataclasses.replace(found, certified=found.certified * (1 - 1e-6)).verify()
    assert not dataclasses.replace(found, multipliers={**found.multipliers, (0, 4): -1e-9}).verify()
    assert not dataclasses.replace(found, multipliers={**found.multipliers, (1, 2): 0.0}).verify()
    off_by_one = step_matrix("halpern", 5)[1:, 1:]
    assert not dataclasses.replace(found, step_matrix=off_by_one).verify()


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
def test_halpern_uses_consecutive_pairs_and_the_last_with_the_fixed_point(steps):
    active = {pair: w for pair, w in certificate("halpern", steps).multipliers.items() if w > 1e-6}
    assert set(active) == {(k, k + 1) for k in range(steps)} | {(steps, "*")}
    k = np.arange(steps)
    weights = [active[i, i + 1] for i in range(steps)]
    # multipliers converge more slowly than the value: about the root of its accuracy
    np.testing.assert_allclose(weights, 2 * (k + 1) * (k + 2) / (steps + 1) ** 2, rtol=1e-4)
    np.testing.assert_allclose(active[steps, "*"], 2 / (steps + 1), rtol=1e-4)


@pytest.mark.parametrize("steps", range(2, 7))
def test_feg_uses_three_kinds_of_pairs(steps):
    active = {pair: w for pair, w in certificate("feg", steps).multipliers.items() if w > 1e-4}
    lipschitz = {(2 * k + 1 if k else 0, 2 * k + 2, "lipschitz") for k in range(steps)}
    monotone = {(2 * k, 2 * k + 2, "monotone") for k in range(1, steps)}
    assert set(active) == lipschitz | monotone | {(2 * steps, "*", "monotone")}


@pytest.mark.parametrize("steps", range(1, 9))
def test_closed_form_proofs(steps):
    assert prove("halpern", steps) == Fraction(4, (steps + 1) ** 2)
    assert prove("halpern-cocoercive", steps) == Fraction(1, (steps + 1) ** 2)
    assert prove("feg", steps) == Fraction(4, steps**2)
    for gamma in (Fraction(1), Fraction(11, 10), Fraction(2)):
        bound = prove("ohm", steps, gamma=gamma)
        assert float(bound) == pytest.approx(formula("ohm", steps, gamma=float(gamma)), rel=1e-14)


@pytest.mark.parametrize("method", ["halpern", "ohm", "halpern-cocoercive", "feg"])
def test_closed_form_proofs_have_no_slack(method, monkeypatch):
    """The same multipliers prove nothing smaller, and none can be left out."""
    kept = {}
    monkeypatch.setattr(certificates, "_is_proof", lambda *arguments: kept.update(arguments=arguments) or True)
    prove(method, 4, gamma=Fraction(3, 2) if method == "ohm" else None)
    monkeypatch.undo()
    tau, weights, *rest = kept["arguments"]
    assert certificates._is_proof(tau, weights, *rest)
    assert not certificates._is_proof(tau * (1 - Fraction(1, 10**15)), weights, *rest)
    for label in weights:
        if weights[label]:
            assert not certificates._is_proof(tau, {**weights, label: Fraction(0)}, *rest)


def test_negative_multiplier_is_no_proof():
    """A sum of squares is not enough: each inequality must be used in its own direction."""
    one_step = np.array([[Fraction(1, 2)]], dtype=object)
    weights = {(0, "*"): Fraction(2), (1, "*"): Fraction(2)}
    assert certificates._is_proof(Fraction(50), weights, one_step, "nonexpansive", None)
    weights[0, 1] = Fraction(-1, 100)
    problem = certificates._Interpolation(one_step, "nonexpansive", None)
    ordered = np.array([weights[label] for label in problem.labels], dtype=object)
    slack = problem.slack(Fraction(50), [problem.laplacian(ordered)], problem.residual_form())
    assert certificates._is_positive_semidefinite(slack)
    assert not certificates._is_proof(Fraction(50), weights, one_step, "nonexpansive", None)


def test_failed_proof_raises(monkeypatch):
    monkeypatch.setattr(certificates, "_is_proof", lambda *arguments: False)
    with pytest.raises(ArithmeticError, match="do not prove 4/9 at N = 2"):
        prove("halpern", 2)


def test_exact_definiteness():
    def check(rows):
        return certificates._is_positive_semidefinite(np.array([[Fraction(v) for v in r] for r in rows]))

    assert check([[1, 1], [1, 1]])
    assert not check([[1, 1], [1, 1 - Fraction(1, 2**60)]])  # float64 would round this to the matrix above
    assert not check([[0, 1], [1, 5]])
    assert check([[0, 0], [0, 5]])


# ------------------------------------------------------------------------------------------- the methods


def last_residual(method, evaluate, x0, steps, step=None, gamma=None):
    """Run a method as it is printed; `evaluate` is T for maps and F, with L = 1, for operators."""
    x, a = x0, step
    for k in range(steps):
        match method:
            case "halpern":
                x = x0 / (k + 2) + (k + 1) / (k + 2) * evaluate(x)
            case "km":
                x = (1 - step) * x + step * evaluate(x)
            case "ohm":
                phi = sum(gamma ** (2 * i) for i in range(k + 2))
                x = x0 / phi + (1 - 1 / phi) * evaluate(x)
            case "halpern-cocoercive":
                x = x0 / (k + 2) + (k + 1) / (k + 2) * (x - 2 * evaluate(x))
            case "algorithm-1":
                x = 2 / (k + 4) * x0 + (1 - 2 / (k + 4)) * x - 0.25 * evaluate(x)
            case "eg":
                x = x - 0.5 * evaluate(x - 0.5 * evaluate(x))
            case "eag-c" | "eag-v":
                a = a or {"eag-c": 0.125, "eag-v": 0.618}[method]
                pulled = x + (x0 - x) / (k + 2)
                x = pulled - a * evaluate(pulled - a * evaluate(x))
                if method == "eag-v":
                    a *= 1 - a**2 / ((k + 1) * (k + 3) * (1 - a**2))
            case "feg":
                b = 1 / (k + 1)
                pulled = x + b * (x0 - x)
                x = pulled - evaluate(pulled - (1 - b) * evaluate(x))
    residual = x - evaluate(x) if method in ("halpern", "km", "ohm") else evaluate(x)
    norm = float(np.linalg.norm(residual))
    return norm if method == "algorithm-1" else norm**2


COLUMNS = [*TABLE, "halpern-cocoercive"]


@pytest.mark.parametrize("column", COLUMNS)
def test_step_matrix_runs_the_method(column):
    rng = np.random.default_rng(5)
    method, keywords = keywords_of(column)
    mix = np.linalg.qr(rng.normal(size=(3, 3)))[0]

    def evaluate(x):
        return np.tanh(mix @ x)  # any nonlinear map will do here

    x0, steps = rng.normal(size=3), 4
    rows = step_matrix(method, steps, **keywords)
    residual = evaluate if method not in ("halpern", "km", "ohm") else lambda x: x - evaluate(x)
    residuals = [residual(x0)]
    for row in rows:
        residuals.append(residual(x0 - sum(h * g for h, g in zip(row, residuals, strict=False))))
    norm = np.linalg.norm(residuals[-1])
    quantity = norm if method == "algorithm-1" else norm**2
    np.testing.assert_allclose(last_residual(method, evaluate, x0, steps, **keywords), quantity, rtol=1e-12)


def nonexpansive(rng: np.random.Generator, size: int):
    """A random nonexpansive map with fixed point 0: linear, clipping, a rotation, or a mixture of these."""

    def draw():
        kind = rng.integers(3)
        if kind == 0:
            left, right = (np.linalg.qr(rng.normal(size=(size, size)))[0] for _ in range(2))
            linear = left @ np.diag(rng.uniform(0, 1, size) ** rng.choice([0.0, 0.2, 1.0])) @ right
            return lambda x: linear @ x
        if kind == 1:
            width = rng.uniform(0.02, 1.0)
            return lambda x: x - 2 * np.clip(x, -width, width)
        angle = rng.uniform(-np.pi, np.pi)
        turn = np.eye(size)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        return lambda x: turn @ x

    first, second, weight = draw(), draw(), rng.choice([0.0, 1.0, rng.uniform()])
    if rng.uniform() < 0.5:
        return lambda x: first(second(x))
    return lambda x: weight * first(x) + (1 - weight) * second(x)


def member(operator: str, rng: np.random.Generator, size: int, gamma: float):
    """A random member of a class, for L = 1."""
    t = nonexpansive(rng, size)
    if operator == "nonexpansive":
        return t
    if operator == "contractive":
        return lambda x: t(x) / gamma
    if operator == "cocoercive":
        return lambda x: (x - t(x)) / 2
    skew = np.zeros((size, size))
    skew[:2, :2] = [[0, -1], [1, 0]]
    weight, tilt = rng.choice([0.0, 1.0, rng.uniform()]), rng.uniform(0.3, 1.0)
    return lambda x: weight * tilt * (skew @ x) + (1 - weight) * (x - t(x)) / 2


@pytest.mark.parametrize("column", COLUMNS)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 5), steps=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_no_simulated_instance_beats_its_certificate(column, seed, size, steps):
    rng = np.random.default_rng(seed)
    method, keywords = keywords_of(column)
    found = certificate(column, steps)
    evaluate = member(found.operator, rng, size, keywords.get("gamma", 1.0))
    x0 = rng.normal(size=size)
    x0 /= np.linalg.norm(x0)
    assert last_residual(method, evaluate, x0, steps, **keywords) <= found.certified * (1 + 1e-9)


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def contraction_of_park_and_ryu(gamma, steps):
    width = 1 / sum(gamma**i for i in range(steps + 1))

    def t(x):
        return np.where(abs(x) <= width, -x / gamma, (x - 2 * width * np.sign(x)) / gamma)

    return t


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
@pytest.mark.parametrize(
    "column",
    ["halpern", "km .5", "km .75", "km .98", "ohm 1.1", "ohm 2", "halpern-cocoercive", "algorithm-1"],
)
def test_hard_instances_reach_their_certificate(column, steps):
    method, keywords = keywords_of(column)
    x0 = np.array([1.0, 0.0])
    match method:
        case "halpern":
            width = 1 / (steps + 1)
            evaluate = lambda x: x - 2 * np.clip(x, -width, width)  # noqa: E731
        case "km":
            g = keywords["step"]
            cosine = 1 - 1 / (2 * g * (1 - g) * (steps + 1))
            turn = rotation(np.arccos(cosine)) if cosine >= -1 else -np.eye(2)
            evaluate = lambda x: turn @ x  # noqa: E731
        case "ohm":
            evaluate = contraction_of_park_and_ryu(keywords["gamma"], steps)
        case "halpern-cocoercive":
            evaluate = lambda x: np.clip(x, -1 / (steps + 1), 1 / (steps + 1))  # noqa: E731
        case _:
            width = formula("algorithm-1", steps)
            evaluate = lambda x: np.clip(x, -width, width)  # noqa: E731
    reached = last_residual(method, evaluate, x0, steps, **keywords)
    np.testing.assert_allclose(reached, formula(method, steps, **keywords), rtol=1e-11)  # rounding of N steps
    assert close_to(certificate(column, steps).value, reached)
    assert reached <= certificate(column, steps).certified * (1 + 1e-12)


@pytest.mark.parametrize("steps", [1, 2])
def test_rotation_reaches_feg_certificate(steps):
    reached = last_residual("feg", lambda x: rotation(np.pi / 2) @ x, np.array([1.0, 0.0]), steps)
    assert close_to(certificate("feg", steps).value, reached)


def test_wrong_weight_is_seen():
    """Anchors 1/(k+3) in place of 1/(k+2) cost a measurable amount in the worst case."""
    k = np.arange(5)
    found = certify(certificates._anchored(1 / (k + 3), (k + 2) / (k + 3)), operator="nonexpansive")
    assert found.value > 1.05 * formula("halpern", 5)


# ------------------------------------------------------------------------------------------- step matrices


@pytest.mark.parametrize("column", ["halpern", "ohm 1.1", "halpern-cocoercive", "eag-v", "feg"])
def test_step_matrix_gives_the_same_certificate(column):
    named = certificate(column, 3)
    found = certify(named.step_matrix, operator=named.operator, gamma=named.gamma)
    assert found.value == pytest.approx(named.value, rel=1e-12)
    assert found.method == "custom"
    assert found.formula is None
    assert found.steps == len(named.step_matrix)


def test_halpern_matrix():
    np.testing.assert_allclose(step_matrix("halpern", 2), [[1 / 2, 0], [1 / 3, 2 / 3]], rtol=1e-15)


def test_coinciding_points_share_a_symbol():
    assert not step_matrix("feg", 2)[0].any()
    points = {label[0] for label in certificate("feg", 2).multipliers}
    assert points == {0, 2, 3, 4}
    still = certify([[0.0]], operator="nonexpansive")
    assert still.value == pytest.approx(4.0, abs=1e-8)  # T = -I, and no step
    assert list(still.multipliers) == [(0, "*")]


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        (("halpern", 0), {}, DomainError, "steps = 0"),
        (("halpern", 2.0), {}, TypeError, "steps must be an int"),
        (("halpern", True), {}, TypeError, "steps must be an int"),
        (("halpern",), {}, TypeError, "steps is missing"),
        (("halpern", 2), {"step": 0.5}, TypeError, "no free step"),
        (("halpern", 2), {"gamma": 2.0}, TypeError, "gamma goes with"),
        (("halpern", 2), {"lipschitz": 2.0}, DomainError, "lipschitz = 2.0"),
        (("halpern", 2), {"operator": "nonexpansive"}, TypeError, "has its own"),
        (("halpern", 2), {"dist": 0.0}, DomainError, "dist = 0.0"),
        (("halpern", 2), {"dist": math.nan}, DomainError, "dist = nan"),
        (("halpern", 2), {"solver": "mosek"}, UnknownName, "clarabel, scs"),
        (("halpren", 2), {}, UnknownName, "halpern"),
        (("km", 2), {"step": 1.0}, DomainError, "step g = 1.0"),
        (("km", 2), {"step": 0.0}, DomainError, "step g = 0.0"),
        (("km", 2), {"step": math.nan}, DomainError, "step g = nan"),
        (("ohm", 2), {}, TypeError, "gamma goes with"),
        (("ohm", 2), {"gamma": 0.9}, DomainError, "gamma = 0.9"),
        (("ohm", 2), {"gamma": math.inf}, DomainError, "gamma = inf"),
        (("algorithm-1", 2), {"step": 1.0, "lipschitz": 2.0}, DomainError, r"step eta = 1.0.*< 1$"),
        (("algorithm-1", 2), {"lipschitz": -1.0}, DomainError, "lipschitz = -1.0"),
        (("eag-v", 2), {"step": 0.75}, DomainError, "step a_0 = 0.75"),
        (("eg", 2), {"step": 1.0}, DomainError, "step a = 1.0"),
        (([[1.0, 0.0]],), {"operator": "nonexpansive"}, ShapeError, r"got \(1, 2\)"),
        (([1.0],), {"operator": "nonexpansive"}, ShapeError, r"got \(1,\)"),
        ((np.zeros((0, 0)),), {"operator": "nonexpansive"}, ShapeError, "m >= 1"),
        (([[1.0, 2.0], [0.0, 1.0]],), {"operator": "nonexpansive"}, DomainError, r"H\[0, 1\] = 2.0"),
        (([[math.nan]],), {"operator": "nonexpansive"}, NonFiniteError, r"H\[0, 0\] = nan"),
        (([[1.0]],), {}, TypeError, "needs its class"),
        (([[1.0]],), {"operator": "convex"}, UnknownName, "nonexpansive, contractive"),
        (([[1.0]],), {"operator": "contractive"}, TypeError, "gamma goes with"),
        (([[1.0]],), {"operator": "nonexpansive", "step": 0.5}, TypeError, "a step matrix holds both"),
        (([[1.0]], 1), {"operator": "nonexpansive"}, TypeError, "a step matrix holds both"),
    ],
)
def test_bad_arguments_are_named(arguments, keywords, error, message, monkeypatch):
    monkeypatch.setattr(certificates, "_solve", lambda *_: pytest.fail("worked before it checked"))
    with pytest.raises(error, match=message):
        certify(*arguments, **keywords)


def test_formula_and_proof_check_their_arguments():
    with pytest.raises(DomainError, match="steps = 0"):
        formula("halpern", 0)
    with pytest.raises(UnknownName, match="no closed-form multipliers for 'km'"):
        prove("km", 3)
    with pytest.raises(DomainError, match="gamma = 1/2"):
        prove("ohm", 3, gamma=Fraction(1, 2))
    assert formula("eg", 3) is None


@pytest.mark.parametrize("solver", ["clarabel", "scs"])
def test_solver_failure(solver):
    with pytest.raises(NotConverged, match="allow more iterations") as caught:
        certify("halpern", 3, solver=solver, max_iterations=1)
    left = certify("halpern", 3, solver=solver, max_iterations=1, on_fail="return")
    for result in (caught.value.result, left):
        assert (result.value, result.certified, result.primal) == (math.inf, math.inf, 0.0)
        assert result.multipliers == {}
        assert not result.verify()


def test_import_leaves_cvxpy_alone():
    code = "import sys, lemmata.theory.halpern.certificates as c; c.prove('halpern', 2); print('cvxpy' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
