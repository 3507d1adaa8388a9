# Two commands do everything on a fresh machine: `make demo` and `make test`.
# They need Python 3.11 or newer, make and the package index, and write only below this folder.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Interpreters to try, in this order, when .venv is made.
PYTHON ?= python3.11 python3 python

PACKAGES := deepsched baselines model pipeline

# Where it is set, each of the many processes of tests and demo compiles every source again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help venv demo test test-fast test-ray test-install test-data lint layout types contract format benchmark-speed \
	constraints clean distclean

# Sets the shell variable `python`, or says what is missing and ends the recipe.
define find_python
python=; \
for candidate in $(PYTHON); do \
	if $$candidate -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
		>/dev/null 2>&1; then python=$$candidate; break; fi; \
done; \
if [ -z "$$python" ]; then \
	echo "DeepSched needs Python 3.11 or newer with the venv module; tried: $(PYTHON)." >&2; \
	echo "Install it, or name yours: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
	exit 1; \
fi
endef

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' \
		$(firstword $(MAKEFILE_LIST))

venv: $(STAMP) ## create .venv and install everything, at the pinned versions

# The stamp is written last, so an install that was interrupted is done again. A .venv whose
# interpreter is gone or too old is made anew; any other is kept and brought up to date.
$(STAMP): pyproject.toml constraints.txt
	@rm -f $@
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		$(find_python); \
		echo "Creating $(VENV) with $$($$python --version); installing takes some minutes"; \
		$$python -m venv --clear $(VENV); \
	}
	@# torch first: it is the largest by far, and brings the setuptools that builds our own package.
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt \
		--no-build-isolation -e '.[dev]'
	$(BIN)/deepsched compile
	@touch $@

demo: $(STAMP) ## run every stage once, below runs/ (on $DEEPSCHED_DATA, or what was fetched)
	$(BIN)/deepsched demo

test: lint types contract test-fast test-ray test-install ## lint, types, import contract and all tests

test-fast: $(STAMP) ## only the tests that need no Ray, on all cores
	$(BIN)/python -m pytest -m 'not ray and not install' -n auto --dist loadfile $(PYTEST_ARGS)

# Two processes, since these tests mostly wait for Ray's own to start; the tests of each share one
# local Ray.
test-ray: $(STAMP) ## only the tests that use Ray
	$(BIN)/python -m pytest -m ray -n 2 --dist loadfile $(PYTEST_ARGS)

test-install: $(STAMP) ## only the test that installs the wheel into a new environment
	$(BIN)/python -m pytest -m install $(PYTEST_ARGS)

test-data: $(STAMP) ## only the tests on real inputs; fails where $DEEPSCHED_DATA is missing
	$(BIN)/python -m pytest -m data --require-data $(PYTEST_ARGS)

lint: $(STAMP) ## formatting and lint rules
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .

# The package as it is installed, for tools that read its files by their import names.
LAYOUT := build/lib
layout: $(STAMP)
	@rm -rf $(LAYOUT)
	@$(BIN)/python -c 'import setuptools; setuptools.setup()' -q build_py --build-lib $(LAYOUT)

# A check that looked at one file would pass as well, so the files are counted.
types: layout ## static types
	@cd $(LAYOUT) && ../../$(BIN)/python -m mypy --config-file ../../pyproject.toml \
		--no-incremental | sed 's|^deepsched/\(baselines\|model\|pipeline\)/|\1/|' | \
		tee ../mypy.txt; \
	awk -v n="$$(find deepsched -name '*.py' | wc -l)" \
		'/^Success/ {all = $$(NF - 2) >= n} END {exit !all}' ../mypy.txt

contract: layout ## who may import whom
	@cd $(LAYOUT) && ../../$(BIN)/lint-imports --config ../../pyproject.toml

format: $(STAMP) ## rewrite the files as `make lint` wants them, as far as a tool can
	$(BIN)/python -m ruff check --fix-only .
	$(BIN)/python -m ruff format .

benchmark-speed: $(STAMP) ## measure scheduling speed; a table of docs/results.md
	@mkdir -p runs
	$(BIN)/deepsched benchmark speed --json runs/speed.json

constraints: ## resolve all versions anew, torch and ray held, and rewrite constraints.txt
	@rm -rf build/constraints && mkdir -p build
	@$(find_python); $$python -m venv build/constraints
	grep -E '^(torch|ray)==' constraints.txt > build/constraints/held.txt
	build/constraints/bin/python -m pip install -c build/constraints/held.txt torch
	build/constraints/bin/python -m pip install -c build/constraints/held.txt \
		--no-build-isolation -e '.[dev]'
	build/constraints/bin/python -m pip freeze --all --exclude-editable --exclude pip \
		> build/constraints/frozen.txt
	@{ grep '^#' constraints.txt; \
		grep -vE '^(nvidia|cuda|triton)' build/constraints/frozen.txt | sed 's/+.*//'; \
	} > build/constraints/new.txt
	mv build/constraints/new.txt constraints.txt
	@rm -rf build/constraints

clean: ## remove caches and build leftovers; keeps .venv and runs/
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache
	find $(PACKAGES) tests -type d -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## also remove .venv
	rm -rf $(VENV)
