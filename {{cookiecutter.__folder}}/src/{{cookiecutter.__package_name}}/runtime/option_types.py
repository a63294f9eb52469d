"""Types of command-line options, for the ``type`` argument of ``add_argument``."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from .messages import JobError
from .records import check_output

_SHOWN = 3
"""How many names of files a message shows."""


def existing_dir(text: str) -> Path:
    """Type of an option that takes a folder which exists; it may be empty."""
    path = Path(text)
    if not S_ISDIR(_mode(path, text, "folder")):
        raise ArgumentTypeError(
            f"{text!r} is a file, but a folder is required: name the folder that holds it"
        )
    return path


def existing_file(text: str) -> Path:
    """Type of an option that takes one file: its path, or that of a folder that holds only it.

    SageMaker puts a file into the folder of its channel, so the default of the option is a folder:
    ``f"{INPUT}/lookup"``. The value is the path of the file itself.
    """
    path = Path(text)
    mode = _mode(path, text, "file")
    if S_ISREG(mode):
        return path
    if not S_ISDIR(mode):
        raise ArgumentTypeError(f"{text!r} is neither a file nor a folder: name a file")
    try:
        found = sorted(path.iterdir())
    except OSError as error:
        raise ArgumentTypeError(f"{text!r}: {error.strerror}") from error
    if not found:
        raise ArgumentTypeError(f"{text!r} is an empty folder, but a file is required: name a file")
    if len(found) > 1:
        names = ", ".join(each.name for each in found[:_SHOWN])
        raise ArgumentTypeError(
            f"{text!r} holds more than one file ({names}{', …' if len(found) > _SHOWN else ''}), "
            "but one file is required: name the file"
        )
    if not found[0].is_file():
        raise ArgumentTypeError(
            f"{text!r} holds the folder {found[0].name}, but one file is required: name the file"
        )
    return found[0]


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


def _mode(path: Path, text: str, kind: str) -> int:
    """The mode of an existing path, which is a bit pattern that tells files from folders."""
    try:
        return path.stat().st_mode
    except FileNotFoundError as error:
        raise ArgumentTypeError(f"{text!r} does not exist: name an existing {kind}") from error
    except OSError as error:
        raise ArgumentTypeError(f"{text!r}: {error.strerror}") from error


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
