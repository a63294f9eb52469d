"""The metric that decides whether a pipeline succeeds: a number in a JSON file of an output."""

import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_SHOWN_KEYS = 10


class MetricError(Exception):
    """The file of a metric does not contain the number."""


@dataclass(frozen=True)
class Metric:
    """A number in a JSON file of an output; the pipeline fails unless it is good enough."""

    job: str
    output: str
    """Name of the output channel."""
    file: str
    """Path relative to the output."""
    name: str
    """The keys that lead to the number, separated by dots."""
    limit: float
    lower_is_better: bool
    """Whether ``limit`` is a maximum instead of a minimum."""

    @property
    def option(self) -> str:
        """The name of the option that sets another limit, such as ``min_score``."""
        return f"{'max' if self.lower_is_better else 'min'}_{self.name.replace('.', '_')}"

    @property
    def complaint(self) -> str:
        """The text for a number that does not meet the limit."""
        return "is above" if self.lower_is_better else "is below"

    def accepts(self, value: float) -> bool:
        """Return whether a number is good enough."""
        return value <= self.limit if self.lower_is_better else value >= self.limit

    def describe(self, value: float) -> str:
        """Return a number that meets the limit as text, with the limit."""
        bound = "maximum" if self.lower_is_better else "minimum"
        return f"{self.name} {value} ({bound} {self.limit})"

    def read(self, content: bytes) -> float:
        """Return the number from the content of its file.

        Raises:
            MetricError: The content is not JSON, or has no finite number below the keys.
        """
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise MetricError(f"{self._place} is not JSON: {error}") from error
        path = ""
        for key in self.name.split("."):
            where = f"{path!r} in {self._place}" if path else self._place
            if not isinstance(value, dict):
                raise MetricError(f"{where} is {_kind(value)} instead of an object with {key!r}")
            if key not in value:
                raise MetricError(f"{where} has no key {key!r}; it has {_list(value)}")
            value, path = value[key], f"{path}.{key}".lstrip(".")
        if not _is_finite(value):
            raise MetricError(f"{path!r} in {self._place} is {_kind(value)} instead of a number")
        number: float = value
        return number

    @property
    def _place(self) -> str:
        return f"{self.file} of {self.job}"


def _list(keys: Iterable[str]) -> str:
    """List the first keys of an object."""
    first = list(itertools.islice(keys, _SHOWN_KEYS + 1))
    more = ["..."] if len(first) > _SHOWN_KEYS else []
    return ", ".join([*first[:_SHOWN_KEYS], *more]) or "no keys"


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    """Return the type of a JSON value as text, without the value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinite"
    kinds = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return kinds.get(type(value), "a number")
