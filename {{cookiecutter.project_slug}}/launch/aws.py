"""AWS clients, and messages that say what to do about an error of AWS."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .project import LaunchError, SetupError, require, setting

_DENIED = "your credentials do not allow this"
_EXPIRED = "your credentials have expired: renew them, for example with `aws sso login`"
_UNKNOWN = "AWS does not know your credentials: check AWS_PROFILE and AWS_ACCESS_KEY_ID"
_OTHER_REGION = "the bucket is in another region: correct AWS_REGION"
_BUSY = "AWS limits the rate of requests, also after several attempts: try again later"
_BROKEN = "AWS had an internal error, also after several attempts: try again later"

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
}


def session() -> Any:
    """Return a ``boto3.Session`` in the project's region."""
    import boto3

    session = boto3.Session(region_name=setting("AWS_REGION") or None)
    if not session.region_name:
        require("AWS_REGION")
    return session


def client(service: str, **config: Any) -> Any:
    """Return a client that retries requests which are throttled or fail for a moment.

    There are five attempts, each with 5 seconds to connect and 10 seconds for an answer, so that
    an endpoint which does not answer is given up on after about a minute.

    Args:
        service: Name of the service, as boto3 spells it.
        config: Further options of ``botocore.config.Config``.
    """
    from botocore.config import Config

    defaults = {
        "connect_timeout": 5,
        "read_timeout": 10,
        "retries": {"mode": "standard", "total_max_attempts": 5},
    }
    return session().client(service, config=Config(**defaults | config))


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
            if advice == _DENIED and message:
                advice = f"{advice}: {message}"  # which names the principal and the action
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
