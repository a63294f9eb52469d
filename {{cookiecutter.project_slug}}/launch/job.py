"""What a job takes, read from its entrypoint's parser and never written a second time."""

import argparse
import runpy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .project import ROOT, LaunchError

INPUT = "/opt/ml/processing/input/"
OUTPUT = "/opt/ml/processing/output/"


@dataclass(frozen=True)
class Channel:
    """An option that names a folder of the container: SageMaker fills inputs, empties outputs."""

    option: str
    path: str
    required: bool

    @property
    def name(self) -> str:
        return self.path.removeprefix(INPUT).removeprefix(OUTPUT)


@dataclass(frozen=True)
class Job:
    """An entrypoint: its name, its channels, and how to make its parser."""

    name: str
    inputs: Sequence[Channel]
    outputs: Sequence[Channel]
    build_parser: Callable[[], argparse.ArgumentParser]

    @property
    def entrypoint(self) -> list[str]:
        return ["python", "-u", f"entrypoints/{self.name}.py"]

    def parser(self) -> argparse.ArgumentParser:
        """The entrypoint's own, but for its channels: they take any address, and have no default.

        The folder that the entrypoint sees, and would check, is not the one that is named here.
        """
        parser = self.build_parser()
        required = {channel.option: channel.required for channel in (*self.inputs, *self.outputs)}
        for action in parser._actions:
            if action.dest in required:
                action.type, action.default = None, argparse.SUPPRESS
                action.required = required[action.dest]
        return parser


def names() -> list[str]:
    """The jobs of this repository."""
    return sorted(file.stem for file in (ROOT / "entrypoints").glob("[!_]*.py"))


def read(name: str) -> Job:
    """Read a job from ``entrypoints/<name>.py``."""
    if name not in names():
        raise LaunchError(f"there is no job {name!r}: choose from {', '.join(names())}")
    build_parser = _import(ROOT / "entrypoints" / f"{name}.py")
    actions = build_parser()._actions
    return Job(name, _channels(actions, INPUT), _channels(actions, OUTPUT), build_parser)


def text(parser: argparse.ArgumentParser, argv: Sequence[str]) -> dict[str, Any]:
    """The options that ``argv`` names, as text. Uses the parser up; ``argv`` is known to be right.

    A flag is what its action makes of it, and an option that may come again is a list.
    """
    for action in parser._actions:
        action.type = action.choices = None
        action.required, action.default = False, argparse.SUPPRESS
    parser._defaults.clear()
    return vars(parser.parse_args(argv))


def arguments(parser: argparse.ArgumentParser, values: Mapping[str, Any]) -> list[str]:
    """Write options as the strings that ``parser`` reads back to the same values.

    What is ``None`` or at its default is left out. What the parser does not know is written all
    the same, so that it is refused in the parser's own words.
    """
    written = []
    for name, value in values.items():
        actions = [action for action in parser._actions if action.dest == name]
        defaults = [action.default for action in actions if action.default is not None]
        if value is None or str(value) in map(str, defaults):
            continue
        strings = [string for action in actions for string in _write(action, value)]
        if actions and not strings:
            raise LaunchError(f"argument --{name}: {value!r} cannot be handed on")
        written += strings if actions else [f"--{name}={value}"]
    return written


def _write(action: argparse.Action, value: Any) -> list[str]:
    option = action.option_strings[-1]
    if isinstance(action, argparse.BooleanOptionalAction):
        return [action.option_strings[0 if value else -1]]
    if isinstance(action, argparse._CountAction):
        return [option] * int(value)
    if action.nargs == 0:
        return [option] if value == action.const else []
    again = isinstance(action, argparse._AppendAction) and not (
        isinstance(action, argparse._ExtendAction) or isinstance(value, str)
    )
    return [string for item in (value if again else [value]) for string in _pair(option, item)]


def _pair(option: str, value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [option, *map(str, value)]
    string = str(value)
    return [option, string] if string and string[0] != "-" else [f"{option}={string}"]


def _channels(actions: Iterable[argparse.Action], folder: str) -> list[Channel]:
    return [
        Channel(action.dest, path, folder == INPUT and isinstance(action.default, str))
        for action in actions
        if (path := str(action.default)).startswith(folder)
    ]


def _import(file: Path) -> Callable[[], argparse.ArgumentParser]:
    """Run by path, because a distribution named ``entrypoints`` may hide the folder."""
    try:
        entrypoint = runpy.run_path(str(file), run_name=f"entrypoints.{file.stem}")
    except (ImportError, SyntaxError) as error:
        raise LaunchError(f"{file}: {error}; `make install` installs what it imports") from error
    if "build_parser" not in entrypoint:
        raise LaunchError(f"{file}: there is no build_parser() in it")
    build_parser: Callable[[], argparse.ArgumentParser] = entrypoint["build_parser"]
    return build_parser
