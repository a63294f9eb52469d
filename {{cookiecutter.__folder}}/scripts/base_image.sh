#!/usr/bin/env bash
# Print the image that the project's image is built from: BASE_IMAGE, or the official image of the version
# in .python-version. With --tag, without a digest.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

base=$(scripts/setting.sh BASE_IMAGE)
name=${base%@*}
# An empty BASE_IMAGE, or what `make pin` made of one.
if [[ -z $base || $base =~ ^python:[0-9.]+-slim@ ]]; then
    version=$(sed -n '1{s/^[[:space:]]*//;s/[[:space:]]*$//;p;}' .python-version 2>/dev/null || true)
    if [[ ! $version =~ ^3\.[0-9]+(\.[0-9]+)?$ ]]; then
        echo "The first line of .python-version must be a version such as 3.13; or set BASE_IMAGE in image.env" >&2
        exit 1
    fi
    name=python:$version-slim
    if [[ ${1-} != --tag && -n $base && $base != "$name@"* ]]; then
        echo "BASE_IMAGE in image.env is $base, and .python-version says $version: run \`make pin\`" >&2
        exit 1
    fi
fi
if [[ ${1-} == --tag || -z $base ]]; then echo "$name"; else echo "$base"; fi
