"""Launch a job from the command line: ``python -m launch JOB [options]``.

The exit code is 2 if the launch is refused, that of the first host that fails here and in Docker,
128 plus the number of the signal that ended it, 1 after any other failure.
"""

import json
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from . import job, options, pipeline
from .pipeline import Pipeline
from .prepare import Plan, prepare
from .project import LaunchError

_HELP = "usage: python -m launch JOB [options]; python -m launch JOB --help lists them; jobs:"


def main(argv: Sequence[str]) -> int:
    """Launch a job and report; the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_HELP, *job.names(), "pipeline")
        return 0 if argv else 2
    refused = 2
    try:
        if argv[0] == "pipeline":
            plan: Plan | Pipeline = pipeline.parse(argv[1:])
        else:
            plan = prepare(options.parse(job.read(argv[0]), argv[1:]))
        if plan.options.plan:
            print(json.dumps(plan.request, indent=2))
            return 0
        refused = 1
        run = plan.start()
    except LaunchError as error:
        print(f"python -m launch: error: {error}", file=sys.stderr)
        return refused
    print(f"{run.status}: {run.name}", *run.exit_message.splitlines(), sep="\n  ")
    if run.status == "Completed":
        print(*(f"  --{option} {address}" for option, address in run.outputs.items()), sep="\n")
    return run.exit_code


def _stop(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    sys.exit(main(sys.argv[1:]))
