"""Statements on Halpern-type iterations for fixed points and monotone inclusions.

Notation: T nonexpansive with fixed point x*, D = ||x_0 - x*|| (``dist``), residual ||x_k - T x_k||, F a field with
Lipschitz or cocoercivity constant L (``lipschitz``).
"""

from lemmata.theory.halpern.certificates import *  # noqa: F403
from lemmata.theory.halpern.extragradient import *  # noqa: F403
from lemmata.theory.halpern.fixed_point import *  # noqa: F403
from lemmata.theory.halpern.variance_reduced import *  # noqa: F403
