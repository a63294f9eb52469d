"""Finds the versions of what a job has imported."""

import platform
import re
import sys

_MODULE = re.compile(r"^\w+(?=[/.])", re.MULTILINE)
"""The first part of a path in the ``RECORD`` of a distribution."""


def imported_versions() -> dict[str, str]:
    """The versions of Python and of every distribution that has been imported."""
    import importlib.metadata

    imported = {name.partition(".")[0] for name in sys.modules}
    # Several times as fast as packages_distributions() of importlib.metadata.
    names = {
        distribution.name
        for distribution in importlib.metadata.distributions()
        if imported.intersection(_MODULE.findall(distribution.read_text("RECORD") or ""))
    }
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in sorted(names)
    }
