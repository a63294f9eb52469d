#!/usr/bin/env bash
# Run the three jobs in the image of this tree, one feeding the next, mounted as on SageMaker.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

image=$(scripts/setting.sh ECR_REPOSITORY):$(scripts/stamp.sh)

# An entrypoint, then <folder here>:<channel there> for each input and output.
run() {
    local mounts=() mount
    for mount in "${@:2}"; do mounts+=(--volume "$PWD/${mount/:/:/opt/ml/processing/}"); done
    docker run --rm "${mounts[@]}" "$image" "entrypoints/$1.py"
}

# Jobs are root, here as there: hand what they wrote to whoever owns the folder.
hand_over() {
    docker run --rm --volume "$PWD/out/image:/out" --entrypoint chown "$image" -R --reference /out /out
}

mkdir -p out/image/dataset out/image/trials out/image/model
trap hand_over EXIT
run preprocess data/penguins:input/raw out/image/dataset:output/dataset
run tune out/image/dataset:input/dataset out/image/trials:output/trials
run train out/image/dataset:input/dataset out/image/trials:input/trials out/image/model:output/model
cat out/image/model/report.txt
