"""The limits of the SageMaker API, as botocore's service model documents them.

botocore itself checks types, minima and missing fields, and leaves the rest to the service.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from . import names
from .project import LaunchError


def check(operation: str, request: Mapping[str, Any]) -> None:
    """Check a request against the limits of an operation, such as ``CreateProcessingJob``.

    Raises:
        LaunchError: A field is unknown or breaks a limit.
    """
    # The service rejects empty arguments, which its model does not say.
    if "" in request.get("AppSpecification", {}).get("ContainerArguments", []):
        raise LaunchError("ContainerArguments: SageMaker does not accept empty arguments")
    shape = _model().operation_model(operation).input_shape
    if problems := list(_problems(request, shape, "")):
        raise LaunchError("; ".join(problems))


@cache
def _model() -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")


def _problems(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Describe each limit of a ``botocore.model.Shape`` that a value breaks."""
    if shape.type_name == "structure":
        for name, member in value.items():
            where = f"{path}.{name}".lstrip(".")
            if name in shape.members:
                yield from _problems(member, shape.members[name], where)
            else:
                yield f"{where}: SageMaker has no such field" + names.similar(name, shape.members)
    elif shape.type_name == "list":
        for index, member in enumerate(value):
            yield from _problems(member, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, member in value.items():
            yield from _problems(key, shape.key, f"{path}.{key}")
            yield from _problems(member, shape.value, f"{path}.{key}")
    yield from _broken_limits(value, shape, path)


def _broken_limits(value: Any, shape: Any, path: str) -> Iterator[str]:
    limits = shape.metadata
    size, unit = (value, "") if isinstance(value, int) else (len(value), " items")
    unit = " characters" if isinstance(value, str) else unit
    if size < limits.get("min", size):
        yield f"{path}: {size}{unit}, SageMaker accepts {limits['min']} or more"
    elif size > limits.get("max", size):
        yield f"{path}: {size}{unit}, SageMaker accepts {limits['max']} or fewer"
    elif value not in limits.get("enum", [value]):
        yield f"{path}: SageMaker does not know {value!r}" + names.similar(value, limits["enum"])
    elif "pattern" in limits and not re.fullmatch(_to_python(limits["pattern"]), value):
        yield f"{path}: {value!r} does not match {limits['pattern']}"


def _to_python(pattern: str) -> str:
    """Rewrite a pattern for ``re``, which has no Unicode categories."""
    return pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", r"\w").replace(r"\p{Z}", r"\s")
