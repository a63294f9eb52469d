"""The jobs as a pipeline: each reads what the jobs before it wrote, and a metric is checked last.

``launch.toml`` lists the jobs. An input is written by the last job before it that has an output
channel of the same name, so the entrypoints alone define the graph.
"""

import argparse
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ..history.reuse import Reused, Selection
from ..requests import jobs, options, request
from ..requests.jobs import Job
from ..requests.options import Launch, LaunchParser
from ..settings import config, names, project
from ..settings.addresses import contains
from ..settings.metric import Metric
from ..settings.parser import Parser
from ..settings.project import LaunchError
from . import retries
from . import selection as selections
from .graph import Pipeline, Step

_SHARED = ("backend", "code", "plan", "run_name", "wait")
"""Options of the launch that cannot differ between jobs."""

_OPTION = re.compile(
    r"(?:(--[^\s=.]+|-[^\W\d])(?:\.([^\s=]+))?|(-[^\W\d][^\s=]+))(=.*)?", re.DOTALL
)
"""An option, the job that is named with it, or a short option with its value, and a value after an
equals sign. Neither a negative number nor a text with a blank in it is one."""


def parse(argv: Sequence[str], *, deployed: bool = False) -> Pipeline:
    """Parse a command line: ``--option.job value`` is for one job.

    ``--option value`` is for each job that has the option.

    Raises:
        LaunchError: A step cannot be launched; nothing was started.
    """
    table = _read_table()
    lines = _CommandLines(table)
    for option, job, words in split(argv):
        if job:
            lines.add_own(job, option, _typed(option, words))
        else:
            lines.add_shared(option, _typed(option, words))
    return _prepare(table, lines, deployed=deployed)


def from_options(values: Mapping[str, Any], *, deployed: bool = False) -> Pipeline:
    """Like ``parse``, from keyword arguments; those of one job are a mapping under its name.

    Raises:
        LaunchError: A step cannot be launched; nothing was started.
    """
    table = _read_table()
    lines = _CommandLines(table)
    for name, value in values.items():
        if name in table.jobs:
            if not isinstance(value, Mapping | None):
                raise LaunchError(f"argument {name}: the options of a job are a dictionary")
            for option, item in (value or {}).items():
                lines.add_own(name, f"--{option}", _keyword(option, item))
        else:
            lines.add_shared(f"--{name}", _keyword(name, value))
    return _prepare(table, lines, deployed=deployed)


def read_options() -> tuple[Sequence[argparse.Action], Mapping[str, Sequence[argparse.Action]]]:
    """Return the options of the pipeline itself, and those of each job.

    Raises:
        LaunchError: There is no pipeline.
    """
    table = _read_table()
    return table.parser.actions, {job: parser.actions for job, parser in table.parsers.items()}


@dataclass(frozen=True)
class _Table:
    """The pipeline in ``launch.toml``, with its jobs."""

    jobs: Mapping[str, Job]
    """By name, in the order in which they run."""
    metric: Metric | None

    @cached_property
    def parser(self) -> "_Parser":
        """The parser of the pipeline's own options."""
        return _Parser(list(self.jobs), self.metric)

    @cached_property
    def parsers(self) -> Mapping[str, LaunchParser]:
        """The parser of each job."""
        return {name: LaunchParser(job) for name, job in self.jobs.items()}


def _read_table() -> _Table:
    """Read the jobs and the metric, and check that they fit.

    Raises:
        LaunchError: There are no jobs, their order or an option is wrong, or the metric belongs to
            none of them.
    """
    listed = config.jobs()
    if not listed:
        example = "\n\n  [pipeline]\n  jobs = [" + ", ".join(map(repr, _sorted_jobs())) + "]\n\n"
        raise LaunchError(
            f"there is no pipeline: list its jobs in {config.FILE}, in the order in which they "
            "run. Check the order of this example:" + example.replace("'", '"')
        )
    for name in listed:
        if name not in jobs.names():
            advice = names.advice(name, jobs.names())
            raise LaunchError(
                f"{config.FILE}: pipeline.jobs: there is no entrypoints/{name}.py{advice}"
            )
    read = {name: jobs.read(name) for name in listed}
    _check_order(list(read.values()))
    retries.policies()  # a mistake in them is reported on every backend
    metric = config.metric()
    if metric and metric.job not in read:
        raise LaunchError(
            f"{config.FILE}: metric.job is {metric.job!r}, which pipeline.jobs does not list"
            f"{names.advice(metric.job, listed)}"
        )
    if metric and metric.output not in (outputs := read[metric.job].output_names):
        raise LaunchError(
            f"{config.FILE}: metric.output is {metric.output!r}, but {metric.job} has no output "
            f"channel of this name{names.advice(metric.output, outputs)}"
        )
    table = _Table(read, metric)
    _check_option_names(table)
    return table


def _sorted_jobs() -> list[str]:
    """Return the names of all jobs, each after those that write its inputs."""
    every = [jobs.read(name) for name in jobs.names()]
    graph = {
        job.name: [
            writer.name
            for writer in every
            if writer is not job and {item.name for item in job.inputs} & set(writer.output_names)
        ]
        for job in every
    }
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError:
        return list(graph)


def _check_order(listed: Sequence[Job]) -> None:
    """Reject a job whose input is written only after it."""
    written: set[str] = set()
    for index, job in enumerate(listed):
        for item, writer in itertools.product(job.inputs, listed[index + 1 :]):
            if item.name not in written and item.name in writer.output_names:
                raise LaunchError(
                    f"{config.FILE}: pipeline.jobs: {job.name} reads {item.name}, which "
                    f"{writer.name} writes after it: list {writer.name} before {job.name}, or "
                    "rename the channel in one of them"
                )
        written.update(job.output_names)


def _check_option_names(table: _Table) -> None:
    """Reject an option of the pipeline that has the name of another option."""
    own = table.parser.option_strings - {"-h", "--help"}
    for name, parser in table.parsers.items():
        for option in sorted(own & parser.option_strings):
            if not table.metric or option != f"--{table.metric.option}":
                raise LaunchError(
                    f"entrypoints/{name}.py: {option} is also an option of launch: rename it"
                )
            if option.removeprefix("--") in parser.launch_options:
                raise LaunchError(
                    f"{config.FILE}: metric.name makes {option}, which is also an option of "
                    "launch: give the metric another name"
                )
            raise LaunchError(
                f"{config.FILE}: metric.name makes {option}, which is also an option of {name}: "
                "rename one of them"
            )


def split(argv: Sequence[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each option, the job that is named with it, if any, and the words without that name."""
    words: list[str] = []
    option = job = ""
    for word in argv:
        if word == "--":
            raise LaunchError("a bare -- is not supported: write --option=value")
        match = _OPTION.fullmatch(word)
        if match:
            if words:
                yield option, job, words
            option, job, with_value, value = match.groups(default="")
            option = option or with_value
            words = [option + value]
        elif words:
            words.append(word)
        else:
            raise LaunchError(f"unrecognized arguments: {word}")
    if words:
        yield option, job, words


@dataclass
class _CommandLines:
    """The options of a launch, divided among the pipeline and its jobs."""

    table: _Table
    pipeline: list[str] = field(default_factory=list)
    shared: dict[str, list[str]] = field(default_factory=dict)
    own: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    """Problems with unknown options."""

    def words(self, job: str) -> list[str]:
        """Return the command line of a job, whose own options have precedence."""
        return [*self.shared.get(job, []), *self.own.get(job, [])]

    def add_own(self, job: str, option: str, words_for: "_WordsFor") -> None:
        """Add an option for one job."""
        self._check_job(job)
        words = words_for(self.table.parsers[job])
        if words is None:
            self._reject_own(job, option)
        else:
            self.own.setdefault(job, []).extend(words)

    def add_shared(self, option: str, words_for: "_WordsFor") -> None:
        """Add an option for the pipeline or else for all jobs that have it."""
        own = words_for(self.table.parser)
        if own is not None:
            self.pipeline.extend(own)
            return
        by_job = {job: words_for(parser) for job, parser in self.table.parsers.items()}
        accepted = {job: words for job, words in by_job.items() if words is not None}
        for job, words in accepted.items():
            self.shared.setdefault(job, []).extend(words)
        if not accepted:
            self._reject_shared(option)

    def check(self) -> None:
        """Reject unknown options."""
        if self.unknown:
            raise LaunchError("; ".join(self.unknown))

    def _check_job(self, job: str) -> None:
        if job not in self.table.jobs:
            advice = names.similar(job, self.table.jobs) or f": choose from {self._listed}"
            raise LaunchError(f"there is no job {job!r} in the pipeline{advice}")

    def _reject_own(self, job: str, option: str) -> None:
        known = [f"{each}.{job}" for each in self.table.parsers[job].option_strings]
        typed = f"{_shown(option)}.{job}"
        if _has(self.table.parser.option_strings, option):
            self.unknown.append(
                f"unrecognized arguments: {typed}: this option belongs to the pipeline: write "
                f"{_shown(option)}"
            )
            return
        self.unknown.append(f"unrecognized arguments: {typed}{names.similar(typed, known)}")

    def _reject_shared(self, option: str) -> None:
        known = {each for job in self.table.parsers.values() for each in job.option_strings}
        similar = names.similar(_shown(option), known | self.table.parser.option_strings)
        problem = f"none of the jobs {self._listed} has this option{similar}"
        self.unknown.append(f"unrecognized arguments: {_shown(option)}: {problem}")

    @property
    def _listed(self) -> str:
        return ", ".join(self.table.jobs)


def _has(option_strings: set[str], option: str) -> bool:
    """Return whether an option is among those of a parser; ``-n5`` is ``-n`` with its value."""
    return option in option_strings or _shown(option) in option_strings


def _shown(option: str) -> str:
    """Return the name of a typed option, because messages must not show values."""
    return option if option.startswith("--") else option[:2]


_WordsFor = Callable[["LaunchParser | _Parser"], Sequence[str] | None]
"""Returns the words of an option for a parser; ``None`` if the parser does not have it."""


def _typed(option: str, words: Sequence[str]) -> _WordsFor:
    """An option as it was typed."""
    return lambda parser: words if _has(parser.option_strings, option) else None


def _keyword(name: str, value: Any) -> _WordsFor:
    """A keyword argument, whose words depend on how the parser reads them."""

    def words(parser: "LaunchParser | _Parser") -> Sequence[str] | None:
        known = any(action.dest == name for action in parser.actions)
        return options.to_words(parser.actions, {name: value}) if known else None

    return words


def _prepare(table: _Table, lines: _CommandLines, *, deployed: bool) -> Pipeline:
    """Check every step before the first is started, the command lines of all of them first.

    Args:
        table: The jobs and the metric.
        lines: The options of the pipeline and of each job.
        deployed: Whether this launch only stores the definition, for others to execute.

    Raises:
        LaunchError: A step cannot be launched; nothing was started.
    """
    lines.check()
    own = table.parser.parse_args(lines.pipeline, argparse.Namespace(from_job=None, from_run=None))
    selection = selections.select(table.jobs, own.from_job, own.from_run)
    has_all_steps = _check_selection(table, lines, selection, deployed=deployed)
    reused = [] if has_all_steps else selections.find(selection)
    launch_id = options.new_id()
    launches: list[Launch] = []
    for name, job in table.jobs.items():
        if name in selection.skipped and not has_all_steps:
            continue
        words = lines.words(name)
        if deployed and "--plan" not in words:  # a plan needs no AWS
            words = ["--backend=sagemaker", *words]
        launches.append(_parse_step(job, words, launches, launch_id, reused))
    _check(launches, deployed=deployed)
    steps: list[Step] = []
    for launch in launches:
        with _naming(launch.job.name):
            steps.append(_prepare_step(launch, steps))
    metric = table.metric
    if metric and metric.job in selection.skipped:
        metric = None  # it was checked when its job ran
    return Pipeline(
        name=project.name() if deployed else f"{project.name()}-launched",
        steps=steps,
        options=launches[0].options,
        metric=replace(metric, limit=getattr(own, metric.option)) if metric else None,
        cache=own.cache,
        deployed=deployed,
        selection=selection,
        reused={
            f"{channel.option}.{result.job}": result
            for result in reused
            for channel in table.jobs[result.job].outputs
            if channel.name == result.channel
        },
    )


def _check_selection(
    table: _Table, lines: _CommandLines, selection: Selection, *, deployed: bool
) -> bool:
    """Reject options without an effect; return whether skipped jobs are steps nevertheless.

    A definition has all steps, so that SageMaker knows what an earlier execution of them is. The
    inputs of skipped jobs may then be named, as they may have no others.

    Raises:
        LaunchError: An option has no effect, or a deployed pipeline would skip jobs.
    """
    if not selection.skipped:
        return True
    if deployed:
        raise LaunchError("argument --from: a deployed pipeline runs all of its jobs")
    metric = table.metric
    if metric and metric.job in selection.skipped:
        for word in lines.pipeline:
            if word.partition("=")[0] == f"--{metric.option}":
                raise LaunchError(f"argument --{metric.option}: {metric.job} does not run")
    first = next(name for name in table.jobs if name not in selection.skipped)
    inputs = {item.option for item in table.jobs[first].inputs}
    with _naming(first):
        parsed = table.parsers[first].parse(lines.words(first), upstream=inputs)
    has_all_steps = bool(parsed.backend == "sagemaker" or parsed.plan)
    allowed = {
        f"--{item.option}"
        for name in selection.skipped
        for item in table.jobs[name].inputs
        if has_all_steps
    }
    selections.check_words(selection, lines.own, lines.shared, allowed)
    return has_all_steps


@contextmanager
def _naming(job: str) -> Iterator[None]:
    """Add the name of the rejected job to an error."""
    try:
        yield
    except LaunchError as error:
        if str(error).startswith(config.FILE):
            raise
        advice = (
            f" (to set an option for this job only: --OPTION.{job})"
            if "argument" in str(error)
            else ""
        )
        raise type(error)(f"{job}: {error}{advice}") from error


def _parse_step(
    job: Job,
    argv: Sequence[str],
    before: Sequence[Launch],
    launch_id: str,
    reused: Sequence[Reused],
) -> Launch:
    """Return the launch of a job that reads what the jobs before it write or have written."""
    written = {result.channel: (result.job, result.address) for result in reused} | {
        channel.name: (launch.job.name, launch.outputs[channel.option])
        for launch in before
        for channel in launch.job.outputs
    }
    upstream = {item.option: written[item.name] for item in job.inputs if item.name in written}
    for option, (writer, _) in upstream.items():
        if any(word.partition("=")[0] == f"--{option}" for word in argv):
            raise LaunchError(
                f"{job.name}: argument --{option}: the pipeline sets it to the output of {writer}"
                f"{_other_input(option, before)}"
            )
    with _naming(job.name):
        launch = options.parse(
            job,
            argv,
            launch_id=launch_id,
            upstream={option: writer for option, (writer, _) in upstream.items()},
            upstream_inputs={option: address for option, (_, address) in upstream.items()},
            first=before[0] if before else None,
        )
        for option in launch.options.shard:
            if option in upstream:
                raise LaunchError(f"argument --shard: --{option} is the output of another job")
    return launch


def _other_input(option: str, before: Sequence[Launch]) -> str:
    """Return how to set an input of the same name that no job writes; empty if there is none."""
    for launch in before:
        free = {channel.option for channel in launch.job.inputs} - launch.upstream.keys()
        if option in free:
            return f"; to set that of {launch.job.name}, write --{option}.{launch.job.name}"
    return ""


def _prepare_step(launch: Launch, before: Sequence[Step]) -> Step:
    """Return a step with its request; all steps without a chosen image share one."""
    sharing = [step for step in before if not step.launch.options.image]
    image = sharing[0].request["AppSpecification"]["ImageUri"] if sharing else ""
    return Step(launch, request.prepare(launch, image))


def _check(launches: Sequence[Launch], *, deployed: bool) -> None:
    """Check properties of the steps together."""
    for option in _SHARED:
        if len({str(getattr(launch.options, option)) for launch in launches}) > 1:
            raise LaunchError(f"argument --{option}: it must be the same for all jobs")
    _check_outputs(launches)
    if not deployed:
        return
    shared = launches[0].options
    if shared.backend != "sagemaker" and not shared.plan:
        raise LaunchError("argument --backend: a deployed pipeline runs on SageMaker only")
    if shared.code:
        raise LaunchError(
            "argument --code: a deployed pipeline runs the code of a commit: commit, run "
            "`make image push`, and deploy without --code"
        )
    for launch in launches:
        for option in launch.named_outputs:
            raise LaunchError(
                f"argument --{option}.{launch.job.name}: the next execution would write there "
                "again; leave it out, and each execution writes to a folder of its own"
            )


def _check_outputs(launches: Sequence[Launch]) -> None:
    """Reject outputs of two steps if one would contain the other."""
    outputs = [
        (f"--{option}.{launch.job.name}", address)
        for launch in launches
        for option, address in launch.outputs.items()
    ]
    for (option, address), (other, other_address) in itertools.permutations(outputs, 2):
        if contains(address, other_address):
            raise LaunchError(f"argument {option}: {address} contains {other}")


class _Parser(Parser):
    """The parser of the pipeline's own options."""

    def __init__(self, listed: Sequence[str], metric: Metric | None) -> None:
        super().__init__(
            "pipeline",
            usage=project.COMMAND
            + " {pipeline,deploy} [--OPTION VALUE ...] [--OPTION.JOB VALUE ...]",
            description=f"Run {', '.join(listed)} as a pipeline, or deploy it for schedules and "
            f"other people. {config.FILE} lists the jobs, and the inputs that none of them writes.",
            epilog=f"The other options are those of `{project.COMMAND} JOB --help`: "
            "--instance_count 2 applies to every job that has the option, "
            f"--instance_count.{listed[-1]} 2 to one.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            add_help=False,
        )
        self.actions = [
            self.add_argument(
                "-h", "--help", action="help", help="show this help message and exit"
            ),
            self.add_argument(
                "--cache",
                action=argparse.BooleanOptionalAction,
                default=True,
                help="on SageMaker, reuse the results of steps whose inputs and options did not "
                "change",
            ),
            self.add_argument(
                "--from",
                dest="from_job",
                metavar="JOB",
                default=argparse.SUPPRESS,
                help="begin with this job, and take the results of the jobs before it from an "
                "earlier run",
            ),
            self.add_argument(
                "--from_run",
                metavar="RUN",
                default=argparse.SUPPRESS,
                help="the run to take these results from: a name or, on SageMaker, the name or ARN "
                "of an execution; by default the newest run in which they are complete",
            ),
        ]
        if metric:
            missed = "greater" if metric.lower_is_better else "less"
            self.actions.append(
                self.add_argument(
                    f"--{metric.option}",
                    type=_finite,
                    default=metric.limit,
                    help=f"the pipeline fails if {metric.name} of {metric.job} is {missed}",
                )
            )

    @property
    def option_strings(self) -> set[str]:
        return {option for action in self.actions for option in action.option_strings}


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value
