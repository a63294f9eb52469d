#!/usr/bin/env bash
# Describe the current files of the image in three lines:
#   stamp=        see scripts/stamp.sh
#   tree=         their tree ID in git; includes changes and new files, but no ignored files
#   environment=  the start of their tree ID without the code of the jobs
# scripts/tree.sh FOLDER also writes the files to a new or empty folder. Exit with code 3 if there is no commit.
# The index and the objects of the repository are not changed.
set -Eeuo pipefail
folder=${1:+$(mkdir -p "$1" && cd "$1" && pwd)}
cd "$(dirname "$0")/.."

commit=$(scripts/image_commit.sh)
# shellcheck source-path=SCRIPTDIR source=image_paths.sh
. scripts/image_paths.sh

ignored=$(git ls-files --others --ignored --exclude-standard -- .dockerignore .python-version Dockerfile image.env)
if [[ $ignored ]]; then
    echo "git ignores ${ignored//$'\n'/, }, and an image is built from what git knows: correct .gitignore" >&2
    exit 1
fi

# From here on, git writes to a temporary folder.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/objects/info"
(cd "$(git rev-parse --git-path objects)" && pwd) >"$work/objects/info/alternates"
# -p keeps the time of the index, by which git knows which files to read again.
cp -p "$(git rev-parse --git-path index)" "$work/index"
export GIT_INDEX_FILE=$work/index GIT_OBJECT_DIRECTORY=$work/objects
git ls-files -z --cached --others --exclude-standard -- "${image_paths[@]}" >"$work/files"
git update-index -z --add --remove --replace --stdin <"$work/files"
links=$(git ls-files --stage -- .python-version image.env | sed -n '/^120000/p' | cut -f2)
if [[ $links ]]; then
    echo "${links//$'\n'/, } must be a file, not a symbolic link, because git does not store what a link points to" >&2
    exit 1
fi

# Environment variables override image.env, so different values count as a change of that file.
keys=()
for key in BASE_IMAGE SYSTEM_PACKAGES BASE_PACKAGES; do
    if [[ ${!key-} ]]; then keys+=("$key"); fi
done
if [[ ${#keys[@]} -gt 0 ]]; then
    settings=$work/settings changed=''
    mkdir -p "$settings/scripts"
    cp scripts/setting.sh "$settings/scripts"
    git cat-file blob :./image.env >"$settings/image.env" 2>/dev/null || true
    for key in "${keys[@]}"; do
        if [[ $(env -u "$key" "$settings/scripts/setting.sh" "$key") != "${!key}" ]]; then
            printf '\n%s=\n' "$key" >>"$settings/image.env"
            "$settings/scripts/setting.sh" "$key=${!key}"
            changed=yes
        fi
    done
    if [[ $changed ]]; then
        blob=$(git hash-object -w --stdin <"$settings/image.env")
        git update-index --add --cacheinfo "100644,$blob,$(git rev-parse --show-prefix)image.env"
    fi
fi

# Print the tree ID of the given files, as if this folder were the root of the repository.
write_tree() {
    local index=$1
    git ls-files -z --stage -- "${@:2}" >"$work/files"
    GIT_INDEX_FILE=$index git update-index -z --index-info <"$work/files"
    GIT_INDEX_FILE=$index git write-tree
}
tree=$(write_tree "$work/tree" "${image_paths[@]}")
environment=$(write_tree "$work/environment" "${environment_paths[@]}")
if [[ $folder ]]; then
    git -C "$(git rev-parse --show-toplevel)" archive "$tree" | tar -x -C "$folder"
fi
stamp=$commit
git diff-index --cached --quiet "$commit" -- "${image_paths[@]}" || stamp=$commit-${tree:0:12}-dirty
printf '%s\n' "stamp=$stamp" "tree=$tree" "environment=${environment:0:32}"
