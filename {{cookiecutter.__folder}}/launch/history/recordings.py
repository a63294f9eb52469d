"""The recorded launches on this machine, in ``out/.launches/<name>/``.

    request.json   written at the start: what was launched, without secrets
    log            what the hosts print, as they print it
    stop           exists once the launch is asked to stop
    end.json       written at the end

Files are only added. The launcher holds a lock on ``.lock`` while it lives, so that a launch
without an end that nobody holds was killed. Whatever cannot be written is left out: it never
fails a job.
"""

import fcntl
import hashlib
import json
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from ..run import ExitCode, Run
from ..settings import project
from ..settings.addresses import is_s3
from ..settings.project import LaunchError
from ..storage import folders
from .entries import Entry

LAST_LINES = 20
"""How many of the last lines of the log are stored in ``end.json``."""

_LOG_BYTES = 20_000_000
"""Maximum size of a log in characters; the rest is only printed."""

_REQUEST, _LOG, _STOP, _END, _LOCK = "request.json", "log", "stop", "end.json", ".lock"

_NO_LOG = "the job continues, but its log is not recorded"
_NOT_LISTED = "the job continues, but is not listed"

_KILLED = (
    "its launch was killed before the end: `{command} clean` removes what it left on this machine"
)


class Recording:
    """Writes the history of one launch."""

    def __init__(self, name: str, facts: Callable[[], Mapping[str, Any]]) -> None:
        self._folder = root() / name
        self._facts = facts
        self._lock: int | None = None
        self._log: IO[str] | None = None
        self._room = _LOG_BYTES
        self._last: deque[str] = deque([""], maxlen=LAST_LINES + 1)
        self._writing = threading.Lock()

    def begin(self) -> None:
        """Write the facts of a launch that was accepted."""
        with self._optional(self._folder, _NOT_LISTED, self.close):
            self._folder.mkdir(parents=True)
            self._lock = os.open(self._folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            started = {"started": _now(), **self._facts()}
            _write(self._folder / _REQUEST, json.dumps(started, indent=1, default=str))
            self._log = (self._folder / _LOG).open("a", encoding="utf-8", errors="replace")

    def write(self, text: str) -> None:
        """Add output of the hosts; safe to call from several threads."""
        with self._writing:
            *ended, rest = (self._last[-1] + text).splitlines(keepends=True) or [""]
            if rest.endswith(("\n", "\r")):
                ended, rest = [*ended, rest], ""
            self._last.pop()
            self._last += [*(line.rstrip() for line in ended), rest]
            if self._log is None:
                return
            with self._optional(self._folder / _LOG, _NO_LOG, self._close_log):
                self._room -= len(text)
                if self._room < 0:
                    text = "\nthe log exceeds the size limit; the launch only printed the rest\n"
                self._log.write(text)
                self._log.flush()
                if self._room < 0:
                    self._close_log()

    @property
    def stop_requested(self) -> bool:
        """Whether the launch was asked to stop."""
        return self._lock is not None and (self._folder / _STOP).exists()

    def end(self, run: Run) -> Run:
        """Write how the launch has ended, and return its run."""
        if self._lock is not None:
            with self._optional(self._folder, _NOT_LISTED, self.close):
                end = {
                    "ended": _now(),
                    "status": run.status,
                    "outputs": dict(run.outputs),
                    "message": run.exit_message,
                    "exit_code": run.exit_code,
                    "metric": run.metric,
                    "last_lines": [line for line in self._last if line][-LAST_LINES:],
                }
                _write(self._folder / _END, json.dumps(end, indent=1))
        return run

    def close(self) -> None:
        """Release the lock, which shows that the launcher has ended."""
        self._close_log()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _close_log(self) -> None:
        if self._log is not None:
            with suppress(OSError):
                self._log.close()
            self._log = None

    @contextmanager
    def _optional(
        self, path: Path, consequence: str, give_up: Callable[[], None]
    ) -> Iterator[None]:
        """Let the job continue if a file cannot be written, and print this once.

        Args:
            path: What is written.
            consequence: Begins the message.
            give_up: Makes sure that nothing is written again.
        """
        try:
            yield
        except OSError as error:
            give_up()
            reason = f"{path} cannot be written: {error.strerror}: make room there"
            print(f"{consequence}: {reason}", file=sys.stderr)


@contextmanager
def recording(name: str, facts: Callable[[], Mapping[str, Any]]) -> Iterator[Recording]:
    """Record a launch on this machine, and the exception that ends it, if any.

    Args:
        name: Of the launch.
        facts: Returns what was launched, without secrets: ``job``, ``run``, ``backend``,
            ``commit``, ``image``, ``code``, ``inputs`` with their ``content``, ``outputs``,
            ``request``; the ``words`` that repeat it, and the options that are ``hidden`` in them;
            and for a run of the pipeline the names of its ``steps``, by job.
    """
    record = Recording(name, facts)
    try:
        yield record
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        status = "Stopped" if interrupted else "Failed"
        message = "its launch was interrupted" if interrupted else str(error)
        record.end(Run(name, status, {}, message, ExitCode.FAILED))
        raise
    finally:
        record.close()


def root() -> Path:
    """Return the folder that has a folder for each launch."""
    return project.OUT / ".launches"


def names() -> list[str]:
    """Return the names of the launches on this machine, the newest first."""
    try:
        names = [entry.name for entry in os.scandir(root()) if entry.is_dir()]
    except OSError:
        return []
    # A name ends with the second in which it was made and six random characters.
    return sorted(names, key=lambda name: (name[-22:-7], _begun(name)), reverse=True)


def _begun(name: str) -> int:
    """Return the start time of a launch in nanoseconds; 0 if it has none."""
    with suppress(OSError):
        return (root() / name / _REQUEST).stat().st_mtime_ns
    return 0


def read(name: str) -> Entry | None:
    """Return a launch on this machine; ``None`` if there is none or it cannot be read."""
    folder = root() / name
    request = _load(folder / _REQUEST)
    try:
        started = datetime.fromisoformat(request["started"])
        end = _load(folder / _END)
        alive = not end and _is_alive(folder)
        end = end or _load(folder / _END)  # it may have ended just now
        ended = datetime.fromisoformat(end["ended"]) if end else None
        status = end.get("status") or ("InProgress" if alive else "Failed")
        killed = "" if alive else _KILLED.format(command=project.COMMAND)
        if alive and (folder / _STOP).exists():
            status = "Stopping"
        if not end and not alive:
            ended = datetime.fromtimestamp(_last_change(folder), UTC)
        return Entry(
            name=name,
            job=str(request["job"]),
            run=str(request["run"]),
            backend=str(request["backend"]),
            status=status,
            started=started,
            ended=ended,
            instance=str(request.get("instance", "")),
            commit=str(request.get("commit", "")),
            outputs=dict((end if ended else request).get("outputs") or {}),
            message=str(end.get("message", killed)),
            folder=folder,
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def request(entry: Entry) -> dict[str, Any]:
    """Return the facts recorded at the start of a launch, without secrets."""
    return _load(entry.folder / _REQUEST) if entry.folder else {}


def end(entry: Entry) -> dict[str, Any]:
    """Return the facts recorded at the end of a launch; empty if there are none."""
    return _load(entry.folder / _END) if entry.folder else {}


def last_lines(entry: Entry) -> list[str]:
    """Return the last lines that the hosts of a launch have printed."""
    if lines := end(entry).get("last_lines"):
        return [str(line) for line in lines]
    with suppress(OSError), log_file(entry).open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 10_000))
        return log.read().decode(errors="replace").splitlines()[-LAST_LINES:]
    return []


def log_file(entry: Entry) -> Path:
    """Return the file with what the hosts of a launch print."""
    return (entry.folder or root()) / _LOG


def request_stop(entry: Entry) -> None:
    """Ask the launcher of a launch on this machine to stop it.

    Raises:
        OSError: The request to stop cannot be written.
    """
    if entry.folder:
        (entry.folder / _STOP).touch()


def content(address: str) -> str:
    """Return a digest of the names, sizes and times of a local input's files.

    It is empty for other addresses. The content is not read, because that could take long.
    """
    if is_s3(address):
        return ""
    try:
        files = folders.scan(Path(address))
    except LaunchError:
        return ""
    listed = [(file.name, file.size, file.mtime_ns) for file in files]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _load(file: Path) -> dict[str, Any]:
    """Return the content of a file; nothing if it does not exist, or is being written."""
    with suppress(OSError, ValueError):
        read = json.loads(file.read_bytes())
        if isinstance(read, dict):
            return read
    return {}


def _write(file: Path, text: str) -> None:
    """Write a file atomically."""
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.rename(file)


def _is_alive(folder: Path) -> bool:
    """Return whether the launcher holds its lock; concurrent checks do not interfere."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # unknown on a file system without locks
        return True
    finally:
        os.close(lock)
    return False


def _last_change(folder: Path) -> float:
    times = []
    for name in (_REQUEST, _LOG):
        with suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return max(times, default=0.0)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
