"""Launch jobs of this repository as local processes, in containers, or on SageMaker.

    run = launch("fit", backend="docker", data_path="out/data", seed=3)
    run.status, run.outputs["model_path"], run.exit_message

Options have the names that ``.venv/bin/python -m launch fit --help`` lists. An input that is left
out has the address that ``launch.toml`` says. A pipeline takes options for all of its jobs that
have them and, under a job's name, for one:

    launch("pipeline", prepare={"input_path": "s3://bucket/raw"}, seed=3)
"""

from pathlib import Path
from typing import Any

from .project import ROOT, LaunchError
from .run import Run

__all__ = ["ROOT", "LaunchError", "Run", "deploy", "fetch", "launch", "plan", "processor"]


def launch(job: str, **options: Any) -> Run:
    """Run a job, or ``"pipeline"``, and follow it to its end.

    Args:
        job: The name of the job.
        options: Its options and the launch's. ``env`` takes a dictionary; ``wait=False`` returns
            once SageMaker has accepted the job.

    Raises:
        LaunchError: The launch was rejected; nothing was started. A job that fails raises nothing:
            see ``Run.status``.
    """
    from . import backends, jobs, pipeline, request
    from .options import parse, to_argv

    if job == "pipeline":
        return backends.run_pipeline(pipeline.from_options(options))
    read = jobs.read(job)
    launched = parse(read, to_argv(read, options))
    return backends.run(launched, request.prepare(launched))


def plan(job: str, **options: Any) -> dict[str, Any]:
    """Return what ``launch`` would send to SageMaker, and start nothing.

    Raises:
        LaunchError: The launch would be rejected.
    """
    from . import definition, jobs, pipeline, request
    from .options import parse, to_argv

    options["plan"] = True
    if job == "pipeline":
        return definition.build(pipeline.from_options(options))
    read = jobs.read(job)
    return request.prepare(parse(read, to_argv(read, options)))


def deploy(**options: Any) -> str:
    """Store the pipeline's definition on SageMaker, start nothing, and return its ARN.

    Raises:
        LaunchError: The launch was rejected.
    """
    from . import backends, pipeline

    return backends.deploy(pipeline.from_options(options, deployed=True))


def fetch(address: str) -> Path:
    """Return the local folder or file of an address: itself, or a verified copy from S3.

    Raises:
        LaunchError: There is nothing, or it is incomplete.
    """
    from . import s3

    return s3.fetch(address)


def processor(job: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return a ``Processor`` of the SageMaker SDK for a job, and the arguments of its ``run()``.

    This needs the dependency group ``sagemaker``.

    Raises:
        LaunchError: The job cannot be launched, or the SDK is not installed.
    """
    from . import sdk

    return sdk.processor(job, **options)
