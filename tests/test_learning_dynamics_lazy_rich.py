"""Polynomial regression: kernel, population loss and alignment by hand, both backends, what is refused."""

import numpy as np
import pytest
import torch

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.experiments.learning_dynamics.lazy_rich import lazy_rich_grid
from lemmata.kernels import learning_dynamics as on_device
from lemmata.problems.learning_dynamics import lazy_rich_batch, random_lazy_rich
from lemmata.sims import learning_dynamics as on_cpu
from lemmata.theory import learning_dynamics as theory
from lemmata.verification import Setup

RUNS = [random_lazy_rich(6, 20, 40, alpha=a, eps=e, seed=i) for i, (a, e) in enumerate([(0.5, 0.1), (2.0, 0.5)])]


def test_both_backends_agree_and_a_batch_is_its_runs():
    batch = lazy_rich_batch(RUNS)
    at = [0, 1, 1, 200]
    found = on_cpu.lazy_rich_train(*batch, at=at)
    device = on_device.lazy_rich_train(*map(torch.tensor, batch), at=at)
    for part, other in zip(found, device, strict=True):
        np.testing.assert_allclose(other, part, rtol=1e-9, atol=1e-11)
    alone = on_cpu.lazy_rich_train(*lazy_rich_batch(RUNS[1:]), at=at)
    for part, other in zip(found, alone, strict=True):
        np.testing.assert_array_equal(other[0], part[1])
    np.testing.assert_allclose(found.mean[:, 0], batch[2])


def test_the_linearised_model_is_the_tangent_of_the_network_on_both_backends():
    batch, at = lazy_rich_batch(RUNS), [0, 1, 30]
    found = on_cpu.lazy_rich_train(*batch, rate=0.5, at=at, linearised=True)
    device = on_device.lazy_rich_train(*map(torch.tensor, batch), rate=0.5, at=at, linearised=True)
    for part, other in zip(found, device, strict=True):
        np.testing.assert_allclose(other, part, rtol=1e-10, atol=1e-12)
    for i, run in enumerate(RUNS):
        # the Jacobian of f at the start, by autograd; gradient descent on f_0 + J (w - w_0)
        w, X = torch.tensor(run.weights), torch.tensor(run.X)
        f = lambda w: run.alpha * (X @ w.T + run.eps / 2 * (X @ w.T) ** 2).mean(1)  # noqa: B023, E731
        J = torch.func.jacrev(f)(w).flatten(1)
        r, y = f(w) - (X @ torch.tensor(run.beta)) ** 2 / 2, (run.X @ run.beta) ** 2 / 2
        for step in range(31):
            if step in at:
                assert found.loss[i, at.index(step)] == pytest.approx(float((r**2).mean()), rel=1e-9)
            r = r - 0.5 * len(w) / run.alpha**2 * 2 / len(y) * J @ (J.T @ r)
    path = on_cpu.lazy_rich_train(*batch, rate=0.5, at=at)
    assert abs(path.loss[:, 2] / found.loss[:, 2] - 1).min() > 0.01  # another model
    for i, run in enumerate(RUNS):
        mean, second = theory.linearised_statistics(run, at, rate=0.5)
        np.testing.assert_allclose(mean, found.mean[i], atol=1e-11)
        np.testing.assert_allclose(second, found.second[i], atol=1e-11)


def test_a_kernel_without_rank_has_its_linearised_model_too():
    """More points than D + D (D + 1)/2 numbers: eigenvalues that are 0."""
    run = random_lazy_rich(2, 30, 10, alpha=1.0, eps=0.5, seed=0)
    path = on_cpu.lazy_rich_train(*lazy_rich_batch([run]), rate=0.2, at=[0, 5, 500], linearised=True)
    mean, second = theory.linearised_statistics(run, [0, 5, 500], rate=0.2)
    np.testing.assert_allclose(mean, path.mean[0], atol=1e-9)
    np.testing.assert_allclose(second, path.second[0], atol=1e-9)


def test_the_final_kernel_is_the_tangent_kernel_of_the_solution():
    run = RUNS[1]
    S = np.outer(run.beta, run.beta) / (run.alpha * run.eps)
    assert theory.population_loss(0 * run.beta, S, run.beta, run.alpha, run.eps) == pytest.approx(0, abs=1e-28)
    found = theory.final_kernel(run.X, run.beta, run.eps / run.alpha)
    np.testing.assert_allclose(found, theory.tangent_kernel(run.X, 0 * run.beta, S, run.eps), atol=1e-13)


def test_the_grid_is_its_runs():
    at = [0, 10, 40]
    options = {"D": 5, "ratios": (2, 4), "alphas": (0.5, 2.0), "epsilons": (0.1, 0.3), "starts": 2, "rate": 0.5}
    seen = []
    ds, other = (
        lazy_rich_grid(Setup(backend, seed=3), **options, at=at, progress=lambda f, text: seen.append(f))
        for backend in ("sims", "kernels")
    )
    assert seen == [0, 0.5, 0, 0.5]
    for name in ds:
        np.testing.assert_allclose(ds[name], other[name], rtol=1e-8, err_msg=str(name))
    run = random_lazy_rich(5, 20, 200, alpha=2.0, eps=0.1, seed=3001)
    path = on_cpu.lazy_rich_train(*lazy_rich_batch([run]), rate=0.5, at=at)
    cell = ds.sel(ratio=4, alpha=2.0, eps=0.1, start=1)
    np.testing.assert_allclose(cell.train, path.loss[0], rtol=1e-12)
    expected = theory.population_loss(path.mean[0], path.second[0], run.beta, run.alpha, run.eps)
    np.testing.assert_allclose(cell.test, expected, rtol=1e-12)
    assert cell.linear[0] == pytest.approx(expected[0])
    assert float(cell.after) != float(cell.before)


def test_single_precision_follows_double():
    batch = lazy_rich_batch(RUNS)
    double = on_device.lazy_rich_train(*map(torch.tensor, batch), at=[0, 50])
    single = on_device.lazy_rich_train(*(torch.tensor(a, dtype=torch.float32) for a in batch), at=[0, 50])
    for part, other in zip(double, single, strict=True):
        assert other.dtype == torch.float32
        np.testing.assert_allclose(other, part, rtol=2e-4, atol=2e-5)


def test_a_step_is_that_of_autograd():
    run = RUNS[0]
    w = torch.tensor(run.weights, requires_grad=True)
    h = torch.tensor(run.X) @ w.T
    f = run.alpha * (h + run.eps / 2 * h**2).mean(1)
    loss = ((f - (torch.tensor(run.X) @ torch.tensor(run.beta)) ** 2 / 2) ** 2).mean()
    loss.backward()
    moved = (w - 0.3 * len(w) / run.alpha**2 * w.grad).detach().numpy()
    path = on_cpu.lazy_rich_train(*lazy_rich_batch([run]), rate=0.3, at=[0, 1])
    assert path.loss[0, 0] == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(path.mean[0, 1], moved.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(path.second[0, 1], moved.T @ moved / len(moved), atol=1e-12)


def test_the_population_loss_in_one_dimension():
    # a x + b x^2 - c x^2 for standard normal x has the second moment a^2 + 3 (b - c)^2
    found = theory.population_loss([0.7], [[1.3]], [1.1], 2.0, 0.4)
    assert found == pytest.approx((2 * 0.7) ** 2 + 3 * (0.4 * 1.3 - 1.1**2 / 2) ** 2, rel=1e-12)


def test_alignment():
    y = np.array([1.0, 2.0, 4.0, -3.0])
    centred = y - y.mean()
    assert theory.kernel_alignment(np.outer(centred, centred), y) == pytest.approx(1)
    assert theory.kernel_alignment(np.outer(y, y) + 5.0, y) == pytest.approx(1)  # a constant is centred away
    assert theory.kernel_alignment(np.eye(4), y) == pytest.approx(1 / np.sqrt(3))


def test_the_kernel_turns_towards_the_target_while_the_test_loss_first_rises():
    run = random_lazy_rich(20, 80, 100, alpha=1.0, eps=0.1, seed=0)
    path = on_cpu.lazy_rich_train(*lazy_rich_batch([run]), at=[0, 100, 4000])
    loss = theory.population_loss(path.mean[0], path.second[0], run.beta, np.full(3, 1.0), np.full(3, 0.1))
    assert loss[1] > 1.1 * loss[0]
    assert loss[2] < 0.2 * loss[0]
    assert path.loss[0, 1] < 0.7 * path.loss[0, 0]
    y = (run.X @ run.beta) ** 2 / 2
    aligned = [
        theory.kernel_alignment(theory.tangent_kernel(run.X, m, S, run.eps), y)
        for m, S in zip(path.mean[0], path.second[0], strict=True)
    ]
    assert aligned[2] > 1.2 * aligned[0]


X, BETA, M, S, ALPHA, EPS = lazy_rich_batch(RUNS)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"X": X[0]}, ShapeError, r"must have shapes \(R, P, D\)"),
        ({"beta": BETA[:1]}, ShapeError, "must have shapes"),
        ({"second": S * np.nan}, NonFiniteError, "second is not finite"),
        ({"alpha": 0 * ALPHA}, DomainError, "alpha must be > 0 and finite, got 0"),
        ({"eps": -EPS}, DomainError, "eps must be > 0"),
        ({"rate": 0.0}, DomainError, "rate must be > 0"),
        ({"at": [3, 1]}, DomainError, r"that do not fall, got \[3, 1\]"),
        ({"beta": 1j * BETA}, TypeError, "complex128"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, words):
    arguments = {"X": X, "beta": BETA, "mean": M, "second": S, "alpha": ALPHA, "eps": EPS, "rate": 1.0, "at": [1]}
    arguments |= change
    with pytest.raises(error, match=words):
        on_cpu.lazy_rich_train(**arguments)
    tensors = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    with pytest.raises(error, match=words):
        on_device.lazy_rich_train(**tensors)


def test_a_device_takes_numbers_of_one_dtype():
    tensors = [torch.tensor(a) for a in lazy_rich_batch(RUNS)]
    with pytest.raises(TypeError, match=r"beta of torch\.float32"):
        on_device.lazy_rich_train(tensors[0], tensors[1].float(), *tensors[2:], at=[1])
    with pytest.raises(TypeError, match=r"X of torch\.int64"):
        on_device.lazy_rich_train(*(t.long() for t in tensors), at=[1])


def test_bad_runs_are_refused():
    with pytest.raises(DomainError, match="at least 1, got 0"):
        random_lazy_rich(0, 1, 1, alpha=1.0, eps=0.1, seed=0)
    with pytest.raises(ShapeError, match="points of one shape"):
        lazy_rich_batch([RUNS[0], random_lazy_rich(6, 21, 40, alpha=1.0, eps=0.1, seed=0)])
