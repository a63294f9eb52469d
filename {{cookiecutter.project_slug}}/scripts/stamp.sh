#!/usr/bin/env bash
# Print the stamp of this tree: its commit, with -dirty behind it where a file differs from that.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

if ! commit=$(git rev-parse --verify --quiet 'HEAD^{commit}'); then
    echo "An image comes from a commit, and there is none yet: git add --all && git commit" >&2
    exit 1
fi
# A notebook is no part of the image, and Jupyter changes it by running it.
changes=$(git status --porcelain --untracked-files=normal -- . ':(exclude)notebooks')
echo "$commit${changes:+-dirty}"
