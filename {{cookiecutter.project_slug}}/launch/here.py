"""Hosts that are plain processes: no Docker, no AWS."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from . import project
from .hosts import Host, Place
from .job import arguments
from .options import Call


@contextmanager
def place(call: Call) -> Iterator[Place]:
    """A place where every host is a process that has an ``/opt/ml`` of its own."""
    yield _Processes(call, project.stamp(), {})


@dataclass(frozen=True)
class _Processes:
    call: Call
    commit: str
    started: dict[str, subprocess.Popen[bytes]]

    def start(self, host: Host) -> subprocess.Popen[bytes]:
        job = self.call.job
        config = host.base / "config" / "processingjobconfig.json"
        config.write_text(config.read_text().replace('"/opt/ml/', f'"{host.base}/'))
        for channel, folder in host.inputs:
            host.folder(channel).parent.mkdir(parents=True, exist_ok=True)
            host.folder(channel).symlink_to(folder)
        channels = [channel for channel, _ in host.inputs] + [*job.outputs]
        folders = {channel.option: host.folder(channel) for channel in channels}
        environment = {"SAGEMAKER_BASE_DIR": str(host.base), "SOURCE_COMMIT": self.commit}
        words = [*arguments(job.parser(), folders), *self.call.arguments]
        self.started[host.name] = subprocess.Popen(
            [sys.executable, *job.entrypoint[1:], *words],
            cwd=project.ROOT,
            env=os.environ | environment | dict(self.call.options.env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self.started[host.name]

    def kill(self, host: Host, number: signal.Signals) -> None:
        process = self.started[host.name]
        if number == signal.SIGKILL and process.poll() is None:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)

    def collect(self, host: Host) -> None:
        pass
