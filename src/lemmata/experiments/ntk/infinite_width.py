"""Infinite width: the kernels against quadrature, against 50 digits, and far down.

A simulator can be replaced by ``kernels(network, X, Y) -> (K, Theta)``; that, and another network than the one that is
spoken of, are there to be sabotaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import combinations
from typing import Any

import numpy as np

from lemmata.problems.ntk.activations import Activation, leaky_relu, smooth
from lemmata.problems.ntk.infinite_width import InfiniteNetwork, KernelTask
from lemmata.problems.ntk.networks import sphere_points
from lemmata.theory.ntk import infinite_width as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

Kernels = Callable[[InfiniteNetwork, np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]]
Change = Callable[[InfiniteNetwork], InfiniteNetwork]
#: An activation and the variance of its weights.
Kind = tuple[str | Activation, float]


def _kernels(
    network: InfiniteNetwork,
    X: np.ndarray,
    Y: np.ndarray | None = None,
    *,
    setup: Setup,
    kernels: Kernels | None = None,
    change: Change | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """K and Theta on the backend, float64[n, m]."""
    network = network if change is None else change(network)
    if kernels is not None:
        return kernels(network, X, Y)
    options: dict[str, Any] = {
        name: getattr(network, name) for name in ("depth", "activation", "sw2", "sb2", "rates", "parametrization")
    }
    if setup.backend == "sims":
        from lemmata.sims.ntk.infinite_width import fc_kernels

        return fc_kernels(X, Y, **options)
    import torch

    from lemmata.kernels.ntk.infinite_width import fc_kernels as batched

    points = (
        None if points is None else torch.tensor(points, dtype=getattr(torch, setup.dtype), device=setup.device)
        for points in (X, Y)
    )
    K, theta = (kernel.double().cpu().numpy() for kernel in batched(*points, **options))
    return K, theta


def _sizes(kernel: np.ndarray) -> np.ndarray:
    """``sqrt(kernel(x, x) kernel(x', x'))``."""
    return np.sqrt(np.outer(kernel.diagonal(), kernel.diagonal()))


def _pairs(points: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(points, 1)


# --------------------------------------------------------------------------------------------- defects


def _readout_alone(network: InfiniteNetwork) -> InfiniteNetwork:
    return replace(network, rates=(0.0,) * network.depth + (1.0,))


def _rounded(network: InfiniteNetwork, X: np.ndarray, Y: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The recursion of a piecewise-linear network with an arccos of the rounded cosine, as it is printed."""
    phi, Y = network.activation, X if Y is None else Y
    k, kink = phi.mean_square_slope, (phi.positive - phi.negative) ** 2 / (2 * math.pi)
    q11, q22 = (network.sw2 * (points**2).sum(axis=1) / points.shape[1] + network.sb2 for points in (X, Y))
    q = network.sw2 * (X @ Y.T) / X.shape[1] + network.sb2
    theta = q
    for _ in range(network.depth):
        size = np.sqrt(np.outer(q11, q22))
        angle = np.arccos(np.clip(q / size, -1, 1))
        slope = k - kink * angle
        q = network.sw2 * (kink * size * np.sin(angle) + slope * q) + network.sb2
        theta = q + network.sw2 * slope * theta
        q11, q22 = (network.sw2 * k * variance + network.sb2 for variance in (q11, q22))
    return q, theta


def _across_the_kink(activation: Activation, q11: float, q22: float, q12: float) -> tuple[float, float]:
    """T and T' by a product of Gauss-Hermite rules of 64 nodes, which see no kink."""
    x, weight = np.polynomial.hermite_e.hermegauss(64)
    weight = weight / weight.sum()
    c = q12 / math.sqrt(q11 * q22)
    u, v = math.sqrt(q11) * x[:, None], math.sqrt(q22) * (c * x[:, None] + math.sqrt(1 - c * c) * x)
    a, b = activation.negative, activation.positive
    value, slope = (
        float(weight @ (f(u) * f(v)) @ weight)
        for f in (lambda t: np.where(t > 0, b * t, a * t), lambda t: np.where(t > 0, b, a))
    )
    return value, slope


def _gauss_hermite(network: InfiniteNetwork, X: np.ndarray, Y: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    K, theta = _rounded(network, X, Y)
    for i, j in combinations(range(len(X)), 2):
        K[i, j], theta[i, j] = theory.pair_by_quadrature(network, X[i], X[j], _across_the_kink)
    return K, theta


# ---------------------------------------------------------------------------------------------- values


def _recursion(instances: Sequence[KernelTask], setup: Setup, **changes: Any) -> Measurement:
    """K and Theta of all pairs beside quadrature, in units of the largest of a task."""
    found, expected = [], []
    for task in instances:
        upper = _pairs(len(task.X))
        pairs = [theory.pair_by_quadrature(task.network, task.X[i], task.X[j]) for i, j in zip(*upper, strict=True)]
        unit = np.abs(pairs).max(axis=0)
        expected.append(np.array(pairs) / unit)
        found.append(
            np.stack([k[upper] for k in _kernels(task.network, task.X, setup=setup, **changes)], axis=1) / unit
        )
    return Measurement(np.stack(found), theory.kernel_recursion(recursion=np.stack(expected)), scale=1.0)


@lru_cache(maxsize=4)
def _exact(task: KernelTask) -> np.ndarray:
    """[kernel, point, point]."""
    found = np.empty((2, len(task.X), len(task.X)))
    for i, x in enumerate(task.X):
        for j, y in enumerate(task.X):
            found[:, i, j] = found[:, j, i] if j < i else theory.exact_kernels(task.network, x, y)
    return found


def _coincidence(
    instances: Sequence[KernelTask], setup: Setup, *, kernels: Kernels | None = None, digits: Any = np.float64
) -> Measurement:
    """K and Theta over the roots of the diagonal, of one set and of two; `digits` are there to be sabotaged."""
    found, expected = [], []
    for task in instances:
        X = task.X.astype(digits).astype(np.float64)
        for Y in (None, X.copy()):
            pair = _kernels(task.network, X, Y, setup=setup, kernels=kernels)
            for measured, exact in zip(pair, _exact(task), strict=True):
                found.append(measured / _sizes(exact))
                expected.append(exact / _sizes(exact))
    return Measurement(np.stack(found), theory.kernel_coincidence(exact=np.stack(expected)), scale=1.0)


def _diagonal(instances: Sequence[KernelTask], setup: Setup, **changes: Any) -> Measurement:
    found, expected, depths = [], [], []
    for task in instances:
        network = task.network
        found.append(_kernels(network, task.X, setup=setup, **changes)[1].diagonal())
        q = network.sw2 * (task.X**2).mean(axis=1)
        k = network.activation.mean_square_slope
        expected.append(theory.kernel_diagonal(L=network.depth, k=k, sw2=network.sw2, q=q))
        depths.append(np.full(q.size, network.depth))
    return Measurement(np.concatenate(found), np.concatenate(expected), {"L": np.concatenate(depths)})


def _homogeneity(instances: Sequence[KernelTask], setup: Setup) -> Measurement:
    found, expected, scale = [], [], []
    for task in instances:
        X, Y = task.X[:3], task.X[3:]
        theta = _kernels(task.network, X, Y, setup=setup)[1]
        for a, b in ((2.0, 3.0), (0.01, 7.0), (30.0, 1 / 3)):
            found.append(_kernels(task.network, a * X, b * Y, setup=setup)[1])
            expected.append(theory.kernel_homogeneity(a=a, b=b, theta=theta))
            scale.append(np.full(theta.shape, a * b * np.abs(theta).max()))
    return Measurement(np.stack(found), np.stack(expected), scale=np.stack(scale))


# ----------------------------------------------------------------------------------------- eigenvalues


def _least(
    instances: Sequence[KernelTask], setup: Setup, *, change: Change | None = None, signed: bool = False
) -> Measurement:
    """Smallest eigenvalue of Theta; `signed` (opposite points taken for distant ones) is there to be sabotaged."""
    found, bounds, cosines = [], [], []
    for task in instances:
        network = task.network
        theta = _kernels(network, task.X, setup=setup, change=change)[1]
        found.append(np.linalg.eigvalsh(theta)[0])
        covariance = network.sw2 * task.X @ task.X.T / task.X.shape[1] + network.sb2
        cosine = (covariance / (network.sw2 + network.sb2))[_pairs(len(task.X))]
        cosines.append(float((cosine if signed else np.abs(cosine)).max()))
        bounds.append(float(theory.least_eigenvalue(network, len(task.X), max(cosines[-1], 0.0))))
    return Measurement(found, theory.smallest_eigenvalue(bound=np.array(bounds)), {"rho": cosines}, noise=1e-13)


def _zeros(network: InfiniteNetwork, X: np.ndarray, setup: Setup) -> int:
    """Eigenvalues of Theta that are 0 to rounding."""
    values = np.linalg.eigvalsh(_kernels(network, X, setup=setup)[1])
    return int((values < (1e-12 if setup.dtype == "float64" else 1e-5) * values[-1]).sum())


def _opposite(instances: Sequence[KernelTask], setup: Setup, *, depth: int = 1) -> Measurement:
    """Zeros with one hidden layer, and as control with one more; `depth` (of the first) is there to be sabotaged."""
    zeros, controls, pairs, inputs = [], [], [], []
    for task in instances:
        zeros.append(_zeros(replace(task.network, depth=depth), task.X, setup))
        controls.append(_zeros(replace(task.network, depth=2), task.X, setup))
        pairs.append(len(task.X) // 2)
        inputs.append(task.X.shape[1])
    expected = theory.opposite_points(p=np.array(pairs), d=np.array(inputs))
    return Measurement(zeros, expected, {"p": pairs, "d": inputs}, control=controls)


# ------------------------------------------------------------------------------------------ far down


def _angle(network: InfiniteNetwork, X: np.ndarray, setup: Setup, **changes: Any) -> float:
    """``bend L t_L / (3 pi)``; the cosine is that of the kernel one layer on."""
    K = _kernels(replace(network, depth=network.depth - 1), X, setup=setup, **changes)[0]
    # 1 - cos from the difference of two entries: 1e-4 and more of the diagonal
    angle = 2 * math.asin(math.sqrt((1 - K[0, 1] / _sizes(K)[0, 1]) / 2))
    return network.activation.bend * network.depth * angle / (3 * math.pi)


def _quarter(network: InfiniteNetwork, X: np.ndarray, setup: Setup, **changes: Any) -> float:
    theta = _kernels(network, X, setup=setup, **changes)[1]
    return 4 * theta[0, 1] / _sizes(theta)[0, 1]


def _deep(
    instances: Sequence[KernelTask], setup: Setup, *, quantity: Callable[..., float], **changes: Any
) -> Measurement:
    found = [abs(quantity(task.network, task.X, setup, **changes) - 1) for task in instances]
    return Measurement(found, x=[task.network.depth for task in instances])


# ------------------------------------------------------------------------------------------- instances


def _network(depth: int, activation: str | Activation, sw2: float, sb2: float = 0.0) -> InfiniteNetwork:
    return InfiniteNetwork(depth, activation, sw2, sb2, parametrization="ntk")  # type: ignore[arg-type]


def _random(n: int, d: int, setup: Setup) -> np.ndarray:
    return np.random.default_rng(setup.seed).standard_normal((n, d))


#: Piecewise-linear networks that keep variances as they are.
STEADY: tuple[Kind, ...] = (("relu", 2.0), (leaky_relu(0.3), 2 / 1.09), ("abs", 1.0))
CLOSED: tuple[Kind, ...] = (
    *STEADY,
    ("step", 2.0),
    ("erf", 1.5),
    ("sin", 1.5),
    ("quadratic", 0.4),
)
SMOOTH: tuple[Kind, ...] = (
    ("tanh", 1.5),
    ("gelu", 1.5),
    ("sigmoid", 2.0),
    (smooth(lambda u: np.exp(-(u**2)), "gaussian"), 1.5),
)


def _layered(kinds: Sequence[Kind], setup: Setup, depths: Sequence[int]) -> list[KernelTask]:
    X = _random(setup.size(4, 12), 4, setup)
    return [KernelTask(_network(depth, phi, sw2, 0.1), X) for phi, sw2 in kinds for depth in depths]


@lru_cache(maxsize=1)
def _near_tasks() -> list[KernelTask]:
    """A point, itself again, points at distances to 1e-15 of it, and the opposites of all of them."""
    x, aside = np.random.default_rng(5).standard_normal((2, 6))
    near = np.array([x, *(x + t * aside for t in (0.0, 1e-15, 1e-12, 1e-8, 1e-6, 1e-4, 1e-2, 0.05, 0.3))])
    X = np.concatenate((near, -near))
    networks = (*(_network(depth, *STEADY[0]) for depth in (1, 10)), _network(3, *STEADY[1], 0.1))
    return [KernelTask(network, X) for network in networks]


def _diagonal_tasks(setup: Setup, sb2: float = 0.0) -> list[KernelTask]:
    X = _random(16, 11, setup)
    return [KernelTask(_network(depth, *kind, sb2), X) for kind in STEADY for depth in (1, 2, 8, 64)]


def _scaled_tasks(setup: Setup, kinds: Sequence[Kind] = STEADY, sb2: float = 0.0) -> list[KernelTask]:
    return [KernelTask(_network(depth, *kind, sb2), _random(5, 4, setup)) for kind in kinds for depth in (1, 3)]


def _two_points(setup: Setup) -> list[KernelTask]:
    """Two points on the circle, at which the bound is met."""
    made = []
    for cosine in (0.01, 0.3, 0.9, 0.99):
        X = math.sqrt(2) * np.array([[1.0, 0.0], [cosine, math.sqrt(1 - cosine**2)]])
        made += [KernelTask(_network(1, phi, 2.0), X) for phi in ("relu", "abs", "erf")]
    return made


def _sphere(setup: Setup, opposite: bool = False) -> list[KernelTask]:
    made = []
    for i in range(setup.size(4, 60)):
        X = sphere_points(8, 24, seed=1000 * setup.seed + i)
        X = np.concatenate((X, -X)) if opposite else X
        made += [KernelTask(_network(1, phi, 1.5, sb2), X) for phi, sb2 in (("relu", 0.0), ("relu", 0.3), ("erf", 0.0))]
    return made


def _opposite_tasks(setup: Setup, sb2: float = 0.0, paired: bool = True) -> list[KernelTask]:
    made = []
    for p, d in ((5, 3), (8, 4), (12, 6)):
        U = sphere_points(p, d, seed=1000 * setup.seed + p)
        X = np.concatenate((U, -U if paired else sphere_points(p, d, seed=1000 * setup.seed + p + 1)))
        made.append(KernelTask(_network(1, "relu", 2.0, sb2), X))
    return made


def _tower(kind: Kind, setup: Setup, sb2: float = 0.0) -> list[KernelTask]:
    """Two orthogonal points under more and more layers."""
    depths = (32, 64, 128, 256, 512, 1024, *((2048, 4096, 8192) if setup.budget == "full" else ()))
    X = math.sqrt(2) * np.eye(2)
    return [KernelTask(_network(depth, *kind, sb2), X) for depth in depths]


ROUNDED = Saboteur("arccos of the rounded cosine", {"kernels": _rounded})
READOUT = Saboteur("the readout alone is trained", {"change": _readout_alone})
DEEPER = Saboteur("one layer more", {"change": lambda network: replace(network, depth=network.depth + 1)})
SMOOTH_TOWER = Saboteur("erf", problems=partial(_tower, ("erf", math.pi / 4)))
BIASED_TOWER = Saboteur("biases", problems=partial(_tower, STEADY[0], sb2=0.1))
DEVIATION = Saboteur("sw2 taken for its root", {"change": lambda network: replace(network, sw2=network.sw2**0.5)})


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.kernel_recursion,
        "piecewise linear, random points",
        lambda setup: _layered(STEADY, setup, (1, 3)),
        _recursion,
        (Saboteur("Gauss-Hermite across the kink", {"kernels": _gauss_hermite}), DEEPER, DEVIATION, READOUT),
    ),
    Experiment(
        theory.kernel_recursion,
        "other closed forms, random points",
        lambda setup: _layered(CLOSED[3:], setup, (1, 3)),
        _recursion,
        (DEEPER, DEVIATION, READOUT),
    ),
    Experiment(
        theory.kernel_recursion,
        "Hermite series, random points",
        lambda setup: _layered(SMOOTH, setup, (1, 3)),
        _recursion,
        (DEEPER, DEVIATION, READOUT),
    ),
    Experiment(
        theory.kernel_coincidence,
        "distances to 1e-15",
        lambda setup: _near_tasks(),
        _coincidence,
        (ROUNDED, Saboteur("points rounded to float32", {"digits": np.float32})),
    ),
    Experiment(
        theory.kernel_diagonal,
        "random points",
        _diagonal_tasks,
        _diagonal,
        (ROUNDED, Saboteur("biases", problems=partial(_diagonal_tasks, sb2=1e-3))),
    ),
    Experiment(
        theory.kernel_homogeneity,
        "random points",
        _scaled_tasks,
        _homogeneity,
        (
            Saboteur("biases", problems=partial(_scaled_tasks, sb2=1e-6)),
            Saboteur("erf", problems=partial(_scaled_tasks, kinds=(("erf", 1.0),))),
        ),
    ),
    Experiment(
        theory.smallest_eigenvalue,
        "two points",
        _two_points,
        _least,
        (READOUT, Saboteur("sw2 1 % too small", {"change": lambda n: replace(n, sw2=0.99 * n.sw2)})),
    ),
    Experiment(
        theory.smallest_eigenvalue,
        "random points on a sphere",
        _sphere,
        _least,
        (Saboteur("opposite points taken for distant ones", {"signed": True}, partial(_sphere, opposite=True)),),
    ),
    Experiment(
        theory.opposite_points,
        "five to twelve pairs",
        _opposite_tasks,
        _opposite,
        (
            Saboteur("a second hidden layer", {"depth": 2}),
            Saboteur("biases", problems=partial(_opposite_tasks, sb2=0.01)),
            Saboteur("no opposite points", problems=partial(_opposite_tasks, paired=False)),
        ),
    ),
    Experiment(
        theory.depth_angle,
        "ReLU",
        partial(_tower, STEADY[0]),
        partial(_deep, quantity=_angle),
        (Saboteur("half of the layers", {"change": lambda n: replace(n, depth=n.depth // 2)}), BIASED_TOWER),
    ),
    Experiment(
        theory.depth_angle,
        "absolute value",
        partial(_tower, STEADY[2]),
        partial(_deep, quantity=_angle),
        (SMOOTH_TOWER,),
        backends=("sims",),
    ),
    Experiment(
        theory.depth_kernel,
        "ReLU",
        partial(_tower, STEADY[0]),
        partial(_deep, quantity=_quarter),
        (READOUT, BIASED_TOWER),
    ),
    Experiment(
        theory.depth_kernel,
        "absolute value",
        partial(_tower, STEADY[2]),
        partial(_deep, quantity=_quarter),
        (SMOOTH_TOWER,),
        backends=("sims",),
    ),
)
