#!/usr/bin/env bash
# Print the last commit that changed what the image is built from: the files of HEAD are the same as its.
# Exit with 3 where there is none.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

no_commit() { echo "An image comes from a commit, and there is none yet: git add --all && git commit" >&2; exit 3; }

command -v git >/dev/null || { echo "'git' is needed here: install it" >&2; exit 3; }
if ! head=$(LC_ALL=C git rev-parse --verify --quiet 'HEAD^{commit}' 2>&1); then
    [[ $head && $head != *"not a git repository (or any"* ]] || no_commit
    echo "$head" >&2
    exit 1
fi
head=${head##*$'\n'} # after warnings

paths=()
list=$(scripts/image_paths.sh)
while IFS= read -r path; do paths+=("$path"); done <<<"$list"
# Where both parents of a merge changed files, that is the merge; otherwise git follows the parent that has
# the same files.
commit=$(git rev-list --max-count=1 "$head" -- "${paths[@]}")
[[ $commit ]] || no_commit
# In a shallow clone, a commit without its parents seems to have changed everything.
if grep -qsx "$commit" "$(git rev-parse --git-path shallow)"; then
    echo "This clone ends before the commit that last changed the image: git fetch --unshallow." \
        "In a workflow, set fetch-depth: 0 for actions/checkout" >&2
    exit 1
fi
echo "$commit"
