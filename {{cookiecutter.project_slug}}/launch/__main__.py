"""The command line: ``python -m launch JOB [options]``."""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

from . import jobs, names
from .options import Launch, parse
from .project import COMMAND, LaunchError
from .run import ExitCode, Run

_HELP = """\
usage: COMMAND JOB [options]       run a job
       COMMAND pipeline [options]  run the jobs that launch.toml lists, one after the other
       COMMAND deploy [options]    put the pipeline on SageMaker and start nothing
       COMMAND clean               remove what killed launches left on this machine

--help after any of these lists its options. Jobs: """


def main(argv: Sequence[str]) -> int:
    """Carry out a command line and return its exit code; see ``run.ExitCode``."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_HELP.replace("COMMAND", COMMAND) + ", ".join(jobs.names()))
        return ExitCode.COMPLETED if argv else ExitCode.REJECTED
    try:
        return _carry_out(argv[0], argv[1:])
    except LaunchError as error:
        print(f"{COMMAND}: error: {error}", file=sys.stderr)
        return ExitCode.REJECTED


def _carry_out(verb: str, argv: Sequence[str]) -> int:
    if verb == "clean":
        from . import backends

        backends.clean()
        return ExitCode.COMPLETED
    if verb in names.VERBS:
        return _pipeline(verb, argv)
    job = jobs.read(verb)
    launch = parse(job, argv)
    from . import request

    wanted = request.prepare(launch)
    if launch.options.plan:
        print(json.dumps(wanted, indent=2))
        _report_ignored([launch])
        return ExitCode.COMPLETED
    from . import backends

    run = backends.run(launch, wanted)
    return _report(run, run.outputs if run.status == "Completed" else {})


def _pipeline(verb: str, argv: Sequence[str]) -> int:
    from . import pipeline

    parsed = pipeline.parse(argv, deployed=verb == "deploy")
    if parsed.options.plan:
        from . import definition

        print(json.dumps(definition.build(parsed), indent=2))
        if verb == "pipeline":
            _report_ignored([step.launch for step in parsed.steps])
        return ExitCode.COMPLETED
    from . import backends

    if verb == "pipeline":
        run = backends.run_pipeline(parsed)
        return _report(run, run.outputs)  # of the steps that have completed
    print(f"deployed: {backends.deploy(parsed)}")
    return ExitCode.COMPLETED


def _report_ignored(launches: Sequence[Launch]) -> None:
    """Name what a backend on this machine ignores of ``launch.toml``, in one line."""
    from . import config, emulated

    backend = launches[0].options.backend
    found = [path for launch in launches for path in emulated.ignored(launch.job, backend)]
    if found:
        paths = ", ".join(dict.fromkeys(found))
        print(f"{config.FILE}: the backend {backend} ignores {paths}", file=sys.stderr)


def _report(run: Run, outputs: Mapping[str, str]) -> int:
    lines = [f"{run.status}: {run.name}", *(f"  {line}" for line in run.exit_message.splitlines())]
    if run.metric:
        lines.append(f"  {run.metric}")
    lines += [f"  --{option} {address}" for option, address in outputs.items()]
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        print(*lines, f"the output cannot be written: {error.strerror}", sep="\n", file=sys.stderr)
        _discard_output()
    return run.exit_code


def _stop(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def command(argv: Sequence[str]) -> int:
    """Carry out a command line as a program: stopped by signals, and quiet after ``| head``."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        return main(argv)
    except BrokenPipeError:
        _discard_output()
        return 128 + signal.SIGPIPE


def _discard_output() -> None:
    """Let Python flush to nowhere at its exit, since nothing can be written any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
