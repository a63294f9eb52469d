#!/usr/bin/env bash
# Print which files the image is built from, as pathspecs of git, one per line: what .dockerignore lets in,
# and what decides how it is built. With --environment, without the code of the jobs.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

# git writes a file's line ends as .gitattributes says.
printf '%s\n' .dockerignore .gitattributes .python-version Dockerfile image.env \
    scripts/base_image.sh scripts/build.sh scripts/setting.sh
while IFS= read -r line || [[ -n $line ]]; do
    line=${line%"${line##*[![:space:]]}"}
    case $line in
        '' | '#'* | '*') ;;
        '!'*) echo ":(glob)${line#!}" ;;
        *)
            # At the top only what is listed is let in, such as .dockerignore itself.
            [[ $line != '**/'* ]] || line="*/$line"
            printf ':(exclude,glob)%s\n' "$line" "$line/**"
            ;;
    esac
done <.dockerignore
if [[ ${1-} == --environment ]]; then
    printf ':(exclude)%s\n' entrypoints src
fi
