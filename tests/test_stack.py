"""What the stack makes, from the real script and the real CLI; and what its roles may do.

moto makes neither the bucket's policy, its lifecycle and its public access block, nor the identity
provider, and takes no settings of the repository but its tags' mutability: those are held against
the template.
"""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import account
import pytest
from conftest import SLUG, TEMPLATE, run
from registry import ACCOUNT

pytestmark = [pytest.mark.own_account, pytest.mark.slow]

STACK = TEMPLATE / "infra" / "stack.yaml"
BUCKET = f"{SLUG}-{ACCOUNT}-{account.REGION}"
DATA = {"Bucket", "Repository"}
OWN = {"ExecutionRole", "ExecutionPolicy", "GitHubRole", "GitHubPolicy"}
GITHUB = "https://token.actions.githubusercontent.com"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[account.Account]:
    """An empty account, and an environment that names neither another nor a GitHub repository."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GITHUB_", "PYTHONDONTWRITE")):
            monkeypatch.delenv(name)
    with account.account() as aws:
        yield aws


@pytest.fixture
def project(generated: Path, tmp_path: Path) -> Path:
    """A project whose settings hold more than the stack knows."""
    folder = tmp_path / "a space" / generated.name
    shutil.copytree(generated, folder)
    with (folder / "aws.env").open("a") as settings:
        settings.write("MORE=a=b # c")  # and no end of the line
    return folder


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

    run(project, "make", "stack", **env, GITHUB_REPOSITORY="team/model")
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
    run(project, "make", "stack", **env, GITHUB_REPOSITORY="team/model")
    assert resources(aws) == OWN
    parameters = aws.client("cloudformation").describe_stacks()["Stacks"][0]["Parameters"]
    exist = {p["ParameterKey"] for p in parameters if p["ParameterValue"] == "true"}
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
        ({"PATH"}, "'aws' is needed here"),
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


def template() -> Any:
    import cfnlint.decode

    found, errors = cfnlint.decode.decode(str(STACK))
    assert not errors
    return found


def test_the_linter_has_nothing_to_say() -> None:
    """Nor about actions that do not take the resources beside them."""
    strict = ("--non-zero-exit-code", "informational", "--include-checks", "I")
    run(STACK.parent, str(Path(sys.executable).parent / "cfn-lint"), *strict, "--", str(STACK))


def test_what_holds_data_is_kept_private_and_not_for_ever() -> None:
    parts = template()["Resources"]
    kept = {"Bucket", "BucketPolicy", "Repository", "GitHubProvider"}
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        assert {name for name, part in parts.items() if part.get(policy) == "Retain"} == kept
    bucket = parts["Bucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    runs, uploads = bucket["LifecycleConfiguration"]["Rules"]
    assert (runs["Prefix"], runs["ExpirationInDays"]) == (
        {"Fn::Sub": "${Project}/runs/"},
        {"Ref": "RunDays"},
    )
    assert uploads["AbortIncompleteMultipartUpload"]
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
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\n[ "$1" != login ] || cat >/dev/null\n')  # says yes to everything
    docker.chmod(0o755)
    run(project, "git", "commit", "--quiet", "--all", "--message", "Settings")
    env = aws.environment()
    run(project, "scripts/push.sh", **env | {"PATH": f"{tmp_path}:{env['PATH']}"})
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
    "logs:FilterLogEvents": "launch shows the log of every host",
    "s3:GetObject": "launch fetches what a job wrote",
    "s3:ListBucket": "launch rejects inputs without files, and outputs with some",
    "s3:PutObject": "launch uploads inputs and claims outputs",
    "sagemaker:AddTags": "jobs and pipelines carry the project and the commit",
    "sagemaker:CreatePipeline": "a pipeline is deployed",
    "sagemaker:CreateProcessingJob": "launch",
    "sagemaker:DescribePipelineExecution": "a pipeline is followed",
    "sagemaker:DescribeProcessingJob": "launch follows a job",
    "sagemaker:ListPipelineExecutionSteps": "a pipeline is followed",
    "sagemaker:StartPipelineExecution": "a pipeline is run",
    "sagemaker:StopPipelineExecution": "a run is stopped",
    "sagemaker:StopProcessingJob": "a job is stopped",
    "sagemaker:UpdatePipeline": "a pipeline is deployed again",
}
ANYWHERE: Mapping[str, str] = {
    "ecr:GetAuthorizationToken": "a login is to the whole of ECR",
    "cloudwatch:PutMetricData": "metrics have no address; a condition names the namespace",
}


@dataclass(frozen=True)
class Role:
    arn: str
    trust: list[Any]
    grants: list[Any]


@pytest.fixture(scope="module")
def granted() -> dict[str, Role]:
    """What each role is given, as it is in an account."""
    names = {"Project": SLUG, "RepositoryName": "team/model", "BucketName": BUCKET}
    given = names | {"GitHubRepository": "team/model"}
    with account.account() as aws:
        aws.client("cloudformation").create_stack(
            StackName=SLUG,
            TemplateBody=STACK.read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
        )
        iam, found = aws.client("iam"), {}
        for part, arn in roles(aws).items():
            name = arn.rpartition("/")[2]
            trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
            (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
            document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            found[part] = Role(arn, trust["Statement"], document["Statement"])
    return found


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("role", "wanted"), [("ExecutionRole", EXECUTION), ("GitHubRole", GITHUB_ROLE)]
)
def test_every_action_has_a_reason_and_a_place(
    granted: dict[str, Role], role: str, wanted: Mapping[str, str]
) -> None:
    statements = granted[role].grants
    assert {each["Effect"] for each in statements} == {"Allow"}
    assert {action for each in statements for action in listed(each["Action"])} == set(wanted)
    anywhere = [each for each in statements if "*" in listed(each["Resource"])]
    assert {action for each in anywhere for action in listed(each["Action"])} <= set(ANYWHERE)
    own = (SLUG, "team/model", BUCKET, "log-group:/aws/sagemaker/ProcessingJobs:")
    for each in statements:
        for place in set(listed(each["Resource"])) - {"*"}:
            tags = each.get("Condition", {}).get("StringEquals", {}).values()
            assert any(name in place for name in own) or SLUG in tags, place


def allows(statements: list[Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Whether IAM would, as far as these statements use its language."""
    match: Mapping[str, Callable[[str, str], bool]] = {
        "StringEquals": str.__eq__,
        "StringLike": fnmatch.fnmatchcase,
    }
    return any(
        action in listed(each["Action"])
        and any(fnmatch.fnmatchcase(resource, place) for place in listed(each["Resource"]))
        and all(
            key in context and match[test](context[key], value)
            for test, keys in each.get("Condition", {}).items()
            for key, value in keys.items()
        )
        for each in statements
    )


HERE = f"{account.REGION}:{ACCOUNT}"
SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}
OURS = {"aws:RequestTag/project": SLUG, "aws:ResourceTag/project": SLUG}
THEIRS = {"aws:RequestTag/project": "walruses", "aws:ResourceTag/project": "walruses"}
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
        ("EG", "sagemaker:CreateProcessingJob", "processing-job/walruses-x", OURS, False),
        ("E", "sagemaker:CreateProcessingJob", "processing-job/pipelines-x-y-z", OURS, True),
        ("E", "sagemaker:CreateProcessingJob", "processing-job/pipelines-x-y-z", THEIRS, False),
        ("E", "sagemaker:StopProcessingJob", "processing-job/pipelines-x-y-z", OURS, True),
        ("E", "sagemaker:StopProcessingJob", "processing-job/pipelines-x-y-z", THEIRS, False),
        ("G", "sagemaker:CreateProcessingJob", "processing-job/pipelines-x-y-z", OURS, False),
        ("EG", "sagemaker:DescribeProcessingJob", "processing-job/pipelines-x-y-z", OURS, True),
        ("EG", "sagemaker:DescribeProcessingJob", "processing-job/pipelines-x-y-z", THEIRS, False),
        ("G", "sagemaker:StartPipelineExecution", f"pipeline/{SLUG}", {}, True),
        (
            "G",
            "sagemaker:DescribePipelineExecution",
            f"pipeline/{SLUG}/execution/x",
            {},
            True,
        ),
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
