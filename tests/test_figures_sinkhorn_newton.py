"""The figures on Sinkhorn-Newton in small sizes: what they say holds, and a change of the data breaks it."""

import csv
import json

import numba
import numpy as np
import pytest
import xarray as xr

from lemmata import figures
from lemmata.paper_figures import sinkhorn_newton
from lemmata.paper_figures.sinkhorn_newton import (
    convergence,
    published,
    shared,
    sparsity,
    sweeps,
    temperature,
    wall_time,
)
from lemmata.problems.sinkhorn_newton import densities, random_assignment, random_transport
from lemmata.sims.sinkhorn_newton import sinkhorn, solve
from lemmata.theory import sinkhorn_newton as theory

SMALL = {
    "convergence": (convergence, {"rows": 150, "size": 10, "instances": 2}),
    "wall-time": (wall_time, {"rows": 60, "size": 8, "instances": 1}),
    "sparsity": (sparsity, {"rows": 80, "size": 18, "instances": 1}),
    "sweeps": (sweeps, {"rows": 100, "size": 12, "instances": 1}),
    "temperature": (temperature, {"rows": 60, "size": 8, "instances": 2, "limit": 3000}),
    "published": (published, {"rows": 80, "size": 10, "instances": 1}),
}
#: seconds of a small problem, on a machine with other work, say nothing
BEYOND = {"wall-time": ("random assignment and", "there is nothing", "the gain from", "dense Newton")}


def demanded(name, ds):
    """The checks that small sizes can meet."""
    module, _ = SMALL[name]
    return [c for c in module.FIGURES[0].check(ds) if not c.text.startswith(BEYOND.get(name, ("-",)))]


def _simulated(name, **sizes):
    module, small = SMALL[name]
    return module.simulate("quick", 0, lambda fraction, text: None, **(small | sizes))


def _failed(module, ds):
    return {check.text for check in module.FIGURES[0].check(ds) if not check.passed}


# ------------------------------------------------------------------------------------------ the package


def test_the_package_collects_every_figure():
    assert [figure.name for figure in sinkhorn_newton.FIGURES] == [f"sinkhorn_newton/{name}" for name in SMALL]


@pytest.mark.parametrize("name", SMALL)
def test_the_picture_is_drawn_and_its_files_say_the_same(drawn, name):
    made, _ = drawn(name)
    record = json.loads(made.paths["json"].read_text(encoding="utf-8"))
    assert record["caption"] == made.caption
    assert record["checks"]
    assert all(check["passed"] for check in record["checks"])
    assert "nan" not in made.caption
    assert "MNIST, which is not bundled" in made.caption
    assert made.paths["png"].read_bytes().startswith(b"\x89PNG")
    assert made.paths["pdf"].read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("convergence", {"SNS", "Sinkhorn, high", "slope $\\log_{10}\\sigma^2$", "densities, L1 distance"}),
        ("wall-time", {"SNS", "Sinkhorn, low", "over-relaxed", "dense Newton", "digits, L1 distance"}),
        ("sparsity", {"$N_1=0$", "$N_1=1,000$", "optimum", "optimum, high", "digits, L1 distance, optimum"}),
        ("sweeps", {"random assignment, low", "digits, L1 distance, annealed", "theory"}),
        ("temperature", {"random assignment, predicted", "densities, L1 distance, bound", "digits, L1 distance"}),
        ("published", {"random assignment, SNS, our budget, paper", "digits, L1 distance, Sinkhorn, range"}),
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


UNIFORM = "random assignment"


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("convergence", _scaled("final", 1e3, algorithm="SNS"), "on every instance: largest delta"),
        ("convergence", _scaled("newton", 9), "at most 25 Newton steps"),
        ("convergence", lambda ds: ds.assign(delta=ds.delta**0.3), "ends in a cliff"),
        ("convergence", _scaled("rate", 1.02), "Sinkhorn's line has the slope"),
        ("convergence", _scaled("rate", 1.1, case=UNIFORM), "nine instances of ten"),
        ("convergence", _scaled("slope", np.nan, case=UNIFORM), "before its line"),
        ("convergence", _scaled("steps", 0.01, algorithm="Sinkhorn"), "a fifth of"),
        ("convergence", _scaled("steps", 0.001, algorithm="Sinkhorn"), "fewer on every instance"),
        ("convergence", _scaled("stages", 1 / 6, case="digits, L1 distance"), "has to anneal"),
        ("wall-time", _scaled("final", 1e3, algorithm="dense Newton"), "both Newton methods"),
        ("wall-time", _scaled("seconds", 1e3, algorithm="SNS"), "five times faster"),
        ("wall-time", _scaled("seconds", 1e3, algorithm="Sinkhorn"), "nothing to gain"),
        ("wall-time", _scaled("seconds", 0.0, algorithm="Sinkhorn"), "the gain from"),
        ("wall-time", _scaled("seconds", 1e3, algorithm="SNS"), "dense Newton steps"),
        ("sparsity", _scaled("left_out", 1e9, case=UNIFORM), "10 n entries"),
        ("sparsity", _scaled("needed", 1.2, warmup=1000), "as sparse as it ever is"),
        ("sparsity", _scaled("left_out", 0.1, case=UNIFORM, drawn=20), "the paper's density"),
        ("sparsity", _scaled("left_out", 0.1, case="digits, squared distance"), "over a tenth"),
        ("sparsity", _scaled("needed", 9, case="digits, L1 distance", warmup=20), "far sparser"),
        ("sparsity", _scaled("hypothesis", 1e4), "the theorem on sparsity"),
        ("sweeps", lambda ds: ds.assign(newton=ds.newton.clip(max=15)), "the paper's 9"),
        ("sweeps", _scaled("newton", np.inf, case=UNIFORM, entries=10), "with 10 n"),
        ("sweeps", lambda ds: ds.assign(newton=ds.newton.clip(max=60)), "none is solved"),
        ("sweeps", _scaled("predicted", 1.1), "converges linearly"),
        ("sweeps", _scaled("predicted", 1.5, entries=3), "in 19 runs of 20"),
        ("sweeps", _scaled("measured", np.nan), "read in at least"),
        ("sweeps", _scaled("steps", np.inf, case=UNIFORM, warmup=5), "whatever N1"),
        ("sweeps", _scaled("steps", 9, warmup=0), "without any Sinkhorn step"),
        ("sweeps", _scaled("steps", 9, warmup=500), "save a third"),
        ("sweeps", _scaled("stages", 1 / 6, case="digits, L1 distance"), "has to anneal"),
        ("temperature", _scaled("delta", 1e4), "at every temperature"),
        ("temperature", _scaled("sns", 10, eta=5000.0), "more than 400"),
        ("temperature", _scaled("predicted", 1.02), "the predicted ones"),
        ("temperature", _scaled("plain", 1.1, case=UNIFORM), "nine runs of ten"),
        ("temperature", _scaled("plain", np.nan), "given up"),
        ("temperature", _scaled("predicted", 0.1, eta=5000.0), "grow from eta"),
        ("temperature", _scaled("predicted", 1e-9, case=UNIFORM, eta=5000.0), "over 1e6"),
        ("temperature", _scaled("bias", -1), "nonnegative"),
        ("temperature", _scaled("bias", 20), "at most eps min"),
        ("temperature", _scaled("bias", 30, case=UNIFORM, eta=5000.0), "falls as the temperature"),
        ("published", _scaled("delta", 1e3), "on every instance"),
        ("published", _scaled("newton", 3, case=UNIFORM), "the paper's 29"),
        ("published", _scaled("newton", 9, case="digits, squared distance"), "the paper's 53"),
        ("published", _scaled("sinkhorn", 0.1, algorithm="Sinkhorn"), "a twentieth"),
        ("published", _scaled("newton", 0.1, case=UNIFORM), "twice 9"),
        ("published", _scaled("delta", 0.0, case="digits, squared distance"), "no digits with"),
    ],
)
def test_a_tampered_dataset_fails_its_check(drawn, name, change, text):
    module, (_, ds) = SMALL[name][0], drawn(name)
    assert any(text in sentence for sentence in _failed(module, change(ds.copy(deep=True))))
    if name not in BEYOND:
        assert _failed(module, ds) == set()


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("convergence", "final"),
        ("wall-time", "final"),
        ("sparsity", "hypothesis"),
        ("sweeps", "newton"),
        ("temperature", "delta"),
        ("published", "newton"),
    ],
)
def test_no_nan_passes(drawn, name, variable):
    assert _failed(SMALL[name][0], _scaled(variable, np.nan)(drawn(name)[1].copy(deep=True)))


# ------------------------------------------------------------------------------- two routes to the numbers


def test_a_level_is_settled_where_delta_is_above_it_for_the_last_time():
    delta = np.array([1.0, 1e-2, 1e-1, 1e-3, 1e-5])
    found = dict(zip(shared.LEVELS.tolist(), shared.settled(delta, np.arange(5.0)), strict=True))
    level = {k: min(found, key=lambda x: abs(np.log10(x) + k)) for k in (0, 1, 2, 4, 6)}
    # between .1 and 1e-3 and between 1e-3 and 1e-5 the logarithm is linear
    expected = [0, 2, 2.5, 3.5, np.inf]
    np.testing.assert_allclose([found[level[k]] for k in (0, 1, 2, 4, 6)], expected, rtol=1e-12)


def test_steps_of_the_last_decades_are_those_of_the_rate():
    rate = 0.9
    delta = rate ** np.arange(400)
    assert shared.last_decades(delta, 1e-8, 1e-12) == pytest.approx(shared.decade_steps(rate, 4), rel=1e-9)
    assert np.isnan(shared.last_decades(delta[:100], 1e-8, 1e-12))


def test_sinkhorn_in_parts_is_one_iteration():
    problem = random_transport(30, 20, eps=0.02, seed=1)
    data = (problem.C, problem.r, problem.c, problem.eps)
    first = shared.plain_sinkhorn(problem, 7, tol=1e-300)
    second = shared.plain_sinkhorn(problem, 14, tol=1e-300, g=first[-1].g)
    delta, seconds = shared.trace_of([*first, *second])
    assert len(delta) == 22
    assert (np.diff(seconds) >= 0).all()
    start = (problem.C - problem.C.min(axis=1, keepdims=True)).min(axis=0)
    along = sinkhorn(*data, 22, g=start)
    np.testing.assert_allclose(delta, along["delta"].values[1::2], rtol=1e-9)


def test_the_frozen_rate_is_the_spectral_radius_of_the_iteration_matrix():
    problem = random_assignment(30, eta=60.0, seed=3)
    P = solve(problem.C, problem.r, problem.c, problem.eps, tol=1e-13).P
    r, c = P.sum(axis=1), P.sum(axis=0)
    for entries in (1.5, 2.0, 3.0):
        kept = np.sort(P, axis=None)[-int(np.ceil(entries * 30))] <= P
        S = np.where(kept, P, 0.0)
        whole, model = (np.diag(c) - X.T @ (X / r[:, None]) for X in (P, S))
        # columns of equal mass: the gauge is the constant vector in both scalings
        off = np.eye(30) - 1 / 30
        error = np.linalg.eigvals(off - np.linalg.pinv(off @ model @ off) @ whole)
        assert sweeps.frozen_rate(P, entries) == pytest.approx(np.abs(error).max(), rel=1e-8)
    assert sweeps.frozen_rate(P, 30) < 1e-12


def test_the_entries_needed_are_counted():
    P = np.array([[0.5, 0.2, 0.1], [0.1, 0.06, 0.04]])
    assert sparsity.needed(P, 0.25) == 1.5  # .5, .2, .1 of 2 rows leave .2
    assert sparsity.needed(P, 0.05) == 2.5
    left = dict(zip(sparsity.ENTRIES.tolist(), sparsity.left_out(P), strict=True))
    np.testing.assert_allclose([left[0.5], left[1], left[2], left[3]], [0.5, 0.3, 0.1, 0], atol=1e-15)


def test_the_drawn_densities_have_the_optimum_of_a_linear_programme():
    library = shared.make("densities, L1 distance", 0, (40, 0), 5)
    assert np.array_equal(library.r, densities(40, p=1).r)
    assert library.optimum == densities(40, p=1).optimum
    for case in ("densities, squared distance", "densities, L1 distance"):
        one, other = (shared.make(case, k, (40, 0), 5) for k in (1, 2))
        assert one.r.min() > 0
        assert one.c.min() > 0
        assert np.abs(one.r - other.r).max() > 1e-3
        exact = float((one.C * theory.exact_plan(one.C, one.r, one.c)).sum())
        assert temperature.optimum(one) == pytest.approx(exact, rel=1e-8)


def test_the_optimum_of_an_assignment_is_that_of_a_linear_programme():
    problem = random_assignment(20, eta=50.0, seed=0)
    exact = float((problem.C * theory.exact_plan(problem.C, problem.r, problem.c)).sum())
    assert temperature.optimum(problem) == pytest.approx(exact, rel=1e-10)
    assert np.isnan(temperature.optimum(shared.make("digits, L1 distance", 0, (0, 6), 0)))


def test_digits_are_ten_pairs():
    made = [shared.make("digits, squared distance", k, (0, 8), 0) for k in range(10)]
    assert len({problem.at["digits"] for problem in made}) == 10


def test_one_thread_is_given_back():
    before = numba.get_num_threads()
    with shared.one_thread():
        assert numba.get_num_threads() == 1
    assert numba.get_num_threads() == before


def test_a_curve_across_ends_where_most_runs_do():
    _, axes = figures.canvas()
    steps = np.arange(float(shared.LEVELS.size)) * np.ones((3, 1))
    steps[0, 20:], steps[1:, 40:] = np.inf, np.inf
    values = xr.DataArray(steps, dims=("instance", "level"))
    shared.crosswise(axes, values, "C0", "o", "runs")
    lengths = {line.get_gid() or line.get_label(): len(line.get_xdata()) for line in axes.lines}
    assert lengths == {"runs, low": 20, "runs, high": 20, "runs": 40}


# --------------------------------------------------------------------------------- broken code is noticed


def test_the_rate_of_another_plan_is_seen(monkeypatch):
    monkeypatch.setattr(convergence, "sigma_squared", lambda P: shared.sigma_squared(P**0.9))
    assert any("has the slope" in text for text in _failed(convergence, _simulated("convergence")))


def test_half_the_entries_are_seen(monkeypatch):
    rate = sweeps.frozen_rate
    monkeypatch.setattr(sweeps, "frozen_rate", lambda P, entries: rate(P, 0.8 * entries))
    assert any("converges linearly" in text for text in _failed(sweeps, _simulated("sweeps")))


def test_an_optimum_too_high_is_seen(monkeypatch):
    exact = temperature.optimum
    monkeypatch.setattr(temperature, "optimum", lambda problem: 1.01 * exact(problem))
    failed = _failed(temperature, _simulated("temperature", instances=1, limit=100))
    assert any("nonnegative" in text for text in failed)


# ------------------------------------------------------------------------------ what a dataset depends on


def test_a_seed_gives_the_same_dataset_and_another_one_another():
    one, again = (_simulated("sparsity", rows=30, size=6, instances=2) for _ in range(2))
    assert one.identical(again)
    other = sparsity.simulate("quick", 1, lambda fraction, text: None, rows=30, size=6, instances=2)
    assert (one.needed != other.needed).any(("warmup", "instance")).values.tolist() == [True, False, False, True, True]


def test_what_the_figures_share_is_part_of_their_source():
    for figure in sinkhorn_newton.FIGURES:
        assert [path.name for path in figures._beside(figure.simulate)] == ["shared.py"]
