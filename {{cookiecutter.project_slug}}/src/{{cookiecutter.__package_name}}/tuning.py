"""Search for the parameters of the model."""

import logging
from pathlib import Path
from typing import Any

from sklearn.model_selection import ParameterSampler, StratifiedKFold, cross_val_score

from . import dataset, model, trials
from .runtime import Host, JobError, progress

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
        """Write a trial for each of this host's draws, measured on the data set's training side.

        Its accuracy is the mean over the folds. There are fewer trials than asked for where the
        search space is smaller.

        Raises:
            JobError: there are no rows, or too few of a class for the number of folds.
        """
        features, target = dataset.load(input_path / "train")
        smallest = min((target == name).sum() for name in set(target))
        if len(set(target)) < 2 or smallest < self._folds:
            raise JobError(f"{input_path}: {self._folds} folds need as many rows of 2 classes each")
        folds = StratifiedKFold(self._folds, shuffle=True, random_state=self._seed)
        mine = self._host.share(list(enumerate(self._draw())))
        for number, parameters in progress(mine, "trials"):
            estimator = model.build(parameters, self._seed)
            accuracy = float(cross_val_score(estimator, features, target, cv=folds).mean())
            trials.write(output_path, number, parameters, accuracy)
            _logger.info("trial %d: accuracy %.4f with %s", number, accuracy, parameters)

    def _draw(self) -> list[dict[str, Any]]:
        return list(ParameterSampler(model.SEARCH_SPACE, self._trials, random_state=self._seed))
