"""What ``launch`` costs, against other programs that do the same.

    .venv/bin/python benchmarks/launch.py [COMPARISON ...]

Every comparison prints tables whose last column is the ratio to the first row. S3 is a server in
this file, which answers every request after 30 ms: moto would be slower than what is measured. The
comparison ``edit`` needs a Docker engine and ``docker-registry``, and takes the account and the
registry of the tests.
"""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, quote, unquote, urlsplit

from timing import REPOSITORY, compare, generate, shell

LATENCY = 0.03
FILES = 1000
SIZE = 10_000
ROUNDS = 5

AWS = Path(sys.executable).with_name("aws")
UPLOAD = """
import sys
from pathlib import Path
from launch.storage import folders, s3

s3.upload(folders.snapshot(Path(sys.argv[1])))
"""
DOWNLOAD = """
import sys
from pathlib import Path
from launch.storage import s3

Path(sys.argv[2]).mkdir()
s3.download(sys.argv[1], Path(sys.argv[2]))
"""


CLIENTS = """
import boto3
from launch.aws import clients

for service in ("ecr", "s3", "iam", "sagemaker", "pricing", "sagemaker", "logs", "s3"):
    {client}
"""
"""Makes the clients of a launch on SageMaker that waits for its job."""


def main() -> None:
    chosen = sys.argv[1:] or list(COMPARISONS)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "generated").mkdir()
        project = generate(Path(folder) / "generated")
        shell(project, "make", "install")
        for name in chosen:
            COMPARISONS[name](project, Path(folder))


def transfers(project: Path, folder: Path) -> None:
    """Compare uploads and downloads with ``aws s3 cp``, and a second launch with the first."""
    data = folder / "data"
    for number in range(FILES):
        file = data / f"{number % 10}" / f"{number:04}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(SIZE))
    python = project / ".venv" / "bin" / "python"
    numbers = count()

    with s3_server() as endpoint:

        def run(*command: str | Path, bucket: str = "data") -> None:
            settings = [f"{key}={value}" for key, value in environment(endpoint, bucket).items()]
            shell(project, "env", *settings, *command)

        def copy(source: str | Path, target: str | Path) -> None:
            run(AWS, "s3", "cp", "--recursive", "--only-show-errors", source, target)

        print(f"\nUpload of {FILES} files of {SIZE} bytes, over `aws s3 cp --recursive`\n")
        compare(
            {
                "aws s3 cp": lambda: copy(data, f"s3://copy-{next(numbers)}/data"),
                "launch": lambda: run(python, "-c", UPLOAD, data, bucket=f"own-{next(numbers)}"),
            },
            baseline="aws s3 cp",
            rounds=ROUNDS,
        )

        copy(data, "s3://data/data")
        print("\nDownload of the same, over `aws s3 cp --recursive`\n")
        compare(
            {
                "aws s3 cp": lambda: copy("s3://data/data", folder / f"copy-{next(numbers)}"),
                "launch": lambda: run(
                    python, "-c", DOWNLOAD, "s3://data/data", folder / f"own-{next(numbers)}"
                ),
            },
            baseline="aws s3 cp",
            rounds=ROUNDS,
        )

        run(AWS, "s3", "sync", "--only-show-errors", data, "s3://data/synchronised")
        run(python, "-c", UPLOAD, data, bucket="second")
        print("\nSecond launch of the same data, over the first\n")
        compare(
            {
                "first launch": lambda: run(
                    python, "-c", UPLOAD, data, bucket=f"first-{next(numbers)}"
                ),
                "second launch": lambda: run(python, "-c", UPLOAD, data, bucket="second"),
                "aws s3 sync, second": lambda: run(
                    AWS, "s3", "sync", "--only-show-errors", data, "s3://data/synchronised"
                ),
            },
            baseline="first launch",
            rounds=ROUNDS,
        )


def make_clients(project: Path, _: Path) -> None:
    """Compare the clients of a launch with one session of boto3 for each."""
    python = project / ".venv" / "bin" / "python"
    settings = [f"{name}={value}" for name, value in environment("http://127.0.0.1:9", "").items()]

    def run(client: str) -> None:
        shell(project, "env", *settings, python, "-c", CLIENTS.format(client=client))

    print("\nThe clients of a launch, over a session of boto3 for each\n")
    compare(
        {
            "boto3": lambda: run("boto3.Session().client(service)"),
            "launch": lambda: run("clients.client(service)"),
        },
        baseline="boto3",
        rounds=ROUNDS,
    )


def starts(project: Path, folder: Path) -> None:
    """Compare a local launch with its entrypoint, and time what is answered without a job."""
    python = project / ".venv" / "bin" / "python"
    numbers = count()

    def run(*words: str | Path) -> None:
        shell(project, python, *words)

    def launch(*words: str | Path) -> None:
        run("-m", "launch", *words)

    def outputs() -> tuple[str, Path]:
        return "--output_path", folder / f"output-{next(numbers)}"

    def first_line() -> None:
        """Run the pipeline until its first job prints its first line, and stop it."""
        process = subprocess.Popen(
            ["make", "run"],
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                name: os.environ[name] for name in os.environ if name != "PYTHONDONTWRITEBYTECODE"
            },
            start_new_session=True,
        )
        assert process.stdout
        assert any(line.startswith("algo-1 | ") for line in process.stdout)
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()

    def reject() -> None:
        command = [str(python), "-m", "launch", "preprocess", "--sed", "1"]
        done = subprocess.run(command, cwd=project, capture_output=True, check=False)
        assert done.returncode == 2

    raw = ("--input_path", "data/penguins")
    compare(
        {
            "entrypoint": lambda: run("-u", "entrypoints/preprocess.py", *raw, *outputs()),
            "launch preprocess --backend local": lambda: launch("preprocess", *raw, *outputs()),
            "a wrong option": reject,
            "--plan of a job": lambda: launch("preprocess", *raw, "--plan"),
            "--plan of the pipeline": lambda: launch("pipeline", "--plan"),
            "make run, until the first job's first line": first_line,
        },
        baseline="entrypoint",
        rounds=10,
    )


def edit(project: Path, folder: Path) -> None:
    """Compare the ways from an edit of a handler to the request for a job that runs it."""
    sys.path.insert(0, str(REPOSITORY / "tests"))
    import emulator
    import registry
    from launching import service_with_image

    handler = next(project.glob("src/*/preprocessing.py"))
    python = project / ".venv" / "bin" / "python"
    launch = (python, "-m", "launch", "preprocess", "--backend", "sagemaker", "--no-wait")
    received: list[float] = []

    def receive(_: dict[str, Any]) -> None:
        received.append(time.perf_counter())

    def append_line() -> float:
        with handler.open("a") as file:
            file.write("# edited\n")
        return time.perf_counter()

    (folder / "service").mkdir()
    nothing_runs = mock.patch.object(emulator.Emulator, "perform")
    with registry.images_of(project), nothing_runs:
        shell(project, "make", "image")
        with service_with_image(project, folder / "service") as service:
            service.rules.append(receive)
            variables = service.environment() | {
                "S3_BUCKET": emulator.BUCKET,
                "SAGEMAKER_ROLE_ARN": f"arn:aws:iam::{registry.ACCOUNT}:role/jobs",
            }

            def run(*command: str | Path) -> None:
                shell(project, *command, **variables)

            def with_code() -> float:
                started = append_line()
                run(*launch, "--code")
                return received[-1] - started

            def with_image() -> float:
                started = append_line()
                run("git", "commit", "--quiet", "--all", "--message", "Edit")
                run("make", "image")
                run("make", "push")
                run(*launch)
                return received[-1] - started

            cases = {
                "edit, commit, image, push, launch": with_image,
                "edit, launch --code": with_code,
            }
            print("\nFrom an edit of a handler to CreateProcessingJob\n")
            compare(cases, baseline="edit, commit, image, push, launch", rounds=ROUNDS)


COMPARISONS: Mapping[str, Callable[[Path, Path], None]] = {
    "transfers": transfers,
    "clients": make_clients,
    "starts": starts,
    "edit": edit,
}
"""Each is given the generated project, with all that it needs installed, and a folder to use."""


def environment(endpoint: str, bucket: str) -> dict[str, str]:
    """Return what leads the clients of AWS to a server on this machine."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_REGION": "eu-west-1",
        "S3_BUCKET": bucket,
        "SAGEMAKER_ROLE_ARN": "arn:aws:iam::123456789012:role/jobs",
    }


@contextmanager
def s3_server() -> Iterator[str]:
    """Serve S3 in a process of its own; yields its address."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_serve, args=(sender,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(sender: Connection) -> None:
    async def serve() -> None:
        objects: dict[str, bytes] = {}
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _S3(objects), "127.0.0.1", 0)
        sender.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


class _S3(asyncio.Protocol):
    """One connection to a server that knows PutObject, GetObject and ListObjectsV2."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        """By bucket and key, with a slash between them."""
        self.received = b""
        self.is_continued = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, rest = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        request, *lines = head.decode().split("\r\n")
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
        size = int(headers.get("content-length", 0))
        if len(rest) < size:
            if "expect" in headers and not self.is_continued:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.is_continued = True
            return
        self.received, self.is_continued = rest[size:], False
        method, target, _ = request.split(" ")
        answer = self.answer(method, target, rest[:size])
        asyncio.get_running_loop().call_later(LATENCY, self.transport.write, answer)

    def answer(self, method: str, target: str, body: bytes) -> bytes:
        url = urlsplit(target)
        name = unquote(url.path).removeprefix("/")
        if method == "PUT":
            self.objects[name] = body
            return _response(b"")
        if name in self.objects:
            return _response(self.objects[name])
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        return _response(self.list_objects(name.rstrip("/"), query))

    def list_objects(self, bucket: str, query: Mapping[str, str]) -> bytes:
        start = f"{bucket}/{query.get('prefix', '')}"
        names = sorted(name for name in self.objects if name.startswith(start))
        first, limit = int(query.get("continuation-token", 0)), int(query.get("max-keys", 1000))
        page, rest = names[first : first + limit], names[first + limit :]
        items = "".join(
            f"<Contents><Key>{quote(name.removeprefix(f'{bucket}/'))}</Key>"
            f"<Size>{len(self.objects[name])}</Size><ETag>&quot;1&quot;</ETag>"
            f"<LastModified>2026-01-31T12:00:00.000Z</LastModified></Contents>"
            for name in page
        )
        more = f"<NextContinuationToken>{first + limit}</NextContinuationToken>" if rest else ""
        return (
            f"<ListBucketResult><KeyCount>{len(page)}</KeyCount>"
            f"<EncodingType>url</EncodingType><IsTruncated>{str(bool(rest)).lower()}</IsTruncated>"
            f"{more}{items}</ListBucketResult>"
        ).encode()


def _response(body: bytes) -> bytes:
    date = format_datetime(datetime.now(UTC), usegmt=True)
    headers = f'ETag: "1"\r\nLast-Modified: {date}\r\nContent-Length: {len(body)}'
    return f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body


if __name__ == "__main__":
    main()
