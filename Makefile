# Two commands: `make run` brings the console up, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help

.PHONY: help run test lint docs bench learn focus-validator clean

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: $(VENV)/.run  ## Start the console on loopback; settings by PILOTHOUSE_*, flags by ARGS="--port 8051"
	@$(BIN)/python app.py $(ARGS)

# The variable of the command line alone: a KUBECONFIG of one's own shell is no cluster for tests.
test: $(VENV)/.test $(VENV)/servers/.made  ## Run every check and test; contract tests on a real cluster by KUBECONFIG=path
	@$(if $(filter command line,$(origin KUBECONFIG)),PILOTHOUSE_TEST_KUBECONFIG="$(abspath $(KUBECONFIG))") bash .ci/test $(BIN)

learn: $(VENV)/.run  ## Install what training needs (PyTorch); `python app.py train` is then there
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt ".[learn]"

lint: $(VENV)/.test  ## Check style, types and walls only
	@bash .ci/test $(BIN) --lint-only

docs: $(VENV)/.run  ## Print the generated pages of docs/ again
	@$(BIN)/python app.py data > docs/data.md
	@$(BIN)/python app.py settings > docs/settings.md

bench: $(VENV)/.test  ## Run the benchmarks; docs/benchmarks.md keeps the results
	@for each in benchmarks/[a-z]*.py; do name=$$(basename $$each .py); echo "== $$name"; $(BIN)/python -m benchmarks.$$name; done

# The public validator of FOCUS wants Python 3.12 and an older pyarrow: an environment of its own.
PYTHON312 ?= python3.12
focus-validator: $(VENV)/focus/.made  ## Install FOCUS's own validator, which the tests then run too (PYTHON312=path)

$(VENV)/focus/.made: $(VENV)/.made tests/warehouse/focus_validator.txt
	@$(PYTHON312) -m venv $(VENV)/focus
	@$(VENV)/focus/bin/python -m pip install --disable-pip-version-check --progress-bar on -r tests/warehouse/focus_validator.txt
	@touch $@

clean:  ## Remove the virtual environment and all caches
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@bash .ci/venv "$(PYTHON)" "$(VENV)"
	@touch $@

$(VENV)/.run: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing what pyproject.toml pins (about a minute on a fresh machine) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@echo "Installing what the tests need ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt ".[dev,learn]"
	@touch $@

# What the S3 server brings along clashes with what the Kubernetes client does: an environment of its own.
$(VENV)/servers/.made: $(VENV)/.made tests/servers/requirements.txt
	@$(BIN)/python -m venv $(VENV)/servers
	@$(VENV)/servers/bin/python -m pip install --disable-pip-version-check --progress-bar on -r tests/servers/requirements.txt
	@touch $@
