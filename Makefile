# `make help` lists the targets. Each sets up the environment first, which
# takes minutes once and no time afterwards. `demo` needs a part of it only.
VENV ?= .venv
PY := $(VENV)/bin/python
export VENV
# Nothing newer than Python 3.9. `long` is a method of tensors too.
VERMIN := -q --target=3.9- --violations --eval-annotations --exclude long

.DEFAULT_GOAL := help
.PHONY: help setup demo docs lint format test test-matrix \
	test-mmcv20 test-openmmlab test-wheel

help:  ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup:  ## Set up the environment in .venv (VENV=DIR for another place)
	@tools/dev/setup_env.sh

demo:  ## Train on real digits with and without pruning and compare
	@tools/dev/setup_env.sh onedl demo
	$(PY) tools/dataset_converters/prepare_mnist.py
	$(PY) tools/compare.py configs/demo/resnet_mnist.py \
		--prune infobatch seta random --work-dir work_dirs/demo

docs: setup  ## Build the documentation in docs/_build
	$(PY) -m sphinx -W --keep-going -q -c docs . docs/_build
	@echo docs/_build/index.html

lint: setup  ## Check style, formatting, spelling and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m codespell_lib
	$(VENV)/bin/vermin $(VERMIN) bls_mm configs docs tests tools setup.py
	$(PY) -m mypy

format: setup  ## Fix what the linters can fix automatically
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

test: lint  ## Run the linters and all tests
	$(PY) -m pytest -n auto --dist loadfile

test-matrix:  ## Run the core tests on torch from 2.0 on (TORCH=2.0.1 for one)
	$(or $(PYTHON),python3) tools/dev/test_matrix.py $(TORCH:%=--torch %)

test-openmmlab:  ## Run all tests on the original OpenMMLab packages
	@VENV=$(VENV)-openmmlab tools/dev/setup_env.sh openmmlab
	$(VENV)-openmmlab/bin/python -m pytest -n auto --dist loadfile

test-mmcv20:  ## Test the packages that need mmcv before 2.1
	@VENV=$(VENV)-mmcv20 tools/dev/setup_env.sh mmcv20
	$(VENV)-mmcv20/bin/python -m pytest -k "not test_config_trains" \
		tests/datasets tests/zoo_check \
		tests/models/test_sister_packages.py tests/models/test_zoo_configs.py

test-wheel: setup  ## Build what is published and use it in empty environments
	tools/dev/test_wheel.sh
