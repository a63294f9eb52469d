"""Small samples of the data, so that tests stay fast when the data grows."""

from pathlib import Path

import pytest

MAX_TABLES = 3
MAX_BYTES = 20_000
"""Per table; the tables of the penguins are smaller."""


@pytest.fixture(scope="session")
def raw(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first rows of the first tables in ``data/penguins``."""
    path = tmp_path_factory.mktemp("raw")
    for table in sorted((repository / "data" / "penguins").glob("*.csv"))[:MAX_TABLES]:
        with table.open("rb") as stream:
            sample = stream.read(MAX_BYTES)
        (path / table.name).write_bytes(sample[: sample.rindex(b"\n") + 1])
    return path


@pytest.fixture(scope="session")
def dataset_path(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from {{ cookiecutter.__package_name }}.preprocessing import PreprocessingHandler

    path = tmp_path_factory.mktemp("dataset")
    PreprocessingHandler(test_fraction=0.2, seed=0).run(raw, path)
    return path


@pytest.fixture(scope="session")
def trials_path(dataset_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from {{ cookiecutter.__package_name }}.tuning import TuningHandler

    path = tmp_path_factory.mktemp("trials")
    TuningHandler(trials=4, folds=3, seed=0).run(dataset_path, path)
    return path
