"""Instances of learning whose course is known: deep linear networks and their kin.

Plain data, numpy only: `lemmata.sims.learning_dynamics` and `lemmata.kernels.learning_dynamics` run it.
"""

from lemmata.problems.learning_dynamics.arrays import *  # noqa: F403
from lemmata.problems.learning_dynamics.deep_linear import *  # noqa: F403
from lemmata.problems.learning_dynamics.eggroll import *  # noqa: F403
from lemmata.problems.learning_dynamics.grokking import *  # noqa: F403
from lemmata.problems.learning_dynamics.lazy_rich import *  # noqa: F403
from lemmata.problems.learning_dynamics.li2 import *  # noqa: F403
from lemmata.problems.learning_dynamics.perceptron import *  # noqa: F403
from lemmata.problems.learning_dynamics.stability import *  # noqa: F403
