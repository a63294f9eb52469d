"""Launches are listed, shown, followed, stopped and repeated from another terminal."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import emulator
import pytest
from conftest import SLUG
from launching import DATA

pytest_plugins = ["launching"]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_pipeline")]

Launch = Callable[..., subprocess.CompletedProcess[str]]

ROWS = ("--input_path", DATA)


def _listed(launch: Launch, env: dict[str, str]) -> list[dict[str, Any]]:
    done = launch("list", "--json", env=env)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.docker
def test_everything_that_was_launched_is_in_one_list(
    launch: Launch, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    assert service.images
    for backend in ("local", "docker", "sagemaker"):
        words = ("probe", *ROWS, "--backend", backend, "--run_name", f"on-{backend}")
        done = launch(*words, env=aws)
        assert done.returncode == 0, done.stdout + done.stderr
    listed = [entry for entry in _listed(launch, aws) if entry["run"].startswith("on-")]
    assert [entry["backend"] for entry in listed] == ["sagemaker", "docker", "local"]
    assert {entry["status"] for entry in listed} == {"Completed"}
    assert {entry["job"] for entry in listed} == {"probe"}
    assert len({entry["commit"] for entry in listed}) == 1
    assert listed[0]["outputs"]["output_path"].startswith(f"s3://{emulator.BUCKET}/{SLUG}/runs/on-")
    for backend in ("local", "docker", "sagemaker"):
        done = launch("logs", f"on-{backend}", env=aws)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "algo-1 | " in done.stdout


@pytest.mark.docker
@pytest.mark.parametrize("backend", ["local", "docker", "sagemaker"])
def test_a_job_is_stopped_from_another_terminal(
    backend: str, launch: Launch, project: Path, aws: dict[str, str], service: emulator.Emulator
) -> None:
    assert service.images
    python = project / ".venv" / "bin" / "python"
    words = ["probe", *ROWS, "--do", "sleep", "--backend", backend, "--run_name", "sleeper"]
    command = [str(python), "-m", "launch", *words]
    with subprocess.Popen(
        command, cwd=project, env=aws, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if "asleep" in line:
                break
        name = next(each["name"] for each in _listed(launch, aws) if each["run"] == "sleeper")
        stopped = launch("stop", name, env=aws)
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr
        rest = process.stdout.read()
    assert process.returncode == 1
    assert "Stopped" in rest
    again = launch("stop", name, env=aws)
    assert "has ended already: Stopped" in again.stdout


@pytest.mark.docker
def test_a_failed_job_on_sagemaker_is_shown_and_repeated_in_docker(
    launch: Launch, aws: dict[str, str], service: emulator.Emulator
) -> None:
    assert service.images
    words = ("--backend", "sagemaker", "--run_name", "failing", "--names", "a b", "c")
    done = launch("probe", *ROWS, *words, "--do", "fail", "--api_key", "hunter2", env=aws)
    assert done.returncode == 1
    shown = launch("show", "failing", env=aws)
    assert shown.returncode == 0, shown.stderr
    assert "the last host failed" in shown.stdout
    assert "--backend docker" in shown.stdout
    assert "hunter2" not in shown.stdout
    missing = launch("again", "failing", "--backend", "docker", "--do", "report", env=aws)
    assert missing.returncode == 2
    assert "--api_key VALUE" in missing.stderr
    changes = ("--backend", "docker", "--do", "report", "--api_key", "x", "--run_name", "repeated")
    repeated = launch("again", "failing", *changes, env=aws)
    assert repeated.returncode == 0, repeated.stdout + repeated.stderr
    record = json.loads(launch("show", "repeated", "--json", env=aws).stdout)["record"]
    assert record["arguments"]["names"] == ["a b", "c"]
    assert record["arguments"]["do"] == "report"


@pytest.mark.docker
def test_an_execution_is_shown_and_repeated(
    launch: Launch, aws: dict[str, str], service: emulator.Emulator
) -> None:
    words = ("pipeline", "--backend", "sagemaker", "--seed.fit", "3", "--run_name", "first")
    done = launch(*words, env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = launch("show", "first", env=aws)
    assert shown.returncode == 0, shown.stderr
    assert "Completed" in shown.stdout
    assert "step fit" in shown.stdout
    again = launch("again", "first", "--turns.search", "1", env=aws)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "the commit, the image and the inputs are the same" in again.stderr
    first, second = service.executions.values()
    assert second.parameters == first.parameters | {"search_turns": 1}


def test_without_aws_the_list_shows_this_machine(launch: Launch, no_aws: dict[str, str]) -> None:
    done = launch("probe", *ROWS, "--run_name", "here", env=no_aws)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = launch("list", env=no_aws | {"COLUMNS": "80", "TERM": os.environ.get("TERM", "dumb")})
    assert listed.returncode == 0
    assert "out/here" in listed.stdout
    assert len(listed.stderr.splitlines()) == 1
