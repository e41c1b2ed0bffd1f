"""What the figures on digits share: the model that is fitted to a split, at two sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lemmata.typing import Budget

if TYPE_CHECKING:
    from lemmata.experiments.monotone_dbm.digits import Digits
    from lemmata.kernels.monotone_dbm.learning import Completion

__all__ = ["STRENGTH", "trained"]

#: inverse penalty of logistic regression: the best of .01, .1 and 1 on a fifth of the training images that is held out,
#: in all of three splits at two levels
STRENGTH = 1.0


def trained(
    data: Digits,
    budget: Budget,
    *,
    epochs: int = 0,
    progress: Callable[[float], object] = lambda share: None,
    seed: int,
) -> Completion:
    """A monotone model fitted to the training images with 60 % of their pixels missing."""
    from lemmata.experiments.monotone_dbm.digits import CLASSES, EPOCHS, MISSING
    from lemmata.kernels.monotone_dbm.learning import fit

    epochs = epochs or (15 if budget == "quick" else EPOCHS)
    options = {"epochs": epochs, "missing": MISSING, "progress": progress, "seed": seed}
    return fit(data.train, data.train_labels, data.levels, CLASSES, **options)  # type: ignore[arg-type]
