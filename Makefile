# Two commands matter: `make demo` shows the whole system, `make test` proves it. Nothing is needed but make and Python 3.11+.
SHELL := /bin/bash
.DEFAULT_GOAL := install
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_HOME ?= .demo

SPARK := $(VENV)/spark

.PHONY: install demo test test-spark lint types imports unit airflow format lock docs bench clean help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## build .venv from the hashed requirements

$(STAMP): requirements.txt requirements-uv.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (set PYTHON=...)."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade >/dev/null
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Installed into $(VENV). Try: make demo"

demo: $(STAMP) ## the whole system on this machine, through the real DAGs: about two minutes
	@$(BIN)/iess demo --airflow --home $(DEMO_HOME)

test: lint types imports unit ## everything that must hold

lint: $(STAMP) ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

imports: $(STAMP) ## packages import one way
	$(BIN)/lint-imports --no-cache

# A file's tests stay together (they share servers); files go out in order, so that the long ones are not left to the end.
unit: $(STAMP) ## pytest with coverage, on up to four cores
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
		--cov --cov-report=term:skip-covered $(PYTEST_ARGS)

# PySpark lies beside the environment, not in it: all else runs, and is tested, without. Java 17 is needed.
test-spark: $(SPARK)/.installed ## pytest on Spark, on a cluster of this machine, too
	PYTHONPATH=$(CURDIR)/$(SPARK) $(BIN)/pytest -m spark tests/spark $(PYTEST_ARGS)

$(SPARK)/.installed: requirements-spark.txt $(STAMP)
	@rm -rf $(SPARK)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target $(SPARK) --no-deps --require-hashes -r requirements-spark.txt
	@touch $@

airflow: $(STAMP) ## airflow standalone on the embedded PostgreSQL
	@$(BIN)/iess airflow

format: $(STAMP) ## format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: | $(BIN)/uv ## compile requirements*.txt again
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --custom-compile-command "make lock" --extra demo --extra notify --extra dev pyproject.toml -o requirements.txt
	echo uv | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --custom-compile-command "make lock" - -o requirements-uv.txt
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["spark"])' \
		| $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --custom-compile-command "make lock" - -o requirements-spark.txt

$(BIN)/uv:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt

clean: ## remove what the demo and the tests leave (not .venv)
	rm -rf .demo .coverage htmlcov .pytest_cache .mypy_cache .ruff_cache build *.egg-info
