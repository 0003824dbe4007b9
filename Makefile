# kpi-stream: `make` lists what it can do.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# How long `make fuzz` searches for each of its targets.
SECONDS ?= 60
READY  := $(VENV)/.ready
# Only the machine that makes the lock file has it; the project never needs it.
PIP_TOOLS := pip-tools==7.6.2
PIP_AUDIT := pip-audit==2.10.1
# Advisories that can be asked know something against it.
CANARY := jinja2==2.10
ATHERIS_HAS_WHEELS := sys_platform == 'linux' and platform_machine == 'x86_64' and python_version < '3.14'
BYTEWAX_HAS_WHEELS := python_version < '3.13'
# What the Python peers of the benchmark are pinned to, in an environment of their own.
PEERS := tests/bench/apps/requirements
# And what judges compose file, manifests and Dockerfile.
CHECKERS := tests/deploy/checkers/requirements

# A wheel folder of this machine's own must not decide what is locked or installed.
unexport PIP_FIND_LINKS
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv lock audit lint format boards test fuzz demo bench chaos clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(READY) ## Install kpi-stream and its tools, as locked, into .venv

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kpi-stream needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lock: ## Pin the newest versions that pyproject.toml allows in requirements.lock
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet $(PIP_TOOLS)
	CUSTOM_COMPILE_COMMAND='make lock' build/lock/bin/pip-compile --quiet --upgrade \
		--all-extras --allow-unsafe --generate-hashes --strip-extras \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--output-file requirements.lock pyproject.toml
	# pip-compile drops this marker, and where there is no wheel an install would want a compiler.
	sed -i.bak -E "s/^(atheris==[^ ]+)/\1 ; $(ATHERIS_HAS_WHEELS)/" requirements.lock
	rm requirements.lock.bak
	CUSTOM_COMPILE_COMMAND='make lock' build/lock/bin/pip-compile --quiet --upgrade \
		--allow-unsafe --generate-hashes --strip-extras \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--output-file $(PEERS).txt $(PEERS).in
	sed -i.bak -E "s/^(bytewax==[^ ]+)/\1 ; $(BYTEWAX_HAS_WHEELS)/" $(PEERS).txt
	rm $(PEERS).txt.bak
	CUSTOM_COMPILE_COMMAND='make lock' build/lock/bin/pip-compile --quiet --upgrade \
		--allow-unsafe --generate-hashes --strip-extras \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--output-file $(CHECKERS).txt $(CHECKERS).in

audit: ## Ask PyPI's advisories about every locked package
	$(PYTHON) -m venv --clear build/audit
	build/audit/bin/python -m pip install --quiet $(PIP_AUDIT)
	@# Where they cannot be reached, pip-audit finds nothing and says so with success.
	@echo '$(CANARY)' >build/audit/canary.txt
	@build/audit/bin/pip-audit --disable-pip --no-deps --requirement build/audit/canary.txt \
		2>&1 | grep -q '^jinja2 .*2\.10 ' \
		|| { echo 'NOT AUDITED: no advisories can be asked from here'; exit 1; }
	build/audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

lint: venv ## Check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: venv ## Mend style and format where that is safe
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

boards: venv ## Write the Grafana boards and their recording rules anew
	$(BIN)/python -W ignore::DeprecationWarning -m deploy.grafana.boards

test: venv lint ## Lint, then run every test (Kafka's own need java 17 and mvn)
	$(BIN)/python -m pytest -q --numprocesses 2

fuzz: venv ## Search for bytes that break a reader, SECONDS=60 for each
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

demo: venv ## Watch KPIs, alerts and gauges live, with a broker in memory
	$(BIN)/kpi-stream demo

bench: venv ## Measure speed beside other systems (half an hour); ARGS="--workload small"
	$(BIN)/python -m tests.bench $(ARGS)

chaos: venv ## Kill, freeze and cut off workers and broker for a quarter of an hour; SEED=n repeats
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED))

clean: ## Remove everything that make made
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
