#!/usr/bin/env bash
# Run the three jobs in the image of this commit, with the mounts that SageMaker makes.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

image=$(scripts/setting.sh ECR_REPOSITORY):$(scripts/stamp.sh)
out=out/$(date -u +%Y%m%d-%H%M%S)

# Usage: run <entrypoint> <folder here>:<channel in the container>...
run() {
    local mounts=() mount
    for mount in "${@:2}"; do mounts+=(--volume "$PWD/${mount/:/:/opt/ml/processing/}"); done
    docker run --rm "${mounts[@]}" "$image" "entrypoints/$1.py"
}

# Jobs run as root, as on SageMaker: give what they wrote to the owner of out/.
change_owner() {
    docker run --rm --volume "$PWD/out:/out" --entrypoint chown "$image" -R --reference /out "/$out"
}

mkdir -p out
mkdir "$out" "$out/dataset" "$out/trials" "$out/model"
trap change_owner EXIT
run preprocess data/penguins:input/raw "$out/dataset:output/dataset"
run tune "$out/dataset:input/dataset" "$out/trials:output/trials"
run train "$out/dataset:input/dataset" "$out/trials:input/trials" "$out/model:output/model"
cat "$out/model/report.txt"
