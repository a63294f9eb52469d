"""Results of earlier runs as jobs leave them: files, and the records of the hosts."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from {{ cookiecutter.__package_name }} import runtime

FINISHED = "2026-01-02T03:04:05+00:00"
COMMIT = "1234567890abcdef" * 2 + "12345678"


def result(job: str, files: Mapping[str, str], **fields: Any) -> dict[str, bytes]:
    """The files of a complete output and their record, by name; ``fields`` are the record's."""
    contents = {name: text.encode() for name, text in files.items()}
    return contents | record(job, contents, **fields)


def record(job: str, contents: Mapping[str, bytes], **fields: Any) -> dict[str, bytes]:
    """The record of one host, by its name."""
    values: dict[str, Any] = {
        "processing_job_name": None,
        "arguments": {},
        "commit": COMMIT,
        "host": "algo-1",
        "hosts": 1,
        "started": "2026-01-02T03:04:00+00:00",
        "finished": FINISHED,
    }
    digests = {
        name: runtime.FileDigest(len(content), hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    }
    made = runtime.Record(**{**values, **fields}, job=job, files=digests)
    return {made.name: made.to_json().encode()}


def write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files into a new folder."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
