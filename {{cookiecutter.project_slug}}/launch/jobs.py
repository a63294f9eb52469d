"""The jobs of this repository, read from the parsers of their entrypoints."""

import runpy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from {{ cookiecutter.__package_name }} import runtime

from . import project
from .project import LaunchError


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
    def entrypoint(self) -> list[str]:
        """The command that starts the job in its container."""
        return ["python", "-u", f"entrypoints/{self.name}.py"]


def names() -> list[str]:
    """Return the names of all jobs."""
    return sorted(file.stem for file in (project.ROOT / "entrypoints").glob("[!_]*.py"))


def read(name: str) -> Job:
    """Read a job from ``entrypoints/<name>.py``.

    Raises:
        LaunchError: There is no such job, or its file cannot be imported.
    """
    if name not in names():
        raise LaunchError(f"there is no job {name!r}: choose from {', '.join(names())}")
    build_parser = _import(project.ROOT / "entrypoints" / f"{name}.py")
    parser = build_parser()
    return Job(
        name=name,
        inputs=_channels(parser, runtime.INPUT),
        outputs=_channels(parser, runtime.OUTPUT),
        build_parser=build_parser,
    )


def _channels(parser: runtime.JobParser, root: str) -> list[Channel]:
    options = parser.channels(root)
    for action in parser.actions:
        if action.dest in options and action.option_strings != [f"--{action.dest}"]:
            spelled = ", ".join(action.option_strings)
            raise LaunchError(f"{parser.prog}: name the option {spelled} --{action.dest} only")
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
    except (ImportError, SyntaxError) as error:
        raise LaunchError(f"{file}: {error}; `make install` installs what it imports") from error
    if "build_parser" not in entrypoint:
        raise LaunchError(f"{file}: it has no function build_parser()")
    build_parser: Callable[[], runtime.JobParser] = entrypoint["build_parser"]
    return build_parser
