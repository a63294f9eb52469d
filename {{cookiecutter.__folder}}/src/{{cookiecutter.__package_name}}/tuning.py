"""Tuning: searches for the best parameters of the model."""

import logging
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.model_selection import ParameterSampler, StratifiedKFold, cross_val_score

from . import dataset, model, trials
from .runtime import Host, JobError, parallel, progress

_logger = logging.getLogger(__name__)


class TuningHandler:
    """Evaluates random parameters of the search space by cross-validation.

    Every host draws the same parameters from the same seed and evaluates its share of them.
    """

    def __init__(self, trials: int, folds: int, seed: int, host: Host | None = None) -> None:
        self._trials = trials
        self._folds = folds
        self._seed = seed
        self._host = host or Host()

    def run(self, input_path: Path, output_path: Path) -> None:
        """Write a trial for each of this host's parameters, with the mean accuracy of the folds.

        A search space with fewer combinations than ``trials`` is evaluated completely.

        Raises:
            JobError: There are no rows, or a class has fewer rows than there are folds.
        """
        features, target = dataset.load(input_path / "train")
        classes, rows = np.unique(target, return_counts=True)
        if len(classes) < 2 or rows.min() < self._folds:
            raise JobError(
                f"{input_path}: {self._folds} folds need 2 or more classes of at least as many rows"
            )
        folds = StratifiedKFold(self._folds, shuffle=True, random_state=self._seed)
        draws = ParameterSampler(model.SEARCH_SPACE, self._trials, random_state=self._seed)
        mine = self._host.share(list(enumerate(draws)))
        estimators = [model.build(parameters, self._seed) for _, parameters in mine]
        fits = product(estimators, folds.split(features, target))
        scores = parallel(lambda fit: cross_val_score(fit[0], features, target, cv=[fit[1]]), fits)
        for number, parameters in progress(mine, "trials"):
            accuracy = float(np.mean([next(scores) for _ in range(self._folds)]))
            trials.write(output_path, number, parameters, accuracy)
            _logger.info("trial %d: accuracy %.4f with %s", number, accuracy, parameters)
