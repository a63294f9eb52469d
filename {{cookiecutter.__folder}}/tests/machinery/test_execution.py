"""An execution on SageMaker: started once, followed through every disturbance, and explained.

The account is moto's, which starts executions but runs no step: what the steps do is written in
each test. Time passes only while launch sleeps.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aws_faults import BUCKET, REGION, ROLE, Faults
from launch import LaunchError
from launch.aws import clients
from launch.backends import execution
from launch.backends.logs import GROUP
from launch.pipelines import definition, pipeline
from launch.pipelines.graph import Pipeline
from launch.run import ExitCode, Run
from launch.storage import s3

ACCOUNT = ROLE.split(":")[4]
State = Mapping[str, Any]
Poll = tuple[str, Sequence[State]]
"""The status of an execution, and the states of its steps."""


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes while launch sleeps."""
    now = [1000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    for module in ("execution", "sagemaker"):
        monkeypatch.setattr(f"launch.backends.{module}.monotonic", lambda: now[0])
        monkeypatch.setattr(f"launch.backends.{module}.sleep", sleep)
    return now


@dataclass
class Service:
    """SageMaker, whose executions do what a test has written."""

    account: Faults
    root: Path
    polls: list[Poll] = field(default_factory=list)
    """What each look at the execution finds; the last one stays."""
    started: list[dict[str, Any]] = field(default_factory=list)
    """The requests to StartPipelineExecution, repeated ones included."""

    def run(self, *words: str) -> Run:
        """Launch the pipeline. The faults of a test come first, and then what it has written."""
        self.install_polls()
        made = parse(self.root, *words)
        return execution.run(made, definition.build(made))

    def install_polls(self) -> None:
        """Let looks at the execution find what the test has written."""
        self.account.intercept("DescribePipelineExecution", self._describe)
        self.account.intercept("ListPipelineExecutionSteps", self._list_steps)

    def deploy(self, *words: str) -> str:
        made = parse(self.root, *words, deployed=True)
        return execution.deploy(made, definition.build(made))

    def definition(self, name: str) -> Any:
        """The definition that is stored for a pipeline; ``None`` if there is no such pipeline."""
        with suppress(clients.client("sagemaker").exceptions.ClientError):
            found = clients.client("sagemaker").describe_pipeline(PipelineName=name)
            return json.loads(found["PipelineDefinition"])
        return None

    def executions(self, name: str) -> list[str]:
        found = clients.client("sagemaker").list_pipeline_executions(PipelineName=name)
        return [item["PipelineExecutionArn"] for item in found["PipelineExecutionSummaries"]]

    def _describe(self, _: Any) -> Any:
        return answer({"PipelineExecutionStatus": self.polls[0][0]})

    def _list_steps(self, _: Any) -> Any:
        states = self.polls[0][1]
        if len(self.polls) > 1:
            self.polls.pop(0)
        return answer({"PipelineExecutionSteps": states})


def answer(body: Mapping[str, Any]) -> Any:
    from botocore.awsrequest import AWSResponse
    from moto.core.botocore_stubber import MockRawResponse

    headers = {"Content-Type": "application/x-amz-json-1.1"}
    return AWSResponse("", 200, headers, MockRawResponse(json.dumps(body)))


@pytest.fixture
def service(account: Faults, small_pipeline: Path) -> Service:
    service = Service(account, small_pipeline)
    account.intercept(
        "StartPipelineExecution", lambda request: service.started.append(json.loads(request.body))
    )
    return service


def job(name: str, status: str = "Completed", **fields: Any) -> str:
    """Create a processing job, as an execution does; return its ARN."""
    cluster = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}
    channel = "data" if "make-data" in name else "model"
    output = {"S3Uri": f"s3://{BUCKET}/{name}", "LocalPath": "/x", "S3UploadMode": "EndOfJob"}
    created = clients.client("sagemaker").create_processing_job(
        ProcessingJobName=name,
        ProcessingResources={"ClusterConfig": cluster},
        ProcessingOutputConfig={"Outputs": [{"OutputName": channel, "S3Output": output}]},
        AppSpecification={"ImageUri": "image"},
        RoleArn=ROLE,
    )
    vars(moto_job(name)).update(processing_job_status=status, **fields)
    return str(created["ProcessingJobArn"])


def moto_job(name: str) -> Any:
    """Return moto's own record of a job."""
    from moto.backends import get_backend

    backend: Any = get_backend("sagemaker")[ACCOUNT][REGION]
    return backend.processing_jobs[name]


def state(name: str, status: str, arn: str = "", **fields: Any) -> State:
    metadata = {"Metadata": {"ProcessingJob": {"Arn": arn}}} if arn else {}
    return {"StepName": name, "StepStatus": status, **metadata, **fields}


def parse(root: Path, *words: str, deployed: bool = False) -> Pipeline:
    argv = ["--input_path.make_data", str(root / "raw"), "--image", "image"]
    backend = [] if deployed else ["--backend", "sagemaker"]
    return pipeline.parse([*argv, *backend, *words], deployed=deployed)


def keys(prefix: str) -> list[str]:
    found = clients.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return [item["Key"] for item in found.get("Contents", [])]


# Two verbs


def test_a_launch_stores_its_inputs_and_definition_and_starts_once(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    made = parse(service.root, "--no-wait", "--run_name", "my_run.1")
    built = definition.build(made)
    done = execution.run(made, built)
    assert service.definition("small-launched") == built
    assert service.executions("small-launched") == [done.name]
    assert (done.status, done.exit_code) == ("InProgress", ExitCode.COMPLETED)
    assert service.started[0]["PipelineExecutionDisplayName"] == "my-run-1"
    assert done.name in capsys.readouterr().out
    uri = built["Steps"][0]["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"]
    prefix = uri.removeprefix(f"s3://{BUCKET}/")
    assert keys(prefix) == [f"{prefix}a.csv", f"{prefix}b.csv"]
    assert not service.account.calls["DescribePipelineExecution"]


def test_deploying_starts_nothing(service: Service) -> None:
    arn = service.deploy()
    assert arn.endswith(":pipeline/small")
    assert service.executions("small") == []
    assert keys("small/inputs/")
    first = service.definition("small")
    assert service.deploy("--seed", "3") == arn
    assert service.definition("small") != first


def test_a_launch_leaves_what_was_deployed_alone(service: Service) -> None:
    service.deploy()
    deployed = service.definition("small")
    service.run("--no-wait", "--seed", "3", "--min_score", "0")
    assert service.definition("small") == deployed
    launched = service.definition("small-launched")
    service.deploy()
    assert service.definition("small-launched") == launched


def test_a_pipeline_has_the_tags_that_its_steps_share(service: Service) -> None:
    made = parse(service.root, deployed=True)
    for step in made.steps:
        step.request["Tags"].append({"Key": "team", "Value": "birds"})
    sent: list[Any] = []
    service.account.intercept("CreatePipeline", lambda request: sent.append(request.body))
    execution.deploy(made, definition.build(made))
    tags = {tag["Key"]: tag["Value"] for tag in json.loads(sent[0])["Tags"]}
    assert tags == {"project": "small", "team": "birds"}


def test_a_pipeline_has_the_role_of_the_project_and_each_step_its_own(
    service: Service, small_pipeline: Path
) -> None:
    made = parse(service.root, deployed=True)
    made.steps[0].request["RoleArn"] = "arn:aws:iam::123456789012:role/of-one-job"
    sent: list[Any] = []
    service.account.intercept("CreatePipeline", lambda request: sent.append(request.body))
    execution.deploy(made, definition.build(made))
    assert json.loads(sent[0])["RoleArn"] == ROLE
    role = "arn:aws:iam::123456789012:role/of-all-jobs"
    table = (small_pipeline / "launch.toml").read_text()
    (small_pipeline / "launch.toml").write_text(f'{table}\n[request]\nRoleArn = "{role}"\n')
    service.account.clear()
    service.account.intercept("CreatePipeline", lambda request: sent.append(request.body))
    execution.deploy(made, definition.build(made))
    assert json.loads(sent[1])["RoleArn"] == role


def test_an_execution_is_of_the_version_that_its_launch_has_put(service: Service) -> None:
    versions = iter([7, 8])
    service.account.intercept(
        "UpdatePipeline", lambda _: answer({"PipelineVersionId": next(versions)})
    )
    for version in (7, 8):
        service.run("--no-wait")
        assert service.started[-1]["PipelineVersionId"] == version


@pytest.mark.parametrize(
    ("tags", "owner"),
    [
        ([{"Key": "project", "Value": "small-launched"}], "project small-launched"),
        ([{"Key": "team", "Value": "birds"}], "something else"),
        ([], "something else"),
    ],
)
def test_a_pipeline_of_something_else_is_left_alone(
    service: Service, tags: list[dict[str, str]], owner: str
) -> None:
    clients.client("sagemaker").create_pipeline(
        PipelineName="small-launched", PipelineDefinition="{}", RoleArn=ROLE, Tags=tags
    )
    with pytest.raises(LaunchError, match=f"small-launched belongs to {owner}"):
        service.run()
    assert service.definition("small-launched") == {}
    assert not service.started


def test_a_pipeline_whose_tags_cannot_be_read_is_updated_by_its_name(service: Service) -> None:
    service.run("--no-wait")
    service.account.fail("ListTags", "AccessDeniedException")
    service.run("--no-wait")
    assert len(service.started) == 2


def test_a_pipeline_is_created_although_the_answer_is_lost(service: Service) -> None:
    tokens: list[str] = []
    service.account.intercept(
        "CreatePipeline",
        lambda request: tokens.append(json.loads(request.body)["ClientRequestToken"]),
    )
    service.account.lose("CreatePipeline", times=1)
    assert service.deploy().endswith(":pipeline/small")
    assert len(tokens) == 2
    assert len(set(tokens)) == 1


@pytest.mark.parametrize("operation", ["CreatePipeline", "UpdatePipeline", "PutObject"])
def test_a_launch_that_is_denied_starts_nothing(service: Service, operation: str) -> None:
    service.account.fail(operation, "AccessDeniedException")
    with pytest.raises(LaunchError, match="AccessDenied"):
        service.run()
    with pytest.raises(LaunchError, match="AccessDenied"):
        service.deploy()
    assert not service.started


# Named outputs


def test_two_executions_never_write_to_one_named_output(service: Service) -> None:
    words = ("--no-wait", "--model_path.fit", f"s3://{BUCKET}/mine")
    service.run(*words)
    (parameter,) = service.started[0]["PipelineParameters"]
    assert parameter == {"Name": "fit_model_path", "Value": f"s3://{BUCKET}/mine"}
    with pytest.raises(LaunchError, match="mine"):
        service.run(*words)
    assert len(service.started) == 1


def test_two_launches_at_once_share_no_named_output(service: Service) -> None:
    words = ("--no-wait", "--model_path.fit", f"s3://{BUCKET}/mine")
    first, second = (parse(service.root, *words) for _ in range(2))
    execution.run(first, definition.build(first))
    with pytest.raises(LaunchError, match="mine"):
        execution.run(second, definition.build(second))
    assert len(service.started) == 1


def test_the_named_outputs_of_all_steps_are_claimed_in_one_order(service: Service) -> None:
    taken, free = f"s3://{BUCKET}/a", f"s3://{BUCKET}/b"
    made = parse(service.root, "--output_path.make_data", free, "--model_path.fit", taken)
    s3.claim(taken, {"job": "another"})
    with pytest.raises(LaunchError, match=taken):
        execution.run(made, definition.build(made))
    assert not keys("b")
    assert not service.started


def test_a_rejected_start_says_that_named_outputs_stay_claimed(service: Service) -> None:
    service.account.fail("StartPipelineExecution", "AccessDeniedException")
    with pytest.raises(LaunchError, match=r"AccessDenied.*outputs stay claimed"):
        service.run("--model_path.fit", f"s3://{BUCKET}/mine")
    with pytest.raises(LaunchError) as error:
        service.run()
    assert "stay claimed" not in str(error.value)


@pytest.mark.parametrize("operation", ["StartPipelineExecution", "DescribePipelineExecution"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError()], ids=repr)
def test_an_interrupt_says_that_named_outputs_stay_claimed(
    service: Service,
    capsys: pytest.CaptureFixture[str],
    operation: str,
    error: BaseException,
) -> None:
    service.polls = [("Executing", [])]
    service.account.intercept(operation, raising(error))
    with pytest.raises(type(error)):
        service.run("--model_path.fit", f"s3://{BUCKET}/mine")
    assert "outputs stay claimed" in capsys.readouterr().out.splitlines()[-1]


# Starting


def test_an_answer_that_is_lost_starts_no_second_execution(service: Service) -> None:
    service.account.lose("StartPipelineExecution", times=6)  # more often than botocore tries
    done = service.run("--no-wait")
    assert done.name in service.executions("small-launched")
    assert len(service.started) == 7
    assert len({request["ClientRequestToken"] for request in service.started}) == 1


def test_a_start_without_any_answer_may_have_happened(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.account.lose("StartPipelineExecution")
    done = service.run()
    assert (done.status, done.exit_code) == ("InProgress", ExitCode.STILL_RUNNING)
    assert "-m launch list`" in done.exit_message
    assert "unknown whether" in capsys.readouterr().out
    named = service.run("--model_path.fit", f"s3://{BUCKET}/mine")
    assert "outputs stay claimed" in named.exit_message


def test_a_pipeline_that_was_deleted_meanwhile_is_not_started(service: Service) -> None:
    service.account.fail("StartPipelineExecution", "InternalFailure", status=500, times=5)
    service.account.fail("StartPipelineExecution", "ResourceNotFound", after=5)
    with pytest.raises(LaunchError, match="small-launched"):
        service.run()


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceLimitExceeded"])
def test_a_start_that_is_rejected_is_not_repeated(service: Service, code: str) -> None:
    service.account.fail("StartPipelineExecution", code)
    with pytest.raises(LaunchError, match=code):
        service.run()
    assert service.account.calls["StartPipelineExecution"] == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)], ids=repr)
def test_an_interrupted_start_says_how_to_look(
    service: Service,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
) -> None:
    service.account.intercept("StartPipelineExecution", raising(error))
    with pytest.raises(type(error)):
        service.run()
    assert "-m launch list`" in capsys.readouterr().out


def raising(error: BaseException) -> Callable[[Any], None]:
    def act(_: Any) -> None:
        raise error

    return act


# Following


def test_an_execution_is_followed_step_by_step(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    make_data, fit = job("pipelines-x-make-data"), job("pipelines-x-fit")
    log("pipelines-x-fit", "the score is 0.75")
    service.polls = [
        ("Executing", [state("make-data", "Starting")]),
        ("Executing", [state("make-data", "Executing", make_data)]),
        (
            "Executing",
            [state("make-data", "Succeeded", make_data), state("fit", "Executing", fit)],
        ),
        (
            "Succeeded",
            [
                state("make-data", "Succeeded", make_data),
                state("fit", "Succeeded", fit),
                state("check-score", "Succeeded"),
            ],
        ),
    ]
    done = service.run("--model_path.fit", f"s3://{BUCKET}/mine")
    assert (done.status, done.exit_code, done.exit_message) == (
        *("Completed", ExitCode.COMPLETED, ""),
    )
    name = done.name.rpartition("/")[2]
    assert done.outputs == {
        "output_path.make_data": f"s3://{BUCKET}/small/runs/{name}/make_data/data",
        "model_path.fit": f"s3://{BUCKET}/mine",
    }
    printed = capsys.readouterr().out.splitlines()
    order = [
        f"InProgress: {done.name}",
        "make-data: Executing",
        "make-data: Succeeded",
        "fit: Executing",
        "algo-1 | the score is 0.75",
        "fit: Succeeded",
        "check-score: Succeeded",
    ]
    positions = [printed.index(line) for line in order]
    assert positions == sorted(positions)
    assert printed.count("make-data: Succeeded") == 1
    assert service.account.calls["DescribePipelineExecution"] == 4
    assert service.account.calls["ListPipelineExecutionSteps"] == 4


def log(name: str, *lines: str) -> None:
    import time

    client = clients.client("logs")
    stream = {"logGroupName": GROUP, "logStreamName": f"{name}/algo-1-1700000000"}
    client.create_log_group(logGroupName=GROUP)
    client.create_log_stream(**stream)
    events = [{"timestamp": int(time.time() * 1000), "message": line} for line in lines]
    client.put_log_events(**stream, logEvents=events)


def test_the_outputs_of_a_cached_step_are_those_of_an_earlier_execution(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    cached = {"CacheHitResult": {"SourcePipelineExecutionArn": "arn"}}
    fit = job("pipelines-y-fit")
    service.polls = [
        (
            "Succeeded",
            [
                state("make-data", "Succeeded", job("pipelines-x-make-data"), **cached),
                state("fit", "Succeeded", fit),
            ],
        )
    ]
    done = service.run()
    assert done.outputs["output_path.make_data"] == f"s3://{BUCKET}/pipelines-x-make-data"
    printed = capsys.readouterr().out
    assert "make-data: Succeeded (from the cache)" in printed
    assert "processing-jobs/pipelines-x-make-data" not in printed
    assert "processing-jobs/pipelines-y-fit" in printed


def test_a_metric_that_was_checked_is_shown(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = job("pipelines-y-fit")
    cached = {"CacheHitResult": {"SourcePipelineExecutionArn": "arn"}}
    service.polls = [("Succeeded", [state("fit", "Succeeded", fit, **cached)])]
    done = service.run("--min_score", "0.5")
    assert (done.status, done.metric) == ("Completed", "")
    assert "score cannot be shown" in capsys.readouterr().out
    key = "pipelines-y-fit/report.json"
    clients.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b'{"score": 0.75}')
    assert service.run("--min_score", "0.5").metric == "score 0.75 (minimum 0.5)"


def test_outputs_that_cannot_be_looked_up_are_left_out(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    cached = {"CacheHitResult": {"SourcePipelineExecutionArn": "arn"}}
    make_data = state("make-data", "Succeeded", job("pipelines-x-make-data"), **cached)
    service.polls = [("Succeeded", [make_data])]
    service.account.fail("DescribeProcessingJob", "AccessDeniedException")
    done = service.run()
    assert (done.status, done.outputs) == ("Completed", {})
    assert "pipelines-x-make-data cannot be looked up" in capsys.readouterr().out


def test_a_step_that_fails_is_explained(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    make_data = state("make-data", "Succeeded", job("pipelines-x-make-data"))
    arn = job("pipelines-x-fit", "Failed", failure_reason="AlgorithmError: exit code 1")
    moto_job("pipelines-x-fit").exit_message = "no row has a score"
    service.polls = [
        ("Executing", [make_data, state("fit", "Executing", arn)]),
        ("Failed", [make_data, state("fit", "Failed", arn, FailureReason="ClientError: job")]),
    ]
    done = service.run("--seed.fit", "5")
    assert (done.status, done.exit_code) == ("Failed", ExitCode.FAILED)
    assert done.exit_message == "fit: no row has a score"
    name = done.name.rpartition("/")[2]
    address = f"s3://{BUCKET}/small/runs/{name}/make_data/data"
    assert done.outputs == {"output_path.make_data": address}
    (repeat,) = [
        line for line in capsys.readouterr().out.splitlines() if "python -m launch fit" in line
    ]
    assert "--backend docker" in repeat
    assert f"--data_path {address}" in repeat
    assert "--seed 5" in repeat


def test_a_job_that_is_started_again_is_followed_again(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = job("pipelines-x-make-data-1", "Failed"), job("pipelines-x-make-data-2")
    service.polls = [
        ("Executing", [state("make-data", "Executing", first)]),
        ("Executing", [state("make-data", "Executing", second)]),
        ("Succeeded", [state("make-data", "Succeeded", second)]),
    ]
    assert service.run().status == "Completed"
    printed = capsys.readouterr().out
    for number in (1, 2):
        assert printed.count(f"processing-jobs/pipelines-x-make-data-{number}\n") == 1


@pytest.mark.parametrize(
    ("status", "reported"),
    [("Failed", "Failed"), ("Stopped", "Stopped"), ("CompletedWithFailures", "Failed")],
)
def test_reasons_are_reported(service: Service, status: str, reported: str) -> None:
    low = state("low-score", "Failed", FailureReason="score 0.5 is below 0.9")
    service.polls = [(status, [state("check-score", "Succeeded"), low])]
    done = service.run()
    assert (done.status, done.exit_code) == (reported, ExitCode.FAILED)
    assert done.exit_message == "low-score: score 0.5 is below 0.9"


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "AccessDeniedException", "ExpiredTokenException"]
)
@pytest.mark.parametrize("operation", ["DescribePipelineExecution", "ListPipelineExecutionSteps"])
def test_following_survives_calls_that_fail_for_a_while(
    service: Service, operation: str, code: str
) -> None:
    service.polls = [("Executing", []), ("Executing", []), ("Succeeded", [])]
    service.account.fail(operation, code, after=1, times=4)
    assert service.run().status == "Completed"


@pytest.mark.parametrize(
    ("status", "message"), [("Succeeded", ""), ("Failed", "make-data: ClientError: job")]
)
def test_an_execution_is_followed_although_its_job_cannot_be(
    service: Service, capsys: pytest.CaptureFixture[str], status: str, message: str
) -> None:
    arn = job("pipelines-x-make-data", "InProgress")
    reason = {"FailureReason": "ClientError: job"} if status == "Failed" else {}
    service.polls = [
        ("Executing", [state("make-data", "Executing", arn)]),
        (status, [state("make-data", status, arn, **reason)]),
    ]
    service.account.fail("DescribeProcessingJob", "AccessDeniedException")
    done = service.run()
    assert done.status == {"Succeeded": "Completed"}.get(status, status)
    assert done.exit_message == message
    assert capsys.readouterr().out.count("can no longer be followed") == 1


@pytest.mark.parametrize("status", ["Succeeded", "Failed"])
def test_a_job_that_may_not_be_described_does_not_hold_up_its_execution(
    service: Service, capsys: pytest.CaptureFixture[str], clock: list[float], status: str
) -> None:
    names = ("make-data", "fit")
    arns = {name: job(f"small-{name}-x", "InProgress") for name in names}
    first, second = (state(name, "Executing", arns[name]) for name in names)
    service.polls = [
        ("Executing", [first]),
        ("Executing", [state("make-data", "Succeeded", arns["make-data"]), second]),
        (status, [state("fit", status, arns["fit"])]),
    ]
    service.account.fail("DescribeProcessingJob", "AccessDeniedException")
    begin = clock[0]
    done = service.run()
    assert done.status == {"Succeeded": "Completed"}.get(status, status)
    assert clock[0] - begin < 300
    printed = capsys.readouterr().out
    for name in names:
        assert f"{name}: its job cannot be followed any more, but the execution can" in printed
    assert "AccessDenied" in printed


def test_a_denied_look_may_be_a_matter_of_moments(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = job("small-fit-x")
    service.polls = [
        ("Executing", [state("fit", "Executing", arn)]),
        ("Succeeded", [state("fit", "Succeeded", arn)]),
    ]
    service.account.fail("DescribeProcessingJob", "AccessDeniedException", times=2)
    assert service.run().status == "Completed"
    printed = capsys.readouterr().out
    assert "Completed after" in printed
    assert "cannot be followed" not in printed


def test_a_log_that_may_not_be_read_does_not_end_anything(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = job("small-fit-x")
    service.polls = [
        ("Executing", [state("fit", "Executing", arn)]),
        ("Succeeded", [state("fit", "Succeeded", arn)]),
    ]
    service.account.fail("FilterLogEvents", "AccessDeniedException")
    assert service.run().status == "Completed"
    printed = capsys.readouterr().out
    assert "the log cannot be read, which does not affect the job" in printed
    assert "Completed after" in printed


def test_the_log_of_a_job_is_found_by_its_name_not_its_arn(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "small-fit-p4jn9xou8a8s-tMgXry49ug-0"
    arn = job(name)
    log(name, "the score is 0.75")
    service.account.intercept("DescribeProcessingJob", _find_any_case)
    service.polls = [
        ("Executing", [state("fit", "Executing", arn.lower())]),
        ("Succeeded", [state("fit", "Succeeded", arn.lower())]),
    ]
    assert service.run().status == "Completed"
    assert "algo-1 | the score is 0.75" in capsys.readouterr().out


def _find_any_case(request: Any) -> None:
    """Find a job by its name in an ARN, which is in lower case; moto compares names exactly."""
    from moto.backends import get_backend

    backend: Any = get_backend("sagemaker")[ACCOUNT][REGION]
    asked = json.loads(request.body)["ProcessingJobName"]
    (name,) = [each for each in backend.processing_jobs if each.lower() == asked]
    request.body = json.dumps({"ProcessingJobName": name}).encode()


def test_a_step_that_is_tried_again_says_so(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = job("small-fit-x-0", "Failed"), job("small-fit-x-1")
    service.polls = [
        ("Executing", [state("fit", "Executing", first, AttemptCount=1)]),
        ("Executing", [state("fit", "Executing", second, AttemptCount=2)]),
        ("Succeeded", [state("fit", "Succeeded", second, AttemptCount=2)]),
    ]
    done = service.run()
    assert (done.status, done.exit_message) == ("Completed", "")
    printed = capsys.readouterr().out.splitlines()
    lines = ["fit: Executing", "fit: Executing (attempt 2)", "fit: Succeeded (attempt 2)"]
    assert [line for line in printed if line.startswith("fit: ")] == lines


def test_an_execution_that_cannot_be_followed_is_still_running(
    service: Service, capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    service.account.disconnect("DescribePipelineExecution")
    begin = clock[0]
    done = service.run()
    assert 600 < clock[0] - begin < 3600
    assert (done.status, done.exit_code) == ("InProgress", ExitCode.STILL_RUNNING)
    for verb in ("logs", "stop"):
        assert f"-m launch {verb} {done.name}`" in done.exit_message
    assert "can no longer be followed" in capsys.readouterr().out


def test_an_execution_may_take_a_moment_to_appear(service: Service) -> None:
    service.polls = [("Succeeded", [])]
    service.account.fail("DescribePipelineExecution", "ResourceNotFound", times=2)
    assert service.run().status == "Completed"


def test_an_execution_that_never_appears_is_not_waited_for(service: Service) -> None:
    service.account.fail("DescribePipelineExecution", "ResourceNotFound")
    assert service.run().exit_code == ExitCode.STILL_RUNNING


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)], ids=repr)
def test_an_interrupt_says_that_the_execution_goes_on(
    service: Service,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
) -> None:
    service.polls = [("Executing", [])]
    service.account.intercept("ListPipelineExecutionSteps", raising(error), after=1)
    with pytest.raises(type(error)):
        service.run()
    (arn,) = service.executions("small-launched")
    last = capsys.readouterr().out.splitlines()[-1]
    assert f"-m launch stop {arn}`" in last
    assert "is still running" in last


def test_many_steps_are_all_listed(service: Service) -> None:
    pages = [
        {"PipelineExecutionSteps": [state("make-data", "Failed", FailureReason="a")]},
        {"PipelineExecutionSteps": [state("fit", "Failed", FailureReason="b")]},
    ]
    sent: list[Any] = []

    def page(request: Any) -> Any:
        sent.append(json.loads(request.body))
        more = {"NextToken": "more"} if len(sent) == 1 else {}
        return answer({**pages[len(sent) - 1], **more})

    service.polls = [("Failed", [])]
    service.account.intercept("ListPipelineExecutionSteps", page)
    assert service.run().exit_message == "make-data: a\nfit: b"
    assert sent[1]["NextToken"] == "more"


# Encryption


def test_what_a_launch_stores_has_the_output_key(service: Service, small_pipeline: Path) -> None:
    table = (small_pipeline / "launch.toml").read_text()
    keys_of = '[request.ProcessingOutputConfig]\nKmsKeyId = "key-of-all"\n'
    keys_of += '[job.make_data.ProcessingOutputConfig]\nKmsKeyId = "key-of-data"\n'
    (small_pipeline / "launch.toml").write_text(f"{table}\n{keys_of}")
    service.run("--no-wait", "--model_path.fit", f"s3://{BUCKET}/mine")
    (claim,) = keys("mine")
    assert _key_of(claim) == "key-of-all"
    stored = keys("small/inputs/")
    assert stored
    assert {_key_of(name) for name in stored} == {"key-of-data"}


def _key_of(name: str) -> str:
    found = clients.client("s3").head_object(Bucket=BUCKET, Key=name)
    assert found["ServerSideEncryption"] == "aws:kms"
    return str(found["SSEKMSKeyId"])
