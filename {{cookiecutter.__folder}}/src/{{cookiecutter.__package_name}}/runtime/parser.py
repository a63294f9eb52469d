"""The parser of an entrypoint's command line."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .container import INPUT, OUTPUT, as_in_container, write_exit_message
from .messages import RejectedError, one_line
from .option_types import existing_dir, existing_file, finished_output
from .secret_options import hide_in_message


class JobParser(argparse.ArgumentParser):
    """The parser of an entrypoint. It does not accept abbreviations, and ``--help`` shows defaults.

    An option whose default is below ``INPUT`` is an input channel, and one whose default is below
    ``OUTPUT`` is an output channel; the rest of the path is the name of the channel. If the default
    of an input is a string, the input is required, because argparse checks the default as if it had
    been typed. If it is a ``Path``, the input is optional, because argparse does not check it.
    """

    def __init__(self, description: str | None) -> None:
        super().__init__(
            description=description,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )
        # verify_inputs() checks the content, after everything else has been checked.
        self.register("type", finished_output, existing_dir)

    @property
    def actions(self) -> list[argparse.Action]:
        """The options, as returned by ``add_argument``."""
        return self._actions

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """Parse a command line like ``parse_args``, with two more checks.

        Unknown options are reported before missing inputs. An output that overlaps with another
        channel is rejected, because writing it would change the other channel.
        """
        without_defaults = argparse.Namespace(**{action.dest: None for action in self.actions})
        _, unknown = self.parse_known_args(argv, without_defaults)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        args = self.parse_args(argv)
        try:
            self._find_optional_files(args)
            self._check_overlaps(vars(args))
        except RejectedError as error:
            self.error(str(error))
        return args

    def verify_inputs(self, args: argparse.Namespace) -> None:
        """Verify the content of every input that is the output of another job.

        Raises:
            RejectedError: An input is not complete.
        """
        for action in self.actions:
            path = getattr(args, action.dest, None)
            if action.type is finished_output and path is not None and path.exists():
                try:
                    finished_output(str(path))
                except argparse.ArgumentTypeError as error:
                    raise RejectedError(action.dest, error) from error

    def error(self, message: str) -> NoReturn:
        """Print a message, which SageMaker shows as ``ExitMessage``, and exit with code 2."""
        message = hide_in_message(as_in_container(message), sys.argv[1:], self.actions)
        message = one_line(message)
        write_exit_message(f"{self.prog}: {message}")
        super().error(message)

    def channels(self, root: str) -> list[str]:
        """Return the names of the arguments that are channels below ``INPUT`` or ``OUTPUT``."""
        return [
            action.dest for action in self.actions if str(action.default).startswith(f"{root}/")
        ]

    def _find_optional_files(self, args: argparse.Namespace) -> None:
        """Set optional inputs that take a file to the file, if SageMaker has put one there.

        On SageMaker the option is not on the command line, and argparse does not convert defaults
        that are a ``Path``.
        """
        for action in self.actions:
            path = getattr(args, action.dest, None)
            if action.type is not existing_file or path != action.default:
                continue
            if isinstance(path, Path) and path.exists():
                try:
                    setattr(args, action.dest, existing_file(str(path)))
                except argparse.ArgumentTypeError as error:
                    raise RejectedError(action.dest, error) from error

    def _check_overlaps(self, args: Mapping[str, Any]) -> None:
        outputs = self.channels(OUTPUT)
        names = [*self.channels(INPUT), *outputs]
        folders = {name: Path(os.path.realpath(args[name])) for name in names}
        for output in outputs:
            for name in names:
                if name == output:
                    continue
                if folders[name].is_relative_to(folders[output]):
                    raise RejectedError(output, f"{args[output]} contains --{name}")
                if folders[output].is_relative_to(folders[name]):
                    raise RejectedError(output, f"{args[output]} is inside of --{name}")
