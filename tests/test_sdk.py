"""A ``Processor`` of the SageMaker SDK sends the same request as ``launch``."""

import io
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import account
import pytest
from conftest import SLUG
from launching import DATA

pytest_plugins = ["launching", "sdk_environment"]
pytestmark = [pytest.mark.own_account, pytest.mark.slow]

BUCKET = "models"

CODE = """
import sys

import launch

options = {
    "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/models:1",
    "input_path": "DATA",
    "shard": ["input_path"],
    "instance_count": 2,
    "volume_size_in_gb": 50,
    "max_runtime_in_seconds": 3600,
    "env": {"STAGE": "test"},
    "rate": 0.25,
    "seed": 3,
}
for types in ("ml.m5.xlarge", "ml.m5.xlarge,ml.c5.xlarge"):
    options["instance_type"] = types
    launch.launch("gather", backend="sagemaker", wait=False, **options)
    processor, arguments = launch.processor("gather", **options)
    processor.run(**arguments, wait=False, logs=False)
""".replace("DATA", DATA)


TABLE = """
[request.NetworkConfig]
EnableNetworkIsolation = true
EnableInterContainerTrafficEncryption = true
[request.NetworkConfig.VpcConfig]
SecurityGroupIds = ["sg-1"]
Subnets = ["subnet-1", "subnet-2"]
[request.ProcessingResources.ClusterConfig]
VolumeKmsKeyId = "disk-key"
[request.ProcessingOutputConfig]
KmsKeyId = "output-key"
[[request.Tags]]
Key = "team"
Value = "fish"
[request.Environment]
REGION = "here"
[[job.gather.ProcessingInputs]]
InputName = "rows"
S3Input.S3InputMode = "Pipe"
S3Input.S3CompressionType = "Gzip"
"""
"""What a company needs, added to ``launch.toml``."""


@dataclass
class Account(account.Account):
    """An account that keeps the requests for jobs."""

    requests: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_X_AMZ_TARGET", "").endswith(".CreateProcessingJob"):
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = io.BytesIO(body)
            self.requests.append(json.loads(body))
        return super().__call__(environ, start)


@pytest.fixture
def aws() -> Iterator[Account]:
    made = Account()
    with account.serve(made):
        where = {"LocationConstraint": account.REGION}
        made.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        yield made


def _without_id(request: dict[str, Any]) -> dict[str, Any]:
    """A request without what no two launches share: the end of the name and of the run's."""
    launch_id = request["ProcessingJobName"].removeprefix(f"{SLUG}-gather-")
    made: dict[str, Any] = json.loads(json.dumps(request).replace(launch_id, "ID"))
    return made


@pytest.fixture
def _company_table(project: Path) -> Iterator[None]:
    table = project / "launch.toml"
    before = table.read_text()
    table.write_text(before + TABLE)
    yield
    table.write_text(before)


@pytest.mark.usefixtures("_company_table")
def test_the_sdk_sends_the_request_of_launch(
    sdk_python: Path, aws: Account, no_aws: dict[str, str], project: Path
) -> None:
    env = no_aws | aws.environment()
    env |= {"S3_BUCKET": BUCKET, "SAGEMAKER_ROLE_ARN": "arn:aws:iam::123456789012:role/jobs"}
    command = [str(sdk_python), "-c", CODE]
    done = subprocess.run(
        command, cwd=project, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ours, theirs, our_several, their_several = map(_without_id, aws.requests)
    assert ours["NetworkConfig"]["VpcConfig"]["Subnets"]
    assert ours["ProcessingInputs"][0]["S3Input"]["S3InputMode"] == "Pipe"
    assert theirs == ours
    assert our_several["ProcessingResources"]["ClusterConfig"]["InstancePreferences"]
    assert their_several == our_several
    assert not done.stderr


def test_a_missing_sdk_is_reported(project: Path, no_aws: dict[str, str]) -> None:
    code = "import launch; launch.processor('gather', input_path='data')"
    python = project / ".venv" / "bin" / "python"
    command = [str(python), "-c", code]
    done = subprocess.run(
        command, cwd=project, env=no_aws, capture_output=True, text=True, check=False
    )
    assert "SetupError" in done.stderr
    assert "make install GROUPS=" in done.stderr
