import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from {{ cookiecutter.__package_name }} import dataset
from {{ cookiecutter.__package_name }}.runtime import JobError
from {{ cookiecutter.__package_name }}.trials import best_parameters


def train(dataset_path: Path, trials_path: Path | None, output: Path, seed: int = 0) -> Any:
    from {{ cookiecutter.__package_name }}.training import TrainingHandler

    output.mkdir()
    TrainingHandler(seed=seed).run(dataset_path, trials_path, output)
    return json.loads((output / "metrics.json").read_text())


def test_metrics_are_those_of_the_saved_model(
    dataset_path: Path, trials_path: Path, tmp_path: Path
) -> None:
    metrics = train(dataset_path, trials_path, tmp_path / "model")
    model = pickle.loads((tmp_path / "model" / "model.pkl").read_bytes())
    features, species = dataset.load(dataset_path / "test")
    predicted = model.predict(features)

    assert metrics["accuracy"] > 0.95
    assert metrics["accuracy"] == pytest.approx(np.mean(predicted == species))
    assert metrics["n"] == len(species)
    assert metrics["labels"] == sorted(set(species))
    for row, label in enumerate(metrics["labels"]):
        counts = [
            int(np.sum((species == label) & (predicted == other))) for other in metrics["labels"]
        ]
        assert metrics["confusion_matrix"][row] == counts
        of_class = metrics["classes"][label]
        assert of_class["n"] == sum(counts)
        assert of_class["recall"] == pytest.approx(counts[row] / sum(counts))
        assert of_class["precision"] == pytest.approx(counts[row] / np.sum(predicted == label))


def test_takes_the_best_trial_where_there_is_one(
    dataset_path: Path, trials_path: Path, tmp_path: Path
) -> None:
    metrics = train(dataset_path, trials_path, tmp_path / "tuned")
    assert metrics["parameters"] == best_parameters(trials_path)
    assert train(dataset_path, None, tmp_path / "plain")["parameters"] == {}


def test_same_seed_same_metrics(dataset_path: Path, tmp_path: Path) -> None:
    first = train(dataset_path, None, tmp_path / "first", seed=3)
    assert train(dataset_path, None, tmp_path / "second", seed=3) == first


@pytest.mark.parametrize("side", ["train", "test"])
def test_an_empty_side(dataset_path: Path, tmp_path: Path, side: str) -> None:
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        if name != side:
            for part in (dataset_path / name).iterdir():
                (tmp_path / name / part.name).write_bytes(part.read_bytes())
    with pytest.raises(JobError, match=str(tmp_path / side)):
        train(tmp_path, None, tmp_path / "model")


def test_one_class_only(dataset_path: Path, tmp_path: Path) -> None:
    for side in ("train", "test"):
        (tmp_path / side).mkdir()
        rows = pl.read_parquet(dataset_path / side).filter(species="Gentoo")
        rows.write_parquet(tmp_path / side / "part.parquet")
    with pytest.raises(JobError, match="one class"):
        train(tmp_path, None, tmp_path / "model")


@pytest.mark.parametrize("content", [b"", b"PAR1 but broken PAR1"])
def test_a_broken_data_set(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "part.parquet").write_bytes(content)
    with pytest.raises(JobError, match=str(tmp_path)):
        train(tmp_path, None, tmp_path / "model")
