# Every target does all the set-up it needs. On a fresh machine: python3 (3.10 or newer, with venv), git and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Arguments for trial, e.g.: make test TESTS=tests.test_url
TESTS ?= tests
# Arguments for the daemon, e.g.: make run ARGS="--map tcp:8080"
ARGS ?=
# Where `make test` leaves its closing line; COVERAGE=1 measures while testing.
SUMMARY ?= $(VENV)/test-summary
COVERAGE ?=

.DEFAULT_GOAL := help
.PHONY: help venv test trial lint types layers docs cover demo run lab session mutants bench ids clean

help:  ## this list
	@echo "txigd: a UPnP Internet Gateway control point for Twisted"
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

venv: $(READY)  ## the virtual environment in .venv, with everything the other targets need

$(READY): setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "txigd needs Python 3.10 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "No virtual environment could be made. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV) (once)..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,docs]'
	@touch $@

test: lint types layers trial  ## everything that must hold: lint, types, layers and all tests

trial: $(READY)
	@$(BIN)/python -m tests --summary $(SUMMARY) $(if $(COVERAGE),--coverage) $(TESTS)

lint: $(READY)  ## ruff
	@$(BIN)/ruff check .

types: $(READY)  ## mypy, strict, with the zope.interface plugin
	@$(BIN)/mypy txigd twisted/plugins tests

layers: $(READY)  ## the storeys and chapters: which module may import which
	@$(BIN)/lint-imports --no-logo

docs: $(READY)  ## the documentation as HTML in docs/_build/html; a warning is an error
	@$(BIN)/python -m sphinx -q -W --keep-going -E -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

cover: $(READY)  ## all tests with branch coverage; pure modules must reach 95 %
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m tests --summary $(SUMMARY) --coverage $(TESTS)
	@$(MAKE) --no-print-directory coverage-bar

.PHONY: coverage-bar
coverage-bar:
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report --skip-covered
	@echo "Pure modules:"
	@$(BIN)/python -m coverage report --skip-covered --fail-under=95 --include="$$($(BIN)/python -m tests.house.purity)"

demo: $(READY)  ## the main job, shown on a simulated gateway in under a minute
	@$(BIN)/python -m txigd.testing.demo || { status=$$?; echo "The demonstration ended early (status $$status). It needs \
	nothing but loopback addresses (127.0.0.1) and UDP multicast on them: a container without a network may lack these." >&2; exit $$status; }

run: $(READY)  ## the daemon on the real LAN, in the foreground: make run ARGS="--map tcp:8080"
	@$(BIN)/twistd --nodaemon --pidfile= igd $(ARGS)

lab: $(READY)  ## a shell behind a real miniupnpd in network namespaces
	@$(BIN)/python -m tests.lab

SESSIONS ?= 2000
session: $(READY)  ## random whole sessions, other ones each time: make session SESSIONS=100000
	@TXIGD_SESSIONS=$(SESSIONS) $(BIN)/python -m twisted.trial tests.test_session

mutants: $(READY)  ## bugs planted one at a time, and whether random whole sessions find them (about 20 minutes)
	@$(BIN)/python -m tests.mutants

bench: $(READY)  ## the measurements in bench/
	@for file in bench/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

ids: $(READY)  ## which quirk, fault and threat is shown by which test
	@$(BIN)/python -m tests.ids

clean:  ## remove everything that was made here
	rm -rf $(VENV) $(PEERS) build dist *.egg-info docs/_build _trial_temp* .coverage .coverage.* htmlcov .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis twistd.pid twistd.log twisted/plugins/dropin.cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Other authors' control points and device classes, in an environment of their own: tests/peers skips without it.
PEERS := .venvs/peers
.PHONY: peers
peers: $(PEERS)/.ready  ## the peers that tests/peers needs, in .venvs/peers (one is compiled: gcc, python3-dev)

$(PEERS)/.ready: tests/peers/requirements.txt
	@test -x $(PEERS)/bin/pip || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/peers/requirements.txt
	@touch $@

.PHONY: series series-%
series: $(READY)  ## the long series in the router lab and on a simulated clock (hours); `make series-reboot` for one
	@$(BIN)/python -m bench.series

series-%: $(READY)
	@$(BIN)/python -m bench.series $*
