#!/usr/bin/env bash
# Tag the image of this commit with its address in ECR and print the address.
# ECR_REGISTRY, in aws.env or in the environment, names a registry of another account or region.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

for tool in docker aws; do
    command -v "$tool" >/dev/null || { echo "'$tool' is needed here: install it" >&2; exit 1; }
done
stamp=$(scripts/stamp.sh)
repository=$(scripts/repository.sh)
if ! docker image inspect "$repository:$stamp" >/dev/null; then
    echo "There is no image of this commit yet: make image" >&2
    exit 1
fi

registry=$(scripts/registry.sh)
address=${registry%% *}/$repository:$stamp
docker tag "$repository:$stamp" "$address"
echo "$address"
