"""The model, and the values of its parameters that tune tries."""

from typing import Any

from sklearn.ensemble import RandomForestClassifier

SEARCH_SPACE: dict[str, list[Any]] = {
    "max_depth": [2, 3, 4, 6, 8, None],
    "max_features": [1, 2, 3, 4],
    "min_samples_leaf": [1, 2, 4, 8, 16],
}


def build(parameters: dict[str, Any], seed: int) -> RandomForestClassifier:
    """Return an unfitted classifier; other parameters have the defaults of scikit-learn."""
    return RandomForestClassifier(n_estimators=30, random_state=seed, **parameters)
