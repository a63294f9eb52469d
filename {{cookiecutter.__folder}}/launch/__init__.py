"""Launch jobs of this repository as local processes, in containers, or on SageMaker.

    run = launch("fit", backend="docker", data_path="out/data", seed=3)
    run.status, run.outputs["model_path"], run.exit_message

Options have the names that ``.venv/bin/python -m launch fit --help`` lists. An input that is left
out has the address in ``launch.toml``. In a pipeline, an option applies to every job that has it;
options under a job's name apply to that job only:

    launch("pipeline", prepare={"input_path": "s3://bucket/raw"}, seed=3)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .run import Run
from .settings.project import ROOT, LaunchError

if TYPE_CHECKING:  # these imports take time
    from .commands.comparison import Comparison
    from .commands.launched_run import LaunchedRun
    from .pipelines.graph import Pipeline
    from .requests.options import Launch

__all__ = [
    "ROOT",
    "LaunchError",
    "Run",
    "again",
    "compare",
    "deploy",
    "fetch",
    "launch",
    "list",
    "logs",
    "plan",
    "processor",
    "show",
    "stop",
]


def launch(job: str, **options: Any) -> "LaunchedRun":
    """Run a job, or ``"pipeline"``, and follow it to its end.

    Args:
        job: The name of the job.
        options: Its options and the launch's. ``env`` takes a dictionary; ``wait=False`` returns
            once SageMaker has accepted the job.

    Raises:
        LaunchError: The launch was rejected; nothing was started. A job that fails raises nothing:
            see ``Run.status``.
    """
    from .pipelines import pipeline
    from .requests import jobs, request
    from .requests.options import parse, to_argv

    if job == "pipeline":
        return _run_pipeline(pipeline.from_options(options))
    read = jobs.read(job)
    parsed = parse(read, to_argv(read, options))
    return _run_job(parsed, request.prepare(parsed))


def plan(job: str, **options: Any) -> dict[str, Any]:
    """Return what ``launch`` would send to SageMaker, without starting anything.

    Raises:
        LaunchError: The launch would be rejected.
    """
    from .pipelines import definition, pipeline
    from .requests import jobs, request
    from .requests.options import parse, to_argv

    options["plan"] = True
    if job == "pipeline":
        return definition.build(pipeline.from_options(options))
    read = jobs.read(job)
    return request.prepare(parse(read, to_argv(read, options)))


def deploy(**options: Any) -> str:
    """Store the pipeline's definition on SageMaker without starting it, and return its ARN.

    Raises:
        LaunchError: The launch was rejected.
    """
    from . import backends
    from .pipelines import pipeline

    return backends.deploy(pipeline.from_options(options, deployed=True))


def compare(runs: Sequence[str]) -> "Comparison":
    """Return what differs between runs, and their metrics, as a table that notebooks display.

    Args:
        runs: Names of runs in ``out/`` or in S3, of launches, or of pipelines' executions.

    Raises:
        LaunchError: A run is unknown, or has no results.
    """
    from .commands import comparison

    return comparison.compare(runs)


def fetch(address: str) -> Path:
    """Return the local folder or file of an address: itself, or a verified copy from S3.

    Raises:
        LaunchError: The address holds no files, or an incomplete result.
    """
    from .storage import s3

    return s3.fetch(address)


def processor(job: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return a ``Processor`` of the SageMaker SDK for a job, and the arguments of its ``run()``.

    This needs the dependency group ``sagemaker``.

    Raises:
        LaunchError: The job cannot be launched, or the SDK is not installed.
    """
    from . import sdk

    return sdk.processor(job, **options)


def list(limit: int = 20) -> Any:  # noqa: A001 - it is ``launch.list()`` for its users
    """Return the newest jobs and runs of the pipeline, on this machine and on SageMaker.

    What cannot be read is left out, with a line on standard error. Each has the fields of
    ``entries.Entry``; a notebook displays them as a table.
    """
    from .commands import cli, table
    from .history import listing

    listed = listing.newest(limit)
    if listed.problems:
        cli.print_problems(listed.problems)
    return table.Entries(listed.entries)


def show(name: str) -> Any:
    """Return what is known about a job or a run of the pipeline; see ``commands.detail.Details``.

    Args:
        name: Its name or the unique beginning of it, or the name of a run.

    Raises:
        LaunchError: No launch has this name, or several have it.
    """
    from .commands import detail

    return detail.show(name)


def logs(name: str) -> "LaunchedRun":
    """Print the log of a job or a run of the pipeline, follow it to its end, and return its run.

    This works after a restart of the notebook's kernel, too. An interrupt does not stop the job.

    Raises:
        LaunchError: There is no such job, or its log cannot be read.
    """
    from .commands import launched_run

    return launched_run.logs(name)


def stop(name: str) -> "LaunchedRun":
    """Stop a job or a run of the pipeline, unless it has ended, and return its run.

    Raises:
        LaunchError: There is no such job, or it cannot be stopped.
    """
    from .commands import attach, launched_run

    return launched_run.of(attach.stop(name))


def again(name: str, **changes: Any) -> "LaunchedRun":
    """Repeat an earlier launch, and follow it to its end.

    Differences from the earlier launch (commit, image, inputs) are printed.

    Args:
        name: Its name or the unique beginning of it, or the name of a run.
        changes: Options that replace those of the earlier launch.

    Raises:
        LaunchError: The launch was rejected, or the value of a secret option is needed again.
    """
    from .commands import repeat
    from .pipelines import pipeline
    from .requests import jobs, request
    from .requests.options import parse

    repeated = repeat.from_options(name, changes)
    if repeated.job == "pipeline":
        parsed = pipeline.parse(repeated.argv)
        repeated.print_differences([(step.launch, step.request) for step in parsed.steps])
        return _run_pipeline(parsed)
    launch = parse(jobs.read(repeated.job), repeated.argv)
    job_request = request.prepare(launch)
    repeated.print_differences([(launch, job_request)])
    return _run_job(launch, job_request)


def _run_job(parsed: "Launch", job_request: dict[str, Any]) -> "LaunchedRun":
    from . import backends
    from .commands import launched_run, tracking

    run = backends.run(parsed, job_request)
    tracking.log_job(parsed, run)
    return launched_run.of(run)


def _run_pipeline(parsed: "Pipeline") -> "LaunchedRun":
    from . import backends
    from .commands import launched_run, tracking

    run = backends.run_pipeline(parsed)
    tracking.log_pipeline(parsed, run)
    return launched_run.of(run)
