"""The figures of the tangent-kernel family in small sizes: what they say holds, and a change of the data breaks it."""

import csv
import json

import numpy as np
import pytest

from lemmata.paper_figures import ntk
from lemmata.paper_figures.ntk import accuracy, models, training, width
from lemmata.theory.ntk import ensemble_size

SMALL = {
    "width": (width, {"last": 9, "replicates": 200}),
    "training": (training, {"width": 256, "outputs": 8, "networks": 400}),
    "permutation-accuracy": (accuracy, {"networks": 512, "units": 32, "largest": 6}),
    "permutation-models": (models, {"draws": 1500, "largest": 6}),
}
#: checks that small sizes do not meet: narrow networks have a bias, and few networks read little
BEYOND = {
    "permutation-accuracy": ("one input", "the largest ensembles"),
    "training": ("means lie", "variances above"),
}


def demanded(name, ds):
    """The checks that small sizes can meet."""
    module, _ = SMALL[name]
    return [c for c in module.FIGURES[0].check(ds) if not c.text.startswith(BEYOND.get(name, ("-",)))]


def test_the_package_collects_every_figure():
    names = [figure.name for figure in ntk.FIGURES]
    assert names == [f"ntk/{name}" for name in SMALL]


@pytest.mark.parametrize("name", SMALL)
def test_the_picture_is_drawn_and_its_files_say_the_same(drawn, name):
    made, _ = drawn(name)
    record = json.loads(made.paths["json"].read_text(encoding="utf-8"))
    assert record["caption"] == made.caption
    assert all(check["passed"] for check in record["checks"])
    assert len(record["checks"]) >= 2
    assert "nan" not in made.caption
    assert made.paths["pdf"].read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("width", {"ReLU, one hidden layer", "ReLU, closing gates", "erf", "order $n^{-1/2}$"}),
        ("training", {"test", "test, law", "test, low"}),
        ("permutation-accuracy", {"$k = 4$, ntk", "$k = 8$, standard, law"}),
        ("permutation-models", {"drawn, ntk", "exact tails, standard", "crude union", "weighted union"}),
    ],
)
def test_the_table_has_the_curves(drawn, name, series):
    with open(drawn(name)[0].paths["csv"], newline="", encoding="utf-8") as file:
        assert series <= {row["series"] for row in csv.DictReader(file)}


def _scaled(name, factor, **where):
    """A change of one variable: its rows `where` times `factor`, a number or a function of the dataset."""

    def change(ds):
        values = ds[name].astype(float)
        values.loc[where] = values.loc[where] * (factor(ds) if callable(factor) else factor)
        return ds.assign({name: values})

    return change


GATES = "ReLU, closing gates"


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("width", _scaled("error", lambda ds: ds.width**0.3, initial="erf, one"), "one hidden layer"),
        ("width", _scaled("error", lambda ds: ds.width**0.5, initial="ReLU, three"), "and three"),
        ("width", _scaled("error", 1.4, initial="ReLU, one hidden layer"), "closed form"),
        ("width", _scaled("drift", lambda ds: ds.width**0.5, trained="erf"), "erf: the drift"),
        ("width", _scaled("drift", lambda ds: ds.width**-0.4, trained="ReLU"), "between -.85"),
        ("width", _scaled("drift", lambda ds: ds.width**-0.5, trained=GATES), "the slope -1/2"),
        ("width", _scaled("gates", 2, trained=GATES), "and the constant"),
        ("width", _scaled("drift", lambda ds: ds.width**-0.5, trained="ReLU, mean-field scaling"), "mean-field"),
        ("width", _scaled("drift", np.nan, trained="erf", width=512), "erf: the drift"),
        ("training", _scaled("mean", 1.2, point=4), "means lie"),
        ("training", _scaled("variance", 1.3, point=4), "variances above"),
        ("training", _scaled("variance", 1.3, point=4), "and at the test point"),
        ("training", _scaled("variance", 1.5, point=1), "less than a tenth"),
        ("training", _scaled("variance", 0.7, point=4), "the posterior's"),
        ("training", _scaled("mean", 1.1, point=0), "targets are met"),
        ("permutation-accuracy", _scaled("every_high", 0, case="k = 4, ntk"), "every input"),
        ("permutation-accuracy", _scaled("single_low", 3, case="k = 4, ntk"), "one input"),
        ("permutation-accuracy", _scaled("single", 0.5, case="k = 8, standard"), "the largest ensembles"),
        ("permutation-accuracy", _scaled("every", lambda ds: np.inf, case="k = 4, ntk"), "single networks"),
        ("permutation-accuracy", _scaled("single", 0.1, case="k = 8, standard"), "standard networks"),
        ("permutation-models", _scaled("low", 2, scope="single"), "than the exact tails"),
        ("permutation-models", _scaled("exact", 1.4, scope="single"), "within 15 %"),
        ("permutation-models", _scaled("crude", 3, scope="all"), "than sub-Gaussian"),
        ("permutation-models", _scaled("crude", lambda ds: ds.k**-0.5, scope="all"), "slope 1.75"),
        ("permutation-models", _scaled("exact", lambda ds: ds.k**0.5, scope="all"), "slope below 1.2"),
        ("permutation-models", _scaled("exact", lambda ds: ds.k**0.5, scope="single"), "after ln k"),
        ("permutation-models", _scaled("exact", 3, parametrization="standard"), "half as many"),
    ],
)
def test_a_tampered_dataset_fails_its_check(drawn, name, change, text):
    module, (_, ds) = SMALL[name][0], drawn(name)
    before, after = (
        {c.text for c in module.FIGURES[0].check(d) if not c.passed} for d in (ds, change(ds.copy(deep=True)))
    )
    assert any(text in sentence for sentence in after)
    if not text.startswith(BEYOND.get(name, ("-",))):
        assert not any(text in sentence for sentence in before)


def test_drawn_numbers_are_those_of_a_bisection():
    """R found as a quantile of what single draws need, against failures counted at that R."""
    R, low, high = models.needed(6, "single", "ntk", 20_000, seed=3)
    assert low < R < high
    law = models.dense_law(6, models.binary_inputs(6, 2)[:1], gates=1.0)
    z = np.random.default_rng(0).standard_normal((20_000, 6)) * np.sqrt(law[1][0, 0] / R)
    wrong = ((law[0] + z > 0) != models.binary_inputs(6, 2)[:1]).any(axis=1).mean()
    assert wrong == pytest.approx(0.1, abs=0.012)  # 4 standard errors of either count
    assert ensemble_size(6, scope="single", parametrization="ntk") == pytest.approx(R, rel=0.1)


def test_groups_are_disjoint():
    outputs = np.arange(10.0)[:, None, None]
    np.testing.assert_array_equal(accuracy._groups(outputs, 3)[:, 0, 0], [1, 4, 7])
