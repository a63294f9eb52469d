"""The Docker engine of the tests, and local servers: a registry and the APIs of AWS."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import boto3
import pytest

ACCOUNT = "123456789012"
"""The account that moto answers for."""

ECR = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
"""The account's registry, in the region of the tests."""

ECR_PASSWORD = f"{ACCOUNT}-auth-token"
"""What moto gives for ``aws ecr get-login-password``."""

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
"""The media type of an image's manifest."""

_START_SECONDS = 30.0


def need_engine() -> None:
    """Leave a test out where there is no Docker engine with buildx, except on CI: fail there."""
    for command in (["docker", "info"], ["docker", "buildx", "version"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            reason = done.stderr.strip() if done.returncode else ""
        except FileNotFoundError:
            reason = "docker is not installed"
        if reason and os.environ.get("CI"):
            pytest.fail(f"CI needs a Docker engine: {reason}")
        if reason:
            pytest.skip(f"no Docker engine, so no image is built: {reason}")


@contextmanager
def images_of(project: Path) -> Iterator[None]:
    """Remove at the end every image that was built from a commit of this project."""
    try:
        yield
    finally:
        commits = _output("git", "-C", str(project), "rev-list", "--all", "--reflog")
        label = "org.opencontainers.image.revision"
        images = set(_output("docker", "image", "ls", "--quiet", "--filter", f"label={label}"))
        inspect = ["docker", "image", "inspect", "--format"]
        template = f'{{{{.ID}}}} {{{{index .Config.Labels "{label}"}}}}'
        # It fails where another test has removed one of them, and prints the others.
        found = subprocess.run(
            [*inspect, template, *images], stdout=subprocess.PIPE, text=True, check=False
        )
        for line in found.stdout.splitlines():
            image, _, stamp = line.partition(" ")
            if stamp.partition("-")[0] in commits:
                _output("docker", "image", "rm", "--force", image)


@dataclass(frozen=True)
class Server:
    """A server of this process on loopback."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it; nothing happens where it has ended already."""
        self.process.terminate()
        self.process.wait()


@contextmanager
def docker_registry(
    folder: Path, password: str = ECR_PASSWORD, layers: Path | None = None
) -> Iterator[Server]:
    """A registry that keeps its images in ``folder`` and lets in the user AWS only, as ECR does.

    It holds no image at first. Registries with the same folder ``layers`` share the layers of the
    repository that has the folder's name: Docker compresses a layer for the first one only.
    """
    if layers:
        _share_layers(folder / "docker" / "registry" / "v2", layers)
    secret = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"AWS:{secret}\n")
    config = folder / "config.yml"
    config.write_text(f"""\
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
http: {{addr: "127.0.0.1:0"}}
storage: {{filesystem: {{rootdirectory: "{folder}"}}}}
auth: {{htpasswd: {{realm: tests, path: "{folder}/htpasswd"}}}}
""")
    with _serve(["docker-registry", "serve", str(config)], folder / "log") as server:
        yield server


def _share_layers(storage: Path, layers: Path) -> None:
    """Keep the blobs, and the list of the repository's layers, in the folder of all registries."""
    shared = {"blobs": "blobs", f"repositories/{layers.name}/_layers": "links"}
    for name, folder in shared.items():
        (storage / name).parent.mkdir(parents=True, exist_ok=True)
        (layers / folder).mkdir(parents=True, exist_ok=True)
        (storage / name).symlink_to(layers / folder)


def docker_client(folder: Path, images: Server, moto: Server | None = None) -> dict[str, str]:
    """Write a ``docker`` for which the addresses of ECR are those of a registry on loopback.

    Args:
        folder: Where it is written.
        images: The registry.
        moto: Whose ECR knows what was pushed from then on, as ECR does by itself.

    Returns:
        The variables with which it is the one that is found.
    """
    file = folder / "bin" / "docker"
    file.parent.mkdir(exist_ok=True)
    docker = shutil.which("docker")
    tell = f"{sys.executable} {__file__} {images.address} {moto.address}" if moto else ":"
    file.write_text(f"""\
#!/usr/bin/env bash
ecr='[0-9]{{12}}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com'
words=()
for word in "$@"; do words+=("$(sed -E "s/$ecr/{images.address}/g" <<<"$word")"); done
[[ $1 == push ]] || exec {docker} "${{words[@]}}"
{docker} "${{words[@]}}" && {tell} "$2"
""")
    file.chmod(0o755)
    path = os.pathsep.join([str(file.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {"PATH": path, "DOCKER_CONFIG": str(folder / "docker")}


def get(images: str, path: str) -> tuple[str, bytes]:
    """Media type and contents of something in a registry."""
    user = base64.b64encode(f"AWS:{ECR_PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {user}", "Accept": MANIFEST}
    request = urllib.request.Request(f"http://{images}/v2/{path}", headers=headers)
    with urllib.request.urlopen(request) as response:  # noqa: S310
        return response.headers["Content-Type"], response.read()


def ecr_client(moto: str, region: str) -> Any:
    return boto3.client(
        "ecr",
        endpoint_url=f"http://{moto}",
        region_name=region,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",  # noqa: S106
    )


def _tell_ecr(images: str, moto: str, address: str) -> None:
    """Let the API know the image in a registry whose address is that of ECR."""
    registry, _, name = address.partition("/")
    repository, _, tag = name.partition(":")
    media_type, manifest = get(images, f"{repository}/manifests/{tag}")
    ecr_client(moto, registry.split(".")[3]).put_image(
        repositoryName=repository,
        imageTag=tag,
        imageManifest=manifest.decode(),
        imageManifestMediaType=media_type,
        imageDigest=f"sha256:{hashlib.sha256(manifest).hexdigest()}",
    )


@contextmanager
def moto_server(folder: Path) -> Iterator[Server]:
    """AWS's APIs as moto has them, empty; the log goes to ``folder``."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with _serve(command, folder / "moto.log") as server:
        yield server


def aws_environment(moto: Server, region: str = "eu-west-1") -> dict[str, str]:
    """This process's environment, in which AWS's clients, and our own CLI first, ask ``moto``."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return ours | {
        "AWS_ENDPOINT_URL": f"http://{moto.address}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@contextmanager
def _serve(command: Sequence[str], log: Path) -> Iterator[Server]:
    """Run a server that is told to listen at port 0, and writes the one that it got to its log."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield Server(_await_port(process, log), process)
    finally:
        process.terminate()
        process.wait()


def _await_port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if found := re.search(r"\b127\.0\.0\.1:(\d+)\b", log.read_text()):
            return int(found[1])
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen: {log.read_text()}")


def _output(*command: str) -> list[str]:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()


if __name__ == "__main__":
    _tell_ecr(*sys.argv[1:])
