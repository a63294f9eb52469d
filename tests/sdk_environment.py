"""The SageMaker SDK in a separate environment, to compare its requests with ours.

The SDK has 132 packages, and most of them are used nowhere else. The environment stays in build/sdk
until the lock changes.
"""

from pathlib import Path

import pytest
from conftest import TEMPLATE, run
from filelock import FileLock


@pytest.fixture(scope="session")
def sdk_python(shared_folder: Path) -> Path:
    """The Python of an environment with the SDK of the group `sdk` in poetry.lock."""
    with FileLock(shared_folder / "sdk.lock"):
        run(TEMPLATE.parent, "make", "build/sdk/installed")
    return TEMPLATE.parent / "build" / "sdk" / "bin" / "python"
