"""Runs the entrypoints as programs: their options, logs and outputs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def command(job: str, *options: object) -> list[str]:
    return [sys.executable, "-u", f"entrypoints/{job}.py", *map(str, options)]


def start(repository: Path, job: str, *options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(job, *options), cwd=repository, capture_output=True, text=True, check=False
    )


def logged_arguments(log: str) -> Any:
    line = next(line for line in log.splitlines() if " arguments " in line)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S* INFO ", line)
    return json.loads(line.partition(" arguments ")[2])


def test_one_job_feeds_the_next(repository: Path, raw: Path, tmp_path: Path) -> None:
    dataset, trials, model = (tmp_path / name for name in ("dataset", "trials", "model"))
    runs: dict[str, dict[str, Path | int]] = {
        "preprocess": {"input_path": raw, "output_path": dataset},
        "tune": {"input_path": dataset, "output_path": trials, "trials": 2, "folds": 2},
        "train": {"input_path": dataset, "trials_path": trials, "output_path": model},
    }
    for job, arguments in runs.items():
        options = [text for name, value in arguments.items() for text in (f"--{name}", value)]
        done = start(repository, job, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        logged = logged_arguments(done.stdout)
        assert {name: logged[name] for name in arguments} == {
            name: value if isinstance(value, int) else str(value)
            for name, value in arguments.items()
        }
        output = Path(str(arguments["output_path"]))
        record = json.loads((output / "job.json").read_text())
        assert (record["job"], record["arguments"]) == (job, logged)
        assert record["started"] <= record["finished"]
        assert record["versions"]["polars"]
        files = {path for path in output.rglob("*") if path.is_file()} - {output / "job.json"}
        assert {output / name for name in record["files"]} == files
    assert json.loads((model / "metrics.json").read_text())["accuracy"] > 0.9
    assert (model / "model.pkl").stat().st_size > 0


def test_the_model_can_be_trained_without_trials(
    repository: Path, raw: Path, tmp_path: Path
) -> None:
    dataset, model = tmp_path / "dataset", tmp_path / "model"
    for job, source, output in (("preprocess", raw, dataset), ("train", dataset, model)):
        done = start(repository, job, "--input_path", source, "--output_path", output)
        assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((model / "metrics.json").read_text())
    assert metrics["parameters"] == {}
    assert metrics["accuracy"] > 0.9


def test_results_do_not_depend_on_the_number_of_cpus(
    repository: Path, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With enough rows for parallel fits, and a table that is larger than a chunk."""
    tables = tmp_path / "tables"
    tables.mkdir()
    for table in raw.iterdir():
        header, *rows = table.read_text(encoding="utf-8").splitlines(keepends=True)
        (tables / table.name).write_text(header + "".join(rows * 30), encoding="utf-8")
    results = []
    for cpus in ("1", "2", "4"):
        monkeypatch.setenv("JOB_CPUS", cpus)
        dataset, trials, model = (tmp_path / cpus / name for name in ("dataset", "trials", "model"))
        for job, source, output, *options in (
            ("preprocess", tables, dataset),
            ("tune", dataset, trials, "--trials=2", "--folds=2"),
            ("train", dataset, model, "--trials_path", trials),
        ):
            paths = ("--input_path", source, "--output_path", output)
            done = start(repository, job, *paths, *options)
            assert done.returncode == 0, done.stdout + done.stderr
        results.append(
            {
                path.relative_to(tmp_path / cpus): path.read_bytes()
                for path in (tmp_path / cpus).rglob("*")
                if path.is_file() and path.name != "job.json"
            }
        )
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(
    ("job", "options", "named"),
    [
        ("preprocess", ["--test_fraction", "1.5"], "--test_fraction"),
        ("preprocess", ["--test_fraction", "nan"], "--test_fraction"),
        ("preprocess", ["--sed", "1"], "--sed"),
        ("preprocess", ["--input", "data"], "--input"),
        ("preprocess", [], "/opt/ml/processing/input/raw"),
        ("tune", ["--trials", "0"], "--trials"),
        ("tune", ["--folds", "two"], "--folds"),
        ("train", ["--seed", "-1"], "--seed"),
        ("train", ["--trials_path", "missing"], "--trials_path"),
    ],
)
def test_a_wrong_argument_is_rejected(
    repository: Path, raw: Path, tmp_path: Path, job: str, options: list[str], named: str
) -> None:
    paths = ["--input_path", raw, "--output_path", tmp_path / "out"] if options else []
    done = start(repository, job, *paths, *options)
    assert done.returncode == 2
    assert named in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--input_pth", "data"], ["data"]])
def test_unknown_options_are_reported_before_missing_inputs(
    repository: Path, options: list[str]
) -> None:
    done = start(repository, "preprocess", *options)
    assert done.returncode == 2
    assert f"unrecognized arguments: {options[0]}" in done.stderr


@pytest.mark.parametrize("job", ["tune", "train"])
def test_an_input_without_a_record_is_rejected(
    repository: Path, dataset_path: Path, tmp_path: Path, job: str
) -> None:
    paths = ["--input_path", dataset_path, "--output_path", tmp_path / "out"]
    done = start(repository, job, *paths)
    assert done.returncode == 2
    assert "argument --input_path" in done.stderr
    assert "job.json" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_output_that_holds_files_is_rejected(
    repository: Path, raw: Path, tmp_path: Path
) -> None:
    (tmp_path / "old").touch()
    done = start(repository, "preprocess", "--input_path", raw, "--output_path", tmp_path)
    assert done.returncode == 2
    assert "argument --output_path" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("folder", [".", "train"])
def test_an_output_that_holds_an_input_is_rejected(
    repository: Path, raw: Path, tmp_path: Path, folder: str
) -> None:
    def contents() -> dict[Path, bytes | None]:
        return {path: path.read_bytes() if path.is_file() else None for path in output.rglob("*")}

    output = tmp_path / "output"
    shutil.copytree(raw, output / folder)
    before = contents()
    options = ("--input_path", output / folder, "--output_path", output)
    done = start(repository, "preprocess", *options)
    assert done.returncode == 2
    assert "--input_path" in done.stderr.splitlines()[-1]
    assert contents() == before
