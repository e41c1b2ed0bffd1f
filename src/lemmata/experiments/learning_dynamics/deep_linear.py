"""Deep linear networks in training against the modes, learning times and delays that theory gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lemmata.experiments.learning_dynamics.shared import run_on
from lemmata.problems import learning_dynamics as problems
from lemmata.problems.learning_dynamics import DeepLinear
from lemmata.theory.learning_dynamics import deep_linear as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

STRENGTHS, INITIAL = (3.0, 2.0, 1.0), (0.02, 0.05, 0.1)
TAU = 1.5
Networks = Callable[[Setup], list[DeepLinear]]


def _aligned(*depths: int, skew: float = 1.0) -> Networks:
    """A network of each depth, with layers of different widths and three modes."""

    def make(setup: Setup) -> list[DeepLinear]:
        return [
            problems.aligned_network(
                (6, *((8, 3, 7, 4) * 2)[: depth - 1], 5), STRENGTHS, INITIAL, skew=skew, seed=setup.seed + depth
            )
            for depth in depths
        ]

    return make


def _unaligned(*depths: int) -> Networks:
    """Balanced but turned against the target: the start of another network."""

    def make(setup: Setup) -> list[DeepLinear]:
        other = [
            problems.aligned_network(
                (n.weights[0].shape[1], *(len(W) for W in n.weights)), STRENGTHS, INITIAL, seed=setup.seed + 90
            )
            for n in _aligned(*depths)(setup)
        ]
        return [
            DeepLinear(o.weights, n.U, n.strengths, n.V) for o, n in zip(other, _aligned(*depths)(setup), strict=True)
        ]

    return make


def _times(network: DeepLinear) -> np.ndarray:
    """From the start until the last mode is learned."""
    last = theory.learning_time(INITIAL, 0.95 * network.strengths, network.strengths, depth=network.depth, tau=TAU)
    return np.linspace(0, 1.2 * last.max(), 13)


def _flow(network: DeepLinear) -> tuple[np.ndarray, np.ndarray]:
    """Times, and ``U^T W V`` at them in gradient flow."""
    from lemmata.sims.learning_dynamics import deep_linear_flow

    times = _times(network)
    return times, network.modes(deep_linear_flow(network.weights, network.target, times.tolist(), tau=TAU))


def _sigmoid(instances: Sequence[DeepLinear], setup: Setup, *, speed: float = 1.0) -> Measurement:
    """Two layers; `speed` (of the clock of the claim) is to be sabotaged."""
    (network,) = instances
    times, modes = _flow(network)
    measured = np.diagonal(modes, axis1=1, axis2=2)
    claimed = theory.sigmoid_mode(t=speed * times[:, None], s=network.strengths, u0=np.array(INITIAL), tau=TAU)
    return Measurement(measured, claimed, {"t": times[:, None], "s": network.strengths}, scale=network.strengths)


def _modes(instances: Sequence[DeepLinear], setup: Setup, *, added: int = 0) -> Measurement:
    """Every depth, off the diagonal too; `added` layers of the claim are to be sabotaged."""
    measured, claimed, depths = [], [], []
    for network in instances:
        times, modes = _flow(network)
        depth = network.depth + added
        u = theory.mode_strength(times[:, None], np.array(INITIAL), network.strengths, depth=depth, tau=TAU)
        expected = np.zeros_like(modes)
        expected[:, range(3), range(3)] = u
        measured.append(modes.ravel())
        claimed.append(expected.ravel())
        depths.append(np.full(modes.size, network.depth))
    strength = theory.deep_mode(strength=np.concatenate(claimed))
    return Measurement(np.concatenate(measured), strength, {"D": np.concatenate(depths)}, scale=max(STRENGTHS))


# --------------------------------------------------------------------------------------- learning times

#: D, u_0, u_f, s
CHAINS = ((1, 0.1, 0.9, 1.5), (2, 0.01, 0.9, 1.0), (3, 0.01, 0.9, 1.0), (4, 0.2, 2.0, 2.5), (8, 0.05, 0.5, 0.7))
#: the chain whose depth is varied
U0, UF, S = 0.01, 0.9, 1.0


def _chain(depth: int, initial: float, final: float, strength: float, *, skew: float = 1.0) -> float:
    from lemmata.sims.learning_dynamics import chain_time

    layers = np.full(depth, initial ** (1 / depth))
    if depth > 1:
        layers[:2] *= skew, 1 / skew
    return chain_time(layers, final, strength, tau=TAU)


def _mode_time(instances: Sequence[Any], setup: Setup, *, skew: float = 1.0, added: int = 0) -> Measurement:
    """To be sabotaged: `skew` of the first two layers, `added` layers in the formula."""
    measured = [_chain(*chain, skew=skew) for chain in instances]
    claimed = [theory.learning_time(*chain[1:], depth=chain[0] + added, tau=TAU) for chain in instances]
    return Measurement(measured, theory.mode_time(time=claimed), {"D": [chain[0] for chain in instances]})


def _delay(depths: Sequence[int], setup: Setup, *, initial: float = U0) -> Measurement:
    """Relative distance of D t(D) from its limit; `initial` (u_0 in the limit) is to be sabotaged."""
    limit = theory.learning_time_limit(initial, UF, S, tau=TAU)
    times = np.array([_chain(depth, U0, UF, S) for depth in depths])
    return Measurement(abs(1 - np.array(depths) * times / limit), x=np.array(depths, dtype=float))


def _exponential(depths: Sequence[int], setup: Setup, *, fixed: bool = False) -> Measurement:
    """From layers of strength .5; `fixed` (u_0 in place of a) is to be sabotaged."""
    D, a = np.array(depths), 0.5
    times = [_chain(depth, U0 if fixed else a**depth, UF, S) for depth in depths]
    return Measurement(times, theory.exponential_delay(a=a, uf=UF, s=S, D=D, tau=TAU), {"D": D})


# -------------------------------------------------------------------------------------- gradient descent


def _deviation(instances: Sequence[DeepLinear], setup: Setup, *, delay: float = 0.0) -> Measurement:
    """Largest distance over times and modes by learning rate; `delay` of the claim's clock is to be sabotaged."""
    (network,) = instances
    per_unit = np.geomspace(50, 1600, 6)
    times = np.arange(0, 3.01, 0.1)
    weights, target = problems.stack([network])
    rows, columns = network.target.shape
    exact = theory.mode_strength(
        np.maximum(times - delay, 0)[:, None], np.array(INITIAL), network.strengths, depth=network.depth
    )
    found = []
    for x in per_unit:
        at = np.round(times * x).astype(int).tolist()
        maps = run_on(setup, "deep_linear_descent", weights, target, eta=1 / x, at=at)[0, :, :rows, :columns]
        found.append(abs(np.diagonal(network.modes(maps), axis1=1, axis2=2) - exact).max())
    return Measurement(found, x=per_unit)


def _random(scale: float) -> Networks:
    def make(setup: Setup) -> list[DeepLinear]:
        count = setup.size(16, 256)
        seeds = [1000 * setup.seed + i for i in range(count)]
        return [problems.random_network((6, 8, 5), STRENGTHS, scale=scale, seed=seed) for seed in seeds]

    return make


def _order(instances: Sequence[DeepLinear], setup: Setup) -> Measurement:
    """Ratios of half-times of neighbouring modes, gradient descent with learning rate .02."""
    weights, targets = problems.stack(instances)
    at = np.arange(0, 801, 4)
    maps = run_on(setup, "deep_linear_descent", weights, targets, eta=0.02, at=at.tolist())
    half = []
    for network, W in zip(instances, maps, strict=True):
        rows, columns = network.target.shape
        learned = np.diagonal(network.modes(W[:, :rows, :columns]), axis1=1, axis2=2) >= network.strengths / 2
        half.append(np.where(learned.any(axis=0), at[learned.argmax(axis=0)], np.inf))
    times = np.array(half) + 1.0  # a mode that is there at the start has the time 0
    return Measurement(times[:, 1:] / times[:, :-1], theory.strongest_first())


# ------------------------------------------------------------------------------------------- isometry

Products = Callable[..., tuple[np.ndarray, ...]]


def _singular_values(depth: int, seed: int, make: Products, width: int = 40) -> np.ndarray:
    found = np.eye(width)
    for W in make(depth, width, seed=seed):
        found = W @ found
    return np.linalg.svd(found, compute_uv=False)


def _isometry(depths: Sequence[int], setup: Setup, *, make: Products = problems.orthogonal_weights) -> Measurement:
    """Singular values; the matrices that `make` gives are to be sabotaged."""
    values = [_singular_values(depth, setup.seed, make) for depth in depths]
    return Measurement(values, theory.orthogonal_isometry(), {"D": np.array(depths)[:, None]})


def _spread(depths: Sequence[int], setup: Setup, *, make: Products = problems.gaussian_weights) -> Measurement:
    """Logarithms of condition numbers; the matrices that `make` gives are to be sabotaged."""
    logs = []
    for weights in (make, problems.orthogonal_weights):
        values = [_singular_values(depth, setup.seed, weights) for depth in depths]
        logs.append([np.log(v[0] / max(v[-1], 1e-300)) for v in values])
    D = np.array(depths)
    return Measurement(logs[0], theory.gaussian_spread(D=D), {"D": D}, control=logs[1])


def _near_orthogonal(depth: int, width: int, *, seed: int) -> tuple[np.ndarray, ...]:
    """Orthogonal weights with one part in 1e6 of normal ones."""
    pairs = zip(
        problems.orthogonal_weights(depth, width, seed=seed),
        problems.gaussian_weights(depth, width, seed=seed),
        strict=True,
    )
    return tuple(Q + 1e-6 * G for Q, G in pairs)


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.sigmoid_mode,
        "two layers, random singular vectors",
        _aligned(2),
        _sigmoid,
        (
            Saboteur("the factor 2 of the rate 1 % smaller", {"speed": 0.99}),
            Saboteur("unbalanced by 5 %", problems=_aligned(2, skew=1.05)),
            Saboteur("aligned with other singular vectors", problems=_unaligned(2)),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.deep_mode,
        "depths 1 to 6, random singular vectors",
        _aligned(1, 2, 3, 4, 6),
        _modes,
        (
            Saboteur("D + 1 layers of neurons taken for D + 1 weights", {"added": 1}),
            Saboteur("unbalanced by 5 %", problems=_aligned(3, skew=1.05)),
            Saboteur("aligned with other singular vectors", problems=_unaligned(3)),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.mode_time,
        "chains of 1 to 8 layers",
        lambda setup: list(CHAINS),
        _mode_time,
        (
            Saboteur("layers of neurons counted in place of weights", {"added": 1}),
            Saboteur("unbalanced by 5 %", {"skew": 1.05}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.depth_delay,
        "chains of 32 to 1024 layers",
        lambda setup: [32, 64, 128, 256, 512, 1024],
        _delay,
        (Saboteur("u_0 of the limit 2 % larger", {"initial": 1.02 * U0}),),
        backends=("sims",),
    ),
    Experiment(
        theory.exponential_delay,
        "layers of strength 1/2",
        lambda setup: [3, 4, 6, 8, 10],
        _exponential,
        (Saboteur("the product fixed in place of the layers", {"fixed": True}),),
        backends=("sims",),
    ),
    Experiment(
        theory.descent_deviation,
        "three layers, random singular vectors",
        _aligned(3),
        _deviation,
        (
            Saboteur("a clock that is late by .001", {"delay": 0.001}),
            Saboteur("unbalanced by 20 %", problems=_aligned(3, skew=1.2)),
        ),
    ),
    Experiment(
        theory.strongest_first,
        "random weights of scale 1e-3",
        _random(1e-3),
        _order,
        (Saboteur("weights of scale 1", problems=_random(1.0)),),
    ),
    Experiment(
        theory.orthogonal_isometry,
        "random orthogonal matrices, 1 to 50 layers",
        lambda setup: [1, 5, 20, 50],
        _isometry,
        (
            Saboteur("normal weights of variance 1/n", {"make": problems.gaussian_weights}),
            Saboteur("orthogonal up to one part in a million", {"make": _near_orthogonal}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.gaussian_spread,
        "random normal matrices, 1 to 10 layers",
        lambda setup: [1, 2, 5, 10],
        _spread,
        (Saboteur("orthogonal weights", {"make": problems.orthogonal_weights}),),
        backends=("sims",),
    ),
)
