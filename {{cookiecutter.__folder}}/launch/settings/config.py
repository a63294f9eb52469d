"""Reads ``launch.toml``: the jobs of the pipeline, their inputs, the metric and what jobs need.

``options`` and ``pipeline`` check that it fits the jobs. ``field_checks`` checks the fields that it
adds to the request of a job.
"""

import math
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from . import names, project
from .addresses import clean, is_s3
from .merge import merge
from .metric import Metric
from .project import LaunchError

FILE = "launch.toml"

_TABLES = ("pipeline", "inputs", "metric", "request", "job", "buckets", "stack")
_TEXTS = ("job", "output", "file", "name")
_LIMITS = ("minimum", "maximum")
_KEYS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def jobs() -> Sequence[str]:
    """Return the names of the jobs of the pipeline, in the order in which they run.

    There may be none: a repository need not have a pipeline.

    Raises:
        LaunchError: ``launch.toml`` cannot be read, or names a job twice.
    """
    listed = _pipeline().get("jobs", [])
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise LaunchError(f"{FILE}: pipeline.jobs must be a list of names in quotes")
    if twice := sorted({name for name in listed if listed.count(name) > 1}):
        raise LaunchError(f"{FILE}: pipeline.jobs names {', '.join(twice)} twice")
    return tuple(listed)


def jobs_with_inputs() -> Sequence[str]:
    """Return the names of the jobs that have a table in ``inputs``.

    Raises:
        LaunchError: ``launch.toml`` cannot be read.
    """
    return tuple(_table(_read(), "inputs"))


def inputs(job: str) -> Mapping[str, str]:
    """Return the addresses of a job's inputs, by option: absolute paths or ``s3://``.

    A relative path is relative to the repository, from wherever launch is started.

    Raises:
        LaunchError: ``launch.toml`` cannot be read, or an address is wrong.
    """
    addresses = _table(_table(_read(), "inputs"), job, prefix="inputs.")
    for option, address in addresses.items():
        if not isinstance(address, str) or not address:
            raise LaunchError(f"{input_key(job, option)} must be an address in quotes")
    return {
        option: _absolute(address, input_key(job, option)) for option, address in addresses.items()
    }


def input_key(job: str, option: str) -> str:
    """Return where the address of an input is written, for messages."""
    return f"{FILE}: inputs.{job}.{option}"


def metric() -> Metric | None:
    """Return the metric of the pipeline; ``None`` if there is none.

    Raises:
        LaunchError: ``launch.toml`` cannot be read, or the metric is incomplete.
    """
    content = _read()
    if "metric" not in content:
        return None
    table = _table(content, "metric", [*_TEXTS, *_LIMITS])
    for key in _TEXTS:
        if key not in table:
            raise LaunchError(f"{FILE}: [metric] needs {key}; without [metric], nothing is checked")
        if not isinstance(table[key], str) or not table[key]:
            raise LaunchError(f"{FILE}: metric.{key} must be a name in quotes")
    file = PurePosixPath(table["file"])
    if file.is_absolute() or ".." in file.parts or not file.name:
        raise LaunchError(f"{FILE}: metric.file must be a path below the output: {table['file']!r}")
    if not _KEYS.fullmatch(table["name"]):
        raise LaunchError(
            f"{FILE}: metric.name must be keys of letters, digits and underscores, separated by "
            f"dots, as SageMaker reads it as a JSON path: {table['name']!r}"
        )
    limits = [key for key in _LIMITS if key in table]
    if len(limits) != 1:
        problem = "both: remove one" if limits else "neither"
        raise LaunchError(f"{FILE}: [metric] needs either minimum or maximum, and has {problem}")
    return Metric(
        job=table["job"],
        output=table["output"],
        file=str(file),
        name=table["name"],
        limit=_finite(table[limits[0]], f"metric.{limits[0]}"),
        lower_is_better=limits == ["maximum"],
    )


def request(job: str | None = None) -> dict[str, Any]:
    """Return the fields of CreateProcessingJob for all jobs or, with its own, for one job.

    They have the form of a request, and are not validated: ``field_checks.check`` does that.

    Raises:
        LaunchError: ``launch.toml`` cannot be read.
    """
    return merge(*request_tables(job).values())


def request_tables(job: str | None = None) -> Mapping[str, dict[str, Any]]:
    """Return the tables that ``request`` merges, the lowest first, by their names in the file.

    Raises:
        LaunchError: ``launch.toml`` cannot be read.
    """
    content = _read()
    tables = {"request": _table(content, "request")}
    by_job = _table(content, "job")
    if job in by_job:
        tables[f"job.{job}"] = _table(by_job, job, prefix="job.")
    return tables


def jobs_with_requests() -> Sequence[str]:
    """Return the names of the jobs that have a table in ``job``.

    Raises:
        LaunchError: ``launch.toml`` cannot be read.
    """
    return tuple(_table(_read(), "job"))


def output_key(job: str | None = None) -> str | None:
    """Return the KMS key, if any, that encrypts outputs and everything else that a launch stores.

    Raises:
        LaunchError: ``launch.toml`` cannot be read, or the key is not a string.
    """
    outputs = _table(request(job), "ProcessingOutputConfig", prefix="request.")
    key = outputs.get("KmsKeyId")
    if key is not None and not isinstance(key, str):
        raise LaunchError(
            f"{FILE}: request.ProcessingOutputConfig.KmsKeyId must be a key in quotes"
        )
    return key or None


def retries() -> list[dict[str, Any]] | None:
    """Return the retry policies of the pipeline's steps; ``None`` if the file has none.

    Their fields are not validated.

    Raises:
        LaunchError: ``launch.toml`` cannot be read, or they are not tables.
    """
    policies = _pipeline().get("retries")
    if policies is None:
        return None
    if not isinstance(policies, list) or not all(isinstance(each, dict) for each in policies):
        raise LaunchError(
            f"{FILE}: pipeline.retries must be tables: [[pipeline.retries]]; for none, write "
            "retries = [] below [pipeline]"
        )
    return policies


def bucket_owners() -> Mapping[str, str]:
    """Return the accounts that own buckets, by bucket, where it is not the account of the launch.

    Raises:
        LaunchError: ``launch.toml`` cannot be read, or an account ID does not have twelve digits.
    """
    owners = _table(_read(), "buckets")
    for bucket, account in owners.items():
        if not isinstance(account, str) or not re.fullmatch("[0-9]{12}", account):
            raise LaunchError(
                f"{FILE}: buckets.{bucket} must be the account that owns the bucket, twelve digits "
                f'in quotes: "{bucket}" = "123456789012"'
            )
    return owners


def _pipeline() -> dict[str, Any]:
    return _table(_read(), "pipeline", ["jobs", "retries"])


def _read() -> dict[str, Any]:
    try:
        content = tomllib.loads((project.ROOT / FILE).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise LaunchError(f"{FILE} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LaunchError(f"{FILE} is not UTF-8: save it as UTF-8") from error
    except ValueError as error:
        raise LaunchError(f"{FILE} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise LaunchError(f"{FILE}: its lists or tables are nested too deeply") from error
    _check_keys(content, _TABLES)
    return content


def _table(
    parent: Mapping[str, Any], key: str, keys: Collection[str] = (), *, prefix: str = ""
) -> dict[str, Any]:
    """Return a table, empty if it is missing. If ``keys`` is set, other keys are rejected."""
    table = parent.get(key, {})
    if not isinstance(table, dict):
        raise LaunchError(f"{FILE}: {prefix}{key} must be a table: [{prefix}{key}]")
    if keys:
        _check_keys(table, keys, prefix=f"{key}.")
    return table


def _check_keys(table: Mapping[str, Any], keys: Collection[str], *, prefix: str = "") -> None:
    for key in table:
        if key not in keys:
            raise LaunchError(f"{FILE}: there is no {prefix}{key}{names.advice(key, keys)}")


def _absolute(address: str, key: str) -> str:
    try:
        checked = clean(address)
        return checked if is_s3(checked) else clean(str(project.ROOT / Path(address).expanduser()))
    except (ValueError, RuntimeError) as error:
        raise LaunchError(f"{key}: {error}") from error


def _finite(value: Any, key: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise LaunchError(f"{FILE}: {key} must be a number without quotes: {value!r}")
