# `make demo` shows what lemmata does; `make test` is what CI runs. Both use a .venv of their own.
PYTHON      ?= python3
CONSTRAINTS ?= constraints-cpu.txt
VENV        := .venv
BIN         := $(VENV)/bin
PIP         := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SOURCES     := $(shell find src theory sims kernels paper_figures -type f -not -name '*.pyc' 2>/dev/null)
NOTEBOOKS   := $(wildcard notebooks/*.py)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-gpu lint types imports notebooks bench dev clean

help:
	@echo "make demo       verify the Halpern claims and draw the matrix-game figure (first run installs .venv)"
	@echo "make test       lint, types, import floors, then every test not marked slow"
	@echo "make test-slow  the long tests"
	@echo "make test-gpu   the tests marked gpu or triton, on a CUDA device"
	@echo "make notebooks  notebooks/*.py -> .ipynb"
	@echo "make bench      our code beside its peers, into docs/performance.md"
	@echo "make dev        editable install, for work on lemmata itself"

# Dependencies change rarely, our own files often: two stamps.
$(VENV)/.dependencies: pyproject.toml setup.py constraints.txt constraints-cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit("lemmata needs Python 3.11 or newer; try make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	@echo "installing the pinned environment into $(VENV) (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -c $(CONSTRAINTS) setuptools
	@$(PIP) -c $(CONSTRAINTS) --no-build-isolation '.[dev]'
	@touch $@

# What is tested is the wheel, not the checkout. build/ is removed so that no deleted module survives in it.
$(VENV)/.package: $(VENV)/.dependencies $(SOURCES) README.md LICENSE
	@rm -rf build
	@$(PIP) --no-deps --no-build-isolation --force-reinstall .
	@rm -rf build
	@touch $@

demo: $(VENV)/.package
	@$(BIN)/lemmata verify halpern --budget quick
	@$(BIN)/lemmata figure halpern/matrix-game

lint: $(VENV)/.dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.package
	cd $(VENV) && bin/mypy --config-file ../pyproject.toml -p lemmata

imports: $(VENV)/.package
	$(BIN)/lint-imports --config pyproject.toml

test: lint types imports
	$(BIN)/python -m pytest -m "not slow and not gpu" --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.package
	$(BIN)/python -m pytest -m "slow and not gpu"

test-gpu: $(VENV)/.package
	$(BIN)/python -m pytest -m "gpu or triton"

notebooks: $(VENV)/.package
	$(BIN)/jupytext --to ipynb $(NOTEBOOKS)

bench: $(VENV)/.package
	$(BIN)/python benchmarks/run.py

dev: $(VENV)/.dependencies
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.package

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage*
