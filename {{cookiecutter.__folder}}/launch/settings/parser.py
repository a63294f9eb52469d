"""The parser of the commands that do not launch a job."""

import argparse
from typing import Any, NoReturn

from .project import COMMAND, LaunchError


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations, which rejects with a ``LaunchError``."""

    def __init__(self, verb: str, **settings: Any) -> None:
        super().__init__(prog=f"{COMMAND} {verb}", allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise LaunchError(message)
