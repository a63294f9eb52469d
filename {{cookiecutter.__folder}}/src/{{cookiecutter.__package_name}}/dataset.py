"""The penguin data: the columns of the raw tables, and how a data set is loaded.

``data/README.md`` describes the columns and names the source of the data.
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
    """Load a training or test set: features of shape (n, 4) in mm and g, and n species.

    The rows are sorted, so that the model does not depend on how they are divided into files.

    Raises:
        JobError: There are no rows below ``path``, or a file was not written by preprocess.
    """
    frames = [_read(file) for file in files_below(path, "*.parquet")]
    rows = pl.concat(frames).sort(pl.all()) if frames else pl.DataFrame()
    if rows.is_empty():
        raise JobError(f"{path}: no rows")
    return rows.select(FEATURES).to_numpy(), rows[TARGET].to_numpy().astype(np.str_)


def _read(file: Path) -> pl.DataFrame:
    columns = {name: COLUMNS[name] for name in (TARGET, *FEATURES)}
    table = pl.scan_parquet(file, glob=False)
    problem = "not a table written by preprocess"
    with polars_errors(table, file, problem):
        if table.collect_schema() != columns:
            raise JobError(f"{file}: {problem}: it has different columns or types")
        return table.select(*columns).collect()


@contextmanager
def polars_errors(table: pl.LazyFrame, file: Path, problem: str) -> Iterator[None]:
    """Raise a ``JobError`` that names ``file`` if Polars fails because of its content.

    To find out, ``table`` is read again without the query. If that succeeds, the error is a mistake
    in the query, which is raised unchanged, or comes from the system, such as a full disk.

    Raises:
        JobError: The file cannot be read. The message has the reason of the system, or ``problem``
            and the column; it does not quote Polars, whose messages contain values.
        OSError: The error comes from the system, but not from reading the file.
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
            number = _errno(cause)
            reason = os.strerror(number) if number else f"{problem}{where}"
            raise JobError(f"{file}: {reason}") from cause
        if number := _errno(error):
            raise OSError(number, os.strerror(number)) from error
        raise


def _errno(error: BaseException) -> int | None:
    """Return the error number of the system, which Polars only includes in its message."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return int(number[1]) if number else None
