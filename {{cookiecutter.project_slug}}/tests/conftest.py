"""Fixtures for all tests: those of your jobs in ``jobs``, all others in ``machinery``.

Handlers are imported where they run, not at the top of a file: every worker reads every file of
tests, and would load the handlers' libraries to do so.
"""

from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["aws_faults", "probe", "small_pipeline", "committed"]

# A busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parents[1]
