"""Learning whose course is known exactly, many runs at once, in PyTorch."""

from lemmata.kernels.learning_dynamics.deep_linear import deep_linear_descent
from lemmata.kernels.learning_dynamics.eggroll import eggroll_gradient, eggroll_sine
from lemmata.kernels.learning_dynamics.grokking import ModularPath, modular_logits, modular_training
from lemmata.kernels.learning_dynamics.lazy_rich import LazyRichPath, lazy_rich_train
from lemmata.kernels.learning_dynamics.li2 import energy_ascent
from lemmata.kernels.learning_dynamics.perceptron import separation_path, separation_steps
from lemmata.kernels.learning_dynamics.stability import perp_grad, stablemax, stablemax_loss

__all__ = [
    "LazyRichPath",
    "ModularPath",
    "deep_linear_descent",
    "eggroll_gradient",
    "eggroll_sine",
    "energy_ascent",
    "lazy_rich_train",
    "modular_logits",
    "modular_training",
    "perp_grad",
    "separation_path",
    "separation_steps",
    "stablemax",
    "stablemax_loss",
]
