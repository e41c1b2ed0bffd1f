"""`assert_claim` on algorithms of one's own: the right one passes, each small defect is an AssertionError."""

from dataclasses import replace

import numpy as np
import pytest

from lemmata import registry
from lemmata.errors import DomainError, UnknownName
from lemmata.testing import assert_claim
from lemmata.verification import Measurement, Saboteur


def halpern(T, x0, steps, *, shift=2, anchor=True):
    x, out = x0, [x0]
    for k in range(steps):
        weight = 1 / (k + shift) if anchor else 0.0
        x = weight * x0 + (1 - weight) * T(x)
        out.append(x)
    return np.array(out)


def mann(T, x0, steps, step):
    out = [x0]
    for _ in range(steps):
        out.append((1 - step) * out[-1] + step * T(out[-1]))
    return np.array(out)


@pytest.mark.parametrize(
    ("claim", "algorithm"),
    [
        ("halpern/residual", halpern),
        ("halpern/residual-tight", halpern),
        ("halpern/potential", halpern),
        ("halpern/cocoercive-residual", halpern),
        ("halpern/km-residual", mann),
    ],
)
def test_the_right_algorithm_holds(claim, algorithm):
    verdict = assert_claim(algorithm, claim)
    assert verdict.status == "holds"
    assert verdict.claim.id == claim
    instances = {e.instance for e in registry.experiments(claim) if e.protocol}
    assert {row.instance for row in verdict.rows} == instances
    assert all(row.sabotage is None for row in verdict.rows)


@pytest.mark.parametrize(
    ("claim", "defect"),
    [
        ("halpern/residual", {"shift": 1}),
        ("halpern/residual", {"anchor": False}),
        ("halpern/residual-tight", {"shift": 1}),
        ("halpern/residual-tight", {"shift": 3}),
        ("halpern/potential", {"shift": 3}),
        ("halpern/cocoercive-residual", {"shift": 1}),
    ],
)
def test_a_small_defect_is_found(claim, defect):
    def wrong(T, x0, steps):
        return halpern(T, x0, steps, **defect)

    with pytest.raises(AssertionError, match=f"{claim}: violated\n.*violated, ratio .* at .*(k|N)="):
        assert_claim(wrong, claim)


def test_one_instance_can_be_chosen():
    verdict = assert_claim(halpern, "halpern/residual", instance="rotations")
    assert [row.instance for row in verdict.rows] == ["rotations"]
    with pytest.raises(DomainError, match=r"halpern/residual has no instance 'rotation'; there are .*rotations"):
        assert_claim(halpern, "halpern/residual", instance="rotation")


def test_the_seed_chooses_the_problems():
    first, again, other = (assert_claim(halpern, "halpern/residual", instance="rotations", seed=s) for s in (1, 1, 2))
    assert first.ratio == again.ratio != other.ratio
    assert first.rows[0].seed == 1


def test_the_algorithm_is_measured_by_the_experiment_and_may_spoil_its_copy():
    def careless(T, x0, steps):
        out = halpern(T, x0.copy(), steps)
        x0[:] = np.nan
        return out

    assert assert_claim(careless, "halpern/residual", instance="rotations").status == "holds"


def test_it_gets_one_row_at_a_time_in_float64():
    seen = []

    def look(T, x0, steps):
        seen.append((x0.dtype, x0.shape, np.shape(T(x0)), type(steps)))
        return halpern(T, x0, steps)

    assert_claim(look, "halpern/residual", instance="rotations")
    assert set(seen) == {(np.dtype("float64"), (6,), (6,), int)}


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        (lambda T, x0, steps: halpern(T, x0, steps)[1:], r"error; .*the algorithm gave shape \(200, 6\)"),
        (lambda T, x0, steps: halpern(T, x0, steps)[-1], r"the algorithm gave shape \(6,\), expected \(201, 6\)"),
        (lambda T, x0, steps: np.full((steps + 1, 6), np.nan), "are NaN"),
        (lambda T, x0, steps: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda T, x0: x0, "TypeError: .* takes 2 positional arguments but 3 were given"),
    ],
)
def test_an_algorithm_that_breaks_is_an_assertion_error_with_its_reason(algorithm, words):
    with pytest.raises(AssertionError, match=words):
        assert_claim(algorithm, "halpern/residual", instance="rotations")


def test_bad_arguments_are_refused_before_any_work():
    def never(T, x0, steps):
        raise NotImplementedError

    with pytest.raises(TypeError, match="algorithm must be callable, got list"):
        assert_claim([], "halpern/residual")
    with pytest.raises(UnknownName, match="there are halpern/residual"):
        assert_claim(never, "halpern/residul")
    with pytest.raises(DomainError, match="assert_claim takes one claim, family/name; got 'halpern'"):
        assert_claim(never, "halpern")
    with pytest.raises(DomainError, match="no experiment of halpern/km-residual-tight takes an algorithm"):
        assert_claim(never, "halpern/km-residual-tight")
    with pytest.raises(DomainError, match="budget must be one of"):
        assert_claim(never, "halpern/residual", budget="huge")


def test_an_experiment_of_the_kernels_takes_an_algorithm_too(monkeypatch):
    backends = []

    def measure(problems, setup, algorithm=None):
        backends.append(setup.backend)
        return Measurement([algorithm()], [1.0])

    base = registry.experiments("halpern/residual")[0]
    made = (
        replace(
            base,
            problems=lambda setup: [],
            measure=measure,
            saboteurs=(Saboteur("none"),),
            backends=("kernels",),
            protocol="algorithm() -> float",
        ),
    )
    monkeypatch.setattr(registry, "load", {"halpern": made}.__getitem__)
    assert assert_claim(lambda: 0.5, "halpern/residual").status == "holds"
    with pytest.raises(AssertionError, match=r"violated, ratio 1.5; 1 of 1 values above the bound"):
        assert_claim(lambda: 1.5, "halpern/residual")
    assert backends == ["kernels", "kernels"]  # the saboteurs are not run
