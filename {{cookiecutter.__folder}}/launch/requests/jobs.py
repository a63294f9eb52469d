"""The jobs of this repository, read from the parsers of their entrypoints."""

import runpy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from {{ cookiecutter.__package_name }} import runtime

from ..settings import project
from ..settings.names import VERBS, advice
from ..settings.project import LaunchError


@dataclass(frozen=True)
class Channel:
    """An option that names a folder in the container, which SageMaker fills or uploads."""

    option: str
    name: str
    path: str
    """The folder in the container."""
    required: bool
    finished: bool
    """Whether it takes the complete output of another job, which has a record."""
    single: bool = False
    """Whether it takes one file, which SageMaker puts into the folder."""


@dataclass(frozen=True)
class Job:
    """An entrypoint: its name, its channels and a function that makes its parser."""

    name: str
    inputs: Sequence[Channel]
    outputs: Sequence[Channel]
    build_parser: Callable[[], runtime.JobParser]

    @property
    def output_names(self) -> list[str]:
        """The names of the output channels."""
        return [channel.name for channel in self.outputs]

    @property
    def entrypoint(self) -> list[str]:
        """The command that starts the job in its container."""
        return ["python", "-u", f"entrypoints/{self.name}.py"]


def names() -> list[str]:
    """Return the names of all jobs.

    Raises:
        LaunchError: An entrypoint has the name of a command.
    """
    entrypoints = sorted(file.stem for file in (project.ROOT / "entrypoints").glob("[!_]*.py"))
    for name in entrypoints:
        if name in VERBS:
            raise LaunchError(
                f"entrypoints/{name}.py: `{project.COMMAND} {name}` is a command, and no job can "
                "have its name: rename the file"
            )
    return entrypoints


def by_option(job: str, addresses: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses of a job's outputs, which are named by channel, by option.

    Other outputs, and those of a job that no longer exists, keep their names.
    """
    options: dict[str, str] = {}
    if job in names():
        with suppress(LaunchError):
            options = {channel.name: channel.option for channel in read(job).outputs}
    return {options.get(channel, channel): address for channel, address in addresses.items()}


def read(name: str) -> Job:
    """Read a job from ``entrypoints/<name>.py``.

    Raises:
        LaunchError: There is no such job, or its file cannot be imported.
    """
    if name not in names():
        raise LaunchError(f"there is no job {name!r}{advice(name, [*names(), *VERBS])}")
    build_parser = _import(project.ROOT / "entrypoints" / f"{name}.py")
    parser = build_parser()
    if not isinstance(parser, runtime.JobParser):
        raise LaunchError(f"entrypoints/{name}.py: build_parser() must return a runtime.JobParser")
    return Job(
        name=name,
        inputs=_channels(name, parser, runtime.INPUT),
        outputs=_channels(name, parser, runtime.OUTPUT),
        build_parser=build_parser,
    )


def _channels(job: str, parser: runtime.JobParser, root: str) -> list[Channel]:
    file = f"entrypoints/{job}.py"
    options = parser.channels(root)
    folders: dict[Path, str] = {}
    for action in parser.actions:
        if action.dest not in options:
            continue
        if action.option_strings != [f"--{action.dest}"]:
            spelled = ", ".join(action.option_strings)
            raise LaunchError(f"{file}: name the option {spelled} --{action.dest} only")
        if action.nargs is not None:
            raise LaunchError(
                f"{file}: --{action.dest} is a channel, which takes one address: remove nargs or "
                "action"
            )
        folder = Path(str(action.default))
        for other, option in folders.items():
            if folder.is_relative_to(other) or other.is_relative_to(folder):
                raise LaunchError(
                    f"{file}: --{option} and --{action.dest} have the folders {other} and "
                    f"{folder}: give each channel a folder of its own"
                )
        folders[folder] = action.dest
    return [
        Channel(
            option=action.dest,
            name=str(action.default).removeprefix(f"{root}/"),
            path=str(action.default),
            required=root == runtime.INPUT and isinstance(action.default, str),
            finished=action.type is runtime.finished_output,
            single=action.type is runtime.existing_file,
        )
        for action in parser.actions
        if action.dest in options
    ]


def _import(file: Path) -> Callable[[], runtime.JobParser]:
    """Import by path, because an installed distribution may also be named ``entrypoints``."""
    try:
        entrypoint = runpy.run_path(str(file), run_name=f"entrypoints.{file.stem}")
    except ImportError as error:
        raise LaunchError(
            f"{file}: {error}: run `make install`; to add a new library, run "
            "`.tools/bin/poetry add --lock NAME` first"
        ) from error
    except (SyntaxError, UnicodeDecodeError) as error:
        raise LaunchError(f"{file}: {error}") from error
    if "build_parser" not in entrypoint:
        raise LaunchError(f"{file}: it has no function build_parser()")
    build_parser: Callable[[], runtime.JobParser] = entrypoint["build_parser"]
    return build_parser
