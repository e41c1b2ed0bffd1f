"""Finite width: the empirical kernel at initialisation and in training, and ensembles against the limit's law.

Replicates are fixed by runs with another seed, so that the interval of a slope over the whole grid is narrower than
half its tolerance. Widths of one replicate share their first units, which narrows it further. A saboteur that changes
only what a run is compared with does not repeat the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.problems.ntk.networks import Network, Regression, sphere_points
from lemmata.theory.ntk import finite_width as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS", "limit_kernels", "tensor"]

Problems = Callable[[Setup], list[Regression]]


def tensor(array: np.ndarray, setup: Setup) -> Any:
    """A tensor in the dtype and on the device of the setup."""
    import torch

    return torch.tensor(array, dtype=getattr(torch, setup.dtype), device=setup.device)


def limit_kernels(network: Network, X: np.ndarray, *, readout_only: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """K and Theta of the network in NTK scaling as n grows, its `rates` included; `readout_only` freezes what is below.

    Parameters
    ----------
    network : Network
    X : float64[N, d]
    readout_only : bool

    Returns
    -------
    K, Theta : float64[N, N]
    """
    from lemmata.sims.ntk import fc_kernels

    rates = (0.0,) * network.depth + (1.0,) if readout_only else network.rates
    return fc_kernels(
        X,
        depth=network.depth,
        activation=network.activation,
        sw2=network.sw2,
        sb2=network.sb2,
        rates=rates,
        parametrization="ntk",
    )


@lru_cache(maxsize=5)  # one grid of widths
def _kernels(task: Regression, setup: Setup, replicates: int) -> np.ndarray:
    """Empirical kernels at initialisation, float64[R, N, N]."""
    from lemmata.kernels.ntk.ensembles import empirical_kernels

    run = empirical_kernels(task.network, tensor(task.X, setup), replicates=replicates, seed=setup.seed)
    return run["kernel"].values


def _intended(task: Regression) -> Network:
    """The network in NTK scaling with one learning rate, of which the claims speak."""
    return replace(task.network, parametrization="ntk", rates=None)


def _eta(network: Network, X: np.ndarray, share: float) -> float:
    """`share` over the largest eigenvalue of the limit kernel."""
    return share / float(np.linalg.eigvalsh(limit_kernels(network, X)[1])[-1])


@lru_cache(maxsize=1)
def _train(task: Regression, setup: Setup, *, share: float = 1.0, **options: Any) -> Any:
    from lemmata.kernels.ntk.ensembles import train

    eta = _eta(task.network if task.network.rates else _intended(task), task.X, share)
    X_test = None if task.X_test is None else tensor(task.X_test, setup)
    X, Y = tensor(task.X, setup), tensor(task.Y, setup)
    return train(task.network, X, Y, X_test=X_test, eta=eta, loss="half_sum", seed=setup.seed, **options)


def _pairs(outputs: np.ndarray) -> np.ndarray:
    """Means over pairs of members with opposite readouts."""
    return (outputs[0::2] + outputs[1::2]) / 2


# --------------------------------------------------------------------------------------- initialisation


def _structured(
    instances: Sequence[Network], setup: Setup, *, speed: Callable[[Network], dict[str, float]] | None = None
) -> Measurement:
    """Both assemblies of the same kernels; `speed` (of the structured one) is there to be sabotaged."""
    import torch

    from lemmata.kernels.ntk.empirical import FullyConnected, empirical_ntk

    sides: list[list[np.ndarray]] = [[], [], []]
    for i, network in enumerate(instances):
        X = tensor(sphere_points(6, network.inputs, seed=i), setup)
        dtype = getattr(torch, setup.dtype)
        model = FullyConnected(network, replicate=i, dtype=dtype, device=setup.device, seed=setup.seed)
        wrong = model.speeds | (speed(network) if speed else {})
        left = empirical_ntk(model, X, method="structured", outputs="full", speeds=wrong, block=4)
        right = empirical_ntk(model, X, method="jacobian", outputs="full", speeds=model.speeds)
        size = torch.sqrt(torch.diagonal(torch.diagonal(right), dim1=0, dim2=1))  # (N, C)
        scale = size[:, None, :, None] * size[None, :, None, :]
        for side, value in zip(sides, (left, right, scale), strict=True):
            side.append(value.cpu().numpy().ravel())
    measured, expected, scale_ = (np.concatenate(side) for side in sides)
    return Measurement(measured, expected, scale=scale_)


def _wide_readout(network: Network) -> dict[str, float]:
    return {f"weights.{network.depth}": network.width / (network.width + 1)}


def _without_biases(network: Network) -> dict[str, float]:
    return {f"biases.{i}": 0.0 for i in range(network.depth + 1) if network.biases}


def _shapes(setup: Setup) -> list[Network]:
    return [
        Network(5, 16, 3, depth=1, activation="relu", sw2=2.0, parametrization="ntk"),
        Network(4, 12, 2, depth=3, activation="erf", sw2=1.5, sb2=0.2, parametrization="ntk"),
        Network(3, 20, 1, depth=2, activation="tanh", sw2=1.2, sb2=0.1, parametrization="standard"),
        Network(5, 16, 2, depth=1, activation="relu", sw2=1.0, parametrization="mean_field"),
    ]


def _kernel_mean(
    instances: Sequence[Regression], setup: Setup, *, replicates: tuple[int, int], readout_only: bool = False
) -> Measurement:
    """Entries of the kernel; `readout_only` (in the limit) is there to be sabotaged."""
    (task,) = instances
    limit = limit_kernels(_intended(task), task.X, readout_only=readout_only)[1]
    diagonal = limit_kernels(_intended(task), task.X)[1].diagonal()
    size = np.sqrt(np.outer(diagonal, diagonal))
    upper = np.triu_indices(len(task.X))
    found = (_kernels(task, setup, setup.size(*replicates)) / size)[:, *upper]
    return Measurement(found, theory.kernel_mean(limit=(limit / size)[upper]), {"x": upper[0], "x'": upper[1]})


def _kernel_variance(
    instances: Sequence[Regression], setup: Setup, *, replicates: tuple[int, int], fourth: float = 0.0
) -> Measurement:
    """``n |Theta_n - Theta|^2`` over its expectation; `fourth` (left out of E a^4 = 3) is there to be sabotaged."""
    found = []
    for task in instances:
        network = _intended(task)
        limit = limit_kernels(network, task.X)[1]
        q = network.sw2 * (task.X @ task.X.T) / task.X.shape[1] + network.sb2
        slope = (np.pi - np.arccos(np.clip(q / np.sqrt(np.outer(q.diagonal(), q.diagonal())), -1, 1))) / (2 * np.pi)
        variance = theory.unit_variance(network, task.X) - fourth * network.sw2**2 * q**2 * slope
        kernels = _kernels(task, setup, setup.size(*replicates))
        found.append(network.width * ((kernels - limit) ** 2).sum(axis=(1, 2)) / variance.sum())
    at = {"n": [task.network.width for task in instances]}
    return Measurement(np.stack(found, axis=1), theory.kernel_variance(), at, nonnegative=True)


def _fluctuation(
    instances: Sequence[Regression], setup: Setup, *, replicates: tuple[int, int], readout_only: bool = False
) -> Measurement:
    """Relative error of the kernel against the width; `readout_only` (in the limit) is there to be sabotaged."""
    found = []
    for task in instances:
        limit = limit_kernels(_intended(task), task.X, readout_only=readout_only)[1]
        error = np.linalg.norm(_kernels(task, setup, setup.size(*replicates)) - limit, axis=(1, 2))
        found.append(error / np.linalg.norm(limit))
    return Measurement(_grouped(found), x=[task.network.width for task in instances])


def _grouped(columns: Sequence[np.ndarray]) -> np.ndarray:
    """[200, width]: a replicate of the measurement is the mean of several members, so that the bootstrap has less."""
    return np.stack([column.reshape(200, -1).mean(axis=1) for column in columns], axis=1)


# --------------------------------------------------------------------------------------------- training


def _drift(task: Regression, setup: Setup, replicates: int) -> np.ndarray:
    """Relative change of the kernel after training."""
    kernel = _train(task, setup, steps=30, kernels=True, replicates=replicates)["kernel"].values
    first, last = kernel[:, 0], kernel[:, -1]
    return np.linalg.norm(last - first, axis=(1, 2)) / np.linalg.norm(first, axis=(1, 2))


def _gate_loss(task: Regression, setup: Setup, replicates: int) -> np.ndarray:
    """Relative loss of the kernel on one point, in units of `gate_loss` at n = 1."""
    run = _train(task, setup, share=0.5, steps=30, kernels=True, replicates=replicates)
    kernel, f = run["kernel"].values[..., 0, 0], run["output"].values[:, 0, 0, 0]
    sw2 = task.network.sw2
    q = sw2 * float((task.X**2).sum()) / task.X.shape[1]
    unit = theory.gate_loss(f - task.Y[0, 0], sw2=sw2, q=q, n=1)
    return (kernel[:, 0] - kernel[:, -1]) / (sw2 * q / 2 * unit)


def _weight_motion(task: Regression, setup: Setup, replicates: int) -> np.ndarray:
    """Relative motion of the hidden weights by the norm of the first residual."""
    run = _train(task, setup, steps=30, motion=True, replicates=replicates)
    residual = np.linalg.norm(run["output"].values[:, 0] - task.Y, axis=(1, 2))
    return run["motion"].values[:, -1, 0] / residual


def _linearization(task: Regression, setup: Setup, replicates: int) -> np.ndarray:
    """Largest distance to the linearised network over the recorded steps and the training points."""
    at = (0, 1, 2, 4, 8, 16, 30)
    run = _train(task, setup, steps=30, at=at, kernels=True, replicates=replicates)
    f, eta = run["output"].values[..., 0], run.attrs["eta"]
    values, vectors = np.linalg.eigh(run["kernel"].values[:, 0])
    first = np.einsum("rji,rj->ri", vectors, f[:, 0] - task.Y[:, 0])
    linear = [np.einsum("rij,rj->ri", vectors, first * (1 - eta * values) ** t) + task.Y[:, 0] for t in at]
    return np.abs(f - np.stack(linear, axis=1)).max(axis=(1, 2))


def _against_width(
    instances: Sequence[Regression],
    setup: Setup,
    *,
    quantity: Callable[[Regression, Setup, int], np.ndarray],
    replicates: tuple[int, int],
) -> Measurement:
    found = [quantity(task, setup, setup.size(*replicates)) for task in instances]
    return Measurement(_grouped(found), x=[task.network.width for task in instances])


# -------------------------------------------------------------------------------------------- ensembles


def _decay(
    instances: Sequence[Regression], setup: Setup, *, replicates: tuple[int, int], readout_only: bool = False
) -> Measurement:
    """Residual along the eigenvectors of the limit after one to three e-folds; `readout_only` is to be sabotaged."""
    (task,) = instances
    values, vectors = np.linalg.eigh(limit_kernels(task.network, task.X, readout_only=readout_only)[1])
    eta = _eta(task.network, task.X, 0.5)
    folds = np.rint(np.arange(1, 4)[:, None] / -np.log1p(-eta * values)).astype(int)  # [e-fold, eigenvector]
    at = tuple(np.unique(np.append(folds, 0)).tolist())
    count = 2 * setup.size(*replicates)
    run = _train(task, setup, share=0.5, steps=at[-1], at=at, antithetic=True, replicates=count)
    residual = _pairs(run["output"].values[:, :, : len(values), 0]) - task.Y[:, 0]
    along = residual @ vectors / (-task.Y[:, 0] @ vectors)  # [pair, step, eigenvector]
    steps, which = folds.ravel(), np.tile(np.arange(len(values)), len(folds))
    expected = theory.residual_decay(eta=eta, rate=values[which], t=steps)
    return Measurement(along[:, np.searchsorted(at, steps), which], expected, {"step": steps, "eigenvector": which})


def _law(
    instances: Sequence[Regression],
    setup: Setup,
    *,
    replicates: tuple[int, int],
    moment: str,
    readout_only: bool = False,
    stretch: float = 1.0,
) -> Measurement:
    """Mean, variance or covariance of an ensemble against the limit at t = 0, half of 1/lambda_min and the end.

    `readout_only` (in the limit: at the end it has the posterior variance of K) and `stretch` (of its time) are there
    to be sabotaged.
    """
    from lemmata.sims.ntk import ensemble_law

    (task,) = instances
    K, theta = limit_kernels(task.network, task.points)
    eta = _eta(task.network, task.X, 0.9)
    least = float(np.linalg.eigvalsh(theta[: len(task.X), : len(task.X)])[0])
    at = (0, round(0.5 / (eta * least)), round(6 / (eta * least)))
    kernel, law_eta = (theta, eta) if not readout_only else (K, eta * theta[0, 0] / K[0, 0])
    law = ensemble_law(K, kernel, task.Y, at, eta=law_eta * stretch, loss="half_sum", dynamics="descent")
    count = setup.size(*replicates)
    options: dict[str, Any] = {"share": 0.9, "steps": at[-1], "at": at}
    if moment == "mean":
        run = _train(task, setup, antithetic=True, replicates=2 * count, **options)
        found, expected = _pairs(run["output"].values)[..., 0], theory.ensemble_mean(mean=law.mean[..., 0])
        step, *where = np.indices(expected.shape).reshape(2, -1)
    else:
        apart = _train(task, setup, replicates=count, **options)["output"].values - law.mean
        found = np.einsum("rtic,rtjc->rtij", apart, apart) / apart.shape[-1]
        variance = K.diagonal()
        if moment == "variance":
            # where the limit leaves less than a tenth of the prior, what is seen is of order 1/n
            step, point = np.nonzero(law.variance > 0.1 * variance)
            found = found / np.where(law.covariance == 0, 1, law.covariance)
            expected, where = theory.ensemble_variance() * np.ones(found.shape[1:]), [point, point]
        else:
            size = np.sqrt(np.outer(variance, variance))
            found, expected = found / size, theory.ensemble_covariance(covariance=law.covariance / size)
            where = list(np.triu_indices(len(K), 1))
            step = np.ones_like(where[0])  # in the end there is one point left that varies
    places: tuple[Any, ...] = (step, *where)
    names = dict(zip(("point", "other"), where, strict=False))
    return Measurement(found[(slice(None), *places)], expected[places], {"step": np.array(at)[step], **names})


# -------------------------------------------------------------------------------------------- instances

ALTERNATING = np.array([[1.0], [-1.0], [1.0], [-1.0], [1.0]])


def _grid(widths: Sequence[int], points: int, inputs: int, target: float = 1.0, **network: Any) -> Problems:
    """One task a width, on the same points."""
    X, Y = sphere_points(points, inputs, seed=0), target * ALTERNATING[:points]
    network = {"parametrization": "ntk", **network}
    tasks = [Regression(Network(inputs, n, **network), X, Y) for n in widths]
    return lambda setup: tasks


def _standard(widths: Sequence[int], points: int, inputs: int, **network: Any) -> Problems:
    """Standard scaling with the learning rate divided by n, in every layer."""
    X, Y = sphere_points(points, inputs, seed=0), ALTERNATING[:points]
    tasks = [
        Regression(Network(inputs, n, parametrization="standard", rates=(1 / n,) * 2, **network), X, Y) for n in widths
    ]
    return lambda setup: tasks


def _trained_task(width: int, outputs: int = 1) -> Problems:
    """Four training points and one test point, at which the limit differs by 30 % from the posterior of K."""
    X = sphere_points(6, 4, seed=23)[:5]
    network = Network(4, width, outputs, activation="erf", sw2=2.0, sb2=0.1, parametrization="ntk")
    tasks = [Regression(network, X[:4], np.tile(ALTERNATING[:4], (1, outputs)), X[4:])]
    return lambda setup: tasks


def _even_task(width: int) -> Problems:
    """The same training points, with a target that has as much of every eigenvector of the limit."""

    @cache  # one object, or the run of one saboteur would not serve the next
    def tasks(setup: Setup) -> list[Regression]:
        (task,) = _trained_task(width)(setup)
        vectors = np.linalg.eigh(limit_kernels(task.network, task.X)[1])[1]
        return [replace(task, Y=vectors.sum(axis=1, keepdims=True))]

    return tasks


#: Ratio 2.5: the last pair, which must lie in the band by itself, is known better than an octave would be.
WIDE = (40, 100, 250, 640, 1600)
NARROW = (16, 40, 100, 250, 640)
DEEP = (4, 10, 24, 56, 130)

RELU: dict[str, Any] = {"activation": "relu", "sw2": 2.0}
ERF: dict[str, Any] = {"activation": "erf", "sw2": 1.0}
GATE: dict[str, Any] = {"activation": "relu", "sw2": 1.0, "rates": (1.0, 0.0)}

FEATURES = "mean-field scaling, which learns features"
SPLIT = "standard scaling with one learning rate over n"


def _kernel_experiments() -> list[Experiment]:
    readout = Saboteur("limit without the gates' part", {"readout_only": True})
    made = []
    for name, network in (("ReLU", {**RELU, "sb2": 0.2}), ("erf", {**ERF, "sb2": 0.2})):
        made.append(
            Experiment(
                theory.kernel_mean,
                f"{name}, n = 32",
                _grid((32,), 4, 5, **network),
                partial(_kernel_mean, replicates=(4096, 65536)),
                (readout, Saboteur(SPLIT, problems=_standard((32,), 4, 5, **network))),
                backends=("kernels",),
            )
        )
    made.append(
        Experiment(
            theory.kernel_variance,
            "n = 8, 32, 128",
            _grid((8, 32, 128), 4, 5, **RELU),
            partial(_kernel_variance, replicates=(4096, 65536)),
            (
                Saboteur("E a⁴ = 1, as if readouts were signs", {"fourth": 2.0}),
                Saboteur(SPLIT, problems=_standard((8, 32, 128), 4, 5, **RELU)),
            ),
            backends=("kernels",),
        )
    )
    for name, widths, network, replicates in (
        ("one hidden ReLU layer", NARROW, RELU, (1000, 10000)),
        ("two hidden erf layers", DEEP, {**ERF, "depth": 2}, (1400, 6000)),
    ):
        made.append(
            Experiment(
                theory.kernel_fluctuation,
                name,
                _grid(widths, 4, 5, **network),
                partial(_fluctuation, replicates=replicates),
                (readout,),
                backends=("kernels",),
            )
        )
    return made


def _training(
    claim: Claim,
    instance: str,
    problems: Problems,
    quantity: Callable[[Regression, Setup, int], np.ndarray],
    replicates: tuple[int, int],
    *saboteurs: Saboteur,
) -> Experiment:
    measure = partial(_against_width, quantity=quantity, replicates=replicates)
    return Experiment(claim, instance, problems, measure, saboteurs, backends=("kernels",))


def _mean_field(widths: Sequence[int], points: int, inputs: int, **network: Any) -> Saboteur:
    return Saboteur(FEATURES, problems=_grid(widths, points, inputs, parametrization="mean_field", **network))


def _spreads() -> list[Experiment]:
    problems = _trained_task(384, 32)  # one task for both: they share the run
    halved = Saboteur("learning rate halved in the law", {"stretch": 0.5})
    return [
        Experiment(
            claim,
            "erf, n = 384, 32 outputs",
            problems,
            partial(_law, replicates=(500, 8000), moment=moment),
            saboteurs,
            backends=("kernels",),
        )
        for claim, moment, saboteurs in (
            (theory.ensemble_variance, "variance", (Saboteur("posterior variance of K", {"readout_only": True}),)),
            (
                theory.ensemble_covariance,
                "covariance",
                (Saboteur("law of the readout alone", {"readout_only": True}), halved),
            ),
        )
    ]


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.structured_kernel,
        "networks of one to three hidden layers",
        _shapes,
        _structured,
        (
            Saboteur(
                "readout of fan-in n + 1", {"speed": lambda net: {f"weights.{net.depth}": 1 / (1 + 1 / net.width)}}
            ),
            Saboteur(
                "biases forgotten",
                {"speed": lambda net: {f"biases.{i}": 0.0 for i in range(net.depth + 1) if net.biases}},
            ),
        ),
        backends=("kernels",),
    ),
    *_kernel_experiments(),
    _training(
        theory.kernel_drift, "ReLU", _grid(NARROW, 3, 5, **RELU), _drift, (200, 4000), _mean_field(NARROW, 3, 5, **RELU)
    ),
    _training(
        theory.kernel_drift, "erf", _grid(NARROW, 2, 3, **ERF), _drift, (200, 4000), _mean_field(NARROW, 2, 3, **ERF)
    ),
    _training(
        theory.kernel_drift_smooth,
        "erf",
        _grid(WIDE, 2, 3, **ERF),
        _drift,
        (600, 4000),
        Saboteur("ReLU", problems=_grid(NARROW, 2, 3, **RELU)),
    ),
    _training(
        theory.gate_drift,
        "one point, target 2",
        _grid(WIDE, 1, 2, 2.0, **GATE),
        _gate_loss,
        (600, 6000),
        Saboteur("erf has no gates", problems=_grid((*WIDE[:-1], 1300), 1, 2, 2.0, **{**GATE, "activation": "erf"})),
    ),
    _training(
        theory.weight_motion,
        "erf",
        _grid(NARROW, 2, 3, **ERF),
        _weight_motion,
        (200, 4000),
        _mean_field(NARROW, 2, 3, **ERF),
    ),
    _training(
        theory.linearization,
        "erf",
        _grid(NARROW, 2, 3, **ERF),
        _linearization,
        (200, 4000),
        _mean_field(NARROW, 2, 3, **ERF),
    ),
    Experiment(
        theory.residual_decay,
        "erf, n = 256",
        _even_task(256),
        partial(_decay, replicates=(256, 2048)),
        (Saboteur("rates of the readout alone", {"readout_only": True}),),
        backends=("kernels",),
    ),
    Experiment(
        theory.ensemble_mean,
        "erf, n = 512",
        _trained_task(512),
        partial(_law, replicates=(256, 4000), moment="mean"),
        (
            Saboteur("law of the readout alone", {"readout_only": True}),
            Saboteur("learning rate halved in the law", {"stretch": 0.5}),
        ),
        backends=("kernels",),
    ),
    *_spreads(),
)
