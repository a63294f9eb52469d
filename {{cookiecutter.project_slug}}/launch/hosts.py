"""Hosts on this machine, for which is done what SageMaker does for its instances."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from . import storage
from .job import Channel
from .options import Call
from .project import ROOT, LaunchError
from .request import Request
from .run import Run

STOP_SECONDS = 120.0  # from SIGTERM to SIGKILL, as on SageMaker
_POLL_SECONDS = 0.05
_MESSAGE_BYTES = 1024  # of ExitMessage


@dataclass(frozen=True)
class Host:
    """One host: its name, and the folder that stands for its ``/opt/ml``."""

    name: str
    base: Path
    inputs: Sequence[tuple[Channel, Path]]
    """The folders of this machine that the job sees as its inputs, and leaves as they are."""

    def folder(self, channel: Channel) -> Path:
        """Where a channel lies below ``base``."""
        return self.base / channel.path.removeprefix("/opt/ml/")


class Place(Protocol):
    """Where hosts run."""

    def start(self, host: Host) -> subprocess.Popen[bytes]:
        """Start the job; the process prints what it prints and ends with its exit code."""

    def kill(self, host: Host, number: signal.Signals) -> None:
        """Send the job a signal."""

    def collect(self, host: Host) -> None:
        """Bring what the job wrote below ``host.base``, as the caller's own files."""


def run(
    call: Call, request: Request, outputs: Mapping[str, str], place: AbstractContextManager[Place]
) -> Run:
    """Run a job on its hosts, and put their outputs together: whole or not at all."""
    seconds = call.options.max_runtime_in_seconds
    (ROOT / "out").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".launch-", dir=ROOT / "out") as folder:
        hosts = _prepare(call, request, Path(folder))
        with place as hosting:
            status, exit_code, first = _follow(hosts, hosting, seconds)
            for host in hosts:
                hosting.collect(host)
        if first and exit_code == 128 + signal.SIGKILL:
            (first.base / "output" / "message").write_text("killed, most likely out of memory")
        message = _message(hosts, first)
        if status == "Stopped":
            message = f"ran longer than {seconds} s; {message}"
        if status == "Completed":
            try:
                _publish(call, hosts, outputs, Path(folder, "merged"))
            except (LaunchError, OSError) as error:
                status, exit_code, message = "Failed", 1, str(error)
    return Run(request["ProcessingJobName"], status, outputs, message, exit_code)


def _prepare(call: Call, request: Request, folder: Path) -> list[Host]:
    """Lay out what SageMaker gives each host before the job starts."""
    names = [f"algo-{number + 1}" for number in range(call.options.instance_count)]
    inputs = [channel for channel in call.job.inputs if channel.option in call.channels]
    shares = [(channel, _shares(channel, call, folder)) for channel in inputs]
    hosts = []
    for index, name in enumerate(names):
        own = [(channel, folders[index]) for channel, folders in shares]
        host = Host(name, folder / name, own)
        for below in ("config", "output", "processing/output"):
            (host.base / below).mkdir(parents=True)
        for channel in call.job.outputs:
            host.folder(channel).mkdir(parents=True)
        resources = {"current_host": name, "hosts": names}
        (host.base / "config" / "resourceconfig.json").write_text(json.dumps(resources))
        (host.base / "config" / "processingjobconfig.json").write_text(json.dumps(request))
        hosts.append(host)
    return hosts


def _shares(channel: Channel, call: Call, folder: Path) -> list[Path]:
    """The folder that each host sees as this input: the same for all, or its part of the files."""
    count = call.options.instance_count
    source = storage.fetch(call.channels[channel.option], folder / "fetched" / channel.name)
    if channel.option not in call.options.shard:
        return [source] * count
    shares = [folder / f"share-{index}" / channel.name for index in range(count)]
    for share in shares:
        share.mkdir(parents=True)
    for index, key in enumerate(storage.files(str(source))):
        target = shares[index % count] / key
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link((source / key).resolve(), target)
        except OSError:  # on another file system
            shutil.copy2(source / key, target)
    return shares


def _follow(hosts: Sequence[Host], place: Place, seconds: float) -> tuple[str, int, Host | None]:
    """Status, exit code, and the host that failed first."""
    deadline = time.monotonic() + seconds
    processes: list[tuple[Host, subprocess.Popen[bytes]]] = []
    printers: list[threading.Thread] = []
    try:
        for host in hosts:
            processes.append((host, place.start(host)))
            arguments = (host.name, processes[-1][1].stdout)
            printers.append(threading.Thread(target=_print, args=arguments, daemon=True))
            printers[-1].start()
        while time.monotonic() < deadline:
            codes = [process.poll() for _, process in processes]
            for host, code in zip(hosts, codes, strict=True):
                if code:
                    return "Failed", code if code > 0 else 128 - code, host
            if None not in codes:
                return "Completed", 0, None
            time.sleep(_POLL_SECONDS)
        return "Stopped", 1, None
    finally:
        _stop(processes, place)
        for printer in printers:
            printer.join(timeout=1)


def _stop(processes: Sequence[tuple[Host, subprocess.Popen[bytes]]], place: Place) -> None:
    """SIGTERM, time, SIGKILL; another Ctrl-C cuts the time short."""
    deadline = time.monotonic() + STOP_SECONDS
    running = [(host, process) for host, process in processes if process.poll() is None]
    try:
        for host, _ in running:
            place.kill(host, signal.SIGTERM)
        while time.monotonic() < deadline and any(each.poll() is None for _, each in running):
            time.sleep(_POLL_SECONDS)
    finally:
        for host, process in running:
            if process.poll() is None:
                place.kill(host, signal.SIGKILL)
            process.wait()


def _print(name: str, stream: IO[bytes]) -> None:
    with stream:
        for line in stream:
            sys.stdout.write(f"{name} | {line.decode(errors='replace').rstrip()}\n")
            sys.stdout.flush()


def _message(hosts: Sequence[Host], first: Host | None) -> str:
    """``ExitMessage``: what the hosts left, and before all others the one that failed first."""
    lines = []
    for host in sorted(hosts, key=lambda host: host is not first):
        file = host.base / "output" / "message"
        if file.exists():
            text = file.read_text(encoding="utf-8", errors="replace")
            lines.append(text if len(hosts) == 1 else f"{host.name}: {text}")
    return "\n".join(lines).encode()[:_MESSAGE_BYTES].decode(errors="ignore")


def _publish(call: Call, hosts: Sequence[Host], outputs: Mapping[str, str], folder: Path) -> None:
    """Put what the hosts wrote under one address, as SageMaker puts it under one prefix."""
    for channel in call.job.outputs:
        (folder / channel.name).mkdir(parents=True)
        for host in hosts:
            for key in storage.files(str(host.folder(channel))):
                source, target = host.folder(channel) / key, folder / channel.name / key
                if target.exists():
                    advice = "S3 keeps one of them: put the host's name into it"
                    raise LaunchError(f"{host.name} and another host both wrote {key}: {advice}")
                if not source.is_symlink():  # SageMaker uploads none
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source.rename(target)
    for channel in call.job.outputs:
        storage.replace(outputs[channel.option], folder / channel.name)
