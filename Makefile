# Two commands for a newcomer: `make demo` trains and uses a model on the sample images, `make test` checks everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all check clean

# The stamp is newer than pyproject.toml once the environment holds what that file asks for.
$(VENV)/installed: pyproject.toml
	@echo 'Installing into $(VENV). PyTorch is large: this may take a few minutes.'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --quiet --editable '.[plot]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --quiet --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/demo

test: $(VENV)/installed-dev
	scripts/check -m 'not slow and not gpu and not network'

test-all: $(VENV)/installed-dev
	scripts/check -m 'not gpu and not network'

check: $(VENV)/installed-dev
	scripts/check -m 'not slow and not gpu and not network' -x

clean:
	rm -rf $(VENV) build dist *.egg-info output
