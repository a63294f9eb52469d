"""The shell and the make of macOS: bash 3.2 and GNU make 3.81, which are older than those of Linux.

A script or a Makefile that uses something newer works on every other machine. What both lack is
listed here, and looked for in the text.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from conftest import TEMPLATE

ROOT = TEMPLATE.parent
RECIPE = "\t"

NEWER_THAN_BASH_3_2 = {
    r"\b(declare|local|typeset|readonly)\s+-\w*A": "associative arrays: bash 4.0",
    r"\b(declare|local|typeset)\s+-\w*n\b": "references to names: bash 4.3",
    r"\b(declare|local|typeset)\s+-\w*[lug]": "changes of case, and global variables: bash 4.0",
    r"\b(mapfile|readarray)\b": "bash 4.0; read lines in a loop",
    r"\$\{!?\w+(\[[@*]\])?(\^|,)": "changes of case: bash 4.0; use tr",
    r"\$\{\w+(\[[@*]\])?@[A-Za-z]\}": "transformations: bash 4.4; use printf %q",
    r"\$\{\w+(\[[@*]\])?:[\w ][^}:]*:\s*-": "a negative length of a part: bash 4.2",
    r"\[-\d+\]": "negative indices of arrays: bash 4.3",
    r"\|&": "pipes of both outputs: bash 4.0; use 2>&1 |",
    r"&>>": "bash 4.0; use >>file 2>&1",
    r";;?&": "case clauses that go on: bash 4.0",
    r"\bcoproc\b": "bash 4.0",
    r"\{\w+\}[<>]": "file descriptors that the shell chooses: bash 4.1",
    r"\[\[?\s+(!\s+)?-v\s": "tests whether a variable is set: bash 4.2; use ${name+set}",
    r"\[\[?\s+(!\s+)?-R\s": "bash 4.3",
    r"\bwait\s+-\w*[npf]": "waiting for the next of several: bash 4.3",
    r"\bread\s[^|;]*-\w*N": "a number of characters: bash 4.1",
    r"\bread\s[^|;]*-\w*t\s*\d*\.": "fractions of a second: bash 4.0",
    r"\bread\s[^|;]*-\w*i\b": "bash 4.0",
    r"printf\s+(-v\s+\S+\s+)?['\"]?[^'\"]*%[-\d]*\(": "dates: bash 4.2; use date",
    r"\bshopt\s+-s\s+(\w+\s+)*(globstar|lastpipe|inherit_errexit|autocd|dirspell)": "bash 4",
    r"(?<!\*)/\*\*/": "folders below folders (globstar): bash 4.0; use find",
    r"\$\{?(BASHPID|EPOCHSECONDS|EPOCHREALTIME|SRANDOM|BASH_XTRACEFD|BASH_ARGV0)\b": "bash 4",
    r"\$'[^']*\\[uU]": "characters by number: bash 4.2",
    r"\{\d+\.\.\d+\.\.\d+\}": "steps of a sequence: bash 4.0",
    r"\{0\d+\.\.": "leading zeros of a sequence: bash 4.0",
}
"""What the shell of macOS does not understand, and what it is."""

EMPTY_ARRAY = re.compile(r"(?<!\+)\"\$\{(\w+)\[[@*]\]\}\"")
"""With `set -u`, bash before 4.4 takes an empty array for a variable that is not set."""

NEWER_THAN_MAKE_3_81 = {
    r"^[\w.-]+\s*!=": "shell assignments: make 4.0; use $(shell)",
    r"^[\w.-]+\s*:::?=": "POSIX assignments: make 4.0; use :=",
    r"^\.(ONESHELL|RECIPEPREFIX|SHELLFLAGS)\b": "make 3.82; join the lines of a recipe with \\",
    r"\$\(file\s": "make 4.0",
    r"\$\(guile\s": "make 4.0",
    r"\$\(let\s": "make 4.4",
    r"\$\(intcmp\s": "make 4.4",
    r"^\s*(override\s+)?undefine\s": "make 3.82",
    r"^[^\t#:]*:\s*private\s": "variables of one target: make 3.82",
    r"^\s*private\s": "variables of one target: make 3.82",
    r"^-?load\s": "make 4.0",
    r"^[^\t#]*&:": "targets made together: make 4.3",
    r"^define\s+\S+\s*[:+?]?=": "the kind of a definition: make 3.82; leave it out",
    r"\.EXTRA_PREREQS|\.WAIT|\.NOTINTERMEDIATE": "make 4.3 and 4.4",
    r"--output-sync|\s-O(target|line|recurse)\b": "make 4.0",
}
"""What the make of macOS does not understand, and what it is."""

SCRIPTS = sorted(
    path
    for folder in (".ci", "benchmarks", "docs", "hooks", "tests", TEMPLATE.name)
    for path in (ROOT / folder).rglob("*")
    if path.is_file()
    and (path.suffix == ".sh" or re.match(rb"#!.*\b(ba)?sh\b", path.read_bytes()[:64]))
)
MAKEFILES = [ROOT / "Makefile", TEMPLATE / "Makefile", *sorted(TEMPLATE.glob("*.mk"))]
ONLY_ON_LINUX = {ROOT / ".ci" / "engine", ROOT / ".ci" / "run"}
"""They prepare a Debian machine."""


def found(text: str, patterns: Mapping[str, str]) -> Iterator[str]:
    """What is too new in a text, line by line; comments are left out."""
    for number, line in enumerate(text.splitlines(), start=1):
        code = re.sub(r"(^|\s)#.*", "", line)
        for pattern, reason in patterns.items():
            if re.search(pattern, code):
                yield f"line {number}: {line.strip()}: {reason}"


def empty_arrays(text: str) -> Iterator[str]:
    """Arrays that begin empty and are expanded as if they always had an element."""
    begin_empty = set(re.findall(r"\b(\w+)=\(\)", text))
    loops = re.findall(r"\bwhile .*?\bdone <<<", text, flags=re.DOTALL)  # a here-string has a line
    filled = {name for loop in loops for name in re.findall(r"\b(\w+)\+=\(", loop)}
    counted = set(re.findall(r"\$\{#(\w+)\[[@*]\]\}", text))
    for name in EMPTY_ARRAY.findall(text):
        if name in begin_empty - filled - counted:
            yield f'{name}: write ${{{name}[@]+"${{{name}[@]}}"}}: it may be empty'


def too_new(script: str) -> list[str]:
    return [*found(script, NEWER_THAN_BASH_3_2), *empty_arrays(script)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_run_with_bash_3_2(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert re.match(r"#!(/usr/bin/env bash|/bin/sh)\n", text), "bash may be anywhere on PATH"
    if script not in ONLY_ON_LINUX:
        assert too_new(text) == []


@pytest.mark.parametrize("makefile", MAKEFILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_makefiles_run_with_make_3_81(makefile: Path) -> None:
    assert list(found(makefile.read_text(encoding="utf-8"), NEWER_THAN_MAKE_3_81)) == []


def test_recipes_run_with_the_oldest_shell() -> None:
    for makefile in MAKEFILES:
        lines = makefile.read_text(encoding="utf-8").splitlines()
        recipes = "\n".join(line for line in lines if line.startswith(RECIPE))
        assert list(found(recipes, NEWER_THAN_BASH_3_2)) == []


@pytest.mark.parametrize(
    "line",
    [
        "declare -A images",
        "local -n output=$1",
        "declare -g name=x",
        "mapfile -t lines <file",
        "readarray lines <file",
        'echo "${name^^}"',
        'echo "${name,,}"',
        'echo "${name@Q}"',
        'echo "${name:1:-1}"',
        'echo "${list[-1]}"',
        "make |& tee log",
        "make &>>log",
        "a) one ;&",
        "a) one ;;&",
        "coproc cat",
        "exec {lock}>file",
        "[[ -v name ]]",
        "if [ ! -v name ]; then",
        "wait -n",
        "read -r -N 1 key",
        "read -t 0.5 key",
        "printf '%(%Y)T' -1",
        "shopt -s nullglob globstar",
        "ls src/**/*.py",
        "echo $EPOCHSECONDS",
        "echo ${BASHPID}",
        r"echo $'\u00e9'",
        "for i in {1..9..2}; do",
        "for i in {01..12}; do",
        'options=()\ncommand "${options[@]}"',
    ],
)
def test_a_line_that_bash_3_2_does_not_understand_is_found(line: str) -> None:
    assert too_new(line)


@pytest.mark.parametrize(
    "line",
    [
        'options=()\ncommand ${options[@]+"${options[@]}"}',
        'options=(--quiet)\ncommand "${options[@]}"',
        'options=()\n[[ ${#options[@]} -gt 0 ]] && command "${options[@]}"',
        "# declare -A would be shorter",
        'echo "${name:-}" "${name:1:2}" "${name%%,*}" "${names[*]}"',
        "make 2>&1 | tee log >>all 2>&1",
        "[[ ${name+set} ]]; a) one ;;",
        'printf "%s (%d)" "$name" 1; read -r -t 1 key; local -r name=x; for i in {1..9}; do',
    ],
)
def test_a_line_that_every_bash_understands_is_not(line: str) -> None:
    assert too_new(line) == []


@pytest.mark.parametrize(
    "line",
    [
        "NOW != date",
        "NOW ::= 1",
        "NOW :::= 1",
        ".ONESHELL:",
        ".RECIPEPREFIX = >",
        "\t$(file >list,$(NAMES))",
        "undefine NAME",
        "all: private NAME = 1",
        "private NAME = 1",
        "load module.so",
        "-load module.so",
        "a b &: c",
        "define recipe =",
        "X := $(let a,b,$(a))",
        "\t$(MAKE) --output-sync=target all",
    ],
)
def test_a_line_that_make_3_81_does_not_understand_is_found(line: str) -> None:
    assert list(found(line, NEWER_THAN_MAKE_3_81))


@pytest.mark.parametrize(
    "line",
    [
        "NAME := 1",
        "NAME ?= 1",
        "define recipe",
        "all: NAME = 1",
        '\t[ "$$a" != "$$b" ]',
        "\tload && run &",
        "# .ONESHELL: is too new",
        "$(or $(A),$(B)): c",
    ],
)
def test_a_line_that_every_make_understands_is_not(line: str) -> None:
    assert list(found(line, NEWER_THAN_MAKE_3_81)) == []
