#!/bin/sh
# Print the address of the package index that pip uses here, wherever that is configured. The first of
# these Pythons that has pip is asked: scripts/index.sh [PYTHON...]
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
