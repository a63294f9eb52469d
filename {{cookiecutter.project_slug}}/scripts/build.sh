#!/usr/bin/env bash
# Build the image of this tree from image.env and print its name, <ECR_REPOSITORY>:<stamp>.
# Options are handed on: scripts/build.sh --no-cache
set -Eeuo pipefail
cd "$(dirname "$0")/.."

scripts/stamp.sh >/dev/null # stops where there is no commit
command -v docker >/dev/null || { echo "Docker is needed here: https://docs.docker.com/engine/install" >&2; exit 1; }

# The image and its stamp come from one tree of git, which has the files that .dockerignore lets in and
# the settings as they are now: neither a file that git ignores nor one that is saved from here on gets
# into an image. What git writes to do so goes to a temporary folder.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sources=(Dockerfile .dockerignore)
while IFS= read -r path; do sources+=(":(glob)$path"); done < <(sed -n 's/^!//p' .dockerignore)
settings=(scripts/base_image.sh scripts/setting.sh)
while IFS= read -r path; do settings+=("$path"); done < <(
    git ls-files --cached --others --exclude-standard -- aws.env image.env .python-version
)
mkdir -p "$work/objects/info"
(cd "$(git rev-parse --git-path objects)" && pwd) >"$work/objects/info/alternates"
# With the time of the index, by which git knows which files it must read again.
cp -p "$(git rev-parse --git-path index)" "$work/index"
export GIT_INDEX_FILE=$work/index GIT_OBJECT_DIRECTORY=$work/objects
git add --all -- "${sources[@]}" "${settings[@]}"
tree=$(git write-tree)
stamp=$(scripts/stamp.sh)
# Docker takes files of one size and date for the same, if the folder has the same name.
context=$work/$tree
mkdir "$context" "$work/settings"
git archive "$tree" -- "${sources[@]}" | tar -x -C "$context"
git ls-tree -z --name-only "$tree" -- "${settings[@]}" | xargs -0 git archive "$tree" -- | tar -x -C "$work/settings"
unset GIT_INDEX_FILE GIT_OBJECT_DIRECTORY
TZ=UTC find "$context" -exec touch -h -t 197001010000 {} +

image=$(scripts/setting.sh ECR_REPOSITORY):$stamp
links=$(cd "$work/settings" && find . -type l)
if [[ $links ]]; then
    echo "${links#./} must be a file, not a symbolic link: git knows nothing of what it points to" >&2
    exit 1
fi
# A misspelled key would otherwise be ignored.
keys='BASE_IMAGE|SYSTEM_PACKAGES|BASE_PACKAGES'
if [[ -e $work/settings/image.env ]]; then
    unknown=$(LC_ALL=C sed $'1s/^\xEF\xBB\xBF//' "$work/settings/image.env" |
        LC_ALL=C grep -Evn "^[[:space:]]*(#.*)?$|^[[:space:]]*(export[[:space:]]+)?($keys)[[:space:]]*=" || true)
    if [[ $unknown ]]; then
        echo "image.env can set only ${keys//|/, }. Line ${unknown%%$'\n'*}" >&2
        exit 1
    fi
fi
base=$("$work/settings/scripts/base_image.sh")
system_packages=$("$work/settings/scripts/setting.sh" SYSTEM_PACKAGES)
base_packages=$("$work/settings/scripts/setting.sh" BASE_PACKAGES)

# The package index that pip uses here, and the passwords of ~/.netrc: the build can read them, the
# image does not hold them.
PACKAGE_INDEX=$(scripts/index.sh .tools/bin/python)
PACKAGE_PASSWORDS=$(cat "${NETRC:-$HOME/.netrc}" 2>/dev/null || true)
export PACKAGE_INDEX PACKAGE_PASSWORDS

# SageMaker wants amd64, and neither attestations nor OCI media types.
docker buildx build \
    --platform linux/amd64 \
    --provenance=false \
    --output type=docker,oci-mediatypes=false \
    --secret id=index,env=PACKAGE_INDEX \
    --secret id=netrc,env=PACKAGE_PASSWORDS \
    --build-arg "BASE_IMAGE=$base" \
    --build-arg "SYSTEM_PACKAGES=$system_packages" \
    --build-arg "BASE_PACKAGES=$base_packages" \
    --build-arg "SOURCE_COMMIT=$stamp" \
    --tag "$image" \
    "$@" "$context"
echo "$image"
