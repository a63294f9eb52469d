"""AWS clients, and messages that say what to do about an error of AWS."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from . import config as settings
from .project import LaunchError, SetupError, require, setting

NOT_FOUND = ("ResourceNotFound", "ResourceNotFoundException", "ValidationException")
"""Error codes of SageMaker and CloudWatch that mean that a valid name names nothing."""

_DENIED = "your credentials do not allow this"
_EXPIRED = "your credentials have expired: renew them, for example with `aws sso login`"
_UNKNOWN = "AWS does not know your credentials: check AWS_PROFILE and AWS_ACCESS_KEY_ID"
_OTHER_REGION = "the bucket is in another region: correct AWS_REGION"
_BUSY = "AWS limits the rate of requests, also after several attempts: try again later"
_BROKEN = "AWS had an internal error, also after several attempts: try again later"
_KEY = "correct KmsKeyId in launch.toml: jobs and uploads need a key that exists and is enabled"

_ADVICE = {
    "AccessDenied": _DENIED,
    "Forbidden": _DENIED,
    "403": _DENIED,
    "ExpiredToken": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidAccessKeyId": _UNKNOWN,
    "InvalidClientTokenId": _UNKNOWN,
    "InvalidSignature": _UNKNOWN,
    "SignatureDoesNotMatch": _UNKNOWN,
    "UnrecognizedClient": _UNKNOWN,
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it",
    "NoSuchBucket": "the bucket does not exist: run `make stack`, or correct S3_BUCKET",
    "AuthorizationHeaderMalformed": _OTHER_REGION,
    "IllegalLocationConstraint": _OTHER_REGION,
    "PermanentRedirect": _OTHER_REGION,
    "301": _OTHER_REGION,
    "RequestLimitExceeded": _BUSY,
    "SlowDown": _BUSY,
    "Throttling": _BUSY,
    "TooManyRequests": _BUSY,
    "InternalError": _BROKEN,
    "InternalFailure": _BROKEN,
    "InternalServerError": _BROKEN,
    "ServiceUnavailable": _BROKEN,
    "KMS.Disabled": _KEY,
    "KMS.InvalidKeyUsage": _KEY,
    "KMS.InvalidState": _KEY,
    "KMS.KMSInvalidState": _KEY,
    "KMS.NotFound": _KEY,
}

_ACCOUNT = re.compile(r"arn:[^:]+:iam::(\d{12}):role/.+")
_KEY_ACTION = re.compile(r"kms:\w+")


def session() -> Any:
    """Return a ``boto3.Session`` in the project's region."""
    import boto3

    session = boto3.Session(region_name=setting("AWS_REGION") or None)
    if not session.region_name:
        require("AWS_REGION")
    return session


def client(service: str, *, region: str | None = None, **config: Any) -> Any:
    """Return a client that retries requests which are throttled or fail for a moment.

    There are five attempts, each with 5 seconds to connect and 10 seconds for an answer, so that
    an endpoint which does not answer is given up on after about a minute.

    A client for S3 uses a bucket only if the expected account owns it: see ``bucket_owner``.

    Args:
        service: Name of the service, as boto3 spells it.
        region: Another region than the project's.
        config: Further options of ``botocore.config.Config``.
    """
    from botocore.config import Config

    defaults = {
        "connect_timeout": 5,
        "read_timeout": 10,
        "retries": {"mode": "standard", "total_max_attempts": 5},
    }
    made = session().client(service, region_name=region, config=Config(**defaults | config))
    if service == "s3":
        _BucketOwners().register(made)
    return made


def bucket_owner(bucket: str) -> str:
    """Return the account that must own a bucket.

    ``[buckets]`` of ``launch.toml`` names it; otherwise it is the account of the execution role
    or, if there is no role yet, that of the caller.

    Raises:
        LaunchError: ``launch.toml`` cannot be read.
        botocore.exceptions.BotoCoreError: There is no role, and AWS cannot be asked.
    """
    return _BucketOwners().of(bucket)


class _BucketOwners:
    """Sends the expected owner of a bucket with each request of a client for S3.

    S3 rejects the request if another account owns the bucket, so that nothing is read from or
    written to a bucket whose name somebody else has taken.
    """

    def register(self, client: Any) -> None:
        client.meta.events.register("before-parameter-build.s3", self._expect)
        client.meta.events.register("after-call.s3", self._note)

    def of(self, bucket: str) -> str:
        return self._listed.get(bucket) or self._own

    def _expect(
        self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any
    ) -> None:
        """Set the parameter in operations that have it."""
        if "Bucket" in params and "ExpectedBucketOwner" in model.input_shape.members:
            owner = params["ExpectedBucketOwner"] = self.of(params["Bucket"])
            context["expected_owner"] = params["Bucket"], owner

    def _note(self, parsed: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> None:
        """Add to an error what was expected, for ``explain``; S3 says only that it denies access.

        A denial that names the missing permission has another reason.
        """
        if "Error" in parsed and "expected_owner" in context:
            error = parsed["Error"]
            if "not authorized" not in error.get("Message", ""):
                error["Bucket"], error["ExpectedBucketOwner"] = context["expected_owner"]

    @cached_property
    def _listed(self) -> Mapping[str, str]:
        return settings.bucket_owners()

    @cached_property
    def _own(self) -> str:
        if found := _ACCOUNT.fullmatch(setting("SAGEMAKER_ROLE_ARN")):
            return found[1]
        return str(client("sts").get_caller_identity()["Account"])


def console() -> str:
    """Return the address of the AWS console in the project's region."""
    return f"https://{session().region_name}.console.aws.amazon.com"


def explain(error: Exception) -> str:
    """Describe an error of botocore in one line that says what to do about it."""
    from botocore import exceptions

    match error:
        case exceptions.ClientError():
            code, message = (error.response["Error"].get(key, "") for key in ("Code", "Message"))
            advice = _ADVICE.get(code.removesuffix("Exception"))
            if advice == _DENIED:
                advice = _denied(error.response["Error"])
            elif advice == _KEY and message:
                advice = f"{message}: {advice}"  # which names the key
            return f"{error.operation_name}: {code}: {advice or message}"
        case exceptions.NoCredentialsError():
            return "there are no AWS credentials: run `aws configure sso`, or set AWS_PROFILE"
        case (
            exceptions.SSOError()
            | exceptions.TokenRetrievalError()
            | exceptions.LoginError()
            | exceptions.CredentialRetrievalError()
        ):
            return f"{_EXPIRED} ({error})"
        case exceptions.ConnectionError() | exceptions.HTTPClientError():
            return f"AWS does not answer: check the network, VPN and proxy ({error})"
        case _:
            return str(error)


def _denied(error: Mapping[str, str]) -> str:
    """Return what to do about an error that denies access."""
    message = error.get("Message", "")
    advice = f"{_DENIED}: {message}" if message else _DENIED  # names the principal and the action
    if action := _KEY_ACTION.search(message):
        return (
            f"{advice}: let your policies and the policy of the KMS key allow {action[0]}; uploads "
            "need kms:GenerateDataKey and, for large files, kms:Decrypt"
        )
    if owner := error.get("ExpectedBucketOwner"):
        bucket = error["Bucket"]
        return (
            f"{advice}; or the bucket {bucket} does not belong to account {owner}: if another "
            f'account owns it and you trust that account, write {bucket} = "ACCOUNT ID" below '
            "[buckets] in launch.toml; if it should be yours, somebody else has taken its name: "
            "choose another name"
        )
    return advice


@contextmanager
def errors(what: str) -> Iterator[None]:
    """Turn errors of botocore into ``LaunchError``.

    Args:
        what: What the calls are about, such as an address; the message begins with it.

    Raises:
        SetupError: There are no credentials, or there is no such profile.
        LaunchError: Any other error.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        ProfileNotFound,
    )

    try:
        yield
    except (NoCredentialsError, ProfileNotFound) as error:
        raise SetupError(f"{what}: {explain(error)}") from error
    except (BotoCoreError, ClientError) as error:
        raise LaunchError(f"{what}: {explain(error)}") from error
