"""Messages that say what to do about an error of AWS."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..settings.project import LaunchError, SetupError

NOT_FOUND = ("ResourceNotFound", "ResourceNotFoundException", "ValidationException")
"""Error codes of SageMaker and CloudWatch for a valid name that does not exist."""

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

_KEY_ACTION = re.compile(r"kms:\w+")
_MESSAGE_LENGTH = 1000


def explain(error: Exception) -> str:
    """Describe an error of botocore in one line that says what to do about it."""
    from botocore import exceptions

    match error:
        case exceptions.ClientError():
            details = error.response["Error"]
            code, message = details.get("Code", ""), " ".join(details.get("Message", "").split())
            if len(message) > _MESSAGE_LENGTH:  # for example the page of a proxy
                message = f"{message[:_MESSAGE_LENGTH]}…"
            advice = _ADVICE.get(code.removesuffix("Exception"))
            if advice == _DENIED:
                advice = _denied({**details, "Message": message})
            elif advice == _KEY and message:
                advice = f"{message}: {advice}"  # the message names the key
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
    advice = f"{_DENIED}: {message}" if message else _DENIED  # with principal and action
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
def as_launch_error(what: str) -> Iterator[None]:
    """Turn errors of botocore into ``LaunchError``.

    Args:
        what: The subject of the calls, such as an address; the message begins with it.

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
