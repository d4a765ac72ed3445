# Two commands: `make demo` shows what the tool does, `make test` checks it. Both need Python >= 3.10, make and git only.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
OUT    ?= demo_out

.DELETE_ON_ERROR:
.PHONY: help demo test docs lint types contracts unit test-pacs test-slicer benchmark benchmark-data benchmark-peers \
	benchmark-quick benchmark-speed benchmark-io clean

help:
	@echo "make demo   install, enhance the sample scan, print where to look"
	@echo "make test   install with the test extras; lint, types, import contracts, tests"
	@echo "make test-pacs   the part of it that needs Orthanc and dcmtk; says so where they are absent"
	@echo "make test-slicer the 3D Slicer module, on Slicer's own scene and with real clicks (installs the extra 'slicer')"
	@echo "make benchmark-quick   filters and the shipped weights on the sample scan, two minutes; 'benchmark': everything"
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

test: lint types contracts unit test-pacs

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

# Scans that the benchmark and its networks are made from (shared/data/README of the project says which).
SCANS  ?= ../shared/data/dicom
MINUTES ?= 8
BENCH  := OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m benchmarks

benchmark: benchmark-data benchmark-peers
	$(BENCH).run

benchmark-data: $(VENV)/.test
	@test -d $(SCANS) || { echo "no scans in $(SCANS): give SCANS=FOLDER, or run 'make benchmark-quick'"; exit 2; }
	$(BIN)/med-stylesr data prepare configs/weights/data_train.json $(SCANS) cache/train
	$(BIN)/med-stylesr data prepare tests/benchmarks/data_tune.json $(SCANS) cache/benchmark/tune
	$(BIN)/med-stylesr data prepare tests/benchmarks/data_test.json $(SCANS) cache/benchmark/test

# MINUTES of CPU time for each network: peers, ours, and the variants of the ablation.
benchmark-peers: benchmark-data
	$(BENCH).training cache/train runs/peers --minutes $(MINUTES)

benchmark-quick: $(VENV)/.test
	$(BENCH).quick

# Runtimes, peers, whole scans and start in one run, five minutes on an otherwise idle machine.
# LENGTHS="50 100 200 400 800" shows that cost stays linear; ten minutes more.
LENGTHS ?= 50 150 300
benchmark-speed: $(VENV)/.test
	$(BENCH).speed docs/validation/speed.md --slices $(LENGTHS)

# DICOM input and output beside SimpleITK and beside inference; SERIES="FOLDER ..." adds uncompressed series of yours.
benchmark-io: $(VENV)/.test
	$(BENCH).bench_dicom_io $(SERIES)

PACS_PROGRAMS := /usr/sbin/Orthanc /usr/share/orthanc/plugins/libOrthancDicomWeb.so \
	/usr/share/orthanc/plugins/libOrthancGdcm.so /usr/bin/storescu /usr/bin/openssl
PACS_TESTS := $(BIN)/pytest -q -m pacs tests/pacs

# Orthanc listens on all addresses, so it gets a network of its own with nothing but loopback where that is allowed.
test-pacs: $(VENV)/.test
	@missing=$$(for file in $(PACS_PROGRAMS); do test -e $$file || printf '%s ' $$file; done); \
	if [ -n "$$missing" ]; then \
		echo "SKIPPED test-pacs: it needs $$missing"; \
		echo "  (Debian, Ubuntu: apt-get install orthanc orthanc-dicomweb orthanc-gdcm dcmtk openssl)"; \
	elif unshare -rn true 2>/dev/null && command -v ip >/dev/null; then \
		unshare -rn sh -c 'ip link set lo up && exec $(PACS_TESTS)'; \
	else \
		$(PACS_TESTS); \
	fi

$(VENV)/.slicer: $(VENV)/.test
	$(call install,slicer)

test-slicer: $(VENV)/.slicer
	$(BIN)/pytest -q -m slicer tests/slicer_module

clean:
	rm -rf $(VENV) $(OUT) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
