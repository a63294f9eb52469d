"""Addresses of inputs and outputs: absolute paths, or ``s3://bucket/prefix``."""

import re
from pathlib import Path

_S3 = re.compile(r"s3://[^/].*", re.DOTALL)
_SCHEME = re.compile(r"s3:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
"""How an address begins that is not a path."""


def is_s3(address: str) -> bool:
    """Return whether an address is in S3."""
    return address.startswith("s3://")


def clean(address: str) -> str:
    """Return an address without a final slash; paths become absolute.

    Raises:
        ValueError: It is neither a path nor an address in S3.
        RuntimeError: It begins with ``~`` and the user has no home folder.
    """
    if "\0" in address:
        raise ValueError(f"{address!r} holds a null byte: remove it")
    if _SCHEME.match(address) and not _S3.match(address):
        raise ValueError(
            f"{address!r} is not supported: name a folder or file, or s3://bucket/prefix"
        )
    if is_s3(address):
        return f"s3://{address.removeprefix('s3://').rstrip('/')}"
    return str(Path(address).expanduser().resolve())


def contains(address: str, other: str) -> bool:
    """Return whether ``other`` is the same address or one below it."""
    return f"{other}/".startswith(f"{address}/")
