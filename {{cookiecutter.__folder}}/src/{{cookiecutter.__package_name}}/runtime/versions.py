"""Finds the versions of the packages that a job has imported."""

import platform
import re
import sys

_MODULE = re.compile(r"^\w+(?=[/.])", re.MULTILINE)
"""The first part of a path in the ``RECORD`` of a distribution."""


def imported_versions() -> dict[str, str]:
    """Return the versions of Python and of every imported distribution."""
    import importlib.metadata

    imported = {name.partition(".")[0] for name in sys.modules}
    # Several times faster than importlib.metadata.packages_distributions().
    names = {
        distribution.name
        for distribution in importlib.metadata.distributions()
        if imported.intersection(_MODULE.findall(distribution.read_text("RECORD") or ""))
    }
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in sorted(names)
    }
