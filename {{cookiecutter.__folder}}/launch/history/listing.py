"""Lists what was launched, on this machine and on SageMaker, and finds it by name."""

import itertools
import json
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from {{ cookiecutter.__package_name }} import runtime

from ..requests import jobs
from ..settings import names, project
from ..settings.project import COMMAND, LaunchError
from . import recordings
from .account import Account
from .entries import PIPELINE, Entry
from .reuse import display_name

_SEARCHED = 1000
"""How many of the newest entries are searched for a name that is not complete."""

_CANDIDATES = 10
"""How many names a message lists."""

_NO_RUNS = ("downloads", "unpublished")
"""Folders in ``out/`` that are not named after a run."""


@dataclass(frozen=True)
class Listing:
    """The newest entries, and problems with those that could not be read."""

    entries: Sequence[Entry]
    problems: Sequence[str] = ()
    """One line each, which includes what to do."""


def newest(limit: int) -> Listing:
    """Return the newest jobs and runs of the pipeline; unreadable ones are omitted."""
    account = Account()
    entries = _newest(account, limit)
    return Listing(account.describe(entries), account.problems)


def find(name: str) -> Entry:
    """Return the job or run of the pipeline with a name.

    Args:
        name: A name, its unique beginning, the name of a run, or the ARN of an execution. The
            name of a run with a pipeline stands for the pipeline.

    Raises:
        LaunchError: No launch has this name, or several have it.
    """
    if not name:
        raise LaunchError(f"name a job or a run: `{COMMAND} list` lists them")
    prefix = f"{project.name()}-"
    for whole in (name, prefix + name):
        if "/" not in whole and (local := recordings.read(whole)):
            return local
    account = Account()
    if found := account.execution(name):
        return found
    entries = _newest(account, _SEARCHED)
    exact = [entry for entry in entries if name in entry.names]
    of_run = [entry for entry in entries if entry.run in (name, display_name(name))]
    pipelines = [entry for entry in of_run if entry.job == PIPELINE]
    beginning = [
        entry
        for entry in entries
        if any(each.startswith(name) for each in (*entry.names, entry.run))
    ]
    for matching in (exact, pipelines, of_run, beginning):
        if len(matching) == 1:
            return account.describe(matching)[0]
        if matching:
            raise LaunchError(f"{name} is not unique: name one of {_listed(matching)}")
    for whole in (name, name if name.startswith(prefix) else prefix + name):
        if older := account.job(whole):
            return older
    unread = "".join(f"; {problem}" for problem in account.problems)
    known = [*dict.fromkeys([each.short_name for each in entries] + [each.run for each in entries])]
    near = names.similar(name.removeprefix(prefix), known)
    raise LaunchError(
        f"there is no {name}{near or f'; `{COMMAND} list` lists what there is'}{unread}"
    )


def _newest(account: Account, limit: int) -> list[Entry]:
    entries = [*_local(limit), *account.entries(limit)]
    return sorted(entries, key=lambda entry: entry.started, reverse=True)[:limit]


def _local(limit: int) -> Iterator[Entry]:
    """Yield the newest launches on this machine, and the results that have no other history."""
    launched = recordings.names()
    read = (recordings.read(name) for name in launched)
    yield from itertools.islice(filter(None, read), limit)
    yield from itertools.islice(_records(set(launched)), limit)


def _records(launched: Container[str]) -> Iterator[Entry]:
    """Yield a job for each folder of results in ``out/<run>/<job>``, by its newest record.

    Args:
        launched: Names of jobs to leave out.
    """
    newest: dict[Path, tuple[float, Path]] = {}
    for file in project.OUT.glob("[!.]*/*/*/job*.json"):
        folder = file.parent
        if folder.parents[1].name not in _NO_RUNS and runtime.record_names([file.name]):
            with suppress(OSError):
                newest[folder.parent] = max(
                    newest.get(folder.parent, (0.0, file)), (file.stat().st_mtime, file)
                )
    for folder, (_, file) in sorted(newest.items(), key=lambda item: item[1][0], reverse=True):
        with suppress(OSError, KeyError, TypeError, ValueError, runtime.JobError):
            record = json.loads(file.read_bytes())
            if record.get("processing_job_name") in launched:
                continue
            finished = record.get("finished")
            yield Entry(
                name=f"{folder.parent.name}/{folder.name}",
                job=str(record["job"]),
                run=folder.parent.name,
                backend="local",
                status="Completed",
                started=_time(record["started"]),
                ended=_time(finished) if finished else None,
                commit=str(record.get("commit") or ""),
                outputs=jobs.by_option(
                    str(record["job"]),
                    {each.name: str(each) for each in folder.iterdir() if each.is_dir()},
                ),
            )


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _listed(entries: Sequence[Entry]) -> str:
    shown = ", ".join(entry.short_name for entry in entries[:_CANDIDATES])
    return f"{shown}, …" if len(entries) > _CANDIDATES else shown
