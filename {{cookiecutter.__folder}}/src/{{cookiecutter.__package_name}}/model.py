"""The model: which estimator it is, and which of its parameters can be tuned."""

from typing import Any

from sklearn.ensemble import RandomForestClassifier

SEARCH_SPACE: dict[str, list[Any]] = {
    "max_depth": [2, 3, 4, 6, 8, None],
    "max_features": [1, 2, 3, 4],
    "min_samples_leaf": [1, 2, 4, 8, 16],
}


def build(parameters: dict[str, Any], seed: int) -> RandomForestClassifier:
    """An unfitted classifier; what ``parameters`` leaves out stays at scikit-learn's default."""
    return RandomForestClassifier(n_estimators=30, random_state=seed, **parameters)
