"""Runs a job as processes on this machine, without Docker and without AWS."""

import fcntl
import fnmatch
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..requests.options import Launch
from ..run import Request, Run
from ..settings import project
from ..storage import folders
from . import hosts
from .hosts import Exit, Host, Runner

_PASSED = (
    *("HOME", "LANG", "LC_*", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER"),
    *("AWS_*", "*_proxy", "*_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
)
"""Variables of the shell that a job sees: what a container has, and what AWS and proxies need."""


def run(launch: Launch, request: Request) -> Run:
    """Run a job as one process for each host; see ``hosts.run``."""
    return hosts.run(launch, request, lambda _: _processes(launch, request), needs_files=False)


@contextmanager
def _processes(launch: Launch, request: Request) -> Iterator[Runner]:
    processes = _Processes(launch, request.get("Environment", {}), launch.stamp)
    try:
        yield processes
    finally:
        processes.kill_all()


@dataclass(frozen=True)
class _Processes:
    """Hosts that are processes, each with an ``/opt/ml`` of its own."""

    launch: Launch
    environment: Mapping[str, str]
    """The variables of the request."""
    commit: str
    _started: dict[Host, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, host: Host) -> subprocess.Popen[bytes]:
        job = self.launch.job
        _move_paths(host)
        channels = [*host.inputs, *job.outputs]
        words = [f"--{channel.option}={host.folder(channel)}" for channel in channels]
        with _lock_file(host) as lock:
            process = subprocess.Popen(
                [sys.executable, *job.entrypoint[1:], *words, *self.launch.arguments],
                cwd=project.ROOT,
                env=self._environment(host),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock],
            )
            os.write(lock, str(process.pid).encode())
        self._started[host] = process
        return process

    def kill(self, host: Host, number: signal.Signals) -> bool:
        process = self._started[host]
        if number == signal.SIGKILL:
            _kill_group(process.pid)
        else:
            process.send_signal(number)
        return True

    def check(self) -> None:
        pass

    def exit(self, _host: Host, exit_code: int) -> Exit:
        if exit_code == -signal.SIGKILL:
            return Exit(1, "killed by SIGKILL, as when this machine runs out of memory")
        if exit_code < 0:
            return Exit(1, f"killed by {signal.Signals(-exit_code).name}")
        return Exit(exit_code, f"exit code {exit_code}")

    def collect(self, host: Host) -> None:
        pass

    def kill_all(self) -> None:
        """End all processes that the jobs have started."""
        for process in self._started.values():
            _kill_group(process.pid)

    def _environment(self, host: Host) -> dict[str, str]:
        passed = {
            name: value
            for name, value in os.environ.items()
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in _PASSED)
        }
        own = {
            "PYTHONPATH": str(project.ROOT / "src"),
            "SAGEMAKER_BASE_DIR": str(host.base),
            "SOURCE_COMMIT": self.commit,
        }
        return passed | own | dict(self.environment)


def _move_paths(host: Host) -> None:
    """Change the configuration of a host to the folders below its base instead of ``/opt/ml``."""
    file = host.base / "config" / "processingjobconfig.json"
    config = json.loads(file.read_text())
    inputs = config.get("ProcessingInputs", [])
    outputs = config.get("ProcessingOutputConfig", {}).get("Outputs", [])
    for item in (*inputs, *outputs):
        channel = item.get("S3Input") or item.get("S3Output") or {}
        if "LocalPath" in channel:
            channel["LocalPath"] = channel["LocalPath"].replace("/opt/ml", str(host.base), 1)
    file.write_text(json.dumps(config))


@contextmanager
def _lock_file(host: Host) -> Iterator[int]:
    """Open a file for the pid of a job, which inherits its lock and holds it while it lives."""
    descriptor = os.open(host.base.with_suffix(".pid"), os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def remove_abandoned() -> None:
    """End the local jobs of launches that were killed, and remove all temporary folders."""
    for folder in folders.abandoned(project.OUT):
        for file in folder.glob("hosts/*.pid"):
            _kill_if_alive(file)
        folders.remove(folder)


def _kill_if_alive(file: Path) -> None:
    """Kill a job whose lock is still held; a free lock means that it has ended."""
    with suppress(FileNotFoundError, ValueError), file.open("rb") as lock:
        pid = int(lock.read())
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _kill_group(pid)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
