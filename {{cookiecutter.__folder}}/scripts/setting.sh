#!/usr/bin/env bash
# Print settings such as ECR_REPOSITORY, one per line. Environment variables have precedence over aws.env, and
# aws.env over image.env. KEY=value writes a setting to the file that has the key, or else to aws.env:
# scripts/setting.sh AWS_REGION=eu-west-1
set -Eeuo pipefail
cd "$(dirname "$0")/.."

# Split a line into the value of a key, its quotes, and the text before and after it. Return 1 if the line does
# not set the key, and 2 if the quotes do not match. The syntax is that of a shell, but spaces around the equals
# sign are allowed.
split() {
    local key=$1 line=$2 text space
    local assignment="^([[:space:]]*(export[[:space:]]+)?${key}[[:space:]]*=)(.*)$"
    local end='([[:space:]]*|[[:space:]]+#.*)$'
    local double_quoted='^([[:space:]]*)"([^"]*)"'$end
    local single_quoted="^([[:space:]]*)'([^']*)'$end"
    local opening_quote="^[[:space:]]*[\"']"
    [[ $line =~ $assignment ]] || return 1
    before=${BASH_REMATCH[1]} text=${BASH_REMATCH[3]} quote=''
    if [[ $text =~ $double_quoted || $text =~ $single_quoted ]]; then
        before+=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]} after=${BASH_REMATCH[3]}
        space=${text%%[![:space:]]*} quote=${text:${#space}:1}
    elif [[ $text =~ $opening_quote ]]; then
        return 2
    else
        value=${text%%[[:space:]]#*}
        space=${value%%[![:space:]]*}
        value=${value#"$space"}
        value=${value%"${value##*[![:space:]]}"}
        before+=$space after=${text#"$space$value"}
    fi
}

# Call `split` for a line of $file; exit if the quotes do not match.
split_line() {
    local status=0
    split "$1" "$2" || status=$?
    if [[ $status -eq 2 ]]; then
        echo "$file: the quotes around the value of $1 do not match" >&2
        exit 1
    fi
    return "$status"
}

# Set `found` to the last value of a key in a file. Return 1 if the file does not set the key.
find_setting() {
    local key=$1 file=$2 line before value after quote status=1
    [[ -e $file ]] || return 1
    while IFS= read -r line || [[ -n $line ]]; do
        line=${line#"$byte_order_mark"}
        if split_line "$key" "$line"; then found=$value status=0; fi
    done <"$file"
    return "$status"
}

read_setting() {
    local key=$1 file found=${!1-}
    for file in aws.env image.env; do
        if [[ -z $found ]]; then find_setting "$key" "$file" || true; fi
    done
    printf '%s\n' "$found"
}

# Set `line` to a line that assigns the new value. Return 1 if no quotes can represent it.
replace() {
    local key=$1 new=$2 start=$3 rest=$4 preferred=$5 chosen
    for chosen in "$preferred" '' '"' "'"; do
        line=$start$chosen$new$chosen$rest
        if split "$key" "$line" && [[ $value == "$new" && $quote == "$chosen" ]]; then return; fi
    done
    return 1
}

write_setting() {
    local key=$1 new=$2 file=aws.env found='' line before value after quote lines='' written=''
    local unreadable="$key cannot hold a line break, or both kinds of quotes: $new"
    [[ $new != *$'\n'* ]] || { echo "$unreadable" >&2; exit 1; }
    if find_setting "$key" image.env; then file=image.env; fi
    if [[ -e $file ]]; then
        while IFS= read -r line || [[ -n $line ]]; do
            line=${line#"$byte_order_mark"}
            if split_line "$key" "$line"; then
                replace "$key" "$new" "$before" "$after" "$quote" || { echo "$unreadable" >&2; exit 1; }
                written=yes
            fi
            lines+=$line$'\n'
        done <"$file"
    fi
    if [[ -z $written ]]; then
        replace "$key" "$new" "$key=" '' '' || { echo "$unreadable" >&2; exit 1; }
        lines+=$line$'\n'
    fi
    printf '%s' "$lines" >"$file.new"
    mv "$file.new" "$file"
}

# Some editors on Windows write it to the beginning of files.
byte_order_mark=$'\xEF\xBB\xBF'
for file in aws.env image.env; do
    if [[ -e $file ]] && [[ -d $file || ! -r $file ]]; then
        echo "$file cannot be read: it must be a readable file with lines of the form KEY=value" >&2
        exit 1
    fi
done
for setting in "$@"; do
    case $setting in
        *=*) write_setting "${setting%%=*}" "${setting#*=}" ;;
        *) read_setting "$setting" ;;
    esac
done
