"""The command line of a launch: the job's own options and the launch's, parsed once."""

import argparse
import json
import re
import secrets
import shlex
import string
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from {{ cookiecutter.__package_name }} import runtime

from ..settings import config, names, project
from ..settings.addresses import clean, is_s3
from ..settings.project import LaunchError
from ..storage import code, folders
from ..storage.code import Code
from ..storage.folders import Snapshot
from . import cluster, jobs
from .jobs import Job

Option = tuple[str, str | None]
"""An option as it was typed, and its value; a flag has none."""


@dataclass(frozen=True)
class Launch:
    """A parsed command line. Addresses are absolute paths or ``s3://`` without a final slash."""

    job: Job
    name: str
    """Of the processing job, unique to this launch."""
    options: argparse.Namespace
    """The launch's own options."""
    inputs: Mapping[str, str]
    """Address of each input, by option: typed, from ``launch.toml``, or in a pipeline, the output
    of another job."""
    outputs: Mapping[str, str]
    """Address of each output, by option."""
    arguments: Sequence[str]
    """The words that were typed for the job, without its inputs and outputs."""
    values: Mapping[str, Any]
    """The job's own options as its parser reads them."""
    typed: Sequence[Option]
    """The launch's options, inputs and outputs as they were typed."""
    upstream: Mapping[str, str] = field(default_factory=dict)
    """In a pipeline, the job that writes an input, by option."""
    code: Code | None = None
    """The code that the job runs instead of that in its image."""
    stamp: str = "unknown"
    """The commit that is launched; see ``project.stamp``."""

    @property
    def named_outputs(self) -> Mapping[str, str]:
        """The outputs whose address was typed, by option."""
        return {name: self.outputs[name] for name in self.outputs if name in self._typed_names}

    @property
    def chosen_outputs(self) -> Mapping[str, str]:
        """The outputs that another launch may have, too: those whose address or run was named.

        Any other address contains the ID that ends this launch's name, and SageMaker accepts a name
        once.
        """
        return self.outputs if self.is_typed("run_name") else self.named_outputs

    def place(self, option: str) -> str:
        """Return where the address of an input or output was written, for messages."""
        if option in self.inputs.keys() - self.upstream.keys() - self._typed_names:
            return config.input_key(self.job.name, option)
        return f"argument --{option}"

    @cached_property
    def snapshots(self) -> Mapping[str, Snapshot]:
        """The content of the inputs that are local folders, by option. Reads all of their files."""
        return {
            option: folders.snapshot(Path(address))
            for option, address in self.inputs.items()
            if option not in self.upstream and not is_s3(address)
        }

    @property
    def uploads(self) -> list[Snapshot]:
        """The local files that a job on SageMaker reads; they may be in S3 already."""
        return [*self.snapshots.values(), *([self.code.snapshot] if self.code else [])]

    def is_typed(self, option: str) -> bool:
        """Return whether an option of the launch, such as ``instance_count``, was typed."""
        return option in self._typed_names

    @property
    def _typed_names(self) -> set[str]:
        return {option.removeprefix("--") for option, _ in self.typed}

    def command(self, **changes: str) -> str:
        """Return a command line that launches the same job again, somewhere else.

        Outputs, image and run name are left out; ``changes`` sets options. Secrets are hidden.
        """
        changes = {**{option: self.inputs[option] for option in self.upstream}, **changes}
        dropped = {"image", "run_name", "wait", "no-wait", "plan", *self.outputs, *changes}
        kept = [item for item in self.typed if item[0].removeprefix("--") not in dropped]
        changed = [(f"--{name}", value) for name, value in changes.items()]
        words = [
            word
            for option, value in [*changed, *kept]
            for word in (option, value if option != "--env" else _hide_value(value))
            if word is not None
        ]
        hidden = runtime.hide_secrets(self.arguments, self.job.build_parser().actions)
        return shlex.join([*project.COMMAND.split(), self.job.name, *words, *hidden])


class LaunchParser(argparse.ArgumentParser):
    """The parser of ``python -m launch JOB``; it rejects with a ``LaunchError``.

    Inputs and outputs take any address: the folder that the entrypoint would check does not exist
    here.
    """

    def __init__(self, job: Job) -> None:
        own = job.build_parser()
        self.job = job
        self._words: Sequence[str] = ()
        self.channels = {channel.option for channel in (*job.inputs, *job.outputs)}
        addresses = _configured_inputs(job)
        for action in own.actions:
            if not action.option_strings:
                file = f"entrypoints/{job.name}.py"
                raise LaunchError(f"{file}: {action.dest} is positional: make it an option")
            if action.dest in self.channels:
                action.type, action.required = None, False
                action.default = addresses.get(action.dest, argparse.SUPPRESS)
                action.help = action.help or "a folder, or an address in S3"
        super().__init__(
            prog=f"{project.COMMAND} {job.name}",
            description=own.description,
            parents=[own],
            add_help=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )
        try:
            launch_actions = _add_launch_options(self.add_argument_group("launch"), job)
        except argparse.ArgumentError as error:
            name = error.argument_name
            message = f"entrypoints/{job.name}.py: {name} is also an option of launch: rename it"
            raise LaunchError(message) from error
        self.launch_options = {action.dest for action in launch_actions}
        self.actions = [*own.actions, *launch_actions]
        self._unset = _suppress_none(self.actions)

    @property
    def option_strings(self) -> set[str]:
        """All names of all options, such as ``--seed`` and ``--no-wait``."""
        return {option for action in self.actions for option in action.option_strings}

    def error(self, message: str) -> NoReturn:
        raise LaunchError(runtime.hide_in_message(message, self._words, self.actions))

    def parse(self, argv: Sequence[str], upstream: Collection[str] = ()) -> argparse.Namespace:
        """Parse a command line; unknown options are reported before missing inputs.

        Args:
            argv: The options.
            upstream: Inputs that another job writes.
        """
        self._words = argv
        if "--" in argv:
            self.error("a bare -- is not supported: write --option=value")
        parsed, unknown = self.parse_known_args(argv, argparse.Namespace(**self._unset))
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        missing = [
            f"--{channel.option}"
            for channel in self.job.inputs
            if channel.required and channel.option not in parsed and channel.option not in upstream
        ]
        if missing:
            self.error(
                f"the following arguments are required: {', '.join(missing)} "
                f"(or write them into {config.FILE}, below [inputs.{self.job.name}])"
            )
        return parsed

    def split(self, argv: Sequence[str]) -> tuple[list[Option], list[str]]:
        """Split a valid command line: what launch takes, and the words that are the job's.

        Each option of launch, and each channel, takes one value or none.
        """
        takes_value = {
            option: action.nargs is None
            for action in self.actions
            if action.dest in self.launch_options | self.channels
            for option in action.option_strings
        }
        typed: list[Option] = []
        job_words: list[str] = []
        words = iter(argv)
        for word in words:
            option, equals, value = word.partition("=")
            if option not in takes_value:
                job_words.append(word)
            elif not takes_value[option]:
                typed.append((option, None))
            else:
                typed.append((option, value if equals else next(words)))
        return typed, job_words


def parse(
    job: Job,
    argv: Sequence[str],
    *,
    launch_id: str | None = None,
    upstream: Mapping[str, str] | None = None,
    upstream_inputs: Mapping[str, str] | None = None,
    first: Launch | None = None,
) -> Launch:
    """Parse a command line.

    Args:
        job: The job to launch.
        argv: Its options and the launch's.
        launch_id: Ends the job's name and is the default run name; by default a new one.
        upstream: In a pipeline, the job that writes an input, by option.
        upstream_inputs: The addresses of these inputs. They have precedence over ``launch.toml``,
            whose addresses are then for launches of the job alone.
        first: In a pipeline, the launch of its first job, whose code and stamp are those of all.

    Raises:
        LaunchError: An option is unknown, missing or has a wrong value, or the code or its commit
            cannot be read.
    """
    launch_id = launch_id or new_id()
    upstream_inputs = upstream_inputs or {}
    parser = LaunchParser(job)
    parsed = vars(parser.parse(argv, upstream_inputs))
    typed, job_words = parser.split(argv)
    options = argparse.Namespace(**{name: parsed.pop(name) for name in parser.launch_options})
    options.run_name = options.run_name or launch_id
    options.shard, options.env = options.shard or [], options.env or []
    named = {name: _clean(name, parsed.pop(name)) for name in parser.channels if name in parsed}
    named |= upstream_inputs
    if first:
        own_code, stamp = first.code, first.stamp
    else:
        own_code = code.read() if _sends_code(options) else None
        stamp = own_code.stamp if own_code else project.stamp()
    return Launch(
        job=job,
        name=launch_name(job.name, launch_id),
        options=options,
        inputs={item.option: named[item.option] for item in job.inputs if item.option in named},
        outputs={
            option: named.get(option, default)
            for option, default in _default_outputs(job, options).items()
        },
        arguments=job_words,
        values=parsed,
        typed=typed,
        upstream=upstream or {},
        code=own_code,
        stamp=stamp,
    )


def _sends_code(options: argparse.Namespace) -> bool:
    """Return whether the working tree is copied for the job; the local backend runs it directly."""
    return bool(options.code and options.backend != "local")


def _clean(option: str, address: str) -> str:
    try:
        return clean(address)
    except (ValueError, RuntimeError) as error:
        raise LaunchError(f"argument --{option}: {error}") from error


def launch_name(job: str, launch_id: str) -> str:
    """Return the name of a processing job; SageMaker allows no underscores."""
    return f"{project.name()}-{job.replace('_', '-')}-{launch_id}"


def new_id() -> str:
    """Return the time in seconds and six random letters or digits, unique to a launch."""
    random = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(6))
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{random}"


def to_argv(job: Job, values: Mapping[str, Any]) -> list[str]:
    """Turn keyword arguments into the words that the job's parser reads back to the same values.

    ``None`` is left out. Unknown names become words, too, so that the parser rejects them.
    """
    return to_words(LaunchParser(job).actions, values)


def to_words(actions: Iterable[argparse.Action], values: Mapping[str, Any]) -> list[str]:
    """Like ``to_argv``, for the options of any parser."""
    by_name = {action.dest: action for action in actions}
    return [
        word
        for name, value in values.items()
        if value is not None
        for word in (_to_words(by_name[name], value) if name in by_name else [f"--{name}={value}"])
    ]


def _to_words(action: argparse.Action, value: Any) -> list[str]:
    option = action.option_strings[-1]
    if isinstance(action, argparse.BooleanOptionalAction):
        return [action.option_strings[0 if value else -1]]
    if action.nargs == 0:
        if action.const is None:  # an option that is counted
            return [option] * int(value)
        return [option] if value == action.const else []
    if action.dest == "env" and isinstance(value, Mapping):
        value = [f"{key}={item}" for key, item in value.items()]
    if action.dest == "instance_type" and isinstance(value, list | tuple):
        value = ",".join(value)
    if action.nargs is not None:
        several = isinstance(value, Iterable) and not isinstance(value, str | Mapping)
        items = list(value) if several else [value]
        return [option, *(_to_text(action, item) for item in items)]
    if isinstance(value, list | tuple) and isinstance(action, _append_action()):
        return [f"{option}={_to_text(action, item)}" for item in value]
    return [f"{option}={_to_text(action, value)}"]


def _to_text(action: argparse.Action, value: Any) -> str:
    """Return the word that an option's type turns into a value; a string is such a word already."""
    if isinstance(value, Enum):
        return str(value.value)
    is_json = action.type is json.loads and not isinstance(value, str)
    if is_json or isinstance(value, Mapping | list | tuple):
        try:
            return json.dumps(value)
        except (TypeError, ValueError) as error:
            raise LaunchError(f"argument --{action.dest}: {error}") from error
    return str(value)


def _append_action() -> type[argparse.Action]:
    """Return the class behind ``action="append"``, which has no public name."""
    return type(argparse.ArgumentParser().add_argument("--x", action="append"))


def _configured_inputs(job: Job) -> Mapping[str, str]:
    """Return the addresses of a job's inputs in ``launch.toml``, by option."""
    for name in config.jobs_with_inputs():
        if name not in {job.name, *jobs.names()}:
            advice = names.advice(name, jobs.names())
            raise LaunchError(f"{config.FILE}: inputs: there is no entrypoints/{name}.py{advice}")
    addresses = config.inputs(job.name)
    known = [channel.option for channel in job.inputs]
    for option in addresses:
        if option not in known:
            raise LaunchError(
                f"{config.FILE}: inputs.{job.name}.{option}: {job.name} has no such input"
                f"{names.advice(option, known)}"
            )
    return addresses


def _suppress_none(actions: Iterable[argparse.Action]) -> Mapping[str, None]:
    """Remove "(default: None)" from the help, and return the options that have this default."""
    defaults: dict[str, Any] = {}
    for action in actions:
        defaults.setdefault(action.dest, action.default)  # like argparse, which uses the first
        if action.default is None:
            action.default = argparse.SUPPRESS
    return dict.fromkeys(name for name, default in defaults.items() if default is None)


def _add_launch_options(group: Any, job: Job) -> list[argparse.Action]:
    add = group.add_argument
    defaults = cluster.option_defaults(config.request(job.name))
    inputs = [channel.option for channel in job.inputs]
    return [
        add(
            "--backend",
            choices=["local", "docker", "sagemaker"],
            default="local",
            help="where the job runs: in processes, in containers, or on SageMaker",
        ),
        add(
            "--instance_count",
            type=int,
            default=defaults["instance_count"],
            help="number of hosts",
        ),
        add(
            "--instance_type",
            metavar="TYPE[,TYPE...]",
            default=defaults["instance_type"],
            help="instance type on SageMaker; of up to five, SageMaker uses the first that is "
            "available",
        ),
        add(
            "--volume_size_in_gb",
            type=int,
            default=defaults["volume_size_in_gb"],
            help="size of the disk of each instance on SageMaker",
        ),
        add(
            "--max_runtime_in_seconds",
            type=int,
            default=defaults["max_runtime_in_seconds"],
            help="time after which the job is stopped",
        ),
        add(
            "--run_name",
            type=_run_name,
            help="name of the run, which several jobs can share; by default the current time and "
            "six random letters or digits",
        ),
        add(
            "--shard",
            action="append",
            choices=inputs,
            help="distribute the files of this input among the hosts; by default, each host gets "
            "all files",
        ),
        add(
            "--env",
            action="append",
            type=_key_value,
            metavar="KEY=VALUE",
            help="environment variable of the job; can be repeated",
        ),
        add("--image", help="image to run instead of that of this commit"),
        add(
            "--code",
            action=argparse.BooleanOptionalAction,
            default=False,
            help="run the code as it is now, uncommitted changes included, in the last image with "
            "the same environment; the backend local always does",
        ),
        add(
            "--wait",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="follow the job until it ends",
        ),
        add("--plan", action="store_true", help="print the request without starting the job"),
    ]


def _run_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} may hold letters, digits, '.', '_' and '-' only, a letter or digit first"
        )
    return text


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return key, value


def _default_outputs(job: Job, options: argparse.Namespace) -> dict[str, str]:
    run = f"{options.run_name}/{job.name}"
    if options.backend == "sagemaker":
        root = f"s3://{project.setting('S3_BUCKET') or 'S3_BUCKET'}/{project.name()}/runs"
    else:
        root = str(project.OUT)
    return {channel.option: f"{root}/{run}/{channel.name}" for channel in job.outputs}


def _hide_value(setting: str | None) -> str | None:
    key, _, value = (setting or "").partition("=")
    return f"{key}={'***' if runtime.is_secret(key) else value}"
