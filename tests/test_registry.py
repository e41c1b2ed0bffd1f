"""Every experiment of every installed family holds, catches its saboteurs and repeats itself; families are found.

The first part is inherited: a family that is registered is tested by being registered.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from textwrap import dedent

import pytest

from lemmata import registry
from lemmata.errors import UnknownName
from lemmata.verification import Experiment, Setup, run

OURS = [point for point in entry_points(group=registry.GROUP) if point.dist.name == "lemmata"]
EVERY = [experiment for family in registry.families() for experiment in registry.load(family)]


def label(experiment):
    return f"{experiment.claim.id}-{experiment.instance}".replace(" ", "_")


# Several seconds and more in plain torch on a CPU; sims runs them every time.
DEAR = {
    "halpern": """
        eag-rate inexact-resolvent page-error vr-cost vr-expected-calls vr-no-gain vr-residual vr-residual-sharp
    """,
    "bandits": """
        confidence-ucb-bound confidence-ucb-worst-case epsilon-greedy-linear epsilon-greedy-lower etc-bound etc-gaussian
        etc-rate exp3-bound exp3-fixed-step kl-ucb-lai-robbins minimax-lower moss-bound moss-rate moss-subgaussian-bound
        thompson-exact thompson-lai-robbins tsallis-bound tsallis-rv-bound ucb1-adversarial ucb1-bound ucb1-rate
    """,
    "learning_dynamics": "descent-deviation eggroll-mean lazy-rich-alignment lazy-rich-grokking",
    # steps are a loop of Python's; `trajectory` is compared to that of sims every time
    "monotone_dbm": """
        conditioning contraction convergence parallel-amplitude parallel-oscillation peaceman-rachford step-limit
        unique-fixed-point uniqueness-threshold
    """,
    "sinkhorn_newton": """
        cycle-exponent divergence-nonnegative duality-gap gaussian-rate gaussian-transport lower-bound marginal-by-gap
        marginal-by-kernel marginal-by-radius marginal-decrease plan-invariance sparse-order sparse-support
        value-equivariance
    """,
}
SLOW = {(f"{family}/{name}", "kernels") for family, names in DEAR.items() for name in names.split()}


def marks(experiment, backend):
    slow = [pytest.mark.slow] if (experiment.claim.id, backend) in SLOW else []
    return slow + ([pytest.mark.triton] if backend == "triton" else [])


PAIRS = [pytest.param(e, b, id=f"{label(e)}-{b}", marks=marks(e, b)) for e in EVERY for b in e.backends]


@cache
def first_run(experiment, backend):
    return run(experiment, Setup(backend))


@pytest.mark.parametrize(("experiment", "backend"), PAIRS)
def test_it_holds_and_every_saboteur_is_violated(experiment, backend):
    row = first_run(experiment, backend)
    assert row.status in ("holds", "demonstrated") or (
        row.status == "inconclusive" and row.reason.startswith("quoted constant")
    ), row
    assert row.saboteurs, "an experiment without a saboteur shows nothing"
    assert {s.name: s.status for s in row.saboteurs} == {s.name: "violated" for s in experiment.saboteurs}
    assert row.sabotage == "violated"
    assert row.sabotage_ratio is not None


# one instance of a claim: the others run the same code
FIRST = {e.claim.id: e for e in reversed(EVERY)}


@pytest.mark.parametrize(("experiment", "backend"), [p for p in PAIRS if p.values[0] in FIRST.values()])
def test_the_same_seed_gives_the_same_row(experiment, backend):
    # of the algorithm alone: the saboteurs run the same code on the same draws
    differ = ("seconds", "sabotage", "sabotage_ratio", "saboteurs")
    first, again = asdict(first_run(experiment, backend)), asdict(run(experiment, Setup(backend), sabotage=False))
    for name in differ:
        del first[name], again[name]
    assert again == first


@pytest.mark.parametrize(("experiment", "backend"), [p for p in PAIRS if "random" in p.values[0].instance])
def test_another_seed_draws_other_problems(experiment, backend):
    first, other = first_run(experiment, backend), run(experiment, Setup(backend, seed=1), sabotage=False)
    assert other.status == first.status
    assert (other.at, other.measured, other.theory) != (first.at, first.measured, first.theory)


@pytest.mark.parametrize("experiment", EVERY, ids=label)
def test_it_says_what_it_is(experiment):
    claim = experiment.claim
    assert claim.statement
    assert claim.formula()
    assert claim.latex()
    assert claim.source.key in claim.cite()
    assert all(claim.symbols.values())
    assert claim.hard_problem or claim.direction != "tight"
    assert experiment.backends
    names = [s.name for s in experiment.saboteurs]
    assert len(set(names)) == len(names)
    for saboteur in experiment.saboteurs:
        assert saboteur.changes or saboteur.problems, f"saboteur {saboteur.name!r} changes nothing"


@pytest.mark.parametrize("point", OURS, ids=lambda point: point.name)
def test_a_family_has_one_name_in_every_room(point):
    made = point.load()
    assert isinstance(made, tuple)
    assert all(isinstance(e, Experiment) for e in made)
    assert point.value.startswith(f"lemmata.experiments.{point.name}")
    assert len({(e.claim.id, e.instance) for e in made}) == len(made)
    theory = import_module(f"lemmata.theory.{point.name}")
    for experiment in made:
        family, name = experiment.claim.id.split("/")
        assert family == point.name
        assert getattr(theory, name.replace("-", "_")) is experiment.claim


# ------------------------------------------------------------------------------------------- finding them


def test_families_are_sorted_and_found_once():
    assert "halpern" in registry.families()
    assert registry.families() == sorted(set(registry.families()))
    assert registry.load("halpern") is registry.load("halpern")


def test_experiments_of_a_family_and_of_a_claim():
    whole = registry.experiments("halpern")
    assert whole == registry.load("halpern")
    assert registry.experiments("halpern/residual") == tuple(e for e in whole if e.claim.id == "halpern/residual")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("halpren", "no family is called 'halpren'; there is halpern"),
        ("halpren/residual", "no family is called 'halpren'; there is halpern"),
        ("halpern/residul", "no claim is called 'halpern/residul'; there are halpern/residual, "),
        ("halpern/", "no claim is called 'halpern/'; "),
        ("", "no family is called ''; "),
        ("/", "no family is called ''; "),
    ],
)
def test_an_unknown_name_lists_the_nearest(name, words):
    with pytest.raises(UnknownName) as caught:
        registry.experiments(name)
    assert str(caught.value).startswith(words)  # not the repr that KeyError prints
    assert isinstance(caught.value, KeyError)


def test_where_nothing_is_near_everything_is_listed():
    assert registry.nearest("zzz", ["one", "two"], "figure") == "no figure is called 'zzz'; there are one, two"
    assert registry.nearest("zzz", [], "figure") == "no figure is called 'zzz'; there are none"


# -------------------------------------------------------------------------------------- another package


PYPROJECT = """
    [build-system]
    requires = ["setuptools"]
    build-backend = "setuptools.build_meta"
    [project]
    name = "lemmata-toy"
    version = "1.0"
    [project.entry-points."lemmata.experiments"]
    toy = "lemmata_toy:EXPERIMENTS"
    [tool.setuptools]
    py-modules = ["lemmata_toy"]
"""
MODULE = """
    import numpy as np
    import sympy as sp
    from lemmata.claims import Claim, Source
    from lemmata.verification import Experiment, Measurement, Saboteur

    n = sp.Symbol("n", positive=True)
    claim = Claim(
        id="toy/harmonic",
        kind="rate",
        quantity="1/n",
        expression=1 / n,
        symbols={"n": "size"},
        assumptions=(),
        source=Source("doe2001", "Doe, Jane", "On toys", "J. Toys", 2001),
        exponent=1.0,
    )

    def measure(problems, setup, power=1.0):
        x = np.geomspace(1, 100, 9)
        return Measurement(x**-power, x=x)

    EXPERIMENTS = (
        Experiment(claim, "harmonic", lambda setup: [], measure, (Saboteur("square root", {"power": 0.5}),)),
    )
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A package of someone else's, installed by pip; runs `lemmata` beside it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(dedent(PYPROJECT))
    (source / "lemmata_toy.py").write_text(dedent(MODULE))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    install = [sys.executable, "-m", "pip", "install", *options, "--target", target, source]
    subprocess.run(install, check=True, timeout=120)

    def lemmata(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(target)}
        command = [sys.executable, "-m", "lemmata", *arguments]
        return subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, timeout=120)

    return lemmata


def test_another_packages_claim_is_verified(installed):
    done = installed("verify", "toy", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = (json.loads(line) for line in done.stdout.splitlines())
    assert (row["claim"], row["instance"], row["status"], row["sabotage"]) == (
        "toy/harmonic",
        "harmonic",
        "holds",
        "violated",
    )


def test_another_packages_claim_is_listed_beside_ours(installed):
    listed = installed("list").stdout
    assert "toy/harmonic  rate, derived, Doe (2001)\n    1/n = Θ(1/n)" in listed
    assert "halpern/residual" in listed
    assert "saboteur: square root" in installed("show", "toy/harmonic").stdout


def test_a_wrong_name_finds_another_packages_claim(installed):
    done = installed("verify", "toy/harmonics")
    assert done.returncode == 2
    assert "no claim is called 'toy/harmonics'; there is toy/harmonic" in done.stderr
