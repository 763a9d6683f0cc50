# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv first, from
# the lock file; all they need is CPython 3.11 or newer with venv.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Tests run side by side; each has its own folders, ports and kubeconfig.
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help demo run test check format bench bench-ui screenshots soak lock proto clean

help: ## this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "tui-forward needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V)." >&2; \
	  echo "Hint: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(INSTALLED) ## the embedded cluster and the dashboard; without a terminal, a report
	$(BIN)/tui-forward demo

run: $(INSTALLED) ## the dashboard on your current kubeconfig context
	$(BIN)/tui-forward

test: check ## linters, types, import contracts, then every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: $(INSTALLED) ## linters, types and import contracts only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## speed and memory beside kubectl and kr8s, in one run
	$(BIN)/python -m tests.bench

bench-ui: $(INSTALLED) ## start-up, fact and key to screen, CPU and memory of the dashboard
	$(BIN)/python -m tests.bench.dashboard_benchmark

screenshots: $(INSTALLED) ## take the README's pictures anew
	$(BIN)/python -m screenshots

soak: $(INSTALLED) ## all that breaks, kills and edits at random, then ten minutes of it mixed
	$(BIN)/python -m tests.endurance

lock: ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --group dev --group bench --universal --python-version 3.11 \
	  --generate-hashes --no-header --quiet --upgrade -o requirements.lock

proto: $(INSTALLED) ## regenerate the CRI messages from api.proto
	$(BIN)/python -m tui_forward.minicluster.cri.generate

clean: ## remove everything that was set up or built
	rm -rf .venv .cache dist build *.egg-info
