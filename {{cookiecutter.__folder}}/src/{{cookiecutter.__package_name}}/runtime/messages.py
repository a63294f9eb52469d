"""Error messages of jobs, which do not contain values from the data."""

import errno
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

_SYSTEM_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOMEM),
)
"""Errors of a disk, a network or memory, which are not bugs of a handler."""

_SECRET = re.compile("passw|passphrase|passcode|pwd|secret|credential|authorization")
_SECRET_WORD = re.compile(r"\w*tokens?|(api|access|account|auth|private|signing|ssh)?keys?")
_PUBLIC_WORD = re.compile(
    "max|min|num|number|count|limit|length|size|columns?|fields?|sort|partition"
)
"""Words in names of values that need not be hidden: ``max_tokens``, ``key_column``."""


class JobError(Exception):
    """An expected failure, such as invalid data. Users see its text unchanged.

    The text appears in the log and in ``ExitMessage``: name files and columns, but no values.
    """


class RejectedError(Exception):
    """An argument was rejected before the job started; nothing was changed."""

    def __init__(self, option: str, reason: object) -> None:
        super().__init__(f"argument --{option}: {reason}")


def is_secret(name: str) -> bool:
    """Return whether the value of an option or variable with this name must be hidden."""
    if _SECRET.search(name.lower()):
        return True
    words = re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", name)
    words = [word.lower() for word in words]
    return any(map(_SECRET_WORD.fullmatch, words)) and not any(map(_PUBLIC_WORD.fullmatch, words))


def expected_reason(error: BaseException, outputs: Iterable[Path]) -> str | None:
    """Return the reason for an error that is not a bug, without values from the data."""
    if isinstance(error, JobError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _SYSTEM_ERRORS:
        # If the disk is full, the error does not name the file.
        return f"{error.filename or ' and '.join(map(str, outputs))}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "out of memory"
    return None


def error_location(error: BaseException) -> str:
    """Return the type of an error and the line of the repository's code that caused it.

    This is the innermost line in ``src/`` or ``entrypoints/`` outside of this package. The text of
    an error is left out because it may quote data, except for an ``OSError``, which names a file.
    """
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if _is_own(frame.filename)), frames[-1])
    location = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(map(str, filter(None, [location, error.filename, error.strerror])))
    return location


def _is_own(filename: str) -> bool:
    """Return whether a file belongs to the repository, but not to this package."""
    runtime = Path(__file__).resolve().parent
    main = getattr(sys.modules["__main__"], "__file__", None)
    folders = [runtime.parents[1], *([Path(main).resolve().parent] if main else [])]
    file = Path(filename).resolve()
    return (
        any(file.is_relative_to(folder) for folder in folders)
        and not file.is_relative_to(runtime)
        and "site-packages" not in file.parts
    )


def one_line(text: str) -> str:
    """Escape line breaks, control characters and invalid UTF-8, which file names may contain."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
