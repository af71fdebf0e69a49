# The one menu. `make demo` and `make test` work on a fresh Debian 12 as root; CI uses the same targets.
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help venv demo test check unit bench soak clean debian

help:            ## show this menu
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

venv: $(VENV)/.done  ## make .venv from the lock file

$(VENV)/.done: requirements.lock pyproject.toml scripts/debian
	sh scripts/debian python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

check: venv      ## lint and types
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

unit: venv       ## the tests that need neither root nor other tools
	$(BIN)/pytest -q tests/unit tests/property tests/test_architecture.py
