#!/bin/sh
# Print the URL of the package index that pip uses, wherever it is configured. The first of the given Pythons
# that has pip determines it: scripts/index.sh [PYTHON...]
if [ -n "${UV_DEFAULT_INDEX-}" ]; then
    printf '%s\n' "$UV_DEFAULT_INDEX"
    exit
fi
for python in "$@" python3 python; do
    if help=$(COLUMNS=1000 "$python" -m pip install --help 2>/dev/null); then
        printf '%s\n' "$help" | sed -n 's/.*(default \([a-z]*:\/\/[^)]*\)).*/\1/p'
        exit
    fi
done
printf '%s\n' "${PIP_INDEX_URL-}"
