"""The command line of ``launch`` on all three backends."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import emulator
import pytest
from conftest import SLUG, runs
from launching import DATA, FILES, left

pytest_plugins = ["launching"]
pytestmark = pytest.mark.slow

Launch = Callable[..., subprocess.CompletedProcess[str]]

ROWS = ("--input_path", DATA)


@pytest.fixture
def backend(image: str) -> str:
    """The backend that needs an engine; the generated project's own tests have the local one."""
    assert image
    return "docker"


@pytest.mark.docker
def test_a_host_sees_what_sagemaker_would_show_it(
    launch: Launch, backend: str, project: Path
) -> None:
    words = ["--names", "a b", "-1", "--rate=1e-3", "--no-strict", "--env", "COLOUR=blue green"]
    options = ("--instance_count", "2", "--run_name", "r", "--more_path", "data")
    done = launch("probe", *ROWS, *words, *options, "--backend", backend, "--shard", "input_path")
    assert done.returncode == 0, done.stdout
    output = project / "out" / "r" / "probe" / "seen"
    seen = [json.loads(file.read_text()) for file in sorted((output / "below").iterdir())]
    assert [each["hosts"] for each in seen] == [["algo-1", 0, 2], ["algo-2", 1, 2]]
    assert [each["files"] for each in seen] == [FILES[::2], FILES[1::2]]
    assert {each["env"]["COLOUR"] for each in seen} == {"blue green"}
    assert (seen[0]["names"], seen[0]["rate"], seen[0]["strict"]) == (["a b", "-1"], 0.001, False)
    assert seen[0]["more_path"].endswith("/processing/input/more")
    assert seen[0]["argv"] == words[:-2]
    assert seen[0]["env"]["HOSTNAME"] == "algo-1"
    assert {file.stat().st_uid for file in output.rglob("*")} == {os.getuid()}


@pytest.mark.docker
def test_the_first_host_that_fails_stops_the_others(
    launch: Launch, backend: str, project: Path
) -> None:
    started = time.monotonic()
    done = launch("probe", *ROWS, "--backend", backend, "--do", "fail", "--instance_count", "3")
    assert time.monotonic() - started < 60
    assert done.returncode == 1
    assert f"Failed: {SLUG}-probe-" in done.stdout
    assert "algo-3: the last host failed\n  algo-1: stopped by SIGTERM" in done.stdout
    assert not [file for folder in runs(project) for file in folder.rglob("*") if file.is_file()]


@pytest.mark.docker
def test_hosts_that_write_the_same_key_fail(launch: Launch, backend: str, project: Path) -> None:
    done = launch("probe", *ROWS, "--backend", backend, "--do", "collide", "--instance_count", "2")
    assert done.returncode == 1
    assert "algo-1 and algo-2 both wrote below/seen.json" in done.stdout
    kept = [file.relative_to(project / "out") for file in (project / "out").rglob("seen.json")]
    assert [path.parts[0] for path in kept] == ["unpublished", "unpublished"]


@pytest.mark.docker
def test_a_job_that_runs_too_long_is_stopped(launch: Launch, backend: str) -> None:
    options = ("--backend", backend, "--do", "sleep", "--max_runtime_in_seconds", "4")
    done = launch("probe", *ROWS, *options)
    assert done.returncode == 1
    assert f"Stopped: {SLUG}-probe-" in done.stdout
    assert "after 4 s" in done.stdout
    assert "stopped by SIGTERM" in done.stdout


@pytest.mark.docker
def test_a_host_without_memory_is_said_to_be(
    launch: Launch, image: str, tmp_path: Path, no_aws: dict[str, str]
) -> None:
    assert image
    docker = tmp_path / "docker"
    limit = "--memory 256m --memory-swap 256m"
    docker.write_text(f"""#!/bin/sh
if [ "$1" = create ]; then shift; set -- create {limit} "$@"; fi
exec {shutil.which("docker")} "$@"
""")
    docker.chmod(0o755)
    words = ("probe", *ROWS, "--backend", "docker", "--instance_count", "2", "--do", "grow")
    done = launch(*words, env=no_aws | {"PATH": f"{tmp_path}:{no_aws['PATH']}"})
    assert done.returncode == 1
    (reason,) = re.findall("\n  algo-1: (.*)", done.stdout)
    assert "out of memory" in reason


@contextmanager
def _wire_to_docker() -> Iterator[tuple[int, Callable[[], None]]]:
    """A port that leads to Docker, and what cuts it."""
    ends: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect("/var/run/docker.sock")
                ends.extend([client, engine])
                for pair in ((client, engine), (engine, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    def cut() -> None:
        for end in [listener, *ends]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], cut
    finally:
        cut()


@pytest.mark.docker
@pytest.mark.usefixtures("image")
def test_an_engine_that_is_gone_ends_the_launch(
    launch: Launch, project: Path, no_aws: dict[str, str]
) -> None:
    words = ["probe", *ROWS, "--backend", "docker", "--do", "sleep"]
    with _wire_to_docker() as (port, cut):
        process = subprocess.Popen(
            [project / ".venv" / "bin" / "python", "-u", "-m", "launch", *words],
            cwd=project,
            env=no_aws | {"DOCKER_HOST": f"tcp://127.0.0.1:{port}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert next(line for line in process.stdout if "asleep" in line)
        cut()
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Cannot connect to the Docker daemon" in output
    assert not errors
    assert launch("probe", *ROWS, "--backend", "docker").returncode == 0  # removes what was left


def _launch_a_sleeper(project: Path, aws: dict[str, str]) -> tuple[subprocess.Popen[str], IO[str]]:
    """A launch on SageMaker that waits for a job which sleeps by now, and what it prints."""
    words = ["-m", "launch", "probe", *ROWS, "--backend", "sagemaker", "--do", "sleep"]
    command = [str(project / ".venv" / "bin" / "python"), "-u", *words]
    process = subprocess.Popen(command, cwd=project, env=aws, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert next(line for line in process.stdout if "asleep" in line)
    return process, process.stdout


@pytest.mark.docker
def test_an_interrupt_leaves_the_job_running_and_prints_how_to_stop_it(
    project: Path, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    process, output = _launch_a_sleeper(project, aws)
    process.send_signal(signal.SIGINT)
    rest = output.read()
    assert process.wait() == 128 + signal.SIGINT
    name = service.name(0)
    assert f"-m launch stop {name}`" in rest
    service.client("sagemaker").stop_processing_job(ProcessingJobName=name)
    assert service.wait(name)["ProcessingJobStatus"] == "Stopped"


@pytest.mark.docker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("launch")
def test_a_signal_stops_everything(
    backend: str, project: Path, no_aws: dict[str, str], number: signal.Signals
) -> None:
    words = ["probe", *ROWS, "--backend", backend, "--do", "sleep", "--instance_count", "2"]
    process = subprocess.Popen(
        [project / ".venv" / "bin" / "python", "-u", "-m", "launch", *words],
        cwd=project,
        env=no_aws,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    asleep = (line for line in process.stdout if "asleep" in line)
    assert next(asleep) != next(asleep)  # one of each host
    process.send_signal(number)
    rest = process.stdout.read()
    assert process.wait(timeout=60) == 128 + number
    assert "stopped by SIGTERM" in rest


@pytest.mark.docker
def test_the_next_launch_removes_what_a_killed_one_left(
    launch: Launch, backend: str, project: Path, no_aws: dict[str, str]
) -> None:
    words = ["probe", *ROWS, "--backend", backend, "--do", "sleep", "--instance_count", "2"]
    with subprocess.Popen(
        [project / ".venv" / "bin" / "python", "-u", "-m", "launch", *words],
        cwd=project,
        env=no_aws,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        asleep = (line for line in process.stdout if "asleep" in line)
        assert next(asleep) != next(asleep)
        process.kill()
    assert len(left(project)) == 3  # two containers and their network
    assert launch("probe", *ROWS, "--backend", backend).returncode == 0  # and nothing is left


@pytest.mark.docker
def test_a_host_that_ignores_sigterm_is_killed(
    backend: str, project: Path, launch: Launch, no_aws: dict[str, str]
) -> None:
    assert launch("--help").returncode == 0
    code = (
        "from launch import launch; from launch.backends import hosts; hosts.STOP_SECONDS = 1.0;"
        f"run = launch('probe', backend={backend!r}, input_path={DATA!r}, do='hang',"
        " max_runtime_in_seconds=5); print(run.status)"
    )
    python = project / ".venv" / "bin" / "python"
    started = time.monotonic()
    done = subprocess.run(
        [python, "-c", code], cwd=project, env=no_aws, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "Stopped"
    assert time.monotonic() - started < 60


@pytest.mark.docker
def test_three_instances_share_an_input(
    launch: Launch, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    shards = ("--instance_count", "3", "--shard", "input_path")
    words = ("gather", *ROWS, "--backend", "sagemaker", *shards, "--run_name", "r")
    done = launch(*words, env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    prefix = f"{SLUG}/runs/r/gather/parts/"
    found = {key.removeprefix(prefix) for key in service.objects(prefix)}
    assert found == {*FILES, "job-algo-1.json", "job-algo-2.json", "job-algo-3.json"}
    inputs = [key.rpartition("/")[2] for key in service.objects(f"{SLUG}/inputs/")]
    assert [name for name in inputs if name in FILES] == FILES
    assert {line[:9] for line in done.stdout.splitlines()} >= {
        "algo-1 | ",
        "algo-2 | ",
        "algo-3 | ",
    }
    assert "Completed after" in done.stdout
    assert f"/sagemaker/home#/processing-jobs/{service.name(0)}" in done.stdout
    again = launch(*words, env=aws)
    assert again.returncode == 2
    assert f"--output_path: s3://{emulator.BUCKET}/{prefix[:-1]}" in again.stderr
    assert len(service.requests["CreateProcessingJob"]) == 1


@pytest.mark.docker
def test_the_plan_is_what_is_sent(
    launch: Launch, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    options = ["--names", "a b", "c", "--rate", "-2", "--env", "A=1", "--instance_count", "2"]
    options += ["--shard", "input_path", "--volume_size_in_gb", "5", "--run_name", "r"]
    options += ["--instance_type", "ml.c5.xlarge", "--max_runtime_in_seconds", "600"]
    words = ["probe", *ROWS, "--backend", "sagemaker", *options]
    planned = json.loads(launch(*words, "--plan", env=aws).stdout)
    assert not service.objects()
    assert not service.requests["CreateProcessingJob"]
    done = launch(*words, "--no-wait", env=aws)
    assert done.returncode == 0, done.stderr
    (sent,) = service.requests["CreateProcessingJob"]
    planned["ProcessingJobName"] = sent["ProcessingJobName"]  # it holds the time
    assert sent == planned
    assert sent["ProcessingJobName"] in done.stdout
    assert "@sha256:" in sent["AppSpecification"]["ImageUri"]
    assert service.wait(sent["ProcessingJobName"])["ProcessingJobStatus"] == "Completed"
    seen = json.loads(service.read(f"{SLUG}/runs/r/probe/seen/below/algo-2.json"))
    assert (seen["names"], seen["rate"], seen["files"]) == (["a b", "c"], -2.0, FILES[1::2])


@pytest.mark.docker
def test_a_job_that_fails_is_explained(
    launch: Launch, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    words = ("probe", *ROWS, "--backend", "sagemaker", "--do", "fail", "--rate", "2")
    secrets = ("--env", "API_TOKEN=s3cr3t", "--api_key", "s3cr3t")
    done = launch(*words, *secrets, env=aws)
    assert done.returncode == 1
    for line in (
        "FailureReason: AlgorithmError",
        "ExitMessage: the last host failed",
        "algo-1 | ",
        "python -m launch probe --backend docker --input_path ",
        "--env 'API_TOKEN=***' --do fail --rate 2 --api_key '***'",
        f"Failed: {service.name(0)}",
    ):
        assert line in done.stdout
    assert "s3cr3t" not in done.stdout + done.stderr
    assert all(key.endswith(".launch.json") for key in service.objects(f"{SLUG}/runs/"))


@pytest.mark.docker
def test_a_job_that_someone_stops_is_reported(
    project: Path, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    process, output = _launch_a_sleeper(project, aws)
    service.client("sagemaker").stop_processing_job(ProcessingJobName=service.name(0))
    rest = output.read()
    assert process.wait() == 1
    assert f"Stopped: {service.name(0)}\n  stopped by SIGTERM" in rest


@pytest.mark.docker
def test_an_api_that_fails_for_a_moment_is_asked_again(
    launch: Launch, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    service.faults["CreateProcessingJob"] = ["ThrottlingException"] * 2
    service.faults["DescribeProcessingJob"] = ["ThrottlingException"] * 3
    done = launch("probe", *ROWS, "--backend", "sagemaker", env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not service.faults["CreateProcessingJob"] + service.faults["DescribeProcessingJob"]


@pytest.mark.docker
@pytest.mark.parametrize("backend", ["local", "docker"])
def test_addresses_in_s3_work_with_every_backend(
    launch: Launch, backend: str, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    bucket = f"s3://{emulator.BUCKET}"
    for key, body in {"raw/a.csv": b"x", "raw/b.csv": b"y", "raw2/no.csv": b"z"}.items():
        service.client("s3").put_object(Bucket=emulator.BUCKET, Key=key, Body=body)
    addresses = ("--input_path", f"{bucket}/raw", "--output_path", f"{bucket}/seen/")
    words = ("probe", *addresses, "--backend", backend)
    done = launch(*words, env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(service.read("seen/below/algo-1.json"))["files"] == ["a.csv", "b.csv"]
    again = launch(*words, env=aws)
    assert again.returncode == 2
    assert f"--output_path: {bucket}/seen" in again.stderr


BAD_MOMENTS: Mapping[str, tuple[dict[str, str], str]] = {
    "no credentials": (
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        "no AWS credentials",
    ),
    "no region": ({"AWS_REGION": ""}, "AWS_REGION is not set"),
    "no role": ({"SAGEMAKER_ROLE_ARN": ""}, "SAGEMAKER_ROLE_ARN is not set"),
    "no such bucket": ({"S3_BUCKET": "walruses"}, "NoSuchBucket"),
    "bad role": ({"SAGEMAKER_ROLE_ARN": "someone"}, "RoleArn: 7 characters"),
    "no repository": ({"ECR_REPOSITORY": "walruses"}, "ECR has no repository walruses"),
    "no network": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect"),
}


@pytest.mark.docker
@pytest.mark.parametrize(("env", "message"), BAD_MOMENTS.values(), ids=BAD_MOMENTS)
def test_what_aws_lacks_is_said(
    launch: Launch, aws: dict[str, str], env: dict[str, str], message: str
) -> None:
    done = launch("probe", *ROWS, "--backend", "sagemaker", env=aws | env)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.docker
@pytest.mark.parametrize(
    ("code", "operation", "exit_code", "message"),
    [
        ("ExpiredTokenException", "DescribeImages", 2, "expired"),
        ("AccessDeniedException", "DescribeImages", 2, "allow"),
        ("AccessDeniedException", "CreateProcessingJob", 2, "allow"),
    ],
)
def test_what_aws_refuses_is_said(
    launch: Launch,
    service: emulator.Emulator,
    aws: dict[str, str],
    code: str,
    operation: str,
    exit_code: int,
    message: str,
) -> None:
    service.faults[operation] = [code]
    done = launch("probe", *ROWS, "--backend", "sagemaker", env=aws)
    service.faults[operation] = []
    assert done.returncode == exit_code
    assert f"{operation}: {code}" in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.docker
def test_an_image_that_was_not_pushed_is_not_launched(
    launch: Launch, project: Path, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    words = ("probe", *ROWS, "--backend", "sagemaker")
    file = project / "Dockerfile"
    text = file.read_text()
    git = ["git", "-c", "advice.detachedHead=false"]
    try:
        file.write_text(f"{text}# changed\n")
        assert "commit them, or name an --image" in launch(*words, env=aws).stderr
        named = launch(*words, "--image", "some@sha256:0", "--plan", env=aws)
        assert json.loads(named.stdout)["AppSpecification"]["ImageUri"] == "some@sha256:0"
        commit = [*git, "commit", "--quiet", "--all", "-m", "changed"]
        subprocess.run(commit, cwd=project, check=True)
        assert "`make push` pushes it" in launch(*words, env=aws).stderr
        built = launch(*words[:-1], "docker", env=aws).stderr
        assert "`make image` builds it" in built
        subprocess.run([*git, "reset", "--quiet", "--hard", "HEAD~"], cwd=project, check=True)
    finally:
        file.write_text(text)
    assert not service.requests["CreateProcessingJob"]


@pytest.mark.parametrize(
    ("path", "message"),
    [("nothing", "there is no `docker` on this machine"), (None, "Cannot connect to the Docker")],
    ids=["no client", "no engine"],
)
def test_without_docker_nothing_starts(
    launch: Launch, no_aws: dict[str, str], tmp_path: Path, path: str | None, message: str
) -> None:
    env = no_aws | {"DOCKER_HOST": "tcp://127.0.0.1:9"}
    if path:
        for name in ("bash", "dirname", "git"):
            (tmp_path / name).symlink_to(shutil.which(name) or name)
        env["PATH"] = str(tmp_path)
    elif not shutil.which("docker"):
        pytest.skip("there is no docker client")
    done = launch("probe", *ROWS, "--backend", "docker", env=env)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
