"""The commands, options and files that a document names, and those that there are."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*(?!\w)")
"""Not ``--min_NAME``, where something is filled in."""
EXTENSION = re.compile(r"\.[a-z]\w*$")
LAUNCH = re.compile(r"(?:(?:\.venv/bin/)?python -m )?launch ")
UNKNOWN = "--no_such_option"

OTHER_PROGRAMS = {
    "aws": {"--recursive"},
    "cookiecutter": {"--default-config", "--no-input", "--output-dir"},
    "cruft": {"--checkout"},
    "docker": {"--build-arg", "--memory", "--memory-swap", "--secret"},
    "git": {
        *("--all", "--initial-branch", "--max-count", "--message", "--quiet"),
        *("--stat", "--theirs", "--unshallow"),
    },
    "pip": {"--help", "--python"},
    "poetry": {"--lock", "--source"},
    "pytest": {"--import-mode"},
    "uv": {"--locked"},
}
"""The options of other programs that the documents use."""

EXAMPLES = {"--key_column", "--max_tokens", "--min_test_mean", "--overwrite"}
"""Options that no program has: examples of names, and one that was decided against."""

MADE_LATER = (
    *(".cruft.json", ".env", "aws.env", "job.json", "job-*.json", "*/job.json"),
    *(".tools", ".tools/*", ".venv", ".venv/*", "build/*", "out", "out/*", "site-packages"),
    *("*.launch.json", "metrics*.json", "config.yaml", "tools.txt", "__pycache__"),
)
"""What launches, jobs, generation or other programs write, and files that a document imagines."""

INSTALLED = {".git", ".tools", ".venv", "build", "out"}
"""Folders of a tree whose files are not the template's."""


def spans(text: str) -> list[str]:
    """What stands in backticks outside of blocks of code, each on one line."""
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def lines(text: str) -> Iterator[str]:
    """The lines of the blocks of code that a shell may be given; others have a language."""
    for language, block in re.findall(
        r"^ *```(\w*)\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL
    ):
        for line in block.replace("\\\n", " ").splitlines() * (language in ("", "text", "console")):
            yield line.strip().removeprefix("$ ")


def targets(text: str) -> set[str]:
    """The targets of make that a document names."""
    found = set()
    for command in [*spans(text), *lines(text)]:
        for called in re.findall(r"(?:^|[;&] *)make ((?:[\w=./-]+|\"[^\"]*\"| )+)", command):
            words = shlex.split(called)
            found |= {word for word in words if "=" not in word and not word.startswith("-")}
    return found


def options(text: str) -> set[str]:
    """The options that a document names, of whatever program."""
    commands = (re.sub(r"https?://\S*", "", command) for command in [*spans(text), *lines(text)])
    return {option for command in commands for option in OPTION.findall(command)}


def files(text: str) -> set[str]:
    """What looks like the path of a file or folder, with ``*`` where a name is filled in."""
    words = [word for command in [*spans(text), *lines(text)] for word in command.split()]
    found = {re.sub(r"<[^>]*>", "*", word.removeprefix("../template/")) for word in words}
    return {
        path
        for path in found
        if re.fullmatch(r"[\w.{}*-]+(?:/[\w.{}*-]+)*/?", path)
        and ("/" in path or re.fullmatch(r"[\w.*-]+\.(?:py|sh|toml|yaml|yml|md|env|mk|in)", path))
    }


def tree(root: Path) -> set[str]:
    """The files and folders in a folder, by their paths in it, without what was installed."""
    found = {root.name}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in INSTALLED]
        found |= {(Path(folder) / name).relative_to(root).as_posix() for name in folders + names}
    return found


def missing_files(text: str, known: set[str], written: Container[str] = ()) -> set[str]:
    """The paths in a document that are neither known nor the last part of a known one.

    Args:
        text: The document.
        known: The paths of all files and folders.
        written: Names of folders that jobs and launches write.
    """
    tops = {path.partition("/")[0] for path in known}
    names = {path.rpartition("/")[2] for path in known}

    def exists(path: str) -> bool:
        name = path.rstrip("/")
        top = name.partition("/")[0]
        if any(fnmatch(name, each) for each in MADE_LATER) or (top in written and top not in tops):
            return True
        return any(fnmatch(each, name) for each in (known if "/" in name else names))

    def is_meant(path: str) -> bool:
        """An address or a name such as ``owner/name`` begins with no folder of ours."""
        return path.endswith("/") or path.partition("/")[0] in tops or bool(EXTENSION.search(path))

    return {path for path in files(text) if is_meant(path) and not exists(path)}


def launches(text: str, verbs: Iterable[str]) -> list[str]:
    """The options of each command of ``python -m launch``, with its first word."""
    found = []
    for command in [*spans(text), *lines(text)]:
        called = LAUNCH.match(command)
        words = command[called.end() :] if called else command
        if words.startswith("--"):
            continue
        if called or (words.split() and words.split()[0] in verbs and "--" in words):
            found.append(re.split(r" [|&;>#]|  ", words)[0])
    return found


class Parsers:
    """The command line of ``launch`` in a project, which is only asked: nothing is launched."""

    def __init__(self, project: Path) -> None:
        self._project = project
        usage = self._run("import sys; from launch.__main__ import main; main(['--help'])")
        self.jobs = re.search(r"Jobs: (.*)", usage)[1].split(", ")  # type: ignore[index]
        self.verbs = set(re.findall(r"-m launch ([a-z]+)", usage))

    def _run(self, code: str, text: str = "") -> str:
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=self._project,
            env=os.environ | {"PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"},
            input=text,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    def options(self) -> set[str]:
        """All options that ``--help`` lists, of all commands."""
        code = """
import contextlib, sys
from launch.__main__ import main
for verb in sys.stdin.read().split():
    with contextlib.suppress(SystemExit):
        main([verb, "--help"])
"""
        found = self._run(code, " ".join([*self.jobs, *self.verbs]))
        return set(OPTION.findall(found))

    def errors(self, commands: Iterable[str]) -> Mapping[str, str]:
        """Parse each command, and return what is wrong with it.

        An unknown option is added to each, so that nothing can start. The parser reports all
        unknown options at once.
        """
        asked = {command: self._argvs(command) for command in commands}
        code = """
import contextlib, io, json, sys
from launch.__main__ import main

def error(argv):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        main(argv)
    return said.getvalue()

print(json.dumps({
    command: [error(argv) for argv in argvs]
    for command, argvs in json.load(sys.stdin).items()
}))
"""
        said: Mapping[str, list[str]] = json.loads(self._run(code, json.dumps(asked)))
        only = rf"[^\n]*error: unrecognized arguments: {UNKNOWN}(?:: none of [^;\n]*)?\n"
        return {
            command: errors[0] if errors else "there is no such command"
            for command, errors in said.items()
            if not any(re.fullmatch(only, error) for error in errors)
        }

    def _argvs(self, command: str) -> list[list[str]]:
        """The command lines that a command of a document may stand for."""
        text = re.sub(r"\[[^]]*\]|…|\.\.\.", "", command)  # `again NAME [options]`
        text = re.sub(r"(\w+)(?:\|\w+)+", r"\1", text)  # `--backend local|docker`
        text = re.sub(r"--[A-Z]\S* \S+", "", text)  # `--OPTION.JOB value`
        verb, *words = shlex.split(text)
        words = [word for word in words if word != "--help"]
        if verb == "again":
            return [[other, *words[1:], UNKNOWN] for other in (*self.jobs, "pipeline")]
        if verb == "JOB":
            return [[job, *words, UNKNOWN] for job in self.jobs]
        if verb not in {*self.verbs, *self.jobs}:
            return []
        if not words:  # the name of a command, without what it needs
            return [[self.jobs[0], UNKNOWN]]
        names = {"JOB": self.jobs[-1]} if verb in ("pipeline", "deploy") else {}
        return [[verb, *(names.get(word, word) for word in words), UNKNOWN]]
