"""A reader of a document, who types its commands."""

import os
import re
import subprocess
import sys
from pathlib import Path


def code(document: Path) -> list[tuple[str, str]]:
    """The language and the text of each block of code in a document.

    What readers are to type in a shell names no language, and a tree of files is not to be typed.
    """
    text = document.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [(language, block) for language, block in found if "── " not in block]


def blocks(document: Path, language: str = "") -> list[str]:
    return [block for name, block in code(document) if name == language]


def machine(home: Path, environment: dict[str, str]) -> dict[str, str]:
    """The environment of somebody who has Python, git, make, Docker and the AWS CLI."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "GITHUB_REPOSITORY")
    kept = {name: value for name, value in environment.items() if name not in dropped}
    folders = environment["PATH"].split(os.pathsep)
    own = str(Path(sys.executable).parent)  # of the tests, not of the reader
    path = os.pathsep.join([f"{home}/venv/bin", *(each for each in folders if each != own)])
    return kept | {"PATH": path, "DOCKER_CONFIG": str(home / "docker")}


class Reader:
    """Somebody who types what a document says, and presses return where something is asked."""

    def __init__(self, folder: Path, environment: dict[str, str], template: Path) -> None:
        self.folder = folder
        self._environment = environment
        self._template = template

    def type(self, block: str) -> str:
        text = block.replace("path/or/address/of/this/repository", str(self._template))
        where = self.folder.parent / ".where"
        done = subprocess.run(
            ["bash", "-ec", f"{text}\npwd >'{where}'"],
            cwd=self.folder,
            env=self._environment,
            input="\n" * 9,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        self.folder = Path(where.read_text().strip())
        where.unlink()
        return done.stdout
