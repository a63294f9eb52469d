# How .venv is made: Poetry decides what is installed, and uv installs it, by hash. Both live in
# .tools, so that nothing has to be on the machine but Python, git and make.

PYTHON ?= python3
TOOLS ?= tools.txt

# A group of dependencies that was once asked for (make install GROUPS="dev launch sagemaker") stays.
GROUPS := $(or $(shell cat .venv/groups 2>/dev/null),$(DEFAULT_GROUPS))

# Named for its groups: another choice of groups is another environment.
DEV_VENV := .venv/installed-$(shell echo $(GROUPS) | tr ' ' -)
RUNTIME_VENV := .venv/runtime

# The package index is the one that pip uses, so that a company's mirror is set up once.
INDEX = $$(COLUMNS=1000 .tools/bin/python -m pip install --help | sed -n 's/.*(default \(http[^)]*\)).*/\1/p')
FROM_INDEX = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$(INDEX)}"
UV = .tools/bin/uv
POETRY = .tools/bin/python -m poetry

# uv trusts the certificates that the machine trusts, as pip does.
export UV_SYSTEM_CERTS ?= 1
# The libraries load three times as fast from bytecode.
unexport PYTHONDONTWRITEBYTECODE
# Poetry would install into an environment that happens to be active.
unexport VIRTUAL_ENV CONDA_PREFIX

define sync
	@[ -x .venv/bin/python ] || $(UV) venv --quiet --clear --relocatable --python .tools/bin/python .venv
	@$(POETRY) export $(1) --output .venv/requirements.txt
	@$(FROM_INDEX) $(UV) pip sync --quiet --python .venv --require-hashes .venv/requirements.txt
	@cd .venv/lib/python*/site-packages && echo ../../../../src >src.pth
endef

$(RUNTIME_VENV): .tools/installed pyproject.toml poetry.lock
	$(call sync,--only main)
	@touch $@

$(DEV_VENV): .tools/installed pyproject.toml poetry.lock
	$(call sync,$(GROUPS:%=--with %))
	@rm -f .venv/installed-* && echo $(GROUPS) >.venv/groups && touch $(RUNTIME_VENV) $@

# The Python that all of this was made with may be gone since: upgraded, or left on another machine.
$(if $(realpath .tools/bin/python),,$(shell rm -f .tools/installed))

.tools/installed: $(TOOLS)
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Python 3.11 or newer with its venv module is needed, and $(PYTHON) is not: install it (Debian: apt install python3-venv), or name another: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(TOOLS) uv
	@$(FROM_INDEX) $(UV) pip install --quiet --python .tools --requirements $(TOOLS)
	@touch $@
