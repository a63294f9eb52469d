"""Runs a job, from its command line to its exit code."""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from .container import OUTPUT, as_in_container, job_config, write_exit_message
from .cpu_limit import limit_threads
from .hosts import this_host
from .messages import RejectedError, error_location, expected_reason, one_line
from .parser import JobParser
from .publication import Publication
from .records import Record
from .secret_options import is_secret_option
from .signals import ignore_signals, on_signal
from .versions import imported_versions

FINISHED = "finished in"
"""How the last line in the log of a successful job begins."""

_logger = logging.getLogger(__name__)


def main(
    parser: JobParser,
    run: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None = None,
) -> None:
    """Run a job: parse and log its arguments, and publish its outputs completely or not at all.

    ``run`` gets a staging folder instead of each output. When it returns, the files are moved into
    the outputs, together with a record (``job.json``) that lists them.

    The exit code is 2 if an argument is rejected: nothing was started, and the outputs are
    unchanged. It is 1 if the job fails, and 128 plus the number of the signal after SIGTERM or
    SIGINT: nothing is published, and the reason is in the log and in ``/opt/ml/output/message``.
    """
    args = parser.parse(argv)
    started = datetime.now(UTC)
    publication = Publication({name: getattr(args, name) for name in parser.channels(OUTPUT)})
    log = logging.StreamHandler(sys.stdout)
    log.setFormatter(_Formatter(publication))
    logging.basicConfig(level=logging.INFO, handlers=[log])
    arguments = _arguments(parser, args)
    _logger.info("arguments %s", json.dumps(arguments))
    on_signal(lambda number: _stop(number, publication))
    try:
        limit_threads()
        record = _start_record(Path(parser.prog).stem, arguments, started)
        publication.check(record)
        parser.verify_inputs(args)
        staging = publication.begin(record)
        run(argparse.Namespace(**{**vars(args), **staging}))
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        publication.publish(replace(record, finished=finished, versions=imported_versions()))
    except RejectedError as error:
        publication.lock.acquire()
        parser.error(str(error))
    except BaseException as error:  # panics of Polars are not Exceptions
        publication.lock.acquire()
        _report(error, publication)
        _fail(publication)
    finally:
        ignore_signals()
        publication.discard()
    _logger.info("%s %.1f s", FINISHED, (datetime.now(UTC) - started).total_seconds())


class _Formatter(logging.Formatter):
    """Shows paths as in the container, and outputs instead of staging folders."""

    def __init__(self, publication: Publication) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._publication = publication

    def format(self, record: logging.LogRecord) -> str:
        return as_in_container(self._publication.hide_staging(super().format(record)))


def _arguments(parser: JobParser, args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments for the log and the record; they are equal on all hosts and machines."""
    secrets = {action.dest for action in parser.actions if is_secret_option(action)}
    values = {name: "***" if name in secrets else value for name, value in vars(args).items()}
    text = json.dumps(values, default=lambda value: as_in_container(str(value)))
    arguments: dict[str, Any] = json.loads(text)
    return arguments


def _start_record(job: str, arguments: Mapping[str, Any], started: datetime) -> Record:
    host = this_host()
    return Record(
        job=job,
        processing_job_name=job_config().get("ProcessingJobName"),
        arguments=arguments,
        commit=os.environ.get("SOURCE_COMMIT") or None,
        host=host.name,
        hosts=host.count,
        started=started.isoformat(timespec="seconds"),
    )


def _stop(number: signal.Signals, publication: Publication) -> None:
    publication.lock.acquire()
    write_exit_message(f"stopped by {number.name}")
    _logger.error("stopped by %s", number.name)
    publication.discard()  # last, because the main thread is still running
    os._exit(128 + number)


def _fail(publication: Publication) -> NoReturn:
    """Exit without waiting for other threads, which may still work for hours."""
    ignore_signals()
    sys.stdout.flush()
    sys.stderr.flush()
    publication.discard()  # last, because other threads are still running
    os._exit(1)


def _report(error: BaseException, publication: Publication) -> None:
    expected = expected_reason(error, publication.folders.values())
    reason = publication.hide_staging(expected or error_location(error))
    reason = one_line(as_in_container(reason))
    _logger.error("%s", reason, exc_info=None if expected else error)
    write_exit_message(reason)
