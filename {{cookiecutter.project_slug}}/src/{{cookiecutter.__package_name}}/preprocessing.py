"""From the raw tables to a training and a test set."""

import logging
import os
from pathlib import Path

import polars as pl

from .dataset import ALWAYS, COLUMNS, FEATURES, NULL, TARGET, reasons
from .runtime import Host, JobError, progress

_READ_AHEAD = str(1 << 20)
"""Bytes of a chunk of CSV, of which Polars reads two ahead per core: by default 32 MB each."""

_UNREADABLE = "not a CSV table of the expected types"

_logger = logging.getLogger(__name__)


class PreprocessingHandler:
    """Drop the rows that cannot be used and split the rest by a hash of the row.

    The hash makes a row's side its own affair: it stays the same in any order, number or naming
    of the files, on any number of hosts. It changes with ``seed`` and may change with the version
    of Polars, which ``poetry.lock`` fixes.
    """

    def __init__(self, test_fraction: float, seed: int, host: Host | None = None) -> None:
        self._test_fraction = test_fraction
        self._seed = seed
        self._host = host or Host()

    def run(self, input_path: Path, output_path: Path) -> None:
        """Turn each CSV below ``input_path`` into ``train/`` and ``test/`` Parquet of its name.

        Files are streamed one after the other, so that memory does not grow with the input.

        Raises:
            JobError: there is no file, a file is not a table of these columns and types, or no
                row of the whole job can be used.
        """
        os.environ.setdefault("POLARS_CSV_CHUNK_SIZE", _READ_AHEAD)
        read = kept = 0
        for file in progress(self._host.files(input_path, "*.csv"), "files"):
            name = file.relative_to(input_path).with_suffix(".parquet")
            counts = self._split(file, output_path / "train" / name, output_path / "test" / name)
            read, kept = read + counts[0], kept + counts[1]
        _logger.info("kept %d of %d rows, dropped %d incomplete ones", kept, read, read - kept)
        if not kept and self._host.count == 1:
            raise JobError(f"{input_path}: none of {read} rows is complete")

    def _split(self, file: Path, train: Path, test: Path) -> tuple[int, int]:
        used = (TARGET, *FEATURES)
        finite = pl.all_horizontal(pl.col(FEATURES).is_finite())
        usable = pl.all_horizontal(pl.col(used).is_not_null()) & finite
        drawn = pl.struct(*COLUMNS).hash(self._seed).cast(pl.Float64) / 2**64
        is_test = pl.when(usable).then(drawn < self._test_fraction)
        rows = _scan(file).select(*used, ALWAYS, is_test=is_test)
        for part in (train, test):
            part.parent.mkdir(parents=True, exist_ok=True)
        counts = rows.select(pl.len(), pl.col("is_test").count(), pl.col(ALWAYS).null_count())
        parts = [
            rows.filter(side).select(used).sink_parquet(part, compression="snappy", lazy=True)
            for side, part in ((~pl.col("is_test"), train), (pl.col("is_test"), test))
        ]
        with reasons(f"{file}: {_UNREADABLE}", train):
            counted, *_ = pl.collect_all([counts, *parts], engine="streaming")
        read, kept, cut = counted.row(0)
        if cut:
            raise JobError(f"{file}: a row has no {ALWAYS}, as in a file that was cut off")
        return read, kept


def _scan(file: Path) -> pl.LazyFrame:
    if not file.is_file():
        raise JobError(f"{file}: not a file")
    rows = pl.scan_csv(
        file, glob=False, infer_schema=False, schema_overrides=COLUMNS, null_values=[NULL]
    )
    with reasons(f"{file}: {_UNREADABLE}", file):
        found = rows.collect_schema().names()
    if missing := [name for name in COLUMNS if name not in found]:
        raise JobError(f"{file}: no column {', '.join(missing)}")
    return rows
