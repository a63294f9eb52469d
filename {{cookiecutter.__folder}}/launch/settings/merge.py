"""Merges the layers of a request; higher layers have precedence.

Tables are merged key by key, and lists of named items by their names. Any other value of the higher
layer replaces that of the lower one.
"""

import copy
from collections.abc import Mapping
from typing import Any

NAMES: Mapping[str, str] = {"Tags": "Key", "ProcessingInputs": "InputName", "Outputs": "OutputName"}
"""The lists of CreateProcessingJob whose items have names, and the field that holds the name."""


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge layers, the lowest first, into a new table that shares nothing with them.

    Values of a wrong type are kept as they are, for ``field_checks`` to report.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge_tables(merged, layer)
    return merged


def _merge_tables(lower: Mapping[str, Any], higher: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for key, value in higher.items():
        merged[key] = _merge_values(key, merged.get(key), value)
    return merged


def _merge_values(key: str, lower: Any, higher: Any) -> Any:
    if isinstance(lower, dict) and isinstance(higher, dict):
        if key == "ClusterConfig":
            lower = _without_other_choice(lower, higher)
        return _merge_tables(lower, higher)
    if key in NAMES and isinstance(lower, list) and isinstance(higher, list):
        return _merge_named(NAMES[key], lower, higher)
    return copy.deepcopy(higher)


def _merge_named(key: str, lower: list[Any], higher: list[Any]) -> list[Any]:
    merged = list(lower)
    for item in higher:
        index = _index(key, merged, item)
        if index is None:
            merged.append(copy.deepcopy(item))
        else:
            merged[index] = _merge_tables(merged[index], item)
    return merged


def _index(key: str, items: list[Any], item: Any) -> int | None:
    """Return the index of the item with the same name, if any."""
    if not isinstance(item, dict) or key not in item:
        return None
    names = [each.get(key) if isinstance(each, dict) else None for each in items]
    return names.index(item[key]) if item[key] in names else None


def _without_other_choice(lower: Mapping[str, Any], higher: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lower cluster without fields that the higher one replaces with alternatives.

    The API takes either one instance type or several in order of preference, and either one count
    for all types or one for each.
    """
    kept = dict(lower)
    if "InstancePreferences" in higher:
        kept.pop("InstanceType", None)
        if _has_counts(higher["InstancePreferences"]):
            kept.pop("InstanceCount", None)
    elif "InstanceType" in higher:
        kept.pop("InstancePreferences", None)
    if "InstanceCount" in higher and _has_counts(kept.get("InstancePreferences")):
        kept["InstancePreferences"] = [
            {key: value for key, value in each.items() if key != "InstanceCount"}
            for each in kept["InstancePreferences"]
        ]
    return kept


def _has_counts(preferences: Any) -> bool:
    """Return whether all preferences are tables and at least one has its own count."""
    return (
        isinstance(preferences, list)
        and all(isinstance(each, dict) for each in preferences)
        and any("InstanceCount" in each for each in preferences)
    )
