"""The adversarial disc, torus sums and limits that do not commute, by second routes."""

import dataclasses
import importlib
import math
from fractions import Fraction

import numpy as np
import pytest

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.experiments.koopman import limits
from lemmata.sims import koopman as sims
from lemmata.testing import assert_claim
from lemmata.verification import Setup

RNG = np.random.default_rng(3)


def disc(size):
    s = (np.arange(size) + 0.2 + 0.6 * RNG.random(size)) / size
    return np.column_stack([s, 2 * np.pi * RNG.random(size)])


def delta(s):
    return 0.3 * (1 + s)


def wrapped(angle):
    return (angle + np.pi) % (2 * np.pi) - np.pi


def test_the_involution_interpolates_returns_and_keeps_area():
    x = disc(200)
    G = sims.interpolating_involution(RNG.permutation(x), delta)
    y = sims.twist(x, delta)
    assert np.abs(wrapped(G(x) - y)).max() < 1e-11
    other = RNG.random((5000, 2)) * [1, 2 * np.pi]
    back = G(G(other))
    assert np.abs(back[:, 0] - other[:, 0]).max() < 1e-11
    assert np.abs(wrapped(back[:, 1] - other[:, 1])).max() < 1e-9
    assert ((back[:, 0] > 0) & (back[:, 0] < 1) & (G(other)[:, 0] > 0) & (G(other)[:, 0] < 1)).all()
    # it is not the rotation: ellipses cover a share of the disc and turn what is in them
    assert np.mean(np.abs(wrapped(G(other)[:, 1] - other[:, 1] - np.pi)) > 1e-3) > 0.01
    # the Jacobian, by differences of a thousandth of the smaller half-axis, is 1 but at kinks
    h = 1e-4 * np.array([G.height, G.width.min()])
    steps = [(wrapped(G(other + h * e) - G(other - h * e)) / (2 * (h @ e))) for e in np.eye(2)]
    det = steps[0][:, 0] * steps[1][:, 1] - steps[0][:, 1] * steps[1][:, 0]
    assert np.quantile(np.abs(det - 1), 0.98) < 1e-4


def test_a_readers_algorithm_is_fooled_too():
    def dmd(x, y):  # on (s, cos phi, sin phi)
        a, b = (np.column_stack([p[:, 0], np.cos(p[:, 1]), np.sin(p[:, 1])]).T for p in (x, y))
        return sims.dmd(a, b, 3).values

    row = assert_claim(dmd, "koopman/adversarial-disc")
    assert row.status == "demonstrated"


def test_distances_of_sets():
    assert sims.hausdorff([1, -1], [1]) == pytest.approx(2)
    assert sims.circle_gap([1, -1]) == pytest.approx(math.sqrt(2), abs=1e-5)
    assert sims.circle_gap(np.exp(2j * np.pi * np.arange(8) / 8)) == pytest.approx(2 * math.sin(math.pi / 16), abs=2e-3)
    assert sims.circle_gap(0.5 * np.exp(2j * np.pi * np.arange(512) / 512)) == pytest.approx(0.5, abs=1e-4)
    # q-cycles: what is left of the argument for orbits of length 2 < q
    for q, gap in ((2, math.sqrt(2)), (4, 0.765), (8, 0.390), (16, 0.196)):
        assert sims.circle_gap(np.exp(2j * np.pi * np.arange(q) / q)) == pytest.approx(gap, abs=1e-3)
    with pytest.raises(ShapeError, match="empty"):
        sims.hausdorff([], [1])


def test_torus_sums_by_complex_arithmetic():
    golden = limits.golden()
    alpha = (math.sqrt(5) - 1) / 2
    assert Fraction(golden.numerator, golden.denominator) == pytest.approx(alpha)
    j = np.arange(1, 200)
    terms = 2 * limits.RATIO ** (2 * j) / np.abs(np.exp(2j * np.pi * j * alpha) - 1) ** 2
    found = sims.torus_sum(golden.numerator, golden.denominator, 199, limits.RATIO)
    np.testing.assert_allclose(found, np.cumsum(terms), rtol=1e-9)
    stages = limits.liouville()
    # floating point sees the first stages; the next lies 2^-16400 from a fraction
    place = Fraction(64 * stages.numerator, stages.denominator) % 1
    assert min(place, 1 - place) == Fraction(1, 2**12) + Fraction(64, 2**16422)


def test_a_number_that_is_the_golden_mean_to_18_binary_digits():
    golden, near = (Fraction(a.numerator, a.denominator) for a in (limits.golden(), limits.near_golden()))
    assert int(near * 2**18) == int(golden * 2**18)
    assert int(near * 2**19) != int(golden * 2**19)
    # the frequency 2^18 is all but resonant
    assert near * limits.STAGE % 1 == Fraction(1, 2**16404)


def test_constant_of_the_golden_mean():
    """j ||j alpha|| >= (3 - sqrt 5)/2 for all j, with equality at 1."""
    golden = limits.golden()
    j = np.arange(1, 3000)
    place = np.array([(int(k) * golden.numerator) % golden.denominator / golden.denominator for k in j])
    least = (j * np.minimum(place, 1 - place)).min()
    assert least == pytest.approx((3 - math.sqrt(5)) / 2, rel=1e-12)


def test_rage_by_the_modes_themselves():
    B = np.array([[2, 1], [1, 1]], dtype=object)
    chain = [np.array([1, 0], dtype=object)]
    for _ in range(30):
        chain.append(B @ chain[-1])
    kept = {tuple(k) for k in chain[:6]}
    inside = np.array([tuple(k) in kept for k in chain])
    means = np.cumsum(inside) / np.arange(1, 32)
    np.testing.assert_allclose(sims.rage_average(5, np.arange(31)), 0.5 + 0.5 * means)


def test_bad_input():
    with pytest.raises(DomainError, match="same s"):
        sims.interpolating_involution(np.array([[0.5, 1.0], [0.5, 2.0]]), delta)
    with pytest.raises(DomainError, match="delta"):
        sims.interpolating_involution(disc(5), lambda s: 3 + s)
    with pytest.raises(ShapeError):
        sims.twist(np.ones((3, 1)), delta)
    with pytest.raises(DomainError, match="lowest"):
        sims.torus_sum(2, 4, 3, 0.5)
    with pytest.raises(DomainError, match="ratio"):
        sims.torus_sum(1, 5, 3, 1.5)
    with pytest.raises(DomainError, match="lengths"):
        sims.rage_average(3, [5, 2])


@pytest.mark.parametrize("amplitude", [1e-4, 1e-8, 1e-12])
def test_an_involution_close_to_the_rotation_interpolates_too(amplitude):
    """At the data the angle of H was 1 - 1e-16/amplitude of half a turn, and s off by as much."""
    x = disc(50)
    G = sims.interpolating_involution(x, lambda s: amplitude * (1 + s))
    image = G(x)
    np.testing.assert_allclose(image[:, 0], x[:, 0], rtol=0, atol=1e-15)
    turned = sims.twist(x, lambda s: amplitude * (1 + s))[:, 1]
    np.testing.assert_allclose(wrapped(image[:, 1] - turned), 0, atol=1e-14, rtol=0)
    # beside them the rounding of an angle is that much of an ellipse
    near = x + np.array([1.0, amplitude]) * np.random.default_rng(1).uniform(-1, 1, x.shape) / 1e3
    np.testing.assert_allclose(wrapped(G(G(near)) - near), 0, atol=1e-15 / amplitude, rtol=0)


def test_angles_are_less_than_a_turn():
    x = np.array([[0.5, np.nextafter(-np.pi, -4)]])
    assert sims.twist(x, np.zeros_like)[0, 1] < 2 * np.pi
    G = sims.interpolating_involution(np.array([[0.2, 0.0]]), delta)
    assert G(np.array([[0.9, np.nextafter(-np.pi, -4)]]))[0, 1] < 2 * np.pi


@pytest.mark.parametrize("s", [[0.01], [0.99], [0.02, 0.5], [0.5, 0.97]])
def test_an_ellipse_does_not_leave_the_disc(s):
    x = np.column_stack([s, np.arange(len(s))])
    G = sims.interpolating_involution(x, delta)
    np.testing.assert_allclose(wrapped(G(x) - sims.twist(x, delta)), 0, atol=1e-11, rtol=0)
    grid = np.stack(np.meshgrid(np.linspace(1e-6, 1 - 1e-6, 400), np.linspace(0, 6.28, 300)), -1).reshape(-1, 2)
    image = G(grid)[:, 0]
    assert (image > 0).all()
    assert (image < 1).all()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sims.interpolating_involution(np.array([[1.0, 0.0]]), delta), DomainError, r"s must lie in \(0, 1\)"),
        (lambda: sims.interpolating_involution(np.zeros((0, 2)), delta), ShapeError, "no points"),
        (lambda: sims.interpolating_involution(np.array([[0.5, 0.0]]), lambda s: 0.3), ShapeError, "1 values of s"),
        (lambda: sims.hausdorff([1, np.nan], [1]), NonFiniteError, "a holds nan"),
        (lambda: sims.circle_gap([np.inf]), NonFiniteError, "a holds"),
        (lambda: sims.rage_average(1, np.array([])), DomainError, "one at least"),
        (lambda: sims.rage_average(1, np.array([2.5])), DomainError, "vector of integers"),
        (lambda: sims.torus_sum(1, 3, 0, 0.5), DomainError, "it is 0"),
        (lambda: sims.torus_sum(1.5, 3, 2, 0.5), TypeError, "numerator must be an int, got float"),
        (lambda: sims.torus_sum(1, 7, np.nan, 0.5), TypeError, "largest must be an int, got float"),
        (lambda: sims.rage_average(2.5, [1]), TypeError, "dimension must be an int, got float"),
        (lambda: sims.rage_average(1, [np.nan]), NonFiniteError, "lengths holds nan"),
        (lambda: sims.twist(disc(3), lambda s: np.nan * s), NonFiniteError, "delta holds nan"),
        (lambda: sims.twist(disc(3), lambda s: s[:, None]), ShapeError, r"delta of 3 values of s has the shape \(3, 1"),
        (lambda: sims.twist(disc(3), lambda s: 1j * s), TypeError, "delta must hold real numbers, got dtype complex"),
        (lambda: sims.twist(disc(3) + 0j, delta), TypeError, "x must hold real numbers"),
        (lambda: sims.interpolating_involution(disc(3), lambda s: 0.3 + 1j * s), TypeError, "delta must hold real"),
    ],
)
def test_what_limits_refuse(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("backend", ["sims", "kernels"])
def test_what_is_fooled_and_controlled_is_what_the_backend_ships(backend, monkeypatch):
    """Eigenvalues drawn towards 0: the control sees it."""
    (experiment,) = (e for e in limits.EXPERIMENTS if e.claim.id == "koopman/adversarial-disc")
    setup = Setup(backend)
    found = experiment.measure(experiment.problems(setup), setup)
    assert found.control.max() < 1e-9
    room = importlib.import_module(f"lemmata.{backend}.koopman")
    right = room.edmd

    def wrong(section):
        eigen = right(section)
        return dataclasses.replace(eigen, values=0.9 * eigen.values)

    monkeypatch.setattr(room, "edmd", wrong)
    found = experiment.measure(experiment.problems(setup), setup)
    np.testing.assert_allclose(found.control, 0.1, rtol=1e-6)


def test_what_is_fooled_must_be_right_where_nobody_lies():
    """An answer that is wrong on every system shows nothing: the control is the algorithm's own."""
    with pytest.raises(AssertionError, match="control"):
        assert_claim(lambda x, y: np.array([5.0 + 0j]), "koopman/adversarial-disc")
