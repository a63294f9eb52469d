#!/usr/bin/env bash
# Build the image of the current files and print its name, <ECR_REPOSITORY>:<stamp>. Options are passed to Docker:
# scripts/build.sh --no-cache
set -Eeuo pipefail
cd "$(dirname "$0")/.."

command -v docker >/dev/null || { echo "Docker is not installed: https://docs.docker.com/engine/install" >&2; exit 1; }
repository=$(scripts/repository.sh)

# The image, its stamp and its settings come from one git tree, so the image contains neither ignored files nor
# later edits.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
described=$(scripts/tree.sh "$work/new")
value() { sed -n "s/^$1=//p" <<<"$described"; }
# BuildKit takes files of the same size, date and path for unchanged, so the folder is named after its content.
context=$work/$(value tree)
mv "$work/new" "$context"
TZ=UTC find "$context" -exec touch -h -t 197001010000 {} +
stamp=$(value stamp)
image=$repository:$stamp

# Without this check, misspelled keys would be ignored.
keys='BASE_IMAGE|SYSTEM_PACKAGES|BASE_PACKAGES'
assignment="^[[:space:]]*(export[[:space:]]+)?($keys)[[:space:]]*="
if [[ -e $context/image.env ]]; then
    unknown=$(LC_ALL=C sed $'1s/^\xEF\xBB\xBF//' "$context/image.env" |
        LC_ALL=C grep -Evn "^[[:space:]]*(#.*)?$|$assignment" || true)
    if [[ $unknown ]]; then
        echo "image.env can only set ${keys//|/, }. Line ${unknown%%$'\n'*}" >&2
        exit 1
    fi
fi
if misplaced=$(LC_ALL=C grep -En "$assignment" aws.env 2>/dev/null); then
    echo "aws.env cannot set ${keys//|/, }: move them to image.env. Line ${misplaced%%$'\n'*}" >&2
    exit 1
fi
base=$("$context/scripts/base_image.sh")
system_packages=$("$context/scripts/setting.sh" SYSTEM_PACKAGES)
base_packages=$("$context/scripts/setting.sh" BASE_PACKAGES)

# The build can read the package index of pip and the passwords in ~/.netrc; the image does not contain them.
PACKAGE_INDEX=$(scripts/index.sh .tools/bin/python)
PACKAGE_PASSWORDS=$(cat "${NETRC:-$HOME/.netrc}" 2>/dev/null || true)
export PACKAGE_INDEX PACKAGE_PASSWORDS

# SageMaker requires amd64 and Docker media types, without attestations.
docker buildx build \
    --platform linux/amd64 \
    --provenance=false \
    --output type=docker,oci-mediatypes=false \
    --secret id=index,env=PACKAGE_INDEX \
    --secret id=netrc,env=PACKAGE_PASSWORDS \
    --build-arg "BASE_IMAGE=$base" \
    --build-arg "SYSTEM_PACKAGES=$system_packages" \
    --build-arg "BASE_PACKAGES=$base_packages" \
    --build-arg "SOURCE_COMMIT=$stamp" \
    --label "environment=$(value environment)" \
    --tag "$image" \
    --tag "$repository:environment-$(value environment)" \
    "$@" "$context"
echo "$image"
