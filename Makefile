# Two commands matter: `make demo` and `make test`. Each creates what it needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -q
# Most tests wait for real processes, so three workers fit on two cores.
SPREAD := -n 3 --dist loadfile

# Which of the slow and of the crash tests; all, unless told otherwise.
SLOW   ?= tests
CRASH  ?= tests

.PHONY: demo test check format golden test-slow test-crash test-crash-long test-cluster truth truth-all wrong-builds experiments repeatability bench clean

demo: $(VENV)/.demo  ## one real experiment on the built-in sandbox; leaves a report
	$(BIN)/chaosx run experiments/sandbox/zone-lost-silently.yaml --env sandbox

test: $(VENV)/.dev  ## all fast tests
	$(PYTEST) $(SPREAD) -m "not slow and not truth and not crash and not cluster" tests

check: $(VENV)/.dev  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

test-slow: $(VENV)/.dev  ## real sandboxes, real faults
	$(PYTEST) -n 2 --dist loadfile -m "slow and not alone and not crash and not truth" $(SLOW) || [ $$? = 5 ]
	$(PYTEST) -m "slow and alone and not crash and not truth" $(SLOW) || [ $$? = 5 ]

test-crash: $(VENV)/.dev  ## kill -9 of every process at random moments
	$(PYTEST) -n 2 --dist loadfile -m crash $(CRASH)

test-crash-long: $(VENV)/.dev  ## the same, 50 times, and 3,000 points of the matrix
	CHAOSX_KILLS=50 CHAOSX_MATRIX=3000 $(PYTEST) -m crash tests

test-cluster: $(VENV)/.dev  ## a real three-zone Kubernetes on this machine: needs root, and Go to build it once
	$(BIN)/python tests/cluster/run_rig.py build
	$(PYTEST) -m cluster tests/cluster

truth: $(VENV)/.dev  ## the verdict against known truth: all recorded situations and a third of the live ones; prints the confusion table
	$(PYTEST) tests/truth

truth-all: $(VENV)/.dev  ## the same with all live situations
	CHAOSX_THIRD=all $(PYTEST) tests/truth

wrong-builds: $(VENV)/.dev  ## copies with one rule taken out: each must be caught by at least one situation or test
	$(BIN)/python tests/wrong/run_wrong_builds.py

golden: $(VENV)/.dev  ## rewrites the golden pages; look at the difference before you commit it
	GOLDEN=1 $(PYTEST) tests/report

experiments: $(VENV)/.dev  ## every shipped experiment against its own self_test
	$(BIN)/python tests/selftest/run_experiments.py experiments/sandbox

repeatability: $(VENV)/.dev  ## the same 5 times each, with the machine as it is and with every core burning; about an hour
	$(BIN)/python tests/selftest/repeatability.py experiments/sandbox

bench: $(VENV)/.dev  ## figures as ratios within one run
	for name in bench_help recorder_cost freeze_vs_locust 'rto_truth --n 4' mesh_edges; do echo "== $$name"; set -- $$name; script=$$1; shift; $(BIN)/python benchmarks/$$script.py $$@ || exit 1; done

# The demo needs the sandbox only; the tests need all of it. Both use one environment.
$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[sandbox]'
	touch $@

$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
