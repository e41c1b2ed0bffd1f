"""Finite sections, residuals, pseudospectra: exact systems, properties, and what is refused."""

import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems import koopman as problems
from lemmata.sims import koopman as sims

GOLDEN = problems.GOLDEN
pytestmark = pytest.mark.filterwarnings("ignore::lemmata.problems.koopman.ResidualVacuousWarning")


def of(system, psi, rule):
    return sims.section(psi(rule.x), psi(sims.images(system, rule.x)), rule.w)


def rotation(degree=10, size=200):
    return of(problems.rotation(), problems.Fourier(degree), problems.rule("periodic", size, 0, 1))


def doubling(degree, size=None):
    return of(problems.doubling(), problems.Fourier(degree), problems.rule("periodic", size or 4 * degree + 2, 0, 1))


def svd(section, z):
    """tau(z) by the definition."""
    z = np.ravel(z)
    stacks = (np.concatenate([section.A - w * np.eye(section.rank), section.S]) for w in z)
    return np.array([np.linalg.svd(m, compute_uv=False)[-1] for m in stacks])


def matched(a, b):
    """Largest distance between two lists of eigenvalues, matched."""
    cost = np.abs(a[:, None] - b)
    return cost[linear_sum_assignment(cost)].max()


def random(seed, size=40, functions=6, imaginary=1.0):
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal((size, functions)) + 1j * imaginary * rng.standard_normal((size, functions)) for _ in "xy"
    ]


# ----------------------------------------------------------------------------------- exact systems


def test_the_rotation_is_learned_to_rounding():
    section = rotation()
    found = sims.edmd(section)
    exact = np.exp(2j * np.pi * GOLDEN * np.arange(-10, 11))
    assert matched(found.values, exact) < 1e-12
    assert found.residuals.max() < 1e-12
    assert section.condition == pytest.approx(1)
    assert section.rank == 21
    z = np.array([0.3 + 0.2j, 1.2j, np.exp(1j), 0, exact[3], exact[3] * (1 + 1e-9)])
    least = np.abs(exact[:, None] - z).min(axis=0)
    for method in ("angles", "general"):
        np.testing.assert_allclose(sims.pseudospectrum(section, z, method=method), least, rtol=1e-6, atol=1e-12)


def test_a_linear_map_has_the_products_of_its_eigenvalues():
    B = np.array([[0.9, 0.2], [0.1, 0.7]])
    factor = problems.Legendre(4)
    rule = problems.tensor_rule(*[problems.rule("legendre", 8, -1, 1)] * 2)

    def psi(x):  # polynomials of total degree <= 3, an invariant space
        i, j = np.indices((4, 4))
        return problems.Product((factor, factor))(x)[:, (i + j <= 3).ravel()]

    found = sims.edmd(of(problems.linear(B), psi, rule))
    a, b = np.linalg.eigvals(B)
    exact = np.array([a**i * b**j for i in range(4) for j in range(4 - i)])
    assert matched(found.values, exact) < 1e-12
    assert found.residuals.max() < 1e-12


def test_the_contraction_has_powers_and_residual_zero():
    found = sims.edmd(of(problems.contraction(0.5), problems.Legendre(8, 0, 1), problems.rule("legendre", 20, 0, 1)))
    assert matched(found.values, 0.5 ** np.arange(8.0)) < 1e-9  # the section is ill-conditioned: triangular, 1 to 2^-7
    assert found.residuals.max() < 1e-12


@pytest.mark.parametrize("degree", [8, 64])
def test_pollution_of_the_doubling_map_has_residual_one(degree):
    found = sims.edmd(doubling(degree))
    # nilpotent: the eigenvalues are 0 to (rounding)^(1/chain)
    spurious = np.abs(found.values - 1) > 0.3
    assert spurious.sum() == 2 * degree
    assert found.residuals[~spurious] == pytest.approx(0, abs=1e-12)
    assert np.abs(found.residuals[spurious] ** 2 - 1 + np.abs(found.values[spurious]) ** 2).max() < 1e-10


@pytest.mark.parametrize(
    ("system", "psi", "rule"),
    [
        (problems.tent(), problems.Cosine(9), problems.rule("legendre", 80, 0, 1)),
        (problems.logistic(), problems.Chebyshev(9, 0, 1), problems.rule("arcsine", 60, 0, 1)),
    ],
    ids=["tent", "logistic"],
)
def test_tent_and_logistic_are_the_same_shift(system, psi, rule):
    if system.name == "tent map":  # the rule on both halves: the images have a corner
        half = problems.rule("legendre", 40, 0, 0.5)
        rule = problems.Rule(np.concatenate([half.x, half.x + 0.5]), np.concatenate([half.w, half.w]) / 2)
    section = of(system, psi, rule)
    shift = np.zeros((9, 9))
    shift[[0, 2, 4, 6, 8], [0, 1, 2, 3, 4]] = 1
    # T_k(2x - 1) = (-1)^k T_k(1 - 2x)
    sign = 1.0 if system.name == "tent map" else (-1.0) ** np.arange(9)
    np.testing.assert_allclose(section.basis @ section.A @ section.basis.conj().T, shift * sign, atol=1e-12, rtol=0)
    np.testing.assert_allclose(section.growth, np.eye(9), atol=1e-12, rtol=0)


def test_orthonormal_dictionaries():
    for psi, rule in (
        (problems.Legendre(9, -1, 2), problems.rule("legendre", 10, -1, 2)),
        (problems.Chebyshev(9, -1, 2), problems.rule("arcsine", 10, -1, 2)),
        (problems.Hermite(9), problems.rule("normal", 10)),
        (problems.Fourier(4), problems.rule("periodic", 10, 0, 1)),
        (problems.Cosine(9), problems.rule("legendre", 40, 0, 1)),
    ):
        values = psi(rule.x)
        np.testing.assert_allclose((values.conj().T * rule.w) @ values, np.eye(9), atol=1e-12, rtol=0)


def test_a_hyperbolic_cross_and_products():
    psi = problems.Fourier(3, dim=2, cross=3)
    assert psi.size == np.sum(np.maximum(1, np.abs(psi.frequencies)).prod(axis=1) <= 3) < 49
    x = np.random.default_rng(0).random((5, 2))
    k = problems.Fourier(2, dim=2).frequencies
    np.testing.assert_allclose(problems.Fourier(2, dim=2)(x), np.exp(2j * np.pi * x @ k.T), atol=1e-13, rtol=0)
    both = problems.Product((problems.Fourier(2), problems.Fourier(2)))(x)
    np.testing.assert_allclose(both, problems.Fourier(2, dim=2)(x), atol=1e-13, rtol=0)


@pytest.mark.parametrize("shape", ["exponential", "gaussian", "inverse", "thin-plate"])
def test_radial_functions(shape):
    rng = np.random.default_rng(0)
    x, centres = rng.standard_normal((7, 3)) + 5, rng.standard_normal((4, 3)) + 5
    r = np.linalg.norm(x[:, None] - centres, axis=2) / 0.7
    want = {"exponential": np.exp(-r), "gaussian": np.exp(-(r**2)), "inverse": 1 / (1 + r**2)}
    want["thin-plate"] = r**2 * np.log(r)
    np.testing.assert_allclose(problems.Radial(centres, shape, 0.7)(x), want[shape], rtol=1e-12)


def test_a_point_far_off_costs_no_memory():
    """All other pairs are close beside it, and their differences were made at once."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2000, 20)), rng.standard_normal((500, 20))
    a[0] *= 1e5
    tracemalloc.start()
    found = problems.Kernel("exponential")(a, b)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 8 * found.nbytes
    np.testing.assert_allclose(found, np.exp(-cdist(a, b)), rtol=1e-12)


def test_radial_functions_at_their_centres_keep_their_digits():
    centres = np.random.default_rng(0).standard_normal((40, 3)) + 5
    for r in (0.0, 1e-9, 1e-4):
        values = problems.Radial(centres)(centres + np.array([r, 0, 0])).diagonal()
        np.testing.assert_allclose(values, np.exp(-r), atol=1e-15 * max(1, 5e3 * r / 1e-4), rtol=0)


# -------------------------------------------------------------------------------------- properties


@given(st.integers(0, 10**6))
def test_constants_are_eigenfunctions_whatever_the_data(seed):
    psi_x, psi_y = random(seed)
    psi_x[:, 0] = psi_y[:, 0] = 1
    found = sims.edmd(sims.section(psi_x, psi_y))
    best = np.abs(found.values - 1).argmin()
    assert abs(found.values[best] - 1) < 1e-12
    assert found.residuals[best] < 1e-12


@pytest.mark.parametrize("points", [60, 64, 80])
def test_constants_are_eigenfunctions_where_the_rest_is_nilpotent(points):
    """Balancing scales its rounding errors by 3e7 at 64 points: the constant then came with a residual of 8.5e-10."""
    found = sims.edmd(doubling(10, points))
    best = np.abs(found.values - 1).argmin()
    assert found.residuals[best] < 1e-13


@pytest.mark.parametrize("z", [1.5, 1.5j, -0.7, 0.7 + 0.7j])
def test_pseudospectrum_where_singular_values_cluster(z):
    """The pendulum's least singular values lie together; 1e-5 of a square used to be lost."""
    psi = problems.Product((problems.Fourier(3, period=2 * np.pi), problems.Hermite(8, weighted=True)))
    nodes = problems.tensor_rule(problems.rule("periodic", 60, -np.pi, np.pi), problems.rule("trapezium", 121, -14, 14))
    section = of(problems.pendulum(dt=0.5), psi, nodes)
    found = sims.pseudospectrum(section, np.array([z]), method="general")[0]
    direct = np.linalg.svd(np.vstack([section.A - z * np.eye(section.rank), section.S]), compute_uv=False)[-1]
    assert found == pytest.approx(direct, rel=1e-7)


@given(st.integers(0, 10**6))
def test_nothing_depends_on_the_basis(seed):
    psi_x, psi_y = random(seed)
    rng = np.random.default_rng(seed + 1)
    U, V = (np.linalg.qr(rng.standard_normal((6, 6)))[0] for _ in "UV")
    change = U * np.geomspace(1, 1e3, 6) @ V
    one, other = sims.section(psi_x, psi_y), sims.section(psi_x @ change, psi_y @ change)
    z = np.array([0.5, 1j, -2 + 1j])
    for learn in (sims.edmd, sims.mpedmd):
        assert matched(learn(one).values, learn(other).values) < 1e-8
    np.testing.assert_allclose(sims.pseudospectrum(one, z), sims.pseudospectrum(other, z), rtol=1e-8)
    np.testing.assert_allclose(np.sort(sims.edmd(one).residuals), np.sort(sims.edmd(other).residuals), rtol=1e-7)


@given(st.integers(0, 10**6))
def test_mpedmd_is_unitary_even_for_garbage(seed):
    psi_x, psi_y = random(seed)
    section = sims.section(psi_x, psi_y)
    found = sims.mpedmd(section)
    np.testing.assert_allclose(np.abs(found.values), 1, atol=1e-13, rtol=0)
    np.testing.assert_allclose(found.vectors.conj().T @ found.vectors, np.eye(6), atol=1e-12, rtol=0)
    # the matrix on the dictionary keeps its Gram matrix
    V, G = section.basis @ found.vectors, psi_x.conj().T @ psi_x / len(psi_x)
    K = V * found.values @ np.linalg.inv(V)
    np.testing.assert_allclose(K.conj().T @ G @ K, G, atol=1e-11 * np.linalg.norm(G, 2), rtol=0)


@given(st.integers(0, 10**6))
def test_conjugate_data_conjugate_everything(seed):
    psi_x, psi_y = random(seed)
    one, other = sims.section(psi_x, psi_y), sims.section(psi_x.conj(), psi_y.conj())
    z = np.array([0.5 + 0.1j, 1j])
    assert matched(sims.edmd(one).values.conj(), sims.edmd(other).values) < 1e-10
    np.testing.assert_allclose(sims.pseudospectrum(one, z), sims.pseudospectrum(other, z.conj()), rtol=1e-9)
    real = sims.section(psi_x.real, psi_y.real)
    np.testing.assert_allclose(sims.pseudospectrum(real, z), sims.pseudospectrum(real, z.conj()), rtol=1e-9)


@given(st.integers(0, 10**6))
def test_the_pseudospectrum_is_the_least_singular_value_and_1_lipschitz(seed):
    section = sims.section(*random(seed))
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(8) + 1j * rng.standard_normal(8)
    tau = sims.pseudospectrum(section, z)
    np.testing.assert_allclose(tau, svd(section, z), rtol=1e-9)
    assert (np.abs(tau[:, None] - tau) <= np.abs(z[:, None] - z) + 1e-12).all()
    assert (
        tau <= np.abs(z[:, None] - sims.edmd(section).values).min(axis=1) + sims.edmd(section).residuals.max()
    ).all()


@given(st.integers(0, 10**6))
def test_a_larger_dictionary_lowers_the_pseudospectrum(seed):
    psi_x, psi_y = random(seed)
    z = np.array([0.5, 1j, -2 + 1j])
    few, more = sims.section(psi_x[:, :4], psi_y[:, :4]), sims.section(psi_x, psi_y)
    assert (sims.pseudospectrum(more, z) <= sims.pseudospectrum(few, z) + 1e-12).all()


@given(st.integers(0, 10**6))
def test_weights_count_snapshots(seed):
    psi_x, psi_y = random(seed)
    twice = np.repeat(np.arange(40), 1 + (np.arange(40) < 10))
    w = np.where(np.arange(40) < 10, 2, 1) / 50
    one, other = sims.section(psi_x, psi_y, w), sims.section(psi_x[twice], psi_y[twice])
    z = np.array([0.5, 1j])
    np.testing.assert_allclose(sims.pseudospectrum(one, z), sims.pseudospectrum(other, z), rtol=1e-10)
    order = np.random.default_rng(seed).permutation(40)
    shuffled = sims.section(psi_x[order], psi_y[order], w[order])
    np.testing.assert_allclose(sims.pseudospectrum(one, z), sims.pseudospectrum(shuffled, z), rtol=1e-10)


def test_gram_and_triangle_agree_where_the_gram_form_can_see():
    psi_x, psi_y = random(3)
    G, A, L = psi_x.conj().T @ psi_x, psi_x.conj().T @ psi_y, psi_y.conj().T @ psi_y
    z = np.array([0.5, 1j, -2 + 1j])
    gram = sims.section_from_gram(G, A, L)
    np.testing.assert_allclose(sims.pseudospectrum(gram, z), svd(sims.section(psi_x, psi_y), z), rtol=1e-9)
    assert matched(sims.edmd(gram).values, sims.edmd(sims.section(psi_x, psi_y)).values) < 1e-10


def test_truncation_reports_rank_condition_and_what_was_cut_off():
    rng = np.random.default_rng(0)
    U, V = np.linalg.qr(rng.standard_normal((40, 6)))[0], np.linalg.qr(rng.standard_normal((6, 6)))[0]
    s = 10.0 ** -np.arange(6.0)
    psi_x, psi_y = np.sqrt(40) * U * s @ V.T, rng.standard_normal((40, 6))
    grams = (psi_x.T @ psi_x / 40, psi_x.T @ psi_y / 40, psi_y.T @ psi_y / 40)
    with pytest.warns(problems.RankDeficientWarning, match="rank 3 of 6"):
        made = sims.section(psi_x, psi_y, rtol=3e-3), sims.section_from_gram(*grams, rtol=3e-3)
    for section in made:
        assert section.rank == 3
        assert section.condition == pytest.approx(1e5, rel=1e-3)  # the Gram matrix knows 1e-10 to 1e-16
        assert section.discarded == pytest.approx((s[3:] ** 2).sum() / (s**2).sum(), rel=1e-3)
        # orthonormal functions of the span of the three that are left
        b = psi_x @ section.basis / np.sqrt(40)
        np.testing.assert_allclose(b @ b.T, U[:, :3] @ U[:, :3].T, atol=1e-9, rtol=0)
        np.testing.assert_allclose(section.A, b.T @ psi_y @ section.basis / np.sqrt(40), atol=1e-9 * 100, rtol=0)


def test_the_gram_form_loses_small_residuals_and_says_so():
    """The Gaussian iterated map at M = 100: residuals far below 1e-8 exist, and L - zA* - ... cannot show them."""
    psi, rule = problems.Legendre(40, -1, 0), problems.rule("legendre", 100, -1, 0)
    system = problems.gauss_iterated()
    exact = of(system, psi, rule)
    found = sims.edmd(exact)
    X, Y = (np.sqrt(rule.w)[:, None] * psi(x) for x in (rule.x, sims.images(system, rule.x)))
    gram = sims.section_from_gram(X.T @ X, X.T @ Y, Y.T @ Y)
    small = (found.residuals < 1e-9) & (found.residuals > exact.floor)
    assert small.any()
    rough = sims.residuals(gram, found.values, np.linalg.solve(gram.basis, exact.basis @ found.vectors))
    assert (np.abs(rough[small] / found.residuals[small] - 1) > 0.5).any()
    assert rough[small].max() < gram.floor
    # the definition agrees with the triangle
    v = exact.basis @ found.vectors[:, small]
    plain = np.linalg.norm(Y @ v - found.values[small] * (X @ v), axis=0)
    np.testing.assert_allclose(found.residuals[small], plain, atol=exact.floor, rtol=0)


def test_the_inverse_of_a_unitary():
    """tau_{-1}(1/z) = tau(z)/|z|: exchange x and y."""
    rule = problems.tensor_rule(*[problems.rule("periodic", 30, 0, 1)] * 2)
    psi = problems.Fourier(3, dim=2)
    y = sims.images(problems.cat(), rule.x)
    forth, back = sims.section(psi(rule.x), psi(y)), sims.section(psi(y), psi(rule.x))
    z = np.array([0.5 + 0.1j, 1.1j, -0.7])
    np.testing.assert_allclose(sims.pseudospectrum(back, 1 / z), sims.pseudospectrum(forth, z) / np.abs(z), rtol=1e-9)
    K, inverse = (s.basis @ s.A @ s.basis.conj().T for s in (forth, back))  # the dictionary is orthonormal
    np.testing.assert_allclose(inverse, K.conj().T, atol=1e-12, rtol=0)
    turn = problems.rotation(), problems.rotation(-GOLDEN)
    one, other = (sims.mpedmd(of(system, problems.Fourier(3), problems.rule("periodic", 30, 0, 1))) for system in turn)
    assert matched(one.values.conj(), other.values) < 1e-12


def test_a_rule_with_negative_weights_goes_through_the_gram_form():
    """Newton and Cotes with 11 points: five of the weights are negative, and polynomials of degree 11 exact."""
    x = np.linspace(0, 1, 11)[:, None]
    w = np.linalg.solve(np.vander(x[:, 0], increasing=True).T, 1 / np.arange(1.0, 12))
    assert (w < 0).sum() >= 4
    psi = problems.Legendre(6, 0, 1)
    X, Y = psi(x), psi(x / 2)
    with pytest.raises(DomainError, match="section_from_gram"):
        sims.section(X, Y, w)
    found = sims.edmd(sims.section_from_gram(*(a.T @ (w[:, None] * b) for a, b in ((X, X), (X, Y), (Y, Y)))))
    assert matched(found.values, 0.5 ** np.arange(6.0)) < 1e-9
    assert found.residuals.max() < 1e-6  # the Gram form's own floor


def test_the_identity_has_no_residual():
    psi_x, _ = random(0)
    section = sims.section(psi_x, psi_x)
    found = sims.edmd(section)
    np.testing.assert_allclose(found.values, 1, atol=1e-12, rtol=0)
    assert found.residuals.max() < 1e-12


def test_residuals_are_no_distances_where_k_is_not_normal():
    """A nilpotent K of size 20: tau is tiny at z = 1/2, at distance 1/2 of the spectrum."""
    K = np.diag(np.ones(19), 1)
    section = sims.section(np.eye(20), K.T)
    assert sims.pseudospectrum(section, np.array([0.5]))[0] < 1e-5
    found = sims.edmd(section)
    # and for a normal one the distance is the residual
    normal = sims.section(np.eye(20), np.diag(np.exp(1j * np.arange(20))))
    z = np.array([0.5, 1.5j])
    distance = np.abs(np.exp(1j * np.arange(20))[:, None] - z).min(axis=0)
    np.testing.assert_allclose(sims.pseudospectrum(normal, z), distance, rtol=1e-9)
    assert np.abs(found.values).max() < 0.2


def test_the_certified_set_is_as_near_as_it_says():
    grid = np.linspace(-1.2, 1.2, 25)
    z = (grid + 1j * grid[:, None]).ravel()
    exact = np.exp(2j * np.pi * GOLDEN * np.arange(-5, 6))
    points, bound = sims.certified_set(rotation(5), z, operator="unitary")
    assert np.abs(points[:, None] - exact).min(axis=1).max() <= bound < 0.1 / np.sqrt(2)  # half a diagonal of the grid
    bounds = []
    for degree in (2, 8, 32):  # without the constant, tau falls with the logarithm of the degree
        rule, psi = problems.rule("periodic", 4 * degree + 2, 0, 1), problems.Fourier(degree)
        values = [np.delete(psi(x), degree, axis=1) for x in (rule.x, 2 * rule.x)]
        points, bound = sims.certified_set(sims.section(*values), z, operator="isometry")
        assert np.abs(1 - np.abs(points)).max() <= bound
        bounds.append(bound)
    assert bounds[0] > bounds[1] > bounds[2]


def test_kernel_edmd_is_edmd_with_the_kernels_own_functions():
    rng = np.random.default_rng(0)
    x = rng.random((60, 1))
    y = sims.images(problems.rotation(), x)

    def kernel(a, b):  # of rank 7
        return (problems.Fourier(3)(a) @ problems.Fourier(3)(b).conj().T).real

    psi_x, psi_y = sims.kernel_features(x, y, kernel, 7)
    found = sims.edmd(sims.section(psi_x, psi_y))
    assert matched(found.values, np.exp(2j * np.pi * GOLDEN * np.arange(-3, 4))) < 1e-9
    with pytest.raises(DomainError, match="rank 7"):
        sims.kernel_features(x, y, kernel, 8)


def test_delays_are_views():
    series = np.cos(0.3 * np.arange(50))
    psi_x, psi_y = problems.delays(series, 2)
    assert np.shares_memory(psi_x, psi_y)
    assert matched(sims.edmd(sims.section(psi_x, psi_y)).values, np.exp([0.3j, -0.3j])) < 1e-12
    with pytest.raises(DomainError):
        problems.delays(series, 50)


def test_dmd_of_a_linear_system():
    rng = np.random.default_rng(0)
    values = np.array([0.9, 0.5 + 0.3j, 0.5 - 0.3j, 0.1])
    V = rng.standard_normal((30, 4))
    K = np.array([[0.9, 0, 0, 0], [0, 0.5, 0.3, 0], [0, -0.3, 0.5, 0], [0, 0, 0, 0.1]])
    c = rng.standard_normal((4, 50))
    found = sims.dmd(V @ c, V @ K @ c, 4)
    assert matched(found.values, values) < 1e-12
    assert found.residuals.max() < 1e-12
    big = V @ K @ np.linalg.pinv(V)
    np.testing.assert_allclose(big @ found.modes, found.values * found.modes, atol=1e-12, rtol=0)
    with pytest.raises(DomainError, match="rank 4"):
        sims.dmd(V @ c, V @ K @ c, 5)


@pytest.mark.parametrize("shape", [(30, 50), (50, 30)])
@pytest.mark.parametrize("least", [1.0, 1e-3, 1e-6, 1e-10])
def test_dmd_is_the_fit_on_the_leading_singular_directions(shape, least):
    """By the decomposition of x itself, for the whole spectrum of it: down to 1e-10 the Gram matrix would not do."""
    rng = np.random.default_rng(1)
    s = np.append(np.geomspace(1, least, 6), np.full(4, least / 100))
    U, V = (np.linalg.qr(rng.standard_normal((n, 10)) + 1j * rng.standard_normal((n, 10)))[0] for n in shape)
    x, y = U * s @ V.conj().T, rng.standard_normal(shape) * least
    found = sims.dmd(x, y, 6)
    U, s, Vh = np.linalg.svd(x)
    A = U[:, :6].conj().T @ y @ Vh[:6].conj().T / s[:6]
    # the least direction is known to 1e-16 over its size, by any algorithm
    assert matched(found.values, np.linalg.eigvals(A)) < max(1e-11, 1e-14 / least) * np.abs(found.values).max()


# ---------------------------------------------------------------------------------- what is refused


def test_bad_input():
    psi_x, psi_y = random(0)
    with pytest.raises(ShapeError, match="psi_x"):
        sims.section(psi_x, psi_y[:-1])
    with pytest.raises(ShapeError):
        sims.section(psi_x[:0], psi_y[:0])
    spoilt = psi_y.copy()
    spoilt[3, 2] = np.nan
    with pytest.raises(NonFiniteError, match="psi_y"):
        sims.section(psi_x, spoilt)
    with pytest.raises(DomainError, match="-1"):
        sims.section(psi_x, psi_y, np.r_[-1.0, np.ones(39)])
    with pytest.raises(DomainError):
        sims.section(psi_x, psi_y, np.zeros(40))
    with pytest.raises(ShapeError):
        sims.section(psi_x, psi_y, np.ones(39))
    with pytest.raises(problems.ResidualVacuousError, match="5 snapshots and 6"):
        sims.section(psi_x[:5], psi_y[:5])
    with pytest.raises(DomainError, match="vanishes"):
        sims.section(0 * psi_x, psi_y)
    with pytest.raises(problems.CertificateError, match="operator"):
        sims.certified_set(sims.section(psi_x, psi_y), np.array([0.5]))
    with pytest.raises(problems.CertificateError, match="isometry"):
        sims.pseudospectrum(sims.section(psi_x, psi_y), np.array([0.5]), method="angles")
    with pytest.raises(NonFiniteError):
        sims.pseudospectrum(sims.section(psi_x, psi_y), np.array([np.nan]))
    with pytest.raises(DomainError, match="section_from_gram"):  # a sparse grid's weights
        sims.section(psi_x, psi_y, np.r_[-0.1, np.ones(39)])
    with pytest.raises(DomainError, match="alias"):
        sims.rates(np.array([1j]), 0.5, band=7.0)
    with pytest.raises(ShapeError):
        sims.section_from_gram(np.eye(3), np.eye(3), np.eye(4))


def test_residuals_that_rounding_made_are_not_judged():
    psi = problems.Legendre(8, 0, 1)
    x = np.random.default_rng(0).random((200, 1))
    values = [psi(v) for v in (x, x / 2)]
    exact, single = sims.section(*values), sims.section(*(v.astype(np.float32) for v in values))
    found = sims.edmd(single)
    # K maps the span into itself: what single precision shows is rounding, and the floor covers it
    assert 1e-8 < found.residuals.max() < single.floor
    with pytest.raises(problems.PrecisionError, match="float64"):
        sims.residuals(single, found.values, found.vectors, tolerance=1e-8)
    found = sims.edmd(exact)
    np.testing.assert_array_equal(sims.residuals(exact, found.values, found.vectors, tolerance=1e-8), found.residuals)


def test_the_rate_of_what_is_gone_at_once():
    (rate,) = sims.rates(np.array([0.0]), 0.5, band=1.0)
    assert (rate.real, rate.imag) == (-np.inf, 0)


def test_rates_of_a_flow():
    """The centre of the double well turns at sqrt 2; linear functions see it in a small neighbourhood."""
    x = np.random.default_rng(0).uniform(-1e-5, 1e-5, (30, 2))
    centre = np.array([1.0, 0.0])
    y = sims.images(problems.duffing(), x + centre) - centre
    rates = sims.rates(sims.edmd(sims.section(x, y)).values, 0.3, band=2.0)
    np.testing.assert_allclose(np.sort_complex(rates), [-1j * np.sqrt(2), 1j * np.sqrt(2)], atol=1e-4, rtol=0)


def test_far_from_the_spectrum():
    section = doubling(4)
    z = 3 * np.exp(1j * np.linspace(0, 6, 20))
    tau = sims.pseudospectrum(section, z)
    assert (tau >= 3 - 1 - 1e-12).all()  # |z| - ||K||
    np.testing.assert_allclose(tau, svd(section, z), rtol=1e-12)


@pytest.mark.parametrize("functions", [30, 60])  # below and above the size at which one decomposition is cheaper
def test_each_route_of_the_pseudospectrum(functions):
    rng = np.random.default_rng(functions)
    psi_x = rng.standard_normal((150, functions))
    section = sims.section(psi_x, psi_x @ rng.standard_normal((functions, functions)) / 9 + rng.random((150, 1)) / 9)
    value, vector = np.linalg.eig(section.A)
    exact = value[0]
    S = section.S - np.outer(section.S @ vector[:, 0], vector[:, 0].conj()) / np.linalg.norm(vector[:, 0]) ** 2
    invariant = sims.Section(section.A + 0j, S + 0j, section.basis, functions, 1.0, 0.0, 1e-14)  # an exact eigenpair
    z = np.concatenate([rng.standard_normal(6) + 1j * rng.standard_normal(6), exact + np.geomspace(1e-3, 1e-10, 8)])
    np.testing.assert_allclose(sims.pseudospectrum(invariant, z), svd(invariant, z), rtol=1e-6, atol=1e-13)
    unitary = np.linalg.qr(psi_x[:functions] + 1j * psi_x[-functions:])[0]
    isometry = sims.Section(unitary, np.zeros((1, functions)), np.eye(functions), functions, 1.0, 0.0, 1e-14)
    near = np.linalg.eigvals(unitary)[0]
    z = np.concatenate([near * np.linspace(0.3, 1.4, 7), near * (1 + np.geomspace(1e-3, 1e-10, 8))])
    distance = np.abs(np.linalg.eigvals(unitary)[:, None] - z).min(axis=0)
    for method in ("angles", "general"):
        np.testing.assert_allclose(
            sims.pseudospectrum(isometry, z, method=method), distance, rtol=1e-6, atol=1e-13, err_msg=method
        )


def test_warnings():
    psi_x, psi_y = random(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(problems.ResidualVacuousWarning):
            sims.section(psi_x[:11], psi_y[:11])
        with pytest.raises(problems.RankDeficientWarning, match="rank 6 of 7"):
            sims.section(psi_x[:, [*range(6), 0]], psi_y[:, [*range(6), 0]])
        with pytest.raises(problems.MeasureMismatchWarning):
            sims.section(psi_x, 9 * psi_y, measure_preserving=True)
        with pytest.raises(problems.PolarNonUniqueWarning):
            sims.mpedmd(doubling(4, 40))
        sims.section(psi_x, psi_x, measure_preserving=True)  # nothing to warn of
