"""From a data set to a model of the speed, and how far off it is."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
from numpy.typing import NDArray

from .preparing import CATEGORIES, NUMBERS, TARGET
from .runtime import JobError, files_below

_logger = logging.getLogger(__name__)


class FittingHandler:
    """Fit the model on the training side of a data set and measure it on the test side."""

    def __init__(self, trees: int, seed: int) -> None:
        self._trees = trees
        # With the last two, the result is the same with any number of threads.
        self._parameters = {"seed": seed, "deterministic": True, "force_row_wise": True}

    def run(self, input_path: Path, output_path: Path) -> None:
        """Write ``model.txt``, ``categories.json`` and ``metrics.json``.

        ``metrics.json`` holds the root mean squared error (``rmse``) and the mean absolute error
        (``mae``) in knots and the number of rows (``n``) of the test side, and in ``constant``
        what they would be if the mean speed were predicted for every row.

        Raises:
            JobError: A side of the data set has no rows.
        """
        train, test = load(input_path / "train"), load(input_path / "test")
        categories = {
            name: train[name].drop_nulls().unique().sort().to_list() for name in CATEGORIES
        }
        rows = lightgbm.Dataset(
            encode(train, categories),
            train[TARGET].to_numpy(),
            categorical_feature=list(range(len(CATEGORIES))),
        )
        booster = lightgbm.train(self._parameters, rows, num_boost_round=self._trees)
        speed = test[TARGET].to_numpy()
        errors = np.asarray(booster.predict(encode(test, categories))) - speed
        metrics = {
            **_summarise(errors),
            "constant": _summarise(train[TARGET].to_numpy().mean() - speed),
        }
        booster.save_model(output_path / "model.txt")
        for name, content in (("categories", categories), ("metrics", metrics)):
            text = json.dumps(content, indent=2) + "\n"
            (output_path / f"{name}.json").write_text(text, encoding="utf-8")
        _logger.info("rmse %.2f knots on %d test rows", metrics["rmse"], metrics["n"])


def load(path: Path) -> pl.DataFrame:
    """Read one side of a data set.

    The rows are sorted, so that the model does not depend on how hosts shared the files.

    Raises:
        JobError: There is no row.
    """
    tables = [pl.read_parquet(file, glob=False) for file in files_below(path, "*.parquet")]
    rows = pl.concat(tables) if tables else pl.DataFrame()
    if rows.is_empty():
        raise JobError(f"{path}: no rows")
    return rows.sort(pl.all())


def encode(rows: pl.DataFrame, categories: Mapping[str, Sequence[str]]) -> NDArray[np.float64]:
    """Return the features as numbers: of a category, its position in ``categories``.

    What is missing, and a category that the model was not fitted with, is NaN.
    """
    codes = [
        pl.col(name).cast(pl.Enum(categories[name]), strict=False).to_physical()
        for name in CATEGORIES
    ]
    return rows.select(*codes, *NUMBERS).cast(pl.Float64).to_numpy()


def _summarise(errors: NDArray[np.float64]) -> dict[str, float]:
    rmse, mae = np.sqrt(np.mean(errors**2)), np.mean(np.abs(errors))
    return {"rmse": float(rmse), "mae": float(mae), "n": len(errors)}
