# Needs Python 3.11 or newer (with venv) and make; everything else is installed into .venv or fetched once into a cache.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
RUNTIME := .venv/.runtime
ORDERS ?=
EXPORT ?=
TAMPER ?=
MUTANTS ?=
WORKERS ?= 4

.PHONY: setup install demo bench soak test test-long long hostile chaos chaos-full chaos-kill mutation lint lock sbom audit clean

setup: $(STAMP)

# The lists name all that is needed. Without --no-deps pip asks for a package with an extra apart from its pin, and takes what came out since.
$(STAMP): $(RUNTIME) requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	touch $(STAMP)

# The demo installs no more than this.
$(RUNTIME): requirements/runtime.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "o2c needs Python 3.11 or newer: make setup PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/runtime.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(RUNTIME)

# Only what running needs, for who wants to use it.
install: $(RUNTIME)

# make demo ORDERS=file plays a history (docs/histories.md), EXPORT=dir leaves what every system holds, TAMPER=1 falsifies one cent.
demo: $(RUNTIME)
	$(BIN)/o2c demo $(if $(ORDERS),--file "$(ORDERS)") $(if $(EXPORT),--export "$(EXPORT)") $(if $(TAMPER),--tamper cent)

# Twice as many workers as small machines have processors, since many tests wait; tests/distribution.py shares them out.
# Bytecode is kept in any case: the run starts a hundred processes from the same sources.
test: export PYTHONDONTWRITEBYTECODE =
test: setup
	$(BIN)/pytest -m "not long" -n $(WORKERS) --cov --cov-report=term:skip-covered --durations=10

# All that takes hours, one after the other, whatever became of the one before; fails if one of them did.
test-long: setup
	$(MAKE) --keep-going --jobs=1 long chaos-kill mutation

long: setup
	$(BIN)/pytest -m long

# Plays all bad input against gateway, parsers and topics, and prints the tally; docs/hostile-input.md says what it shows.
hostile: setup
	$(BIN)/python -m tests.hostile

# Workers die while orders flow; docs/reliability.md says what it shows. ORDERS=n for fewer.
chaos-kill: setup
	rm -rf chaos-kill
	$(BIN)/python -m tests.chaos.kill --orders $(or $(ORDERS),20000) --rate 20 --latency 0.5 --every 10 --folder chaos-kill

# Measures beside peers and the floor, prints one table; docs/benchmarks.md says what it shows. ONLY=peer,gateway for some, SHORT=1 for small sizes.
bench: setup
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(SHORT),--short)

# Half load through all roles, and whether they keep their size; MINUTES=10 to try it, docs/scaling.md says what it shows.
soak: setup
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),60)

# Every fault at every point, a covering subset or all of it; docs/reliability.md says how to read the table. SEED=n for others.
chaos chaos-full: setup
	$(BIN)/python -m tests.chaos.matrix $(if $(filter chaos-full,$@),--full) --seed $(or $(SEED),1) --json $@.json

# Changes the core in thousands of small ways, one at a time, and reports what no test noticed; takes an hour or more, fails below 90 %.
# MUTANTS="streams.order.merge* streams.order.link*" does only these; what was done is remembered in mutants/.
mutation: setup .venv/mutation
	PYTHONPATH=$(CURDIR)/.venv/mutation nice -n 15 $(BIN)/python tests/mutation/run.py $(foreach name,$(MUTANTS),'$(name)')
	PYTHONPATH=$(CURDIR)/.venv/mutation $(BIN)/python tests/mutation/report.py

.venv/mutation: requirements/mutation.txt | $(RUNTIME)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --upgrade --target .venv/mutation -r requirements/mutation.txt
	touch .venv/mutation

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What production runs on, as CycloneDX with the hashes that are installed: sbom.json.
sbom: .venv-audit
	.venv-audit/bin/cyclonedx-py requirements --short-PURLs --output-reproducible --pyproject pyproject.toml -o sbom.json requirements/runtime.txt

# Asks the advisory database of the package index about every pinned version; a package that it does not know fails it.
audit: .venv-audit
	$(foreach name,runtime dev audit,.venv-audit/bin/pip-audit --disable-pip --require-hashes --strict --progress-spinner off -r requirements/$(name).txt &&) true

.venv-audit: requirements/audit.txt
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/audit.txt
	touch .venv-audit

# Locks what the *.in files name, with hashes and without the address of any index; needs pip-tools.
lock:
	cd requirements && pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o runtime.txt runtime.in
	cd requirements && pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o dev.txt dev.in
	cd requirements && pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o mutation.txt mutation.in
	cd requirements && pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o bench.txt bench.in
	cd requirements && pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o audit.txt audit.in

clean:
	rm -rf .venv .venv-bench .venv-audit mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
