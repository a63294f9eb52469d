"""The penguins: the columns of the raw tables, and the data set that the jobs hand on.

Source: Gorman, Williams and Fraser (2014), https://doi.org/10.1371/journal.pone.0090081, CC0.
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
ALWAYS = "year"
"""The last column, which every row has."""


def load(path: Path) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Read one side of a data set: features of shape (n, 4) in mm and g, and n species.

    The rows are sorted, so that what is learnt does not depend on how they were shared out.

    Raises:
        JobError: there is no row below ``path``, or it was not written by preprocess.
    """
    frames = [_read(part) for part in files_below(path, "*.parquet")]
    rows = pl.concat(frames).sort(pl.all()) if frames else pl.DataFrame()
    if rows.is_empty():
        raise JobError(f"{path}: no rows")
    return rows.select(FEATURES).to_numpy(), rows[TARGET].to_numpy().astype(np.str_)


def _read(part: Path) -> pl.DataFrame:
    with reasons(f"{part}: not a table written by preprocess", part):
        rows = pl.read_parquet(part, columns=[TARGET, *FEATURES], glob=False)
    if rows.schema != {name: COLUMNS[name] for name in (TARGET, *FEATURES)}:
        raise JobError(f"{part}: columns of other types than preprocess writes")
    return rows


@contextmanager
def reasons(otherwise: str, file: Path) -> Iterator[None]:
    """Say why Polars failed without its words, which quote values: the system's reason, if any.

    Raises:
        OSError: the system refused something, such as to open ``file``.
        JobError: with the text ``otherwise``, and the column that Polars names.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if system := re.search(r"\(os error (\d+)\)", str(error)):
            number = int(system[1])
            raise OSError(number, os.strerror(number), str(file)) from error
        column = re.search("column '([^']*)'", str(error))
        where = f" in column {column[1]}" if column else ""
        raise JobError(f"{otherwise}{where}") from error
