#!/usr/bin/env bash
# Deploy infra/stack.yaml and write its outputs to aws.env. With --plan, only show the changes. The table [stack]
# in launch.toml sets the parameters.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

command -v aws >/dev/null || { echo "The AWS CLI is not installed: https://docs.aws.amazon.com/cli" >&2; exit 1; }
if [[ ${1-} == --plan ]]; then plan=--no-execute-changeset && shift; fi
if [[ $# -gt 0 ]]; then
    echo "Set parameters of the stack in launch.toml, in the table [stack], not on the command line: $*" >&2
    exit 1
fi
for python in .tools/bin/python .venv/bin/python python3 ''; do
    if [[ $python ]] && "$python" -c 'import tomllib' 2>/dev/null; then break; fi
done
[[ $python ]] || { echo "Python 3.11 or newer is needed: run make install" >&2; exit 1; }
region=$(scripts/region.sh)
project=$("$python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["name"])')
aws() { AWS_PAGER='' command aws --region "$region" --output text "$@"; }
stack() { aws cloudformation "$1" --stack-name "$project" "${@:2}"; }

identity=$(aws sts get-caller-identity --query '[Account, Arn]')
read -r account arn <<<"$identity"
partition=${arn#arn:} partition=${partition%%:*}
repository=$(scripts/setting.sh ECR_REPOSITORY)
registry=$(scripts/registry.sh)
read -r _ registry_account registry_region <<<"$registry"
parameters=$("$python" infra/parameters.py --partition "$partition" --region "$region" --account "$account" \
    "Project=$project" "RepositoryName=$repository" "BucketName=$project-$account-$region" \
    "RegistryAccount=$registry_account" "RegistryRegion=$registry_region")
bucket=$(sed -n 's/^BucketName=//p' <<<"$parameters")

# Existing resources, such as those that an earlier stack left, are used and not created.
own=$(stack list-stack-resources --query 'StackResourceSummaries[].LogicalResourceId' 2>&1) ||
    [[ $own == *"does not exist"* ]] || { echo "$own" >&2; exit 1; }
if [[ $own != *"does not exist"* ]]; then
    status=$(stack describe-stacks --query 'Stacks[0].StackStatus')
    if [[ $status == ROLLBACK_* ]]; then
        echo "The stack $project could not be created, and CloudFormation cannot update it ($status)." \
            "To see the reason: aws cloudformation describe-stack-events --region $region --stack-name $project." \
            "Then delete it: aws cloudformation delete-stack --region $region --stack-name $project, and run make stack" >&2
        exit 1
    fi
fi
is_own() { grep -qw "$1" <<<"$own"; }
exists() { if ! is_own "$1" && "${@:2}" >/dev/null 2>&1; then echo true; else echo false; fi; }
github() { aws iam list-open-id-connect-providers | grep token.actions.githubusercontent.com; }
# Bucket names are shared by all AWS accounts: no data may go to a bucket of somebody else.
bucket_exists() {
    local error
    if error=$(aws s3api head-bucket --bucket "$bucket" --expected-bucket-owner "$account" 2>&1 >/dev/null); then
        if is_own Bucket; then echo false; else echo true; fi
    elif [[ $error == *'(404)'* ]]; then
        echo false
    elif [[ $error == *'(403)'* ]]; then
        echo "The bucket $bucket belongs to another account, or your credentials do not allow s3:ListBucket on it." \
            "If it is not yours, choose another name in launch.toml: [stack] BucketName = \"...\"" >&2
        return 1
    else
        echo "$error" >&2
        return 1
    fi
}
bucket_exists=$(bucket_exists)
if [[ $bucket_exists == true ]]; then
    echo "The bucket $bucket does not belong to the stack, which does not change it: RunDays, BucketVersioning and" \
        "AccessLogBucket have no effect. Set expiration, versioning and access logs of the bucket yourself" >&2
fi

overrides=()
while IFS= read -r parameter; do
    case $parameter in
        RepositoryExists=*) parameter=RepositoryExists=$(exists Repository aws ecr describe-repositories --repository-names "$repository") ;;
        BucketExists=*) parameter=BucketExists=$bucket_exists ;;
        GitHubExists=*) parameter=GitHubExists=$(exists GitHubProvider github) ;;
    esac
    overrides+=("$parameter")
done <<<"$parameters"
stack deploy --template-file infra/stack.yaml --capabilities CAPABILITY_IAM \
    --no-fail-on-empty-changeset ${plan:+"$plan"} --parameter-overrides "${overrides[@]}" |
    grep -v -e 'review changes' -e describe-change-set >&2

# CloudFormation keeps change sets that were not executed, even empty ones.
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
echo "aws.env now contains the names of these resources: commit it"
