# Every target installs what it needs. A fresh clone needs python3 (3.11 or newer), make and a package index.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RELEASE_VENV := $(VENV)-release
ARGS ?=
# Dependencies of the local embedding model's tests, some 280 MB to download. `make test EMBEDDINGS=` skips the download
# and these tests.
EMBEDDINGS ?= $(VENV)/.embeddings
# `make test COVERAGE=yes` also measures the coverage, and fails below the floor in pyproject.toml. It takes half as long
# again: the gateways and commands that tests start are measured, too.
COVERAGE ?=

.PHONY: help serve test check format lint types contracts words spelling sbom dist release pytest docs docs-site links clients bench bench-api bench-limits bench-cluster bench-growth proof fuzz screenshots soak clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

serve: $(VENV)/.serve ## Start the gateway, with the flags in ARGS: make serve ARGS=--simulate
	@$(BIN)/dragoman serve $(ARGS)

test: check docs-site pytest ## Run all checks and tests; continuous integration also runs clients ARGS=--quick

check: lint types contracts words spelling ## Check lint, types, import contracts, words and spelling; run it before each commit

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint Dockerfile

types: $(VENV)/.dev
	$(BIN)/mypy

contracts: $(VENV)/.dev
	$(BIN)/lint-imports

words: $(VENV)/.dev ## Find words that are not plain English; ARGS=--summary counts them
	@$(BIN)/python -m tools.plain_words $(ARGS)

spelling: $(VENV)/.dev
	@$(BIN)/codespell

sbom: $(RELEASE_VENV)/.done ## Write the bill of materials of the pinned dependencies, sbom.cdx.json
	@$(RELEASE_VENV)/bin/cyclonedx-py requirements constraints.txt --pyproject pyproject.toml --output-reproducible --no-validate --of JSON -o sbom.cdx.json

dist: $(VENV)/.dev ## Build the sdist and the wheel in dist/, the same bytes for the same commit
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m hatchling build -d dist

release: $(VENV)/.dev ## Try what would be published: its tag, the same bytes twice, the wheel on each Python; publish nothing
	@$(BIN)/python -m tools.release $(ARGS)

# The tests start the command hundreds of times: Python must keep its bytecode, also where a variable forbids it. Three
# workers keep two cores busy: some tests wait for downloads and for processes.
pytest: $(VENV)/.dev $(EMBEDDINGS)
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 3 --dist worksteal $(if $(COVERAGE),--cov --cov-report=term:skip-covered)

docs: $(VENV)/.dev ## Regenerate the generated pages of docs/
	$(BIN)/python -m tools.docs.reference

docs-site: $(VENV)/.docs ## Build the documentation site in site/; a warning is an error
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -c docs -d site/.doctrees . site/html

links: $(VENV)/.docs ## Check the links to other sites in the README, the docs and the changelog; needs the internet
	$(BIN)/sphinx-build --builder linkcheck --keep-going -c docs -d site/.doctrees . site/links

clients: $(VENV)/.dev $(EMBEDDINGS) ## Run the checks with real clients against a simulated gateway; DRAGOMAN_CLIENTS names their folder
	@$(BIN)/python tests/clients/run_clients.py $(ARGS)

bench: $(VENV)/.dev ## Compare the runtime backend with cold processes
	$(BIN)/python benchmarks/runtime.py

bench-api: $(VENV)/.dev ## Compare the api backend with its peers (ARGS=--install installs them, some 800 MB)
	$(BIN)/python benchmarks/api.py $(ARGS)

bench-limits: $(VENV)/.dev ## Measure what keys, limits, budgets and the ledger cost a request (ARGS='--turns 40')
	$(BIN)/python benchmarks/limits.py $(ARGS)

bench-cluster: $(VENV)/.dev ## Compare PostgreSQL and Redis with SQLite, 1, 2 and 3 nodes, and where the next turn goes (ARGS='--turns 20')
	$(BIN)/python benchmarks/cluster.py $(ARGS)

bench-growth: $(VENV)/.dev ## Measure how costs grow, and draw docs/growth.svg
	$(BIN)/python benchmarks/growth.py $(ARGS)

proof: $(VENV)/.fuzz ## Prove by faults that no wrong answer leaves the gateway; ARGS='--backend claude-code --seed 2'
	@PYTHONPATH=tests/cli:tests/e2e:tests/stores $(BIN)/python tests/proof/proof.py $(ARGS)

fuzz: $(VENV)/.fuzz ## Fuzz every parser, the API and stored conversations; ARGS='--seconds 60'
	@PYTHONPATH=tests/proof:tests/server:tests/dialects $(BIN)/python tests/fuzz/fuzz.py $(ARGS)

screenshots: $(VENV)/.dev ## Make the pictures in docs/images; ARGS=FOLDER: those of all pages of the dashboard, there
	$(BIN)/python -m tools.screenshots $(ARGS)
	$(if $(ARGS),,$(BIN)/python -m tools.recording)

soak: $(VENV)/.dev ## Run two thousand requests, with bad clients and killed processes, and check for leaks
	$(BIN)/python benchmarks/soak.py $(ARGS)

clean: ## Remove all generated files
	rm -rf $(VENV) $(RELEASE_VENV) site dist artifacts sbom.cdx.json .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.*

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Dragoman needs Python 3.11 or newer. Choose one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (about 170 MB to download)..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.serve

$(VENV)/.fuzz: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	@touch $@

$(RELEASE_VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(RELEASE_VENV)
	$(RELEASE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt cyclonedx-bom
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

# Install torch first and pinned: on Linux, pip could otherwise choose a build for GPUs, which is several GB.
$(VENV)/.embeddings: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embeddings]'
	@touch $@
