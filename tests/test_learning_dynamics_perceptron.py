"""Logistic regression with large steps: the printed table, margins, both backends, what is refused."""

import math

import numpy as np
import pytest
import torch

from lemmata.errors import AssumptionError, DomainError, NotConverged, ShapeError
from lemmata.kernels import learning_dynamics as on_device
from lemmata.problems.learning_dynamics import Separable, nearly_opposed, random_separable, two_points, worst_case
from lemmata.sims import learning_dynamics as on_cpu
from lemmata.theory import learning_dynamics as theory


def steps(data, gamma, rule, most=2000):
    points = np.repeat(data.points[None], len(gamma), axis=0)
    return on_cpu.separation_steps(points, np.array(gamma), rule=rule, most=most).tolist()


@pytest.mark.parametrize(("n", "perceptron", "large"), [(10, 4, 4), (50, 16, 16), (100, 31, 31), (400, 121, 124)])
def test_steps_on_the_worst_case(n, perceptron, large):
    assert steps(worst_case(n), [math.inf, 100.0], "plain") == [perceptron, large]


@pytest.mark.parametrize("e", [0.1, 0.03, 0.01])
def test_points_nearly_opposed_need_half_as_many_steps_as_the_bound(e):
    data = nearly_opposed(e)
    bound = float(theory.normalized_perceptron_bound(R=data.radius, mu=theory.margin(data.points)))
    (found,) = steps(data, [math.inf], "normalized", most=int(bound))
    assert 0.48 * bound < found < 0.5 * bound


def test_the_printed_table():
    data = worst_case(1000)
    assert steps(data, [math.inf, 1e6, 100.0], "plain") == [301, 301, 308]
    assert steps(data, [100.0, 10.0, 1.0, 0.1], "normalized") == [2, 2, 16, 157]


def test_margins():
    for n in (2, 10, 1000):
        assert theory.margin(worst_case(n).points) == pytest.approx(0.5, rel=1e-9)
    assert theory.margin(np.eye(5)) == pytest.approx(1 / math.sqrt(5), rel=1e-9)
    assert theory.margin(np.array([[1.0, 0.0], [-1.0, 0.1], [0.0, -1.0]])) < 1e-7
    data = random_separable(50, 3, gap=0.3, seed=0)
    assert theory.margin(data.points) >= 0.3
    assert theory.margin(1e-8 * data.points) == pytest.approx(1e-8 * theory.margin(data.points), rel=1e-9)


def test_a_margin_is_attained_and_no_direction_has_more():
    points = random_separable(30, 2, seed=4).points
    angle = np.linspace(0, 2 * np.pi, 200_001)
    best = (points @ np.stack([np.cos(angle), np.sin(angle)])).min(axis=0).max()
    assert best <= theory.margin(points)
    assert theory.margin(points) == pytest.approx(best, abs=1e-4)  # half a step of the angle times R


def loop(points, gamma, rule, count):
    """The run as it is written in the paper, for theta itself."""
    theta, path = np.zeros(points.shape[1]), [np.zeros(points.shape[1])]
    for _ in range(count):
        weight = 1 / (1 + np.exp(points @ theta))
        factor = 1 / weight.mean() if rule == "normalized" else 1.0
        theta = theta + gamma * factor * (weight[:, None] * points).mean(axis=0)
        path.append(theta / gamma)
    return np.array(path)


@pytest.mark.parametrize("rule", ["plain", "normalized"])
def test_a_path_is_that_of_the_loss(rule):
    data = random_separable(20, 3, seed=1)
    found = on_cpu.separation_path(data.points[None], np.array([3.0]), rule=rule, steps=15)[0]
    np.testing.assert_allclose(found, loop(data.points, 3.0, rule, 15), rtol=1e-12, atol=1e-14)
    theta = torch.tensor(3.0 * found[4], requires_grad=True)
    torch.nn.functional.softplus(-torch.tensor(data.points) @ theta).mean().backward()
    if rule == "plain":
        np.testing.assert_allclose(found[5] - found[4], -theta.grad.numpy(), rtol=1e-9)


@pytest.mark.parametrize("rule", ["plain", "normalized"])
def test_both_backends_agree(rule):
    points = np.stack([random_separable(40, 3, seed=i).points for i in range(4)])
    gamma = np.array([0.5, 30.0, 1e6, math.inf])
    arguments = torch.tensor(points), torch.tensor(gamma)
    path = on_cpu.separation_path(points, gamma, rule=rule, steps=30)
    np.testing.assert_allclose(on_device.separation_path(*arguments, rule=rule, steps=30), path, atol=1e-12)
    found = on_cpu.separation_steps(points, gamma, rule=rule, most=300)
    np.testing.assert_array_equal(on_device.separation_steps(*arguments, rule=rule, most=300), found)
    assert (found > 1).any()
    for b, t in enumerate(found.astype(int)):
        long = on_cpu.separation_path(points[b : b + 1], gamma[b : b + 1], rule=rule, steps=t)[0]
        assert (points[b] @ long[t] > 0).all()
        assert not (points[b] @ long[t - 1] > 0).all()


def test_the_gap_to_the_perceptron_closes_faster_than_any_power():
    data = random_separable(55, 3, seed=0)
    gamma = np.array([1.0, 10.0, 1e3, 1e6, math.inf])
    path = on_cpu.separation_path(np.repeat(data.points[None], 5, axis=0), gamma, rule="plain", steps=20)
    gaps = abs(path - path[-1]).max(axis=(1, 2))
    assert gaps[0] > 0.1
    assert (np.diff(gaps) <= 0).all()
    assert gaps[3] < 1e-10


def test_two_points_are_solved_by_the_second_step():
    path = on_cpu.separation_path(two_points().points[None], np.array([1e4]), rule="plain", steps=2)[0]
    np.testing.assert_allclose(path[1:], [[0.5, 0.75], [1.0, 0.25]], atol=1e-12)


def test_data_that_are_not_separable_end_with_an_error():
    points = np.array([[[1.0, 0.0], [-1.0, 0.0]]])
    for module, convert in ((on_cpu, np.asarray), (on_device, torch.tensor)):
        with pytest.raises(NotConverged, match="1 of 1 runs have not separated their points after 50 steps"):
            module.separation_steps(convert(points), convert(np.array([1.0])), rule="plain", most=50)
        found = module.separation_steps(
            convert(points), convert(np.array([1.0])), rule="plain", most=50, on_fail="return"
        )
        assert math.isinf(found[0])
    with pytest.raises(AssumptionError, match=r"linearly separable.*margin"):
        theory.perceptron_bound.check(Separable(points[0]))


POINTS = np.ones((1, 3, 2))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"points": POINTS[0]}, ShapeError, r"\(B, n, d\), got \(3, 2\)"),
        ({"gamma": np.ones(2)}, ShapeError, r"gamma must have shape \(1,\).* got \(2,\)"),
        ({"gamma": np.zeros(1)}, DomainError, "gamma must be > 0, infinity for the perceptron; got 0"),
        ({"gamma": np.full(1, np.nan)}, DomainError, "gamma must be > 0"),
        ({"points": POINTS * np.nan}, DomainError, "finite"),
        ({"rule": "batch"}, DomainError, "rule must be one of plain, normalized, got 'batch'"),
        ({"most": 0}, DomainError, "at least 1 step, got 0"),
        ({"points": POINTS * 1e200}, DomainError, r"size 1e\+200 leave .*float64: divide the points by c"),
        ({"points": POINTS * 1e-200}, DomainError, "size 1e-200 leave"),
        ({"points": POINTS * 1e20, "dtype": "float32"}, DomainError, r"size 1e\+20 leave .*float32"),
        ({"points": POINTS * 1j}, TypeError, "complex128"),
        ({"on_fail": "rais"}, DomainError, "on_fail must be raise or return, got 'rais'"),
        ({"points": POINTS.astype(int)}, TypeError, "points of torch.int64, gamma of torch.float64"),
        ({"points": POINTS.astype("f")}, TypeError, "one dtype, got points of torch.float32, gamma of torch.float64"),
    ],
)
def test_what_is_no_run_is_refused(change, error, words):
    arguments = {"points": POINTS, "gamma": np.ones(1), "rule": "plain", "most": 5} | change
    z, gamma, dtype = arguments.pop("points"), arguments.pop("gamma"), arguments.pop("dtype", None)
    if dtype is None and "torch" not in words:  # what the simulators widen
        with pytest.raises(error, match=words):
            on_cpu.separation_steps(z, gamma, **arguments)
    tensors = [torch.tensor(a, dtype=dtype and getattr(torch, dtype)) for a in (z, gamma)]
    with pytest.raises(error, match=words):
        on_device.separation_steps(*tensors, **arguments)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: worst_case(1), DomainError, "at least 2, got 1"),
        (lambda: random_separable(5, 2, gap=0.0, seed=0), DomainError, "gap in"),
        (lambda: nearly_opposed(0.2), DomainError, r"\(0, .1\], got 0.2"),
        (lambda: theory.margin(np.ones(3)), ShapeError, r"got \(3,\)"),
        (lambda: theory.margin(np.zeros((3, 2))), DomainError, "not all 0"),
    ],
)
def test_bad_data_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
