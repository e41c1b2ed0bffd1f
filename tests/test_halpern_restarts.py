"""Restarted and inexact iterations: both backends, both rules, bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as hs
from numpy.testing import assert_allclose, assert_array_equal

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.kernels import halpern as kernels
from lemmata.problems import halpern as problems
from lemmata.sims import halpern as sims
from lemmata.testing import strategies

PROBLEM = problems.random_nonexpansive(8, 6, 3, seed=4)


@pytest.mark.parametrize("rule", [{"period": 7}, {"decrease": 0.5}])
def test_backends_restart_at_the_same_steps(rule):
    left = sims.restarted(PROBLEM.operator, PROBLEM.x0, 200, **rule)
    right = kernels.restarted(PROBLEM.operator, torch.tensor(PROBLEM.x0), 200, **rule)
    # once a residual is rounding alone, what it falls to is chance
    real = left["residual"].values.min(axis=0) > 1e-10
    assert real.sum() > 30
    assert_array_equal(left["restarts"][:, real], right["restarts"][:, real])
    assert left["restarts"].values[:, real][:, -1].max() > 3
    # a nonexpansive map does not amplify the rounding of 200 steps of points of size 1
    assert_allclose(left["residual"], right["residual"], rtol=0, atol=1e-12)


def test_a_period_beyond_the_run_is_halpern():
    whole = sims.restarted(PROBLEM.operator, PROBLEM.x0, 50, period=51)
    assert_array_equal(whole["residual"], sims.halpern(PROBLEM.operator, PROBLEM.x0, 50)["residual"])
    assert not whole["restarts"].any()


def test_an_epoch_is_halpern_from_the_point_it_starts_at():
    run = sims.restarted(PROBLEM.operator, PROBLEM.x0, 30, period=10, iterates=True)
    middle = run["iterate"].sel(step=20).values
    alone = sims.halpern(PROBLEM.operator, middle, 10)
    assert_array_equal(run["residual"].sel(step=slice(20, 30)), alone["residual"])


@pytest.mark.parametrize("theta", [0.02, 0.3, 1.0])
def test_epochs_of_the_theorem_contract_by_1_over_e(theta):
    length = math.ceil(2 * math.e / (2 * math.sin(theta / 2)))
    at = length * np.arange(5)
    run = sims.restarted(problems.Operator.rotation([theta]), np.array([1.0, 0.0]), int(at[-1]), period=length, at=at)
    ratios = run["residual"].values[0, 1:] / run["residual"].values[0, :-1]
    assert (ratios <= 1 / math.e).all()
    if theta == 0.02:
        assert length == 272
        assert_allclose(ratios, 0.146548, atol=5e-7)  # the six digits of an independent run


@given(drawn=strategies.nonexpansive(plain=True), decrease=hs.sampled_from([0.9, 0.5, 0.2]))
def test_residuals_at_restarts_fall_by_the_rule(drawn, decrease):
    run = sims.restarted(drawn.operator, drawn.x0, 60, decrease=decrease)
    residual, restarts = run["residual"].values[0], run["restarts"].values[0]
    at = np.flatnonzero(np.diff(restarts)) + 1
    marks = residual[np.concatenate([[0], at])]
    assert (marks[1:] <= decrease * marks[:-1] * (1 + 1e-12)).all()


def test_errors_enter_where_the_operator_is_evaluated():
    rng = np.random.default_rng(0)
    errors = 1e-2 * rng.standard_normal((len(PROBLEM.x0), 40, 6))
    x = PROBLEM.x0
    for k in range(40):
        x = PROBLEM.x0 + (k + 1) / (k + 2) * (PROBLEM.operator(x) + errors[:, k] - PROBLEM.x0)
    left = sims.halpern(PROBLEM.operator, PROBLEM.x0, 40, errors=errors)
    right = kernels.halpern(PROBLEM.operator, torch.tensor(PROBLEM.x0), 40, errors=errors)
    assert_allclose(left["x"], x, rtol=0, atol=1e-13)  # 40 steps on points of size 1
    assert_allclose(right["x"], x, rtol=0, atol=1e-13)
    shared = sims.halpern(PROBLEM.operator, PROBLEM.x0, 40, errors=errors[0])
    assert_array_equal(shared["x"][0], left["x"][0])


@pytest.mark.parametrize("library", [sims, kernels], ids=["sims", "kernels"])
@pytest.mark.parametrize(
    ("call", "options", "error", "words"),
    [
        ("restarted", {}, DomainError, "either period or decrease"),
        ("restarted", {"period": 3, "decrease": 0.5}, DomainError, "period = 3"),
        ("restarted", {"period": 0}, DomainError, "got 0"),
        ("restarted", {"period": 2.0}, TypeError, "float"),
        ("restarted", {"decrease": 1.0}, DomainError, "1.0"),
        ("restarted", {"decrease": float("nan")}, DomainError, "nan"),
        ("halpern", {"errors": np.zeros((3, 6))}, ShapeError, r"\(3, 6\)"),
        ("halpern", {"errors": np.full((5, 6), np.inf)}, NonFiniteError, "inf"),
    ],
)
def test_bad_input_is_refused_before_any_work(library, call, options, error, words):
    x0 = PROBLEM.x0 if library is sims else torch.tensor(PROBLEM.x0)
    with pytest.raises(error, match=words):
        getattr(library, call)(PROBLEM.operator, x0, 5, **options)
