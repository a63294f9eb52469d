"""Addresses of inputs and outputs: absolute paths, or ``s3://bucket/prefix``."""

from pathlib import Path


def is_s3(address: str) -> bool:
    """Return whether an address is in S3."""
    return address.startswith("s3://")


def clean(address: str) -> str:
    """Return an address without a final slash; paths become absolute."""
    if is_s3(address):
        return f"s3://{address.removeprefix('s3://').rstrip('/')}"
    return str(Path(address).expanduser().resolve())


def contains(address: str, other: str) -> bool:
    """Return whether ``other`` is the same address or one below it."""
    return f"{other}/".startswith(f"{address}/")
