"""Records, by which a complete output is distinguished from a partial or changed one.

Every host of a job writes a record to each output: ``job.json``, or ``job-<host>.json`` if the job
has several hosts. It lists the files that the host wrote there, with their sizes and digests.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from stat import S_ISREG
from typing import Any

from .files import FileDigest, digest_files, list_files
from .messages import JobError

_NAME = re.compile(r"job(-[^/]+)?\.json")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a host records about a job and the files that it wrote to one output."""

    job: str
    """The name of the entrypoint."""
    processing_job_name: str | None
    """The name of the job on SageMaker; ``None`` elsewhere."""
    arguments: Mapping[str, Any]
    commit: str | None
    host: str
    hosts: int
    """The number of hosts of the job."""
    started: str
    finished: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileDigest] = field(default_factory=dict)
    """By name, relative to the output."""

    @property
    def name(self) -> str:
        """The name of the record's file."""
        return "job.json" if self.hosts == 1 else f"job-{self.host}.json"

    def is_same_job(self, other: "Record") -> bool:
        """Return whether both records can belong to one job, that is, differ only in the host."""
        return self._job() == other._job()

    def to_json(self) -> str:
        """Return the content of the record's file."""
        files = {name: vars(digest) for name, digest in self.files.items()}
        return json.dumps({**vars(self), "files": files}, indent=2, default=str) + "\n"

    @classmethod
    def from_json(cls, name: str, content: bytes) -> "Record":
        """Parse a record. Only the number of hosts and the files are required.

        Raises:
            JobError: The content is not a record, or the record belongs to another file name.
        """
        try:
            values = json.loads(content)
            files = {file: FileDigest(**digest) for file, digest in values["files"].items()}
            known = {attribute.name: values.get(attribute.name) for attribute in fields(cls)}
            record = cls(**{**known, "hosts": int(values["hosts"]), "files": files})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise JobError(f"{name} cannot be read as a record") from error
        if record.name != name:
            raise JobError(f"{name} is the record of another host or job")
        return record

    def _job(self) -> str:
        values = (self.processing_job_name, self.job, self.arguments, self.commit, self.hosts)
        return json.dumps(values, sort_keys=True, default=str)


def record_names(names: Iterable[str]) -> list[str]:
    """Return the names of records among the file names of an output."""
    return sorted(filter(_NAME.fullmatch, names))


def check_listing(records: Mapping[str, bytes], sizes: Mapping[str, int]) -> None:
    """Check that an output is complete, by names and sizes.

    Args:
        records: The content of each record, by name.
        sizes: The size in bytes of every other file, by name relative to the output.

    Raises:
        JobError: A file is missing, was added or has another size; or a record is missing, cannot
            be read or does not match the others. The message names the file.
    """
    _compare_sizes(_recorded_files(records), sizes)


def check_output(folder: Path) -> None:
    """Check that an output is complete, by names, sizes and digests.

    Raises:
        JobError: See ``check_listing``; or the content of a file was changed.
        OSError: A file or folder cannot be read.
    """
    files = list_files(folder)
    records = {name: files.pop(name).read_bytes() for name in record_names(files)}
    expected = _recorded_files(records)
    _compare_sizes(expected, {name: _size(name, path) for name, path in files.items()})
    digests = digest_files(files)
    for name in expected:
        if digests[name] != expected[name]:
            raise JobError(f"{name} was changed since the job wrote it")


def _recorded_files(records: Mapping[str, bytes]) -> dict[str, FileDigest]:
    """Return the files that the records of all hosts list."""
    read = [Record.from_json(name, content) for name, content in records.items()]
    if not read:
        raise JobError("it has no record (job.json): no job has finished writing it")
    files: dict[str, FileDigest] = {}
    for record in read:
        if not record.is_same_job(read[0]):
            raise JobError(f"{read[0].name} and {record.name} are records of different jobs")
        for name, digest in record.files.items():
            if files.setdefault(name, digest) != digest:
                raise JobError(f"{name} was written by two hosts")
    if len(read) != read[0].hosts:
        names = ", ".join(records)
        raise JobError(f"it has records of {len(read)} hosts instead of {read[0].hosts}: {names}")
    return files


def _compare_sizes(expected: Mapping[str, FileDigest], sizes: Mapping[str, int]) -> None:
    for name, digest in expected.items():
        if name not in sizes:
            raise JobError(f"{name} is missing")
        if sizes[name] != digest.size:
            raise JobError(f"{name} has {sizes[name]} bytes, its record says {digest.size}")
    for name in sizes:
        if name not in expected:
            raise JobError(f"{name} is not in the record, it was added later")


def _size(name: str, path: Path) -> int:
    status = path.stat()
    if not S_ISREG(status.st_mode):
        raise JobError(f"{name} is not a regular file")
    return status.st_size
