"""Trials: JSON files that tune writes and train reads."""

import json
from pathlib import Path
from typing import Any

from .runtime import JobError, files_below

_FOLDER = "trials"


def write(path: Path, number: int, parameters: dict[str, Any], accuracy: float) -> None:
    """Write ``trials/<number>.json`` below ``path``; ``accuracy`` is between 0 and 1."""
    trial = {"trial": number, "parameters": parameters, "accuracy": accuracy}
    (path / _FOLDER).mkdir(exist_ok=True)
    file = path / _FOLDER / f"{number:04}.json"
    file.write_text(json.dumps(trial) + "\n", encoding="utf-8")


def best_parameters(path: Path) -> dict[str, Any]:
    """Return the parameters of the most accurate trial; of equal ones, those of the first.

    Raises:
        JobError: There are no trials below ``path``, or a file there is not a trial.
    """
    trials = []
    for file in files_below(path / _FOLDER, "*.json"):
        try:
            trial = json.loads(file.read_text(encoding="utf-8"))
            trials.append((-trial["accuracy"], int(trial["trial"]), dict(trial["parameters"])))
        except (ValueError, KeyError, TypeError) as error:
            raise JobError(f"{file}: not a trial written by tune") from error
    if not trials:
        raise JobError(f"{path}: no trials")
    parameters: dict[str, Any] = min(trials, key=lambda trial: trial[:2])[2]
    return parameters
