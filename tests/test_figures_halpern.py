"""The figures of the Halpern family in small sizes: what they say holds, and a change of the data breaks it."""

import csv
import importlib
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from lemmata import figures
from lemmata.paper_figures import halpern
from lemmata.paper_figures.halpern import certificates, envelopes, restarts
from lemmata.problems.halpern import eg, feg, skew_rotations
from lemmata.sims.halpern import extragradient

SMALL = {
    "certificates": (certificates, {"steps": 4, "batch": 20}),
    "envelopes": (envelopes, {"steps": 2048, "rotations": 300}),
    "restarts": (restarts, {}),
}


def _simulated(name, **sizes):
    module, small = SMALL[name]
    return module.simulate("quick", 0, lambda fraction, text: None, **(small | sizes))


def _failed(module, ds):
    return {check.text for check in module.FIGURES[0].check(ds) if not check.passed}


# ------------------------------------------------------------------------------------------ the package


def test_the_package_collects_every_figure():
    names = [figure.name for figure in halpern.FIGURES]
    assert {f"halpern/{name}" for name in ("matrix-game", *SMALL)} <= set(names)
    assert len(set(names)) == len(names)
    assert set(names) <= set(figures.available())


@pytest.mark.parametrize("name", SMALL)
def test_the_picture_is_drawn_and_its_files_say_the_same(drawn, name):
    made, _ = drawn(name)
    record = json.loads(made.paths["json"].read_text(encoding="utf-8"))
    assert record["caption"] == made.caption
    assert all(check["passed"] for check in record["checks"])
    assert "nan" not in made.caption
    assert made.paths["pdf"].read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("certificates", {"Halpern", "Halpern, bound", "FEG, simulated", "KM, $g$ = 3/4, hard instances"}),
        ("envelopes", {"KM", "KM, bound", "EG", "FEG, bound", "order $k^{-1/2}$"}),
        ("restarts", {"Halpern", "restarted every $K$ steps", "bound $r_0\\,e^{-m}$", "bound $2D/(k+1)$"}),
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
        values.loc[where] = values.loc[where] * (factor(ds) if callable(factor) else factor)
        return ds.assign({name: values})

    return change


def _never(rule):
    return _scaled("restarts", 0, rule=rule)


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("certificates", _scaled("proved", 0, algorithm="EG"), "exact arithmetic"),
        ("certificates", _scaled("certified", 1.001, algorithm="OHM, γ = 1.1"), "closed forms"),
        ("certificates", _scaled("certified", 10, algorithm="EAG-C"), "the theorem's bound"),
        ("certificates", _scaled("worst", 1.2, algorithm="EAG-V"), "no simulated residual"),
        ("certificates", _scaled("hard", 1.001, algorithm="Halpern"), "no simulated residual"),
        ("certificates", _scaled("hard", 0.999, algorithm="KM, g = 3/4"), "hard instances meet"),
        ("certificates", _scaled("hard", np.nan, algorithm="Halpern", k=2), "hard instances meet"),
        ("certificates", _scaled("worst", 0.999, algorithm="FEG"), "met by the rotation"),
        ("certificates", _scaled("worst", 0.8, algorithm="EAG-C"), "EAG-C keeps"),
        ("envelopes", _scaled("envelope", 1.001, algorithm="KM"), "no envelope exceeds"),
        ("envelopes", _scaled("envelope", 0.98, algorithm="Halpern"), "rotations meet"),
        *(
            ("envelopes", _scaled("envelope", lambda ds: ds.k**-0.06, algorithm=name), f"{name}: slope")
            for name in envelopes.EXPONENTS
        ),
        ("restarts", _scaled("residual", 1.001, algorithm="Halpern"), "without restarts"),
        ("restarts", _scaled("residual", lambda ds: 1 + (ds.k > 600) * 30, algorithm="restarted"), "within exp(-m)"),
        ("restarts", _never("restarted"), "within exp(-m)"),
        ("restarts", _scaled("residual", lambda ds: 1 + 1e-3 * (ds.k > 600), algorithm="restarted"), "every epoch"),
        ("restarts", _never("adaptive"), "adaptive epoch"),
        ("restarts", _scaled("residual", 100, algorithm="restarted"), "gained"),
        ("restarts", _scaled("residual", lambda ds: 1 / (1 + ds.k / 1000), algorithm="KM"), "Krasnoselskii-Mann"),
    ],
)
def test_a_tampered_dataset_fails_its_check(drawn, name, change, text):
    module, (_, ds) = SMALL[name][0], drawn(name)
    assert _failed(module, ds) == set()
    assert any(text in sentence for sentence in _failed(module, change(ds)))


# ---------------------------------------------------------------------------------------- certificates


def test_a_method_without_anchor_misses_its_hard_instances(monkeypatch):
    monkeypatch.setattr(certificates, "ohm_weights", lambda steps, gamma: np.zeros(steps))
    ds = _simulated("certificates", steps=2, batch=1)
    assert any("hard instances meet" in text for text in _failed(certificates, ds))


def test_an_expansive_operator_exceeds_the_certificates(monkeypatch):
    made = certificates.random_nonexpansive

    def expansive(*arguments, seed):
        problem = made(*arguments, seed=seed)
        return replace(problem, operator=problem.operator.scale(1.2))

    monkeypatch.setattr(certificates, "random_nonexpansive", expansive)
    ds = _simulated("certificates", steps=2, batch=50)
    assert any("no simulated residual exceeds" in text for text in _failed(certificates, ds))


@pytest.mark.parametrize("label", [certificates.MAPS[0], certificates.MAPS[-1], certificates.FIELDS[0]])
def test_the_operators_belong_to_the_class(label):
    constant = 1 / certificates.GAMMA if label == certificates.MAPS[-1] else 1.0
    rng = np.random.default_rng(5)
    for problem in certificates._operators(label, 20, seed=3):
        u, v = problem.solution + rng.standard_normal((2, *problem.x0.shape))
        moved, images = u - v, problem.operator(u) - problem.operator(v)
        lengths = np.linalg.norm(moved, axis=1)
        assert (np.linalg.norm(images, axis=1) <= constant * lengths * (1 + 1e-12)).all()  # rounding
        if label in certificates.FIELDS:
            assert ((images * moved).sum(axis=1) >= -1e-12 * lengths**2).all()  # rounding


def test_the_seed_changes_the_random_operators_only():
    one, two = (certificates._operators("Halpern", 5, seed=seed) for seed in (0, 1))
    assert all((a.x0 != b.x0).any() for a, b in zip(one, two, strict=True))


def test_exact_arithmetic_is_asked_for_small_sizes_only(drawn, monkeypatch):
    assert (drawn("certificates")[1].proved == 1).all()
    monkeypatch.setattr(certificates, "FIRST", 1)
    ds = _simulated("certificates", steps=2, batch=1)
    assert ds.proved.isnull().sum() == len(certificates.FIELDS)  # N = 2
    assert not any("exact arithmetic" in text for text in _failed(certificates, ds))


def test_feg_meets_its_bound_on_the_right_angle_rotation():
    # k z_k = -i (1 - (-i)^k) z_0, by induction
    k = np.arange(1, 41)
    problem = skew_rotations([1.0])
    run = extragradient(problem.operator, problem.x0, feg(40), at=k)
    found = np.abs(1 - (-1j) ** k) / k
    np.testing.assert_allclose(run["residual"].values[0], found, rtol=0, atol=1e-14)  # rounding
    np.testing.assert_allclose(found[1::4], 2 / k[1::4], rtol=1e-13)  # rounding of the powers


# -------------------------------------------------------------------------------- envelopes and restarts


def test_envelopes_are_the_maxima_of_the_closed_forms(drawn):
    _, ds = drawn("envelopes")
    k = ds.k.values[:, None]
    speeds = np.geomspace(1 / 2048, 1, 300)
    angles = np.pi * speeds
    expected = {
        "Halpern": np.abs(1 - np.exp(1j * (k + 1) * angles)) / (k + 1),
        "KM": 2 * np.sin(angles / 2) * np.abs(np.cos(angles / 2)) ** k,
        "EG": speeds * (1 - speeds**2 / 4 + speeds**4 / 16) ** (k / 2),
    }
    for name, curves in expected.items():
        # k roundings of a unit vector
        np.testing.assert_allclose(ds.envelope.sel(algorithm=name), curves.max(axis=1), rtol=0, atol=1e-12)


def test_without_an_anchor_the_slope_is_another(monkeypatch):
    monkeypatch.setattr(envelopes, "eag_c", lambda steps, eta: replace(eg(steps, eta), name="EAG-C"))
    assert any("EAG-C: slope" in text for text in _failed(envelopes, _simulated("envelopes")))


def test_the_contraction_is_that_of_the_closed_form(drawn):
    _, ds = drawn("restarts")
    period, half = int(ds.attrs["period"]), restarts.ANGLE / 2
    assert period == 272
    expected = np.sin((period + 1) * half) / ((period + 1) * np.sin(half))
    assert abs(expected - restarts.CONTRACTION) < 1e-6  # as many digits as it is stated with
    stairs = restarts._stairs(ds)
    np.testing.assert_allclose(stairs[1:] / stairs[:-1], np.full(8, expected), rtol=1e-9)  # 272 roundings an epoch


def test_epochs_that_are_too_short_break_the_promise(monkeypatch):
    monkeypatch.setattr(restarts.np, "ceil", lambda x: np.floor(x / 4))
    assert any("within exp(-m)" in text for text in _failed(restarts, _simulated("restarts")))


# ------------------------------------------------------------------------------ what a dataset depends on


def test_the_hash_covers_the_modules_a_figure_is_written_in(tmp_path, monkeypatch):
    package = tmp_path / "some_figures"
    package.mkdir()
    files = {
        "__init__": "",
        "plot": "from . import data\nfrom lemmata.figures import canvas\ndef simulate(*a): return data.draw()",
        "data": "from some_figures.deep import draw",
        "deep": "import math\ndef draw(): return math.pi",
        "other": "from some_figures.data import draw\ndef simulate(*a): return draw()",
    }
    for name, text in files.items():
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    plot, _ = (importlib.import_module(f"some_figures.{name}") for name in ("plot", "other"))
    figure = replace(restarts.FIGURES[0], name="synthetic/hash", simulate=plot.simulate)

    def changes(name):
        before = figures._source_hash(figure)
        (package / f"{name}.py").write_text(files[name] + "\n# changed", encoding="utf-8")
        return figures._source_hash(figure) != before

    assert {name: changes(name) for name in files} == {
        "__init__": False,
        "plot": True,
        "data": True,
        "deep": True,
        "other": False,
    }
    for name in list(sys.modules):
        if name.partition(".")[0] == "some_figures":
            monkeypatch.delitem(sys.modules, name)


def test_a_figure_does_not_depend_on_its_neighbours():
    found = {figure.name: figures._beside(figure.simulate) for figure in halpern.FIGURES}
    assert found["halpern/restarts"] == found["halpern/certificates"] == found["halpern/envelopes"] == []
