"""Images and their labels in one monotone model: the missing pixels and the label are filled in together.

The nodes are the pixels, hidden ones, and last a label. Observed pixels are clamped; predictions are the logits
``Phi q + b`` at the mean field, times a temperature that is learnt for each pixel and for the label. These are fits of
conditional marginals, not of the likelihood, and with a temperature other than 1 the predicted probabilities are no
longer the mean field.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from lemmata.errors import DomainError, ShapeError
from lemmata.kernels.monotone_dbm.model import MonotoneDBM
from lemmata.kernels.monotone_dbm.operators import Convolution, Layered, Matrix

__all__ = ["Completion", "accuracy", "convolutional", "dense", "train"]

#: share of the steps during which the learning rate rises
WARM = 0.2


class Completion(nn.Module):
    """A monotone model of images with labels.

    Parameters
    ----------
    dbm : MonotoneDBM
        Its first nodes are the pixels, all of as many states, and its last one is the label.
    pixels : int
    temperature : float
        Initial factor of all logits.
    """

    def __init__(self, dbm: MonotoneDBM, pixels: int, temperature: float = 5.0) -> None:
        super().__init__()
        if not 0 < pixels < len(dbm.states) or len(set(dbm.states[:pixels])) != 1:
            raise DomainError(f"the first {pixels} nodes must be pixels of as many states, and be followed by a label")
        self.dbm, self.pixels, self.levels, self.classes = dbm, pixels, dbm.states[0], dbm.states[-1]
        self.log_temperature = nn.Parameter(torch.full((pixels + 1,), float(np.log(temperature))).to(dbm.bias))

    def forward(self, images: Tensor, mask: Tensor, *, tol: float = 1e-3) -> tuple[Tensor, Tensor]:
        """Logits of the pixels [B, pixels, levels] and of the labels [B, classes], whatever was observed.

        Parameters
        ----------
        images : int64 tensor [B, pixels]
            Levels.
        mask : bool tensor [B, pixels]
            True where a pixel is observed.
        tol : float
            Distance to the mean field, which is certified.

        Raises
        ------
        ShapeError, NotConverged
        """
        if images.shape != mask.shape or images.ndim != 2 or images.shape[1] != self.pixels:
            raise ShapeError(f"images and mask must have shape (batch, {self.pixels}), got {tuple(images.shape)}")
        shown = one_hot(images, self.levels).flatten(1).to(self.dbm.bias)
        observed = shown.new_zeros(len(shown), self.dbm.n)
        observed[:, : shown.shape[1]] = shown
        seen = torch.zeros(len(shown), len(self.dbm.states), dtype=torch.bool, device=mask.device)
        seen[:, : self.pixels] = mask
        logits = self.dbm(observed=observed, mask=seen, method="averaged", tol=tol).logits
        factor = self.log_temperature.exp()
        image = logits[:, : shown.shape[1]].unflatten(1, (self.pixels, self.levels)) * factor[:-1, None]
        return image, logits[:, -self.classes :] * factor[-1]


def dense(pixels: int, levels: int, classes: int, *, hidden: int, rank: int, m: float = 0.1, seed: int) -> Completion:
    """A matrix A of the given rank that couples everything, and hidden nodes of two states; float32."""
    states = (levels,) * pixels + (2,) * hidden + (classes,)
    g = torch.Generator().manual_seed(seed)
    A = torch.randn(rank, sum(states), generator=g) * 0.7 / rank**0.5
    return Completion(MonotoneDBM(states, A, m=m), pixels)


def convolutional(
    side: int, levels: int, classes: int, *, groups: int, channels: int, m: float = 0.1, seed: int
) -> Completion:
    """Convolutions of the image, of a hidden layer at half its resolution, and of both with the label; float32.

    Parameters
    ----------
    side : int
        Of the square image, even.
    levels, classes : int
    groups : int
        Hidden nodes, of two states, at each place of the coarse grid.
    channels : int
        Channels of every map.
    m : float
    seed : int
    """
    g = torch.Generator().manual_seed(seed)

    def weight(*shape: int) -> Tensor:
        made = torch.randn(*shape, generator=g)
        return made * 0.7 / (made[:, 0].numel() ** 0.5)

    fine, coarse = (side, side), (side // 2, side // 2)
    layers = [(side**2, levels), (coarse[0] ** 2 * groups, 2), (1, classes)]
    pooled = Convolution(fine, levels, weight(channels, levels, 4, 4), stride=2)
    rows: list[dict[int, Matrix | Convolution]] = [
        {0: Convolution(fine, levels, weight(channels, levels, 5, 5))},
        {
            0: pooled,
            1: Convolution(coarse, 2, weight(channels, 2 * groups, 3, 3), groups=groups),
            2: Matrix(1, classes, weight(pooled.rows, classes)),
        },
    ]
    A = Layered(layers, rows)
    return Completion(MonotoneDBM(A.states, A, torch.zeros(sum(A.states)), m), side**2)


def train(
    model: Completion,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int,
    missing: float = 0.6,
    batch: int = 128,
    rate: float = 1e-2,
    weight: float = 4.0,
    tol: float = 2e-2,
    progress: Callable[[float], object] = lambda share: None,
    seed: int,
) -> np.ndarray:
    """Adam on the cross entropy of labels plus `weight` times that of the missing pixels, new masks for every batch.

    The learning rate rises to `rate` and falls to nothing.

    Parameters
    ----------
    model : Completion
        Changed in place.
    images : int[S, pixels]
    labels : int[S]
    epochs : int
    missing : float
        Probability that a pixel is not observed.
    batch : int
        The rest of an epoch that does not fill a batch is left out.
    rate, weight : float
    tol : float
        Certified distance to the mean field; the gradient is off by as much.
    progress : callable
        Is told the share of the work that is done.
    seed : int

    Returns
    -------
    float64[epochs]
        Mean loss of each epoch.
    """
    if not 0 < missing < 1:
        raise DomainError(f"missing must lie in (0, 1), got {missing!r}")
    if len(images) < batch:
        raise DomainError(f"{len(images)} images do not fill a batch of {batch}")
    device = model.dbm.bias.device
    x, y = (torch.as_tensor(v, dtype=torch.int64, device=device) for v in (images, labels))
    rng, per_epoch = np.random.default_rng(seed), len(x) // batch
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * per_epoch, pct_start=WARM)
    losses = np.zeros(epochs)
    for epoch in range(epochs):
        progress(epoch / epochs)
        for chosen in rng.permutation(len(x))[: per_epoch * batch].reshape(per_epoch, batch):
            own, label = x[torch.from_numpy(chosen).to(device)], y[torch.from_numpy(chosen).to(device)]
            mask = torch.from_numpy(rng.random(own.shape) >= missing).to(device)
            pixels, classes = model(own, mask, tol=tol)
            loss = cross_entropy(classes, label) + weight * cross_entropy(pixels[~mask], own[~mask])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses[epoch] += loss.item() / per_epoch
    return losses


@torch.no_grad()
def accuracy(
    model: Completion, images: np.ndarray, labels: np.ndarray, masks: np.ndarray, *, tol: float = 1e-4
) -> tuple[float, float]:
    """Shares of missing pixels and of labels that are right, over several masks of every image.

    Parameters
    ----------
    model : Completion
    images : int[S, pixels]
    labels : int[S]
    masks : bool[R, S, pixels]
        True where observed.
    tol : float

    Returns
    -------
    pixels, labels : float
        The former is NaN where nothing is missing.
    """
    device = model.dbm.bias.device
    x, y = (torch.as_tensor(v, dtype=torch.int64, device=device) for v in (images, labels))
    right, missing, named = 0, 0, 0
    for mask in torch.as_tensor(masks, device=device):
        pixels, classes = model(x, mask, tol=tol)
        right += int((pixels.argmax(-1) == x)[~mask].sum())
        missing += int((~mask).sum())
        named += int((classes.argmax(-1) == y).sum())
    return right / missing if missing else float("nan"), named / (len(masks) * len(x))
