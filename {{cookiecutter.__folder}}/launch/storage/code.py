"""The code as it is now, uncommitted changes included, for a job in an image that exists already.

The files of ``entrypoints/`` and ``src/`` that an image of this tree would hold are one more input
of the job, and its entrypoint and ``PYTHONPATH`` point to it. The rest of the image is its
environment, so any image with the same environment can be used.
"""

import ast
import subprocess
import warnings
import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..run import Request
from ..settings import project
from ..settings.project import LaunchError, SetupError
from . import folders
from .folders import Snapshot

INPUT = "code"
"""The name of the input."""

FOLDER = "/opt/ml/processing/code"
"""Where the code is on a host."""

_FOLDERS = ("entrypoints", "src")
_PYTHONPATH = f"{FOLDER}/src"


@dataclass(frozen=True)
class Code:
    """The code of one launch, in a temporary folder that exists as long as this object."""

    stamp: str
    """The commit of the tree, with the tree's own digest and ``-dirty`` if files differ from it."""
    environment: str
    """The digest of what an image holds besides the code."""
    snapshot: Snapshot

    @property
    def image_tag(self) -> str:
        """The tag of the images with this environment."""
        return f"environment-{self.environment}"

    def add_to(self, request: Request, address: str) -> None:
        """Change a request so that the job runs this code instead of the code in its image.

        Args:
            request: The request of the job.
            address: Where the code is in S3.
        """
        application, environment = request["AppSpecification"], request["Environment"]
        *command, file = application["ContainerEntrypoint"]
        application["ContainerEntrypoint"] = [*command, f"{FOLDER}/{file}"]
        paths = [_PYTHONPATH, environment.get("PYTHONPATH")]
        environment["PYTHONPATH"] = ":".join(filter(None, paths))
        environment["SOURCE_COMMIT"] = self.stamp
        source = {
            "S3Uri": address,
            "LocalPath": FOLDER,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
            "S3CompressionType": "None",
        }
        request["ProcessingInputs"].append({"InputName": INPUT, "S3Input": source})


def read() -> Code:
    """Copy the code from the working tree, without files that git ignores.

    Raises:
        SetupError: There is no commit yet.
        LaunchError: A file cannot be read or is not Python, or the copy cannot be written.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(folders.temporary(project.OUT))
        facts = _export(folder / "tree")
        code = folder / "code"
        code.mkdir()
        for name in _FOLDERS:
            if (tree := folder / "tree" / name).exists():
                tree.rename(code / name)
        read = Code(facts["stamp"], facts["environment"], folders.snapshot(code))
        _check_syntax(read.snapshot)
        weakref.finalize(read, stack.pop_all().close)
    return read


def digest(request: Mapping[str, Any]) -> str:
    """Return the digest of the code that a request has as an input; empty if there is none."""
    for item in request.get("ProcessingInputs", []):
        source = item.get("S3Input", {})
        if item["InputName"] == INPUT and source.get("LocalPath") == FOLDER:
            return str(source["S3Uri"]).rstrip("/").rpartition("/")[2]
    return ""


def own_environment(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of a request without those that ``Code.add_to`` sets."""
    environment = dict(request.get("Environment", {}))
    if digest(request):
        environment.pop("SOURCE_COMMIT", None)
        path = environment.pop("PYTHONPATH", "").removeprefix(_PYTHONPATH).removeprefix(":")
        if path:
            environment["PYTHONPATH"] = path
    return environment


def _check_syntax(snapshot: Snapshot) -> None:
    """Reject syntax errors, which would otherwise fail the job minutes later, on an instance."""
    for file in snapshot.files:
        if not file.name.endswith(".py"):
            continue
        try:
            with warnings.catch_warnings(action="ignore"):
                ast.parse(file.path.read_bytes(), file.name)
        except SyntaxError as error:
            where = f"{file.name}, line {error.lineno}"
            raise LaunchError(f"argument --code: {where}: {error.msg}") from error
        except ValueError as error:
            raise LaunchError(f"argument --code: {file.name}: {error}") from error


def _export(folder: Path) -> dict[str, str]:
    """Write the tree that an image would hold into a folder, and return its facts by name."""
    command = [str(project.ROOT / "scripts" / "tree.sh"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise SetupError(f"argument --code: {done.stderr.strip()}")
    return dict(line.split("=", 1) for line in done.stdout.splitlines())
