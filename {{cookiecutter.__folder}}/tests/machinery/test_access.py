"""Whether a launch is rejected because its role may not read an input, as IAM simulates it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from aws_faults import ACCOUNT, BUCKET, REGION, ROLE, Faults, store
from launch import LaunchError
from launch.requests import access, jobs, request
from launch.requests.options import Launch, parse

pytestmark = pytest.mark.usefixtures("small_project")

ADDRESS = f"s3://{BUCKET}/lake/raw/"
OTHER = "210987654321"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/outputs"
ANSWER = """\
<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">
<SimulatePrincipalPolicyResult>
<EvaluationResults>{results}</EvaluationResults>
<IsTruncated>{truncated}</IsTruncated>{marker}
</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"""
SPECIFIC = """\
<member>
<EvalActionName>{action}</EvalActionName>
<EvalResourceName>a template of ARNs</EvalResourceName>
<EvalDecision>{decision}</EvalDecision>
<OrganizationsDecisionDetail><AllowedByOrganizations>{organization}</AllowedByOrganizations>
</OrganizationsDecisionDetail>
<ResourceSpecificResults><member>
<EvalResourceName>{resource}</EvalResourceName>
<EvalResourceDecision>{decision}</EvalResourceDecision>
<MissingContextValues>{missing}</MissingContextValues>
<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>{boundary}\
</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>
</member></ResourceSpecificResults>
</member>"""
OLD = """\
<member><EvalActionName>{action}</EvalActionName><EvalResourceName>{resource}</EvalResourceName>
<EvalDecision>{decision}</EvalDecision><MissingContextValues>{missing}</MissingContextValues>
</member>"""


@dataclass
class Simulator:
    """IAM's simulator, which allows everything that a test has not denied."""

    denied: dict[str, str] = field(default_factory=dict)
    """Decisions by action."""
    boundary: bool = True
    organization: bool = True
    missing: tuple[str, ...] = ()
    form: str = SPECIFIC
    pages: int = 1
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The simulations, with their context as a dictionary."""

    def __call__(self, sent: Any) -> Any:
        from botocore.awsrequest import AWSResponse
        from moto.core.botocore_stubber import MockRawResponse

        form = dict(parse_qsl(_text(sent.body), keep_blank_values=True))
        action, resource = form["ActionNames.member.1"], form["ResourceArns.member.1"]
        context = {
            value: form[f"{key.removesuffix('ContextKeyName')}ContextKeyValues.member.1"]
            for key, value in form.items()
            if key.endswith("ContextKeyName")
        }
        page = int(form.get("Marker", 1))
        if page == 1:
            source = form["PolicySourceArn"]
            self.asked.append({"role": source, "action": action, "on": resource, **context})
        last = page >= self.pages
        result = self.form.format(
            action=action,
            resource=resource,
            decision=self.denied.get(action, "allowed"),
            boundary=str(self.boundary).lower(),
            organization=str(self.organization).lower(),
            missing="".join(f"<member>{key}</member>" for key in self.missing),
        )
        body = ANSWER.format(
            results=result if last else "",
            truncated=str(not last).lower(),
            marker="" if last else f"<Marker>{page + 1}</Marker>",
        )
        return AWSResponse(sent.url, 200, {"Content-Type": "text/xml"}, MockRawResponse(body))


def _text(body: Any) -> str:
    return body.decode() if isinstance(body, bytes) else str(body)


@pytest.fixture
def simulator(faults: Faults) -> Simulator:
    simulator = Simulator()
    faults.intercept("SimulatePrincipalPolicy", simulator)
    return simulator


def set_bucket_policy(*statements: Mapping[str, Any]) -> None:
    import boto3

    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    boto3.client("s3", region_name=REGION).put_bucket_policy(
        Bucket=BUCKET, Policy=json.dumps(policy)
    )


def launch(*words: str) -> Launch:
    shared = ("--backend", "sagemaker", "--image", "image")
    return parse(jobs.read("probe"), (*shared, *words))


def prepare(*words: str) -> dict[str, Any]:
    return request.prepare(launch(*words))


def test_a_role_that_may_read_is_accepted(simulator: Simulator) -> None:
    assert access.unreadable(ROLE, ADDRESS) == ""
    bucket, objects = simulator.asked
    assert (bucket["action"], bucket["on"]) == ("s3:ListBucket", f"arn:aws:s3:::{BUCKET}")
    assert (objects["action"], objects["on"]) == (
        "s3:GetObject",
        f"arn:aws:s3:::{BUCKET}/lake/raw/*",
    )
    for asked in simulator.asked:
        assert asked["role"] == ROLE
        assert asked["s3:prefix"] == "lake/raw/"
        assert asked["aws:ResourceAccount"] == ACCOUNT
        assert asked["aws:RequestedRegion"] == REGION
        assert asked["aws:SecureTransport"] == "true"


@pytest.mark.parametrize(
    ("address", "resource"),
    [
        (f"s3://{BUCKET}/lake/table.csv", f"arn:aws-cn:s3:::{BUCKET}/lake/table.csv"),
        (f"s3://{BUCKET}/", f"arn:aws-cn:s3:::{BUCKET}/*"),
    ],
    ids=["one object", "a whole bucket"],
)
def test_the_resource_is_what_sagemaker_reads(
    simulator: Simulator, address: str, resource: str
) -> None:
    role = f"arn:aws-cn:iam::{ACCOUNT}:role/teams/models/jobs"
    assert access.unreadable(role, address) == ""
    assert simulator.asked[1]["on"] == resource
    assert simulator.asked[1]["role"] == role


@pytest.mark.parametrize("action", ["s3:ListBucket", "s3:GetObject"])
@pytest.mark.parametrize("form", [SPECIFIC, OLD], ids=["specific", "old"])
@pytest.mark.parametrize("pages", [1, 3])
def test_what_no_policy_allows_is_rejected(
    simulator: Simulator, action: str, form: str, pages: int
) -> None:
    simulator.denied[action] = "implicitDeny"
    simulator.form, simulator.pages = form, pages
    problem = access.unreadable(ROLE, ADDRESS)
    assert f"{ROLE} may not read {ADDRESS} ({action})" in problem
    assert f'add "{BUCKET}/lake/raw/" to ReadPaths below [stack]' in problem
    assert "make stack" in problem


def test_a_bucket_of_another_account_must_allow_it_too(
    simulator: Simulator, small_project: Path
) -> None:
    (small_project / "launch.toml").write_text(f'[buckets]\n{BUCKET} = "{OTHER}"\n')
    set_bucket_policy({"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"})
    simulator.denied["s3:GetObject"] = "implicitDeny"
    problem = access.unreadable(ROLE, ADDRESS)
    assert "ReadPaths" in problem
    assert f"bucket's own policy in account {OTHER}" in problem
    assert simulator.asked[0]["aws:ResourceAccount"] == OTHER


@pytest.mark.parametrize("decision", ["implicitDeny", "explicitDeny"])
def test_a_permissions_boundary_is_named(simulator: Simulator, decision: str) -> None:
    simulator.denied["s3:GetObject"], simulator.boundary = decision, False
    problem = access.unreadable(ROLE, ADDRESS)
    assert "PermissionsBoundary" in problem
    assert "ReadPaths" not in problem


def test_an_explicit_denial_is_named(simulator: Simulator) -> None:
    simulator.denied["s3:GetObject"] = "explicitDeny"
    problem = access.unreadable(ROLE, ADDRESS)
    assert "one of its policies denies this" in problem
    assert "ReadPaths" not in problem


@pytest.mark.parametrize("key", ["aws:SourceVpce", "s3:ExistingObjectTag/team"])
@pytest.mark.parametrize("form", [SPECIFIC, OLD], ids=["specific", "old"])
def test_a_condition_that_only_a_request_fulfils_is_no_denial(
    simulator: Simulator, key: str, form: str
) -> None:
    simulator.denied["s3:GetObject"], simulator.form = "implicitDeny", form
    simulator.missing = (key,)
    assert access.unreadable(ROLE, ADDRESS) == ""


def test_conditions_on_other_actions_do_not_matter(simulator: Simulator) -> None:
    simulator.denied["s3:GetObject"] = "implicitDeny"
    simulator.missing = ("cloudwatch:namespace", "iam:PassedToService", "aws:RequestTag/project")
    assert "s3:GetObject" in access.unreadable(ROLE, ADDRESS)


def test_the_policies_of_an_organization_are_not_relied_on(simulator: Simulator) -> None:
    simulator.denied["s3:GetObject"], simulator.organization = "implicitDeny", False
    assert access.unreadable(ROLE, ADDRESS) == ""


ALLOW = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
DENY = ALLOW | {"Effect": "Deny", "Principal": "*"}


@pytest.mark.parametrize(
    ("statement", "rejected"),
    [
        (ALLOW | {"Principal": {"AWS": ROLE}}, False),
        (ALLOW | {"Principal": "*"}, False),
        (ALLOW | {"Principal": {"AWS": ["AROAEXAMPLEID", OTHER]}}, False),
        (ALLOW | {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/other"}}, True),
        (ALLOW | {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}, True),
        (DENY, True),
    ],
    ids=["role", "everybody", "ID", "other role", "account", "denies"],
)
def test_a_bucket_of_the_account_may_allow_it_alone(
    simulator: Simulator, statement: Mapping[str, Any], rejected: bool
) -> None:
    simulator.denied["s3:GetObject"] = "implicitDeny"
    set_bucket_policy(statement)
    assert bool(access.unreadable(ROLE, ADDRESS)) is rejected


def test_a_bucket_policy_that_cannot_be_read_may_allow_it(
    simulator: Simulator, faults: Faults
) -> None:
    simulator.denied["s3:GetObject"] = "implicitDeny"
    faults.fail("GetBucketPolicy", "AccessDenied")
    assert access.unreadable(ROLE, ADDRESS) == ""


def test_a_key_is_rejected_only_if_it_is_denied(simulator: Simulator) -> None:
    assert access.undecryptable(ROLE, KEY) == ""
    simulator.denied["kms:Decrypt"] = "implicitDeny"
    assert access.undecryptable(ROLE, KEY) == ""  # the key's own policy may allow it
    simulator.denied["kms:Decrypt"] = "explicitDeny"
    assert f"{ROLE} may not use {KEY} (kms:Decrypt)" in access.undecryptable(ROLE, KEY)
    assert access.undecryptable(ROLE, "alias/outputs") == ""


# In a launch


def test_a_launch_is_rejected_before_anything_is_uploaded(
    simulator: Simulator, faults: Faults, small_project: Path
) -> None:
    store("lake/raw/a.csv")
    store("lookup/table.csv")
    simulator.denied["s3:GetObject"] = "implicitDeny"
    faults.clear()
    faults.intercept("SimulatePrincipalPolicy", simulator)
    words = ("--lookup_path", str(small_project / "data" / "1.csv"))
    with pytest.raises(LaunchError, match=rf"^argument --input_path: {ROLE} may not read"):
        prepare("--input_path", ADDRESS, *words)
    assert not faults.calls["PutObject"]


def test_a_launch_names_the_line_of_launch_toml(simulator: Simulator, small_project: Path) -> None:
    store("lake/raw/a.csv")
    (small_project / "launch.toml").write_text(f'[inputs.probe]\ninput_path = "{ADDRESS}"\n')
    simulator.denied["s3:GetObject"] = "implicitDeny"
    with pytest.raises(LaunchError, match=r"^launch.toml: inputs.probe.input_path: .*ReadPaths"):
        prepare()


def test_a_launch_may_not_use_a_key_that_is_denied(
    simulator: Simulator, small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.settings.config.output_key", lambda _: KEY)
    simulator.denied["kms:Decrypt"] = "explicitDeny"
    with pytest.raises(LaunchError, match=r"KmsKeyId: .*kms:Decrypt"):
        prepare("--input_path", str(small_project / "data"))
    store("lake/raw/a.csv")
    assert prepare("--input_path", ADDRESS)  # nothing is uploaded


def test_an_input_of_launch_toml_is_checked(simulator: Simulator) -> None:
    store("lake/raw/a.csv")
    launched = launch("--input_path", ADDRESS)
    asked = request.prepare(launched)
    further = {"S3Uri": f"s3://{BUCKET}/more/", "LocalPath": "/opt/ml/processing/more"}
    asked["ProcessingInputs"] += [
        {"InputName": "more", "S3Input": further},
        {"InputName": "table", "DatasetDefinition": {}},
    ]
    simulator.denied["s3:ListBucket"] = "implicitDeny"
    asked["ProcessingInputs"] = asked["ProcessingInputs"][1:]
    with pytest.raises(LaunchError, match=r"^launch.toml: input more: .*more/"):
        access.check(launched, asked)


def test_what_a_launch_uploads_is_not_checked(simulator: Simulator, small_project: Path) -> None:
    assert prepare("--input_path", str(small_project / "data"))
    assert not simulator.asked


def test_what_a_job_has_yet_to_write_is_not_checked(simulator: Simulator) -> None:
    launched = parse(
        jobs.read("probe"),
        ("--backend", "sagemaker", "--image", "image", "--input_path", ADDRESS),
        upstream={"result_path": "earlier"},
        upstream_inputs={"result_path": f"s3://{BUCKET}/runs/1/result"},
    )
    store("lake/raw/a.csv")
    request.prepare(launched)
    assert {asked["s3:prefix"] for asked in simulator.asked} == {"lake/raw/"}


@pytest.mark.parametrize(
    "prevent",
    [
        lambda faults: faults.fail("SimulatePrincipalPolicy", "AccessDenied"),
        lambda faults: faults.fail("SimulatePrincipalPolicy", "Throttling"),
        lambda faults: faults.fail("SimulatePrincipalPolicy", "PolicyEvaluation", status=500),
        lambda faults: faults.fail("SimulatePrincipalPolicy", "NoSuchEntity", status=404),
        lambda faults: faults.disconnect("SimulatePrincipalPolicy"),
    ],
    ids=["denied", "throttled", "failed", "no role", "no network"],
)
def test_a_launch_says_nothing_where_iam_cannot_be_asked(
    prevent: Callable[[Faults], None], faults: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    store("lake/raw/a.csv")
    prevent(faults)
    assert prepare("--input_path", ADDRESS)
    assert len(faults.headers["SimulatePrincipalPolicy"]) == 1
    assert capsys.readouterr() == ("", "")
    with pytest.raises(access.NotSimulatedError):
        access.unreadable(ROLE, ADDRESS)


def test_other_backends_ask_nothing(
    simulator: Simulator, small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_BUCKET", "")
    launched = parse(jobs.read("probe"), ("--input_path", str(small_project / "data")))
    assert request.prepare(launched)
    assert not simulator.asked
