"""Permutations learnt by ensembles: exact laws against dense algebra, sampled outputs, and trained networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.experiments.ntk.finite_width import tensor
from lemmata.problems.ntk.networks import Network
from lemmata.problems.ntk.permutation import Permutation, binary_inputs, normalized, read_bits
from lemmata.theory.ntk import permutation as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS", "dense_law"]

DELTA = 0.1
#: Units for each of the k inputs of a trained network: the bias of the mean outside, of order 1/n, is then near 5 %.
WIDTH = 512

# ------------------------------------------------------------------------------------------ dense algebra


def dense_law(
    k: int, bits: np.ndarray, *, gates: float, sw2: float = 1.0, linear: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Means and covariance after training, from the whole kernel matrices.

    Parameters
    ----------
    k : int
    bits : bool[N, k]
        Test inputs.
    gates : float
        1 under ``ntk``, 0 under ``standard``.
    sw2 : float
    linear : bool
        Networks without activation, to be sabotaged.

    Returns
    -------
    mean : float64[N, k]
        Under the identity permutation.
    covariance : float64[N, N]
        Over inputs, of each coordinate.
    """
    from lemmata.sims.ntk import ensemble_law, fc_kernels

    X = np.concatenate((np.eye(k), normalized(bits)))
    K, theta = fc_kernels(
        X,
        depth=1,
        activation="linear" if linear else "relu",
        sw2=sw2,
        parametrization="ntk" if gates else "standard",
    )
    law = ensemble_law(K, theta, np.eye(k), math.inf, eta=1.0, loss="half_sum")
    return law.mean[0, k:], law.covariance[0, k:, k:]


def _dense(
    instances: Sequence[int], setup: Setup, *, claim: Claim, gates: float, gram: float | None = None, **wrong: Any
) -> Measurement:
    """The claim for every m >= 2 against `dense_law`; `gram` (the gates of the solve alone) and others to sabotage."""
    measured, expected, at = [], [], []
    for k in instances:
        for m in range(2, k + 1):
            bits = binary_inputs(k, m)[:1]
            mean, covariance = dense_law(k, bits, gates=gates if gram is None else gram, **wrong)
            values = {"k": k, "m": m, "gates": gates, "sw2": 1.0}
            if claim is theory.permutation_variance:
                found = covariance[0, 0]
            elif claim is theory.permutation_inside:
                found = mean[0, bits[0]][-1]
            elif m == k:
                continue  # nothing is outside
            else:
                found = mean[0, ~bits[0]][-1]
            measured.append(found)
            expected.append(float(claim(**{name: values[name] for name in claim.symbols})))
            at.append((k, m))
    k_, m_ = np.array(at).T
    # means are of order one over k, and are sums of terms of order one
    scale = np.full(len(measured), 1 / k_.max()) if claim.kind == "identity" else None
    return Measurement(measured, expected, {"k": k_, "m": m_}, scale=scale)


def _sign(instances: Sequence[int], setup: Setup, *, gates: float, least: int = 2, linear: bool = False) -> Measurement:
    """Means outside the support; `least` (ones) and `linear` (networks) are there to be sabotaged."""
    measured, bounds, at = [], [], []
    for k in instances:
        for m in range(least, k):
            bits = binary_inputs(k, m)[:1]
            mean = dense_law(k, bits, gates=gates, linear=linear)[0][0, ~bits[0]]
            measured.append(mean.max())
            bounds.append(float(theory.permutation_sign(k=k, gates=gates)))
            at.append((k, m))
    k_, m_ = np.array(at).T
    return Measurement(measured, bounds, {"k": k_, "m": m_}, noise=1e-14)


# -------------------------------------------------------------------------------------- sampled outputs


def _sampled(k: int, bits: np.ndarray, models: int, draws: int, *, seed: int, **law: Any) -> np.ndarray:
    """Which inputs the mean of `models` outputs reads wrongly, bool[draws, N]; outputs are drawn, not trained.

    The mean of R independent Gaussian outputs is drawn at once, with covariance/R.
    """
    mean, covariance = dense_law(k, bits, **law)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0) / models)
    noise = np.random.default_rng(seed).standard_normal((draws, k, len(bits))) @ root.T
    return (read_bits(mean + noise.swapaxes(1, 2)) != bits).any(axis=2)


def _failure(
    instances: Sequence[int], setup: Setup, *, draws: tuple[int, int], sw2: float = 1.0, shared: bool = False
) -> Measurement:
    """Share of failures on one input with half the networks it needs.

    Every output of every network is drawn. `sw2` (of the networks) and `shared` (readouts) are there to be sabotaged.
    """
    found, expected = [], []
    count = setup.size(*draws)
    for i, k in enumerate(instances):
        bits = binary_inputs(k, 2)[:1]
        models = theory.ensemble_size(k, scope="single", parametrization="ntk") // 2
        mean, covariance = dense_law(k, bits, gates=1.0, sw2=sw2)
        rng = np.random.default_rng([setup.seed, i])
        total = np.zeros((count, k))
        for _ in range(models):
            total += rng.standard_normal((count, 1 if shared else k))
        outputs = mean + np.sqrt(covariance[0, 0]) * total / models
        found.append((read_bits(outputs) != bits).any(axis=1))
        probability = theory.failure_bound(k, 2, models, parametrization="ntk")
        expected.append(float(theory.permutation_failure(probability=probability)))
    return Measurement(np.stack(found, axis=1).astype(float), expected, {"k": list(instances)}, support=(0.0, 1.0))


def _promise(
    instances: Sequence[int],
    setup: Setup,
    *,
    scope: Any,
    draws: tuple[int, int],
    sizes: str = "ntk",
    sw2: float = 1.0,
    logarithm: bool = True,
) -> Measurement:
    """Wrong inputs with the promised number of networks.

    `sizes` (the parametrisation that the number is for), `sw2` (of the networks) and `logarithm` are to be sabotaged.
    """
    found = []
    for i, k in enumerate(instances):
        bits = binary_inputs(k, 2)[:1] if scope == "single" else binary_inputs(k)
        models = theory.sub_gaussian_size(k, delta=DELTA, scope=scope, parametrization=sizes)  # type: ignore[arg-type]
        if not logarithm:
            models = math.ceil(models / math.log(k / DELTA))
        wrong = _sampled(k, bits, models, setup.size(*draws), seed=1000 * setup.seed + i, gates=1.0, sw2=sw2)
        found.append(wrong.sum(axis=1))
    claim = theory.permutation_single if scope == "single" else theory.permutation_all
    return Measurement(np.stack(found, axis=1), claim(), {"k": list(instances)})


def _order(instances: Sequence[int], setup: Setup, *, growing: bool = False, **size: Any) -> Measurement:
    """Networks needed against k; `growing` (weights, so that the variance does not fall with k) is to be sabotaged."""
    needed = [
        theory.ensemble_size(k, delta=DELTA, sw2=math.sqrt(k) if growing else 1.0, parametrization="ntk", **size)
        for k in instances
    ]
    return Measurement(np.array(needed, dtype=float), x=list(instances))


# ------------------------------------------------------------------------------------- trained networks


@lru_cache(maxsize=10)  # five k, trained and stopped early
def _trained(k: int, width: int, pairs: int, parametrization: Any, steps: int, setup: Setup) -> np.ndarray:
    """Outputs on every input with two ones, [pair, member, input, coordinate], coordinates permuted back."""
    from lemmata.kernels.ntk.ensembles import train

    pi = Permutation.shift(k)
    X, Y, X_test = (tensor(a, setup) for a in (pi.X, pi.Y, normalized(binary_inputs(k, 2))))
    network = Network(k, width, k, activation="relu", parametrization=parametrization)
    beta = 1 / (2 * np.pi)
    diagonal = 1.0 if parametrization == "ntk" else 0.5
    largest = (diagonal + (k - 1) * beta) / k * (1 if parametrization == "ntk" else width)
    # slowest factor 1 - lambda_min/lambda_max; the residual falls to 1e-6
    slowest = (k * beta) / (diagonal - beta + k * beta)
    run = train(
        network,
        X,
        Y,
        X_test=X_test,
        eta=1 / largest,
        steps=steps or math.ceil(math.log(1e-6) / math.log(slowest)),
        loss="half_sum",
        antithetic=True,
        replicates=2 * pairs,
        seed=setup.seed,
    )
    outputs = run["output"].values[:, -1, k:][..., pi.images]
    return outputs.reshape(pairs, 2, *outputs.shape[1:])


def _split(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Means over what should be 1 and over what should be 0, from [..., input, coordinate]."""
    bits = binary_inputs(k, 2)
    return values[..., bits].mean(axis=-1), values[..., ~bits].mean(axis=-1)


def _trained_mean(
    instances: Sequence[int],
    setup: Setup,
    *,
    parametrization: Any,
    pairs: tuple[int, int],
    law: str | None = None,
    steps: int = 0,
) -> Measurement:
    """Means inside and outside at width 512 k; `law` (claimed) and `steps` are there to be sabotaged."""
    found, at = [], []
    for k in instances:
        claimed = theory.permutation_law(k, 2, parametrization=law or parametrization)  # type: ignore[arg-type]
        outputs = _trained(k, WIDTH * k, setup.size(*pairs), parametrization, steps, setup)
        for name, values, value in zip(("inside", "outside"), _split(outputs.mean(axis=1), k), claimed, strict=False):
            found.append(values / value)
            at.append((k, name))
    k_, where = zip(*at, strict=True)
    return Measurement(np.stack(found, axis=1), theory.permutation_trained_mean(), {"k": list(k_), "bit": list(where)})


def _trained_variance(
    instances: Sequence[int], setup: Setup, *, parametrization: Any, pairs: tuple[int, int], sw2: float = 1.0
) -> Measurement:
    """Squared deviations at width 512 k, averaged over inputs, coordinates and the pair; `sw2` is to be sabotaged."""
    found = []
    for k in instances:
        claimed = theory.permutation_law(k, 2, sw2=sw2, parametrization=parametrization)
        mean = np.where(binary_inputs(k, 2), claimed.inside, claimed.outside)
        outputs = _trained(k, WIDTH * k, setup.size(*pairs), parametrization, 0, setup)
        found.append(((outputs - mean) ** 2).mean(axis=(1, 2, 3)) / claimed.variance)
    return Measurement(
        np.stack(found, axis=1), theory.permutation_trained_variance(), {"k": list(instances)}, nonnegative=True
    )


# ------------------------------------------------------------------------------------------ experiments


def _few(setup: Setup) -> list[int]:
    return list(range(4, setup.size(9, 13)))


def _some(setup: Setup) -> list[int]:
    return [4, 8] if setup.budget == "quick" else [4, 8, 12]


def _all_inputs(setup: Setup) -> list[int]:
    return [4, 6] if setup.budget == "quick" else [4, 6, 8]


def _many(setup: Setup) -> list[int]:
    return [256, 512, 1024, 2048, 4096, 8192, 16384]


def _medium(setup: Setup) -> list[int]:
    return [8, 16, 32, 64, 128, 256, 512]


def _to_train(setup: Setup) -> list[int]:
    return [4] if setup.budget == "quick" else [4, 6, 8, 10, 12]


def _identities() -> list[Experiment]:
    made = []
    for name, gates in (("ntk", 1.0), ("standard", 0.0)):
        for claim in (theory.permutation_inside, theory.permutation_outside, theory.permutation_variance):
            other = Saboteur("kernel of the other parametrisation", {"gram": 1 - gates})
            wide = Saboteur("weights 1 % too large", {"sw2": 1.01})
            made.append(
                Experiment(
                    claim,
                    f"{name} parametrisation",
                    _few,
                    partial(_dense, claim=claim, gates=gates),
                    (other, wide) if claim is theory.permutation_variance else (other,),
                    backends=("sims",),
                )
            )
        made.append(
            Experiment(
                theory.permutation_sign,
                f"{name} parametrisation",
                _few,
                partial(_sign, gates=gates),
                (
                    Saboteur("one 1, a training point", {"least": 1}),
                    Saboteur("networks without activation", {"linear": True}),
                ),
                backends=("sims",),
            )
        )
    return made


def _trainings() -> list[Experiment]:
    made = []
    for name, other in (("ntk", "standard"), ("standard", "ntk")):
        options: dict[str, Any] = {"parametrization": name, "pairs": (300, 1000)}
        made.append(
            Experiment(
                theory.permutation_trained_mean,
                f"{name} parametrisation",
                _to_train,
                partial(_trained_mean, **options),
                (
                    Saboteur("law of the other parametrisation", {"law": other}),
                    Saboteur("stopped after two steps", {"steps": 2}),
                ),
                backends=("kernels",),
            )
        )
        made.append(
            Experiment(
                theory.permutation_trained_variance,
                f"{name} parametrisation",
                _to_train,
                partial(_trained_variance, **options),
                (Saboteur("weights 20 % larger in the law", {"sw2": 1.2}),),
                backends=("kernels",),
            )
        )
    return made


_SIZES = Saboteur("number for the standard parametrisation", {"sizes": "standard"})

EXPERIMENTS: tuple[Experiment, ...] = (
    *_identities(),
    Experiment(
        theory.permutation_failure,
        "two ones, outputs drawn",
        _some,
        partial(_failure, draws=(20_000, 200_000)),
        (
            Saboteur("weights 20 % larger", {"sw2": 1.2}),
            Saboteur("coordinates share one readout", {"shared": True}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.permutation_single,
        "two ones, outputs drawn",
        _some,
        partial(_promise, scope="single", draws=(1000, 100_000)),
        (_SIZES, Saboteur("the logarithm left out", {"logarithm": False})),
        backends=("sims",),
    ),
    Experiment(
        theory.permutation_all,
        "every input with two ones or more, outputs drawn",
        _all_inputs,
        partial(_promise, scope="all", draws=(1000, 20_000)),
        (_SIZES, Saboteur("weights twice as large", {"sw2": 2.0})),
        backends=("sims",),
    ),
    Experiment(
        theory.permutation_single_order,
        "k = 256 to 16,384",
        _many,
        partial(_order, scope="single"),
        (Saboteur("a variance that does not fall with k", {"growing": True}),),
        backends=("sims",),
    ),
    Experiment(
        theory.permutation_all_order,
        "crude union bound, k = 8 to 512",
        _medium,
        partial(_order, scope="all", union="crude"),
        (Saboteur("a variance that does not fall with k", {"growing": True}),),
        backends=("sims",),
    ),
    Experiment(
        theory.permutation_all_order,
        "union bound weighted by m, k = 8 to 512",
        _medium,
        partial(_order, scope="all", union="weighted"),
        (Saboteur("crude, and a variance that does not fall with k", {"union": "crude", "growing": True}),),
        backends=("sims",),
    ),
    *_trainings(),
)
