import json
from pathlib import Path
from typing import Any

import pytest

from {{ cookiecutter.__package_name }} import trials
from {{ cookiecutter.__package_name }}.runtime import Host, JobError


def contents(path: Path) -> dict[str, Any]:
    return {file.name: json.loads(file.read_text()) for file in path.rglob("*.json")}


def test_trials_are_numbered_and_scored(trials_path: Path) -> None:
    found = contents(trials_path).values()
    assert sorted(trial["trial"] for trial in found) == [0, 1, 2, 3]
    assert all(0.8 < trial["accuracy"] <= 1 for trial in found)


def tune(
    dataset_path: Path, output: Path, host: Host | None = None, folds: int = 2
) -> dict[str, Any]:
    from {{ cookiecutter.__package_name }}.tuning import TuningHandler

    output.mkdir()
    TuningHandler(trials=6, folds=folds, seed=0, host=host).run(dataset_path, output)
    return contents(output)


@pytest.mark.parametrize("count", range(2, 9))
def test_hosts_share_the_trials(
    dataset_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    from sklearn.tree import DecisionTreeClassifier

    def small(parameters: dict[str, Any], seed: int) -> DecisionTreeClassifier:
        return DecisionTreeClassifier(random_state=seed, **parameters)

    monkeypatch.setattr("{{ cookiecutter.__package_name }}.model.build", small)
    trials_of_one_host = tune(dataset_path, tmp_path / "one")
    shared: dict[str, Any] = {}
    for index in range(count):
        name = f"algo-{index + 1}"
        mine = tune(dataset_path, tmp_path / name, Host(name, index, count))
        assert not mine.keys() & shared.keys()
        shared |= mine
    assert shared == trials_of_one_host


def test_best_of_equals_is_the_first(tmp_path: Path) -> None:
    for number, accuracy in enumerate([0.5, 0.9, 0.9]):
        trials.write(tmp_path, number, {"max_depth": number}, accuracy)
    assert trials.best_parameters(tmp_path) == {"max_depth": 1}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"trial": 0}'])
def test_names_the_file_that_is_no_trial(tmp_path: Path, content: str) -> None:
    file = tmp_path / "trials" / "0.json"
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(JobError, match=str(file)):
        trials.best_parameters(tmp_path)


def test_no_trials(tmp_path: Path) -> None:
    (tmp_path / "trials").mkdir()
    with pytest.raises(JobError, match=str(tmp_path)):
        trials.best_parameters(tmp_path)


def test_more_folds_than_rows(dataset_path: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="300 folds"):
        tune(dataset_path, tmp_path / "out", folds=300)
