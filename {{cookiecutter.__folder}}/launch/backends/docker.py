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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from {{ cookiecutter.__package_name }} import runtime

from ..requests import cluster
from ..requests.options import Launch
from ..run import Request, Run
from ..settings import project
from ..settings.project import LaunchError
from ..storage import code, folders
from . import hosts
from .hosts import Exit, Host, HostError, Runner

_TIMEOUT_SECONDS = 60.0
"""How long to wait for an answer of the engine."""

_GPU_INSTANCE = re.compile(r"ml\.[gp]\d")
"""Begins an instance type with GPUs, such as ``ml.g5.xlarge`` or ``ml.p4d.24xlarge``."""

_CDI_GPUS = "nvidia.com/gpu=all"
"""All GPUs, by the name that ``nvidia-ctk cdi generate`` gives them."""

_LABEL = "sagemaker-processing"
"""Labels identify the launch of a container or a network: its machine and temporary folder."""

_KEPT = "unpublished-"
"""Begins the name of a container that is kept, because its outputs could not be copied."""

_CONFIG = "/opt/ml/config"
"""The folder in which a job finds its hosts."""

_MESSAGE = "/opt/ml/output"
"""The folder in which a job leaves its message."""

_GONE = re.compile("No such|not found")
"""The client's message for a container or a network that does not exist."""


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
        lambda workspace: _containers(launch, request, workspace, options),
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
        abandoned = [each["Id"] for each in _inspect(kind, found.split()) if _is_abandoned(each)]
        _remove(kind, abandoned)


def _is_abandoned(described: Mapping[str, Any]) -> bool:
    """Return whether a container or a network belongs to a launch of this repository that ended."""
    labels = described.get("Config", described)["Labels"]
    folder = Path(labels[f"{_LABEL}.folder"])
    kept = described["Name"].lstrip("/").startswith(_KEPT)
    return folder.parent == project.OUT and not kept and not folders.is_locked(folder)


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
def _containers(
    launch: Launch, request: Request, workspace: Path, options: Sequence[str]
) -> Iterator[Runner]:
    """Containers, and the network that connects them, which are removed in the end."""
    outputs = [channel.path for channel in launch.job.outputs]
    containers = _Containers(request, outputs, workspace, options)
    try:
        containers.make_network()
        yield containers
    finally:
        containers.remove()


@dataclass(frozen=True)
class _Containers:
    """Hosts that are containers."""

    request: Request
    outputs: Sequence[str]
    """The folders of the outputs in a container."""
    workspace: Path
    options: Sequence[str]
    """Further options for each container."""
    _containers: list[str] = field(default_factory=list)
    _networks: list[str] = field(default_factory=list)

    def make_network(self) -> None:
        if cluster.instance_count(self.request) > 1:
            name = self.request["ProcessingJobName"]
            self._networks.append(name)
            _docker("network", "create", *self._labels(), name)

    def start(self, host: Host) -> subprocess.Popen[bytes]:
        application = self.request["AppSpecification"]
        entrypoint, *words = application["ContainerEntrypoint"]
        options = ["--name", self._name(host), "--hostname", host.name, "--pull", "never"]
        options += ["--entrypoint", entrypoint, *self._labels(), *self.options]
        for name in self._networks:
            options += ["--network", name, "--network-alias", host.name]
        for key, value in self.request.get("Environment", {}).items():
            options += ["--env", f"{key}={value}"]
        options += _read_only(host.at(_CONFIG), _CONFIG)
        if code.digest(self.request):
            options += _read_only(host.at(code.FOLDER), code.FOLDER)
        for channel, folder in host.inputs.items():
            options += _read_only(folder, channel.path)
        for path in (_MESSAGE, *(self.outputs or [runtime.OUTPUT])):
            options += ["--mount", f"type=volume,target={path}"]
        words += application.get("ContainerArguments", [])
        self._containers.append(self._name(host))
        _docker("create", *options, application["ImageUri"], *words)
        return subprocess.Popen(
            [_client(), "start", "--attach", self._name(host)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kill(self, host: Host, number: signal.Signals) -> bool:
        try:
            _docker("kill", "--signal", number.name, self._name(host))
        except HostError:  # the container has not started yet, or has just ended
            return False
        return True

    def check(self) -> None:
        _docker("version")

    def exit(self, host: Host, exit_code: int) -> Exit:
        """Ask the engine how a container ended, because only the client may have failed."""
        if exit_code == 0:
            return Exit(0, "")
        found = _inspect("container", [self._name(host)])
        if not found:
            raise HostError(f"the container of {host.name} was removed while the job was running")
        state = found[0]["State"]
        if state["Running"]:
            raise HostError(
                f"the Docker client that followed {host.name} ended, "
                "although the job was still running"
            )
        exit_code = int(state["ExitCode"])
        if state["OOMKilled"]:
            return Exit(exit_code, "killed, because its container ran out of memory")
        return Exit(exit_code, state.get("Error") or f"exit code {exit_code}")

    def collect(self, host: Host) -> None:
        """Copy, because files that a container writes to a mount belong to the container's user."""
        name = self._name(host)

        def copy(path: str) -> None:
            _docker("cp", "--quiet", f"{name}:{path}/.", str(host.at(path)), slow=True)

        try:
            with ThreadPoolExecutor() as pool:
                list(pool.map(copy, (_MESSAGE, runtime.OUTPUT)))
        except HostError as error:
            _docker("rename", name, f"{_KEPT}{name}")
            self._containers.remove(name)
            command = f"docker cp {_KEPT}{name}:{runtime.OUTPUT} ."
            raise HostError(
                f"{error}; the outputs are still in the container: {command}"
            ) from error

    def remove(self) -> None:
        for kind, names in (("container", self._containers), ("network", self._networks)):
            try:
                _remove(kind, names)
            except HostError as error:
                left = " ".join(names)
                print(f"{error}; the next launch removes the {kind} {left}", flush=True)

    def _name(self, host: Host) -> str:
        return f"{self.request['ProcessingJobName']}-{host.name}"

    def _labels(self) -> list[str]:
        labels = {"host": _host(), "folder": str(self.workspace)}
        return [
            word for key, value in labels.items() for word in ("--label", f"{_LABEL}.{key}={value}")
        ]


_ALL: Mapping[str, list[str]] = {"container": ["--all"], "network": []}


def _remove(kind: str, names: Sequence[str]) -> None:
    options = ["--force", "--volumes"] if kind == "container" else []
    if names:
        _docker(kind, "rm", *options, *names, may_be_gone=True, slow=True)


def _inspect(kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Describe those that still exist."""
    descriptions: list[dict[str, Any]] = []
    if names:
        descriptions = json.loads(_docker(kind, "inspect", *names, may_be_gone=True))
    return descriptions


def _read_only(folder: Path, target: str) -> list[str]:
    """Return the option ``--mount``, which takes comma-separated values with CSV's quotes."""
    text = io.StringIO()
    fields = ["type=bind", f"source={folder}", f"target={target}", "readonly"]
    csv.writer(text, lineterminator="").writerow(fields)
    return ["--mount", text.getvalue()]


def _host() -> str:
    return socket.gethostname()


def _client() -> str:
    if client := shutil.which("docker"):
        return client
    raise HostError("there is no `docker` on this machine: install it, or use --backend local")


def _docker(*words: str, slow: bool = False, may_be_gone: bool = False) -> str:
    """Run the Docker client and return what it prints.

    Args:
        words: Its command line.
        slow: Whether it may take longer, provided that the engine answers in the meantime.
        may_be_gone: Whether the containers or networks that it names may not exist any more.

    Raises:
        HostError: It failed, or the engine did not answer in time.
    """
    with subprocess.Popen(
        [_client(), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, errors = _wait(process, words[0], slow=slow)
        except BaseException:
            process.kill()
            raise
    lines = errors.strip().splitlines()
    if process.returncode and not (may_be_gone and lines and all(map(_GONE.search, lines))):
        raise HostError(f"docker {' '.join(words[:2])}: {errors.strip()}")
    return output


def _wait(process: subprocess.Popen[str], command: str, *, slow: bool) -> tuple[str, str]:
    """Return what a client prints on standard output and as errors, once it has ended."""
    while True:
        try:
            return process.communicate(timeout=_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            if not slow:
                message = f"docker {command}: no answer within {_TIMEOUT_SECONDS:.0f} seconds"
                raise HostError(message) from error
            _docker("version")
