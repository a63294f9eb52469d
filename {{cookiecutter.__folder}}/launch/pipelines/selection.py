"""Selects the jobs of a pipeline that run, and the results that come from an earlier run."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from {{ cookiecutter.__package_name }} import runtime

from ..history import results
from ..history.results import Result
from ..history.reuse import Reused, Selection
from ..requests.jobs import Job
from ..settings import names, project
from ..settings.project import LaunchError
from ..storage import folders

_OPTION = re.compile(r"(--[^\s=]+|-[^\W\d][^\s=]*)(=.*)?", re.DOTALL)


def select(jobs: Mapping[str, Job], first: str | None, run: str | None) -> Selection:
    """Return the part of a pipeline that begins with a job.

    Args:
        jobs: All jobs by name, in the order in which they run.
        first: The first job that runs; ``None`` for all jobs.
        run: The earlier run whose results are taken.

    Raises:
        LaunchError: There is no such job, or there is nothing to take from a run.
    """
    if first is None:
        if run is not None:
            raise LaunchError("argument --from_run: it needs --from JOB, the first job that runs")
        return Selection()
    if first not in jobs:
        raise LaunchError(
            f"argument --from: there is no job {first!r} in the pipeline{names.advice(first, jobs)}"
        )
    listed = list(jobs)
    skipped = listed[: listed.index(first)]
    if run is not None and not skipped:
        raise LaunchError(
            f"argument --from_run: {first} is the first job of the pipeline, so that all jobs run"
        )
    return Selection(skipped, _needed(jobs, skipped), run or "")


def _needed(jobs: Mapping[str, Job], skipped: Sequence[str]) -> dict[str, list[str]]:
    """Return the outputs of skipped jobs that the other jobs read, by job."""
    writers = {name: job for job in skipped for name in jobs[job].output_names}
    needed: dict[str, list[str]] = {}
    for job in (job for name, job in jobs.items() if name not in skipped):
        for channel in job.inputs:
            if channel.name in writers:
                outputs = needed.setdefault(writers[channel.name], [])
                outputs += [channel.name] if channel.name not in outputs else []
        for name in job.output_names:
            writers.pop(name, None)
    return needed


def check_words(
    selection: Selection,
    own: Mapping[str, Sequence[str]],
    shared: Mapping[str, Sequence[str]],
    allowed: Iterable[str],
) -> None:
    """Reject options that would have no effect, because only skipped jobs have them.

    Args:
        selection: The jobs that run.
        own: The options of one job, by job.
        shared: The options of several jobs, by job.
        allowed: Options that are accepted for skipped jobs, too.

    Raises:
        LaunchError: There is such an option.
    """
    running = {
        option
        for job, words in shared.items()
        if job not in selection.skipped
        for option in _options(words)
    }
    for job in selection.skipped:
        unused = [f"{option}.{job}" for option in _options(own.get(job, [])) - {*allowed}]
        unused += list(_options(shared.get(job, [])) - running - {*allowed})
        if unused:
            raise LaunchError(
                f"argument {min(unused)}: {job} does not run, its results are taken from an "
                "earlier run: leave the option out, or begin with an earlier job"
            )


def _options(words: Sequence[str]) -> set[str]:
    return {found[1] for word in words if (found := _OPTION.fullmatch(word))}


def find(selection: Selection) -> list[Reused]:
    """Return the needed results from the run in ``out/`` that is named, or else from the newest.

    Raises:
        LaunchError: There is no such run, or a result is incomplete.
    """
    if not selection.needed:
        return []
    runs = results.local_runs()
    if selection.run:
        named = [name for name in results.names_of(selection.run) if name in runs]
        if not named:
            raise LaunchError(
                f"argument --from_run: there is no run {selection.run!r} in {project.OUT}"
                f"{names.similar(selection.run, runs)}"
            )
        searched, chosen = named[0], _find_all(selection, named[0])
        problems = [f"{result.address}: {result.problem}" for result in chosen if result.problem]
        missing = _missing(selection, chosen)
        if missing or problems:
            raise LaunchError(
                f"argument --from_run: the results of {selection.run} are not complete: "
                f"{'; '.join([*problems, *missing])}: name another run, or begin with an earlier "
                "job"
            )
    else:
        searched, chosen = _newest(selection, runs)
    for result in chosen:
        _check_content(result)
    return [replace(result.reused, found_in=searched) for result in chosen]


def _newest(selection: Selection, runs: Iterable[str]) -> tuple[str, list[Result]]:
    """Return the newest run in which all needed results are complete, and these results."""
    complete: dict[str, list[Result]] = {}
    for run in runs:
        try:
            candidates = _find_all(selection, run)
            if not _missing(selection, candidates) and not any(each.problem for each in candidates):
                complete[run] = candidates
        except LaunchError:  # a folder that cannot be read is not a complete result
            continue
    if not complete:
        raise LaunchError(
            f"argument --from: no run in {project.OUT} has complete results of "
            f"{selection.listed}: run the pipeline without --from first"
        )
    return max(complete.items(), key=lambda item: max(result.finished for result in item[1]))


def _find_all(selection: Selection, run: str) -> list[Result]:
    return [
        result
        for result in results.with_reused(run)
        if result.channel in selection.needed.get(result.job, [])
    ]


def _missing(selection: Selection, candidates: Iterable[Result]) -> list[str]:
    there = {(result.job, result.channel) for result in candidates}
    return [
        f"it has no {name} of {job}"
        for job, outputs in selection.needed.items()
        for name in outputs
        if (job, name) not in there
    ]


def _check_content(result: Result) -> None:
    """Compare the files with the digests in the records.

    Raises:
        LaunchError: They differ.
    """
    with folders.readable(Path(result.address)):
        try:
            runtime.check_output(Path(result.address))
        except runtime.JobError as error:
            raise LaunchError(
                f"argument --from: {result.address} is not a complete output: {error}: name "
                "another run with --from_run, or begin with an earlier job"
            ) from error
