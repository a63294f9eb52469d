"""Training: fits the model and measures it."""

import json
import logging
import pickle
from pathlib import Path

from joblib import parallel_config
from sklearn.metrics import classification_report, confusion_matrix

from . import dataset, model
from .runtime import JobError, cpus
from .trials import best_parameters

_logger = logging.getLogger(__name__)


class TrainingHandler:
    """Fits the model to the training set and measures it on the test set."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def run(self, input_path: Path, trials_path: Path | None, output_path: Path) -> None:
        """Write ``model.pkl``, ``metrics.json`` and ``report.txt``, the metrics as a table.

        The model has the parameters of the best trial below ``trials_path``, or the defaults of
        scikit-learn without ``trials_path``. ``metrics.json`` contains the ``accuracy`` (0 to 1)
        and the number of rows ``n`` of the test set, the ``precision``, ``recall`` and ``n`` of
        each of its ``classes``, and the ``confusion_matrix``: a row for each true label, a column
        for each predicted one, both in the order of ``labels``.

        Raises:
            JobError: The training or the test set is empty, or the training set has only one class.
        """
        features, target = dataset.load(input_path / "train")
        test_features, test_target = dataset.load(input_path / "test")
        if len(set(target)) < 2:
            raise JobError(f"{input_path}: one class only, there is nothing to learn")
        parameters = best_parameters(trials_path) if trials_path else {}
        with parallel_config("threading", n_jobs=cpus()):
            estimator = model.build(parameters, self._seed).fit(features, target)
        predicted = estimator.predict(test_features)
        labels = sorted({*target, *test_target})
        report = {"y_true": test_target, "y_pred": predicted, "labels": labels, "zero_division": 0}
        scores = classification_report(**report, output_dict=True)
        metrics = {
            "accuracy": float((predicted == test_target).mean()),
            "n": len(test_target),
            "classes": {
                label: {
                    "precision": scores[label]["precision"],
                    "recall": scores[label]["recall"],
                    "n": int(scores[label]["support"]),
                }
                for label in labels
            },
            "labels": labels,
            "confusion_matrix": confusion_matrix(test_target, predicted, labels=labels).tolist(),
            "parameters": parameters,
        }
        with (output_path / "model.pkl").open("wb") as file:
            pickle.dump(estimator, file)
        (output_path / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        (output_path / "report.txt").write_text(classification_report(**report, digits=3))
        _logger.info("accuracy %.4f on %d test rows", metrics["accuracy"], metrics["n"])
