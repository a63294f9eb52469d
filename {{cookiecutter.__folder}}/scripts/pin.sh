#!/usr/bin/env bash
# Write the base image with the digest that it has now into image.env, so that every build starts from the
# same image until this is run again.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

name=$(scripts/base_image.sh --tag)
if [[ ${name##*/} != *:* ]]; then
    echo "BASE_IMAGE in image.env has no tag, so that nothing says which image is the newest: write $name:TAG there" >&2
    exit 1
fi
command -v docker >/dev/null || { echo "Docker is needed here: https://docs.docker.com/engine/install" >&2; exit 1; }
digest=$(docker buildx imagetools inspect "$name" | sed -n 's/^Digest: *//p')
[[ $digest == *:* ]] || { echo "docker buildx imagetools inspect $name prints no digest" >&2; exit 1; }
scripts/setting.sh "BASE_IMAGE=$name@$digest"
echo "$name@$digest"
