#!/usr/bin/env bash
# Build the image of this tree from image.env and print its name, <ECR_REPOSITORY>:<stamp>.
# Options are handed on: scripts/build.sh --no-cache
set -Eeuo pipefail
cd "$(dirname "$0")/.."

stamp=$(scripts/stamp.sh)
image=$(scripts/setting.sh ECR_REPOSITORY):$stamp
base=$(scripts/setting.sh BASE_IMAGE)
system_packages=$(scripts/setting.sh SYSTEM_PACKAGES)
base_packages=$(scripts/setting.sh BASE_PACKAGES)
command -v docker >/dev/null || { echo "Docker is needed here: https://docs.docker.com/engine/install" >&2; exit 1; }

# A misspelled key would otherwise be ignored.
keys='BASE_IMAGE|SYSTEM_PACKAGES|BASE_PACKAGES'
if [[ -e image.env ]]; then
    unknown=$(LC_ALL=C sed $'1s/^\xEF\xBB\xBF//' image.env |
        LC_ALL=C grep -Evn "^[[:space:]]*(#.*)?$|^[[:space:]]*(export[[:space:]]+)?($keys)[[:space:]]*=" || true)
    if [[ $unknown ]]; then
        echo "image.env can set only ${keys//|/, }. Line ${unknown%%$'\n'*}" >&2
        exit 1
    fi
fi
if [[ -z $base ]]; then
    version=$(sed -n '1{s/^[[:space:]]*//;s/[[:space:]]*$//;p;}' .python-version 2>/dev/null || true)
    if [[ ! $version =~ ^3\.[0-9]+(\.[0-9]+)?$ ]]; then
        echo "The first line of .python-version must be a version such as 3.13; or set BASE_IMAGE in image.env" >&2
        exit 1
    fi
    base=python:$version-slim
fi

# The package index that pip uses here, and the passwords of ~/.netrc: the build can read them, the
# image does not hold them.
PACKAGE_INDEX=${PIP_INDEX_URL:-$(sed -n 's/^index-url *= *//p' /etc/pip.conf ~/.config/pip/pip.conf 2>/dev/null | tail -n 1 || true)}
PACKAGE_PASSWORDS=$(cat "${NETRC:-$HOME/.netrc}" 2>/dev/null || true)
export PACKAGE_INDEX PACKAGE_PASSWORDS

# The image comes from what git knows of the files that .dockerignore lets in: no file that git ignores
# can get into it, and no time of a checkout. What git writes to do so goes to a temporary folder.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
paths=(Dockerfile .dockerignore)
while IFS= read -r path; do paths+=(":(glob)$path"); done < <(sed -n 's/^!//p' .dockerignore)
mkdir -p "$work/objects/info"
(cd "$(git rev-parse --git-path objects)" && pwd) >"$work/objects/info/alternates"
cp "$(git rev-parse --git-path index)" "$work/index"
export GIT_INDEX_FILE=$work/index GIT_OBJECT_DIRECTORY=$work/objects
git add --all -- "${paths[@]}"
tree=$(git write-tree)
# Docker takes files of one size and date for the same, if the folder has the same name.
context=$work/$tree
mkdir "$context"
git archive "$tree" -- "${paths[@]}" | tar -x -C "$context"
unset GIT_INDEX_FILE GIT_OBJECT_DIRECTORY
TZ=UTC find "$context" -exec touch -h -t 197001010000 {} +

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
