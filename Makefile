# make reproduce   set up, run the six notebooks on the bundled model, print the claims board   (SET=name for another parameter set)
# make test        set up, run all tests
# make plan        tell what a run would cost on this machine: completions, tokens, memory, minutes
# make lab         open JupyterLab
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
SET ?= embedded
BIN := .venv/bin
LAB_OPTIONS ?=

.PHONY: help reproduce test plan verify-determinism verify-resume verify-server bench lint lab dry-run readme lock clean
help:
	@sed -n 's/^# make/make/p' Makefile

reproduce: .venv/ready
	@$(BIN)/python -m lib.batch run $(SET)

test: .venv/ready
	@echo "Tests: about 8 minutes on 2 cores."
	@$(BIN)/ruff check --quiet && $(BIN)/python -m pytest

plan: .venv/ready
	@$(BIN)/python -m lib.batch plan $(SET)

# Slow proofs on the bundled model: completions are the same in any batch, order, division and number of processes …
verify-determinism: .venv/ready
	$(BIN)/python -m tests.verify_determinism

# … after kill -9 at twenty random moments …
verify-resume: .venv/ready
	$(BIN)/python -m tests.verify_resume

# … and arrive, each once, from real servers that are killed and started again.
verify-server: .venv-extra/ready
	.venv-extra/bin/python -m tests.verify_server

# How fast completions are made, beside other ways to make them.
bench: .venv-extra/ready
	.venv-extra/bin/python -m tests.bench_generation

lint: .venv/ready
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb

lab: .venv/ready
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks/01_dataset.ipynb $(LAB_OPTIONS)

dry-run: .venv/ready
	$(BIN)/snakemake $(SET) --cores all --dry-run

# The README's numbers, written from the reference run.
readme: .venv/ready
	$(BIN)/python -m lib.readme

# The lock, made from pyproject.toml in an empty environment.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet "torch==2.13.0" ".[test]"
	(echo "# Made from pyproject.toml by 'make lock'."; .venv-lock/bin/pip freeze | grep -v "^expression-leakage" | sed 's/+cpu$$//') > requirements.txt
	rm -rf .venv-lock

.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is too old; install Python 3.11 or call make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up .venv: about 2 minutes, 2 GB on disk (log: .venv/install.log)."
	@$(PYTHON) -m venv .venv
	@{ $(BIN)/pip install -r requirements.txt && $(BIN)/pip install --no-deps -e . ; } > .venv/install.log 2>&1 \
	  || { echo "error: packages could not be installed: $$(grep -m1 '^ERROR' .venv/install.log || tail -n1 .venv/install.log)"; \
	       echo "connect to a package index, or make room on the disk, and call make again: it goes on where it was"; exit 1; }
	@touch $@

# The same environment with what bench and verify-server need beside it.
.venv-extra/ready: .venv/ready
	$(PYTHON) -m venv .venv-extra
	grep -v ^python-dateutil requirements.txt > .venv-extra/constraints.txt  # lm-eval wants an older one
	.venv-extra/bin/pip install --quiet -c .venv-extra/constraints.txt -e ".[bench,servers]"
	@touch $@

clean:
	rm -rf .venv .venv-extra .snakemake .pytest_cache .ruff_cache *.egg-info
	@echo "outputs/ and the cache of fetched models are kept; delete them by hand"
