# make demo | demo-zero | test | test-browser | test-long | test-all | app | check | docs | screenshots | install | wheel | constraints
# SERVE=0|1 and FRESH=1 belong to demo and demo-zero
PYTHON ?= python3
BIN := .venv/bin
JS_BIN := tests/js/node_modules/.bin
PORT ?= 8501
# Parallel processes of pytest. Browser tests need a core each. Many quick tests wait for a process, so one more runs.
WORKERS ?= auto
QUICK_WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := $(BIN)/python -m pytest --dist worksteal

.PHONY: help install readers demo demo-zero app test test-browser test-long test-all test-js check check-js browser docs screenshots
.PHONY: wheel constraints
help:
	@echo "make demo     install, train on rendered images, show the result, open the app (SERVE=0: stop before the app, FRESH=1: start over)"
	@echo "make demo-zero  the same without a label: general readers read the images first"
	@echo "make test     install and run the tests that need no browser"
	@echo "make test-browser  those in a browser and those of the benches"
	@echo "make test-long  those that take longest"
	@echo "make test-all  every test; those that read a clock run alone"
	@echo "make app      open the app on ./slotlab-data (PORT=8501)"
	@echo "make test-js  the unit tests of the browser widgets' scripts (Node)"
	@echo "make check    lint, format and type checks"
	@echo "make docs     write the generated parts of the documentation"
	@echo "make screenshots  take the pictures of docs/images"
	@echo "make readers  install with the general readers of Propose"
	@echo "make install  only install, into .venv"
	@echo "make wheel    build a wheel into dist"
	@echo "make constraints  upgrade .venv and pin the new versions in constraints.txt"

install: .venv/installed
readers: .venv/installed-readers
demo: .venv/installed
	@$(BIN)/slotlab demo --port $(PORT) $(if $(filter 1,$(SERVE)),--serve) $(if $(filter 0,$(SERVE)),--no-serve) $(if $(filter 1,$(FRESH)),--fresh)

demo-zero: .venv/installed-readers
	@$(BIN)/slotlab demo --zero --port $(PORT) $(if $(filter 1,$(SERVE)),--serve) $(if $(filter 0,$(SERVE)),--no-serve) $(if $(filter 1,$(FRESH)),--fresh)

app: .venv/installed
	@$(BIN)/slotlab app --port $(PORT)

test: .venv/installed-test test-js
	$(PYTEST) -n $(QUICK_WORKERS) --ignore=tests/browser --ignore=tests/bench

test-browser: .venv/installed-test browser
	$(PYTEST) -n $(WORKERS) tests/browser tests/bench
	@command -v chromium >/dev/null || echo "The browser tests were skipped: there is no Chromium on this machine."

test-long: .venv/installed-test browser
	$(PYTEST) -n $(WORKERS) -m long

test-all: .venv/installed-test browser test-js
	$(BIN)/python -m pytest -m timing
	$(PYTEST) -n $(WORKERS) -m 'not timing'

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	git ls-files | xargs $(BIN)/codespell
	$(BIN)/python -m pytest -q tests/test_english.py
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory check-js; \
		else echo "The scripts of the widgets were not checked: there is no Node on this machine."; fi

docs: .venv/installed-test
	$(BIN)/python -m core.cli.reference
	$(BIN)/python -m bench.tables
	$(BIN)/python -m bench.labels --write

screenshots: .venv/installed-test browser
	$(BIN)/python -m bench.ui.screenshots

# Node is only here to check and to test the scripts of the browser widgets.
check-js: tests/js/node_modules/.installed
	$(JS_BIN)/tsc --project tests/js
	$(JS_BIN)/eslint --config tests/js/eslint.config.js --max-warnings 0 pages/components/widgets tests/js

test-js:
	@if command -v node >/dev/null; then node --test tests/js/*.test.js; \
		else echo "The scripts of the widgets were not tested: there is no Node on this machine."; fi

tests/js/node_modules/.installed: tests/js/package.json
	npm --prefix tests/js install --no-audit --no-fund --loglevel=error && touch $@

# Debian's Chromium drives the browser tests. Only root on a machine with apt gets it by itself.
browser:
	@command -v chromium >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } || true

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Slotlab needs Python 3.11 or newer; name one with make PYTHON=python3.12."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install -c constraints.txt --editable . && touch $@
.venv/installed-readers: .venv/installed
	$(BIN)/pip install -c constraints.txt --editable '.[readers]' && touch $@
.venv/installed-test: .venv/installed
	$(BIN)/pip install -c constraints.txt --editable '.[test]' && touch $@
# The type checks read bench, which drives Playwright.
.venv/installed-dev: .venv/installed-test
	$(BIN)/pip install -c constraints.txt --editable '.[dev]' && touch $@

# setuptools never empties build/lib, so a module deleted since the last build would be in the wheel.
wheel: .venv/installed
	rm -rf build/lib
	$(BIN)/pip wheel . --no-deps --wheel-dir dist

constraints: .venv/installed-dev
	$(BIN)/pip install --upgrade --upgrade-strategy eager --editable '.[test,dev]'
	sed '/^[^#]/d' constraints.txt >.venv/constraints.txt
	$(BIN)/pip list --format=freeze --exclude slotlab --exclude pip | sed 's/+.*//' | \
		grep -Ev '^(cuda-|nvidia-|triton=)' >>.venv/constraints.txt
	mv .venv/constraints.txt constraints.txt
	touch .venv/installed .venv/installed-readers .venv/installed-test .venv/installed-dev
