"""Fixtures for all tests: those of your jobs in ``jobs``, all others in ``machinery``.

Handlers are imported where they run, not at the top of a file: every worker reads every file of
tests, and would load the handlers' libraries to do so.
"""

from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["aws_faults", "committed", "fake_mlflow", "probe", "small_pipeline"]

# A busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def no_tracking_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test log to the server that you use."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parents[1]
