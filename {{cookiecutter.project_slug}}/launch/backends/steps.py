"""Runs the steps of a pipeline on this machine, one after the other."""

import json
from collections.abc import Callable
from dataclasses import replace

from .. import project, s3
from ..graph import Pipeline
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
    name, problem = f"{project.name()}-{pipeline.options.run_name}", _check_metric(pipeline)
    if problem:
        return Run(name, "Failed", outputs, problem, ExitCode.FAILED)
    return Run(name, "Completed", outputs)


def _check_metric(pipeline: Pipeline) -> str:
    """Return what is wrong with the metric, or an empty string."""
    metric = pipeline.metric
    launch = pipeline.step(metric.job).launch
    output = next(channel for channel in launch.job.outputs if channel.name == metric.output)
    try:
        file = s3.fetch(launch.outputs[output.option]) / metric.file
        value = float(json.loads(file.read_text(encoding="utf-8"))[metric.name])
    except (KeyError, LaunchError, OSError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
        return f"{metric.name} cannot be read from {metric.file} of {metric.job}: {problem}"
    if value >= pipeline.minimum:
        return ""
    return f"{metric.name} {value} is below {pipeline.minimum}"
