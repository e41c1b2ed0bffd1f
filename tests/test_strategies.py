"""Property tests of the fixed-point family on drawn operators, and of the strategies that draw them.

The rounding allowances below come from one estimate: a step adds an error of a few eps to points of size
``||x_0|| + ||x*||``, nonexpansive maps do not amplify it, and the residual at step k feels at most k + 1 of them.
"""

import numpy as np
import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from lemmata.errors import DomainError
from lemmata.kernels import halpern as kernels
from lemmata.problems.halpern import FixedPointProblem, Operator, Stage, anchor_weights, feg, ohm_weights
from lemmata.sims import halpern as sims
from lemmata.testing.strategies import Combination, Drawn, cocoercive, contractive, monotone, nonexpansive
from lemmata.theory import halpern as theory

EPS = np.finfo(np.float64).eps
STEPS = 60
ALL = {"nonexpansive": nonexpansive, "contractive": contractive, "cocoercive": cocoercive, "monotone": monotone}
seeds = st.integers(0, 2**32 - 1)


def size(drawn: Drawn) -> float:
    return 1 + float(np.linalg.norm(drawn.x0) + np.linalg.norm(drawn.solution))


def rounding(drawn: Drawn, k: np.ndarray) -> np.ndarray:
    return 100 * EPS * size(drawn) * (k + 1)


def reference(operator, x0: np.ndarray, steps: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Halpern's iteration as the paper prints it, float64[steps + 1, d]."""
    x, out = x0, [x0]
    for lam in anchor_weights(steps) if weights is None else weights:
        x = lam * x0 + (1 - lam) * operator(x)
        out.append(x)
    return np.array(out)


def residuals(operator, iterates: np.ndarray) -> np.ndarray:
    return np.array([np.linalg.norm(x - operator(x)) for x in iterates])


def potential_rises(drawn: Drawn, residual: np.ndarray, product: np.ndarray) -> bool:
    k = np.arange(residual.size)
    minus_v = theory.potential(k=k, residual=residual, anchor_product=product)
    # V_k holds terms of size (k+1)^2 residual^2 <= 4 D^2, each known to the rounding of its residual
    slack = (k[1:] + 1) * rounding(drawn, k[1:]) * (drawn.dist + rounding(drawn, k[1:]))
    return bool((minus_v[:-1] - minus_v[1:] > slack).any())


# ------------------------------------------------------------------------------------------- the theorems


@given(nonexpansive())
def test_residual_bound_and_potential(drawn):
    run = sims.halpern(drawn.operator, drawn.x0, STEPS)
    residual, k = run["residual"].values[0], np.arange(STEPS + 1)
    bound = theory.residual(k=k, dist=drawn.dist)
    assert (residual <= bound * (1 + 1e-12) + rounding(drawn, k)).all()
    assert not potential_rises(drawn, residual, run["anchor_product"].values[0])


@given(nonexpansive(), st.sampled_from([0.5, 0.7, 0.95]))
def test_mann_bound(drawn, step):
    residual = sims.krasnoselskii_mann(drawn.operator, drawn.x0, STEPS, step=step)["residual"].values[0]
    k = np.arange(STEPS + 1)
    bound = theory.km_residual(k=k, dist=drawn.dist, step=step)
    assert (residual <= bound * (1 + 1e-12) + rounding(drawn, k)).all()


@given(contractive())
def test_contractive_bound(drawn):
    """The optimal method with gamma = 1/q: ``(1 + q) D / sum_{i<=N} gamma^i``, and never above Halpern's bound."""
    gamma, k = 1 / drawn.lipschitz, np.arange(STEPS + 1)
    weights = ohm_weights(STEPS, gamma)
    residual = sims.halpern(drawn.operator, drawn.x0, STEPS, weights=weights)["residual"].values[0]
    bound = (1 + drawn.lipschitz) * drawn.dist / np.cumsum(gamma**k)
    assert (residual <= bound * (1 + 1e-12) + rounding(drawn, k)).all()
    assert (bound <= theory.residual(k=k, dist=drawn.dist) * (1 + 1e-12)).all()


@given(cocoercive())
def test_cocoercive_bound(drawn):
    constant = drawn.lipschitz
    if isinstance(drawn.operator, Operator):
        forward = drawn.operator.forward(2 / constant)
    else:

        def forward(x):
            return x - 2 / constant * drawn.operator(x)

    norm = constant / 2 * sims.halpern(forward, drawn.x0, STEPS)["residual"].values[0]
    k = np.arange(STEPS + 1)
    bound = theory.cocoercive_residual(k=k, dist=drawn.dist, lipschitz=constant)
    assert (norm <= bound * (1 + 1e-12) + constant * rounding(drawn, k)).all()


@given(monotone())
def test_fast_extragradient_bound(drawn):
    """``||F(z_k)|| <= 2 L D / k``, asserted up to the k = 10 at which a certificate of it was computed."""
    norm = sims.extragradient(drawn.operator, drawn.x0, feg(10, drawn.lipschitz))["residual"].values[0, 1:]
    k = np.arange(1, 11)
    # 1e-7: the certificates are known to the accuracy of their solver
    bound = 2 * drawn.lipschitz * drawn.dist / k
    assert (norm <= bound * (1 + 1e-7) + drawn.lipschitz * rounding(drawn, k)).all()


# ------------------------------------------------------------------------------------------- equivariance


@given(nonexpansive(), st.data())
def test_translation(drawn, data):
    c = np.array(data.draw(st.lists(st.floats(-50, 50), min_size=drawn.x0.size, max_size=drawn.x0.size)))
    moved = drawn.operator.centred(c) if isinstance(drawn.operator, Operator) else lambda x: drawn.operator(x - c) + c
    here = sims.halpern(drawn.operator, drawn.x0, STEPS, iterates=True)["iterate"].values[0]
    there = sims.halpern(moved, drawn.x0 + c, STEPS, iterates=True)["iterate"].values[0]
    np.testing.assert_allclose(there, here + c, rtol=0, atol=1e-12 * (size(drawn) + np.linalg.norm(c)))


@given(nonexpansive(), seeds, st.floats(0.1, 10))
def test_orthogonal_maps_and_scale(drawn, seed, scale):
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((drawn.x0.size,) * 2))

    def turned(x):
        return scale * q @ drawn.operator(q.T @ x / scale)

    here = sims.halpern(drawn.operator, drawn.x0, STEPS, iterates=True)["iterate"].values[0]
    there = sims.halpern(turned, scale * q @ drawn.x0, STEPS, iterates=True)["iterate"].values[0]
    np.testing.assert_allclose(there, scale * here @ q.T, rtol=0, atol=1e-12 * scale * size(drawn))


# ----------------------------------------------------------------------------------- what is reported


@given(nonexpansive() | contractive())
def test_reported_residual_is_that_of_the_iterate(drawn):
    run = sims.halpern(drawn.operator, drawn.x0, STEPS, iterates=True)
    iterates = run["iterate"].values[0]
    gap = np.array([x - drawn.operator(x) for x in iterates])
    # the compiled and the numpy operator round differently: a few eps of the points
    tolerance = 100 * EPS * size(drawn)
    np.testing.assert_allclose(run["residual"].values[0], np.linalg.norm(gap, axis=1), rtol=0, atol=tolerance)
    product = np.einsum("kd,kd->k", gap, iterates - drawn.x0)
    np.testing.assert_allclose(run["anchor_product"].values[0], product, rtol=0, atol=tolerance * size(drawn))
    np.testing.assert_array_equal(run["x"].values[0], iterates[-1])


@given(nonexpansive(plain=True), st.sampled_from([1, 10, 100, 1000]), st.integers(1, 3), seeds)
def test_backends_agree_and_a_batch_is_its_rows(drawn, steps, batch, seed):
    shape = (batch, drawn.x0.size)
    x0 = drawn.solution + np.random.default_rng(seed).standard_normal(shape)
    compiled = sims.halpern(drawn.operator, x0, steps, iterates=True)["iterate"].values
    batched = kernels.halpern(drawn.operator, torch.tensor(x0), steps, iterates=True)["iterate"].values
    # errors are not amplified along nonexpansive maps: 1e-10 is thousands of roundings a step
    close = {"rtol": 0, "atol": 1e-10 * (1 + np.linalg.norm(drawn.solution) + np.linalg.norm(x0))}
    np.testing.assert_allclose(batched, compiled, **close)
    np.testing.assert_allclose(compiled[0], reference(drawn.operator, x0[0], steps), **close)
    for row, start in zip(compiled, x0, strict=True):
        alone = sims.halpern(drawn.operator, start, steps, iterates=True)["iterate"].values[0]
        np.testing.assert_array_equal(alone, row)


@given(nonexpansive())
def test_optimal_contractive_method_contains_halpern(drawn):
    ours = sims.halpern(drawn.operator, drawn.x0, STEPS, iterates=True)["iterate"].values[0]
    ohm = sims.halpern(drawn.operator, drawn.x0, STEPS, weights=ohm_weights(STEPS, 1.0), iterates=True)["iterate"]
    np.testing.assert_allclose(ohm.values[0], ours, rtol=0, atol=100 * EPS * size(drawn))


# ------------------------------------------------------------------------------------------ the strategies


def contradiction(drawn: Drawn, x: np.ndarray, y: np.ndarray, lipschitz: float, cocoercive: float | None) -> str:
    """Which declared constant the pair contradicts by more than rounding, or nothing."""
    dx, df = x - y, drawn.operator(x) - drawn.operator(y)
    inner, length = df @ dx, np.linalg.norm(dx)
    noise = 100 * EPS * (1 + lipschitz) * (size(drawn) + np.linalg.norm(x) + np.linalg.norm(y))
    if np.linalg.norm(df) > lipschitz * length * (1 + 1e-12) + noise:
        return "lipschitz"
    if not drawn.is_map and inner < -noise * length:
        return "monotone"
    if cocoercive is not None and inner < df @ df / cocoercive - 2 * noise * length:
        return "cocoercive"
    return ""


def pairs(drawn: Drawn, seed: int):
    """Pairs near the solution and far from it."""
    rng = np.random.default_rng(seed)
    for scale in (0.01, 0.1, 1.0, 1.0, 10.0):
        yield drawn.solution + scale * rng.standard_normal((2, drawn.x0.size))
    yield drawn.x0, drawn.solution


@pytest.mark.parametrize("name", ALL)
def test_declared_constants_hold(name):
    @given(ALL[name](), seeds)
    def check(drawn, seed):
        gap = drawn.operator(drawn.solution) - (drawn.solution if drawn.is_map else 0)
        assert np.linalg.norm(gap) <= 100 * EPS * size(drawn)
        for x, y in pairs(drawn, seed):
            assert contradiction(drawn, x, y, drawn.lipschitz, drawn.cocoercive) == ""

    check()


@pytest.mark.parametrize("name", ALL)
def test_plain_draws_meet_the_assumptions_of_their_claims(name):
    claim = {"nonexpansive": theory.residual, "contractive": theory.residual, "cocoercive": theory.cocoercive_residual}

    @given(ALL[name](plain=True))
    def check(drawn):
        assert isinstance(drawn.operator, Operator)
        assert drawn.operator.is_map == drawn.is_map
        problem = FixedPointProblem(name, drawn.operator, drawn.x0, drawn.solution)
        assert problem.lipschitz == drawn.lipschitz
        np.testing.assert_allclose(problem.dist, drawn.dist, rtol=4 * EPS)  # two orders of summation
        if name in claim:
            claim[name].check(problem)

    check()


def first(strategy, condition) -> Drawn:
    """A draw that meets the condition, or `hypothesis.errors.NoSuchExample`."""
    profile = settings(max_examples=1000, derandomize=True, database=None, phases=[Phase.generate])
    return find(strategy, condition, settings=profile)


def stages(drawn: Drawn) -> set[int]:
    terms = drawn.operator.terms if isinstance(drawn.operator, Combination) else (drawn.operator,)
    return {int(code) for term in terms for code in term.stages[:, 0]}


@pytest.mark.parametrize("code", [s for s in Stage if s not in (Stage.SIMPLICES, Stage.BILINEAR, Stage.PDHG)])
def test_every_elementary_map_is_drawn(code):
    assert first(nonexpansive(), lambda drawn: code in stages(drawn))


def test_shapes_of_operators_that_are_drawn():
    assert first(nonexpansive(), lambda d: isinstance(d.operator, Combination) and d.x0.size == 6)
    assert first(monotone(), lambda d: Stage.BILINEAR in stages(d) and isinstance(d.operator, Combination))
    # 2P - I, the shape of the hard problem of Halpern's bound
    assert first(nonexpansive(plain=True), lambda d: d.operator.beta[0] == 2 and Stage.SOFT in stages(d))


@pytest.mark.parametrize("name", ALL)
def test_no_declared_constant_could_be_smaller_by_a_tenth(name):
    def contradicted(drawn):
        lower = None if drawn.cocoercive is None else 0.9 * drawn.cocoercive
        return any(contradiction(drawn, x, y, 0.9 * drawn.lipschitz, lower) for x, y in pairs(drawn, 0))

    assert first(ALL[name](), contradicted)
    # a field that is not cocoercive with its own Lipschitz constant
    assert first(monotone(), lambda d: any(contradiction(d, x, y, d.lipschitz, d.lipschitz) for x, y in pairs(d, 0)))


WRONG = {
    "no anchor": np.zeros(STEPS),
    "1/(k+1)": anchor_weights(STEPS, shift=1),
    "2/(k+3)": anchor_weights(STEPS, shift=3, numerator=2),
    "1/(k+3)": anchor_weights(STEPS, shift=3),
}


@pytest.mark.parametrize("weights", WRONG.values(), ids=WRONG)
def test_the_potential_catches_every_wrong_weight(weights):
    def caught(drawn):
        run = sims.halpern(drawn.operator, drawn.x0, STEPS, weights=weights)
        return potential_rises(drawn, run["residual"].values[0], run["anchor_product"].values[0])

    assert first(nonexpansive(plain=True), caught)


def test_the_bound_catches_a_missing_anchor():
    def caught(drawn):
        residual = sims.halpern(drawn.operator, drawn.x0, STEPS, weights=WRONG["no anchor"])["residual"].values[0]
        return (residual > 1.01 * theory.residual(k=np.arange(STEPS + 1), dist=drawn.dist) + 1e-9).any()

    assert first(nonexpansive(plain=True), caught)


@pytest.mark.parametrize("strategy", ALL.values(), ids=ALL)
def test_dimension(strategy):
    assert first(strategy(dim=4), lambda d: True).x0.shape == (4,)
    with pytest.raises(TypeError, match="dim must be an int, got str"):
        strategy(dim="3")
    with pytest.raises(TypeError, match="bool"):
        strategy(dim=True)
    with pytest.raises(DomainError, match="dim must be >= 1, got 0"):
        strategy(dim=0)
