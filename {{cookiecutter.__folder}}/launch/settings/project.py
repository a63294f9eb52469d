"""The name, the AWS settings and the commit of this repository."""

import os
import subprocess
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "out"
"""Results, downloads and temporary folders; git ignores it."""
COMMAND = ".venv/bin/python -m launch"
"""How a user types a launch, in advice."""


_NO_COMMIT = 3
"""The exit code of ``scripts/stamp.sh`` where there is no commit, or no repository."""


class LaunchError(Exception):
    """A launch was rejected: nothing was started. The text is shown to the user as it is."""


class SetupError(LaunchError):
    """A launch was rejected because something is not set up yet; nothing is broken."""


def name() -> str:
    """Return the project's name, with which every job's name and every key in S3 begins."""
    file = ROOT / "pyproject.toml"
    return _name(file, file.stat().st_mtime_ns)


def stamp() -> str:
    """Return the last commit that changed what the image holds; ``unknown`` without a commit.

    If the files differ from it, the start of their tree's ID and ``-dirty`` follow.     Each call
    runs git: the stamp of a launch is ``Launch.stamp``.

    Raises:
        LaunchError: git cannot read the repository, or the clone lacks the commit.
    """
    done = _run("stamp.sh")
    if done.returncode == _NO_COMMIT:
        return "unknown"
    if done.returncode:
        raise LaunchError(f"git cannot find the commit of this code: {done.stderr.strip()}")
    return done.stdout.strip()


def short_stamp(stamp: str | None) -> str:
    """Return the beginning of a commit and, if files differed from it, of their tree."""
    commit, *tree = (stamp or "unknown").split("-")
    return "-".join([commit[:12], *(part[:6] for part in tree)])


def image(tag: str) -> str:
    """Return the name that ``make image`` gives to the image of a stamp."""
    return f"{setting('ECR_REPOSITORY') or name()}:{tag}"


def setting(key: str) -> str:
    """Return a setting from the environment or else from ``aws.env``; empty if there is none.

    Raises:
        LaunchError: The line in ``aws.env`` cannot be read.
    """
    file = ROOT / "aws.env"
    changed = file.stat().st_mtime_ns if file.exists() else 0
    return _setting(key, os.environ.get(key), file, changed)


def require(key: str) -> str:
    """Return a required setting.

    Raises:
        SetupError: It is not set.
    """
    if value := setting(key):
        return value
    raise SetupError(f"{key} is not set: run `make stack`, or add it to aws.env")


@cache
def _name(file: Path, _changed: int) -> str:
    """Read the name; cached because a list of a thousand jobs needs it a thousand times."""
    pyproject = tomllib.loads(file.read_text(encoding="utf-8"))
    return str(pyproject["project"]["name"])


@cache
def _setting(key: str, _environment: str | None, _file: Path, _changed: int) -> str:
    """Read a setting; cached until its variable or ``aws.env`` changes."""
    done = _run("setting.sh", key)
    if done.returncode:
        raise LaunchError(done.stderr.strip())
    return done.stdout.strip()


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
