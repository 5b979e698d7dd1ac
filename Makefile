# Two commands matter: `make up` and `make test`. Each installs what it needs.
PY ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help up down test check conformance facts bench venv

help:
	@echo 'make up           set everything up and bring a cluster up'
	@echo 'make down         stop it; its objects stay'
	@echo 'make test         set everything up and run every test'
	@echo 'make check        format, lint, types, import contracts'
	@echo 'make conformance  replay what upstream answered, print a table'
	@echo 'make bench        ours and the peers side by side'
	@echo 'make facts        generate the package data from tools/facts'
	@echo 'make venv         only the virtual environment, without root'

up:
	@tools/prepare run
	@$(MAKE) --no-print-directory venv
	@[ -z "$(ROOT)" ] || echo 'sudo is needed: a cluster is made of network namespaces.'
	@$(ROOT) $(BIN)/sampan up

down:
	@$(ROOT) $(BIN)/sampan down

venv: .venv/.ready

.venv/.ready: pyproject.toml $(wildcard native/*.toml native/src/*/*.c)
	@[ -n "$(PY)" ] || { echo 'Python 3.11 or newer is needed: apt install python3'; exit 1; }
	@$(PY) -m venv .venv || { echo 'venv failed: apt install python3-venv'; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@$(BIN)/python -m compileall -q -j 0 src
	@if command -v cc >/dev/null; then $(BIN)/python -m pip install -q --disable-pip-version-check ./native \
		|| echo 'The compiled receive loop of sampan dns could not be built; it runs without.'; fi
	@touch $@

check: venv
	$(BIN)/ruff format --check src tests tools benchmarks
	$(BIN)/ruff check src tests tools benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

test:
	@tools/prepare test
	@$(MAKE) --no-print-directory venv
	@$(MAKE) --no-print-directory check
	@tools/run-tests

conformance: venv
	$(BIN)/python tools/conformance.py

bench: venv
	$(BIN)/python -m benchmarks

facts: venv
	$(BIN)/python tools/facts/generate.py
