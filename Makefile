# Set-up and the two commands a fresh machine needs: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --no-compile --constraint constraints.txt
# pip compiles on one core, the tests of all packages as well, which takes longer than all else it does.
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/(tests?|testing)/' $(VENV)/lib || true  # some files of packages are for other versions of Python
WORKERS ?= auto
# Tests start hundreds of interpreters: what one of them has compiled serves the others.
export PYTHONDONTWRITEBYTECODE :=
SELECT ?= not slow and not needs_postgresql and not needs_ray
TESTS ?= tests
FUZZ ?= 10
CHAOS ?= 4

.PHONY: help demo test test-all bench fuzz chaos lint format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    install, search on synthetic records, write the report"
	@echo "make test    install with test extras, run the tests; test-all those of servers and those that take long as well"
	@echo "make bench   how fast it trains, reads and starts; writes benchmarks/RESULTS.md"
	@echo "make fuzz    broken files, command lines and databases, some 60,000 cases"
	@echo "make chaos   workers killed, stopped, out of memory and disk: some 130 faults"
	@echo "make lint    ruff, mypy, known vulnerabilities of dependencies"
	@echo "make format  ruff format"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable ".[explain]"
	@$(COMPILE)
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable ".[test,dicom,edf,explain,postgresql,ray,sph]"
	@$(COMPILE)
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/python -m search run --data demo --target superclass --epochs 2 --trials 20 --max macs=20M --presets none
	$(BIN)/python -m search report --study demo-superclass

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --maxschedchunk 2 -m "$(SELECT)" $(TESTS)

test-all: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --maxschedchunk 2

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/training/training.py
	$(BIN)/python benchmarks/scaling/waiting.py

fuzz: $(VENV)/.installed-test
	FUZZ=$(FUZZ) $(BIN)/python -m pytest --numprocesses $(WORKERS) --timeout 3600 tests/search/data/test_fuzz_*.py tests/search/data/*/test_fuzz_*.py tests/search/commands/test_fuzz_*.py

chaos: $(VENV)/.installed-test
	CHAOS=$(CHAOS) $(BIN)/python -m pytest --numprocesses $(WORKERS) --timeout 1200 tests/search/study/test_chaos.py tests/search/study/test_many_workers.py

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/audit.py

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
