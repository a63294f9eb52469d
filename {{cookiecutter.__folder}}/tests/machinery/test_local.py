"""Jobs as processes of this machine: hosts, protection of inputs, publication, interruptions."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aws_faults import BUCKET, store
from launch import Run, fetch, launch
from launch.__main__ import main
from launch.storage import folders
from probe import WITHOUT_OUTPUTS

RUN = """
import sys
from pathlib import Path
from launch.settings import project
project.ROOT = Path(sys.argv.pop(1))
project.OUT = project.ROOT / "out"
from launch import __main__
sys.exit(__main__.command(sys.argv[1:]))
"""


@pytest.fixture
def data(small_project: Path) -> Path:
    return small_project / "data"


def seen(run: Run) -> list[dict[str, Any]]:
    folder = Path(run.outputs["output_path"]) / "below"
    return [json.loads(file.read_text()) for file in sorted(folder.iterdir())]


def left(root: Path) -> list[Path]:
    """Return launch's temporary folders."""
    return [path for path in root.rglob(".launch-*") if path.is_dir()]


def test_a_job_runs_and_is_given_its_words(data: Path, small_project: Path) -> None:
    run = launch("probe", input_path=data, do=["a b"], run_name="r")
    assert (run.status, run.exit_code) == ("Completed", 0)
    assert run.outputs == {"output_path": str(small_project / "out" / "r" / "probe" / "seen")}
    (host,) = seen(run)
    assert host["files"] == ["1.csv", "2.csv", "below/3.csv"]
    assert host["argv"][-2:] == ["--do", "a b"]
    assert not left(small_project)


def test_a_job_may_have_no_outputs(data: Path, small_project: Path) -> None:
    (small_project / "entrypoints" / "silent.py").write_text(WITHOUT_OUTPUTS)
    run = launch("silent", input_path=data)
    assert (run.status, run.outputs, run.exit_message) == ("Completed", {}, "")
    assert not left(small_project)


def test_hosts_share_the_files_of_a_sharded_input(data: Path) -> None:
    run = launch("probe", input_path=data, instance_count=2, shard=["input_path"])
    assert [host["hosts"] for host in seen(run)] == [["algo-1", 0, 2], ["algo-2", 1, 2]]
    assert [host["files"] for host in seen(run)] == [["1.csv", "below/3.csv"], ["2.csv"]]
    output = Path(run.outputs["output_path"])
    assert sorted(path.name for path in output.iterdir()) == [
        *("below", "job-algo-1.json", "job-algo-2.json")
    ]


def test_a_job_sees_what_a_container_would_see(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "hunter2")
    monkeypatch.setenv("AWS_PROFILE", "team")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    (host,) = seen(launch("probe", input_path=data, env={"COLOUR": "blue green"}))
    assert host["env"]["COLOUR"] == "blue green"
    assert host["env"]["AWS_PROFILE"] == "team"
    assert host["env"]["https_proxy"] == "http://127.0.0.1:9"
    assert "GITHUB_TOKEN" not in host["env"]


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


def test_hosts_files_and_variables_are_those_of_the_table(data: Path, small_project: Path) -> None:
    (small_project / "launch.toml").write_text(TABLE)
    run = launch("probe", input_path=data, env={"STAGE": "typed"})
    hosts = seen(run)
    assert [host["files"] for host in hosts] == [["1.csv", "below/3.csv"], ["2.csv"]]
    assert {host["env"]["COLOUR"] for host in hosts} == {"blue"}
    assert {host["env"]["STAGE"] for host in hosts} == {"typed"}


@pytest.mark.parametrize("lookup", ["1.csv", "alone"])
def test_each_host_gets_an_input_of_one_file(data: Path, lookup: str) -> None:
    (data / "alone").mkdir()
    (data / "alone" / "1.csv").write_text("1.csv")
    run = launch("probe", input_path=data, lookup_path=data / lookup, instance_count=2)
    assert [host["lookup"] for host in seen(run)] == [["1.csv", "1.csv"]] * 2
    record = json.loads(Path(run.outputs["output_path"], "job-algo-1.json").read_text())
    assert record["arguments"]["lookup_path"] == "/opt/ml/processing/input/lookup/1.csv"


@pytest.mark.usefixtures("faults")
def test_an_input_may_be_one_object_in_s3(data: Path) -> None:
    store("dir/lookup.csv", b"table")
    store("dir/other.csv", b"table")
    run = launch("probe", input_path=data, lookup_path=f"s3://{BUCKET}/dir/lookup.csv")
    assert seen(run)[0]["lookup"] == ["lookup.csv", "table"]


def test_a_job_that_changes_its_input_of_one_file_fails(data: Path) -> None:
    run = launch("probe", input_path=data, lookup_path=data / "1.csv", do=["change lookup"])
    assert run.status == "Failed"
    assert str(data / "1.csv") in run.exit_message


@pytest.mark.parametrize("shard", [[], ["input_path"]])
def test_a_job_cannot_remove_its_input(data: Path, shard: list[str]) -> None:
    run = launch("probe", input_path=data, do=["remove"], shard=shard)
    assert run.status == "Completed"
    assert (data / "1.csv").read_text() == "1.csv"


@pytest.mark.parametrize("shard", [[], ["input_path"]])
def test_a_job_that_changes_its_input_fails(data: Path, shard: list[str]) -> None:
    run = launch("probe", input_path=data, do=["change"], shard=shard)
    assert (run.status, run.exit_code) == ("Failed", 1)
    assert str(data / "1.csv") in run.exit_message
    assert run.outputs == {}


def test_the_first_host_that_fails_stops_the_others(data: Path, small_project: Path) -> None:
    run = launch("probe", input_path=data, do=["fail"], instance_count=3)
    assert (run.status, run.exit_code) == ("Failed", 1)
    lines = run.exit_message.splitlines()
    assert lines[0] == "algo-3: the last host failed"
    # A host that is stopped while Python starts has no message.
    assert {line.partition(":")[0] for line in lines[1:]} <= {"algo-1", "algo-2"}
    assert all("SIGTERM" in line for line in lines[1:])
    files = [path for path in (small_project / "out").rglob("*") if path.is_file()]
    assert all(".launches" in path.parts for path in files)  # the history of the launch


def test_results_in_s3_are_encrypted_with_the_key_of_the_outputs(
    data: Path, small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = '[request.ProcessingOutputConfig]\nKmsKeyId = "the-key"\n'
    (small_project / "launch.toml").write_text(table)
    keys: list[str | None] = []
    monkeypatch.setattr("launch.storage.s3.check_new", lambda _: None)
    monkeypatch.setattr("launch.storage.s3.claim_all", lambda _1, _2, key=None: keys.append(key))
    monkeypatch.setattr("launch.storage.s3.publish", lambda _1, _2, key=None: keys.append(key))
    launch("probe", input_path=data, output_path="s3://bucket/seen")
    assert keys == ["the-key", "the-key"]


def test_hosts_that_write_the_same_name_fail(data: Path) -> None:
    run = launch("probe", input_path=data, do=["collide"], instance_count=2)
    assert run.status == "Failed"
    assert "below/seen.json" in run.exit_message


def test_a_job_that_takes_too_long_is_stopped(data: Path) -> None:
    run = launch("probe", input_path=data, do=["sleep"], max_runtime_in_seconds=3)
    assert (run.status, run.exit_code) == ("Stopped", 1)
    assert "3 s" in run.exit_message


def test_a_job_that_is_killed_is_explained(data: Path) -> None:
    run = launch("probe", input_path=data, do=["die"])
    assert run.status == "Failed"
    assert "SIGKILL" in run.exit_message


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_what_a_job_started_ends_with_it(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert launch("probe", input_path=data, do=["child"]).status == "Completed"
    (line,) = [line for line in capfd.readouterr().out.splitlines() if "| child" in line]
    wait_until(lambda: not is_alive(int(line.split()[-1])))


def test_a_run_name_can_be_used_once_for_each_job(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["probe", "--input_path", str(data), "--run_name", "r"]
    assert main(words) == 0
    assert main(words) == 2
    assert "--output_path" in capsys.readouterr().err


def test_what_appears_in_an_output_meanwhile_is_kept(
    data: Path, small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from launch.backends import hosts

    output = small_project / "new"
    publish = hosts._publish

    def write_first(*arguments: Any) -> None:
        output.mkdir()
        (output / "mine").write_text("mine")
        publish(*arguments)

    monkeypatch.setattr(hosts, "_publish", write_first)
    run = launch("probe", input_path=data, output_path=output)
    assert (run.status, run.exit_code) == ("Failed", 1)
    assert [path.name for path in output.iterdir()] == ["mine"]
    (record,) = [path for path in small_project.rglob("job.json") if path.parent != output]
    assert str(record.parent) in run.exit_message


def test_results_can_be_fetched(data: Path) -> None:
    run = launch("probe", input_path=data)
    assert fetch(run.outputs["output_path"]) == Path(run.outputs["output_path"])


def start(root: Path, *words: str, **options: Any) -> subprocess.Popen[str]:
    """Start ``python -m launch`` for the small project."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(root), *words],
        cwd=Path(__file__).parents[2],
        text=True,
        stdout=subprocess.PIPE,
        **options,
    )


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(data: Path, small_project: Path, number: signal.Signals) -> None:
    words = ["probe", "--input_path", str(data), "--do", "sleep", "--instance_count", "2"]
    with start(small_project, *words) as process:
        assert process.stdout
        asleep = (line for line in process.stdout if "asleep" in line)
        assert next(asleep) != next(asleep)
        process.send_signal(number)
        process.stdout.read()
    assert process.returncode == 128 + number
    assert not left(small_project)


def test_the_next_launch_removes_what_a_killed_one_left(data: Path, small_project: Path) -> None:
    words = ["probe", "--input_path", str(data), "--do", "child", "sleep", "--run_name", "r"]
    with start(small_project, *words) as process:
        assert process.stdout
        child = next(line for line in process.stdout if "| child" in line)
        next(line for line in process.stdout if "asleep" in line)
        process.kill()
    assert left(small_project)
    assert is_alive(int(child.split()[-1]))
    assert launch("probe", input_path=data, run_name="r").status == "Completed"
    assert not left(small_project)
    wait_until(lambda: not is_alive(int(child.split()[-1])))


def test_the_next_launch_leaves_a_living_one_alone(data: Path, small_project: Path) -> None:
    words = ["probe", "--input_path", str(data), "--do", "sleep", "--run_name", "r"]
    with start(small_project, *words) as process:
        assert process.stdout
        next(line for line in process.stdout if "asleep" in line)
        assert launch("probe", input_path=data).status == "Completed"
        assert main(["probe", "--input_path", str(data), "--run_name", "r"]) == 2
        assert left(small_project)
        process.terminate()
        process.stdout.read()
    assert process.returncode == 128 + signal.SIGTERM
    assert not left(small_project)


def test_a_pipe_that_is_closed_ends_the_launch_quietly(data: Path, small_project: Path) -> None:
    words = ["probe", "--input_path", str(data), "--do", "chatter"]
    with start(small_project, *words, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        process.wait(timeout=60)
    assert errors == ""
    assert process.returncode == 128 + signal.SIGPIPE
    assert not left(small_project)


def test_inputs_on_another_file_system_are_used_where_they_are(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", fail)
    run = launch("probe", input_path=data, do=["remove"])
    assert seen(run)[0]["files"] == ["1.csv", "2.csv", "below/3.csv"]
    assert (data / "1.csv").exists()


def test_a_folder_of_results_can_be_an_input(data: Path, small_project: Path) -> None:
    first = launch("probe", input_path=data)
    result = first.outputs["output_path"]
    assert launch("probe", input_path=data, result_path=result).status == "Completed"
    shutil.copytree(result, small_project / "copy")
    (small_project / "copy" / "below" / "algo-1.json").write_text("{}")
    words = ["--input_path", str(data), "--result_path", str(small_project / "copy")]
    assert main(["probe", *words]) == 2


def test_the_output_of_several_hosts_can_be_an_input(data: Path) -> None:
    first = launch("probe", input_path=data, instance_count=2)
    result = first.outputs["output_path"]
    assert launch("probe", input_path=data, result_path=result).status == "Completed"


def test_no_message_names_a_temporary_folder(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = launch("probe", input_path=data, do=["change", "fail"])
    assert ".launch-" not in run.exit_message
    record = Path(launch("probe", input_path=data).outputs["output_path"], "job.json")
    assert ".launch-" not in record.read_text()
    assert ".launch-" not in capfd.readouterr().out


def test_paths_are_those_in_the_container(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = launch("probe", input_path=data, do=["log paths", "misspell"])
    place = "/opt/ml/processing/output/seen/below/nowhere/file"
    assert run.exit_message.startswith("FileNotFoundError at probe.py:")
    assert place in run.exit_message
    log = capfd.readouterr().out
    assert "Traceback" in log
    assert place in log.partition("FileNotFoundError: [Errno 2]")[2]
    reads, writes = "/opt/ml/processing/input/some", "/opt/ml/processing/output/seen"
    assert f"reads {reads}, writes {writes}\n" in log
    assert ".launch-" not in log
    assert ".incomplete-" not in log


def test_a_rejected_input_is_named_as_in_the_container(
    data: Path, small_project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    probe = small_project / "entrypoints" / "probe.py"
    text = probe.read_text().replace(
        "runtime.main(build_parser(), run)",
        "build_parser().error(f\"no {os.environ['SAGEMAKER_BASE_DIR']}/x\")",
    )
    probe.write_text(text)
    run = launch("probe", input_path=data)
    assert run.exit_message == "probe.py: no /opt/ml/x"
    assert ".launch-" not in capfd.readouterr().out


def test_every_finished_result_is_kept_if_one_cannot_be_published(
    data: Path, small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = small_project / "entrypoints" / "probe.py"
    text = probe.read_text()
    second = 'parser.add_argument("--second_path", type=Path, default=f"{runtime.OUTPUT}/second")'
    text = text.replace(
        '    parser.add_argument("--do"', f'    {second}\n    parser.add_argument("--do"'
    )
    text = text.replace(
        "    folder.mkdir()", '    folder.mkdir()\n    (args.second_path / "file").touch()'
    )
    probe.write_text(text)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders.Claim, "publish", fail)
    run = launch("probe", input_path=data)
    assert (run.status, run.outputs) == ("Failed", {})
    kept = [record.parent for record in small_project.rglob("job.json")]
    assert {folder.name for folder in kept} >= {"second"}
    assert str(small_project / "out" / "unpublished") in run.exit_message


def test_outputs_are_kept_if_two_hosts_wrote_one_name(data: Path, small_project: Path) -> None:
    run = launch("probe", input_path=data, do=["collide"], instance_count=2)
    kept = small_project / "out" / "unpublished"
    assert str(kept) in run.exit_message
    assert len(list(kept.rglob("seen.json"))) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_job_started_ends_with_an_interrupted_launch(
    data: Path, small_project: Path, number: signal.Signals
) -> None:
    words = ["probe", "--input_path", str(data), "--do", "child", "sleep"]
    with start(small_project, *words) as process:
        assert process.stdout
        child = next(line for line in process.stdout if "| child" in line)
        process.send_signal(number)
        process.stdout.read()
    wait_until(lambda: not is_alive(int(child.split()[-1])))


def test_a_full_output_does_not_end_the_job(data: Path, small_project: Path) -> None:
    words = ["probe", "--input_path", str(data), "--run_name", "r"]
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", RUN, str(small_project), *words]
        done = subprocess.run(
            command,
            cwd=Path(__file__).parents[2],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert (small_project / "out" / "r" / "probe" / "seen" / "job.json").exists()


def test_a_changed_input_is_reported_whatever_becomes_of_the_job(data: Path) -> None:
    run = launch("probe", input_path=data, do=["change", "fail"])
    assert "the last host failed" in run.exit_message
    assert str(data / "1.csv") in run.exit_message


@pytest.mark.parametrize("address", ["s3://", "s3:///"])
def test_an_address_without_a_bucket_is_rejected(data: Path, address: str) -> None:
    assert main(["probe", "--input_path", str(data), "--output_path", address]) == 2
    assert not Path("s3:").exists()
