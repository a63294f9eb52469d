PROJECT := {{cookiecutter.__folder}}
TOOLS := $(PROJECT)/tools
DEFAULT_GROUPS := dev
CHECK := .ci/run
include $(PROJECT)/venv.mk

COOKIECUTTER := .venv/bin/python -m cookiecutter --no-input --default-config

.PHONY: help
.DEFAULT_GOAL := help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: $(RUNTIME_VENV) ## generate the default project, run its jobs and show the result
	@rm -rf build/demo && mkdir -p build/demo
	@$(COOKIECUTTER) --output-dir build/demo .
	@cp -Rp .tools build/demo/*/ && touch build/demo/*/.tools/installed
	@$(MAKE) --no-print-directory -C build/demo/* run

.PHONY: install
install: $(DEV_VENV) ## make .venv, with what the tests need

.PHONY: lint
lint: install ## check format, style and types
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m ruff check .
	.venv/bin/python -m mypy

.PHONY: test
test: install ## run all the tests, and show the slowest ones and the coverage
	.venv/bin/python -m pytest --numprocesses auto --durations 20 --cov=tests --cov-report=term:skip-covered

.PHONY: test-fast
test-fast: install ## run the tests of rendering only
	.venv/bin/python -m pytest --numprocesses auto -m "not slow"

.PHONY: check
check: install ## lint and test side by side, as before a commit
	@$(MAKE) --no-print-directory --jobs=2 --keep-going lint test

.PHONY: fuzz
fuzz: install ## bake 2,000 times with answers of every kind, and count what came of them
	FUZZ_BAKES=2000 .venv/bin/python -m pytest -s tests/test_answers.py

.PHONY: moments
moments: install ## stop and kill each job at 300 moments, and count what was left
	MOMENTS=100 .venv/bin/python -m pytest -s tests/example/test_moments.py

.PHONY: transcript
transcript: install ## run the commands in docs/transcript.md and write what they print into it
	PYTHONPATH=tests .venv/bin/python docs/transcript.py

# $(call lock_all,TARGET,COMMAND OF POETRY,OPTIONS OF UV): the template's own locks, and those it ships.
define lock_all
	$(call check_python,$(1))
	$(make_venv)
	@$(POETRY) $(2)
	$(call lock_files,$(basename $(wildcard tests/*.in)),$(3))
	@$(MAKE) --no-print-directory $(RUNTIME_VENV)
	@rm -rf build/lock && mkdir -p build/lock
	@$(COOKIECUTTER) --output-dir build/lock .
	@cp -Rp .tools build/lock/*/ && touch build/lock/*/.tools/installed
	@$(MAKE) --no-print-directory -C build/lock/* $(1)
	@cp build/lock/*/poetry.lock '$(PROJECT)'
	@cp build/lock/*/tools/*.txt '$(TOOLS)'
endef

.PHONY: lock
lock: .tools/installed ## update the lock files: the template's own and the shipped ones
	$(call lock_all,lock,lock)

.PHONY: upgrade
upgrade: .tools/installed ## lock the newest versions that the template's files allow
	$(call lock_all,upgrade,update --lock,--upgrade)

# What tests/sdk_environment.py gives to the contract tests: the SageMaker SDK, away from the rest.
build/sdk/installed: .tools/installed pyproject.toml poetry.lock
	@$(UV) venv --quiet --clear --python .tools/bin/python build/sdk
	@$(POETRY) export --only sdk --output build/sdk/requirements.txt
	@$(FROM_INDEX) $(UV) pip sync --quiet --python build/sdk --require-hashes build/sdk/requirements.txt
	@touch $@

# Environments of their own, of tests/NAME.txt: linters of infra/stack.yaml, tools that build and check the
# documentation, and a tracking server of MLflow.
build/%/installed: tests/%.txt .tools/installed
	@$(UV) venv --quiet --clear --python .tools/bin/python build/$*
	@$(FROM_INDEX) $(UV) pip sync --quiet --python build/$* --require-hashes tests/$*.txt
	@touch $@

.PHONY: site
site: build/tools/installed ## build the documentation as a web site, build/site
	build/tools/bin/zensical build --clean --strict

.PHONY: release
release: .tools/installed ## check everything, then write VERSION=x.y.z, commit and tag it
	@.tools/bin/python .ci/release.py '$(VERSION)' $(CHECK)

.PHONY: clean
clean: ## remove everything that git ignores
	git clean -fdX
