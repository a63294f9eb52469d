"""What SageMaker Processing gives to a container and reads from it.

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
"""The part of the message that ``ExitMessage`` shows."""


def resource_config() -> dict[str, Any]:
    """The names of the hosts; empty outside of SageMaker."""
    return _read("resourceconfig.json")


def job_config() -> dict[str, Any]:
    """The request that started the job; empty outside of SageMaker."""
    return _read("processingjobconfig.json")


def leave_message(reason: str) -> None:
    """Write the text that SageMaker shows as ``ExitMessage``; outside of SageMaker do nothing."""
    message = reason.encode()[:MESSAGE_BYTES].decode(errors="ignore")
    with suppress(OSError):  # the log has it
        if _base().is_dir():
            (_base() / "output").mkdir(exist_ok=True)
            (_base() / "output" / "message").write_text(message, encoding="utf-8")


def as_in_container(text: str) -> str:
    """Replace the folder that represents ``/opt/ml`` on another machine by that name."""
    return replace_path(text, _base(), Path("/opt/ml"))


def replace_path(text: str, path: Path, shown: Path) -> str:
    """Replace a path, also where a text quotes it, as that of an ``OSError`` does."""
    return text.replace(str(path), str(shown)).replace(repr(str(path))[1:-1], str(shown))


def _read(name: str) -> dict[str, Any]:
    file = _base() / "config" / name
    config: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return config


def _base() -> Path:
    """``/opt/ml``, unless the variable that SageMaker's own toolkits read names another folder."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
