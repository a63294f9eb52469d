"""Prints the parameters of ``stack.yaml``, as ``NAME=value``, one per line.

The values come from ``launch.toml``: from the table ``[stack]``, by the names of the parameters,
and from what the requests say about the network and encryption. Every parameter is printed, with
the template's default if the file does not set it: CloudFormation would otherwise keep the value of
the last deployment.

``scripts/stack.sh`` runs this before anything is installed, so it needs the standard library only.
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
    "RepositoryExists": "what is in the account",
    "BucketExists": "what is in the account",
    "GitHubExists": "what is in the account",
    "Subnets": f"Subnets of [request.{'.'.join(VPC)}]",
    "SecurityGroups": f"SecurityGroupIds of [request.{'.'.join(VPC)}]",
    "OutputKeys": f"KmsKeyId of [request.{OUTPUT_KEY[0]}]",
    "VolumeKeys": f"VolumeKmsKeyId of [request.{'.'.join(VOLUME_KEY[:-1])}]",
    "ReadBuckets": "ReadPaths",
    "ReadPrefixes": "ReadPaths",
}
"""Parameters that ``[stack]`` cannot set, and what determines them."""


class ParameterError(Exception):
    """A value in ``launch.toml`` cannot be a parameter; the text is shown to the user as it is."""


@dataclass(frozen=True)
class Place:
    """Where the stack is deployed."""

    partition: str
    region: str
    account: str


def declared(template: str) -> dict[str, dict[str, str]]:
    """Return the attributes of each parameter of a template, as text.

    The standard library cannot read YAML. This reads the parameters as ``stack.yaml`` writes them:
    one attribute per line.
    """
    section = re.search(r"^Parameters:\n(.*?)^\S", template, flags=re.MULTILINE | re.DOTALL)
    found: dict[str, dict[str, str]] = {}
    name = ""
    for line in section[1].splitlines() if section else ():
        if parameter := re.fullmatch(r"  (\w+):", line):
            name = parameter[1]
            found[name] = {}
        elif attribute := re.fullmatch(r"    (\w+): (.*)", line):
            found[name][attribute[1]] = attribute[2].strip("\"'")
    return found


def parameters(
    content: Mapping[str, Any],
    template: str,
    facts: Mapping[str, str],
    place: Place,
) -> dict[str, str]:
    """Return the value of every parameter.

    Args:
        content: What ``launch.toml`` says.
        template: The text of ``stack.yaml``.
        facts: Values that do not come from ``launch.toml``; ``[stack]`` can set another bucket.
        place: Where the stack is deployed.

    Raises:
        ParameterError: A value is not what its parameter accepts, or there is no such parameter.
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
            advice = f"did you mean {similar[0]}?" if similar else f"there are {_listed(settable)}"
            raise ParameterError(f"[stack] has no parameter {name}; {advice}")
    values |= {
        name: _text(name, value, known[name])
        for name, value in stack.items()
        if name != "ReadPaths"
    }
    requests = list(_requests(content))
    ec2 = f"arn:{place.partition}:ec2:{place.region}:*"  # another account may share its subnets
    derived = {
        "Subnets": [f"{ec2}:subnet/{name}" for name in _collect(requests, *VPC, "Subnets")],
        "SecurityGroups": [
            f"{ec2}:security-group/{name}" for name in _collect(requests, *VPC, "SecurityGroupIds")
        ],
        "OutputKeys": [_key_arn(key, place) for key in _collect(requests, *OUTPUT_KEY)],
        "VolumeKeys": [_key_arn(key, place) for key in _collect(requests, *VOLUME_KEY)],
        "ReadKeys": [_key_arn(key, place) for key in _items("ReadKeys", stack)],
        **_readable(_items("ReadPaths", stack), place),
    }
    return values | {name: ",".join(dict.fromkeys(items)) for name, items in derived.items()}


def _text(name: str, value: Any, parameter: Mapping[str, str]) -> str:
    """Return a value of TOML as CloudFormation takes it."""
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
        raise ParameterError(f"[stack] {name} does not accept {value!r}; it means: {meaning}")
    return value


def _items(name: str, table: Mapping[str, Any]) -> list[str]:
    """Return the texts of a list in ``[stack]``; none if it is missing."""
    items = table.get(name, [])
    if not isinstance(items, list) or not all(
        isinstance(item, str) and item.isprintable() and item and "," not in item for item in items
    ):
        raise ParameterError(f"[stack] {name} must be a list of texts without commas: {items!r}")
    return items


def _requests(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the request of all jobs and those of single jobs, with the name of their table."""
    yield "request", _table(content, "request", "")
    jobs = _table(content, "job", "")
    for job in jobs:
        yield f"job.{job}", _table(jobs, job, "job.")


def _collect(requests: Iterable[tuple[str, Mapping[str, Any]]], *path: str) -> list[str]:
    """Return what all requests have at a path, each value once."""
    found: list[str] = []
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
            raise ParameterError(f"{prefix}{path[-1]} must name resources of AWS: {value!r}")
        found += items
    return list(dict.fromkeys(found))


def _table(parent: Mapping[str, Any], key: str, prefix: str) -> Mapping[str, Any]:
    table = parent.get(key, {})
    if not isinstance(table, dict):
        raise ParameterError(f"{prefix}{key} must be a table: [{prefix}{key}]")
    return table


def _key_arn(key: str, place: Place) -> str:
    """Return the ARN of a KMS key, which policies name it by."""
    if re.fullmatch(r"arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[\w-]+", key):
        return key
    if re.fullmatch(r"mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", key):
        return f"arn:{place.partition}:kms:{place.region}:{place.account}:key/{key}"
    raise ParameterError(
        f"{key} is not the ID or ARN of a KMS key, and policies accept no aliases. To see the ARN: "
        f"aws kms describe-key --key-id {key} --query KeyMetadata.Arn"
    )


def _readable(paths: Iterable[str], place: Place) -> dict[str, list[str]]:
    """Return the parameters that let the roles list and read ``bucket`` or ``bucket/prefix``."""
    objects, buckets, prefixes = [], [], []
    for path in paths:
        bucket, _, prefix = path.removeprefix("s3://").partition("/")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket) or set("*?$") & set(path):
            raise ParameterError(
                f"[stack] ReadPaths: {path!r} must be a bucket or bucket/prefix, without wildcards"
            )
        buckets.append(f"arn:{place.partition}:s3:::{bucket}")
        objects.append(f"arn:{place.partition}:s3:::{bucket}/{prefix}*")
        prefixes.append(f"{prefix}*")
        if prefix.endswith("/"):  # launch also looks whether there is an object of this name
            prefixes.append(prefix.rstrip("/"))
    return {"ReadPaths": objects, "ReadBuckets": buckets, "ReadPrefixes": prefixes}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    for option in ("--partition", "--region", "--account"):
        parser.add_argument(option, required=True)
    parser.add_argument("facts", nargs="*", metavar="NAME=value")
    options = parser.parse_args()
    place = Place(options.partition, options.region, options.account)
    try:
        # As launch reads it: a repository need not have the file.
        path = ROOT / FILE
        content = tomllib.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else {}
        template = (ROOT / "infra" / "stack.yaml").read_text(encoding="utf-8")
        facts = dict(fact.split("=", 1) for fact in options.facts)
        values = parameters(content, template, facts, place)
    except (ParameterError, OSError, ValueError) as error:
        sys.exit(f"{FILE}: {error}")
    for name, value in values.items():
        print(f"{name}={value}")


if __name__ == "__main__":
    main()
