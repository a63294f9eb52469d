"""The limits of the SageMaker API, as botocore's service model documents them.

botocore itself checks types, minima and missing fields, and leaves the rest to the service.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..settings import names
from ..settings.project import LaunchError
from .service_model import Shape, input_shape

Path = tuple[str | int, ...]
"""Where a value is in a request: keys of tables, and indexes of lists from 0."""


class Problem(NamedTuple):
    """What is wrong with a value of a request."""

    path: Path
    text: str


def check(operation: str, request: Mapping[str, Any]) -> None:
    """Check a request, or a part of one, against the limits of an operation.

    Args:
        operation: Such as ``CreateProcessingJob``.
        request: Its arguments; required ones may be missing.

    Raises:
        LaunchError: A field is unknown or breaks a limit.
    """
    # The service rejects empty arguments, but its model does not document this.
    if "" in request.get("AppSpecification", {}).get("ContainerArguments", []):
        raise LaunchError("ContainerArguments: SageMaker does not accept empty arguments")
    if broken := problems(operation, request):
        raise LaunchError("; ".join(f"{path_text(path)}: {text}" for path, text in broken))


def problems(operation: str, request: Mapping[str, Any]) -> list[Problem]:
    """Return each unknown field, wrong type and broken limit of a request or of a part of one."""
    return list(_problems(request, input_shape(operation), ()))


def missing(operation: str, request: Mapping[str, Any]) -> list[Problem]:
    """Return the missing fields of a request that has no other problems."""
    return list(_missing(request, input_shape(operation), ()))


def path_text(path: Path) -> str:
    """Return a path as text, such as ``Tags[0].Key``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _problems(value: Any, shape: Shape, path: Path) -> Iterator[Problem]:
    """Describe how a value violates a shape."""
    if wrong_type := _wrong_type(value, shape, path):
        yield Problem(path, wrong_type)
        return
    if shape.type_name == "structure":
        for name, member in value.items():
            if name in shape.members:
                yield from _problems(member, shape.members[name], (*path, name))
            else:
                advice = names.advice(name, shape.members)
                yield Problem((*path, name), f"there is no such field{advice}")
    elif shape.type_name == "list":
        for index, member in enumerate(value):
            yield from _problems(member, shape.member, (*path, index))
    elif shape.type_name == "map":
        for key, member in value.items():
            yield from _problems(key, shape.key, (*path, key))
            yield from _problems(member, shape.value, (*path, key))
    for text in _broken_limits(value, shape):
        yield Problem(path, text)


def _wrong_type(value: Any, shape: Shape, path: Path) -> str:
    """Return a message if a value has the wrong type; empty otherwise."""
    match shape.type_name:
        case "structure" | "map":
            return "" if isinstance(value, Mapping) else "this must be a table"
        case "list":
            of_tables = shape.member.type_name == "structure"
            items = f"a list of tables, [[…{path_text(path)}]] in TOML" if of_tables else "a list"
            return "" if isinstance(value, list | tuple) else f"this must be {items}"
        case "boolean":
            return "" if isinstance(value, bool) else "this must be true or false, without quotes"
        case "integer" | "long":
            whole = isinstance(value, int) and not isinstance(value, bool)
            return "" if whole else "this must be a whole number, without quotes"
        case _:
            return "" if isinstance(value, str) else "this must be text in quotes"


def _broken_limits(value: Any, shape: Shape) -> Iterator[str]:
    limits = shape.traits
    if isinstance(value, bool):
        return
    size, unit = (value, "") if isinstance(value, int) else (len(value), " items")
    unit = " characters" if isinstance(value, str) else unit
    if size < limits.get("min", size):
        yield f"{size}{unit}, SageMaker accepts {limits['min']} or more"
    elif size > limits.get("max", size):
        yield f"{_short(size)}{unit}, SageMaker accepts {limits['max']} or fewer"
    elif value not in limits.get("enum", [value]):
        yield f"the installed botocore does not know {value!r}{_enum_advice(value, limits['enum'])}"
    elif "pattern" in limits and not re.fullmatch(_to_python(limits["pattern"]), value):
        yield f"{value!r} does not match {limits['pattern']}"


def _enum_advice(value: str, known: Sequence[str]) -> str:
    """Suggest similar names, or an upgrade if the name is newer than botocore."""
    return names.similar(value, known) or "; if it is new, run `make upgrade`"


def _short(number: int) -> str:
    digits = str(number)
    return digits if len(digits) < 20 else f"{digits[:10]}… ({len(digits)} digits)"


def _missing(value: Any, shape: Shape, path: Path) -> Iterator[Problem]:
    if shape.type_name == "structure":
        for name in shape.required_members:
            if name not in value:
                yield Problem(path, f"{name} is missing")
        for name, member in value.items():
            yield from _missing(member, shape.members[name], (*path, name))
    elif shape.type_name == "list":
        for index, member in enumerate(value):
            yield from _missing(member, shape.member, (*path, index))


_TO_PYTHON = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{Z}": r"\s",
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010FFFF",
}


def _to_python(pattern: str) -> str:
    """Rewrite a pattern for ``re``, which has no Unicode categories and no surrogates."""
    for theirs, ours in _TO_PYTHON.items():
        pattern = pattern.replace(theirs, ours)
    return pattern
