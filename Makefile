# Two commands: `make demo` shows what the tool does, `make test` checks it. Both need Python >= 3.10, make and git only.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
OUT    ?= demo_out

.DELETE_ON_ERROR:
.PHONY: help demo test docs lint types contracts unit benchmark-quick clean

help:
	@echo "make demo   install, enhance the sample scan, print where to look"
	@echo "make test   install with the test extras; lint, types, import contracts, tests"
	@echo "make docs   build the documentation into site/, strictly"

# torch goes first, by its exact pin: any other version would bring gigabytes of CUDA libraries.
define install
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt torch
	$(PIP) install --quiet --constraint constraints.txt --editable ".[$(1)]"
	touch $@
endef

$(VENV)/.demo: pyproject.toml constraints.txt
	$(call install,report)

$(VENV)/.test: pyproject.toml constraints.txt
	$(call install,dev)
	touch $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/med-stylesr demo $(OUT) --overwrite

test: lint types contracts unit

docs: $(VENV)/.test
	$(BIN)/python tools/make_config_parts.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open site/index.html"

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

contracts: $(VENV)/.test
	$(BIN)/lint-imports

unit: $(VENV)/.test
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not slow and not gpu and not pacs and not slicer"

clean:
	rm -rf $(VENV) $(OUT) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
