"""Statements on monotone deep Boltzmann machines: their model, their mean field, the iterations that find it.

Notation: N nodes with one-hot states laid end to end; ``p(x) = exp(x' Phi x / 2 + b' x - log Z)``; the mean field q
minimises ``G(q) = sum q log q - q' Phi q / 2 - b' q`` and solves ``q_i = softmax((Phi q + b)_i)``. m and L are the
extreme eigenvalues of ``W = I - Phi``, Pi takes the mean away from each node, ``f(q) =
sum q log q - |q|^2 / 2`` on the simplices.

Four statements that are easily got wrong.

*The activation is the softmax at step 1 only.* The softmax is prox_{alpha f} at alpha = 1; at another step the update
``q <- softmax((1 - alpha) q + alpha (Phi q + b))`` converges, if at all, to another point (`prox_optimality`).

*Both sides must be scaled.* With ``S = diag(min(1, (1 - m)/||A_i||^2))`` on one side only, ``Phi = S (D - A'A)`` is not
symmetric: no pairwise model has it, and its symmetric part is not below 1 - m (`modulus`).

*The step is bounded by 2/(L - 1).* f is 1-strongly convex, so its prox contracts by ``1/(1 + alpha)``
(`prox_lipschitz`); with a symmetric Phi the rule ``alpha < 2m/L^2`` of general monotone operators is far too careful
(`contraction`, `step_limit`). The same step limit makes G fall (`descent`), not 2/L.

*Uniqueness needs less than monotonicity.* G is convex with modulus ``2 - lambda_max(Pi Phi Pi)``, so the threshold is 2
where the parametrisation keeps ``lambda_max(Phi) <= 1 - m`` (`strong_convexity`, `uniqueness_threshold`).
"""

from lemmata.theory.monotone_dbm.exact import *  # noqa: F403
from lemmata.theory.monotone_dbm.inference import *  # noqa: F403
from lemmata.theory.monotone_dbm.iterations import *  # noqa: F403
from lemmata.theory.monotone_dbm.learning import *  # noqa: F403
from lemmata.theory.monotone_dbm.model import *  # noqa: F403
