"""Residuals, pseudospectra and certified sets on systems whose operators are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.experiments.koopman.shared import BOTH, SIMS, Case, library, quiet
from lemmata.problems.koopman import (
    GOLDEN,
    Chebyshev,
    Cosine,
    Fourier,
    Hermite,
    Legendre,
    Product,
    ResidualVacuousWarning,
    Rule,
    cat,
    contraction,
    doubling,
    linear,
    logistic,
    ornstein_uhlenbeck,
    pendulum,
    rotation,
    rule,
    skew,
    tensor_rule,
    tent,
)
from lemmata.theory import koopman as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

Cases = Callable[[Setup], list[Case]]


def _square(made: Any) -> Any:
    """The section without what leaves the span: residuals of the matrix, not of the operator."""
    return replace(made, S=0 * made.S)


def _random(case: Case, setup: Setup, size: int) -> Case:
    """The case on independent points of the unit box: its Gram matrix is not the identity."""
    x = np.random.default_rng(setup.seed).random((size, case.system.dim))
    return replace(case, rule=Rule(x, np.full(size, 1 / size)))


def _disc(setup: Setup, size: int, radius: float = 1.3) -> np.ndarray:
    """Random points of a disc."""
    r, turn = np.random.default_rng([setup.seed, 7]).random((2, size))
    return radius * np.sqrt(r) * np.exp(2j * np.pi * turn)


# ------------------------------------------------------------------------------- residuals against distance


def _pairs(made: Any, setup: Setup) -> tuple[np.ndarray, np.ndarray]:
    """EDMD's eigenpairs, and random vectors at random points."""
    eigen, random = library(setup).edmd(made), np.random.default_rng([setup.seed, 11])
    v = random.standard_normal((2, made.rank, 40))
    return (
        np.concatenate((eigen.values, _disc(setup, 40))),
        np.concatenate((eigen.vectors, v[0] + 1j * v[1]), axis=1),
    )


def _distance(instances: Sequence[Case], setup: Setup, *, claim: Claim, square: bool = False) -> Measurement:
    """Residuals of pairs and the least residuals at random points, against ``|1 - |z||``; `square` is a saboteur.

    The spectrum of the unitary operators here, and the approximate point spectrum of the isometries, is the circle.
    """
    room = library(setup)
    found, moduli, noise = [], [], []
    for case in instances:
        made = case.section(setup)
        made = _square(made) if square else made
        z, v = _pairs(made, setup)
        points = _disc(setup, 24)
        found.append(np.concatenate((room.residuals(made, z, v), room.pseudospectrum(made, points))))
        moduli.append(np.abs(np.concatenate((z, points))))
        noise.append(np.full(moduli[-1].size, max(made.floor, 1e-12)))
    modulus = np.concatenate(moduli)
    bound = claim(**{next(iter(claim.symbols)): modulus if claim is theory.residual_isometry else np.abs(1 - modulus)})
    return Measurement(np.concatenate(found), bound, {"modulus": modulus}, noise=np.concatenate(noise))


def _non_normal(instances: Sequence[Case], setup: Setup, *, radius: float = 0.1) -> Measurement:
    """Distance over tau around the eigenvalues; `radius` of the ring of z is there to be sabotaged."""
    from lemmata.sims.koopman import pseudospectrum

    def ratio(case: Case) -> np.ndarray:
        values = np.linalg.eigvals(case.system.parameters.reshape((case.system.dim,) * 2))
        z = values[0] + radius * np.exp(2j * np.pi * np.arange(8) / 8 + 0.1j)
        return np.abs(z[:, None] - values).min(axis=1) / pseudospectrum(case.section(), z)

    turn = 0.5 * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    found = np.concatenate([ratio(case) for case in instances])
    return Measurement(found, theory.residual_non_normal(), control=ratio(_linear(turn)))


def _spurious(instances: Sequence[Case], setup: Setup, *, square: bool = False, vacuous: bool = False) -> Measurement:
    """Residuals of all eigenvalues but 1; `square` and `vacuous` (as many snapshots as functions) are saboteurs."""
    room = library(setup)
    found, control = [], []
    for case in instances:
        size = case.dictionary(case.rule.x[:1]).shape[1]
        drawn = _random(case, setup, size) if vacuous else case
        made = quiet(partial(drawn.section, setup), ResidualVacuousWarning)
        made = _square(made) if square else made
        eigen = room.edmd(made)
        values = room.residuals(made, eigen.values, eigen.vectors)
        constant = np.abs(eigen.values - 1).argmin()
        control.append(values[constant])
        found.append(np.delete(values, constant))
    return Measurement(np.concatenate(found), theory.spurious_eigenvalues(), control=control)


# ---------------------------------------------------------------------------------------- pseudospectra


def _shift(
    instances: Sequence[Case], setup: Setup, *, square: bool = False, drawn: bool = False, longer: int = 0
) -> Measurement:
    """tau of the longest chain; `square`, `drawn` (independent points) and `longer` chains are saboteurs."""
    z, found, known = _disc(setup, 24), [], []
    for case in instances:
        made = (_random(case, setup, 400) if drawn else case).section(setup)
        found.append(library(setup).pseudospectrum(_square(made) if square else made, z))
        known.append(theory.tau_shift(z, theory.chain_length(case.size) + longer))
    return Measurement(np.concatenate(found), theory.shift_pseudospectrum(chain=np.concatenate(known)))


def _rotation_tau(
    instances: Sequence[Case], setup: Setup, *, alpha: float = GOLDEN, drawn: bool = False
) -> Measurement:
    """tau on random points and on a polar grid; `alpha` of the closed form and `drawn` points are saboteurs."""
    grid = np.linspace(0.5, 1.2, 5)[:, None] * np.exp(2j * np.pi * (np.arange(12) + 0.3) / 12)
    z, found, known = np.concatenate((_disc(setup, 24), grid.ravel())), [], []
    for case in instances:
        made = (_random(case, setup, 400) if drawn else case).section(setup)
        found.append(library(setup).pseudospectrum(made, z))
        known.append(theory.tau_rotation(z, alpha, case.size))
    return Measurement(np.concatenate(found), theory.rotation_pseudospectrum(nearest=np.concatenate(known)))


def _nested(instances: Sequence[np.ndarray], setup: Setup, *, other: bool = False) -> Measurement:
    """tau of the first n functions, n rising, on any data; `other` (data drawn anew for each n) is a saboteur."""
    room = library(setup)
    z, larger, smaller = _disc(setup, 12), [], []
    for data in instances:
        tau = []
        for n in range(1, data.shape[2] + 1):
            x, y = np.random.default_rng(n).permutation(data, axis=1) if other else data
            tau.append(room.pseudospectrum(room.section(x[:, :n], (y[::-1] if other else y)[:, :n]), z))
        larger.append(np.array(tau[1:]).ravel())
        smaller.append(np.array(tau[:-1]).ravel())
    return Measurement(np.concatenate(larger), theory.nested_dictionaries(smaller=np.concatenate(smaller)), noise=1e-9)


def _lipschitz(instances: Sequence[Case], setup: Setup, *, power: int = 1) -> Measurement:
    """Differences of tau between all pairs of points; `power` (its root forgotten) is a saboteur."""
    z = _disc(setup, 40, 2.0)
    apart, found, bound = np.abs(z[:, None] - z), [], []
    for case in instances:
        tau = library(setup).pseudospectrum(case.section(setup), z) ** power
        found.append(np.abs(tau[:, None] - tau).ravel())
        bound.append(apart.ravel())
    claimed = theory.pseudospectrum_lipschitz(apart=np.concatenate(bound))
    return Measurement(np.concatenate(found), claimed, noise=1e-9)


def _inverse(instances: Sequence[Case], setup: Setup, *, reciprocal: bool = True, swap: bool = True) -> Measurement:
    """tau of swapped data at 1/z; `reciprocal` and `swap` are there to be sabotaged."""
    room = library(setup)
    z = 0.3 + _disc(setup, 16)
    found, known = [], []
    for case in instances:
        x, y = case.features()
        back = room.section(y, x, case.rule.w) if swap else room.section(x, y, case.rule.w)
        found.append(room.pseudospectrum(back, 1 / z if reciprocal else z))
        tau = room.pseudospectrum(case.section(setup), z)
        known.append(theory.inverse_pseudospectrum(tau=tau, z=np.abs(z)))
    return Measurement(np.concatenate(found), np.concatenate(known))


def _contraction_tau(instances: Sequence[Case], setup: Setup, *, name: str = "legendre") -> Measurement:
    """tau against the Gram matrices in 60 digits; `name` of the rule is a saboteur."""
    from lemmata.sims.koopman import pseudospectrum

    z = np.array([0.7, 1.2, 1.6, 0.5 + 0.5j])
    found, known = [], []
    for case in instances:
        other = replace(case, rule=rule(name, len(case.rule.w)))
        found.append(pseudospectrum(other.section(), z))
        known.append([theory.tau_contraction(point, case.size) for point in z])
    return Measurement(np.concatenate(found), theory.contraction_pseudospectrum(hilbert=np.concatenate(known)))


def _contraction_disc(instances: Sequence[Case], setup: Setup, *, hardy: bool = False) -> Measurement:
    """Distance from ``a^k`` over tau; `hardy` (the norm in which monomials are orthonormal) is a saboteur."""
    from lemmata.sims.koopman import pseudospectrum, section_from_gram

    inside, outside = np.array([0.7, 0.4j, -0.5, 0.35 + 0.3j]), np.array([1.8, -1.6, 2j])
    found: list[np.ndarray] = []
    control: list[np.ndarray] = []
    for case in instances:
        powers = case.system.parameters[0] ** np.arange(case.size)
        made = case.section()
        if hardy:
            made = section_from_gram(np.eye(case.size), np.diag(powers), np.diag(powers**2))
        for z, side in ((inside, found), (outside, control)):
            side.append(np.abs(z[:, None] - powers).min(axis=1) / pseudospectrum(made, z))
    return Measurement(np.concatenate(found), theory.contraction_disc(), control=np.concatenate(control))


# ------------------------------------------------------------------------------------ invariant dictionaries


@dataclass(frozen=True, eq=False)
class Solved:
    """A case whose dictionary is invariant, and the eigenvalues of K on it."""

    case: Case
    values: np.ndarray


def _learn(problem: Solved, setup: Setup, noise: float, drop: bool) -> tuple[Any, np.ndarray]:
    room = library(setup)
    x, y = problem.case.features()
    y = y + noise * np.random.default_rng(setup.seed).standard_normal(y.shape)
    keep = np.arange(x.shape[1]) != (1 if drop else -1)
    return room.edmd(room.section(x[:, keep], y[:, keep])), problem.values


def _eigenvalues(instances: Sequence[Solved], setup: Setup, *, noise: float = 0.0, drop: bool = False) -> Measurement:
    """Each known eigenvalue and the nearest of EDMD's; `noise` of the images and `drop` of a function are saboteurs."""
    found, known = [], []
    for problem in instances:
        eigen, values = _learn(problem, setup, noise, drop)
        nearest = eigen.values[np.abs(eigen.values - values[:, None]).argmin(axis=1)]
        for part in (np.real, np.imag):
            found.append(part(nearest))
            known.append(part(values))
    return Measurement(np.concatenate(found), theory.exact_eigenvalues(known=np.concatenate(known)), scale=1.0)


def _exact(instances: Sequence[Solved], setup: Setup, *, noise: float = 0.0, drop: bool = False) -> Measurement:
    found = [_learn(problem, setup, noise, drop)[0].residuals for problem in instances]
    residual = np.concatenate(found)
    return Measurement(residual, np.broadcast_to(theory.exact_residual(), residual.shape))


# ----------------------------------------------------------------------------------------- certified sets


def _inclusion(instances: Sequence[Case], setup: Setup, *, square: bool = False) -> Measurement:
    """Distances of the output from the circle, which is the spectrum here, beside the bound; `square` is a saboteur."""
    # no radius is 1: the output has to be off the circle
    grid = np.linspace(0.52, 1.27, 16)[:, None] * np.exp(2j * np.pi * np.arange(24) / 24)
    found, bounds = [], []
    for case in instances:
        made = case.section(setup)
        # as a normal operator: of a unitary one |1 - |z|| would be part of the bound
        points, bound = library(setup).certified_set(_square(made) if square else made, grid, operator="normal")
        found.append(np.abs(1 - np.abs(points)))
        bounds.append(np.full(points.size, bound))
    error = theory.certified_inclusion(error=np.concatenate(bounds))
    return Measurement(np.concatenate(found), error, noise=1e-9)


def _against_edmd(instances: Sequence[Case], setup: Setup, *, square: bool = False) -> Measurement:
    """Largest residuals of EDMD over certified bounds; `square`, for the residuals, is a saboteur."""
    from lemmata.sims.koopman import certified_set, edmd

    grid = np.linspace(0.8, 1.2, 9)[:, None] * np.exp(2j * np.pi * np.arange(24) / 24)

    def ratio(case: Case) -> float:
        made = case.section()
        _, bound = certified_set(made, grid, operator="isometry")
        return float(edmd(_square(made) if square else made).residuals.max() / bound)

    found = [ratio(case) for case in instances]
    return Measurement(found, theory.certified_error(), control=[ratio(c) for c in _rotation(setup)])


# --------------------------------------------------------------------------------------- transfer operator


def _pollution(instances: Sequence[tuple[int, int]], setup: Setup, *, above: float = 0.02) -> Measurement:
    """Largest relative motion of an eigenvalue between two degrees; `above` which they are asked is a saboteur."""
    from lemmata.sims.koopman import gauss_map_eigenvalues

    found, control = [], []
    for pair in instances:
        first, second = (np.array([complex(v) for v in gauss_map_eigenvalues(n, digits=30)]) for n in pair)
        moved = np.abs(first[:, None] - second).min(axis=1) / np.abs(first)
        found.append(moved[np.abs(first) > above].max())
        control.append(moved[:2].max())
    return Measurement(found, theory.gauss_map_pollution(), control=control)


def _wirsing(instances: Sequence[int], setup: Setup, *, clustered: bool = True, fewer: int = 0) -> Measurement:
    """The second eigenvalue; `clustered` points and `fewer` functions are there to be sabotaged."""
    from lemmata.sims.koopman import gauss_map_eigenvalues

    values = [gauss_map_eigenvalues(n - fewer, digits=30, clustered=clustered)[1] for n in instances]
    return Measurement([float(v.real) for v in values], theory.wirsing_constant(wirsing=theory.WIRSING))


# ------------------------------------------------------------------------------------------- stochastic


def _images(time: float, *, shared: bool = False) -> tuple[np.ndarray, ...]:
    """Hermite functions at the nodes of a product rule of x and two noises, exact up to degree 23.

    The second image may have half of the first noise (`shared`).
    """
    one = rule("normal", 12)
    nodes = tensor_rule(one, one, one)
    x, noise, other = nodes.x.T
    other = (noise + other) / np.sqrt(2) if shared else other
    y, y2 = ornstein_uhlenbeck(x, noise, time), ornstein_uhlenbeck(x, other, time)
    return (*(Hermite(6)(p[:, None]) for p in (x, y, y2)), nodes.w)


def _stochastic(
    instances: Sequence[float],
    setup: Setup,
    *,
    claim: Claim,
    kind: str,
    longer: float = 1.0,
    **how: Any,
) -> Measurement:
    """Residuals of either `kind`; the other kind, a `longer` time and `how` are saboteurs."""
    found, k, t = [], np.arange(6), np.array(instances)[:, None]
    for time in instances:
        pairs = library(setup).two_images(*_images(longer * time, **how))
        found.append(getattr(pairs, kind)[np.argsort(-pairs.values.real)])
    claimed = claim(k=k, t=t) if claim is theory.variance_residual else np.zeros((t.size, k.size)) + claim()
    # the root of rounding, where nothing is left
    return Measurement(np.array(found), claimed, {"t": t, "k": k}, scale=1.0, noise=1e-6)


def _one_image(instances: Sequence[float], setup: Setup, *, shorter: float = 1.0, both: bool = False) -> Measurement:
    """Residuals of EDMD on one image; a `shorter` time and `both` images are saboteurs."""
    from lemmata.sims.koopman import edmd, section, two_images

    found, control = [], []
    for time in instances:
        x, y, y2, w = _images(shorter * time)
        pairs, eigen = two_images(x, y, y2, w), edmd(section(x, y, w))
        one = pairs.residuals if both else eigen.residuals
        order = np.argsort(-(pairs.values if both else eigen.values).real)
        found.append(one[order][1:])
        control.append(pairs.residuals)
    return Measurement(np.array(found), theory.one_image(), control=np.array(control))


# -------------------------------------------------------------------------------------------- instances


def _midpoint(size: int) -> Rule:
    return Rule(((np.arange(size) + 0.5) / size)[:, None], np.full(size, 1 / size))


def _shifts(size: int) -> Cases:
    """The doubling, tent and logistic maps up to the frequency `size`, on points that are exact for all products."""
    return lambda setup: [
        Case(doubling(), Fourier(size), rule("periodic", 8 * size), size),
        Case(tent(), Cosine(size + 1), _midpoint(4 * size), size),
        Case(logistic(), Chebyshev(size + 1, 0.0, 1.0), rule("arcsine", 4 * size), size),
    ]


def _mean_zero(*sizes: int) -> Cases:
    """The doubling map without the constant, whose eigenvalue every large ball of the algorithm would find."""

    def dictionary(x: np.ndarray, degree: int) -> np.ndarray:
        return np.delete(Fourier(degree)(x), degree, axis=1)

    return lambda setup: [Case(doubling(), partial(dictionary, degree=n), rule("periodic", 8 * n), n) for n in sizes]


def _lebesgue_logistic(setup: Setup) -> list[Case]:
    return [Case(logistic(), Chebyshev(9, 0.0, 1.0), rule("legendre", 60), 8)]


def _rotation(setup: Setup) -> list[Case]:
    return [Case(rotation(), Fourier(10), rule("periodic", 64), 10)]


def _cat(setup: Setup) -> list[Case]:
    grid = rule("periodic", 32)
    return [Case(cat(), Fourier(2, 2), tensor_rule(grid, grid), 2)]


def _pendulum(setup: Setup) -> list[Case]:
    """Fourier and Hermite functions on the cylinder; the rule ends where the Hermite functions have died away."""
    points = tensor_rule(rule("periodic", 40, -np.pi, np.pi), rule("trapezium", 60, -11.0, 11.0))
    dictionary = Product((Fourier(3, period=2 * np.pi), Hermite(7, 1.0, True)))
    return [Case(pendulum(substeps=10), dictionary, points)]


def _unitary(setup: Setup) -> list[Case]:
    return [*_rotation(setup), *_cat(setup)]


def _one_sided(setup: Setup) -> list[Case]:
    """The rotation with frequencies 0 to 6, for conjugation to be seen, and the cat map."""
    return [Case(rotation(), lambda x: Fourier(6)(x)[:, 6:], rule("periodic", 32)), *_cat(setup)]


def _every_unitary(setup: Setup) -> list[Case]:
    return [*_unitary(setup), *_pendulum(setup)]


def _contractions(*sizes: int) -> Cases:
    return lambda setup: [Case(contraction(), Legendre(n, 0.0, 1.0), rule("legendre", 2 * n), n) for n in sizes]


def _linear(matrix: np.ndarray) -> Case:
    """A linear map on the coordinates, under the standard normal law."""
    points = tensor_rule(*(rule("normal", 4) for _ in matrix))
    return Case(linear(matrix), lambda x: x, points)


def _jordan(setup: Setup) -> list[Case]:
    return [
        _linear(np.array([[0.5, 1.0], [0.0, 0.5]])),
        _linear(np.array([[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [0.0, 0.0, 0.5]])),
        _linear(np.array([[0.6, 5.0], [0.0, 0.3]])),
    ]


def _symmetric(setup: Setup) -> list[Case]:
    return [_linear(np.array([[0.5, 0.2], [0.2, 0.1]]))]


def _noise_data(setup: Setup) -> list[np.ndarray]:
    random = np.random.default_rng([setup.seed, 3])
    return list(random.standard_normal((2, 2, 60, 8)) + 1j * random.standard_normal((2, 2, 60, 8)))


def _monomials(x: np.ndarray) -> np.ndarray:
    a, b = x.T
    return np.stack((np.ones_like(a), a, b, a * a, a * b, b * b), axis=1)


def _solved(setup: Setup) -> list[Solved]:
    random = np.random.default_rng([setup.seed, 5])

    def at(dim: int) -> Rule:
        return Rule(random.random((300, dim)), np.full(300, 1 / 300))

    B = np.array([[0.9, 0.3], [-0.2, 0.5]])
    s, t = np.linalg.eigvals(B)
    k, turn = np.arange(-5, 6), 2j * np.pi * GOLDEN
    return [
        Solved(Case(rotation(), Fourier(5), at(1)), np.exp(turn * k)),
        Solved(Case(linear(B), _monomials, at(2)), np.array([1, s, t, s * s, s * t, t * t])),
        Solved(Case(contraction(), Legendre(7, 0.0, 1.0), at(1)), 0.5 ** np.arange(7.0)),
        Solved(Case(skew(), lambda x: Fourier(5)(x[:, :1]), at(2)), np.exp(turn * k)),
    ]


def _plain(*values: Any) -> Callable[[Setup], list[Any]]:
    return lambda setup: list(values)


SQUARE = Saboteur("residuals of the matrix: what leaves the span forgotten", {"square": True})
DRAWN = Saboteur("independent points", {"drawn": True})
INEXACT = (Saboteur("noise of 1e-6 on the images", {"noise": 1e-6}), Saboteur("a function left out", {"drop": True}))

EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.residual_isometry,
        "doubling, tent and logistic maps",
        _shifts(16),
        partial(_distance, claim=theory.residual_isometry),
        (
            SQUARE,
            Saboteur("a contraction", problems=_contractions(8)),
            Saboteur("the logistic map under the uniform law", problems=_lebesgue_logistic),
        ),
        BOTH,
    ),
    Experiment(
        theory.residual_normal,
        "rotation and cat map",
        _unitary,
        partial(_distance, claim=theory.residual_normal),
        (SQUARE, Saboteur("a contraction", problems=_contractions(8))),
        BOTH,
    ),
    Experiment(
        theory.residual_non_normal,
        "linear maps",
        _jordan,
        _non_normal,
        (Saboteur("a symmetric matrix", problems=_symmetric), Saboteur("far away", {"radius": 50.0})),
        SIMS,
    ),
    Experiment(
        theory.spurious_eigenvalues,
        "doubling, tent and logistic maps",
        _shifts(16),
        _spurious,
        (SQUARE, Saboteur("as many snapshots as functions", {"vacuous": True})),
        BOTH,
    ),
    Experiment(
        theory.shift_pseudospectrum,
        "random points of the disc, K = 8",
        _shifts(8),
        _shift,
        (SQUARE, DRAWN, Saboteur("chains longer by one", {"longer": 1})),
        BOTH,
    ),
    Experiment(
        theory.shift_pseudospectrum,
        "random points of the disc, K = 64",
        _shifts(64),
        _shift,
        (SQUARE, Saboteur("chains longer by one", {"longer": 1})),
        BOTH,
    ),
    Experiment(
        theory.rotation_pseudospectrum,
        "disc and polar grid, K = 10",
        _rotation,
        _rotation_tau,
        (DRAWN, Saboteur("an angle off by 1e-6", {"alpha": GOLDEN + 1e-6})),
        BOTH,
    ),
    Experiment(
        theory.nested_dictionaries,
        "random matrices",
        _noise_data,
        _nested,
        (Saboteur("other data for each size", {"other": True}),),
        BOTH,
    ),
    Experiment(
        theory.pseudospectrum_lipschitz,
        "random points of the disc",
        _shifts(8),
        _lipschitz,
        (Saboteur("tau squared", {"power": 2}),),
        BOTH,
    ),
    Experiment(
        theory.inverse_pseudospectrum,
        "rotation and cat map, random points of the disc",
        _one_sided,
        _inverse,
        (
            Saboteur("z in place of 1/z", {"reciprocal": False}),
            Saboteur("not swapped", {"swap": False}),
            Saboteur("a contraction", problems=_contractions(8)),
        ),
        BOTH,
    ),
    Experiment(
        theory.contraction_pseudospectrum,
        "x/2 on [0, 1]",
        _contractions(5, 10, 15),
        _contraction_tau,
        (Saboteur("the trapezium rule", {"name": "trapezium"}), Saboteur("midpoints", {"name": "arcsine"})),
        SIMS,
    ),
    Experiment(
        theory.contraction_disc,
        "x/2 on [0, 1], 20 polynomials",
        _contractions(20),
        _contraction_disc,
        (
            Saboteur("Hardy's norm", {"hardy": True}),
            Saboteur("3 polynomials", problems=_contractions(3)),
        ),
        SIMS,
    ),
    Experiment(theory.exact_eigenvalues, "solvable systems, random points", _solved, _eigenvalues, INEXACT, BOTH),
    Experiment(theory.exact_residual, "solvable systems, random points", _solved, _exact, INEXACT, BOTH),
    Experiment(
        theory.certified_inclusion,
        "rotation, cat map and pendulum",
        _every_unitary,
        _inclusion,
        (SQUARE, Saboteur("a contraction", problems=_contractions(8))),
        BOTH,
    ),
    Experiment(
        theory.certified_error,
        "doubling map, 128 and 256 Fourier functions",
        _mean_zero(64, 128),
        _against_edmd,
        (
            SQUARE,
            Saboteur("16 functions", problems=_mean_zero(8)),
        ),
        SIMS,
    ),
    Experiment(
        theory.gauss_map_pollution,
        "degrees 12 and 14",
        _plain((12, 14)),
        _pollution,
        (Saboteur("eigenvalues above 0.06 alone", {"above": 0.06}),),
        SIMS,
    ),
    Experiment(
        theory.wirsing_constant,
        "degree 16",
        _plain(16),
        _wirsing,
        (Saboteur("degree 10", {"fewer": 6}), Saboteur("equispaced points", {"clustered": False})),
        SIMS,
    ),
    Experiment(
        theory.variance_residual,
        "Ornstein-Uhlenbeck, 6 Hermite functions",
        _plain(0.2, 0.7),
        partial(_stochastic, claim=theory.variance_residual, kind="variances"),
        (
            Saboteur("the residual of the averaged operator", {"kind": "residuals"}),
            Saboteur("time longer by 1 %", {"longer": 1.01}),
        ),
        BOTH,
    ),
    Experiment(
        theory.averaged_residual,
        "Ornstein-Uhlenbeck, 6 Hermite functions",
        _plain(0.2, 0.7),
        partial(_stochastic, claim=theory.averaged_residual, kind="residuals"),
        (
            Saboteur("half of the noise shared", {"shared": True}),
            Saboteur("the residual along single steps", {"kind": "variances"}),
        ),
        BOTH,
    ),
    Experiment(
        theory.one_image,
        "Ornstein-Uhlenbeck, 6 Hermite functions",
        _plain(0.2, 0.7),
        _one_image,
        (Saboteur("a short time", {"shorter": 0.01}), Saboteur("two images", {"both": True})),
        SIMS,
    ),
)
