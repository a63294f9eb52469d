#!/bin/sh
# Poetry, on the package index that pip uses here. `make` installs this as .tools/bin/poetry.
python=$(dirname "$0")/python
if [ -z "$POETRY_PYPI_MIRROR_URL" ]; then
    POETRY_PYPI_MIRROR_URL=$(COLUMNS=1000 "$python" -m pip install --help | sed -n 's/.*(default \(http[^)]*\)).*/\1/p')
    export POETRY_PYPI_MIRROR_URL
fi
exec "$python" -m poetry "$@"
