#!/usr/bin/env bash
# The files that the image is built from, as git pathspecs: what .dockerignore allows, and what determines how
# the image is built. Run this to print them, or source it to set two arrays: image_paths, and
# environment_paths, which leaves out the code of the jobs.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# .gitattributes determines the line endings of files.
image_paths=(.dockerignore .gitattributes .python-version Dockerfile image.env
    scripts/base_image.sh scripts/build.sh scripts/setting.sh)
while IFS= read -r line || [[ -n $line ]]; do
    line=${line%"${line##*[![:space:]]}"}
    case $line in
        '' | '#'* | '*') ;;
        '!'*) image_paths+=(":(glob)${line#!}") ;;
        *)
            # Only exclude files in folders: the files at the top, such as .dockerignore, are all listed.
            [[ $line != '**/'* ]] || line="*/$line"
            image_paths+=(":(exclude,glob)$line" ":(exclude,glob)$line/**")
            ;;
    esac
done <.dockerignore
# shellcheck disable=SC2034 # for scripts that source this file
environment_paths=("${image_paths[@]}" ':(exclude)entrypoints' ':(exclude)src')

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    printf '%s\n' "${image_paths[@]}"
fi
