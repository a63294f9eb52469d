#!/usr/bin/env bash
# Print the ECR registry, its account and its region on one line: those of ECR_REGISTRY, or by default of the
# current account and region.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

registry=$(scripts/setting.sh ECR_REGISTRY)
if [[ -z $registry ]]; then
    region=$(scripts/region.sh)
    account=$(aws --region "$region" sts get-caller-identity --query Account --output text)
    # DNS suffixes of the partitions: https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json
    case $region in
        cn-*) suffix=amazonaws.com.cn ;;
        eusc-*) suffix=amazonaws.eu ;;
        us-iso-*) suffix=c2s.ic.gov ;;
        us-isob-*) suffix=sc2s.sgov.gov ;;
        us-isof-*) suffix=csp.hci.ic.gov ;;
        eu-isoe-*) suffix=cloud.adc-e.uk ;;
        *) suffix=amazonaws.com ;;
    esac
    registry=$account.dkr.ecr.$region.$suffix
fi
format='^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.[a-z0-9.-]+$'
if [[ ! $registry =~ $format ]]; then
    echo "ECR_REGISTRY must have the form 123456789012.dkr.ecr.eu-west-1.amazonaws.com, without a repository, but is $registry" >&2
    exit 1
fi
echo "$registry ${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
