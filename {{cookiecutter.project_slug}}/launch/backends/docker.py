"""Runs a job in containers of its image, the way SageMaker runs it."""

import csv
import io
import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import cluster, folders, project
from ..options import Launch
from ..project import LaunchError
from ..run import Request, Run
from . import hosts
from .hosts import Exit, Host, HostError, Runner

_TIMEOUT_SECONDS = 60.0
"""How long an engine may take to answer before it is given up on; copies may take longer."""

_GPU_INSTANCE = re.compile(r"ml\.[gp]\d")
"""Begins an instance type with GPUs, such as ``ml.g5.xlarge`` or ``ml.p4d.24xlarge``."""

_CDI_GPUS = "nvidia.com/gpu=all"
"""All GPUs, by the name that ``nvidia-ctk cdi generate`` gives them."""

_LABEL = "sagemaker-processing"
"""Labels say which launch made a container or a network: its machine and its temporary folder."""


_KEPT = "unpublished-"
"""Begins the name of a container that is kept, because its outputs could not be copied."""


def run(launch: Launch, request: Request) -> Run:
    """Run a job as one container for each host; see ``hosts.run``.

    Raises:
        LaunchError: Nothing was started: Docker does not answer, or the image was not built.
    """
    image = request["AppSpecification"]["ImageUri"]
    try:
        _docker("image", "inspect", image)
    except HostError as error:
        if "No such image" not in str(error):
            raise LaunchError(str(error)) from error
        raise LaunchError(f"there is no image {image}: `make image` builds it") from error
    remove_abandoned()
    options = _gpu_options(request)
    return hosts.run(
        launch,
        request,
        lambda workspace: _containers(request, workspace, options),
        needs_files=True,
    )


def remove_abandoned() -> None:
    """Remove containers and networks of this repository's launches that were killed.

    Raises:
        LaunchError: Docker does not answer.
    """
    try:
        _remove_abandoned()
    except HostError as error:
        raise LaunchError(f"containers were not looked for: {error}") from error


def _remove_abandoned() -> None:
    for kind in ("container", "network"):
        this_host = f"label={_LABEL}.host={_host()}"
        found = _docker(kind, "ls", *_ALL[kind], "--quiet", "--filter", this_host)
        for each in _inspect(kind, found.split()):
            labels = (each["Config"] if kind == "container" else each)["Labels"]
            folder = Path(labels[f"{_LABEL}.folder"])
            kept = each["Name"].lstrip("/").startswith(_KEPT)
            if folder.parent == project.OUT and not kept and not folders.is_locked(folder):
                _remove(kind, each["Id"])


def _gpu_options(request: Request) -> list[str]:
    """Return the options that give the GPUs of this machine to a container.

    There are none unless the instance type of the request has GPUs, and the engine, too: it lists
    the runtime of the NVIDIA Container Toolkit or, without that, the devices of its CDI files.
    """
    instance_type = next(filter(_GPU_INSTANCE.match, cluster.instance_types(request)), "")
    if not instance_type:
        return []
    with suppress(HostError, ValueError):
        engine = json.loads(_docker("info", "--format", "json"))
        if "nvidia" in (engine.get("Runtimes") or {}):
            return ["--gpus", "all"]
        if any(device.get("ID") == _CDI_GPUS for device in engine.get("DiscoveredDevices") or []):
            return ["--device", _CDI_GPUS]
    print(
        f"{instance_type} has GPUs, but Docker has none on this machine: the job runs without GPUs",
        flush=True,
    )
    return []


@contextmanager
def _containers(request: Request, workspace: Path, options: Sequence[str]) -> Iterator[Runner]:
    """Containers, and the network that connects them, which are removed in the end."""
    containers = _Containers(request, workspace, options)
    try:
        containers.make_network()
        yield containers
    finally:
        containers.remove()


@dataclass(frozen=True)
class _Containers:
    """Hosts that are containers."""

    request: Request
    workspace: Path
    options: Sequence[str]
    """Further options for each container."""
    _made: list[tuple[str, str]] = field(default_factory=list)
    """Kind and name of what has to be removed, in the order in which it was made."""

    def make_network(self) -> None:
        if cluster.instance_count(self.request) > 1:
            name = self.request["ProcessingJobName"]
            self._made.append(("network", name))
            _docker("network", "create", *self._labels(), name)

    def start(self, host: Host) -> subprocess.Popen[bytes]:
        application = self.request["AppSpecification"]
        entrypoint, *words = application["ContainerEntrypoint"]
        options = ["--name", self._name(host), "--hostname", host.name, "--pull", "never"]
        options += ["--entrypoint", entrypoint, *self._labels(), *self.options]
        for kind, name in self._made:
            if kind == "network":
                options += ["--network", name, "--network-alias", host.name]
        for key, value in self.request.get("Environment", {}).items():
            options += ["--env", f"{key}={value}"]
        for channel, folder in host.inputs.items():
            options += ["--mount", _read_only(folder, channel.path)]
        words += application.get("ContainerArguments", [])
        self._made.append(("container", self._name(host)))
        _docker("create", *options, application["ImageUri"], *words)
        self._copy(f"{host.base}/.", f"{self._name(host)}:/opt/ml")
        return subprocess.Popen(
            [_client(), "start", "--attach", self._name(host)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kill(self, host: Host, number: signal.Signals) -> None:
        with suppress(HostError):  # the job may just have ended
            _docker("kill", "--signal", number.name, self._name(host))

    def check(self) -> None:
        _docker("version")

    def exit(self, host: Host) -> Exit:
        """Ask the engine: the client's own exit code says nothing if the client was killed."""
        (container,) = _inspect("container", [self._name(host)])
        state = container["State"]
        if state["Running"]:
            raise HostError(
                f"the Docker client that followed {host.name} ended, "
                "although the job was still running"
            )
        code = int(state["ExitCode"])
        if state["OOMKilled"]:
            return Exit(code, "killed, because its container ran out of memory")
        return Exit(code, state.get("Error") or f"exit code {code}")

    def collect(self, host: Host) -> None:
        """Copy, because what a container writes to a mount belongs to the container's user."""
        name = self._name(host)
        try:
            for folder in ("output", "processing/output"):
                self._copy(f"{name}:/opt/ml/{folder}/.", str(host.base / folder))
        except HostError as error:
            _docker("rename", name, f"{_KEPT}{name}")
            self._made.remove(("container", name))
            command = f"docker cp {_KEPT}{name}:/opt/ml/processing/output ."
            raise HostError(
                f"{error}; the outputs are still in the container: {command}"
            ) from error

    def remove(self) -> None:
        for kind, name in reversed(self._made):
            try:
                _remove(kind, name)
            except HostError as error:
                print(f"{error}; the next launch removes the {kind} {name}", flush=True)

    def _name(self, host: Host) -> str:
        return f"{self.request['ProcessingJobName']}-{host.name}"

    def _labels(self) -> list[str]:
        labels = {"host": _host(), "folder": str(self.workspace)}
        return [
            word for key, value in labels.items() for word in ("--label", f"{_LABEL}.{key}={value}")
        ]

    def _copy(self, source: str, target: str) -> None:
        """Copy for as long as it takes, provided that the engine answers."""
        with subprocess.Popen(
            [_client(), "cp", "--quiet", source, target],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            while True:
                try:
                    _, errors = process.communicate(timeout=_TIMEOUT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    try:
                        self.check()
                    except HostError:
                        process.kill()
                        raise
        if process.returncode:
            raise HostError(f"docker cp: {errors.decode(errors='replace').strip()}")


_ALL: Mapping[str, list[str]] = {"container": ["--all"], "network": []}


def _remove(kind: str, name: str) -> None:
    options = ["--force", "--volumes"] if kind == "container" else []
    try:
        _docker(kind, "rm", *options, name)
    except HostError as error:
        if "No such" not in str(error) and "not found" not in str(error):
            raise


def _inspect(kind: str, names: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_docker(kind, "inspect", *names)) if names else []
    return found


def _read_only(folder: Path, target: str) -> str:
    """Return a mount for ``--mount``, which takes comma-separated values with CSV's quotes."""
    text = io.StringIO()
    fields = ["type=bind", f"source={folder}", f"target={target}", "readonly"]
    csv.writer(text, lineterminator="").writerow(fields)
    return text.getvalue()


def _host() -> str:
    return socket.gethostname()


def _client() -> str:
    if client := shutil.which("docker"):
        return client
    raise HostError("there is no `docker` on this machine: install it, or use --backend local")


def _docker(*words: str) -> str:
    """Run the Docker client.

    Raises:
        HostError: It failed, or the engine did not answer in time.
    """
    try:
        done = subprocess.run(
            [_client(), *words],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"docker {words[0]}: no answer within {_TIMEOUT_SECONDS:.0f} seconds"
        raise HostError(message) from error
    if done.returncode:
        raise HostError(f"docker {' '.join(words[:2])}: {done.stderr.strip()}")
    return done.stdout
