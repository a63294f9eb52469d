"""The penguins: the columns of the raw tables, and the data set that the jobs hand on.

``data/README.md`` describes them and names their source.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .runtime import JobError, files_below

COLUMNS = {
    "species": pl.String,
    "island": pl.String,
    "bill_length_mm": pl.Float64,
    "bill_depth_mm": pl.Float64,
    "flipper_length_mm": pl.Float64,
    "body_mass_g": pl.Float64,
    "sex": pl.String,
    "year": pl.Int64,
}
TARGET = "species"
FEATURES = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
NULL = "NA"


def load(path: Path) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Read one side of a data set: features of shape (n, 4) in mm and g, and n species.

    The rows are sorted, so that the model does not depend on how they were divided into files.

    Raises:
        JobError: There is no row below ``path``, or it was not written by preprocess.
    """
    frames = [_read(part) for part in files_below(path, "*.parquet")]
    rows = pl.concat(frames).sort(pl.all()) if frames else pl.DataFrame()
    if rows.is_empty():
        raise JobError(f"{path}: no rows")
    return rows.select(FEATURES).to_numpy(), rows[TARGET].to_numpy().astype(np.str_)


def _read(part: Path) -> pl.DataFrame:
    columns = {name: COLUMNS[name] for name in (TARGET, *FEATURES)}
    table = pl.scan_parquet(part, glob=False)
    unreadable = "not a table written by preprocess"
    with polars_errors(table, part, unreadable):
        if table.collect_schema() != columns:
            raise JobError(f"{part}: {unreadable}: other columns or other types")
        return table.select(*columns).collect()


@contextmanager
def polars_errors(table: pl.LazyFrame, file: Path, unreadable: str) -> Iterator[None]:
    """Blame ``file`` for an error of Polars only if its ``table`` cannot be read on its own either.

    All other errors are mistakes in a query or come from the system, such as a full disk.

    Raises:
        JobError: With the system's reason, or else the text ``unreadable`` and the column. The
            text of Polars quotes values.
        OSError: The error comes from the system, and not from reading the table.
    """
    failures = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
    try:
        yield
    except failures as error:
        try:
            table.select(pl.all().null_count()).collect(engine="streaming")
        except failures as cause:
            column = re.search("column '([^']*)'", str(cause))
            where = f" in column {column[1]}" if column else ""
            number = _os_error(cause)
            reason = os.strerror(number) if number else f"{unreadable}{where}"
            raise JobError(f"{file}: {reason}") from cause
        if number := _os_error(error):
            raise OSError(number, os.strerror(number)) from error
        raise


def _os_error(error: BaseException) -> int | None:
    """Return the number of the system's error, which Polars puts into its text only."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return int(number[1]) if number else None
