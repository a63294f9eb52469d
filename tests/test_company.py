"""The steps of ``docs/company.md``, in an account with the restrictive policies of a company.

The commands and the settings of the page are taken from it, in its order; nothing else is edited.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import account
import emulator
import pytest
import registry
from conftest import JOBS, SLUG, TABLE, TEMPLATE, run
from launching import shorten_waits
from reader import Reader, code, machine

pytestmark = [pytest.mark.own_account, pytest.mark.slow, pytest.mark.docker]

DOCUMENT = TEMPLATE.parent / "docs" / "company.md"
CONFIGURATION = "launch.toml"
BUCKET = f"{SLUG}-{registry.ACCOUNT}-{account.REGION}"
"""What ``make stack`` creates."""
SETTINGS = [tomllib.loads(text) for language, text in code(DOCUMENT) if language == "toml"]
"""The additions to ``launch.toml``: first all of them, then the one without the missing quota."""
REQUEST = SETTINGS[0]["request"]
STACK = SETTINGS[0]["stack"]
(LIMITED,) = SETTINGS[0]["job"]
"""The job with several instance types."""
NO_QUOTA, OTHER = (
    each["InstanceType"]
    for each in SETTINGS[0]["job"][LIMITED]["ProcessingResources"]["ClusterConfig"][
        "InstancePreferences"
    ]
)
LAKE, _, LAKE_PREFIX = (
    next(iter(next(iter(SETTINGS[0]["inputs"].values())).values()))
    .removeprefix("s3://")
    .partition("/")
)
DATA = next(iter(next(iter(TABLE["inputs"].values())).values()))
"""The folder of the repository whose files are in the lake."""


def company_rule(request: Mapping[str, Any]) -> str | None:
    """Return why the company's policy denies a job; ``None`` if it is allowed."""
    cluster = request["ProcessingResources"]["ClusterConfig"]
    vpc = request.get("NetworkConfig", {}).get("VpcConfig", {})
    required = {
        "a VPC": vpc.get("Subnets") and vpc.get("SecurityGroupIds"),
        "a key of the volumes": cluster.get("VolumeKmsKeyId"),
        "a key of the outputs": request["ProcessingOutputConfig"].get("KmsKeyId"),
        "a cost centre": "cost-centre" in {tag["Key"] for tag in request.get("Tags", [])},
    }
    missing = [name for name, value in required.items() if not value]
    return f"explicit deny: the job has no {', no '.join(missing)}" if missing else None


@pytest.fixture(scope="module")
def service(
    shared_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[emulator.Emulator]:
    """The account of the company, with its rule, its lake and its quotas."""
    registry.need_engine()
    folder = tmp_path_factory.mktemp("service")
    with (
        registry.docker_registry(folder, layers=shared_folder / "layers" / SLUG) as images,
        emulator.emulator(images, folder) as service,
    ):
        service.rules.append(company_rule)
        service.quotas = {
            f"{NO_QUOTA} for processing job usage": 0,
            f"{OTHER} for processing job usage": 4,
        }
        policy = {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
        }
        service.client("iam").create_policy(
            PolicyName=STACK["PermissionsBoundary"].rpartition("/")[2],
            PolicyDocument=json.dumps(policy),
        )
        s3 = service.client("s3")
        s3.create_bucket(
            Bucket=LAKE, CreateBucketConfiguration={"LocationConstraint": account.REGION}
        )
        for file in sorted((TEMPLATE / DATA).iterdir()):
            s3.upload_file(str(file), LAKE, f"{LAKE_PREFIX}/{file.name}")
        yield service


@pytest.fixture(scope="module")
def reader(
    service: emulator.Emulator, generated: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reader]:
    """Somebody who has generated a repository and committed it."""
    home = tmp_path_factory.mktemp("home")
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    (home / "venv" / "bin" / "aws").symlink_to(Path(sys.executable).with_name("aws"))
    folder = tmp_path_factory.mktemp("company") / SLUG
    run(folder.parent, "git", "clone", "--quiet", str(generated), str(folder))
    shorten_waits(folder)
    environment = machine(home, service.environment())
    with registry.images_of(folder):
        yield Reader(folder, environment, TEMPLATE.parent)


def configure(project: Path, block: str) -> None:
    """Add tables to ``launch.toml``; those that are there already are replaced."""
    file = project / CONFIGURATION
    text = file.read_text()
    for table in re.split(r"^(?=\[)", block, flags=re.MULTILINE):
        if table.strip():
            text = f"{remove(text, table.partition(chr(10))[0])}\n{table}"
    file.write_text(text)


def remove(text: str, header: str) -> str:
    """Return the text of a TOML file without a table, which begins with this line."""
    return re.sub(rf"^{re.escape(header)}\n(?:(?!\[).*\n)*", "", text, flags=re.MULTILINE)


def jobs_of(requests: list[dict[str, Any]]) -> list[str]:
    tags = [{tag["Key"]: tag["Value"] for tag in request["Tags"]} for request in requests]
    return [tag["job"] for tag in tags]


def check_requests(requests: list[dict[str, Any]]) -> None:
    """Everything that the page configures is in each request."""
    for request in requests:
        cluster = request["ProcessingResources"]["ClusterConfig"]
        assert request["NetworkConfig"] == REQUEST["NetworkConfig"]
        assert (
            cluster["VolumeKmsKeyId"]
            == REQUEST["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"]
        )
        assert (
            request["ProcessingOutputConfig"]["KmsKeyId"]
            == REQUEST["ProcessingOutputConfig"]["KmsKeyId"]
        )
        assert REQUEST["Tags"][0] in request["Tags"]
        assert request["ProcessingJobName"].startswith(f"{SLUG}-")


def check_uploads(service: emulator.Emulator) -> None:
    """What a launch uploaded is encrypted with the key of the outputs."""
    s3 = service.client("s3")
    uploaded = [
        item["Key"]
        for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{SLUG}/")["Contents"]
        if item["Key"].endswith(".launch.json") or "/inputs/" in item["Key"]
    ]
    assert uploaded
    for key in uploaded:
        stored = s3.head_object(Bucket=BUCKET, Key=key)
        assert stored["SSEKMSKeyId"] == REQUEST["ProcessingOutputConfig"]["KmsKeyId"], key


def check_roles(service: emulator.Emulator) -> None:
    """Every role of the stack has the boundary and the path of the company."""
    iam = service.client("iam")
    roles = [role for role in iam.list_roles()["Roles"] if role["RoleName"].startswith(SLUG)]
    assert len(roles) >= 2  # of the jobs and of the schedule
    for role in roles:
        described = iam.get_role(RoleName=role["RoleName"])["Role"]
        boundary = described["PermissionsBoundary"]["PermissionsBoundaryArn"]
        assert boundary == STACK["PermissionsBoundary"]
        assert role["Path"] == STACK["RolePath"]


def check_schedule(service: emulator.Emulator) -> None:
    """The schedule starts the pipeline that was deployed, and its execution succeeds."""
    scheduler = service.client("scheduler")
    (listed,) = scheduler.list_schedules()["Schedules"]
    schedule = scheduler.get_schedule(Name=listed["Name"], GroupName=listed["GroupName"])
    assert schedule["ScheduleExpression"] == STACK["Schedule"]
    assert schedule["ScheduleExpressionTimezone"] == STACK["ScheduleTimezone"]
    sagemaker = service.client("sagemaker")
    started = sagemaker.start_pipeline_execution(**_pipeline_of(schedule["Target"]))
    execution = service.executions[started["PipelineExecutionArn"]]
    execution.wait()
    assert execution.status == "Succeeded", execution.steps


def _pipeline_of(target: Mapping[str, Any]) -> dict[str, Any]:
    """Return what EventBridge Scheduler calls StartPipelineExecution with."""
    assert target["Arn"].endswith(f":pipeline/{SLUG}")
    return {"PipelineName": target["Arn"].rpartition("/")[2]}


def check_emails(service: emulator.Emulator) -> None:
    """A failure of this project's jobs and executions is reported, one of others is not."""
    import schedules

    def sent(kind: str, **detail: str) -> list[str]:
        event = {"source": "aws.sagemaker", "detail-type": kind, "detail": detail}
        return list(schedules.emails(service.client, event))

    job = "SageMaker Processing Job State Change"
    failed = {"ProcessingJobStatus": "Failed"}
    team = [STACK["FailureEmail"]]
    assert sent(job, ProcessingJobName=f"{SLUG}-fit-1", **failed) == team
    assert sent(job, ProcessingJobName=f"{SLUG}-fit-1", ProcessingJobStatus="Completed") == []
    assert sent(job, ProcessingJobName="other-fit-1", **failed) == []
    execution = "SageMaker Model Building Pipeline Execution Status Change"
    arn = f"arn:aws:sagemaker:{account.REGION}:{registry.ACCOUNT}:pipeline"
    failed = {"currentPipelineExecutionStatus": "Failed"}
    assert sent(execution, pipelineArn=f"{arn}/{SLUG}", **failed) == team
    assert sent(execution, pipelineArn=f"{arn}/other", **failed) == []


def test_the_page(reader: Reader, service: emulator.Emulator) -> None:
    project = reader.folder
    said: list[str] = []
    for language, block in code(DOCUMENT):
        if language == "toml":
            configure(project, block)
        elif block == "make doctor\n":
            said.append(reader.type("make doctor || echo the exit code was $?"))
            assert NO_QUOTA in said[-1]
            assert "the exit code was 2" in said[-1]  # make's, for the broken quota
            check_roles(service)
        elif language == "":
            said.append(reader.type(block))
    assert not any("broken" in table for table in said[2:] if "credentials" in table)

    changed = run(project, "git", "diff", "--name-only", "HEAD~1", "HEAD").split()
    assert set(changed) == {"aws.env", CONFIGURATION}
    requests = service.requests["CreateProcessingJob"]
    assert jobs_of(requests) == [JOBS[0], *JOBS]
    check_requests(requests)
    reader.type(f".venv/bin/python -m launch {JOBS[0]} --backend sagemaker --run_name chosen")
    check_uploads(service)
    check_schedule(service)
    check_requests(service.requests["CreateProcessingJob"])
    check_emails(service)
    check_rule(reader, requests[0]["AppSpecification"]["ImageUri"])


def check_rule(reader: Reader, image: str) -> None:
    """Without the settings of the page, the company denies the same launch."""
    file = reader.folder / CONFIGURATION
    text = file.read_text()
    for header in re.findall(r"^\[+request.*$", text, flags=re.MULTILINE):
        text = remove(text, header)
    file.write_text(text)
    launch = f".venv/bin/python -m launch {JOBS[0]} --backend sagemaker --image {image}"
    said = reader.type(f"{launch} || echo the exit code was $?")
    assert "explicit deny: the job has no a VPC" in said
    assert "the exit code was 2" in said
