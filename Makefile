# Five verbs. `make demo` on a clean clone needs Python 3.11 to 3.13 and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := demo
.PHONY: install demo test bench docs clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev,demo]"
	touch $@

demo: install
	$(BIN)/valenza corpus synth $(DEMO)/corpora
	$(BIN)/valenza shards build --all --data-root $(DEMO)/corpora --manifests $(DEMO)/corpora/manifests --shards $(DEMO)/shards
	OMP_NUM_THREADS=1 $(BIN)/torchrun --standalone --nproc_per_node 2 -m valenza train recipes/demo.yaml --out $(DEMO)/run
	OMP_NUM_THREADS=1 $(BIN)/valenza evaluate $(DEMO)/run

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist loadfile

bench: install
	$(BIN)/valenza bench plan
	$(BIN)/valenza bench plan --hours 375 --ranks 4

docs: install
	$(BIN)/valenza tabulate recipes/results/real_small-*.json --into README.md
	$(BIN)/valenza tabulate recipes/results/dynamic.json --into README.md
	$(BIN)/valenza bench cost docs/scaling/plan-*.json --into docs/scaling.md
	$(BIN)/valenza bench exports docs/engines/*.json --into docs/engines.md
	$(BIN)/valenza corpus list --markdown > datasets_manifests/README.md

clean:
	rm -rf $(DEMO) $(VENV)
