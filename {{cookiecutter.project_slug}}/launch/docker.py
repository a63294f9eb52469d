"""Hosts that are containers of the built image, run as SageMaker runs them."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from .hosts import Host, Place
from .project import LaunchError
from .request import Request


def check_image(name: str) -> None:
    """Refuse an image that was not built."""
    try:
        _docker("image", "inspect", name)
    except LaunchError as error:
        if "No such image" not in str(error):
            raise
        raise LaunchError(f"there is no image {name}: `make image` builds it") from error


@contextmanager
def place(request: Request) -> Iterator[Place]:
    """A private network and its containers, all of which are gone in the end."""
    network = request["ProcessingJobName"]
    _docker("network", "create", network)
    try:
        yield _Containers(request)
    finally:
        try:
            for container in _docker("ps", "-aq", "--filter", f"name=^{network}-algo-").split():
                _docker("rm", "--force", "--volumes", container)
            _docker("network", "rm", network)
        except LaunchError as error:
            advice = f"remove what is left of {network} when Docker answers again"
            raise LaunchError(f"{error}; {advice}") from error


@dataclass(frozen=True)
class _Containers:
    request: Request

    def start(self, host: Host) -> subprocess.Popen[bytes]:
        application = self.request["AppSpecification"]
        entrypoint, *words = application["ContainerEntrypoint"]
        options = [
            *("--name", self._name(host), "--hostname", host.name, "--pull", "never"),
            *("--network", self.request["ProcessingJobName"], "--network-alias", host.name),
            *("--entrypoint", entrypoint),
        ]
        for key, value in self.request.get("Environment", {}).items():
            options += ["--env", f"{key}={value}"]
        for channel, folder in host.inputs:
            mount = f'type=bind,"source={folder}",target={channel.path},readonly'  # CSV
            options += ["--mount", mount]
        words += application.get("ContainerArguments", [])
        _docker("create", *options, application["ImageUri"], *words)
        _docker("cp", f"{host.base}/.", f"{self._name(host)}:/opt/ml")
        return subprocess.Popen(
            [_client(), "start", "--attach", self._name(host)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kill(self, host: Host, number: signal.Signals) -> None:
        with suppress(LaunchError):  # the job may just have ended
            _docker("kill", "--signal", number.name, self._name(host))

    def collect(self, host: Host) -> None:
        """Copy, where a mount would leave files of whoever the container ran as."""
        for folder in ("output", "processing/output"):
            _docker("cp", f"{self._name(host)}:/opt/ml/{folder}/.", str(host.base / folder))

    def _name(self, host: Host) -> str:
        return f"{self.request['ProcessingJobName']}-{host.name}"


def _client() -> str:
    if client := shutil.which("docker"):
        return client
    raise LaunchError("there is no `docker` on this machine: install it, or launch --where here")


def _docker(*words: str) -> str:
    done = subprocess.run(
        [_client(), *words], capture_output=True, text=True, start_new_session=True
    )
    if done.returncode:
        raise LaunchError(f"docker {' '.join(words[:2])}: {done.stderr.strip()}")
    return done.stdout
