"""Learning on digits: models against their unrolled mean fields, controls against hand counts, gains with intervals."""

import numpy as np
import pytest
import torch
from scipy import stats as scipy_stats

from lemmata.errors import DomainError, ShapeError
from lemmata.experiments.monotone_dbm import digits as data_module
from lemmata.experiments.monotone_dbm.digits import (
    CONVOLUTIONAL,
    DEEP,
    DENSE,
    LEVELS,
    MAJORITY,
    RESTRICTED,
    SIGNED,
    boltzmann_machine,
    digits,
    gain,
    logistic_regression,
    majority,
    masks,
    table,
)
from lemmata.kernels.monotone_dbm import Convolution, Layered, Matrix, MonotoneDBM, learning
from lemmata.results import dataset
from lemmata.sims import monotone_dbm as sims
from lemmata.verification import Setup

CLASSES = 10


@pytest.fixture(scope="module", params=[(2, 6, None), (4, 6, None), (4, 2, 3)], ids=["2", "4", "4-convolutional"])
def learnt(request):
    """A split, and the unrolled and the finished model that a few epochs make of it."""
    levels, pairs, kernel = request.param
    data = digits(levels, seed=3)
    kept = []
    finish = learning._Pairs.completion
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning._Pairs, "completion", lambda self, m: kept.append(self) or finish(self, m))
        model = learning.fit(
            data.train, data.train_labels, levels, CLASSES, pairs=pairs, kernel=kernel, epochs=3, seed=0
        )
    return data, kept[0], model


def _logits(predict, data, seed=5, count=40):
    """Logits of pixels and labels, the latter up to a constant, float64."""
    mask = torch.from_numpy(masks(1, data.test[:count], 0.6, seed=seed)[0])
    with torch.no_grad():
        pixels, labels = predict(torch.from_numpy(data.test[:count]), mask)
    return pixels.double().numpy(), (labels - labels.mean(1, keepdim=True)).double().numpy()


# -------------------------------------------------------------------------------------------- models


def test_a_fitted_model_is_monotone(learnt):
    _, pairs, model = learnt
    phi = model.dbm.phi().detach().double().numpy()
    assert np.array_equal(phi, phi.T)
    least = np.linalg.eigvalsh(np.eye(len(phi)) - phi)[0]
    assert least >= model.dbm.m - 1e-5  # of the rounding of A in float32
    # dense couplings use the room that they have; filters would have to be longer
    assert least < model.dbm.m + learning.ROOM or isinstance(pairs, learning._Filters)


def test_the_certified_mean_field_is_the_unrolled_one_as_the_label_weakens(learnt, monkeypatch):
    data, pairs, _ = learnt
    monkeypatch.setattr(learning, "STEPS", 100)
    unrolled = _logits(pairs, data)
    errors = []
    for room in (2e-2, 2e-4):
        monkeypatch.setattr(learning, "ROOM", room)  # the label's couplings are proportional to its root
        made = pairs.completion(0.02)
        found = _logits(lambda x, mask, made=made: made(x, mask, tol=2e-6), data)
        errors.append([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(found, unrolled, strict=True)])
    errors = np.array(errors)
    assert errors[0].max() < 0.05
    assert (errors[1] < 0.02 * errors[0] + 1e-3).all()  # to the label and back: quadratic; then float32 at T of 1e4


def test_predictions_are_the_mean_field_of_the_other_backend(learnt):
    data, _, model = learnt
    x = data.test[:5]
    mask = masks(1, x, 0.6, seed=8)[0]
    observed, seen = (v.numpy() for v in model.evidence(torch.from_numpy(x), torch.from_numpy(mask)))
    plain = model.dbm.to_model()
    q = sims.solve(plain, observed=observed.astype(float), mask=seen, tol=1e-10).q
    field = q @ plain.phi + plain.bias
    factor = np.exp(model.log_temperature.detach().double().numpy())
    pixels = field[:, : 64 * data.levels].reshape(5, 64, -1) * factor[:-1, None] + model.offset.detach().numpy()
    with torch.no_grad():
        found = model(torch.from_numpy(x), torch.from_numpy(mask), tol=2e-6)
    # float32 at temperatures up to 2,000
    np.testing.assert_allclose(found[0].numpy(), pixels, atol=1e-3)
    np.testing.assert_allclose(found[1].numpy(), field[:, -CLASSES:] * factor[-1], atol=2e-2)


def test_the_same_seed_gives_the_same_model():
    data = digits(2, seed=0)
    one, same, other = (
        learning.fit(data.train[:128], data.train_labels[:128], 2, CLASSES, pairs=2, epochs=2, seed=seed).dbm.A
        for seed in (7, 7, 8)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_kernel_ties_the_couplings_of_all_places():
    data, kernel = digits(2, seed=0), 3
    made = {}
    for own in (kernel, None):
        model = learning.fit(data.train, data.train_labels, 2, CLASSES, pairs=2, kernel=own, epochs=2, seed=0)
        made[own] = model.dbm.phi().detach().double().numpy()
    phi = made[kernel]
    pixels, hidden = slice(128), slice(128, -CLASSES)
    S = phi[pixels, pixels].reshape(8, 8, 2, 8, 8, 2)
    w = phi[hidden, pixels].reshape(10, 10, 4 * 2, 8, 8, 2)
    for part in (S, w):
        assert abs(part).max() > 0.01
        for ahead, behind in (
            ((slice(1, None),), (slice(-1),)),
            ((slice(None), slice(1, None)), (slice(None), slice(-1))),
        ):
            rest = (slice(None),) * (3 - len(ahead))
            np.testing.assert_allclose(part[(*ahead, *rest) * 2], part[(*behind, *rest) * 2], rtol=0, atol=1e-6)
    # no filter holds two pixels that are as far apart
    away = abs(np.arange(8)[:, None] - np.arange(8)) >= kernel
    assert abs(S.transpose(0, 3, 1, 4, 2, 5)[away]).max() < 1e-6
    assert abs(phi[hidden, hidden]).max() < 1e-6
    assert np.linalg.eigvalsh(phi)[-1] <= 1 - model.dbm.m + 1e-5
    loose = made[None][pixels, pixels].reshape(8, 8, 2, 8, 8, 2)
    assert abs(loose[1:, :, :, 1:] - loose[:-1, :, :, :-1]).max() > 0.01


@pytest.mark.parametrize("strength", [1e-3, 1.0])
def test_couplings_fill_their_bound_or_stay_as_they_are(strength):
    g = torch.Generator().manual_seed(1)
    pairs = learning._Pairs(torch.rand(12, 3, generator=g), 4, 5, 0.9, g).double()
    with torch.no_grad():
        pairs.C += strength * torch.randn(36, 36, generator=g)
    S, w = pairs.couplings()
    both = torch.cat([w, -w])
    phi = torch.cat([torch.cat([S, both.T], 1), torch.cat([both, torch.zeros(10, 10)], 1)], 0)
    top = float(torch.linalg.eigvalsh(phi)[-1].detach())
    centre = np.kron(np.eye(12), np.eye(3) - 1 / 3)
    C = pairs.C.detach().numpy()
    plain = np.where(np.kron(np.eye(12), np.ones((3, 3))) > 0, 0.0, centre @ (C + C.T) @ centre)
    if strength == 1:
        assert top == pytest.approx(0.9, rel=1e-9)
        plain *= float(S.detach().norm()) / np.linalg.norm(plain)
    else:
        assert top < 0.9
    np.testing.assert_allclose(S.detach().numpy(), plain, atol=1e-12)


def test_train_lowers_the_loss_of_a_convolutional_model_and_changes_every_parameter():
    data = digits(2, seed=0)
    g = torch.Generator().manual_seed(0)
    image = Convolution((8, 8), 2, 0.2 * torch.randn(4, 2, 3, 3, generator=g))
    hidden = Convolution((10, 10), 2, 0.4 * torch.randn(4, 4, 1, 1, generator=g), groups=2)
    label = Matrix(1, CLASSES, 0.03 * torch.randn(400, CLASSES, generator=g))
    A = Layered([(64, 2), (200, 2), (1, CLASSES)], [{0: image, 1: hidden, 2: label}])
    model = learning.Completion(MonotoneDBM(A.states, A), 64)
    before = [p.detach().clone() for p in model.parameters()]
    losses = learning.train(model, data.train[:256], data.train_labels[:256], epochs=2, batch=64, seed=0)
    assert losses[-1] < losses[0] - 0.1
    assert all((p != q).any() for p, q in zip(model.parameters(), before, strict=True))


def test_bad_input_is_refused():
    data = digits(2, seed=0)
    x, y = data.train[:128], data.train_labels[:128]
    with pytest.raises(DomainError, match="missing must lie"):
        learning.fit(x, y, 2, CLASSES, missing=1.0, epochs=1, seed=0)
    with pytest.raises(DomainError, match="100 images do not fill a batch of 128"):
        learning.fit(x[:100], y[:100], 2, CLASSES, epochs=1, seed=0)
    for m in (0.0, float("nan"), 1.5):
        with pytest.raises(DomainError, match="m must lie in"):
            learning.fit(x, y, 2, CLASSES, m=m, seed=0)
    with pytest.raises(DomainError, match="no room for hidden nodes"):
        learning.fit(x, y, 2, CLASSES, m=0.3, seed=0)
    with pytest.raises(DomainError, match="images square, got 3 and 63"):
        learning.fit(x[:, :63], y, 2, CLASSES, kernel=3, seed=0)
    model = learning.dense(64, 2, CLASSES, hidden=2, rank=8, seed=0)
    with pytest.raises(ShapeError, match=r"images and mask.*got \(128, 64\) and \(128, 63\)"):
        model(torch.from_numpy(x), torch.ones(128, 63, dtype=torch.bool))
    with pytest.raises(ShapeError, match=r"mask must be a bool tensor.*torch\.float32"):
        model(torch.from_numpy(x), torch.ones(128, 64))
    everything = np.ones((1, 128, 64), dtype=bool)
    for images, labels, words in (
        (x + 1, y, "images must lie in 0 to 1, got 1 to 2"),
        (x, y - 1, "labels must lie in 0 to 9, got -1 to"),
        (x / 2, y, "images must be integers, got torch.float64"),
        (x[:, 0], y, r"images must have shape \(samples, pixels\)"),
        (x, y[:100], r"labels \(samples,\), got \(128, 64\) and \(100,\)"),
    ):
        for call in (
            lambda: learning.fit(images, labels, 2, CLASSES, epochs=1, seed=0),  # noqa: B023
            lambda: learning.train(model, images, labels, epochs=1, seed=0),  # noqa: B023
            lambda: learning.accuracy(model, images, labels, everything),  # noqa: B023
        ):
            with pytest.raises((ShapeError, DomainError), match=words):
                call()
    for options, words in (({"epochs": 0}, "epochs must be >= 1"), ({"epochs": 1, "batch": 0}, "batch must be >= 1")):
        with pytest.raises(DomainError, match=words):
            learning.fit(x, y, 2, CLASSES, seed=0, **options)
        with pytest.raises(DomainError, match=words):
            learning.train(model, x, y, seed=0, **options)
    with pytest.raises(DomainError, match="pairs must be >= 1"):
        learning.fit(x, y, 2, CLASSES, pairs=0, epochs=1, seed=0)
    for wrong in (everything[0], everything[:0], everything[:, :, :63]):
        with pytest.raises(ShapeError, match=r"masks must have shape \(repeats, 128, 64\)"):
            learning.accuracy(model, x, y, wrong)
    with pytest.raises(DomainError, match="levels must be 2 or 4"):
        digits(3, seed=0)


# -------------------------------------------------------------------------------------------- controls


def test_splits_keep_images_and_classes_apart():
    data = digits(4, seed=1)
    assert len(data.train) + len(data.test) == 1797
    assert np.bincount(data.test_labels).min() >= 43  # a quarter of 174 to 183
    choice = data.held_out(seed=2)
    assert len(choice.train) + len(choice.test) == len(data.train)
    train = {row.tobytes() for row in data.train}
    assert all(row.tobytes() in train for row in np.concatenate([choice.train, choice.test]))


def test_controls_on_images_that_say_their_label():
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=400)
    images = (np.arange(64) % 10 == labels[:, None]).astype(np.int64)
    data = data_module.Digits(images[:300], labels[:300], images[300:], labels[300:], 2)
    seen = masks(3, data.test, 0.6, seed=0)
    # off is the most frequent level of every pixel
    assert majority(data, seen) == pytest.approx(1 - images[300:][None].repeat(3, 0)[~seen].mean())
    for signed in (False, True):
        assert logistic_regression(data, seen, 0.6, copies=5, signed=signed, seed=0) > 0.9
    shuffled = data_module.Digits(images[:300], rng.permutation(labels[:300]), images[300:], labels[300:], 2)
    assert logistic_regression(shuffled, seen, 0.6, copies=5, seed=0) < 0.3


def test_a_deep_boltzmann_machine_swings_where_the_monotone_model_settles(learnt):
    data, _, model = learnt
    if data.levels > 2:
        return
    seen = masks(1, data.test, 0.6, seed=0)
    deep = boltzmann_machine(data, seen, hidden=(64, 64), seed=0)
    assert deep["swinging"] > 0.2
    assert deep["residual"] > 0.5
    # the same parallel updates, written out, are the answer of the certified solver
    parallel = data_module._shares(model, data, seen, True, 1.0, 1.0)
    assert parallel == pytest.approx(learning.accuracy(model, data.test, data.test_labels, seen), abs=2e-3)


# ----------------------------------------------------------------------------------------------- gains


def test_gains_are_paired():
    rng = np.random.default_rng(0)
    base, change = rng.standard_normal(5), 0.1 + 0.01 * rng.standard_normal(5)
    ds = dataset(
        {"labels": (("levels", "model", "seed"), np.array([[base, base + change]]), "1")},
        {"levels": [2], "model": [LEVELS, DENSE], "seed": np.arange(5)},
    )
    found = gain(ds, "labels", 2, DENSE, LEVELS)
    expected = scipy_stats.ttest_rel(base + change, base).confidence_interval(0.95)
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high))


def test_shuffled_labels_gain_nothing():
    setup = Setup("kernels")
    sound, broken = (data_module._gains([0, 1], setup, shuffled=shuffled) for shuffled in (False, True))
    assert (np.asarray(sound.measured) - sound.theory)[0] > 0.03
    assert (np.asarray(broken.measured) - broken.theory)[1] < -0.3


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_monotone_models_beat_their_controls_over_five_seeds():
    ds = table((2, 4), 5, models=(MAJORITY, LEVELS, SIGNED, RESTRICTED, DEEP, DENSE, CONVOLUTIONAL))
    for levels in (2, 4):
        for model, pixels in ((DENSE, 0.065), (CONVOLUTIONAL, 0.035)):
            assert gain(ds, "pixels", levels, model, MAJORITY).lower > pixels
            assert gain(ds, "labels", levels, model, LEVELS).lower > 0.03
            assert gain(ds, "labels", levels, model, SIGNED).lower > 0.07
    assert (ds.swinging.sel(levels=2, model=DEEP) > 0.2).all()
