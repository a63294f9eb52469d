#!/usr/bin/env bash
# Print the base image: BASE_IMAGE, or by default the official image of the Python version in .python-version.
# With --tag, leave out the digest.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

base=$(scripts/setting.sh BASE_IMAGE)
name=${base%@*}
# The default, or its digest that `make pin` has written.
if [[ -z $base || $base =~ ^python:[0-9.]+-slim@ ]]; then
    version=$(sed -n '1{s/^[[:space:]]*//;s/[[:space:]]*$//;p;}' .python-version 2>/dev/null || true)
    if [[ ! $version =~ ^3\.[0-9]+(\.[0-9]+)?$ ]]; then
        echo "The first line of .python-version must be a version such as 3.13. Correct it, or set BASE_IMAGE in image.env" >&2
        exit 1
    fi
    name=python:$version-slim
    if [[ ${1-} != --tag && -n $base && $base != "$name@"* ]]; then
        echo "BASE_IMAGE in image.env is $base, and .python-version says $version: run \`make pin\`" >&2
        exit 1
    fi
fi
if [[ ${1-} == --tag || -z $base ]]; then echo "$name"; else echo "$base"; fi
