# Creates .venv: Poetry exports the locked packages, and uv installs them and checks their hashes. Both are
# installed in .tools, so a machine only needs Python, git and make. TOOLS is the folder with the lock files of
# the tools.

TOOLS ?= tools
SCRIPTS := $(dir $(TOOLS))scripts

# Dependency groups, such as GROUPS="dev launch sagemaker", are kept for later calls.
GROUPS := $(or $(shell cat .venv/groups 2>/dev/null),$(DEFAULT_GROUPS))

# The name contains the groups, so that make updates .venv when they change.
DEV_VENV := .venv/installed-$(shell echo $(GROUPS) | tr ' ' -)
# The packages of the jobs and of RUNTIME_GROUPS. If more groups are installed, they are updated as well.
RUNTIME_VENV := $(if $(wildcard .venv/groups),$(DEV_VENV),.venv/runtime)

# Use the package index of pip, so that a mirror has to be configured only once.
INDEX = $$($(SCRIPTS)/index.sh .tools/bin/python "$(MAKER)")
FROM_INDEX = UV_DEFAULT_INDEX="$(INDEX)"
UV = .tools/bin/uv
POETRY = .tools/bin/poetry

# Like pip, trust the certificates of the machine.
export UV_SYSTEM_CERTS ?= 1
# Libraries load three times as fast from bytecode.
unexport PYTHONDONTWRITEBYTECODE
# Poetry would use an active environment instead of .venv.
unexport VIRTUAL_ENV CONDA_PREFIX

# $(call check_python,TARGET): fail if pyproject.toml does not allow the Python of .tools.
check_python = @.tools/bin/python $(SCRIPTS)/check_python.py \
	"Use another Python: make PYTHON={python} $(1)"

# Create .venv with the Python of .tools. `poetry lock` also needs it.
define make_venv
	@if [ ! -x .venv/bin/python ] || ! cmp -s .tools/installed .venv/python; then \
		groups=$$(cat .venv/groups 2>/dev/null); \
		[ ! -L .venv ] || rm .venv; \
		$(UV) venv --quiet --clear --relocatable --python .tools/bin/python .venv || exit; \
		[ -z "$$groups" ] || echo "$$groups" >.venv/groups; \
		cp .tools/installed .venv/python; \
	fi
endef

# $(call sync,OPTIONS): install the packages that `poetry export` prints with these options, and remove others.
# Files may come from any index, because their hashes are checked.
define sync
	$(call check_python,install)
	$(make_venv)
	@.tools/bin/python -m poetry export $(1) --output .venv/requirements.txt || { \
		echo 'After a change of pyproject.toml, run `make lock`' >&2; exit 1; }
	@$(FROM_INDEX) $(UV) pip sync --quiet --python .venv --require-hashes --index-strategy unsafe-best-match .venv/requirements.txt || { \
		! grep '^--extra-index-url' .venv/requirements.txt >&2 || echo "If this index requires a password, put it into ~/.netrc" >&2; exit 1; }
	@cd .venv/lib/python*/site-packages && echo ../../../../src >src.pth
endef

# $(call lock_files,NAMES,OPTIONS): write the packages of NAME.in and their dependencies to NAME.txt, with hashes,
# for all supported versions of Python and all platforms. Versions that still fit are kept.
define lock_files
	@export $(FROM_INDEX); for name in $(1); do \
		$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--custom-compile-command "make lock" $(2) "$$name.in" --output-file "$$name.txt" || exit; \
	done
endef

.venv/runtime: .tools/installed pyproject.toml poetry.lock
	$(call sync,--only main $(RUNTIME_GROUPS:%=--only %))
	@touch $@

$(DEV_VENV): .tools/installed pyproject.toml poetry.lock
	$(call sync,$(patsubst %,--with %,$(sort $(GROUPS) $(RUNTIME_GROUPS))))
	@rm -f .venv/installed-* && echo $(GROUPS) >.venv/groups && touch .venv/runtime $@

# .tools/installed names the Python of .tools. Make creates .tools again for another Python
# (make PYTHON=python3.13), or if that Python no longer exists, for example after an upgrade.
LIBRARY := -ISc 'import os; print(os.path.realpath(os.__file__))'
ifeq ($(PYTHON),)
MAKER := $(or $(shell file=$$(sed -n 's/^executable = //p' .tools/pyvenv.cfg 2>/dev/null); [ ! -x "$$file" ] || echo "$$file"),python3)
FOUND := $(shell .tools/bin/python $(LIBRARY) 2>/dev/null)
else
MAKER := $(PYTHON)
FOUND := $(shell "$(PYTHON)" $(LIBRARY) 2>/dev/null)
endif
ifneq ($(shell cat .tools/installed 2>/dev/null),$(FOUND))
.PHONY: .tools/installed
endif

# Install uv with the pip of that Python, if there is one, because another pip takes long to install.
.tools/installed: $(TOOLS)/uv.txt $(TOOLS)/poetry.txt
	@"$(MAKER)" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer with its venv module is needed, but $(MAKER) does not have it: install it (Debian: apt install python3-venv), or use another Python: make PYTHON=/path/to/python3" >&2; exit 1; }
	@[ ! -L .tools ] || rm .tools # venv would empty the target of a link
	@"$(MAKER)" -m venv --clear --without-pip .tools
	@if "$(MAKER)" -c 'import pip' 2>/dev/null; then set -- "$(MAKER)" -m pip --python .tools; \
	else .tools/bin/python -m ensurepip >/dev/null && set -- .tools/bin/python -m pip; fi && \
	export UV_DEFAULT_INDEX="$(INDEX)" && \
	PIP_INDEX_URL=$$UV_DEFAULT_INDEX "$$@" install --quiet --disable-pip-version-check --require-hashes --requirement $(TOOLS)/uv.txt && \
	$(UV) pip sync --quiet --python .tools --require-hashes $(TOOLS)/uv.txt $(TOOLS)/poetry.txt
	@cp $(SCRIPTS)/index.sh .tools/bin/index.sh
	@cp $(SCRIPTS)/poetry.sh .tools/bin/poetry
	@.tools/bin/python $(LIBRARY) >$@

# A tool in its own environment, created when it is first needed: .tools/audit from tools/audit.txt.
.tools/%/installed: $(TOOLS)/%.txt .tools/installed
	@$(UV) venv --quiet --clear --python .tools/bin/python .tools/$*
	@$(FROM_INDEX) $(UV) pip sync --quiet --python .tools/$* --require-hashes $(TOOLS)/$*.txt
	@touch $@
