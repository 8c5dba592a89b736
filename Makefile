# `make demo` shows PyPeT at work, `make test` runs every test, `make lint` looks at the code, `make benchmark` takes times
# and compares denoisings. All make their own environment, in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint benchmark clean

demo: .venv/demo.stamp
	$(BIN)/pypet demo pypet-demo

test: .venv/test.stamp
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: .venv/test.stamp
	$(BIN)/ruff check PyPeTLib PyPeT Testing
	$(BIN)/ruff format --check PyPeTLib PyPeT Testing
	$(BIN)/mypy

benchmark: .venv/test.stamp
	$(BIN)/python Testing/benchmarks/speed.py
	$(BIN)/python Testing/benchmarks/denoising.py

.venv/bin/python:
	@$(PYTHON) -c "import sys; sys.exit('Python 3.10 or later is needed, found ' + sys.version.split()[0] + '; set PYTHON=...' if sys.version_info < (3, 10) else 0)"
	$(PYTHON) -m venv .venv

.venv/demo.stamp: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[all]"
	touch $@

.venv/test.stamp: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	touch $@ .venv/demo.stamp

clean:
	rm -rf .venv pypet-demo build *.egg-info
