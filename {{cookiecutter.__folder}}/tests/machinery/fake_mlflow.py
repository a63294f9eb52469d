"""A stand-in for MLflow, whose group is not installed by default: it keeps runs in a JSON file.

The template logs to a real server.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_MODULES = {
    "__init__.py": """\
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace


class MlflowClient:
    def __init__(self):
        self._file = Path(os.environ["MLFLOW_TRACKING_URI"].removeprefix("http://"))
        self._load()

    def get_experiment_by_name(self, name):
        if any(run["experiment"] == name for run in self._runs):
            return SimpleNamespace(experiment_id=name)

    def create_experiment(self, name):
        return name

    def search_runs(self, experiment_ids, filter_string, max_results):
        (experiment,) = experiment_ids
        self._load()
        time.sleep(float(os.environ.get("FAKE_MLFLOW_SECONDS", 0)))
        return [
            self._run(run)
            for run in self._runs
            if run["experiment"] == experiment
            and filter_string == f"tags.launch = '{run['tags']['launch']}'"
        ]

    def create_run(self, experiment_id, start_time, tags, run_name):
        self._load()
        self._runs.append(
            {
                "id": str(len(self._runs)),
                "experiment": experiment_id,
                "name": run_name,
                "status": "RUNNING",
                "started": start_time,
                "params": {},
                "metrics": {},
                "tags": tags,
            }
        )
        self._save()
        return self._run(self._runs[-1])

    def log_batch(self, run_id, metrics, params, tags):
        assert max(len(metrics), len(params), len(tags)) <= 100, "too many for a call"
        run = self._runs[int(run_id)]
        for name, items in {"params": params, "tags": tags}.items():
            run[name] |= {item.key: item.value for item in items}
        for metric in metrics:
            run["metrics"].setdefault(metric.key, []).append([metric.value, metric.timestamp])
        self._save()
        if "FAKE_MLFLOW_FAILS" in os.environ:
            raise RuntimeError("rejected, " * 2 + "as it is told")

    def set_terminated(self, run_id, status, end_time):
        self._runs[int(run_id)] |= {"status": status, "ended": end_time}
        self._save()

    def _run(self, run):
        info = SimpleNamespace(run_id=run["id"], status=run["status"], start_time=run["started"])
        return SimpleNamespace(info=info, data=SimpleNamespace(metrics=run["metrics"]))

    def _load(self):
        self._runs = json.loads(self._file.read_text()) if self._file.exists() else []

    def _save(self):
        self._file.write_text(json.dumps(self._runs))
""",
    "entities.py": """\
from collections import namedtuple

Metric = namedtuple("Metric", "key value timestamp step")
Param = RunTag = namedtuple("Pair", "key value")
""",
    "exceptions.py": "class MlflowException(Exception): ...\n",
}


@dataclass(frozen=True)
class Server:
    """What was logged."""

    address: str
    file: Path

    @property
    def runs(self) -> list[dict[str, Any]]:
        """``name``, ``experiment``, ``status``, ``params``, ``tags``, and the points of metrics."""
        found: list[dict[str, Any]] = (
            json.loads(self.file.read_text()) if self.file.exists() else []
        )
        return found


@pytest.fixture
def mlflow_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that launches of this test log to."""
    _write(tmp_path / "lib" / "mlflow", _MODULES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    server = Server(f"http://{tmp_path / 'runs.json'}", tmp_path / "runs.json")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    return server


def _write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
