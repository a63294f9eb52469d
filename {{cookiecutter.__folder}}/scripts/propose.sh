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

gh auth setup-git
tip=$(git ls-remote origin "refs/heads/$branch" | cut -f 1)
if [[ $tip ]]; then
    git fetch --quiet origin "refs/heads/$branch"
    tip=$(git rev-parse FETCH_HEAD)
    writer=$(git log -1 --format=%ae "$tip")
    if [[ $writer != "$email" ]]; then
        echo "$branch ends with a commit of $writer, which is kept: merge or close its pull request, delete the branch and run this again" >&2
        exit 1
    fi
fi

git switch --quiet --force-create "$branch"
git add --all
git -c "user.name=$author" -c "user.email=$email" commit --quiet --author "$author <$email>" --message "$title"
# A commit that was pushed in the meantime is kept as well.
git push --quiet --force-with-lease="$branch:$tip" origin "$branch"
# A pull request that is still open shows the new commit.
if [[ -z $(gh pr list --head "$branch" --state open --json number --jq '.[].number') ]]; then
    gh pr create --head "$branch" --title "$title" --body "$body"
fi
