"""Jobs in containers, with a stand-in for the Docker client (``fake_docker.py``)."""

import json
import os
import shlex
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import fake_docker
from launch import LaunchError, Run, launch
from launch.__main__ import main
from launch.backends import docker, hosts
from launch.history import recordings
from launch.history.entries import Entry
from probe import PROBE, WITHOUT_OUTPUTS


@pytest.fixture
def data(small_project: Path) -> Path:
    return small_project / "data"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of the stand-in, whose client is found first on the PATH."""
    state = tmp_path / "engine"
    (tmp_path / "bin").mkdir()
    state.mkdir()
    client = tmp_path / "bin" / "docker"
    command = shlex.join([sys.executable, fake_docker.__file__])
    client.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_DOCKER", str(state))
    return state


def run_probe(data: Path, **options: Any) -> Run:
    return launch("probe", backend="docker", image="image:tag", input_path=data, **options)


def left(engine: Path) -> list[str]:
    return [path.name for kind in fake_docker.KINDS for path in (engine / kind).glob("*")]


@pytest.fixture(autouse=True)
def _in_project(small_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_project)


@pytest.mark.usefixtures("engine")
def test_a_launch_in_containers_is_kept_and_stopped(data: Path) -> None:
    assert run_probe(data, do=["fail"]).status == "Failed"
    (name,) = recordings.names()
    kept = recordings.read(name)
    assert kept
    assert (kept.backend, kept.status) == ("docker", "Failed")
    assert "the last host failed" in kept.message

    def stop() -> None:
        running: list[Entry] = []
        while not running:
            time.sleep(0.1)
            found = map(recordings.read, recordings.names())
            running = [entry for entry in found if entry and entry.is_running]
        recordings.request_stop(running[0])

    stopper = threading.Thread(target=stop)
    stopper.start()
    run = run_probe(data, do=["sleep"])
    stopper.join()
    assert run.status == "Stopped"
    assert "launch stop" in run.exit_message


def test_a_stop_while_a_container_starts_reaches_its_job(engine: Path, data: Path) -> None:
    """The engine rejects a signal to a container that has not started yet."""
    client = Path(shutil.which("docker") or "")
    slow_start = 'case "$1" in start) sleep 3;; kill) touch "$FAKE_DOCKER/asked";; esac\nexec'
    client.write_text(client.read_text().replace("exec", slow_start))
    runs: list[Run] = []
    launcher = threading.Thread(target=lambda: runs.append(run_probe(data, do=["sleep"])))
    launcher.start()
    while not list((engine / "container").glob("*/state.json")):
        time.sleep(0.05)
    recordings.request_stop(next(filter(None, map(recordings.read, recordings.names()))))
    launcher.join()
    assert (engine / "asked").exists()
    assert runs[0].status == "Stopped"
    assert "SIGKILL" not in (engine / "calls").read_text()
    assert not left(engine)


@pytest.mark.parametrize("count", [1, 2])
def test_a_job_runs_in_containers(engine: Path, data: Path, count: int) -> None:
    run = run_probe(data, instance_count=count, do=["a b"], env={"COLOUR": "blue"})
    assert run.status == "Completed"
    folder = Path(run.outputs["output_path"]) / "below"
    seen = [json.loads(file.read_text()) for file in sorted(folder.iterdir())]
    assert [each["hosts"][0] for each in seen] == ["algo-1", "algo-2"][:count]
    assert {each["env"]["COLOUR"] for each in seen} == {"blue"}
    assert all(each["argv"][-2:] == ["--do", "a b"] for each in seen)
    assert not left(engine)


def test_a_job_may_have_no_outputs(engine: Path, data: Path, small_project: Path) -> None:
    (small_project / "entrypoints" / "silent.py").write_text(WITHOUT_OUTPUTS)
    run = launch("silent", backend="docker", image="image:tag", input_path=data)
    assert (run.status, run.outputs, run.exit_message) == ("Completed", {}, "")
    assert not left(engine)


def test_a_host_sees_its_shard(engine: Path, data: Path) -> None:
    run = run_probe(data, instance_count=2, shard=["input_path"])
    assert run.status == "Completed", engine
    folder = Path(run.outputs["output_path"]) / "below"
    seen = [json.loads(file.read_text())["files"] for file in sorted(folder.iterdir())]
    assert seen == [["1.csv", "below/3.csv"], ["2.csv"]]


TABLE = """\
[request.Environment]
COLOUR = "blue"
STAGE = "table"
[job.probe.ProcessingResources.ClusterConfig]
InstanceCount = 2
[[job.probe.ProcessingInputs]]
InputName = "some"
S3Input.S3DataDistributionType = "ShardedByS3Key"
[[job.probe.ProcessingInputs]]
InputName = "further"
S3Input = {S3Uri = "s3://lake/x/", S3DataType = "S3Prefix", LocalPath = "/opt/ml/processing/x"}
"""


def test_hosts_files_and_variables_are_those_of_the_table(
    engine: Path, data: Path, small_project: Path
) -> None:
    (small_project / "launch.toml").write_text(TABLE)
    run = run_probe(data, env={"STAGE": "typed"})
    folder = Path(run.outputs["output_path"]) / "below"
    hosts = [json.loads(file.read_text()) for file in sorted(folder.iterdir())]
    assert [host["files"] for host in hosts] == [["1.csv", "below/3.csv"], ["2.csv"]]
    assert {host["env"]["COLOUR"] for host in hosts} == {"blue"}
    assert {host["env"]["STAGE"] for host in hosts} == {"typed"}
    assert not left(engine)


def test_each_host_gets_an_input_of_one_file(engine: Path, data: Path) -> None:
    run = run_probe(data, instance_count=2, lookup_path=data / "1.csv")
    assert run.status == "Completed", engine
    folder = Path(run.outputs["output_path"]) / "below"
    seen = [json.loads(file.read_text())["lookup"] for file in sorted(folder.iterdir())]
    assert seen == [["1.csv", "1.csv"]] * 2


def container_options(engine: Path) -> list[str]:
    (line,) = (engine / "options").read_text().splitlines()
    options: list[str] = json.loads(line)
    return options


@pytest.mark.parametrize("instance_type", ["ml.g5.xlarge", "ml.p3.2xlarge"])
@pytest.mark.parametrize(
    ("info", "asked_for"),
    [
        ({"Runtimes": {"nvidia": {}, "runc": {}}}, ["--gpus", "all"]),
        (
            {"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}]},
            ["--device", "nvidia.com/gpu=all"],
        ),
    ],
    ids=["runtime", "cdi"],
)
def test_gpus_are_asked_for_where_there_are_any(
    engine: Path,
    data: Path,
    info: dict[str, Any],
    asked_for: list[str],
    instance_type: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (engine / "info").write_text(json.dumps(info))
    assert run_probe(data, instance_type=instance_type).status == "Completed"
    options = container_options(engine)
    start = options.index(asked_for[0])
    assert options[start : start + 2] == asked_for
    assert "GPU" not in capsys.readouterr().out


@pytest.mark.parametrize("info", ['{"Runtimes": {"runc": {}}, "DiscoveredDevices": null}', "json"])
def test_a_job_runs_without_gpus_where_there_are_none(
    engine: Path, data: Path, info: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (engine / "info").write_text(info)
    assert run_probe(data, instance_type="ml.g5.xlarge").status == "Completed"
    assert not {"--gpus", "--device"} & set(container_options(engine))
    assert capsys.readouterr().out.count("without GPUs") == 1


def test_an_instance_type_without_gpus_gets_none(
    engine: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (engine / "info").write_text('{"Runtimes": {"nvidia": {}}}')
    assert run_probe(data, instance_type="ml.m5.xlarge").status == "Completed"
    assert "--gpus" not in container_options(engine)
    assert "GPU" not in capsys.readouterr().out


@pytest.mark.parametrize("failure", ["create", "cp---quiet-small-probe", "cp---quiet-"])
def test_no_message_names_a_temporary_folder(engine: Path, data: Path, failure: str) -> None:
    client = Path(shutil.which("docker") or "")
    name_paths = """case "$word" in */.launch-*/*) printf '%s\\n' "$word" >&2; esac"""
    repeating = f'for word in "$@"; do {name_paths}; done\nexec'
    client.write_text(client.read_text().replace("exec", repeating))
    (engine / f"fail-{failure}").write_text("no space left on device")
    run = run_probe(data, lookup_path=data / "1.csv")
    assert run.status == "Failed"
    assert "/opt/ml" in run.exit_message
    assert "no space left" in run.exit_message
    assert ".launch-" not in run.exit_message


def test_a_job_that_fails_leaves_no_container(engine: Path, data: Path) -> None:
    run = run_probe(data, instance_count=2, do=["fail"])
    assert run.status == "Failed"
    assert run.exit_message.startswith("algo-2: the last host failed")
    assert not left(engine)


def test_memory_is_blamed_only_if_the_engine_says_so(engine: Path, data: Path) -> None:
    assert "memory" not in run_probe(data, do=["die"]).exit_message
    (engine / "oom").touch()
    assert "memory" in run_probe(data, do=["die"]).exit_message


def test_a_client_that_is_killed_is_not_the_job(engine: Path, data: Path) -> None:
    def kill_client() -> None:
        while not (found := list((engine / "container").glob("*/ml/processing/output/seen/.i*"))):
            time.sleep(0.05)
        name = found[0].relative_to(engine / "container").parts[0]
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            if f"start\0--attach\0{name}".encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)

    killer = threading.Thread(target=kill_client)
    killer.start()
    run = run_probe(data, do=["sleep"])
    killer.join()
    assert run.status == "Failed"
    assert "client" in run.exit_message
    assert "memory" not in run.exit_message
    assert not left(engine)


@pytest.mark.parametrize(
    ("failure", "message"),
    [("No such image: image:tag", "make image"), ("Cannot connect to the daemon", "connect")],
)
def test_what_is_missing_is_reported_before_anything_starts(
    engine: Path, data: Path, failure: str, message: str
) -> None:
    (engine / "fail-image").write_text(failure)
    with pytest.raises(LaunchError, match=message):
        run_probe(data)


def test_without_a_client_nothing_starts(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bash", "dirname", "git", "env"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match="--backend local"):
        docker.run(*planned(data))


def planned(data: Path) -> Any:
    """Return a launch and its request."""
    from launch.requests import jobs, request
    from launch.requests.options import parse

    words = ["--backend", "docker", "--image", "image:tag", "--input_path", str(data)]
    launched = parse(jobs.read("probe"), words)
    return launched, request.build(launched, "image:tag")


def test_an_engine_that_does_not_answer_is_given_up_on(
    engine: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "_TIMEOUT_SECONDS", 0.5)
    (engine / "hang-image").touch()
    with pytest.raises(LaunchError, match="no answer"):
        run_probe(data)


def test_an_engine_that_is_gone_meanwhile_fails_the_run(
    engine: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_CHECK_SECONDS", 0.0)
    monkeypatch.setattr(hosts, "STOP_SECONDS", 0.0)
    monkeypatch.setattr(hosts, "_KILL_SECONDS", 0.0)
    (engine / "fail-version").write_text("Cannot connect to the Docker daemon")
    run = run_probe(data, do=["sleep"])
    assert (run.status, run.exit_code) == ("Failed", 1)
    assert "Cannot connect" in run.exit_message


def test_the_next_launch_removes_what_killed_ones_left(
    engine: Path, data: Path, small_project: Path
) -> None:
    dead = small_project / "out" / ".launch-dead"
    for kind in fake_docker.KINDS:
        for name, folder, host in (
            ("dead", dead, socket.gethostname()),
            ("elsewhere", dead.parents[2] / "out" / ".launch-x", socket.gethostname()),
        ):
            labels = {"sagemaker-processing.host": host, "sagemaker-processing.folder": str(folder)}
            made = {
                "Id": name,
                "Name": name,
                "Labels": labels,
                "Config": {"Labels": labels},
                "State": {},
            }
            fake_docker_save(engine, kind, name, made)
    assert run_probe(data).status == "Completed"
    assert sorted(left(engine)) == ["elsewhere", "elsewhere"]


def test_what_another_launch_removes_meanwhile_does_no_harm(
    engine: Path, data: Path, small_project: Path
) -> None:
    labels = {
        "sagemaker-processing.host": socket.gethostname(),
        "sagemaker-processing.folder": str(small_project / "out" / ".launch-dead"),
    }
    for kind in fake_docker.KINDS:
        for name in ("dead", "gone"):
            made = {"Id": name, "Name": name, "Labels": labels, "Config": {"Labels": labels}}
            fake_docker_save(engine, kind, name, made)
    client = Path(shutil.which("docker") or "")
    gone = 'case "$2" in inspect) rm -rf "$FAKE_DOCKER/$1/gone";; esac\nexec'
    client.write_text(client.read_text().replace("exec", gone))
    assert run_probe(data).status == "Completed"
    assert not left(engine)


def test_one_host_needs_no_network_and_few_calls(engine: Path, data: Path) -> None:
    assert run_probe(data).status == "Completed"
    calls = (engine / "calls").read_text().splitlines()
    verbs = [call.split()[0] for call in calls]
    assert not [call for call in calls if call.startswith("network create")]
    assert verbs.count("cp") == 2  # only the results have to be copied
    assert len(calls) <= 8


def test_calls_for_each_further_host_are_few(engine: Path, data: Path) -> None:
    def count(hosts: int) -> int:
        (engine / "calls").unlink(missing_ok=True)
        assert run_probe(data, instance_count=hosts).status == "Completed"
        return len((engine / "calls").read_text().splitlines())

    assert count(3) - count(2) <= 4


def fake_docker_save(engine: Path, kind: str, name: str, made: dict[str, Any]) -> None:
    (engine / kind / name).mkdir(parents=True)
    (engine / kind / name / "state.json").write_text(json.dumps(made))


def test_clean_says_that_docker_does_not_answer(
    engine: Path, small_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small_project / "out" / ".launch-dead"
    folder.mkdir(parents=True)
    (engine / "fail-container").write_text("Cannot connect to the Docker daemon")
    assert main(["clean"]) == 2
    assert "Cannot connect" in capsys.readouterr().err
    assert not folder.exists()


def test_a_result_is_published_although_a_container_cannot_be_removed(
    engine: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (engine / "fail-container-rm").write_text("removal is already in progress")
    assert run_probe(data).status == "Completed"
    assert "already in progress" in capsys.readouterr().out


def test_a_container_is_kept_if_its_outputs_cannot_be_copied(engine: Path, data: Path) -> None:
    (engine / "fail-cp---quiet-small-probe").write_text("no space left on device")
    run = run_probe(data)
    assert run.status == "Failed"
    assert "no space left" in run.exit_message
    (name,) = left(engine)
    assert name in run.exit_message
    (engine / "fail-cp---quiet-small-probe").unlink()
    assert run_probe(data).status == "Completed"
    assert left(engine) == [name]


def test_containers_run_the_code_as_it_is_now(
    committed: Path, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(committed)
    edited = PROBE.replace('seen = {"files"', 'seen = {"edited": True, "files"')
    (committed / "entrypoints" / "probe.py").write_text(edited)
    (committed / "data").mkdir()
    (committed / "data" / "1.csv").write_text("1")
    done = run_probe(committed / "data", code=True, instance_count=2)
    assert done.status == "Completed"
    folder = Path(done.outputs["output_path"])
    for host in ("algo-1", "algo-2"):
        seen = json.loads((folder / "below" / f"{host}.json").read_text())
        assert seen["edited"]
        assert seen["env"]["PYTHONPATH"].endswith(f"{host}/ml/processing/code/src")
        record = json.loads((folder / f"job-{host}.json").read_text())
        assert record["commit"].endswith("-dirty")
    assert left(engine) == []
