"""A small repository in git, of which an image could be built."""

import shutil
import subprocess
from pathlib import Path

import pytest

from repositories import REPOSITORY

_IMAGE = (
    *(".dockerignore", ".gitattributes", ".gitignore", ".python-version", "Dockerfile"),
    *("image.env", "poetry.lock", "pyproject.toml", "tools/poetry.txt", "tools/uv.txt"),
)


def git(root: Path, *words: str) -> str:
    """Run git in a repository, and return what it prints."""
    identity = ("-c", "user.name=Tests", "-c", "user.email=tests@localhost")
    done = subprocess.run(
        [shutil.which("git") or "git", *identity, *words],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def commit(root: Path) -> str:
    """Commit everything, and return the commit."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Change")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def committed(small_pipeline: Path) -> Path:
    """The repository ``small_pipeline``, with copies of all that its image holds, committed."""
    root = small_pipeline
    for name in ("scripts", "src"):
        (root / name).unlink()
        shutil.copytree(
            REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    own = (root / "pyproject.toml").read_text()
    for name in _IMAGE:
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, root / name)
    (root / "pyproject.toml").write_text(own)
    git(root, "init", "--quiet")
    commit(root)
    return root
