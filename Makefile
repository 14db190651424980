# `make train` and `make test` set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup-done
DOCS_SETUP := $(VENV)/.docs-done

.PHONY: help train test test-slow coverage lint docs wheel setup clean gpu gpu-dry

help:
	@echo "make train      set up, and train the baseline on CIFAR-10"
	@echo "make test       set up, and run lint, types, import rules and the fast tests"
	@echo "make test-slow  set up, and run the slow tests"
	@echo "make coverage   set up, and run the fast tests with a coverage report in build/coverage"
	@echo "make docs       set up, and build the documentation as a site in build/site"
	@echo "make wheel      build a wheel file in dist"
	@echo "make gpu-dry    set up, and try the GPU suite on the CPU"
	@echo "make gpu        on a machine with a GPU: measure everything that needs one"
	@echo "make lint       set up, and run lint, types and import rules"
	@echo "make clean      remove the environment and caches"

setup: $(SETUP)

$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cifarlab needs Python 3.11 or newer; run: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet \
	  --disable-pip-version-check --editable '.[dev]'
	@touch $@

train: $(SETUP)
	$(BIN)/cifarlab train baseline --fallback shapes10

lint: $(SETUP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# On a machine of its own, which has PyTorch and no network: what `python -m benchmarks.gpu.pack`
# has packed is unpacked, not installed.
gpu:
	@if [ -d .gpu/wheels ] && [ ! -d .gpu/site ]; then $(PYTHON) -m pip install --quiet --no-index \
	  --no-deps --no-compile --disable-pip-version-check --target .gpu/site .gpu/wheels/*.whl; fi
	PYTHONPATH=src:.gpu/site KERAS_BACKEND=torch $(PYTHON) -m benchmarks.gpu.suite $(GPU_OPTIONS)

gpu-dry: $(SETUP)
	KERAS_BACKEND=torch $(BIN)/python -m benchmarks.gpu.suite --dry --out build/gpu-dry.json
	$(BIN)/python -m benchmarks.gpu.table build/gpu-dry.json

test: lint
	CIFARLAB_CACHE=$(CURDIR)/build/cache $(BIN)/python -m pytest -q --doctest-modules src/cifarlab
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(SETUP)
	$(BIN)/python -m pytest -m slow

coverage: $(SETUP)
	$(BIN)/python -m pytest -n 2 -m "not slow" --cov --cov-report=term:skip-covered \
	  --cov-report=html:build/coverage

$(DOCS_SETUP): $(SETUP)
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet \
	  --disable-pip-version-check --editable '.[docs]'
	@touch $@

docs: $(DOCS_SETUP)
	KERAS_BACKEND=torch NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

wheel: $(SETUP)
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

clean:
	rm -rf $(VENV) .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
