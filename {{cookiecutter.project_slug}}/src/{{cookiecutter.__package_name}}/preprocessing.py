"""From the raw tables to a training and a test set."""

import logging
from pathlib import Path

import polars as pl

from .dataset import ALWAYS, COLUMNS, FEATURES, NULL, TARGET, reasons
from .runtime import Host, JobError, progress

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

        Raises:
            JobError: there is no file, a file is not a table of these columns and types, or no
                row of the whole job can be used.
        """
        read = kept = 0
        for file in progress(self._host.files(input_path, "*.csv"), "files"):
            name = file.relative_to(input_path).with_suffix(".parquet")
            counts = self._split(file, output_path / "train" / name, output_path / "test" / name)
            read, kept = read + counts[0], kept + counts[1]
        _logger.info("kept %d of %d rows, dropped %d incomplete ones", kept, read, read - kept)
        if not kept and self._host.count == 1:
            raise JobError(f"{input_path}: none of {read} rows is complete")

    def _split(self, file: Path, train: Path, test: Path) -> tuple[int, int]:
        row = pl.struct(pl.all())
        is_test = row.hash(self._seed).cast(pl.Float64) / 2**64 < self._test_fraction
        table = _scan(file)
        finite = pl.all_horizontal(pl.col(*FEATURES).is_finite())
        kept = table.select(TARGET, *FEATURES, is_test=is_test).drop_nulls().filter(finite)
        for part in (train, test):
            part.parent.mkdir(parents=True, exist_ok=True)
        with reasons(f"{file}: {_UNREADABLE}", train):
            *_, rows, used = pl.collect_all(
                [
                    kept.filter(~pl.col("is_test")).drop("is_test").sink_parquet(train, lazy=True),
                    kept.filter("is_test").drop("is_test").sink_parquet(test, lazy=True),
                    table.select(read=pl.len(), cut=pl.col(ALWAYS).null_count()),
                    kept.select(pl.len()),
                ],
                engine="streaming",
            )
        if rows["cut"].item():
            raise JobError(f"{file}: a row has no {ALWAYS}, as in a file that was cut off")
        return int(rows["read"].item()), int(used.item())


def _scan(file: Path) -> pl.LazyFrame:
    if not file.is_file():
        raise JobError(f"{file}: not a file")
    rows = pl.scan_csv(file, glob=False, infer_schema=False, null_values=[NULL])
    with reasons(f"{file}: {_UNREADABLE}", file):
        found = rows.collect_schema().names()
    if missing := [name for name in COLUMNS if name not in found]:
        raise JobError(f"{file}: no column {', '.join(missing)}")
    return rows.select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())
