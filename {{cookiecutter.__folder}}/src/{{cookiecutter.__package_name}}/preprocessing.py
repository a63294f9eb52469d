"""From the raw tables to a training and a test set."""

import logging
import os
from pathlib import Path

import polars as pl

from .dataset import COLUMNS, FEATURES, NULL, TARGET, polars_errors
from .runtime import Host, JobError, parallel, reading

_UNREADABLE = "not a CSV table of the expected types"

_logger = logging.getLogger(__name__)


class PreprocessingHandler:
    """Drop the rows that cannot be used and split the rest by a hash of the row.

    Each row's side depends only on that row's contents: it stays the same in any order, number or
    naming of the files, on any number of hosts. It changes with ``seed`` and may change with the
    version of Polars, which ``poetry.lock`` fixes.
    """

    def __init__(self, test_fraction: float, seed: int, host: Host | None = None) -> None:
        self._test_fraction = test_fraction
        self._seed = seed
        self._host = host or Host()

    def run(self, input_path: Path, output_path: Path) -> None:
        """Turn each CSV below ``input_path`` into ``train/`` and ``test/`` Parquet of its name.

        Files are streamed, as many at once as there are CPUs: memory does not grow with the input.

        Raises:
            JobError: There is no file, a file is cut off or not a table of these columns and
                types, or no row of the whole job can be used.
        """
        files = self._host.files(input_path, "*.csv")

        def split(file: Path) -> tuple[int, int]:
            name = file.relative_to(input_path).with_suffix(".parquet")
            return self._split(file, output_path / "train" / name, output_path / "test" / name)

        read = kept = 0
        for counts in reading(parallel(split, files, worthwhile=0), files):
            read, kept = read + counts[0], kept + counts[1]
        _logger.info("kept %d of %d rows, dropped %d incomplete ones", kept, read, read - kept)
        if not kept and self._host.count == 1:
            raise JobError(f"{input_path}: none of {read} rows is complete")

    def _split(self, file: Path, train: Path, test: Path) -> tuple[int, int]:
        """Split a table and return how many rows were read and kept."""
        table = _scan(file)
        used = (TARGET, *FEATURES)
        finite = pl.all_horizontal(pl.col(FEATURES).is_finite())
        usable = pl.all_horizontal(pl.col(used).is_not_null()) & finite
        drawn = pl.struct(*COLUMNS).hash(self._seed).cast(pl.Float64) / 2**64
        is_test = pl.when(usable).then(drawn < self._test_fraction)
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
        found = table.collect_schema().names()
    if missing := [name for name in COLUMNS if name not in found]:
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
