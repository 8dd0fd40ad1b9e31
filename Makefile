# A fresh machine needs Python 3.11 or later and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

# What `make storm` and `make fuzz` do: how much, and which random numbers.
STORM ?=
STORM_KILLS ?= 200
STORM_SEED ?= 0
STORM_JOBS ?= 2
FUZZ_KINDS ?=
FUZZ_CASES ?= 2000
FUZZ_SEED ?= 0
FUZZ_OPTIONS ?=

.PHONY: demo test storm fuzz check format lint types docs clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

demo: $(STAMP)  ## draw 100 CC0 pictures and graft the bundled source onto them
	$(BIN)/graftgan demo

test: $(STAMP)  ## every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

storm: $(STAMP)  ## kill, signal and damage real commands: make storm STORM="pretrain compare"
	PYTHONPATH=$(CURDIR)/tests$(if $(PYTHONPATH),:$(PYTHONPATH)) OMP_NUM_THREADS=1 $(BIN)/python -m storm $(STORM) \
		--kills $(STORM_KILLS) --seed $(STORM_SEED) --jobs $(STORM_JOBS) --json storm.json

check: format lint types test  ## what CI runs

fuzz: $(STAMP)  ## attack every reader of files; FUZZ_KINDS=npz,zip FUZZ_CASES=200 for less
	PYTHONPATH=tests:$$PYTHONPATH OMP_NUM_THREADS=1 $(BIN)/python -m fuzz \
		--cases $(FUZZ_CASES) --seed $(FUZZ_SEED) --kinds "$(FUZZ_KINDS)" $(FUZZ_OPTIONS)

format: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/codespell src docs benchmarks scripts README.md CHANGELOG.md LOG.md CONTRIBUTING.md

types: $(STAMP)
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(STAMP)  ## the pages, in docs/_build/html
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going docs docs/_build/html

clean:
	rm -rf $(VENV) docs/_build .pytest_cache .ruff_cache
