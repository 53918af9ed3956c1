# make demo: set up, train on real pictures, show the score.   make test: set up, check everything but the long ones.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test test-slow docs benchmark check-python clean

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Lensmith needs Python 3.11 or newer; this is $$($(PYTHON) --version). Name another: make PYTHON=python3.12"; exit 1; }

.venv/installed: pyproject.toml | check-python
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/installed-test: pyproject.toml .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

demo: .venv/installed
	@sh scripts/demo.sh

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

.venv/installed-slow: .venv/installed-test
	$(BIN)/python -m pip install --quiet --no-deps 'grad-cam>=1.5.5' 'ttach>=0.0.3'
	@touch $@

test-slow: .venv/installed-slow .venv/installed-docs
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m 'slow or not slow'

.venv/installed-docs: pyproject.toml .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

# The documentation as a site that needs no server: build/docs/index.html.
docs: .venv/installed-docs
	$(BIN)/python scripts/write_reference.py
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "open build/docs/index.html"

# An environment of its own (7 GB), since what Lensmith is compared with is no dependency of it.
.venv-benchmark/installed: benchmarks/requirements.txt pyproject.toml | check-python
	$(PYTHON) -m venv .venv-benchmark
	.venv-benchmark/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@touch $@

# Some need the tests' environment: OpenCV 4, which reads Darknet's files, pycocotools, cleanlab, captum and grad-cam.
benchmark: .venv-benchmark/installed .venv/installed-slow
	.venv-benchmark/bin/python benchmarks/start.py
	.venv-benchmark/bin/python benchmarks/throughput.py
	.venv-benchmark/bin/python benchmarks/throughput.py --isa avx2
	.venv-benchmark/bin/python benchmarks/candidates.py
	.venv-benchmark/bin/python benchmarks/folders.py
	.venv-benchmark/bin/python benchmarks/check.py
	.venv-benchmark/bin/python benchmarks/kernels.py
	.venv-benchmark/bin/python benchmarks/classic.py
	.venv-benchmark/bin/python benchmarks/classic.py --lenet 3
	.venv-benchmark/bin/python benchmarks/cifar.py
	.venv-benchmark/bin/python benchmarks/detection.py
	.venv-benchmark/bin/python benchmarks/segmentation.py
	.venv-benchmark/bin/python benchmarks/segmentation_defaults.py
	.venv-benchmark/bin/python benchmarks/transfer.py
	.venv-benchmark/bin/python benchmarks/tasks.py
	.venv-benchmark/bin/python benchmarks/defaults.py
	.venv-benchmark/bin/python benchmarks/play.py
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/opencv.py
	$(BIN)/python benchmarks/average_precision.py
	$(BIN)/python benchmarks/check_labels.py
	$(BIN)/python benchmarks/vitals.py
	$(BIN)/python benchmarks/explain.py
	.venv-benchmark/bin/python benchmarks/report.py

clean:
	rm -rf .venv .venv-benchmark build dist
