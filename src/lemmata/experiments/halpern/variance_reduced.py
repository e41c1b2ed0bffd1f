"""Experiments on variance-reduced Halpern iterations, and the table of where they beat the deterministic ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata import random
from lemmata.claims import Claim
from lemmata.experiments.halpern.shared import library, start
from lemmata.problems.halpern import Operator, eg, feg
from lemmata.problems.halpern import finite_sums as problems
from lemmata.problems.halpern.finite_sums import COINS, INDICES, FiniteSum, FiniteSumProblem, Page, page
from lemmata.results import dataset
from lemmata.theory.halpern import variance_reduced as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["EXPERIMENTS", "PROTOCOL", "crossover"]

#: What `lemmata.testing.assert_claim` can put in place of our iteration.
PROTOCOL = (
    "algorithm(problem, options, at, replicates, seed) -> iterates u_k at k in `at`, float64[replicates, len(at), d], "
    "and calls spent to reach them, int64[replicates, len(at)]; problem.operator has n, component, component_diff"
)

Algorithm = Callable[[FiniteSumProblem, Page, np.ndarray, int, int], tuple[np.ndarray, np.ndarray]]


def _library(setup: Setup) -> Any:
    return import_module(f"lemmata.{setup.backend}.halpern.variance_reduced")


# ------------------------------------------------------------------- the algorithm once more, to be sabotaged


def by_hand(
    problem: FiniteSumProblem,
    options: Page,
    at: np.ndarray,
    replicates: int,
    seed: int,
    *,
    stale: bool = False,
    reset: bool = True,
    anchored: bool = True,
    per_difference: int = 2,
) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 1 in numpy, from the reference random stream, without a constraint.

    The keywords are the defects of the saboteurs: the previous point is kept where F is recomputed (`stale`), F is paid
    for but its estimate never replaced (`reset` off), the anchor is forgotten (`anchored` off), a difference counts as
    one call (`per_difference`).
    """
    field, b = problem.operator, options.batch
    half = (b + 1) // 2
    ids = np.arange(replicates)
    u = np.tile(problem.x0, (replicates, 1))
    before, g, calls = u, np.zeros_like(u), np.zeros(replicates, dtype=np.int64)
    iterates, spent = [], []
    for k in range(options.steps + 1):
        if k in at:
            iterates.append(u)
            spent.append(calls)
        if k == options.steps:
            break
        p, lam = options.probabilities[k], options.weights[k]
        coin = np.full(replicates, p >= 1)
        difference = np.zeros_like(u)
        if p < 1:
            coin = random.bernoulli(random.words(k, COINS, ids, seed=seed)[:, 0], p)
            four = random.words(k * half + np.arange(half), INDICES, ids[:, None], seed=seed)
            index = random.integer(four[..., 0::2], four[..., 1::2], field.n).reshape(replicates, -1)[:, :b]
            difference = field.component_diff(index, u, before)
        recompute = coin & (reset or k == 0)
        g = np.where(recompute[:, None], field(u), g + difference)
        calls = calls + np.where(coin, field.n, per_difference * b)
        before = np.where((coin & stale)[:, None], before, u)
        u = (lam * problem.x0 if anchored else 0) + (1 - lam) * u - options.eta * g
    return np.stack(iterates, axis=1), np.stack(spent, axis=1)


def _options(problem: FiniteSumProblem, steps: int, eta: float | None, weights: Any, **options: Any) -> Page:
    field = problem.operator
    lam = None if weights is None else weights(steps)
    return page(field.n, steps, lipschitz=field.cocoercive, eta=eta, weights=lam, **options)


def _iterates(
    problem: FiniteSumProblem,
    options: Page,
    at: np.ndarray,
    replicates: int,
    setup: Setup,
    algorithm: Algorithm | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Iterates at the steps `at` and the calls spent, by our simulator or by another algorithm."""
    if algorithm is not None:
        return algorithm(problem, options, at, replicates, setup.seed)
    run = _library(setup).vr_halpern(
        problem.operator,
        start(problem.x0, setup),
        options,
        at=at,
        iterates=True,
        replicates=replicates,
        seed=setup.seed,
    )
    return run["iterate"].values.astype(np.float64), run["calls"].values


def _beside(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts, axis=-1)


# ------------------------------------------------------------------------------------------ measurements

#: Steps at which the last-iterate bound is looked at.
CHECKPOINTS = np.array([1, 2, 3, 5, 10, 30, 100, 300, 1000, 3000])


def _mean_square(
    instances: Sequence[FiniteSumProblem],
    setup: Setup,
    *,
    claim: Claim,
    replicates: int | None = None,
    eta: float | None = None,
    weights: Callable[[int], np.ndarray] | None = None,
    algorithm: Algorithm | None = None,
) -> Measurement:
    """Squared residual of every replicate at the checkpoints, against the claim."""
    count = replicates or setup.size(256, 1024)
    at = CHECKPOINTS
    samples, bounds, sizes = [], [], []
    for problem in instances:
        options = _options(problem, int(at[-1]), eta, weights)
        u, _ = _iterates(problem, options, at, count, setup, algorithm)
        samples.append(np.sum(problem.operator(u) ** 2, axis=2))
        step = {"eta": options.eta} if "eta" in claim.symbols else {"lipschitz": 1 / (4 * options.eta)}
        bounds.append(claim(k=at, dist=problem.dist, **step))
        sizes.append(np.full(at.size, problem.operator.n))
    where = {"k": np.tile(at, len(samples)), "n": _beside(sizes)}
    return Measurement(_beside(samples), _beside(bounds), where, nonnegative=True)


def _estimator(
    instances: Sequence[FiniteSumProblem], setup: Setup, *, algorithm: Algorithm | None = None
) -> Measurement:
    """One step of the error recursion of PAGE, read off the iterates alone."""
    count = setup.size(8192, 32_768)
    at = np.array([2, 3, 5, 10, 15])
    samples, sizes = [], []
    for problem in instances:
        field = problem.operator
        options = _options(problem, int(at[-1]) + 1, None, None)
        u, _ = _iterates(problem, options, np.arange(options.steps + 1), count, setup, algorithm)
        # g_k from u_{k+1} = lam_k u_0 + (1 - lam_k) u_k - eta g_k
        lam, start = options.weights[:, None], u[:, :1]
        g = (start + (1 - lam) * (u[:, :-1] - start) - u[:, 1:]) / options.eta
        f = field(u[:, :-1])
        error = np.sum((g - f) ** 2, axis=2)
        step = np.diff(u[:, :-1], axis=1)
        spread = np.einsum("rki,ij,rkj->rk", step, field.second_moment(), step) - np.sum(
            np.diff(f, axis=1) ** 2, axis=2
        )
        p = options.probabilities[at]
        right = (1 - p) * (error[:, at - 1] + spread[:, at - 1] / options.batch)
        samples.append(1 + (error[:, at] - right) / right.mean(axis=0))
        sizes.append(np.full(at.size, field.n))
    k = np.tile(at, len(samples))
    return Measurement(_beside(samples), theory.page_error(k=k), {"k": k, "n": _beside(sizes)})


def _refreshes(options: Page, at: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """Steps below each k in `at` at which F is recomputed, from the reference random stream, int64[replicate, k]."""
    word = random.words(np.arange(options.steps), COINS, np.arange(replicates)[:, None], seed=seed)[..., 0]
    coin = random.bernoulli(word, options.probabilities)
    return np.concatenate([np.zeros((replicates, 1), dtype=np.int64), np.cumsum(coin, axis=1)], axis=1)[:, at]


def _calls(instances: Sequence[FiniteSumProblem], setup: Setup, *, algorithm: Algorithm | None = None) -> Measurement:
    """Calls along every path against the coins of the random stream."""
    count = setup.size(64, 512)
    at = np.array([0, 1, 2, 3, 10, 100])
    measured, expected, sizes = [], [], []
    for problem in instances:
        options = _options(problem, int(at[-1]), None, None)
        _, calls = _iterates(problem, options, at, count, setup, algorithm)
        refreshes = _refreshes(options, at, count, setup.seed)
        measured.append(calls)
        expected.append(theory.vr_calls(n=problem.operator.n, batch=options.batch, k=at, refreshes=refreshes))
        sizes.append(np.full(at.size, problem.operator.n))
    where = {"k": np.tile(at, len(measured)), "n": _beside(sizes), "replicate": np.arange(count)[:, None]}
    return Measurement(_beside(measured), _beside(expected), where)


def _expected_calls(
    instances: Sequence[FiniteSumProblem], setup: Setup, *, algorithm: Algorithm | None = None
) -> Measurement:
    """Mean calls a step in units of n, which never leave [2b/n, 1]."""
    count = setup.size(4096, 16384)
    at = np.array([30, 100, 300])
    samples, expected, sizes = [], [], []
    for problem in instances:
        n = problem.operator.n
        options = _options(problem, int(at[-1]), None, None)
        _, calls = _iterates(problem, options, at, count, setup, algorithm)
        samples.append(calls / (n * at))
        mean = np.cumsum(options.probabilities)[at - 1]
        expected.append(theory.vr_expected_calls(n=n, batch=options.batch, k=at, refreshes=mean))
        sizes.append(np.full(at.size, n))
    where = {"k": np.tile(at, len(samples)), "n": _beside(sizes)}
    return Measurement(_beside(samples), _beside(expected), where, support=(0.0, 1.0))


def _cost(
    instances: Sequence[FiniteSumProblem],
    setup: Setup,
    *,
    eps: float = 1e-2,
    large_batch: bool = False,
    always: bool = False,
) -> Measurement:
    """Calls until ``||F(u_k)|| <= eps L D`` against n; `large_batch` and `always` are there to be sabotaged."""
    curves = []
    for problem in instances:
        n = problem.operator.n
        batch = n // 4 if large_batch else int(np.ceil(1.5 * np.sqrt(n)))
        probabilities = np.ones(4000) if always else None
        options = _options(problem, 4000, None, None, batch=batch, probabilities=probabilities)
        solved = _solve(problem, options, eps * problem.operator.cocoercive, setup.size(200, 1000), setup)  # type: ignore[operator]
        curves.append(solved["calls"].values)
    grid = np.array([problem.operator.n for problem in instances])
    return Measurement(np.stack(curves, axis=1).astype(np.float64), x=grid)


def _solve(problem: FiniteSumProblem, options: Page, tol: float, replicates: int, setup: Setup) -> xr.Dataset:
    return _library(setup).vr_solve(
        problem.operator,
        start(problem.x0, setup),
        options,
        tol=tol * problem.dist,
        replicates=replicates,
        seed=setup.seed,
    )


def _mean_operator(field: FiniteSum) -> Operator:
    """F itself, which a deterministic method evaluates in full."""
    return Operator.affine(field.matrix, is_map=False, cocoercive=field.mean_lipschitz).centred(field.centre)


def _halpern_calls(problem: FiniteSumProblem, tol: float, setup: Setup, *, calls_each: int | None = None) -> int:
    """Calls of Halpern's iteration on ``I - (2/L_F) F`` until ``||F(x_k)|| <= tol``."""
    field = problem.operator
    step = 2 / field.mean_lipschitz
    map_ = _mean_operator(field).forward(step)
    solved = library(setup).solve(map_, start(problem.x0, setup), tol=step * tol, max_steps=100_000)
    return (calls_each or field.n) * int(solved["steps"].values[0])


def _deterministic_cost(
    instances: Sequence[FiniteSumProblem], setup: Setup, *, eps: float = 1e-2, calls_each: int | None = None
) -> Measurement:
    calls = [
        _halpern_calls(p, eps * float(p.operator.cocoercive or 1) * p.dist, setup, calls_each=calls_each)
        for p in instances
    ]
    return Measurement(np.array(calls, dtype=np.float64), x=np.array([p.operator.n for p in instances]))


def _gain(instances: Sequence[FiniteSumProblem], setup: Setup, *, eps: float = 1e-2) -> Measurement:
    """Median calls of Algorithm 1 with eta = 1/L over those of deterministic Halpern, until ``||F|| <= eps L_F D``."""

    def ratio(problem: FiniteSumProblem) -> float:
        field = problem.operator
        tol = eps * field.mean_lipschitz
        options = _options(problem, 200_000, 1 / float(field.cocoercive or 1), None)
        solved = _solve(problem, options, tol, setup.size(5, 20), setup)
        return float(np.median(solved["calls"].values)) / _halpern_calls(problem, tol * problem.dist, setup)

    sizes = [p.operator.n for p in instances]
    control = [ratio(problems.balanced_diagonal(p.operator.n, p.operator.dim, seed=setup.seed)) for p in instances]
    return Measurement([ratio(p) for p in instances], theory.vr_no_gain(n=sizes), {"n": sizes}, control=control)


def _inexact(
    instances: Sequence[FiniteSumProblem],
    setup: Setup,
    *,
    reflected: bool,
    method: str = "extragradient",
    tolerances: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Measurement:
    """Exact ``||u_k - J u_k||`` along every path of Algorithm 2; `tolerances` (k) is there to be sabotaged."""
    steps = setup.size(40, 200)
    k = np.arange(steps)
    parts, bounds, sizes = [], [], []
    for problem in instances:
        field = problem.operator
        options = problems.inexact(
            field.n,
            steps,
            lipschitz=field.lipschitz,
            guess=problem.dist,
            method=method,
            reflected=reflected,
            tolerances=None if tolerances is None else problem.dist * tolerances(k),
        )
        run = _library(setup).inexact_halpern(
            field, start(problem.x0, setup), options, iterates=True, replicates=setup.size(4, 16), seed=setup.seed
        )
        gap = run["iterate"].values.astype(np.float64) - problem.solution
        resolvent = np.linalg.inv(np.eye(field.dim) + options.eta * field.matrix)
        parts.append(np.linalg.norm(gap - gap @ resolvent.T, axis=2))
        bounds.append(theory.inexact_resolvent(k=k, dist=problem.dist, guess=problem.dist, reflected=reflected))
        sizes.append(np.full(steps, field.n))
    where = {"k": np.tile(k, len(parts)), "n": _beside(sizes)}
    return Measurement(_beside(parts), _beside(bounds), where)


# -------------------------------------------------------------------------------------------- instances

Make = Callable[[Setup], list[FiniteSumProblem]]


def _family(make: Callable[..., FiniteSumProblem], quick: Sequence[int], full: Sequence[int], dim: int) -> Make:
    return lambda setup: [make(n, dim, seed=setup.seed) for n in (quick if setup.budget == "quick" else full)]


def _monotone(setup: Setup) -> list[FiniteSumProblem]:
    return [problems.ouyang_xu(200)]


DIAGONAL = _family(problems.balanced_diagonal, (16, 64), (16, 64, 256, 1024), 20)
ONE_DIAGONAL = _family(problems.balanced_diagonal, (64,), (64,), 20)
RANK_ONE = _family(problems.rank_one_sum, (16, 64), (16, 64, 256, 1024), 20)
LADDER = _family(problems.balanced_diagonal, (16, 32, 64, 128, 256, 512), (16, 64, 256, 1024, 4096), 40)
SKEW = _family(problems.skew_sum, (4, 16), (16, 64, 256), 10)
LARGE_RANK_ONE = _family(problems.rank_one_sum, (4096,), (4096, 8192), 40)
LARGE_DIAGONAL = _family(problems.balanced_diagonal, (4096,), (4096,), 40)

# ------------------------------------------------------------------------------------------- saboteurs

#: Replicates of a saboteur: an e-process needs few where the defect is plain.
FEW = 64


def _defect(name: str, **defect: Any) -> Saboteur:
    return Saboteur(name, {"algorithm": partial(by_hand, **defect)})


def _slow_anchor(steps: int) -> np.ndarray:
    return 1 / np.sqrt(np.arange(steps) + 4)


NEVER_RESET = Saboteur(
    "error never reset", {"algorithm": partial(by_hand, reset=False), "replicates": FEW}, problems=ONE_DIAGONAL
)
NO_ANCHOR = Saboteur("anchor forgotten", {"algorithm": partial(by_hand, anchored=False), "replicates": FEW})
SLOW_ANCHOR = Saboteur("anchor weights 1/sqrt(k+4)", {"weights": _slow_anchor})
# On cocoercive fields with eta <= 1/(4L) the stale point is only a bias towards older differences, which the bound does
# not notice; on a field that is only monotone the same defect diverges, and the sound method keeps the bound.
STALE_MONOTONE = Saboteur(
    "previous point not refreshed with F, on a monotone field",
    {"algorithm": partial(by_hand, stale=True), "replicates": 2, "eta": 0.3},
    problems=_monotone,
)
ONE_CALL = _defect("a difference counted as one call", per_difference=1)


def _constant(k: np.ndarray) -> np.ndarray:
    return np.full(k.shape, 0.1)


def _slow(k: np.ndarray) -> np.ndarray:
    return 0.05 / (k + 1)


CONSTANT_ERROR = Saboteur("inexactness that does not decay", {"tolerances": _constant})

EXPERIMENTS: tuple[Experiment, ...] = (
    *(
        Experiment(claim, name, make, partial(_mean_square, claim=claim), saboteurs, protocol=PROTOCOL)
        for claim, name, make, saboteurs in (
            (theory.vr_residual, "balanced diagonal sums", DIAGONAL, (NEVER_RESET, SLOW_ANCHOR)),
            (theory.vr_residual, "rank-one least squares", RANK_ONE, (NO_ANCHOR,)),
            (
                theory.vr_residual_sharp,
                "balanced diagonal sums",
                DIAGONAL,
                (NEVER_RESET, NO_ANCHOR, SLOW_ANCHOR, STALE_MONOTONE),
            ),
            (theory.vr_residual_sharp, "rank-one least squares", RANK_ONE, (NO_ANCHOR, SLOW_ANCHOR)),
        )
    ),
    *(
        Experiment(
            theory.page_error,
            name,
            make,
            _estimator,
            (
                _defect("previous point not refreshed with F", stale=True),
                _defect("error never reset", reset=False),
            ),
            protocol=PROTOCOL,
        )
        for name, make in (("balanced diagonal sums", DIAGONAL), ("rank-one least squares", RANK_ONE))
    ),
    Experiment(theory.vr_calls, "balanced diagonal sums", DIAGONAL, _calls, (ONE_CALL,)),
    Experiment(
        theory.vr_expected_calls, "balanced diagonal sums", DIAGONAL, _expected_calls, (ONE_CALL,), protocol=PROTOCOL
    ),
    Experiment(
        theory.vr_cost,
        "balanced diagonal sums",
        LADDER,
        _cost,
        (
            Saboteur("F recomputed at every step", {"always": True}),
            Saboteur("a batch that grows like n", {"large_batch": True}),
        ),
    ),
    Experiment(
        theory.deterministic_cost,
        "balanced diagonal sums",
        LADDER,
        _deterministic_cost,
        (Saboteur("F counted as one call", {"calls_each": 1}),),
    ),
    Experiment(
        theory.vr_no_gain,
        "rank-one least squares",
        LARGE_RANK_ONE,
        _gain,
        (Saboteur("components that share their directions", problems=LARGE_DIAGONAL),),
    ),
    Experiment(
        theory.inexact_resolvent,
        "skew sums, J",
        SKEW,
        partial(_inexact, reflected=False),
        (CONSTANT_ERROR,),
    ),
    Experiment(
        theory.inexact_resolvent,
        "skew sums, 2J - I",
        SKEW,
        partial(_inexact, reflected=True),
        (CONSTANT_ERROR, Saboteur("inexactness that decays like 1/(k+1)", {"tolerances": _slow})),
    ),
    Experiment(
        theory.inexact_resolvent,
        "skew sums, 2J - I, forward-reflected inner solver",
        SKEW,
        partial(_inexact, reflected=True, method="forward-reflected"),
        (CONSTANT_ERROR,),
    ),
)


# ------------------------------------------------------------------------------------- where it pays

#: Step of Algorithm 1 in units of 1/L; only the first is covered by its theorem.
STEPS = {"Algorithm 1, η = 1/(4L)": 0.25, "Algorithm 1, η = 1/(2L) (tuned)": 0.5, "Algorithm 1, η = 1/L (tuned)": 1.0}
HALPERN, EXTRAGRADIENT = "Halpern, 2/L_F", "EG, 0.9/L_F"
INEXACT, FEG = "Algorithm 2, reflected, certified", "FEG, 1/L_F"


def crossover(
    *, budget: str = "quick", backend: str = "sims", sizes: Sequence[int] | None = None, seed: int = 0
) -> xr.Dataset:
    """Calls until a given accuracy, of variance-reduced and of deterministic methods: where the sqrt(n) pays.

    On `balanced_diagonal` (d = 40, D = 1, L = 1.25, L_F = 1) and on `skew_sum` (d = 10, D = 1, L = 1), each until
    ``||F|| <= eps L D``. Algorithm 1 has batches of ``ceil(1.5 sqrt n)``; its rows with eta > 1/(4L) are labelled
    "tuned", being outside its theorem. Algorithm 2 stops its inner solves (extragradient) by their certificate.
    Sampled methods: five replicates, on the skew sums each on its own instance.

    Parameters
    ----------
    budget : {"quick", "full"}
        n up to 256 or up to 4096.
    backend : {"sims", "kernels"}
    sizes : sequence of int, optional
        Other numbers of components for the first problem.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``calls``, ``calls_min``, ``calls_max`` (algorithm, eps, n): median and range of component evaluations;
        ``tuned`` (algorithm); ``monotone_calls``, ``monotone_calls_min``, ``monotone_calls_max`` (monotone_algorithm,
        monotone_eps, monotone_n) on the skew sums; ``slope`` (algorithm, eps): log-log slope of the median in n.
    """
    setup = Setup(backend=backend, budget=budget, seed=seed)  # type: ignore[arg-type]
    n = np.array(sizes or ((16, 64, 256) if budget == "quick" else (16, 64, 256, 1024, 4096)))
    eps = np.array([1e-2, 2e-3])
    methods = [*STEPS, HALPERN, EXTRAGRADIENT]
    calls = np.array(
        [[_cocoercive_calls(problems.balanced_diagonal(int(m), seed=seed), e, setup) for m in n] for e in eps]
    )
    calls = calls.transpose(2, 0, 1, 3)  # algorithm, eps, n, replicate
    monotone_n, monotone_eps = np.array([16, 64, 256]), np.array([1e-2, 1e-3])
    monotone = np.array([[_monotone_calls(int(m), e, setup) for m in monotone_n] for e in monotone_eps])
    monotone = monotone.transpose(2, 0, 1, 3)
    first, second = ("algorithm", "eps", "n"), ("monotone_algorithm", "monotone_eps", "monotone_n")
    unit = "component evaluations"
    variables: dict[str, Any] = {"tuned": (("algorithm",), [STEPS.get(m, 0.0) > 0.25 for m in methods], "")}
    for prefix, dims, values in (("", first, calls), ("monotone_", second, monotone)):
        variables |= {
            f"{prefix}calls": (dims, np.median(values, axis=3), unit),
            f"{prefix}calls_min": (dims, values.min(axis=3), unit),
            f"{prefix}calls_max": (dims, values.max(axis=3), unit),
        }
    if len(n) > 1:
        slopes = np.polynomial.polynomial.polyfit(np.log(n), np.log(np.median(calls, axis=3)).reshape(-1, len(n)).T, 1)[
            1
        ]
        variables["slope"] = (("algorithm", "eps"), slopes.reshape(len(methods), len(eps)), "1")
    coords = {
        "algorithm": methods,
        "eps": eps,
        "n": n,
        "monotone_algorithm": [INEXACT, FEG],
        "monotone_eps": monotone_eps,
        "monotone_n": monotone_n,
    }
    return dataset(variables, coords, budget=budget, backend=backend, seed=seed)


def _cocoercive_calls(problem: FiniteSumProblem, eps: float, setup: Setup) -> list[list[int]]:
    """Calls of every method (rows) for every replicate (columns; deterministic methods repeat theirs)."""
    field = problem.operator
    lipschitz = float(field.cocoercive or 1)
    tol = eps * lipschitz * problem.dist
    rows = []
    for factor in STEPS.values():
        batch = min(field.n, int(np.ceil(1.5 * np.sqrt(field.n))))
        options = page(field.n, 20_000, lipschitz=lipschitz, eta=factor / lipschitz, batch=batch)
        solved = _library(setup).vr_solve(
            field, start(problem.x0, setup), options, tol=tol, replicates=5, seed=setup.seed
        )
        rows.append(solved["calls"].values.tolist())
    rows.append([_halpern_calls(problem, tol, setup)] * 5)
    rows.append([_extragradient_calls(problem, eg(20_000, 0.9 / field.mean_lipschitz), tol, setup)] * 5)
    return rows


def _monotone_calls(n: int, eps: float, setup: Setup) -> list[list[int]]:
    rows: list[list[int]] = [[], []]
    for i in range(5):
        problem = problems.skew_sum(n, seed=5 * setup.seed + i)
        field = problem.operator
        options = problems.inexact(n, 20_000, lipschitz=field.lipschitz, guess=problem.dist)
        tol = eps * field.lipschitz * problem.dist
        solved = _library(setup).inexact_solve(field, start(problem.x0, setup), options, tol=tol, seed=setup.seed)
        rows[0].append(int(solved["calls"].values[0]))
        rows[1].append(_extragradient_calls(problem, feg(10_000, field.mean_lipschitz), tol, setup))
    return rows


def _extragradient_calls(problem: FiniteSumProblem, schedule: Any, tol: float, setup: Setup) -> int:
    """``2 n k`` calls, k the first step with ``||F(z_k)|| <= tol``."""
    run = library(setup).extragradient(_mean_operator(problem.operator), start(problem.x0, setup), schedule)
    reached = run["residual"].values[0] <= tol
    if not reached.any():
        raise RuntimeError(f"{schedule.name} did not reach {tol:g} in {schedule.steps} steps")
    return 2 * problem.operator.n * int(reached.argmax())
