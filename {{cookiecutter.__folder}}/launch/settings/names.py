"""The commands of ``launch``, and suggestions for unknown names."""

import difflib
from collections.abc import Iterable

VERBS = ("again", "clean", "compare", "deploy", "list", "logs", "pipeline", "show", "stop")
"""The first arguments of ``python -m launch`` that are commands and not jobs."""


def similar(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" with similar names; empty if there are none."""
    matches = difflib.get_close_matches(name, list(known), n=2)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


def advice(name: str, known: Iterable[str]) -> str:
    """Return ``similar``, or a list of all known names if none is similar."""
    names = list(known)
    return similar(name, names) or f"; choose from {', '.join(names) or '(there is none)'}"
