# make demo | test | lint | docs | screenshots | clusters | clusters-all | bench | soak; each sets up .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint docs screenshots bench soak torture clusters clusters-all lock clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("gwbatch needs Python 3.11 or newer (PYTHON=...)" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

demo: $(READY)
	$(BIN)/gwbatch demo

test: $(READY)
	$(BIN)/pytest -n 2 tests

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=docs/examples/gridengine $(BIN)/mypy --strict gwbatch docs/examples/gridengine/gwbatch_gridengine

docs: $(READY)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "open build/docs/index.html"

bench: $(READY)
	for script in replay startup message large_ledger lists products light_products volume_plot alert_latency campaign; do $(BIN)/python benchmarks/$$script.py || exit 1; done
	for which in htcondor slurm; do tests/clusters/within $$which python benchmarks/first_instruction.py $$which || exit 1; done

# Runs a campaign of ten simulated events as two MPI ranks, with the MPI of this environment; takes some five minutes.
campaign: $(READY)
	rm -rf demo-campaign
	$(BIN)/gwbatch campaign plan --example -o demo-campaign --products map,stats
	$(BIN)/mpiexec -n 2 $(BIN)/gwbatch campaign run demo-campaign --mpi
	$(BIN)/gwbatch campaign stats demo-campaign
	$(BIN)/gwbatch campaign plot demo-campaign

soak: $(READY)
	$(BIN)/pytest -m soak tests

# Injects a thousand random faults into all processes, in some twenty minutes; SEED=... repeats a run.
torture: $(READY)
	$(BIN)/python -m tests.acceptance.torture --faults $(or $(FAULTS),1000) $(if $(SEED),--seed $(SEED))

# Takes the pictures of docs/console.md from a running demo, in some four minutes.
screenshots: $(READY)
	$(BIN)/python -m tests.write_screenshots

clusters: $(READY)
	tests/clusters/run

# Includes the tests that CI has no time for.  PYSLURM_SOURCE=pyslurm-X.Y.Z.tar.gz adds the real pyslurm if needed.
clusters-all: $(READY)
	tests/clusters/run --all
	CONDOR_SUITE=trixie GWBATCH_CONDOR=$(CURDIR)/.clusters/condor-trixie tests/clusters/run --all htcondor
	for suite in trixie forky; do SLURM_SUITE=$$suite tests/clusters/run --all slurm || exit 1; done

# Updates constraints.txt for all supported Python versions.
lock:
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --strip-extras \
	  --no-header --no-annotate --no-emit-index-url -q -o constraints.txt --upgrade

clean:
	rm -rf $(VENV) demo-state demo-campaign
