"""What a user is told about a failure, without values from the data."""

import errno
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

_SURROUNDINGS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOMEM),
)
"""Errors of a disk or a network, which no bug of a handler causes."""

_SECRET = re.compile("passw|passphrase|passcode|pwd|secret|credential|authorization")
_TOKEN = re.compile(r"\w*tokens?|(api|access|account|auth|private|signing|ssh)?keys?")
_ORDINARY = re.compile("max|min|num|number|count|limit|length|size|columns?|fields?|sort|partition")
"""Words beside a token or a key that is none to be hidden: ``max_tokens``, ``key_column``."""


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
    if _SECRET.search(name.lower()):
        return True
    words = re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", name)
    words = [word.lower() for word in words]
    return any(map(_TOKEN.fullmatch, words)) and not any(map(_ORDINARY.fullmatch, words))


def expected_reason(error: BaseException, outputs: Iterable[Path]) -> str | None:
    """Why a job failed, if that is known not to be a bug; it quotes no values from the data."""
    if isinstance(error, JobError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _SURROUNDINGS:
        # The error of a full disk does not name the file.
        return f"{error.filename or ' and '.join(map(str, outputs))}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "out of memory"
    return None


def raised_at(error: BaseException) -> str:
    """The type of an error and the line of the repository's own code that raised it.

    That is the innermost line in ``src/`` or ``entrypoints/``, outside of this package. The text
    of an error may quote the data, except that of an ``OSError``, which names a file.
    """
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if _is_own(frame.filename)), frames[-1])
    place = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(map(str, filter(None, [place, error.filename, error.strerror])))
    return place


def _is_own(filename: str) -> bool:
    """Whether code is the repository's own, and not that of a library or of this package."""
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
    """Escape line breaks, control sequences and invalid UTF-8, which file names may contain."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
