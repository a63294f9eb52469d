"""Folders of files, on this machine or in S3: an address is a path or ``s3://bucket/prefix``."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from . import aws
from .project import ROOT, LaunchError

_RECORD = re.compile(r"job(-algo-\d+)?\.json")


def is_s3(address: str) -> bool:
    """Whether an address is in S3."""
    return address.startswith("s3://")


def clean(address: str) -> str:
    """The form that addresses have in this package: no slash at the end, and paths absolute."""
    return address.rstrip("/") if is_s3(address) else str(Path(address).expanduser().resolve())


def holds(address: str, other: str) -> bool:
    """Whether an address is another or that of a folder around it."""
    return f"{other}/".startswith(f"{address}/")


def files(address: str) -> Iterator[str]:
    """The keys of all files below an address, relative to it, in the order of S3."""
    if is_s3(address):
        bucket, prefix = _split(address)
        with aws.errors(address):
            pages = aws.client("s3").get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                keys = (item["Key"] for item in page.get("Contents", []))
                yield from (key.removeprefix(prefix) for key in keys if not key.endswith("/"))
    else:
        found = (file for file in Path(address).rglob("*") if file.is_file())
        yield from sorted((file.relative_to(address).as_posix() for file in found), key=str.encode)


def check_input(option: str, address: str) -> None:
    """Refuse an input without a file."""
    if not any(files(address)):
        raise LaunchError(f"argument --{option}: there is no file in {address}")


def check_output(option: str, address: str, overwrite: bool) -> None:
    """Refuse an output that holds files, unless one job wrote them and they may be replaced."""
    if not is_s3(address) and Path(address).is_file():
        raise LaunchError(f"argument --{option}: {address} is not a folder")
    found = list(files(address))
    if found and not overwrite:
        advice = "name another, or add --overwrite"
        raise LaunchError(f"argument --{option}: {address} already holds files: {advice}")
    folders = [key.rpartition("/") for key in found]
    results = {folder for folder, _, name in folders if _RECORD.fullmatch(name)}
    if found and results != {""}:
        advice = "--overwrite leaves it alone"
        raise LaunchError(f"argument --{option}: {address} is not the result of one job: {advice}")


def replace(address: str, folder: Path | None = None) -> None:
    """Remove every file below an address, and put those of a folder in their place."""
    if not is_s3(address):
        if Path(address).exists():
            shutil.rmtree(address)
        Path(address).parent.mkdir(parents=True, exist_ok=True)
        if folder:
            shutil.move(folder, address)
        return
    bucket, prefix = _split(address)
    with aws.errors(address):
        aws.session().resource("s3").Bucket(bucket).objects.filter(Prefix=prefix).delete()
        s3 = aws.client("s3")
        if folder:
            for key in files(str(folder)):
                s3.upload_file(str(folder / key), bucket, prefix + key)


def fetch(address: str, folder: Path | None = None) -> Path:
    """The folder of an address; one in S3 is copied, below ``out/`` if nothing else is said."""
    if not is_s3(address):
        return Path(address)
    folder = folder or ROOT / "out" / address.replace("://", "/")
    bucket, prefix = _split(address)
    with aws.errors(address):
        s3 = aws.client("s3")
        for key in files(address):
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, prefix + key, str(folder / key))
    return folder


def _split(address: str) -> tuple[str, str]:
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    return bucket, f"{prefix}/" if prefix else ""
