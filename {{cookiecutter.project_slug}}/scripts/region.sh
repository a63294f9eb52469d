#!/usr/bin/env bash
# Print the AWS region: the environment's, that of aws.env, or that of AWS's own configuration.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(sed -n 's/^AWS_REGION=//p' aws.env)}}
region=${region:-$(aws configure get region || true)}
if [[ -z $region ]]; then
    echo "No AWS region: set AWS_REGION, in aws.env or in the environment" >&2
    exit 1
fi
echo "$region"
