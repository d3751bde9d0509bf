# Everything a newcomer types. `make demo` and `make test` set up .venv on their own; nothing needs root or a compiler.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo install test check format lock newest newest-whole install-newest screenshot bench-report bench-upgrade bench-flat same-steps torture clean

help:            ## what can be typed here
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: install    ## a lab cluster, a lab Slack and a page to try everything in
	@$(BIN)/lockkeeper demo

install: $(VENV)/.installed  ## only set up .venv, with .venv/bin/lockkeeper in it

$(VENV)/.installed: requirements-dev.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install it, with: sudo apt-get install python3 python3-venv" >&2; exit 1; }
	@command -v git >/dev/null || { echo "git is missing: install it, with: sudo apt-get install git" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: name a newer one, with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "python3-venv is missing: install it, with: sudo apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# More at a time than a small machine has processors: most of the suite waits for servers and deadlines.
TESTS_AT_ONCE ?= 4
PYTEST = -m pytest -q -n $(TESTS_AT_ONCE) --dist loadscope --no-loadscope-reorder
# What an interpreter can change, and at a cost that is worth it: the node script is a shell's, a browser its own.
CHANGEABLE := -m "not story and not long" --ignore-glob="*/test_node_script_*.py"

# What failed in the crowd is run once more, alone: on a busy machine a deadline of a test may pass. Both runs are shown, and
# what fails again fails. $(1): the interpreter, $(2): which tests.
run_tests = $(1) $(PYTEST) $(2) || { [ $$? = 1 ] && echo "once more, alone, what failed:" && \
	$(1) -m pytest -q --last-failed --last-failed-no-failures none $(2); }

test: install    ## the whole suite
	@$(call run_tests,$(BIN)/python,)

check: install   ## what CI runs: format, lint, types, import contracts, tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/mypy --explicit-package-bases tests/torture  # no test runs it: a changed signature would show after hours
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

format: install  ## put the code into its one format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: install    ## resolve the dependencies anew, with hashes and without URLs
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url --extra demo --group dev pyproject.toml -o requirements-dev.txt

bench-report: install  ## the report of 5,000 nodes against kubectl and jq
	@for tool in kubectl:kubernetes-client jq:jq; do \
	  command -v $${tool%%:*} >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq $${tool##*:}; } || \
	  { echo "$${tool%%:*} is missing: install it, with: sudo apt-get install $${tool##*:}" >&2; exit 1; }; done
	@$(BIN)/python -m tests.bench_report

bench-upgrade: install  ## the engine over 100 scripted workers, against the best possible run (a quarter of an hour)
	@$(BIN)/python -m tests.bench_upgrade

bench-flat: install  ## a run of 1,000 scripted nodes: what it takes of memory, and of Redis (some minutes)
	@$(BIN)/python -m tests.bench_flat

same-steps: install  ## 3 + 17 machines of the lab and the same as scripts: whether they take the same steps (two minutes)
	@$(BIN)/python -m tests.same_steps

torture: install ## a worker killed at every crash point, then 500 upgrades with random faults (hours)
	@$(BIN)/python -m tests.torture

clean:           ## remove what make made
	@rm -rf $(VENV) .venv-newest build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Shims that only say "not installed" are no interpreters: each candidate is asked.
NEWEST = $(shell for v in 15 14 13 12; do for p in python3.$$v $$HOME/.pyenv/versions/3.$$v.*/bin/python; do \
	"$$p" -c '' 2>/dev/null && { echo "$$p"; exit; }; done; done)

newest:          ## what an interpreter can change, on the newest one found: neither stories, nor browser, nor shell
newest-whole:    ## the whole suite on the newest interpreter found
newest newest-whole:
	@$(MAKE) --no-print-directory install-newest
	@if [ -z "$(NEWEST)" ]; then echo "no python newer than $(PYTHON) was found: nothing to do"; else \
	  echo "testing on $$($(NEWEST) --version)"; \
	  $(call run_tests,.venv-newest/bin/python,$(if $(filter newest,$@),$(CHANGEABLE))); fi

install-newest:  ## only set up .venv-newest, where a newer interpreter is found
	@if [ -n "$(NEWEST)" ]; then $(MAKE) --no-print-directory VENV=.venv-newest PYTHON=$(NEWEST) install; fi

screenshot: install  ## take the README's picture anew, from the browser's story
	@$(BIN)/python -m pytest -q tests/stories/test_browser.py && cp build/screenshots/demo.png docs/images/demo.png
