"""Launch a job of this repository: here, in containers, or on SageMaker.

    run = launch("train", where="docker", input_path="out/dataset", seed=3)
    run.status, run.outputs["output_path"], run.exit_message

The options are those of ``python -m launch train --help``, under the same names.
"""

from collections.abc import Mapping
from typing import Any

from . import job as jobs
from . import options as asked
from .prepare import Plan, prepare
from .project import ROOT, LaunchError
from .run import Run
from .storage import fetch

__all__ = ["ROOT", "LaunchError", "Run", "fetch", "launch", "plan"]


def launch(job: str, **options: Any) -> Run:
    """Run a job to its end, or to its start with ``wait=False``; ``env`` takes a dictionary.

    Raises:
        LaunchError: it cannot be launched. A job that fails is no error: see ``Run.status``.
    """
    return _prepare(job, options).start()


def plan(job: str, **options: Any) -> dict[str, Any]:
    """The CreateProcessingJob request that ``launch`` would send; nothing is started.

    Raises:
        LaunchError: it cannot be launched.
    """
    return _prepare(job, options | {"plan": True}).request


def _prepare(name: str, options: dict[str, Any]) -> Plan:
    job = jobs.read(name)
    if isinstance(options.get("env"), Mapping):
        options["env"] = [f"{key}={value}" for key, value in options["env"].items()]
    argv = jobs.arguments(asked.parser(job), options)
    return prepare(asked.parse(job, argv))
