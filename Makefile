# Each target does its own set-up: a fresh clone needs Python 3.11 or newer, make and a package index, nothing else.
#
#   make demo    the phantom hospital, from DICOM files to evidence; prints the path of an index page
#   make test    format, lint, types, then every default test; prints pytest's closing line last
#
# TORCH_INDEX=URL takes PyTorch from another index, for instance one that holds CPU builds.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= demo
TORCH_INDEX ?=
PIP_FLAGS := --disable-pip-version-check --quiet
export PIP_REQUIRE_VIRTUALENV = true

.PHONY: help setup demo test lint format types slow bench screenshots wheel pins docs-tables clean
.DEFAULT_GOAL := help

help:
	@echo "targets: demo test lint format types slow bench screenshots wheel pins docs-tables clean"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version)'
	@echo "setting up $(VENV) (some minutes, once)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt pip hatchling editables setuptools
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-build-isolation -c constraints.txt -e '.[train,codecs,pacs,radiomics,objects,cluster,dev]'
	@touch $@

setup: $(STAMP)

demo: $(STAMP)
	$(BIN)/fiducial demo --out $(DEMO)

# One process for each core; the tests of a file stay together, since they share what is costly to make.
test: lint types
	$(BIN)/python -m pytest -q -n auto --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(STAMP)
	$(BIN)/mypy

slow: $(STAMP)
	$(BIN)/python -m pytest -q -m slow

bench: $(STAMP)
	for script in benchmarks/[0-9]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

screenshots: $(STAMP)
	@test -f $(DEMO)/index.html || $(MAKE) demo
	$(BIN)/python tools/screenshots.py --demo $(DEMO) --out screenshots

wheel: $(STAMP)
	$(BIN)/python -m build --no-isolation --outdir dist .

pins: $(STAMP)
	$(BIN)/python tools/pins.py

docs-tables: $(STAMP)
	$(BIN)/python tools/tables.py

clean:
	rm -rf $(VENV) build dist demo runs screenshots .mypy_cache .ruff_cache .pytest_cache .hypothesis
