#!/usr/bin/env bash
# Push the image of this commit to ECR unless ECR has it, and print its address with the digest on the last line.
# The first image of an environment also gets the tag environment-<hash>, by which launch --code finds it.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

command -v aws >/dev/null || { echo "The AWS CLI is not installed: https://docs.aws.amazon.com/cli" >&2; exit 1; }
described=$(scripts/tree.sh)
value() { sed -n "s/^$1=//p" <<<"$described"; }
stamp=$(value stamp)
if [[ $stamp == *-dirty ]]; then
    echo "Only a commit can be pushed, but files of the image have uncommitted changes (git status), or a variable such" \
        "as BASE_IMAGE has another value than in image.env: commit the changes, or unset the variable" >&2
    exit 1
fi
repository=$(scripts/repository.sh)
registry=$(scripts/registry.sh)
read -r registry account region <<<"$registry"

ecr() { aws --region "$region" --output text ecr "$1" --registry-id "$account" --repository-name "$repository" "${@:2}"; }
# Print the digest and the manifest of the image with this tag, or None.
image() { ecr batch-get-image --image-ids "imageTag=$1" --query 'images[0].[imageId.imageDigest, imageManifest]'; }

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
if ! found=$(image "$stamp" 2>"$errors"); then
    grep -q RepositoryNotFoundException "$errors" || { cat "$errors" >&2; exit 1; }
    if [[ $(aws --region "$region" --output text sts get-caller-identity --query Account) != "$account" ]]; then
        echo "The registry of account $account has no repository $repository in $region, or you may not read it. Ask its" \
            "owner to create it and to allow this account to push and SageMaker to pull, or correct ECR_REGISTRY" >&2
        exit 1
    fi
    ecr create-repository --image-tag-mutability IMMUTABLE --image-scanning-configuration scanOnPush=true >/dev/null
    ecr put-lifecycle-policy --lifecycle-policy-text '{"rules": [{"rulePriority": 1, "action": {"type": "expire"},
        "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}}]}' >/dev/null ||
        { ecr delete-repository >/dev/null; exit 1; }
fi

if [[ $found == sha256:* ]]; then
    # It may have been built elsewhere: a tag never changes meaning.
    echo "The image of this commit is already in ECR" >&2
else
    address=$(scripts/tag.sh)
    aws --region "$region" ecr get-login-password | docker login --username AWS --password-stdin "$registry" >&2
    docker push "$address" >&2
    found=$(image "$stamp")
    [[ $found == sha256:* ]] || { echo "ECR does not list $address, although it was pushed: run make push again" >&2; exit 1; }
fi

tag=environment-$(value environment)
if [[ $(image "$tag") == None ]]; then
    # Another push may have set the tag meanwhile, for an equivalent image.
    ecr put-image --image-tag "$tag" --image-manifest "${found#*$'\t'}" >/dev/null 2>"$errors" ||
        grep -q AlreadyExistsException "$errors" || { cat "$errors" >&2; exit 1; }
fi
echo "$registry/$repository@${found%%$'\t'*}"
