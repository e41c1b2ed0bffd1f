"""Statements on learning whose course is known exactly: deep linear networks and their kin."""

from lemmata.theory.learning_dynamics.deep_linear import *  # noqa: F403
from lemmata.theory.learning_dynamics.eggroll import *  # noqa: F403
from lemmata.theory.learning_dynamics.grokking import *  # noqa: F403
from lemmata.theory.learning_dynamics.lazy_rich import *  # noqa: F403
from lemmata.theory.learning_dynamics.li2 import *  # noqa: F403
from lemmata.theory.learning_dynamics.perceptron import *  # noqa: F403
from lemmata.theory.learning_dynamics.stability import *  # noqa: F403
