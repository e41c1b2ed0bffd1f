"""The figures on variance-reduced methods in small sizes: what they say holds, and a change of the data breaks it."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from lemmata.paper_figures.halpern import crossover, paper_game, paper_qp
from lemmata.paper_figures.halpern.paper_qp import _enough, _within, five
from lemmata.problems.halpern import Operator, matrix_game
from lemmata.problems.halpern.finite_sums import ouyang_xu

SMALL = {
    "paper-game": (paper_game, {"size": 250, "epochs": 300, "replicates": 2}),
    "paper-qp": (paper_qp, {"replicates": 4}),
    "crossover": (crossover, {}),
}


def _failed(module, ds):
    return {check.text for check in module.FIGURES[0].check(ds) if not check.passed}


@pytest.mark.parametrize("name", SMALL)
def test_the_picture_is_drawn_and_its_files_say_the_same(drawn, name):
    made, _ = drawn(name)
    record = json.loads(made.paths["json"].read_text(encoding="utf-8"))
    assert record["caption"] == made.caption
    assert record["checks"]
    assert all(check["passed"] for check in record["checks"])
    assert "nan" not in made.caption
    assert "inf" not in made.caption
    assert made.paths["pdf"].read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("paper-game", {"EG", "EAG", "VR-EG", "Algorithm 1", "Algorithm 2", "Algorithm 1, low"}),
        ("paper-qp", {"EG", "Algorithm 2, high", "seed 3", "stale previous point", "refreshed with $F$"}),
        ("crossover", {"Algorithm 1, $\\eta=1/(4L)$", "Algorithm 1, $\\eta=1/L$ (tuned)", "Halpern, 2/$L_F$"}),
    ],
)
def test_the_table_has_the_curves(drawn, name, series):
    with open(drawn(name)[0].paths["csv"], newline="", encoding="utf-8") as file:
        assert series <= {row["series"] for row in csv.DictReader(file)}


# ------------------------------------------------------------------------ what each of them says can fail


def _scaled(name, factor, **where):
    """A change of one variable: its entries `where` times `factor`."""

    def change(ds):
        values = ds[name].astype(float)
        values.loc[where] = values.loc[where] * factor
        return ds.assign({name: values})

    return change


def _sampled(algorithm, factor):
    return _scaled("sampled", factor, sampled_algorithm=algorithm)


def _set(name, value):
    return lambda ds: ds.assign({name: ds[name] * 0 + value})


def _relabelled(ds):
    """The first tuned row passes for one that its theorem covers."""
    tuned = ds.tuned.values.copy()
    tuned[1] = False
    return ds.assign(tuned=("algorithm", tuned))


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("paper-game", _sampled("VR-EG", 10), "every seed of VR-EG has a quarter of the residual before EG"),
        ("paper-game", _sampled("Algorithm 1", 10), "every seed of Algorithm 1 has a quarter"),
        ("paper-game", _sampled("Algorithm 2", 2), "every seed of Algorithm 2 has a quarter"),
        ("paper-game", _sampled("Algorithm 1", 0.5), "every seed of VR-EG has it before"),
        ("paper-game", _sampled("Algorithm 2", 0.2), "before every seed of Algorithm 2"),
        ("paper-game", _scaled("full", 0.2, algorithm="EAG"), "EAG has it after EG"),
        ("paper-game", _scaled("full", 10, algorithm="EAG"), "EAG has it after EG"),
        ("paper-game", _set("disagreement", 1e-9), "match those of numpy"),
        ("paper-qp", _scaled("full", 1.0001, algorithm="EG"), "EG: residual at 4,000"),
        ("paper-qp", _scaled("full", 1.0001, algorithm="EAG"), "EAG: residual at 4,000"),
        ("paper-qp", _sampled("Algorithm 1", 3), "within the range of the seeds"),
        ("paper-qp", _sampled("Algorithm 2", 0.3), "below every other curve"),
        ("paper-qp", _scaled("full", 1.2, algorithm="EAG"), "EAG is below EG"),
        ("paper-qp", _scaled("stale", 1e-30), "exceeds 1e20"),
        ("paper-qp", _set("disagreement", 1e-6), "two implementations"),
        ("paper-qp", _set("miscounted", 28), "count the same calls"),
        ("crossover", _scaled("slope", 1.01, algorithm="EG, 0.9/L_F"), "exactly n times"),
        ("crossover", _scaled("slope", 1.2, algorithm=crossover.COVERED), "slopes of Algorithm 1"),
        ("crossover", _relabelled, "tuned"),
        ("crossover", _scaled("calls_max", 4, algorithm=crossover.COVERED), "16/ε"),
        ("crossover", _scaled("calls", 0.1, algorithm=crossover.COVERED), "at n = 16 Algorithm 1"),
        ("crossover", _scaled("calls", 5, algorithm="Algorithm 1, η = 1/L (tuned)"), "a longer step"),
        ("crossover", _scaled("monotone_calls", 0.2, monotone_algorithm=crossover.INEXACT), "costs more than FEG"),
        ("crossover", _scaled("monotone_calls", 0.5, monotone_algorithm=crossover.FEG), "it costs less at n = 256"),
    ],
)
def test_a_tampered_dataset_fails_its_check(drawn, name, change, text):
    module, (_, ds) = SMALL[name][0], drawn(name)
    assert _failed(module, ds) == set()
    assert any(text in sentence for sentence in _failed(module, change(ds)))


# ------------------------------------------------------------------------------------- what they rest on


@pytest.mark.slow
def test_the_reference_values_are_those_of_the_extragradient_step(drawn):
    """EG on a linear field is a power of one matrix."""
    _, ds = drawn("paper-qp")
    problem = ouyang_xu(200)
    scaled = 0.5 * problem.operator.matrix
    step = np.eye(400) - scaled + scaled @ scaled
    gap = np.linalg.matrix_power(step, 2_000) @ (problem.x0 - problem.solution)
    expected = np.linalg.norm(problem.operator.matrix @ gap)
    # 2,000 roundings of vectors of length 1,600
    np.testing.assert_allclose(ds.full.sel(algorithm="EG", epoch=4_000), expected, rtol=1e-8)


def test_a_residual_is_that_of_the_last_iterate_a_budget_pays_for():
    calls, residual = np.array([[10, 20, 30], [5, 25, 35]]), np.array([[3.0, 2.0, 1.0], [6.0, 5.0, 4.0]])
    found = _within(calls, residual, np.array([9, 10, 29, 30]), 9.0)
    assert found.tolist() == [[9.0, 3.0, 2.0, 1.0], [6.0, 6.0, 5.0, 5.0]]
    with pytest.raises(RuntimeError, match="ended after 30 of 31 calls"):
        _within(calls, residual, np.array([31]), 9.0)


def test_enough_steps_leave_six_standard_deviations():
    steps = _enough(3.0, 10.0, 5_000.0)
    assert 3 * steps - 60 * np.sqrt(steps) >= 5_000
    assert 3 * (steps - 1) - 60 * np.sqrt(steps - 1) < 5_000


def test_the_sampled_curves_depend_on_the_seed_and_the_others_do_not():
    problem = ouyang_xu(20)
    operator = Operator.affine(problem.operator.matrix, is_map=False).centred(problem.solution)
    steps = replace(paper_qp.STEPS, batch=4)
    one, two = (
        five(problem, operator, steps, np.arange(2, 60), 2, seed, lambda fraction, text: None) for seed in (0, 1)
    )
    for name in paper_qp.DETERMINISTIC:
        assert np.array_equal(one[name], two[name])
    for name in paper_qp.SAMPLED:
        assert one[name].shape == (2, 58)
        assert not np.array_equal(one[name], two[name])
        assert not np.array_equal(one[name][0], one[name][1])


def test_the_published_steps_are_those_of_the_matrix():
    matrix = matrix_game(500)
    steps = paper_game.published_steps(matrix)
    singular = np.linalg.svd(matrix, compute_uv=False)
    assert steps.batch == 22
    # roundings of the singular values
    np.testing.assert_allclose([steps.eg, steps.eag], 5 / singular[0], rtol=1e-10)
    np.testing.assert_allclose(steps.page, 5 / np.sqrt((singular**2).sum()), rtol=1e-10)
    np.testing.assert_allclose(steps.resolvent / steps.page, np.sqrt(500) / 5, rtol=1e-14)


def test_the_crossing_is_interpolated_between_the_logarithms():
    n = np.array([1, 10, 100])
    assert crossover._crossing(n, np.array([2.0, 2.0, 2.0]), np.array([1.0, 1.0, 4.0])) == pytest.approx(10**1.5)
    assert crossover._crossing(n, np.array([1.0, 1.0, 1.0]), np.array([2.0, 2.0, 2.0])) == 1
    assert crossover._crossing(n, np.array([2.0, 2.0, 2.0]), np.array([1.0, 3.0, 1.0])) == np.inf
