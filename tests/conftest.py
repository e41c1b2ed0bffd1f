"""Settings that must stand before any test module is imported."""

import importlib
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import scipy.linalg  # noqa: F401 - its linear algebra must be loaded to be limited
import torch
from hypothesis import settings
from threadpoolctl import threadpool_limits

# the test processes share the cores: threads of linear algebra, and of torch below, would only wait for one another
threadpool_limits(1)

# Triton reads this once, when it is first imported: without a GPU its kernels run interpreted.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# "ci" draws the same examples on every machine; the others look for new ones
settings.register_profile("ci", derandomize=True, max_examples=50, deadline=None)
settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("nightly", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("LEMMATA_HYPOTHESIS_PROFILE", "ci"))


#: What takes ten seconds and more and has cheaper neighbours that run the same code: the parameter of a test, by file.
DEAR = {
    "test_benchmarks": "bandits_pulls halpern_iteration ntk_empirical ntk_ensembles ntk_infinite_width",
    "test_cli": "kernels",
    "test_figures_learning_dynamics": "lazy-rich-grid",
    "test_figures_monotone_dbm": "missing",
    "test_figures_ntk": "permutation-accuracy training width",
    "test_figures_sinkhorn_newton": "convergence temperature wall-time",
    "test_figures_variance_reduced": "crossover paper-qp",
    "test_halpern": "float32",
    "test_notebooks": "bandits_that_remember",
}


@pytest.hookimpl(tryfirst=True)  # before marks are looked at
def pytest_collection_modifyitems(items):
    for item in items:
        dear, callspec = DEAR.get(item.path.stem, "").split(), getattr(item, "callspec", None)
        if dear and callspec and any(str(getattr(value, "stem", value)) in dear for value in callspec.params.values()):
            item.add_marker(pytest.mark.slow)
    # files go to processes in this order: the longest first, so that none is left over
    items.sort(key=lambda item: item.path.stem != "test_registry")


def pytest_runtest_setup():
    # before each, as the first parallel loop of Numba sets OpenMP's number of threads, which torch shares
    torch.set_num_threads(1)


@pytest.fixture
def benchmark_module(monkeypatch):
    """``benchmark_module(name)``: a module of the benchmarks folder, which is no package."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[1] / "benchmarks")
    return importlib.import_module


@pytest.fixture(scope="module")
def drawn(request, tmp_path_factory):
    """``drawn(name)``: what `make` returns for a figure of the module's SMALL, and its dataset, once for all its tests.

    SMALL names (module of the figure, sizes for `simulate`); `demanded`, where there is one, gives the checks that
    small sizes can meet.
    """
    from lemmata import figures

    made, chosen = {}, getattr(request.module, "demanded", None)

    def get(name):
        if name not in made:
            module, sizes = request.module.SMALL[name]
            small = replace(module.FIGURES[0], simulate=partial(module.simulate, **sizes))
            if chosen is not None:
                small = replace(small, check=partial(chosen, name))
            result = figures.make(small, tmp_path_factory.mktemp(name))
            made[name] = result, figures._load(result.paths["nc"])
        return made[name]

    return get
