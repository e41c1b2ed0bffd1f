"""The figures on monotone deep Boltzmann machines in small sizes: what they say holds, and tampered data breaks it."""

import csv
import json

import numpy as np
import pytest

from lemmata.errors import NonFiniteError
from lemmata.paper_figures import monotone_dbm
from lemmata.paper_figures.monotone_dbm import completion, contraction, elbo_gap, missing, oscillation

SMALL = {
    "contraction": (contraction, {"instances": 2}),
    "oscillation": (oscillation, {}),
    "elbo-gap": (elbo_gap, {"instances": 10}),
    "completion": (completion, {"levels": 2, "epochs": 6, "copies": 2}),
    "missing": (missing, {"splits": 2, "epochs": 10, "copies": 4}),
}


def _failed(module, ds):
    return {check.text for check in module.FIGURES[0].check(ds) if not check.passed}


def test_the_package_collects_every_figure():
    names = [figure.name for figure in monotone_dbm.FIGURES]
    assert {f"monotone_dbm/{name}" for name in SMALL} <= set(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", SMALL)
def test_the_picture_is_drawn_and_its_files_say_the_same(drawn, name):
    made, _ = drawn(name)
    record = json.loads(made.paths["json"].read_text(encoding="utf-8"))
    assert record["caption"] == made.caption
    assert record["checks"]
    assert all(check["passed"] for check in record["checks"])
    assert "nan" not in made.caption
    assert "{" not in made.caption
    assert made.paths["png"].read_bytes().startswith(b"\x89PNG")
    assert made.paths["pdf"].read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("contraction", {"$N=3$", "$N=40$, bound", "$N=10$, Peaceman-Rachford"}),
        ("oscillation", {"parallel", "forward-backward", "$m=0.6$", r"$s=\tanh(gs)$"}),
        ("missing", {"monotone", "most frequent, low", "logistic regression, high", "restricted Boltzmann machine"}),
        ("elbo-gap", {"gap", "gap, high", "$s^2$", "error of a marginal, low", "order $s^2$"}),
    ],
)
def test_the_table_has_the_curves(drawn, name, series):
    with open(drawn(name)[0].paths["csv"], newline="", encoding="utf-8") as file:
        assert series <= {row["series"] for row in csv.DictReader(file)}


def _scaled(name, factor, **where):
    """A change of one variable: its rows `where` times `factor`, a number or a function of the dataset."""

    def change(ds):
        values = ds[name].astype(float).copy()
        values.loc[where] = values.loc[where] * (factor(ds) if callable(factor) else factor)
        return ds.assign({name: values})

    return change


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("contraction", _scaled("factor", 1.00001, nodes=10), "the predicted one"),
        ("contraction", _scaled("factor", 1.1, nodes=40, share=0.9), "below 1 up to"),
        ("contraction", _scaled("factor", 0.9, nodes=40, share=1.02), "above 1 beyond"),
        ("contraction", _scaled("steps", 2), "no more steps than the bound"),
        ("contraction", _scaled("steps", np.nan, share=0.5, instance=0), "below the limit converges"),
        ("contraction", _scaled("bound", 0.5, share=0.1), "best at 2/(m + L)"),
        ("contraction", _scaled("beyond", 1e-9, nodes=3), "never settles"),
        ("contraction", _scaled("steps", 0.3, share=0.99), "steps have multiplied"),
        ("contraction", _scaled("splitting", np.nan, share=1.1), "Peaceman-Rachford passes"),
        ("oscillation", _scaled("residual", lambda ds: 0.99 ** (ds.step > 300), algorithm="parallel"), "never settles"),
        ("oscillation", _scaled("residual", 1e9, algorithm="averaged"), "three others"),
        ("oscillation", _scaled("residual", lambda ds: 1e3 ** (ds.step > 9), algorithm="sequential"), "sequential one"),
        ("oscillation", _scaled("root", 0.999), "Ising magnetisation"),
        ("oscillation", _scaled("swing", lambda ds: 1e9, m=0.1), "no swing below"),
        ("oscillation", _scaled("swing", 0.1), "one above it"),
        ("elbo-gap", _scaled("gap", -1, s=1.0), "below log Z"),
        ("elbo-gap", _scaled("gap", lambda ds: ds.s**0.1), "second order"),
        ("elbo-gap", _scaled("coefficient", 1.02), "its coefficient"),
        ("elbo-gap", _scaled("error", lambda ds: ds.s**0.2), "so is the error"),
        ("completion", _scaled("mean", 0.9), "observed pixels are kept"),
        ("completion", _scaled("mean", lambda ds: 2.0 - ds.seen), "levels stay"),
        ("completion", lambda ds: ds.assign(filled=ds.filled.roll(image=1)), "beat the most frequent"),
        ("completion", lambda ds: ds.assign(named=(ds.label + 1) % 10), "six times as often"),
        ("completion", lambda ds: ds.assign(named=ds.label), "failures are shown"),
        ("missing", _scaled("pixels", 0.95, model="monotone", share=0.9), "most frequent level everywhere"),
        ("missing", _scaled("pixels", 0.97, model="monotone", share=0.6), "and the Boltzmann machine"),
        ("missing", _scaled("labels", 0.7, model="monotone", share=0.7), "so do labels"),
        ("missing", _scaled("labels", 0.8, model="monotone", share=0.1), "nowhere far behind"),
        ("missing", _scaled("labels", 0.5, model="monotone", share=0.9), "far above chance"),
        ("missing", _scaled("swinging", 0.0, share=0.8), "often oscillates"),
    ],
)
def test_a_tampered_dataset_fails_its_check(drawn, name, change, text):
    module, (_, ds) = SMALL[name][0], drawn(name)
    assert _failed(module, ds) == set()
    assert any(text in sentence for sentence in _failed(module, change(ds)))


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("contraction", "factor"),
        ("contraction", "beyond"),
        ("oscillation", "residual"),
        ("oscillation", "swing"),
        ("elbo-gap", "gap"),
        ("completion", "mean"),
        ("missing", "pixels"),
        ("missing", "labels"),
        ("missing", "swinging"),
    ],
)
def test_no_check_passes_over_a_nan(drawn, name, variable):
    values = drawn(name)[1][variable].astype(float).copy()
    values[dict.fromkeys(values.dims, -1)] = np.nan
    ds = drawn(name)[1].assign({variable: values})
    if name == "missing":  # the last model is the Boltzmann machine
        ds = ds.assign({variable: values.where(values.model != "monotone") if "model" in values.dims else values})
    try:
        assert _failed(SMALL[name][0], ds)
    except NonFiniteError:
        assert name == "elbo-gap"


def test_a_seed_gives_the_same_dataset_and_another_one_another():
    one, again, other = (elbo_gap.simulate("quick", s, lambda fraction, text: None, instances=2) for s in (0, 0, 1))
    assert one.identical(again)
    assert (one.gap != other.gap).any()
