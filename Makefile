# make reproduce   run the notebooks on the bundled model: the claims board  (SET=name; PROFILE=slurm)
# make measure     measure your own model  (MODEL=hub id, folder, .gguf or server URL; BUDGET=10m)
# make lab         try a context on a model by hand, and run the notebooks, in JupyterLab
# make plan        what a run costs on this machine, and what it takes to see an effect  (EFFECT=5)
# make compare     finished runs side by side  (SETS="mine embedded")
# make test        run all tests
#
# make site            the finished runs as web pages  (SETS="…" for some of them)
# make explore         the completions of a run, neutral and charged side by side  (SET=name)
# make verify          every number of a finished run, made again and compared  (RUN=name)
# make confirm         a finished run again: frozen rules, held-out sentences, new seeds  (SET=name)
# make export-labels   texts to label, for Label Studio  (FILE=path.json or .csv; OPTIONS=--blank)
# make import-labels   labels from Label Studio's JSON or a CSV   (FILE=path; OPTIONS="--names 7=ann")
# make export          the benchmark for the Hugging Face hub, lm-evaluation-harness and Inspect
# make publish         a run as Every Eval Ever records and as a Hugging Face dataset  (SET=name)
# make import-logs     logs of lm-evaluation-harness or Inspect as a table  (FILE=log; TABLE=path.csv)
# make lint-dataset    defects in the stems, contexts and exclusions
# make lint-sentences  defects in the stems and contexts of your own that a set names  (SET=name)
# make dry-run         which notebooks a run would execute, and why
# make clean           remove the environment; results stay
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
SET ?= embedded
RUN ?= embedded
EFFECT ?= 5
BIN := .venv/bin
LAB_OPTIONS ?=
FILE ?=
OPTIONS ?=

.PHONY: help reproduce confirm verify measure compare site explore test test-fast coverage plan architecture verify-determinism verify-resume torture fuzz verify-server verify-slurm verify-export verify-annotation verify-lab verify-explorer simulate simulate-annotation bench bench-load bench-run bench-mining bench-scale fit-adapter fit-judge bench-judges bench-replies lint lint-dataset lint-sentences export publish import-logs export-labels import-labels lab dry-run readme lock clean
help:
	@echo "Expression leakage: does a feeling in an unrelated sentence turn up in a model's continuation?"
	@echo "Every command sets up what it needs first."
	@echo "SET is one of: $(basename $(notdir $(wildcard params/*.yaml)))"
	@echo
	@sed -n -e '/^SHELL/q' -e 's/^# *//p' Makefile

# An option of the command line as one of the program: $(call given,NAME,option); `make measure TABLE=` hands on an empty one.
given = $(if $(findstring command,$(origin $1)),--$2 "$($1)")

reproduce: .venv/ready
	@$(BIN)/python -m lib.cli.batch run $(SET) $(call given,PROFILE,profile)

measure: .venv/ready
	@$(BIN)/python -m lib.measure $(if $(MODEL),"$(MODEL)") $(call given,TABLE,table) $(call given,NAME,name) $(call given,MODE,mode) \
	  $(call given,DTYPE,dtype) $(call given,JUDGE,judge) $(call given,BUDGET,budget) $(call given,SET,set) \
	  $(call given,API_KEY_ENV,api-key-env) $(call given,GROUPS,groups) $(call given,SAMPLES,samples)

compare: .venv/ready
	@$(BIN)/python -m lib.measure.compare $(SETS)

site: .venv/ready
	@$(BIN)/python -m lib.site.build $(SETS)

explore: .venv/ready
	@$(BIN)/python -m lib.site.explorer $(SET)

confirm: .venv/ready
	@$(BIN)/python -m lib.cli.confirm $(SET)

# Exit code 1, and a line for each, if anything differs.
verify: .venv/ready
	@$(BIN)/python -m lib.cli.verify $(RUN)

# A worker for each core, and of each one thread: two that wait for each other at every product of matrices take twice the time.
test coverage: export MKL_NUM_THREADS := 1
test coverage: export OPENBLAS_NUM_THREADS := 1

test: .venv/ready
	@$(BIN)/python -m ruff check --quiet && $(BIN)/python -m pytest -n auto --dist worksteal

# Those of them that take a minute in all.
test-fast: .venv/ready
	@$(BIN)/python -m pytest -m "not slow"

# All tests, and which lines of lib no test reaches; fails below 90 %.
coverage: .venv/ready
	@$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term-missing

plan: .venv/ready
	@$(BIN)/python -m lib.cli.batch plan $(SET) --effect $(EFFECT)

# Slow proofs on the bundled model: completions are the same in any batch, order, division and number of processes …
verify-determinism: .venv/ready
	$(BIN)/python -m tests.proofs.verify_determinism

# … after kill -9 at twenty random moments …
verify-resume: .venv/ready
	$(BIN)/python -m tests.proofs.verify_resume

# … and a whole run ends with the same tables after some 50 faults: kills, no memory, full disk, damaged files  (ONLY=kinds, SEED=1).
torture: .venv/ready
	$(BIN)/python -m tests.proofs.torture $(call given,ONLY,only) $(call given,SEED,seed)

# … and arrive, each once, from real servers that are killed and started again.
verify-server: .venv-extra/ready
	.venv-extra/bin/python -m tests.proofs.verify_server

# … and through Slurm, on a node that is set up for it, with jobs cancelled, requeued and held: the tables of a run here.
verify-slurm: .venv-extra/ready
	.venv-extra/bin/python -m tests.proofs.verify_slurm

# 500 random mutations of parameter sets, tables, journals and judges' replies: no traceback, nothing lost.
fuzz: .venv/ready
	$(BIN)/python -m tests.proofs.fuzz

# What make export writes runs in the harnesses it is for, and gives our numbers; their logs come back equal.
verify-export: .venv-extra/ready
	.venv-extra/bin/python -m tests.proofs.verify_export
	.venv-extra/bin/python -m tests.proofs.verify_import

# The annotation form in JupyterLab and Chromium: every key on disk, nothing lost when its kernel is killed.
verify-annotation: .venv-extra/ready
	.venv-extra/bin/python -m tests.proofs.verify_annotation

# The leak lab there: seconds from a change to its completions, the buttons, nothing broken when its kernel is killed.
verify-lab: .venv-extra/ready
	.venv-extra/bin/python -m tests.proofs.verify_lab

# The explorer there with 10,000 pairs: milliseconds to open and filter, hostile texts, requests to other hosts.
verify-explorer: .venv-extra/ready
	.venv-extra/bin/python -m tests.proofs.verify_explorer

# Do intervals hold the truth, does the placebo rule catch and spare, is power as planned, is C2 rarely found by chance? Simulated.
simulate: .venv/ready
	$(BIN)/python -m tests.simulations.simulate_leakage
	$(BIN)/python -m tests.simulations.simulate_sizes
	$(BIN)/python -m tests.simulations.simulate_mitigation
	$(BIN)/python -m tests.simulations.simulate_usability

# Do the estimates from a few labels and many verdicts cover the truth? Simulated annotators.
simulate-annotation: .venv/ready
	$(BIN)/python -m tests.simulations.simulate_annotation

# How fast completions are made, compared with other ways to make them.
bench: .venv-extra/ready
	.venv-extra/bin/python -m tests.benches.bench_generation

# The rate beside other busy programs, as part of that of the quiet machine.
bench-load: .venv/ready
	@$(BIN)/python -m tests.benches.bench_load

# Where the time of a run goes: seconds by notebook and step  (SET=name); runs what is not finished.
bench-run: reproduce
	@$(BIN)/python -m lib.cli.run_seconds $(SET)

# How fast pages are mined, compared with other readers of the same file, and what a whole crawl would take.
bench-mining: .venv-extra/ready
	.venv-extra/bin/python -m tests.benches.bench_mining

# Seconds and memory of each step at 100,000 prompts x 10 samples x 8 models  (OPTIONS="--prompts 1000" for less).
bench-scale: .venv/ready
	@$(BIN)/python -m tests.benches.bench_scale $(OPTIONS)

# The adapter of the learned judge's encoder, in lib/data, from the ratings: minutes on a GPU, a day on two cores.
fit-adapter: .venv/ready
	$(BIN)/python -m lib.judging.adapter_training

# The coefficients of the learned judge and its card, in lib/data, from the ratings.
fit-judge: .venv/ready
	$(BIN)/python -m lib.cli.fit_judge

# Which judge agrees best with people, on documents and domains it has not seen, and how fast it is.
bench-judges: .venv/ready
	$(BIN)/python -m tests.benches.bench_judges

# How well thoughts, preambles, refusals and sentence ends are told in replies: precision and recall on the cases of the tests.
bench-replies: .venv/ready
	@$(BIN)/python -m tests.benches.bench_replies

lint: .venv/ready
	$(BIN)/python -m ruff check && $(BIN)/python -m ruff format --check && $(BIN)/python -c 'from importlinter.cli import lint_imports as run; exit(run(no_cache=True))' && $(BIN)/python -m mypy && $(BIN)/python -m nbstripout --verify --keep-id notebooks/*.ipynb

lint-dataset: .venv/ready
	@$(BIN)/python -m lib.dataset.lint

lint-sentences: .venv/ready
	@$(BIN)/python -m lib.dataset.own_sentences $(SET)

export: .venv/ready
	@$(BIN)/python -m lib.cli.export $(SET)

publish: .venv/ready
	@$(BIN)/python -m lib.cli.publish $(SET) $(OPTIONS)

import-logs: .venv/ready
	@$(BIN)/python -m lib.cli.import_logs "$(FILE)" "$(TABLE)" $(OPTIONS)

export-labels: .venv/ready
	@$(BIN)/python -m lib.annotation.exchange export $(SET) $(if $(FILE),"$(FILE)") $(OPTIONS)

import-labels: .venv/ready
	@$(BIN)/python -m lib.annotation.exchange import $(SET) $(if $(FILE),"$(FILE)") $(OPTIONS)

# The setting: what a widget says must not depend on a subshell, which JupyterLab may name before the kernel knows it.
lab: .venv/ready
	@mkdir -p .venv/share/jupyter/lab/settings && cp lib/lab/overrides.json .venv/share/jupyter/lab/settings/
	$(BIN)/python -m jupyter lab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir="$$PWD" --LabApp.default_url=/lab/tree/notebooks/00_leak_lab.ipynb $(LAB_OPTIONS)

dry-run: .venv/ready
	$(BIN)/python -m snakemake $(SET) --cores all --dry-run

# How the packages of lib import each other, drawn into CONTRIBUTING.md.
architecture: .venv/ready
	$(BIN)/python -m lib.cli.architecture

# The README's numbers, written from the reference run.
readme: .venv/ready
	$(BIN)/python -m lib.cli.readme

# The lock, made from pyproject.toml in an empty environment.
lock:
	rm -rf .venv-lock && "$(PYTHON)" -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet "torch==2.13.0" ".[test,site]"
	(echo "# Made from pyproject.toml by 'make lock'."; .venv-lock/bin/python -m pip freeze | grep -v "^expression-leakage" | sed 's/+cpu$$//') > requirements.txt
	rm -rf .venv-lock

.venv/ready: requirements.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is too old; install Python 3.11 or call make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up .venv: 2 GB on disk (log: .venv/install.log)."
	@"$(PYTHON)" -m venv .venv
	@{ $(BIN)/python -m pip install -r requirements.txt && $(BIN)/python -m pip install --no-deps -e . ; } > .venv/install.log 2>&1 \
	  || { echo "error: packages could not be installed: $$(grep -m1 '^ERROR' .venv/install.log || tail -n1 .venv/install.log)"; \
	       echo "connect to a package index, or make room on the disk, and call make again: it goes on where it was"; exit 1; }
	@touch $@

# The same environment with what bench, verify-server and verify-slurm need in addition.
.venv-extra/ready: .venv/ready
	"$(PYTHON)" -m venv .venv-extra
	grep -vE '^(python-dateutil|fsspec)=' requirements.txt > .venv-extra/constraints.txt  # the harnesses want older ones
	.venv-extra/bin/python -m pip install --quiet -c .venv-extra/constraints.txt -e ".[bench,servers,slurm,harnesses,browser]"
	@touch $@

clean:
	rm -rf .venv .venv-extra .snakemake .pytest_cache .ruff_cache *.egg-info
	@echo "outputs/ and the cache of fetched models are kept; delete them by hand"
