"""Runs the steps of a pipeline on this machine, one after the other."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..history import command_lines, recordings, results
from ..history.command_lines import Group, Words
from ..history.entries import PIPELINE
from ..history.recordings import Recording
from ..pipelines.graph import Pipeline
from ..requests.options import Launch
from ..run import ExitCode, Request, Run
from ..settings import project
from ..settings.metric import Metric, MetricError
from ..settings.project import LaunchError
from ..storage import code, s3


def run(pipeline: Pipeline, run_job: Callable[[Launch, Request], Run]) -> Run:
    """Run the steps to the first that fails, and check the metric.

    Args:
        pipeline: The pipeline.
        run_job: Runs the job of a step.

    Raises:
        LaunchError: The first step was rejected; nothing was started.
    """
    with recordings.recording(pipeline.launch_name, lambda: _facts(pipeline)) as recording:
        recording.begin()
        return recording.end(_run(pipeline, run_job, recording))


def _run(
    pipeline: Pipeline, run_job: Callable[[Launch, Request], Run], recording: Recording
) -> Run:
    outputs = {name: result.address for name, result in pipeline.reused.items()}
    for result in pipeline.reused.values():
        print(result.describe(pipeline.stamp), flush=True)
        if result.run != pipeline.options.run_name:
            results.note_reuse(pipeline.options.run_name, result.job, result.run)
    for step in pipeline.steps:
        if recording.stop_requested:
            message = f"stopped by `{project.COMMAND} stop`"
            return Run(step.launch.name, "Stopped", outputs, message, ExitCode.FAILED)
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


def _facts(pipeline: Pipeline) -> dict[str, Any]:
    """Return the facts of a run for its recording; see ``recordings.recording``."""
    launches = [step.launch for step in pipeline.steps]
    inputs = {
        f"{option}.{launch.job.name}": address
        for launch in launches
        for option, address in launch.inputs.items()
        if option not in launch.upstream
    }
    repeated = _words(pipeline)
    request = pipeline.steps[0].request
    tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
    return {
        "job": PIPELINE,
        "run": pipeline.options.run_name,
        "backend": pipeline.options.backend,
        "commit": tags.get("commit", ""),
        "image": request["AppSpecification"]["ImageUri"],
        "code": code.digest(request),
        "inputs": inputs,
        "content": {option: recordings.content(address) for option, address in inputs.items()},
        "outputs": {
            f"{option}.{launch.job.name}": address
            for launch in launches
            for option, address in launch.outputs.items()
        },
        "options": list(repeated.options),
        "hidden": list(repeated.hidden),
        "steps": {launch.job.name: launch.name for launch in launches},
    }


def _words(pipeline: Pipeline) -> Words:
    """Return the options of a run, each for the job that takes it."""
    kept: list[Group] = [[f"--backend={pipeline.options.backend}"]]
    if pipeline.options.code:
        kept.append(["--code"])
    if not pipeline.cache:
        kept.append(["--no-cache"])
    if pipeline.metric:
        kept.append([f"--{pipeline.metric.option}={pipeline.metric.limit}"])
    if pipeline.selection.skipped:
        kept.append([f"--from={pipeline.steps[0].job}"])
        found_in = {result.found_in for result in pipeline.reused.values()}
        kept += [[f"--from_run={run}"] for run in found_in]
    hidden: list[str] = []
    for launch in (step.launch for step in pipeline.steps):
        typed = [each for each in launch.typed if each[0] not in ("--backend", "--code")]
        inputs = {
            option: address
            for option, address in launch.inputs.items()
            if option not in launch.upstream
        }
        own = command_lines.of_launch(launch.job, typed, launch.arguments, inputs).for_job(
            launch.job.name
        )
        kept += own.options
        hidden += own.hidden
    return Words(kept, hidden)


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
