#!/usr/bin/env bash
# Print settings, such as ECR_REPOSITORY, one per line. The environment wins over aws.env.
# With KEY=value, write the value into aws.env: scripts/setting.sh AWS_REGION=eu-west-1
set -Eeuo pipefail
cd "$(dirname "$0")/.."

# Split a line of aws.env into the value of a key and the text before and after it; return 1 if the
# line does not set the key. As in a shell, except that spaces around the equals sign are allowed.
split() {
    local key=$1 line=$2 text space
    local assignment="^([[:space:]]*(export[[:space:]]+)?${key}[[:space:]]*=)(.*)$"
    local end='([[:space:]]*|[[:space:]]+#.*)$'
    local double_quoted='^([[:space:]]*")([^"]*)("'"$end)"
    local single_quoted="^([[:space:]]*')([^']*)('$end)"
    local opening_quote="^[[:space:]]*[\"']"
    [[ $line =~ $assignment ]] || return 1
    before=${BASH_REMATCH[1]} text=${BASH_REMATCH[3]}
    if [[ $text =~ $double_quoted || $text =~ $single_quoted ]]; then
        before+=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]} after=${BASH_REMATCH[3]}
    elif [[ $text =~ $opening_quote ]]; then
        echo "aws.env: the quotes around the value of $key do not match" >&2
        exit 1
    else
        value=${text%%[[:space:]]#*}
        space=${value%%[![:space:]]*}
        value=${value#"$space"}
        value=${value%"${value##*[![:space:]]}"}
        before+=$space after=${text#"$space$value"}
    fi
}

read_setting() {
    local key=$1 line before value after found=${!1-}
    if [[ -z $found && -e aws.env ]]; then
        while IFS= read -r line || [[ -n $line ]]; do
            if split "$key" "$line"; then found=$value; fi
        done <aws.env
    fi
    printf '%s\n' "$found"
}

write_setting() {
    local key=$1 new=$2 line before value after lines='' found=''
    while IFS= read -r line || [[ -n $line ]]; do
        if split "$key" "$line"; then line=$before$new$after found=yes; fi
        lines+=$line$'\n'
    done <aws.env
    if [[ -z $found ]]; then lines+=$key=$new$'\n'; fi
    printf '%s' "$lines" >aws.env.new
    mv aws.env.new aws.env
}

for setting in "$@"; do
    case $setting in
        *=*) write_setting "${setting%%=*}" "${setting#*=}" ;;
        *) read_setting "$setting" ;;
    esac
done
