"""Folders on this machine: what they hold, temporary folders, and the claim on an output.

A temporary folder of a launch is locked while its launcher lives, so that the next launch finds
and removes those of launchers that were killed. Nothing else is ever removed or overwritten.
"""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from ..settings.project import LaunchError

_BLOCK = 1024 * 1024
_PREFIX = ".launch-"
_LOCK = ".lock"
_FINISHED = "finished"
"""Folder in a claim that holds a complete result; a claim that has it is never removed."""

_COPY = "copy"
"""Folder in a claim for a result that is being copied from another file system."""

_CLAIMS = "claims"
"""File in a temporary folder: the folders of its launch's claims, one JSON string per line."""

_PROBE_BYTES = 64 * 1024


@dataclass(frozen=True)
class File:
    """A file at the time its folder was scanned."""

    name: str
    """Path relative to the folder, with forward slashes."""
    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Snapshot:
    """The content of a folder; checksums are by the name of the file."""

    folder: Path
    """What was read; it may be a file."""
    files: Sequence[File]
    sha256: Mapping[str, str]
    crc32: Mapping[str, int]

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(file.size for file in self.files)

    @cached_property
    def file_list(self) -> bytes:
        """The size and SHA-256 digest of each file as JSON, in the form of a job's record."""
        files = {
            file.name: {"size": file.size, "sha256": self.sha256[file.name]} for file in self.files
        }
        return json.dumps({"files": files}, indent=1, sort_keys=True).encode()

    @cached_property
    def digest(self) -> str:
        """The SHA-256 digest of ``file_list``: the same for the same content and names only."""
        return hashlib.sha256(self.file_list).hexdigest()


def scan(folder: Path) -> list[File]:
    """List the files in a folder and below it, in the order of their names as UTF-8, as S3 does.

    Symbolic links that stay in the folder are followed. A file is listed like a folder that
    contains only this file.

    Raises:
        LaunchError: The folder cannot be read, or holds what cannot be a job's input: a symbolic
            link that leaves the folder, leads nowhere or in a circle, a name that is not UTF-8,
            or something that is neither file nor folder.
    """
    with readable(folder):
        if folder.is_file():
            status = folder.stat()
            _check_name(folder.name, folder.parent)
            return [File(folder.name, folder, status.st_size, status.st_mtime_ns)]
        if not folder.is_dir():
            if folder.exists():
                raise LaunchError(f"{folder} is neither a file nor a folder: name another")
            raise LaunchError(f"{folder} does not exist: correct the path")
        root = folder.resolve()
        return sorted(_walk(folder, "", (root,)), key=lambda file: file.name.encode())


def snapshot(folder: Path) -> Snapshot:
    """Read all files of a folder, several at a time, and compute their checksums.

    The snapshot of a file equals that of a folder that contains only this file.

    Raises:
        LaunchError: The folder holds no file, a file cannot be read or changes meanwhile, or
            ``scan`` rejects the folder.
    """
    files = scan(folder)
    if not files:
        raise LaunchError(f"{folder} holds no files: name a folder that does")
    stopped = threading.Event()
    size = sum(file.size for file in files)
    with (
        readable(folder),
        progress(f"reading {folder.name}", size) as advance,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        try:
            checksums = list(pool.map(lambda file: _checksums(file, advance, stopped), files))
        finally:
            stopped.set()
    named = list(zip(files, checksums, strict=True))
    return Snapshot(
        folder=folder,
        files=files,
        sha256={file.name: sha256 for file, (sha256, _) in named},
        crc32={file.name: crc32 for file, (_, crc32) in named},
    )


def changes(before: Sequence[File]) -> list[Path]:
    """Return those files of a scan that were changed or removed since."""
    return [file.path for file in before if _status(file.path) != (file.size, file.mtime_ns)]


@contextmanager
def progress(description: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal if the operation takes longer than a second.

    Args:
        description: Text to the left of the bar.
        size: Number of bytes in total.

    Yields:
        A function that adds a number of bytes; any thread may call it.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from tqdm import tqdm

    lock = threading.Lock()
    with tqdm(desc=description, total=size, unit="B", unit_scale=True, delay=1.0) as bar:

        def advance(count: int) -> None:
            with lock:
                bar.update(count)

        yield advance


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Turn errors of reading a folder into ``LaunchError``."""
    try:
        yield
    except OSError as error:
        what = error.filename or folder
        raise LaunchError(f"{what} cannot be read: {error.strerror}") from error


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turn errors of writing a folder into ``LaunchError``."""
    try:
        yield
    except OSError as error:
        raise LaunchError(
            f"{folder} cannot be written: {error.strerror}: make room, or name another folder"
        ) from error


@contextmanager
def temporary(parent: Path) -> Iterator[Path]:
    """Make a folder that is removed at the end, or by a later launch if this one is killed.

    Raises:
        LaunchError: The folder cannot be made.
    """
    with writable(parent):
        parent.mkdir(parents=True, exist_ok=True)
        folder, lock = _make_locked(parent)
    try:
        yield folder
    finally:
        _remove_locked(folder, lock)


def abandoned(folder: Path) -> list[Path]:
    """Find temporary folders whose launcher has ended, in ``folder`` and up to two levels below."""
    candidates = [
        path for level in ("", "*/", "*/*/") for path in folder.glob(f"{level}{_PREFIX}*")
    ]
    return [
        path
        for path in sorted(candidates)
        if not path.is_symlink() and not is_locked(path) and not _is_finished(path)
    ]


def is_locked(folder: Path) -> bool:
    """Return whether a temporary folder belongs to a running launcher."""
    lock = _lock(folder)
    if lock is not None:
        os.close(lock)
    return lock is None and folder.exists()


def remove(folder: Path) -> None:
    """Remove an abandoned temporary folder, and the abandoned claims that are noted in it.

    Does nothing if its launcher is still running. A claim that holds a finished result is kept.

    Raises:
        ValueError: It is not a temporary folder of a launch.
    """
    if not _is_temporary(folder):
        raise ValueError(f"{folder} is not a temporary folder of a launch")
    if (lock := _lock_abandoned(folder)) is None:
        return
    for noted in _noted_claims(folder):
        if _is_temporary(noted) and (claim_lock := _lock_abandoned(noted)) is not None:
            _remove_locked(noted, claim_lock)
    _remove_locked(folder, lock)


def check_new(folder: Path) -> None:
    """Check that an output folder does not exist yet, or is empty.

    Raises:
        LaunchError: It is not, or it can never be an output.
    """
    finished = _claim_folder(folder) / _FINISHED
    with readable(folder):
        if folder.is_mount():
            example = folder / "result"
            raise LaunchError(f"{folder} is a mount point: name a folder in it, such as {example}")
        if folder.is_dir() and any(folder.iterdir()):
            raise LaunchError(f"{folder} already holds files: name another folder")
        if folder.exists() and not folder.is_dir():
            raise LaunchError(f"{folder} is a file: name a folder that does not exist yet")
        if finished.exists():
            raise LaunchError(
                f"{finished} is the result of an earlier launch, which could not be moved to "
                f"{folder}: move it there or somewhere else"
            )


def claim(folder: Path, note: Path | None = None) -> "Claim":
    """Claim an output folder; of several launches at once, exactly one succeeds.

    Args:
        folder: The output folder.
        note: The launch's temporary folder. The claim is noted in it, so that ``remove`` finds
            the claim wherever it is, if the launcher is killed.

    Raises:
        LaunchError: The folder holds files, is another launch's, or cannot be written.
    """
    target = folder.resolve()
    check_new(target)
    place = _claim_folder(target)
    with writable(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        made, lock = _make_locked(target.parent)
        try:
            if note:
                _note_claims(note, (made, place))
            _rename_to_claim(made, place, target)
        except BaseException:
            _remove_locked(made, lock)
            raise
        claimed = Claim(target, place, made, lock)
        try:
            _check_room(place)
            check_new(target)
        except BaseException:
            claimed.release()
            raise
    return claimed


class Claim:
    """An output folder that this launch alone may write, until ``release``.

    It becomes visible with ``publish`` as a whole. A context manager, which calls ``release``.
    """

    def __init__(self, target: Path, place: Path, unused: Path, lock: int) -> None:
        self._target = target
        self._place = place
        self._unused = unused
        self._lock: int | None = lock

    def publish(self, folder: Path) -> None:
        """Move a complete result to the output folder.

        From another file system it is copied, and ``folder`` stays. If publishing fails or is
        interrupted, the result stays in ``folder``, or a message says where it is.

        Args:
            folder: The result, which no other process writes.

        Raises:
            LaunchError: The result could not be moved.
        """
        finished = self._place / _FINISHED
        is_in_claim = False
        try:
            self._take(folder)
            is_in_claim = True
            finished.rename(self._target)
        except BaseException as error:
            location = ""
            if _is_finished(self._place):
                location = f": it is complete in {finished}; move it to another folder"
            elif is_in_claim:
                location = f": it is complete in {self._target}"
            if isinstance(error, OSError):
                reason = _reason(error, folder)
                raise LaunchError(
                    f"the result could not be moved to {self._target} ({reason}){location}"
                ) from error
            if location:
                with suppress(OSError):
                    print(f"publishing the result was interrupted{location}", flush=True)
            raise

    def release(self) -> None:
        """Release the claim. A result that could not be moved to the output folder is kept."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        if _is_finished(self._place):
            os.close(lock)
        else:
            _remove_locked(self._place, lock, self._unused)

    def _take(self, folder: Path) -> None:
        """Move or copy a result into the claim, where it appears as a whole."""
        finished, copy = self._place / _FINISHED, self._place / _COPY
        try:
            folder.rename(finished)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.copytree(folder, copy)
            copy.rename(finished)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _walk(folder: Path, prefix: str, parents: tuple[Path, ...]) -> Iterator[File]:
    """Walk a folder; ``parents`` are the real paths from the root to it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name, path = prefix + entry.name, folder / entry.name
            real = parents[-1] / entry.name
            _check_name(name, folder)
            if entry.is_symlink():
                real = _follow(path, parents)
            if entry.is_dir():
                yield from _walk(path, f"{name}/", (*parents, real))
            elif entry.is_file():
                status = entry.stat()
                yield File(name, path, status.st_size, status.st_mtime_ns)
            else:
                raise LaunchError(f"{path} is neither a file nor a folder: remove it")


def _check_name(name: str, folder: Path) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = ascii(name)
        raise LaunchError(f"{folder}: the name {shown} is not UTF-8: rename it") from error


def _follow(link: Path, parents: tuple[Path, ...]) -> Path:
    """Return the real path behind a symbolic link that may be followed."""
    try:
        real = Path(os.path.realpath(link, strict=True))
    except OSError as error:
        reason = f"{link.readlink()} ({error.strerror})"
        raise LaunchError(f"{link} is a symbolic link to {reason}: remove it") from error
    if not real.is_relative_to(parents[0]):
        raise LaunchError(
            f"{link} is a symbolic link out of the folder, to {real}: replace it with a copy"
        )
    if real in parents:
        raise LaunchError(f"{link} is a symbolic link to a folder around it: remove it")
    return real


def _checksums(
    file: File, advance: Callable[[int], None], stopped: threading.Event
) -> tuple[str, int]:
    """Return SHA-256 and CRC32 of a file."""
    sha256, crc32 = hashlib.sha256(), 0
    with file.path.open("rb", buffering=0) as stream:
        while not stopped.is_set() and (block := stream.read(_BLOCK)):
            sha256.update(block)
            crc32 = zlib.crc32(block, crc32)
            advance(len(block))
    if _status(file.path) != (file.size, file.mtime_ns):
        raise LaunchError(f"{file.path} was changed while it was read: try again")
    return sha256.hexdigest(), crc32


def _status(path: Path) -> tuple[int, int] | None:
    """Return size and time of modification of a file, or nothing if there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _claim_folder(target: Path) -> Path:
    return target.parent / f"{_PREFIX}{target.name}"


def _rename_to_claim(made: Path, place: Path, target: Path) -> None:
    """Give a locked folder the name that claims the target, which one folder only can have.

    A claim is never empty, because it holds its lock, so that no other can be renamed onto it.
    """
    while True:
        try:
            made.rename(place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
        remove(place)
        if place.exists():
            raise LaunchError(f"another launch is writing {target}: name another folder")


def _check_room(folder: Path) -> None:
    """Write and remove a small file; a full disk often shows when the file is synchronised only."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(bytes(_PROBE_BYTES))
        probe.flush()
        os.fsync(probe.fileno())


def _make_locked(parent: Path) -> tuple[Path, int]:
    """Make a temporary folder and lock it, before another launch takes it for an abandoned one."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        if (lock := _lock(folder, is_own=True)) is not None:
            return folder, lock


def _lock(folder: Path, *, is_own: bool = False) -> int | None:
    """Lock a temporary folder, and return the descriptor that keeps the lock while it is open.

    Returns nothing if another process holds the lock. The lock is on a file in the folder, since
    NFS, and with it the home folders of SageMaker Studio, has none on folders. On a file system
    without any, a launch uses its own folders unlocked and takes no other for abandoned.
    """
    path = folder / _LOCK
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    except FileNotFoundError:
        return None
    except OSError:
        if is_own:
            raise
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The previous holder of the lock may have removed the folder.
        is_locked = os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        is_locked = False
    except OSError:
        is_locked = is_own
    if is_locked:
        return descriptor
    os.close(descriptor)
    return None


def _is_temporary(folder: Path) -> bool:
    """Return whether a folder has the name of a temporary folder of a launch."""
    return folder.name.startswith(_PREFIX) and not folder.is_symlink()


def _is_finished(folder: Path) -> bool:
    """Return whether a claim's folder holds a complete result, or cannot be read."""
    try:
        (folder / _FINISHED).lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _lock_abandoned(folder: Path) -> int | None:
    """Lock a temporary folder that may be removed; return nothing for any other."""
    lock = _lock(folder)
    # Its launcher may have published until it ended, so the result is looked for afterwards.
    if lock is not None and _is_finished(folder):
        os.close(lock)
        return None
    return lock


def _note_claims(note: Path, claims: Sequence[Path]) -> None:
    """Note in a launch's temporary folder which claims a killed launch may leave elsewhere."""
    with (note / _CLAIMS).open("a", encoding="utf-8") as stream:
        stream.writelines(f"{json.dumps(str(claim))}\n" for claim in claims)


def _noted_claims(folder: Path) -> list[Path]:
    """Return the claims that are noted in a temporary folder."""
    claims = []
    with suppress(OSError):
        for line in (folder / _CLAIMS).read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):  # a line that was being written
                claims.append(Path(str(json.loads(line))))
    return claims


def _reason(error: OSError, folder: Path) -> str:
    """Return why a result could not be published."""
    if isinstance(error, shutil.Error):
        # One entry for each file that could not be copied: source, target and reason.
        source, _, reason = error.args[0][0]
        name = Path(source).relative_to(folder)
        return f"{name}: {reason.partition('] ')[2].partition(':')[0] or reason}"
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
        return "files appeared there while the job ran"
    return error.strerror or str(error)


def _remove_locked(folder: Path, lock: int, unused: Path | None = None) -> None:
    """Remove a temporary folder that this process has locked.

    It is renamed first, to ``unused`` or another free name, so that a claim's name is free
    for another launch at once. The lock ends before the folder is removed: NFS cannot remove a
    folder that holds an open file.
    """
    with suppress(OSError):
        folder = folder.rename(unused or folder.with_name(f"{_PREFIX}{secrets.token_hex(8)}"))
    os.close(lock)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        # A job may have left folders without write permission.
        for path, names, _ in os.walk(folder):
            for child in (Path(path, name) for name in names):
                if not child.is_symlink():
                    with suppress(OSError):
                        child.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)
