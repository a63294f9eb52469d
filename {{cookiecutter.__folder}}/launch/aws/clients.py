"""Sessions and clients of boto3, in the region of the project."""

import re
from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

from ..settings.config import bucket_owners
from ..settings.project import require, setting

_ACCOUNT = re.compile(r"arn:[^:]+:iam::(\d{12}):role/.+")


def session() -> Any:
    """Return a ``boto3.Session`` in the project's region.

    It reads the credentials again, so that those that were renewed meanwhile are used.
    """
    import boto3
    import botocore.session

    core = botocore.session.get_session()
    session = boto3.Session(botocore_session=core, region_name=setting("AWS_REGION") or None)
    # Only now, because a session of boto3 adds a path to the loader that it finds.
    descriptions = _service_descriptions(core.get_config_variable("data_path"))
    core.register_component("data_loader", descriptions)
    if not session.region_name:
        require("AWS_REGION")
    return session


@cache
def _service_descriptions(data_path: str | None) -> Any:
    """Return a loader of botocore's descriptions of services, which keeps what it has read.

    Reading them takes most of the time that creating a client takes.
    """
    from botocore.loaders import create_loader

    return create_loader(data_path)


def client(service: str, *, region: str | None = None, **config: Any) -> Any:
    """Return a client that retries throttled requests and temporary failures.

    There are five attempts, each with 5 seconds to connect and 10 seconds for an answer, so that a
    call to an endpoint that does not answer fails after about a minute.

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
        botocore.exceptions.BotoCoreError: There is no role, and the call to AWS fails.
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
        """Add the expected owner to an error, for ``errors.explain``; S3 says only "access denied".

        A denial that names the missing permission has another reason.
        """
        if "Error" in parsed and "expected_owner" in context:
            error = parsed["Error"]
            if "not authorized" not in error.get("Message", ""):
                error["Bucket"], error["ExpectedBucketOwner"] = context["expected_owner"]

    @cached_property
    def _listed(self) -> Mapping[str, str]:
        return bucket_owners()

    @cached_property
    def _own(self) -> str:
        if match := _ACCOUNT.fullmatch(setting("SAGEMAKER_ROLE_ARN")):
            return match[1]
        return str(client("sts").get_caller_identity()["Account"])


def console() -> str:
    """Return the address of the AWS console in the project's region."""
    return f"https://{session().region_name}.console.aws.amazon.com"
