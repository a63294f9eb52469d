"""Fixtures for all tests: those of your jobs in ``jobs``, and all others in ``machinery``.

Tests import handlers inside of functions, because every worker imports all test files and would
otherwise load the libraries of all handlers.
"""

from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["aws_faults", "committed", "fake_mlflow", "probe", "small_pipeline"]

# Tests must not fail because the machine is busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def no_tracking_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevent tests from logging to your MLflow server."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parents[1]
