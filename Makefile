.DEFAULT_GOAL := help
SHELL := /bin/bash
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
LAB := .venv/bin/lab

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A fresh Debian's python3 may lack venv; nothing else is needed before `lab doctor` can speak.
.venv/.installed: pyproject.toml constraints.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 is $$(python3 -V 2>&1); the lab needs 3.11 or newer" >&2; exit 3; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

# What tests, notebooks and lint need besides: no report waits for it.
.venv/.ready: .venv/.installed
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: quickstart
quickstart: .venv/.installed ## Install what is missing, measure three storages in a VM, write a report
	@$(LAB) doctor --install
	@run=$$($(LAB) run scenarios/quickstart.yaml); status=$$?; [ -n "$$run" ] || exit $$status; \
	 echo "The report:" && $(LAB) report "$$(tail -n 1 <<<"$$run")" && exit $$status

# Hours of measuring: what results/ holds, once more, beside it.  Called again, it goes on where it stopped.  The limits
# of the proof are of the machine that they were first measured on: elsewhere the slow-down is another.  All but the last
# were first measured on an emulated machine, and are again, with KVM and without: QEMU_ACCEL=kvm is other numbers.
REFERENCE := results/repeated
REFERENCE_RUNS := reference/reference reference/reference-traces reference/reference-small reference/autoextend \
	validation/churn validation/deep validation/large validation/mixed
.PHONY: reference
reference: export QEMU_ACCEL := $(or $(QEMU_ACCEL),tcg)
reference: .venv/.installed ## Measure the reference, validation, A/A and throttled runs again (hours; goes on if interrupted)
	@$(LAB) doctor --install
	@for run in $(REFERENCE_RUNS); do \
	   name=$$(basename $$run); scenario=scenarios/$$name.yaml; \
	   [ -f $$scenario ] || scenario=scenarios/validation/$$name.yaml; \
	   mkdir -p $(REFERENCE)/$$run && $(LAB) run $$scenario --resume $(REFERENCE)/$$run || exit; \
	 done
	@mkdir -p $(REFERENCE)/aa && $(LAB) run scenarios/aa.yaml --against scenarios/aa.yaml --resume $(REFERENCE)/aa
	@mkdir -p $(REFERENCE)/proof && $(LAB) run scenarios/proof.yaml --against scenarios/proof-baseline.yaml \
	   --resume $(REFERENCE)/proof
	@vagrant/get-kernel.py --install >/dev/null
	@mkdir -p $(REFERENCE)/machines/reference-uml && QEMU_ACCEL=uml $(LAB) run scenarios/reference.yaml \
	   --resume $(REFERENCE)/machines/reference-uml
	@$(LAB) report $(REFERENCE)/reference/reference

.PHONY: docs
docs: .venv/.ready ## Write the pages in docs/ again from the committed runs
	@.venv/bin/python docs/generate/reference_page.py results docs/reference.md
	@.venv/bin/python docs/generate/validation_page.py results docs/validation.md
	@.venv/bin/python docs/generate/gate_page.py results docs/gate.md
	@.venv/bin/python docs/generate/machines.py results docs/machines.md

.PHONY: ensembles
ensembles: .venv/.ready ## Run the shipped plans again for the planning lesson (minutes, all cores)
	@.venv/bin/python -c 'from pathlib import Path; from lab.answers.plan.precomputed import write_ensembles; write_ensembles(Path("scenarios/plans"), Path("results/ensembles"))'

.PHONY: plans
plans: .venv/.installed ## Answer the shipped plans again, as results/plans has them (minutes, all cores)
	@for plan in scenarios/plans/*.yaml; do \
	   $(LAB) plan $$plan --replications 300 -o results/plans/$$(basename $$plan .yaml) >/dev/null || exit; \
	 done

PYTEST := .venv/bin/python -m pytest
# On all cores, each file as a whole, so that its fixtures are made once.  Live tests have the computer to themselves.
PARALLEL := -n auto --dist loadfile

.PHONY: test
test: .venv/.ready lint ## Run all tests, those in a real VM and in a browser included
	@{ command -v chromium && [ -x /usr/sbin/thin_restore ]; } >/dev/null || { $(SUDO) apt-get update -qq && \
	  $(SUDO) apt-get install -y -qq --no-install-recommends chromium thin-provisioning-tools; } || \
	  echo "tests will be skipped: chromium or thin-provisioning-tools could not be installed" >&2
	@$(LAB) doctor --install || echo "some live tests will be skipped; the reasons stand above and at the end" >&2
	$(PYTEST) $(PARALLEL) -m 'not live'
	$(PYTEST) $(PARALLEL) --nbmake --nbmake-timeout=240 -q notebooks
	$(PYTEST) -m live tests/live

.PHONY: bench
bench: .venv/.ready ## Time the exact pool model and the host in counts against what bounds them, in one run
	.venv/bin/python -m pytest -q tests/bench --benchmark-only

.PHONY: test-fast
test-fast: .venv/.ready lint ## Run the tests that need no VM
	$(PYTEST) $(PARALLEL) -m 'not live'

.PHONY: lint
lint: .venv/.ready ## Check style, types, import directions, and that notebooks hold no outputs
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	.venv/bin/nbstripout --verify notebooks/*.ipynb

.PHONY: box
box: .venv/.installed ## Build the VM's box, and fetch the kernel for hosts without KVM, unless they are cached
	@$(LAB) doctor --install
	vagrant/build-box.sh --install

.PHONY: clean
clean: ## Remove the lab's machines and the virtual environment; boxes and results stay
	@[ ! -x $(LAB) ] || $(LAB) destroy
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
