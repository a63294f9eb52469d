#!/bin/sh
# Run Poetry with the package index that pip uses. `make` copies this file to .tools/bin/poetry, and index.sh
# next to it.
tools=$(dirname "$0")
if [ -z "${POETRY_PYPI_MIRROR_URL-}" ]; then
    POETRY_PYPI_MIRROR_URL=$("$tools/index.sh" "$tools/python")
    export POETRY_PYPI_MIRROR_URL
fi
exec "$tools/python" -m poetry "$@"
