"""Checks that the role of a job may read the job's inputs, as far as IAM can simulate it.

IAM simulates the policies of the role and its permissions boundary. It does not know the policies
of buckets and keys, nor what a job's requests will look like, so a launch is rejected only if none
of these could change the decision.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..aws import clients, errors
from ..run import Request
from ..settings import config
from ..settings.project import LaunchError
from ..storage import code
from .options import Launch

_IRRELEVANT = ("aws:requesttag/", "aws:tagkeys")
"""Condition keys of requests that create something."""


class NotSimulatedError(Exception):
    """IAM did not answer; often the caller may not simulate the policies of other roles."""


@dataclass(frozen=True)
class _Denial:
    """A decision of IAM against an action."""

    explicit: bool
    """Whether a policy denies it; otherwise no policy allows it."""
    by_boundary: bool


def check(launch: Launch, request: Request) -> None:
    """Reject a launch whose role may not read an input; accept it if IAM does not answer.

    Raises:
        LaunchError: An input cannot be read.
    """
    role = request["RoleArn"]
    with suppress(NotSimulatedError):
        for place, address in _inputs(launch, request):
            if problem := unreadable(role, address):
                raise LaunchError(f"{place}: {problem}")
        key = config.output_key(launch.job.name)
        if key and launch.uploads and (problem := undecryptable(role, key)):
            raise LaunchError(f"{config.FILE}: ProcessingOutputConfig.KmsKeyId: {problem}")


def unreadable(role: str, address: str) -> str:
    """Return why a role may not read an input, and what to do about it; empty if it may.

    Args:
        role: ARN of the role.
        address: An ``S3Uri``: SageMaker lists its prefix and reads the objects found.

    Raises:
        NotSimulatedError: IAM could not be asked.
    """
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    arn = f"arn:{role.split(':')[1]}:s3:::{bucket}"
    owner = clients.bucket_owner(bucket)
    context = {"s3:prefix": prefix, "s3:ResourceAccount": owner, "aws:ResourceAccount": owner}
    objects = f"{arn}/{prefix}*" if not prefix or prefix.endswith("/") else f"{arn}/{prefix}"
    for action, resource in (("s3:ListBucket", arn), ("s3:GetObject", objects)):
        denial = _simulate(role, action, resource, context)
        if denial is None:
            continue
        problem = f"{role} may not read {address} ({action}): "
        if denial.by_boundary or denial.explicit:
            return problem + _policy_advice(denial)
        if owner != _account(role):
            return (
                f"{problem}{_read_path_advice(bucket, prefix)}; the bucket's own policy in account "
                f"{owner} must allow the role, too"
            )
        if not _bucket_policy_may_allow(bucket, role):
            return problem + _read_path_advice(bucket, prefix)
    return ""


def undecryptable(role: str, key: str) -> str:
    """Return why a role may not decrypt what is uploaded, and what to do; empty if it may.

    The key's own policy may allow it, too, so that only a denial is certain.

    Args:
        role: ARN of the role.
        key: ARN of a KMS key; nothing is known of an alias or ID.

    Raises:
        NotSimulatedError: IAM could not be asked.
    """
    if ":key/" not in key:
        return ""
    denial = _simulate(role, "kms:Decrypt", key, {})
    if denial and (denial.by_boundary or denial.explicit):
        return f"{role} may not use {key} (kms:Decrypt): {_policy_advice(denial)}"
    return ""


def _inputs(launch: Launch, request: Request) -> Iterator[tuple[str, str]]:
    """Yield where each input was written, and its address.

    Results of other jobs, and files that this launch uploads, are below the prefix of the project,
    which ``make doctor`` checks once.
    """
    options = {channel.name: channel.option for channel in launch.job.inputs}
    for item in request.get("ProcessingInputs", []):
        option = options.get(item["InputName"])
        is_own = option in launch.upstream or option in launch.snapshots
        if is_own or "S3Input" not in item:
            continue
        yield _place(launch, option, item["InputName"]), item["S3Input"]["S3Uri"]


def _place(launch: Launch, option: str | None, name: str) -> str:
    """Return where an input was written."""
    if option:
        return launch.place(option)
    if launch.code and name == code.INPUT:
        return "argument --code"
    return f"{config.FILE}: input {name}"


def _simulate(role: str, action: str, resource: str, context: Mapping[str, str]) -> _Denial | None:
    """Ask IAM for its decision; ``None`` if the role is allowed, or may be in a real request."""
    from botocore.exceptions import BotoCoreError, ClientError

    values = {**context, "aws:RequestedRegion": clients.session().region_name}
    entries = [_entry(key, "string", value) for key, value in values.items()]
    entries.append(_entry("aws:SecureTransport", "boolean", "true"))
    # A network without a way to IAM, which is common in VPCs, must not hold up the launch.
    iam = clients.client("iam", connect_timeout=3, retries={"total_max_attempts": 1})
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=role,
        ActionNames=[action],
        ResourceArns=[resource],
        ContextEntries=entries,
    )
    try:
        results = [result for page in pages for result in page["EvaluationResults"]]
    except (BotoCoreError, ClientError) as error:
        raise NotSimulatedError(errors.explain(error)) from error
    return next(filter(None, map(_denial, results)), None)


def _entry(key: str, type_name: str, value: str) -> dict[str, Any]:
    return {"ContextKeyName": key, "ContextKeyType": type_name, "ContextKeyValues": [value]}


def _denial(result: Mapping[str, Any]) -> _Denial | None:
    """Return the denial in a result; ``None`` if it allows, or if its denial is not certain.

    The decision on a given resource is in ``ResourceSpecificResults``; older answers have it in the
    result itself.
    """
    found = {**result, **next(iter(result.get("ResourceSpecificResults", [])), {})}
    decision = found.get("EvalResourceDecision", found["EvalDecision"])
    if decision == "allowed":
        return None
    # IAM lists the keys of all conditions of the role, also of those on other actions.
    missing = [
        *result.get("MissingContextValues", []),
        *found.get("MissingContextValues", []),
    ]
    if any(_matters(key) for key in missing):
        return None
    # The simulation of an organization's policies has denied what they allow.
    if not result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True):
        return None
    boundary = found.get("PermissionsBoundaryDecisionDetail", {})
    return _Denial(
        explicit=decision == "explicitDeny",
        by_boundary=not boundary.get("AllowedByPermissionsBoundary", True),
    )


def _matters(key: str) -> bool:
    """Return whether a condition key could decide about reading from S3 or using a key."""
    key = key.lower()
    return key.startswith(("aws:", "s3:", "kms:")) and not key.startswith(_IRRELEVANT)


def _policy_advice(denial: _Denial) -> str:
    if denial.by_boundary:
        return (
            "its permissions boundary does not allow this: ask the maintainer of the boundary, or  "
            "set another PermissionsBoundary below [stack] in launch.toml and run `make stack`"
        )
    return "one of its policies denies this: ask the maintainer of that policy"


def _read_path_advice(bucket: str, prefix: str) -> str:
    return (
        f'no policy of the role allows this: add "{bucket}/{prefix}" to ReadPaths below [stack] in '
        "launch.toml and run `make stack`, or ask the maintainer of the role"
    )


def _bucket_policy_may_allow(bucket: str, role: str) -> bool:
    """Return whether a bucket of the role's account may allow what the role's policies do not.

    It is enough that a statement allows something to the role or to everybody.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        policy = clients.client("s3").get_bucket_policy(Bucket=bucket)["Policy"]
    except ClientError as error:
        return bool(error.response["Error"]["Code"] != "NoSuchBucketPolicy")
    except BotoCoreError:
        return True
    statements = json.loads(policy)["Statement"]
    if isinstance(statements, dict):
        statements = [statements]
    allowing = (each for each in statements if each["Effect"] == "Allow")
    principals = (json.dumps(each.get("Principal", "*")) for each in allowing)
    # AROA begins the ID of a role, which a policy may name instead.
    names = ('*"', f"/{role.rpartition('/')[2]}", "AROA")
    return any(name in principal for principal in principals for name in names)


def _account(role: str) -> str:
    return role.split(":")[4]
