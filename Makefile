# `make demo` and `make test` need only Python 3.12 or later; everything else is installed into .venv.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: demo test test-slow docs lint check-wheel check-lowest check-newest gallery bench bench-smoke bench-brms clean

demo: .venv/ready
	$(BIN)/stimdose demo -o demo-output

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: .venv/ready
	$(BIN)/python -m pytest -m slow -s

docs: .venv/ready
	$(BIN)/python -m sphinx -W -E --keep-going -q -b html docs docs/_build/html
	$(BIN)/python -m pytest -m page -n 2

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The demo and the tests of the installed package, each in an environment of its own; LOWEST and NEWEST say which Python.
LOWEST ?= python3.12
NEWEST ?= python3.13

check-wheel: .venv/ready
	$(BIN)/python tests/environments.py wheel

check-lowest: .venv/ready
	$(BIN)/python tests/environments.py lowest --python $(LOWEST)

check-newest: .venv/ready
	$(BIN)/python tests/environments.py newest --python $(NEWEST)

gallery: .venv/ready
	$(BIN)/python docs/gallery/draw.py

# Each prints one line of JSON; docs/benchmarks.md says what it means. The last two take the longest: drop them for the others.
BENCHMARKS := start_up first_fit robustness refits leave_one_out large vs_pymc rows scaling

bench: .venv/ready
	@set -e; for name in $(BENCHMARKS); do echo "benchmarks/$$name.py" >&2; $(BIN)/python benchmarks/$$name.py; done
	$(BIN)/python benchmarks/robustness.py --model stimulation
	$(BIN)/python benchmarks/calibration.py
	$(BIN)/python benchmarks/missing_doses.py
	$(BIN)/python benchmarks/operating.py

bench-smoke: .venv/ready
	@set -e; for name in $(BENCHMARKS); do echo "benchmarks/$$name.py --smoke" >&2; $(BIN)/python benchmarks/$$name.py --smoke; done
	$(BIN)/python benchmarks/calibration.py --smoke
	$(BIN)/python benchmarks/missing_doses.py 1 "at random, truth from the prior"
	$(BIN)/python benchmarks/operating.py --smoke flat "two phases, one peaked" "product, sessions do nothing"
	$(BIN)/python benchmarks/reliability.py --smoke
	$(BIN)/python benchmarks/fuzz.py --smoke
	$(BIN)/python benchmarks/scale.py --smoke

bench-brms: .venv/ready
	$(BIN)/python benchmarks/vs_brms.py

.venv/ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "stimdose needs Python 3.12 or later, and none was found; install one, or name it: make PYTHON=/path/to/python3.13 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { echo "stimdose needs Python 3.12 or later; $(PYTHON) is older"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch .venv/ready

clean:
	rm -rf .venv demo-output
