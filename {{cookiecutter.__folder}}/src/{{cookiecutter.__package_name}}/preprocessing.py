"""Preprocessing: turns the raw tables into a training and a test set."""

import logging
import os
from pathlib import Path

import polars as pl

from .dataset import COLUMNS, FEATURES, NULL, TARGET, polars_errors
from .runtime import Host, JobError, parallel, read_progress

_UNREADABLE = "not a CSV table of the expected types"

_logger = logging.getLogger(__name__)


class PreprocessingHandler:
    """Drops incomplete rows and splits the others into a training and a test set.

    A hash of each row decides, so the split depends neither on the names, number and order of the
    files nor on the number of hosts. It changes with ``seed``, and may change with the version of
    Polars, which ``poetry.lock`` pins.
    """

    def __init__(self, test_fraction: float, seed: int, host: Host | None = None) -> None:
        self._test_fraction = test_fraction
        self._seed = seed
        self._host = host or Host()

    def run(self, input_path: Path, output_path: Path) -> None:
        """Write ``train/<name>.parquet`` and ``test/<name>.parquet`` for each CSV file.

        Files are streamed, one per CPU at a time, so memory use does not grow with the input.

        Raises:
            JobError: There are no files, a file is cut off or has other columns or types, or the
                only host of a job has no complete row.
        """
        files = self._host.files(input_path, "*.csv")

        def split(file: Path) -> tuple[int, int]:
            name = file.relative_to(input_path).with_suffix(".parquet")
            return self._split(file, output_path / "train" / name, output_path / "test" / name)

        read = kept = 0
        for counts in read_progress(parallel(split, files, min_seconds=0), files):
            read, kept = read + counts[0], kept + counts[1]
        _logger.info("kept %d of %d rows, dropped %d incomplete ones", kept, read, read - kept)
        if not kept and self._host.count == 1:
            raise JobError(f"{input_path}: none of {read} rows is complete")

    def _split(self, file: Path, train: Path, test: Path) -> tuple[int, int]:
        """Split a table, and return how many rows were read and how many were kept."""
        table = _scan(file)
        used = (TARGET, *FEATURES)
        finite = pl.all_horizontal(pl.col(FEATURES).is_finite())
        complete = pl.all_horizontal(pl.col(used).is_not_null()) & finite
        uniform = pl.struct(*COLUMNS).hash(self._seed).cast(pl.Float64) / 2**64
        # Null in incomplete rows, so that both filters below drop them.
        is_test = pl.when(complete).then(uniform < self._test_fraction)
        rows = table.select(*used, is_test=is_test)
        for part in (train, test):
            part.parent.mkdir(parents=True, exist_ok=True)
        counts = rows.select(pl.len(), pl.col("is_test").count())
        parts = [
            rows.filter(side).select(used).sink_parquet(part, compression="snappy", lazy=True)
            for side, part in ((~pl.col("is_test"), train), (pl.col("is_test"), test))
        ]
        with polars_errors(table, file, _UNREADABLE):
            counted, *_ = pl.collect_all([counts, *parts], engine="streaming")
        read, kept = counted.row(0)
        return read, kept


def _scan(file: Path) -> pl.LazyFrame:
    if not file.is_file():
        raise JobError(f"{file}: not a file")
    table = pl.scan_csv(
        file, glob=False, infer_schema=False, schema_overrides=COLUMNS, null_values=[NULL]
    )
    with polars_errors(table, file, _UNREADABLE):
        columns = table.collect_schema().names()
    if missing := [name for name in COLUMNS if name not in columns]:
        raise JobError(f"{file}: no column {', '.join(missing)}")
    with file.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        ends_with_line_break = stream.read() == b"\n"
    if not ends_with_line_break:
        raise JobError(
            f"{file}: no line break after the last row, as in a file that was cut off: copy it "
            "again, or end it with a line break if it is complete"
        )
    return table
