# One word each: test, check.
VENV ?= .venv
BIN ?= $(VENV)/bin

.PHONY: check test
check:
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell src tests docs benchmarks *.md

test: check
	$(BIN)/pytest
