"""The roles of the stack allow every call that is made with them.

Each verb runs for real. What it calls is recorded, and decided by the policies of the stack. A call
that is not allowed fails the test, and so does a permission that no call uses.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import account
import authorization
import pytest
import recorder
import simulation
from conftest import SLUG, TEMPLATE, run
from launching import DATA, SMALL_TABLE
from policies import Identity, Request, Statement, statements
from registry import ACCOUNT

pytest_plugins = ["launching"]
pytestmark = [pytest.mark.own_account, pytest.mark.slow]

GITHUB_ROLE = "GitHubRole"
SCHEDULE_ROLE = "ScheduleRole"
PERSON = "Person"
"""Who has permissions of their own: no role of the stack is theirs. Only people list and show what
was launched."""

LAKE = "company-lake"
"""A bucket that another account owns."""
LAKE_OWNER = "210987654321"
KEYS = f"arn:aws:kms:{account.REGION}:{ACCOUNT}:key"
VOLUME_KEY, OUTPUT_KEY, LAKE_KEY = (f"{KEYS}/00000000-0000-0000-0000-00000000000{n}" for n in "123")
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"

GITHUB = """
[stack]
GitHubRepository = "team/model"
"""
COMPANY = f"""
[request.NetworkConfig]
EnableNetworkIsolation = true
EnableInterContainerTrafficEncryption = true
[request.NetworkConfig.VpcConfig]
SecurityGroupIds = ["sg-0123456789abcdef0"]
Subnets = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
[request.ProcessingResources.ClusterConfig]
VolumeKmsKeyId = "{VOLUME_KEY}"
[request.ProcessingOutputConfig]
KmsKeyId = "{OUTPUT_KEY}"
[[request.Tags]]
Key = "cost-centre"
Value = "4711"

[buckets]
{LAKE} = "{LAKE_OWNER}"

[stack]
GitHubRepository = "team/model"
PermissionsBoundary = "{BOUNDARY}"
RolePath = "/models/"
ReadPaths = ["{LAKE}/rows/"]
ReadKeys = ["{LAKE_KEY}"]
Schedule = "rate(7 days)"
FailureEmail = "team@company.example"
"""
SCENARIOS = {"GitHub": GITHUB, "company": COMPANY}
"""What is added to launch.toml, by the name of the scenario."""


def jobs_need(key: str) -> dict[str, Any]:
    """A statement that denies jobs whose request has no value for a condition key."""
    return {
        "Effect": "Deny",
        "Action": "sagemaker:CreateProcessingJob",
        "Resource": "*",
        "Condition": {"Null": {key: "true"}},
    }


LIMITS = [
    {"Effect": "Allow", "Action": "*", "Resource": "*"},
    jobs_need("sagemaker:VpcSubnets"),
    jobs_need("sagemaker:OutputKmsKey"),
    jobs_need("aws:RequestTag/cost-centre"),
]
"""The company's permissions boundary."""

REQUIRED: Mapping[str, Any] = {
    "NetworkConfig": {"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}},
    "ProcessingOutputConfig": {"KmsKeyId": "key"},
    "Tags": [{"Key": "cost-centre", "Value": "4711"}],
}
"""What it asks of the request of a job."""
EMPTY: Mapping[str, Any] = {"NetworkConfig": {}, "ProcessingOutputConfig": {}, "Tags": []}

SETTINGS = {
    "Region": "AWS_REGION",
    "Repository": "ECR_REPOSITORY",
    "Bucket": "S3_BUCKET",
    "ExecutionRole": "SAGEMAKER_ROLE_ARN",
}
"""Settings by the names of the stack's outputs."""

READING = ("Decrypt", "Describe", "Filter", "Get", "List", "Simulate")
"""How the names of actions begin that change nothing."""

POLL_SECONDS = 0.1

PART = 8 << 20
"""Bytes of a file from which on it is uploaded in parts."""


@dataclass
class Recording:
    """What the roles of a stack may do, and what they were asked to do."""

    roles: dict[str, Identity]
    requests: list[tuple[str, str, Request]] = field(default_factory=list)
    """Role, verb and what IAM was asked."""

    def of(self, role: str) -> list[tuple[str, Request]]:
        return [(verb, request) for name, verb, request in self.requests if name == role]


@dataclass
class Verbs:
    """Carries out the verbs in a project, each with the role that the workflows have."""

    project: Path
    aws: simulation.Simulation
    settings: dict[str, str]
    tools: Path
    """The folder of a docker that pushes an image without layers."""
    in_lake: str = ""
    """An address in another bucket; empty if there is none."""

    def call(self, verb: str, *command: str, role: str = GITHUB_ROLE, check: bool = True) -> str:
        """Run a command as a role, and return what it prints."""
        aws = self.aws.environment(f"{role}.{verb}")
        env = aws | self.settings | {"PYTHONPATH": str(self.project / "src")}
        env["PATH"] = f"{self.tools}{os.pathsep}{env['PATH']}"
        done = subprocess.run(
            command, cwd=self.project, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done.stdout + done.stderr

    def launch(self, verb: str, *words: str, role: str = GITHUB_ROLE, check: bool = True) -> str:
        python = str(self.project / ".venv" / "bin" / "python")
        return self.call(verb, python, "-m", "launch", *words, role=role, check=check)

    def stop(self, verb: str, *words: str) -> None:
        """Stop something with the command that the launch shows."""
        self.call(verb, "aws", "sagemaker", *words, "--region", account.REGION)

    def carry_out(self) -> None:
        """Carry out every verb of the README."""
        bucket = f"s3://{self.settings['S3_BUCKET']}/{SLUG}"
        on_sagemaker = ("--backend", "sagemaker")
        self.call("push", "scripts/push.sh")

        local_data = ("probe", "--input_path", DATA)
        assert "cost: 0.0100 USD" in self.launch(
            "job", *local_data, *on_sagemaker, "--run_name", "first"
        )
        self.aws.faults["GetProducts"].append("AccessDeniedException")
        assert "cost: unknown" in self.launch("job-without-prices", *local_data, *on_sagemaker)
        self.launch("job-with-code", *local_data, *on_sagemaker, "--code")
        first = f"{bucket}/runs/first/probe/seen"
        self.launch("job-from-s3", "probe", "--input_path", first, *on_sagemaker)
        target = ("--output_path", f"{bucket}/runs/local/probe/seen")
        self.launch("local-job", "probe", "--input_path", first, *target)
        if self.in_lake:
            self.launch("job-from-lake", "probe", "--input_path", self.in_lake, *on_sagemaker)
            self.launch("local-job", "probe", "--input_path", self.in_lake)
        self._upload_in_parts()

        self.launch("pipeline", "pipeline", *on_sagemaker)
        self.launch("pipeline-from-cache", "pipeline", *on_sagemaker)
        self.launch("pipeline-from-a-job", "pipeline", *on_sagemaker, "--from", "fit")
        self.launch("deploy", "deploy")

        self.aws.held = True
        self.launch("job", *local_data, *on_sagemaker, "--no-wait")
        (name,) = self.aws.running()
        self.stop("stop", "stop-processing-job", "--processing-job-name", name)
        self.aws.wait(name)
        self.launch("pipeline", "pipeline", *on_sagemaker, "--no-wait", "--no-cache")
        arn = [*self.aws.executions][-1]
        while not self.aws.running():
            time.sleep(POLL_SECONDS)
        self.stop("stop", "stop-pipeline-execution", "--pipeline-execution-arn", arn)
        self.aws.executions[arn].wait()
        self.aws.held = False

        assert name.removeprefix(f"{SLUG}-") in self.launch("list", "list", role=PERSON)
        assert name in self.launch("show", "show", name, role=PERSON)
        assert "gather" in self.launch("show-pipeline", "show", arn, role=PERSON)
        self.launch("logs", "logs", name, role=PERSON, check=False)  # as the job was stopped
        self.launch("again", "again", name, "--run_name", "second", role=PERSON)
        self.launch("again-pipeline", "again", arn, role=PERSON)
        self.launch("compare", "compare", "first", "second", role=PERSON)
        self.launch("stop-by-name", "stop", name, role=PERSON)
        python = str(self.project / ".venv" / "bin" / "python")
        self.call("doctor", python, "-m", "launch.doctor", role=PERSON, check=False)

    def _upload_in_parts(self) -> None:
        """Upload a large file: once it fails half-way, and once it succeeds."""
        folder = self.project / "out" / "large"
        folder.mkdir(parents=True)
        (folder / "large.bin").write_bytes(bytes(2 * PART))
        words = ("probe", "--input_path", str(folder), "--backend", "sagemaker")
        self.aws.failing.add("UploadPart")
        assert "large.bin" in self.launch("failing-upload", *words, check=False)
        self.aws.failing.clear()
        self.launch("upload-in-parts", *words)
        shutil.rmtree(folder)


def deploy(aws: simulation.Simulation, project: Path) -> dict[str, str]:
    """Make the stack, with the parameters of launch.toml, and return the settings."""
    facts = {
        "Project": SLUG,
        "RepositoryName": SLUG,
        "BucketName": f"{SLUG}-{ACCOUNT}-{account.REGION}",
        "RegistryAccount": ACCOUNT,
        "RegistryRegion": account.REGION,
        "RepositoryExists": "false",
        "BucketExists": "false",
        "GitHubExists": "false",
    }
    place = ("--partition", "aws", "--region", account.REGION, "--account", ACCOUNT)
    words = [f"{name}={value}" for name, value in facts.items()]
    printed = run(project, sys.executable, "infra/parameters.py", *place, *words)
    parameters = dict(line.split("=", 1) for line in printed.splitlines())
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName=SLUG,
        TemplateBody=(TEMPLATE / "infra" / "stack.yaml").read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
    )
    outputs = cloudformation.describe_stacks(StackName=SLUG)["Stacks"][0]["Outputs"]
    values = {output["OutputKey"]: output["OutputValue"] for output in outputs}
    return {name: values[key] for key, name in SETTINGS.items()}


def prepare_company(aws: simulation.Simulation) -> str:
    """Make what a company has before the stack: a boundary, and a bucket of encrypted rows.

    Returns:
        The address of the rows.
    """
    document = json.dumps({"Version": "2012-10-17", "Statement": LIMITS})
    aws.client("iam").create_policy(PolicyName="boundary", PolicyDocument=document)
    where = {"LocationConstraint": account.REGION}
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=LAKE, CreateBucketConfiguration=where)
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": LAKE_KEY}
    for name in ("1.txt", "2.txt"):
        s3.put_object(Bucket=LAKE, Key=f"rows/{name}", Body=b"row", **encryption)
    return f"s3://{LAKE}/rows/"


def read_roles(aws: simulation.Simulation) -> dict[str, Identity]:
    """Return what each role of the stack may do, by its name in the template, from IAM."""
    iam = aws.client("iam")
    found = {}
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        inline = [
            iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"]
            for each in iam.list_role_policies(RoleName=name)["PolicyNames"]
        ]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        managed = [read_policy(iam, each["PolicyArn"]) for each in attached]
        limit = iam.get_role(RoleName=name)["Role"].get("PermissionsBoundary")
        boundary = limit and statements([read_policy(iam, limit["PermissionsBoundaryArn"])])
        found[name.split("-")[-2]] = Identity(statements([*inline, *managed]), boundary)
    return found


def read_policy(iam: Any, arn: str) -> Mapping[str, Any]:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
    document: Mapping[str, Any] = found["Document"]
    return document


def ask(
    aws: simulation.Simulation, settings: Mapping[str, str], roles: Collection[str]
) -> Iterator[tuple[str, str, Request]]:
    """Yield what IAM is asked for the recorded calls, and for those that have no recorder."""
    iam = authorization.Authorization(ACCOUNT)
    for call in aws.calls:
        role, _, verb = call.caller.partition(".")
        if role in (*roles, PERSON):
            for request in iam.requests(call):
                yield role, verb, request
        elif call.operation == "PutObject":  # by the preparation of a test
            iam.requests(call)
        if call.operation == "CreateProcessingJob":
            for request in authorization.running(iam, call.region, call.parameters):
                yield simulation.EXECUTION_ROLE, "job", request
    for request in authorization.pushing(iam, account.REGION, settings["ECR_REPOSITORY"]):
        yield GITHUB_ROLE, "push", request
    if SCHEDULE_ROLE in roles:
        for request in authorization.starting(iam, account.REGION, SLUG):
            yield SCHEDULE_ROLE, "schedule", request


def record(project: Path, folder: Path, scenario: str) -> Recording:
    """Make the stack, carry out the verbs, and return what its roles were asked to do."""
    (project / "launch.toml").write_text(SMALL_TABLE + SCENARIOS[scenario])
    with simulation.simulate(folder, {"numbers.json": {"score": 1.0}}) as aws:
        in_lake = prepare_company(aws) if scenario == "company" else ""
        settings = deploy(aws, project)
        recording = Recording(read_roles(aws))
        tools = simulation.fake_docker(folder / "tools")
        Verbs(project, aws, settings, tools, in_lake).carry_out()
        recording.requests += ask(aws, settings, recording.roles)
    shutil.rmtree(project / "out", ignore_errors=True)
    return recording


@pytest.fixture(scope="module")
def recordings(
    project: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Recording]:
    """What the roles of each scenario may do, and what they were asked to do."""
    request.getfixturevalue("small_pipeline")
    return {name: record(project, tmp_path_factory.mktemp(name), name) for name in SCENARIOS}


ROLES = [
    *itertools.product(SCENARIOS, (GITHUB_ROLE, simulation.EXECUTION_ROLE)),
    ("company", SCHEDULE_ROLE),
]
every_role = pytest.mark.parametrize(("scenario", "role"), ROLES)


@every_role
def test_every_call_is_allowed(recordings: dict[str, Recording], scenario: str, role: str) -> None:
    recording = recordings[scenario]
    identity = recording.roles[role]
    asked = [(verb, identity.decide(request)) for verb, request in recording.of(role)]
    assert asked
    denied = {f"{verb}: {decision.reason}" for verb, decision in asked if not decision.allowed}
    assert not denied, "\n".join(sorted(denied))


@every_role
def test_every_permission_is_used(
    recordings: dict[str, Recording], scenario: str, role: str
) -> None:
    """An action and a resource are used if a call is allowed by them, and by no other statement."""
    recording = recordings[scenario]
    identity = recording.roles[role]
    decisions = [identity.decide(request) for _, request in recording.of(role)]
    used = [each.used for each in decisions if len({one.sid for one in each.used}) == 1]
    unused = {str(each) for each in identity.permissions().difference(*used)}
    assert not unused, "\n".join(sorted(unused))


def test_every_role_is_judged(recordings: dict[str, Recording]) -> None:
    assert {(name, role) for name, each in recordings.items() for role in each.roles} == {*ROLES}


@pytest.mark.parametrize("missing", REQUIRED)
def test_the_boundary_of_the_company_is_a_part_of_the_roles(
    recordings: dict[str, Recording], missing: str
) -> None:
    role = "arn:aws:iam::123456789012:role/jobs"
    job = {"ProcessingJobName": f"{SLUG}-job", "RoleArn": role, **REQUIRED}
    identity = recordings["company"].roles[GITHUB_ROLE]
    for given, expected in ((job, True), ({**job, missing: EMPTY[missing]}, False)):
        iam = authorization.Authorization(ACCOUNT)
        call = recorder.Call("", account.REGION, "sagemaker", "CreateProcessingJob", given)
        assert identity.decide(iam.requests(call)[0]).allowed is expected


@pytest.mark.parametrize(
    ("verb", "action"),
    [
        ("pipeline", "sagemaker:DescribeProcessingJob"),
        ("pipeline", "sagemaker:ListPipelineExecutionSteps"),
        ("pipeline-from-a-job", "sagemaker:ListPipelineExecutions"),
        ("job", "pricing:GetProducts"),
        ("job", "iam:PassRole"),
        ("push", "ecr:PutImage"),
        ("stop", "sagemaker:StopPipelineExecution"),
    ],
)
def test_a_role_that_may_not_do_it_is_found(
    recordings: dict[str, Recording], verb: str, action: str
) -> None:
    """A pipeline was launched by a role that could not describe the jobs of its steps."""
    recording = recordings["GitHub"]
    allowed = recording.roles[GITHUB_ROLE]
    deny = Statement({"Sid": "Deny", "Effect": "Deny", "Action": action, "Resource": "*"})
    limited = Identity([*allowed.statements, deny], allowed.boundary)
    denied = {
        each for each, request in recording.of(GITHUB_ROLE) if not limited.decide(request).allowed
    }
    assert verb in denied


@pytest.mark.parametrize("verb", ["compare", "doctor", "list", "logs", "show", "show-pipeline"])
def test_what_only_looks_changes_nothing(recordings: dict[str, Recording], verb: str) -> None:
    requests = [
        request for each in recordings.values() for name, request in each.of(PERSON) if name == verb
    ]
    actions = {request.action.partition(":")[2] for request in requests}
    assert actions
    assert not {each for each in actions if not each.startswith(READING)}
