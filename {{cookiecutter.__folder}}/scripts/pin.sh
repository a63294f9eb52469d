#!/usr/bin/env bash
# Write the base image with its current digest to image.env, so that all builds use this image until you run
# this script again.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

name=$(scripts/base_image.sh --tag)
if [[ ${name##*/} != *:* ]]; then
    echo "BASE_IMAGE in image.env has no tag, so it is unknown which image to pin: write $name:TAG there" >&2
    exit 1
fi
command -v docker >/dev/null || { echo "Docker is not installed: https://docs.docker.com/engine/install" >&2; exit 1; }
digest=$(docker buildx imagetools inspect "$name" | sed -n 's/^Digest: *//p')
[[ $digest == *:* ]] || { echo "docker buildx imagetools inspect $name printed no digest: run it to see the reason" >&2; exit 1; }
scripts/setting.sh "BASE_IMAGE=$name@$digest"
echo "$name@$digest"
