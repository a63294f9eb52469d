#!/usr/bin/env bash
# Deploy infra/stack.yaml and write its outputs into aws.env; with --plan, show what would change.
# Parameters of the stack may follow, and are remembered: scripts/stack.sh GitHubBranch=trunk
set -Eeuo pipefail
cd "$(dirname "$0")/.."

command -v aws >/dev/null || { echo "'aws' is needed here: install it" >&2; exit 1; }
if [[ ${1-} == --plan ]]; then plan=--no-execute-changeset && shift; fi
region=$(scripts/region.sh)
project=$(sed -n 's/^name = "\(.*\)"/\1/p' pyproject.toml)
aws() { AWS_PAGER='' command aws --region "$region" --output text "$@"; }
stack() { aws cloudformation "$1" --stack-name "$project" "${@:2}"; }

bucket=$project-$(aws sts get-caller-identity --query Account)-$region
repository=$(scripts/setting.sh ECR_REPOSITORY)

# What was there before, or outlived an earlier stack, is used and not made.
own=$(stack list-stack-resources --query 'StackResourceSummaries[].LogicalResourceId' 2>&1) ||
    [[ $own == *"does not exist"* ]] || { echo "$own" >&2; exit 1; }
exists() { if ! grep -qw "$1" <<<"$own" && "${@:2}" >/dev/null 2>&1; then echo true; else echo false; fi; }
github() { aws iam list-open-id-connect-providers | grep token.actions.githubusercontent.com; }

stack deploy --template-file infra/stack.yaml --capabilities CAPABILITY_IAM \
    --no-fail-on-empty-changeset ${plan:+"$plan"} --parameter-overrides \
    "Project=$project" "RepositoryName=$repository" "BucketName=$bucket" \
    "RepositoryExists=$(exists Repository aws ecr describe-repositories --repository-names "$repository")" \
    "BucketExists=$(exists Bucket aws s3api head-bucket --bucket "$bucket")" \
    "GitHubExists=$(exists GitHubProvider github)" \
    ${GITHUB_REPOSITORY+"GitHubRepository=$GITHUB_REPOSITORY"} "$@" |
    grep -v -e 'review changes' -e describe-change-set >&2

# A change set that was not executed stays for ever, even if there is nothing in it.
for changes in $(stack list-change-sets --query "Summaries[?starts_with(ChangeSetName, 'awscli-')].ChangeSetId"); do
    stack describe-change-set --change-set-name "$changes" \
        --query 'Changes[].ResourceChange.[Action, LogicalResourceId, ResourceType, Replacement]'
    stack delete-change-set --change-set-name "$changes"
done
if [[ ${plan-} ]]; then
    [[ $(stack describe-stacks --query 'Stacks[0].StackStatus') != REVIEW_IN_PROGRESS ]] || stack delete-stack
    exit
fi

stack describe-stacks --query 'Stacks[0].Outputs[].[Description, OutputValue]' |
    while read -r key value; do scripts/setting.sh "$key=$value"; done
echo "aws.env names what there is now; commit it, as images and launches come from a commit"
