"""Lists the files below a folder and computes their digests."""

import fnmatch
import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from .cpu_limit import cpus
from .messages import JobError


@dataclass(frozen=True)
class FileDigest:
    """The size and digest that identify the content of a file."""

    size: int
    """In bytes."""
    sha256: str
    """In hexadecimal digits."""


def files_below(path: Path, pattern: str) -> list[Path]:
    """Return the files and folders below a folder whose names match, in the order of S3.

    Raises:
        OSError: A folder cannot be read. ``Path.rglob`` would ignore that.
        JobError: A name is not UTF-8, which S3 requires.
    """
    return _in_s3_order(
        path,
        (
            Path(parent, name)
            for parent, folders, names in os.walk(path, onerror=_raise)
            for name in fnmatch.filter([*folders, *names], pattern)
        ),
    )


def list_files(folder: Path) -> dict[str, Path]:
    """Return everything below a folder except folders, by relative name, in the order of S3.

    A symbolic link to a folder is listed as a file, because readers do not follow it.

    Raises:
        OSError: A folder cannot be read.
        JobError: A name is not UTF-8.
    """
    paths = (
        path
        for parent, folders, names in os.walk(folder, onerror=_raise)
        for path in (
            *(Path(parent, name) for name in names),
            *filter(Path.is_symlink, (Path(parent, name) for name in folders)),
        )
    )
    return {path.relative_to(folder).as_posix(): path for path in _in_s3_order(folder, paths)}


def digest_file(path: Path) -> str:
    """Return the SHA-256 digest of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_files(files: Mapping[str, Path]) -> dict[str, FileDigest]:
    """Return the digests of several files, by the same names."""
    # Threads can use all CPUs, because hashlib releases the GIL.
    with ThreadPoolExecutor(cpus()) as pool:
        return dict(zip(files, pool.map(_digest, files.values()), strict=True))


def _digest(path: Path) -> FileDigest:
    return FileDigest(path.stat().st_size, digest_file(path))


def _in_s3_order(folder: Path, paths: Iterable[Path]) -> list[Path]:
    try:
        return sorted(paths, key=lambda path: path.relative_to(folder).as_posix().encode())
    except UnicodeEncodeError as error:
        raise JobError(f"{folder / error.object}: the name is not UTF-8") from error


def _raise(error: OSError) -> NoReturn:
    raise error
