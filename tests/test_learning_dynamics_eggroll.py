"""Evolution strategies with low-rank noise: closed forms, the bias, both backends, what is refused."""

import math
from functools import partial

import mpmath
import numpy as np
import pytest
import torch

from lemmata.errors import AssumptionError, DomainError, NonFiniteError, ShapeError
from lemmata.kernels import learning_dynamics as on_device
from lemmata.problems.learning_dynamics import SineFitness, random_sine
from lemmata.sims import learning_dynamics as on_cpu
from lemmata.theory import learning_dynamics as theory

P = random_sine(6, 4, sigma=0.8, seed=0)


@pytest.mark.parametrize("rank", [1, 3, 50])
def test_a_matrix_of_one_entry_by_quadrature(rank):
    C, M = np.array([[1.3]]), np.array([[0.4]])
    exact = theory.low_rank_gradient(C, M, sigma=0.5, rank=rank)[0, 0]
    found = theory.scalar_gradient(1.3, 0.4, sigma=0.5, rank=rank, factors="normal")
    assert found == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("factors", ["uniform", "exponential"])
def test_quadrature_over_other_factors_by_sampling(factors):
    rng = np.random.default_rng(0)
    draws = rng.exponential(size=(2, 10**6, 3)) - 1
    if factors == "uniform":
        draws = rng.uniform(-math.sqrt(3), math.sqrt(3), (2, 10**6, 3))
    E = (draws[0] * draws[1]).sum(axis=1) / math.sqrt(3)
    sample = E * np.sin(1.3 * (0.4 + 0.5 * E)) / 0.5
    exact = theory.scalar_gradient(1.3, 0.4, sigma=0.5, rank=3, factors=factors)
    assert abs(sample.mean() - exact) < 4 * sample.std() / 1e3


@pytest.mark.parametrize("factors", ["normal", "uniform", "exponential"])
@pytest.mark.parametrize("c", [0.0, 1e-9, 1e-6, 1e-3, 0.5, 0.99])
def test_quadrature_in_more_digits(c, factors):
    """``E[E sin c(x + E)] = -Re e^{icx} psi'(c)``, by adaptive quadrature and numerical derivatives."""
    x = mpmath.mpf(0.3)
    with mpmath.workdps(40):
        if factors == "uniform":
            end = mpmath.sqrt(3)
            outer = lambda f: mpmath.quad(f, [-end, 0, end]) / (2 * end)  # noqa: E731
            phi = lambda s: mpmath.sinc(end * s)  # noqa: E731
        elif factors == "exponential":
            outer = lambda f: mpmath.quad(lambda e: mpmath.exp(-e) * f(e - 1), [0, 1, 4, 16, 64, 128])  # noqa: E731
            phi = lambda s: mpmath.exp(-1j * s) / (1 - 1j * s)  # noqa: E731
        else:
            outer = lambda f: mpmath.quad(lambda a: mpmath.npdf(a) * f(a), [-16, -4, 0, 4, 16])  # noqa: E731
            phi = lambda s: mpmath.exp(-(s**2) / 2)  # noqa: E731
        slope = outer(lambda a: a * mpmath.diff(phi, c * a))  # of E e^{i t a b} at t = c
        exact = -mpmath.re(mpmath.expj(c * x) * slope)
    found = theory.scalar_gradient(c, 0.3, sigma=1.0, rank=1, factors=factors)
    assert found == pytest.approx(float(exact), rel=1e-12, abs=0 if c else 1e-30)


def test_the_low_rank_gradient_is_that_of_a_smoothed_fitness():
    def smoothed(C):  # E e^{i<K, E>} along C, whose derivative gives E[E sin]
        K = 0.8 * C
        return np.linalg.det(np.eye(4) + K.T @ K / 3) ** -1.5

    exact = theory.low_rank_gradient(P.C, P.M, sigma=0.8, rank=3)
    step = 1e-6
    for i, j in ((0, 0), (5, 3), (2, 1)):
        change = np.zeros_like(P.C)
        change[i, j] = step
        slope = (smoothed(P.C + change) - smoothed(P.C - change)) / (2 * step)
        expected = -math.cos(float((P.C * P.M).sum())) * slope / 0.8**2
        assert exact[i, j] == pytest.approx(expected, rel=1e-6)


def test_the_bias_is_its_leading_term_at_high_rank():
    limit = theory.gaussian_gradient(P.C, P.M, sigma=P.sigma)
    bias = 4096 * (theory.low_rank_gradient(P.C, P.M, sigma=P.sigma, rank=4096) - limit)
    leading = theory.leading_bias(P.C, P.M, sigma=P.sigma)
    np.testing.assert_allclose(bias, leading, atol=2e-3 * abs(leading).max())


@pytest.mark.parametrize("antithetic", [True, False])
def test_both_backends_draw_the_same(antithetic, monkeypatch):
    options = {"sigma": 0.8, "rank": 3, "pairs": 7, "replicates": 5, "antithetic": antithetic, "seed": 11}
    found = on_cpu.eggroll_sine(P.C, P.M, **options)
    tensors = torch.tensor(P.C), torch.tensor(P.M)
    np.testing.assert_allclose(on_device.eggroll_sine(*tensors, **options), found, atol=1e-12)
    for chunk in (4, 16):  # a replicate in two parts, two replicates at once
        monkeypatch.setattr("lemmata.kernels.learning_dynamics.eggroll.CHUNK", chunk)
        np.testing.assert_allclose(on_device.eggroll_sine(*tensors, **options), found, atol=1e-12)
    fewer = on_cpu.eggroll_sine(P.C, P.M, **(options | {"replicates": 2}))
    np.testing.assert_array_equal(fewer, found[:2])
    assert abs(on_cpu.eggroll_sine(P.C, P.M, **(options | {"seed": 12})) - found).max() > 0.01


def test_every_entry_of_the_mean():
    for antithetic in (True, False):
        found = on_cpu.eggroll_sine(
            P.C, P.M, sigma=0.8, rank=2, pairs=100, replicates=1000, antithetic=antithetic, seed=3
        )
        exact = theory.low_rank_gradient(P.C, P.M, sigma=0.8, rank=2)
        z = (found.mean(axis=0) - exact) / (found.std(axis=0) / math.sqrt(1000))
        assert abs(z).max() < 4.5


def test_antithetic_pairs_remove_a_constant():
    estimate = partial(
        on_device.eggroll_gradient, M=torch.zeros(3, 2).double(), sigma=0.1, rank=1, pairs=4, replicates=3, seed=0
    )
    level = lambda W: 5 + 0 * W[:, 0, 0]  # noqa: E731
    assert abs(estimate(level)).max() == 0
    assert abs(estimate(level, antithetic=False)).max() > 1


def test_a_linear_fitness_has_its_gradient_at_every_rank():
    C = torch.tensor(P.C)
    found = on_device.eggroll_gradient(
        lambda W: (C * W).sum((1, 2)), torch.tensor(P.M), sigma=0.1, rank=1, pairs=1000, replicates=100, seed=1
    )
    z = (found.mean(0) - C) / (found.std(0) / 10)
    assert abs(z).max() < 4.5


BASE = {"C": P.C, "M": P.M, "sigma": 0.5, "rank": 1, "pairs": 2, "replicates": 2}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"C": P.C[:3]}, ShapeError, r"got \(3, 4\) and \(6, 4\)"),
        ({"C": P.C[0], "M": P.M[0]}, ShapeError, r"same shape \(m, n\)"),
        ({"M": P.M * np.nan}, NonFiniteError, "M is not finite"),
        ({"sigma": 0.0}, DomainError, "sigma must be > 0 and finite, got 0"),
        ({"rank": 0}, DomainError, "rank must be a whole number >= 1, got 0"),
        ({"pairs": 0}, DomainError, "pairs must be"),
        ({"replicates": 0}, DomainError, "replicates must be"),
        ({"pairs": 2**31}, DomainError, "exceed a stream"),
        ({"rank": math.nan}, DomainError, "rank must be a whole number >= 1, got nan"),
        ({"rank": math.inf}, DomainError, "rank must be a whole number >= 1, got inf"),
        ({"rank": 1.5}, DomainError, "rank must be a whole number >= 1, got 1.5"),
        ({"C": 1j * P.C}, TypeError, "complex128"),
    ],
)
def test_what_is_no_population_is_refused(change, error, words):
    arguments = BASE | change
    C, M = arguments.pop("C"), arguments.pop("M")
    with pytest.raises(error, match=words):
        on_cpu.eggroll_sine(C, M, **arguments, seed=0)
    with pytest.raises(error, match=words):
        on_device.eggroll_sine(torch.tensor(C), torch.tensor(M), **arguments, seed=0)


def test_whole_numbers_may_be_floats():
    numbers = {"rank": 2, "pairs": 3, "replicates": 4}
    for module, convert in ((on_cpu, np.asarray), (on_device, torch.tensor)):
        one, two = (
            module.eggroll_sine(convert(P.C), convert(P.M), sigma=0.5, **given, seed=0)
            for given in (numbers, {name: float(value) for name, value in numbers.items()})
        )
        assert (one == two).all()


def test_a_claim_asks_for_symmetric_noise():
    with pytest.raises(AssumptionError, match="third moment 2"):
        theory.eggroll_rate.check(SineFitness(P.C, P.M, 0.5, "exponential"))
    with pytest.raises(DomainError, match="factors must be one of"):
        SineFitness(P.C, P.M, 0.5, "cauchy")
    with pytest.raises(DomainError, match="rank must be at least 1"):
        theory.low_rank_gradient(P.C, P.M, sigma=0.5, rank=0)
    with pytest.raises(DomainError, match="rank must be at least 1, got 0"):
        theory.scalar_gradient(1.0, 0.0, sigma=0.5, rank=0, factors="normal")
    with pytest.raises(TypeError, match=r"M of torch.int64"):
        on_device.eggroll_gradient(
            lambda W: W.sum((1, 2)), torch.ones(2, 2, dtype=int), sigma=0.5, rank=1, pairs=1, replicates=1, seed=0
        )
