"""The list of what was launched on SageMaker, and the names that stand for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from aws_faults import Faults
from launch import LaunchError
from launch import list as list_launches
from launch.__main__ import main
from launch.commands import table
from launch.history import account, listing, recordings
from launches import START, Launches

ID = "20261130-120000-abc123"


@pytest.fixture
def launches(faults: Faults, small_project: Path) -> Launches:
    """An account without launches; the project is named ``small``, its job ``probe``."""
    assert small_project.exists()
    made = Launches()
    made.install(faults)
    return made


def own(**tags: str) -> dict[str, str]:
    return {"project": "small", "job": "probe", "commit": "abc", "run": "r1", **tags}


def listed(capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["list", "--json", *argv]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_the_newest_is_listed_first_with_everything_about_it(
    launches: Launches, capsys: pytest.CaptureFixture[str]
) -> None:
    output = {"OutputName": "seen", "S3Output": {"S3Uri": "s3://b/small/runs/r1/probe/seen"}}
    launches.add_job(f"small-probe-{ID}", tags=own(), minutes=1)
    launches.add_job(
        "small-probe-20261130-120000-abc124",
        "Failed",
        tags=own(run="r2"),
        minutes=5,
        ExitMessage="no rows",
        ProcessingOutputConfig={"Outputs": [output]},
        ProcessingResources={"ClusterConfig": {"InstanceType": "ml.c5.large", "InstanceCount": 2}},
    )
    arn = launches.add_execution(
        "small-launched", "e1", minutes=3, PipelineExecutionDisplayName="r3"
    )
    first, second, third = listed(capsys)
    assert (first["name"], first["run"]) == ("small-probe-20261130-120000-abc124", "r2")
    assert (first["status"], first["message"], first["seconds"]) == ("Failed", "no rows", 90)
    assert (first["instance"], first["commit"]) == ("2 x ml.c5.large", "abc")
    assert first["outputs"] == {"output_path": "s3://b/small/runs/r1/probe/seen"}
    assert (second["name"], second["run"], second["arn"]) == ("small-launched/e1", "r3", arn)
    assert (second["job"], second["status"], second["seconds"]) == ("pipeline", "Completed", 300)
    assert third["started"] == "2026-11-30T12:01:00+00:00"


def test_the_instance_type_that_was_selected_is_listed(
    launches: Launches, capsys: pytest.CaptureFixture[str]
) -> None:
    preferences = [
        {"InstanceType": "ml.m5.4xlarge", "InstanceCount": 4},
        {"InstanceType": "ml.c5.4xlarge", "InstanceCount": 2},
    ]
    cluster = {"InstancePreferences": preferences, "VolumeSizeInGB": 30}
    selected = {"SelectedInstanceType": "ml.c5.4xlarge", "SelectedInstanceCount": 2}
    resources = {"ClusterConfig": {**cluster, **selected}}
    launches.add_job(f"small-probe-{ID}", tags=own(), ProcessingResources=resources)
    name = "small-probe-20261130-120000-abc124"
    resources = {"ClusterConfig": {**cluster, "SelectedInstanceType": "ml.c5.4xlarge"}}
    launches.add_job(name, tags=own(), minutes=-1, ProcessingResources=resources)
    name = "small-probe-20261130-120000-abc125"
    resources = {"ClusterConfig": cluster}
    launches.add_job(name, "InProgress", minutes=-2, ProcessingResources=resources)
    instances = [entry["instance"] for entry in listed(capsys)]
    waiting = "4 x ml.m5.4xlarge/ml.c5.4xlarge"
    assert instances == ["2 x ml.c5.4xlarge", "2 x ml.c5.4xlarge", waiting]


@pytest.mark.parametrize("readable", [True, False], ids=["tags", "no tags"])
def test_launches_of_a_project_whose_name_begins_the_same_way_never_appear(
    launches: Launches, faults: Faults, readable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"project": "small-model", "job": "probe"}
    launches.add_job(f"small-probe-{ID}", tags=own())
    launches.add_job(f"small-model-probe-{ID}", tags=other)
    launches.add_job(f"a-small-probe-{ID}", tags={"project": "a-small", "job": "probe"})
    launches.add_job("small-probe-by-hand", tags={})
    launches.add_execution("small-model-launched", "e1")
    # A project may be named like this project's pipeline.
    arn = launches.add_execution("small-launched", "e2")
    launches.tags[arn.partition("/execution")[0]] = {"project": "small-launched"}
    if not readable:
        faults.fail("GetResources", "AccessDeniedException")
        del launches.executions[arn]
    assert [entry["name"] for entry in listed(capsys)] == [f"small-probe-{ID}"]
    with pytest.raises(LaunchError, match="there is no"):
        listing.find(f"small-model-probe-{ID}")


def test_a_job_of_a_project_with_a_longer_name_is_told_apart_by_its_tag(
    launches: Launches, capsys: pytest.CaptureFixture[str]
) -> None:
    launches.add_job(f"small-probe-{ID}", tags={"project": "small-probe", "job": ID})
    assert not listed(capsys)


def test_a_job_whose_tags_are_not_known_yet_is_listed_by_its_whole_name(
    launches: Launches, capsys: pytest.CaptureFixture[str]
) -> None:
    launches.add_job(f"small-probe-{ID}", "InProgress")
    (entry,) = listed(capsys)
    assert (entry["job"], entry["run"], entry["status"]) == ("probe", ID, "InProgress")


@pytest.mark.parametrize("limit", [20, 1000])
def test_a_thousand_runs_need_few_calls(
    launches: Launches, faults: Faults, limit: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(1000):
        name = f"small-probe-20261130-120000-{number:06}"
        launches.add_job(name, tags=own(), minutes=number)
    faults.calls.clear()
    found = listed(capsys, "--limit", str(limit))
    assert len(found) == limit
    assert found[0]["name"].endswith("000999")
    pages = max(1, limit // 100)
    assert faults.calls["ListProcessingJobs"] == pages
    assert faults.calls["GetResources"] == pages
    assert faults.calls["ListPipelineExecutions"] == 2
    assert faults.calls["DescribeProcessingJob"] == min(limit, 50)
    assert faults.calls.total() == 2 * pages + 2 + min(limit, 50)


def test_what_has_ended_is_described_once(
    launches: Launches, faults: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    launches.add_job(f"small-probe-{ID}", tags=own())
    launches.add_job("small-probe-20261130-120000-abc124", "InProgress", tags=own())
    launches.add_execution("small-launched", "e1")
    first = listed(capsys)
    faults.calls.clear()
    again = listed(capsys)
    assert [entry["instance"] for entry in again] == [entry["instance"] for entry in first]
    assert faults.calls["DescribeProcessingJob"] == 1
    assert faults.calls["DescribePipelineExecution"] == 0


def test_jobs_of_others_do_not_hide_those_of_this_project(
    launches: Launches, capsys: pytest.CaptureFixture[str]
) -> None:
    launches.add_job(f"small-probe-{ID}", tags=own())
    for number in range(250):
        name = f"small-model-probe-20261130-120000-{number:06}"
        launches.add_job(name, tags={"project": "small-model"}, minutes=number + 1)
    assert [entry["name"] for entry in listed(capsys, "--limit", "1")] == [f"small-probe-{ID}"]


@pytest.mark.parametrize(
    ("operation", "code", "advice"),
    [
        ("ListProcessingJobs", "AccessDeniedException", "do not allow"),
        ("ListProcessingJobs", "ThrottlingException", "try again later"),
        ("ListProcessingJobs", "ExpiredTokenException", "renew them"),
        ("ListPipelineExecutions", "AccessDeniedException", "do not allow"),
        ("DescribeProcessingJob", "AccessDeniedException", "do not allow"),
        ("GetResources", "AccessDeniedException", "do not allow"),
        ("GetResources", "ThrottlingException", "try again later"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(
    launches: Launches,
    faults: Faults,
    operation: str,
    code: str,
    advice: str,
    small_project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["probe", "--input_path", str(small_project / "data"), "--run_name", "here"]) == 0
    launches.add_job(f"small-probe-{ID}", tags=own())
    launches.add_execution("small-launched", "e1")
    faults.fail(operation, code)
    capsys.readouterr()
    assert main(["list"]) == 0
    shown = capsys.readouterr()
    assert "out/here" in shown.out
    (line,) = shown.err.splitlines()
    assert operation in line
    assert advice in line


@pytest.mark.usefixtures("launches")
def test_without_a_network_the_list_shows_this_machine(
    faults: Faults, small_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", "--input_path", str(small_project / "data"), "--run_name", "here"]) == 0
    for operation in ("ListProcessingJobs", "ListPipelineExecutions", "GetResources"):
        faults.disconnect(operation)
    capsys.readouterr()
    assert main(["list"]) == 0
    shown = capsys.readouterr()
    assert "out/here" in shown.out
    assert "check the network" in shown.err
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize("missing", ["AWS_REGION", "AWS_ACCESS_KEY_ID"])
@pytest.mark.usefixtures("launches")
def test_without_credentials_or_region_the_list_shows_this_machine(
    missing: str,
    small_project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["probe", "--input_path", str(small_project / "data"), "--run_name", "here"]) == 0
    monkeypatch.delenv(missing)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    capsys.readouterr()
    assert main(["list"]) == 0
    shown = capsys.readouterr()
    assert "out/here" in shown.out
    assert len(shown.err.splitlines()) == 1
    assert "`" in shown.err  # a command


def test_a_job_that_is_deleted_meanwhile_is_no_error(
    launches: Launches, faults: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    launches.add_job(f"small-probe-{ID}", tags=own())
    faults.intercept("DescribeProcessingJob", lambda _: launches.jobs.clear(), times=1)
    (entry,) = listed(capsys)
    assert entry["status"] == "Completed"
    assert main(["show", f"probe-{ID}"]) == 2
    assert "there is no" in capsys.readouterr().err


# Names


def test_a_unique_beginning_is_enough(launches: Launches) -> None:
    launches.add_job(f"small-probe-{ID}", tags=own())
    launches.add_job("small-probe-20261130-130000-abc124", tags=own(run="r2"))
    whole = f"small-probe-{ID}"
    for name in (whole, f"probe-{ID}", "probe-20261130-12", "small-probe-20261130-12", "r1"):
        assert listing.find(name).name == whole


def test_the_name_of_a_run_stands_for_its_pipeline(launches: Launches) -> None:
    launches.add_job(f"small-probe-{ID}", tags=own(run="my.run"))
    arn = launches.add_execution("small-launched", "e1", PipelineExecutionDisplayName="my-run")
    for name in (arn, "small-launched/e1", "e1", "my.run", "launched/e1"):
        assert listing.find(name).arn == arn


def test_an_ambiguous_name_lists_the_candidates(launches: Launches) -> None:
    launches.add_job(f"small-probe-{ID}", tags=own())
    launches.add_job("small-probe-20261130-130000-abc124", tags=own())
    with pytest.raises(LaunchError) as rejected:
        listing.find("r1")
    assert f"probe-{ID}" in str(rejected.value)
    assert "probe-20261130-130000-abc124" in str(rejected.value)


def test_an_unknown_name_lists_the_nearest(launches: Launches) -> None:
    launches.add_job(f"small-probe-{ID}", tags=own(run="seventh"))
    with pytest.raises(LaunchError, match="did you mean seventh"):
        listing.find("sevenht")
    with pytest.raises(LaunchError, match="list` lists"):
        listing.find("quite-different")


def test_an_older_job_is_found_by_its_whole_name(
    launches: Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_PAGES", 1)
    launches.add_job(f"small-probe-{ID}", tags=own(run="old"))
    for number in range(100):
        name = f"small-model-probe-20261130-120000-{number:06}"
        launches.add_job(name, tags={"project": "small-model"}, minutes=number + 1)
    assert listing.find(f"probe-{ID}").run == "old"


# Tables


def test_a_table_fits_the_terminal(launches: Launches, small_project: Path) -> None:
    launches.add_job(f"small-probe-{ID}", tags=own(commit="c" * 40 + "-dirty"))
    assert main(["probe", "--input_path", str(small_project / "data"), "--run_name", "h" * 60]) == 0
    entries = listing.newest(9).entries
    for width in (200, 150, 120, 80):
        lines = table.text(entries, width).splitlines()
        assert max(map(len, lines[:3])) <= width
        assert all(f"probe-{entry.run}"[:5] in lines[1] + lines[2] for entry in entries)
    assert "h" * 60 in table.text(entries, None)


def test_a_table_shows_the_run_names_that_were_chosen(launches: Launches) -> None:
    launches.add_job(f"small-probe-{ID}", tags=own(run=ID))
    assert "RUN" not in table.text(listing.newest(9).entries, 100)
    launches.add_job("small-probe-20261130-120000-abc124", tags=own(run="chosen"))
    head, *rows = table.text(listing.newest(9).entries, 100).splitlines()
    column = head.index("RUN")
    shown = {row[:column].strip(): row[column:].split("  ")[0] for row in rows[:2]}
    assert shown == {f"probe-{ID}": "", "probe-20261130-120000-abc124": "chosen"}


def test_a_notebook_shows_an_escaped_table(launches: Launches) -> None:
    launches.add_job(f"small-probe-{ID}", tags=own(commit="<b>"))
    shown = list_launches()._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert f"probe-{ID}" in shown


def test_durations_are_short() -> None:
    assert [table.duration(each) for each in (7, 723, 19_212)] == ["7s", "12m 03s", "5h 20m"]


def test_nothing_was_launched_yet(launches: Launches, capsys: pytest.CaptureFixture[str]) -> None:
    assert not launches.jobs
    assert main(["list"]) == 0
    assert "-m launch" in capsys.readouterr().out
    assert not recordings.names()


def test_times_are_shown_in_the_zone_of_this_machine() -> None:
    assert table.local_time(START) == f"{START.astimezone():%Y-%m-%d %H:%M}"
