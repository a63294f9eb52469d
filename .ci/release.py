"""Release the template: ``release.py VERSION CHECK...`` commits and tags, and pushes nothing."""

import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHANGELOG = ROOT / "CHANGELOG.md"
UNRELEASED = "## Unreleased\n"
PLACES = {ROOT / "pyproject.toml": "\nversion = ", ROOT / "cookiecutter.json": '\n  "_version": '}
"""The files that contain the version, and the text before it."""

Version = tuple[int, ...]


def git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def parse(text: str) -> Version | None:
    """Return the three numbers of a version (https://semver.org) that is no pre-release."""
    number = r"(0|[1-9]\d*)"
    found = re.fullmatch(rf"{number}\.{number}\.{number}", text)
    return tuple(map(int, found.groups())) if found else None


def refusal(version: str) -> str | None:
    """Return the reason why this commit cannot be released as this version, if there is one."""
    new = parse(version)
    released = [tag for tag in map(parse, git("tag").split()) if tag]
    if not new:
        return f"{version!r} is not a version: make release VERSION=1.2.3"
    if new <= max(released, default=(0, 0, 0)):
        latest = ".".join(map(str, max(released)))
        return f"{version} is not newer than {latest}, the latest release"
    if git("branch", "--show-current").strip() != "main":
        return "releases are made from main: git switch main"
    if git("status", "--porcelain"):
        return "there are uncommitted changes: see git status"
    if not re.search(rf"^{UNRELEASED}(?:(?!## ).*\n)*- ", CHANGELOG.read_text(), re.MULTILINE):
        return "CHANGELOG.md has no entry under Unreleased: describe what is new"
    return None


def write(version: str) -> None:
    for file, before in PLACES.items():
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(f'({before})".*"', rf'\1"{version}"', text, count=1))
    heading = f"{UNRELEASED}\n## {version} - {datetime.now(UTC):%Y-%m-%d}\n"
    CHANGELOG.write_text(CHANGELOG.read_text().replace(UNRELEASED, heading, 1))


def main(version: str, check: Sequence[str]) -> None:
    if reason := refusal(version):
        sys.exit(f"not released: {reason}")
    if subprocess.run(check, cwd=ROOT, check=False).returncode:
        sys.exit(f"not released: {' '.join(check)} failed; nothing was written")
    write(version)
    git("commit", "--quiet", "--message", f"Release {version}", *map(str, [*PLACES, CHANGELOG]))
    git("tag", "--annotate", "--message", f"Release {version}", version)
    print(f"{version} is committed and tagged: git push --atomic origin main {version}")


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2:])
    except subprocess.CalledProcessError as error:
        sys.exit(f"git {error.cmd[1]} failed; run git checkout . to undo the changes")
