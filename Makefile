# The one menu. `make demo` and `make test` work on a fresh Debian 12 as root; CI uses the same targets.
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/sh

.PHONY: help venv demo test check unit bench soak guest wheel clean

help:           ## show this menu
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/'

venv: $(VENV)/.done  ## make .venv from the lock file

$(VENV)/.done: requirements.lock pyproject.toml scripts/debian
	sh scripts/debian python
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/pip uninstall --quiet --yes setuptools 2>/dev/null
	touch $@

demo: venv      ## the main job from end to end, with no registry of images in reach
	sh scripts/debian demo
	sh scripts/demo

check: venv     ## lint and types
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

unit: venv      ## the tests that need neither root nor other tools
	$(BIN)/pytest -q tests/unit tests/property tests/test_architecture.py -m "not root and not peers"

test: venv      ## everything: lint, types, all tests (as root; installs the Debian packages it compares with)
	sh scripts/debian peers
	$(MAKE) check
	$(BIN)/pytest -q -m "not soak" -p xdist -n 2 --dist loadfile --timeout 300 tests
	$(BIN)/pytest -q -m soak -p xdist -n 2 --dist loadfile --timeout 900 tests

soak: venv      ## the same rounds of kills and fuzzing, long
	sh scripts/debian peers
	HOLDALL_SOAK=1 $(BIN)/pytest -q -m soak --timeout 7200 tests
	HOLDALL_SOAK=1 $(BIN)/pytest -q --timeout 7200 tests/fuzz

guest: venv     ## Debian 12's own kernel (6.1, control groups version 2) in a virtual machine; slow
	sh scripts/debian guest
	sh scripts/guest

bench: venv     ## compare with docker and podman on this machine; prints the tables of docs/benchmarks.md
	sh scripts/debian peers
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/images.py
	$(BIN)/python benchmarks/mounts.py

wheel: venv     ## build the wheel into dist/
	$(BIN)/python -m hatchling build -t wheel

clean:          ## remove what the other targets made
	rm -rf $(VENV) .guest dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
