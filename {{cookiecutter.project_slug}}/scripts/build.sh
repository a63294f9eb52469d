#!/usr/bin/env bash
# Build the image of this tree and print its name, <ECR_REPOSITORY>:<stamp>.
# Options are handed on: scripts/build.sh --build-arg BASE_IMAGE=team/cuda-python:12
set -Eeuo pipefail
cd "$(dirname "$0")/.."

stamp=$(scripts/stamp.sh)
image=$(scripts/setting.sh ECR_REPOSITORY):$stamp
command -v docker >/dev/null || { echo "Docker is needed here: https://docs.docker.com/engine/install" >&2; exit 1; }

# The package index that pip uses here, with its password if it has one: the build can read it,
# the image does not hold it.
PACKAGE_INDEX=${PIP_INDEX_URL:-$(sed -n 's/^index-url *= *//p' /etc/pip.conf ~/.config/pip/pip.conf 2>/dev/null | tail -n 1 || true)}
export PACKAGE_INDEX

# The image comes from what git knows of this tree: no file that it ignores can get into it, and no
# time of a checkout.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$(git rev-parse --git-path index)" "$context/.index"
export GIT_INDEX_FILE=$context/.index
git add --all .
git archive "$(git write-tree)" | tar -x -C "$context"
TZ=UTC find "$context" -exec touch -h -t 197001010000 {} +
unset GIT_INDEX_FILE

# SageMaker wants amd64, and neither attestations nor OCI media types.
docker buildx build \
    --platform linux/amd64 \
    --provenance=false \
    --output type=docker,oci-mediatypes=false \
    --secret id=index,env=PACKAGE_INDEX \
    --build-arg "SOURCE_COMMIT=$stamp" \
    --tag "$image" \
    "$@" "$context"
echo "$image"
