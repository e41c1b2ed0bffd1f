"""The worked example of CONTRIBUTING.md, run as it is printed."""

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import lemmata as lm
from lemmata import registry
from lemmata.errors import AssumptionError
from lemmata.verification import Setup, run

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
TEXT = PAGE.read_text(encoding="utf-8")
#: path and content of each fenced python block; the path is its first line, a comment
FILES = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
TOML = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
ROOMS = {
    "src/lemmata/problems": "lemmata.problems",
    "theory": "lemmata.theory",
    "sims": "lemmata.sims",
    "src/lemmata/experiments": "lemmata.experiments",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Files of the page in folders that the rooms of lemmata look into too, and their entry point."""
    root = tmp_path_factory.mktemp("contribution")
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    info = root / "descent-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: descent\nVersion: 1.0\n")
    points = tomllib.loads(TOML[0])["project"]["entry-points"][registry.GROUP]
    lines = [f"[{registry.GROUP}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        for folder, room in ROOMS.items():
            package = importlib.import_module(room)
            patch.setattr(package, "__path__", [*package.__path__, str(root / folder)])
        yield root
        for room in ROOMS.values():
            sys.modules.pop(f"{room}.descent", None)
            vars(sys.modules[room]).pop("descent", None)
    registry.load.cache_clear()


def test_page_has_every_file():
    assert list(FILES) == [*(f"{folder}/descent.py" for folder in ROOMS), "tests/test_descent.py"]
    assert len(TOML) == 1
    assert TEXT.count("```python") == len(FILES)
    assert TEXT.count("\n") <= 170  # one page


def test_page_follows_the_house_style(installed):
    environment = {**os.environ, "RUFF_NO_CACHE": "true"}
    config = ["--config", str(PAGE.parent / "pyproject.toml")]
    for arguments in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *arguments, *config, str(installed)]
        done = subprocess.run(ruff, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_claim_holds_with_equality_and_every_saboteur_is_caught(installed):
    rows = [run(experiment, Setup()) for experiment in registry.experiments("descent/objective-gap")]
    assert [row.status for row in rows] == ["holds", "holds"], rows
    assert [(s.name, s.status) for row in rows for s in row.saboteurs] == [
        ("L underestimated", "violated"),
        ("one step missed", "violated"),
        ("step 1 % too short", "violated"),
    ]
    # a random quadratic is far below the bound, the Huber function on it
    assert rows[0].ratio < 1
    assert abs(rows[1].ratio - 1) < 1e-12
    assert rows[1].measured == pytest.approx(1 / (4 * rows[1].at["k"] + 2), rel=1e-12)


def test_test_of_the_page_passes(installed):
    namespace: dict = {}
    exec(compile(FILES["tests/test_descent.py"], "test_descent.py", "exec"), namespace)
    namespace["test_objective_gap"]()
    loose = SimpleNamespace(status="holds", caught=True, ratio=0.9)
    namespace["lm"] = SimpleNamespace(verify=lambda claim: loose)
    with pytest.raises(AssertionError):  # and it could fail
        namespace["test_objective_gap"]()


def test_family_is_found_by_name(installed):
    assert "descent" in registry.families()
    assert lm.verify("descent/objective-gap", seed=7).caught


def test_hard_problem_in_closed_form(installed):
    """x_k = 1 - k radius as long as k <= N, which the simulator should reproduce at every k."""
    problems = importlib.import_module("lemmata.problems.descent")
    simulator = importlib.import_module("lemmata.sims.descent")
    n, k = 20, np.arange(21)
    problem = problems.hard(range(n, n + 1))
    values = simulator.gradient_descent(problem.curvature, problem.radius, problem.x0, n, 1.0)[0]
    radius = 1 / (2 * n + 1)
    # 1e-14: twenty subtractions of numbers below 1
    np.testing.assert_allclose(values, radius * (1 - k * radius) - radius**2 / 2, rtol=0, atol=1e-14)


def test_assumption_is_checked_with_its_number(installed):
    problems = importlib.import_module("lemmata.problems.descent")
    claim = importlib.import_module("lemmata.theory.descent").objective_gap
    with pytest.raises(AssumptionError, match=r"curvature 2.1 > L = 1"):
        claim.check(problems.quadratics(2, 3, largest=2.1, seed=0))
