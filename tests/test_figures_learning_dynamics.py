"""The figures of the family in small sizes: what they say holds, and a change of the data breaks it."""

import csv
import json

import pytest

from lemmata.paper_figures import learning_dynamics
from lemmata.paper_figures.learning_dynamics import (
    deep_linear,
    eggroll,
    grokking,
    lazy_rich,
    lazy_rich_grid,
    li2,
    li2_samples,
    perceptron,
    stability,
)

SMALL = {
    "deep-linear": (deep_linear, {"rate": 0.01, "deepest": 256}),
    "eggroll": (eggroll, {"pairs": 250}),
    "grokking": (grokking, {"modulus": 19, "last": 250}),
    "lazy-rich": (lazy_rich, {"D": 10, "seeds": 4, "last": 2000}),
    "lazy-rich-grid": (lazy_rich_grid, {"D": 20, "starts": 1, "last": 300}),
    "li2": (li2, {"starts": 60}),
    "li2-samples": (li2_samples, {"moduli": (11, 13), "starts": 1, "steps": 300}),
    "perceptron": (perceptron, {"n": 100, "sets": 20}),
    "softmax-collapse": (stability, {"points": 441}),
}
#: checks that a short training does not meet
BEYOND = {
    "grokking": ("weight decay", "StableMax does", "less so", "most losses", "in double"),
    "lazy-rich-grid": ("every run fits", "at 4 points and more"),
}


def demanded(name, ds):
    """The checks that small sizes can meet."""
    module, _ = SMALL[name]
    return [c for c in module.FIGURES[0].check(ds) if not c.text.startswith(BEYOND.get(name, ("-",)))]


def test_the_package_collects_every_figure():
    assert [figure.name for figure in learning_dynamics.FIGURES] == [f"learning_dynamics/{name}" for name in SMALL]


@pytest.mark.parametrize("name", SMALL)
def test_the_picture_is_drawn_and_its_files_say_the_same(drawn, name):
    made, _ = drawn(name)
    record = json.loads(made.paths["json"].read_text(encoding="utf-8"))
    assert record["caption"] == made.caption
    assert all(check["passed"] for check in record["checks"])
    assert len(record["checks"]) >= 3
    assert "nan" not in made.caption
    assert made.paths["pdf"].read_bytes().startswith(b"%PDF")
    with open(made.paths["csv"], newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) > 20


def _scaled(name, factor, **where):
    """A change of one variable: its rows `where` times `factor`, a number or a function of the dataset."""

    def change(ds):
        values = ds[name].astype(float)
        values.loc[where] = values.loc[where] * (factor(ds) if callable(factor) else factor)
        return ds.assign({name: values})

    return change


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("deep-linear", _scaled("strength", 1.2, mode=2.0), "of the sigmoids"),
        ("deep-linear", _scaled("delay", 1.001, depth=8), "time of the formula"),
        ("deep-linear", _scaled("delay", 0.1, depth=256), "grows with depth"),
        ("deep-linear", _scaled("delay", 1.1), "of its limit, below"),
        ("deep-linear", _scaled("random", 0.2, mode=3.0), "strongest mode"),
        ("eggroll", _scaled("sampled", 1.5), "Monte Carlo"),
        ("eggroll", _scaled("bias", lambda ds: ds["rank"] ** 0.1), "slope -1"),
        ("eggroll", _scaled("bias", 1.05), "coefficient"),
        ("eggroll", _scaled("skewed", lambda ds: ds.skewed_rank**-0.5), "slope -1/2"),
        ("grokking", _scaled("train", 0.9), "fits the pairs"),
        ("grokking", _scaled("test", 0.8, recipe=["perpGrad"]), "perpGrad generalises"),
        ("grokking", lambda ds: ds.assign(dead=ds.dead + 0.1), "none of StableMax"),
        ("lazy-rich", _scaled("test", 0.2, alpha=2.0), "delay grows"),
        ("lazy-rich", _scaled("test", lambda ds: ds.step.clip(1, 10) ** -1.0), "first rises"),
        ("lazy-rich", _scaled("test", 5, ratio=8), "twice the points"),
        ("lazy-rich-grid", _scaled("test", 0.1, alpha=4.0), "delay grows"),
        ("lazy-rich-grid", _scaled("test", 0.1, ratio=2), "2 points a dimension"),
        ("lazy-rich-grid", _scaled("test", lambda ds: ds.step.clip(1, 10) ** -1.0), "first rises"),
        ("lazy-rich-grid", _scaled("after", 0.9), "turns towards"),
        ("lazy-rich-grid", _scaled("final", 1.1), "kernel of the formula"),
        ("li2", _scaled("energy", 1.01, modulus=10), "ends at 1/4"),
        ("li2", _scaled("purity", 0.9), "single frequency"),
        ("li2", _scaled("frequency", 0.0, modulus=23), "all frequencies"),
        ("li2", _scaled("frequency", 0.0, modulus=10), "some but not all"),
        ("li2-samples", _scaled("train", 0.9), "are fitted"),
        ("li2-samples", lambda ds: ds.assign(test=ds.test + 0.4), "almost nothing"),
        ("li2-samples", _scaled("test", 0.6), "the sum is"),
        ("li2-samples", lambda ds: ds.assign(test=ds.test.where(ds.modulus == 11, ds.test.shift(count=3))), "exponent"),
        ("perceptron", _scaled("steps", 10, rule="normalized"), "keeps its bound"),
        ("perceptron", _scaled("steps", 1.1, rule="plain"), "the perceptron's steps"),
        ("perceptron", _scaled("steps", 0.01, rule="plain"), "ten times"),
        ("softmax-collapse", _scaled("upper", 0.9), "upper threshold"),
        ("softmax-collapse", _scaled("lower", 2.0), "lower one"),
        ("softmax-collapse", _scaled("stable", 0.1), "StableMax"),
    ],
)
def test_a_tampered_dataset_fails_its_check(drawn, name, change, text):
    _, ds = drawn(name)
    before, after = ({c.text for c in demanded(name, d) if not c.passed} for d in (ds, change(ds.copy(deep=True))))
    assert not before
    assert any(text in sentence for sentence in after)
