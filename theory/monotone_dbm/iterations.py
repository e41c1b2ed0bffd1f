"""The prox activation, and the rates of forward-backward, Peaceman-Rachford and averaged iterations."""

from __future__ import annotations

import sympy as sp

from lemmata.claims import Claim, Source
from lemmata.theory.monotone_dbm.model import CONVEX, FENG, MONOTONE

__all__ = [
    "averaged_descent",
    "certificate",
    "contraction",
    "contraction_tight",
    "convergence",
    "descent",
    "parallel_amplitude",
    "parallel_oscillation",
    "peaceman_rachford",
    "prox_lipschitz",
    "prox_optimality",
    "step_limit",
]

BAUSCHKE = Source(
    "bauschke2011",
    "Bauschke, Heinz H. and Combettes, Patrick L.",
    "Convex analysis and monotone operator theory in Hilbert spaces",
    "Springer, New York",
    2011,
    "Propositions 23.11 and 25.9",
    doi="10.1007/978-1-4419-9467-7",
)
WINSTON = Source(
    "winston2020",
    "Winston, Ezra and Kolter, J. Zico",
    "Monotone operator equilibrium networks",
    "Advances in Neural Information Processing Systems 33",
    2020,
    arxiv="2006.08591",
)
GISELSSON = Source(
    "giselsson2017",
    "Giselsson, Pontus and Boyd, Stephen",
    "Linear convergence and metric selection for Douglas-Rachford splitting and ADMM",
    "IEEE Transactions on Automatic Control 62, 532-544",
    2017,
    arxiv="1410.8479",
)
BREDIES = Source(
    "bredies2009",
    "Bredies, Kristian and Lorenz, Dirk A. and Maass, Peter",
    "A generalized conditional gradient method and its connection to an iterative shrinkage method",
    "Computational Optimization and Applications 42, 173-193",
    2009,
)
KRAHENBUHL = Source(
    "krahenbuhl2013",
    "Krähenbühl, Philipp and Koltun, Vladlen",
    "Parameter learning and convergent inference for dense random fields",
    "International Conference on Machine Learning, PMLR 28, 513-521",
    2013,
)

_alpha, _m, _L, _distance, _share, _root = sp.symbols("alpha m lipschitz distance share root")
_k = sp.Symbol("k", integer=True, nonnegative=True)
_ALPHA, _M, _LIPSCHITZ = "step", "least eigenvalue of I - Phi", "largest eigenvalue of I - Phi"
_STEP = {"alpha": _ALPHA, "m": _M, "lipschitz": _LIPSCHITZ}
_factor = sp.Max(sp.Abs(1 - _alpha * _m), sp.Abs(1 - _alpha * _L)) / (1 + _alpha)

prox_optimality = Claim(
    id="monotone_dbm/prox-optimality",
    kind="identity",
    quantity="alpha log z_k + (1 - alpha) z_k - x_k less its mean over the states of the node",
    expression=sp.Integer(0),
    symbols={},
    assumptions=(),
    source=FENG,
    tolerance=1e-12,
    statement=(
        "The activation solves the optimality condition of prox_{alpha f}, f the negative entropy less |q|²/2, at "
        "every step; the softmax does at alpha = 1 only."
    ),
)

prox_lipschitz = Claim(
    id="monotone_dbm/prox-lipschitz",
    kind="bound",
    quantity="||prox(x) - prox(y)||",
    expression=_distance / (1 + _alpha),
    symbols={"alpha": _ALPHA, "distance": "||x - y||"},
    assumptions=(),
    source=BAUSCHKE,
    statement="f is 1-strongly convex on the simplex, so that its prox contracts by 1/(1 + alpha).",
    hard_problem="two states of nearly equal entries",
)

contraction = Claim(
    id="monotone_dbm/contraction",
    kind="bound",
    quantity="||q_{k+1} - r_{k+1}|| of two runs of forward-backward",
    expression=_factor * _distance,
    symbols={**_STEP, "distance": "||q_k - r_k||"},
    assumptions=(CONVEX,),
    source=WINSTON,
    statement=(
        "Forward-backward contracts by max(|1 - alpha m|, |1 - alpha L|)/(1 + alpha), which is below 1 for every alpha "
        "< 2/(L - 1): the linear half by its spectrum, the prox by 1/(1 + alpha)."
    ),
    hard_problem="the antiferromagnet without bias (monotone_dbm/contraction-tight)",
)

contraction_tight = Claim(
    id="monotone_dbm/contraction-tight",
    kind="bound",
    direction="tight",
    quantity="largest ||q_1 - q*||/||q_0 - q*|| over small changes of the mean field along eigenvectors of Phi",
    expression=_factor,
    symbols=_STEP,
    assumptions=(CONVEX,),
    source=WINSTON,
    tolerance=1e-6,  # the prox is odd around the uniform point: a change of 1e-4 is off by its square
    statement="At a uniform mean field of binary nodes the prox contracts by 1/(1 + alpha): the bound is met.",
    hard_problem="the antiferromagnet without bias",
)

convergence = Claim(
    id="monotone_dbm/convergence",
    kind="bound",
    quantity="||q_k - q*||",
    expression=_factor**_k * _distance,
    symbols={**_STEP, "k": "step", "distance": "||q_0 - q*||"},
    assumptions=(CONVEX,),
    source=WINSTON,
    statement="Forward-backward converges linearly from every start at every step below 2/(L - 1).",
    hard_problem="the antiferromagnet without bias",
)

step_limit = Claim(
    id="monotone_dbm/step-limit",
    kind="demonstration",
    quantity="||q_k - q*|| at a step 2 % above 2/(L - 1)",
    expression=_distance,
    symbols={"distance": "||q_0 - q*||"},
    assumptions=(),
    source=WINSTON,
    statement="The limit 2/(L - 1) is sharp: a little above it a change of the antiferromagnet's mean field grows.",
)

parallel_oscillation = Claim(
    id="monotone_dbm/parallel-oscillation",
    kind="demonstration",
    quantity="||q_{k+1} - q_k|| of the parallel update after 1000 steps, while ||q_{k+2} - q_k|| vanishes",
    expression=_share,
    symbols={"share": "amplitude at least, as a share of the largest possible sqrt(2 N)"},
    assumptions=(),
    source=KRAHENBUHL,
    statement=(
        "Updating all nodes at once flips the antiferromagnet between two points for ever, where forward-backward with "
        "step 2/(m + L) converges to its only mean field."
    ),
)

parallel_amplitude = Claim(
    id="monotone_dbm/parallel-amplitude",
    kind="identity",
    quantity="change of a node's probability in each parallel update, after 2000 of them",
    expression=_root,
    symbols={"root": "largest root of s = tanh(g s), g = (1 - m)(N - 1)/2"},
    assumptions=(),
    source=KRAHENBUHL,
    tolerance=1e-8,
    statement=(
        "Without bias the nodes of the antiferromagnet flip together, with the magnetisation of an Ising pair of "
        "coupling g = (1 - m)(N - 1)/2: the parallel update settles for L <= 3 and oscillates beyond."
    ),
)

descent = Claim(
    id="monotone_dbm/descent",
    kind="bound",
    quantity="G(q_{k+1}) - G(q_k) of forward-backward",
    expression=-(1 / _alpha - (_L - 1) / 2) * _distance**2,
    symbols={"alpha": _ALPHA, "lipschitz": _LIPSCHITZ, "distance": "||q_{k+1} - q_k||"},
    assumptions=(),
    source=BAUSCHKE,
    statement=(
        "The free energy falls at every step below 2/(L - 1): the smooth part may rise by L/2 ||d||², the strong "
        "convexity of f gives back ||d||²/2."
    ),
    hard_problem="the antiferromagnet without bias, near its uniform mean field",
)

averaged_descent = Claim(
    id="monotone_dbm/averaged-descent",
    kind="bound",
    quantity="G(q_{k+1}) - G(q_k) of q <- (1 - t) q + t p, p = softmax(Phi q + b)",
    expression=-_alpha * (2 - _alpha * (_L + 1) / 2) * _distance**2,
    symbols={"alpha": "weight t", "lipschitz": _LIPSCHITZ, "distance": "||p - q_k||"},
    assumptions=(),
    source=BREDIES,
    statement=(
        "Averaging with a weight below 4/(L + 1) is a generalised conditional gradient step and lowers the free "
        "energy: the entropy is 2-strongly convex, the interactions curve by at most L - 1."
    ),
    hard_problem="the antiferromagnet without bias, near its uniform mean field",
)

peaceman_rachford = Claim(
    id="monotone_dbm/peaceman-rachford",
    kind="bound",
    quantity="||u_k - u*|| of the driving variable",
    expression=sp.Max(sp.Abs(1 - _alpha * _m) / (1 + _alpha * _m), sp.Abs(1 - _alpha * _L) / (1 + _alpha * _L)) ** _k
    * _distance,
    symbols={**_STEP, "k": "step", "distance": "||u_0 - u*||"},
    assumptions=(MONOTONE,),
    source=GISELSSON,
    statement=(
        "Peaceman-Rachford converges at every step: the linear reflection contracts, the other is nonexpansive. "
        "Interactions of one's own enter as Pi Phi Pi: the rest of Phi is a bias."
    ),
)

certificate = Claim(
    id="monotone_dbm/certificate",
    kind="bound",
    quantity="||p - q*||, p = softmax(Phi q + b) at any q",
    expression=_distance / (1 + _m),
    symbols={"m": _M, "distance": "||Pi Phi (q - p)||, the gradient of G at p"},
    assumptions=(CONVEX,),
    source=FENG,
    statement=(
        "What a run has reached is bounded by the gradient of the free energy over its strong convexity, at the price "
        "of one product; the size of the last move bounds nothing by itself."
    ),
    hard_problem="the antiferromagnet without bias, along the directions in which its nodes differ",
)
