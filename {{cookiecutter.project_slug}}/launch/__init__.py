"""Launch a job of this repository: here, in containers, or on SageMaker.

    run = launch("train", where="docker", input_path="out/dataset", seed=3)
    run.status, run.outputs["output_path"], run.exit_message

The options are those of ``python -m launch train --help``, under the same names. The pipeline is
launched in the same way, with options for all of its jobs and, by their names, for one:

    launch("pipeline", preprocess={"input_path": "data/penguins"}, min_accuracy=0.95)
"""

from collections.abc import Mapping
from typing import Any

from . import job as jobs
from . import options as asked
from . import pipeline
from .job import Job
from .pipeline import Pipeline
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
    """What ``launch`` would send to SageMaker; nothing is started.

    It is the request to CreateProcessingJob, or the pipeline's definition.

    Raises:
        LaunchError: it cannot be launched.
    """
    return _prepare(job, options | {"plan": True}).request


def _prepare(name: str, options: dict[str, Any]) -> Plan | Pipeline:
    if name != "pipeline":
        job = jobs.read(name)
        return prepare(asked.parse(job, _write(job, options)))
    steps = {step: jobs.read(step) for step in pipeline.JOBS}
    own = {step: _write(job, options.pop(step, {})) for step, job in steps.items()}
    return pipeline.prepare_steps(_write(steps[pipeline.JOBS[0]], options), own)


def _write(job: Job, options: dict[str, Any]) -> list[str]:
    if isinstance(options.get("env"), Mapping):
        options["env"] = [f"{key}={value}" for key, value in options["env"].items()]
    return jobs.arguments(asked.parser(job), options)
