"""Networks that learn to add modulo M: training against plain torch, what is recorded, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.experiments.learning_dynamics.grokking import train
from lemmata.kernels import learning_dynamics as on_device
from lemmata.problems.learning_dynamics import Addition, Recipe, modular_networks

M = 5
WEIGHTS, MASK = modular_networks(M, (8, 6), [0.5, 0.8, 0.8], seed=3)


def tensors(dtype=torch.float64):
    return [torch.tensor(w, dtype=dtype) for w in WEIGHTS], torch.tensor(MASK)


def test_networks_are_the_same_in_any_list():
    weights, mask = modular_networks(M, (8, 6), [0.5, 0.8], seed=3)
    for part, whole in zip((*weights, mask), (*WEIGHTS, MASK), strict=True):
        np.testing.assert_array_equal(part, whole[:2])
    assert MASK.sum(axis=1).tolist() == [12, 20, 20]
    assert abs(WEIGHTS[0]).max() <= 1 / np.sqrt(2 * M)
    assert (MASK[1] != MASK[2]).any()


@pytest.mark.parametrize("square", [False, True])
def test_logits_are_those_of_one_hot_inputs(square):
    h = Addition(M).X @ WEIGHTS[0][0]
    for w in WEIGHTS[1:]:
        h = (h**2 if square else np.maximum(h, 0)) @ w[0]
    found = on_device.modular_logits(tensors()[0], square=square)
    np.testing.assert_allclose(found[0].numpy(), h, atol=1e-14)


def alone(recipe, i, steps):
    """The i-th network by torch's own layers and optimizer, on its own pairs only; the loss after some steps."""
    network = torch.nn.Sequential()
    for w in WEIGHTS:
        layer = torch.nn.Linear(*w.shape[1:], bias=False, dtype=torch.float64)
        layer.weight.data = torch.tensor(w[i].T)
        network.extend([layer, torch.nn.ReLU()])
    network = network[:-1]
    X, labels = torch.tensor(Addition(M).X[MASK[i]]), torch.tensor(Addition(M).Y[MASK[i]].argmax(axis=1))
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.rate, betas=recipe.betas, eps=recipe.epsilon, weight_decay=recipe.decay
    )
    losses = []
    for _ in range(steps + 1):
        optimizer.zero_grad()
        logits = network(X)
        if recipe.loss == "softmax":
            loss = torch.nn.functional.cross_entropy(logits, labels)
        elif recipe.loss == "stablemax":
            loss = on_device.stablemax_loss(logits, labels)
        else:
            loss = ((logits - torch.tensor(Addition(M).Y[MASK[i]])) ** 2).sum(1).mean() / 2
        losses.append(loss.item())
        loss.backward()
        if recipe.projection != "none":
            for w in network.parameters():
                w.grad = on_device.perp_grad(w.data, w.grad, renormalize=recipe.projection == "rescaled")
        optimizer.step()
    return losses


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(decay=0.5),
        Recipe(loss="stablemax", epsilon=1e-8),
        Recipe(loss="squared", betas=(0.5, 0.6)),
        Recipe(projection="plain"),
        Recipe(projection="rescaled"),
    ],
    ids=lambda recipe: f"{recipe.loss}-{recipe.projection}",
)
def test_a_batch_trains_like_its_networks_in_plain_torch(recipe):
    weights, mask = tensors()
    path = on_device.modular_training(weights, mask, recipe, at=range(9))
    for i in range(3):
        np.testing.assert_allclose(path.loss[i], alone(recipe, i, 8), rtol=1e-8)
    np.testing.assert_array_equal(weights[0].numpy(), WEIGHTS[0])  # the caller's tensors stay


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_training_needs_no_gradients_from_outside(context):
    path = on_device.modular_training(*tensors(), Recipe(), at=[3])
    with context():
        again = on_device.modular_training(*tensors(), Recipe(), at=[3])
    for one, two in zip(path, again, strict=True):
        assert torch.equal(one, two)


def test_what_is_recorded():
    weights, mask = tensors()
    path = on_device.modular_training(weights, mask, Recipe(), at=[0, 0, 300])
    logits, labels = on_device.modular_logits(weights)[1].numpy(), Addition(M).Y.argmax(axis=1)
    right = logits.argmax(axis=1) == labels
    for part in path:
        assert part.shape == (3, 3)
        assert (part[:, 0] == part[:, 1]).all()
    assert float(path.train[1, 0]) == pytest.approx(right[MASK[1]].mean())
    assert float(path.test[1, 0]) == pytest.approx(right[~MASK[1]].mean())
    assert (path.train[:, 2] > 0.999).all()
    assert (path.dead == 0).all()
    # logits far apart: in single precision cross-entropy is exactly 0, StableMax is not
    large = [60 * w for w in tensors(torch.float32)[0]]
    for loss, share in (("softmax", 1.0), ("stablemax", 0.0)):
        dead = on_device.modular_training(large, torch.tensor(right_of(large)), Recipe(loss=loss), at=[0]).dead
        assert (dead == share).all()


def right_of(weights):
    """Training sets of those pairs that the networks get right, by far."""
    logits = on_device.modular_logits(weights).double().numpy()
    labels = Addition(M).Y.argmax(axis=1)
    two = np.sort(logits, axis=2)[:, :, -2:]
    return (logits.argmax(axis=2) == labels) & (two[:, :, 1] - two[:, :, 0] > 30)


def test_the_projected_gradient_leaves_lengths_alone_in_first_order():
    """The rate alone: without AdamW's moments a small step keeps the length of every matrix."""
    from lemmata.kernels.learning_dynamics.grokking import _project

    w, g = (torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in (0, 1))
    plain, rescaled = (_project(w, g, Recipe(projection=kind)) for kind in ("plain", "rescaled"))
    assert abs((w * plain).sum((1, 2))).max() < 1e-13
    torch.testing.assert_close(rescaled.norm(dim=(1, 2)), g.norm(dim=(1, 2)))
    assert (plain.norm(dim=(1, 2)) < g.norm(dim=(1, 2))).all()
    torch.testing.assert_close(_project(0 * w, g, Recipe(projection="plain")), g)  # no direction, nothing taken out
    small = _project(1e-25 * w.float(), g.float(), Recipe(projection="plain"))  # whose squares are 0 in float32
    torch.testing.assert_close(small, plain.float())
    assert abs(_project(w, w / 2, Recipe(projection="rescaled"))).max() < 1e-15


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"weights": WEIGHTS[:1]}, ShapeError, "two or more matrices"),
        ({"weights": WEIGHTS[1:]}, ShapeError, r"must be two or more matrices \(B, 2 M, h\)"),
        ({"mask": MASK[:2]}, ShapeError, r"\(2, 25\)"),
        ({"weights": [w * np.nan for w in WEIGHTS]}, NonFiniteError, "weights 0 are not finite"),
        ({"mask": MASK | True}, DomainError, "for training and for a test"),
        ({"mask": MASK.astype(int)}, TypeError, "mask must be of bool, got torch.int64"),
        ({"weights": [w.astype(int) for w in WEIGHTS]}, TypeError, "W_1 of torch.int64"),
        ({"weights": [w.astype(np.float16) for w in WEIGHTS]}, DomainError, "1e-30 is 0 in torch.float16"),
        ({"at": [2, 1]}, DomainError, "do not fall"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, words):
    given = {"weights": WEIGHTS, "mask": MASK, "at": [1]} | change
    with pytest.raises(error, match=words):
        on_device.modular_training(
            [torch.tensor(w) for w in given["weights"]], torch.tensor(given["mask"]), Recipe(), at=given["at"]
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "hinge"}, "loss must be one of softmax"),
        ({"projection": "half"}, "projection must be one of none"),
        ({"activation": "tanh"}, "activation must be one of relu"),
        ({"rate": 0.0}, "rate must be > 0"),
        ({"decay": 200.0}, r"must lie in \[0, 1\), got 200"),
        ({"epsilon": -1.0}, "epsilon must be > 0"),
        ({"epsilon": 0.0}, "epsilon must be > 0 and finite, got 0.0"),
        ({"betas": (0.9, 1.0)}, r"betas must lie in \[0, 1\)"),
    ],
)
def test_bad_recipes_are_refused(change, words):
    with pytest.raises(DomainError, match=words):
        replace(Recipe(), **change)


def test_bad_networks_are_refused():
    with pytest.raises(DomainError, match="hidden widths must be at least 1"):
        modular_networks(5, (0,), [0.5], seed=0)
    for shares in ([], [0.0], [1.0], [0.5, 1.5]):
        with pytest.raises(DomainError, match="leave pairs for training and for a test"):
            modular_networks(5, (3,), shares, seed=0)


@pytest.mark.slow
def test_stablemax_generalises_at_last_where_softmax_has_ended():
    """Modulo 31, 6,000 steps: a minute."""
    at, options = [500, 6000], {"dtype": "float32", "seed": 0}
    stable = train(31, (128, 128), [0.85] * 2, Recipe(loss="stablemax"), at=at, **options)
    softmax = train(31, (128, 128), [0.85] * 2, Recipe(), at=at, **options)
    for path in (stable, softmax):
        assert (path.train > 0.999).all()
        assert (path.test[:, 0] < 0.1).all()
    assert (stable.test[:, 1] > 0.9).all()
    assert (softmax.test[:, 1] < 0.1).all()
    assert (softmax.dead[:, 1] > 0.5).all()
    assert (stable.dead == 0).all()
