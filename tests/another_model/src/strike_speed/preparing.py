"""From reports of wildlife strikes to a training and a test set."""

import json
import logging
from pathlib import Path

import polars as pl

from .runtime import Host, JobError, progress

REPORT = {
    "date": pl.Date,
    "airport": pl.String,
    "operator": pl.String,
    "aircraft": pl.String,
    "phase": pl.String,
    "size": pl.String,
    "species": pl.String,
    "time_of_day": pl.String,
    "speed": pl.Int64,
}
"""The columns of a report; ``speed`` is the aircraft's in knots."""

TARGET = "speed"
CATEGORIES = [name for name, dtype in REPORT.items() if dtype == pl.String] + ["engine"]
NUMBERS = ["month", "weekday"]

_logger = logging.getLogger(__name__)


class PreparingHandler:
    """Drop the reports without a speed and split the others by a hash of the report.

    The side of a report depends on its content and ``seed``, and so not on the number of hosts.
    """

    def __init__(self, test_fraction: float, seed: int, host: Host | None = None) -> None:
        self._test_fraction = test_fraction
        self._seed = seed
        self._host = host or Host()

    def run(self, input_path: Path, engines_path: Path, output_path: Path) -> None:
        """Turn each Parquet table below ``input_path`` into ``train/`` and ``test/`` of its name.

        ``engines_path`` is a JSON file with lists of aircraft by kind of engine; an aircraft that
        it does not list has no ``engine``. Anything but ``TARGET`` may be missing in a row.

        Raises:
            JobError: A file cannot be used, or no report of the whole job has a speed.
        """
        engines = _read_engines(engines_path)
        read = kept = 0
        for file in progress(self._host.files(input_path, "*.parquet"), "files"):
            reports = _read_reports(file)
            usable = reports.drop_nulls(TARGET)
            rows = usable.with_columns(
                pl.col("aircraft").replace_strict(engines, default=None).alias("engine"),
                month=pl.col("date").dt.month(),
                weekday=pl.col("date").dt.weekday(),
            ).select(TARGET, *CATEGORIES, *NUMBERS)
            is_test = usable.hash_rows(self._seed) / 2**64 < self._test_fraction
            for side, part in (("train", rows.filter(~is_test)), ("test", rows.filter(is_test))):
                table = output_path / side / file.relative_to(input_path)
                table.parent.mkdir(parents=True, exist_ok=True)
                part.write_parquet(table)
            read, kept = read + len(reports), kept + len(rows)
        _logger.info("kept %d of %d reports, dropped those without a speed", kept, read)
        if not kept and self._host.count == 1:
            raise JobError(f"{input_path}: none of {read} reports has a speed")


def _read_reports(file: Path) -> pl.DataFrame:
    try:
        reports = pl.read_parquet(file, glob=False)
    except pl.exceptions.ComputeError as error:
        raise JobError(f"{file}: not a Parquet table") from error
    for name, dtype in REPORT.items():
        if reports.schema.get(name) != dtype:
            raise JobError(f"{file}: column {name} must be {dtype}: {reports.schema.get(name)}")
    return reports.select(*REPORT)


def _read_engines(file: Path) -> dict[str, str]:
    """Return the kind of engine of each aircraft."""
    try:
        kinds = json.loads(file.read_text(encoding="utf-8"))
        return {aircraft: kind for kind, listed in kinds.items() for aircraft in listed}
    except (ValueError, AttributeError, TypeError) as error:
        raise JobError(f"{file}: not lists of aircraft by kind of engine") from error
