"""Shows, follows, stops and repeats what was launched on SageMaker before."""

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import launches as stand_in
from aws_faults import BUCKET, Faults, answer, store
from launch import LaunchError
from launch.__main__ import main
from launch.backends.logs import GROUP
from launch.commands import detail, launched_run, repeat
from launch.history.account import Account
from launch.pipelines import definition, pipeline
from launch.storage import code, s3
from launches import Launches, job_step
from repositories import add_options
from small_pipeline import edit_table

ID = "20261130-120000-abc123"
HIDDEN = "hunter2"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time pass while launch sleeps."""
    now = [1000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    for module in (
        "launch.backends.sagemaker",
        "launch.backends.execution",
        "launch.commands.attach.time",
    ):
        monkeypatch.setattr(f"{module}.sleep", sleep)
    for module in ("launch.backends.sagemaker", "launch.backends.execution"):
        monkeypatch.setattr(f"{module}.monotonic", lambda: now[0])


@pytest.fixture
def launches(account: Faults, monkeypatch: pytest.MonkeyPatch) -> Launches:
    """An account; the project ``small`` has the jobs ``make_data`` and ``fit``."""
    made = Launches()
    made.install(account)
    monkeypatch.setattr("launch.settings.project.stamp", lambda: "new")
    return made


def own(job: str = "make_data", **tags: str) -> dict[str, str]:
    return {"project": "small", "job": job, "commit": "old", "run": "r", **tags}


def log(job: str, *lines: str) -> None:
    """Let a job have written lines shortly after its start."""
    import boto3

    logs = boto3.client("logs", region_name="eu-west-1")
    stream = {"logGroupName": GROUP, "logStreamName": f"{job}/algo-1-1"}
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(**stream)
    written = int(stand_in.START.timestamp() * 1000) + 1000
    events = [{"timestamp": written, "message": line} for line in lines]
    logs.put_log_events(**stream, logEvents=events)


@pytest.fixture
def recent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs be from now on, since moto hides old lines of a log."""
    monkeypatch.setattr(stand_in, "START", datetime.now(UTC) - timedelta(minutes=5))


def make_data(launches: Launches, status: str = "Completed", **fields: Any) -> str:
    """Make a job that read one input with some options, and return its name."""
    name = f"small-make-data-{ID}"
    source = {
        "S3Uri": f"s3://{BUCKET}/small/inputs/123/",
        "LocalPath": "/opt/ml/processing/input/raw",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "ShardedByS3Key",
    }
    target = {"S3Uri": f"s3://{BUCKET}/small/runs/r/make_data/data", "S3UploadMode": "EndOfJob"}
    launches.add_job(
        name,
        status,
        tags=own(),
        ProcessingInputs=[{"InputName": "raw", "S3Input": source}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "data", "S3Output": target}]},
        ProcessingResources={
            "ClusterConfig": {
                "InstanceType": "ml.c5.xlarge",
                "InstanceCount": 2,
                "VolumeSizeInGB": 50,
            }
        },
        AppSpecification={
            "ImageUri": "registry/image@sha256:old",
            "ContainerEntrypoint": ["python", "-u", "entrypoints/make_data.py"],
            "ContainerArguments": ["--rate", "0.25", "--names", "a b", "c"],
        },
        Environment={"COLOUR": "blue", "TOKEN": HIDDEN},
        **fields,
    )
    store("small/inputs/123/a.csv")
    return name


@pytest.mark.usefixtures("recent")
def test_a_failed_job_is_explained(launches: Launches, capsys: pytest.CaptureFixture[str]) -> None:
    name = make_data(launches, "Failed", FailureReason="AlgorithmError", ExitMessage="no rows")
    log(name, *(f"line {number}" for number in range(30)))
    assert main(["show", "r"]) == 0
    shown = capsys.readouterr()
    parts = ("Failed", "AlgorithmError", "no rows", "algo-1 | line 29", "2 x ml.c5.xlarge")
    for part in (*parts, f"again make-data-{ID} --backend docker", "ContainerArguments", "blue"):
        assert part in shown.out
    assert "line 9\n" not in shown.out
    assert HIDDEN not in shown.out
    assert not shown.err
    order = ("ContainerArguments", "no rows", "algo-1 | line 29", "again make-data")
    assert [shown.out.index(part) for part in order] == sorted(map(shown.out.index, order))


@pytest.mark.usefixtures("recent")
def test_a_log_that_cannot_be_read_does_not_hide_the_rest(
    launches: Launches, account: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    make_data(launches, "Failed", ExitMessage="no rows")
    account.fail("FilterLogEvents", "AccessDeniedException")
    assert main(["show", "r"]) == 0
    shown = capsys.readouterr().out
    assert "no rows" in shown
    assert "FilterLogEvents: AccessDeniedException" in shown


def test_the_record_of_a_completed_job_is_shown(launches: Launches) -> None:
    make_data(launches)
    record = {"job": "make_data", "commit": "old", "files": {"a": {}, "b": {}}}
    store("small/runs/r/make_data/data/job.json", json.dumps(record).encode())
    assert detail.show("r").record == {"job": "make_data", "commit": "old", "files": "2 files"}


def test_a_job_of_an_entrypoint_that_is_gone_is_shown_without_its_words(
    launches: Launches, capsys: pytest.CaptureFixture[str]
) -> None:
    application = {"ImageUri": "image", "ContainerArguments": ["--anything", HIDDEN]}
    launches.add_job(f"small-gone-{ID}", tags=own("gone"), AppSpecification=application)
    assert main(["show", "gone"]) == 0
    assert HIDDEN not in capsys.readouterr().out
    assert main(["again", "gone"]) == 2
    assert "there is no job 'gone'" in capsys.readouterr().err


@pytest.mark.usefixtures("recent")
@pytest.mark.parametrize("count", [5, 40])
def test_the_end_of_a_long_log_is_shown(launches: Launches, account: Faults, count: int) -> None:
    """CloudWatch returns one line in a page, the oldest first; a job ran for three hours."""
    ended = stand_in.START + timedelta(hours=3)
    name = make_data(launches, "Failed", ProcessingEndTime=ended.timestamp())
    times = [ended - timedelta(minutes=4 * number) for number in reversed(range(count))]

    def read(request: Any) -> Any:
        asked = json.loads(request.body)
        found = [time for time in times if time.timestamp() * 1000 >= asked["startTime"]]
        index = int(asked.get("nextToken", 0))
        event = {
            "logStreamName": f"{name}/algo-1-1",
            "timestamp": int(found[index].timestamp() * 1000),
            "message": f"line {times.index(found[index])}",
        }
        more = {"nextToken": str(index + 1)} if index + 1 < len(found) else {}
        return answer({"events": [event], **more})

    account.intercept("FilterLogEvents", read)
    expected = [f"algo-1 | line {number}" for number in range(count)][-20:]
    assert detail.show("r").last_lines == expected


@pytest.mark.usefixtures("recent")
def test_the_outputs_of_a_followed_job_are_named_by_option(launches: Launches) -> None:
    make_data(launches)
    address = f"s3://{BUCKET}/small/runs/r/make_data/data"
    assert launched_run.logs("r").outputs == {"output_path": address}
    assert ("--output_path", address) in detail.show("r").facts()


def test_all_parameters_of_an_execution_are_read(launches: Launches, account: Faults) -> None:
    arn = execute(launches)
    names = [f"p{number}" for number in range(3)]
    launches.definitions[arn] = {"Parameters": [{"Name": name} for name in names]}

    def listed(request: Any) -> Any:
        index = int(json.loads(request.body).get("NextToken", 0))
        item = {"Name": names[index], "Value": str(index)}
        more = {"NextToken": str(index + 1)} if index + 1 < len(names) else {}
        return answer({"PipelineParameters": [item], **more})

    account.intercept("ListPipelineParametersForExecution", listed)
    assert Account().definition(arn)["Values"] == {"p0": "0", "p1": "1", "p2": "2"}


@pytest.mark.usefixtures("recent")
def test_a_finished_job_is_followed_again(
    launches: Launches, capsys: pytest.CaptureFixture[str]
) -> None:
    name = make_data(launches, "Failed", ExitMessage="no rows")
    log(name, "first", "last")
    assert main(["logs", "r"]) == 1
    shown = capsys.readouterr().out
    assert "algo-1 | first" in shown
    assert "Failed after 90 s" in shown  # after its creation, not after the command
    assert "ExitMessage: no rows" in shown
    assert f"again make-data-{ID} --backend docker" in shown
    launches.jobs[name]["ProcessingJobStatus"] = "Completed"
    assert main(["logs", name]) == 0


@pytest.mark.usefixtures("recent")
def test_a_running_job_is_followed_to_its_end(
    launches: Launches, account: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    name = make_data(launches, "InProgress")

    def end(_: Any) -> None:
        launches.jobs[name]["ProcessingJobStatus"] = "Completed"

    account.intercept("DescribeProcessingJob", end, after=4)
    assert main(["logs", "r"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("InProgress after") < shown.index("Completed after")


def test_an_interrupt_names_the_commands(
    launches: Launches, account: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    make_data(launches, "InProgress")

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    account.intercept("DescribeProcessingJob", interrupt, after=2)
    with pytest.raises(KeyboardInterrupt):
        main(["logs", "r"])
    shown = capsys.readouterr().out
    assert f"logs make-data-{ID}" in shown
    assert f"stop make-data-{ID}" in shown
    assert not launches.stopped


def test_a_job_is_stopped_once(launches: Launches, capsys: pytest.CaptureFixture[str]) -> None:
    name = make_data(launches, "InProgress")
    assert main(["stop", "r"]) == 0
    assert launches.stopped == [name]
    assert f"logs make-data-{ID}" in capsys.readouterr().out
    launches.jobs[name]["ProcessingJobStatus"] = "Stopped"
    assert main(["stop", "r"]) == 0
    assert launches.stopped == [name]
    assert "has ended already: Stopped" in capsys.readouterr().out


def test_a_job_that_ends_while_it_is_stopped_has_ended(
    launches: Launches, account: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    name = make_data(launches, "InProgress")

    def end(_: Any) -> None:
        launches.jobs[name]["ProcessingJobStatus"] = "Completed"

    account.intercept("StopProcessingJob", end)
    account.fail("StopProcessingJob", "ValidationException")
    assert main(["stop", "r"]) == 0
    assert "has ended already: Completed" in capsys.readouterr().out


def test_a_job_that_may_not_be_stopped_says_why(
    launches: Launches, account: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    make_data(launches, "InProgress")
    account.fail("StopProcessingJob", "AccessDeniedException", message="user is not authorized")
    assert main(["stop", "r"]) == 2
    assert "user is not authorized" in capsys.readouterr().err


def test_a_job_that_is_deleted_meanwhile_is_reported(
    launches: Launches, account: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    make_data(launches, "InProgress")
    account.intercept("DescribeProcessingJob", lambda _: launches.jobs.clear(), after=1)
    for verb in ("logs", "again"):
        assert main([verb, "r"]) == 2
        shown = capsys.readouterr().err
        assert "does not find" in shown or "there is no" in shown


# Again


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], str]:
    capsys.readouterr()
    code = main(["again", *words, "--plan"])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    request: dict[str, Any] = json.loads(shown.out)
    return request, shown.err


def test_a_job_is_repeated_from_its_description(
    launches: Launches, capsys: pytest.CaptureFixture[str]
) -> None:
    name = make_data(launches)
    changes = ["--env", "TOKEN=new", "--image", "registry/image@sha256:new"]
    request, told = planned(capsys, "r", *changes)
    old = launches.jobs[name]
    assert request["ProcessingInputs"][0]["S3Input"]["S3Uri"].endswith("/small/inputs/123/")
    sharded = request["ProcessingInputs"][0]["S3Input"]["S3DataDistributionType"]
    assert sharded == "ShardedByS3Key"
    assert request["ProcessingResources"] == old["ProcessingResources"]
    assert request["StoppingCondition"] == old["StoppingCondition"]
    arguments = old["AppSpecification"]["ContainerArguments"]
    assert request["AppSpecification"]["ContainerArguments"] == arguments
    assert request["Environment"] == {"COLOUR": "blue", "TOKEN": "new"}
    assert request["ProcessingJobName"] != name
    assert "commit: old → new" in told
    assert "image: registry/image@sha256:old → registry/image@sha256:new" in told
    assert HIDDEN not in told


def test_a_change_replaces_an_option(
    launches: Launches, capsys: pytest.CaptureFixture[str]
) -> None:
    make_data(launches)
    changes = ["--env=TOKEN=new", "--image=image", "--rate=0.5", "--instance_count", "1"]
    request, _ = planned(capsys, "r", *changes)
    assert request["AppSpecification"]["ContainerArguments"] == [
        "--names",
        "a b",
        "c",
        "--rate=0.5",
    ]
    assert request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 1


def test_an_input_with_the_same_content_does_not_differ(
    launches: Launches, small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_data(launches)
    raw = small_pipeline / "raw"
    words = ["--env=TOKEN=new", "--image=registry/image@sha256:old", "--input_path", str(raw)]
    request, told = planned(capsys, "r", *words)
    uploaded = request["ProcessingInputs"][0]["S3Input"]["S3Uri"]
    assert f"/small/inputs/123 → {uploaded.rstrip('/')}" in told
    name = f"small-make-data-{ID}"
    launches.jobs[name]["ProcessingInputs"][0]["S3Input"]["S3Uri"] = uploaded
    store(f"{uploaded.partition(BUCKET + '/')[2]}a.csv")
    assert "--input_path" not in planned(capsys, "r", *words)[1]


def test_a_secret_variable_must_be_given_again(launches: Launches) -> None:
    make_data(launches)
    with pytest.raises(LaunchError, match="--env TOKEN=VALUE"):
        repeat.prepare(["r"])


TYPES = ("ml.m5.4xlarge", "ml.c5.4xlarge")


def several_types(first: int, second: int) -> dict[str, Any]:
    """Return the instances of a job with two types, as SageMaker answers."""
    preferences = [
        {"InstanceType": name, "InstanceCount": count}
        for name, count in zip(TYPES, (first, second), strict=True)
    ]
    return {"ClusterConfig": {"InstancePreferences": preferences, "VolumeSizeInGB": 30}}


def test_several_instance_types_are_repeated(
    launches: Launches, capsys: pytest.CaptureFixture[str]
) -> None:
    name = make_data(launches)
    launches.jobs[name]["ProcessingResources"] = several_types(4, 4)
    answered = launches.jobs[name]["ProcessingResources"]["ClusterConfig"]
    answered |= {"SelectedInstanceType": TYPES[1], "SelectedInstanceCount": 4}
    request, told = planned(capsys, "r", "--env=TOKEN=new", "--image=image")
    assert request["ProcessingResources"] == several_types(4, 4)
    assert "instances" not in told
    request, _ = planned(capsys, "r", "--env=TOKEN=x", "--image=image", "--instance_count=2")
    assert request["ProcessingResources"] == several_types(2, 2)
    assert main(["show", "r"]) == 0
    shown = capsys.readouterr().out
    assert f"4 x {TYPES[1]}" in shown
    assert f"--instance_type={','.join(TYPES)}" in shown


def test_a_number_for_each_instance_type_is_said_to_be_left_out(
    launches: Launches, small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = make_data(launches)
    launches.jobs[name]["ProcessingResources"] = several_types(4, 2)
    words = ["r", "--env=TOKEN=new", "--image=image"]
    request, told = planned(capsys, *words)
    assert request["ProcessingResources"]["ClusterConfig"]["InstanceType"] == "ml.m5.xlarge"
    old = f"4 x {TYPES[0]} or 2 x {TYPES[1]}"
    assert f"instances: {old} → 1 x ml.m5.xlarge" in told
    assert "instances:" not in planned(capsys, *words, "--instance_type=ml.m5.large")[1]
    heading = "[[request.ProcessingResources.ClusterConfig.InstancePreferences]]"
    table = small_pipeline / "launch.toml"
    text = table.read_text()
    for kind, count in zip(TYPES, (4, 2), strict=True):
        text += f'\n{heading}\nInstanceType = "{kind}"\nInstanceCount = {count}\n'
    table.write_text(text)
    request, told = planned(capsys, *words)
    assert request["ProcessingResources"] == several_types(4, 2)
    assert "instances:" not in told


def test_a_secret_option_is_hidden_however_it_was_typed(
    launches: Launches, small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_options(small_pipeline, "fit", '"-k", "--api_key"')
    application: dict[str, Any] = {"ImageUri": "registry/image@sha256:old"}
    for typed in ([f"-k{HIDDEN}"], ["--api_key", f"-my {HIDDEN}"]):
        application["ContainerArguments"] = [*typed, "--seed", "3"]
        launches.add_job(f"small-fit-{ID}", tags=own("fit"), AppSpecification=application)
        assert main(["show", "r"]) == 0
        assert main(["again", "r"]) == 2
        shown = capsys.readouterr()
        assert HIDDEN not in shown.out + shown.err
        assert f"add {'-k' if len(typed) == 1 else typed[0]} VALUE with" in shown.err


# Executions


def execute(launches: Launches, status: str = "Succeeded") -> str:
    """Make an execution whose first step is from the cache, and return its ARN."""
    arn = launches.add_execution(
        "small-launched", "e1", status, PipelineExecutionDisplayName="my-run"
    )
    launches.add_job("small-fit-e1-xyz", "Failed", tags=own("fit", run="my.run"))
    failed = {"FailureReason": "ClientError: no rows"}
    launches.steps[arn] = [
        job_step("make-data", "small-make-data-e0-xyz", CacheHitResult={}),
        job_step("fit", "small-fit-e1-xyz", "Failed", **failed),
    ]
    return arn


@pytest.mark.usefixtures("recent")
def test_a_failed_execution_names_the_job_and_its_log(
    launches: Launches, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(launches, "Failed")
    log("small-fit-e1-xyz", "it was the rows")
    assert main(["show", "my.run"]) == 0
    shown = capsys.readouterr().out
    assert "small-make-data-e0-xyz (from the cache)" in shown
    assert "fit: ClientError: no rows" in shown
    assert "algo-1 | it was the rows" in shown
    assert "show small-fit-e1-xyz" in shown


@pytest.mark.usefixtures("recent")
def test_an_execution_is_followed_with_the_logs_of_its_jobs(
    launches: Launches, account: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = execute(launches, "Executing")
    log("small-fit-e1-xyz", "it was the rows")

    def end(_: Any) -> None:
        launches.executions[arn]["PipelineExecutionStatus"] = "Failed"

    account.intercept("DescribePipelineExecution", end, after=4)
    assert main(["logs", "e1"]) == 1
    shown = capsys.readouterr().out
    assert "make-data: Succeeded (from the cache)" in shown
    assert shown.count("algo-1 | it was the rows") >= 1
    assert f"Failed: {arn}" in shown


@pytest.mark.usefixtures("recent")
def test_what_an_execution_took_from_an_earlier_one_is_not_followed(
    launches: Launches, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = execute(launches)
    earlier = {"SourcePipelineExecutionArn": "arn"}
    launches.steps[arn] = [
        job_step("make-data", "small-make-data-e0-xyz", SelectiveExecutionResult=earlier),
        job_step("fit", "small-fit-e1-xyz", AttemptCount=2),
    ]
    assert main(["logs", "e1"]) == 0
    shown = capsys.readouterr().out
    assert "make-data: Succeeded (from an earlier execution)" in shown
    assert "fit: Succeeded (attempt 2)" in shown
    assert "processing-jobs/small-make-data-e0-xyz" not in shown
    assert "again small-fit-e1-xyz --backend docker" in shown


@pytest.mark.usefixtures("recent")
def test_jobs_that_may_not_be_described_do_not_hold_up_an_execution(
    launches: Launches, account: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(launches)
    account.fail("DescribeProcessingJob", "AccessDeniedException")
    assert main(["logs", "e1"]) == 0
    shown = capsys.readouterr().out
    assert "fit: its job cannot be followed any more, but the execution can" in shown
    assert "no answer for 1 minute" in shown


def test_an_execution_is_stopped(launches: Launches, capsys: pytest.CaptureFixture[str]) -> None:
    arn = execute(launches, "Executing")
    assert main(["stop", "my.run"]) == 0
    assert launches.stopped == [arn]
    launches.executions[arn]["PipelineExecutionStatus"] = "Stopped"
    assert main(["stop", arn]) == 0
    assert "has ended already: Stopped" in capsys.readouterr().out


def test_an_execution_is_repeated_from_its_definition(
    launches: Launches, small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = str(small_pipeline / "raw")
    words = ["--input_path.make_data", raw, "--seed", "3", "--names.make_data", "a", "b"]
    words += ["--instance_count.make_data", "2", "--image=image"]
    assert main(["pipeline", "--backend=sagemaker", *words, "--plan"]) == 0
    executed = json.loads(capsys.readouterr().out)
    arn = execute(launches)
    launches.definitions[arn] = executed
    uploaded = executed["Steps"][0]["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"]
    store(f"{uploaded.partition(BUCKET + '/')[2]}a.csv")
    repeated, told = planned(capsys, "my.run", "--image=image", "--seed.fit=4")
    defaults = {each["Name"]: each.get("DefaultValue") for each in repeated["Parameters"]}
    assert defaults["make_data_seed"] == 3
    assert defaults["fit_seed"] == 4
    assert defaults["make_data_instance_count"] == 2
    first = repeated["Steps"][0]["Arguments"]
    assert first["ProcessingInputs"][0]["S3Input"]["S3Uri"] == uploaded
    assert first["AppSpecification"]["ContainerArguments"][:3] == ["--names", "a", "b"]
    assert "are the same" in told


def options_of(argv: Sequence[str]) -> set[str]:
    """Return the words of a repetition that belong to the pipeline itself."""
    return {word for word in argv if "." not in word.partition("=")[0]}


def defined(launches: Launches, root: Path, *words: str, **fields: Any) -> str:
    """Make an execution of a definition that a launch with these words has, and return its ARN."""
    raw = ("--input_path.make_data", str(root / "raw"))
    made = pipeline.parse([*raw, "--backend", "sagemaker", "--image=image", "--plan", *words])
    arn = execute(launches)
    launches.definitions[arn] = definition.build(made)
    launches.executions[arn] |= fields
    for snapshot in made.steps[0].launch.uploads:
        s3.upload(snapshot)
    return arn


def test_an_execution_is_repeated_with_its_own_options(
    launches: Launches, small_pipeline: Path
) -> None:
    arn = defined(launches, small_pipeline, "--no-cache", "--min_score", "0.5")
    words = options_of(repeat.prepare([arn]).argv)
    assert words == {"--backend=sagemaker", "--no-cache", "--min_score=0.5"}
    words = options_of(repeat.prepare([arn, "--cache", "--min_score=0.7"]).argv)
    assert words == {"--backend=sagemaker", "--cache", "--min_score=0.7"}
    cached = defined(launches, small_pipeline)
    assert "--no-cache" not in repeat.prepare([cached]).argv


def test_an_execution_that_began_at_a_job_is_repeated_from_there(
    launches: Launches, small_pipeline: Path
) -> None:
    source = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/small-launched/execution/e0"
    selected = [{"StepName": "fit"}, {"StepName": "check-score"}]
    selective = {"SourcePipelineExecutionArn": source, "SelectedSteps": selected}
    arn = defined(launches, small_pipeline, SelectiveExecutionConfig=selective)
    argv = repeat.prepare([arn]).argv
    assert {"--from=fit", f"--from_run={source}"} <= options_of(argv)
    inputs = [word for word in argv if word.startswith("--input_path.make_data=")]
    assert inputs, "the definition has all steps, and this one needs its input"
    assert not [word for word in argv if word.startswith("--seed.make_data")]
    whole = repeat.prepare([arn, "--from", "make_data"]).argv
    assert not [word for word in whole if word.startswith("--from_run")]
    assert [word for word in whole if word.startswith("--seed.make_data")]
    elsewhere = repeat.prepare([arn, "--backend", "docker"]).argv
    assert not [word for word in elsewhere if word.startswith("--from")]


def test_a_limit_that_is_not_checked_is_left_out(launches: Launches, small_pipeline: Path) -> None:
    edit_table(small_pipeline, 'job = "fit"', 'job = "make_data"')
    edit_table(small_pipeline, 'output = "model"', 'output = "data"')
    arn = defined(launches, small_pipeline, "--min_score", "0.5")
    assert "--min_score=0.5" in repeat.prepare([arn]).argv
    assert "--min_score=0.5" not in repeat.prepare([arn, "--from", "fit"]).argv


def test_an_execution_is_repeated_in_python_with_options_of_any_kind(
    launches: Launches, small_pipeline: Path
) -> None:
    arn = defined(launches, small_pipeline)
    changes = {
        "env": {"COLOUR": "blue"},
        "plan": False,
        "wait": False,
        "cache": False,
        "min_score": 0.5,
        "make_data": {"names": ["a b", "c"], "rows": [1, 2]},
        "seed": None,
    }
    repeated = repeat.from_options(arn, changes)
    made = pipeline.parse([*repeated.argv, "--image=image"])
    first = made.steps[0]
    assert {step.request["Environment"]["COLOUR"] for step in made.steps} == {"blue"}
    assert (first.launch.values["names"], first.launch.values["rows"]) == (["a b", "c"], [1, 2])
    assert (made.options.plan, made.options.wait, made.cache) == (False, False, False)
    assert made.metric
    assert made.metric.limit == 0.5
    later = repeat.from_options(arn, {"from_job": "fit", "env": {"COLOUR": "blue"}})
    assert "--from=fit" in later.argv
    assert pipeline.parse([*later.argv, "--image=image"]).selection.skipped == ["make_data"]
    with pytest.raises(LaunchError, match="unrecognized arguments: --no_such"):
        pipeline.parse(repeat.from_options(arn, {"no_such": [1]}).argv)


def test_code_is_brought_along_again(launches: Launches, committed: Path) -> None:
    arn = defined(launches, committed, "--code")
    before = code.read()
    file = committed / "entrypoints" / "fit.py"
    file.write_text(file.read_text() + "# edited\n")
    words = repeat.prepare([arn, "--image=image"])
    assert "--code" in options_of(words.argv)
    made = pipeline.parse(words.argv)
    told = words.differences([(step.launch, step.request) for step in made.steps])
    old, new = (each.snapshot.digest[:12] for each in (before, code.read()))
    assert f"code: {old} (--code) → {new} (--code)" in told
    words = repeat.prepare([arn, "--image=image", "--no-code"])
    made = pipeline.parse(words.argv)
    told = words.differences([(step.launch, step.request) for step in made.steps])
    assert f"code: {old} (--code) → that of the image" in told


def test_what_lies_in_s3_is_not_said_to_be_the_same(
    launches: Launches, small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small_pipeline
    name = make_data(launches)
    source = launches.jobs[name]["ProcessingInputs"][0]["S3Input"]
    launches.tags[launches.jobs[name]["ProcessingJobArn"]]["commit"] = "new"
    words = ["r", "--env=TOKEN=new", "--image=registry/image@sha256:old"]
    assert "image and the inputs are the same" in planned(capsys, *words)[1]
    source["S3Uri"] = f"s3://{BUCKET}/rows/"
    store("rows/a.csv")
    told = planned(capsys, *words)[1]
    assert "image and the inputs are the same" not in told
    assert "may have changed" in told
