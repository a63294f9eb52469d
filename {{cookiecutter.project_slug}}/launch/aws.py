"""Clients of AWS, and what its errors mean to whoever launches a job."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .project import LaunchError, NotSetUpError, require, setting

_ADVICE = {
    "AccessDenied": "your credentials do not allow it",
    "403": "your credentials do not allow it",
    "ExpiredToken": "your credentials have expired: get new ones",
    "InvalidAccessKeyId": "AWS does not know your credentials",
    "InvalidClientTokenId": "AWS does not know your credentials",
    "UnrecognizedClient": "AWS does not know your credentials",
    "NoSuchBucket": "there is no such bucket: `make stack` makes one",
}


def session() -> Any:
    """A ``boto3.Session`` in the region of the project."""
    import boto3

    session = boto3.Session(region_name=setting("AWS_REGION") or None)
    if not session.region_name:
        require("AWS_REGION")
    return session


def client(service: str, **options: Any) -> Any:
    """A client that asks again where the API is throttled or fails for a moment.

    The options are those of ``botocore.config.Config``.
    """
    from botocore.config import Config

    patient = {"retries": {"mode": "standard", "max_attempts": 6}}
    return session().client(service, config=Config(**patient | options))


def console() -> str:
    """Where one looks at what runs in the region of the project."""
    return f"https://{session().region_name}.console.aws.amazon.com"


@contextmanager
def errors(what: str) -> Iterator[None]:
    """Turn an error of AWS into one that says what was asked for and what to do."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message")
        advice = _ADVICE.get(code.removesuffix("Exception"), message)
        raise LaunchError(f"{what}: {error.operation_name}: {code}: {advice}") from error
    except NoCredentialsError as error:
        advice = "there are no AWS credentials: `aws configure sso`, or set AWS_PROFILE"
        raise NotSetUpError(f"{what}: {advice}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise LaunchError(f"{what}: {error}") from error
