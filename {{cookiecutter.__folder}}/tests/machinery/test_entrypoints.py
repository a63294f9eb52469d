"""Entrypoints as programs: their options, their log, their exit code and their output."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launch.requests import jobs

ENTRYPOINTS = Path(__file__).parents[2] / "entrypoints"
JOBS = sorted(file.stem for file in ENTRYPOINTS.glob("[!_]*.py"))


def start(root: Path, job: str, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-u", f"entrypoints/{job}.py", *map(str, options)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


# Those of this repository, whatever they do


@pytest.mark.parametrize("job", JOBS)
def test_help_names_every_option(repository: Path, job: str) -> None:
    done = start(repository, job, "--help")
    assert done.returncode == 0
    for action in jobs.read(job).build_parser().actions:
        if action.help != argparse.SUPPRESS:
            assert all(option in done.stdout for option in action.option_strings)


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("options", [["--no_such_option", "1"], ["positional"]])
def test_unknown_options_are_reported_before_missing_inputs(
    repository: Path, job: str, options: list[str]
) -> None:
    done = start(repository, job, *options)
    assert done.returncode == 2
    assert f"unrecognized arguments: {options[0]}" in done.stderr


# One for the tests


@pytest.fixture
def data(small_project: Path) -> Path:
    return small_project / "data"


def logged_arguments(log: str) -> Any:
    line = next(line for line in log.splitlines() if " arguments " in line)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S* INFO ", line)
    return json.loads(line.partition(" arguments ")[2])


def test_a_job_logs_and_records_its_arguments(
    small_project: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    paths = ["--input_path", data, "--output_path", output]
    done = start(small_project, "probe", *paths, "--do", "nothing", "at all")
    assert done.returncode == 0, done.stdout + done.stderr
    logged = logged_arguments(done.stdout)
    assert (logged["input_path"], logged["output_path"]) == (str(data), str(output))
    assert logged["do"] == ["nothing", "at all"]
    record = json.loads((output / "job.json").read_text())
    assert (record["job"], record["arguments"]) == ("probe", logged)
    assert record["started"] <= record["finished"]
    assert record["versions"]["python"]
    files = {path for path in output.rglob("*") if path.is_file()} - {output / "job.json"}
    assert {output / name for name in record["files"]} == files


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--input", "data"], "--input"),
        (["--inputs_path", "data"], "--inputs_path"),
        (["--input_path", "missing"], "argument --input_path: 'missing' does not exist"),
        (["--input_path", "pyproject.toml"], "argument --input_path: 'pyproject.toml' is a file"),
        (["--lookup_path", "data"], "argument --lookup_path: 'data' holds more than one file"),
        (["--result_path", "data"], "argument --result_path: 'data' is not a complete output"),
        ([], "'/opt/ml/processing/input/some' does not exist"),
    ],
)
def test_a_wrong_argument_is_rejected(
    small_project: Path, data: Path, tmp_path: Path, options: list[str], named: str
) -> None:
    paths = ["--input_path", data, "--output_path", tmp_path / "out"] if options else []
    done = start(small_project, "probe", *paths, *options)
    assert done.returncode == 2
    assert named in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_output_that_holds_files_is_rejected(
    small_project: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "old").touch()
    done = start(small_project, "probe", "--input_path", data, "--output_path", output)
    assert done.returncode == 2
    assert "argument --output_path" in done.stderr
    assert [path.name for path in output.iterdir()] == ["old"]


@pytest.mark.parametrize("folder", [".", "below"])
def test_an_output_that_holds_an_input_is_rejected(
    small_project: Path, data: Path, tmp_path: Path, folder: str
) -> None:
    def contents() -> dict[Path, bytes | None]:
        return {path: path.read_bytes() if path.is_file() else None for path in output.rglob("*")}

    output = tmp_path / "out"
    shutil.copytree(data, output / folder)
    before = contents()
    options = ("--input_path", output / folder, "--output_path", output)
    done = start(small_project, "probe", *options)
    assert done.returncode == 2
    assert "--input_path" in done.stderr.splitlines()[-1]
    assert contents() == before
