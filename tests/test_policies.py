"""The evaluation of IAM policies that the tests of the roles use."""

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any
from urllib.parse import unquote, urlsplit

import account
import authorization
import boto3
import pytest
import recorder
from policies import Identity, PolicyError, Request, Statement, statements
from registry import ACCOUNT

# IAM

BUCKET = "arn:aws:s3:::bucket"
LOGS = "arn:aws:logs:eu-west-1:123456789012:log-group:/jobs"
JOBS = "arn:aws:sagemaker:eu-west-1:123456789012:processing-job"


def statement(**elements: Any) -> Statement:
    """A statement that allows everything but for what the elements say."""
    defaults: dict[str, Any] = {"Sid": "Test", "Effect": "Allow"}
    defaults |= {} if "NotAction" in elements else {"Action": "*"}
    defaults |= {} if "NotResource" in elements else {"Resource": "*"}
    return Statement(defaults | elements)


@pytest.mark.parametrize(
    ("pattern", "action", "expected"),
    [
        ("s3:GetObject", "s3:GetObject", True),
        ("S3:getobject", "s3:GetObject", True),
        ("s3:Get*", "s3:GetObject", True),
        ("s3:?etObject", "s3:GetObject", True),
        ("*", "s3:GetObject", True),
        ("s3:GetObject", "s3:GetObjectVersion", False),
        ("s3:*", "sagemaker:AddTags", False),
    ],
)
def test_actions_are_compared_without_regard_to_case(
    pattern: str, action: str, expected: bool
) -> None:
    assert statement(Action=pattern).matches(Request(action, BUCKET)) is expected
    assert statement(NotAction=[pattern]).matches(Request(action, BUCKET)) is not expected


@pytest.mark.parametrize(
    ("pattern", "resource", "expected"),
    [
        ("*", BUCKET, True),
        (BUCKET, BUCKET, True),
        (BUCKET, f"{BUCKET}/key", False),
        (f"{BUCKET}/*", f"{BUCKET}/a/b", True),
        (f"{BUCKET}/*", f"{BUCKET}-other/a", False),
        (f"{BUCKET}/a?c", f"{BUCKET}/abc", True),
        (f"{BUCKET}/[a-z]", f"{BUCKET}/a", False),
        (f"{BUCKET}/A", f"{BUCKET}/a", False),
        (f"{LOGS}:*", f"{LOGS}:log-stream:a/b:c", True),
        (f"{LOGS}:log-stream:a*", f"{LOGS}:log-stream:b", False),
        ("arn:aws:logs:*:*:log-group:/jobs", LOGS, True),
        # A wildcard ends with its part of the ARN.
        ("arn:aws:logs:*:log-group:/jobs", LOGS, False),
        ("arn:aws:s3:::*", LOGS, False),
    ],
)
def test_resources_are_compared_part_by_part(pattern: str, resource: str, expected: bool) -> None:
    assert statement(Resource=[pattern]).matches(Request("a:B", resource)) is expected
    assert statement(NotResource=pattern).matches(Request("a:B", resource)) is not expected


KEY, TAGS = "aws:RequestTag/team", "aws:TagKeys"


@pytest.mark.parametrize(
    ("operator", "wanted", "context", "expected"),
    [
        ("StringEquals", {KEY: "a"}, {KEY: "a"}, True),
        ("StringEquals", {KEY: "a"}, {KEY: "A"}, False),
        ("StringEquals", {KEY: ["a", "b"]}, {KEY: "b"}, True),
        ("StringEquals", {KEY: "a*"}, {KEY: "ab"}, False),
        ("StringEquals", {KEY: "a"}, {}, False),
        ("StringEquals", {KEY.upper(): "a"}, {KEY: "a"}, True),
        ("StringEquals", {KEY: "a", "b:C": "d"}, {KEY: "a"}, False),
        ("StringEqualsIgnoreCase", {KEY: "a"}, {KEY: "A"}, True),
        ("StringNotEquals", {KEY: ["a", "b"]}, {KEY: "b"}, False),
        ("StringNotEquals", {KEY: ["a", "b"]}, {KEY: "c"}, True),
        ("StringNotEquals", {KEY: "a"}, {}, True),
        ("StringNotEqualsIgnoreCase", {KEY: "a"}, {KEY: "A"}, False),
        ("StringLike", {KEY: "a/*"}, {KEY: "a/b/c"}, True),
        ("StringLike", {KEY: "a/*"}, {KEY: "ab"}, False),
        ("StringNotLike", {KEY: "a/*"}, {KEY: "a/b"}, False),
        ("StringNotLike", {KEY: "a/*"}, {}, True),
        ("StringEqualsIfExists", {KEY: "a"}, {}, True),
        ("StringEqualsIfExists", {KEY: "a"}, {KEY: "b"}, False),
        ("ArnLike", {KEY: f"{JOBS}/a-*"}, {KEY: f"{JOBS}/a-b"}, True),
        ("ArnEquals", {KEY: f"{JOBS}/a-*"}, {KEY: f"{JOBS}/a-b"}, True),
        ("ArnLike", {KEY: "arn:aws:*:processing-job/a"}, {KEY: f"{JOBS}/a"}, False),
        ("ArnNotLike", {KEY: f"{JOBS}/a-*"}, {KEY: f"{JOBS}/a-b"}, False),
        ("ArnNotEquals", {KEY: f"{JOBS}/a"}, {}, True),
        ("Bool", {"aws:SecureTransport": "false"}, {"aws:SecureTransport": "false"}, True),
        ("Bool", {"aws:SecureTransport": "True"}, {"aws:SecureTransport": "true"}, True),
        ("Bool", {"aws:SecureTransport": "true"}, {}, False),
        ("BoolIfExists", {"aws:MultiFactorAuthPresent": "true"}, {}, True),
        ("Null", {KEY: "true"}, {}, True),
        ("Null", {KEY: "true"}, {KEY: "a"}, False),
        ("Null", {KEY: "false"}, {KEY: "a"}, True),
        ("ForAllValues:StringEquals", {TAGS: ["a", "b"]}, {TAGS: ["a"]}, True),
        ("ForAllValues:StringEquals", {TAGS: ["a", "b"]}, {TAGS: ["a", "c"]}, False),
        ("ForAllValues:StringEquals", {TAGS: ["a", "b"]}, {}, True),
        ("ForAllValues:StringNotEquals", {TAGS: ["a"]}, {TAGS: ["b", "a"]}, False),
        ("ForAllValues:StringLike", {TAGS: "a*"}, {TAGS: ["ab", "ac"]}, True),
        ("ForAnyValue:StringEquals", {TAGS: ["a", "b"]}, {TAGS: ["c", "b"]}, True),
        ("ForAnyValue:StringEquals", {TAGS: ["a"]}, {TAGS: ["c"]}, False),
        ("ForAnyValue:StringEquals", {TAGS: ["a"]}, {}, False),
        ("ForAnyValue:StringNotEquals", {TAGS: ["a"]}, {TAGS: ["a", "b"]}, True),
        ("ForAnyValue:StringNotEquals", {TAGS: ["a"]}, {}, False),
        ("ForAnyValue:StringEqualsIfExists", {TAGS: ["a"]}, {}, True),
    ],
)
def test_conditions_hold_as_aws_documents_them(
    operator: str, wanted: Mapping[str, Any], context: Mapping[str, Any], expected: bool
) -> None:
    condition = statement(Condition={operator: wanted})
    assert condition.matches(Request("a:B", "*", context)) is expected


@pytest.mark.parametrize(
    "elements",
    [
        {"Condition": {"NumericLessThan": {"s3:max-keys": "10"}}},
        {"Condition": {"StringEqual": {KEY: "a"}}},
        {"Condition": {"ForSomeValues:StringEquals": {TAGS: "a"}}},
        {"Condition": {"NullIfExists": {KEY: "true"}}},
        {"Condition": {"Bool": {KEY: "yes"}}},
        {"Condition": {"StringEquals": {KEY: "${aws:username}"}}},
        {"Condition": {"StringEquals": {TAGS: "a"}}},
        {"Resource": "arn:aws:s3:::bucket/${aws:username}/*"},
        {"Resource": "bucket"},
        {"Action": "GetObject"},
        {"Action": "a:B", "NotAction": "a:C"},
        {"Effect": "Permit"},
        {"Principal": "*"},
    ],
    ids=str,
)
def test_what_is_unknown_is_an_error(elements: Mapping[str, Any]) -> None:
    request = Request("a:B", f"{BUCKET}/key", {KEY: "a", TAGS: ["a"]})
    with pytest.raises(PolicyError):
        statement(**elements).matches(request)


def test_a_denial_has_precedence_and_a_boundary_allows_nothing_by_itself() -> None:
    read, write = Request("s3:GetObject", f"{BUCKET}/a"), Request("s3:PutObject", f"{BUCKET}/a")
    allow = statement(Action=["s3:GetObject", "s3:PutObject"], Sid="Files")
    deny = statement(Effect="Deny", Action="s3:Put*", Sid="ReadOnly")
    only_reads = statement(Action="s3:Get*")
    assert not Identity([]).decide(read).allowed
    assert Identity([allow]).decide(write).allowed
    assert Identity([allow, deny]).decide(read).allowed
    assert "denied by ReadOnly" in Identity([allow, deny]).decide(write).reason
    assert Identity([allow], [only_reads]).decide(read).allowed
    assert "boundary" in Identity([allow], [only_reads]).decide(write).reason
    assert not Identity([], [only_reads]).decide(read).allowed
    assert not Identity([allow], []).decide(read).allowed
    assert "denied by ReadOnly" in Identity([allow], [statement(), deny]).decide(write).reason


def test_a_permission_is_used_by_the_requests_that_it_allows() -> None:
    identity = Identity(
        [
            statement(Sid="Read", Action=["s3:GetObject", "s3:ListBucket"], Resource=[BUCKET]),
            statement(Sid="All", Action="s3:*", Resource=f"{BUCKET}/*"),
            statement(Sid="Deny", Effect="Deny", Action="s3:DeleteObject"),
        ]
    )
    assert {str(each) for each in identity.permissions()} == {
        "Read: Action s3:GetObject",
        "Read: Action s3:ListBucket",
        f"Read: Resource {BUCKET}",
        "All: Action s3:*",
        f"All: Resource {BUCKET}/*",
    }
    used = identity.decide(Request("s3:ListBucket", BUCKET)).used
    assert {str(each) for each in used} == {
        "Read: Action s3:ListBucket",
        f"Read: Resource {BUCKET}",
    }
    # No request asks for all that a wildcard allows.
    used = identity.decide(Request("s3:GetObject", f"{BUCKET}/a")).used
    assert {str(each) for each in used} == {f"All: Resource {BUCKET}/*"}


def test_documents_are_read_to_the_last_statement() -> None:
    allow = {"Sid": "One", "Effect": "Allow", "Action": "a:B", "Resource": "*"}
    version = {"Version": "2012-10-17"}
    found = statements([version | {"Statement": allow}, version | {"Statement": [allow, allow]}])
    assert [each.sid for each in found] == ["One"] * 3
    with pytest.raises(PolicyError, match="version"):
        statements([{"Version": "2008-10-17", "Statement": allow}])


# Calls


def sent(service: str, operation: str, parameters: Mapping[str, Any]) -> recorder.Call:
    """Read the request that boto3 makes of a call."""
    client = boto3.client(
        service,
        endpoint_url="http://127.0.0.1:9",
        region_name=account.REGION,
        aws_access_key_id="Caller.verb",
        aws_secret_access_key="testing",  # noqa: S106
    )
    found: list[recorder.Call] = []

    def capture(request: Any, **_: Any) -> None:
        address = urlsplit(request.url)
        environ = {
            f"HTTP_{name.upper().replace('-', '_')}": value.decode()
            if isinstance(value, bytes)
            else value
            for name, value in request.headers.items()
        }
        environ |= {"REQUEST_METHOD": request.method, "QUERY_STRING": address.query}
        environ["PATH_INFO"] = unquote(address.path, "latin-1")
        body = request.body or b""
        body = body.read() if hasattr(body, "read") else body
        found.append(recorder.read(environ, body.encode() if isinstance(body, str) else body))
        raise InterruptedError

    client.meta.events.register("before-send", capture)
    with pytest.raises(InterruptedError):
        client._make_api_call(operation, dict(parameters))
    return found[-1]


FILE = {"Bucket": "bucket", "Key": "a/b c+ü.txt"}
PART = {**FILE, "UploadId": "1"}


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("s3", "ListObjectsV2", {"Bucket": "bucket", "Prefix": "a/ü"}),
        ("s3", "ListObjects", {"Bucket": "bucket"}),
        ("s3", "HeadBucket", {"Bucket": "bucket", "ExpectedBucketOwner": ACCOUNT}),
        ("s3", "GetBucketPolicy", {"Bucket": "bucket"}),
        ("s3", "GetObject", FILE),
        ("s3", "HeadObject", {**FILE, "ChecksumMode": "ENABLED"}),
        ("s3", "PutObject", {**FILE, "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k"}),
        ("s3", "CopyObject", {**FILE, "CopySource": "bucket/other"}),
        ("s3", "DeleteObject", FILE),
        ("s3", "CreateMultipartUpload", {**FILE, "SSEKMSKeyId": "k"}),
        ("s3", "UploadPart", PART),
        ("s3", "CompleteMultipartUpload", PART),
        ("s3", "AbortMultipartUpload", PART),
        ("sagemaker", "DescribeProcessingJob", {"ProcessingJobName": "job"}),
        ("sagemaker", "StopPipelineExecution", {"PipelineExecutionArn": "arn"}),
        ("ecr", "GetAuthorizationToken", {}),
        ("logs", "FilterLogEvents", {"logGroupName": "/jobs"}),
        ("iam", "GetRole", {"RoleName": "role"}),
        ("sts", "GetCallerIdentity", {}),
        ("service-quotas", "ListServiceQuotas", {"ServiceCode": "sagemaker"}),
    ],
)
def test_a_call_is_read_from_its_request(
    service: str, operation: str, parameters: Mapping[str, Any]
) -> None:
    more: dict[str, Any] = {"PartNumber": 1} if operation == "UploadPart" else {}
    more |= {"ClientRequestToken": "t" * 32} if operation == "StopPipelineExecution" else {}
    call = sent(service, operation, {**parameters, **more})
    assert (call.caller, call.region) == ("Caller.verb", account.REGION)
    assert (call.service, call.operation) == (service, operation)
    assert parameters.items() <= call.parameters.items()


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_AUTHORIZATION": "Basic x"},
        {"HTTP_AUTHORIZATION": "Credential=k/20260101/eu-west-1/scheduler/aws4_request"},
        {
            "HTTP_AUTHORIZATION": "Credential=k/20260101/eu-west-1/s3/aws4_request",
            "QUERY_STRING": "list-type=2&colour=blue",
        },
    ],
    ids=["signature", "protocol", "query"],
)
def test_a_request_that_cannot_be_read_is_an_error(environ: Mapping[str, str]) -> None:
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": "/bucket", **environ}
    with pytest.raises(recorder.UnknownCallError):
        recorder.read(request, b"")


# Permissions of calls


def asked(*calls: tuple[str, str, Mapping[str, Any]]) -> list[Request]:
    """Return what IAM is asked about the last of these calls."""
    iam = authorization.Authorization(ACCOUNT)
    for service, operation, parameters in calls:
        call = recorder.Call("", account.REGION, service, operation, parameters)
        requests = iam.requests(call)
    return requests


HERE = f"{account.REGION}:{ACCOUNT}"
KMS_KEY = f"arn:aws:kms:{HERE}:key/k"
ENCRYPTED = {"Bucket": "bucket", "Key": "a", "SSEKMSKeyId": KMS_KEY}
PLAIN = {"Bucket": "bucket", "Key": "a"}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/jobs"
JOB = {
    "ProcessingJobName": "job",
    "RoleArn": ROLE,
    "Tags": [{"Key": "team", "Value": "a"}],
    "AppSpecification": {"ImageUri": "210987654321.dkr.ecr.us-east-1.amazonaws.com/a/b@sha256:0"},
    "NetworkConfig": {"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}},
    "ProcessingResources": {"ClusterConfig": {"InstanceType": "a", "VolumeKmsKeyId": "v"}},
    "ProcessingOutputConfig": {"KmsKeyId": KMS_KEY, "Outputs": []},
}


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([("s3", "HeadBucket", {"Bucket": "bucket"})], ["s3:ListBucket bucket"]),
        ([("s3", "HeadObject", PLAIN)], ["s3:GetObject bucket/a"]),
        ([("s3", "PutObject", PLAIN)], ["s3:PutObject bucket/a"]),
        ([("s3", "PutObject", ENCRYPTED)], ["s3:PutObject bucket/a", "kms:GenerateDataKey key/k"]),
        (
            [("s3", "PutObject", ENCRYPTED), ("s3", "GetObject", PLAIN)],
            ["s3:GetObject bucket/a", "kms:Decrypt key/k"],
        ),
        (
            [("s3", "CreateMultipartUpload", ENCRYPTED), ("s3", "UploadPart", PLAIN)],
            ["s3:PutObject bucket/a", "kms:GenerateDataKey key/k", "kms:Decrypt key/k"],
        ),
        ([("s3", "AbortMultipartUpload", PLAIN)], ["s3:AbortMultipartUpload bucket/a"]),
        (
            [("sagemaker", "CreateProcessingJob", JOB)],
            [
                "sagemaker:CreateProcessingJob processing-job/job",
                "sagemaker:AddTags processing-job/job",
                "iam:PassRole role/jobs",
            ],
        ),
        (
            [("sagemaker", "UpdatePipeline", {"PipelineName": "p", "RoleArn": ROLE})],
            ["sagemaker:UpdatePipeline pipeline/p", "iam:PassRole role/jobs"],
        ),
        ([("ecr", "GetAuthorizationToken", {})], ["ecr:GetAuthorizationToken *"]),
        ([("sts", "GetCallerIdentity", {})], []),
    ],
)
def test_a_call_needs_the_permissions_that_aws_documents(
    calls: list[tuple[str, str, Mapping[str, Any]]], expected: list[str]
) -> None:
    short = [f"{each.action} {each.resource.rpartition(':')[2]}" for each in asked(*calls)]
    assert short == expected


def test_a_resource_has_the_tags_that_it_was_created_with() -> None:
    name = {"ProcessingJobName": "job"}
    create, describe = (
        ("sagemaker", "CreateProcessingJob", JOB),
        ("sagemaker", "DescribeProcessingJob", name),
    )
    (request,) = asked(create, describe)
    assert request.context == {"aws:ResourceTag/team": "a"}
    (request,) = asked(describe)
    assert request.context == {}
    requested = asked(create)[0].context
    assert requested["aws:RequestTag/team"] == "a"
    assert requested["aws:TagKeys"] == ("team",)
    assert requested["sagemaker:VpcSubnets"] == ("subnet-1",)
    assert requested["sagemaker:VolumeKmsKey"] == "v"


def test_an_operation_that_is_not_in_the_table_is_an_error() -> None:
    with pytest.raises(authorization.UnknownOperationError, match="DeleteBucket"):
        asked(("s3", "DeleteBucket", {"Bucket": "bucket"}))


def test_a_job_uses_its_network_its_keys_and_the_registry_of_its_image() -> None:
    iam = authorization.Authorization(ACCOUNT)
    found = {
        (each.action, each.resource) for each in authorization.running(iam, account.REGION, JOB)
    }
    assert ("ecr:BatchGetImage", "arn:aws:ecr:us-east-1:210987654321:repository/a/b") in found
    assert ("ec2:CreateNetworkInterface", f"arn:aws:ec2:{HERE}:subnet/subnet-1") in found
    assert ("kms:CreateGrant", f"arn:aws:kms:{HERE}:key/v") in found
    assert ("kms:Encrypt", KMS_KEY) in found
    plain = JOB | {"NetworkConfig": {}, "ProcessingOutputConfig": {"Outputs": []}}
    plain["ProcessingResources"] = {"ClusterConfig": {"InstanceType": "a"}}
    actions = {each.action for each in authorization.running(iam, account.REGION, plain)}
    assert {action.partition(":")[0] for action in actions} == {"ecr", "cloudwatch"}


def test_every_operation_has_actions_that_take_its_resources() -> None:
    """cfn-lint ships the Service Authorization Reference."""
    specification = resources.files("cfnlint") / "data" / "AdditionalSpecs" / "Policies.json"
    reference = json.loads(specification.read_text())
    iam = authorization.Authorization(ACCOUNT)
    requests = authorization.running(iam, account.REGION, JOB)
    requests += authorization.pushing(iam, account.REGION, "repository")
    for service, operation in authorization.OPERATIONS:
        requests += asked((service, operation, EVERYTHING))
    assert len(requests) > len(authorization.OPERATIONS)
    for request in requests:
        service, _, action = request.action.partition(":")
        known = reference[service]["Actions"][action.lower()]
        kinds = [reference[service]["Resources"][kind] for kind in known.get("Resources", [])]
        patterns = [pattern for kind in kinds for pattern in kind["ARNFormats"]]
        if action != "PutMetricData":  # of metrics, which have no resource, or of a data set
            assert _fits(request.resource, patterns), request


EVERYTHING = {
    **JOB,
    **PLAIN,
    "PipelineName": "p",
    "PipelineExecutionArn": f"arn:aws:sagemaker:{HERE}:pipeline/p/execution/1",
    "ResourceArn": f"arn:aws:sagemaker:{HERE}:pipeline/p",
    "repositoryName": "repository",
    "logGroupName": "/jobs",
    "logStreamName": "job/algo-1",
    "RoleName": "jobs",
    "PolicySourceArn": ROLE,
}
"""Parameters of every operation."""


def _fits(resource: str, patterns: list[str]) -> bool:
    """Whether a resource has one of the forms that an action takes; ``*`` if it takes none."""
    if resource == "*":
        return not patterns
    expressions = (re.sub(r"\$\{\w+\}", "[^:]*", pattern) for pattern in patterns)
    return any(re.fullmatch(expression, resource) for expression in expressions)
