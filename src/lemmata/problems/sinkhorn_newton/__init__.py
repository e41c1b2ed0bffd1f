"""Transport problems with an entropic term: validated data, exact optimum where it is known, hard instances, and the
result that solvers hand back.

One convention throughout: ``eps`` is the temperature, in the unit of the cost. The inverse temperature ``eta`` of
Tang et al. 2024 (1200 in their tables) is ``1 / eps``; other papers write eta, or reg, for eps itself.

Plain data, numpy only: `lemmata.sims.sinkhorn_newton` and `lemmata.kernels.sinkhorn_newton` solve it.
"""

from lemmata.problems.sinkhorn_newton.instances import *  # noqa: F403
from lemmata.problems.sinkhorn_newton.options import *  # noqa: F403
from lemmata.problems.sinkhorn_newton.results import *  # noqa: F403
from lemmata.problems.sinkhorn_newton.transport import *  # noqa: F403
