"""Spectral measures against closed forms: atoms of mpEDMD, rational kernels, filters, wave packets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from lemmata.experiments.koopman.shared import BOTH, SIMS, Observable, library, quiet
from lemmata.problems.koopman import GOLDEN, PolarNonUniqueWarning, System, cat, doubling, rule, skew, tensor_rule
from lemmata.theory import koopman as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["CHAIN", "EXPERIMENTS", "simulated_moments"]

#: Coefficients along (1, 0) -> (2, 1) -> (5, 3) of the cat map, or 1 -> 2 -> 4 of the doubling map.
CHAIN = np.array([1, 0.5, 0.25j])
#: Away from the real axis, so that a mirrored angle is seen.
RATIO = 0.6 * np.exp(0.7j)

# ----------------------------------------------------------------------------------------- mpEDMD's atoms


def _unitary(made: Any) -> Any:
    """mpEDMD on delays. Where densities are smooth the compression is singular in its last direction, to rounding: the
    phase that is free there turns the atoms and leaves every moment below the N-th."""
    from lemmata.sims.koopman import mpedmd

    return quiet(lambda: mpedmd(made), PolarNonUniqueWarning)


def _atoms(
    moments: np.ndarray, size: int, *, method: str = "mpedmd", conjugate: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Angles and weights of g from N delays of it, by mpEDMD, or by "edmd" with its eigenvalues moved to the circle."""
    from lemmata.sims.koopman import coordinates, delay_gram, edmd, section_from_gram, spectral_measure

    made = section_from_gram(*delay_gram(moments.conj() if conjugate else moments, size))
    g = coordinates(made, np.eye(size)[0])
    if method == "mpedmd":
        return spectral_measure(_unitary(made), g)
    eigen = edmd(made)
    weights = np.abs(eigen.vectors.conj().T @ g) ** 2
    return np.angle(eigen.values), weights * moments[0].real / weights.sum()


def _unit(instances: Sequence[int], setup: Setup, *, method: str = "mpedmd") -> Measurement:
    """Moduli of eigenvalues on data that come from no system."""
    room = library(setup)
    moduli, sizes = [], []
    for size in instances:
        random = np.random.default_rng(1000 * setup.seed + size)
        x, y = (random.standard_normal((4 * size, size)) + 1j * random.standard_normal((4 * size, size)) for _ in "xy")
        eigen = getattr(room, method)(room.section(x, y))
        moduli.append(np.abs(eigen.values))
        sizes.append(np.full(size, size))
    found = np.concatenate(moduli)
    return Measurement(found, np.broadcast_to(theory.unit_eigenvalues(), found.shape), {"N": np.concatenate(sizes)})


def _moments(instances: Sequence[Observable], setup: Setup, *, sizes: tuple[int, ...], **how: Any) -> Measurement:
    """Moments of the atoms, the worst of real and imaginary part; `how` is for saboteurs of `_atoms`."""
    found, known, scale, at = [], [], [], []
    for observable in instances:
        for size in sizes:
            angles, weights = _atoms(observable.moments, size, **how)
            n = np.arange(size)
            moments = np.exp(1j * np.outer(n, angles)) @ weights
            for part in (np.real, np.imag):
                found.append(part(moments))
                known.append(part(observable.moments[:size]))
                scale.append(np.full(size, observable.moments[0].real))
                at.append(n)
    moment = theory.krylov_moments(moment=np.concatenate(known))
    return Measurement(np.concatenate(found), moment, {"n": np.concatenate(at)}, scale=np.concatenate(scale))


def _distances(
    observable: Observable, sizes: Sequence[int], *, cut: bool = False, fewer: int = 1, **how: Any
) -> np.ndarray:
    """W_1 of the atoms of N delays from the true measure; `cut` (a line for the circle) and `fewer` are saboteurs."""
    from lemmata.sims.koopman import circle_distance

    last = np.flatnonzero(np.abs(observable.moments) > 1e-17)[-1]
    known = partial(theory.distribution, moments=observable.moments[: last + 1])
    found = []
    for size in sizes:
        angles, weights = _atoms(observable.moments, max(1, size // fewer), **how)
        if cut:
            grid = np.linspace(-np.pi, np.pi, 40001)
            steps = np.concatenate(([0.0], np.cumsum(weights)))[np.searchsorted(angles, grid, side="right")]
            found.append(np.abs(steps - known(grid)).mean() * 2 * np.pi)
        else:
            found.append(circle_distance(angles, weights, known))
    return np.array(found)


def _favard(instances: Sequence[Observable], setup: Setup, *, sizes: tuple[int, ...], **how: Any) -> Measurement:
    found = [_distances(observable, sizes, **how) for observable in instances]
    norm = [np.full(len(sizes), observable.moments[0].real) for observable in instances]
    N = np.tile(sizes, len(instances))
    bound = theory.favard_bound(N=N, norm=np.concatenate(norm))
    return Measurement(np.concatenate(found), bound, {"N": N})


def _constant(instances: Sequence[Observable], setup: Setup, *, sizes: tuple[int, ...], **how: Any) -> Measurement:
    (observable,) = instances
    N = np.array(sizes)
    scaled = N * _distances(observable, sizes, **how) / observable.moments[0].real
    return Measurement(np.abs(scaled - theory.favard_constant(N=N)), x=N)


# --------------------------------------------------------------------------------------- rational kernels


def simulated_moments(system: System, count: int, size: int = 64) -> np.ndarray:
    """Moments of three modes of a chain of the cat map from a grid and its images, which binary fractions hold exactly.

    The map has period 48 on a grid of 64: no product of two of the frequencies is aliased before.
    """
    from lemmata.sims.koopman import images

    grid = tensor_rule(rule("periodic", size), rule("periodic", size))

    def g(x: np.ndarray) -> np.ndarray:
        return np.exp(2j * np.pi * x @ np.array([[1, 2, 5], [0, 1, 3]])) @ CHAIN

    first, x, found = g(grid.x).conj(), grid.x, []
    for _ in range(count):
        found.append(grid.w @ (g(x) * first))
        x = images(system, x)
    return np.array(found)


def _order(
    instances: Sequence[Observable],
    setup: Setup,
    *,
    order: int,
    used: int | None = None,
    conjugate: bool = False,
    lag: int = 0,
) -> Measurement:
    """Error of the smoothed density to the power 1/m; `used` (order), `conjugate` and `lag` are saboteurs."""
    from lemmata.sims.koopman import moment_density

    (observable,) = instances
    moments = simulated_moments(observable.system, 6)[lag:]
    moments = moments.conj() if conjugate else moments
    theta = np.linspace(-np.pi, np.pi, 101)
    epsilon = 2.0 ** -np.arange(1.5, 7)
    known = theory.density(theta, observable.moments)
    error = [np.abs(moment_density(theta, e, moments, order=used or order) - known).max() for e in epsilon]
    return Measurement(np.array(error) ** (1 / order), x=1 / epsilon)


def _kink(instances: Sequence[Observable], setup: Setup, *, order: int, theta: float = 0.0) -> Measurement:
    """Errors at the kink; `order` 1 and a `theta` beside the kink are saboteurs."""
    from lemmata.sims.koopman import moment_density

    (observable,) = instances
    epsilon = 2.0 ** -np.arange(2, 8)
    known = (np.pi - abs(theta)) / np.pi**2
    found = [moment_density(np.array(theta), e, observable.moments, order=order) for e in epsilon]
    return Measurement(np.abs(np.array(found) - known), x=1 / epsilon)


def _residues(instances: Sequence[int], setup: Setup, *, shift: float = 0.0) -> Measurement:
    """Residues of orders 1 to 6; `shift` of the height of the poles is a saboteur."""
    from lemmata.sims.koopman import rational_kernel

    found, known, scale = [], [], []
    for order in instances:
        poles, residues = rational_kernel(order)
        if shift:
            residues = np.linalg.solve(np.vander(poles + 1j * shift, increasing=True).T, np.eye(order)[0])
        printed = np.array(theory.RESIDUES[order])
        for part in (np.real, np.imag):
            found.append(part(residues))
            known.append(part(printed))
            scale.append(np.full(order, np.abs(printed).max()))
    fraction = theory.rational_residues(fraction=np.concatenate(known))
    return Measurement(np.concatenate(found), fraction, scale=np.concatenate(scale))


def _atom(
    instances: Sequence[Observable], setup: Setup, *, mass: float, order: int = 1, conjugate: bool = False
) -> Measurement:
    """pi eps rho_eps at the eigenvalue; `order` and `conjugate` are saboteurs."""
    from lemmata.sims.koopman import moment_density

    (observable,) = instances
    epsilon = 2.0 ** -np.arange(2, 8)
    moments = observable.moments.conj() if conjugate else observable.moments
    theta = np.array(2 * np.pi * GOLDEN)
    found = [np.pi * e * moment_density(theta, e, moments, order=order) for e in epsilon]
    return Measurement(np.abs(np.array(found) - theory.rational_atom(mass=mass)), x=1 / epsilon)


def _isometry(
    instances: Sequence[Observable], setup: Setup, *, polar: bool = False, conjugate: bool = False
) -> Measurement:
    """Smoothed density from the section of the doubling map; `polar` (a unitary in place of A) etc. are saboteurs."""
    import scipy.linalg as la

    from lemmata.sims.koopman import coordinates, images, resolvent_density, section

    (observable,) = instances
    points, frequency = rule("periodic", 256), 32
    k = np.arange(-frequency, frequency + 1)
    x, y = (np.exp(2j * np.pi * p * k) for p in (points.x, images(observable.system, points.x)))
    made = section(x, y, points.w)
    c = np.zeros(k.size, dtype=np.complex128)
    c[[frequency + 1, frequency + 2, frequency + 4]] = CHAIN
    A = la.polar(made.A)[0] if polar else made.A
    theta, found, known = np.linspace(-np.pi, np.pi, 41), [], []
    for order in (1, 2, 4, 6):
        g = coordinates(made, c)
        density = resolvent_density(theta, 0.2, A, g, order=order)
        found.append(density[::-1] if conjugate else density)
        known.append(theory.smoothed_density(theta, observable.moments, 0.2, order))
    both = np.concatenate(known)
    return Measurement(np.concatenate(found), theory.isometry_density(density=both), scale=np.abs(both).max())


# ---------------------------------------------------------------------------------------------- filters


def _test_function(theta: np.ndarray) -> np.ndarray:
    return np.cos(5 * theta) / (2 + np.cos(theta))


def _weak(observable: Observable, sizes: np.ndarray, name: str, shift: int = 0) -> np.ndarray:
    """``int phi (rho_N - rho)`` by the trapezium rule, exact here; the measure is that of an indicator's square."""
    from lemmata.sims.koopman import filtered_density

    exact = _indicator_integral()
    errors = []
    for N in sizes:
        points = 2 * N + 256
        theta = 2 * np.pi * np.arange(points) / points
        density = filtered_density(theta, observable.moments[shift : shift + N], name)
        errors.append(abs(density @ _test_function(theta) * 2 * np.pi / points - exact))
    return np.array(errors)


def _indicator_integral() -> float:
    x, w = np.polynomial.legendre.leggauss(60)
    return float(w @ _test_function(x)) / (2 * np.pi)


def _filter(instances: Sequence[Observable], setup: Setup, *, order: int, name: str, shift: int = 0) -> Measurement:
    """Errors to the power 1/p; `name` and `shift` (the first moment left out) are saboteurs."""
    (observable,) = instances
    N = 2 ** np.arange(5, 11)
    return Measurement(_weak(observable, N, name, shift) ** (1 / order), x=N)


def _bump(
    instances: Sequence[Observable], setup: Setup, *, name: str = "bump", shift: int = 0, kept: float = 1.0
) -> Measurement:
    """Errors against the sum of what the filter damps; `name`, `shift` and the share `kept` of N are saboteurs."""
    (observable,) = instances
    sizes = np.array([12, 16, 24, 32, 48, 64])
    points = 512
    theta = 2 * np.pi * np.arange(points) / points
    waves = np.abs(np.fft.fft(_test_function(theta)) / points)[: points // 2]
    n = np.arange(1, points // 2)
    size = 2 * waves[1:] * np.abs(observable.moments[1 : points // 2])
    with np.errstate(divide="ignore", over="ignore"):
        left = [np.where(n < N, 2 / (1 - n / N) * np.exp(-0.109550455106347 * (N / n) ** 4), 1) for N in sizes]
    tail = theory.bump_filter(tail=np.minimum(left, 1) @ size)
    # the sum of 512 terms of size 1 at most
    found = _weak(observable, (kept * sizes).astype(np.int64), name, shift)
    return Measurement(found, tail, {"N": sizes}, noise=1e-14)


# ------------------------------------------------------------------------------------------ wave packets


def _krylov(observable: Observable, size: int) -> tuple[Any, np.ndarray]:
    from lemmata.sims.koopman import coordinates, delay_gram, section_from_gram

    made = section_from_gram(*delay_gram(observable.moments, size))
    return _unitary(made), coordinates(made, np.eye(size)[0])


def _packet(
    instances: Sequence[Observable], setup: Setup, *, size: int, order: int = 6, used: int = 6, turn: float = 0.0
) -> Measurement:
    """``<g_theta, g>``; `used` (order of the packet) and `turn` of the angle are saboteurs."""
    from lemmata.sims.koopman import wave_packet

    (observable,) = instances
    eigen, g = _krylov(observable, size)
    theta = np.linspace(-3, 3, 13)
    found = [np.vdot(g, wave_packet(t + turn, 0.8, eigen, g, order=used)) for t in theta]
    known = theory.smoothed_density(theta, observable.moments, 0.8, order)
    sides = np.concatenate((np.real(found), np.imag(found))), np.concatenate((known, 0 * known))
    density = theory.wave_packet_density(density=sides[1])
    return Measurement(sides[0], density, {"theta": np.tile(theta, 2)}, scale=known.max())


def _packet_residual(
    instances: Sequence[Observable], setup: Setup, *, size: int, order: int = 1, turn: float = 0.0
) -> Measurement:
    """Relative residual of packets; `order` of the packet and `turn` of the angle are saboteurs."""
    from lemmata.sims.koopman import wave_packet

    (observable,) = instances
    eigen, g = _krylov(observable, size)
    epsilon, angles = np.array([0.1, 0.2, 0.4, 0.8, 1.6]), np.array([-2.5, 0.4, 1.0])
    found = np.empty((epsilon.size, angles.size))
    for i, e in enumerate(epsilon):
        for j, theta in enumerate(angles):
            packet = eigen.vectors.conj().T @ wave_packet(theta + turn, e, eigen, g, order=order)
            found[i, j] = np.linalg.norm((eigen.values - np.exp(1j * theta)) * packet) / np.linalg.norm(packet)
    claimed = np.broadcast_to(theory.wave_packet_residual(epsilon=epsilon)[:, None], found.shape)
    return Measurement(found, claimed, {"epsilon": epsilon[:, None], "theta": angles})


# -------------------------------------------------------------------------------------------- instances


def _poisson(setup: Setup) -> list[Observable]:
    return [Observable(cat(), "all modes of a chain", theory.poisson_moments(RATIO, 400))]


def _trigonometric(setup: Setup) -> list[Observable]:
    moments = np.zeros(400, dtype=np.complex128)
    moments[:3] = theory.shift_moments(CHAIN)
    return [Observable(cat(), "three modes of a chain", moments)]


def _indicator(setup: Setup) -> list[Observable]:
    """``m_n = sin(n)/(pi n)``: of the chain observable whose symbol is 1 on (-1, 1) and 0 elsewhere."""
    return [Observable(cat(), "an indicator", np.sinc(np.arange(1100) / np.pi) / np.pi + 0j)]


def _triangle(setup: Setup) -> list[Observable]:
    """The density ``(pi - |theta|)/pi^2``: ``m_n = 2 (1 - (-1)^n)/(pi n)^2``."""
    n = np.arange(1, 40 * 2**7)
    moments = np.concatenate(([1.0], 2 * (1 - (-1.0) ** n) / (np.pi * n) ** 2))
    return [Observable(cat(), "a triangle", moments + 0j)]


def _mixed(setup: Setup) -> list[Observable]:
    """An eigenfunction of mass .3 and a Lebesgue component of mass .7, with moments down to ``e^{-40}``."""
    moments = 0.3 * np.exp(2j * np.pi * GOLDEN * np.arange(40 * 2**7))
    moments[0] += 0.7
    return [Observable(skew(), "√.3 exp(2πix) + √.7 exp(2πiy)", moments)]


def _atomic(setup: Setup) -> list[Observable]:
    (observable,) = _trigonometric(setup)
    moments = observable.moments + 0.2 * np.exp(1j * np.arange(400))
    return [Observable(observable.system, "with an atom", moments)]


def _lebesgue(setup: Setup) -> list[Observable]:
    return [Observable(cat(), "one mode", np.eye(1, 400)[0] + 0j)]


def _both(setup: Setup) -> list[Observable]:
    return [*_poisson(setup), *_trigonometric(setup)]


def _doubling(setup: Setup) -> list[Observable]:
    return [Observable(doubling(), "three modes of a chain", theory.shift_moments(CHAIN))]


def _plain(*values: int) -> Callable[[Setup], list[Any]]:
    return lambda setup: list(values)


MIRRORED = Saboteur("m_n taken for its conjugate: angles mirrored", {"conjugate": True})

EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.unit_eigenvalues,
        "Gaussian matrices",
        _plain(5, 40),
        _unit,
        (Saboteur("EDMD", {"method": "edmd"}),),
        BOTH,
    ),
    Experiment(
        theory.krylov_moments,
        "chains of the cat map",
        _both,
        partial(_moments, sizes=(5, 40, 120)),
        (Saboteur("EDMD's eigenvalues moved to the circle", {"method": "edmd"}), MIRRORED),
        SIMS,
    ),
    Experiment(
        theory.favard_bound,
        "chains of the cat map",
        _both,
        partial(_favard, sizes=(1, 2, 5, 10, 20, 40, 80, 160)),
        (
            Saboteur("EDMD's eigenvalues moved to the circle", {"method": "edmd"}),
            Saboteur("a third of the delays", {"fewer": 3}),
            MIRRORED,
        ),
        SIMS,
    ),
    Experiment(
        theory.favard_constant,
        "three modes of a chain of the cat map",
        _trigonometric,
        partial(_constant, sizes=(10, 24, 57, 135, 320)),
        (
            Saboteur("a line in place of the circle", {"cut": True}),
            Saboteur("an eigenfunction beside: an atom", problems=_atomic),
        ),
        SIMS,
    ),
    Experiment(
        theory.rational_residues,
        "orders 1 to 6",
        _plain(1, 2, 3, 4, 5, 6),
        _residues,
        (Saboteur("poles raised by 1e-6", {"shift": 1e-6}),),
        SIMS,
    ),
    *(
        Experiment(
            theory.rational_order,
            f"cat map, order {order}",
            _trigonometric,
            partial(_order, order=order),
            (
                MIRRORED,
                Saboteur("the first moment left out", {"lag": 1}),
                *((Saboteur("a kernel of one order less", {"used": order - 1}),) if order > 1 else ()),
            ),
            SIMS,
        )
        for order in range(1, 7)
    ),
    *(
        Experiment(
            theory.rational_kink,
            f"a triangle on a chain of the cat map, order {order}",
            _triangle,
            partial(_kink, order=order),
            (Saboteur("first order", {"order": 1}), Saboteur("beside the kink", {"theta": 1.0})),
            SIMS,
        )
        for order in (3, 6)
    ),
    Experiment(
        theory.rational_atom,
        "skew product",
        _mixed,
        partial(_atom, mass=0.3),
        (MIRRORED, Saboteur("second order", {"order": 2})),
        SIMS,
    ),
    Experiment(
        theory.isometry_density,
        "doubling map, 65 Fourier functions",
        _doubling,
        _isometry,
        (
            Saboteur("the polar factor of the compression", {"polar": True}),
            Saboteur("angles mirrored", {"conjugate": True}),
        ),
        SIMS,
    ),
    *(
        Experiment(
            theory.filter_order,
            f"an indicator on a chain of the cat map, {name}, p = {order}",
            _indicator,
            partial(_filter, order=order, name=name),
            (Saboteur(f"the {other} filter", {"name": other}), Saboteur("the first moment left out", {"shift": 1})),
            SIMS,
        )
        for name, order, other in (("fejer", 1, "cosine"), ("cosine", 2, "fejer"), ("vandeven", 4, "cosine"))
    ),
    Experiment(
        theory.bump_filter,
        "an indicator on a chain of the cat map",
        _indicator,
        _bump,
        (
            Saboteur("Vandeven's filter", {"name": "vandeven"}),
            Saboteur("the first moment left out", {"shift": 1}),
            # seen with 2 before the sum, and not with 4 pi
            Saboteur("a fifth of the moments left out", {"kept": 0.8}),
        ),
        SIMS,
    ),
    Experiment(
        theory.wave_packet_density,
        "three modes of a chain of the cat map, order 6",
        _trigonometric,
        partial(_packet, size=60),
        (Saboteur("order 5", {"used": 5}), Saboteur("theta off by 0.01", {"turn": 0.01})),
        SIMS,
    ),
    Experiment(
        theory.wave_packet_residual,
        "one mode of the cat map",
        _lebesgue,
        partial(_packet_residual, size=200),
        (
            Saboteur("second order", {"order": 2}),
            Saboteur("theta off by 0.01", {"turn": 0.01}),
            Saboteur("three modes of the chain", problems=_trigonometric),
        ),
        SIMS,
    ),
)
