# `make demo`, `make test` and `make lint` each set up .venv by themselves, and again when requirements.txt , pyproject.toml or setup.py
# is newer than the stamp that the last installation left in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes that run the tests.
JOBS ?= 2
export NUMBA_CACHE_DIR := $(CURDIR)/$(VENV)/numba
# Waiting threads sleep: where they spin, two processes on two cores slow each other down many times over.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test lint wheel bench clean

demo: $(VENV)/.installed
	$(BIN)/python scripts/demo.py

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -n $(JOBS) --dist loadscope --no-loadscope-reorder

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check d2m evaluate scripts tests setup.py
	$(BIN)/ruff format --check d2m scripts tests setup.py
	$(BIN)/basedpyright

wheel: $(VENV)/.installed-dev
	scripts/check_wheel.sh $(BIN)/python

bench: $(VENV)/.installed
	$(BIN)/python scripts/benchmark.py what=training
	$(BIN)/python scripts/benchmark.py what=generation

$(VENV)/bin/python:
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -c 'import sys; v = sys.version_info; v < (3, 10) and sys.exit("d2m needs Python 3.10 or newer, found %d.%d: say PYTHON=python3.11 or the like" % v[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml setup.py | $(VENV)/bin/python
	@echo "installing the requirements into $(VENV) (about 1.5 GB with a CPU torch; a few minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	$(BIN)/python -c "from d2m.evaluation.analysis import warm_up; warm_up()"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing the tools for tests and lint into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "setuptools>=70.1" -e ".[dev]"
	@# its stubs of numpy 1.18 hide the types of numpy itself from the type checker
	$(BIN)/python -m pip uninstall --quiet --yes data-science-types
	@touch $@

clean:
	rm -rf $(VENV) outputs
