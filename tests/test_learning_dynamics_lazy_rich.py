"""Polynomial regression: kernel, population loss and alignment by hand, both backends, what is refused."""

import numpy as np
import pytest
import torch

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.kernels import learning_dynamics as on_device
from lemmata.problems.learning_dynamics import lazy_rich_batch, random_lazy_rich
from lemmata.sims import learning_dynamics as on_cpu
from lemmata.theory import learning_dynamics as theory

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


def test_bad_runs_are_refused():
    with pytest.raises(DomainError, match="at least 1, got 0"):
        random_lazy_rich(0, 1, 1, alpha=1.0, eps=0.1, seed=0)
    with pytest.raises(ShapeError, match="points of one shape"):
        lazy_rich_batch([RUNS[0], random_lazy_rich(6, 21, 40, alpha=1.0, eps=0.1, seed=0)])
