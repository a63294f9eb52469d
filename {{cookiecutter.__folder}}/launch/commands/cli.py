"""The command lines of ``list``, ``show``, ``logs``, ``stop`` and ``clean``."""

import json
import shutil
import sys
from collections.abc import Sequence

from {{ cookiecutter.__package_name }} import runtime

from ..history import listing
from ..run import ExitCode
from ..settings.parser import Parser
from ..settings.project import COMMAND
from . import table

LIMIT = 20
"""How many entries are listed by default."""

_DESCRIPTIONS = {
    "list": "List jobs and runs of the pipeline on this machine and on SageMaker, newest first.",
    "show": "Show a job or a run of the pipeline: its request, record and outputs, why it failed "
    "and what to do next.",
    "logs": "Print the log of a job, or of all jobs of a run of the pipeline, and follow it to its "
    "end. Ctrl-C stops following; the job continues.",
    "stop": "Stop a job or a run of the pipeline.",
    "clean": "Remove processes, containers and folders that killed launches left on this machine.",
}


def carry_out(verb: str, argv: Sequence[str]) -> int:
    """Carry out a command line, and return its exit code; see ``run.ExitCode``.

    Raises:
        LaunchError: An option is wrong, or no launch or several have the name.
    """
    parser = Parser(verb, description=_DESCRIPTIONS[verb])
    if verb == "list":
        parser.add_argument(
            "--limit",
            type=runtime.at_least(1),
            default=LIMIT,
            help=f"maximum number of entries (default: {LIMIT})",
        )
    elif verb != "clean":
        parser.add_argument(
            "name", metavar="NAME", help="name of a job or run, or the beginning of the name"
        )
    if verb in ("list", "show"):
        parser.add_argument("--json", action="store_true", help="print JSON")
    parsed = parser.parse_args(argv)
    if verb == "list":
        return _list(parsed.limit, as_json=parsed.json)
    if verb == "show":
        return _show(parsed.name, as_json=parsed.json)
    if verb == "clean":
        from .. import backends

        backends.clean()
        return ExitCode.COMPLETED
    from . import attach, tracking

    if verb == "stop":
        attach.stop(parsed.name)
        return ExitCode.COMPLETED
    entry = listing.find(parsed.name)
    run = attach.follow(entry)
    print(f"{run.status}: {run.name}", flush=True)
    tracking.log_entry(entry, run)
    return run.exit_code


def _list(limit: int, *, as_json: bool) -> int:
    listed = listing.newest(limit)
    if as_json:
        print(json.dumps([entry.to_json() for entry in listed.entries], indent=2))
    elif listed.entries:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(table.text(listed.entries, width))
    else:
        print(f"nothing was launched yet: `{COMMAND} --help` shows how")
    if listed.problems:
        print_problems(listed.problems)
    return ExitCode.COMPLETED


def _show(name: str, *, as_json: bool) -> int:
    from . import detail

    details = detail.show(name)
    print(json.dumps(details.to_json(), indent=2, default=str) if as_json else details)
    if details.problems:
        print_problems(details.problems)
    return ExitCode.COMPLETED


def print_problems(problems: Sequence[str]) -> None:
    """Print problems with unreadable launches in one line to standard error."""
    print(f"not everything is shown: {'; '.join(problems)}", file=sys.stderr, flush=True)
