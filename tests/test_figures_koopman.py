"""The figures of the family in small sizes: what they say holds, and a change of the data breaks it."""

import csv
import json

import numpy as np
import pytest

from lemmata.paper_figures import koopman
from lemmata.paper_figures.koopman import (
    adversarial_disc,
    certified_error,
    limits,
    pollution,
    pseudospectrum,
    spectral_measure,
    torus,
    wasserstein,
)

SMALL = {
    "adversarial-disc": (adversarial_disc, {"sizes": (50, 200)}),
    "certified-error": (certified_error, {"angles": 13, "trajectories": 600, "snapshots": 1000}),
    "limits": (limits, {"last": 20_000, "dimensions": (1, 10, 100), "sets": 10}),
    "pollution": (pollution, {"trajectories": 600, "functions": 40, "snapshots": 1000, "delays": 13}),
    "pseudospectrum": (pseudospectrum, {"points": 64, "crosses": (4, 10)}),
    "spectral-measure": (spectral_measure, {"delays": 60}),
    "torus": (torus, {"largest": 1000}),
    "wasserstein": (wasserstein, {"sizes": (1, 2, 5, 10, 20, 40, 80)}),
}
#: where a picture puts what is checked
POSITIONS = ("other",)


def test_the_package_collects_every_figure():
    assert [figure.name for figure in koopman.FIGURES] == [f"koopman/{name}" for name in SMALL]


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


def _failed(name, ds):
    return [c.text for c in SMALL[name][0].FIGURES[0].check(ds) if not c.passed]


@pytest.mark.parametrize("name", SMALL)
def test_a_nan_in_any_variable_fails_a_check(drawn, name):
    _, ds = drawn(name)
    for variable in set(ds.data_vars) - set(POSITIONS):
        values = ds[variable].values.astype(float)
        values.flat[-1] = np.nan
        changed = ds.assign({variable: (ds[variable].dims, values)})
        assert _failed(name, changed), f"{variable} is not looked at"


def _scaled(name, factor, **where):
    """A change of one variable: its rows `where` times `factor`, a number or a function of the dataset."""

    def change(ds):
        values = ds[name].astype(float)
        values.loc[where] = values.loc[where] * (factor(ds) if callable(factor) else factor)
        return ds.assign({name: values})

    return change


def _added(name, number, **where):
    """The same with a number added."""

    def change(ds):
        values = ds[name].astype(float)
        values.loc[where] = values.loc[where] + number
        return ds.assign({name: values})

    return change


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("adversarial-disc", _added("missed", 1e-6), "same images"),
        ("adversarial-disc", _added("missed", 1e-6, test="G(G(x)) - x"), "lead back"),
        ("adversarial-disc", _scaled("involution_data", 1.01), "twist's line"),
        ("adversarial-disc", _added("involution_other", 0.1), "half a turn"),
        ("adversarial-disc", _added("apart", 1e-3, algorithm="mpedmd"), "same for both"),
        ("adversarial-disc", _added("twist_imag", 1e-3), "that are shown"),
        ("adversarial-disc", _scaled("gap", 0.5), "1/sqrt(2)"),
        ("adversarial-disc", _scaled("gap", 0.0, system="twist"), "add up"),
        ("certified-error", _scaled("doubling_bound", 1.001), "closed form"),
        ("certified-error", _scaled("doubling_arc", 0.999), "closed form"),
        ("certified-error", _scaled("doubling_edmd", 0.8), "EDMD's error stays at 1"),
        ("certified-error", _scaled("duffing_arc", lambda ds: ds.duffing_size), "Duffing: least residuals"),
        ("certified-error", _scaled("lorenz_edmd", 0.3), "Lorenz: EDMD's error stays"),
        ("certified-error", _scaled("lorenz_bound", 4), "Lorenz: the certified bound"),
        ("certified-error", _scaled("slipped_rank", 1.1), "a third of the functions"),
        ("limits", _scaled("average", 1.001), "of the closed form"),
        ("limits", _scaled("average", 0.9, dimension=100), "n first"),
        ("limits", _scaled("average", 1.1, dimension=1), "L first"),
        ("limits", _scaled("spikes", 1.01), "density of atoms"),
        ("limits", _added("residual", 0.1), "vanish on them"),
        ("limits", _scaled("residual", 0.3, judge="exact", ratio=1), "the true ones do not"),
        ("limits", _scaled("residual", 1.2, judge="exact"), "times as many they agree"),
        ("limits", _scaled("residual", 0.8), "those of a shift"),
        ("pollution", _scaled("duffing_kept_re", 0.8), "Duffing: certified points"),
        ("pollution", _scaled("lorenz_bound", 10), "Lorenz: EDMD's largest residual"),
        ("pollution", _scaled("duffing_tau", 0.9), "falls short"),
        ("pollution", _scaled("lorenz_residual", 0.2), "falls short"),
        ("pollution", _scaled("lorenz_learned", 0.8), "on the curve"),
        ("pollution", _scaled("duffing_re", lambda ds: 1 / np.hypot(ds.duffing_re, ds.duffing_im)), "on the curve"),
        ("pollution", _scaled("left", 0.1), "leave it"),
        ("pollution", _added("left", 0.01), "and none from"),
        ("pseudospectrum", _scaled("large_tau", 0.9), "below the distance"),
        ("pseudospectrum", lambda ds: ds.assign(small_tau=ds.large_tau, large_tau=ds.small_tau), "with the dictionary"),
        ("pseudospectrum", lambda ds: ds.assign(large_tau=ds.small_tau), "come nearer"),
        ("pseudospectrum", _scaled("small_residual", 0.9), "root of 1"),
        ("pseudospectrum", _scaled("large_residual", 0.2), "outside of their own"),
        ("spectral-measure", _scaled("error", lambda ds: ds.epsilon**0.5, order=3), "falls like"),
        ("spectral-measure", _scaled("claim", 1.01), "closed form"),
        ("spectral-measure", _scaled("constant", 1.3, order=2), "leading term"),
        ("spectral-measure", _added("atoms", 1e-3), "three spacings"),
        ("spectral-measure", lambda ds: ds.assign(atoms=ds.error), "not below"),
        ("spectral-measure", _scaled("known", 1.01), "err by as much"),
        ("spectral-measure", _scaled("density", -1), "positive"),
        ("torus", _scaled("log", -1), "no sum falls"),
        ("torus", _added("log", 2, alpha="golden"), "keeps the bound"),
        ("torus", _scaled("log", lambda ds: ds.k**0.01, alpha="golden"), "converged"),
        ("torus", _scaled("log", 0.3, alpha="liouville"), "every stage"),
        ("wasserstein", _scaled("distance", 3, algorithm="mpedmd"), "over the bound"),
        ("wasserstein", _scaled("distance", lambda ds: ds["size"] ** 0.1), "slope"),
        ("wasserstein", _scaled("norm", 1.05), "half of the bound"),
        ("wasserstein", _scaled("distance", 0.02, algorithm="edmd"), "break the bound"),
    ],
)
def test_a_tampered_dataset_fails_its_check(drawn, name, change, text):
    _, ds = drawn(name)
    assert not _failed(name, ds)
    assert any(text in sentence for sentence in _failed(name, change(ds.copy(deep=True))))
