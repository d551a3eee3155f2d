# Everything a newcomer types. Needs Python >= 3.11, make and a package registry; nothing is installed outside the
# checkout, but by `make test` as root on Debian (see system). PYTHON=/path/to/python3 picks the interpreter.
.DEFAULT_GOAL := help
.PHONY: help setup system demo test lowest api soak lint bench bench-peers schema openapi pictures constraints clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
API := .cache/api
TESTS ?=
ARGS ?=
SECONDS ?= 240

help: ## show what there is to type
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make the virtual environment (quick when nothing changed)

$(STAMP): pyproject.toml constraints.txt scripts/set-up
	@PYTHON="$(PYTHON)" scripts/set-up $(VENV)
	@touch $@

# Quick when everything is there. Where something cannot be had, it says so, and the tests that need it are skipped.
system: ## install what tests need of the system: a browser, a Chinese font, promtool (Debian's apt, as root)
	@scripts/set-up-system

demo: $(STAMP) ## pack the example algorithms, deploy them, walk a canary, and see a bad version taken back (PAGE=1: then look at its page; V=1: all output)
	$(BIN)/python -m examples.demo $(if $(PAGE),--page) $(if $(V),-v)

# The checkout is compiled first, also where the environment forbids Python to keep what it compiles: every process of
# every test would compile the whole product again.
test: $(STAMP) system ## run every test (TESTS="-k name" or a path for some)
	@$(BIN)/python -m compileall -q controller examples tests
	scripts/run-tests $(BIN)/python $(TESTS)

lowest: $(STAMP) ## a telling part of the tests on the oldest dependencies that pyproject.toml allows
	scripts/on-lowest $(VENV)

api: $(STAMP) $(API)/.set-up ## try to break the API by its OpenAPI document, on the socket and over the network (SECONDS=240 each)
	$(BIN)/python -m tests.api $(API)/bin/schemathesis --seconds $(SECONDS)

$(API)/.set-up: pyproject.toml constraints.txt scripts/set-up-api | $(STAMP)
	scripts/set-up-api $(VENV) $(API)
	@touch $@

soak: $(STAMP) ## minutes of switches and kills under load, every call judged; then random histories in the simulator
	$(BIN)/python -m tests.soak
	PVCTL_SIMULATE=60 $(BIN)/python -m pytest tests/simulator/test_histories.py

lint: $(STAMP) ## style, types, the import contracts, and nothing that only tests use
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m tests.unused
	$(BIN)/vulture
	$(BIN)/lint-imports

# Compiled modules are kept, as in an installation: an editable one is compiled by nobody, and where the environment or
# the folder's owner forbids it, every start of every command would compile everything again.
bench: $(STAMP) ## measure against the bare mechanisms, as ratios
	@unmet=0; for file in $$(grep -l __main__ benchmarks/*.py); do \
		env -u PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX=$(abspath $(VENV))/bytecode \
		$(BIN)/python -m benchmarks.$$(basename $$file .py) || unmet=1; echo; done; exit $$unmet

# Ten minutes. What cannot be installed or started on this machine is a row that says why.
bench-peers: $(STAMP) ## measure against Triton, mosec, Ray Serve, LitServe and BentoML, installed beforehand where they are missing (ARGS="--rounds 2 --only ours --only triton")
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m benchmarks.peers $(ARGS)

schema: $(STAMP) ## write docs/schema/desired.schema.json anew
	$(BIN)/pvctl schema > docs/schema/desired.schema.json

openapi: $(STAMP) ## write docs/openapi.json anew
	$(BIN)/pvctl schema --openapi > docs/openapi.json

pictures: $(STAMP) system ## take the pictures of docs/pictures/ anew, of a real station's page
	$(BIN)/python -m tests.browser.pictures

constraints: $(STAMP) ## take the newest releases into constraints.txt
	scripts/constrain

clean: ## end the demo's processes and remove what was generated, .venv and .cache included
	if [ -d demo/runtime_store ] && [ -x $(BIN)/pvctl ]; then $(BIN)/pvctl --store demo/runtime_store down; fi
	rm -rf demo $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
