# Everything runs inside .venv; the marker file is newer than pyproject.toml once the install is done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint weights clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("obverse needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

install: $(INSTALLED)  ## install into .venv

demo: $(INSTALLED)  ## run the whole chain, small, into demo-out/
	$(BIN)/obverse demo --output demo-out --force

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint  ## lint, types and the quick tests
	$(BIN)/pytest -q

test-all: lint  ## every test, the slow ones too
	$(BIN)/pytest -q -m "slow or not slow"

clean:  ## remove the virtual environment and the demo's output
	rm -rf $(VENV) demo-out
