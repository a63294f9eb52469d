#!/usr/bin/env bash
# Print the last commit that changed the files of the image. Exit with code 3 if there is no commit.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

no_commit() { echo "An image comes from a commit, and there is none yet: git add --all && git commit" >&2; exit 3; }

command -v git >/dev/null || { echo "git is not installed: install it" >&2; exit 3; }
if ! head=$(LC_ALL=C git rev-parse --verify --quiet 'HEAD^{commit}' 2>&1); then
    [[ $head && $head != *"not a git repository (or any"* ]] || no_commit
    echo "$head" >&2
    exit 1
fi
head=${head##*$'\n'} # warnings come first

# shellcheck source-path=SCRIPTDIR source=image_paths.sh
. scripts/image_paths.sh
# A merge counts if its files differ from those of each parent.
commit=$(git rev-list --max-count=1 "$head" -- "${image_paths[@]}")
[[ $commit ]] || no_commit
# In a shallow clone, a commit whose parents are missing seems to have changed all files.
if grep -qsx "$commit" "$(git rev-parse --git-path shallow)"; then
    echo "This clone ends before the commit that last changed the image: run git fetch --unshallow." \
        "In a workflow, set fetch-depth: 0 for actions/checkout" >&2
    exit 1
fi
echo "$commit"
