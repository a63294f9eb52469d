#!/usr/bin/env bash
# Print ECR_REPOSITORY, the name of the repository of the image in ECR.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

repository=$(scripts/setting.sh ECR_REPOSITORY)
if [[ -z $repository ]]; then
    echo "The image has no name: set ECR_REPOSITORY, in aws.env or in the environment" >&2
    exit 1
fi
echo "$repository"
