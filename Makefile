# `make demo` and `make test` work on a fresh clone: each creates .venv from the lock file first.
# All they need is CPython 3.11 or newer with venv.

# Tests start hundreds of processes; without bytecode each of them compiles what it imports.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Each test has its own folders, ports and kubeconfig, so tests run in parallel.
WORKERS ?= auto
PYTEST_OPTIONS := -n $(WORKERS) --dist worksteal
# Tests of other Python versions leave out what takes minutes and does not depend on the version,
# and tests with the marker `any_python`.
SLOW_TESTS := tests/containerd tests/e2e tests/endurance tests/packaging

.DEFAULT_GOAL := help
.PHONY: help demo run test pytest check format bench bench-short bench-proxy bench-ui screenshots soak dist lock proto clean
.SECONDARY:

help: ## show this text
	@awk -F ':.*## ' '/^[a-z0-9.%-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Of 5,000 installed modules, a quarter is ever imported, so nothing is compiled in advance.
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile
# The pip of the lock file is installed first: that of CPython 3.11 takes twice as long.
LOCKED_PIP := sed -n '/^pip==/,/[^\\]$$/p' requirements.lock

define install
	@$(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "tui-forward needs Python 3.11 or newer; $(1) is $$($(1) -V)." >&2; \
	  echo "Hint: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(@D)/bin/python || $(1) -m venv $(@D)
	$(LOCKED_PIP) | $(@D)/bin/python $(PIP_INSTALL) --require-hashes -r /dev/stdin
	$(@D)/bin/python $(PIP_INSTALL) --require-hashes -r requirements.lock
	$(@D)/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
endef

$(INSTALLED): requirements.lock pyproject.toml
	$(call install,$(PYTHON))

.venv-%/.installed: requirements.lock pyproject.toml
	$(call install,$(or $(PYTHON_$*),python$*))

demo: $(INSTALLED) ## start the embedded cluster and the dashboard; without a terminal, run the self-test
	$(BIN)/tui-forward demo

run: $(INSTALLED) ## start the dashboard on your current kubeconfig context
	$(BIN)/tui-forward

test: $(INSTALLED) ## run linters, types and import contracts, and meanwhile all tests
	@$(MAKE) --no-print-directory -j2 check pytest

pytest: .venv/.compiled ## run all tests only
	$(BIN)/python -m pytest $(PYTEST_OPTIONS)

# Workers import all tests at the same time; without this, on a fresh clone each compiles them all.
%/.compiled: %/.installed
	@$*/bin/python -m pytest --collect-only -qq -p tests.support.import_only >/dev/null || true
	@touch $@

test-%: .venv-%/.compiled ## run all but the slow tests on Python 3.12, ... (PYTHON_3.12=path: its interpreter)
	.venv-$*/bin/python -m pytest $(PYTEST_OPTIONS) -m 'not any_python' $(addprefix --ignore=,$(SLOW_TESTS))

check: $(INSTALLED) ## run linters, types, import contracts and the check of words only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@! git grep -nwiEf tests/forbidden_words.txt -- '*.py' '*.md' '*.tcss' Makefile

format: $(INSTALLED) ## format the code and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## compare speed and memory with kubectl and kr8s
	$(BIN)/python -m tests.bench

bench-short: $(INSTALLED) ## the same beside kubectl over SPDY only, in a minute and a half
	$(BIN)/python -m tests.bench --short

bench-proxy: $(INSTALLED) ## compare the cluster proxy with forwards, kubectl and other SOCKS5 servers
	$(BIN)/python -m tests.bench.proxy_benchmark

bench-ui: $(INSTALLED) ## measure start-up, latency, CPU and memory of the dashboard
	$(BIN)/python -m tests.bench.dashboard_benchmark

screenshots: $(INSTALLED) ## take the README's screenshots again
	$(BIN)/python -m screenshots

soak: $(INSTALLED) ## run all outages, kills, terminal losses and edits, then ten minutes of mixed load
	$(BIN)/python -m tests.endurance

dist: $(INSTALLED) ## build sdist, wheel and the one-file program, and try each on every Python that is found
	$(BIN)/python -m tests.packaging --into dist

lock: ## resolve requirements.lock again (needs uv)
	uv pip compile pyproject.toml --all-extras --group dev --group bench --universal --python-version 3.11 \
	  --generate-hashes --no-header --quiet --upgrade -o requirements.lock

proto: $(INSTALLED) ## regenerate the CRI messages from api.proto
	$(BIN)/python -m tui_forward.minicluster.cri.generate

clean: ## remove everything that was installed or built
	rm -rf .venv .venv-* .cache dist build *.egg-info
