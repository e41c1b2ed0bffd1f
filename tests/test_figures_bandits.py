"""The figures on bandits in small sizes: what they say holds, and a change of the data breaks it."""

import csv
import inspect
import json
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
import xarray as xr

from lemmata import figures, stats
from lemmata.claims import Claim
from lemmata.paper_figures import bandits
from lemmata.paper_figures.bandits import (
    both_worlds,
    bounds,
    contextual,
    dynamical,
    generations,
    instances,
    last_switch,
    minimax_ratio,
    neural,
    recovering,
    regret_laws,
    shared,
    streaming,
    tallying,
)
from lemmata.problems.bandits import UCB1, Bernoulli, ExploreThenCommit, TsallisINF
from lemmata.sims import bandits as sims
from lemmata.sims.bandits import simulate, trajectory
from lemmata.theory import bandits as theory

SMALL = {
    "instances": (instances, {"horizon": 2**14, "replicates": 128}),
    "minimax-ratio": (minimax_ratio, {"last": 12, "replicates": 128, "sampled": 16}),
    "regret-laws": (regret_laws, {"replicates": 5000}),
    "both-worlds": (both_worlds, {"last": 14, "replicates": 64}),
    "bounds": (bounds, {"last": 12, "replicates": 128}),
    "dynamical": (dynamical, {"last": 15, "replicates": 6}),
    "contextual": (contextual, {"last": 12, "replicates": 64}),
    "neural": (neural, {"horizon": 800, "replicates": 8, "width": 32}),
    "generations": (generations, {"generations": 8, "replicates": 100}),
    "streaming": (streaming, {"largest": 500, "replicates": 20}),
    "tallying": (tallying, {"last": 14, "replicates": 40}),
    "recovering": (recovering, {"instances": 5, "last": 15, "replicates": 20}),
    "last-switch": (last_switch, {"instances": 8, "replicates": 3000}),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The test processes share the cores: of two threads one would wait for the other, in every one of many runs."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def _simulated(name, **sizes):
    module, small = SMALL[name]
    return module.simulate("quick", 0, lambda fraction, text: None, **(small | sizes))


def _failed(module, ds):
    return {check.text for check in module.FIGURES[0].check(ds) if not check.passed}


# ------------------------------------------------------------------------------------------ the package


def test_the_package_collects_every_figure():
    assert [figure.name for figure in bandits.FIGURES] == [f"bandits/{name}" for name in SMALL]


@pytest.mark.parametrize("name", SMALL)
def test_the_picture_is_drawn_and_its_files_say_the_same(drawn, name):
    made, _ = drawn(name)
    record = json.loads(made.paths["json"].read_text(encoding="utf-8"))
    assert record["caption"] == made.caption
    assert record["checks"]
    assert all(check["passed"] for check in record["checks"])
    assert "nan" not in made.caption
    assert made.paths["pdf"].read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("instances", {"UCB1", "Thompson, low", "ε-greedy falls behind", "$C$"}),
        ("minimax-ratio", {"MOSS, $K=4$", "UCB1, $K=16$, high", "lower bound 1/20", "order $\\sqrt{\\ln T}$"}),
        ("regret-laws", {"ETC", "ETC, exact", "ETC, exact mean", "ε-greedy, lower bound", "Thompson, 99.9 %"}),
        ("both-worlds", {"UCB1", "Exp3, bound", "Tsallis-INF, rv, low"}),
        ("bounds", {case.label for case in bounds.CASES} | {"bound", "pulled until radius = gap"}),
        ("contextual", {"SquareCB", "greedy, high", "lower bound", "bound of SquareCB", "order $\\sqrt{T\\,\\ln T}$"}),
        ("neural", {"linear", "NeuSquareCB, low", "NeuFastCB", "at random"}),
        ("generations", {"inverse gap, all logs", "greedy, low", "best actions"}),
        ("streaming", {"log-star, to stored", "game of arms", "eps-best, low", "a unit an arm"}),
        ("tallying", {"elimination", "UCB1, high", "hidden arm", "exact"}),
        (
            "recovering",
            {"planning, hard", "UCB1, high", "$a = 1$, low", "lower bound, hard"},
        ),
        ("last-switch", {"optimum", "interleaved", "greedy", "guarantee", "$1 - (1 - 1/N)^N$"}),
        ("dynamical", {"DynLin-UCB", "LinUCB, high", "$\\sigma=0.1$", "$T=2^{15}$", "the whole gap"}),
    ],
)
def test_the_table_has_the_curves(drawn, name, series):
    with open(drawn(name)[0].paths["csv"], newline="", encoding="utf-8") as file:
        assert series <= {row["series"] for row in csv.DictReader(file)}


# ------------------------------------------------------------------------ what each of them says can fail


def _scaled(name, factor, **where):
    """A change of one variable: its rows `where` times `factor`, a number or a function of the dataset."""

    def change(ds):
        values = ds[name].astype(float)
        at = {d: np.isin(ds[d], v) if d in ds.coords else v for d, v in where.items()}
        part = values[at]
        scaled = part * (factor(ds) if callable(factor) else factor)
        values[at] = scaled.transpose(*part.dims)
        return ds.assign({name: values})

    return change


def _case(claim):
    return [i for i, case in enumerate(bounds.CASES) if case.claim == claim]


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("instances", _scaled("mean", 2, policy=["ε-greedy"], instance=["A"]), "pays least"),
        ("instances", _scaled("mean", 0.1, policy=["ε-greedy"], instance=["A"]), "pays more than"),
        ("instances", _scaled("slope", 1.5, policy=["ε-greedy"], instance=["A"]), "ε times the mean gap"),
        ("instances", _scaled("mean", 3, policy=["Thompson"], instance=["A"]), "below C ln t"),
        ("instances", _scaled("slope", 2, policy=["Thompson"], instance=["B"]), "slope of Thompson"),
        ("instances", _scaled("slope", 0.5, policy=["KL-UCB"], instance=["B"]), "that of KL-UCB"),
        ("instances", _scaled("slope", 1 / 3, policy=["UCB1"], instance=["B"]), "that of UCB1"),
        ("minimax-ratio", _scaled("ratio", 0.05, policy=["Thompson"]), "min(√(KT), T)/20"),
        ("minimax-ratio", _scaled("ratio", lambda ds: np.log(ds.horizon) ** -0.5, policy=["UCB1"]), "like √ln T"),
        ("minimax-ratio", _scaled("ratio", lambda ds: np.log(ds.horizon) ** 0.5, policy=["MOSS"]), "does not grow"),
        ("minimax-ratio", _scaled("ratio", 3, policy=["Thompson"]), "stays below UCB1"),
        ("minimax-ratio", _scaled("ratio", lambda ds: ds.gap**2, policy=["MOSS"]), "edge of the grid"),
        ("regret-laws", _scaled("wrong", 2), "two binomials"),
        ("regret-laws", _scaled("count", 0.999, policy=["ETC"]), "no other value"),
        ("regret-laws", _scaled("etc_mean", 1.3), "exact one"),
        ("regret-laws", _scaled("mean", 0.8, policy=["ε-greedy"]), "lower bound"),
        ("regret-laws", _scaled("mean", lambda ds: ds["round"] ** -0.2, policy=["ε-greedy"]), "ε D/2 a round"),
        ("regret-laws", _scaled("mean", 2, policy=["Thompson"]), "a third of UCB1"),
        ("regret-laws", _scaled("largest", 0.1, policy=["Thompson"]), "worst run"),
        ("regret-laws", _scaled("quantiles", 3, policy=["ETC"]), "five medians"),
        ("both-worlds", _scaled("mean", 2, policy=["Exp3"]), "exceeds its bound"),
        ("both-worlds", _scaled("mean", 0.99, policy=["UCB1"], world=["alternating"]), "T/2"),
        ("both-worlds", _scaled("mean", 10, policy=["Exp3"], world=["alternating"]), "a tenth"),
        ("both-worlds", _scaled("mean", lambda ds: ds.horizon**-0.2, policy=["Exp3"]), "like √T"),
        ("both-worlds", _scaled("mean", lambda ds: ds.horizon**0.2, policy=["Tsallis-INF"]), "like ln T"),
        ("both-worlds", _scaled("mean", 2, policy=["Tsallis-INF"]), "a third of Exp3"),
        ("bounds", _scaled("mean", 1.4, case=_case("etc_bound")), "exceeds its bound"),
        ("bounds", _scaled("mean", lambda ds: ds.horizon**0.1, case=_case("exp3_bound")), "over all horizons"),
        (
            "bounds",
            _scaled("mean", lambda ds: 1 / np.log(ds.horizon), case=_case("confidence_ucb_bound")),
            "rises with T",
        ),
        ("bounds", _scaled("mean", 1.5, case=_case("ucb1_bound")), "below 1/4"),
        ("bounds", _scaled("mean", 1.2, case=_case("etc_bound")), "its exact regret"),
        ("bounds", _scaled("etc_exact", 0.8), "factor 3/2"),
        ("bounds", _scaled("mean", np.nan, case=_case("exp3_bound")), "exceeds its bound"),
        ("bounds", _scaled("mean", 2, case=_case("moss_bound")), "60 times"),
        ("contextual", _scaled("mean", 10, policy=["SquareCB"], family=["hard"]), "below its bound"),
        ("contextual", _scaled("mean", 0.1, policy=["greedy"], family=["hard"]), "below the lower bound"),
        ("contextual", _scaled("mean", 2, policy=["SquareCB"], family=["hard"]), "a factor 4"),
        ("contextual", _scaled("mean", lambda ds: ds.horizon**0.3, policy=["SquareCB"], family=["fixed"]), "√(T ln T)"),
        ("contextual", _scaled("mean", lambda ds: ds.horizon**-0.3, policy=["greedy"]), "by a power"),
        ("contextual", _scaled("mean", lambda ds: ds.horizon**-0.1, policy=["uniform"]), "in every round"),
        ("contextual", _scaled("first_order", 0.01, rule=["SquareCB"]), "a third of SquareCB"),
        ("contextual", _scaled("first_order", 0.01, least=[0.1]), "where they cost .1"),
        ("neural", _scaled("mean", 1.2, policy=["uniform"]), "pays the mean gap"),
        ("neural", _scaled("mean", 0.5, policy=["linear"], problem=["ring"]), "saves nothing"),
        ("neural", _scaled("mean", 10, policy=["NeuSquareCB"], problem=["ring"]), "a quarter"),
        ("neural", _scaled("mean", 2, policy=["NeuFastCB"], problem=["classes"]), "less than NeuSquareCB"),
        ("neural", _scaled("mean", 0.2, policy=["linear"], problem=["classes"]), "less than any other"),
        ("generations", _scaled("loss", lambda ds: 0.475 / ds.loss.sel(policy="greedy"), policy=["greedy"]), "flips"),
        ("generations", _scaled("loss", 0.9, policy=["greedy"]), "worse than uniform"),
        ("generations", _scaled("loss", 1.3, policy=["inverse gap"]), "always better"),
        ("generations", _scaled("loss", 1.1, policy=["inverse gap, all logs"]), "less still"),
        ("generations", _scaled("worth", 1.2, policy=["uniform"]), "worth 1/K"),
        ("generations", _scaled("worth", 0.8, policy=["inverse gap"]), "worth more"),
        ("streaming", _scaled("ratio", 1.5, policy=["log-star"]), "save a quarter"),
        ("streaming", _scaled("ratio", 0.8, policy=["log-levels"]), "less than one unit"),
        ("streaming", _scaled("ratio", 1.4, charge=["stored"], policy=["log-levels"]), "seem to"),
        ("streaming", _scaled("ratio", 1.2, policy=["eps-best"]), "ln K units"),
        ("streaming", _scaled("hard", lambda ds: ds.horizon**0.1, policy=["uniform"]), ".62 to .72"),
        ("streaming", _scaled("hard", lambda ds: ds.horizon**-0.1, policy=["uniform"]), "grows"),
        ("tallying", _scaled("mean", lambda ds: ds.horizon**-0.4, policy=["UCB1"]), "a power above .6"),
        ("tallying", _scaled("mean", lambda ds: ds.horizon**-0.2, policy=["Exp3"]), "loses like t"),
        ("tallying", _scaled("mean", lambda ds: ds.horizon**0.4, policy=["elimination"]), "the power .3"),
        ("tallying", _scaled("mean", 0.1, policy=["UCB1"]), "more than elimination"),
        ("tallying", _scaled("mean", 8, policy=["UCB1"]), "UCB1 pays less"),
        ("tallying", _scaled("hidden", 1.01, discarded=[8]), "to the last round"),
        ("tallying", _scaled("smooth", lambda ds: ds.discarded), "a unit of M costs"),
        ("recovering", _scaled("ratio", 0.4, capacity=[64]), "keeps its promise"),
        ("recovering", _scaled("ratio", 1.2, capacity=[64]), "more than the relaxation"),
        ("recovering", _scaled("mean", lambda ds: ds.horizon**0.3, policy=["planning"]), "the power .6"),
        ("recovering", _scaled("mean", lambda ds: ds.horizon**-0.2, policy=["UCB1"]), "like T"),
        (
            "recovering",
            _scaled("mean", lambda ds: ds.horizon**0.2, policy=["planning, hard"]),
            "the power .43 to .57",
        ),
        ("recovering", _scaled("mean", 0.03, policy=["planning, hard"]), "above the lower bound"),
        ("recovering", _scaled("late", 0.99, capacity=[9]), "of the promise"),
        ("last-switch", _scaled("interleaved", 0.7), "keeps its promise"),
        ("last-switch", _scaled("interleaved", 1.3), "no more than the optimum"),
        ("last-switch", _scaled("optimum", 1.1), "below the relaxation"),
        ("last-switch", _scaled("crowd", 0.98, arms=[1]), "to a hundredth"),
        ("dynamical", _scaled("mean", 0.3, policy=["UCB1"]), "every other policy"),
        ("dynamical", _scaled("mean", lambda ds: ds["round"] ** 0.3, policy=["DynLin-UCB"]), ".45 to .72"),
        ("dynamical", _scaled("mean", lambda ds: ds["round"] ** -0.3, policy=["Exp3"]), "like t"),
        ("dynamical", _scaled("most", 0.01, policy=["LinUCB"]), "erratic"),
        ("dynamical", _scaled("wrong", 1.5, multiple=[2.0]), "a factor below 2"),
        ("dynamical", _scaled("lost", 0.5, assumed=[0.0]), "without persistence"),
        ("dynamical", _scaled("lost", lambda ds: ds.horizon, assumed=[0.8]), "the loss a round falls"),
    ],
)
def test_a_tampered_dataset_fails_its_check(drawn, name, change, text):
    module, (_, ds) = SMALL[name][0], drawn(name)
    assert _failed(module, ds) == set()
    assert any(text in sentence for sentence in _failed(module, change(ds)))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("instances", _scaled("mean", np.nan, policy=["KL-UCB"], instance=["A"])),
        ("minimax-ratio", _scaled("ratio", np.nan, policy=["Thompson"], gap=[0.5])),
        ("regret-laws", _scaled("count", np.nan, policy=["ETC"])),
        ("both-worlds", _scaled("mean", np.nan, policy=["Tsallis-INF, rv"], world=["alternating"])),
        ("bounds", _scaled("half", np.nan, case=_case("moss_bound"))),
        ("dynamical", _scaled("lost", np.nan, assumed=[0.0])),
        ("contextual", _scaled("first_order", np.nan, rule=["FastCB"])),
        ("neural", _scaled("mean", np.nan, policy=["NeuSquareCB"])),
        ("generations", _scaled("loss", np.nan, policy=["greedy"])),
        ("streaming", _scaled("ratio", np.nan, policy=["log-star"])),
        ("tallying", _scaled("mean", np.nan, policy=["UCB1"])),
        ("recovering", _scaled("ratio", np.nan, capacity=[9])),
        ("recovering", _scaled("late", np.nan, capacity=[9])),
        ("last-switch", _scaled("crowd", np.nan)),
    ],
)
def test_no_nan_passes(drawn, name, change):
    assert _failed(SMALL[name][0], change(drawn(name)[1]))


# ------------------------------------------------------------------------------- two routes to the numbers


def test_the_interval_is_students():
    sample = np.random.default_rng(0).exponential(size=(50, 2))
    mean, half = shared.mean_and_half(sample)
    for i in range(2):
        expected = stats.student_interval(sample[:, i], level=shared.LEVEL)
        np.testing.assert_allclose([mean[i] - half[i], mean[i] + half[i]], expected[:2], rtol=1e-12)  # rounding


def test_a_crossing_lies_between_the_rounds():
    t = np.array([10, 20, 40, 80])
    rows = np.array([[1.0, 2.0, 4.0, 8.0], [2.0, 2.5, 3.0, 3.5], [9.0, 9.0, 9.0, 9.0]])
    ds = xr.Dataset(
        {"mean": (("instance", "policy", "round"), rows[None])},
        {"instance": ["A"], "policy": ["line", "curve", "high"], "round": t},
    )
    at = instances.crossing(ds, "A", "line", "curve")
    # log-log lines through (20, 2), (40, 4) and (20, 2.5), (40, 3) meet where 2 x = 2.5 x^log2(1.2), t = 20 x
    np.testing.assert_allclose(at, 20 * 1.25 ** (1 / (1 - np.log2(1.2))), rtol=1e-12)
    assert instances.crossing(ds, "A", "line", "high") == np.inf
    assert instances.crossing(ds, "A", "high", "line") == 10


def test_two_binomials_give_the_enumerated_regret_of_explore_then_commit():
    # E R_T = m D + (T - 2m) D q, and the left side by rational enumeration of counts and sums
    horizon, pulls = 20, 3
    enumerated = float(theory.exact_regret(ExploreThenCommit(pulls), ("3/5", "2/5"), horizon)[-1])
    q = regret_laws.wrong_commitment(pulls, 0.6, 0.4)
    np.testing.assert_allclose(pulls * 0.2 + (horizon - 2 * pulls) * 0.2 * q, enumerated, rtol=1e-12)


def test_the_alternation_is_one_for_ucb_and_the_random_world_has_its_shares():
    env = both_worlds.alternating(100)
    path = trajectory(UCB1(), env, 100, seed=0)
    np.testing.assert_array_equal(path["arm"], np.arange(100) % 2)
    assert (path["reward"] == 0).all()
    np.testing.assert_array_equal(1 - env.losses.mean(axis=0), both_worlds.RANDOM.means)


def test_every_bound_on_a_mean_regret_of_k_arms_is_in_the_figure():
    upper = {
        name
        for module in (theory.stochastic, theory.adversarial)
        for name, claim in vars(module).items()
        if isinstance(claim, Claim) and claim.kind == "mean-bound" and claim.direction == "upper"
    }
    assert {case.claim for case in bounds.CASES} == upper


def test_bounds_are_evaluated_on_the_gaps_of_their_instance():
    values = {case.label: case.bound(theory, 10_000) for case in bounds.CASES if case.claim == "ucb1_bound"}
    # by hand on A: nine gaps of .1
    by_hand = 8 * 9 * np.log(10_000) / 0.1 + (1 + np.pi**2 / 3) * 0.9
    np.testing.assert_allclose(values["UCB1, instance A"], by_hand, rtol=1e-12)
    np.testing.assert_allclose(values["UCB1, two arms"], 16 * np.log(10_000) + (1 + np.pi**2 / 3) / 2, rtol=1e-12)


def test_the_places_of_the_best_arm_are_played_with_different_coins(monkeypatch):
    seen = []

    def play(policy, env, horizon, replicates, *, first_replicate, **options):
        seen.append((env.best, first_replicate, replicates))
        return simulate(policy, env, horizon, replicates, first_replicate=first_replicate, **options)

    monkeypatch.setattr(sims, "simulate", play)
    monkeypatch.setattr(minimax_ratio, "ARMS", (4,))
    monkeypatch.setattr(minimax_ratio, "GAPS", (1.0,))
    _simulated("minimax-ratio", last=10)
    assert seen[:2] == [(0, 0, 64), (3, 64, 64)]


# --------------------------------------------------------------------------------- broken code is noticed


def test_a_policy_with_coins_does_not_lose_in_every_round(monkeypatch):
    monkeypatch.setitem(both_worlds.POLICIES, "UCB1", TsallisINF())
    assert any("R_T = T/2" in text for text in _failed(both_worlds, _simulated("both-worlds", last=10)))


def test_the_radius_of_ucb1_in_moss_is_seen_to_grow(monkeypatch):
    monkeypatch.setitem(minimax_ratio.POLICIES, "MOSS", UCB1())
    monkeypatch.setattr(minimax_ratio, "ARMS", (16,))
    failed = _failed(minimax_ratio, _simulated("minimax-ratio", sampled=16))
    assert any("does not grow" in text for text in failed)


def test_a_bound_without_its_exploration_is_exceeded(monkeypatch):
    pair = next(case for case in bounds.CASES if case.label == "UCB1, two arms")
    # the worse arm comes first, and wins ties
    broken = replace(pair, policy=lambda t: UCB1(0.0), env=lambda t: Bernoulli(np.array([0.25, 0.75])))
    monkeypatch.setattr(bounds, "CASES", tuple(broken if case is pair else case for case in bounds.CASES))
    assert any("exceeds its bound" in text for text in _failed(bounds, _simulated("bounds", replicates=64)))


# ------------------------------------------------------------------------------ what a dataset depends on


def test_a_seed_gives_the_same_dataset_and_another_one_another():
    one, again = (_simulated("both-worlds", last=9, replicates=8) for _ in range(2))
    assert one.identical(again)
    other = both_worlds.simulate("quick", 1, lambda fraction, text: None, last=9, replicates=8)
    assert (one["mean"] != other["mean"]).any()


def test_what_the_figures_share_is_part_of_their_source():
    for figure in bandits.FIGURES:
        imports = "paper_figures.bandits.shared import" in Path(inspect.getfile(figure.simulate)).read_text()
        assert [path.name for path in figures._beside(figure.simulate)] == ["shared.py"] * imports
