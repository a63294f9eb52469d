"""Types of command-line options, for the ``type`` argument of ``add_argument``."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from stat import S_ISDIR

from .messages import JobError
from .records import check_output


def existing_dir(text: str) -> Path:
    """Type of an option that takes a folder which exists; it may be empty."""
    path = Path(text)
    try:
        is_dir = S_ISDIR(path.stat().st_mode)
    except FileNotFoundError as error:
        raise ArgumentTypeError(f"{text!r} does not exist") from error
    except OSError as error:
        raise ArgumentTypeError(f"{text!r}: {error.strerror}") from error
    if not is_dir:
        raise ArgumentTypeError(f"{text!r} is a file, but a folder is required")
    return path


def finished_output(text: str) -> Path:
    """Type of an option that takes the complete output of another job.

    The content is verified against the record of every host: a file that is missing, was added or
    was changed is rejected. In a ``JobParser`` this happens last, because it reads every file.
    """
    path = existing_dir(text)
    try:
        check_output(path)
    except OSError as error:
        raise ArgumentTypeError(f"{error.filename}: {error.strerror}") from error
    except JobError as error:
        raise ArgumentTypeError(f"{text!r} is not a complete output: {error}") from error
    return path


def fraction(text: str) -> float:
    """Type of an option that takes a number above 0 and below 1."""
    value = float(text)
    if not 0 < value < 1:
        raise ArgumentTypeError(f"{text} is not above 0 and below 1")
    return value


def at_least(minimum: int) -> Callable[[str], int]:
    """Type of an option that takes a whole number of ``minimum`` or more."""

    def integer(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise ArgumentTypeError(f"{text} is less than {minimum}")
        return value

    return integer
