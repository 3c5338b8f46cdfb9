# SPDX-License-Identifier: Apache-2.0
# Every target prepares the machine by itself (tests/prepare): Debian packages, build/venv.

PYTEST = build/venv/bin/pytest
QUICK = tests/unit tests/quality
PROGRAMS = tests/cli tests/interop
# One more than the processors of CI: two left two processors idle for a third of the time. Files in
# the order of their names: by their number of tests the demo, which is one, came last.
MACHINES = -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help prepare demo check test full attacks bench clean clean-cache

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile

prepare: ## installs what is missing (printed first) and makes build/venv
	@tests/prepare host

demo: prepare ## the chain from a key to the kernel's digest, on a real Debian (root)
	@VERITY_WHEEL=$$(tests/prepare wheel) build/venv/bin/python -m tests.demo $(if $(BREAK),--break $(BREAK))

check: prepare ## lint, types, layers, unit tests: no test machine
	@build/venv/bin/ruff check --quiet .
	@build/venv/bin/ruff format --quiet --check .
	@build/venv/bin/mypy --no-error-summary
	@$(PYTEST) -q -n auto --dist worksteal $(QUICK)

test: check ## everything that CI runs: the command line, beside stock programs, in test machines (root)
	@$(PYTEST) -q -n auto --dist worksteal $(PROGRAMS)
	@VERITY_WHEEL=$$(tests/prepare wheel) $(PYTEST) -q $(MACHINES) tests/attacks tests/vm tests/crash

full: check ## the long tests, too: many examples, every break of the demo (root); PART=crash: one part
	@VERITY_WHEEL=$$(tests/prepare wheel) tests/full $(PART)

attacks: prepare ## what the gate must stop, with its controls, and a table of it (root)
	@VERITY_WHEEL=$$(tests/prepare wheel) $(PYTEST) -q -n 2 -m "full or not full" tests/attacks

bench: prepare ## our figures beside the peers', in one run
	@VERITY_WHEEL=$$(tests/prepare wheel) build/venv/bin/python -m tests.bench

clean: ## removes build/
	rm -rf build

clean-cache: ## removes the test machines' images
	@build/venv/bin/python -m tests.vm prune --all
