"""Types of command-line options, for the ``type`` argument of ``add_argument``."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from .messages import JobError
from .records import check_output

_MAX_NAMES = 3
"""How many file names a message shows."""


def existing_dir(text: str) -> Path:
    """Convert an argument to the path of an existing folder, which may be empty."""
    path = Path(text)
    if not S_ISDIR(_mode(path, text, "folder")):
        raise ArgumentTypeError(
            f"{text!r} is a file, but a folder is required: name the folder that holds it"
        )
    return path


def existing_file(text: str) -> Path:
    """Convert an argument to the path of a file: its own path, or a folder with no other file.

    SageMaker puts a file into the folder of its channel, so the default of such an option is a
    folder: ``f"{INPUT}/lookup"``. The value is always the path of the file itself.
    """
    path = Path(text)
    mode = _mode(path, text, "file")
    if S_ISREG(mode):
        return path
    if not S_ISDIR(mode):
        raise ArgumentTypeError(f"{text!r} is neither a file nor a folder: name a file")
    try:
        contents = sorted(path.iterdir())
    except OSError as error:
        raise ArgumentTypeError(f"{text!r}: {error.strerror}") from error
    if not contents:
        raise ArgumentTypeError(f"{text!r} is an empty folder, but a file is required: name a file")
    if len(contents) > 1:
        names = ", ".join(file.name for file in contents[:_MAX_NAMES])
        more = ", …" if len(contents) > _MAX_NAMES else ""
        raise ArgumentTypeError(
            f"{text!r} holds more than one file ({names}{more}), "
            "but one file is required: name the file"
        )
    if not contents[0].is_file():
        raise ArgumentTypeError(
            f"{text!r} holds the folder {contents[0].name}, but one file is required: name the file"
        )
    return contents[0]


def finished_output(text: str) -> Path:
    """Convert an argument to the path of a complete output of another job.

    The files are verified against the record of every host. If a file is missing, was added or was
    changed, the argument is rejected. ``JobParser`` does this last, because it reads every file.
    """
    path = existing_dir(text)
    try:
        check_output(path)
    except OSError as error:
        raise ArgumentTypeError(f"{error.filename}: {error.strerror}") from error
    except JobError as error:
        raise ArgumentTypeError(f"{text!r} is not a complete output: {error}") from error
    return path


def _mode(path: Path, text: str, kind: str) -> int:
    """Return the mode of an existing path, which shows whether it is a file or a folder."""
    try:
        return path.stat().st_mode
    except FileNotFoundError as error:
        raise ArgumentTypeError(f"{text!r} does not exist: name an existing {kind}") from error
    except OSError as error:
        raise ArgumentTypeError(f"{text!r}: {error.strerror}") from error


def fraction(text: str) -> float:
    """Convert an argument to a number between 0 and 1, both excluded."""
    value = float(text)
    if not 0 < value < 1:
        raise ArgumentTypeError(f"{text} is not above 0 and below 1")
    return value


def at_least(minimum: int) -> Callable[[str], int]:
    """Return a type that converts an argument to a whole number of at least ``minimum``."""

    def integer(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise ArgumentTypeError(f"{text} is less than {minimum}")
        return value

    return integer
