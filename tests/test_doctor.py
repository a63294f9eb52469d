"""``make doctor`` in every state of a laptop and an account."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import account
import pytest
import registry
from conftest import run

pytestmark = [pytest.mark.own_account, pytest.mark.slow]

TOOLS = {"git", "make", "docker", "aws"}
POSIX = {"bash", "cat", "cp", "cut", "dirname", "grep", "mkdir", "mktemp", "mv", "realpath", "rm"}
POSIX |= {"sed", "sh"}
AWS = {"repository", "image", "bucket", "role", "inputs", "quota"}
NAMES = {"python", "commit", "lock", "buildx", "engine", "platform", "region", "credentials"}
NAMES |= {"launch.toml", "registry"}
NAMES |= TOOLS | AWS
VOLUME = "Size of EBS volume for a processing job instance"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER = """\
#!/bin/sh
case "$*" in
--version) echo Docker version 28 ;;
"buildx version") echo buildx 0.13 ;;
"buildx inspect") echo Platforms: linux/arm64, linux/amd64 ;;
"version --format {{.Server.Version}}") echo 28 ;;
"version --format {{.Server.Arch}}") echo amd64 ;;
esac
"""


@dataclass
class State:
    """A laptop and an account on which everything is right, until a test changes something."""

    project: Path
    aws: account.Account
    tools: Path
    env: dict[str, str] = field(default_factory=dict)

    def docker(self, before: str, after: str) -> None:
        """Let the docker of the laptop answer otherwise."""
        assert before in DOCKER
        (self.tools / "docker").write_text(DOCKER.replace(before, after))

    def commit(self) -> None:
        run(self.project, "git", "commit", "--quiet", "--allow-empty", "--all", "--message", "More")

    def push(self) -> None:
        """Let ECR hold an image of the commit, unless it does."""
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"digest": "sha256:0"}}
        stamp = run(self.project, "scripts/stamp.sh").strip()
        ecr = self.aws.client("ecr")
        with suppress(ecr.exceptions.ImageAlreadyExistsException):
            ecr.put_image(
                repositoryName=self.project.name, imageTag=stamp, imageManifest=json.dumps(manifest)
            )

    def launch_toml(self, text: str) -> None:
        """Add to launch.toml, and let ECR hold the image of the new commit."""
        with (self.project / "launch.toml").open("a") as file:
            file.write(text)
        self.commit()
        self.push()

    def role(self, name: str, service: str) -> None:
        """Let there be a role, and let the settings name it."""
        principal = {"Service": service}
        rule = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
        made = self.aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        self.env["SAGEMAKER_ROLE_ARN"] = made["Role"]["Arn"]
        self.allow(name)

    def allow(self, role: str, *statements: Mapping[str, Any]) -> None:
        """Replace what a role may do, besides reading what the project's launches upload."""
        own = [
            {"Effect": "Allow", "Action": action, "Resource": f"arn:aws:s3:::{resource}"}
            for action, resource in (
                ("s3:ListBucket", "*"),
                ("s3:GetObject", f"*/{self.project.name}/*"),
            )
        ]
        document = {"Version": "2012-10-17", "Statement": [*own, *statements]}
        self.aws.client("iam").put_role_policy(
            RoleName=role, PolicyName="jobs", PolicyDocument=json.dumps(document)
        )

    def bucket(self, name: str, region: str) -> None:
        """Let there be a bucket, and let the settings name it."""
        where = {"LocationConstraint": region}
        s3 = self.aws.client("s3", region)
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)
        self.env["S3_BUCKET"] = name

    def table(self, *command: str) -> dict[str, tuple[str, str, str]]:
        """State, what was found, and what mends it, by name; but for what is right."""
        done = subprocess.run(
            command or [".venv/bin/python", "-m", "launch.doctor"],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        row = r"^(\w+) +([\w.]+) +(.*?)(?:  -> (.*))?$"
        rows = re.findall(row, done.stdout, flags=re.MULTILINE)
        assert [row[1] for row in rows] == list(dict.fromkeys(row[1] for row in rows))
        assert {row[1] for row in rows} == NAMES, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        broken = any(state == "broken" for state, *_ in rows)
        assert (done.returncode != 0) is broken, done.stdout
        return {name: (state, found, mend) for state, name, found, mend in rows if state != "ok"}


@pytest.fixture
def state(generated: Path, installed_project: Path, tmp_path: Path) -> Iterator[State]:
    project = tmp_path / "a space" / generated.name
    shutil.copytree(generated, project)
    for made in (".venv", ".tools"):
        (project / made).symlink_to(installed_project / made)
        with (project / ".git" / "info" / "exclude").open("a") as excluded:
            excluded.write(f"{made}\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    with account.account() as aws:
        env = aws.environment()
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for tool in (TOOLS | POSIX) - {"docker"}:
            (tools / tool).symlink_to(shutil.which(tool, path=env["PATH"]) or tool)
        (tools / "docker").write_text(DOCKER)
        (tools / "docker").chmod(0o755)
        state = State(project, aws, tools, env | {"PATH": str(tools)})
        aws.client("ecr").create_repository(repositoryName=project.name)
        state.push()
        state.bucket("models", account.REGION)
        state.role("jobs", "sagemaker.amazonaws.com")
        aws.quotas["ml.m5.xlarge for training job usage"] = 0
        aws.quotas["ml.m5.xlarge for processing job usage"] = 2
        aws.quotas[VOLUME] = 1024
        yield state


@pytest.mark.docker
def test_everything_is_right(state: State) -> None:
    registry.need_engine()
    state.env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    assert state.table("make", "--silent", "doctor") == {}


def unset(state: State) -> None:
    state.env |= {"AWS_REGION": "", "AWS_ACCESS_KEY_ID": "", "S3_BUCKET": ""}


def no_credentials(state: State) -> None:
    state.env |= {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


def no_network(state: State) -> None:
    state.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"


def expired(state: State) -> None:
    state.aws.faults["GetCallerIdentity"] = "ExpiredToken"


def no_profile(state: State) -> None:
    state.env["AWS_PROFILE"] = "walruses"


def no_tools(state: State) -> None:
    for tool in TOOLS:
        (state.tools / tool).unlink()


def no_buildx(state: State) -> None:
    state.docker("echo buildx 0.13", 'echo "unknown command" >&2; exit 1')


def no_engine(state: State) -> None:
    state.docker('echo 28 ;;\n"version --format {{.Server.Arch}}")', "exit 1 ;;\nx)")


def no_emulation(state: State) -> None:
    state.docker("linux/arm64, linux/amd64", "linux/arm64")


def nothing_yet(state: State) -> None:
    state.env |= {"S3_BUCKET": "", "SAGEMAKER_ROLE_ARN": "", "ECR_REPOSITORY": "walruses"}
    state.aws.quotas.clear()


def nothing_fits(state: State) -> None:
    pyproject = state.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"tqdm>=', '"tqdm!=4.0,>='))
    state.commit()
    state.bucket("walruses", "eu-west-2")
    state.role("walruses", "lambda.amazonaws.com")
    state.aws.quotas["ml.m5.xlarge for processing job usage"] = 0


def named_but_gone(state: State) -> None:
    state.env["S3_BUCKET"] = "walruses"
    state.env["SAGEMAKER_ROLE_ARN"] += "-of-walruses"


def not_allowed(state: State) -> None:
    state.aws.faults |= {"GetRole": "AccessDenied", "ListServiceQuotas": "AccessDeniedException"}
    state.aws.faults["HEAD"] = "AccessDenied"


def no_toml(state: State) -> None:
    state.launch_toml("\n[buckets\n")


def no_account(state: State) -> None:
    state.launch_toml('\n[buckets]\nlake = "walruses"\n')


def no_registry(state: State) -> None:
    state.env["ECR_REGISTRY"] = "walruses"


def other_registry(state: State) -> None:
    state.env["ECR_REGISTRY"] = f"{registry.ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com"


def other_owner(state: State) -> None:
    state.env["SAGEMAKER_ROLE_ARN"] = state.env["SAGEMAKER_ROLE_ARN"].replace(
        registry.ACCOUNT, "210987654321"
    )
    state.aws.faults["HEAD"] = "AccessDenied"


def one_type_without_quota(state: State) -> None:
    state.aws.quotas["ml.c5.xlarge for processing job usage"] = 0
    state.launch_toml(
        "\n[[request.ProcessingResources.ClusterConfig.InstancePreferences]]\n"
        'InstanceType = "ml.m5.xlarge"\nInstanceCount = 2\n'
        "[[request.ProcessingResources.ClusterConfig.InstancePreferences]]\n"
        'InstanceType = "ml.c5.xlarge"\nInstanceCount = 2\n'
    )


def small_volume(state: State) -> None:
    state.launch_toml("\n[request.ProcessingResources.ClusterConfig]\nVolumeSizeInGB = 2000\n")


def s3_input(state: State) -> None:
    """Let the role read a folder, and let the first job read it."""
    file = state.project / "launch.toml"
    line = next(line for line in file.read_text().splitlines() if line.startswith("input_path"))
    file.write_text(file.read_text().replace(line, 'input_path = "s3://lake/raw"'))
    state.commit()
    state.push()
    statements = [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::lake"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::lake/raw/*"},
    ]
    state.allow("jobs", *statements)


def unreadable_input(state: State) -> None:
    s3_input(state)
    deny = {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::lake/raw/*"}
    state.allow("jobs", deny)


def unreadable_uploads(state: State) -> None:
    uploads = f"arn:aws:s3:::*/{state.project.name}/inputs/*"
    state.allow("jobs", {"Effect": "Deny", "Action": "s3:GetObject", "Resource": uploads})


def not_simulated(state: State) -> None:
    s3_input(state)
    state.aws.faults["SimulatePrincipalPolicy"] = "AccessDenied"


def dirty(state: State) -> None:
    (state.project / "entrypoints" / "new").touch()


INSTALL = "https://"
LOGIN = "aws configure sso"
UNKNOWN = dict.fromkeys(AWS, ("unknown", ""))
NOT_CONFIGURED = dict.fromkeys(["inputs", "quota", "bucket"], ("unknown", ""))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (unset, {"region": ("todo", "AWS_REGION"), "credentials": ("unknown", "")} | UNKNOWN),
        (no_credentials, {"credentials": ("todo", LOGIN)} | UNKNOWN),
        (no_network, {"credentials": ("broken", LOGIN)} | UNKNOWN),
        (expired, {"credentials": ("broken", LOGIN)} | UNKNOWN),
        (
            no_profile,
            {"region": ("todo", "AWS_REGION"), "credentials": ("unknown", "")} | UNKNOWN,
        ),
        (
            no_tools,
            {"git": ("todo", INSTALL), "make": ("todo", "install"), "commit": ("unknown", "")}
            | {"docker": ("todo", INSTALL), "aws": ("todo", INSTALL), "image": ("unknown", "")}
            | dict.fromkeys(["buildx", "engine", "platform"], ("unknown", "")),
        ),
        (no_buildx, {"buildx": ("todo", INSTALL), "platform": ("unknown", "")}),
        (no_engine, {"engine": ("todo", "start"), "platform": ("unknown", "")}),
        (no_emulation, {"platform": ("broken", "docker run --privileged")}),
        (
            nothing_yet,
            {"repository": ("todo", "make stack"), "image": ("unknown", "")}
            | {"bucket": ("todo", "make stack"), "role": ("todo", "make stack")}
            | {"quota": ("todo", "request-service-quota-increase")},
        ),
        (
            nothing_fits,
            {"lock": ("broken", "make lock"), "image": ("todo", "make image push")}
            | {"bucket": ("broken", "make stack"), "role": ("broken", "make stack")}
            | {"quota": ("broken", "request-service-quota-increase")},
        ),
        (named_but_gone, dict.fromkeys(["bucket", "role"], ("broken", "make stack"))),
        (
            not_allowed,
            {"bucket": ("broken", "make stack")}
            | dict.fromkeys(["role", "quota"], ("unknown", "")),
        ),
        (s3_input, {}),
        (unreadable_input, {"inputs": ("broken", "ReadPaths")}),
        (unreadable_uploads, {"inputs": ("broken", "ReadPaths")}),
        (not_simulated, {"inputs": ("unknown", "")}),
        (no_toml, {"launch.toml": ("broken", "launch.toml")} | NOT_CONFIGURED),
        (no_account, {"launch.toml": ("broken", "launch.toml")} | NOT_CONFIGURED),
        (
            no_registry,
            {"registry": ("broken", "ECR_REGISTRY")}
            | dict.fromkeys(["repository", "image"], ("unknown", "")),
        ),
        (other_registry, {"repository": ("todo", "make stack"), "image": ("unknown", "")}),
        (other_owner, {"bucket": ("broken", "make stack"), "role": ("broken", "make stack")}),
        (one_type_without_quota, {"quota": ("broken", "request-service-quota-increase")}),
        (small_volume, {"quota": ("broken", "request-service-quota-increase")}),
        (dirty, {"commit": ("todo", "git commit"), "image": ("unknown", "")}),
    ],
)
def test_what_is_wrong_is_named(
    state: State, change: Callable[[State], None], expected: dict[str, tuple[str, str]]
) -> None:
    change(state)
    table = state.table()
    assert {name: state for name, (state, *_) in table.items()} == {
        name: state for name, (state, _) in expected.items()
    }
    for name, (_, mend) in expected.items():
        assert mend in table[name][2]
        assert bool(mend) is bool(table[name][2])


def test_quotas_are_named_by_type(state: State) -> None:
    one_type_without_quota(state)
    _, found, _ = state.table()["quota"]
    assert "0 of 2 ml.c5.xlarge for processing job usage: quota L-" in found
    assert "ml.m5.xlarge" not in found


def test_the_expected_owner_of_the_bucket_is_named(state: State) -> None:
    other_owner(state)
    _, found, _ = state.table()["bucket"]
    assert "does not belong to account 210987654321" in found


def test_an_arm_laptop_emulates(state: State) -> None:
    state.docker("echo amd64", "echo arm64")
    assert state.table() == {}
