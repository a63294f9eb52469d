"""The command line: ``python -m launch JOB [options]``."""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from .requests import jobs
from .requests.options import Launch, parse
from .run import ExitCode, Request, Run
from .settings import names
from .settings.project import COMMAND, LaunchError

Requests = Sequence[tuple[Launch, Request]]
"""What is launched; a pipeline has several jobs."""

_HELP = """\
usage: COMMAND JOB [options]       run a job
       COMMAND pipeline [options]  run the jobs that launch.toml lists, one after the other
       COMMAND deploy [options]    create or update the pipeline on SageMaker without running it
       COMMAND compare RUN ...     show how runs differ, and their metrics side by side
       COMMAND list                list jobs and runs on this machine and on SageMaker
       COMMAND show NAME           show a job or run, why it failed and what to do next
       COMMAND logs NAME           print the log of a job or run, and follow it
       COMMAND stop NAME           stop a job or run
       COMMAND again NAME [options]
                                   launch a job or run again, with changed options
       COMMAND clean               remove what killed launches left on this machine

Add --help to any of these for its options. Jobs: """


def main(argv: Sequence[str]) -> int:
    """Carry out a command line and return its exit code; see ``run.ExitCode``."""
    try:
        listed = ", ".join(jobs.names())  # rejects a job that a command would hide
        if not argv or argv[0] in ("-h", "--help"):
            print(_HELP.replace("COMMAND", COMMAND) + listed)
            return ExitCode.COMPLETED if argv else ExitCode.REJECTED
        return _carry_out(argv[0], argv[1:])
    except LaunchError as error:
        print(f"{COMMAND}: error: {error}", file=sys.stderr)
        return ExitCode.REJECTED


def _carry_out(verb: str, argv: Sequence[str]) -> int:
    if verb == "compare":
        from .commands import comparison

        comparison.main(argv)
        return ExitCode.COMPLETED
    if verb in ("list", "show", "logs", "stop", "clean"):
        from .commands import cli

        return cli.carry_out(verb, argv)
    if verb == "again":
        from .commands import repeat

        if argv and argv[0] in ("-h", "--help"):
            print(repeat.HELP)
            return ExitCode.COMPLETED
        repeated = repeat.prepare(argv)
        start = _pipeline if repeated.job == "pipeline" else _job
        return start(repeated.job, repeated.argv, repeated.print_differences)
    if verb in names.VERBS:
        return _pipeline(verb, argv)
    return _job(verb, argv)


def _job(name: str, argv: Sequence[str], report: Callable[[Requests], None] | None = None) -> int:
    """Launch a job.

    Args:
        name: The name of the job.
        argv: Its options and the launch's.
        report: Called with the launch and its request before the job starts.
    """
    launch = parse(jobs.read(name), argv)
    from .requests import request

    job_request = request.prepare(launch)
    if report:
        report([(launch, job_request)])
    if launch.options.backend == "sagemaker":
        _warn_of_secrets([launch], "the job")
    if launch.options.plan:
        print(json.dumps(job_request, indent=2))
        _report_ignored([launch])
        if launch.options.backend == "sagemaker":
            _print_ceiling([job_request])
        return ExitCode.COMPLETED
    from . import backends
    from .commands import tracking

    run = backends.run(launch, job_request)
    code = _report(run, run.outputs if run.status == "Completed" else {})
    tracking.log_job(launch, run)
    return code


def _pipeline(
    verb: str, argv: Sequence[str], report: Callable[[Requests], None] | None = None
) -> int:
    from .pipelines import pipeline

    parsed = pipeline.parse(argv, deployed=verb == "deploy")
    if report:
        report([(step.launch, step.request) for step in parsed.steps])
    if parsed.deployed or parsed.options.backend == "sagemaker":
        _warn_of_secrets([step.launch for step in parsed.steps], "the pipeline and its jobs")
    if parsed.options.plan:
        from .pipelines import definition

        print(json.dumps(definition.build(parsed), indent=2))
        if verb == "pipeline":
            _report_ignored([step.launch for step in parsed.steps])
        if parsed.deployed or parsed.options.backend == "sagemaker":
            _print_ceiling([step.request for step in parsed.running])
        return ExitCode.COMPLETED
    from . import backends
    from .commands import tracking

    if verb == "pipeline":
        run = backends.run_pipeline(parsed)
        code = _report(run, run.outputs)  # of the steps that have completed
        tracking.log_pipeline(parsed, run)
        return code
    print(f"deployed: {backends.deploy(parsed)}")
    return ExitCode.COMPLETED


def _warn_of_secrets(launches: Sequence[Launch], readable: str) -> None:
    """Warn in one line about secret options, whose values SageMaker stores and shows to others.

    Args:
        launches: What is launched on SageMaker.
        readable: What others can describe there, for the message.
    """
    from .history import command_lines

    secrets = [
        option
        for launch in launches
        for option in command_lines.of_launch(launch.job, launch.typed, launch.arguments, {}).hidden
    ]
    if secrets:
        print(
            f"{', '.join(dict.fromkeys(secrets))}: anyone who may describe {readable} can read the "
            "value: let the job read secrets from AWS Secrets Manager",
            file=sys.stderr,
        )


def _report_ignored(launches: Sequence[Launch]) -> None:
    """Print in one line the fields of ``launch.toml`` that a backend on this machine ignores."""
    from .requests import ignored_fields
    from .settings import config

    backend = launches[0].options.backend
    ignored = [path for launch in launches for path in ignored_fields.ignored(launch.job, backend)]
    if ignored:
        paths = ", ".join(dict.fromkeys(ignored))
        print(f"{config.FILE}: the backend {backend} ignores {paths}", file=sys.stderr)


def _print_ceiling(requests: Sequence[Request]) -> None:
    from .aws import prices

    print(prices.ceiling(requests), file=sys.stderr)


def _report(run: Run, outputs: Mapping[str, str]) -> int:
    lines = [f"{run.status}: {run.name}", *(f"  {line}" for line in run.exit_message.splitlines())]
    if run.metric:
        lines.append(f"  {run.metric}")
    if run.cost:
        lines.append(f"  {run.cost}")
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
    """Carry out a command line as a program: it ends on signals and closed pipes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        return main(argv)
    except BrokenPipeError:
        _discard_output()
        return 128 + signal.SIGPIPE


def _discard_output() -> None:
    """Redirect standard output to the null device, so that Python's flush at exit cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
