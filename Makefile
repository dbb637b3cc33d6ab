# Everything runs in .venv, which is made first and made anew when the lists of packages change.
# README.md gives the same steps as plain pip lines, for Windows.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
PEERS := build/peers-env
MATCALC := build/matcalc-env
RESOLUTION ?= lowest-direct
VERSIONS := build/$(RESOLUTION)-$(notdir $(PYTHON))-env
ifndef HUNT_SEED
HUNT_SEED := $(shell date +%s)
endif
STARTUP := $(wildcard src/phonopy_mlp/startup/*.*)

.PHONY: install demo test test-install test-matcalc test-versions hunt bench bench-peers paper clean

install: $(INSTALLED)

$(INSTALLED): constraints.txt pyproject.toml src/phonopy_mlp/pyproject.toml src/phonopy_mlp/hatch_build.py $(STARTUP)
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) was not found. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import platform, sys; sys.version_info >= (3, 11) or sys.exit("$(PYTHON) is Python " + platform.python_version() + ", and 3.11 or newer is needed. Name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt --upgrade pip
	$(BIN)/python -m pip install -c constraints.txt torch
	$(BIN)/python -m pip install -c constraints.txt -e ".[all]" -e "./src/phonopy_mlp[report,parsl,dask,mpi,postgresql]" --group test --group lint
	@touch $@

demo: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

# The hunt for hard cases, other ones each time (HUNT_SEED repeats them) and more of them than make test tries; a test that
# fails leaves the counts as they were.
hunt: $(INSTALLED)
	HUNT=20 HUNT_SEED=$(HUNT_SEED) HUNT_CSV=docs/results/hunt.csv OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 tests/hunt --hypothesis-seed=$(HUNT_SEED)

bench: $(INSTALLED)
	@mkdir -p build
	OMP_NUM_THREADS=1 $(BIN)/pytest benchmarks -W ignore --benchmark-columns=min,median,max,rounds --benchmark-json=build/benchmarks.json
	$(BIN)/python benchmarks/table.py build/benchmarks.json build/engine.csv

# janus-core and what it needs, in an environment of its own.
$(PEERS)/installed: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install -c constraints.txt --upgrade pip
	$(PEERS)/bin/python -m pip install -c benchmarks/peers/requirements.txt torch
	$(PEERS)/bin/python -m pip install -r benchmarks/peers/requirements.txt
	@touch $@

# Hours, most of them the peers'; what is finished is not repeated. OPTIONS="--model mini" takes minutes.
bench-peers: $(INSTALLED) $(PEERS)/installed
	PYTHONPATH=benchmarks $(BIN)/python -m peers $(OPTIONS)

# The paper's tables and figures with the embedded model, into docs/paper. OPTIONS="--model mof0 --out DIR" for another.
paper: $(INSTALLED)
	OMP_NUM_THREADS=1 PYTHONPATH=benchmarks $(BIN)/python -W ignore -m paper $(OPTIONS)

# Makes environments of its own and installs phonopy-mlp into them in every way that is promised.
test-install:
	$(PYTHON) tests/packaging/check_install.py

# matcalc and what it needs, in an environment of its own.
$(MATCALC)/installed: constraints.txt pyproject.toml src/phonopy_mlp/pyproject.toml
	$(PYTHON) -m venv $(MATCALC)
	$(MATCALC)/bin/python -m pip install -c constraints.txt --upgrade pip
	$(MATCALC)/bin/python -m pip install -c constraints.txt torch
	$(MATCALC)/bin/python -m pip install -c constraints.txt matcalc pytest -e . -e ./src/phonopy_mlp
	@touch $@

test-matcalc: $(MATCALC)/installed
	OMP_NUM_THREADS=1 $(MATCALC)/bin/python -m pytest tests/mace_mof_calc/test_matcalc.py

# The oldest versions that are allowed; RESOLUTION=highest: the newest. PyTorch's wheels bring gigabytes. Packages that
# were not made for each other's versions warn of what those deprecate.
$(VERSIONS)/installed: constraints.txt pyproject.toml src/phonopy_mlp/pyproject.toml
	$(PYTHON) -m venv $(VERSIONS)
	$(VERSIONS)/bin/python -m pip install -c constraints.txt --upgrade pip
	$(VERSIONS)/bin/python -m pip install uv
	$(VERSIONS)/bin/uv pip compile --quiet --python $(VERSIONS)/bin/python --resolution $(RESOLUTION) --all-extras pyproject.toml src/phonopy_mlp/pyproject.toml -o $(VERSIONS)/versions.txt
	$(VERSIONS)/bin/python -m pip install -c $(VERSIONS)/versions.txt -e ".[all]" -e "./src/phonopy_mlp[report,parsl,dask,mpi,postgresql]" --group test
	@touch $@

test-versions: $(VERSIONS)/installed
	OMP_NUM_THREADS=1 $(VERSIONS)/bin/pytest -n 2 -W ignore::DeprecationWarning

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
