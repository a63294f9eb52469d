"""Emulates SageMaker instances on this machine, for the local and the docker backend."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from {{ cookiecutter.__package_name }} import runtime

from ..history import command_lines, recordings
from ..history.recordings import Recording
from ..requests import cluster
from ..requests.jobs import Channel
from ..requests.options import Launch
from ..run import ExitCode, Request, Run
from ..settings import config, project
from ..settings.addresses import is_s3
from ..settings.project import LaunchError
from ..storage import code, folders, s3
from ..storage.folders import Claim, File
from .console import Console

STOP_SECONDS = 120.0
"""Time between SIGTERM and SIGKILL, as on SageMaker."""

_KILL_SECONDS = 10.0
"""Time between SIGKILL to the job and to the process that follows it."""

_NO_HARD_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)
"""On another file system, on another user's file, on a file system without hard links."""

_POLL_SECONDS = 0.05
_CHECK_SECONDS = 15.0


@dataclass(frozen=True, eq=False)
class Host:
    """An emulated instance."""

    name: str
    base: Path
    """The folder that represents ``/opt/ml``."""
    inputs: dict[Channel, Path]
    """The folder that the job sees as each input."""

    def folder(self, channel: Channel) -> Path:
        """Return the folder of a channel below ``base``."""
        return self.at(channel.path)

    def at(self, path: str) -> Path:
        """Return the local path that represents a path below ``/opt/ml``."""
        return self.base / path.removeprefix("/opt/ml/")


@dataclass(frozen=True)
class Exit:
    """How the job ended on a host."""

    code: int
    reason: str
    """Why, if the job itself left no message."""


class HostError(Exception):
    """A host was lost: the engine or its client no longer answers."""


class Runner(Protocol):
    """Starts and stops the job on hosts."""

    def start(self, host: Host) -> subprocess.Popen[bytes]:
        """Start the job; the process prints the job's output and ends with it."""

    def kill(self, host: Host, number: signal.Signals) -> bool:
        """Send a signal to the job, and return whether there was a job to receive it."""

    def check(self) -> None:
        """Raise ``HostError`` if hosts can no longer be reached."""

    def exit(self, host: Host, exit_code: int) -> Exit:
        """Return how the job ended on a host whose process has ended with this exit code."""

    def collect(self, host: Host) -> None:
        """Put the job's outputs and message below ``host.base``, owned by the caller."""


@dataclass(frozen=True)
class _Outcome:
    status: str
    failed: Host | None = None
    reason: str = ""


def run(
    launch: Launch,
    request: Request,
    make_runner: Callable[[Path], AbstractContextManager[Runner]],
    *,
    needs_files: bool,
) -> Run:
    """Run a job on emulated hosts and publish its outputs, each complete or not at all.

    Args:
        launch: The launch.
        request: Its request, which the hosts see as SageMaker's instances do.
        make_runner: Makes the runner; takes a temporary folder of this launch.
        needs_files: Whether inputs have to be real files, because a link would lead out of a host.

    Raises:
        LaunchError: Nothing was started: an output is taken, or there is no room.
    """
    with recordings.recording(launch.name, lambda: facts(launch, request)) as recording:
        return recording.end(_run(launch, request, make_runner, recording, needs_files=needs_files))


def _run(
    launch: Launch,
    request: Request,
    make_runner: Callable[[Path], AbstractContextManager[Runner]],
    recording: Recording,
    *,
    needs_files: bool,
) -> Run:
    with ExitStack() as stack:
        workspace = stack.enter_context(folders.temporary(project.OUT))
        sources = _sources(launch)
        before = {folder: folders.scan(folder) for folder in sources.values()}
        with folders.writable(project.OUT):
            hosts = _prepare(launch, request, workspace, sources, before, needs_files)
        claims = {
            option: stack.enter_context(folders.claim(Path(address), workspace))
            for option, address in launch.outputs.items()
            if not is_s3(address)
        }
        # Last, because claims in S3 are permanent.
        in_s3 = [address for address in launch.outputs.values() if is_s3(address)]
        s3.claim_all(in_s3, {"job": launch.name}, config.output_key(launch.job.name))
        recording.begin()
        try:
            with make_runner(workspace) as runner:
                outcome = _follow(request, hosts, runner, recording)
                for host in hosts:
                    runner.collect(host)
        except HostError as error:
            message = "\n".join([_as_in_container(str(error), workspace), *_changed_inputs(before)])
            return Run(launch.name, "Failed", {}, message, ExitCode.FAILED)
        except BaseException:
            for line in _changed_inputs(before):
                print(line, flush=True)
            raise
        changed = _changed_inputs(before)
        left = _as_in_container(_exit_message(hosts, outcome), workspace)
        message = "\n".join(line for line in [left, *changed] if line)
        if outcome.status != "Completed" or changed:
            status = "Failed" if outcome.status == "Completed" else outcome.status
            return Run(launch.name, status, {}, message, ExitCode.FAILED)
        try:
            _publish(launch, hosts, claims, workspace)
        except LaunchError as error:
            return Run(launch.name, "Failed", {}, str(error), ExitCode.FAILED)
    return Run(launch.name, "Completed", launch.outputs, message, ExitCode.COMPLETED)


def facts(launch: Launch, request: Request) -> dict[str, Any]:
    """Return the facts of a launch for its recording; see ``recordings.recording``."""
    tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
    repeated = command_lines.of_launch(launch.job, launch.typed, launch.arguments, launch.inputs)
    return {
        "job": launch.job.name,
        "run": launch.options.run_name,
        "backend": launch.options.backend,
        "commit": tags.get("commit", ""),
        "image": request["AppSpecification"]["ImageUri"],
        "code": code.digest(request),
        "inputs": dict(launch.inputs),
        "content": {option: recordings.content(place) for option, place in launch.inputs.items()},
        "outputs": dict(launch.outputs),
        "options": list(repeated.options),
        "hidden": list(repeated.hidden),
        "request": command_lines.hide(request, launch.job.build_parser().actions),
    }


def _changed_inputs(before: Mapping[Path, Sequence[File]]) -> list[str]:
    """Describe the first input file that the job changed, if there is one."""
    changed = [path for files in before.values() for path in folders.changes(files)]
    return [f"the job changed its own input {path}" for path in changed[:1]]


def _sources(launch: Launch) -> dict[Channel, Path]:
    """Return the folder or the file of each input, downloaded if it is in S3."""
    return {
        channel: s3.fetch(launch.inputs[channel.option])
        for channel in launch.job.inputs
        if channel.option in launch.inputs
    }


def _prepare(
    launch: Launch,
    request: Request,
    workspace: Path,
    sources: Mapping[Channel, Path],
    files: Mapping[Path, Sequence[File]],
    needs_files: bool,
) -> list[Host]:
    """Create the files and folders that SageMaker provides to each host before the job starts."""
    names = [f"algo-{number + 1}" for number in range(cluster.instance_count(request))]
    sharded = cluster.sharded_inputs(request)
    hosts = []
    for index, name in enumerate(names):
        host = Host(name, workspace / "hosts" / name, {})
        for channel, source in sources.items():
            share = files[source]
            if channel.name in sharded:
                share = share[index :: len(names)]
            elif needs_files and source.is_dir() and not _has_links(source, share):
                host.inputs[channel] = source
                continue
            mounted = workspace / "inputs" / name / channel.name
            host.inputs[channel] = mounted if needs_files else host.folder(channel)
            _link(share, host.inputs[channel], needs_files)
        for folder in ("config", "output", "processing/output"):
            (host.base / folder).mkdir(parents=True)
        if launch.code:
            _link(launch.code.snapshot.files, host.at(code.FOLDER), needs_files)
        for channel in launch.job.outputs:
            host.folder(channel).mkdir(parents=True)
        resources = {"current_host": name, "hosts": names}
        (host.base / "config" / "resourceconfig.json").write_text(json.dumps(resources))
        (host.base / "config" / "processingjobconfig.json").write_text(json.dumps(request))
        hosts.append(host)
    return hosts


def _has_links(folder: Path, files: Sequence[File]) -> bool:
    """Return whether files are reached by symbolic links, which lead nowhere in a container."""
    root = folder.resolve()
    return any(file.path.resolve() != root / file.name for file in files)


def _link(files: Sequence[File], target: Path, needs_files: bool) -> None:
    """Make a folder of links to input files, so that the job cannot remove the originals."""
    target.mkdir(parents=True)
    for file in files:
        link = target / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        original = file.path.resolve()
        try:
            os.link(original, link)
        except OSError as error:
            if error.errno not in _NO_HARD_LINK:
                raise
            if needs_files:
                shutil.copy2(original, link)
            else:
                link.symlink_to(original)


def _follow(
    request: Request, hosts: Sequence[Host], runner: Runner, recording: Recording
) -> _Outcome:
    """Run the job on all hosts until it has ended, failed on one, taken too long or must stop."""
    console, ended = Console(recording.write), threading.Event()
    seconds = request["StoppingCondition"]["MaxRuntimeInSeconds"]
    deadline, next_check = time.monotonic() + seconds, time.monotonic() + _CHECK_SECONDS
    processes: dict[Host, subprocess.Popen[bytes]] = {}
    printers: list[threading.Thread] = []
    try:
        for host in hosts:
            processes[host] = runner.start(host)
            arguments = (host.name, processes[host].stdout, ended)
            printers.append(threading.Thread(target=console.copy, args=arguments, daemon=True))
            printers[-1].start()
        running = list(hosts)
        while running:
            if console.closed:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            if time.monotonic() > deadline:
                return _Outcome("Stopped", reason=f"stopped after {seconds} s, its maximum runtime")
            if recording.stop_requested:
                return _Outcome("Stopped", reason=f"stopped by `{project.COMMAND} stop`")
            if time.monotonic() > next_check:
                runner.check()
                next_check = time.monotonic() + _CHECK_SECONDS
            for host in list(running):
                if (exit_code := processes[host].poll()) is None:
                    continue
                exited = runner.exit(host, exit_code)
                if exited.code:
                    return _Outcome("Failed", host, exited.reason)
                running.remove(host)
            time.sleep(_POLL_SECONDS)
        return _Outcome("Completed")
    except HostError:
        for process in processes.values():
            process.kill()
        raise
    finally:
        _stop(processes, runner)
        ended.set()
        for printer in printers:
            printer.join()


def _stop(processes: Mapping[Host, subprocess.Popen[bytes]], runner: Runner) -> None:
    """Send SIGTERM, wait, and send SIGKILL; a second interrupt ends the waiting."""
    running = [host for host, process in processes.items() if process.poll() is None]
    deadline = time.monotonic() + STOP_SECONDS
    try:
        unsignalled = running
        while any(processes[host].poll() is None for host in running):
            unsignalled = [host for host in unsignalled if not runner.kill(host, signal.SIGTERM)]
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
    finally:
        for host in running:
            if processes[host].poll() is None:
                runner.kill(host, signal.SIGKILL)
            try:
                processes[host].wait(timeout=_KILL_SECONDS)
            except subprocess.TimeoutExpired:
                processes[host].kill()
                processes[host].wait()


def _exit_message(hosts: Sequence[Host], outcome: _Outcome) -> str:
    """Build ``ExitMessage`` from the messages of the hosts; a host that failed comes first."""
    lines = [] if outcome.failed else [outcome.reason] * bool(outcome.reason)
    for host in sorted(hosts, key=lambda host: host is not outcome.failed):
        file = host.base / "output" / "message"
        text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
        if host is outcome.failed:
            text = text or outcome.reason
        if text:
            lines.append(text if len(hosts) == 1 else f"{host.name}: {text}")
    message = "\n".join(lines).encode()[: runtime.MESSAGE_BYTES]
    return message.decode(errors="ignore")


def _publish(
    launch: Launch, hosts: Sequence[Host], claims: Mapping[str, Claim], workspace: Path
) -> None:
    """Put the outputs of all hosts under one address, as SageMaker does under one prefix.

    Raises:
        LaunchError: An output could not be published; the message says where the result is.
    """
    unpublished = {"": workspace / "hosts"}
    option = ""
    try:
        for channel in launch.job.outputs:
            _check_names(channel, hosts)
        unpublished = {
            channel.option: _merge(channel, hosts, workspace) for channel in launch.job.outputs
        }
        for option, folder in list(unpublished.items()):
            if option in claims:
                claims[option].publish(folder)
            else:
                s3.publish(folder, launch.outputs[option], config.output_key(launch.job.name))
            del unpublished[option]
    except BaseException as error:
        kept = [_keep(launch, folder) for folder in unpublished.values() if folder.exists()]
        reason = _as_in_container(str(error), workspace)
        message = "; ".join([f"--{option}: {reason}" if option else reason, *kept])
        if not isinstance(error, LaunchError | OSError):
            print(message, flush=True)
            raise
        raise LaunchError(message) from error


def _as_in_container(text: str, workspace: Path) -> str:
    """Replace temporary folders in a message by the paths that the job sees."""
    for pattern, path in (
        ("hosts/[^/]+", "/opt/ml"),
        ("inputs/[^/]+", runtime.INPUT),
        ("outputs", runtime.OUTPUT),
    ):
        text = re.sub(f"{re.escape(str(workspace))}/{pattern}", path, text)
    return text


def _files(channel: Channel, host: Host) -> Iterator[tuple[Path, str]]:
    """Yield what a host wrote to an output; links are left out, as SageMaker does."""
    folder = host.folder(channel)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path, path.relative_to(folder).as_posix()


def _check_names(channel: Channel, hosts: Sequence[Host]) -> None:
    writers: dict[str, str] = {}
    for host in hosts:
        for _, name in _files(channel, host):
            if writers.setdefault(name, host.name) != host.name:
                raise LaunchError(
                    f"{writers[name]} and {host.name} both wrote {name}, and S3 would keep one of "
                    "them: put the host's name into the file's name"
                )


def _merge(channel: Channel, hosts: Sequence[Host], workspace: Path) -> Path:
    """Put the files of all hosts into one folder."""
    merged = workspace / "outputs" / channel.name
    merged.mkdir(parents=True)
    for host in hosts:
        for path, name in _files(channel, host):
            target = merged / name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    return merged


def _keep(launch: Launch, folder: Path) -> str:
    """Move a finished result out of the temporary folder, and return where it is."""
    kept = project.OUT / "unpublished" / launch.name / folder.name
    kept.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(kept)
    return f"the finished result is in {kept}"
