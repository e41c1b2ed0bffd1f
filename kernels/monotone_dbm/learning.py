"""Images and their labels in one monotone model: the missing pixels and the label are filled in together.

The nodes are the pixels, hidden ones, and last a label. Observed pixels are clamped; predictions are the logits
``Phi q + b`` at the mean field, times a temperature that is learnt for each pixel and for the label, plus an offset for
each pixel. These are fits of conditional marginals, not of the likelihood, and with a temperature other than 1 the
predicted probabilities are no longer the mean field.

Two ways to learn. `train` follows the implicit gradient of any model, its label coupled as strongly as anything else.
`fit` makes a model, dense or convolutional, whose label is coupled weakly and read at a high temperature: nothing then
depends on what the label says, pixels and hidden nodes settle among themselves, and a few steps of their mean field can
be unrolled over the couplings themselves. Monotonicity bounds how much a hidden node can be moved
(``dq/db <= 1/(1 + m)``), so that its response is nearly linear; hidden nodes therefore come in pairs of opposite
couplings, whose sum is free of the linear part, and the temperature amplifies what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from scipy.linalg import helmert
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy, one_hot

from lemmata.errors import DomainError, ShapeError
from lemmata.kernels.monotone_dbm.model import MonotoneDBM
from lemmata.kernels.monotone_dbm.operators import Convolution, Layered, Matrix
from lemmata.random import check_integer

__all__ = ["Completion", "accuracy", "dense", "fit", "train"]

#: share of the steps during which the learning rate rises
WARM = 0.2
#: of `fit`: room that the couplings of pixels and hidden nodes leave below 1 - m for those of the label
ROOM = 0.02
#: of `fit`: norm of the couplings from pixels to one of each pair, initial temperature of the pixels, factor on the
#: readout of the pairs, steps of the mean field and the weight of the new point from the second on
REACH, WARMTH, GAIN, STEPS, WEIGHT = 0.5, 6.0, 30.0, 3, 0.75
#: of `fit` with a kernel: squared taps of filters to those of pixels at the start, factor on the readout of pairs
SHARE, FILTER_GAIN = 0.25, 100.0
#: of `fit`: learning rates of couplings and of what the label reads
RATE, READ_RATE = 3e-3, 3e-2
#: share of the label's target that is spread over all classes
SMOOTHING = 0.1
#: initial thresholds of hidden nodes, mean and spread: the curvature of tanh is greatest at .66
THRESHOLD = 0.66, 0.3
#: frequency of a level below which it counts as rare as this
RARE = 0.005


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
        self.offset = nn.Parameter(dbm.bias.new_zeros(pixels, self.levels))

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
        observed, seen = self.evidence(images, mask)
        return self.read(self.dbm(observed=observed, mask=seen, method="averaged", tol=tol).logits)

    def evidence(self, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What `MonotoneDBM.forward` takes as `observed` [B, n] and `mask` [B, N]."""
        if images.shape != mask.shape or images.ndim != 2 or images.shape[1] != self.pixels:
            raise ShapeError(
                f"images and mask must have shape (batch, {self.pixels}), got {tuple(images.shape)} and "
                f"{tuple(mask.shape)}"
            )
        if mask.dtype != torch.bool:
            raise ShapeError(f"mask must be a bool tensor, True where a pixel is observed; got {mask.dtype}")
        images = _numbers("images", images, self.levels)
        shown = one_hot(images, self.levels).flatten(1).to(self.dbm.bias)
        observed = shown.new_zeros(len(shown), self.dbm.n)
        observed[:, : shown.shape[1]] = shown
        seen = torch.zeros(len(shown), len(self.dbm.states), dtype=torch.bool, device=mask.device)
        seen[:, : self.pixels] = mask
        return observed, seen

    def read(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """What logits [B, n] of the mean field say of pixels and labels."""
        factor = self.log_temperature.exp()
        image = logits[:, : self.pixels * self.levels].unflatten(1, (self.pixels, self.levels)) * factor[:-1, None]
        return image + self.offset, logits[:, -self.classes :] * factor[-1]


def _numbers(name: str, given: Any, count: int, device: Any = None) -> Tensor:
    """An int64 tensor of numbers from 0 to count - 1."""
    made = torch.as_tensor(given, device=device)
    if made.is_floating_point() or made.is_complex() or made.dtype == torch.bool:
        raise ShapeError(f"{name} must be integers, got {made.dtype}")
    if made.numel() and not 0 <= int(made.min()) <= int(made.max()) < count:
        raise DomainError(f"{name} must lie in 0 to {count - 1}, got {int(made.min())} to {int(made.max())}")
    return made.long()


def _data(images: Any, labels: Any, levels: int, classes: int, device: Any = None) -> tuple[Tensor, Tensor]:
    """Images int64 [S, pixels] and labels int64 [S], or an exception that says what is wrong."""
    x, y = _numbers("images", images, levels, device), _numbers("labels", labels, classes, device)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ShapeError(
            f"images must have shape (samples, pixels) and labels (samples,), got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    return x, y


def dense(pixels: int, levels: int, classes: int, *, hidden: int, rank: int, m: float = 0.1, seed: int) -> Completion:
    """A matrix A of the given rank that couples everything, and hidden nodes of two states; float32."""
    states = (levels,) * pixels + (2,) * hidden + (classes,)
    g = torch.Generator().manual_seed(seed)
    A = torch.randn(rank, sum(states), generator=g) * 0.7 / rank**0.5
    return Completion(MonotoneDBM(states, A, m=m), pixels)


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

    The learning rate rises to `rate` and falls to nothing. A tenth of every label's target is spread over all classes.

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

    Raises
    ------
    ShapeError, DomainError
    TypeError
        Where epochs or batch is no integer.
    """
    return _descend(
        lambda own, mask: model(own, mask, tol=tol),
        [{"params": list(model.parameters()), "lr": rate}],
        *_data(images, labels, model.levels, model.classes, model.dbm.bias.device),
        epochs,
        missing,
        batch,
        weight,
        progress,
        seed,
    )


def _descend(
    predict: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    groups: list[dict[str, Any]],
    x: Tensor,
    y: Tensor,
    epochs: int,
    missing: float,
    batch: int,
    weight: float,
    progress: Callable[[float], object],
    seed: int,
) -> np.ndarray:
    """Adam on what `predict` makes of images and masks: mean losses of the epochs."""
    if not 0 < missing < 1:
        raise DomainError(f"missing must lie in (0, 1), got {missing!r}")
    epochs, batch = check_integer("epochs", epochs, 1), check_integer("batch", batch, 1)
    if len(x) < batch:
        raise DomainError(f"{len(x)} images do not fill a batch of {batch}")
    rng, per_epoch = np.random.default_rng(seed), len(x) // batch
    optimizer = torch.optim.Adam(groups)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=epochs * per_epoch, pct_start=WARM)
    losses = np.zeros(epochs)
    for epoch in range(epochs):
        progress(epoch / epochs)
        for chosen in rng.permutation(len(x))[: per_epoch * batch].reshape(per_epoch, batch):
            own, label = (v[torch.from_numpy(chosen).to(x.device)] for v in (x, y))
            mask = torch.from_numpy(rng.random(own.shape) >= missing).to(x.device)
            pixels, classes = predict(own, mask)
            filled = cross_entropy(pixels[~mask], own[~mask])
            loss = cross_entropy(classes, label, label_smoothing=SMOOTHING) + weight * filled
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses[epoch] += loss.item() / per_epoch
    return losses


class _Pairs(nn.Module):
    """Pixels and pairs of hidden nodes that a label reads without acting on them.

    Deviations from where everything stands when nothing is observed are coupled: those of the pixels by `C`, those of
    the two hidden nodes of a pair to the pixels by ``w`` and ``-w``. A hidden node is held as ``q_1 - q_0``.
    """

    gain = GAIN

    def __init__(self, frequency: Tensor, classes: int, pairs: int, bound: float, g: torch.Generator) -> None:
        super().__init__()
        self.shape, self.bound = tuple(frequency.shape), bound
        n = frequency.numel()
        level = frequency.clamp_min(RARE).log()
        level = level - level.mean(1, keepdim=True)
        self.C = nn.Parameter(torch.zeros(n, n))
        self.w = nn.Parameter(torch.randn(pairs, n, generator=g) / n**0.5)
        self.level = nn.Parameter(level)
        self.threshold = nn.Parameter((THRESHOLD[0] + THRESHOLD[1] * torch.randn(pairs, generator=g)).repeat(2, 1))
        self.log_temperature = nn.Parameter(torch.full((len(level),), float(np.log(WARMTH))))
        self.offset = nn.Parameter((1 - WARMTH) * level)
        self.read_pixels = nn.Parameter(torch.zeros(classes, n))
        self.read_pairs = nn.Parameter(torch.zeros(classes, pairs))
        self.label = nn.Parameter(torch.zeros(classes))
        node = torch.arange(len(level)).repeat_interleave(frequency.shape[1])
        self.register_buffer("same", node[:, None] == node)

    def centred(self, x: Tensor) -> Tensor:
        """Without each pixel's mean over its levels."""
        levels = x.unflatten(-1, self.shape)
        return (levels - levels.mean(-1, keepdim=True)).flatten(-2)

    def couplings(self) -> tuple[Tensor, Tensor]:
        """S of the pixels and w, so that no eigenvalue of all couplings exceeds the bound c.

        That is ``S <= c I - 2 w' w / c``; S is shrunk until it holds, by the largest eigenvalue of the one relative to
        the other.
        """
        S = self.centred(self.centred(self.C + self.C.T).T).masked_fill(cast(Tensor, self.same), 0.0)
        w = self.centred(self.w)
        w = w * (REACH / torch.linalg.matrix_norm(w, 2))
        left = self.bound * torch.eye(len(S)).to(S) - 2 * w.T @ w / self.bound
        with torch.no_grad():
            root = torch.linalg.cholesky(left)
            half = torch.linalg.solve_triangular(root, S, upper=False)
            relative = torch.linalg.solve_triangular(root, half.T, upper=False)
            top = torch.linalg.eigh((relative + relative.T) / 2)[1][:, -1:]
            v = torch.linalg.solve_triangular(root.T, top, upper=True)[:, 0]
        return S / (((v @ S @ v) / (v @ left @ v)).clamp_min(1.0)), w

    def rest(self) -> tuple[Tensor, Tensor]:
        """Pixels and hidden nodes when nothing is observed."""
        return torch.softmax(self.level, 1).flatten(), torch.tanh(self.threshold)

    def readout(self) -> tuple[Tensor, Tensor]:
        """What the label reads of every level, and of both nodes of every pair."""
        return self.centred(self.read_pixels), self.gain * self.read_pairs

    def forward(self, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """As `Completion.forward`, after a few steps."""
        S, w = self.couplings()
        q0, h0 = self.rest()
        shown = one_hot(images, self.shape[1]).flatten(1).to(S)
        seen = mask.repeat_interleave(self.shape[1], 1)
        q = torch.where(seen, shown, q0)
        field = (q - q0) @ S + self.level.flatten()
        for step in range(STEPS):
            new = torch.softmax(field.unflatten(1, self.shape), -1).flatten(1)
            q = torch.where(seen, shown, torch.lerp(q, new, WEIGHT) if step else new)
            drive = (q - q0) @ w.T / 2**0.5
            first, second = torch.tanh(self.threshold[0] + drive) - h0[0], torch.tanh(self.threshold[1] - drive) - h0[1]
            field = (q - q0) @ S + (first - second) @ w / 2**0.5 + self.level.flatten()
        image = field.unflatten(1, self.shape) * self.log_temperature.exp()[:, None] + self.offset
        to_pixels, to_pairs = self.readout()
        return image, (q - q0) @ to_pixels.T + (first + second) @ to_pairs.T + self.label

    @torch.no_grad()
    def completion(self, m: float) -> Completion:
        """The monotone model, with the label's couplings as strong as there is room for.

        ``(1 - m) I - Phi >= 0`` if, beyond the bound ``c = 1 - m - ROOM`` on the others, the label's have norm at most
        ``sqrt(ROOM (1 - m))``; then its square root is an A with blocks of exactly 1 - m.
        """
        (pixels, levels), (classes, pairs) = self.shape, self.read_pairs.shape
        S, w = (x.double() for x in self.couplings())
        q0, h0 = (x.double() for x in self.rest())
        to_pixels, to_pairs = (x.double() for x in self.readout())
        to_pixels, to_pairs = to_pixels - to_pixels.mean(0), to_pairs - to_pairs.mean(0)
        sign = torch.tensor([-1.0, 1.0]).double()
        both = _signed(w)
        label = torch.cat([to_pixels, torch.einsum("ch,k->chk", to_pairs.repeat_interleave(2, 1), sign).flatten(1)], 1)
        temperature = float(torch.linalg.matrix_norm(label, 2)) / (ROOM * (1 - m)) ** 0.5 or 1.0
        # biases that leave the resting point where it is
        thresholds = self.threshold.T.flatten().double() - both @ q0 / 2**0.5
        bias = torch.cat(
            [
                self.level.flatten().double() - q0 @ S - (h0[0] - h0[1]) @ w / 2**0.5,
                (thresholds[:, None] * sign).flatten(),
                (self.label.double() - to_pixels @ q0 - to_pairs @ h0.sum(0)) / temperature,
            ]
        )
        states = (levels,) * pixels + (2,) * (2 * pairs) + (classes,)
        model = Completion(MonotoneDBM(states, self.root(label / temperature, m), bias.float(), m), pixels)
        model.log_temperature[:pixels], model.log_temperature[pixels] = self.log_temperature, float(np.log(temperature))
        model.offset.copy_(self.offset)
        return model

    def root(self, label: Tensor, m: float) -> Any:
        """A, float32, whose Phi has the couplings of pixels and pairs, and `label` [classes, others] of the label."""
        S, w = (x.double() for x in self.couplings())
        hidden = torch.einsum("hp,k->hkp", _signed(w), torch.tensor([-1.0, 1.0]).double() / 2**0.5).flatten(0, 1)
        n, k = len(S), len(label)
        phi = torch.zeros(n + len(hidden) + k, n + len(hidden) + k).double()
        phi[:n, :n], phi[n:-k, :n], phi[-k:, :-k] = S, hidden, label
        phi = torch.tril(phi) + torch.tril(phi, -1).T
        values, vectors = torch.linalg.eigh((1 - m) * torch.eye(len(phi)).double() - phi)
        return ((vectors * values.clamp_min(0).sqrt()) @ vectors.T).float()


def _signed(w: Tensor) -> Tensor:
    """w and -w of every pair, one after the other."""
    return torch.stack([w, -w], 1).flatten(0, 1)


class _Filters(_Pairs):
    """Pairs at every place that a filter can have on the image, and pixels coupled by how they lie to one another.

    A is a convolution whose taps are `C` for the pixels alone and `w` for the filters. Every pixel meets all taps; they
    are scaled to ``C' C + 2 w' w = c I`` in the contrasts of its levels, which are all that is coupled. Over whole
    images ``S = c I - C' C - 2 w' w`` then has no block on its diagonal, and keeps to the bound c of `_Pairs`.
    """

    gain = FILTER_GAIN

    def __init__(
        self, frequency: Tensor, classes: int, filters: int, kernel: int, bound: float, g: torch.Generator
    ) -> None:
        pixels, levels = frequency.shape
        self.side = round(pixels**0.5)
        super().__init__(frequency, classes, filters * (self.side + kernel - 1) ** 2, bound, g)
        self.register_buffer("contrasts", torch.from_numpy(helmert(levels)).to(frequency))
        w = torch.randn(filters, levels - 1, kernel, kernel, generator=g)
        self.w = nn.Parameter(w * (SHARE * (levels - 1) / (2 * w.square().sum())) ** 0.5)
        # pixels alone, but for what breaks the symmetry
        C = 0.02 * torch.randn(levels - 1, levels - 1, kernel, kernel, generator=g)
        C[:, :, kernel // 2, kernel // 2] += torch.eye(levels - 1)
        self.C = nn.Parameter(C)

    def taps(self) -> tuple[Tensor, Tensor]:
        """Of A, on the levels: of the pixels alone [levels - 1, levels, kernel, kernel], and of the filters."""
        every = torch.cat([self.C, self.w, self.w])
        square = torch.einsum("ckij,clij->kl", every, every)
        scale = torch.linalg.inv(torch.linalg.cholesky(square)).T @ cast(Tensor, self.contrasts)
        C, w = (self.bound**0.5 * torch.einsum("ckij,kl->clij", part, scale) for part in (self.C, self.w))
        return C, w

    def couplings(self) -> tuple[Tensor, Tensor]:
        """S and w as of `_Pairs`."""
        C, w = self.taps()
        n, levels = self.shape
        each = torch.eye(n * levels).to(C).unflatten(1, (self.side, self.side, levels)).movedim(-1, 1)
        alone, filtered = (conv2d(each, part, padding=C.shape[-1] - 1).movedim(1, -1).flatten(1) for part in (C, w))
        S = -(alone @ alone.T + 2 * filtered @ filtered.T).masked_fill(cast(Tensor, self.same), 0.0)
        return S, self.bound**0.5 * filtered.T

    def root(self, label: Tensor, m: float) -> Layered:
        """As of `_Pairs`, in convolutions but for what the label reads.

        No block of A exceeds 1 - m, so that none is shrunk: those of pixels are c + ROOM, those of hidden nodes c, that
        of the label is ``pp'/ROOM + hh'/c`` in its couplings p and h, whose ``pp' + hh'`` is at most ROOM (1 - m).
        """
        C, w = self.taps()
        (pixels, levels), both, contrasts = self.shape, _signed(w), cast(Tensor, self.contrasts)
        image, grid = (self.side,) * 2, (self.side + C.shape[-1] - 1,) * 2
        to_pixels, to_hidden = label.float().split([pixels * levels, label.shape[1] - pixels * levels], 1)
        to_pixels = torch.einsum("cpl,kl->kpc", to_pixels.unflatten(1, self.shape), contrasts)
        to_hidden = to_hidden[:, 1::2].unflatten(1, (-1, len(both))).permute(2, 1, 0)
        own = (self.bound / 2) ** 0.5 * torch.kron(torch.eye(len(both)), torch.tensor([[-1.0, 1.0]]))
        layers = [(pixels, levels), (grid[0] ** 2 * len(both), 2), (1, len(label))]
        rows: list[dict[int, Matrix | Convolution]] = [
            {0: Convolution(image, levels, C)},
            {
                0: Convolution(image, levels, -both),
                1: Convolution(grid, 2, own[..., None, None], groups=len(both)),
                2: Matrix(1, len(label), -((2 / self.bound) ** 0.5) * to_hidden.flatten(0, 1)),
            },
            # the room that is left for the label
            {
                0: Convolution(image, levels, ROOM**0.5 * contrasts[..., None, None]),
                2: Matrix(1, len(label), -to_pixels.flatten(0, 1) / ROOM**0.5),
            },
        ]
        return Layered(layers, rows)


def fit(
    images: np.ndarray,
    labels: np.ndarray,
    levels: int,
    classes: int,
    *,
    pairs: int = 128,
    kernel: int | None = None,
    epochs: int = 300,
    missing: float = 0.6,
    batch: int = 128,
    weight: float = 1.0,
    m: float = 0.02,
    progress: Callable[[float], object] = lambda share: None,
    seed: int,
) -> Completion:
    """A model with a weakly coupled label, learnt through a few unrolled steps of its mean field; float32.

    The loss and the schedule are those of `train`. Without a kernel what is learnt is Phi itself, dense and shrunk to
    ``lambda_max <= 1 - m``; with one it is the taps of A, a convolution (`Layered`), and only biases and what the label
    reads differ from place to place.

    Parameters
    ----------
    images : int[S, pixels]
    labels : int[S]
    levels, classes : int
    pairs : int
        Pairs of hidden nodes of two states; with a kernel at each of ``(side + kernel - 1)^2`` places.
    kernel : int, optional
        Side of the filters on square images.
    epochs, missing, batch, weight, progress
        See `train`.
    m : float
    seed : int

    Returns
    -------
    Completion
        Whose certified mean field is near the unrolled one: on digits the two agree to .002 in accuracy.

    Raises
    ------
    ShapeError, DomainError
    TypeError
        Where a count is no integer.
    """
    if not 0 < m < 1 - 2 * ROOM:
        raise DomainError(f"m must lie in (0, {1 - 2 * ROOM}), got {m!r}")
    bound = 1 - m - ROOM
    if kernel is None and bound**2 <= 2 * REACH**2:
        raise DomainError(f"m = {m:g} leaves no room for hidden nodes; it may be at most {1 - ROOM - 2**0.5 * REACH:g}")
    x, y = _data(images, labels, check_integer("levels", levels, 2), check_integer("classes", classes, 2))
    check_integer("pairs", pairs, 1)
    if kernel is not None and (kernel < 1 or round(x.shape[1] ** 0.5) ** 2 != x.shape[1]):
        raise DomainError(f"a kernel must be positive and images square, got {kernel} and {x.shape[1]} pixels")
    frequency = torch.stack([(x == level).float().mean(0) for level in range(levels)], 1)
    g = torch.Generator().manual_seed(seed)
    if kernel is None:
        model = _Pairs(frequency, classes, pairs, bound, g)
    else:
        model = _Filters(frequency, classes, pairs, kernel, bound, g)
    read = [model.read_pixels, model.read_pairs, model.label]
    rest = [p for p in model.parameters() if all(p is not other for other in read)]
    groups = [{"params": rest, "lr": RATE}, {"params": read, "lr": READ_RATE}]
    _descend(model, groups, x, y, epochs, missing, batch, weight, progress, seed)
    return model.completion(m)


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

    Raises
    ------
    ShapeError, DomainError
    """
    device = model.dbm.bias.device
    x, y = _data(images, labels, model.levels, model.classes, device)
    if np.shape(masks) != (len(masks), *x.shape) or not len(masks):
        raise ShapeError(f"masks must have shape (repeats, {len(x)}, {x.shape[1]}), got {np.shape(masks)}")
    right, missing, named = 0, 0, 0
    for mask in torch.as_tensor(masks, device=device):
        pixels, classes = model(x, mask, tol=tol)
        right += int((pixels.argmax(-1) == x)[~mask].sum())
        missing += int((~mask).sum())
        named += int((classes.argmax(-1) == y).sum())
    return right / missing if missing else float("nan"), named / (len(masks) * len(x))
