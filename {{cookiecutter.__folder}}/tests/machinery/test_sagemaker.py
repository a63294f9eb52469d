"""A job on SageMaker: created once, followed through every disturbance, and explained if it fails.

SageMaker, S3 and CloudWatch are moto's. Time passes only while launch sleeps.
"""

import functools
import json
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from {{ cookiecutter.__package_name }} import runtime

from aws_faults import BUCKET, REGION, ROLE, Faults, stored
from launch import LaunchError
from launch.backends import sagemaker
from launch.backends.logs import GROUP, LATE_SECONDS, Log
from launch.requests.jobs import Channel, Job
from launch.requests.options import parse
from launch.requests.request import prepare
from launch.run import ExitCode, Run

NAME = "followed"
LAST_LINE = f"INFO {runtime.FINISHED} 3 s"


def build_parser() -> runtime.JobParser:
    parser = runtime.JobParser("Do nothing.")
    parser.add_argument("--input_path", default=f"{runtime.INPUT}/raw")
    parser.add_argument("--output_path", type=Path, default=f"{runtime.OUTPUT}/seen")
    parser.add_argument("--more_path", type=Path, default=f"{runtime.OUTPUT}/more")
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--api_key", default="none")
    return parser


JOB = Job(
    name="probe",
    inputs=[Channel("input_path", "raw", f"{runtime.INPUT}/raw", required=False, finished=False)],
    outputs=[
        Channel("output_path", "seen", f"{runtime.OUTPUT}/seen", required=False, finished=False),
        Channel("more_path", "more", f"{runtime.OUTPUT}/more", required=False, finished=False),
    ],
    build_parser=build_parser,
)


class Clock:
    """Time that passes while launch sleeps, and what happens in that time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._offset = time.time() - self.now
        self._events: list[tuple[float, Callable[[], Any]]] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        """Return the time of day."""
        return self.now + self._offset

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        due = [event for event in self._events if event[0] <= self.now]
        self._events = [event for event in self._events if event[0] > self.now]
        for _, act in due:
            act()

    def after(self, seconds: float, act: Callable[[], Any]) -> None:
        """Let something happen in the future; call this in the order of time."""
        self._events.append((self.now + seconds, act))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("launch.backends.sagemaker.monotonic", clock.monotonic)
    monkeypatch.setattr("launch.backends.sagemaker.sleep", clock.sleep)
    return clock


class Service:
    """A job in progress and its log, as AWS has them."""

    def __init__(self, clock: Clock) -> None:
        import boto3

        self._clock = clock
        self._logs = boto3.client("logs", region_name=REGION)
        self._sagemaker = boto3.client("sagemaker", region_name=REGION)
        cluster = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}
        self._sagemaker.create_processing_job(
            ProcessingJobName=NAME,
            ProcessingResources={"ClusterConfig": cluster},
            AppSpecification={"ImageUri": "image"},
            RoleArn=ROLE,
        )
        self.set_status("InProgress")

    def set_status(self, status: str, **fields: Any) -> None:
        """Set what DescribeProcessingJob answers for all jobs; moto ends each at once."""
        from moto.backends import get_backend

        account = ROLE.split(":")[4]
        for job in get_backend("sagemaker")[account][REGION].processing_jobs.values():
            vars(job).update(processing_job_status=status, **fields)

    def log(self, *lines: str, host: str = "algo-1", job: str = NAME, age: float = 0.0) -> None:
        """Deliver lines that a host wrote ``age`` seconds ago."""
        group = {"logGroupName": GROUP}
        stream = {**group, "logStreamName": f"{job}/{host}-1700000000"}
        with suppress(self._logs.exceptions.ResourceAlreadyExistsException):
            self._logs.create_log_group(**group)
        with suppress(self._logs.exceptions.ResourceAlreadyExistsException):
            self._logs.create_log_stream(**stream)
        written = int((self._clock.time() - age) * 1000)
        events = [{"timestamp": written, "message": line} for line in lines]
        self._logs.put_log_events(**stream, logEvents=events)

    def jobs(self) -> list[str]:
        """Return the names of all jobs."""
        found = self._sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
        return [job["ProcessingJobName"] for job in found]


@pytest.fixture
def service(faults: Faults, clock: Clock) -> Service:
    service = Service(clock)
    faults.clear()  # counts from here
    return service


def follow(hosts: int = 1, **cluster: Any) -> Run:
    """Follow the job, whose description says how many hosts it has."""
    from moto.backends import get_backend

    backend: Any = get_backend("sagemaker")[ROLE.split(":")[4]][REGION]
    described = cluster or {"InstanceType": "ml.m5.xlarge", "InstanceCount": hosts}
    if job := backend.processing_jobs.get(NAME):
        job.processing_resources = {"ClusterConfig": {"VolumeSizeInGB": 30, **described}}
    return sagemaker.follow(NAME, {"output_path": "s3://b/o"}, repeat="python -m launch x")


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def host_lines(printed: list[str]) -> list[str]:
    """Return the lines of the log as they were printed, not those that explain a failure."""
    return [line for line in printed if " | " in line and not line.startswith(" ")]


# Creating a job


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "table.csv").write_text("a,b\n")
    return folder


def run(*argv: str) -> Run:
    words = ("--backend", "sagemaker", "--image", "image", *argv)
    launch = parse(JOB, words)
    return sagemaker.run(launch, prepare(launch))


def test_the_name_is_printed_before_the_job_is_created(
    faults: Faults, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before: list[str] = []
    faults.intercept("CreateProcessingJob", lambda _: before.append(capsys.readouterr().out))
    done = run("--input_path", str(raw))
    assert (done.status, done.exit_code) == ("Completed", ExitCode.COMPLETED)
    assert done.name in before[0]
    assert set(done.outputs) == {"output_path", "more_path"}
    assert b"a,b\n" in stored().values()
    assert f"/sagemaker/home#/processing-jobs/{done.name}" in capsys.readouterr().out


@pytest.mark.usefixtures("faults")
def test_one_file_is_uploaded_by_its_name(raw: Path) -> None:
    (raw / "lookup.csv").write_text("one file")
    (item,) = JOB.inputs
    launch = parse(
        replace(JOB, inputs=[replace(item, single=True)]),
        ("--backend", "sagemaker", "--image", "image", "--input_path", str(raw / "lookup.csv")),
    )
    request = prepare(launch)
    assert sagemaker.run(launch, request).status == "Completed"
    address = request["ProcessingInputs"][0]["S3Input"]["S3Uri"]
    assert address.endswith("/")
    assert stored(address.removeprefix(f"s3://{BUCKET}/")) == {"lookup.csv": b"one file"}


def test_uploads_and_claims_use_the_key_of_the_outputs(
    faults: Faults, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"arn:aws:kms:{REGION}:123456789012:key/outputs"
    keys = {JOB.name: key}
    monkeypatch.setattr("launch.settings.config.output_key", lambda job: keys.get(job))
    run("--input_path", str(raw), "--no-wait", "--run_name", "r")
    header = "x-amz-server-side-encryption-aws-kms-key-id"
    sent = [headers.get(header) for headers in faults.headers["PutObject"]]
    assert sent == [key] * (2 + len(JOB.outputs))  # the file, the list of files, and the claims


def test_nobody_has_to_wait(faults: Faults, capsys: pytest.CaptureFixture[str]) -> None:
    done = run("--no-wait")
    assert (done.status, done.exit_code) == ("InProgress", ExitCode.COMPLETED)
    assert faults.calls["CreateProcessingJob"] == 1
    assert not faults.calls["DescribeProcessingJob"]
    assert f"/sagemaker/home#/processing-jobs/{done.name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("ResourceLimitExceeded", "quota of 0"),
        ("ValidationException", "quota of 0"),
        ("AccessDeniedException", "AccessDenied"),
        ("ResourceInUse", "quota of 0"),
    ],
)
def test_a_rejected_job_leaves_its_inputs(
    faults: Faults, service: Service, raw: Path, code: str, advice: str
) -> None:
    faults.fail("CreateProcessingJob", code, message="quota of 0", times=1)
    words = ("--input_path", str(raw), "--run_name", "r")
    with pytest.raises(LaunchError, match="no job was created") as error:
        run(*words)
    assert code in str(error.value)
    assert advice in str(error.value)
    assert "uploaded inputs stay" in str(error.value)
    assert "choose another run name" in str(error.value)
    assert service.jobs() == [NAME]
    uploads = faults.calls["PutObject"]
    assert run("--input_path", str(raw), "--no-wait").status == "InProgress"
    assert faults.calls["PutObject"] == uploads


def test_a_throttled_job_is_created_in_the_end(faults: Faults) -> None:
    faults.fail("CreateProcessingJob", "ThrottlingException", times=2)
    assert run().status == "Completed"


def test_a_job_whose_first_answer_was_lost_is_followed(faults: Faults, service: Service) -> None:
    faults.lose("CreateProcessingJob", times=1)
    faults.fail("CreateProcessingJob", "ResourceInUse", after=1)
    faults.disconnect("DescribeProcessingJob", times=1)
    done = run()
    assert done.status == "Completed"
    assert sorted(service.jobs()) == sorted([NAME, done.name])


@pytest.mark.parametrize("code", ["", "ThrottlingException", "InternalFailure"])
def test_a_job_whose_answers_were_all_lost_is_found(faults: Faults, code: str) -> None:
    faults.lose("CreateProcessingJob", times=1 if code else float("inf"))
    if code:
        faults.fail("CreateProcessingJob", code, status=500, after=1)
    assert run().status == "Completed"


@pytest.mark.usefixtures("service")
def test_a_job_that_cannot_be_found_was_not_created(faults: Faults, raw: Path) -> None:
    faults.disconnect("CreateProcessingJob")
    with pytest.raises(LaunchError, match=r"no job was created.*uploaded inputs stay"):
        run("--input_path", str(raw))
    assert faults.calls["DescribeProcessingJob"]


def test_a_job_that_cannot_be_looked_for_may_be_running(
    faults: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    faults.lose("CreateProcessingJob")
    faults.disconnect("DescribeProcessingJob")
    done = run()
    assert (done.status, done.exit_code) == ("InProgress", ExitCode.STILL_RUNNING)
    assert "unknown whether the job was created" in lines(capsys)[-1]
    assert f"{done.name} may be running" in done.exit_message
    assert "stay claimed" not in done.exit_message  # the next launch has other outputs
    assert_commands(done.exit_message, done.name)
    named = run("--run_name", "r")
    assert "stay claimed" in named.exit_message


def assert_commands(text: str, name: str) -> None:
    """Check that a text says how to look at a job and how to stop it."""
    for verb in ("logs", "stop"):
        assert f"-m launch {verb} {name}`" in text


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(128 + signal.SIGTERM)])
@pytest.mark.parametrize(
    ("operation", "state"),
    [("CreateProcessingJob", "may be running"), ("DescribeProcessingJob", "is still running")],
)
def test_an_interrupt_says_how_to_stop_the_job(
    faults: Faults,
    operation: str,
    state: str,
    interrupt: BaseException,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def raise_it(_: Any) -> None:
        raise interrupt

    faults.intercept(operation, raise_it)
    with pytest.raises(type(interrupt)):
        run()
    printed = lines(capsys)
    name = printed[0].split()[-1]
    assert f"{name} {state}" in printed[-1]
    assert_commands(printed[-1], name)


@pytest.mark.parametrize(
    ("operation", "after"),
    [("PutObject", 1), ("CreateProcessingJob", 0), ("DescribeProcessingJob", 0)],
    ids=["claiming", "creating", "following"],
)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError()], ids=repr)
def test_whatever_follows_the_claims_says_that_they_stay(
    faults: Faults,
    operation: str,
    after: int,
    error: BaseException,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def raise_it(_: Any) -> None:
        raise error

    faults.intercept(operation, raise_it, after=after)
    with pytest.raises(type(error)):
        run("--run_name", "r")
    assert "outputs stay claimed" in lines(capsys)[-1]
    faults.clear()
    with pytest.raises(LaunchError, match="r/probe"):
        run("--run_name", "r")


@pytest.mark.usefixtures("faults")
def test_an_output_is_claimed_if_its_address_or_its_run_is_named() -> None:
    run("--no-wait")
    assert not stored()  # the address contains the name of the job, which SageMaker accepts once
    run("--no-wait", "--output_path", f"s3://{BUCKET}/mine")
    assert set(stored()) == {"mine.launch.json"}
    run("--no-wait", "--run_name", "r")
    assert len(stored()) == 1 + len(JOB.outputs)


def test_of_launches_that_share_an_output_one_goes_on(service: Service) -> None:
    words = ("--backend", "sagemaker", "--image", "image", "--run_name", "shared")
    launches = [parse(JOB, words), parse(JOB, words)]
    first, second = [(launch, prepare(launch)) for launch in launches]  # both find it free
    assert sagemaker.run(*first).status == "Completed"
    with pytest.raises(LaunchError, match="shared"):
        sagemaker.run(*second)
    assert sorted(service.jobs()) == sorted([NAME, first[0].name])


# Following a job


def test_the_log_is_shown_while_the_job_runs(
    service: Service, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    service.log("one", "two")
    clock.after(20, lambda: service.log("three"))
    clock.after(25, lambda: service.log("of another job", job=f"{NAME}-2"))
    clock.after(30, lambda: service.log(LAST_LINE))
    clock.after(40, lambda: service.set_status("Completed"))
    done = follow()
    assert done == Run(NAME, "Completed", {"output_path": "s3://b/o"}, "", ExitCode.COMPLETED)
    expected = [f"algo-1 | {line}" for line in ("one", "two", "three", LAST_LINE)]
    assert host_lines(lines(capsys)) == expected


def test_a_job_that_ended_with_its_last_lines_costs_no_time(service: Service, clock: Clock) -> None:
    for host in ("algo-1", "algo-2"):
        service.log(LAST_LINE, host=host)
    service.set_status("Completed")
    started = clock.now
    assert follow(hosts=2).status == "Completed"
    assert clock.now == started


def test_the_hosts_of_the_selected_instance_type_are_waited_for(
    service: Service, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    service.log(LAST_LINE, host="algo-1")
    service.set_status("Completed")
    clock.after(2, lambda: service.log(LAST_LINE, host="algo-2"))
    preferences = [
        {"InstanceType": "ml.m5.2xlarge", "InstanceCount": 1},
        {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2},
    ]
    follow(InstancePreferences=preferences, SelectedInstanceType="ml.m5.xlarge")
    assert host_lines(lines(capsys)) == [f"algo-{host} | {LAST_LINE}" for host in (1, 2)]


@pytest.mark.parametrize("status", ["Completed", "Failed"])
def test_lines_that_arrive_after_the_end_are_shown(
    service: Service, clock: Clock, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service.log(LAST_LINE, host="algo-1")
    service.set_status(status)
    late_lines = ["one", "two", "three"]
    for second, line in zip((2, 5, 8), late_lines, strict=True):
        clock.after(second, functools.partial(service.log, line, host="algo-2"))
    follow(hosts=2)
    assert host_lines(lines(capsys))[1:] == [f"algo-2 | {line}" for line in late_lines]


def test_lines_that_are_out_of_order_are_shown_once(
    service: Service, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    service.log("new")
    clock.after(10, lambda: service.log("old", age=LATE_SECONDS / 2))
    clock.after(20, lambda: service.log("old of another host", host="algo-2", age=30))
    clock.after(300, lambda: service.log(LAST_LINE))
    clock.after(310, lambda: service.set_status("Completed"))
    follow(hosts=2)
    expected = ["1 | new", "1 | old", "2 | old of another host", f"1 | {LAST_LINE}"]
    assert host_lines(lines(capsys)) == [f"algo-{line}" for line in expected]


@pytest.mark.parametrize(
    ("code", "times"), [("AccessDeniedException", float("inf")), ("ThrottlingException", 3)]
)
def test_a_job_is_followed_without_its_log(
    faults: Faults,
    service: Service,
    clock: Clock,
    code: str,
    times: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service.log("a line", LAST_LINE)
    faults.fail("FilterLogEvents", code, times=times)
    clock.after(60, lambda: service.set_status("Completed"))
    assert follow().exit_code == ExitCode.COMPLETED
    printed = lines(capsys)
    assert len([line for line in printed if code in line]) == 1
    assert len(host_lines(printed)) == (2 if code == "ThrottlingException" else 0)


def test_a_job_may_log_nothing(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.set_status("Completed")
    assert follow().exit_code == ExitCode.COMPLETED
    assert not host_lines(lines(capsys))


def test_a_line_after_a_long_silence_is_shown_soon(
    service: Service, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[bool] = []
    clock.after(300, lambda: service.log("late"))
    longest = sagemaker.QUIET_POLL_SECONDS
    clock.after(301 + longest, lambda: shown.append("algo-1 | late" in lines(capsys)))
    clock.after(400, lambda: service.set_status("Completed"))
    follow()
    assert shown == [True]


def test_throttled_calls_are_made_again(faults: Faults, service: Service, clock: Clock) -> None:
    faults.fail("DescribeProcessingJob", "ThrottlingException", times=3)
    clock.after(60, lambda: service.set_status("Completed"))
    assert follow().exit_code == ExitCode.COMPLETED


def test_renewed_credentials_are_used(
    faults: Faults,
    service: Service,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expired = Faults()
    expired.fail("DescribeProcessingJob", "ExpiredTokenException")

    def check(request: Any) -> Any:
        renewed = "Credential=renewed/" in request.headers["Authorization"].decode()
        return None if renewed else expired("DescribeProcessingJob", request)

    faults.intercept("DescribeProcessingJob", check, after=5)
    clock.after(100, lambda: monkeypatch.setenv("AWS_ACCESS_KEY_ID", "renewed"))
    clock.after(300, lambda: service.set_status("Completed"))
    assert follow().exit_code == ExitCode.COMPLETED
    assert len([line for line in lines(capsys) if "ExpiredToken" in line]) == 1


def cut_network(faults: Faults) -> None:
    for operation in ("DescribeProcessingJob", "FilterLogEvents"):
        faults.disconnect(operation)


def test_ten_minutes_without_network_lose_nothing(
    faults: Faults, service: Service, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    service.log("before")
    clock.after(60, functools.partial(cut_network, faults))
    clock.after(300, lambda: service.log("meanwhile"))
    clock.after(660, faults.clear)
    clock.after(900, lambda: service.log(LAST_LINE))
    clock.after(910, lambda: service.set_status("Completed"))
    assert follow().exit_code == ExitCode.COMPLETED
    expected = [f"algo-1 | {line}" for line in ("before", "meanwhile", LAST_LINE)]
    assert host_lines(lines(capsys)) == expected


def test_a_job_that_can_no_longer_be_followed_has_not_failed(
    faults: Faults, service: Service, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.after(60, functools.partial(cut_network, faults))
    clock.after(1200, faults.clear)
    clock.after(1800, lambda: service.set_status("Completed"))
    done = follow()
    assert (done.status, done.exit_code) == ("InProgress", ExitCode.STILL_RUNNING)
    assert "the job is still running" in lines(capsys)[-1]
    assert f"{NAME} is still running" in done.exit_message
    assert_commands(done.exit_message, NAME)


@pytest.mark.usefixtures("service")
def test_a_job_that_was_removed_is_no_longer_followed(faults: Faults) -> None:
    faults.fail("DescribeProcessingJob", "ValidationException", after=1)
    done = follow()
    assert (done.status, done.exit_code) == ("InProgress", ExitCode.STILL_RUNNING)


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_failure_is_explained(
    service: Service, clock: Clock, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logged = [f"line {number}" for number in range(25)]
    service.log(*logged)
    fields = {"failure_reason": "AlgorithmError: exit code: 1", "exit_message": "no column weight"}
    clock.after(60, lambda: service.set_status(status, **fields))
    done = follow()
    assert (done.status, done.exit_code) == (status, ExitCode.FAILED)
    assert done.exit_message == "no column weight"
    printed = lines(capsys)
    explanation = printed[printed.index("FailureReason: AlgorithmError: exit code: 1") :]
    assert explanation[1] == "ExitMessage: no column weight"
    assert printed.count(f"algo-1 | {logged[-1]}") == 1
    assert "python -m launch x" in explanation[-1]


def test_a_failure_names_the_command_that_repeats_the_job(
    faults: Faults, service: Service, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults.intercept("DescribeProcessingJob", lambda _: service.set_status("Failed"))
    words = ("--input_path", str(raw), "--rate", "2", "--api_key", "s3cr3t")
    assert run(*words).exit_code == ExitCode.FAILED
    repeat = lines(capsys)[-1]
    for part in ("python -m launch probe", "--backend docker", f"--input_path {raw}", "--rate 2"):
        assert part in repeat
    assert "s3cr3t" not in repeat


# The log in CloudWatch


class Pages:
    """CloudWatch Logs, with pages of a size that a test chooses."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = list(pages)
        self.calls: list[dict[str, Any]] = []

    def __call__(self, operation: str, **arguments: Any) -> dict[str, Any]:
        assert operation == "filter_log_events"
        self.calls.append(arguments)
        index = int(arguments.get("nextToken", 0))
        more = {"nextToken": str(index + 1)} if index + 1 < len(self.pages) else {}
        start = arguments["startTime"]
        return {"events": [e for e in self.pages[index] if e["timestamp"] >= start], **more}


def serve(faults: Faults, pages: Pages) -> None:
    """Answer FilterLogEvents with these pages."""

    def answer(request: Any) -> Any:
        from botocore.awsrequest import AWSResponse
        from moto.core.botocore_stubber import MockRawResponse

        found = pages("filter_log_events", **json.loads(request.body))
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        return AWSResponse(request.url, 200, headers, MockRawResponse(json.dumps(found)))

    faults.intercept("FilterLogEvents", answer)


CREATED = datetime(2026, 1, 31, tzinfo=UTC)


def event(number: int, seconds: float, host: str = "algo-1") -> dict[str, Any]:
    """Return a line that was written so many seconds after the job was created."""
    return {
        "logStreamName": f"{NAME}/{host}-1700000000",
        "eventId": str(number),
        "timestamp": int((CREATED.timestamp() + seconds) * 1000),
        "message": f"line {number}\n",
    }


def test_all_pages_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    pages = Pages([event(0, 1), event(1, 2)], [event(2, 3)], [event(2, 3), event(3, 4)])
    log = Log(NAME, CREATED, pages)
    assert log.read(0)
    assert [line[-1] for line in lines(capsys)] == ["0", "1", "2", "3"]
    assert len(pages.calls) == 3
    assert not log.read(5)


def test_an_empty_page_is_not_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    pages = Pages([], [], [event(0, 1)])
    log = Log(NAME, CREATED, pages)
    for index, calls in enumerate((1, 2, 3)):
        log.read(5.0 * index)
        assert len(pages.calls) == calls  # a reading that finds nothing is one call
        assert log.pending == (calls < 3)
    assert len(lines(capsys)) == 1


@pytest.mark.parametrize("seconds", [0, 3], ids=["fast", "slow"])
def test_a_search_with_many_empty_pages_is_drained(
    faults: Faults,
    service: Service,
    clock: Clock,
    seconds: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = event(0, 0) | {"timestamp": int(clock.time() * 1000)}
    pages = Pages(*([] for _ in range(8)), [last])
    faults.intercept("FilterLogEvents", lambda _: clock.sleep(seconds))
    serve(faults, pages)
    service.set_status("Failed")
    started = clock.now
    follow()
    assert host_lines(lines(capsys)) == ["algo-1 | line 0"]
    assert clock.now - started < 120


def time_out(faults: Faults, clock: Clock, **when: int) -> None:
    """Let calls for the log fail after ten seconds, as when AWS does not answer."""

    def fail(request: Any) -> None:
        from botocore.exceptions import ReadTimeoutError

        clock.sleep(10)
        raise ReadTimeoutError(endpoint_url=request.url)

    faults.intercept("FilterLogEvents", fail, **when)


def test_slow_failures_do_not_end_the_draining(
    faults: Faults, service: Service, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    service.log("one")
    time_out(faults, clock, after=1, times=2)
    clock.after(22, lambda: service.log("two"))
    clock.after(25, lambda: service.log("three"))
    service.set_status("Failed")
    follow()
    assert host_lines(lines(capsys)) == [f"algo-1 | {word}" for word in ("one", "two", "three")]


@pytest.mark.parametrize("pages", [1, 3])
def test_failures_while_draining_come_to_an_end(
    faults: Faults,
    service: Service,
    clock: Clock,
    pages: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for call in range(pages - 1, 1000, pages):  # the call for the last page always fails
        faults.disconnect("FilterLogEvents", after=call, times=1)
    serve(faults, Pages(*([] for _ in range(pages))))
    service.set_status("Completed")
    started = clock.now
    assert follow().exit_code == ExitCode.COMPLETED
    assert 0 < clock.now - started < 120
    assert "the end of the log may be missing" in lines(capsys)[-1]


def test_old_lines_are_not_read_again_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    pages = Pages([event(0, 100)])
    log = Log(NAME, CREATED, pages)
    for second in range(0, 300, 5):
        log.read(float(second))
    starts = [call["startTime"] / 1000 - CREATED.timestamp() for call in pages.calls]
    assert starts == sorted(starts)
    assert starts[0] <= 0
    assert starts[-1] == pytest.approx(100 + 290 - LATE_SECONDS)
    assert len(lines(capsys)) == 1
