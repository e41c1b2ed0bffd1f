"""How the matrices of a dictionary converge with the snapshots: constants, rates, and what eigenvalues make of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lemmata.experiments.koopman.shared import SIMS, Case
from lemmata.problems.koopman import (
    GOLDEN,
    Chebyshev,
    Fourier,
    Legendre,
    Rule,
    doubling,
    gauss_iterated,
    logistic,
    rotation,
    rule,
    tent,
)
from lemmata.theory import koopman as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

Cases = Callable[[Setup], list[Case]]


def _matrix(case: Case, points: Rule) -> np.ndarray:
    """``Psi_X* W Psi_Y``."""
    from lemmata.sims.koopman import images

    x, y = case.dictionary(points.x), case.dictionary(images(case.system, points.x))
    return x.conj().T @ (points.w[:, None] * y)


# ------------------------------------------------------------------------------------ independent points


def _sampled(
    case: Case, size: int, replicates: int, *, seed: int, stratified: bool = False, unpaired: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Psi_X and Psi_Y [replicate, M, N] at points drawn from the measure; `stratified` and `unpaired` are saboteurs."""
    from lemmata.sims.koopman import images

    u = np.random.default_rng([seed, size]).random((replicates, size))
    if stratified:
        u = (u + np.arange(size)) / size
    x = ((1 - np.cos(np.pi * u)) / 2 if case.system.measure == "arcsine" else u).reshape(-1, 1)
    y = images(case.system, x[::-1].copy() if unpaired else x)
    return tuple(case.dictionary(p).reshape(replicates, size, -1) for p in (x, y))  # type: ignore[return-value]


@dataclass(frozen=True)
class Doublings:
    """``sqrt 2 T_{2^i}(1 - 2x)``, i < size: one chain of the logistic map and nothing beside it."""

    size: int

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        columns = [1 - 2 * x[:, 0]]
        for _ in range(self.size - 1):
            columns.append(2 * columns[-1] ** 2 - 1)
        return np.sqrt(2) * np.stack(columns, axis=1)


def _chain(case: Case) -> np.ndarray:
    """``P_N K P_N`` of a shift: ``e_k -> e_{2k}``, and ``T_k(2x - 1) -> (-1)^k T_{2k}(2x - 1)``."""
    if isinstance(case.dictionary, Doublings):
        return np.eye(case.size, k=-1)
    fourier = isinstance(case.dictionary, Fourier)
    k = np.arange(-case.size, case.size + 1) if fourier else np.arange(case.size)
    return np.where(k[:, None] == 2 * k, 1.0 if fourier else (-1.0) ** k, 0.0)


def _variance(case: Case) -> float:
    """``sum_jk Var(conj(psi_j) psi_k(F))``: N^2 - ||A||^2 for Fourier functions, else by a rule that is exact."""
    A = _chain(case)
    if isinstance(case.dictionary, Fourier):
        return len(A) ** 2 - float((A**2).sum())
    x, y = case.features()
    return float(((x**2).T @ (case.rule.w[:, None] * y**2)).sum() - (A**2).sum())


def _constant(
    instances: Sequence[Case],
    setup: Setup,
    *,
    sizes: tuple[int, ...],
    transposed: bool = False,
    **how: Any,
) -> Measurement:
    """M ||A_M - A||^2 in units of the variance; `transposed` (the conjugate forgotten) and `how` are saboteurs."""
    (case,) = instances
    replicates, exact, columns = setup.size(960, 4000), _chain(case), []
    for size in sizes:
        x, y = _sampled(case, size, replicates, seed=setup.seed, **how)
        left = x if transposed else x.conj()
        A = left.swapaxes(1, 2) @ y / size
        columns.append(size * (np.abs(A - exact) ** 2).sum(axis=(1, 2)) / _variance(case))
    return Measurement(np.stack(columns, axis=1), theory.monte_carlo(), {"M": sizes}, nonnegative=True)


def _learned(case: Case, size: int, replicates: int, *, seed: int, **how: Any) -> np.ndarray:
    """EDMD's matrix in the dictionary, [replicate, N, N]."""
    x, y = _sampled(case, size, replicates, seed=seed, **how)
    left = x.conj().swapaxes(1, 2)
    return np.linalg.solve(left @ x, left @ y)


def _section(
    instances: Sequence[Case], setup: Setup, *, sizes: np.ndarray, replicates: int | None = None, **how: Any
) -> Measurement:
    """Distance of EDMD's matrix from the section; `how` is for saboteurs, of which there are fewer `replicates`."""
    (case,) = instances
    count, exact = replicates or setup.size(640, 1500), _chain(case)
    learned = [_learned(case, int(M), count, seed=setup.seed, **how) for M in sizes]
    errors = [np.linalg.norm(K - exact, axis=(1, 2)) for K in learned]
    return Measurement(np.stack(errors, axis=1), x=sizes)


def _moved(instances: Sequence[Case], setup: Setup, *, sizes: np.ndarray, replicates: int | None = None) -> Measurement:
    """The largest eigenvalue in modulus; `replicates` are fewer for saboteurs."""
    (case,) = instances
    count = replicates or setup.size(500, 1500)
    learned = [_learned(case, int(M), count, seed=setup.seed) for M in sizes]
    largest = [np.abs(np.linalg.eigvals(K)).max(axis=1) for K in learned]
    return Measurement(np.stack(largest, axis=1), x=sizes)


# ------------------------------------------------------------------------------------------ other points


def _rate(instances: Sequence[Case], setup: Setup, *, name: str, sizes: np.ndarray) -> Measurement:
    """Error against the Gauss rule of the case; `name` is a saboteur's too."""
    (case,) = instances
    exact = _matrix(case, case.rule)
    errors = [np.abs(_matrix(case, rule(name, int(M), -1.0, 0.0)) - exact).max() for M in sizes]
    return Measurement(np.array(errors), x=sizes)


def _gauss(instances: Sequence[Case], setup: Setup, *, sizes: tuple[int, ...], name: str = "legendre") -> Measurement:
    """All entries; `name` of the rule is a saboteur."""
    (case,) = instances
    exact, j = _matrix(case, case.rule), np.arange(case.size)
    scale = np.sqrt((2 * j[:, None] + 1) * (2 * j + 1))

    def products(t: np.ndarray) -> np.ndarray:
        x = (t - 1) / 2
        y = np.exp(-2 * x**2) - 1 - np.exp(-2.0)
        legendre = [np.polynomial.legendre.legvander(2 * p + 1, case.size - 1) for p in (x, y)]
        return scale * legendre[0][:, :, None] * legendre[1][:, None, :]

    radii = np.geomspace(1.05, 3, 24)
    found = np.stack([np.abs(_matrix(case, rule(name, M, -1.0, 0.0)) - exact) for M in sizes])
    ellipse = np.stack([theory.gauss_error(products, M, radii) for M in sizes])
    # the products reach 79, the weights add up to 1
    bound, M = theory.gauss_quadrature(ellipse=ellipse), np.array(sizes)[:, None, None]
    return Measurement(found, bound, {"M": M, "j": j[:, None], "k": j}, noise=1e-12)


def _orbit(
    instances: Sequence[Case], setup: Setup, *, sizes: tuple[int, ...], alpha: float = GOLDEN, independent: bool = False
) -> Measurement:
    """|G_jk| off the diagonal; `alpha` of the orbit and `independent` points are saboteurs."""
    from lemmata.sims.koopman import orbit

    (case,) = instances
    random = np.random.default_rng(setup.seed)
    k = case.dictionary.frequencies[:, 0]  # type: ignore[attr-defined]
    difference = k - k[:, None]
    off = difference != 0
    x = orbit(rotation(alpha), random.random(1), max(sizes) - 1)
    x = random.random(x.shape) if independent else x
    found = []
    for M in sizes:
        psi = case.dictionary(x[:M])
        found.append(np.abs(psi.conj().T @ psi / M)[off])
    sine = np.abs(np.sin(np.pi * difference[off] * case.system.parameters[0]))
    size = np.array(sizes)[:, None]
    at = {"M": size, "k - j": difference[off]}
    # x is the sum of M rounded steps
    return Measurement(np.stack(found), theory.ergodic_rotation(M=size, sine=sine), at, noise=1e-9)


# -------------------------------------------------------------------------------------------- instances


def _doubling(setup: Setup) -> list[Case]:
    return [Case(doubling(), Fourier(10), rule("periodic", 128), 10)]


def _logistic(size: int) -> Cases:
    return lambda setup: [Case(logistic(), Chebyshev(size, 0.0, 1.0), rule("arcsine", 128), size)]


def _doublings(size: int) -> Cases:
    return lambda setup: [Case(logistic(), Doublings(size), rule("arcsine", 128), size)]


def _gauss_map(setup: Setup) -> list[Case]:
    return [Case(gauss_iterated(), Legendre(40, -1.0, 0.0), rule("legendre", 120, -1.0, 0.0), 40)]


def _kinked(setup: Setup) -> list[Case]:
    return [Case(tent(), Legendre(40, -1.0, 0.0), rule("legendre", 120, -1.0, 0.0), 40)]


def _rotation(setup: Setup) -> list[Case]:
    return [Case(rotation(), Fourier(10), rule("periodic", 64), 10)]


#: What a saboteur of a rate is run on: its exponent is so far off that less will do.
CHEAPER: dict[str, Any] = {"replicates": 250, "sizes": np.array([60, 120, 240, 480, 1920])}
INDEPENDENT_SABOTEURS = (
    Saboteur("stratified points", {"stratified": True}),
    Saboteur("images of other points", {"unpaired": True}),
)

EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.monte_carlo,
        "random points, doubling map, 21 Fourier functions",
        _doubling,
        partial(_constant, sizes=(30, 200)),
        (*INDEPENDENT_SABOTEURS, Saboteur("the conjugate forgotten", {"transposed": True})),
        SIMS,
    ),
    Experiment(
        theory.monte_carlo,
        "random points, logistic map, 10 Chebyshev polynomials",
        _logistic(10),
        partial(_constant, sizes=(30, 200)),
        INDEPENDENT_SABOTEURS,
        SIMS,
    ),
    Experiment(
        theory.finite_section,
        "independent points, logistic map, 9 Chebyshev polynomials",
        _logistic(9),
        partial(_section, sizes=np.array([80, 180, 400, 900, 2700])),
        (
            Saboteur("stratified points", {"stratified": True, **CHEAPER}),
            Saboteur("images of other points", {"unpaired": True, **CHEAPER}),
        ),
        SIMS,
    ),
    Experiment(
        theory.defective_eigenvalues,
        "independent points, logistic map, a chain of 4",
        _doublings(4),
        partial(_moved, sizes=np.array([100, 250, 600, 1500, 9000])),
        (
            Saboteur("a chain of 1", CHEAPER, _doublings(1)),
            Saboteur("a chain of 2", CHEAPER, _doublings(2)),
        ),
        SIMS,
    ),
    Experiment(
        theory.trapezium_quadrature,
        "Gaussian iterated map, 40 Legendre polynomials",
        _gauss_map,
        partial(_rate, name="trapezium", sizes=1600 * 2 ** np.arange(6)),
        (Saboteur("left ends of cells", {"name": "riemann"}), Saboteur("Chebyshev nodes", {"name": "arcsine"})),
        SIMS,
    ),
    Experiment(
        theory.riemann_quadrature,
        "Gaussian iterated map, 40 Legendre polynomials",
        _gauss_map,
        partial(_rate, name="riemann", sizes=1600 * 2 ** np.arange(6)),
        (Saboteur("the trapezium rule", {"name": "trapezium"}), Saboteur("Chebyshev nodes", {"name": "arcsine"})),
        SIMS,
    ),
    Experiment(
        theory.gauss_quadrature,
        "Gaussian iterated map, 40 Legendre polynomials",
        _gauss_map,
        partial(_gauss, sizes=(60, 70, 80, 100)),
        (Saboteur("the trapezium rule", {"name": "trapezium"}), Saboteur("Chebyshev nodes", {"name": "arcsine"})),
        SIMS,
    ),
    Experiment(
        theory.ergodic_rotation,
        "an orbit from a random point, 21 Fourier functions",
        _rotation,
        partial(_orbit, sizes=(100, 1000, 10000)),
        (
            Saboteur("independent points", {"independent": True}),
            Saboteur("another angle: pi", {"alpha": float(np.pi)}),
            Saboteur("a rational angle, 13/21", {"alpha": 13 / 21}),
        ),
        SIMS,
    ),
)
