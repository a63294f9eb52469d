"""The shapes of the SageMaker API, as the service model of the installed botocore describes them.

botocore's file describes all operations in several megabytes, and reading it takes longer than the
rest of a plan. The part for one operation is therefore cached in ``out/.cache``.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..settings import project
from ..settings.project import LaunchError

_DESCRIPTIONS = ("documentation",)
"""Fields of a shape that are not kept."""


@dataclass(frozen=True)
class Shape:
    """A type of the API: a structure, a list, a map or a plain value."""

    shapes: Mapping[str, Mapping[str, Any]]
    """All shapes of the operation, by name."""
    traits: Mapping[str, Any]
    """Its type and limits, and where they are described, those of its parts."""

    @property
    def type_name(self) -> str:
        """Such as ``structure``, ``list`` or ``string``."""
        return str(self.traits["type"])

    @cached_property
    def members(self) -> Mapping[str, "Shape"]:
        """The fields of a structure."""
        return {name: self._part(part) for name, part in self.traits.get("members", {}).items()}

    @property
    def required_members(self) -> list[str]:
        """The fields that a structure must have."""
        return list(self.traits.get("required", []))

    @property
    def member(self) -> "Shape":
        """An item of a list."""
        return self._part(self.traits["member"])

    @property
    def key(self) -> "Shape":
        """A key of a map."""
        return self._part(self.traits["key"])

    @property
    def value(self) -> "Shape":
        """A value of a map."""
        return self._part(self.traits["value"])

    def _part(self, reference: Mapping[str, Any]) -> "Shape":
        return Shape(self.shapes, {**self.shapes[reference["shape"]], **reference})


@cache
def input_shape(operation: str) -> Shape:
    """Return the arguments of an operation of SageMaker, such as ``CreateProcessingJob``.

    Raises:
        LaunchError: botocore is not installed.
    """
    file = _model_file()
    state = file.stat()
    version = f"{state.st_mtime_ns:x}-{state.st_size}"
    kept = project.OUT / ".cache" / "api" / f"{operation}-{version}.json"
    with suppress(OSError, ValueError, KeyError):
        return _to_shape(json.loads(kept.read_bytes()))
    extract = _extract(json.loads(gzip.decompress(file.read_bytes())), operation)
    _keep(extract, kept)
    return _to_shape(extract)


def _model_file() -> Path:
    """Return botocore's newest description of SageMaker, without importing botocore."""
    spec = find_spec("botocore")
    for folder in (spec and spec.submodule_search_locations) or []:
        return max(Path(folder, "data", "sagemaker").glob("*/service-2.json.gz"))
    raise LaunchError("botocore is not installed: run `make install`")


def _extract(model: Mapping[str, Any], operation: str) -> dict[str, Any]:
    """Return the name of an operation's input, and all shapes that it consists of."""
    name = str(model["operations"][operation]["input"]["shape"])
    shapes: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each not in shapes:
            shapes[each] = _without_descriptions(model["shapes"][each])
            waiting += [part["shape"] for part in _parts(shapes[each])]
    return {"input": name, "shapes": shapes}


def _parts(traits: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from traits.get("members", {}).values()
    yield from (traits[part] for part in ("member", "key", "value") if part in traits)


def _without_descriptions(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        key: _without_descriptions(item)
        for key, item in value.items()
        if key not in _DESCRIPTIONS or not isinstance(item, str)
    }


def _to_shape(extract: Mapping[str, Any]) -> Shape:
    shapes = extract["shapes"]
    return Shape(shapes, shapes[extract["input"]])


def _keep(extract: Mapping[str, Any], file: Path) -> None:
    """Write the extract if possible; concurrent writers write the same content."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.{id(extract)}")
        new.write_text(json.dumps(extract), encoding="utf-8")
        new.rename(file)
