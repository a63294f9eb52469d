"""Prints the parameters of ``stack.yaml`` as ``NAME=value``, one per line.

The values come from ``launch.toml``: from the table ``[stack]``, by the names of the parameters,
and from the network and encryption settings of the requests. Parameters that the file does not set
are printed with the default of the template. Otherwise, CloudFormation would keep the value of the
last deployment.

``scripts/stack.sh`` may run this before packages are installed, so it only uses the standard
library.
"""

import argparse
import difflib
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILE = "launch.toml"

VPC = ("NetworkConfig", "VpcConfig")
OUTPUT_KEY = ("ProcessingOutputConfig", "KmsKeyId")
VOLUME_KEY = ("ProcessingResources", "ClusterConfig", "VolumeKmsKeyId")

SET_ELSEWHERE = {
    "Project": "the project's name in pyproject.toml",
    "RepositoryName": "ECR_REPOSITORY in aws.env",
    "RegistryAccount": "ECR_REGISTRY in aws.env",
    "RegistryRegion": "ECR_REGISTRY in aws.env",
    "RepositoryExists": "the account",
    "BucketExists": "the account",
    "GitHubExists": "the account",
    "Subnets": f"Subnets of [request.{'.'.join(VPC)}]",
    "SecurityGroups": f"SecurityGroupIds of [request.{'.'.join(VPC)}]",
    "OutputKeys": f"KmsKeyId of [request.{OUTPUT_KEY[0]}]",
    "VolumeKeys": f"VolumeKmsKeyId of [request.{'.'.join(VOLUME_KEY[:-1])}]",
    "ReadBuckets": "ReadPaths",
    "ReadPrefixes": "ReadPaths",
}
"""Parameters that ``[stack]`` cannot set, and what determines them."""


class ParameterError(Exception):
    """A value in ``launch.toml`` is invalid. Users see the text unchanged."""


@dataclass(frozen=True)
class Target:
    """Where the stack is deployed."""

    partition: str
    region: str
    account: str


def declared(template: str) -> dict[str, dict[str, str]]:
    """Return the attributes of each parameter of a template, as text.

    The standard library cannot parse YAML. This function expects parameters in the format of
    ``stack.yaml``, with one attribute per line.
    """
    section = re.search(r"^Parameters:\n(.*?)^\S", template, flags=re.MULTILINE | re.DOTALL)
    attributes: dict[str, dict[str, str]] = {}
    name = ""
    for line in section[1].splitlines() if section else ():
        if parameter := re.fullmatch(r"  (\w+):", line):
            name = parameter[1]
            attributes[name] = {}
        elif attribute := re.fullmatch(r"    (\w+): (.*)", line):
            attributes[name][attribute[1]] = attribute[2].strip("\"'")
    return attributes


def parameters(
    content: Mapping[str, Any],
    template: str,
    facts: Mapping[str, str],
    target: Target,
) -> dict[str, str]:
    """Return the value of every parameter.

    Args:
        content: The content of ``launch.toml``.
        template: The text of ``stack.yaml``.
        facts: Values that do not come from ``launch.toml``; ``[stack]`` can replace the bucket.
        target: Where the stack is deployed.

    Raises:
        ParameterError: A parameter does not exist, or does not accept its value.
    """
    known = declared(template)
    values = {name: each["Default"] for name, each in known.items() if "Default" in each}
    values |= facts
    stack = _table(content, "stack", "")
    for name in stack:
        if name in SET_ELSEWHERE:
            raise ParameterError(f"[stack] cannot set {name}: {SET_ELSEWHERE[name]} determines it")
        if name not in known:
            settable = sorted(known.keys() - SET_ELSEWHERE.keys())
            similar = difflib.get_close_matches(name, settable, n=1)
            advice = (
                f"did you mean {similar[0]}?" if similar else f"there are {', '.join(settable)}"
            )
            raise ParameterError(f"[stack] has no parameter {name}; {advice}")
    values |= {
        name: _text(name, value, known[name])
        for name, value in stack.items()
        if name != "ReadPaths"
    }
    requests = list(_requests(content))
    ec2 = f"arn:{target.partition}:ec2:{target.region}:*"  # another account may share its subnets
    derived = {
        "Subnets": [f"{ec2}:subnet/{name}" for name in _collect(requests, *VPC, "Subnets")],
        "SecurityGroups": [
            f"{ec2}:security-group/{name}" for name in _collect(requests, *VPC, "SecurityGroupIds")
        ],
        "OutputKeys": [_key_arn(key, target) for key in _collect(requests, *OUTPUT_KEY)],
        "VolumeKeys": [_key_arn(key, target) for key in _collect(requests, *VOLUME_KEY)],
        "ReadKeys": [_key_arn(key, target) for key in _items("ReadKeys", stack)],
        **_readable(_items("ReadPaths", stack), target),
    }
    return values | {name: ",".join(dict.fromkeys(items)) for name, items in derived.items()}


def _text(name: str, value: Any, parameter: Mapping[str, str]) -> str:
    """Convert a value of ``[stack]`` to the text that CloudFormation expects."""
    if "AllowedValues" in parameter:
        if not isinstance(value, bool):
            raise ParameterError(f"[stack] {name} must be true or false, without quotes: {value!r}")
        return str(value).lower()
    if parameter["Type"] == "Number":
        if not isinstance(value, int) or isinstance(value, bool):
            raise ParameterError(f"[stack] {name} must be a whole number without quotes: {value!r}")
        if value < int(parameter.get("MinValue", value)):
            raise ParameterError(
                f"[stack] {name} must be at least {parameter['MinValue']}: {value}"
            )
        return str(value)
    if parameter["Type"] == "CommaDelimitedList":
        return ",".join(_items(name, {name: value}))
    if not isinstance(value, str) or not value.isprintable():
        raise ParameterError(f"[stack] {name} must be a text in quotes, on one line: {value!r}")
    if not re.fullmatch(parameter.get("AllowedPattern", ".*"), value):
        meaning = parameter.get("Description", parameter.get("AllowedPattern"))
        raise ParameterError(f"[stack] {name} does not accept {value!r}. {name}: {meaning}")
    return value


def _items(name: str, table: Mapping[str, Any]) -> list[str]:
    """Return a list of ``[stack]``; empty if it is not set."""
    items = table.get(name, [])
    if not isinstance(items, list) or not all(
        isinstance(item, str) and item.isprintable() and item and "," not in item for item in items
    ):
        raise ParameterError(f"[stack] {name} must be a list of texts without commas: {items!r}")
    return items


def _requests(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the tables with the request of all jobs and those of single jobs, with their names."""
    yield "request", _table(content, "request", "")
    jobs = _table(content, "job", "")
    for job in jobs:
        yield f"job.{job}", _table(jobs, job, "job.")


def _collect(requests: Iterable[tuple[str, Mapping[str, Any]]], *path: str) -> list[str]:
    """Return the values at a path of all requests, without duplicates."""
    values: list[str] = []
    for name, table in requests:
        prefix = f"{name}."
        for key in path[:-1]:
            table = _table(table, key, prefix)
            prefix += f"{key}."
        value = table.get(path[-1], [])
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(
            isinstance(item, str) and re.fullmatch(r"[\w:/-]+", item) for item in items
        ):
            raise ParameterError(f"{prefix}{path[-1]} must be IDs or ARNs of resources: {value!r}")
        values += items
    return list(dict.fromkeys(values))


def _table(parent: Mapping[str, Any], key: str, prefix: str) -> Mapping[str, Any]:
    table = parent.get(key, {})
    if not isinstance(table, dict):
        raise ParameterError(f"{prefix}{key} must be a table: [{prefix}{key}]")
    return table


def _key_arn(key: str, target: Target) -> str:
    """Return the ARN of a KMS key, because policies accept nothing else."""
    if re.fullmatch(r"arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[\w-]+", key):
        return key
    if re.fullmatch(r"mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", key):
        return f"arn:{target.partition}:kms:{target.region}:{target.account}:key/{key}"
    raise ParameterError(
        f"{key} is not the ID or ARN of a KMS key, and policies accept no aliases. To see the ARN: "
        f"aws kms describe-key --key-id {key} --query KeyMetadata.Arn"
    )


def _readable(paths: Iterable[str], target: Target) -> dict[str, list[str]]:
    """Return the parameters that allow the roles to list and read these buckets or prefixes."""
    objects, buckets, prefixes = [], [], []
    for path in paths:
        bucket, _, prefix = path.removeprefix("s3://").partition("/")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket) or set("*?$") & set(path):
            raise ParameterError(
                f"[stack] ReadPaths: {path!r} must be a bucket or bucket/prefix, without wildcards"
            )
        buckets.append(f"arn:{target.partition}:s3:::{bucket}")
        objects.append(f"arn:{target.partition}:s3:::{bucket}/{prefix}*")
        prefixes.append(f"{prefix}*")
        if prefix.endswith("/"):  # launch also checks for an object of this name
            prefixes.append(prefix.rstrip("/"))
    return {"ReadPaths": objects, "ReadBuckets": buckets, "ReadPrefixes": prefixes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    for option in ("--partition", "--region", "--account"):
        parser.add_argument(option, required=True)
    parser.add_argument("facts", nargs="*", metavar="NAME=value")
    options = parser.parse_args()
    target = Target(options.partition, options.region, options.account)
    try:
        # As in launch/, the file is optional.
        path = ROOT / FILE
        content = tomllib.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else {}
        template = (ROOT / "infra" / "stack.yaml").read_text(encoding="utf-8")
        facts = dict(fact.split("=", 1) for fact in options.facts)
        values = parameters(content, template, facts, target)
    except (ParameterError, OSError, ValueError) as error:
        sys.exit(f"{FILE}: {error}")
    for name, value in values.items():
        print(f"{name}={value}")


if __name__ == "__main__":
    main()
