"""What the repository knows about itself: its name, its AWS settings and its commit."""

import os
import subprocess
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "out"
"""Results, downloads and temporary folders; git ignores it."""
COMMAND = ".venv/bin/python -m launch"
"""How a user types a launch, in advice."""


class LaunchError(Exception):
    """A launch was rejected: nothing was started. The text is shown to the user as it is."""


class SetupError(LaunchError):
    """A launch was rejected because something is not set up yet; nothing is broken."""


def name() -> str:
    """Return the project's name, with which every job's name and every key in S3 begins."""
    file = ROOT / "pyproject.toml"
    return _name(file, file.stat().st_mtime_ns)


def stamp() -> str:
    """Return the commit, with ``-dirty`` if files differ from it; ``unknown`` without a commit."""
    done = _run("stamp.sh")
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def image(tag: str = "") -> str:
    """Return the name that ``make image`` gives to an image: by default, that of this commit."""
    return f"{setting('ECR_REPOSITORY') or name()}:{tag or stamp()}"


def setting(key: str) -> str:
    """Return a setting from the environment or else from ``aws.env``; empty if there is none.

    Raises:
        LaunchError: The line in ``aws.env`` cannot be read.
    """
    file = ROOT / "aws.env"
    changed = file.stat().st_mtime_ns if file.exists() else 0
    return _setting(key, os.environ.get(key), file, changed)


def require(key: str) -> str:
    """Return a setting that a launch cannot do without.

    Raises:
        SetupError: It is not set.
    """
    if value := setting(key):
        return value
    raise SetupError(f"{key} is not set: run `make stack`, or add it to aws.env")


@cache
def _name(file: Path, _changed: int) -> str:
    """Read the name; a list of a thousand jobs asks for it as often."""
    pyproject = tomllib.loads(file.read_text(encoding="utf-8"))
    return str(pyproject["project"]["name"])


@cache
def _setting(key: str, _environment: str | None, _file: Path, _changed: int) -> str:
    """Read a setting; once only while all that it depends on stays the same."""
    done = _run("setting.sh", key)
    if done.returncode:
        raise LaunchError(done.stderr.strip())
    return done.stdout.strip()


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
