"""What the repository says of itself: its name, its AWS settings and the commit it is at."""

import os
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class LaunchError(Exception):
    """A launch that cannot be; the text says why and what to do, and is shown as it is."""


class NotSetUpError(LaunchError):
    """A launch that cannot be because something was not set up; nothing is broken."""


def name() -> str:
    """The project's name, which every job's name and every key in S3 begins with."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(pyproject["project"]["name"])


def stamp() -> str:
    """The commit, with ``-dirty`` behind it if files differ from it; ``unknown`` without one."""
    done = subprocess.run([ROOT / "scripts" / "stamp.sh"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def image() -> str:
    """The name that ``make image`` gives to the image of this commit."""
    return f"{setting('ECR_REPOSITORY') or name()}:{stamp()}"


def setting(key: str) -> str:
    """A value of ``aws.env``, over which the environment wins; empty where there is none."""
    file = ROOT / "aws.env"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return os.environ.get(key) or dict(line.partition("=")[::2] for line in lines).get(key, "")


def require(key: str) -> str:
    """A setting that has to be there."""
    if value := setting(key):
        return value
    advice = "write it into aws.env, as `make stack` does, or into the environment"
    raise NotSetUpError(f"{key} is not set: {advice}")
