# The commands of this project. Everything goes into .venv; only `make servers` keeps something outside of this folder.
# Another Python: make PYTHON=python3.13 install

PYTHON ?= python3
WORKERS ?= 4
MINUTES ?= 60
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links
# Many tests wait more than they compute, so there are more workers than the usual two cores. Without the option xdist
# would begin with the files of many quick tests, and end with one worker waiting for the other's slow ones.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.NOTPARALLEL:
.PHONY: help install demo test test-fast check servers bench mutants soak package requirements clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

install: $(VENV)/.installed  ## Make .venv with rotator in it, every package checked by its hash (a minute)

demo: install  ## Watch five credentials through their whole life, on this machine alone (under a minute)
	@$(BIN)/rotator demo

test: check servers  ## check, then all tests, with a real Vault and Keycloak (under 15 minutes)
	@echo "== tests, $(WORKERS) at a time"
	@$(PYTEST)

test-fast: $(VENV)/.developed  ## The tests that need no server (under two minutes)
	@$(PYTEST) -m "not vault and not keycloak and not slow"

check: $(VENV)/.developed  ## Format, style, types, who imports whom, and what must agree with what
	@echo "== format (to repair: $(BIN)/ruff format)"
	@$(BIN)/ruff format --quiet --check
	@echo "== style"
	@$(BIN)/ruff check --quiet
	@echo "== types (a minute the first time)"
	@$(BIN)/mypy
	@echo "== imports"
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m tests.checks

servers: $(VENV)/.installed  ## Find Vault and Keycloak for the tests, or make them, once on a machine (6 to 10 minutes)
	@$(BIN)/python tests/servers/build.py
	@$(BIN)/python tests/servers/keycloak.py

bench: $(VENV)/.developed  ## Measure; prints tables
	@$(BIN)/python -m benchmarks

mutants: $(VENV)/.developed servers  ## Break the rules of the protocol one by one; the tests must notice each
	@$(BIN)/python -m tests.mutants

soak: $(VENV)/.developed servers  ## Let the service run for MINUTES=60 with kills, seals and bad answers; everything must hold
	@$(BIN)/python -m tests.soak $(MINUTES)

package: $(VENV)/.installed  ## Build the wheel into dist/ and try it in an empty environment
	@rm -rf dist
	@echo "Building the wheel"
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	@set -eu; there=$$(mktemp -d); trap 'rm -rf "$$there"' EXIT; \
	echo "Installing it into an empty environment"; \
	$(BIN)/python -m venv "$$there/venv"; \
	"$$there/venv/bin/python" -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/runtime.txt; \
	"$$there/venv/bin/python" -m pip --disable-pip-version-check --quiet install --no-deps dist/*.whl; \
	cd "$$there"; venv/bin/rotator --version; \
	test -e "$$there"/venv/lib/python3*/site-packages/rotator/_migrations/env.py
	@ls -l dist

requirements: $(VENV)/.developed  ## Pin the newest versions that requirements/*.in allow, with hashes
	@for name in runtime build dev servers; do \
		echo "Pinning requirements/$$name.txt"; \
		$(COMPILE) requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

clean:  ## Remove .venv, dist and the caches of the tools (the Vault for the tests stays)
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	find rotator tests migrations benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# ------------------------------------------------------------------------------------------------ how .venv comes about

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "rotator needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version 2>&1`."; \
		echo "With a newer one on this machine: make PYTHON=/path/to/python3.13 $(MAKECMDGOALS)"; exit 1; } >&2
	@echo "Making $(VENV) with `$(PYTHON) --version`"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "This Python cannot make environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.installed: requirements/runtime.txt requirements/build.txt pyproject.toml | $(BIN)/python
	@echo "Installing what rotator needs, each package checked by its hash (about 45 s)"
	@$(PIP) install --require-hashes --no-deps -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@echo "Done: $(BIN)/rotator"
	@touch $@

$(VENV)/.developed: requirements/dev.txt $(VENV)/.installed
	@echo "Installing what the tests need"
	@$(PIP) install --require-hashes --no-deps -r requirements/dev.txt
	@touch $@
