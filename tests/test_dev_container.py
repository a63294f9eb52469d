"""The dev container of a generated repository, whose Python is newer than that of Debian 12."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import run
from registry import need_engine

pytestmark = [pytest.mark.slow, pytest.mark.docker]

FOLDER = "/home/developer/project"


@pytest.fixture
def container(generated: Path, tmp_path: Path) -> Iterator[str]:
    """The name of a running dev container, which has a clone of the project."""
    need_engine()
    settings = json.loads((generated / ".devcontainer" / "devcontainer.json").read_text())
    file = generated / ".devcontainer" / settings["build"]["dockerfile"]
    name = f"dev-container-{tmp_path.name}"
    index = run(generated, "scripts/index.sh", ".tools/bin/python").strip()
    options = ("--name", name, "--init", "--user", settings["remoteUser"], "--workdir", FOLDER)
    try:
        run(file.parent, "docker", "build", "--quiet", "--tag", name, "--file", file.name, ".")
        words = ("--env", f"UV_DEFAULT_INDEX={index}", name, "sleep", "infinity")
        run(tmp_path, "docker", "run", "--detach", *options, *words)
        run(tmp_path, "git", "clone", "--quiet", "--no-local", str(generated), "project")
        run(tmp_path, "docker", "cp", "project/.", f"{name}:{FOLDER}")
        owner = f"{settings['remoteUser']}:"
        run(tmp_path, "docker", "exec", "--user", "root", name, "chown", "-R", owner, FOLDER)
        run(tmp_path, "docker", "exec", name, "sh", "-c", settings["postCreateCommand"])
        yield name
    finally:
        for command in ("container rm --force", "image rm --force"):
            subprocess.run(["docker", *command.split(), name], capture_output=True, check=False)


def test_checks_and_jobs_pass_in_it(
    container: str, record_property: Callable[[str, object], None]
) -> None:
    """The coverage is shown at the end: measuring it costs little with this version of Python."""
    identity = [
        word
        for role in ("AUTHOR", "COMMITTER")
        for word in (
            "--env",
            f"GIT_{role}_NAME=Tests",
            "--env",
            f"GIT_{role}_EMAIL=tests@localhost",
        )
    ]
    make = ("docker", "exec", *identity, container, "make")
    output = run(Path.cwd(), *make, "--jobs=2", "lint", "coverage")
    assert re.search(r"Success: no issues found in \d+ source files", output)
    assert re.search(r"\d+ passed in", output)
    assert "skipped" not in output
    table = re.findall(r"^launch/\S+ +(\d+) +(\d+) +\d+%", output, flags=re.MULTILINE)
    record_property("coverage", "\n".join(re.findall(r"^(?:launch|src|TOTAL)\b.*", output, re.M)))
    lines, missed = (sum(map(int, column)) for column in zip(*table, strict=True))
    assert missed / lines <= 0.15
    run(Path.cwd(), *make, "run")
