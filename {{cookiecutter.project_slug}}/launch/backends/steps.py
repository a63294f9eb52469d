"""Runs the steps of a pipeline on this machine, one after the other."""

from collections.abc import Callable
from dataclasses import replace

from .. import project, s3
from ..graph import Pipeline
from ..metric import Metric, MetricError
from ..options import Launch
from ..project import LaunchError
from ..run import ExitCode, Request, Run


def run(pipeline: Pipeline, run_job: Callable[[Launch, Request], Run]) -> Run:
    """Run the steps to the first that fails, and check the metric.

    Args:
        pipeline: The pipeline.
        run_job: Runs the job of a step.

    Raises:
        LaunchError: The first step was rejected; nothing was started.
    """
    outputs: dict[str, str] = {}
    for step in pipeline.steps:
        print(f"{step.name}:", flush=True)
        try:
            done = run_job(step.launch, step.request)
        except LaunchError as error:
            if step is pipeline.steps[0]:
                raise
            done = Run(step.launch.name, "Failed", {}, str(error), ExitCode.FAILED)
        if done.status != "Completed":
            return replace(done, outputs=outputs)
        outputs |= {f"{option}.{step.job}": address for option, address in done.outputs.items()}
    name = f"{project.name()}-{pipeline.options.run_name}"
    if pipeline.metric is None:
        return Run(name, "Completed", outputs)
    try:
        value = _read(pipeline.metric, pipeline.step(pipeline.metric.job).launch)
    except (LaunchError, MetricError) as error:
        problem = f"{pipeline.metric.name} cannot be read: {error}"
        return Run(name, "Failed", outputs, problem, ExitCode.FAILED)
    if not pipeline.metric.accepts(value):
        problem = f"{pipeline.metric.name} {value} {pipeline.metric.complaint}"
        return Run(name, "Failed", outputs, f"{problem} {pipeline.metric.limit}", ExitCode.FAILED)
    return Run(name, "Completed", outputs, metric=pipeline.metric.describe(value))


def _read(metric: Metric, launch: Launch) -> float:
    """Return the metric from the output of its job.

    Raises:
        LaunchError: The output cannot be read.
        MetricError: The job has not written the number.
    """
    channel = next(channel for channel in launch.job.outputs if channel.name == metric.output)
    address = launch.outputs[channel.option]
    try:
        content = (s3.fetch(address) / metric.file).read_bytes()
    except OSError as error:
        place = f"{metric.file} of {metric.job}"
        raise MetricError(f"{place}: {error.strerror}: {address}/{metric.file}") from error
    return metric.read(content)
