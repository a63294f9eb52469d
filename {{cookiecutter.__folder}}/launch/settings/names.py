"""The names that ``launch`` takes, and advice about one that it does not know."""

import difflib
from collections.abc import Iterable

VERBS = ("again", "clean", "compare", "deploy", "list", "logs", "pipeline", "show", "stop")
"""What ``python -m launch`` takes for something else than a job."""


def similar(name: str, known: Iterable[str]) -> str:
    """Return a question about the names that a user may have meant; empty if none is similar."""
    found = difflib.get_close_matches(name, list(known), n=2)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def advice(name: str, known: Iterable[str]) -> str:
    """Return ``similar``, or else all names that there are."""
    names = list(known)
    return similar(name, names) or f"; choose from {', '.join(names) or '(there is none)'}"
