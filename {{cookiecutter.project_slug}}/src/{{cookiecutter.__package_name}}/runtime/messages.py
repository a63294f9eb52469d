"""What a user is told about a failure, without values from the data."""

import re
import traceback
from collections.abc import Iterable
from pathlib import Path

_SECRET = re.compile("token|password|secret|key", re.IGNORECASE)


class JobError(Exception):
    """A failure that the job expects; its text is shown to the user unchanged.

    The text reaches the log and ``ExitMessage``: it names files and columns, never values.
    """


class RejectedError(Exception):
    """An argument with which the job cannot start; nothing was changed."""

    def __init__(self, option: str, reason: object) -> None:
        super().__init__(f"argument --{option}: {reason}")


def is_secret(name: str) -> bool:
    """Whether the value of an option or variable of this name must not be shown."""
    return bool(_SECRET.search(name))


def expected_reason(error: BaseException, outputs: Iterable[Path]) -> str | None:
    """Why a job failed, if its error says so without quoting values from the data."""
    if isinstance(error, JobError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        # The error of a full disk does not name the file.
        return f"{error.filename or ' and '.join(map(str, outputs))}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "out of memory"
    return None


def raised_at(error: BaseException) -> str:
    """The type of an error and the line that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def one_line(text: str) -> str:
    """Escape line breaks, control sequences and invalid UTF-8, which file names may contain."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
