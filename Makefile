# From a bare clone: `make demo` runs the loop, `make test` runs the tests. Both build .venv first when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo docs smoke texts test test-slow test-gpu bench-gpu vllm test-served reference test-reference lint lock clean

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "mdsvqa needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# With options: make demo OPTIONS=--label
demo: setup
	$(BIN)/mdsvqa demo $(OPTIONS)

# Files side by side, each process with one thread; a third one while others wait for a browser or a cluster.
test: setup
	$(BIN)/python -m pytest -q -n 3 --dist loadfile

test-slow: setup
	$(BIN)/python -m pytest -q -m slow

# All that a GPU changes; they pass on a CPU too.
test-gpu: setup
	$(BIN)/python -m pytest -q tests/models tests/difficulty tests/selection

# Every figure of a GPU in under eight minutes; the last line is JSON.
bench-gpu: setup
	cd benchmarks && ../$(BIN)/python gpu.py --size 7b --out ../build/gpu.json

# A vLLM that runs on the CPU, in an environment of its own: four minutes, and no part of `make setup`.
vllm: .vllm/.ready

.vllm/.ready: tests/make_vllm.py tests/environments.py
	$(PYTHON) tests/make_vllm.py .vllm

# Scores through it, against those of the same checkpoint without a server.
test-served: setup vllm
	$(BIN)/python -m pytest -q -s -m slow tests/models/vlm/test_vllm.py

# The stack that the released checkpoint was trained with, in an environment of its own: a minute.
reference: .reference/.ready

.reference/.ready: tests/make_reference.py tests/environments.py
	$(PYTHON) tests/make_reference.py .reference

# What it makes of checkpoints, adapters and videos, against what mdsvqa makes of them.
test-reference: setup reference
	$(BIN)/python -m pytest -q -s -m slow tests/models/vlm/test_reference_stack.py

# The pages, into build/site; a warning is an error.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# The built wheel in an environment of its own: does every command start and do its work?
smoke: setup
	$(BIN)/python tests/smoke.py

# Parts of the docs that are made from the code.
texts: setup
	$(BIN)/python tests/texts.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Known to work together: a torchvision is built for one torch.
TESTED := torch==2.13.0 torchvision==0.28.0 transformers==5.23.0 peft==0.21.2 trl==1.16.0

# Exact versions of everything, from a fresh environment; CUDA packages are left to torch's own requirements.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet $(TESTED)
	build/lock/bin/python -m pip install --quiet "setuptools>=77" $(TESTED) --editable '.[dev]'
	build/lock/bin/python -m pip freeze --all --exclude-editable --exclude pip \
		| grep -viE '^(nvidia-|triton|cuda-)' | sed 's/+cpu//' > requirements.lock
	rm -rf build/lock

clean:
	rm -rf $(VENV) .vllm .reference build .mypy_cache .pytest_cache .ruff_cache
