"""Runs side by side: what differs between them, and their metrics."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aws_faults import Faults, store
from earlier_runs import COMMIT, record, result, write
from launch import LaunchError, compare, launch
from launch.__main__ import main
from launch.commands.comparison import Comparison
from launch.history.results import names_of
from small_pipeline import edit_table
from test_execution import answer

MODEL = {"model.bin": "x"}
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/small-launched/execution"


def report(score: float, **others: Any) -> dict[str, str]:
    return MODEL | {"report.json": json.dumps({"other": 1, "score": score, **others})}


def add(root: Path, run: str, job: str, files: Mapping[str, str], **fields: Any) -> Path:
    channel = {"fit": "model"}.get(job, "data")
    folder = root / "out" / run / job / channel
    write(folder, result(job, files, **fields))
    return folder


def rows(comparison: Comparison) -> dict[tuple[str, str], list[Any]]:
    return {(row.kind, row.name): list(row.values) for row in comparison.rows}


def test_options_that_differ_commits_and_metrics_are_shown(small_pipeline: Path) -> None:
    common = {"rate": 0.5, "data_path": "/opt/ml/processing/input/data"}
    other = "f" * 40 + "-dirty"
    add(small_pipeline, "a", "fit", report(0.5), arguments={"seed": 1, **common})
    add(small_pipeline, "b", "fit", report(0.75), arguments={"seed": 2, **common}, commit=other)
    found = rows(compare(["a", "b"]))
    assert found["commit", "fit"] == [COMMIT, other]
    assert found["option", "fit.seed"] == [1, 2]
    assert not {name for kind, name in found if kind == "option"} - {"fit.seed"}
    metrics = [name for kind, name in found if kind == "metric"]
    assert metrics == ["fit.score", "fit.other"]
    assert found["metric", "fit.score"] == [0.5, 0.75]


def test_numbers_in_objects_have_the_names_of_all_keys(small_pipeline: Path) -> None:
    nested = {"test": {"mean": 2, "rows": [1, 2], "text": "x", "yes": True, "none": None}}
    add(small_pipeline, "a", "fit", report(0.5, **nested))
    found = [name for kind, name in rows(compare(["a"])) if kind == "metric"]
    assert found == ["fit.score", "fit.other", "fit.test.mean"]


def test_without_a_metric_the_files_named_metrics_are_read(small_pipeline: Path) -> None:
    (small_pipeline / "launch.toml").write_text("")
    files = {"deep/metrics-test.json": '{"x": 1}', "other.json": '{"y": 2}', "metrics.txt": "z"}
    add(small_pipeline, "a", "fit", files)
    found = rows(compare(["a"]))
    assert {key: value for key, value in found.items() if key[0] == "metric"} == {
        ("metric", "fit.x"): [1]
    }


@pytest.mark.parametrize("content", ["", "[]", "{", "3", '{"score": "high"}', '{"score": NaN}'])
def test_a_file_without_numbers_is_no_error(small_pipeline: Path, content: str) -> None:
    add(small_pipeline, "a", "fit", {"report.json": content})
    comparison = compare(["a"])
    assert str(comparison)
    json.loads(comparison.to_json(), parse_constant=lambda name: pytest.fail(name))


def test_equal_content_has_equal_digests(small_pipeline: Path) -> None:
    for run, text in (("a", "1"), ("b", "1"), ("c", "2")):
        add(small_pipeline, run, "make_data", {"x": text}, arguments={"run": run})
    first, second, third = rows(compare(["a", "b", "c"]))["output", "make_data.data"]
    assert first == second
    assert first != third


def test_the_time_of_each_job_is_shown_even_if_it_is_the_same(small_pipeline: Path) -> None:
    for run in ("a", "b"):
        add(small_pipeline, run, "fit", report(0.5))
    first, second = rows(compare(["a", "b"]))["time", "fit"]
    assert first == second
    assert first is not None


def test_several_hosts_are_one_job(small_pipeline: Path) -> None:
    for run, hosts in (("a", 1), ("b", 2)):
        folder = small_pipeline / "out" / run / "make_data" / "data"
        for index in range(hosts):
            files = {f"{run}{index}": b"x"}
            write(folder, files | record("make_data", files, host=f"algo-{index + 1}", hosts=hosts))
    found = rows(compare(["a", "b"]))
    assert found["job", "make_data.hosts"] == [1, 2]
    assert ("job", "make_data.incomplete") not in found


def test_runs_of_different_jobs_have_blanks(small_pipeline: Path) -> None:
    add(small_pipeline, "a", "make_data", {"x": "1"}, arguments={"seed": 1})
    add(small_pipeline, "b", "fit", report(0.5), arguments={"seed": 2})
    found = rows(compare(["a", "b"]))
    assert found["commit", "make_data"] == [COMMIT, None]
    assert found["metric", "fit.score"] == [None, 0.5]
    assert not [name for kind, name in found if kind == "option"]


def test_results_without_records_are_named(small_pipeline: Path) -> None:
    write(small_pipeline / "out" / "a" / "fit" / "model", {"report.json": b'{"score": 0.5}'})
    (add(small_pipeline, "b", "fit", report(0.75)) / "model.bin").unlink()
    found = rows(compare(["a", "b"]))
    assert found["commit", "fit"] == ["unknown", COMMIT]
    first, second = found["job", "fit.incomplete"]
    assert "no record" in first
    assert "model.bin is missing" in second
    assert found["metric", "fit.score"] == [0.5, 0.75]


def test_inputs_are_those_of_the_launch(small_pipeline: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(small_pipeline / "raw", small_pipeline / "data" / name)
        launch("make_data", input_path=small_pipeline / "data" / name, run_name=name)
    (first, second) = rows(compare(["a", "b"]))["input", "make_data.raw"]
    assert first.startswith("data/a (")
    assert second.startswith("data/b (")


def test_what_a_pipeline_took_from_another_run_belongs_to_it(small_pipeline: Path) -> None:
    add(small_pipeline, "a", "make_data", {"x": "1"})
    add(small_pipeline, "b", "fit", report(0.5))
    write(small_pipeline / "out" / "b", {"make_data.json": b'{"run": "a"}'})
    found = rows(compare(["a", "b"]))
    assert found["commit", "make_data"] == [COMMIT, COMMIT]
    assert found["job", "make_data.taken from"] == [None, "a"]


def test_the_table_is_aligned_and_escaped(small_pipeline: Path) -> None:
    add(small_pipeline, "a", "fit", report(0.5), arguments={"label": "<b>"})
    add(small_pipeline, "b", "fit", report(0.75), arguments={"label": "x"})
    comparison = compare(["a", "b"])
    lines = str(comparison).splitlines()
    position = lines[0].index("b")
    assert all(line[position - 1] == " " for line in lines)
    assert "<td>&lt;b&gt;</td>" in comparison._repr_html_()
    assert repr(comparison) == str(comparison)


def test_the_command_prints_a_table_or_json(
    small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(small_pipeline, "a", "fit", report(0.5))
    add(small_pipeline, "b", "fit", report(0.75))
    assert main(["compare", "a", "b"]) == 0
    assert "0.75" in capsys.readouterr().out
    assert main(["compare", "a", "b", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [run["metrics"]["fit.score"] for run in shown["runs"]] == [0.5, 0.75]
    assert shown["metric"] == "fit.score"
    assert {"kind": "metric", "name": "fit.score", "values": [0.5, 0.75]} in shown["differences"]


@pytest.mark.parametrize(
    "name", ["small-r", "small-fit-20260102-030405-abc123", "20260102-030405-abc123"]
)
def test_a_run_is_known_by_its_pipeline_and_by_its_launch(small_pipeline: Path, name: str) -> None:
    for run in ("r", "20260102-030405-abc123"):
        add(small_pipeline, run, "fit", report(0.5))
    assert compare([name]).runs[0].name in name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["earlie"], "did you mean earlier?"),
        ([".."], "not the name of a run"),
        (["out/earlier"], "not the name of a run"),
        ([], "RUN"),
        (["earlier", "--jsno"], "--jsno"),
    ],
)
def test_what_is_no_run_is_rejected(
    small_pipeline: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.delenv("S3_BUCKET", raising=False)
    add(small_pipeline, "earlier", "fit", report(0.5))
    assert main(["compare", *words]) == 2
    assert message in capsys.readouterr().err


# In S3


def test_a_run_in_s3_is_compared_with_one_on_this_machine(
    account: Faults, small_pipeline: Path
) -> None:
    add(small_pipeline, "a", "fit", report(0.5), arguments={"seed": 1})
    files = result("fit", report(0.75), arguments={"seed": 2}, processing_job_name="job")
    for name, content in files.items():
        store(f"small/runs/b-id/fit/model/{name}", content)
    uri = {"S3Uri": f"s3://team-bucket/small/inputs/{'3' * 64}/"}
    described = {"ProcessingInputs": [{"InputName": "data", "S3Input": uri}]}
    account.intercept("DescribeProcessingJob", lambda _: answer(described))
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/small-launched/execution/b-id"
    found = rows(compare(["a", arn]))
    assert found["option", "fit.seed"] == [1, 2]
    assert found["metric", "fit.score"] == [0.5, 0.75]
    assert found["input", "fit.data"] == [None, "3" * 64]
    account.fail("DescribeProcessingJob", "AccessDeniedException")
    with pytest.raises(LaunchError, match="did you mean b-id"):
        compare(["bid"])


def test_a_run_is_named_although_s3_cannot_be_read(account: Faults, small_pipeline: Path) -> None:
    add(small_pipeline, "earlier", "fit", report(0.5))
    account.fail("ListObjectsV2", "AccessDenied")
    with pytest.raises(LaunchError, match=r"did you mean earlier.*in S3: .*AccessDenied"):
        compare(["earlie"])


def test_a_metric_that_is_missing_in_the_table_is_none(small_pipeline: Path) -> None:
    edit_table(small_pipeline, 'name = "score"', 'name = "else"')
    add(small_pipeline, "a", "fit", report(0.5))
    comparison = compare(["a"])
    assert comparison.metric == "fit.else"
    assert comparison.metric not in comparison.runs[0].metrics


@pytest.mark.usefixtures("small_pipeline")
@pytest.mark.parametrize("name", ["launched/e1", "small-launched/e1", "small/e1", f"{ARN}/e1"])
def test_an_execution_is_found_by_each_of_its_names(name: str) -> None:
    assert names_of(name) == ["e1"]


def test_a_run_is_found_by_the_name_of_a_launch(small_pipeline: Path) -> None:
    done = launch("make_data", input_path=small_pipeline / "raw", run_name="mine")
    short = done.name.removeprefix("small-")
    for name in (done.name, short):
        assert "mine" in names_of(name)
    assert "20260101-000000-abcdef" in names_of("fit-20260101-000000-abcdef")
