"""Numbers behind the claims, and that the saboteurs break what they say they break.

The experiments themselves run in test_registry.py.
"""

import numpy as np
import pytest

from lemmata.experiments.monotone_dbm import EXPERIMENTS
from lemmata.experiments.monotone_dbm.model import _interactions
from lemmata.experiments.monotone_dbm.shared import (
    damped_softmax,
    extreme_directions,
    points,
    softmax,
    uniform,
    vertices,
)
from lemmata.problems.monotone_dbm import antiferromagnet, ising_pair, random_model
from lemmata.sims.monotone_dbm import solve, trajectory
from lemmata.theory import monotone_dbm as theory
from lemmata.verification import Measurement, Setup, decide


def test_every_statement_has_its_experiment():
    ours = {name for name in dir(theory) if getattr(getattr(theory, name), "family", None) == "monotone_dbm"}
    assert {e.claim.id.split("/")[1].replace("-", "_") for e in EXPERIMENTS} == ours
    assert len(ours) == 25


@pytest.mark.parametrize(
    ("share", "rate"), [(0.5, 0.96952909), (0.9, 0.94634146), (0.98, 0.96211549)], ids=["half", "most", "nearly all"]
)
def test_the_rate_of_the_antiferromagnet(share, rate):
    model = antiferromagnet(40)
    alpha = share * model.step_limit
    assert theory.contraction_tight(alpha=alpha, m=0.1, lipschitz=36.1) == pytest.approx(rate, abs=1e-8)
    q = trajectory(model, uniform(model) + 1e-3 * extreme_directions(model).sum(axis=0), 400, alpha=alpha)[0]
    distance = np.linalg.norm(q - 0.5, axis=1)
    slope = np.polyfit(np.arange(200, 301), np.log(distance[200:301]), 1)[0]
    # at .98 both directions matter until the slower one has won: its own rate is the largest of the two
    assert np.exp(slope) == pytest.approx(rate, abs=2e-5)


def test_the_best_step_is_where_both_ends_contract_alike():
    model = random_model(seed=4)
    steps = np.linspace(0.2, 1.2, 401) * model.step
    rates = theory.contraction_tight(alpha=steps, m=model.m, lipschitz=model.lipschitz)
    assert steps[rates.argmin()] == pytest.approx(model.step, rel=1e-2)


def test_the_free_energy_falls_between_two_over_l_and_the_limit():
    model = antiferromagnet(10)
    alpha = (2 / model.lipschitz + model.step_limit) / 2
    q = trajectory(model, uniform(model) + 1e-3 * extreme_directions(model)[0], 50, alpha=alpha)[0]
    assert (np.diff(theory.free_energy(model, q)) < 0).all()
    q = trajectory(model, q[0], 50, alpha=1.01 * model.step_limit)[0]
    assert (np.diff(theory.free_energy(model, q)) > 0).all()


def test_one_sided_scaling_keeps_uniqueness_and_loses_the_model():
    broken = 0
    for seed in range(100):
        model = random_model(seed=seed)
        phi = _interactions(model, Setup(), "one side")
        values = np.linalg.eigvals(np.eye(model.n) - phi)
        # similar to the symmetric form by the square root of the scales
        assert np.abs(values.imag).max() < 1e-7 * model.lipschitz
        assert values.real.min() >= model.m - 1e-7 * np.abs(values).max()
        broken += np.linalg.eigvalsh(np.eye(model.n) - (phi + phi.T) / 2)[0] < model.m
    assert 70 < broken < 95


def test_a_damped_softmax_ends_elsewhere():
    worst = 0.0
    for seed in range(20):
        model = random_model(seed=seed)
        end = damped_softmax(model, uniform(model)[None], 500, 0.4 * min(1.0, model.step_limit))[0, -1]
        worst = max(worst, np.abs(end - solve(model).q[0]).max())
        at_one = damped_softmax(model, uniform(model)[None], 1, 1.0)[0, -1]
        np.testing.assert_allclose(
            at_one, trajectory(model, uniform(model), 1, method="parallel")[0, -1], rtol=0, atol=1e-14
        )
    assert worst > 0.1


def test_starts_are_on_the_simplex():
    model = random_model(seed=0)
    for q in (points(model, 50, np.random.default_rng(0)), vertices(model, 50, np.random.default_rng(0))):
        np.testing.assert_allclose(np.add.reduceat(q, model.offsets[:-1], axis=1), 1, rtol=0, atol=1e-12)
        assert q.min() >= 0
    np.testing.assert_allclose(softmax(1e3 * q, model.states), q, rtol=0, atol=1e-12)


def test_extreme_directions_are_eigenvectors_of_the_tangent_space():
    for model in (random_model(seed=2), ising_pair(0.7)):
        low, high = extreme_directions(model)
        for v in (low, high):
            np.testing.assert_allclose(np.add.reduceat(v, model.offsets[:-1]), 0, rtol=0, atol=1e-12)
            assert np.linalg.norm(v) == pytest.approx(1)
        assert low @ model.phi @ low <= high @ model.phi @ high
    assert high @ model.phi @ high == pytest.approx(model.attraction)


def _experiment(name):
    return next(e for e in EXPERIMENTS if e.claim.id == f"monotone_dbm/{name}")


@pytest.mark.parametrize("name", ["contraction-tight", "modulus", "implicit-conditioning"])
def test_a_smaller_constant_would_be_refuted(name):
    experiment = [e for e in EXPERIMENTS if e.claim.id == f"monotone_dbm/{name}"][-1]
    m = experiment.measure(experiment.problems(Setup()), Setup())
    assert decide(experiment.claim, m).status == "holds"
    factor = 1.02 if experiment.claim.direction == "lower" else 0.98
    sharper = Measurement(m.measured, factor * np.asarray(m.theory), noise=m.noise)
    assert decide(experiment.claim, sharper).status == "violated"


def test_a_step_above_the_limit_breaks_convergence():
    experiment = _experiment("convergence")
    problems = [antiferromagnet(40, bias=0.3)]
    outcome = [decide(experiment.claim, experiment.measure(problems, Setup(), stretch=s)).status for s in (1.0, 1.03)]
    assert outcome == ["holds", "violated"]
