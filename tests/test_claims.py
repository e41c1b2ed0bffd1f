"""The vocabulary: claims refuse what they cannot decide, evaluate on arrays, and rows are plain data."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp

import lemmata as lm
from lemmata.claims import Assumption, Claim, Row, SaboteurResult, Source, Verdict, worst
from lemmata.errors import AssumptionError, DomainError
from lemmata.problems.halpern import rotations
from lemmata.theory import halpern

N, D = sp.symbols("n dist", positive=True)
SOURCE = Source("doe2001", "Doe, Jane and Roe, Richard", "On toys", "J. Toys 1, 1-2", 2001, "Theorem 3", doi="10.1/x")
FIELDS = {
    "id": "toy/bound",
    "kind": "bound",
    "quantity": "q_n",
    "expression": 2 * D / N,
    "symbols": {"n": "size", "dist": "distance"},
    "assumptions": (),
    "source": SOURCE,
}


def claim(**changes):
    return Claim(**{**FIELDS, **changes})


# -------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "theorem"}, "kind must be one of"),
        ({"direction": "sideways"}, "direction must be one of"),
        ({"standing": "rumoured"}, "standing must be one of"),
        ({"constant": "large"}, "constant must be one of"),
        ({"order": "o"}, "order must be one of"),
        ({"id": "toy"}, "family/kebab-case, got 'toy'"),
        ({"id": "toy/"}, "family/kebab-case"),
        ({"id": "/bound"}, "family/kebab-case"),
        ({"id": "toy/Bound"}, "family/kebab-case"),
        ({"id": "toy/two words"}, "family/kebab-case"),
        ({"id": "toy/snake_case"}, "family/kebab-case"),
        ({"id": "toy/a/b"}, "family/kebab-case"),
        ({"symbols": {"n": "size"}}, r"symbols without a meaning: \['dist'\]"),
        ({"kind": "rate"}, "a rate needs its exponent"),
        ({"kind": "limit", "tolerance": 0.1}, "a limit needs its exponent"),
        ({"kind": "limit", "exponent": 1.0}, "a limit needs the tolerance"),
        ({"kind": "mean-identity"}, "a mean-identity needs an absolute tolerance"),
        ({"kind": "tail-bound"}, r"delta in \(0, 1\), got None"),
        ({"kind": "tail-bound", "delta": 0.0}, r"delta in \(0, 1\), got 0.0"),
        ({"kind": "tail-bound", "delta": 1.0}, r"delta in \(0, 1\), got 1.0"),
        ({"kind": "tail-bound", "delta": math.nan}, r"delta in \(0, 1\), got nan"),
        ({"constant": "asymptotic"}, "only a finite constant can be compared pointwise"),
        ({"kind": "mean-bound", "constant": "order-only"}, "only a finite constant"),
        ({"kind": "tail-bound", "delta": 0.1, "constant": "asymptotic"}, "only a finite constant"),
        ({"kind": "mean-bound", "direction": "tight"}, "only a bound can be tight"),
        ({"kind": "tail-bound", "delta": 0.1, "direction": "tight"}, "only a bound can be tight"),
        ({"tolerance": 0.0}, "tolerance must be positive and finite, got 0.0"),
        ({"tolerance": -1.0}, "tolerance must be positive and finite, got -1.0"),
        ({"tolerance": math.nan}, "tolerance must be positive and finite, got nan"),
        ({"tolerance": math.inf}, "tolerance must be positive and finite, got inf"),
        ({"kind": "rate", "exponent": math.nan}, "exponent must be finite, got nan"),
    ],
)
def test_a_claim_that_could_not_be_decided_is_refused(changes, words):
    with pytest.raises(DomainError, match=words):
        claim(**changes)


@pytest.mark.parametrize("kind", ["identity", "rate", "limit", "mean-identity", "demonstration"])
def test_other_constants_than_finite_are_for_kinds_without_a_pointwise_bound(kind):
    assert claim(kind=kind, constant="asymptotic", exponent=1.0, tolerance=0.1).constant == "asymptotic"


def test_a_claim_is_frozen():
    with pytest.raises(AttributeError):
        claim().kind = "identity"


# ------------------------------------------------------------------------------------------ evaluation


def test_values_broadcast():
    values = claim()(n=np.arange(1, 4), dist=np.array([[1.0], [10.0]]))
    assert values.shape == (2, 3)
    assert values.dtype == np.float64
    # 2 d / n is one product and one quotient: at most one rounding apart
    np.testing.assert_allclose(values, 2 * np.array([[1.0], [10.0]]) / np.array([1, 2, 3]), rtol=3e-16)


def test_scalars_give_a_scalar_array():
    assert claim()(n=4, dist=1.0).shape == ()
    assert float(claim()(n=4, dist=1.0)) == 0.5


def test_an_expression_without_its_symbols_broadcasts_too():
    constant = claim(expression=sp.Integer(3))
    assert constant(n=np.arange(1, 6), dist=1.0).tolist() == [3.0] * 5


def test_the_result_is_the_callers_own():
    values = claim(expression=sp.Integer(3))(n=np.arange(1, 4), dist=1.0)
    values[0] = 7.0  # neither read-only nor a view that would change them all
    assert values.tolist() == [7.0, 3.0, 3.0]


def test_a_missing_and_an_unknown_symbol_are_named():
    with pytest.raises(TypeError, match=r"toy/bound takes n, dist; missing \['dist'\]; unknown \['distance'\]"):
        claim()(n=1, distance=1.0)
    with pytest.raises(TypeError, match=r"missing \['dist', 'n'\]"):
        claim()()


def test_where_the_expression_is_no_number_the_place_is_named():
    root = claim(expression=sp.sqrt(N - 3), symbols={"n": "size"})
    with pytest.raises(DomainError, match=r"toy/bound has no value at \{'n': 2.0\}"):
        root(n=[4, 2])
    with pytest.raises(DomainError, match="no value"):
        root(n=math.nan)


def test_infinity_is_a_value():
    assert claim()(n=0, dist=1.0) == math.inf


@pytest.mark.filterwarnings("error")
def test_the_unused_branch_of_a_piecewise_is_silent():
    step = sp.Symbol("n", positive=True)
    both = claim(expression=sp.Piecewise((sp.exp(step), step < 700), (1 / (step - 1), True)), symbols={"n": "size"})
    np.testing.assert_allclose(both(n=[1.0, 1e6]), [math.e, 1 / (1e6 - 1)], rtol=1e-15)  # one rounding of exp


def test_scalar_and_array_branches_of_a_piecewise_agree():
    g = np.array([0.5, 0.75, 0.95, 0.999])
    together = halpern.km_residual(k=10, step=g, dist=1.0)
    alone = [float(halpern.km_residual(k=10, step=s, dist=1.0)) for s in g]
    assert together.tolist() == alone


def test_sympy_assumptions_do_not_hide_a_symbol():
    integer = sp.Symbol("n", integer=True, nonnegative=True)
    assert float(claim(expression=1 / (integer + 1), symbols={"n": "size"})(n=3)) == 0.25


# --------------------------------------------------------------------------------------------- printing


def test_latex_prints_the_expression():
    assert claim().latex() == r"\frac{2 dist}{n}"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "q_n ≤ 2·dist/n"),
        ({"direction": "lower"}, "q_n ≥ 2·dist/n"),
        ({"direction": "tight"}, "q_n = 2·dist/n"),
        ({"kind": "identity"}, "q_n = 2·dist/n"),
        ({"kind": "mean-bound"}, "E q_n ≤ 2·dist/n"),
        ({"kind": "mean-bound", "direction": "lower"}, "E q_n ≥ 2·dist/n"),
        ({"kind": "mean-identity", "tolerance": 0.1}, "E q_n = 2·dist/n"),
        ({"kind": "tail-bound", "delta": 0.05}, "P(q_n > 2·dist/n) ≤ 0.05"),
        ({"kind": "tail-bound", "delta": 0.05, "direction": "lower"}, "P(q_n < 2·dist/n) ≤ 0.05"),
        ({"kind": "rate", "exponent": 1.0}, "q_n = Θ(2·dist/n)"),
        ({"kind": "rate", "exponent": 1.0, "order": "O"}, "q_n = O(2·dist/n)"),
        ({"kind": "limit", "exponent": 1.0, "tolerance": 0.1}, "q_n → 2·dist/n"),
        ({"kind": "demonstration"}, "q_n ≥ 2·dist/n"),
        ({"expression": D * N**2}, "q_n ≤ dist·n^2"),
        ({"expression": sp.Piecewise((D, N <= 2), (N, True))}, "q_n ≤ dist if n ≤ 2, else n"),
    ],
)
def test_formula_is_one_line_of_unicode(changes, line):
    assert claim(**changes).formula() == line


def test_repr_says_what_the_claim_says():
    assert repr(claim()) == "<Claim toy/bound: q_n ≤ 2·dist/n [derived, Doe and Roe (2001), Theorem 3]>"


@pytest.mark.parametrize(
    ("authors", "text"),
    [
        ("Doe, Jane", "Doe (2001)"),
        (SOURCE.authors, "Doe and Roe (2001)"),
        ("A, B and C, D and E, F", "A et al. (2001)"),
    ],
)
def test_source_prints_its_authors(authors, text):
    assert str(replace(SOURCE, authors=authors, theorem="")) == text


def test_cite_gives_bibtex_without_empty_fields():
    assert claim().cite() == (
        "@article{doe2001,\n"
        "  author = {Doe, Jane and Roe, Richard},\n"
        "  title = {{On toys}},\n"
        "  journal = {J. Toys 1, 1-2},\n"
        "  year = {2001},\n"
        "  doi = {10.1/x},\n"
        "  note = {Theorem 3}\n"
        "}"
    )


# ------------------------------------------------------------------------------------------ assumptions


def test_check_carries_the_number_that_breaks_an_assumption():
    with pytest.raises(AssumptionError) as caught:
        halpern.residual.check(rotations(4, 6, gain=1.03, seed=0))
    assert str(caught.value) == (
        "halpern/residual assumes that T is nonexpansive: T is expansive: Lipschitz constant 1.03 > 1"
    )
    assert isinstance(caught.value, ValueError)


def test_check_passes_a_good_problem_and_finds_a_wrong_solution():
    good = rotations(4, 6, seed=0)
    halpern.residual.check(good)
    with pytest.raises(AssumptionError, match=r"x\* is a fixed point of T: the stated solution of row \d has residual"):
        halpern.residual.check(replace(good, solution=good.solution + 0.1))


def test_assumptions_without_a_number_are_not_checked():
    stated = claim(assumptions=(Assumption("the moon is full"), Assumption("size", lambda p: p.bad)))
    stated.check(SimpleNamespace(bad=None))
    with pytest.raises(AssumptionError, match="toy/bound assumes that size: 7 > 3"):
        stated.check(SimpleNamespace(bad="7 > 3"))


# ---------------------------------------------------------------------------------------- rows, verdicts

KEYS = [
    "schema",
    "claim",
    "family",
    "kind",
    "standing",
    "source",
    "instance",
    "quantity",
    "at",
    "theory",
    "measured",
    "ratio",
    "ci",
    "level",
    "approximate",
    "tolerance",
    "status",
    "reason",
    "sabotage",
    "sabotage_ratio",
    "replicates",
    "seconds",
    "backend",
    "device",
    "dtype",
    "seed",
    "budget",
]


def row(**changes):
    fields = {
        "claim": "toy/bound",
        "family": "toy",
        "kind": "bound",
        "standing": "derived",
        "source": "Doe (2001)",
        "instance": "toys",
        "quantity": "q",
        "status": "holds",
    }
    return Row(**{**fields, **changes})


def test_json_has_the_documented_keys_in_order():
    assert list(row().to_json()) == KEYS
    assert row().to_json()["schema"] == 1


def test_json_holds_no_nan_no_infinity_and_no_numpy():
    full = row(
        at={"k": np.int64(3), "flag": np.True_, "name": np.str_("a"), "x": np.float64(math.nan)},
        theory=math.inf,
        measured=np.float64(1.5),
        ratio=math.nan,
        ci=(-math.inf, np.float32(2.0)),
        seed=np.int64(7),
        saboteurs=(SaboteurResult("s", "violated", math.inf),),
    ).to_json()
    assert json.loads(json.dumps(full, allow_nan=False)) == full
    assert full["at"] == {"k": 3, "flag": True, "name": "a", "x": None}
    assert (full["theory"], full["measured"], full["ratio"], full["ci"]) == (None, 1.5, None, [None, 2.0])
    assert "saboteurs" not in full


@pytest.mark.parametrize(
    ("statuses", "gravest"),
    [
        (["holds", "demonstrated"], "holds"),
        (["holds", "inconclusive"], "inconclusive"),
        (["violated", "inconclusive", "holds"], "violated"),
        (["holds", "error", "violated"], "error"),
    ],
)
def test_worst_status(statuses, gravest):
    assert worst(statuses) == gravest


@pytest.mark.parametrize(
    ("direction", "ratios", "decisive"),
    [("upper", (0.2, 0.9, None), 0.9), ("lower", (1.2, 3.0, None), 1.2), ("tight", (0.5, 1.2, None), 0.5)],
)
def test_the_decisive_row_is_the_one_nearest_to_trouble(direction, ratios, decisive):
    verdict = Verdict(claim(direction=direction), tuple(row(ratio=r) for r in ratios))
    assert verdict.ratio == decisive
    graver = Verdict(verdict.claim, (*verdict.rows, row(status="inconclusive", ratio=1.0)))
    assert graver.status == "inconclusive"
    assert graver.decisive.status == "inconclusive"


def test_a_verdict_prints_its_rows():
    verdict = Verdict(
        claim(), (row(ratio=0.5, at={"k": 3}), row(instance="others", status="violated", reason="2 of 3"))
    )
    assert str(verdict) == "toy/bound: violated\n  toys: holds, ratio 0.5 at k=3\n  others: violated; 2 of 3"


@pytest.mark.parametrize(
    ("sabotage", "caught"), [((None, "violated"), True), (("violated", "holds"), False), (("inconclusive",), False)]
)
def test_a_saboteur_that_got_away_is_reported(sabotage, caught):
    assert Verdict(claim(), tuple(row(sabotage=s) for s in sabotage)).caught is caught


def test_the_package_gives_its_vocabulary_lazily():
    assert lm.Claim is Claim
    assert lm.Verdict is Verdict
    assert set(lm.__all__) <= set(dir(lm))
    with pytest.raises(AttributeError, match="no attribute 'verfy'"):
        _ = lm.verfy
