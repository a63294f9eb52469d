"""What the tests share.

Handlers are imported where they run, not at the top of a file: every worker reads every file of
tests, and would load scikit-learn to do so.
"""

from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["aws_faults", "probe", "small_pipeline"]

# A busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def raw(repository: Path) -> Path:
    return repository / "data" / "penguins"


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
