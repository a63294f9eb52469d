"""The stack, deployed by the real script and CLI, and the permissions of its roles.

moto makes neither the bucket's policy, its lifecycle and its public access block, nor the identity
provider, the schedule and the policy of a topic, and takes no settings of the repository but its
tags' mutability: those are held against the template.
"""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import account
import pytest
import resolved
from conftest import SLUG, fails, run
from registry import ACCOUNT
from resolved import STACK
from simulation import fake_docker

pytestmark = [pytest.mark.own_account, pytest.mark.slow]

OTHER = "210987654321"
BUCKET = f"{SLUG}-{ACCOUNT}-{account.REGION}"
DATA = {"Bucket", "Repository"}
OWN = {"ExecutionRole", "ExecutionPolicy", "GitHubRole", "GitHubPolicy"}
GITHUB = "https://token.actions.githubusercontent.com"


@dataclass
class Account(account.Account):
    """An account in front of moto, which does not look at the owner that a request expects."""

    owners: dict[str, str] = field(default_factory=dict)
    """Accounts that own buckets; this one owns all others."""

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        bucket = environ["PATH_INFO"].split("/")[1]
        owner = self.owners.get(bucket, ACCOUNT)
        if environ.get("HTTP_X_AMZ_EXPECTED_BUCKET_OWNER", owner) != owner:
            start("403 Forbidden", [])
            return [b""]
        return super().__call__(environ, start)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An empty account, and an environment that names no other."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "ECR_", "GITHUB_", "PYTHONDONTWRITE")):
            monkeypatch.delenv(name)
    aws = Account()
    with account.serve(aws):
        yield aws


@pytest.fixture
def project(generated: Path, tmp_path: Path) -> Path:
    """A project whose settings hold more than the stack knows."""
    folder = tmp_path / "a space" / generated.name
    shutil.copytree(generated, folder)
    with (folder / "aws.env").open("a") as settings:
        settings.write("MORE=a=b # c")  # and no end of the line
    return folder


def configure(project: Path, *lines: str) -> None:
    """Let ``launch.toml`` have these lines and no others of the stack or of requests."""
    path = project / "launch.toml"
    text = path.read_text().partition("\n# Of the test\n")[0]
    path.write_text("\n".join([text, "# Of the test", *lines, ""]))


def parameters(aws: account.Account) -> dict[str, str]:
    """The parameters that the stack was deployed with."""
    (stack,) = aws.client("cloudformation").describe_stacks()["Stacks"]
    return {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}


def settings(project: Path) -> dict[str, str]:
    lines = (project / "aws.env").read_text().splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def resources(aws: account.Account) -> set[str]:
    """What belongs to the stack, as far as moto makes it."""
    cloudformation = aws.client("cloudformation")
    found = cloudformation.list_stack_resources(StackName=SLUG)
    return {item["LogicalResourceId"] for item in found["StackResourceSummaries"]} - {""}


def roles(aws: account.Account) -> dict[str, str]:
    """The stack's roles by their names in the template."""
    arns = [role["Arn"] for role in aws.client("iam").list_roles()["Roles"]]
    return {arn.split("-")[-2]: arn for arn in arns}


def left(aws: account.Account) -> tuple[Any, Any]:
    """Stacks and change sets."""
    cloudformation = aws.client("cloudformation")
    stacks = [stack["StackName"] for stack in cloudformation.describe_stacks()["Stacks"]]
    return stacks, cloudformation.list_change_sets(StackName=SLUG)["Summaries"]


def test_the_stack_comes_goes_and_comes_back(project: Path, aws: account.Account) -> None:
    env, before = aws.environment(), settings(project)
    planned = run(project, "make", "stack-plan", **env)
    assert re.search(r"^Add\tBucket\tAWS::S3::Bucket\b", planned, flags=re.MULTILINE)
    assert settings(project) == before
    assert left(aws) == ([], [])
    assert not aws.client("ecr").describe_repositories()["repositories"]
    assert not aws.client("s3").list_buckets()["Buckets"]

    configure(project, "[stack]", 'GitHubRepository = "team/model"')
    run(project, "make", "stack", **env)
    made = roles(aws)
    assert settings(project) == before | {
        "AWS_REGION": account.REGION,
        "ECR_REPOSITORY": SLUG,
        "S3_BUCKET": BUCKET,
        "SAGEMAKER_ROLE_ARN": made["ExecutionRole"],
        "GITHUB_ROLE_ARN": made["GitHubRole"],
    }
    assert [*settings(project)][: len(before)] == [*before]
    assert resources(aws) == OWN | DATA
    (repository,) = aws.client("ecr").describe_repositories()["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert aws.client("s3").get_bucket_encryption(Bucket=BUCKET)

    text = (project / "aws.env").read_text()
    for verb in ("stack", "stack-plan"):
        said = run(project, "make", verb, **env)
        assert "No changes to deploy" in said
        assert "does not belong to the stack" not in said
        assert "\tAWS::" not in said
        assert left(aws) == ([SLUG], [])
        assert (project / "aws.env").read_text() == text
    assert roles(aws) == made

    aws.client("s3").put_object(Bucket=BUCKET, Key=f"{SLUG}/runs/run/model", Body=b"model")
    aws.client("cloudformation").delete_stack(StackName=SLUG)
    assert roles(aws) == {}
    aws.client("iam").create_open_id_connect_provider(
        Url=GITHUB, ClientIDList=["sts.amazonaws.com"]
    )
    said = run(project, "make", "stack", **env)
    assert f"The bucket {BUCKET} does not belong to the stack" in said
    assert resources(aws) == OWN
    exist = {name for name, value in parameters(aws).items() if value == "true"}
    assert exist == {"RepositoryExists", "BucketExists", "GitHubExists"}
    assert settings(project)["SAGEMAKER_ROLE_ARN"] == roles(aws)["ExecutionRole"]
    assert settings(project)["S3_BUCKET"] == BUCKET
    (kept,) = aws.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert kept["Key"] == f"{SLUG}/runs/run/model"
    (same,) = aws.client("ecr").describe_repositories()["repositories"]
    assert same["createdAt"] == repository["createdAt"]


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}, "Unable to locate credentials"),
        ({"AWS_REGION"}, "No AWS region: set AWS_REGION"),
        ({"PATH"}, "The AWS CLI is not installed"),
    ],
    ids=["credentials", "region", "aws"],
)
def test_what_is_missing_is_said(
    project: Path, aws: account.Account, tmp_path: Path, without: set[str], message: str
) -> None:
    for command in ("bash", "dirname", "sed"):
        (tmp_path / command).symlink_to(shutil.which(command) or command)
    env = {name: value for name, value in aws.environment().items() if name not in without}
    before = (project / "aws.env").read_text()
    done = subprocess.run(
        [project / "scripts" / "stack.sh"],
        env={"PATH": str(tmp_path)} | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert (project / "aws.env").read_text() == before
    assert left(aws) == ([], [])


def test_an_api_that_refuses_is_no_stack_that_is_missing(
    project: Path, aws: account.Account
) -> None:
    aws.faults["ListStackResources"] = "AccessDenied"
    script = project / "scripts" / "stack.sh"
    done = subprocess.run([script], env=aws.environment(), capture_output=True, text=True)
    assert done.returncode != 0
    assert "AccessDenied" in done.stderr
    assert left(aws) == ([], [])


def test_a_creation_that_failed_is_explained(
    project: Path, aws: account.Account, tmp_path: Path
) -> None:
    """CloudFormation keeps such a stack and rejects every update of it, which moto does not."""
    run(project, "make", "stack", **aws.environment())
    answer = 'case "$*" in *describe-stacks*) echo ROLLBACK_COMPLETE; exit;; esac'
    command = tmp_path / "aws"
    env = aws.environment()
    # A command that looks for the real one on PATH may not find this one.
    command.write_text(f'#!/bin/sh\n{answer}\nPATH="${{PATH#*:}}" exec aws "$@"\n')
    command.chmod(0o755)
    env["PATH"] = f"{tmp_path}{os.pathsep}{env['PATH']}"
    said = fails(project, "scripts/stack.sh", **env)
    assert "ROLLBACK_COMPLETE" in said
    assert f"delete-stack --region {account.REGION} --stack-name {SLUG}" in said
    assert "describe-stack-events" in said


def test_a_parameter_that_is_removed_returns_to_its_default(
    project: Path, aws: account.Account
) -> None:
    """CloudFormation itself remembers the value of the last deployment."""
    configure(project, "[stack]", "RunDays = 90", 'GitHubRepository = "team/model"')
    run(project, "make", "stack", **aws.environment())
    assert parameters(aws)["RunDays"] == "90"
    configure(project)
    run(project, "make", "stack", **aws.environment(), GITHUB_REPOSITORY="team/other")
    assert parameters(aws)["RunDays"] == "365"
    assert parameters(aws)["GitHubRepository"] == ""


def test_the_command_line_sets_no_parameters(project: Path, aws: account.Account) -> None:
    message = fails(project, "scripts/stack.sh", "RunDays=90", **aws.environment())
    assert "launch.toml" in message
    assert "[stack]" in message
    assert left(aws) == ([], [])


def test_a_mistake_in_the_file_deploys_nothing(project: Path, aws: account.Account) -> None:
    configure(project, "[stack]", "RunDay = 90")
    assert "did you mean RunDays?" in fails(project, "scripts/stack.sh", **aws.environment())
    assert left(aws) == ([], [])


@pytest.mark.parametrize("readable", [True, False], ids=["readable", "private"])
def test_the_bucket_of_another_account_is_not_used(
    project: Path, aws: Account, readable: bool
) -> None:
    """Whether or not its owner lets everybody list it."""
    if readable:
        location = {"LocationConstraint": account.REGION}
        aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
    aws.owners[BUCKET] = OTHER
    before = (project / "aws.env").read_text()
    message = fails(project, "scripts/stack.sh", **aws.environment())
    assert f"{BUCKET} belongs to another account" in message
    assert "BucketName" in message
    assert left(aws) == ([], [])
    assert (project / "aws.env").read_text() == before

    configure(project, "[stack]", 'BucketName = "another-name"')
    run(project, "make", "stack", **aws.environment())
    assert settings(project)["S3_BUCKET"] == "another-name"
    assert aws.client("s3").get_bucket_encryption(Bucket="another-name")


def test_s3_that_does_not_answer_is_no_bucket_that_is_missing(
    project: Path, aws: account.Account
) -> None:
    aws.faults["HEAD"] = "InternalError"
    fails(project, "scripts/stack.sh", **aws.environment())
    assert left(aws) == ([], [])


def test_the_repository_of_another_account_is_used_and_not_made(
    project: Path, aws: account.Account
) -> None:
    registry = f"{OTHER}.dkr.ecr.eu-central-1.amazonaws.com"
    run(project, "scripts/setting.sh", f"ECR_REGISTRY={registry}")
    run(project, "make", "stack", **aws.environment())
    assert "Repository" not in resources(aws)
    assert not aws.client("ecr").describe_repositories()["repositories"]
    role = settings(project)["SAGEMAKER_ROLE_ARN"].rpartition("/")[2]
    grants = json.dumps(aws.client("iam").get_role_policy(RoleName=role, PolicyName="execution"))
    assert f"arn:aws:ecr:eu-central-1:{OTHER}:repository/{SLUG}" in grants
    assert f":{ACCOUNT}:repository/" not in grants
    assert settings(project)["ECR_REGISTRY"] == registry


@pytest.mark.parametrize(
    "registry", [f"https://{OTHER}.dkr.ecr.eu-west-1.amazonaws.com", "localhost:5000", OTHER]
)
def test_what_is_no_registry_is_said(project: Path, aws: account.Account, registry: str) -> None:
    env = aws.environment() | {"ECR_REGISTRY": registry}
    message = fails(project, "scripts/stack.sh", **env)
    assert "ECR_REGISTRY must have the form" in message
    assert registry in message
    assert left(aws) == ([], [])


def template() -> Any:
    return resolved.template()


def test_the_linter_has_nothing_to_say() -> None:
    """Nor about actions that do not take the resources beside them."""
    strict = ("--non-zero-exit-code", "informational", "--include-checks", "I")
    run(STACK.parent, str(Path(sys.executable).parent / "cfn-lint"), *strict, "--", str(STACK))


def test_what_holds_data_is_kept_private_and_not_for_ever() -> None:
    parts = template()["Resources"]
    kept = {"Bucket", "BucketPolicy", "Repository", "GitHubProvider"}
    # What a failed creation has left would be adopted by the next one, half configured.
    policies = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
    for policy, value in policies.items():
        assert {name for name, part in parts.items() if part.get(policy) == value} == kept
    bucket = parts["Bucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    runs, uploads, versions = bucket["LifecycleConfiguration"]["Rules"]
    assert (runs["Prefix"], runs["ExpirationInDays"]) == (
        {"Fn::Sub": "${Project}/runs/"},
        {"Ref": "RunDays"},
    )
    assert uploads["AbortIncompleteMultipartUpload"]
    assert "Prefix" not in versions
    assert versions["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert versions["ExpiredObjectDeleteMarker"] is True
    (rule,) = parts["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (rule["Effect"], rule["Principal"], rule["Action"]) == ("Deny", "*", "s3:*")
    assert rule["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert [part["Fn::Sub"].rpartition(":")[2] for part in rule["Resource"]] == [
        "${BucketName}",
        "${BucketName}/*",
    ]


def test_a_push_makes_the_repository_that_the_stack_makes(
    project: Path, aws: account.Account, tmp_path: Path
) -> None:
    tools = fake_docker(tmp_path / "tools")
    run(project, "git", "commit", "--quiet", "--all", "--message", "Settings")
    env = aws.environment()
    run(project, "scripts/push.sh", **env | {"PATH": f"{tools}:{env['PATH']}"})
    (made,) = aws.client("ecr").describe_repositories()["repositories"]
    policy = aws.client("ecr").get_lifecycle_policy(repositoryName=made["repositoryName"])
    wanted = template()["Resources"]["Repository"]["Properties"]
    assert made["imageTagMutability"] == wanted["ImageTagMutability"]
    scan = made["imageScanningConfiguration"]
    assert scan == {"scanOnPush": wanted["ImageScanningConfiguration"]["ScanOnPush"]}
    lifecycle = json.loads(wanted["LifecyclePolicy"]["LifecyclePolicyText"])
    assert json.loads(policy["lifecyclePolicyText"]) == lifecycle


EXECUTION: Mapping[str, str] = {
    "cloudwatch:PutMetricData": "SageMaker reports what an instance uses",
    "ecr:BatchCheckLayerAvailability": "the image is pulled",
    "ecr:BatchGetImage": "the image is pulled",
    "ecr:GetAuthorizationToken": "the image is pulled",
    "ecr:GetDownloadUrlForLayer": "the image is pulled",
    "iam:PassRole": "a pipeline gives its jobs this role",
    "logs:CreateLogGroup": "the first job of an account logs",
    "logs:CreateLogStream": "each host of a job logs",
    "logs:DescribeLogStreams": "SageMaker looks for the stream of a host",
    "logs:PutLogEvents": "each host of a job logs",
    "s3:GetObject": "inputs are fetched",
    "s3:ListBucket": "inputs are prefixes",
    "s3:PutObject": "outputs are uploaded",
    "sagemaker:AddTags": "a pipeline tags its jobs",
    "sagemaker:CreateProcessingJob": "a pipeline starts its jobs",
    "sagemaker:DescribeProcessingJob": "a pipeline follows its jobs",
    "sagemaker:StopProcessingJob": "a pipeline that is stopped stops its jobs",
}
GITHUB_ROLE: Mapping[str, str] = {
    "ecr:BatchCheckLayerAvailability": "docker push asks which layers are there",
    "ecr:BatchGetImage": "push.sh asks whether this commit was pushed",
    "ecr:CompleteLayerUpload": "docker push",
    "ecr:DescribeImages": "launch asks for the digest",
    "ecr:GetAuthorizationToken": "docker login",
    "ecr:InitiateLayerUpload": "docker push",
    "ecr:PutImage": "docker push",
    "ecr:UploadLayerPart": "docker push",
    "iam:PassRole": "jobs and pipelines are given the execution role",
    "iam:SimulatePrincipalPolicy": "launch asks whether the execution role can read its inputs",
    "logs:FilterLogEvents": "launch shows the log of every host",
    "pricing:GetProducts": "launch shows what a run has cost",
    "s3:AbortMultipartUpload": "an upload in parts fails half-way",
    "s3:GetObject": "launch fetches what a job wrote",
    "s3:ListBucket": "launch rejects inputs without files, and outputs with some",
    "s3:PutObject": "launch uploads inputs and claims outputs",
    "sagemaker:AddTags": "jobs and pipelines carry the project and the commit",
    "sagemaker:CreatePipeline": "a pipeline is deployed",
    "sagemaker:CreateProcessingJob": "launch",
    "sagemaker:DescribePipelineExecution": "a pipeline is followed",
    "sagemaker:DescribeProcessingJob": "launch follows a job",
    "sagemaker:ListPipelineExecutionSteps": "a pipeline is followed",
    "sagemaker:ListPipelineExecutions": "--from looks for a run with results",
    "sagemaker:ListTags": "a pipeline of another project is left alone",
    "sagemaker:StartPipelineExecution": "a pipeline is run",
    "sagemaker:StopPipelineExecution": "a run is stopped",
    "sagemaker:StopProcessingJob": "a job is stopped",
    "sagemaker:UpdatePipeline": "a pipeline is deployed again",
}
EXECUTION_OF_A_COMPANY: Mapping[str, str] = {
    **EXECUTION,
    "ec2:CreateNetworkInterface": "each instance is in a subnet",
    "ec2:CreateNetworkInterfacePermission": "SageMaker attaches the interface to its instance",
    "ec2:DeleteNetworkInterface": "the instance is gone",
    "ec2:DeleteNetworkInterfacePermission": "the instance is gone",
    "ec2:DescribeDhcpOptions": "SageMaker looks at the network",
    "ec2:DescribeNetworkInterfaces": "SageMaker looks at the network",
    "ec2:DescribeSecurityGroups": "SageMaker looks at the network",
    "ec2:DescribeSubnets": "SageMaker looks at the network",
    "ec2:DescribeVpcs": "SageMaker looks at the network",
    "kms:CreateGrant": "volumes are encrypted",
    "kms:Decrypt": "encrypted inputs are fetched, and large outputs uploaded in parts",
    "kms:Encrypt": "SageMaker's documentation asks for it where outputs are encrypted",
    "kms:GenerateDataKey": "outputs are encrypted",
}
GITHUB_ROLE_OF_A_COMPANY: Mapping[str, str] = {
    **GITHUB_ROLE,
    "kms:Decrypt": "launch fetches what a job wrote, and uploads large files in parts",
    "kms:GenerateDataKey": "launch encrypts what it uploads",
}
SCHEDULE: Mapping[str, str] = {"sagemaker:StartPipelineExecution": "the schedule starts it"}
ANYWHERE: Mapping[str, str] = {
    "ecr:GetAuthorizationToken": "a login is to the whole of ECR",
    "cloudwatch:PutMetricData": "metrics have no address; a condition names the namespace",
    "ec2:DescribeDhcpOptions": "EC2 lists all or nothing",
    "ec2:DescribeNetworkInterfaces": "EC2 lists all or nothing",
    "ec2:DescribeSecurityGroups": "EC2 lists all or nothing",
    "ec2:DescribeSubnets": "EC2 lists all or nothing",
    "ec2:DescribeVpcs": "EC2 lists all or nothing",
    "pricing:GetProducts": "the price list has no address",
}


@dataclass(frozen=True)
class Role:
    arn: str
    trust: list[Any]
    grants: list[Any]


def grants(parameters: Mapping[str, str]) -> dict[str, Role]:
    """What each role of a stack is given, as it is in an account."""
    with account.account() as aws:
        aws.client("cloudformation").create_stack(
            StackName=SLUG,
            TemplateBody=STACK.read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        )
        iam, found = aws.client("iam"), {}
        for part, arn in roles(aws).items():
            name = arn.rpartition("/")[2]
            trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
            statements = []
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                statements += document["Statement"]
            found[part] = Role(arn, trust["Statement"], statements)
    return found


@pytest.fixture(scope="module")
def granted() -> dict[str, Role]:
    return grants(resolved.SETS["GitHub"] | {"BucketName": BUCKET})


@pytest.fixture(scope="module")
def company() -> dict[str, Role]:
    """The same of a stack with all its parameters."""
    return grants(resolved.COMPANY | {"BucketName": BUCKET})


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("stack", "role", "wanted"),
    [
        ("granted", "ExecutionRole", EXECUTION),
        ("granted", "GitHubRole", GITHUB_ROLE),
        ("company", "ExecutionRole", EXECUTION_OF_A_COMPANY),
        ("company", "GitHubRole", GITHUB_ROLE_OF_A_COMPANY),
        ("company", "ScheduleRole", SCHEDULE),
    ],
)
def test_every_action_has_a_reason_and_a_place(
    request: pytest.FixtureRequest, stack: str, role: str, wanted: Mapping[str, str]
) -> None:
    found: dict[str, Role] = request.getfixturevalue(stack)
    statements = found[role].grants
    assert {each["Effect"] for each in statements} == {"Allow"}
    assert {action for each in statements for action in listed(each["Action"])} == set(wanted)
    anywhere = [each for each in statements if "*" in listed(each["Resource"])]
    assert {action for each in anywhere for action in listed(each["Action"])} <= set(ANYWHERE)
    given = [
        item for value in resolved.COMPANY.values() for item in value.split(",") if "arn:" in item
    ]
    own = (SLUG, "team/model", BUCKET, "log-group:/aws/sagemaker/ProcessingJobs:", *given)
    for each in statements:
        for place in set(listed(each["Resource"])) - {"*"}:
            subnets = each.get("Condition", {}).get("ArnLike", {}).get("ec2:Subnet", [])
            is_interface = place.endswith(":network-interface/*")
            is_limited = subnets or each["Action"] == "ec2:CreateNetworkInterface"
            assert any(name in place for name in own) or (is_interface and is_limited), place


def allows(statements: list[Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Whether IAM would, as far as these statements use its language."""
    match: Mapping[str, Callable[[str, str], bool]] = {
        "ArnLike": fnmatch.fnmatchcase,
        "Bool": str.__eq__,
        "StringEquals": str.__eq__,
        "StringLike": fnmatch.fnmatchcase,
    }
    return any(
        action in listed(each["Action"])
        and any(fnmatch.fnmatchcase(resource, place) for place in listed(each["Resource"]))
        and all(
            key in context and any(match[test](context[key], item) for item in listed(value))
            for test, keys in each.get("Condition", {}).items()
            for key, value in keys.items()
        )
        for each in statements
    )


HERE = f"{account.REGION}:{ACCOUNT}"
SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}
GROUP = f"arn:aws:logs:{HERE}:log-group:/aws/sagemaker/ProcessingJobs:"
LOG = f"{GROUP}log-stream:"


@pytest.mark.parametrize(
    ("who", "action", "resource", "context", "expected"),
    [
        ("EG", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/{SLUG}/r/x", {}, True),
        ("EG", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/walruses/r/x", {}, False),
        ("EG", "s3:GetObject", f"arn:aws:s3:::other/{SLUG}/r/x", {}, False),
        ("EG", "s3:ListBucket", f"arn:aws:s3:::{BUCKET}", {"s3:prefix": f"{SLUG}/r"}, True),
        ("EG", "s3:ListBucket", f"arn:aws:s3:::{BUCKET}", {"s3:prefix": "walruses/r"}, False),
        ("EG", "s3:ListBucket", f"arn:aws:s3:::{BUCKET}", {}, False),
        ("EG", "ecr:BatchGetImage", f"arn:aws:ecr:{HERE}:repository/team/model", {}, True),
        ("EG", "ecr:BatchGetImage", f"arn:aws:ecr:{HERE}:repository/team/walruses", {}, False),
        ("E", "ecr:PutImage", f"arn:aws:ecr:{HERE}:repository/team/model", {}, False),
        ("G", "ecr:PutImage", f"arn:aws:ecr:{HERE}:repository/team/model", {}, True),
        ("EG", "iam:PassRole", "ExecutionRole", SAGEMAKER, True),
        ("EG", "iam:PassRole", "ExecutionRole", {"iam:PassedToService": "ec2.amazonaws"}, False),
        ("EG", "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", SAGEMAKER, False),
        ("EG", "sagemaker:CreateProcessingJob", f"processing-job/{SLUG}-x", {}, True),
        ("EG", "sagemaker:CreateProcessingJob", "processing-job/walruses-x", {}, False),
        ("EG", "sagemaker:CreateProcessingJob", "processing-job/pipelines-x-y-z", {}, False),
        ("EG", "sagemaker:DescribeProcessingJob", f"processing-job/{SLUG}-x-y-z", {}, True),
        ("EG", "sagemaker:DescribeProcessingJob", "processing-job/pipelines-x-y-z", {}, False),
        ("G", "iam:SimulatePrincipalPolicy", "ExecutionRole", {}, True),
        ("G", "iam:SimulatePrincipalPolicy", "GitHubRole", {}, False),
        ("G", "sagemaker:StartPipelineExecution", f"pipeline/{SLUG}", {}, True),
        ("G", "sagemaker:StartPipelineExecution", f"pipeline/{SLUG}-of-others", {}, False),
        (
            "G",
            "sagemaker:DescribePipelineExecution",
            f"pipeline/{SLUG}-launched/execution/x",
            {},
            True,
        ),
        ("G", "sagemaker:DescribePipelineExecution", f"pipeline/{SLUG}/execution/x", {}, False),
        ("G", "sagemaker:StartPipelineExecution", "pipeline/walruses", {}, False),
        ("E", "sagemaker:StartPipelineExecution", f"pipeline/{SLUG}", {}, False),
        ("E", "logs:PutLogEvents", f"{LOG}{SLUG}-job-x/algo-1-1", {}, True),
        ("E", "logs:PutLogEvents", f"{LOG}walruses-job-x/algo-1-1", {}, False),
        ("G", "logs:FilterLogEvents", f"{GROUP}*", {}, True),
        ("G", "logs:FilterLogEvents", f"arn:aws:logs:{HERE}:log-group:walruses:*", {}, False),
        ("EG", "s3:DeleteObject", f"arn:aws:s3:::{BUCKET}/{SLUG}/r/x", {}, False),
    ],
)
def test_roles_end_where_the_project_ends(
    granted: dict[str, Role],
    who: str,
    action: str,
    resource: str,
    context: Mapping[str, str],
    expected: bool,
) -> None:
    if action.startswith("sagemaker:"):
        resource = f"arn:aws:sagemaker:{HERE}:{resource}"
    if resource in granted:
        resource = granted[resource].arn
    for role in (name for name in granted if name[0] in who):
        assert allows(granted[role].grants, action, resource, context) is expected, role


LAKE = "arn:aws:s3:::company-lake"
INTERFACE = f"arn:aws:ec2:{HERE}:network-interface/eni-1"
SUBNET = f"arn:aws:ec2:{account.REGION}:{OTHER}:subnet/subnet-0"
GRANT = {"kms:GrantIsForAWSResource": "true"}


@pytest.mark.parametrize(
    ("who", "action", "resource", "context", "expected"),
    [
        ("EG", "s3:GetObject", f"{LAKE}/sales/2020.csv", {}, True),
        ("EG", "s3:GetObject", f"{LAKE}/salaries/2020.csv", {}, False),
        ("EG", "s3:PutObject", f"{LAKE}/sales/2020.csv", {}, False),
        ("EG", "s3:ListBucket", LAKE, {"s3:prefix": "sales/2020"}, True),
        ("EG", "s3:ListBucket", LAKE, {"s3:prefix": "sales"}, True),
        ("EG", "s3:ListBucket", LAKE, {}, False),
        ("EG", "s3:ListBucket", "arn:aws:s3:::company-other", {"s3:prefix": "sales/x"}, False),
        ("EG", "kms:Decrypt", f"{resolved.KEY}/lake", {}, True),
        ("EG", "kms:GenerateDataKey", f"{resolved.KEY}/lake", {}, False),
        ("EG", "kms:Decrypt", f"{resolved.KEY}/output", {}, True),
        ("EG", "kms:GenerateDataKey", f"{resolved.KEY}/other", {}, True),
        ("EG", "kms:GenerateDataKey", f"{resolved.KEY}/volume", {}, False),
        ("E", "kms:CreateGrant", f"{resolved.KEY}/volume", GRANT, True),
        ("E", "kms:CreateGrant", f"{resolved.KEY}/volume", {}, False),
        ("E", "kms:CreateGrant", f"{resolved.KEY}/output", GRANT, False),
        ("E", "ec2:CreateNetworkInterface", f"{SUBNET}a", {}, True),
        ("E", "ec2:CreateNetworkInterface", f"{SUBNET}c", {}, False),
        ("E", "ec2:CreateNetworkInterface", INTERFACE, {}, True),
        ("E", "ec2:DeleteNetworkInterface", INTERFACE, {"ec2:Subnet": f"{SUBNET}b"}, True),
        ("E", "ec2:DeleteNetworkInterface", INTERFACE, {"ec2:Subnet": f"{SUBNET}c"}, False),
        ("GS", "ec2:CreateNetworkInterface", f"{SUBNET}a", {}, False),
        ("S", "sagemaker:StartPipelineExecution", f"pipeline/{SLUG}", {}, True),
        ("S", "sagemaker:StartPipelineExecution", f"pipeline/{SLUG}-of-others", {}, False),
    ],
)
def test_parameters_open_what_they_name_and_nothing_else(
    company: dict[str, Role],
    who: str,
    action: str,
    resource: str,
    context: Mapping[str, str],
    expected: bool,
) -> None:
    if action.startswith("sagemaker:"):
        resource = f"arn:aws:sagemaker:{HERE}:{resource}"
    for role in (name for name in company if name[0] in who):
        assert allows(company[role].grants, action, resource, context) is expected, role


def test_every_role_has_the_path_and_the_boundary() -> None:
    for parameters in (resolved.COMPANY, resolved.NAMES):
        parts = resolved.resources(parameters).values()
        found = [part["Properties"] for part in parts if part["Type"] == "AWS::IAM::Role"]
        assert len(found) == (3 if parameters is resolved.COMPANY else 1)
        boundary = resolved.COMPANY["PermissionsBoundary"]
        for role in found:
            if parameters is resolved.COMPANY:
                assert (role["Path"], role["PermissionsBoundary"]) == ("/models/", boundary)
            else:
                assert role["Path"] == "/"
                assert "PermissionsBoundary" not in role


def test_without_parameters_there_is_no_more_than_the_repository_needs() -> None:
    wanted = {"Repository", "Bucket", "BucketPolicy", "ExecutionRole", "ExecutionPolicy"}
    parts = resolved.resources(resolved.NAMES)
    assert set(parts) == wanted
    bucket = parts["Bucket"]["Properties"]
    assert not bucket.keys() & {"VersioningConfiguration", "LoggingConfiguration"}


def test_the_bucket_has_the_versions_and_logs_that_were_asked_for() -> None:
    bucket = resolved.resources(resolved.COMPANY)["Bucket"]["Properties"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["LoggingConfiguration"] == {
        "DestinationBucketName": "company-logs",
        "LogFilePrefix": f"{bucket['BucketName']}/",
    }


def test_the_schedule_starts_the_deployed_pipeline() -> None:
    parts = resolved.resources(resolved.COMPANY)
    schedule = parts["PipelineSchedule"]["Properties"]
    assert schedule["ScheduleExpression"] == resolved.COMPANY["Schedule"]
    assert schedule["ScheduleExpressionTimezone"] == "Europe/Berlin"
    target = schedule["Target"]
    (policy,) = resolved.statements(parts["SchedulePolicy"])
    assert target["Arn"] == policy["Resource"] == f"arn:aws:sagemaker:{HERE}:pipeline/{SLUG}"
    assert target["RoleArn"].endswith("/ScheduleRole")
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    (trust,) = parts["ScheduleRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}


def matches(pattern: Any, event: Any) -> bool:
    """Whether EventBridge would, as far as these patterns use its language."""
    if isinstance(pattern, dict):
        return all(key in event and matches(part, event[key]) for key, part in pattern.items())
    return any(
        event.startswith(each["prefix"]) if isinstance(each, dict) else event == each
        for each in pattern
    )


def job_event(name: str, status: str) -> dict[str, Any]:
    return {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Processing Job State Change",
        "detail": {"ProcessingJobName": name, "ProcessingJobStatus": status},
    }


def execution_event(pipeline: str, status: str) -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:{HERE}:pipeline/{pipeline}"
    return {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Model Building Pipeline Execution Status Change",
        "detail": {"pipelineArn": arn, "currentPipelineExecutionStatus": status},
    }


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        (job_event(f"{SLUG}-job-x", "Failed"), "FailedJob"),
        (job_event(f"{SLUG}-job-x", "Completed"), None),
        (job_event(f"{SLUG}-job-x", "Stopped"), None),
        (job_event("walruses-job-x", "Failed"), None),
        (execution_event(SLUG, "Failed"), "FailedExecution"),
        (execution_event(SLUG, "Succeeded"), None),
        (execution_event(f"{SLUG}-of-others", "Failed"), None),
    ],
)
def test_a_failure_of_this_project_is_reported(event: dict[str, Any], rule: str | None) -> None:
    parts = resolved.resources(resolved.COMPANY).items()
    rules = {
        name: part["Properties"] for name, part in parts if part["Type"] == "AWS::Events::Rule"
    }
    found = {name for name, part in rules.items() if matches(part["EventPattern"], event)}
    assert found == ({rule} if rule else set())


def test_the_message_is_readable() -> None:
    parts = resolved.resources(resolved.COMPANY)
    for name in ("FailedJob", "FailedExecution"):
        (target,) = parts[name]["Properties"]["Targets"]
        message = target["InputTransformer"]
        lines = message["InputTemplate"].splitlines()
        assert all(isinstance(json.loads(line), str) for line in lines)
        used = set(re.findall(r"<(\w+)>", message["InputTemplate"]))
        assert used == set(message["InputPathsMap"])


def test_eventbridge_may_send_mail() -> None:
    """Its rules cannot be named: with a condition in the topic's policy, nothing would arrive."""
    parts = resolved.resources(resolved.COMPANY)
    topic = parts["FailureTopic"]["Properties"]
    assert topic["KmsMasterKeyId"] == resolved.COMPANY["FailureKey"]
    address = resolved.COMPANY["FailureEmail"]
    assert topic["Subscription"] == [{"Protocol": "email", "Endpoint": address}]
    (statement,) = resolved.statements(parts["FailureTopicPolicy"])
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Action"] == "sns:Publish"
    assert "Condition" not in statement
    mail = resolved.resources(resolved.SETS["mail"])
    assert "KmsMasterKeyId" not in mail["FailureTopic"]["Properties"]


def test_only_sagemaker_and_one_branch_may_have_the_roles(granted: dict[str, Role]) -> None:
    (sagemaker,), (github,) = granted["ExecutionRole"].trust, granted["GitHubRole"].trust
    assert sagemaker["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert sagemaker["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    host = GITHUB.removeprefix("https://")
    assert github["Principal"] == {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"}
    assert github["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert github["Condition"] == {
        "StringEquals": {
            f"{host}:aud": "sts.amazonaws.com",
            f"{host}:sub": "repo:team/model:ref:refs/heads/main",
        }
    }
