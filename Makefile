# make reproduce             set up, then make the tables and figures of the demo profile in results/
# make reproduce PROFILE=small    the same on the real treebank
# make test                  set up, then pytest and nbval side by side

PYTHON ?= python3
PROFILE ?= demo
VENV := .venv
READY := $(VENV)/.ready

.PHONY: help setup reproduce refresh test notebooks lab bench docs lint lock clean

help:  ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(READY)  ## .venv with everything, at the pinned versions

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)) and "Python 3.11 or 3.12 is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[run,docs,lab,test]'
	$(VENV)/bin/python -m bcrlib.pipeline.precompile
	touch $@

reproduce: setup  ## all tables and figures of PROFILE (demo, small, paper) into results/figures/PROFILE
	$(VENV)/bin/bcr reproduce --profile $(PROFILE)

refresh: setup  ## the same in place of what is committed: figures, data, outputs of notebooks, README
	BCRLIB_RUNS=$${BCRLIB_RUNS:-results/runs} $(VENV)/bin/bcr reproduce --profile $(PROFILE) --output .
	$(VENV)/bin/python notebooks/refresh.py
	$(VENV)/bin/python -m bcrlib.report.pages

test: setup  ## pytest and, beside it, the committed notebooks under nbval: one thread each, so that two cores are busy
	export OMP_NUM_THREADS=1; log=$$(mktemp); \
	$(VENV)/bin/python -m pytest -q --nbval --nbval-current-env --nbval-cell-timeout 240 --nbval-kernel-startup-timeout 120 notebooks/[0-9]*.ipynb >$$log 2>&1 & \
	beside=$$!; trap "kill $$beside" INT TERM; \
	$(VENV)/bin/python -m pytest -q; tests=$$?; \
	wait $$beside; notebooks=$$?; cat $$log; rm $$log; \
	exit $$((tests + notebooks))

notebooks: setup  ## run the story notebooks again and keep their outputs
	$(VENV)/bin/python notebooks/refresh.py

lab: setup  ## open the notebooks
	$(VENV)/bin/jupyter trust notebooks/*.ipynb
	$(VENV)/bin/jupyter lab notebooks

bench: setup  ## speed as fractions of the bare LSTM's and of peers', kept in data/bench.json for docs/speed.md
	$(VENV)/bin/bcr bench --accuracy --json > bench.new
	mv bench.new data/bench.json
	$(VENV)/bin/python -m bcrlib.report.pages

docs: setup  ## the site into docs/_build: API reference, notebooks, how to add a parser, a sampler, a corpus
	$(VENV)/bin/python -m sphinx -q -W --keep-going docs docs/_build

lint: setup  ## ruff, notebooks included
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

lock: setup  ## pin what is installed now
	(grep '^#' constraints.txt; $(VENV)/bin/python -m pip freeze --exclude-editable | sed 's/+cpu//') > constraints.new
	mv constraints.new constraints.txt

clean:  ## remove the environment and the runs
	rm -rf $(VENV) runs results/runs
