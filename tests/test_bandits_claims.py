"""Every claim on bandits holds on its experiments, every saboteur is caught, and broken assumptions are refused."""

import numpy as np
import pytest
from numba import njit

from lemmata.claims import Claim
from lemmata.errors import AssumptionError
from lemmata.experiments.bandits import EXPERIMENTS
from lemmata.problems import bandits as b
from lemmata.theory import bandits as theory
from lemmata.verification import Setup, run

CLAIMS = [c for c in vars(theory).values() if isinstance(c, Claim)]


def _name(experiment):
    return f"{experiment.claim.id}: {experiment.instance}"


# test_registry runs every experiment at seed 0
@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=_name)
def test_it_holds_at_another_seed(experiment):
    row = run(experiment, Setup(experiment.backends[0], seed=20))
    assert row.status in ("holds", "demonstrated"), (row.reason, row.measured, row.theory, row.ci)
    assert row.sabotage == "violated", [(s.name, s.status, s.reason) for s in row.saboteurs]


def test_every_claim_has_an_experiment():
    assert {c.id for c in CLAIMS} == {e.claim.id for e in EXPERIMENTS}
    assert len({c.id for c in CLAIMS}) == len(CLAIMS)
    assert len({_name(e) for e in EXPERIMENTS}) == len(EXPERIMENTS)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_claims_print(claim):
    assert claim.formula()
    assert claim.latex()
    assert claim.source.key in claim.cite()


@pytest.mark.parametrize(
    ("claim", "game", "words"),
    [
        (theory.ucb1_bound, b.Game(b.UCB1(), b.Gaussian([0.0, 1.0]), 10), "pays rewards outside"),
        (theory.moss_subgaussian_bound, b.Game(b.MOSS("subgaussian"), b.Gaussian([0.0], 2.0), 10), "deviation 2 > 1"),
        (theory.etc_gaussian, b.Game(b.ExploreThenCommit(2), b.Gaussian([0.0, 1], 0.5), 10), "sigma = 0.5"),
        (theory.etc_gaussian, b.Game(b.ExploreThenCommit(9), b.Gaussian([0.0, 1]), 10), "T = 10 < m K = 18"),
        (theory.oful_regret, b.Game(b.OFUL([[2.0], [0.0]]), b.Linear([[2.0], [0.0]], [1.0]), 9), "gap is 2 > 1"),
        (theory.oful_regret, b.Game(b.OFUL([[0.1]], norm=0.5), b.Linear([[0.1]], [1.0]), 9), "= 1 > S = 0.5"),
        (theory.oful_regret, b.Game(b.OFUL([[0.1]]), b.Linear([[0.1]], [1.0], 3.0), 9), "deviation 3 > 1"),
        (theory.ucb1_exact, b.Game(b.UCB1(), b.Bounded([[0.5]], [[1.0]]), 9), "other than 0 and 1"),
    ],
)
def test_broken_assumptions_are_named(claim, game, words):
    with pytest.raises(AssumptionError, match=words):
        claim.check(game)


@njit
def _init(params, arms, horizon):
    return np.zeros(arms), np.zeros(arms)


@njit
def _select(params, state, t, draw):
    pulls, total = state
    if t <= pulls.size:
        return t - 1
    return int(np.argmax(total / pulls + np.sqrt(params[0] * np.log(t - 1) / pulls)))


@njit
def _update(params, state, arm, reward, t):
    state[0][arm] += 1.0
    state[1][arm] += reward


@pytest.mark.parametrize(("constant", "status"), [(2.0, "holds"), (2.2, "violated")])
def test_a_reader_can_test_a_policy_of_their_own(constant, status):
    (exact, *_), (bound, *_) = (
        [e for e in EXPERIMENTS if e.claim.id == f"bandits/{name}"] for name in ("ucb1-exact", "ucb1-bound")
    )
    own = {"algorithm": lambda arms, horizon: b.Custom(_init, _select, _update, (constant,))}
    assert run(exact, Setup(), changes=own, sabotage=False).status == status
    # a loose bound does not see a constant that is a little wrong
    assert run(bound, Setup(), changes=own, sabotage=False).status == "holds"
