"""The template of the stack with its functions evaluated, as by CloudFormation.

moto knows only some of the stack's resources, and linters do not look behind conditions.
"""

import re
from collections.abc import Mapping
from typing import Any

from conftest import SLUG, TEMPLATE
from registry import ACCOUNT

STACK = TEMPLATE / "infra" / "stack.yaml"
REGION = "eu-west-1"
PSEUDO = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws"}
NAMES = {"Project": SLUG, "RepositoryName": "team/model", "BucketName": f"{SLUG}-bucket"}
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key"
COMPANY = NAMES | {
    "RunDays": "90",
    "BucketVersioning": "true",
    "AccessLogBucket": "company-logs",
    "ReadPaths": "arn:aws:s3:::company-lake/sales/*,arn:aws:s3:::company-maps/*",
    "ReadBuckets": "arn:aws:s3:::company-lake,arn:aws:s3:::company-maps",
    "ReadPrefixes": "sales/*,sales,*",
    "ReadKeys": f"{KEY}/lake",
    "PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/boundary",
    "RolePath": "/models/",
    "Schedule": "cron(0 6 ? * MON *)",
    "ScheduleTimezone": "Europe/Berlin",
    "FailureEmail": "team@company.example",
    "FailureKey": f"{KEY}/mail",
    "GitHubRepository": "team/model",
    "Subnets": ",".join(f"arn:aws:ec2:{REGION}:*:subnet/subnet-0{each}" for each in "ab"),
    "SecurityGroups": f"arn:aws:ec2:{REGION}:*:security-group/sg-0a",
    "OutputKeys": f"{KEY}/output,{KEY}/other",
    "VolumeKeys": f"{KEY}/volume",
}
"""Every parameter that a company may set."""
REGISTRY = NAMES | {"RegistryAccount": "210987654321", "RegistryRegion": "eu-central-1"}
SETS = {
    "defaults": NAMES,
    "GitHub": NAMES | {"GitHubRepository": "team/model"},
    "company": COMPANY,
    "mail": NAMES | {"FailureEmail": COMPANY["FailureEmail"]},
    "registry": REGISTRY | {"GitHubRepository": "team/model"},
}


def template() -> dict[str, Any]:
    import cfnlint.decode

    found, errors = cfnlint.decode.decode(str(STACK))
    assert not errors
    return dict(found)


def resources(parameters: Mapping[str, str]) -> dict[str, Any]:
    """The resources that a stack with these parameters has, by their names in the template."""
    content = template()
    values: dict[str, Any] = dict(PSEUDO)
    for name, parameter in content["Parameters"].items():
        text = str(parameters.get(name, parameter.get("Default")))
        values[name] = text.split(",") if parameter["Type"] == "CommaDelimitedList" else text
    resolver = _Resolver(content["Conditions"], values)
    return {
        name: {key: resolver.value(part) for key, part in resource.items() if key != "Condition"}
        for name, resource in content["Resources"].items()
        if resolver.condition(resource.get("Condition"))
    }


def policies(parameters: Mapping[str, str]) -> dict[str, Any]:
    """The policies of the roles that a stack with these parameters has."""
    found = resources(parameters).items()
    return {name: part for name, part in found if part["Type"] == "AWS::IAM::Policy"}


def statements(resource: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The statements of a policy's resource."""
    found: list[dict[str, Any]] = resource["Properties"]["PolicyDocument"]["Statement"]
    return found


class _Absent:
    """What ``AWS::NoValue`` leaves."""


class _Resolver:
    def __init__(self, conditions: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self.conditions = conditions
        self.values = values

    def condition(self, name: str | None) -> bool:
        return name is None or bool(self.value(self.conditions[name]))

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [item for item in map(self.value, node) if item is not _Absent]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function == "Condition" and isinstance(argument, str):
                return self.condition(argument)
            if function == "Ref" or function.startswith("Fn::"):
                return self.call(function.removeprefix("Fn::"), argument)
        items = {key: self.value(item) for key, item in node.items()}
        return {key: item for key, item in items.items() if item is not _Absent}

    def call(self, function: str, argument: Any) -> Any:
        match function:
            case "Ref":
                return _Absent if argument == "AWS::NoValue" else self.reference(argument)
            case "GetAtt":
                name, _ = argument if isinstance(argument, list) else argument.split(".")
                service = "iam::" if name.endswith("Role") else f"events:{REGION}:"
                kind = "role" if name.endswith("Role") else "rule"
                return f"arn:aws:{service}{ACCOUNT}:{kind}/{name}"
            case "If":
                name, yes, no = argument
                return self.value(yes if self.condition(name) else no)
            case "Sub":
                text, more = argument if isinstance(argument, list) else (argument, {})
                more = {name: self.value(item) for name, item in more.items()}
                names = r"\$\{([\w:]+)\}"
                return re.sub(names, lambda name: self.reference(name[1], more), text)
        arguments = self.value(argument)
        match function:
            case "Equals":
                return arguments[0] == arguments[1]
            case "Not":
                return not arguments[0]
            case "And":
                return all(arguments)
            case "Or":
                return any(arguments)
            case "Join":
                return arguments[0].join(arguments[1])
            case "Split":
                return arguments[1].split(arguments[0])
        raise NotImplementedError(function)

    def reference(self, name: str, more: Mapping[str, Any] | None = None) -> Any:
        known = {**self.values, **(more or {})}
        return known.get(name, f"arn:aws:ref:{REGION}:{ACCOUNT}:{name}")
