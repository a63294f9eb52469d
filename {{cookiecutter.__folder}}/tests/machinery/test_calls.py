"""How many calls of AWS a launch makes, and ten minutes of following.

The template's ``benchmarks/calls.py`` prints what these tests count. Every request is counted,
simulations of policies included. Time passes only while launch sleeps.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aws_faults import REGION, Faults, answer, push_image
from launch.__main__ import main
from launch.aws import clients
from launch.backends import sagemaker
from launch.commands import launched_run
from launch.settings import project
from launches import START, Launches, job_step

JOB = "small-fit-20261130-120000-abc123"
MINUTES_10 = 600.0
STAMP = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Calls:
    """Counts what is called from here on."""

    faults: Faults
    record: Callable[[str, object], None]

    def start(self) -> None:
        self.faults.calls.clear()
        self.faults.headers.clear()

    def count(self, what: str) -> int:
        """Return how many calls there were, and report them as a property of the test."""
        operations = {name: len(sent) for name, sent in self.faults.headers.items()}
        self.record(what, json.dumps(operations))
        return sum(operations.values())


@pytest.fixture
def calls(account: Faults, record_property: Callable[[str, object], None]) -> Calls:
    return Calls(account, record_property)


# Clients


@pytest.mark.usefixtures("account")
def test_descriptions_of_services_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.loaders import JSONFileLoader

    clients.client("logs")
    read: list[str] = []
    load_file = JSONFileLoader.load_file

    def load(loader: Any, path: str) -> Any:
        read.append(path)
        return load_file(loader, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", load)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "renewed")  # needs a new session
    assert clients.client("logs").meta.region_name == REGION
    assert not [path for path in read if Path(f"{path}.json.gz").exists()]


# Launching


@pytest.fixture
def raw(small_pipeline: Path, account: Faults, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three files; the image of the commit is in ECR."""
    assert account
    monkeypatch.setattr(project, "stamp", lambda: STAMP)
    monkeypatch.setenv("ECR_REPOSITORY", "small")
    clients.client("ecr").create_repository(repositoryName="small")
    push_image("small", STAMP)
    (small_pipeline / "raw" / "c.csv").write_text("c")
    return small_pipeline / "raw"


ON_SAGEMAKER = ("--backend", "sagemaker", "--no-wait")


def test_a_launch_with_three_files_takes_seven_calls(calls: Calls, raw: Path) -> None:
    words = ["make_data", "--input_path", str(raw), *ON_SAGEMAKER]
    calls.start()
    assert main(words) == 0
    assert calls.count("a job with 3 files") <= 7
    calls.start()
    assert main(words) == 0
    assert calls.count("the same job again") <= 3
    calls.start()
    assert main([*words, "--run_name", "mine"]) == 0
    assert calls.count("the same job in a run that was named") <= 6


def test_a_launch_of_the_pipeline_takes_nine_calls(calls: Calls, raw: Path) -> None:
    words = ["pipeline", "--input_path.make_data", str(raw), *ON_SAGEMAKER]
    calls.start()
    assert main(words) == 0
    assert calls.count("a pipeline with 3 files") <= 9
    calls.start()
    assert main(words) == 0
    assert calls.count("the same pipeline again") <= 6
    (raw / "a.csv").write_text("changed")
    calls.start()
    assert main(words) == 0
    assert calls.count("the same pipeline with other files") <= 10


# Following


class Clock:
    """Time that passes while launch sleeps, and what happens in that time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at: dict[float, Callable[[], None]] = {}

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for time in [time for time in self.at if time <= self.now]:
            self.at.pop(time)()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("sagemaker", "execution"):
        monkeypatch.setattr(f"launch.backends.{module}.monotonic", clock.monotonic)
        monkeypatch.setattr(f"launch.backends.{module}.sleep", clock.sleep)
    return clock


@pytest.fixture
def launches(account: Faults) -> Launches:
    made = Launches()
    made.install(account)
    return made


@dataclass
class Log:
    """CloudWatch, where each host of a job writes a line every few seconds, or nothing."""

    clock: Clock
    hosts: int
    interval: float
    """Seconds between two lines; 0 for none."""
    until: float = MINUTES_10
    """When the last line is written."""

    def __call__(self, request: Any) -> Any:
        """Return lines in one page; as CloudWatch may, announce another one, which is empty."""
        asked = json.loads(request.body)
        if not self.interval or "nextToken" in asked:
            return answer({"events": []})
        return answer({"events": self._events(asked["startTime"]), "nextToken": "2"})

    def _events(self, start: int) -> list[dict[str, Any]]:
        first = max(0, math.ceil((start / 1000 - START.timestamp()) / self.interval))
        return [
            {
                "logStreamName": f"{JOB}/algo-{host + 1}-1",
                "eventId": f"{host} {number}",
                "timestamp": int((START.timestamp() + number * self.interval) * 1000),
                "message": "a line",
            }
            for number in range(first, int(min(self.clock.now, self.until) / self.interval))
            for host in range(self.hosts)
        ]


def running_job(launches: Launches, hosts: int) -> None:
    cluster = {"InstanceType": "ml.m5.xlarge", "InstanceCount": hosts, "VolumeSizeInGB": 30}
    resources = {"ClusterConfig": cluster}
    tags = {"project": "small", "job": "fit"}
    launches.add_job(JOB, "InProgress", tags=tags, ProcessingResources=resources)


@pytest.mark.parametrize("hosts", [1, 3, 100])
@pytest.mark.parametrize(("interval", "limit"), [(0.0, 100), (5.0, 250)], ids=["silent", "busy"])
def test_ten_minutes_of_a_job_take_few_calls_however_many_hosts_there_are(
    calls: Calls, launches: Launches, clock: Clock, hosts: int, interval: float, limit: int
) -> None:
    running_job(launches, hosts)
    calls.faults.intercept("FilterLogEvents", Log(clock, hosts, interval))
    counted: list[int] = []
    kind = "busy" if interval else "silent"
    what = f"10 minutes of {hosts} {kind} host{'s' if hosts > 1 else ''}"
    clock.at[MINUTES_10] = lambda: counted.append(calls.count(what))
    clock.at[MINUTES_10 + 1] = lambda: launches.jobs[JOB].update(ProcessingJobStatus="Stopped")
    calls.start()
    assert sagemaker.follow(JOB, {}).status == "Stopped"
    assert counted[0] <= limit


@pytest.mark.parametrize("interval", [0.0, 5.0], ids=["silent", "busy"])
def test_ten_minutes_of_an_execution_take_few_calls(
    calls: Calls, launches: Launches, clock: Clock, interval: float
) -> None:
    running_job(launches, 3)
    arn = launches.add_execution("small-launched", "e1", "Executing")
    launches.steps[arn] = [job_step("fit", JOB, "Executing")]
    calls.faults.intercept("FilterLogEvents", Log(clock, 3, interval, until=300))
    counted: list[int] = []
    kind = "busy" if interval else "silent"
    what = f"10 minutes of an execution, its job {kind} for the first 5"
    clock.at[300] = lambda: launches.jobs[JOB].update(ProcessingJobStatus="Completed")
    clock.at[MINUTES_10] = lambda: counted.append(calls.count(what))
    clock.at[MINUTES_10 + 1] = lambda: launches.executions[arn].update(
        PipelineExecutionStatus="Succeeded"
    )
    calls.start()
    assert launched_run.logs(arn).status == "Completed"
    assert counted[0] <= 250


def test_many_pages_of_lines_slow_down_the_following(
    calls: Calls, launches: Launches, clock: Clock
) -> None:
    running_job(launches, 1)

    def write(request: Any) -> Any:
        """Return a new line in each of five pages."""
        page = int(json.loads(request.body).get("nextToken", 1))
        event = {
            "logStreamName": f"{JOB}/algo-1-1",
            "eventId": f"{clock.now} {page}",
            "timestamp": int((START.timestamp() + clock.now) * 1000),
            "message": "a line",
        }
        return answer({"events": [event], **({"nextToken": str(page + 1)} if page < 5 else {})})

    calls.faults.intercept("FilterLogEvents", write)
    counted: list[int] = []
    clock.at[MINUTES_10] = lambda: counted.append(calls.count("10 minutes of a log of 5 pages"))
    clock.at[MINUTES_10 + 1] = lambda: calls.faults.clear()
    clock.at[MINUTES_10 + 2] = lambda: launches.jobs[JOB].update(ProcessingJobStatus="Stopped")
    calls.start()
    assert sagemaker.follow(JOB, {}).status == "Stopped"
    assert counted[0] <= 250
