"""Lists the results of earlier runs, and checks against their records that they are complete.

A run is a folder ``<run>`` with the outputs ``<job>/<channel>``, in ``out/`` and in S3. A run that
has taken the results of a job from an earlier one has a note of it, ``<run>/<job>.json``.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from {{ cookiecutter.__package_name }} import runtime

from ..aws import clients, errors
from ..settings import project
from ..settings.addresses import is_s3
from ..settings.project import LaunchError
from ..storage import folders, s3
from . import recordings
from .reuse import Reused

_HIDDEN = (".", "downloads")
"""Prefixes of folders in ``out/`` that are not runs."""

_ID = re.compile(r"\d{8}-\d{6}-[a-z0-9]{6}")
"""The end of a launch's name."""


@dataclass(frozen=True)
class Result:
    """The files that a job has written to one output."""

    run: str
    """The run that it belongs to."""
    job: str
    channel: str
    """The name of the output."""
    address: str
    sizes: Mapping[str, int]
    """Bytes of each file, by name relative to the output."""

    @cached_property
    def records(self) -> Mapping[str, bytes]:
        """The content of the job's records, one for each host, by name."""
        return {name: self.read(name) for name in runtime.record_names(self.sizes)}

    @cached_property
    def record(self) -> runtime.Record | None:
        """The record of the first host; ``None`` if there is none, or it cannot be read."""
        for name, content in self.records.items():
            with suppress(runtime.JobError):
                return runtime.Record.from_json(name, content)
        return None

    @cached_property
    def problem(self) -> str:
        """Why the output is not complete, by the names and sizes of its files; empty if it is."""
        files = {name: size for name, size in self.sizes.items() if name not in self.records}
        try:
            runtime.check_listing(self.records, files)
        except runtime.JobError as error:
            return str(error)
        return ""

    @property
    def finished(self) -> str:
        """When the last host finished, as text that sorts by time."""
        return max((record.finished or "" for record in self._all_records), default="")

    @property
    def digest(self) -> str:
        """The SHA-256 digest of the files by their records: the same for the same content."""
        files = {
            name: vars(digest)
            for record in self._all_records
            for name, digest in record.files.items()
        }
        return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()

    @property
    def reused(self) -> Reused:
        """The result as a later run takes it."""
        commit = self.record.commit if self.record else None
        return Reused(self.run, self.job, self.channel, self.address, commit)

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            LaunchError: It cannot be read.
        """
        if is_s3(self.address):
            return s3.read(self.address, name)
        with folders.readable(Path(self.address)):
            return Path(self.address, name).read_bytes()

    @property
    def _all_records(self) -> list[runtime.Record]:
        records = []
        for name, content in self.records.items():
            with suppress(runtime.JobError):
                records.append(runtime.Record.from_json(name, content))
        return records


def names_of(run: str) -> list[str]:
    """Return the possible names of a run by its name, its ARN or its name in ``list``.

    Raises:
        LaunchError: It is a path.
    """
    pipeline, _, execution = run.removeprefix(f"{project.name()}-").rpartition("/")
    if run.startswith("arn:") or pipeline in ("launched", project.name()):
        return [execution]
    if "/" in run or run in ("", ".", ".."):
        raise LaunchError(f"{run!r} is not the name of a run: name a folder of out/, or an ARN")
    whole = f"{project.name()}-{run.removeprefix(f'{project.name()}-')}"
    launched = recordings.read(whole)
    of_launch = [launched.run] if launched else _ID.findall(run)
    return list(dict.fromkeys([run, run.removeprefix(f"{project.name()}-"), *of_launch]))


def local_runs() -> list[str]:
    """Return the names of the runs in ``out/``."""
    if not project.OUT.is_dir():
        return []
    with folders.readable(project.OUT):
        return sorted(
            path.name
            for path in project.OUT.iterdir()
            if path.is_dir() and not path.name.startswith(_HIDDEN)
        )


def local(run: str) -> list[Result]:
    """Return the results of a run in ``out/``, without those that it took from others."""
    results = []
    with folders.readable(project.OUT / run):
        for folder in sorted((project.OUT / run).glob("*/*")):
            if folder.is_dir() and not folder.name.startswith("."):
                sizes = {file.name: file.size for file in folders.scan(folder)}
                results.append(Result(run, folder.parent.name, folder.name, str(folder), sizes))
    return results


def reused(run: str) -> Mapping[str, str]:
    """Return the runs in ``out/`` from which a run has taken the results of jobs, by job."""
    runs = {}
    with folders.readable(project.OUT / run):
        for file in sorted((project.OUT / run).glob("*.json")):
            with suppress(ValueError, KeyError, TypeError):
                runs[file.stem] = str(json.loads(file.read_text(encoding="utf-8"))["run"])
    return runs


def note_reuse(run: str, job: str, source: str) -> None:
    """Note from which run a run has taken the results of a job.

    Raises:
        LaunchError: It has taken them from another run before.
    """
    file = project.OUT / run / f"{job}.json"
    with folders.writable(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with file.open("x", encoding="utf-8") as stream:
                json.dump({"run": source}, stream)
        except FileExistsError as error:
            if reused(run).get(job) != source:
                raise LaunchError(
                    f"the run {run} already has results of {job}, from {reused(run).get(job)}: "
                    "choose another run name"
                ) from error


def with_reused(run: str) -> list[Result]:
    """Return the results of a run in ``out/``, and those that it has taken from other runs."""
    results = {(result.job, result.channel): result for result in local(run)}
    for job, source in reused(run).items():
        for result in local(source) if source != run else []:
            if result.job == job:
                results.setdefault((job, result.channel), result)
    return list(results.values())


def runs_in_s3() -> list[str]:
    """Return the names of the project's runs in S3.

    Raises:
        LaunchError: They cannot be listed.
    """
    bucket, prefix = s3.split(s3.runs_address())
    with errors.as_launch_error(s3.runs_address()):
        pages = clients.client("s3").get_paginator("list_objects_v2")
        return [
            item["Prefix"].removeprefix(prefix).rstrip("/")
            for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
            for item in page.get("CommonPrefixes", [])
        ]


def in_s3(run: str) -> list[Result]:
    """Return the results of a run in S3.

    Raises:
        LaunchError: They cannot be listed.
    """
    root = f"{s3.runs_address()}/{run}"
    sizes: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for item in s3.listing(root):
        job, _, rest = item.name.partition("/")
        channel, _, name = rest.partition("/")
        if name:
            sizes[job, channel][name] = item.size
    return [
        Result(run, job, channel, f"{root}/{job}/{channel}", found)
        for (job, channel), found in sizes.items()
    ]


def at(run: str, job: str, channel: str, address: str) -> Result:
    """Return the result of a job at an address: a local folder, or a prefix in S3.

    Raises:
        LaunchError: The address cannot be listed.
    """
    if is_s3(address):
        sizes = {item.name: item.size for item in s3.listing(address)}
    else:
        with folders.readable(Path(address)):
            sizes = {file.name: file.size for file in folders.scan(Path(address))}
    return Result(run, job, channel, address.rstrip("/"), sizes)
