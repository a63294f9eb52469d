#!/usr/bin/env bash
# Print the stamp of this tree: the last commit that changed the files of the image. If files differ from that
# commit, the start of the tree's ID and -dirty follow. Exit with code 3 if there is no commit.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

commit=$(scripts/image_commit.sh)
# shellcheck source-path=SCRIPTDIR source=image_paths.sh
. scripts/image_paths.sh
# git status compares with HEAD, so compare the index with the commit as well.
changes=$(git diff-index --cached --name-only "$commit" -- "${image_paths[@]}")
changes+=$(git status --porcelain --untracked-files=normal -- "${image_paths[@]}")
if [[ $changes || ${BASE_IMAGE-}${SYSTEM_PACKAGES-}${BASE_PACKAGES-} ]]; then
    scripts/tree.sh | sed -n 's/^stamp=//p'
else
    echo "$commit"
fi
