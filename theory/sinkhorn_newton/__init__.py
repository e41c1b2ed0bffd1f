"""Statements on entropic optimal transport, Sinkhorn's iteration and its sparse Newton acceleration.

Notation: ``P_ij(f, g) = exp((f_i + g_j - C_ij)/eps)``, dual ``D(f, g) = <r, f> + <c, g> - eps sum P``, maximiser with
plan P*; delta is the L1 error of both marginals; a half step updates f or g, a full step both. ``eps`` is the
temperature; ``eta = 1/eps``.

What the sparsity theorem covers. Tang et al. 2024, Theorem 1, says that Sinkhorn's plan is close to the sparse vertex
of the transport polytope once ``eta > (1 + 2 log n)/Delta``, Delta the gap in cost between the best and the second-best
vertex. Their own experiment, random assignment with n = 500 and eta = 1200, lies far outside: with uniform costs Delta
is about 3e-7, and the condition asks for eta above 4e7. (The sharp exponent `mean_cycle`, some 7e-6 there, would still
ask for about 1e6.) Why the plan is sparse enough for Newton's method in that regime is not explained by the theorem.
`sparse_support` is the statement with every constant explicit, and its `check` refuses that experiment with the number.
Nor is there a proof that sparse Newton steps converge superlinearly: with a fixed density they do not (`frozen_rate`);
with a budget that shrinks with the error they do in what is measured (`sparse_order`).
"""

from lemmata.theory.sinkhorn_newton.accuracy import *  # noqa: F403
from lemmata.theory.sinkhorn_newton.closed_forms import *  # noqa: F403
from lemmata.theory.sinkhorn_newton.newton import *  # noqa: F403
from lemmata.theory.sinkhorn_newton.sinkhorn import *  # noqa: F403
