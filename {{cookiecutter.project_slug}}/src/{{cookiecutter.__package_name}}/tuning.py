"""Search for the parameters of the model."""

import json
import logging
from pathlib import Path
from typing import Any

from sklearn.model_selection import ParameterSampler, StratifiedKFold, cross_val_score

from . import dataset, model
from .runtime import Host, JobError, files_below, progress

_logger = logging.getLogger(__name__)


class TuningHandler:
    """Try parameters drawn from the search space, each by cross-validation.

    Every host draws the same trials from the same seed and tries its own: trial *i* is host
    *i* mod *n*'s, so that hosts need not talk.
    """

    def __init__(self, trials: int, folds: int, seed: int, host: Host | None = None) -> None:
        self._trials = trials
        self._folds = folds
        self._seed = seed
        self._host = host or Host()

    def run(self, input_path: Path, output_path: Path) -> None:
        """Write ``trials/<number>.json`` for each trial on the data set's training side.

        A trial has its ``parameters`` and the ``accuracy`` (mean over the folds, 0 to 1) that
        they reached. There are fewer trials than asked for where the search space is smaller.

        Raises:
            JobError: there are no rows, or too few of a class for the number of folds.
        """
        features, target = dataset.load(input_path / "train")
        smallest = min((target == name).sum() for name in set(target))
        if len(set(target)) < 2 or smallest < self._folds:
            raise JobError(f"{input_path}: {self._folds} folds need as many rows of 2 classes each")
        folds = StratifiedKFold(self._folds, shuffle=True, random_state=self._seed)
        trials = list(enumerate(self._draw()))
        (output_path / "trials").mkdir()
        for number, parameters in progress(self._host.share(trials), "trials"):
            estimator = model.build(parameters, self._seed)
            accuracy = float(cross_val_score(estimator, features, target, cv=folds).mean())
            trial = {"trial": number, "parameters": parameters, "accuracy": accuracy}
            file = output_path / "trials" / f"{number:04}.json"
            file.write_text(json.dumps(trial) + "\n", encoding="utf-8")
            _logger.info("trial %d: accuracy %.4f with %s", number, accuracy, parameters)

    def _draw(self) -> list[dict[str, Any]]:
        return list(ParameterSampler(model.SEARCH_SPACE, self._trials, random_state=self._seed))


def best_parameters(path: Path) -> dict[str, Any]:
    """The parameters of the best trial below ``path``; of equals, those of the first.

    Raises:
        JobError: there is no trial, or a file that is none.
    """
    trials = []
    for file in files_below(path / "trials", "*.json"):
        try:
            trial = json.loads(file.read_text(encoding="utf-8"))
            trials.append((-trial["accuracy"], int(trial["trial"]), dict(trial["parameters"])))
        except (ValueError, KeyError, TypeError) as error:
            raise JobError(f"{file}: not a trial written by tune") from error
    if not trials:
        raise JobError(f"{path}: no trials")
    parameters: dict[str, Any] = min(trials, key=lambda trial: trial[:2])[2]
    return parameters
