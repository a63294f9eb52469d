"""What every job shares: what SageMaker Processing tells a container and wants back from it.

Only the standard library is imported at the top: --help and a wrong option need not wait for what
loads slowly.
"""

import argparse
import fnmatch
import json
import logging
import os
import platform
import re
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

INPUT = "/opt/ml/processing/input"
OUTPUT = "/opt/ml/processing/output"
RECORD = "job.json"

_INCOMPLETE = ".incomplete"
_MESSAGE_BYTES = 1024  # the part of the message that ExitMessage shows
_MODULE = re.compile(r"^\w+(?=[/.])", re.MULTILINE)  # the first part of a path in a RECORD
_PROGRESS_SECONDS = 5.0
_SECRET = re.compile("token|password|secret|key", re.IGNORECASE)

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


class JobError(Exception):
    """A failure that the job foresaw; its text is shown to the user as it is.

    The text reaches the log and ``ExitMessage``: it names files and columns, never values.
    """


class JobParser(argparse.ArgumentParser):
    """The parser of an entrypoint: full option names only, defaults shown by ``--help``.

    An option whose default lies under ``INPUT`` is an input channel, one whose default lies under
    ``OUTPUT`` an output channel; the rest of the path is the channel's name. argparse checks a
    default that is a string as if it had been typed, and leaves one that is a ``Path`` alone: the
    first makes an input that must be there, the second one that may be missing.
    """

    def __init__(self, description: str | None) -> None:
        super().__init__(
            description=description,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """Parse a command line, as ``parse_args`` does, and refuse more of what is wrong.

        An unknown name is told before a default that is missing. An output whose folder holds
        another channel is refused: the job could replace it.
        """
        given = argparse.Namespace(**dict.fromkeys(action.dest for action in self._actions))
        _, unknown = self.parse_known_args(argv, given)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        args = self.parse_args(argv)
        self._check_places(vars(args))
        return args

    def error(self, message: str) -> NoReturn:
        message = _one_line(self._hide_secrets(message))
        _leave_message(f"{self.prog}: {message}")
        super().error(message)

    def channels(self, root: str) -> list[str]:
        """The names of the arguments that are channels below ``INPUT`` or ``OUTPUT``."""
        return [
            action.dest for action in self._actions if str(action.default).startswith(f"{root}/")
        ]

    def _check_places(self, args: Mapping[str, Any]) -> None:
        outputs = self.channels(OUTPUT)
        names = [*self.channels(INPUT), *outputs]
        places = {name: Path(os.path.realpath(args[name])) for name in names}
        for output in outputs:
            for name, place in places.items():
                if name != output and place.is_relative_to(places[output]):
                    self.error(f"argument --{output}: {args[output]} holds --{name}")

    def _hide_secrets(self, message: str) -> str:
        """Take out what argparse quotes of secret options, and of those that may be misspelt."""
        secret = False
        for word in sys.argv[1:]:
            name, _, value = word.partition("=") if word.startswith("-") else ("", "", word)
            if name:
                secret = bool(_SECRET.search(name)) or name not in self._option_string_actions
            for shown in (value, repr(value)[1:-1]) if secret and value else ():
                message = message.replace(shown, "***")
        return message


def folder(text: str) -> Path:
    """Type of an option that takes a folder which must exist."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return path


def result(text: str) -> Path:
    """Type of an option that takes what a job wrote: a folder with the record of every host.

    Records come last, so that a job which was killed while it put its outputs in place leaves
    nothing that another job takes for a result.
    """
    path = folder(text)
    try:
        hosts = [json.loads(file.read_bytes())["hosts"] for file in _records(path)]
    except (KeyError, TypeError, ValueError):
        hosts = []
    if not hosts or hosts != [len(hosts)] * len(hosts):
        raise argparse.ArgumentTypeError(f"no job has finished {text!r}: its {RECORD} is missing")
    return path


def fraction(text: str) -> float:
    """Type of an option that takes a number above 0 and below 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and below 1")
    return value


def at_least(minimum: int) -> Callable[[str], int]:
    """Type of an option that takes a whole number of ``minimum`` or more."""

    def integer(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{text} is less than {minimum}")
        return value

    return integer


@dataclass(frozen=True)
class Host:
    """This host among the hosts of the job, of which a job outside SageMaker has one."""

    name: str = "algo-1"
    index: int = 0
    count: int = 1
    sharded: frozenset[Path] = frozenset()
    """Inputs that were dealt out by key, so that each host holds other files."""

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """This host's items of a sequence that is the same on every host."""
        return items[self.index :: self.count]

    def files(self, path: Path, pattern: str) -> list[Path]:
        """This host's files below an input, in an order that does not depend on the machine.

        They are dealt out by size, largest first, so that no host has more to read than another
        by more than one file. The list may be empty where there are more hosts than files.

        Raises:
            JobError: no file of the whole job matches.
        """
        found = sorted(files_below(path, pattern), key=lambda file: -file.lstat().st_size)
        mine = found if path in self.sharded else list(self.share(found))
        if not found and (self.count == 1 or path not in self.sharded):
            raise JobError(f"{path}: no file matches {pattern}")
        return mine


def this_host() -> Host:
    """Read from ``/opt/ml/config`` which host this is and how its inputs were shared out.

    https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
    """
    resources = _read_config("resourceconfig.json")
    if not resources:
        return Host()
    hosts = sorted(resources["hosts"])
    inputs = [
        channel["S3Input"]
        for channel in _read_config("processingjobconfig.json").get("ProcessingInputs", [])
        if "S3Input" in channel
    ]
    return Host(
        name=resources["current_host"],
        index=hosts.index(resources["current_host"]),
        count=len(hosts),
        sharded=frozenset(
            Path(channel["LocalPath"])
            for channel in inputs
            if channel.get("S3DataDistributionType") == "ShardedByS3Key"
        ),
    )


def files_below(path: Path, pattern: str) -> list[Path]:
    """The files below a folder, in the order of S3.

    Raises:
        OSError: a folder cannot be read, which ``Path.rglob`` would pass over.
        JobError: a name is not UTF-8, as all names in S3 are.
    """

    def fail(error: OSError) -> NoReturn:
        raise error

    found = [
        Path(folder, name)
        for folder, folders, names in os.walk(path, onerror=fail)
        for name in fnmatch.filter([*folders, *names], pattern)
    ]
    try:
        return sorted(found, key=lambda file: file.relative_to(path).as_posix().encode())
    except UnicodeEncodeError as error:
        raise JobError(f"{path / error.object}: the name is not UTF-8") from error


def progress(items: Sequence[_T], what: str) -> Iterable[_T]:
    """Iterate with a progress bar on a terminal, and with a log line now and then elsewhere."""
    from tqdm import tqdm

    if sys.stderr.isatty():
        return tqdm(items, desc=what)
    return tqdm(items, desc=what, file=_LogLines(), mininterval=_PROGRESS_SECONDS, ascii=True)


def main(
    parser: JobParser,
    run: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None = None,
) -> None:
    """Run a job: parse its arguments, log them, and publish its outputs whole or not at all.

    ``run`` writes to a folder of its own inside each output, which takes the output's place once
    the job has succeeded, with a record of the job (``job.json``) beside it. On a failure the
    outputs stay as they were, the reason goes to the log and to ``/opt/ml/output/message``, and
    the exit code is 1; on SIGTERM or SIGINT it is 128 plus the signal's number; a wrong argument
    ends with argparse's message and 2.
    """
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    args = parser.parse(argv)
    started = datetime.now(UTC)
    arguments = {
        name: "***" if _SECRET.search(name) else value for name, value in vars(args).items()
    }
    _logger.info("arguments %s", json.dumps(arguments, default=str))
    outputs = parser.channels(OUTPUT)
    publication = _Publication([getattr(args, name) for name in outputs])
    _exit_on_signals(publication)
    try:
        host = this_host()
        staged = zip(outputs, publication.begin(), strict=True)
        run(argparse.Namespace(**{**vars(args), **dict(staged)}))
        record = {
            "job": Path(parser.prog).stem,
            "arguments": arguments,
            "commit": os.environ.get("SOURCE_COMMIT") or None,
            "host": host.name,
            "hosts": host.count,
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": _versions(),
        }
        name = RECORD if host.count == 1 else _host_record(host.name)
        publication.publish(name, json.dumps(record, indent=2, default=str) + "\n")
    except BaseException as error:  # a panic of Polars is no Exception
        publication.lock.acquire()
        _report(error, publication.outputs)
        sys.exit(1)
    finally:
        publication.discard()
    _logger.info("finished in %.1f s", (datetime.now(UTC) - started).total_seconds())


class _Publication:
    """The outputs of a job on their way from invisible to complete."""

    def __init__(self, outputs: Sequence[Path]) -> None:
        self.outputs = outputs
        self.lock = threading.Lock()
        """Whoever has it says how the job ends; a signal takes it for good."""

    def begin(self) -> list[Path]:
        for output in self.outputs:
            shutil.rmtree(output / _INCOMPLETE, ignore_errors=True)
            (output / _INCOMPLETE).mkdir(parents=True)
        return [output / _INCOMPLETE for output in self.outputs]

    def publish(self, record_name: str, record: str) -> None:
        """Rename everything into place; a folder without its record is no result meanwhile."""
        with self.lock:
            for output in self.outputs:
                (output / _INCOMPLETE / record_name).write_text(record, encoding="utf-8")
            for output in self.outputs:
                for old in _records(output):
                    old.unlink()
            for output in self.outputs:
                for entry in sorted((output / _INCOMPLETE).iterdir()):
                    if entry.name != record_name:
                        _remove(output / entry.name)
                        entry.rename(output / entry.name)
            for output in self.outputs:
                (output / _INCOMPLETE / record_name).rename(output / record_name)

    def discard(self) -> None:
        for output in self.outputs:
            shutil.rmtree(output / _INCOMPLETE, ignore_errors=True)


class _LogLines:
    """A file for tqdm that turns each redrawn bar into a line of the log."""

    def write(self, text: str) -> None:
        if line := text.strip():
            _logger.info("%s", line)

    def flush(self) -> None:
        pass


def _exit_on_signals(publication: _Publication) -> None:
    # A thread of its own: Python's handlers run in the main thread only, which native code
    # (a query, a fit) can keep for minutes.
    numbers = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def wait() -> None:
        number = signal.Signals(signal.sigwait(numbers))
        publication.lock.acquire()
        publication.discard()
        _leave_message(f"stopped by {number.name}")
        _logger.error("stopped by %s", number.name)
        os._exit(128 + number)

    threading.Thread(target=wait, daemon=True).start()


def _report(error: BaseException, outputs: Sequence[Path]) -> None:
    """Log an error, and leave one line of it without data: libraries may quote rows in theirs."""
    unforeseen = None
    if isinstance(error, JobError):
        reason = str(error)
    elif isinstance(error, OSError) and error.strerror:
        # A file that was open when the disk was full does not say its name.
        reason = f"{error.filename or ' and '.join(map(str, outputs))}: {error.strerror}"
    elif isinstance(error, MemoryError):
        reason = "out of memory"
    else:
        unforeseen = error
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
    reason = _one_line(reason)
    _logger.error("%s", reason, exc_info=unforeseen)
    _leave_message(reason)


def _leave_message(reason: str) -> None:
    """Put the reason where SageMaker looks for ``ExitMessage``; elsewhere do nothing."""
    base = _base()
    message = reason.encode()[:_MESSAGE_BYTES].decode(errors="ignore")
    with suppress(OSError):  # the log has it
        if base.is_dir():
            (base / "output").mkdir(exist_ok=True)
            (base / "output" / "message").write_text(message, encoding="utf-8")


def _one_line(text: str) -> str:
    """Names of files may hold line breaks, escape sequences and bytes that are not UTF-8."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _read_config(name: str) -> dict[str, Any]:
    file = _base() / "config" / name
    config: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return config


def _base() -> Path:
    """``/opt/ml``, or what SageMaker's own toolkits read from the same variable."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def _versions() -> dict[str, str]:
    """Versions of Python and of every distribution that the job imported."""
    import importlib.metadata

    imported = {name.partition(".")[0] for name in sys.modules}
    # packages_distributions() of importlib.metadata finds the same several times as slowly.
    names = {
        distribution.name
        for distribution in importlib.metadata.distributions()
        if imported.intersection(_MODULE.findall(distribution.read_text("RECORD") or ""))
    }
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in sorted(names)
    }


def _records(path: Path) -> list[Path]:
    """The records in an output: one, or one of each host."""
    return [*path.glob(RECORD), *path.glob(_host_record("*"))]


def _host_record(host: str) -> str:
    return f"job-{host}.json"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
