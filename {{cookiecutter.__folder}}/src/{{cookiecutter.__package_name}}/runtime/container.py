"""The paths and files through which SageMaker Processing and a container communicate.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

INPUT = "/opt/ml/processing/input"
OUTPUT = "/opt/ml/processing/output"
MESSAGE_BYTES = 1024
"""How many bytes of the message ``ExitMessage`` shows."""


def resource_config() -> dict[str, Any]:
    """Return the names of the hosts; empty outside of SageMaker."""
    return _read("resourceconfig.json")


def job_config() -> dict[str, Any]:
    """Return the request that created the job; empty outside of SageMaker."""
    return _read("processingjobconfig.json")


def write_exit_message(reason: str) -> None:
    """Write the text that SageMaker shows as ``ExitMessage``; do nothing outside of SageMaker."""
    message = reason.encode()[:MESSAGE_BYTES].decode(errors="ignore")
    with suppress(OSError):  # the log contains the message as well
        if _base().is_dir():
            (_base() / "output").mkdir(exist_ok=True)
            (_base() / "output" / "message").write_text(message, encoding="utf-8")


def as_in_container(text: str) -> str:
    """Replace the folder that stands for ``/opt/ml`` outside of a container by ``/opt/ml``."""
    return replace_path(text, _base(), Path("/opt/ml"))


def replace_path(text: str, path: Path, new: Path) -> str:
    """Replace a path in a text, including its ``repr``, which the text of an ``OSError`` has."""
    return text.replace(str(path), str(new)).replace(repr(str(path))[1:-1], str(new))


def _read(name: str) -> dict[str, Any]:
    file = _base() / "config" / name
    config: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return config


def _base() -> Path:
    """Return ``/opt/ml``, or the folder in the variable that SageMaker's own toolkits use."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
