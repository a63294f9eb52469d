#!/bin/sh
# Poetry, on the package index that pip uses here. `make` installs this as .tools/bin/poetry, and
# index.sh beside it.
tools=$(dirname "$0")
if [ -z "${POETRY_PYPI_MIRROR_URL-}" ]; then
    POETRY_PYPI_MIRROR_URL=$("$tools/index.sh" "$tools/python")
    export POETRY_PYPI_MIRROR_URL
fi
exec "$tools/python" -m poetry "$@"
