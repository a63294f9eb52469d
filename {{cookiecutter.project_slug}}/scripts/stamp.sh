#!/usr/bin/env bash
# Print the stamp of this tree: its commit, with -dirty behind it where a file differs from that. With
# GIT_INDEX_FILE, as in scripts/build.sh, the files in that index must be those of the commit, too.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

if ! commit=$(git rev-parse --verify --quiet 'HEAD^{commit}'); then
    echo "An image comes from a commit, and there is none yet: git add --all && git commit" >&2
    exit 1
fi
# A notebook is no part of the image, and Jupyter changes it by running it.
files=(. ':(exclude)notebooks')
# The index is compared with this very commit: git status would take the newest one.
changes=$(git diff-index --cached --name-only "$commit" -- "${files[@]}")
changes+=$(git status --porcelain --untracked-files=normal -- "${files[@]}")
echo "$commit${changes:+-dirty}"
