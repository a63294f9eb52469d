#!/usr/bin/env bash
# Print the stamp: the last commit that changed what the image is built from. If that differs now, the start
# of the tree's id and -dirty follow. Exit with 3 where there is no commit.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

commit=$(scripts/image_commit.sh)
paths=()
list=$(scripts/image_paths.sh)
while IFS= read -r path; do paths+=("$path"); done <<<"$list"
# The index is compared with this very commit: git status would take the newest one.
changes=$(git diff-index --cached --name-only "$commit" -- "${paths[@]}")
changes+=$(git status --porcelain --untracked-files=normal -- "${paths[@]}")
if [[ $changes || ${BASE_IMAGE-}${SYSTEM_PACKAGES-}${BASE_PACKAGES-} ]]; then
    scripts/tree.sh | sed -n 's/^stamp=//p'
else
    echo "$commit"
fi
