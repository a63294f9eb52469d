import csv
import errno
import itertools
import os
import random
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from {{ cookiecutter.__package_name }} import dataset, preprocessing
from {{ cookiecutter.__package_name }}.dataset import COLUMNS, FEATURES, TARGET
from {{ cookiecutter.__package_name }}.preprocessing import PreprocessingHandler
from {{ cookiecutter.__package_name }}.runtime import Host, JobError

Row = dict[str, str]


def read_csvs(path: Path) -> list[Row]:
    rows: list[Row] = []
    for file in sorted(path.glob("*.csv")):
        with file.open(newline="", encoding="utf-8") as stream:
            rows += csv.DictReader(stream)
    return rows


def write_csv(file: Path, rows: Iterable[Row]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(COLUMNS))
        writer.writeheader()
        writer.writerows(rows)


def split(path: Path, output: Path, host: Host | None = None) -> None:
    PreprocessingHandler(test_fraction=0.2, seed=0, host=host).run(path, output)


def rows_of(path: Path) -> list[tuple[object, ...]]:
    return sorted(
        row for file in path.rglob("*.parquet") for row in pl.read_parquet(file, glob=False).rows()
    )


def test_every_complete_row_is_on_one_side(raw: Path, dataset_path: Path) -> None:
    used = [TARGET, *FEATURES]
    complete = sorted(
        (row[TARGET], *(float(row[name]) for name in FEATURES))
        for row in read_csvs(raw)
        if "NA" not in [row[name] for name in used]
    )
    train, test = rows_of(dataset_path / "train"), rows_of(dataset_path / "test")
    assert sorted(train + test) == complete
    assert 0.1 < len(test) / len(complete) < 0.3


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_the_split_does_not_depend_on_the_order_and_number_of_files(
    raw: Path, dataset_path: Path, tmp_path: Path, parts: int
) -> None:
    rows = read_csvs(raw)
    random.Random(parts).shuffle(rows)  # noqa: S311
    for part in range(parts):
        write_csv(tmp_path / "raw" / str(part) / "shuffled.csv", rows[part::parts])
    split(tmp_path / "raw", tmp_path / "out")
    for side in ("train", "test"):
        assert rows_of(tmp_path / "out" / side) == rows_of(dataset_path / side)


TABLES = ("a.csv", "b.csv", "c/a.csv", "c/d.csv", "e.csv")
DEALS = st.integers(1, 8).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.none() | st.tuples(*[st.integers(0, count - 1) for _ in TABLES]),
    )
)
"""A number of hosts, and the host of each table; ``None`` if every host has all tables."""


@pytest.fixture(scope="module")
def tables(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The penguins in tables of 0, 4, 16, 64 and 260 rows."""
    rows = iter(read_csvs(raw))
    path = tmp_path_factory.mktemp("tables")
    for name, length in zip(TABLES, (0, 4, 16, 64, 260), strict=True):
        write_csv(path / name, itertools.islice(rows, length))
    return path


@settings(max_examples=20)
@given(DEALS)
def test_hosts_share_the_files(
    dataset_path: Path,
    tables: Path,
    tmp_path_factory: pytest.TempPathFactory,
    deal: tuple[int, tuple[int, ...] | None],
) -> None:
    count, owners = deal
    written: list[str] = []
    rows: dict[str, list[tuple[object, ...]]] = {"train": [], "test": []}
    for index in range(count):
        path, output = tables, tmp_path_factory.mktemp("out")
        if owners:
            path = tmp_path_factory.mktemp("share")
            for name, owner in zip(TABLES, owners, strict=True):
                if owner == index:
                    (path / name).parent.mkdir(exist_ok=True)
                    (path / name).symlink_to(tables / name)
        split(path, output, Host(f"algo-{index + 1}", index, count, frozenset({path} - {tables})))
        written += [str(file.relative_to(output)) for file in output.rglob("*.parquet")]
        for side in rows:
            rows[side] += rows_of(output / side)
    assert sorted(written) == sorted(
        str(Path(side, name).with_suffix(".parquet")) for side in rows for name in TABLES
    )
    for side in rows:
        assert sorted(rows[side]) == rows_of(dataset_path / side)


@settings(max_examples=20)
@given(st.integers(1, 8), st.lists(st.integers(0, 50), min_size=1, max_size=12))
def test_no_host_reads_more_than_another_by_more_than_one_file(
    tmp_path_factory: pytest.TempPathFactory, count: int, sizes: list[int]
) -> None:
    path = tmp_path_factory.mktemp("sizes")
    for number, size in enumerate(sizes):
        (path / f"{number}.csv").write_bytes(b"x" * size)
    shares = [Host(index=index, count=count).files(path, "*.csv") for index in range(count)]
    work = [sum(file.stat().st_size for file in share) for share in shares]
    assert sorted(file for share in shares for file in share) == sorted(path.iterdir())
    assert max(work) - min(work) <= max(sizes)


def test_another_seed_is_another_split(raw: Path, dataset_path: Path, tmp_path: Path) -> None:
    PreprocessingHandler(test_fraction=0.2, seed=1).run(raw, tmp_path)
    assert rows_of(tmp_path / "test") != rows_of(dataset_path / "test")


HEADER = ",".join(COLUMNS)
ROW = "Adelie,Dream,39.1,18.7,181,3750,male,2007"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "table", id="empty"),
        pytest.param(b"a,b\n1,2\n", "species", id="other columns"),
        pytest.param(f"{HEADER}\n".encode(), "0 rows", id="header only"),
        pytest.param(f"{HEADER}\n{ROW},1\n".encode(), "table", id="too many fields"),
        pytest.param(
            f"{HEADER}\n{ROW.replace('39.1', 'long')}\n".encode(), "bill_length_mm", id="text"
        ),
        pytest.param(f"{HEADER}\n{ROW}\nAdelie,Dream,39.1".encode(), "cut off", id="cut off"),
        pytest.param(f"{HEADER}\n{ROW[:-1]}".encode(), "cut off", id="cut off in the last value"),
        pytest.param(HEADER.encode(), "cut off", id="cut off after the header"),
        pytest.param(f"{HEADER}\nAd\xe9lie{ROW}\n".encode("latin-1"), "table", id="not UTF-8"),
        pytest.param(f"{HEADER}\n{ROW.replace('39.1', 'NA')}\n".encode(), "1 rows", id="no row"),
    ],
)
def test_names_the_file_that_cannot_be_used(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "bad.csv").write_bytes(content)
    with pytest.raises(JobError, match=reason) as error:
        split(tmp_path / "raw", tmp_path / "out")
    assert str(tmp_path / "raw") in str(error.value)
    assert "long" not in str(error.value)


def test_a_table_that_was_cut_off_is_rejected_whatever_its_last_column(tmp_path: Path) -> None:
    columns = [*reversed(COLUMNS)]
    rows = [dict(zip(COLUMNS, ROW.split(","), strict=True))] * 2
    table = "\n".join(
        [",".join(columns), *(",".join(row[name] for name in columns) for row in rows)]
    )
    (tmp_path / "raw").mkdir()
    for length in range(len(",".join(columns)), len(table)):
        if table[length - 1] == "\n":
            continue
        (tmp_path / "raw" / "table.csv").write_text(table[:length], encoding="utf-8")
        with pytest.raises(JobError, match="cut off"):
            split(tmp_path / "raw", tmp_path / "out")


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        pytest.param(pl.col("bill_lenght_mm"), pl.exceptions.ColumnNotFoundError, id="misspelt"),
        pytest.param(pl.col("species") + 1, pl.exceptions.InvalidOperationError, id="wrong type"),
        pytest.param(pl.col("year").str.len_chars(), pl.exceptions.SchemaError, id="no text"),
        pytest.param(pl.col("sex").str.to_date(), pl.exceptions.ComputeError, id="no date"),
    ],
)
def test_a_mistake_in_a_query_is_not_blamed_on_the_data(
    raw: Path, query: pl.Expr, kind: type[Exception]
) -> None:
    table = pl.scan_csv(raw / "2007.csv", schema_overrides=COLUMNS, null_values=["NA"])
    with pytest.raises(kind), dataset.polars_errors(table, raw, "not a table"):
        table.select(query).collect()


def test_a_mistake_in_the_handler_keeps_its_traceback(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocessing, "FEATURES", ("bill_lenght_mm",))
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        split(raw, tmp_path)


def test_a_query_that_cannot_write_is_not_blamed_on_the_data(raw: Path, tmp_path: Path) -> None:
    table = pl.scan_csv(raw / "2007.csv", schema_overrides=COLUMNS, null_values=["NA"])
    part = tmp_path / "missing" / "part.parquet"
    with pytest.raises(FileNotFoundError), dataset.polars_errors(table, raw, "not a table"):
        table.sink_parquet(part)


def test_a_table_that_cannot_be_opened(tmp_path: Path) -> None:
    file = tmp_path / "missing.csv"
    table = pl.scan_csv(file)
    reason = f"{file}: {os.strerror(errno.ENOENT)}"
    with pytest.raises(JobError, match=reason), dataset.polars_errors(table, file, "not a table"):
        table.collect()


def test_a_folder_or_a_symlink_loop_instead_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(JobError, match=r"folder\.csv: not a file"):
        split(tmp_path, tmp_path / "out")
    (tmp_path / "folder.csv").rmdir()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    with pytest.raises(JobError, match=r"loop\.csv: not a file"):
        split(tmp_path, tmp_path / "out")


def test_unusual_names(raw: Path, dataset_path: Path, tmp_path: Path) -> None:
    for number, table in enumerate(sorted(raw.iterdir())):
        copy = tmp_path / "raw" / f"a {number}" / "b\n[c]*?.csv"
        copy.parent.mkdir(parents=True)
        copy.write_bytes(table.read_bytes())
    split(tmp_path / "raw", tmp_path / "out")
    assert rows_of(tmp_path / "out") == rows_of(dataset_path)
    assert len(dataset.load(tmp_path / "out")[1]) == len(rows_of(dataset_path))


def test_no_files(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=str(tmp_path)):
        split(tmp_path, tmp_path / "out")
