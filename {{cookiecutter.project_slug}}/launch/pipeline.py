"""The jobs as a pipeline: each reads what the jobs before it wrote, and a metric is checked last.

An input is written by the last job before it that has an output channel of the same name, so the
entrypoints alone define the graph.
"""

import argparse
import itertools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from . import jobs, options, project, request
from .addresses import contains
from .graph import Metric, Pipeline, Step
from .project import LaunchError

JOBS = ("preprocess", "tune", "train")

METRIC = Metric(job="train", output="model", file="metrics.json", name="accuracy")

_SHARED = ("backend", "plan", "run_name", "wait")
"""Options of the launch that cannot differ between jobs."""


def parse(argv: Sequence[str], *, deployed: bool = False) -> Pipeline:
    """Parse a command line: ``--option.job value`` is for one job, ``--option value`` for all.

    Raises:
        LaunchError: A step cannot be launched; nothing was started.
    """
    shared: list[str] = []
    own: dict[str, list[str]] = defaultdict(list)
    words = shared
    for word in argv:
        if dotted := re.fullmatch(r"(--[^=.]+)\.([^=.]+)(=.*)?", word, flags=re.DOTALL):
            option, job, value = dotted.groups(default="")
            words = own[job]
            words.append(option + value)
        else:
            words = shared if word.startswith("--") else words
            words.append(word)
    return prepare(shared, own, deployed=deployed)


def from_options(values: Mapping[str, Any], *, deployed: bool = False) -> Pipeline:
    """Like ``parse``, from keyword arguments; those of one job are a mapping under its name.

    Raises:
        LaunchError: A step cannot be launched; nothing was started.
    """
    read = {name: jobs.read(name) for name in JOBS}
    own = {name: options.to_argv(read[name], values[name]) for name in JOBS if name in values}
    others = {name: value for name, value in values.items() if name not in {*JOBS, "cache"}}
    shared = options.to_argv(read[JOBS[0]], others)
    if not values.get("cache", True):
        shared.append("--no-cache")
    return prepare(shared, own, deployed=deployed)


def prepare(
    shared: Sequence[str], own: Mapping[str, Sequence[str]], *, deployed: bool = False
) -> Pipeline:
    """Check every step before the first is started.

    Args:
        shared: Options of the pipeline, and those that apply to each job.
        own: By name, options of one job.
        deployed: Whether this launch only stores the definition, for others to execute.

    Raises:
        LaunchError: A step cannot be launched; nothing was started.
    """
    if unknown := own.keys() - set(JOBS):
        raise LaunchError(f"there is no job {min(unknown)!r}: choose from {', '.join(JOBS)}")
    pipeline_options, rest = _parser().parse_known_args(shared)
    if deployed and "--plan" not in rest:  # a plan needs no AWS
        rest = ["--backend=sagemaker", *rest]
    steps: list[Step] = []
    launch_id = options.new_id()
    for job in JOBS:
        try:
            steps.append(_step(job, [*rest, *own.get(job, [])], steps, launch_id))
        except LaunchError as error:
            advice = (
                f" (to set an option for this job only: --OPTION.{job})"
                if "argument" in str(error)
                else ""
            )
            raise type(error)(f"{job}: {error}{advice}") from error
    pipeline = Pipeline(
        name=project.name() if deployed else f"{project.name()}-launched",
        steps=steps,
        options=steps[0].launch.options,
        metric=METRIC,
        minimum=getattr(pipeline_options, f"min_{METRIC.name}"),
        cache=pipeline_options.cache,
        deployed=deployed,
    )
    _check(pipeline)
    return pipeline


def _step(job_name: str, argv: Sequence[str], before: Sequence[Step], launch_id: str) -> Step:
    """Return a step that reads what the steps before it write."""
    job = jobs.read(job_name)
    written = {
        channel.name: (step, step.launch.outputs[channel.option])
        for step in before
        for channel in step.launch.job.outputs
    }
    upstream = {item.option: written[item.name] for item in job.inputs if item.name in written}
    for option, (step, _) in upstream.items():
        if any(word.partition("=")[0] == f"--{option}" for word in argv):
            raise LaunchError(
                f"argument --{option}: the pipeline sets it to the output of {step.job}"
            )
    launch = options.parse(
        job,
        [*argv, *(f"--{option}={address}" for option, (_, address) in upstream.items())],
        launch_id=launch_id,
        upstream={option: step.job for option, (step, _) in upstream.items()},
    )
    for option in launch.options.shard:
        if option in upstream:
            raise LaunchError(f"argument --shard: --{option} is the output of another job")
    found = [step for step in before if not step.launch.options.image]
    image = found[0].request["AppSpecification"]["ImageUri"] if found else ""
    return Step(launch, request.prepare(launch, image))


def _check(pipeline: Pipeline) -> None:
    """Check what concerns more than one step."""
    for option in _SHARED:
        if len({str(getattr(step.launch.options, option)) for step in pipeline.steps}) > 1:
            raise LaunchError(f"argument --{option}: it must be the same for all jobs")
    _check_outputs(pipeline)
    if not pipeline.deployed:
        return
    if pipeline.options.backend != "sagemaker" and not pipeline.options.plan:
        raise LaunchError("argument --backend: a deployed pipeline runs on SageMaker only")
    for step in pipeline.steps:
        for option in step.launch.named_outputs:
            raise LaunchError(
                f"argument --{option}.{step.job}: the next execution would write there again; "
                "leave it out, and each execution writes to a folder of its own"
            )


def _check_outputs(pipeline: Pipeline) -> None:
    """Reject outputs of two steps of which one would contain the other."""
    outputs = [
        (f"--{option}.{step.job}", address)
        for step in pipeline.steps
        for option, address in step.launch.outputs.items()
    ]
    for (option, address), (other, other_address) in itertools.permutations(outputs, 2):
        if contains(address, other_address):
            raise LaunchError(f"argument {option}: {address} contains {other}")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise LaunchError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m launch pipeline",
        usage="python -m launch {pipeline,deploy} [--OPTION VALUE ...] [--OPTION.JOB VALUE ...]",
        description=f"Run {', '.join(JOBS)} as a pipeline, or deploy it for others to execute.",
        epilog="The other options are those of `python -m launch JOB --help`: --instance_count 2 "
        "is for every job, --instance_count.tune 2 for one.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        f"--min_{METRIC.name}",
        type=_between_0_and_1,
        default=0.9,
        help=f"the pipeline fails if {METRIC.name} is less",
    )
    parser.add_argument(
        "--cache",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="on SageMaker, reuse the results of steps whose inputs and options did not change",
    )
    return parser


def _between_0_and_1(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
