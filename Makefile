# Shortcuts for development. BIN is the folder of an environment with `pip install -e '.[dev]'`; ARGS go to the program.
#
#     make test                          everything that a change has to pass (tests/run.sh)
#     make test ARGS='tests/media -k exif'
#     make coverage ARGS=tests/streams
BIN ?= .venv/bin
ARGS ?=
# Benchmarks that make their own input; the others need the files named at their top.
BENCH ?= $(filter-out %_actions6.py %_mmaction2.py,$(wildcard benchmarks/bench_*.py))

.PHONY: test lint format coverage docs build bench

test:
	bash tests/run.sh $(ARGS)

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format:
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage:
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

docs:
	$(BIN)/python docs/make_pages.py
	$(BIN)/python docs/make_api.py
	$(BIN)/python docs/make_map.py

build:
	$(BIN)/python -m build

bench:
	for script in $(BENCH); do $(BIN)/python $$script || exit 1; done
