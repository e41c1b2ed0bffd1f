"""The law of an ensemble in training against its equations of motion, posteriors, trained ensembles, critical rates.

Kernels come from `lemmata.sims`, on every backend; the backend does the dynamics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.experiments.ntk.finite_width import limit_kernels, tensor
from lemmata.problems.ntk.dynamics import Dynamics, LawTask
from lemmata.problems.ntk.networks import Loss, Network, Regression, loss_factor, sphere_points
from lemmata.theory.ntk import dynamics as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

Tasks = Callable[[Setup], list[LawTask]]


def _law(setup: Setup, *arrays: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance from `ensemble_law` of the backend."""
    if setup.backend == "sims":
        from lemmata.sims.ntk import ensemble_law

        law = ensemble_law(*arrays, **options)
        return law.mean, law.covariance
    from lemmata.kernels.ntk import ensemble_law as on_device

    law = on_device(*(tensor(a, setup) for a in arrays), **options)
    return law.mean.double().cpu().numpy(), law.covariance.double().cpu().numpy()


def _descent(
    setup: Setup, J: np.ndarray, f0: np.ndarray, y: np.ndarray, rate: np.ndarray, at: Sequence[int]
) -> np.ndarray:
    """`linear_descent` of the backend."""
    if setup.backend == "sims":
        from lemmata.sims.ntk import linear_descent

        return linear_descent(J, f0, y, rate, at)
    from lemmata.kernels.ntk import linear_descent as on_device

    outputs = on_device(tensor(J, setup), tensor(f0, setup), tensor(y, setup), tensor(rate, setup), at)
    return outputs.double().cpu().numpy()


def _kernels(X: np.ndarray, **network: Any) -> tuple[np.ndarray, np.ndarray]:
    from lemmata.sims.ntk import fc_kernels

    return fc_kernels(X, **{"parametrization": "ntk", **network})


# ------------------------------------------------------------------------------------------- the law


def _moments(task: LawTask, setup: Setup, dynamics: Dynamics) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance at all times without the law: an exponential, or models that step by themselves.

    Of those one starts at 0 and learns the targets; the others start at the columns of a root of K and learn 0.
    """
    rate = task.eta * loss_factor(task.loss, *task.Y.shape)
    if dynamics == "flow":
        found = [theory.flow_moments(task.K, task.theta, task.Y, time, rate=rate) for time in task.times]
        return tuple(np.stack(side) for side in zip(*found, strict=True))  # type: ignore[return-value]
    (M, (N, C)) = len(task.K), task.Y.shape
    start = np.concatenate((np.zeros((M, C)), np.linalg.cholesky(task.K)), axis=1)
    targets = np.concatenate((task.Y, np.zeros((N, M))), axis=1)
    features = np.linalg.cholesky(task.theta)
    f = _descent(setup, features, start, targets, np.full(M + C, rate), at=[int(t) for t in task.times])
    return f[:, :, :C], f[:, :, C:] @ f[:, :, C:].swapaxes(1, 2)


def _against_moments(
    instances: Sequence[LawTask],
    setup: Setup,
    *,
    claim: Claim,
    dynamics: Dynamics,
    loss: Loss | None = None,
    taken: Dynamics | None = None,
    prior: bool = False,
    posterior: bool = False,
) -> Measurement:
    """The law against the moments of the motion, at all points and times.

    To be sabotaged: `loss` and dynamics (`taken`) of the law, `prior` (K in place of Theta in it), `posterior`
    (covariance ``K - P_t K``, as if P_t were optimal).
    """
    sides: list[list[np.ndarray]] = [[], [], [], []]
    for task in instances:
        theta = task.K if prior else task.theta
        given = {"loss": loss or task.loss, "dynamics": taken or dynamics}
        mean, covariance = _law(setup, task.K, theta, task.Y, times=task.times, eta=task.eta, **given)
        if posterior:  # targets e_1, ..., e_N, which need the factor of the others, give P_t
            eta, unit = task.eta * loss_factor(task.loss, *task.Y.shape), np.eye(len(task.Y))
            P, _ = _law(setup, task.K, theta, unit, times=task.times, eta=eta, **{**given, "loss": "half_sum"})
            covariance = task.K - P @ task.K[: len(unit)]
        both = _moments(task, setup, dynamics)
        found, moment = (mean, both[0]) if claim is theory.law_mean else (covariance, both[1])
        # terms of this size cancel where little is left
        size = abs(task.Y).max() if claim is theory.law_mean else task.K.max()
        time = np.array(task.times)[:, None, None]
        for side, value in zip(sides, (found, moment, size, time), strict=True):
            side.append(np.broadcast_to(value, found.shape).ravel())
    measured, expected, scale, times = (np.concatenate(side) for side in sides)
    return Measurement(measured, claim(moment=expected), {"t": times}, scale=scale)


# ------------------------------------------------------------------------------------------ posteriors


def _readout(instances: Sequence[LawTask], setup: Setup, *, time: float = math.inf) -> Measurement:
    """Mean and covariance at the test points against the posterior; `time` is there to be sabotaged."""
    measured, expected, scale = [], [], []
    for task in instances:
        N = len(task.Y)
        mean, covariance = _law(setup, task.K, task.theta, task.Y, times=time, eta=task.eta, loss=task.loss)
        m, S = theory.posterior(task.K, task.Y)
        for found, value, size in (
            (mean[0, N:], m, abs(task.Y).max()),
            (covariance[0, N:, N:], S, task.K.max()),
        ):
            measured.append(found.ravel())
            expected.append(value.ravel())
            scale.append(np.full(value.size, size))
    posterior = theory.readout_posterior(posterior=np.concatenate(expected))
    return Measurement(np.concatenate(measured), posterior, scale=np.concatenate(scale))


def _apart(instances: Sequence[LawTask], setup: Setup, *, trained: str = "theta", start: str = "K") -> Measurement:
    """Relative distance of the last variance from both posteriors; `trained` and `start` (kernels) to be sabotaged."""
    distance, control = [], []
    for task in instances:
        posteriors = [theory.posterior(kernel, task.Y)[1].diagonal() for kernel in (task.K, task.theta)]
        both = []
        for prior, kernel in ((getattr(task, start), getattr(task, trained)), (task.K, task.K)):
            _, covariance = _law(setup, prior, kernel, task.Y, times=math.inf, eta=task.eta, loss=task.loss)
            both.append(covariance[0].diagonal()[len(task.Y) :])
        distance.append(np.min([abs(both[0] / p - 1) for p in posteriors], axis=0))
        control.append(abs(both[1] / posteriors[0] - 1))
    return Measurement(np.concatenate(distance), theory.no_posterior(), control=np.concatenate(control))


def _spread(
    instances: Sequence[Regression], setup: Setup, *, replicates: tuple[int, int], rates: tuple[float, ...] | None
) -> Measurement:
    """Squared deviations of trained networks from the posterior mean; `rates` of the layers are to be sabotaged."""
    from lemmata.kernels.ntk import train

    (task,) = instances
    network, N = replace(task.network, rates=rates), len(task.X)
    K, theta = limit_kernels(network, task.points)
    least, largest = np.linalg.eigvalsh(theta[:N, :N])[[0, -1]]
    X, Y, X_test = (tensor(a, setup) for a in (task.X, task.Y, task.points[N:]))
    run = train(
        network,
        X,
        Y,
        X_test=X_test,
        eta=1 / float(largest),
        steps=math.ceil(4 * largest / least),  # of the slowest mode e^{-4} is left, and squared it counts
        loss="half_sum",
        replicates=setup.size(*replicates),
        seed=setup.seed,
    )
    m, S = theory.posterior(K, task.Y)
    found = ((run["output"].values[:, -1, N:] - m) ** 2).mean(axis=2) / S.diagonal()
    return Measurement(found, theory.readout_ensemble(), {"test point": range(found.shape[1])}, nonnegative=True)


# --------------------------------------------------------------------------------------- learning rates


def _critical(
    instances: Sequence[LawTask],
    setup: Setup,
    *,
    loss: Loss | None = None,
    kernel: str = "theta",
    sufficient: bool = False,
) -> Measurement:
    """The rate from which on the loss has grown after 4000 steps, among rates in ratios of 1.002.

    To be sabotaged: `loss` and `kernel` of the claim, `sufficient` (lambda_min added in it).
    """
    found, claimed = [], []
    for task in instances:
        N, C = task.Y.shape
        theta = task.theta[:N, :N]
        factor = loss_factor(task.loss, N, C)
        # the largest eigenvalue lies between the largest diagonal entry and their sum
        low, high = 1.98 / (factor * np.trace(theta)), 2.02 / (factor * theta.diagonal().max())
        eta = np.geomspace(low, high, 1 + math.ceil(math.log(high / low) / math.log(1.002)))
        Y = np.repeat(task.Y[:, :1], eta.size, axis=1)
        f = _descent(setup, np.linalg.cholesky(theta), np.zeros_like(Y), Y, eta * factor, at=[4000])[0]
        with np.errstate(over="ignore", invalid="ignore"):
            fell = ((f - Y) ** 2).sum(axis=0) < (Y**2).sum(axis=0)  # a NaN has not fallen
        first = int(np.argmin(fell))
        found.append(math.sqrt(eta[first - 1] * eta[first]))
        values = np.linalg.eigvalsh(getattr(task, kernel)[:N, :N])
        largest = values[-1] + sufficient * values[0]
        claimed.append(float(theory.critical_rate(c=loss_factor(loss or task.loss, N, C), largest=largest)))
    return Measurement(found, claimed, {"N": [len(task.Y) for task in instances]})


# -------------------------------------------------------------------------------------------- instances

TIMES: dict[Dynamics, tuple[float, ...]] = {"flow": (0.0, 1.0, 7.0, 60.0, math.inf), "descent": (0, 1, 2, 7, 60)}


def _tasks(
    dynamics: Dynamics, *shapes: tuple[int, int, int], loss: Loss = "half_sum", share: float = 0.9, **network: Any
) -> Tasks:
    """Random points on a sphere, (N, tests, outputs) each, and normal targets, at `share` of the critical rate."""

    def make(setup: Setup) -> list[LawTask]:
        made = []
        for i, (N, tests, outputs) in enumerate(shapes):
            seed = 100 * setup.seed + i
            K, theta = _kernels(sphere_points(N + tests, 4, seed=seed), **network)
            Y = np.random.default_rng(seed).standard_normal((N, outputs))
            largest = float(np.linalg.eigvalsh(theta[:N, :N])[-1])
            eta = share * 2 / (largest * loss_factor(loss, N, outputs))
            made.append(LawTask(K, theta, Y, eta, loss, TIMES[dynamics]))
        return made

    return make


ERF: dict[str, Any] = {"depth": 1, "activation": "erf", "sw2": 2.0, "sb2": 0.1}
RELU: dict[str, Any] = {"depth": 2, "activation": "relu", "sw2": 2.0}
SHAPES = ((4, 3, 2), (8, 2, 1))


def _laws(dynamics: Dynamics, other: Dynamics, loss: Loss, wrong: Loss, **network: Any) -> list[Experiment]:
    """Both moments; `other` dynamics and the `wrong` loss are for the saboteurs."""
    confused = Saboteur("time for steps" if dynamics == "descent" else "steps for time", {"taken": other})
    prior = Saboteur("K in place of Theta", {"prior": True})
    return [
        Experiment(
            claim,
            f"gradient {dynamics}, random points",
            _tasks(dynamics, *SHAPES, loss=loss, share=0.4, **network),
            partial(_against_moments, claim=claim, dynamics=dynamics),
            (confused, prior, own),
        )
        for claim, own in (
            (theory.law_mean, Saboteur("the other loss's factor of the learning rate", {"loss": wrong})),
            (theory.law_covariance, Saboteur("K - P_t K, as if P_t were optimal", {"posterior": True})),
        )
    ]


def _networks(setup: Setup) -> list[Regression]:
    """Four points and a fifth, at which training all layers leaves 30 % more variance than training the readout."""
    X = sphere_points(6, 4, seed=23)[:5]
    network = Network(4, 384, 32, activation="erf", sw2=2.0, sb2=0.1, rates=(0.0, 1.0), parametrization="ntk")
    return [Regression(network, X[:4], np.tile([[1.0], [-1.0], [1.0], [-1.0]], (1, 32)), X[4:])]


def _infinite(setup: Setup) -> list[LawTask]:
    """The same, infinitely wide, all layers trained."""
    (task,) = _networks(setup)
    K, theta = limit_kernels(replace(task.network, rates=None), task.points)
    return [LawTask(K, theta, task.Y, 0.1, "half_sum", (math.inf,))]


EXPERIMENTS: tuple[Experiment, ...] = (
    *_laws("flow", "descent", "mean", "half_sum", **RELU),
    *_laws("descent", "flow", "half_sum", "mean", **ERF),
    Experiment(
        theory.readout_posterior,
        "readout alone, random points",
        _tasks("flow", *SHAPES, **ERF, rates=(0.0, 1.0)),
        _readout,
        (
            Saboteur("all layers trained", problems=_tasks("flow", *SHAPES, **ERF)),
            Saboteur("stopped at t = 60", {"time": 60.0}),
        ),
    ),
    Experiment(
        theory.readout_posterior,
        "standard parametrisation, one layer, random points",
        _tasks("flow", *SHAPES, depth=1, activation="relu", parametrization="standard"),
        _readout,
        (
            Saboteur(
                "two hidden layers",
                problems=_tasks("flow", *SHAPES, depth=2, activation="relu", parametrization="standard"),
            ),
        ),
    ),
    Experiment(
        theory.no_posterior,
        "erf, four points and a fifth",
        _infinite,
        _apart,
        (
            Saboteur("the readout alone trained", {"trained": "K"}),
            Saboteur("Theta as the covariance at initialisation", {"start": "theta"}),
        ),
    ),
    Experiment(
        theory.readout_ensemble,
        "erf, n = 384, 32 outputs",
        _networks,
        partial(_spread, replicates=(500, 8000), rates=(0.0, 1.0)),
        (Saboteur("all layers trained", {"rates": None}),),
        backends=("kernels",),
    ),
    Experiment(
        theory.critical_rate,
        "explicit features, random points",
        _tasks("descent", (4, 1, 1), (6, 1, 2), loss="mean", **ERF),
        _critical,
        (
            Saboteur("the factor of the half sum", {"loss": "half_sum"}),
            Saboteur("2/(lambda_min + lambda_max)", {"sufficient": True}),
            Saboteur("K in place of Theta", {"kernel": "K"}),
        ),
    ),
)
