"""The mechanism of the figures on a small synthetic one, and the matrix-game figure in a small size."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import xarray as xr

from lemmata import figures
from lemmata.errors import AssumptionError, DomainError, UnknownName
from lemmata.figures import Check, CheckFailed, Figure, canvas, make, measured
from lemmata.paper_figures.halpern import matrix_game as halpern
from lemmata.problems.halpern import matrix_game, pdhg

KINDS = {"pdf", "png", "csv", "json", "nc"}


class Line:
    """A figure of y = slope / x whose parts can be made to fail; it counts its simulations."""

    def __init__(self):
        self.runs = 0

    def simulate(self, budget, seed, progress, *, slope=1.0):
        self.runs += 1
        progress(0.5, "half way")
        x = np.arange(1, 6)
        arrays = {"y": ("x", slope / x + seed), "even": ("x", x % 2 == 0), "count": ("x", x * 10_000)}
        return xr.Dataset(arrays, coords={"x": x})

    def draw(self, ds):
        figure, axes = canvas()
        measured(axes, ds.x, ds.y, "points", color="C0", band=(ds.y - 0.1, ds.y + 0.1))
        figures.theory(axes, ds.x, 1 / ds.x, "1/x")
        axes.plot([1, 5], [0, 0], label="_not in the table")
        axes.set_title("panel")
        return figure

    def check(self, ds):
        error = float(abs(ds.y - 1 / ds.x).max())
        return [Check("y is 1/x", error < 1e-12, error)]

    def figure(self, **changes):
        parts = {
            "simulate": self.simulate,
            "draw": self.draw,
            "caption": lambda ds: f"y(1) = {float(ds.y[0])}",
            "check": self.check,
        }
        return Figure("synthetic/line", "A line", **(parts | changes))


@pytest.fixture
def line():
    return Line()


def _names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def _table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# ------------------------------------------------------------------------------------------- mechanism


def test_every_file_is_written_and_says_where_it_comes_from(line, tmp_path):
    seen = []
    made = make(line.figure(), tmp_path, progress=lambda fraction, text: seen.append(fraction))
    assert set(made.paths) == KINDS
    assert _names(tmp_path) == sorted(path.name for path in made.paths.values())
    assert made.paths["pdf"].read_bytes().startswith(b"%PDF")
    assert made.paths["png"].read_bytes().startswith(b"\x89PNG")
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    record = json.loads(made.paths["json"].read_text(encoding="utf-8"))
    assert record["figure"] == "synthetic/line"
    assert record["caption"] == made.caption == "y(1) = 1.0"
    assert record["checks"] == [{"text": "y is 1/x", "passed": True, "number": 0.0}]
    assert {"lemmata", "python", "numpy", "numba", "budget", "seed", "source"} <= set(record)
    saved = xr.load_dataset(made.paths["nc"], engine="scipy").attrs
    assert {key: record[key] for key in ("source", "seed", "budget", "numpy")}.items() <= saved.items()


def test_the_table_holds_what_is_plotted(line, tmp_path):
    table = _table(make(line.figure(), tmp_path).paths["csv"])
    assert list(table[0]) == ["panel", "series", "x", "y"]
    assert {row["series"] for row in table} == {"points", "points, low", "points, high", "1/x"}
    assert {row["panel"] for row in table} == {"panel"}
    points = [float(row["y"]) for row in table if row["series"] == "points"]
    assert points == [1 / x for x in range(1, 6)]  # repr keeps every bit


def test_a_saved_dataset_is_drawn_again(line, tmp_path):
    first = make(line.figure(), tmp_path)
    before = {kind: path.read_bytes() for kind, path in first.paths.items()}
    second = make(line.figure(), tmp_path)
    assert (first.reused, second.reused, line.runs) == (False, True, 1)
    # no date and no random identifier in any of them
    assert {kind: path.read_bytes() for kind, path in second.paths.items()} == before


def test_a_dataset_from_anything_else_is_not(line, tmp_path):
    make(line.figure(), tmp_path)
    make(line.figure(), tmp_path, budget="full")
    assert line.runs == 2
    make(line.figure(), tmp_path)  # the full one lies beside it
    assert line.runs == 2
    with pytest.raises(CheckFailed):
        make(line.figure(), tmp_path, seed=1)
    with pytest.raises(CheckFailed):
        make(line.figure(simulate=partial(line.simulate, slope=2.0)), tmp_path)
    assert line.runs == 4


def test_a_change_of_the_source_is_noticed(line, tmp_path, monkeypatch):
    make(line.figure(), tmp_path)
    with open(__file__, "rb") as file:
        source = file.read()
    copy = tmp_path / "copy" / os.path.basename(__file__)
    copy.parent.mkdir()
    monkeypatch.setattr(figures.inspect, "getfile", lambda function: str(copy))
    copy.write_bytes(source)
    assert make(line.figure(), tmp_path).reused
    copy.write_bytes(source + b"# a changed line\n")
    assert not make(line.figure(), tmp_path).reused


@pytest.mark.parametrize("module", ["random", "stats", "results", "verification", "sims._philox", "kernels._philox"])
def test_what_the_families_share_counts(line, monkeypatch, module):
    before = figures._source_hash(line.figure())
    monkeypatch.setattr(figures, "_SHARED", tuple(m for m in figures._SHARED if m != module))
    assert figures._source_hash(line.figure()) != before


def test_the_source_of_the_family_counts(line):
    hashes = {figures._source_hash(replace(line.figure(), name=name)) for name in ("synthetic/line", "halpern/line")}
    assert len(hashes) == 2


def test_a_damaged_dataset_is_simulated_again(line, tmp_path):
    made = make(line.figure(), tmp_path)
    made.paths["nc"].write_bytes(made.paths["nc"].read_bytes()[:100])
    assert not make(line.figure(), tmp_path).reused
    assert line.runs == 2


def test_integers_and_booleans_survive_the_file(line, tmp_path):
    seen = []
    make(line.figure(caption=lambda ds: seen.append(ds) or ""), tmp_path)
    make(line.figure(caption=lambda ds: seen.append(ds) or ""), tmp_path)
    for ds in seen:
        assert (ds.x.dtype, ds["count"].dtype, ds.even.dtype) == (np.int64, np.int64, np.bool_)
        assert ds["count"].values.tolist() == [10_000, 20_000, 30_000, 40_000, 50_000]
        assert int((ds["count"] ** 2)[-1]) == 2_500_000_000  # beyond 32 bits


def test_an_interruption_leaves_nothing_half_written(line, tmp_path):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(line.figure(simulate=interrupted), tmp_path)
    assert _names(tmp_path) == []
    with pytest.raises(ValueError, match="int64"):
        make(line.figure(simulate=lambda *a: xr.Dataset({"y": ("x", [2**40])})), tmp_path)
    assert _names(tmp_path) == []
    with pytest.raises(KeyboardInterrupt):
        make(line.figure(draw=interrupted), tmp_path)
    assert _names(tmp_path) == ["line-quick-seed0.nc"]


def test_a_picture_that_fails_half_way_leaves_the_old_one(line, tmp_path):
    made = make(line.figure(), tmp_path)
    before = {kind: path.read_bytes() for kind, path in made.paths.items()}

    def draw(ds):
        picture = line.draw(replace_y(ds))
        save = picture.savefig

        def savefig(path, format, metadata):
            if format == "png":
                path.write_bytes(b"half of a picture")
                raise OSError("no space left on device")
            save(path, format=format, metadata=metadata)

        picture.savefig = savefig
        return picture

    def replace_y(ds):
        return ds.assign(y=2 * ds.y)

    with pytest.raises(OSError, match="no space"):
        make(line.figure(draw=draw), tmp_path)
    assert _names(tmp_path) == sorted(path.name for path in made.paths.values())
    assert {kind: path.read_bytes() for kind, path in made.paths.items()} == before


def test_a_failed_check_raises_after_the_files_are_written(line, tmp_path):
    with pytest.raises(
        CheckFailed, match=r"synthetic/line does not show what it should: y is 1/x \(found 1\)"
    ) as caught:
        make(line.figure(), tmp_path, seed=1)
    made = caught.value.made
    assert all(path.exists() for path in made.paths.values())
    assert not json.loads(made.paths["json"].read_text(encoding="utf-8"))["checks"][0]["passed"]


def test_a_nan_never_passes(line, tmp_path):
    with pytest.raises(CheckFailed, match="found nan"):
        make(line.figure(check=lambda ds: [Check("something holds", True, np.nan)]), tmp_path)
    assert json.loads((tmp_path / "synthetic/line.json").read_text(encoding="utf-8"))["checks"][0]["number"] is None


def test_bad_names_and_budgets_are_refused_before_any_work(line, tmp_path):
    with pytest.raises(UnknownName, match=r"no figure is called 'halpern/matrix-gam'; there are halpern/matrix-game,"):
        make("halpern/matrix-gam", tmp_path)
    with pytest.raises(DomainError, match="budget must be one of"):
        make(line.figure(), tmp_path, budget="medium")
    with pytest.raises(DomainError, match="seed = -1 lies outside"):
        make(line.figure(), tmp_path, seed=-1)
    with pytest.raises(DomainError, match="out must be a folder"):
        make(line.figure(), __file__)
    assert (line.runs, _names(tmp_path)) == (0, [])


def test_figures_are_found_through_the_entry_points():
    found = figures.available()
    assert list(found) == sorted(found)
    assert found["halpern/matrix-game"] is halpern.FIGURES[0]
    assert all(figure.name == name for name, figure in found.items())


def test_importing_loads_neither_matplotlib_nor_a_simulator():
    code = (
        "import sys, lemmata.figures as f; f.available();"
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'numba', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fonts_are_embedded_and_the_style_does_not_leak(line, tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    pdf = make(line.figure(), tmp_path).paths["pdf"].read_bytes()
    assert dict(matplotlib.rcParams) == before
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf


# ----------------------------------------------------------------------------------------- matrix game

FIGURE = halpern.FIGURES[0]
SIZE = 160
SMALL = replace(FIGURE, simulate=partial(halpern.simulate, size=SIZE))


@pytest.fixture(scope="module")
def game(tmp_path_factory):
    made = make(SMALL, tmp_path_factory.mktemp("game"))
    return made, xr.load_dataset(made.paths["nc"], engine="scipy")


def test_the_saddle_point_has_the_stated_orientation():
    # columns minimise: 3p + (1-p) = 2(1-p) gives p = 1/4, and rows 3q = q + 2(1-q) gives q = 1/2
    matrix = np.array([[3.0, 1.0], [0.0, 2.0]])
    z, value = halpern.saddle_point(matrix)
    np.testing.assert_allclose(z, [0.25, 0.75, 0.5, 0.5], rtol=0, atol=1e-12)  # a vertex: solved to rounding
    np.testing.assert_allclose(value, 1.5, rtol=0, atol=1e-12)
    assert halpern.natural_residual(matrix, z) < 1e-12
    assert halpern.natural_residual(matrix, np.roll(z, 2)) > 0.1
    wide = np.array([[2.0, 1.0, 3.0]])
    z, value = halpern.saddle_point(wide)
    np.testing.assert_allclose(z, [0, 1, 0, 1], rtol=0, atol=1e-12)
    assert value == pytest.approx(1.0, abs=1e-12)


def _firm(matrix, norm_matrix, step):
    """Smallest ``<Tu - Tv, u - v>_M - ||Tu - Tv||_M^2`` over random pairs, relative to ``||u - v||_M^2``."""
    operator = pdhg(matrix, step)
    u, v = np.random.default_rng(3).standard_normal((2, 200, sum(matrix.shape)))
    before, after = u - v, operator(u) - operator(v)
    square = {name: halpern.m_norm(norm_matrix, step, z) ** 2 for name, z in (("u", before), ("t", after))}
    # firmly nonexpansive: ||Tu - Tv||^2 + ||(I - T)u - (I - T)v||^2 <= ||u - v||^2
    rest = halpern.m_norm(norm_matrix, step, before - after) ** 2
    return float(((square["u"] - square["t"] - rest) / square["u"]).min())


def test_the_primal_dual_map_is_firmly_nonexpansive_in_the_m_norm():
    matrix = np.random.default_rng(2).standard_normal((6, 4))
    step = 0.99 / np.linalg.norm(matrix, 2)
    assert _firm(matrix, matrix, step) >= -1e-12  # rounding
    assert _firm(matrix, -matrix, step) < -0.01  # the other sign of the cross term is another norm


def test_the_game_figure_shows_what_it_says(game):
    made, ds = game
    assert len(made.checks) == 7
    assert ds.sizes["dim"] == 2 * SIZE
    # the bound comes from the claim, the residual from the iterates: they meet nowhere, and are not far apart either
    ratio = (ds.m_residual / ds.bound).max("k")
    assert (ratio < 1).all()
    assert (ratio > 0.1).all()
    for number in (f"{float(r):.3f}" for r in ratio):
        assert number in made.caption


def test_a_game_too_small_to_show_it_is_refused(tmp_path):
    small = replace(FIGURE, simulate=partial(halpern.simulate, size=40))
    with pytest.raises(CheckFailed, match="anchored residual is below a third") as caught:
        make(small, tmp_path, seed=1)  # on 40 houses extragradient has reached the solution by then
    assert [check.passed for check in caught.value.made.checks] == [True] * 5 + [False, True]


def test_the_value_of_the_game_is_that_of_its_saddle_point(game):
    _, ds = game
    payoff = matrix_game(SIZE)
    for g, matrix in enumerate((payoff, payoff.T)):
        x, y = ds.solution.values[g, :SIZE], ds.solution.values[g, SIZE:]
        np.testing.assert_allclose(y @ matrix @ x, ds.value[g], rtol=0, atol=1e-10)  # HiGHS's feasibility tolerance


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("m_residual", lambda a: 2 * a, "never exceeds"),
        ("solution_residual", lambda a: a + 1e-6, "natural residual at most"),
        ("duality_gap", lambda a: a + 1e-6, "duality gap"),
        ("disagreement", lambda a: a + 1e-6, "match the simulators'"),
        ("extragradient", lambda a: a * a.epochs.clip(min=1) ** 0.3, "falls like 1/k"),
        ("extragradient", lambda a: a.copy(data=a.values[:, ::-1]), "above extragradient's"),
    ],
)
def test_a_tampered_dataset_fails_its_check(game, name, change, text):
    _, ds = game
    tampered = ds.assign({name: change(ds[name]).transpose(*ds[name].dims)})
    passed = {c.text for c in FIGURE.check(ds) if c.passed}
    failed = {c.text for c in FIGURE.check(tampered) if not c.passed}
    assert any(text in sentence for sentence in passed & failed)


def test_a_tampered_file_makes_the_figure_fail(game, tmp_path):
    made, ds = game
    folder = tmp_path / "halpern"
    folder.mkdir()
    ds = ds.assign(m_residual=2 * ds.bound)
    ds.to_netcdf(folder / made.paths["nc"].name, engine="scipy")
    with pytest.raises(CheckFailed, match="never exceeds") as caught:
        make(SMALL, tmp_path)
    assert caught.value.made.reused


def test_a_wrong_saddle_point_is_refused(monkeypatch):
    uniform = np.full(80, 1 / 40)
    monkeypatch.setattr(halpern, "saddle_point", lambda matrix: (uniform, 0.0))
    with pytest.raises(AssumptionError, match="the stated solution of row 0 has residual"):
        halpern.simulate("quick", 0, lambda fraction, text: None, size=40)


def test_the_table_has_every_curve(game):
    made, _ = game
    series = {(row["panel"], row["series"]) for row in _table(made.paths["csv"])}
    curves = ("extragradient", "anchored extragradient", "Halpern on the primal-dual map")
    for panel in ("(a) burglar minimises", "(b) burglar maximises"):
        assert {(panel, curve) for curve in curves} <= series
    assert ("(c) Halpern under its bound", "bound $2/(k+1)$") in series
