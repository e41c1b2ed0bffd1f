"""Permutations from unit vectors: exact laws, numbers of networks, trained ensembles, and what is refused."""

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.experiments.ntk import permutation as experiments
from lemmata.experiments.ntk.permutation import dense_law
from lemmata.kernels.ntk.ensembles import train
from lemmata.problems.ntk.networks import Network
from lemmata.problems.ntk.permutation import Permutation, binary_inputs, check_binary, normalized, read_bits
from lemmata.theory.ntk import permutation as theory
from lemmata.verification import Setup, run

# k, inside, outside, variance, (sigma/outside)^2 under ntk; outside, (sigma/outside)^2 / k with the readout alone
TABLE = [
    (4, 0.55906, -0.016217, 0.016631, 63.24, -0.045981, 1.92),
    (8, 0.56394, -0.011333, 0.008185, 63.72, -0.027846, 1.27),
    (12, 0.56656, -0.008710, 0.005414, 71.36, -0.019969, 1.09),
    (20, 0.56932, -0.005954, 0.003224, 90.93, -0.012754, 0.950),
    (50, 0.57255, -0.002723, 0.001279, 172.5, -0.005416, 0.833),
    (200, 0.57454, -0.000733, 0.000318, 591.7, -0.001397, 0.778),
    (400, 0.57490, -0.000371, 0.000159, 1152.2, -0.000702, 0.769),
]

# -------------------------------------------------------------------------------------------- exact laws


@pytest.mark.parametrize("row", TABLE)
def test_table_of_two_ones(row):
    k, inside, outside, variance, hardness, readout_outside, per_k = row
    law, readout = (theory.permutation_law(k, 2, parametrization=p) for p in ("ntk", "standard"))
    assert law.inside == pytest.approx(inside, abs=6e-6)
    assert law.outside == pytest.approx(outside, abs=6e-7)
    assert law.variance == pytest.approx(variance, abs=6e-7)
    assert law.hardness == pytest.approx(hardness, rel=1e-3)
    assert readout.outside == pytest.approx(readout_outside, abs=6e-7)
    assert readout.hardness / k == pytest.approx(per_k, abs=6e-3)


def test_limits_of_large_k():
    k = 10**7
    law = theory.permutation_law(k, 2, parametrization="ntk")
    assert k * law.outside == pytest.approx(-0.15054, abs=1e-5)
    assert law.inside == pytest.approx(0.57527, abs=1e-5)
    assert k * law.variance == pytest.approx(0.063540, abs=1e-6)
    assert law.hardness / k == pytest.approx(2.80366, abs=1e-4)


@given(st.integers(2, 9), st.data(), st.sampled_from(["ntk", "standard"]), st.floats(0.2, 3))
def test_closed_forms_are_the_dense_solve(k, data, parametrization, sw2):
    m = data.draw(st.integers(1, k))
    bits = np.zeros((1, k), dtype=bool)
    bits[0, data.draw(st.permutations(range(k)))[:m]] = True
    mean, covariance = dense_law(k, bits, gates=float(parametrization == "ntk"), sw2=sw2)
    law = theory.permutation_law(k, m, sw2=sw2, parametrization=parametrization)
    np.testing.assert_allclose(mean[bits], law.inside, atol=1e-12)
    np.testing.assert_allclose(mean[~bits], law.outside, atol=1e-12)
    assert covariance[0, 0] == pytest.approx(law.variance, abs=1e-12 * sw2**2)


@pytest.mark.parametrize("parametrization", ["ntk", "standard"])
def test_bits_are_signs_and_two_ones_are_the_hardest(parametrization):
    for k in (3, 8, 30, 200):
        laws = [theory.permutation_law(k, m, parametrization=parametrization) for m in range(2, k)]
        assert min(law.inside for law in laws) > 0
        outside = np.array([law.outside for law in laws])
        assert (outside < 0).all()
        assert (np.diff(outside) < 0).all()
        assert int(np.argmax([law.hardness for law in laws])) == 0


def test_one_1_is_a_training_point():
    assert theory.permutation_law(5, 1, parametrization="ntk") == (1.0, 0.0, 0.0)
    mean, covariance = dense_law(5, binary_inputs(5, 1), gates=1.0)
    np.testing.assert_allclose(mean, np.eye(5), atol=1e-14)
    np.testing.assert_allclose(covariance, 0, atol=1e-15)


def test_small_weights_need_few_networks():
    one, half = (theory.ensemble_size(8, scope="single", sw2=sw2, parametrization="ntk") for sw2 in (1.0, 0.5))
    assert 4 * (half - 1) <= one <= 4 * half  # R is proportional to the variance, and that to sw2^2


# ------------------------------------------------------------------------------------ numbers of networks


@pytest.mark.parametrize(
    ("k", "single", "crude", "weighted"),
    [
        (4, 171, 473, 363),
        (8, 289, 933, 669),
        (12, 386, 1490, 931),
        (20, 586, 2976, 1469),
        (80, 2328, 30097, 6227),
        (320, 10847, 419256, 30099),
    ],
)
def test_table_of_ensemble_sizes(k, single, crude, weighted):
    def size(scope, union="weighted"):
        return theory.ensemble_size(k, scope=scope, union=union, parametrization="ntk")

    # the table rounds, a number of networks is the next integer
    assert 0 <= size("single") - single <= 1
    assert 0 <= size("all", "crude") - crude <= 1
    assert 0 <= size("all") - weighted <= 1
    for scope in ("single", "all"):
        assert theory.sub_gaussian_size(k, delta=0.1, scope=scope, parametrization="ntk") >= size(scope, "crude")


@given(st.integers(3, 12), st.floats(0.01, 0.5))
def test_a_promise_is_kept_and_no_network_is_too_many(k, delta):
    models = theory.ensemble_size(k, delta=delta, scope="single", parametrization="ntk")
    law = theory.permutation_law(k, 2, parametrization="ntk")

    def union(R):
        spread = math.sqrt(law.variance / R)
        return 2 * norm.sf(law.inside / spread) + (k - 2) * norm.sf(-law.outside / spread)

    assert union(models) <= delta < (union(models - 1) if models > 1 else 1)
    # the product of independent coordinates is below the sum
    assert theory.failure_bound(k, 2, models, parametrization="ntk") <= union(models) * (1 + 1e-12)


def test_the_square_is_a_property_of_the_union_bound():
    """k^2 for the crude bound, k log k for the one that weighs inputs by their number of ones."""
    k = np.array([64, 128, 256, 512])
    crude, weighted = (
        np.array([theory.ensemble_size(int(q), scope="all", union=u, parametrization="ntk") for q in k])
        for u in ("crude", "weighted")
    )
    assert np.polyfit(np.log(k), np.log(crude), 1)[0] > 1.8
    assert np.polyfit(np.log(k), np.log(weighted), 1)[0] < 1.2
    assert (weighted < crude).all()


# ------------------------------------------------------------------------------------------------- data


def test_permutations():
    pi = Permutation([2, 0, 1])
    np.testing.assert_array_equal(pi.Y, [[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(pi([1, 1, 0]), [1, 0, 1])
    np.testing.assert_array_equal(pi(pi.X), pi.Y)
    np.testing.assert_array_equal(Permutation.shift(3).images, [1, 2, 0])
    assert len(binary_inputs(6)) == 2**6 - 1 - 6
    assert len(binary_inputs(6, [1, 2])) == 6 + 15
    np.testing.assert_allclose(np.linalg.norm(normalized(binary_inputs(5)), axis=1), 1)
    np.testing.assert_array_equal(read_bits([0.1, -0.1, 0.0]), [True, False, False])
    np.testing.assert_array_equal(read_bits([0.9, 1e-16], threshold=0.5), [True, False])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Permutation([0, 0, 2]), DomainError, r"\[0, 0, 2\] is no permutation of 0..2: it misses \[1\]"),
        (lambda: Permutation([0.0, 1.0]), DomainError, "a list of integers"),
        (lambda: Permutation.shift(0), DomainError, "k must be at least 1"),
        (lambda: check_binary([[1, 0], [0, 0]], 2), DomainError, "row 1 is zero: without biases"),
        (lambda: check_binary([[1, 2]], 2), DomainError, "row 0 holds 2, which is neither 0 nor 1"),
        (lambda: check_binary([1, 0], 2), ShapeError, r"must have shape \(N, 2\), got \(2,\)"),
        (lambda: binary_inputs(4, 5), DomainError, "m = 5 ones of k = 4"),
        (lambda: binary_inputs(4, 0), DomainError, "m = 0 ones of k = 4"),
        (lambda: read_bits([np.nan]), NonFiniteError, "not finite"),
        (lambda: theory.permutation_law(4, 0, parametrization="ntk"), DomainError, "m = 0 ones of k = 4"),
        (lambda: theory.permutation_law(0, 1, parametrization="ntk"), DomainError, "k must be at least 1"),
        (lambda: theory.permutation_law(4, 2, parametrization="mup"), DomainError, "the two kernels"),
        (lambda: theory.permutation_law(4, 2, sw2=0.0, parametrization="ntk"), DomainError, "sw2 must be > 0"),
        (lambda: theory.failure_bound(4, 1, 10, parametrization="ntk"), DomainError, "m = 1 is a training point"),
        (
            lambda: theory.ensemble_size(4, m=1, scope="single", parametrization="ntk"),
            DomainError,
            "m = 1 is a training",
        ),
        (lambda: theory.ensemble_size(4, m=9, scope="single", parametrization="ntk"), DomainError, "m = 9 ones"),
        (lambda: theory.ensemble_size(1, scope="single", parametrization="ntk"), DomainError, "k must be at least 2"),
        (
            lambda: theory.ensemble_size(4, delta=1.0, scope="all", parametrization="ntk"),
            DomainError,
            "delta must lie in",
        ),
        (lambda: theory.ensemble_size(4, scope="some", parametrization="ntk"), DomainError, "scope must be"),
        (
            lambda: theory.ensemble_size(4, scope="all", union="none", parametrization="ntk"),
            DomainError,
            "union must be",
        ),
    ],
)
def test_what_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_the_parametrization_has_no_default():
    for call in (theory.permutation_law, theory.ensemble_size):
        with pytest.raises(TypeError, match="parametrization"):
            call(4, 2) if call is theory.permutation_law else call(4, scope="all")


# ------------------------------------------------------------------------------------------ trained ensembles


def trained(k, width, models, *, dtype=torch.float64, seed=0):
    """Outputs (models, input, k) on every input with two ones or more, and those inputs."""
    pi, bits = Permutation.shift(k), binary_inputs(k)
    X, Y, X_test = (torch.tensor(a, dtype=dtype) for a in (pi.X, pi.Y, normalized(bits)))
    beta = 1 / (2 * np.pi)
    eta, slowest = k / (1 + (k - 1) * beta), k * beta / (1 + (k - 1) * beta)
    steps = math.ceil(math.log(1e-7) / math.log(slowest))
    network = Network(k, width, k, parametrization="ntk")
    result = train(network, X, Y, X_test=X_test, eta=eta, steps=steps, loss="half_sum", replicates=models, seed=seed)
    assert result["loss"].values[:, -1].max() < 1e-6
    return result["output"].values[:, -1, k:], pi, bits


def test_an_ensemble_reads_every_input():
    outputs, pi, bits = trained(4, 256, theory.ensemble_size(4, scope="all", delta=1e-3, parametrization="ntk"))
    np.testing.assert_array_equal(read_bits(outputs.mean(axis=0)), pi(bits))
    # single networks do not: about half of the negative means are drowned in noise
    assert (read_bits(outputs) != pi(bits)).any(axis=(1, 2)).mean() > 0.5


@pytest.mark.slow
def test_a_thousand_networks_in_two_minutes():
    """k = 8, width 1024, to a residual of 1e-7; three to thirty seconds where it was tried."""
    start = time.perf_counter()
    outputs, pi, bits = trained(8, 1024, 1000, dtype=torch.float32)
    assert time.perf_counter() - start < 120
    law = theory.permutation_law(8, 2, parametrization="ntk")
    two = bits.sum(axis=1) == 2
    back = outputs[..., pi.images][:, two]
    outside = back[:, ~bits[two]].mean(axis=1)
    # 9 % of bias at this width, of order 1/n
    assert outside.mean() == pytest.approx(law.outside, rel=0.15, abs=4 * outside.std() / math.sqrt(1000))
    assert back.var(axis=0).mean() == pytest.approx(law.variance, rel=0.05)


TRAINED = [e for e in experiments.EXPERIMENTS if "trained" in e.claim.id]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", TRAINED, ids=lambda e: f"{e.claim.id}, {e.instance}")
def test_trained_ensembles_for_all_k(experiment):
    row = run(experiment, Setup("kernels", budget="full"), sabotage=False)
    assert row.status == "holds", row
