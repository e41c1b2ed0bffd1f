"""Evolution strategies with low-rank noise: Monte Carlo against the closed form, and its bias by rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lemmata.experiments.learning_dynamics.shared import run_on
from lemmata.problems import learning_dynamics as problems
from lemmata.problems.learning_dynamics import Factors, SineFitness
from lemmata.theory.learning_dynamics import eggroll as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

RANKS = (1, 2, 4)


def _problem(setup: Setup) -> list[SineFitness]:
    return [problems.random_sine(6, 4, sigma=0.8, seed=setup.seed)]


def _mean(instances: Sequence[SineFitness], setup: Setup, *, full_rank: bool = False, added: int = 0) -> Measurement:
    """Estimates along the bias; to be sabotaged: `full_rank` and `added` ranks of the claim."""
    (p,) = instances
    bias = theory.leading_bias(p.C, p.M, sigma=p.sigma)
    direction = bias / np.linalg.norm(bias)
    sampled, exact = [], []
    for rank in RANKS:
        options = {"sigma": p.sigma, "rank": rank, "pairs": setup.size(200, 4000), "replicates": 500}
        estimates = run_on(setup, "eggroll_sine", p.C, p.M, **options, seed=setup.seed)
        sampled.append((estimates * direction).sum(axis=(1, 2)))
        claimed = theory.low_rank_gradient(p.C, p.M, sigma=p.sigma, rank=rank + added)
        if full_rank:
            claimed = theory.gaussian_gradient(p.C, p.M, sigma=p.sigma)
        exact.append(float((claimed * direction).sum()))
    return Measurement(np.transpose(sampled), theory.eggroll_mean(exact=exact), {"r": np.array(RANKS)})


def _bias(instances: Sequence[SineFitness], setup: Setup, *, late: float = 0.0) -> Measurement:
    """Norm of the bias by rank, matrices; `late` (relative error of the limit) is to be sabotaged."""
    (p,) = instances
    ranks = 2 ** np.arange(4, 11)
    limit = (1 + late) * theory.gaussian_gradient(p.C, p.M, sigma=p.sigma)
    errors = [np.linalg.norm(theory.low_rank_gradient(p.C, p.M, sigma=p.sigma, rank=int(r)) - limit) for r in ranks]
    return Measurement(errors, x=ranks)


def _scalar_bias(instances: Sequence[SineFitness], setup: Setup) -> Measurement:
    """The bias by rank of a single parameter, by quadrature over factors of any law."""
    (p,) = instances
    ranks = 2 ** np.arange(4, 11)
    c, x = float(p.C[0, 0]), float(p.M[0, 0])
    limit = theory.gaussian_gradient(p.C, p.M, sigma=p.sigma)[0, 0]
    found = [theory.scalar_gradient(c, x, sigma=p.sigma, rank=int(r), factors=p.factors) for r in ranks]
    return Measurement(abs(np.array(found) - limit), x=ranks)


def _coefficient(instances: Sequence[SineFitness], setup: Setup, *, cubic: float = 1.0) -> Measurement:
    """Relative distance of r times the bias from its limit; `cubic` (factor of K K^T K) is to be sabotaged."""
    (p,) = instances
    ranks = 2 ** np.arange(2, 9)
    K = p.sigma * p.C
    exact = theory.gaussian_gradient(p.C, p.M, sigma=p.sigma)
    limit = theory.leading_bias(p.C, p.M, sigma=p.sigma) - (cubic - 1) * K @ K.T @ exact  # exact = K up to a factor
    found = []
    for rank in ranks:
        bias = theory.low_rank_gradient(p.C, p.M, sigma=p.sigma, rank=int(rank)) - exact
        found.append(np.linalg.norm(rank * bias - limit) / np.linalg.norm(limit))
    return Measurement(found, x=ranks)


def _scalar(factors: Factors) -> Callable[[Setup], list[SineFitness]]:
    return lambda setup: [SineFitness(np.array([[1.3]]), np.array([[0.4]]), 0.8, factors)]


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.eggroll_mean,
        "sine fitness, random 6 x 4 matrices",
        _problem,
        _mean,
        (
            Saboteur("the gradient of full rank", {"full_rank": True}),
            Saboteur("one rank more", {"added": 1}),
        ),
    ),
    Experiment(
        theory.eggroll_rate,
        "sine fitness, random 6 x 4 matrices",
        _problem,
        _bias,
        (Saboteur("the limit wrong by one part in a thousand", {"late": 1e-3}),),
        backends=("sims",),
    ),
    Experiment(
        theory.eggroll_rate,
        "one parameter, uniform factors",
        _scalar("uniform"),
        _scalar_bias,
        (Saboteur("factors that are not symmetric", problems=_scalar("exponential")),),
        backends=("sims",),
    ),
    Experiment(
        theory.eggroll_coefficient,
        "sine fitness, random 6 x 4 matrices",
        _problem,
        _coefficient,
        (Saboteur("the cubic term 5 % too large", {"cubic": 1.05}),),
        backends=("sims",),
    ),
)
