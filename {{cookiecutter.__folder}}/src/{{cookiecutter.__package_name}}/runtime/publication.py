"""Publishes the outputs of a job: each is complete, or has no record and is rejected by readers.

A job writes to a staging folder inside each output. At the end, its files are moved into the
output, and the record is moved last. Existing files are never replaced or removed.

Several hosts may share one output folder, as in the local mode of the SageMaker SDK. Each host has
its own staging folder, which is named after the host and locked while the process is alive. A
process ID could not replace the lock, because it is 1 in every container.
"""

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from stat import S_ISREG

from .container import replace_path
from .files import digest_files, list_files
from .messages import JobError, RejectedError
from .records import Record, record_names

_STAGING = ".incomplete-"
_REMOVE_ATTEMPTS = 10
"""For a staging folder to which a stopped job is still writing."""


class Publication:
    """The outputs of a job on this host."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.folders = folders
        """The folder of each output, by option."""
        self.lock = threading.RLock()
        """Held while outputs are changed. The thread that ends the job never releases it."""
        self._staging: dict[str, _StagingFolder] = {}

    def check(self, record: Record) -> None:
        """Check that the outputs can be written. Nothing is changed.

        Raises:
            RejectedError: An output contains files that other hosts of the job have not written.
        """
        for option, folder in self.folders.items():
            _check_unused(option, folder, record)

    def begin(self, record: Record) -> dict[str, Path]:
        """Create the staging folders, and return them by option.

        Raises:
            RejectedError: See ``check``; or another job is writing to an output.
        """
        with self.lock:
            for option, folder in self.folders.items():
                folder.mkdir(parents=True, exist_ok=True)
                self._staging[option] = _StagingFolder(option, folder, record.host)
                _check_unused(option, folder, record)  # a job may have published meanwhile
                self._staging[option].clear()
            return {option: staging.path for option, staging in self._staging.items()}

    def publish(self, record: Record) -> None:
        """Move all files from the staging folders into the outputs, and finally the records.

        Raises:
            JobError: A file cannot be published or exists in the output, and nothing was moved; or
                another job or user wrote a file during the move, and its output has no record.
        """
        records = {
            staging: replace(record, files=digest_files(staging.files()))
            for staging in self._staging.values()
        }
        self.lock.acquire()
        for staging, complete in records.items():
            (staging.path / record.name).write_text(complete.to_json(), encoding="utf-8")
            staging.check_targets(complete)
        for staging, complete in records.items():
            staging.move(complete.files)
        for staging in records:
            staging.move([record.name])

    def hide_staging(self, text: str) -> str:
        """Replace staging folders in a text by their outputs, which are what users know."""
        for staging in self._staging.values():
            text = replace_path(text, staging.path, staging.output)
        return text

    def discard(self) -> None:
        """Remove the staging folders."""
        for staging in self._staging.values():
            staging.remove()
        self._staging.clear()


class _StagingFolder:
    """The folder inside an output to which this host writes before it publishes."""

    def __init__(self, option: str, output: Path, host: str) -> None:
        self.path = output / f"{_STAGING}{host}"
        self.output = output
        self._descriptor = self._claim(option)

    def clear(self) -> None:
        """Remove the files of a job that was killed."""
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def files(self) -> dict[str, Path]:
        """Return the files to publish, by name relative to the output.

        Raises:
            JobError: A name is reserved or not UTF-8, or a file is not a regular file.
        """
        files = list_files(self.path)
        for name in record_names(files):
            raise JobError(f"{self.output / name}: this name is reserved for records")
        for name, path in files.items():
            if not S_ISREG(path.lstat().st_mode):
                raise JobError(f"{self.output / name}: only regular files can be published")
        return files

    def check_targets(self, record: Record) -> None:
        """Check that the output has no files of the same names, and no record of another job."""
        for name in record_names(path.name for path in self.output.iterdir()):
            if not _is_from_other_host(self.output / name, record):
                reason = "another job has published here in the meantime"
                raise JobError(f"{self.output / name}: {reason}")
        for name in record.files:
            if path := _find_obstacle(self.output, name):
                raise JobError(_written_meanwhile(path))

    def move(self, names: Iterable[str]) -> None:
        """Move files into the output.

        Raises:
            JobError: Another job or user has written a file of this name.
        """
        for name in names:
            target = self.output / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _move(self.path / name, target)
            except FileExistsError as error:
                raise JobError(_written_meanwhile(target)) from error

    def remove(self) -> None:
        """Remove the folder and release its lock."""
        for _ in range(_REMOVE_ATTEMPTS):
            shutil.rmtree(self.path, ignore_errors=True)
            if not self.path.exists():
                break
        os.close(self._descriptor)

    def _claim(self, option: str) -> int:
        """Create the folder, or take over that of a killed job, and lock it.

        Raises:
            RejectedError: Another job has locked the folder, or may have it open.
        """
        while True:
            created = _create(self.path)
            try:
                descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except FileNotFoundError:  # another job has just removed it
                continue
            locked = _lock(descriptor)
            owned = created if locked is None else locked
            if owned and _is_open_at(self.path, descriptor):
                return descriptor
            os.close(descriptor)
            if not owned:
                advice = f"; if none is, remove {self.path}" if locked is None else ""
                raise RejectedError(option, f"another job is writing to {self.output}{advice}")


def _written_meanwhile(path: Path) -> str:
    return f"{path} was written by another job or user in the meantime"


def _check_unused(option: str, folder: Path, record: Record) -> None:
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise RejectedError(option, f"{folder} is a file, but a folder is required")
    own = f"{_STAGING}{record.host}"
    names = sorted(path.name for path in folder.iterdir() if path.name != own)
    if foreign := _find_foreign(folder, names, record):
        raise RejectedError(option, f"{folder} already holds {foreign}: name a new folder")


def _find_foreign(folder: Path, names: list[str], record: Record) -> str | None:
    """Return a name in an output that does not come from another host of the same job.

    Before a host has published its record, its files cannot be distinguished from those of other
    jobs. If there is a record or staging folder of another host, files are therefore accepted. If
    they come from another job, readers reject them, because no record lists them.
    """
    if record.hosts > 1:
        records = record_names(names)
        for name in records:
            if not _is_from_other_host(folder / name, record):
                return name
        if records or any(name.startswith(_STAGING) for name in names):
            return None
    return next(iter(names), None)


def _is_from_other_host(file: Path, record: Record) -> bool:
    """Return whether a record is that of another host of the same job."""
    try:
        other = Record.from_json(file.name, file.read_bytes())
    except JobError:
        return False
    return other.host != record.host and other.is_same_job(record)


def _create(folder: Path) -> bool:
    """Create a folder. Return ``False`` if it exists."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _lock(descriptor: int) -> bool | None:
    """Lock a folder until it is closed.

    Return ``False`` if another process has locked it, and ``None`` if the file system does not
    support locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_open_at(path: Path, descriptor: int) -> bool:
    """Return whether the open folder is still the one at this path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _find_obstacle(output: Path, name: str) -> Path | None:
    """Return what prevents writing a file: the file itself, or a file at the path of a folder."""
    target = output / name
    if os.path.lexists(target):
        return target
    for folder in takewhile(lambda parent: parent != output, target.parents):
        if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
            return folder
    return None


def _move(source: Path, target: Path) -> None:
    """Move a file within a file system. Unlike ``Path.rename``, never replace another file."""
    try:
        target.hardlink_to(source)
    except FileExistsError:
        raise
    except OSError as error:  # a file system without hard links
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        source.rename(target)
    else:
        source.unlink()
