# Needs Python >= 3.11, make and a package index; uses uv where it is there, venv and pip where not.
.DEFAULT_GOAL := help
.PHONY: help demo dev single-server test test-fast test-slow test-stores test-distributed coverage fix check typecheck docs bench lock clean

PYTHON ?= python3
# Bytecode is worth keeping: Dagster starts many processes. An empty value switches this off.
export PYTHONDONTWRITEBYTECODE =

VENV := .venv
BIN := $(VENV)/bin
PEERS := build/benchmarks/venv
DOCS := build/docs/venv
SITE := build/docs/site
PYTEST := $(BIN)/python -m pytest
# What knows stores with odd habits, and what runs on Ceph and Swift as well.
STORES := $(addprefix inventory_assets_tests/,stores inventory/test_any_store.py servers)

# `make test-fast` runs the tests of scan and s3 that need little time, and of what reads no bucket.
# The modules of SLOWER took more than two thirds of the time of scan and s3 together.
SLOWER := $(patsubst %,inventory_assets_tests/scan/test_%.py, \
    directory_order_scan discovered_key_order prefix_discovery prefix_search parallel_scan \
    parallel_scan_splits seams versions) \
  $(patsubst %,inventory_assets_tests/s3/test_%.py, \
    columnar_decoder policies error_classification outages connection_errors xml_decoder page_peek sigv4 \
    versions connection)
FAST := $(filter-out $(SLOWER),$(wildcard $(addprefix inventory_assets_tests/, \
  scan/test_*.py s3/test_*.py config/test_*.py test_docs.py test_partitions.py cli/test_version.py)))

# The extras of a server, in the container's image and on a machine of its own (deploy/).
SERVER := duckdb iceberg k8s postgres telemetry webserver

# What `make coverage` runs; a room's tests take less time than all.
TESTS ?= inventory_assets_tests

help:
	@echo "make demo       install, inventory the embedded bucket for ten days, show the result"
	@echo "make dev        install, open the Dagster UI on http://127.0.0.1:3000"
	@echo "make single-server  install, start deploy/single-server with a database and buckets, to look at"
	@echo "make test       install, run the tests"
	@echo "make test-fast  install, run a selection that takes less than a minute"
	@echo "make test-slow  install, run the slow tests"
	@echo "make test-stores  install, list from stores with odd habits, and print how that went"
	@echo "make test-distributed  install, start deployments with their servers, and test them"
	@echo "make coverage   install, run the tests, report lines and branches (TESTS=inventory_assets_tests/scan)"
	@echo "make fix        install, mend what the linter can mend, format"
	@echo "make check      install, lint, check types and import walls"
	@echo "make typecheck  install, check types only"
	@echo "make docs       install, generate the reference pages, build the site into $(SITE)"
	@echo "make bench      install other listers too, compare them with this one (BENCH=\"--scale 0.1\")"
	@echo "make lock       renew the lock files"
	@echo "make clean      remove the environment and the results"

$(VENV)/installed: pyproject.toml uv.lock requirements.lock
	@echo "installing into $(VENV) ..." >&2
	@if command -v uv >/dev/null 2>&1; then \
	  uv sync --quiet --frozen --extra demo; \
	else \
	  "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed; name one with PYTHON=")' && \
	  "$(PYTHON)" -m venv $(VENV) && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .; \
	fi
	@touch $@

# Spark, fastparquet and odc-cloud, which only the tests open files with.
$(VENV)/readers: $(VENV)/installed requirements-readers.lock
	@if command -v uv >/dev/null 2>&1; then \
	  uv sync --quiet --frozen --extra demo --group readers; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-readers.lock; \
	fi
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/inventory demo

dev: $(VENV)/installed
	@$(BIN)/dagster dev --host 127.0.0.1 --port 3000

# deploy/single-server, with a PostgreSQL and an S3 server of its own, until Ctrl-C.
single-server: $(VENV)/installed
	@$(BIN)/python -m inventory_assets_tests.deploy.single_server

test: $(VENV)/readers
	@$(PYTEST) -m "not slow and not stores and not distributed" -n 2 --dist loadfile

test-fast: $(VENV)/installed
	@$(PYTEST) -m "not slow and not stores and not distributed" -n 2 --dist loadfile $(FAST)

test-slow: $(VENV)/readers
	@$(PYTEST) -m slow

# Ceph and Swift are installed where they can be; without them their tests are skipped.
test-stores: $(VENV)/readers
	@inventory_assets_tests/stores/install_servers.sh || true
	@$(PYTEST) $(STORES) -k "stores or ceph or swift" -n 2 --dist loadgroup

# What runs on several machines needs.
$(VENV)/celery: $(VENV)/readers requirements-celery.lock
	@if command -v uv >/dev/null 2>&1; then \
	  uv sync --quiet --frozen --inexact --extra demo --extra celery; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-celery.lock; \
	fi
	@touch $@

# Machines are network namespaces where these are permitted (root), and trees of processes elsewhere,
# where tests that need a clean Debian are skipped.
test-distributed: $(VENV)/celery
	@inventory_assets_tests/distributed/install_servers.sh
	@$(PYTEST) -m distributed

# The report in HTML, line by line, is build/coverage/html/index.html.
coverage: $(VENV)/readers
	@$(PYTEST) -m "not slow and not stores and not distributed" -n 2 --dist loadfile \
	  --cov --cov-branch --cov-report term:skip-covered --cov-report html $(TESTS)

fix: $(VENV)/installed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

typecheck: $(VENV)/installed
	@$(BIN)/mypy

check: $(VENV)/installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

$(PEERS)/installed: requirements-benchmarks.lock | $(VENV)/installed
	@echo "installing the peers into $(PEERS) ..." >&2
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(BIN)/python $(PEERS) && \
	  uv pip sync --quiet --python $(PEERS)/bin/python requirements-benchmarks.lock; \
	else \
	  $(BIN)/python -m venv $(PEERS) && \
	  $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-benchmarks.lock; \
	fi
	@touch $@

$(DOCS)/installed: requirements-docs.lock | $(VENV)/installed
	@echo "installing what builds the documentation into $(DOCS) ..." >&2
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(BIN)/python $(DOCS) && \
	  uv pip sync --quiet --python $(DOCS)/bin/python requirements-docs.lock; \
	else \
	  $(BIN)/python -m venv $(DOCS) && \
	  $(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-docs.lock; \
	fi
	@touch $@

# Once installed, it needs no network. A dead link or anchor, and anything that a page would load
# from another host, is an error.
docs: $(DOCS)/installed
	@$(BIN)/python -m tools.reference
	@PYTHONPATH=. $(DOCS)/bin/zensical build --strict --clean
	@$(BIN)/python -m tools.site_resources $(SITE)

bench: $(PEERS)/installed
	@$(BIN)/python -m benchmarks.listing $(BENCH)

lock:
	uv lock
	uv export --quiet --frozen --extra demo --no-emit-project --output-file requirements.lock
	uv export --quiet --frozen --only-group readers --no-emit-project --output-file requirements-readers.lock
	uv export --quiet --frozen $(addprefix --extra ,$(SERVER)) --no-emit-project --no-default-groups \
	  --output-file requirements-server.lock
	uv export --quiet --frozen --only-group build --no-emit-project --output-file requirements-build.lock
	uv export --quiet --frozen --no-dev --extra celery --no-emit-project --output-file requirements-celery.lock
	uv export --quiet --frozen --only-group docs --no-emit-project --output-file requirements-docs.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes benchmarks/peers.in \
	  --output-file requirements-benchmarks.lock

clean:
	rm -rf $(VENV) build/benchmarks build/docs .cache data/inventory data/.dagster
