"""An AWS account for tests, in this process, whose calls fail in the way that a test chooses.

The account is moto's. ``faults`` (a fixture, see ``conftest.py``) stands between botocore and moto:

    faults.fail("PutObject", "AccessDenied", after=3)   # the fourth call, and all that follow
    faults.fail("GetLogEvents", "ThrottlingException", times=2)
    faults.disconnect("DescribeProcessingJob", times=1) # the call does not reach AWS
    faults.lose("CreateProcessingJob", times=1)         # AWS acts on the call, its answer is lost
    faults.truncate("GetObject", times=1)               # the answer's body ends half-way
    faults.delay("PutObject", seconds=0.1)
    faults.intercept("GetObject", function, after=1)    # runs in the thread that makes the call
    faults.calls["GetLogEvents"]                        # requests that were sent, retries included
    faults.owners["other-bucket"] = "210987654321"      # another account owns this bucket

moto lacks two things: as in S3, a request that expects another owner of a bucket is denied (and a
request to S3 that expects none fails the test); and as for most callers, IAM simulates no policies
unless a test intercepts ``SimulatePrincipalPolicy``.

``store`` and ``stored`` write and read the bucket past the faults, and are not counted. moto is
imported when the fixture is used: it takes a second, which most tests can spare.
"""

import base64
import hashlib
import json
import os
import threading
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from launch.aws import clients

BUCKET = "team-bucket"
REGION = "eu-west-1"
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sagemaker"

_STATUS = {
    "AccessDenied": 403,
    "InternalError": 500,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "PreconditionFailed": 412,
    "ServiceUnavailable": 503,
    "SlowDown": 503,
}


@dataclass
class _Fault:
    """What happens to the calls of one operation, from the call number ``after`` on."""

    operation: str
    after: int
    times: float
    before: Callable[[Any], Any] = lambda _: None
    """Given the request before AWS sees it, returns an answer instead of AWS's, or nothing."""
    change: Callable[[Any], Any] = lambda answer: answer
    """Given AWS's answer, returns another."""

    def due(self) -> bool:
        """Count one call."""
        self.after -= 1
        if self.after >= 0 or self.times <= 0:
            return False
        self.times -= 1
        return True


class Faults:
    """Counts the calls to AWS, and answers those that a test has chosen."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        """Requests that were sent by operation; a retry is another request. Without simulations of
        policies, which every launch on SageMaker asks for."""
        self.headers: dict[str, list[Mapping[str, str]]] = defaultdict(list)
        """Headers of the requests that were sent, by operation."""
        self.owners: dict[str, str] = {}
        """Accounts that own buckets, by bucket, if it is not ``ACCOUNT``."""
        self.owner_not_sent: list[str] = []
        """Operations of S3 whose requests named no expected owner of the bucket."""
        self._faults: list[_Fault] = []
        self._served: dict[str, Callable[[Any], Any]] = {}
        self._lock = threading.Lock()
        self._account_lock = threading.Lock()

    def fail(
        self,
        operation: str,
        code: str,
        *,
        message: str = "chosen by the test",
        status: int | None = None,
        after: int = 0,
        times: float = float("inf"),
    ) -> None:
        """Answer with an error of AWS, which does not act on the call.

        After ``after`` calls that pass, ``times`` calls fail.
        """

        def answer(request: Any) -> Any:
            return _error(request, code, message, status or _STATUS.get(code, 400))

        self.intercept(operation, answer, after=after, times=times)

    def disconnect(self, operation: str, *, after: int = 0, times: float = float("inf")) -> None:
        """Fail as where there is no network: AWS does not see the call."""

        def fail(request: Any) -> None:
            from botocore.exceptions import EndpointConnectionError

            raise EndpointConnectionError(endpoint_url=request.url, error="no network")

        self.intercept(operation, fail, after=after, times=times)

    def lose(self, operation: str, *, after: int = 0, times: float = float("inf")) -> None:
        """Let AWS act on the call, and lose its answer."""

        def fail(answer: Any) -> None:
            from botocore.exceptions import ReadTimeoutError

            raise ReadTimeoutError(endpoint_url=answer.url, error="answer lost")

        self._add(_Fault(operation, after, times, change=fail))

    def truncate(self, operation: str, *, after: int = 0, times: float = float("inf")) -> None:
        """End the body of AWS's answer half-way, as when a connection breaks."""

        def cut(answer: Any) -> Any:
            answer.raw.truncate(len(answer.raw.getvalue()) // 2)
            return answer

        self._add(_Fault(operation, after, times, change=cut))

    def delay(self, operation: str, seconds: float, *, after: int = 0) -> None:
        """Let calls take longer."""
        self.intercept(operation, lambda _: time.sleep(seconds), after=after)

    def intercept(
        self,
        operation: str,
        act: Callable[[Any], Any],
        *,
        after: int = 0,
        times: float = float("inf"),
    ) -> None:
        """Call ``act(request)`` before AWS sees a request; it may raise, or return an answer."""
        self._add(_Fault(operation, after, times, before=act))

    def serve(self, operation: str, answer: Callable[[Any], Any]) -> None:
        """Let ``answer(request)`` act instead of moto on the calls that reach AWS."""
        self._served[operation] = answer

    def clear(self) -> None:
        """Forget all faults and counts, as between the first launch of a test and the second."""
        with self._lock:
            self._faults.clear()
            self.calls.clear()
            self.headers.clear()

    def install(self, session: Any) -> None:
        """Answer the requests of a ``boto3.Session``'s future clients instead of moto's handler."""
        from moto.core.models import botocore_stubber

        session.events.unregister("before-send", botocore_stubber)
        session.events.register("before-send", self)

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def __call__(self, event_name: str, request: Any, **_: Any) -> Any:
        from moto.core.models import botocore_stubber

        operation = event_name.rpartition(".")[2]
        with self._lock:
            sent = {name.lower(): _text(value) for name, value in request.headers.items()}
            self.headers[operation].append(sent)
            self.calls[operation] += operation != "SimulatePrincipalPolicy"
            due = [each for each in self._faults if each.operation == operation and each.due()]
        for fault in due:
            if (answer := fault.before(request)) is not None:
                return answer
        if operation == "SimulatePrincipalPolicy":
            return _error(request, "AccessDenied", "not authorized to perform this", 403)
        if answer := self._owner_error(request):
            return answer
        # One call at a time, as moto looks whether an object exists before it writes it.
        with self._account_lock:
            if operation in self._served:
                answer = self._served[operation](request)
            else:
                answer = _checksum_error(operation, request)
                answer = answer or botocore_stubber(event_name, request)
        for fault in due:
            answer = fault.change(answer)
        return answer

    def _owner_error(self, request: Any) -> Any:
        bucket, _, service = urlsplit(request.url).netloc.partition(".s3.")
        if not service:
            return None
        expected = _text(request.headers.get("x-amz-expected-bucket-owner", ""))
        if not expected:
            self.owner_not_sent.append(f"{request.method} {request.url}")
        elif expected != self.owners.get(bucket, ACCOUNT):
            return _error(request, "AccessDenied", "Access Denied", 403)
        return None


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """An AWS account that holds an empty bucket, and the settings that name it."""
    from moto import mock_aws

    for name in dict(_aws_variables()):
        monkeypatch.delenv(name)
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": REGION,
        "S3_BUCKET": BUCKET,
        "SAGEMAKER_ROLE_ARN": ROLE,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # Retries without the time between them.
    backoff = "botocore.retries.standard.ExponentialBackoff.delay_amount"
    monkeypatch.setattr(backoff, lambda *_: 0.0)
    installed, session = Faults(), clients.session

    @cache
    def session_with(_variables: frozenset[tuple[str, str]]) -> Any:
        """Reuse the session of these variables, because making one takes a moment."""
        made = session()
        installed.install(made)
        return made

    monkeypatch.setattr(clients, "session", lambda: session_with(frozenset(_aws_variables())))
    with mock_aws():
        location = {"LocationConstraint": REGION}
        _client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
        yield installed
    assert not installed.owner_not_sent


def _aws_variables() -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))


def store(key: str, body: bytes = b"1") -> None:
    """Write an object, as another program would."""
    _client().put_object(Bucket=BUCKET, Key=key, Body=body)


def stored(prefix: str = "") -> dict[str, bytes]:
    """Return the content of the objects below a prefix, by key without the prefix."""
    client = _client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return {
        key.removeprefix(prefix): client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        for key in keys
    }


def push_image(repository: str, tag: str) -> str:
    """Push an image into a repository of ECR that exists, and return its digest."""
    layer = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 1}
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": config | {"digest": f"sha256:{hashlib.sha256(tag.encode()).hexdigest()}"},
        "layers": [layer | {"digest": f"sha256:{'1' * 64}"}],
    }
    pushed = clients.client("ecr").put_image(
        repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag
    )
    return str(pushed["image"]["imageId"]["imageDigest"])


def answer(content: Any) -> Any:
    """Return the answer of a service that speaks JSON."""
    from botocore.awsrequest import AWSResponse
    from moto.core.botocore_stubber import MockRawResponse

    headers = {"Content-Type": "application/x-amz-json-1.1"}
    return AWSResponse("", 200, headers, MockRawResponse(json.dumps(content)))


@cache
def _client() -> Any:
    import boto3

    return boto3.client(
        "s3",
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",  # noqa: S106 - moto accepts any
    )


def _error(request: Any, code: str, message: str, status: int) -> Any:
    """An answer as the service of a request would give it."""
    from botocore.awsrequest import AWSResponse
    from moto.core.botocore_stubber import MockRawResponse

    service = urlsplit(request.url).netloc
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    if ".s3." in service or service.startswith("s3."):
        headers = {"Content-Type": "application/xml"}
        body = error if request.method != "HEAD" else ""
    elif service.startswith(("iam.", "sts.")):
        headers, body = {"Content-Type": "text/xml"}, f"<ErrorResponse>{error}</ErrorResponse>"
    else:
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        body = json.dumps({"__type": code, "message": message})
    return AWSResponse(request.url, status, headers, MockRawResponse(body))


def _text(value: Any) -> str:
    """The value of a header, which botocore holds as bytes once a request is signed."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _checksum_error(operation: str, request: Any) -> Any:
    """S3 compares the checksum in a request with what it received; moto does not."""
    expected = request.headers.get("x-amz-checksum-crc32")
    if not expected or operation not in ("PutObject", "CompleteMultipartUpload"):
        return None
    content = _body(request) if operation == "PutObject" else _parts(request)
    found = base64.b64encode(zlib.crc32(content).to_bytes(4, "big"))
    if found.decode() == _text(expected):
        return None
    return _error(request, "BadDigest", "the CRC32 did not match", 400)


def _body(request: Any) -> bytes:
    if isinstance(request.body, bytes):
        return request.body
    content = bytes(request.body.read())
    request.reset_stream()
    return content


def _parts(request: Any) -> bytes:
    """What the parts of a multipart upload, which this request completes, make together."""
    from moto.backends import get_backend
    from moto.core.models import DEFAULT_ACCOUNT_ID

    url = urlsplit(request.url)
    (upload,) = parse_qs(url.query)["uploadId"]
    parts = get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].buckets[BUCKET].multiparts[upload].parts
    return b"".join(parts[number].value for number in sorted(parts))
