#!/usr/bin/env bash
# Commit what differs from the last commit to a branch, push it and open a pull request:
# scripts/propose.sh BRANCH TITLE. For the workflows; GH_TOKEN allows the GitHub CLI to do both.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

branch=$1 title=$2
author="github-actions[bot]"
email="41898282+github-actions[bot]@users.noreply.github.com"

if [[ -z $(git status --porcelain) ]]; then
    echo "Nothing has changed, so there is nothing to propose"
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
