"""Tests of prepare and fit on made reports, so that no test takes longer when the data grows."""

import json
import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from strike_speed.preparing import CATEGORIES, REPORT, TARGET, PreparingHandler
from strike_speed.runtime import Host, JobError

SPEEDS = {"Approach": 140, "Climb": 180, "Landing Roll": 100}


def make_reports(count: int = 300) -> pl.DataFrame:
    """Make reports whose speed depends on the phase of flight; every tenth has none."""
    draw = random.Random(0)  # noqa: S311
    phases = draw.choices(list(SPEEDS), k=count)
    columns = {
        "date": [date(2000, 1, 1) + timedelta(days=number) for number in range(count)],
        "aircraft": draw.choices(["B-727", "C-172", "DORNIER 328"], k=count),
        "phase": phases,
        "speed": [SPEEDS[phase] if number % 10 else None for number, phase in enumerate(phases)],
    }
    return pl.DataFrame(dict.fromkeys(REPORT, [None] * count) | columns, schema=REPORT)


def prepare(reports: Path, output: Path, host: Host | None = None) -> Path:
    engines = reports.with_name("engines.json")
    engines.write_text('{"jet": ["B-727"], "piston": ["C-172"]}')
    PreparingHandler(test_fraction=0.25, seed=0, host=host).run(reports, engines, output)
    return output


def fit(dataset: Path, output: Path) -> Any:
    from strike_speed.fitting import FittingHandler

    output.mkdir()
    FittingHandler(trees=50, seed=0).run(dataset, output)
    return json.loads((output / "metrics.json").read_text())


def rows_of(dataset: Path, side: str) -> pl.DataFrame:
    return pl.read_parquet(sorted(dataset.glob(f"{side}/*.parquet"))).sort(pl.all())


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "reports"
    folder.mkdir()
    for number, table in enumerate(make_reports().iter_slices(100)):
        table.write_parquet(folder / f"{number}.parquet")
    return folder


@pytest.fixture(scope="module")
def dataset(reports: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(reports, tmp_path_factory.mktemp("dataset"))


def test_every_report_with_a_speed_is_on_one_side(dataset: Path) -> None:
    train, test = rows_of(dataset, "train"), rows_of(dataset, "test")
    assert len(train) + len(test) == 270
    assert 0.15 < len(test) / 270 < 0.35
    assert not train[TARGET].null_count() + test[TARGET].null_count()
    engines = dict(train.select("aircraft", "engine").unique().iter_rows())
    assert engines == {"B-727": "jet", "C-172": "piston", "DORNIER 328": None}


@pytest.mark.parametrize("count", [2, 5])
def test_hosts_share_the_reports(reports: Path, dataset: Path, tmp_path: Path, count: int) -> None:
    for index in range(count):
        prepare(reports, tmp_path, Host(f"algo-{index + 1}", index, count))
    for side in ("train", "test"):
        assert rows_of(tmp_path, side).equals(rows_of(dataset, side))


def test_names_the_column_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    make_reports().drop("phase").write_parquet(tmp_path / "reports" / "bad.parquet")
    with pytest.raises(JobError, match=r"bad\.parquet: column phase must be String"):
        prepare(tmp_path / "reports", tmp_path / "out")


def test_metrics_are_those_of_the_saved_model(dataset: Path, tmp_path: Path) -> None:
    import lightgbm

    from strike_speed.fitting import encode

    metrics = fit(dataset, tmp_path / "model")
    booster = lightgbm.Booster(model_file=tmp_path / "model" / "model.txt")
    categories = json.loads((tmp_path / "model" / "categories.json").read_text())
    rows = rows_of(dataset, "test")
    errors = booster.predict(encode(rows, categories)) - rows[TARGET].to_numpy()
    assert metrics["rmse"] == pytest.approx((errors**2).mean() ** 0.5)
    assert metrics["rmse"] < 10 < metrics["constant"]["rmse"]
    assert metrics["n"] == len(rows)
    assert fit(dataset, tmp_path / "again") == metrics


def test_a_category_that_is_missing_or_new_is_nan(dataset: Path) -> None:
    from strike_speed.fitting import encode

    rows = rows_of(dataset, "test")
    codes = encode(rows, {name: ["B-727"] for name in CATEGORIES})[:, CATEGORIES.index("aircraft")]
    assert [code == 0 for code in codes] == [aircraft == "B-727" for aircraft in rows["aircraft"]]


def test_an_empty_side(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "train").symlink_to(dataset / "train")
    (tmp_path / "test").mkdir()
    with pytest.raises(JobError, match=f"{tmp_path}/test: no rows"):
        fit(tmp_path, tmp_path / "model")
