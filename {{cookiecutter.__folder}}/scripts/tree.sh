#!/usr/bin/env bash
# Print what the image of this tree is built from, as three lines:
#   stamp=        the last commit that changed it; where it differs now: <commit>-<start of the tree>-dirty
#   tree=         git's id of the files as they are now: changes and new files, but nothing that git ignores
#   environment=  the start of the id of the same files without the code of the jobs
# With the name of an empty or new folder, also write the files there: scripts/tree.sh FOLDER
# Exit with 3 where there is no commit. The repository's own index and objects stay as they are.
set -Eeuo pipefail
folder=${1:+$(mkdir -p "$1" && cd "$1" && pwd)}
cd "$(dirname "$0")/.."

commit=$(scripts/image_commit.sh)
paths=() environment_paths=()
list=$(scripts/image_paths.sh)
while IFS= read -r path; do paths+=("$path"); done <<<"$list"
list=$(scripts/image_paths.sh --environment)
while IFS= read -r path; do environment_paths+=("$path"); done <<<"$list"

ignored=$(git ls-files --others --ignored --exclude-standard -- .dockerignore .python-version Dockerfile image.env)
if [[ $ignored ]]; then
    echo "git ignores ${ignored//$'\n'/, }, and an image is built from what git knows: correct .gitignore" >&2
    exit 1
fi

# What git writes from here on goes to a temporary folder.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/objects/info"
(cd "$(git rev-parse --git-path objects)" && pwd) >"$work/objects/info/alternates"
# With the time of the index, by which git knows which files it must read again.
cp -p "$(git rev-parse --git-path index)" "$work/index"
export GIT_INDEX_FILE=$work/index GIT_OBJECT_DIRECTORY=$work/objects
git ls-files -z --cached --others --exclude-standard -- "${paths[@]}" >"$work/files"
git update-index -z --add --remove --replace --stdin <"$work/files"
links=$(git ls-files --stage -- .python-version image.env | sed -n '/^120000/p' | cut -f2)
if [[ $links ]]; then
    echo "${links//$'\n'/, } must be a file, not a symbolic link: git knows nothing of what it points to" >&2
    exit 1
fi

# A variable of the environment that wins over image.env is a change of it.
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

# Print the id of the tree that has only these files, as if this folder were a repository of its own.
write_tree() {
    local index=$1
    git ls-files -z --stage -- "${@:2}" >"$work/files"
    GIT_INDEX_FILE=$index git update-index -z --index-info <"$work/files"
    GIT_INDEX_FILE=$index git write-tree
}
tree=$(write_tree "$work/tree" "${paths[@]}")
environment=$(write_tree "$work/environment" "${environment_paths[@]}")
if [[ $folder ]]; then
    git -C "$(git rev-parse --show-toplevel)" archive "$tree" | tar -x -C "$folder"
fi
stamp=$commit
git diff-index --cached --quiet "$commit" -- "${paths[@]}" || stamp=$commit-${tree:0:12}-dirty
printf '%s\n' "stamp=$stamp" "tree=$tree" "environment=${environment:0:32}"
