"""Statements on neural tangent kernels and on the exact dynamics of learning.

Notation: n the width, ``sw2`` and ``sb2`` the variances of weights (times fan_in) and of biases, K the covariance of
the outputs and Theta the tangent kernel in the limit of infinite width.
"""

from lemmata.theory.ntk.dynamics import *  # noqa: F403
from lemmata.theory.ntk.finite_width import *  # noqa: F403
from lemmata.theory.ntk.infinite_width import *  # noqa: F403
from lemmata.theory.ntk.permutation import *  # noqa: F403
