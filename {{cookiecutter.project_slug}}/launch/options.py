"""What a launch is asked for: the options of the job and those of the launch, in one parser."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from . import job as jobs
from . import storage
from .job import Job
from .project import LaunchError

INSTANCE_TYPE = "ml.m5.xlarge"
_SECRET = re.compile("token|password|secret|key", re.IGNORECASE)  # as in what a job logs


@dataclass(frozen=True)
class Call:
    """All that is asked of a job, as the parser took it; nothing was looked up yet."""

    job: Job
    time: str
    options: argparse.Namespace
    """The launch's options and the job's, by name."""
    given: Mapping[str, Any]
    """The options that were named, as text."""

    @property
    def channels(self) -> Mapping[str, str]:
        """Addresses by option, of the channels that were named."""
        options = [channel.option for channel in (*self.job.inputs, *self.job.outputs)]
        return {name: storage.clean(self.given[name]) for name in options if name in self.given}

    @property
    def arguments(self) -> list[str]:
        """What the container is called with: neither channels nor what is at its default."""
        own = {action.dest for action in self.job.build_parser()._actions} - set(self.channels)
        values = {name: value for name, value in self.given.items() if name in own}
        return jobs.arguments(self.job.build_parser(), values)

    def command(self, *without: str, **instead: str) -> list[str]:
        """The command line that asks the same, but for some options; secrets are not shown."""
        values = {name: value for name, value in self.given.items() if name not in without}
        env = [f"{key}={_shown(key, value)}" for key, value in self.options.env]
        shown = {name: _shown(name, value) for name, value in values.items()} | {"env": env}
        words = jobs.arguments(parser(self.job), shown | instead)
        return ["python", "-m", "launch", self.job.name, *words]


def now() -> str:
    """The time in milliseconds, as names have it."""
    time = datetime.now(UTC)
    return f"{time:%Y%m%d-%H%M%S}-{time.microsecond // 1000:03}"


def _shown(name: str, value: Any) -> Any:
    return "***" if _SECRET.search(name) else value


def parse(job: Job, argv: Sequence[str], time: str | None = None) -> Call:
    """Check a command line: what is unknown, missing or mistyped is refused in argparse's words."""
    time = time or now()
    options = parser(job, time).parse_args(argv)
    given = jobs.text(parser(job), argv)
    again = vars(parser(job, time).parse_args(jobs.arguments(parser(job), given)))
    if lost := [name for name, value in vars(options).items() if again[name] != value]:
        raise LaunchError(f"argument --{lost[0]}: {given.get(lost[0])!r} cannot be handed on")
    return Call(job, time, options, given)


def parser(job: Job, time: str = "the time") -> argparse.ArgumentParser:
    """The parser of ``python -m launch <job>``."""
    own = job.parser()
    parser = Parser(
        prog=f"python -m launch {job.name}",
        description=own.description,
        parents=[own],
        add_help=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    try:
        _add_options(parser.add_argument_group("launch"), job, time)
    except argparse.ArgumentError as error:
        raise LaunchError(f"entrypoints/{job.name}.py: {error}, which is launch's") from error
    return parser


class Parser(argparse.ArgumentParser):
    """Refuses with a ``LaunchError``."""

    def error(self, message: str) -> NoReturn:
        raise LaunchError(message)


def _add_options(group: argparse._ArgumentGroup, job: Job, time: str) -> None:
    add = group.add_argument
    add("--where", choices=["here", "docker", "sagemaker"], default="here", help="place of the job")
    add("--instance_count", type=int, default=1, help="number of hosts, in every place")
    add("--instance_type", default=INSTANCE_TYPE, help="SageMaker's name of the machine")
    add("--volume_size_in_gb", type=int, default=30, help="disk of a SageMaker instance")
    add("--max_runtime_in_seconds", type=int, default=86400, help="after that the job is stopped")
    add("--run_name", type=_name, default=time, help="folder of the run; jobs may share one")
    inputs = [channel.option for channel in job.inputs]
    deal = "deal the files of this input out to the hosts instead of giving each all of them"
    add("--shard", action="append", choices=inputs, default=[], help=deal)
    add("--env", action="append", type=_setting, metavar="K=V", default=[], help="set on each host")
    add("--image", help="image to run instead of that of this commit")
    add("--overwrite", action="store_true", help="replace what a job wrote to an output before")
    add("--wait", action=argparse.BooleanOptionalAction, default=True, help="for the job's end")
    add("--plan", action="store_true", help="print the request to SageMaker and do nothing")


def _name(string: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", string):
        raise argparse.ArgumentTypeError(f"{string!r} is not letters, digits, '.', '_', '-' only")
    return string


def _setting(string: str) -> tuple[str, str]:
    key, equals, value = string.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{string!r} is not of the form K=V")
    return key, value
