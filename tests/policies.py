"""Evaluates IAM policies: whether they allow a request, and which permission allows it.

What is not in the grammar below is an error and never passes in silence: a condition operator, a
policy variable or an element of a statement that this module does not know.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

Context = Mapping[str, str | Sequence[str]]
"""Values of condition keys. A key that may have several values at a time has a list or a tuple."""


class PolicyError(Exception):
    """A policy is not valid, or uses something that this module does not know."""


@dataclass(frozen=True)
class Request:
    """What IAM decides about: one action on one resource."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)

    def __str__(self) -> str:
        context = f" with {dict(self.context)}" if self.context else ""
        return f"{self.action} on {self.resource}{context}"


@dataclass(frozen=True)
class Permission:
    """One action or one resource of a statement that allows something."""

    sid: str
    element: str
    """``Action`` or ``Resource``."""
    value: str

    def __str__(self) -> str:
        return f"{self.sid}: {self.element} {self.value}"


class Statement:
    """A statement of a policy that is attached to an identity."""

    _ELEMENTS = frozenset(
        ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"]
    )

    def __init__(self, source: Mapping[str, Any]) -> None:
        self.sid = str(source.get("Sid", ""))
        if unknown := source.keys() - self._ELEMENTS:
            raise PolicyError(f"statement {self.sid}: unknown elements {sorted(unknown)}")
        for name in ("Action", "Resource"):
            if (name in source) == (f"Not{name}" in source):
                raise PolicyError(f"statement {self.sid}: {name} or Not{name}, one of the two")
        if source.get("Effect") not in ("Allow", "Deny"):
            raise PolicyError(f"statement {self.sid}: Effect {source.get('Effect')!r}")
        self.allows = source["Effect"] == "Allow"
        self.actions = _listed(source.get("Action", []))
        self.resources = _listed(source.get("Resource", []))
        self._other_actions = _listed(source.get("NotAction", []))
        self._other_resources = _listed(source.get("NotResource", []))
        self._conditions = [
            Condition(operator, key, _listed(values))
            for operator, keys in source.get("Condition", {}).items()
            for key, values in keys.items()
        ]
        for action in [*self.actions, *self._other_actions]:
            if action != "*" and not re.fullmatch(r"[A-Za-z0-9-]+:[\w*?]+", action):
                raise PolicyError(f"statement {self.sid}: {action!r} is no action")
        for resource in [*self.resources, *self._other_resources]:
            if resource != "*" and len(_arn(resource)) < _ARN_PARTS:
                raise PolicyError(f"statement {self.sid}: {resource!r} is no ARN")

    def matches(self, request: Request) -> bool:
        """Return whether the statement applies to a request."""
        return (
            bool(self._matching_actions(request))
            and bool(self._matching_resources(request))
            and all(condition.holds(request.context) for condition in self._conditions)
        )

    def permissions(self) -> set[Permission]:
        """Return what the statement lists; nothing for one that denies."""
        if not self.allows:
            return set()
        listed = (("Action", self.actions), ("Resource", self.resources))
        return {Permission(self.sid, name, value) for name, values in listed for value in values}

    def used_by(self, request: Request) -> set[Permission]:
        """Return the permissions by which the statement allows a request that it matches.

        An action with a wildcard allows more than any request asks for, so it is never used.
        """
        listed = (
            ("Action", [name for name in self._matching_actions(request) if "*" not in name]),
            ("Resource", self._matching_resources(request)),
        )
        return {Permission(self.sid, name, value) for name, values in listed for value in values}

    def _matching_actions(self, request: Request) -> list[str]:
        if self._other_actions:
            others = any(_is_like(request.action, name, True) for name in self._other_actions)
            return [] if others else ["NotAction"]
        return [name for name in self.actions if _is_like(request.action, name, True)]

    def _matching_resources(self, request: Request) -> list[str]:
        if self._other_resources:
            others = any(_is_resource(request.resource, name) for name in self._other_resources)
            return [] if others else ["NotResource"]
        return [name for name in self.resources if _is_resource(request.resource, name)]


@dataclass(frozen=True)
class Decision:
    """What IAM answers to a request."""

    allowed: bool
    reason: str
    used: frozenset[Permission] = frozenset()
    """The permissions of the identity's policies that allow it."""


@dataclass(frozen=True)
class Identity:
    """A role: the statements of its policies, and those of its permissions boundary if it has one.

    A boundary allows nothing by itself: a request is allowed if both allow it.
    """

    statements: Sequence[Statement]
    boundary: Sequence[Statement] | None = None

    def decide(self, request: Request) -> Decision:
        """Return what IAM answers; an explicit denial has precedence."""
        boundary = self.boundary or []
        for statement in [*self.statements, *boundary]:
            if not statement.allows and statement.matches(request):
                return Decision(False, f"{request}: denied by {statement.sid or 'a statement'}")
        used: set[Permission] = set()
        found = [each for each in self.statements if each.allows and each.matches(request)]
        if not found:
            return Decision(False, f"{request}: no statement allows it")
        within = any(each.allows and each.matches(request) for each in boundary)
        if self.boundary is not None and not within:
            return Decision(False, f"{request}: outside the permissions boundary")
        for statement in found:
            used |= statement.used_by(request)
        return Decision(True, f"{request}: allowed by {found[0].sid}", frozenset(used))

    def permissions(self) -> set[Permission]:
        """Return every action and resource that the identity's policies list."""
        return {each for statement in self.statements for each in statement.permissions()}


def statements(documents: Iterable[Mapping[str, Any]]) -> list[Statement]:
    """Return the statements of policy documents."""
    found: list[Statement] = []
    for document in documents:
        if unknown := document.keys() - {"Version", "Id", "Statement"}:
            raise PolicyError(f"unknown elements of a policy: {sorted(unknown)}")
        if document.get("Version") != "2012-10-17":
            raise PolicyError(f"unknown version of a policy: {document.get('Version')}")
        source = document["Statement"]
        found += [Statement(each) for each in ([source] if isinstance(source, dict) else source)]
    return found


# Conditions:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html

_SETS = ("ForAllValues", "ForAnyValue")


class Condition:
    """One operator with one key and its values, as in ``StringLike: {s3:prefix: [a/*]}``."""

    def __init__(self, operator: str, key: str, values: Sequence[str]) -> None:
        quantifier, separator, name = operator.rpartition(":")
        self._if_exists = name.endswith("IfExists")
        self._name = name.removesuffix("IfExists")
        self._quantifier = quantifier if separator else ""
        self._key, self._values = key.lower(), values
        is_null = self._name == "Null"
        if (
            (separator and quantifier not in _SETS)
            or self._name not in {*_TESTS, *_NEGATED, "Null"}
            or (is_null and (self._if_exists or separator))
        ):
            raise PolicyError(f"unknown condition operator {operator}")
        for value in values:
            if "${" in value:
                raise PolicyError(f"policy variables are unknown here: {value}")
            if self._name in ("Bool", "Null") and value.lower() not in ("true", "false"):
                raise PolicyError(f"{operator} compares with true or false, not with {value!r}")

    def holds(self, context: Context) -> bool:
        """Return whether the values in the context of a request satisfy the condition."""
        present = {name.lower(): value for name, value in context.items()}
        value = present.get(self._key)
        if self._name == "Null":
            return any((wanted.lower() == "true") is (value is None) for wanted in self._values)
        if value is None and self._if_exists:
            return True
        if not self._quantifier:
            if value is None:
                return self._name in _NEGATED
            if not isinstance(value, str):
                raise PolicyError(
                    f"{self._key} may have several values: {self._name} needs one of {_SETS}"
                )
            return self._is_met(value)
        several = [value] if isinstance(value, str) else list(value or [])
        # Without a value, "for all" is true and "for any" is false, as in logic.
        return (all if self._quantifier == "ForAllValues" else any)(map(self._is_met, several))

    def _is_met(self, value: str) -> bool:
        """Compare with every value of the policy: any may match, or none if it is negated."""
        test = _TESTS[_NEGATED.get(self._name, self._name)]
        return any(test(value, wanted) for wanted in self._values) is (self._name not in _NEGATED)


def _equal(value: str, wanted: str) -> bool:
    return value == wanted


def _equal_ignoring_case(value: str, wanted: str) -> bool:
    return value.casefold() == wanted.casefold()


def _like(value: str, pattern: str) -> bool:
    return _is_like(value, pattern)


def _arn_like(value: str, pattern: str) -> bool:
    """Compare each part of two ARNs by itself; ArnEquals does the same."""
    parts, patterns = _arn(value), _arn(pattern)
    return len(parts) == len(patterns) and all(map(_is_like, parts, patterns))


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": _equal,
    "StringEqualsIgnoreCase": _equal_ignoring_case,
    "StringLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": _equal_ignoring_case,
}
_NEGATED: Mapping[str, str] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}
"""Operators that are true where the other one is false, and where the key has no value."""

_ARN_PARTS = 6


def _arn(value: str) -> list[str]:
    """Split an ARN at its five colons; the resource may contain more of them."""
    return value.split(":", _ARN_PARTS - 1)


def _is_resource(resource: str, pattern: str) -> bool:
    """Compare a resource with one of a policy, whose wildcards end with their part of the ARN."""
    if "${" in pattern:
        raise PolicyError(f"policy variables are unknown here: {pattern}")
    return pattern == "*" or _arn_like(resource, pattern)


def _is_like(value: str, pattern: str, ignore_case: bool = False) -> bool:
    return bool(_expression(pattern, ignore_case).fullmatch(value))


@cache
def _expression(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    """Translate ``*`` and ``?``; no other character is special, not even a bracket."""
    text = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else re.NOFLAG))


def _listed(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]
