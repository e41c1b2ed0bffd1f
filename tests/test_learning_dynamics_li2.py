"""Modular addition: the gradient of lazy features, the energy of a unit and its maxima, both backends."""

import numpy as np
import pytest
import torch

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.kernels import learning_dynamics as on_device
from lemmata.problems.learning_dynamics import Addition, random_features, random_units
from lemmata.sims import learning_dynamics as on_cpu
from lemmata.theory import learning_dynamics as theory


def direct(w, M):
    data = Addition(M)
    return ((data.Y.T @ (data.X @ w.T) ** 2) ** 2).sum(axis=0) / 2


def test_the_data_are_all_sums():
    data = Addition(5)
    a, b = data.X[:, :5].argmax(axis=1), data.X[:, 5:].argmax(axis=1)
    np.testing.assert_array_equal(data.Y.argmax(axis=1), (a + b) % 5)
    assert len({(i, j) for i, j in zip(a, b, strict=True)}) == 25
    np.testing.assert_allclose(data.Y.sum(axis=0), 0, atol=1e-14)


@pytest.mark.parametrize("M", [5, 8])
def test_a_step_goes_along_the_gradient_of_the_energy(M):
    w = random_units(M, 3, seed=1)
    data = Addition(M)
    free = torch.tensor(w, requires_grad=True)
    (((torch.tensor(data.Y).T @ (torch.tensor(data.X) @ free.T) ** 2) ** 2).sum() / 2).backward()
    expected = w + free.grad.numpy() / M
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(on_cpu.energy_ascent(w, steps=1), expected, atol=1e-14)
    np.testing.assert_allclose(on_device.energy_ascent(torch.tensor(w), steps=1), expected, atol=1e-14)


def test_sixty_starts_end_in_all_eleven_frequencies():
    w = on_cpu.energy_ascent(random_units(23, 60, seed=0), steps=1000)
    np.testing.assert_allclose(direct(w, 23), 5.75, rtol=1e-9)
    spectrum = theory.spectrum(w)[:, 1:12]
    np.testing.assert_allclose(spectrum.max(axis=1) / spectrum.sum(axis=1), 1, atol=1e-9)
    assert set(spectrum.argmax(axis=1) + 1) == set(range(1, 12))
    u, v = (abs(np.fft.fft(part)) for part in np.split(w, 2, axis=1))
    np.testing.assert_allclose(u, v, atol=1e-6)


def test_no_unit_exceeds_the_maximum():
    for M, most in ((7, 7 / 4), (8, 8 / 2)):
        assert direct(random_units(M, 2000, seed=0), M).max() <= most
    sign = np.tile([1.0, -1.0], 8) / 4
    assert direct(sign[None], 8)[0] == pytest.approx(4.0, rel=1e-12)
    assert theory.spectral_energy(sign) == pytest.approx(4.0, rel=1e-12)


def test_an_ascent_never_falls():
    w = random_units(10, 20, seed=2)
    energy = [direct(on_cpu.energy_ascent(w, steps=steps), 10) for steps in (0, 1, 5, 20, 100)]
    assert (np.diff(energy, axis=0) >= -1e-12).all()


def test_lazy_features_learn_only_under_weight_decay():
    sizes = []
    for eta in (1e-3, 1.0):
        p = random_features(11, 1000, eta=eta, seed=0)
        G = theory.ridge_gradient(p.F, p.Y, eta=eta)
        sizes.append(np.linalg.norm(G))
    assert sizes[0] < 0.01 * sizes[1]


def test_wide_features_move_along_the_kernel_of_the_targets():
    cosines = []
    for width in (100, 1000, 4000):
        p = random_features(11, width, eta=100.0, seed=0)
        G, along = theory.ridge_gradient(p.F, p.Y, eta=p.eta), p.Y @ (p.Y.T @ p.F)
        cosines.append(float((G * along).sum() / np.linalg.norm(G) / np.linalg.norm(along)))
    assert cosines == sorted(cosines)
    assert cosines[0] < 0.6
    assert cosines[-1] > 0.95  # 1 - cosine falls like 1/width


def test_what_ridge_regression_leaves():
    p = random_features(7, 30, eta=0.3, seed=0)
    Q = np.linalg.inv(p.F @ p.F.T + p.eta * np.eye(len(p.F)))
    np.testing.assert_allclose(theory.ridge_residual(p.F, p.Y, eta=p.eta), p.eta * Q @ p.Y, atol=1e-12)


def test_a_unit_that_others_explain_receives_nothing_more():
    """A copy of a unit halves what both receive, less a share of order eta."""
    p = random_features(7, 30, eta=1e-3, seed=0)
    alone = theory.ridge_gradient(p.F, p.Y, eta=p.eta)[:, 0]
    both = theory.ridge_gradient(np.column_stack((p.F, p.F[:, 0])), p.Y, eta=p.eta)[:, [0, -1]]
    np.testing.assert_allclose(both[:, 0], both[:, 1], atol=1e-10)
    assert np.linalg.norm(both[:, 0] - alone / 2) < 1e-2 * np.linalg.norm(alone)


def test_the_residual_of_learned_frequencies_is_without_them():
    M, data = 11, Addition(11)
    w = on_cpu.energy_ascent(random_units(M, 200, seed=0), steps=1000)
    learned = np.isin(theory.spectrum(w)[:, 1:6].argmax(axis=1) + 1, (1, 3))
    left = theory.ridge_residual((data.X @ w[learned].T) ** 2, data.Y, eta=1e-3)
    power = (abs(np.fft.fft2(np.reshape([left, data.Y], (2, M, M, M)), axes=(1, 2))) ** 2).sum(axis=3)
    power = np.diagonal(power, axis1=1, axis2=2)[:, 1:6]  # of cos(2 pi k (a + b)/M + phase)
    share = power[0] / power[1]
    assert (share[[0, 2]] < 1e-3).all()
    np.testing.assert_allclose(share[[1, 3, 4]], 1, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_start_may_have_any_length(dtype):
    w = random_units(5, 3, seed=0).astype(dtype)
    for module, convert in ((on_cpu, np.asarray), (on_device, torch.tensor)):
        expected = np.asarray(module.energy_ascent(convert(w), steps=3))
        for size in (2.0**-100, 2.0**100) if dtype is np.float32 else (2.0**-700, 2.0**700):
            found = np.asarray(module.energy_ascent(convert(w * dtype(size)), steps=3))
            np.testing.assert_allclose(found, expected, rtol=0, atol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("w", "steps", "error", "words"),
    [
        (np.ones(4), 1, ShapeError, r"\(B, 2 M\) with M >= 2, got \(4,\)"),
        (np.ones((1, 5)), 1, ShapeError, r"got \(1, 5\)"),
        (np.full((1, 4), np.nan), 1, NonFiniteError, "w is not finite"),
        (np.zeros((1, 4)), 1, DomainError, "no direction"),
        (np.ones((1, 4)), -1, DomainError, "steps must be >= 0, got -1"),
        (1j * np.ones((1, 4)), 1, TypeError, "complex128"),
    ],
)
def test_what_cannot_climb_is_refused(w, steps, error, words):
    for module, convert in ((on_cpu, np.asarray), (on_device, torch.tensor)):
        with pytest.raises(error, match=words):
            module.energy_ascent(convert(w), steps=steps)


def test_bad_data_are_refused():
    with pytest.raises(DomainError, match="modulus must be at least 2, got 1"):
        Addition(1)
    with pytest.raises(DomainError, match=r"eta must be > 0 .* without weight decay"):
        random_features(5, 8, eta=0.0, seed=0)
