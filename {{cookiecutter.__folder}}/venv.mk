# How .venv is made: Poetry decides what is installed, and uv installs it, by hash. Both live in
# .tools, so that nothing has to be on the machine but Python, git and make. TOOLS is the folder of the
# tools' own locks.

TOOLS ?= tools
SCRIPTS := $(dir $(TOOLS))scripts

# A group of dependencies that was once asked for (make install GROUPS="dev launch sagemaker") stays.
GROUPS := $(or $(shell cat .venv/groups 2>/dev/null),$(DEFAULT_GROUPS))

# Named for its groups: another choice of groups is another environment.
DEV_VENV := .venv/installed-$(shell echo $(GROUPS) | tr ' ' -)
# What the jobs need, and RUNTIME_GROUPS. Where more has been installed, all of it is kept up to date.
RUNTIME_VENV := $(if $(wildcard .venv/groups),$(DEV_VENV),.venv/runtime)

# The package index is the one that pip uses, so that a company's mirror is set up once.
INDEX = $$($(SCRIPTS)/index.sh .tools/bin/python "$(MAKER)")
FROM_INDEX = UV_DEFAULT_INDEX="$(INDEX)"
UV = .tools/bin/uv
POETRY = .tools/bin/poetry

# uv trusts the certificates that the machine trusts, as pip does.
export UV_SYSTEM_CERTS ?= 1
# The libraries load three times as fast from bytecode.
unexport PYTHONDONTWRITEBYTECODE
# Poetry would install into an environment that happens to be active.
unexport VIRTUAL_ENV CONDA_PREFIX

# $(call check_python,TARGET): stop if pyproject.toml does not allow the Python of .tools.
check_python = @.tools/bin/python $(SCRIPTS)/check_python.py \
	"Use another Python: make PYTHON={python} $(1)"

# .venv has the Python of .tools; poetry lock, too, asks the Python of .venv.
define make_venv
	@if [ ! -x .venv/bin/python ] || ! cmp -s .tools/installed .venv/python; then \
		groups=$$(cat .venv/groups 2>/dev/null); \
		[ ! -L .venv ] || rm .venv; \
		$(UV) venv --quiet --clear --relocatable --python .tools/bin/python .venv || exit; \
		[ -z "$$groups" ] || echo "$$groups" >.venv/groups; \
		cp .tools/installed .venv/python; \
	fi
endef

# $(call sync,OPTIONS): .venv holds what poetry export prints with these options, and nothing else. The
# hash decides which file is the right one, so that any index may have it.
define sync
	$(call check_python,install)
	$(make_venv)
	@.tools/bin/python -m poetry export $(1) --output .venv/requirements.txt || { \
		echo 'After a change of pyproject.toml, run `make lock`' >&2; exit 1; }
	@$(FROM_INDEX) $(UV) pip sync --quiet --python .venv --require-hashes --index-strategy unsafe-best-match .venv/requirements.txt || { \
		! grep '^--extra-index-url' .venv/requirements.txt >&2 || echo "If this index asks for a password, it must be in ~/.netrc" >&2; exit 1; }
	@cd .venv/lib/python*/site-packages && echo ../../../../src >src.pth
endef

# $(call lock_files,NAMES,OPTIONS): NAME.txt lists, with hashes, what NAME.in asks for and all that this
# needs, for every Python and machine that the tools support. Versions stay that still fit.
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

# .tools/installed names the Python that .tools was made with. It is made again with another that was
# asked for (make PYTHON=python3.13), or if that Python is gone: upgraded, or left on another machine.
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

# The pip of that Python installs uv, if it has one: making another takes longer than all that follows.
.tools/installed: $(TOOLS)/uv.txt $(TOOLS)/poetry.txt
	@"$(MAKER)" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer with its venv module is needed, and $(MAKER) is not: install it (Debian: apt install python3-venv), or name another: make PYTHON=/path/to/python3" >&2; exit 1; }
	@[ ! -L .tools ] || rm .tools # venv would empty the folder that a link leads to
	@"$(MAKER)" -m venv --clear --without-pip .tools
	@if "$(MAKER)" -c 'import pip' 2>/dev/null; then set -- "$(MAKER)" -m pip --python .tools; \
	else .tools/bin/python -m ensurepip >/dev/null && set -- .tools/bin/python -m pip; fi && \
	export UV_DEFAULT_INDEX="$(INDEX)" && \
	PIP_INDEX_URL=$$UV_DEFAULT_INDEX "$$@" install --quiet --disable-pip-version-check --require-hashes --requirement $(TOOLS)/uv.txt && \
	$(UV) pip sync --quiet --python .tools --require-hashes $(TOOLS)/uv.txt $(TOOLS)/poetry.txt
	@cp $(SCRIPTS)/index.sh .tools/bin/index.sh
	@cp $(SCRIPTS)/poetry.sh .tools/bin/poetry
	@.tools/bin/python $(LIBRARY) >$@

# An environment of its own, made when it is first needed: for .tools/audit, of tools/audit.txt.
.tools/%/installed: $(TOOLS)/%.txt .tools/installed
	@$(UV) venv --quiet --clear --python .tools/bin/python .tools/$*
	@$(FROM_INDEX) $(UV) pip sync --quiet --python .tools/$* --require-hashes $(TOOLS)/$*.txt
	@touch $@
