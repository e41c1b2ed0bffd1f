"""Simulators of learning whose course is known exactly."""

from lemmata.sims.learning_dynamics.deep_linear import chain_time, deep_linear_descent, deep_linear_flow
from lemmata.sims.learning_dynamics.eggroll import eggroll_sine
from lemmata.sims.learning_dynamics.lazy_rich import LazyRichPath, lazy_rich_train
from lemmata.sims.learning_dynamics.li2 import energy_ascent
from lemmata.sims.learning_dynamics.perceptron import separation_path, separation_steps
from lemmata.sims.learning_dynamics.stability import perp_grad, softmax_loss, stablemax

__all__ = [
    "LazyRichPath",
    "chain_time",
    "deep_linear_descent",
    "deep_linear_flow",
    "eggroll_sine",
    "energy_ascent",
    "lazy_rich_train",
    "perp_grad",
    "separation_path",
    "separation_steps",
    "softmax_loss",
    "stablemax",
]
