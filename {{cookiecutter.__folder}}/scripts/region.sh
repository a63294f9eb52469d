#!/usr/bin/env bash
# Print the AWS region: AWS_REGION, or by default the region of the AWS CLI.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

region=$(scripts/setting.sh AWS_REGION)
region=${region:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
if [[ -z $region ]]; then
    echo "No AWS region: set AWS_REGION, in aws.env or in the environment" >&2
    exit 1
fi
echo "$region"
