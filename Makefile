# Two commands matter: `make up` and `make test`. Each installs what it needs.
PY ?= python3
BIN := .venv/bin
.PHONY: venv check test test-plain facts

venv: .venv/.ready

.venv/.ready: pyproject.toml
	$(PY) -m venv .venv
	$(BIN)/pip install -q -U pip
	$(BIN)/pip install -q -e '.[dev]'
	touch $@

check: venv
	$(BIN)/ruff format --check src tests tools benchmarks
	$(BIN)/ruff check src tests tools benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

test-plain: venv
	$(BIN)/pytest -q -m 'not kernel and not e2e'

facts: venv
	$(BIN)/python tools/facts/generate.py

test: venv
	$(BIN)/pytest -q
