#!/usr/bin/env bash
# Push the image of this commit to ECR and print its address by digest, alone on the last line.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

stamp=$(scripts/stamp.sh)
if [[ $stamp == *-dirty ]]; then
    echo "Only a commit can be pushed, and files differ from it: see git status" >&2
    exit 1
fi
address=$(scripts/tag.sh)
repository=${address#*/} repository=${repository%:*}
registry=$(scripts/registry.sh)
read -r registry account region <<<"$registry"

ecr() { aws --region "$region" --output text ecr "$1" --registry-id "$account" --repository-name "$repository" "${@:2}"; }
pushed() { ecr batch-get-image --image-ids "imageTag=$stamp" --query 'images[0].[imageId.imageDigest, imageManifest]'; }

if ! error=$(pushed 2>&1 >/dev/null); then
    [[ $error == *RepositoryNotFoundException* ]] || { echo "$error" >&2; exit 1; }
    if [[ $(aws --region "$region" --output text sts get-caller-identity --query Account) != "$account" ]]; then
        echo "The registry of account $account has no repository $repository, in $region, or does not let you read it. Ask" \
            "its owners to create it and to allow this account to push and SageMaker to pull, or correct ECR_REGISTRY" >&2
        exit 1
    fi
    ecr create-repository --image-tag-mutability IMMUTABLE --image-scanning-configuration scanOnPush=true >/dev/null
    ecr put-lifecycle-policy --lifecycle-policy-text '{"rules": [{"rulePriority": 1, "action": {"type": "expire"},
        "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}}]}' >/dev/null ||
        { ecr delete-repository >/dev/null; exit 1; }
fi

# Docker's id of an image is in its manifest or, in Docker's newer store, the manifest's digest.
id=$(docker image inspect --format '{{.Id}}' "$address")
found=$(pushed)
case $found in
    None)
        aws --region "$region" ecr get-login-password | docker login --username AWS --password-stdin "$registry" >&2
        digest=$(docker push "$address" | tee /dev/stderr | sed -n 's/.* digest: \(sha256:[0-9a-f]*\) size: .*/\1/p')
        ;;
    *"$id"*)
        echo "This image has been pushed already" >&2
        digest=${found%%[[:space:]]*}
        ;;
    *)
        echo "$address is another image already, and a tag never changes meaning: make a new commit" >&2
        exit 1
        ;;
esac
echo "${address%:*}@$digest"
