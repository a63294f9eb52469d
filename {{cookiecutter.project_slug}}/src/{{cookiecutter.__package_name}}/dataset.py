"""The penguins: the columns of the raw tables, and the data set that the jobs hand on.

Source: Gorman, Williams and Fraser (2014), https://doi.org/10.1371/journal.pone.0090081, CC0.
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .runtime import JobError

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
    parts = sorted(path.rglob("*.parquet"))
    try:
        frames = [pl.read_parquet(part, columns=[TARGET, *FEATURES], glob=False) for part in parts]
    except pl.exceptions.PolarsError as error:
        raise JobError(f"{path}: not a data set written by preprocess") from error
    rows = pl.concat(frames).sort(pl.all()) if frames else pl.DataFrame()
    if rows.is_empty():
        raise JobError(f"{path}: no rows")
    return rows.select(FEATURES).to_numpy(), rows[TARGET].to_numpy().astype(np.str_)
