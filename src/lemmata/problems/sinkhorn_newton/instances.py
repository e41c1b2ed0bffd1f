"""Random, structured and hard transport problems."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.sinkhorn_newton.transport import TransportProblem, check_masses, check_positive, real_array

__all__ = [
    "DIGITS",
    "densities",
    "digit_image",
    "digits",
    "gaussians",
    "one_level",
    "point_clouds",
    "quantile_cost",
    "random_assignment",
    "random_transport",
    "two_by_two",
]

#: Two 8 x 8 images of each digit, a row after the other, an entry 0..16 written as a base-17 figure. From
#: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
#: (https://doi.org/10.24432/C50P49), CC BY 4.0.
DIGITS = (
    ("005d910000dfaf5003f20b8004c008800580098004b01c7002e5ac00006da000",
     "0019fb0000bg8e6002ga099001g4088004g4088001g51b3000ccaa00001ad300"),
    ("000cd500000bg900003fg60007fgg200001gg300001gg600001gg600000bga00",
     "0000ed100005gg20000egc0001aggc0003ceg9000005gf000004ge000001dg10"),
    ("0004fc00003gfe00008d8g000016fb00018df10009gg500003dggb500003bg90",
     "005c100000fe700000d1c00002a0e0000020g1000006f000009gf982003b8dc4"),
    ("007fd10008d6f400021dd000002fb1000001cc1000001a8000845e90007dd900",
     "029fe93004d89g800006ef30000be2000002fb0000002f400156dg6002ccdb00"),
    ("0001b00000078000001d6220007f098005ga0g6004fgdg100003fa000002g400",
     "0008f100001ed11000af3fb007g71g8009gdeg5001afge000001ga00000af400"),
    ("00ca000000egge0000dgfa1000bgg70000047g7000004g900054cg40009gga00",
     "05cdgg200bgf840008eb100008gge0000166g0000005g300015fd00004fg2000"),
    ("000cd000005g800000dg300000ed000000fc720000dgdg30007gbf800019fb30",
     "0008f100000ce000003g7000006g2000007ggd5000fg99e0003e92g20007fgb0"),
    ("0078dgf100774bc000008d100488ff6002bff400000g5000009f100000d50000",
     "0018fa0003dfee0005a0ac000035fa2000ggggc0018ce830000ad000000b9000"),
    ("009e810000ceec00009a0f40003gce20004gg20003g8ad2001f13g8000bgfb10",
     "00a7d900009acf20004bab00001ga10000cd400000c1c00001a2e00000be5000"),
    ("00bc000002gggd0003gcae0001g1cf0000dg9f20000309b000009f40009cd300",
     "006e400000bga000008eg200001ccb0000000b30000005b0001447g2007ggdb1"),
)  # fmt: skip


def random_assignment(
    n: int = 500, *, eta: float = 1200.0, law: Literal["uniform", "exponential"] = "uniform", seed: int
) -> TransportProblem:
    """Random assignment: independent costs, uniform on [0, 1] or exponential of mean 1, and equal masses 1/n.

    Parameters
    ----------
    n : int
    eta : float
        Inverse temperature; ``eps = 1/eta``.
    law : {"uniform", "exponential"}
    seed : int
    """
    rng = np.random.default_rng(seed)
    if law not in ("uniform", "exponential"):
        raise DomainError(f"law must be 'uniform' or 'exponential', got {law!r}")
    C = rng.random((n, n)) if law == "uniform" else rng.exponential(size=(n, n))
    mass = np.full(n, 1 / n)
    eps = 1 / check_positive("eta", eta)
    return TransportProblem(C, mass, mass, eps, "random assignment", {"n": n, "seed": seed})


def random_transport(
    n: int, m: int, *, eps: float, law: Literal["uniform", "normal"] = "uniform", seed: int
) -> TransportProblem:
    """Independent costs, uniform on [0, 1] or standard normal, and masses from flat Dirichlet laws."""
    rng = np.random.default_rng(seed)
    if law not in ("uniform", "normal"):
        raise DomainError(f"law must be 'uniform' or 'normal', got {law!r}")
    C = rng.random((n, m)) if law == "uniform" else rng.standard_normal((n, m))
    r, c = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    return TransportProblem(C, r, c, eps, "random transport", {"n": n, "m": m, "eps": eps, "seed": seed})


def point_clouds(n: int, m: int | None = None, *, dim: int = 2, relative_eps: float, seed: int) -> TransportProblem:
    """Two uniform clouds in the unit cube, squared Euclidean cost, equal masses, eps relative to the median cost."""
    rng = np.random.default_rng(seed)
    m = n if m is None else m
    X, Y = rng.random((n, dim)), rng.random((m, dim))
    C = ((X[:, None] - Y) ** 2).sum(axis=2)
    eps = check_positive("relative_eps", relative_eps) * float(np.median(C))
    at = {"n": n, "relative_eps": relative_eps, "seed": seed}
    return TransportProblem(C, np.full(n, 1 / n), np.full(m, 1 / m), eps, "point clouds", at)


def digit_image(digit: int, which: int = 0, *, size: int = 28) -> np.ndarray:
    """One of the images of `DIGITS`, interpolated linearly to float64[size, size], values in [0, 1]."""
    if not (0 <= digit <= 9 and which in (0, 1)):
        raise DomainError(f"there are digits 0..9 with images 0 and 1, got digit {digit}, image {which}")
    small = np.array([int(figure, 17) for figure in DIGITS[digit][which]]).reshape(8, 8) / 16
    grid = np.linspace(0, 7, size)
    wide = np.array([np.interp(grid, np.arange(8), row) for row in small])
    return np.array([np.interp(grid, np.arange(8), column) for column in wide.T]).T


def digits(
    first: int = 0,
    second: int = 1,
    *,
    size: int = 28,
    cost: Literal["sqeuclidean", "l1"] = "sqeuclidean",
    eta: float = 1200.0,
    background: float = 0.01,
) -> TransportProblem:
    """Transport between images of two digits, on a pixel grid; cost between pixels with largest value 1.

    These images are 8 x 8 and interpolated: they stand for MNIST without being it. The background keeps every
    mass positive.

    Parameters
    ----------
    first, second : int
        Digits 0..9; the second image of a digit is used where both are equal.
    size : int
        Pixels a side; n = m = size**2.
    cost : {"sqeuclidean", "l1"}
    eta : float
        Inverse temperature; ``eps = 1/eta``.
    background : float
        Added to every pixel, relative to full ink.
    """
    if cost not in ("sqeuclidean", "l1"):
        raise DomainError(f"cost must be 'sqeuclidean' or 'l1', got {cost!r}")
    images = [digit_image(first, size=size), digit_image(second, int(first == second), size=size)]
    r, c = ((image + check_positive("background", background)).ravel() for image in images)
    i, j = np.divmod(np.arange(size**2), size)
    di, dj = np.abs(i[:, None] - i), np.abs(j[:, None] - j)
    C = (di**2 + dj**2 if cost == "sqeuclidean" else di + dj).astype(np.float64)
    at = {"digits": f"{first}-{second}", "cost": cost, "size": size}
    return TransportProblem(C / C.max(), r / r.sum(), c / c.sum(), 1 / check_positive("eta", eta), "digits", at)


def quantile_cost(x: Any, y: Any, r: Any, c: Any, p: float) -> float:
    """Exact ``min <|x - y|^p, P>`` on the line for p >= 1, by matching quantiles.

    Parameters
    ----------
    x, y : float[n], float[m]
        Increasing.
    r, c : float[n], float[m]
        Masses of equal total.
    p : float

    Raises
    ------
    TypeError, ShapeError, NonFiniteError
        Arrays that are no finite vectors of real numbers, or do not fit.
    DomainError
        Points out of order, masses negative or of unequal total, p < 1.
    """
    x, y, r, c = (real_array(name, value, 1) for name, value in (("x", x), ("y", y), ("r", r), ("c", c)))
    for name, points, mass in (("x", x, r), ("y", y, c)):
        if points.shape != mass.shape:
            raise ShapeError(f"{name} has {points.size} points and {mass.size} masses")
        if (falls := np.flatnonzero(np.diff(points) < 0)).size:
            raise DomainError(
                f"{name} must increase, but falls at index {falls[0] + 1}: sort it, and the masses with it"
            )
    check_masses(r, c)
    if not 1 <= p < math.inf:
        raise DomainError(f"p must be >= 1 and finite, got {p!r}: quantiles are optimal for convex costs alone")
    levels = np.sort(np.concatenate([np.cumsum(r), np.cumsum(c)]))
    weights = np.diff(levels, prepend=0.0)
    middle = levels - weights / 2
    i = np.minimum(np.searchsorted(np.cumsum(r), middle), len(r) - 1)
    j = np.minimum(np.searchsorted(np.cumsum(c), middle), len(c) - 1)
    return float(weights @ np.abs(x[i] - y[j]) ** p)


def densities(n: int = 500, *, p: Literal[1, 2] = 2, eta: float = 1200.0) -> TransportProblem:
    """A mixture of two Gaussians against a Beta(2, 5) density on n nodes of [0, 1], cost |x - y|^p.

    `optimum` is the exact W_p^p of the discretised densities.
    """
    if p not in (1, 2):
        raise DomainError(f"p must be 1 or 2, got {p!r}")
    x = (np.arange(n) + 0.5) / n
    r = 0.5 * np.exp(-(((x - 0.25) / 0.06) ** 2) / 2) + 0.5 * np.exp(-(((x - 0.7) / 0.1) ** 2) / 2) + 1e-3
    c = x * (1 - x) ** 4 + 1e-4
    r, c = r / r.sum(), c / c.sum()
    C = np.abs(x[:, None] - x) ** p
    at = {"n": n, "p": p}
    return TransportProblem(C, r, c, 1 / check_positive("eta", eta), "densities", at, quantile_cost(x, x, r, c, p))


def gaussians(
    nodes: int = 601, *, means: tuple[float, float], deviations: tuple[float, float], eps: float, reach: float = 12.0
) -> TransportProblem:
    """Two normal densities on equally spaced nodes of [-reach, reach], squared cost."""
    x = np.linspace(-reach, reach, nodes)
    r, c = (np.exp(-(((x - mean) / s) ** 2) / 2) for mean, s in zip(means, deviations, strict=True))
    C = (x[:, None] - x) ** 2
    at = {
        "eps": eps,
        "mean_1": means[0],
        "mean_2": means[1],
        "deviation_1": deviations[0],
        "deviation_2": deviations[1],
    }
    # far tails fall below what a double can carry through a product: they are cut, not rounded
    r, c = (np.where(mass > 1e-30, mass, 0.0) for mass in (r, c))
    return TransportProblem(C, r / r.sum(), c / c.sum(), eps, "Gaussians", at)


def two_by_two(gap: float, *, eps: float) -> TransportProblem:
    """Cost ``[[0, gap], [gap, 0]]`` with masses 1/2.

    Everything is known: ``P = [[p, q], [q, p]] / 2`` with ``q = 1/(1 + exp(gap/eps))``, the Hilbert contraction
    factor is met, and the distance to the optimal permutation is ``2q``.
    """
    C = np.array([[0.0, gap], [gap, 0.0]])
    half = np.full(2, 0.5)
    return TransportProblem(C, half, half, eps, "two by two", {"gap": gap, "eps": eps}, optimum=0.0)


def one_level(n: int, *, stretch: float) -> TransportProblem:
    """Cost 0 on the diagonal and 1 elsewhere, equal masses, ``eps = stretch / log n``.

    For stretch > 1 the plan leaves the diagonal as n grows, and its cost comes near ``eps log n``, the most that
    entropy can add.

    Raises
    ------
    DomainError
        Unless n >= 2 and stretch > 0.
    """
    if n < 2:
        raise DomainError(f"n must be at least 2, got {n!r}: a single point has no cost beside its diagonal")
    mass = np.full(n, 1 / n)
    eps = check_positive("stretch", stretch) / math.log(n)
    return TransportProblem(1 - np.eye(n), mass, mass, eps, "one level", {"n": n, "stretch": stretch}, optimum=0.0)
