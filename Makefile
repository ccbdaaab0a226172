# What a person needs: run, test, check; for maintainers lock and clean.
# The virtual environment is made anew only when the pinned requirements or the package's description change.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
STAMPS := $(VENV)/.stamps

# A folder that was moved, or a Python that was removed, leaves a virtual environment that does not run: forget it.
ifneq ($(wildcard $(STAMPS)/venv),)
ifneq ($(shell $(BIN)/python -c 'print(open("$(STAMPS)/venv").read().strip())' 2>/dev/null),$(CURDIR))
$(shell rm -rf $(STAMPS))
endif
endif

.PHONY: run test long check crash storm races money doors bench contracts lock clean
.DELETE_ON_ERROR:

run: $(STAMPS)/installed
	@exec $(BIN)/stagedoor up

test: $(STAMPS)/dev
	@$(BIN)/python -m pytest tests -m "not long"

# What `make test` leaves out: tests on Apache Kafka, and those that take from some seconds to minutes each.
long: $(STAMPS)/dev
	@$(BIN)/python -m pytest tests -m long

# Every fault injected, then buyers under random kills: `make crash SEED=7 MINUTES=10`.
crash: $(STAMPS)/dev
	@$(BIN)/python -m pytest tests/faults tests/crash tests/backup -m "long or not long"
	@$(MAKE) --no-print-directory storm

storm: $(STAMPS)/dev
	@$(BIN)/python -m crash $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

# Every race and every crash around a payment, again and again: `make races TIMES=20`.
TIMES ?= 20
races: $(STAMPS)/dev
	@for time in $$(seq $(TIMES)); do \
	  echo "$$time of $(TIMES)"; \
	  $(BIN)/python -m pytest -m "long or not long" tests/api/test_api_races.py tests/api/test_api_payments.py \
	    tests/api/test_api_webhooks.py tests/api/test_api_refunds.py tests/faults/test_late_webhooks.py \
	    tests/faults/test_expirers.py tests/faults/test_commit_answer_lost.py tests/reconciliation \
	    tests/streams/test_reactions.py tests/streams/test_payouts.py || exit 1; \
	done

# Random orders, refunds, payouts and disputes under random kills, counted to the cent: `make money SEED=7 ORDERS=1000`.
money: $(STAMPS)/dev
	@$(BIN)/python -m crash.money $(if $(SEED),--seed $(SEED)) $(if $(ORDERS),--orders $(ORDERS))

# Schemathesis at length, then every guard taken away once: `make doors GUARDS="issuer audience"` tries two of them.
doors: $(STAMPS)/dev
	@$(BIN)/python -m pytest tests/doors -m "long"
	@$(BIN)/python -m tests.doors.remove_guards $(GUARDS)

check: $(STAMPS)/dev
	@echo "ruff check"; $(BIN)/ruff check .
	@echo "ruff format"; $(BIN)/ruff format --check .
	@echo "mypy"; $(BIN)/mypy
	@echo "import rules"; $(BIN)/lint-imports
	@echo "compose file"; $(BIN)/python docker/check_compose.py
	@echo "contract drift"; $(BIN)/python -m cli.contracts --check

# All of them take about forty minutes; `make bench BENCH="orders rush"` runs two, `BENCH="orders --runs 1"` passes options on.
bench: $(STAMPS)/installed
	@$(BIN)/python -m bench $(BENCH)

contracts: $(STAMPS)/installed
	@$(BIN)/python -m cli.contracts

# Any Python from 3.11; `make run PYTHON=/path/to/python3` chooses one.
$(STAMPS)/venv:
	@set -e; \
	for candidate in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$candidate"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Stagedoor needs Python 3.11 or newer; none was found$(if $(PYTHON), at $(PYTHON),). Install one, or say PYTHON=/path/to/python3" >&2; \
	  exit 2; \
	fi; \
	echo "making $(VENV)/ with $$("$$found" --version)"; \
	rm -rf $(VENV); \
	if ! said=$$("$$found" -m venv $(VENV) 2>&1); then \
	  echo "$$found cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv): $$said" | tr '\n' ' ' >&2; \
	  echo >&2; rm -rf $(VENV); exit 2; \
	fi; \
	mkdir -p $(STAMPS); echo "$(CURDIR)" > $@

$(STAMPS)/runtime: requirements/runtime.txt | $(STAMPS)/venv
	@echo "installing the pinned packages (about 60 MB, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@touch $@

$(STAMPS)/installed: pyproject.toml $(STAMPS)/runtime
	@echo "installing the stagedoor command"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(STAMPS)/dev: requirements/dev.txt $(STAMPS)/installed
	@echo "installing the pinned tools for tests and checks"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# Pins stay as they are where they still fit; `make lock UPGRADE=--upgrade` takes the newest of everything.
UPGRADE ?=
COMPILE_ANY := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	$(UPGRADE)
COMPILE := $(COMPILE_ANY) pyproject.toml requirements/build.in

lock:
	@command -v uv >/dev/null || { echo "make lock needs uv (pip install uv)" >&2; exit 2; }
	@echo "requirements/runtime.txt"; $(COMPILE) -o requirements/runtime.txt
	@echo "requirements/dev.txt"; $(COMPILE) --extra dev -c requirements/runtime.txt -o requirements/dev.txt
	@echo "requirements/localstripe.txt"; $(COMPILE_ANY) requirements/localstripe.in -c requirements/runtime.txt \
	  -o requirements/localstripe.txt

clean:
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "cleaned; the data in .stagedoor/ is left alone"
