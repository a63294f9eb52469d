#!/usr/bin/env bash
# Print a setting, such as ECR_REPOSITORY: that of the environment or, without one, of aws.env.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

value=${!1-}
echo "${value:-$(sed -n "s/^$1=//p" aws.env)}"
