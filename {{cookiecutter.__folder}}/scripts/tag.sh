#!/usr/bin/env bash
# Tag the image of this commit with its address in ECR, and print the address.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

command -v docker >/dev/null || { echo "Docker is not installed: https://docs.docker.com/engine/install" >&2; exit 1; }
command -v aws >/dev/null || { echo "The AWS CLI is not installed: https://docs.aws.amazon.com/cli" >&2; exit 1; }
stamp=$(scripts/stamp.sh)
repository=$(scripts/repository.sh)
if ! docker image inspect "$repository:$stamp" >/dev/null; then
    echo "There is no image of this commit yet: run make image" >&2
    exit 1
fi

registry=$(scripts/registry.sh)
address=${registry%% *}/$repository:$stamp
docker tag "$repository:$stamp" "$address"
echo "$address"
