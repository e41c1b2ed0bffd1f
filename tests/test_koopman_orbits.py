"""Maps, flows, exact orbits and Lyapunov spectra of the Koopman family."""

import math

import numpy as np
import pytest
from numba import njit
from scipy.integrate import solve_ivp

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems import koopman as problems
from lemmata.sims import koopman as sims

RNG = np.random.default_rng(5)


def field(system):
    p = system.parameters
    return {
        "pendulum": lambda t, x: [x[1], -math.sin(x[0])],
        "Duffing": lambda t, x: [x[1], x[0] - x[0] ** 3 - p[0] * x[1]],
        "Lorenz": lambda t, x: [p[0] * (x[1] - x[0]), x[0] * (p[1] - x[2]) - x[1], x[0] * x[1] - p[2] * x[2]],
        "Rössler": lambda t, x: [-x[1] - x[2], x[0] + p[0] * x[1], p[1] + x[2] * (x[0] - p[2])],
    }[system.name]


FLOWS = [
    (problems.pendulum(), 1e-5),
    (problems.duffing(), 2e-5),
    (problems.duffing(0.3), 1e-5),
    (problems.lorenz(), 1e-4),
    (problems.rossler(), 1e-6),
]


@pytest.mark.parametrize(("system", "error"), FLOWS, ids=lambda v: v.name if hasattr(v, "name") else None)
def test_a_flow_is_the_solution_of_its_equation_to_fourth_order(system, error):
    x = RNG.uniform(-1, 1, (4, system.dim)) + (np.array([0, 0, 20.0]) if system.name == "Lorenz" else 0)

    def off(substeps):
        changed = type(system)(**{**system.__dict__, "substeps": substeps})
        return np.abs(sims.images(changed, x) - exact).max()

    exact = np.array(
        [solve_ivp(field(system), (0, system.dt), row, method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1] for row in x]
    )
    assert off(system.substeps) < error
    # halving the step divides the error by 16
    assert 3.6 < math.log2(off(system.substeps // 2) / off(system.substeps)) < 4.6


def test_hamiltonian_flows_keep_their_energy_and_run_backwards():
    for system, energy in (
        (problems.pendulum(), lambda x: x[:, 1] ** 2 / 2 - np.cos(x[:, 0])),
        (problems.duffing(), lambda x: x[:, 1] ** 2 / 2 - x[:, 0] ** 2 / 2 + x[:, 0] ** 4 / 4),
    ):
        x = sims.orbit(system, [0.7, 0.9], 20_000)
        drift = np.abs(energy(x) - energy(x[:1]))
        # bounded, not growing
        assert drift[-5000:].max() < 1.5 * drift[:5000].max() < 1e-5
        flipped = sims.images(system, x[1:50] * [1, -1])
        np.testing.assert_allclose(flipped, x[:49] * [1, -1], atol=1e-12, rtol=0)


def test_closed_forms_of_maps():
    x = RNG.random((50, 2))
    np.testing.assert_allclose(sims.images(problems.cat(), x), x @ [[2, 1], [1, 1]] % 1, atol=1e-15, rtol=0)
    np.testing.assert_allclose(
        sims.images(problems.skew(), x),
        np.column_stack([x[:, 0] + problems.GOLDEN, x.sum(axis=1)]) % 1,
        atol=1e-15,
        rtol=0,
    )
    u = x[:, :1]
    np.testing.assert_allclose(sims.images(problems.rotation(0.3), u), (u + 0.3) % 1, atol=1e-15, rtol=0)
    np.testing.assert_allclose(sims.images(problems.tent(), u), np.minimum(2 * u, 2 - 2 * u), atol=1e-15, rtol=0)
    np.testing.assert_allclose(sims.images(problems.contraction(0.5), u), u / 2)
    np.testing.assert_allclose(sims.images(problems.gauss_iterated(), -u), np.exp(-2 * u**2) - 1 - math.exp(-2))
    # cos(k theta) -> cos(2 k theta)
    theta = np.arccos(1 - 2 * u)
    np.testing.assert_allclose(1 - 2 * sims.images(problems.logistic(), u), np.cos(2 * theta), atol=1e-14, rtol=0)
    B = np.array([[0.9, 0.2], [-0.1, 0.7]])
    np.testing.assert_allclose(sims.images(problems.linear(B), x), x @ B.T)


@pytest.mark.parametrize("system", [problems.doubling(), problems.tent(), problems.logistic()], ids=lambda s: s.name)
def test_exact_orbits_follow_the_map_and_its_invariant_law(system):
    x = sims.orbit(system, [0.3], 200_000)
    off = np.abs(sims.images(system, x[:-1]) - x[1:])
    assert np.minimum(off, 1 - off).max() < 1e-9  # the logistic map loses digits at 1
    assert len(np.unique(x)) > 199_000
    law = x if system.measure == "uniform" else np.arcsin(np.sqrt(x)) * 2 / np.pi
    counts, _ = np.histogram(law, bins=20, range=(0, 1))
    assert np.abs(counts / len(x) - 0.05).max() < 0.005


def test_float_exponents_of_the_doubling_map_are_refused():
    with pytest.raises(problems.CollapseError, match="53"):
        sims.exponents(problems.doubling(), [0.3], 100)


@njit
def hat(x, out):
    """The tent map on [-1, 1], of which -1 is a fixed point."""
    out[0] = 1.0 - 2.0 * abs(x[0])


@njit
def twice(x, out):
    out[0] = (2.0 * x[0]) % 1.0


@pytest.mark.parametrize(("step", "where", "since"), [(twice, 0, 54), (hat, -1, 56)])
def test_a_collapse_is_refused_at_whatever_step_and_number(step, where, since):
    assert (sims.orbit(step, [0.3], since - 1) != where).all()
    for steps in (since, since + 1, 2 * since - 2, 400):
        with pytest.raises(problems.CollapseError, match=f"coordinate 0 of the orbit is {where} from step {since} on"):
            sims.orbit(step, [0.3], steps)
    with pytest.raises(problems.CollapseError, match="from step 0 on"):
        sims.orbit(step, [0.3], 4, burn_in=100)
    # a fixed point that one starts from is the orbit's own
    assert (sims.orbit(step, [float(where)], 9) == where).all()


def test_what_stays_with_good_reason_is_no_collapse():
    @njit
    def grid(x, out):
        out[0], out[1] = (2.0 * x[0] + x[1]) % 1.0, (x[0] + x[1]) % 1.0

    @njit
    def countdown(x, out):
        out[0] = x[0] - np.sign(x[0])

    @njit
    def clipped(x, out):
        out[0] = min(1.0, 2.0 * x[0])

    # a coordinate of a moving state may agree with its image: (1/4, 3/4) -> (1/4, 0)
    assert sims.orbit(grid, [0.25, 0.75], 1)[1].tolist() == [0.25, 0.0]
    assert sims.orbit(countdown, [5.0], 20)[-1] == 0
    assert sims.orbit(clipped, [0.3], 20)[-1] == 1


def test_a_step_that_leaves_an_entry_unfilled_is_refused():
    @njit
    def half(x, out):
        out[0] = x[0] / 2

    for call in (
        lambda: sims.orbit(half, [0.3, 0.4], 5),
        lambda: sims.orbit(half, [0.3, 0.4], 5, burn_in=3),
        lambda: sims.images(half, [[0.3, 0.4]]),
    ):
        with pytest.raises(NonFiniteError, match=r"holds nan at \([01], 1\)"):
            call()


def test_a_step_that_works_in_its_argument_does_not_rewrite_the_orbit():
    @njit
    def half(x, out):
        x[0] /= 2
        out[0] = x[0]

    assert sims.orbit(half, [1.0], 3).ravel().tolist() == [1.0, 0.5, 0.25, 0.125]


def test_maps_of_the_circle_return_into_it():
    back = problems.rotation(-0.30000000000000004)  # 0.3 and it add up to -5e-17
    assert sims.images(back, [[0.3]])[0, 0] < 1
    assert sims.images(problems.cat(), [[-1e-17, 0.0]]).max() < 1
    assert sims.images(problems.skew(-1e-17), [[0.0, -1e-17]]).max() < 1


def test_one_coordinate_that_collapsed_is_refused_and_an_attracting_zero_is_not():
    @njit
    def baker(x, out):
        a = x[0]
        out[0] = (2.0 * a) % 1.0
        out[1] = (x[1] + math.floor(2.0 * a)) / 2.0

    @njit
    def halved(x, out):
        out[0], out[1] = 0.5 * x[0], 0.0

    with pytest.raises(problems.CollapseError, match="coordinate 0 of the orbit is 0 from step 5"):
        sims.orbit(baker, [0.3, 0.7], 200)
    assert not sims.orbit(halved, [0.3, 0.7], 3000)[-1].any()
    with pytest.raises(TypeError, match="real numbers"):
        sims.orbit(halved, [0.3j, 0.7], 3)


def test_a_users_map_gives_the_same_numbers():
    @njit
    def cat(x, out):
        a, b = x[0], x[1]
        out[0] = (2.0 * a + b) % 1.0
        out[1] = (a + b) % 1.0

    x = RNG.random((20, 2))
    np.testing.assert_array_equal(sims.images(cat, x), sims.images(problems.cat(), x))
    first = sims.orbit(cat, x[0], 5, burn_in=2)
    np.testing.assert_array_equal(first, sims.orbit(cat, x[0], 7)[2:])


@pytest.mark.parametrize("system", [problems.cat(), problems.logistic(), problems.pendulum()], ids=lambda s: s.name)
def test_random_points_have_the_systems_law(system):
    data = sims.snapshots(system, problems.random_rule(system, 4000, seed=0))
    np.testing.assert_array_equal(data.y, sims.images(system, data.x))
    assert data.w.sum() == pytest.approx(1)
    u = (data.x - system.lower) / (system.upper - system.lower)
    if system.measure == "arcsine":
        u = np.arccos(1 - 2 * u) / np.pi
    # Kolmogorov's 1e-6 quantile is 2.7/sqrt M
    for column in u.T:
        assert np.abs(np.sort(column) - (np.arange(4000) + 0.5) / 4000).max() < 2.7 / np.sqrt(4000)
    again, other = (problems.random_rule(system, 4000, seed=seed).x for seed in (0, 1))
    np.testing.assert_array_equal(again, data.x)
    assert not np.array_equal(other, data.x)
    with pytest.raises(DomainError):
        problems.random_rule(system, 0, seed=0)


def test_one_orbit_as_snapshots():
    data = sims.ergodic_snapshots(problems.lorenz(), [1, 1, 20.0], 50, burn_in=7)
    x = sims.orbit(problems.lorenz(), [1, 1, 20.0], 57)
    np.testing.assert_array_equal(data.x, x[7:-1])
    np.testing.assert_array_equal(data.y, x[8:])
    assert data.w.sum() == pytest.approx(1)


def test_prime_is_a_safe_prime_of_which_two_is_a_primitive_root():
    from sympy import isprime

    half = (sims.PRIME - 1) // 2
    assert isprime(sims.PRIME)
    assert isprime(half)
    # the order of 2 divides 2 * half, and is not 1, 2 or half
    assert pow(2, half, sims.PRIME) == sims.PRIME - 1


def test_lyapunov_spectra():
    golden = math.log((3 + math.sqrt(5)) / 2)
    np.testing.assert_allclose(sims.exponents(problems.cat(), [0.1, 0.2], 2000), [golden, -golden], atol=2e-3, rtol=0)
    np.testing.assert_allclose(sims.exponents(problems.tent(), [0.3], 40), math.log(2), rtol=1e-14)
    np.testing.assert_allclose(sims.exponents(problems.contraction(0.5), [0.3], 40), -math.log(2), rtol=1e-14)
    lorenz = sims.exponents(problems.lorenz(), [1, 1, 20.0], 20_000, burn_in=400)
    assert lorenz.sum() == pytest.approx(-41 / 3, abs=1e-5)  # the divergence is constant; steps err by h^4
    # 1000 units of time; the finite-time fluctuation of the largest exponent is about 0.01
    np.testing.assert_allclose(lorenz, [0.9057, 0, -14.5723], atol=0.03, rtol=0)
    rossler = sims.exponents(problems.rossler(), [1, 1, 0.0], 20_000, burn_in=1000)
    np.testing.assert_allclose(rossler, [0.0710, 0, -5.3944], atol=0.02, rtol=0)


@pytest.mark.slow
def test_lyapunov_spectra_to_four_digits():
    lorenz = sims.exponents(problems.lorenz(), [1, 1, 20.0], 400_000, burn_in=400)
    np.testing.assert_allclose(lorenz, [0.90569, 0, -14.57227], atol=3e-3, rtol=0)
    rossler = sims.exponents(problems.rossler(), [1, 1, 0.0], 400_000, burn_in=1000)
    np.testing.assert_allclose(rossler, [0.0710, 0, -5.3944], atol=2e-3, rtol=0)


def test_exponents_of_a_singular_derivative_are_refused():
    with pytest.raises(DomainError, match="logistic map is singular at step 0: an exponent is -inf"):
        sims.exponents(problems.logistic(), [0.5], 30)
    with pytest.raises(DomainError, match="linear map is singular at step 0"):
        sims.exponents(problems.linear(np.zeros((2, 2))), [0.5, 0.2], 30)


@pytest.mark.parametrize("bad", [2.5, np.nan, np.inf])
def test_steps_are_integers(bad):
    for call in (
        lambda: sims.orbit(problems.rotation(), [0.1], bad),
        lambda: sims.orbit(problems.rotation(), [0.1], 3, burn_in=bad),
        lambda: sims.exponents(problems.rotation(), [0.1], bad),
        lambda: sims.exponents(problems.rotation(), [0.1], 3, burn_in=bad),
        lambda: sims.ergodic_snapshots(problems.rotation(), [0.1], bad),
        lambda: sims.gauss_map_eigenvalues(bad),
        lambda: sims.gauss_map_eigenvalues(3, digits=bad),
        lambda: problems.random_rule(problems.cat(), bad, seed=0),
        lambda: problems.rule("legendre", bad),
    ):
        with pytest.raises(TypeError, match="must be an int, got float"):
            call()


def test_bad_input():
    with pytest.raises(ShapeError):
        sims.images(problems.cat(), RNG.random((5, 3)))
    with pytest.raises(NonFiniteError):
        sims.images(problems.cat(), [[np.nan, 0.0]])
    with pytest.raises(TypeError, match="njit"):
        sims.images(lambda x, out: None, [[0.0]])
    with pytest.raises(DomainError):
        sims.orbit(problems.tent(), [1.5], 10)
    with pytest.raises(DomainError):
        sims.orbit(problems.tent(), [0.5], 0)
    with pytest.raises(DomainError):
        problems.duffing(-1.0)
    with pytest.raises(DomainError):
        problems.contraction(1.5)
    with pytest.raises(ShapeError):
        problems.linear(np.ones((2, 3)))
    with pytest.raises(DomainError):
        problems.pendulum(dt=0.0)


def test_a_short_time_of_the_process_keeps_its_digits():
    """``1 - e^{-2t}`` was a difference of nearly equal numbers."""
    moved = problems.ornstein_uhlenbeck(np.zeros(1), np.ones(1), 1e-13)
    np.testing.assert_allclose(moved, np.sqrt(2e-13), rtol=1e-12)


ONE = np.ones((2, 1))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: problems.ornstein_uhlenbeck(ONE, ONE, -1.0), DomainError, "time >= 0.*got -1, 1"),
        (lambda: problems.ornstein_uhlenbeck(ONE, ONE, np.nan), DomainError, "got nan"),
        (lambda: problems.ornstein_uhlenbeck(ONE, ONE, 1.0, theta=0.0), DomainError, "theta > 0"),
        (lambda: problems.linear(np.ones((0, 0))), ShapeError, "square"),
        (lambda: problems.pendulum(substeps=2.5), TypeError, "substeps must be an int, got float"),
        (lambda: problems.pendulum(dt=np.inf), DomainError, "finite dt > 0, got inf"),
        (lambda: problems.rule("riemann", 4, 0, np.inf), DomainError, r"finite lower < upper, got \[0, inf\]"),
        (problems.tensor_rule, ShapeError, "no rules"),
        (lambda: problems.Cosine(0), DomainError, "size must be >= 1, got 0"),
        (lambda: problems.Legendre(3, 1, 1), DomainError, r"lower < upper, got \[1, 1\]"),
        (lambda: problems.Chebyshev(3, 0, np.nan), DomainError, "lower < upper"),
        (lambda: problems.Hermite(0), DomainError, "size must be >= 1"),
        (lambda: problems.Hermite(3, 0.0), DomainError, "scale must be positive, got 0"),
        (lambda: problems.Kernel("gaussian", 0.0), DomainError, "scale must be positive"),
        (lambda: problems.Kernel("box"), DomainError, "no kernel is called 'box'"),
        (lambda: problems.Product(()), ShapeError, "no functions"),
        (lambda: problems.Fourier(2.5), TypeError, "degree must be an int, got float"),
        (lambda: problems.Fourier(2, period=np.inf), DomainError, "finite period"),
        (lambda: problems.Fourier(2, cross=np.nan), DomainError, "cross >= 1"),
        (lambda: problems.delays(np.arange(5.0), 2.5), TypeError, "size must be an int"),
        *(
            (lambda psi=psi: psi(1j * ONE), TypeError, "must hold real numbers, got dtype complex128")
            for psi in (
                problems.Fourier(2),
                problems.Cosine(2),
                problems.Product((problems.Cosine(2),)),
                problems.Radial(ONE),
                problems.Affine(1),
            )
        ),
        (lambda: problems.Snapshots(ONE, ONE, np.array([1, 1j])), TypeError, "w must hold real numbers"),
    ],
)
def test_what_problems_refuse(call, error, words):
    with pytest.raises(error, match=words):
        call()
