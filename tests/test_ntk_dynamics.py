"""The law of an ensemble in training: against the matrix exponential, an integrator, a loop; what is refused."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.kernels import ntk as kernels
from lemmata.problems.ntk import decays, sphere_points
from lemmata.sims import ntk as sims

TIMES = [0.0, 0.3, 2.0, 17.0, math.inf]
STEPS = [0, 1, 5, 40, math.inf]


def task(points=4, test=3, outputs=2, seed=0):
    """Kernels of infinite width at points of a sphere, and targets."""
    X = sphere_points(points + test, 3, seed=seed)
    K, theta = sims.fc_kernels(X, depth=1, activation="erf", sw2=2.0, sb2=0.1, parametrization="ntk")
    return K, theta, np.random.default_rng(seed).standard_normal((points, outputs))


def factor(loss, y):
    return 1.0 if loss == "half_sum" else 2 / y.size


def critical(theta, y, loss="half_sum"):
    return 2 / factor(loss, y) / np.linalg.eigvalsh(theta[: len(y), : len(y)])[-1]


def twin(*arguments, **options):
    """The torch law, as numpy."""
    law = kernels.ensemble_law(
        *(None if a is None else torch.tensor(a) for a in arguments[:3]), *arguments[3:], **options
    )
    return [None if a is None else a.numpy() for a in (law.mean, law.covariance, law.variance)]


# --------------------------------------------------------------------------------------------- other routes


@pytest.mark.parametrize("loss", ["half_sum", "mean"])
def test_the_flow_by_matrix_exponentials(loss):
    """All points at once, nothing inverted: ``f' = -eta c Theta(., X) (f(X) - y)``."""
    K, theta, y = task()
    eta, N, M = 0.7, len(y), len(K)
    law = sims.ensemble_law(K, theta, y, TIMES[:-1], eta=eta, loss=loss)
    G = np.zeros((M, M))
    G[:, :N] = eta * factor(loss, y) * theta[:, :N]
    pulled = np.block([[-G, G[:, :N] @ y], [np.zeros((y.shape[1], M + y.shape[1]))]])
    for t, mean, covariance in zip(law.times, law.mean, law.covariance, strict=True):
        E = expm(pulled * t)
        np.testing.assert_allclose(mean, E[:M, M:], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(covariance, E[:M, :M] @ K @ E[:M, :M].T, rtol=1e-10, atol=1e-12)


def test_the_moments_by_an_integrator():
    """``m' = -G (m - y)``, ``S' = -(G S + S G^T)``."""
    K, theta, y = task()
    N, M, eta, t = len(y), len(K), 0.7, 6.0
    G = np.zeros((M, M))
    G[:, :N] = eta * theta[:, :N]
    target = np.concatenate((y, np.zeros((M - N, y.shape[1]))))

    def slope(_, state):
        m, S = state[: M * 2].reshape(M, 2), state[M * 2 :].reshape(M, M)
        GS = G @ S
        return np.concatenate((-(G @ (m - target)).ravel(), -(GS + GS.T).ravel()))

    start = np.concatenate((np.zeros(2 * M), K.ravel()))
    end = solve_ivp(slope, (0, t), start, method="DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
    law = sims.ensemble_law(K, theta, y, t, eta=eta, loss="half_sum")
    np.testing.assert_allclose(law.mean[0], end[: M * 2].reshape(M, 2), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(law.covariance[0], end[M * 2 :].reshape(M, M), rtol=1e-8, atol=1e-9)


def by_steps(theta, K, y, rate, steps, penalty=0.0):
    """Mean and covariance from models with explicit features, one starting at 0 and one for each direction of K."""
    features, roots = np.linalg.cholesky(theta), np.linalg.cholesky(K)
    N, C = y.shape
    f0 = np.concatenate((np.zeros((len(K), C)), roots), axis=1)
    targets = np.concatenate((y, np.zeros((N, len(K)))), axis=1)
    parameters, found = np.zeros_like(f0), []
    for t in range(max(steps) + 1):
        f = f0 + features @ parameters
        if t in steps:
            found.append((f[:, :C], f[:, C:] @ f[:, C:].T))
        parameters = (1 - rate * penalty) * parameters - rate * features[:N].T @ (f[:N] - targets)
    return found


@pytest.mark.parametrize("loss", ["half_sum", "mean"])
@pytest.mark.parametrize("diag_reg", [0.0, 0.3])
def test_descent_by_a_loop_over_parameters(loss, diag_reg):
    """diag_reg is a penalty on the way of the parameters."""
    K, theta, y = task()
    penalty = diag_reg * theta.diagonal()[: len(y)].mean()
    eta = 0.9 * 2 / factor(loss, y) / (2 / critical(theta, y) + penalty)
    options = {"eta": eta, "loss": loss, "dynamics": "descent", "diag_reg": diag_reg}
    law = sims.ensemble_law(K, theta, y, STEPS[:-1], **options)
    expected = by_steps(theta, K, y, eta * factor(loss, y), STEPS[:-1], penalty)
    for mean, covariance, (m, S) in zip(law.mean, law.covariance, expected, strict=True):
        np.testing.assert_allclose(mean, m, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(covariance, S, rtol=1e-9, atol=1e-11)


def test_models_that_step_by_themselves():
    """The compiled loop and its torch twin, each column with its own rate."""
    K, theta, y = task(outputs=3)
    J, f0 = np.linalg.cholesky(theta), np.random.default_rng(1).standard_normal((len(K), 3))
    rate, at = np.array([0.01, 0.05, 0.2]), np.array([0, 1, 7])
    found = sims.linear_descent(J, f0, y, rate, at)
    for column in range(3):
        parameters = np.zeros(len(J))
        for t in range(8):
            f = f0[:, column] + J @ parameters
            if t in at:
                np.testing.assert_allclose(found[list(at).index(t), :, column], f, rtol=1e-11, atol=1e-12)
            parameters -= rate[column] * J[: len(y)].T @ (f[: len(y)] - y[:, column])
    torch_found = kernels.linear_descent(*(torch.tensor(a) for a in (J, f0, y, rate)), at)
    np.testing.assert_allclose(torch_found, found, rtol=1e-11, atol=1e-12)


def test_a_flow_is_many_small_steps():
    K, theta, y = task()
    flow = sims.ensemble_law(K, theta, y, 3.0, eta=0.5, loss="half_sum")
    gaps = []
    for n in (1000, 10_000):
        steps = sims.ensemble_law(K, theta, y, n, eta=0.5 * 3 / n, loss="half_sum", dynamics="descent")
        gaps.append(np.abs(steps.mean - flow.mean).max())
    # Euler's method is of the first order
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.02)


# -------------------------------------------------------------------------------------------- ends and forms


@pytest.mark.parametrize(("dynamics", "times"), [("flow", TIMES), ("descent", STEPS)])
def test_the_ends(dynamics, times):
    K, theta, y = task()
    N = len(y)
    law = sims.ensemble_law(K, theta, y, times, eta=0.9 * critical(theta, y), loss="half_sum", dynamics=dynamics)
    np.testing.assert_allclose(law.mean[0], 0, atol=1e-14)
    np.testing.assert_allclose(law.covariance[0], K, rtol=1e-13)
    np.testing.assert_array_equal(law.mean[-1, :N], y)
    np.testing.assert_array_equal(law.covariance[-1, :N], 0)
    P = np.linalg.solve(theta[:N, :N], theta[:N, N:]).T
    np.testing.assert_allclose(law.mean[-1, N:], P @ y, rtol=1e-11)
    spread = K[N:, N:] - P @ K[:N, N:] - K[N:, :N] @ P.T + P @ K[:N, :N] @ P.T
    np.testing.assert_allclose(law.covariance[-1, N:, N:], spread, rtol=1e-11)
    assert law.condition == pytest.approx(np.linalg.cond(theta[:N, :N]), rel=1e-10)
    assert law.largest_eta == pytest.approx(critical(theta, y), rel=1e-12)
    np.testing.assert_allclose(law.eigenvalues, np.linalg.eigvalsh(theta[:N, :N]), rtol=1e-12)


def test_the_two_losses_differ_by_a_factor_in_time():
    K, theta, y = task()
    mean = sims.ensemble_law(K, theta, y, [0.5 * y.size, 3 * y.size], eta=0.4, loss="mean")
    half = sims.ensemble_law(K, theta, y, [1.0, 6.0], eta=0.4, loss="half_sum")
    np.testing.assert_allclose(mean.mean, half.mean, rtol=1e-12)
    np.testing.assert_allclose(mean.covariance, half.covariance, rtol=1e-12, atol=1e-14)
    assert mean.largest_eta == pytest.approx(half.largest_eta * y.size / 2)


@pytest.mark.parametrize("dynamics", ["flow", "descent"])
@pytest.mark.parametrize("diag_reg", [0.0, 0.01])
@pytest.mark.parametrize("test", [0, 3])
def test_forms_of_the_covariance_and_the_twin(dynamics, diag_reg, test):
    K, theta, y = task(test=test)
    times = TIMES if dynamics == "flow" else STEPS
    options = {"eta": 0.3, "loss": "mean", "dynamics": dynamics, "diag_reg": diag_reg}
    full, diagonal, none = (
        sims.ensemble_law(K, theta, y, times, covariance=form, **options) for form in ("full", "diagonal", "none")
    )
    np.testing.assert_array_equal(full.variance, np.diagonal(full.covariance, axis1=1, axis2=2).clip(min=0))
    np.testing.assert_allclose(diagonal.variance, full.variance, rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(full.covariance, full.covariance.swapaxes(1, 2))
    assert diagonal.covariance is none.covariance is none.variance is None
    narrow = sims.ensemble_law(None, theta[:, : len(y)], y, times, covariance="none", **options)
    for law in (diagonal, none, narrow):
        np.testing.assert_array_equal(law.mean, full.mean)
    for law, form in ((full, "full"), (diagonal, "diagonal"), (none, "none")):
        mean, covariance, variance = twin(K, theta, y, times, covariance=form, **options)
        np.testing.assert_allclose(mean, law.mean, rtol=1e-11, atol=1e-13)
        for found, expected in ((covariance, law.covariance), (variance, law.variance)):
            assert (found is None) == (expected is None)
            if expected is not None:
                np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


def test_one_eigendecomposition_serves_all_times(monkeypatch):
    K, theta, y = task()
    shapes, eigh = [], np.linalg.eigh

    def counted(matrix):
        shapes.append(matrix.shape)
        return eigh(matrix)

    monkeypatch.setattr(np.linalg, "eigh", counted)
    sims.ensemble_law(K, theta, y, np.linspace(0, 9, 50), eta=0.3, loss="mean")
    assert shapes == [(4, 4)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_law_on_a_device():
    K, theta, y = task(40, 20)
    options = {"eta": 0.01, "loss": "half_sum", "diag_reg": 1e-6}
    law, cpu = (kernels.ensemble_law(K, theta, y, TIMES, device=d, **options) for d in ("cuda", "cpu"))
    assert law.covariance.device.type == "cuda"
    for name in ("mean", "covariance", "variance"):
        np.testing.assert_allclose(getattr(law, name).cpu(), getattr(cpu, name), rtol=1e-7, atol=1e-9)


def test_arrays_in_float32():
    """float32 kernels differ by their rounding, times the condition number, and the torch law returns float32."""
    K, theta, y = task()
    exact = sims.ensemble_law(K, theta, y, TIMES, eta=0.3, loss="half_sum")
    rounded = [a.astype(np.float32) for a in (K, theta, y)]
    single = sims.ensemble_law(*rounded, TIMES, eta=0.3, loss="half_sum")
    law = kernels.ensemble_law(*rounded, TIMES, eta=0.3, loss="half_sum", device="cpu")
    assert {a.dtype for a in (law.mean, law.covariance, law.variance)} == {torch.float32}
    error = 2**-23 * exact.condition
    for name in ("mean", "covariance"):
        size = np.abs(getattr(exact, name)).max()
        for found in (getattr(single, name), getattr(law, name).numpy()):
            np.testing.assert_allclose(found, getattr(exact, name), rtol=0, atol=error * size)


@given(st.integers(0, 10**6), st.integers(1, 5), st.floats(0.1, 4), st.floats(0.1, 4))
def test_a_flow_that_is_restarted(seed, points, s, t):
    """e^{-Theta (s + t)} = e^{-Theta s} e^{-Theta t}: from where s led, t more."""
    K, theta, y = task(points, 2, 1, seed)
    assume(np.linalg.cond(theta[:points, :points]) < 1e6)
    options = {"eta": 0.5, "loss": "half_sum"}
    whole = sims.ensemble_law(K, theta, y, s + t, **options)
    first = sims.ensemble_law(K, theta, y, s, **options)
    # what is left of the targets and of the spread after s is the task of the second leg
    rest = sims.ensemble_law(first.covariance[0], theta, y - first.mean[0, :points], t, **options)
    np.testing.assert_allclose(first.mean + rest.mean, whole.mean, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(rest.covariance, whole.covariance, rtol=1e-8, atol=1e-10)


@given(st.integers(0, 10**6), st.integers(1, 6), st.floats(0.05, 0.5), st.sampled_from(["flow", "descent"]))
def test_no_training_loss_rises(seed, points, share, dynamics):
    """In flow at any rate, in descent up to 1/lambda_max, half of the critical rate; the variance there falls, too."""
    K, theta, y = task(points, 1, 2, seed)
    eta = share * critical(theta, y, "mean")
    law = sims.ensemble_law(K, theta, y, range(12), eta=eta, loss="mean", dynamics=dynamics)
    loss = ((law.mean[:, :points] - y) ** 2).mean(axis=(1, 2))
    assert (np.diff(loss) <= 1e-12 * loss[0]).all()
    assert np.linalg.eigvalsh(law.covariance).min() >= -1e-12 * K.max()
    # in the eigenbasis of Theta each diagonal entry falls
    total = np.trace(law.covariance[:, :points, :points], axis1=1, axis2=2)
    assert (np.diff(total) <= 1e-12 * total[0]).all()


@given(st.integers(0, 10**6), st.integers(2, 6), st.sampled_from(["flow", "descent"]))
def test_order_of_points_and_units_do_not_matter(seed, points, dynamics):
    K, theta, y = task(points, 2, 2, seed)
    eta, times = 0.4 * critical(theta, y), [0, 3, 11]
    options = {"loss": "half_sum", "dynamics": dynamics}
    law = sims.ensemble_law(K, theta, y, times, eta=eta, **options)
    order = np.random.default_rng(seed).permutation(points)
    every = np.append(order, [points, points + 1])
    shuffled = sims.ensemble_law(
        K[np.ix_(every, every)], theta[np.ix_(every, every)], y[order], times, eta=eta, **options
    )
    np.testing.assert_allclose(shuffled.mean, law.mean[:, every], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(shuffled.covariance, law.covariance[:, every][:, :, every], rtol=1e-8, atol=1e-10)
    # Theta in other units is a learning rate in other units; y and K in other units are outputs in other units
    scaled = sims.ensemble_law(9 * K, 4 * theta, 3 * y, times, eta=eta / 4, **options)
    np.testing.assert_allclose(scaled.mean, 3 * law.mean, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(scaled.covariance, 9 * law.covariance, rtol=1e-8, atol=1e-10)


def test_the_last_variance_is_that_of_no_posterior():
    """Unless the readout alone is trained: by hand at one point, with a plain solve."""
    X = sphere_points(6, 4, seed=23)[:5]
    network = {"depth": 1, "activation": "erf", "sw2": 2.0, "sb2": 0.1, "parametrization": "ntk"}
    K, theta = sims.fc_kernels(X, **network)
    y = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    posterior = K[4, 4] - K[4, :4] @ np.linalg.solve(K[:4, :4], K[:4, 4])
    options = {"eta": 0.1, "loss": "half_sum"}
    all_layers = sims.ensemble_law(K, theta, y, math.inf, **options).variance[0, 4]
    assert all_layers / posterior == pytest.approx(1.304, abs=1e-3)
    _, frozen = sims.fc_kernels(X, **network, rates=(0.0, 1.0))
    assert sims.ensemble_law(K, frozen, y, math.inf, **options).variance[0, 4] == pytest.approx(posterior, rel=1e-12)


# ------------------------------------------------------------------------------- singular and ill-conditioned


def test_gains_are_continuous_where_the_eigenvalue_vanishes():
    times = np.array([0.0, 1.0, 7.0])
    for dynamics in ("flow", "descent"):
        _, decay, gain, _ = decays(np.array([0.0, 1e-300, 1e-9, 1.0]), times, rate=0.5, dynamics=dynamics)
        np.testing.assert_allclose(gain[:, 0], 0.5 * times)
        np.testing.assert_allclose(gain[:, 1], 0.5 * times)
        np.testing.assert_allclose(gain[:, 2], 0.5 * times, rtol=1e-8)
        np.testing.assert_allclose(decay[:, 3], np.exp(-times / 2) if dynamics == "flow" else 0.5**times, rtol=1e-14)
    with pytest.warns(UserWarning, match="may change the slowest mode of training by 100.0%"):
        decays(np.array([0.0, 1.0]), np.array([1e17]), rate=0.5, dynamics="flow")


def test_equal_rows_have_a_law_at_every_finite_time():
    """Two copies of one point, told to be 1 and 0, meet at 1/2; at infinity a solve needs diag_reg."""
    K = np.array([[1.0, 1.0, 0.6], [1.0, 1.0, 0.6], [0.6, 0.6, 1.0]])
    y = np.array([[1.0], [0.0]])
    law = sims.ensemble_law(K, K, y, [0.7, 50.0], eta=1.0, loss="half_sum")
    assert law.condition > 1e15
    np.testing.assert_allclose(law.mean[:, :2, 0], np.repeat((1 - np.exp(-2 * law.times))[:, None] / 2, 2, 1))
    np.testing.assert_allclose(law.mean[1, 2, 0], 0.3)
    with pytest.raises(DomainError, match=r"singular to rounding, and has no limit in time: .* diag_reg"):
        sims.ensemble_law(K, K, y, math.inf, eta=1.0, loss="half_sum")
    with pytest.raises(DomainError, match="singular to rounding"):
        kernels.ensemble_law(K, K, y, math.inf, eta=1.0, loss="half_sum")
    ridge = sims.ensemble_law(K, K, y, math.inf, eta=1.0, loss="half_sum", diag_reg=0.1)
    solved = K[:, :2] @ np.linalg.solve(K[:2, :2] + 0.1 * np.eye(2), y)
    np.testing.assert_allclose(ridge.mean[0], solved, rtol=1e-12)
    assert ridge.condition == pytest.approx(2.1 / 0.1)


def test_what_counts_as_singular_depends_on_the_arithmetic():
    K = np.diag([1.0, 1e-17, 1.0])
    with pytest.raises(DomainError, match=r"eigenvalues from 1e-17 to 1 in float64"):
        sims.ensemble_law(K, K, np.ones((2, 1)), math.inf, eta=0.1, loss="half_sum")
    K[1, 1] = 1e-8
    sims.ensemble_law(K, K, np.ones((2, 1)), math.inf, eta=0.1, loss="half_sum")
    for ensemble_law in (sims.ensemble_law, kernels.ensemble_law):
        with pytest.raises(DomainError, match=r"eigenvalues from 1e-08 to 1 in float32"):
            ensemble_law(K, K.astype(np.float32), np.ones((2, 1)), math.inf, eta=0.1, loss="half_sum")


def test_collinear_points_without_biases_are_singular():
    X = np.array([[1.0, 2.0], [2.0, 4.0], [0.5, -1.0]])
    K, theta = sims.fc_kernels(X, depth=2, activation="relu", sw2=2.0, parametrization="ntk")
    with pytest.raises(DomainError, match="collinear without biases"):
        sims.ensemble_law(K, theta, np.ones((2, 1)), math.inf, eta=0.1, loss="half_sum")


@pytest.mark.parametrize(
    ("dtype", "gap", "warned"), [("float64", 1e-13, True), ("float64", 1e-9, False), ("float32", 1e-5, True)]
)
def test_an_ill_conditioned_kernel_is_reported(dtype, gap, warned):
    K = np.array([[1.0, 1.0 - gap], [1.0 - gap, 1.0]]).astype(dtype)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        law = sims.ensemble_law(K, K, np.ones((2, 1)), math.inf, eta=0.1, loss="half_sum", covariance="diagonal")
    assert law.condition == pytest.approx(2 / gap, rel=0.02)
    assert bool(caught) == warned
    if warned:
        assert f"rounding in {dtype} may change the slowest mode" in str(caught[0].message)
        assert caught[0].filename == __file__


# ------------------------------------------------------------------------------------------- learning rates


@pytest.mark.parametrize("loss", ["half_sum", "mean"])
@pytest.mark.parametrize("ensemble_law", [sims.ensemble_law, kernels.ensemble_law])
def test_descent_above_the_critical_rate_is_refused(ensemble_law, loss):
    K, theta, y = task()
    critical_eta = critical(theta, y, loss)
    with pytest.raises(
        DomainError, match=r"gradient descent diverges: .* not below 2/lambda_max = .* divide eta by more"
    ):
        ensemble_law(K, theta, y, 3, eta=critical_eta * (1 + 1e-9), loss=loss, dynamics="descent")
    law = ensemble_law(K, theta, y, [3, 10**6], eta=0.999 * critical_eta, loss=loss, dynamics="descent")
    np.testing.assert_allclose(law.mean[1, : len(y)], y, atol=1e-12)
    # gradient flow knows no critical rate
    ensemble_law(K, theta, y, 3, eta=100 * critical_eta, loss=loss, dynamics="flow")


def test_a_loop_above_the_critical_rate_diverges():
    K, theta, y = task()
    J, f0 = np.linalg.cholesky(theta), np.zeros((len(K), 2))
    rate = critical(theta, y) * np.array([0.99, 1.01])
    left = sims.linear_descent(J, f0, y, rate, np.array([0, 2000]))[:, : len(y)] - y
    size = np.abs(left).max(axis=1)
    assert size[1, 0] < 1e-3 * size[0, 0]
    assert size[1, 1] > 1e3 * size[0, 1]


# ----------------------------------------------------------------------------------------- what is refused

BASE = {"times": 1.0, "eta": 0.1, "loss": "half_sum"}
NAN = np.eye(6)
NAN[2, 2] = np.nan


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"y": np.ones(4)}, ShapeError, r"y must have shape \(N, C\), one row a training point, got \(4,\)"),
        ({"y": np.ones((0, 1))}, ShapeError, r"y must have shape \(N, C\)"),
        ({"ntk": np.eye(6)[:, :3]}, ShapeError, r"ntk must have shape \(M, M\) or \(M, 4\)"),
        ({"ntk": np.eye(3)}, ShapeError, r"ntk must have shape .*, got \(3, 3\)"),
        (
            {"ntk": np.ones((6, 6, 2, 2))},
            ShapeError,
            r"got \(6, 6, 2, 2\); a finite network's kernel of several outputs",
        ),
        ({"nngp": np.eye(4)}, ShapeError, r"nngp must have shape \(6, 6\) like ntk, got \(4, 4\)"),
        ({"nngp": None}, DomainError, "a covariance needs nngp.*covariance='none'"),
        ({"y": np.array([[1.0], [2.0], [np.inf], [0.0]])}, NonFiniteError, "y is not finite: 1 .* first in row 2"),
        ({"ntk": NAN}, NonFiniteError, "ntk is not finite: 1 of its entries, first in row 2"),
        ({"nngp": NAN}, NonFiniteError, "nngp is not finite"),
        ({"ntk": np.eye(6) + np.triu(np.ones((6, 6)))}, DomainError, "ntk is not symmetric: .* by 1"),
        ({"nngp": np.eye(6) + np.triu(np.ones((6, 6))) / 9}, DomainError, "nngp is not symmetric: .* by 0.111"),
        ({"nngp": -np.eye(6)}, DomainError, r"nngp is no covariance: .* exceeds .* by 1"),
        ({"nngp": np.full((6, 6), 1.0) + 1e-6 * (1 - np.eye(6))}, DomainError, "nngp is no covariance: .* by 1e-06"),
        ({"ntk": np.diag([1.0, 1, 1, -0.1, 1, 1])}, DomainError, "ntk is no kernel: .* from -0.1 to 1"),
        ({"ntk": np.zeros((6, 6))}, DomainError, "ntk is no kernel: .* from 0 to 0"),
        (
            {"loss": None},
            DomainError,
            r"loss must be one of half_sum, mean, got None: they differ by the factor 2/\(N C\)",
        ),
        ({"dynamics": "adam"}, DomainError, "dynamics must be one of flow, descent, got 'adam'"),
        ({"covariance": True}, DomainError, "covariance must be one of full, diagonal, none, got True"),
        ({"eta": 0.0}, DomainError, "eta must be > 0 and finite, got 0"),
        ({"eta": -1.0}, DomainError, "eta must be > 0"),
        ({"eta": math.nan}, DomainError, "eta must be > 0 and finite, got nan"),
        ({"diag_reg": -1e-3}, DomainError, "diag_reg must be >= 0 and finite, got -0.001"),
        ({"times": [1.0, -1.0]}, DomainError, r"times must be numbers >= 0, .* got \[1.0, -1.0\]"),
        ({"times": math.nan}, DomainError, "times must be numbers >= 0"),
        ({"times": []}, DomainError, "times must be numbers >= 0"),
        ({"times": np.ones((2, 2))}, DomainError, "times must be numbers >= 0"),
        ({"times": [1, 2.5], "dynamics": "descent"}, DomainError, "recorded after whole steps, got 2.5"),
    ],
)
def test_a_law_that_does_not_exist_is_refused(change, error, words):
    arguments = {"nngp": np.eye(6), "ntk": np.eye(6), "y": np.ones((4, 1))} | BASE | change
    for ensemble_law in (sims.ensemble_law, kernels.ensemble_law):
        with pytest.raises(error, match=words):
            ensemble_law(**arguments)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"J": np.eye(5)}, ShapeError, r"must have shapes .* got \(5, 5\), \(3, 2\), \(2, 2\), \(2,\)"),
        ({"y": np.ones((4, 2))}, ShapeError, "1 <= N <= M"),
        ({"y": np.ones((0, 2))}, ShapeError, "1 <= N <= M"),
        ({"f0": np.ones((3, 1))}, ShapeError, r"got \(3, 3\), \(3, 1\)"),
        ({"rate": np.ones(3)}, ShapeError, r"\(2, 2\), \(3,\)"),
        ({"y": 1j * np.ones((2, 2))}, TypeError, "y must hold real numbers, got dtype .*complex128"),
        ({"J": np.diag([1.0, np.nan, 1.0])}, NonFiniteError, "J is not finite: 1 of its entries"),
        ({"rate": np.array([1.0, np.inf])}, NonFiniteError, "rate is not finite"),
        ({"at": [3, 2]}, DomainError, r"at must be whole steps >= 0 that do not fall, got \[3, 2\]"),
        ({"at": [-1]}, DomainError, "at must be whole steps >= 0"),
        ({"at": [0.5]}, DomainError, "at must be whole steps"),
        ({"at": []}, DomainError, "at must be whole steps"),
    ],
)
def test_models_that_do_not_fit_are_refused(change, error, words):
    arguments = {"J": np.eye(3), "f0": np.ones((3, 2)), "y": np.ones((2, 2)), "rate": np.ones(2), "at": [0, 1]} | change
    for descent, convert in ((sims.linear_descent, np.asarray), (kernels.linear_descent, torch.tensor)):
        with pytest.raises(error, match=words):
            descent(*(convert(arguments[name]) for name in ("J", "f0", "y", "rate")), arguments["at"])


def test_the_loss_has_no_default_and_integers_are_no_tensors():
    with pytest.raises(TypeError, match="loss"):
        sims.ensemble_law(np.eye(2), np.eye(2), np.ones((1, 1)), 1.0, eta=0.1)
    with pytest.raises(TypeError, match=r"ntk must be float64 or float32, got torch\.int64"):
        kernels.ensemble_law(torch.eye(2), torch.eye(2).long(), torch.ones(1, 1), **BASE)
