#!/usr/bin/env bash
# Commit what `make update` changed to the branch template-update, push it and open a pull request.
# For .github/workflows/update.yml; GH_TOKEN allows the GitHub CLI to do both.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

branch=template-update
title="Take the template's newest version"
author="github-actions[bot]"
email="41898282+github-actions[bot]@users.noreply.github.com"

if [[ -z $(git status --porcelain) ]]; then
    echo "This repository has the template's newest version"
    exit
fi
conflicts=$(git status --porcelain | sed -n -e 's/^?? \(.*\)\.rej$/\1/p' -e 's/^\(UU\|AA\) //p')
body="Review the changes as those of any pull request.${conflicts:+

The template and this repository changed the same lines of these files. Resolve them first, and remove
the files that end in .rej:
$conflicts}"

git switch --quiet --force-create "$branch"
git add --all
git -c "user.name=$author" -c "user.email=$email" commit --quiet --message "$title"
gh auth setup-git
git push --quiet --force origin "$branch"
# A pull request that is still open shows the new commit.
if [[ -z $(gh pr list --head "$branch" --state open --json number --jq '.[].number') ]]; then
    gh pr create --head "$branch" --title "$title" --body "$body"
fi
