"""The jobs as a pipeline: each in its turn, fed by those before it, and measured at the end.

An input is fed by the last job before it that has an output channel of the same name, so that the
graph is what the entrypoints say already. SageMaker is the engine of pipelines; here and in Docker
the steps run one after the other, as they would by hand.
"""

import argparse
import importlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from . import aws, options, prepare, project, storage
from . import job as jobs
from .prepare import Plan
from .project import LaunchError
from .run import Run

JOBS = ("preprocess", "tune", "train")


@dataclass(frozen=True)
class Metric:
    """What says whether a result is good enough: a number in a JSON file of an output."""

    job: str
    output: str
    file: str
    name: str


METRIC = Metric(job="train", output="model", file="metrics.json", name="accuracy")


@dataclass(frozen=True)
class Step:
    """A job in a pipeline, and by option the jobs that feed its inputs."""

    plan: Plan
    fed: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.plan.call.job.name


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that nothing speaks against."""

    steps: Sequence[Step]
    minimum: float
    """The least value of ``METRIC`` with which the pipeline succeeds."""

    @property
    def options(self) -> argparse.Namespace:
        """Those of the launch, which all steps share."""
        return self.steps[0].plan.options

    @property
    def request(self) -> dict[str, Any]:
        """The definition that SageMaker takes.

        Raises:
            LaunchError: the SDK of pipelines is not installed, or the API has a limit against it.
        """
        definition = _sdk("definition")
        found: dict[str, Any] = definition.check(definition.build(self))
        return found

    def start(self) -> Run:
        """Run the steps to the first that fails. A step that fails is no error, but a ``Run``."""
        if self.options.where == "sagemaker":
            run: Run = _sdk("execution").run(self)
            return run
        outputs: dict[str, str] = {}
        for step in self.steps:
            print(f"{step.name}:", flush=True)
            run = step.plan.start()
            if run.status != "Completed":
                return run
            outputs |= {f"{name}.{step.name}": address for name, address in run.outputs.items()}
        name, value = f"{project.name()}-{self.options.run_name}", self._measure()
        if value < self.minimum:
            message = f"{METRIC.name} {value} is below {self.minimum}"
            return Run(name, "Failed", outputs, message, exit_code=1)
        return Run(name, "Completed", outputs)

    def _measure(self) -> float:
        step = next(step for step in self.steps if step.name == METRIC.job)
        output = next(item for item in step.plan.call.job.outputs if item.name == METRIC.output)
        file = storage.fetch(step.plan.outputs[output.option]) / METRIC.file
        return float(json.loads(file.read_text(encoding="utf-8"))[METRIC.name])


def parse(argv: Sequence[str]) -> Pipeline:
    """Read a command line: ``--option.job value`` is for one job, ``--option value`` for all."""
    shared: list[str] = []
    own: dict[str, list[str]] = defaultdict(list)
    words = shared
    for word in argv:
        if dotted := re.fullmatch(r"(--[^=.]+)\.([^=.]+)(=.*)?", word, flags=re.DOTALL):
            words = own[dotted[2]]
            words.append(dotted[1] + (dotted[3] or ""))
        else:
            words = shared if word.startswith("--") else words
            words.append(word)
    return prepare_steps(shared, own)


def prepare_steps(shared: Sequence[str], own: Mapping[str, Sequence[str]]) -> Pipeline:
    """Look at every step before the first is started, with options for all jobs and for each.

    Raises:
        LaunchError: a step cannot be launched.
    """
    if unknown := own.keys() - set(JOBS):
        raise LaunchError(f"{min(unknown)!r} is no step: choose from {', '.join(JOBS)}")
    asked, rest = _parser().parse_known_args(shared)
    steps: list[Step] = []
    written: dict[str, tuple[str, str]] = {}
    time = options.now()
    for name in JOBS:
        try:
            step = _step(name, [*rest, *own.get(name, [])], written, time)
        except LaunchError as error:
            raise LaunchError(f"{name}: {error} (for it alone: --OPTION.{name})") from error
        for channel in step.plan.call.job.outputs:
            written[channel.name] = name, step.plan.outputs[channel.option]
        steps.append(step)
    return Pipeline(steps, asked.min_accuracy)


def _step(
    name: str, argv: Sequence[str], written: Mapping[str, tuple[str, str]], time: str
) -> Step:
    """A step whose inputs lie, by channel, where the steps before it write them."""
    job = jobs.read(name)
    fed = {item.option: written[item.name] for item in job.inputs if item.name in written}
    for option, (feeder, _) in fed.items():
        if any(word.partition("=")[0] == f"--{option}" for word in argv):
            raise LaunchError(f"argument --{option}: it is what {feeder} writes")
    addresses = [f"--{option}={address}" for option, (_, address) in fed.items()]
    call = options.parse(job, [*argv, *addresses], time)
    plan = prepare.prepare(call, later=fed)
    return Step(plan, {option: feeder for option, (feeder, _) in fed.items()})


def _parser() -> argparse.ArgumentParser:
    parser = options.Parser(
        prog="python -m launch pipeline",
        usage="python -m launch pipeline [--OPTION VALUE ...] [--OPTION.JOB VALUE ...]",
        description=f"Run {', '.join(JOBS)} as a pipeline.",
        epilog="The options are those of `python -m launch JOB --help`: --instance_count 2 is for "
        "every job, --instance_count.tune 2 for one.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    below = f"the pipeline fails where {METRIC.name} is less"
    parser.add_argument("--min_accuracy", type=_share, default=0.9, help=below)
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


def _sdk(module: str) -> ModuleType:
    """A module that needs the SDK of pipelines, which wants a region when it is imported."""
    os.environ.setdefault("AWS_DEFAULT_REGION", aws.session().region_name)
    try:
        return importlib.import_module(f".{module}", __package__)
    except ImportError as error:
        advice = "`make install GROUPS='dev launch pipeline'` installs it"
        raise LaunchError(f"SageMaker's SDK for pipelines is needed: {advice}") from error
