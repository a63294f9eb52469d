"""Folders in S3: inputs stored by their content, claims on outputs, downloads.

Nothing is deleted, and no object is replaced by one with another content, except in stored
inputs: a file of another size than the input's is uploaded again.
"""

import base64
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from time import sleep
from typing import Any

from {{ cookiecutter.__package_name }} import runtime

from ..aws import clients, errors
from ..settings import project
from ..settings.addresses import is_s3
from ..settings.project import LaunchError
from . import folders
from .folders import Snapshot

_WORKERS = 24
_WAIT_SECONDS = 0.01
_QUEUE = 100
"""Files that are handed to s3transfer at a time."""

_READ_SECONDS = 30
_NAME_LENGTH = 60
_DOWNLOADED = 1_000_000_000
"""Modification time of every downloaded file; a file with another time was changed."""


@dataclass(frozen=True)
class Object:
    """An object in S3."""

    name: str
    """Its key without the prefix of the address."""
    size: int
    etag: str


def split(address: str) -> tuple[str, str]:
    """Return the bucket of an address and its prefix, which ends with a slash unless it is empty.

    Raises:
        LaunchError: The address names no bucket.
    """
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    if not bucket:
        raise LaunchError(f"{address} names no bucket: write s3://bucket/prefix")
    prefix = prefix.rstrip("/")
    return bucket, f"{prefix}/" if prefix else ""


def inputs_address() -> str:
    """Return the address below which inputs are stored."""
    return f"{_project_address()}/inputs"


def input_address(digest: str) -> str:
    """Return the address of an input that is stored under the digest of its content."""
    return f"{inputs_address()}/{digest}/"


def runs_address() -> str:
    """Return the address below which all runs write."""
    return f"{_project_address()}/runs"


def run_address(run_name: str, job: str, channel: str) -> str:
    """Return the address of an output in a run."""
    return f"{runs_address()}/{run_name}/{job}/{channel}"


def output_addresses(job: Mapping[str, Any]) -> dict[str, str]:
    """Return the addresses to which a job writes, by channel; other outputs have none.

    Args:
        job: A request, or the description of a job.
    """
    outputs = job.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return {item["OutputName"]: item["S3Output"]["S3Uri"] for item in outputs if "S3Output" in item}


def listing(address: str) -> list[Object]:
    """List the objects below an address, in the order of S3. Folder markers are left out."""
    with errors.as_launch_error(address):
        return _list(_client(), *split(address))


def object_at(address: str) -> Object | None:
    """Return the object whose key an address is; ``None`` if there is none.

    Raises:
        LaunchError: Other keys begin like it, so that SageMaker, which takes an address for a
            prefix, would read these objects as well.
    """
    with errors.as_launch_error(address):
        return _object_at(_client(), address)


def read(address: str, name: str) -> bytes:
    """Return the content of an object below an address."""
    with errors.as_launch_error(f"{address}/{name}"):
        return _read(_client(), address, name)


def fingerprint(address: str) -> str:
    """Return a digest over the names, sizes and ETags of the objects at or below an address.

    Raises:
        LaunchError: There are no objects.
    """
    with errors.as_launch_error(address):
        return _fingerprint(_find(_client(), address).objects)


def check_new(address: str) -> None:
    """Check that there is nothing below the address of an output.

    Raises:
        LaunchError: There is, or the address can never be an output.
    """
    with errors.as_launch_error(address):
        _check_new(_client(), address)


def claim(address: str, note: Mapping[str, Any], key: str | None = None) -> None:
    """Claim the address of an output; of several launches at once, exactly one succeeds.

    The claim is an object beside the output, ``<address>.launch.json``. It is never removed.

    Args:
        address: Address of an output.
        note: Describes the owner of the claim.
        key: The KMS key that the claim is encrypted with; ``None`` for the bucket's default.

    Raises:
        LaunchError: The address is taken, or there are objects below it.
    """
    bucket, prefix = split(address)
    claim_key = f"{prefix.rstrip('/')}.launch.json"
    # The token identifies this claim: botocore sends it again if the answer is lost.
    body = json.dumps({**note, "token": secrets.token_hex(16)}).encode()
    with errors.as_launch_error(address):
        client = _client()
        _check_new(client, address)
        try:
            client.put_object(
                Bucket=bucket, Key=claim_key, Body=body, IfNoneMatch="*", **_encryption(key)
            )
        except client.exceptions.ClientError as error:
            if not _is_taken(error):
                raise
            owner = _read_if_possible(client, bucket, claim_key)
            if owner is None:
                raise LaunchError(
                    f"it is unknown whose output {address} is, this launch's or another launch's: "
                    f"s3://{bucket}/{claim_key} cannot be read; choose another run name or address"
                ) from error
            if owner != body:
                raise LaunchError(
                    f"{address} is the output of another launch {owner.decode(errors='replace')}: "
                    "choose another run name or address"
                ) from error


def claim_all(addresses: Iterable[str], note: Mapping[str, Any], key: str | None = None) -> None:
    """Claim the addresses of several outputs.

    They are claimed in sorted order, so that of several launches which share outputs, one gets
    all of its own.

    Args:
        addresses: Addresses of outputs.
        note: Describes the owner of the claims.
        key: The KMS key that the claims are encrypted with.

    Raises:
        LaunchError: See ``claim``. Addresses that were claimed before stay claimed.
    """
    claimed: list[str] = []
    for address in sorted(addresses, key=split):
        try:
            claim(address, note, key)
        except LaunchError as error:
            if not claimed:
                raise
            raise LaunchError(f"{error}; these stay claimed: {', '.join(claimed)}") from error
        claimed.append(address)


def upload(snapshot: Snapshot, key: str | None = None) -> str:
    """Store a folder under the digest of its content, unless it is there already.

    Only files that are missing or have another size are uploaded. The list of files,
    ``inputs/<digest>.json``, is uploaded last.

    Args:
        snapshot: The folder.
        key: The KMS key that what is uploaded is encrypted with; ``None`` for the bucket's
            default. Files that are stored already keep their encryption.

    Returns:
        The address of the input.

    Raises:
        LaunchError: A file could not be uploaded, or was changed after the snapshot; or there are
            objects below the address that are not in the input.
    """
    address = input_address(snapshot.digest)
    bucket, prefix = split(address)
    list_key = f"{prefix.rstrip('/')}.json"
    with errors.as_launch_error(address):
        client = _client()
        # Without its final slash, the prefix is that of the files and of the list of files.
        stored = {item.name: item.size for item in _list(client, bucket, prefix.rstrip("/"))}
        is_listed = stored.pop(".json", None) == len(snapshot.file_list)
        sizes = {f"/{file.name}": file.size for file in snapshot.files}
        if additional := sorted(stored.keys() - sizes.keys()):
            raise LaunchError(
                f"s3://{bucket}/{prefix.rstrip('/')}{additional[0]} is not a file of "
                f"{snapshot.folder}, whose content is stored there: remove it"
            )
        missing = [name[1:] for name, size in sizes.items() if stored.get(name) != size]
        _upload(client, snapshot, missing, address, key)
        if not is_listed:
            client.put_object(
                Bucket=bucket, Key=list_key, Body=snapshot.file_list, **_encryption(key)
            )
    return address


def publish(folder: Path, address: str, key: str | None = None) -> None:
    """Upload a result to an address that this launch has claimed, the job's record last.

    Args:
        folder: Of the result.
        address: Of the output.
        key: The KMS key that the result is encrypted with; ``None`` for the bucket's default.

    Raises:
        LaunchError: A file could not be uploaded, or another object has its key.
    """
    snapshot = folders.snapshot(folder)
    with errors.as_launch_error(address):
        client = _client()
        for operation in ("PutObject", "CompleteMultipartUpload"):
            client.meta.events.register(f"before-parameter-build.s3.{operation}", _only_new)
        _upload(client, snapshot, [file.name for file in snapshot.files], address, key)


def download(address: str, folder: Path) -> None:
    """Copy all objects below an address into an empty folder, the job's record last.

    Raises:
        LaunchError: There are no objects, they change meanwhile, a key cannot be a file in the
            folder, or a file could not be downloaded.
    """
    with errors.as_launch_error(address):
        client = _client()
        _download(client, address, _list_files(client, address), folder)


def fetch(address: str) -> Path:
    """Return the folder of an address, or the file if it is the address of one object.

    What is in S3 is downloaded, once for the same content. A download is complete or absent: it
    appears as ``out/downloads/<name>-<fingerprint>`` after it has been verified, against the job's
    record if there is one. Its files are read-only.

    Raises:
        LaunchError: See ``download``; or the files are not those in the job's record, or were
            changed after an earlier download.
    """
    if not is_s3(address):
        return Path(address)
    with errors.as_launch_error(address):
        client = _client()
        listing = _find(client, address)
        name = _last_part(address).lstrip(".")[:_NAME_LENGTH]
        target = project.OUT / "downloads" / f"{name}-{_fingerprint(listing.objects)[:12]}"
        if target.exists():
            if changed := _changed(target, listing.objects):
                raise LaunchError(
                    f"{target / changed} was changed after its download: remove {target}, "
                    "it is downloaded again"
                )
        else:
            if not listing.is_object:
                _check_record(client, address, listing.objects)
            _fetch(client, listing, target)
    return target / listing.objects[0].name if listing.is_object else target


@dataclass(frozen=True)
class _Listing:
    """What is at an address: the objects below it, or the one object whose key it is."""

    folder: str
    """The address that the names of the objects are relative to."""
    objects: Sequence[Object]
    is_object: bool


def _find(client: Any, address: str) -> _Listing:
    if objects := _list(client, *split(address)):
        return _Listing(address, objects, is_object=False)
    if item := _object_at(client, address):
        return _Listing(address.rstrip("/").removesuffix(f"/{item.name}"), [item], is_object=True)
    raise LaunchError(f"{address} holds no files: correct the address")


def _object_at(client: Any, address: str) -> Object | None:
    bucket, prefix = split(address)
    key = prefix.rstrip("/")
    if not key:
        return None
    # In the order of S3, a key precedes those that begin with it.
    objects = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=2).get("Contents", [])
    if not objects or objects[0]["Key"] != key:
        return None
    if len(objects) > 1:
        raise LaunchError(
            f"{address} is also the beginning of s3://{bucket}/{objects[1]['Key']}, which "
            "SageMaker would read, too: copy the object to a folder of its own"
        )
    return Object(key.rpartition("/")[2], objects[0]["Size"], objects[0]["ETag"])


def _fetch(client: Any, listing: _Listing, target: Path) -> None:
    """Download objects into a folder that appears when all of them are there."""
    with folders.temporary(target.parent) as temporary:
        downloaded = temporary / "files"
        downloaded.mkdir()
        _download(client, listing.folder, listing.objects, downloaded)
        if not listing.is_object:
            _check_content(listing.folder, listing.objects, downloaded)
        _protect(downloaded)
        _rename(downloaded, target)


def _project_address() -> str:
    """Return where the project's objects are; ``S3_BUCKET`` represents a bucket that is not set."""
    return f"s3://{project.setting('S3_BUCKET') or 'S3_BUCKET'}/{project.name()}"


def _last_part(address: str) -> str:
    return address.rstrip("/").rpartition("/")[2]


def _client() -> Any:
    """Return a client for parallel requests, which may take longer than others on a slow network.

    A call fails after about three minutes if the endpoint does not answer, and after less than one
    if it cannot be reached.
    """
    return clients.client("s3", max_pool_connections=_WORKERS, read_timeout=_READ_SECONDS)


def _list(client: Any, bucket: str, prefix: str) -> list[Object]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [
        Object(item["Key"].removeprefix(prefix), item["Size"], item["ETag"])
        for page in pages
        for item in page.get("Contents", [])
        if not item["Key"].endswith("/")
    ]


def _list_files(client: Any, address: str) -> list[Object]:
    if objects := _list(client, *split(address)):
        return objects
    raise LaunchError(f"{address} holds no files: correct the address")


def _read(client: Any, address: str, name: str) -> bytes:
    bucket, prefix = split(address)
    return bytes(client.get_object(Bucket=bucket, Key=prefix + name)["Body"].read())


def _read_if_possible(client: Any, bucket: str, key: str) -> bytes | None:
    from botocore.exceptions import BotoCoreError

    try:
        return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    except (client.exceptions.ClientError, BotoCoreError):
        return None


def _fingerprint(objects: Sequence[Object]) -> str:
    content = json.dumps([(item.name, item.size, item.etag) for item in objects])
    return hashlib.sha256(content.encode()).hexdigest()


def _check_new(client: Any, address: str) -> None:
    bucket, prefix = split(address)
    if not prefix:
        raise LaunchError(f"{address} is a whole bucket: name a prefix in it")
    own_bucket, own_prefix = split(inputs_address())
    if bucket == own_bucket and (own_prefix.startswith(prefix) or prefix.startswith(own_prefix)):
        raise LaunchError(f"{address} holds the inputs of launches: name another prefix")
    if client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)["KeyCount"]:
        raise LaunchError(f"{address} already holds files: name another prefix")


def _is_taken(error: Any) -> bool:
    """Return whether S3 did not write an object because there is one of its key."""
    return error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict")


def _only_new(params: dict[str, Any], **_: Any) -> None:
    """Make S3 reject an object whose key exists; s3transfer does not support this parameter."""
    params["IfNoneMatch"] = "*"


def _encryption(key: str | None) -> dict[str, str]:
    """Return the parameters that let S3 encrypt an object with a KMS key."""
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}


def _upload(
    client: Any, snapshot: Snapshot, names: Sequence[str], address: str, key: str | None
) -> None:
    """Upload files with their checksums, so that S3 rejects one that is not as in the snapshot."""
    bucket, prefix = split(address)
    files = {file.name: file for file in snapshot.files}

    def checksum(name: str) -> str:
        return base64.b64encode(snapshot.crc32[name].to_bytes(4, "big")).decode()

    def start(manager: Any, name: str, reporter: Any) -> None:
        arguments = {"ChecksumAlgorithm": "CRC32", "ChecksumCRC32": checksum(name)}
        arguments |= _encryption(key)
        manager.upload(str(files[name].path), bucket, prefix + name, arguments, [reporter])

    def finish(name: str, future: Any) -> None:
        try:
            future.result()
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "BadDigest":
                changed = files[name].path
                raise LaunchError(f"{changed} was changed while it was uploaded") from error
            if not _is_taken(error):
                raise
            head = client.head_object(Bucket=bucket, Key=prefix + name, ChecksumMode="ENABLED")
            if head.get("ChecksumCRC32") != checksum(name):
                raise LaunchError(
                    f"{address}/{name} was written by another process in the meantime"
                ) from error

    sizes = {name: files[name].size for name in names}
    with folders.progress(f"uploading {snapshot.folder.name}", sum(sizes.values())) as advance:
        _transfer(client, address, sizes, start, finish, advance)


def _download(client: Any, address: str, objects: Sequence[Object], folder: Path) -> None:
    """Download objects as they were listed; S3 rejects the request for one that was changed."""
    from s3transfer.exceptions import S3DownloadFailedError

    bucket, prefix = split(address)
    listed = {item.name: item for item in objects}
    _check_keys(address, list(listed))

    def only_listed(params: dict[str, Any], **_: Any) -> None:
        params["IfMatch"] = listed[params["Key"].removeprefix(prefix)].etag

    def start(manager: Any, name: str, reporter: Any) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        subscribers = [_KnownObject(listed[name]), reporter]
        manager.download(bucket, prefix + name, str(path), subscribers=subscribers)

    def finish(name: str, future: Any) -> None:
        try:
            future.result()
        except S3DownloadFailedError as error:
            raise LaunchError(f"{address}/{name} was changed meanwhile: try again") from error

    client.meta.events.register("before-parameter-build.s3.GetObject", only_listed)
    sizes = {item.name: item.size for item in objects}
    with folders.progress(f"downloading {_last_part(address)}", sum(sizes.values())) as advance:
        _transfer(client, address, sizes, start, finish, advance)
    if differences := _differences(folder, objects):
        raise LaunchError(
            f"{address}/{differences[0]} cannot be distinguished from another key on this "
            "file system"
        )


def _transfer(
    client: Any,
    address: str,
    sizes: Mapping[str, int],
    start: Callable[[Any, str, Any], None],
    finish: Callable[[str, Any], None],
    advance: Callable[[int], None],
) -> None:
    """Transfer objects in parallel, records after all others. The first error cancels the rest.

    Args:
        client: A client for S3.
        address: The address that the objects are below.
        sizes: The size of each object, by name.
        start: Starts one transfer; takes an s3transfer manager, a name and a subscriber.
        finish: Raises the error of a transfer that has ended; takes a name and a future.
        advance: Counts transferred bytes.
    """
    from s3transfer.manager import TransferConfig, TransferManager

    records = runtime.record_names(sizes)
    others = [name for name in sizes if name not in records]
    ended: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def finish_one() -> None:
        while ended.empty():
            sleep(_WAIT_SECONDS)  # unlike a lock, this always lets an interrupt through
        name, future = ended.get()
        with _errors(f"{address.rstrip('/')}/{name}"):
            finish(name, future)

    with (
        TransferManager(client, TransferConfig(max_request_concurrency=_WORKERS)) as manager,
        _no_requests_after_error(client),
    ):
        for batch in (others, records):
            for number, name in enumerate(batch):
                if number >= _QUEUE:
                    finish_one()
                with _errors(f"{address.rstrip('/')}/{name}"):
                    start(manager, name, _Reporter(name, advance, ended))
            for _ in range(min(len(batch), _QUEUE)):
                finish_one()


@dataclass(frozen=True)
class _Reporter:
    """Subscriber of one transfer; s3transfer calls it in threads of its own."""

    name: str
    advance: Callable[[int], None]
    ended: SimpleQueue[tuple[str, Any]]

    def on_progress(self, bytes_transferred: int, **_: Any) -> None:
        self.advance(bytes_transferred)

    def on_done(self, future: Any, **_: Any) -> None:
        self.ended.put((self.name, future))


@dataclass(frozen=True)
class _KnownObject:
    """Subscriber of a download that makes its HeadObject request unnecessary."""

    item: Object

    def on_queued(self, future: Any, **_: Any) -> None:
        future.meta.provide_transfer_size(self.item.size)
        future.meta.provide_object_etag(self.item.etag)


@contextmanager
def _no_requests_after_error(client: Any) -> Iterator[None]:
    """End transfers soon after an interrupt: s3transfer waits for requests, with their retries."""
    stopped = threading.Event()

    def check(**_: Any) -> None:
        if stopped.is_set():
            raise LaunchError("the transfer was cancelled")

    for operation in ("GetObject", "PutObject", "UploadPart"):
        client.meta.events.register(f"request-created.s3.{operation}", check)
    try:
        yield
    except BaseException:
        stopped.set()
        raise


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """Turn errors of a transfer into ``LaunchError``."""
    from s3transfer.exceptions import RetriesExceededError

    try:
        with errors.as_launch_error(what):
            yield
    except RetriesExceededError as error:
        raise LaunchError(f"{what}: {errors.explain(error.last_exception)}") from error
    except OSError as error:  # of a file that has the same name as the object
        raise LaunchError(f"{what}: {error.strerror or type(error).__name__}") from error


def _check_keys(address: str, names: Sequence[str]) -> None:
    """Reject keys that are no files below a folder, or that one folder cannot hold together."""
    every = set(names)
    for name in names:
        parts = name.split("/")
        if not {"", ".", ".."}.isdisjoint(parts) or "\0" in name:
            raise LaunchError(f"{address}: the key {name!r} cannot be a file in a folder")
        for count in range(1, len(parts)):
            parent = "/".join(parts[:count])
            if parent in every:
                raise LaunchError(f"{address}: {parent!r} is a key, and so is {name!r} below it")


def _differences(folder: Path, objects: Sequence[Object]) -> list[str]:
    """Return the names of files in a folder that differ from the objects in name or size."""
    expected = {(item.name, item.size) for item in objects}
    files = {(file.name, file.size) for file in folders.scan(folder)}
    return sorted(name for name, _ in expected ^ files)


def _protect(folder: Path) -> None:
    """Make downloaded files read-only, and give them the time by which changes are recognised."""
    with folders.writable(project.OUT):
        for file in folders.scan(folder):
            os.utime(file.path, (_DOWNLOADED, _DOWNLOADED))
            file.path.chmod(0o444)


def _changed(folder: Path, objects: Sequence[Object]) -> str | None:
    """Return the name of a file that was changed after its download, if there is one."""
    names = _differences(folder, objects)
    time = _DOWNLOADED * 1_000_000_000
    names += [file.name for file in folders.scan(folder) if file.mtime_ns != time]
    return min(names, default=None)


def _check_record(client: Any, address: str, objects: Sequence[Object]) -> None:
    """Compare names and sizes with the record of the job, if there is one, before a download."""
    sizes = {item.name: item.size for item in objects}
    if records := {name: _read(client, address, name) for name in runtime.record_names(sizes)}:
        others = {name: size for name, size in sizes.items() if name not in records}
        try:
            runtime.check_listing(records, others)
        except runtime.JobError as error:
            raise LaunchError(f"{address}: {error}") from error


def _check_content(address: str, objects: Sequence[Object], folder: Path) -> None:
    """Compare the downloaded content with the record of the job, if there is one."""
    if runtime.record_names(item.name for item in objects):
        try:
            runtime.check_output(folder)
        except runtime.JobError as error:
            raise LaunchError(f"{address} is not a complete output: {error}") from error
        except OSError as error:
            raise LaunchError(f"{address}: the download failed: {error.strerror}") from error


def _rename(downloaded: Path, target: Path) -> None:
    try:
        downloaded.rename(target)
    except OSError as error:
        # Another launch may have downloaded the same in the meantime.
        if not target.is_dir():
            raise LaunchError(f"{target} cannot be written: {error.strerror}") from error
