"""Logs one launch to MLflow: the program that ``tracking`` runs in a process of its own.

It reads JSON from standard input, and MLflow takes the server from ``MLFLOW_TRACKING_URI``. It
prints what it has logged, nothing if the launch was there before, and on failure the reason as the
last line on standard error. It needs the dependency group ``mlflow``, and nothing of ``launch``.
"""

import importlib.util
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

NOT_INSTALLED = 3
"""The exit code without the dependency group."""

# https://mlflow.org/docs/latest/api_reference/rest-api.html#request-limits
_BATCH = 100
_KEY_CHARACTERS = 250
_VALUE_CHARACTERS = 5000
_FORBIDDEN = re.compile(r"[^\w.\- ]")
"""What a key may not contain on every version of the server."""


def log(launch: Mapping[str, Any]) -> bool:
    """Log a launch as one run of MLflow; return whether it was not there before.

    A run that was left incomplete, because the server or the network failed, is completed.

    Args:
        launch: ``experiment``; ``run``, the name that MLflow shows; ``launch``, the name that no
            other launch has, which is also the tag by which the run is found; ``status``;
            ``started`` and ``ended`` in milliseconds since 1970, or ``None``; and ``params``,
            ``metrics`` and ``tags`` by name.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    client = MlflowClient()
    experiment = _experiment(client, launch["experiment"])
    found = client.search_runs([experiment], f"tags.launch = '{launch['launch']}'", max_results=1)
    if found:
        (run,) = found
    else:
        run = client.create_run(
            experiment, launch["started"], {"launch": launch["launch"]}, launch["run"]
        )
    if run.info.status != "RUNNING":
        return False
    metrics = [
        Metric(_key(name), float(value), launch["ended"] or run.info.start_time, 0)
        for name, value in launch["metrics"].items()
        if _key(name) not in run.data.metrics
    ]
    params = [
        Param(_key(name), value[:_VALUE_CHARACTERS]) for name, value in launch["params"].items()
    ]
    tags = [RunTag(_key(name), value[:_VALUE_CHARACTERS]) for name, value in launch["tags"].items()]
    for start in range(0, max(len(metrics), len(params), len(tags)), _BATCH):
        part = slice(start, start + _BATCH)
        client.log_batch(run.info.run_id, metrics[part], params[part], tags[part])
    client.set_terminated(run.info.run_id, launch["status"], launch["ended"])
    return True


def _experiment(client: Any, name: str) -> str:
    """Return the ID of an experiment, which is created if there is none."""
    from mlflow.exceptions import MlflowException

    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException:
        if found := client.get_experiment_by_name(name):  # another process has just created it
            return str(found.experiment_id)
        raise


def _key(name: str) -> str:
    return _FORBIDDEN.sub("_", name)[:_KEY_CHARACTERS]


def _first_cause(error: BaseException) -> BaseException:
    """Return the cause of an error of MLflow, such as a refused connection."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def main() -> int:
    """Log the launch on standard input and return the exit code."""
    needed = ["mlflow"]
    if os.environ["MLFLOW_TRACKING_URI"].startswith("arn:"):
        needed.append("sagemaker_mlflow")
    if not all(map(importlib.util.find_spec, needed)):
        return NOT_INSTALLED
    launch = json.load(sys.stdin)
    try:
        logged = log(launch)
    except Exception as error:  # MLflow, its plugin, requests and botocore have their own
        print(" ".join(str(_first_cause(error)).split()), file=sys.stderr)
        return 1
    if logged:
        print(f"logged to MLflow: run {launch['run']} of the experiment {launch['experiment']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
