#!/usr/bin/env bash
# Apply a patch to the last commit, push the result to a branch and open a pull request:
# scripts/propose.sh BRANCH TITLE PATCH. For workflows; GH_TOKEN must allow the GitHub CLI to do this.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

author="github-actions[bot]"
email="41898282+github-actions[bot]@users.noreply.github.com"

# A function, so that bash reads it completely before the patch can change this file.
propose() {
    local branch=$1 title=$2 patch=$3 body='' conflicts tip writer
    if [[ ! -s $patch ]]; then
        echo "Nothing has changed, so there is nothing to propose"
        return
    fi

    gh auth setup-git
    tip=$(git ls-remote origin "refs/heads/$branch" | cut -f 1)
    if [[ $tip ]]; then
        git fetch --quiet origin "refs/heads/$branch"
        tip=$(git rev-parse FETCH_HEAD)
        writer=$(git log -1 --format=%ae "$tip")
        if [[ $writer != "$email" ]]; then
            echo "The last commit of $branch is by $writer and is not overwritten: merge or close its pull request, delete" \
                "the branch, and run this workflow again" >&2
            return 1
        fi
    fi

    git switch --quiet --force-create "$branch"
    git -C "$(git rev-parse --show-toplevel)" apply --index --whitespace=nowarn "$patch"
    conflicts=$(
        git diff --cached --name-only | sed -n 's/\.rej$//p'
        { git diff --cached --check || true; } | sed -n 's/:[0-9]*: leftover conflict marker$//p' | sort -u
    )
    body="Review the changes like those of any other pull request.${conflicts:+

The template and this repository have changed the same lines of these files. Resolve the conflicts before you
merge, and delete files that end in .rej:
$conflicts}"
    git -c "user.name=$author" -c "user.email=$email" commit --quiet --author "$author <$email>" --message "$title"
    # Fails if somebody has pushed to the branch in the meantime.
    git push --quiet --force-with-lease="$branch:$tip" origin "$branch"
    # An open pull request shows the new commit.
    if [[ -z $(gh pr list --head "$branch" --state open --json number --jq '.[].number') ]]; then
        gh pr create --head "$branch" --title "$title" --body "$body"
    fi
}

propose "$@"
exit
