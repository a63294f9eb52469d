import argparse
import importlib.metadata
import json
import os
import platform
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from {{ cookiecutter.__package_name }} import runtime
from {{ cookiecutter.__package_name }}.runtime import Host, JobError

NAMES = ["a.csv", "b.csv", "c/d.csv"]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a container finds as ``/opt/ml``."""
    path = tmp_path / "ml"
    (path / "config").mkdir(parents=True)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(path))
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in NAMES:
        file = tmp_path / "input" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path / "input"


def configure(base: Path, hosts: list[str], current: str, **distribution: str) -> None:
    resources = {"current_host": current, "hosts": hosts}
    inputs = [
        {"InputName": path, "S3Input": {"LocalPath": path, "S3DataDistributionType": kind}}
        for path, kind in distribution.items()
    ]
    (base / "config" / "resourceconfig.json").write_text(json.dumps(resources))
    (base / "config" / "processingjobconfig.json").write_text(
        json.dumps({"ProcessingInputs": inputs})
    )


def test_outside_sagemaker_there_is_one_host() -> None:
    assert runtime.this_host() == Host(name="algo-1", index=0, count=1)


def test_hosts_agree_on_their_order(base: Path) -> None:
    configure(base, ["algo-2", "algo-3", "algo-1"], "algo-3")
    host = runtime.this_host()
    assert (host.name, host.index, host.count) == ("algo-3", 2, 3)


@pytest.mark.parametrize("count", range(1, 9))
def test_hosts_share_replicated_files(files: Path, count: int) -> None:
    shares = [Host(index=index, count=count).files(files, "*.csv") for index in range(count)]
    assert sorted(file for share in shares for file in share) == [files / name for name in NAMES]


def test_a_host_keeps_all_the_files_that_were_dealt_to_it(base: Path, files: Path) -> None:
    configure(base, ["algo-1", "algo-2"], "algo-2", **{str(files): "ShardedByS3Key"})
    assert runtime.this_host().files(files, "*.csv") == [files / name for name in NAMES]


def test_no_file_is_an_error_unless_other_hosts_have_them(base: Path, tmp_path: Path) -> None:
    configure(base, ["algo-1", "algo-2"], "algo-2", **{str(tmp_path): "ShardedByS3Key"})
    assert runtime.this_host().files(tmp_path, "*.csv") == []
    with pytest.raises(JobError, match=str(tmp_path)):
        Host(count=2).files(tmp_path, "*.csv")
    with pytest.raises(JobError, match=str(tmp_path)):
        Host().files(tmp_path, "*.csv")


@pytest.mark.parametrize("text", ["0", "1", "-0.1", "inf", "nan"])
def test_fraction_refuses(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        runtime.fraction(text)


def test_a_result_has_the_record_of_every_host(tmp_path: Path) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no job has finished"):
        runtime.result(str(tmp_path))
    for name in ("job-algo-2.json", "job-algo-1.json"):
        with pytest.raises(argparse.ArgumentTypeError, match="no job has finished"):
            runtime.result(str(tmp_path))
        (tmp_path / name).write_text('{"hosts": 2}')
    assert runtime.result(str(tmp_path)) == tmp_path
    (tmp_path / "job-algo-1.json").write_text("{}")
    with pytest.raises(argparse.ArgumentTypeError, match="no job has finished"):
        runtime.result(str(tmp_path))


JOB = """
import os, pathlib, sys
from {{ cookiecutter.__package_name }} import runtime

def run(args):
    (args.output_path / "result").write_text("new")
    {body}

parser = runtime.JobParser("a job")
parser.add_argument("--output_path", type=pathlib.Path, default=runtime.OUTPUT + "/x", help="out")
parser.add_argument("--api_token", default="none", help="a secret")
runtime.main(parser, run)
"""

Job = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    def start(body: str, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        program = tmp_path / "job.py"
        program.write_text(JOB.format(body=body))
        command = [sys.executable, str(program), "--output_path", str(tmp_path / "out"), *options]
        return subprocess.run(
            command, env=os.environ | env, capture_output=True, text=True, check=False
        )

    return start


def record(tmp_path: Path, name: str = "job.json") -> Any:
    return json.loads((tmp_path / "out" / name).read_text())


def test_record_names_commit_and_hides_secrets(tmp_path: Path, job: Job) -> None:
    done = job("", "--api_token", "hunter2", SOURCE_COMMIT="abc")
    assert done.returncode == 0
    assert record(tmp_path)["commit"] == "abc"
    assert "hunter2" not in done.stdout + json.dumps(record(tmp_path))


def test_record_names_the_versions_of_what_was_imported(tmp_path: Path, job: Job) -> None:
    assert job("import threadpoolctl, tqdm, xdist").returncode == 0
    versions = record(tmp_path)["versions"]
    assert versions.pop("python") == platform.python_version()
    assert versions == {name: importlib.metadata.version(name) for name in versions}
    assert {"pytest-xdist", "threadpoolctl", "tqdm"} <= set(versions)
    assert not {"hypothesis", "scikit-learn", "types-tqdm"} & set(versions)


def test_record_names_the_version_that_is_found_first(tmp_path: Path, job: Job) -> None:
    hidden = tmp_path / "later" / "tqdm-0.0.dist-info"
    hidden.mkdir(parents=True)
    (hidden / "METADATA").write_text("Metadata-Version: 2.1\nName: tqdm\nVersion: 0.0\n")
    (hidden / "RECORD").write_text("tqdm/__init__.py,,\n")
    assert job(f"import tqdm; sys.path.append({str(hidden.parent)!r})").returncode == 0
    assert record(tmp_path)["versions"]["tqdm"] == importlib.metadata.version("tqdm")


def test_hosts_write_records_of_their_own(base: Path, tmp_path: Path, job: Job) -> None:
    configure(base, ["algo-1", "algo-2"], "algo-2")
    assert job("").returncode == 0
    assert record(tmp_path, "job-algo-2.json")["hosts"] == 2


def test_a_result_replaces_the_last_one_whole(tmp_path: Path, job: Job) -> None:
    assert (
        job(
            "(args.output_path / 'parts').mkdir(); (args.output_path / 'parts/1').touch()"
        ).returncode
        == 0
    )
    assert (
        job(
            "(args.output_path / 'parts').mkdir(); (args.output_path / 'parts/2').touch()"
        ).returncode
        == 0
    )
    assert [file.name for file in (tmp_path / "out" / "parts").iterdir()] == ["2"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise runtime.JobError('input/x.csv: no column y')", "input/x.csv: no column y"),
        ("raise runtime.JobError('a\\nb\\x1b[31m\\udcff')", r"a\nb\x1b[31m\udcff"),
        ("open('/nowhere/at/all')", "/nowhere/at/all: No such file or directory"),
        ("os.write(99, b'')", "OUT: Bad file descriptor"),
        ("raise MemoryError", "out of memory"),
        ("sys.exit(0)", "SystemExit at job.py:7"),
        ("raise ValueError('row 7 holds 42')", "ValueError at job.py:7"),
        ("raise runtime.JobError('ü' * 5000)", "ü" * 512),
    ],
)
def test_a_failure_leaves_its_reason_and_no_output(
    base: Path, tmp_path: Path, job: Job, body: str, message: str
) -> None:
    done = job(body)
    message = message.replace("OUT", str(tmp_path / "out"))
    assert done.returncode == 1
    assert message in done.stdout
    assert (base / "output" / "message").read_text(encoding="utf-8") == message
    assert list((tmp_path / "out").iterdir()) == []


NATIVE = "import numpy; print('native', flush=True); numpy.linalg.svd(numpy.eye(4000))"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_job_stops_in_the_middle_of_native_code_and_publishes_nothing(
    base: Path, tmp_path: Path, number: signal.Signals
) -> None:
    program = tmp_path / "job.py"
    program.write_text(JOB.format(body=NATIVE))
    command = [sys.executable, str(program), "--output_path", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout
        for line in job.stdout:
            if "native" in line:
                break
        stopped = time.monotonic()
        job.send_signal(number)
        assert number.name in job.stdout.read()
    assert job.returncode == 128 + number
    assert time.monotonic() - stopped < 5
    assert number.name in (base / "output" / "message").read_text()
    assert list((tmp_path / "out").iterdir()) == []


STOPPED = """os.kill(os.getpid(), 15)
    while args.output_path.exists(): pass
    raise runtime.JobError("the output is gone")"""


def test_a_signal_is_the_reason_for_whatever_it_breaks(base: Path, job: Job) -> None:
    done = job(STOPPED)
    assert done.returncode == 128 + signal.SIGTERM
    assert (base / "output" / "message").read_text() == "stopped by SIGTERM"
    assert "the output is gone" not in done.stdout


def test_a_failure_leaves_the_last_result_alone(tmp_path: Path, job: Job) -> None:
    assert job("").returncode == 0
    before = {file: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert job("raise runtime.JobError('no')").returncode == 1
    assert {file: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("secret", [["--api_token", "hunter2"], ["--api_tokn=hunter2"]])
def test_a_wrong_option_leaves_its_reason(base: Path, job: Job, secret: list[str]) -> None:
    done = job("", *secret, "--foo", "hunter2")
    assert done.returncode == 2
    message = (base / "output" / "message").read_text()
    assert "--foo" in message
    assert "hunter2" not in message + done.stdout + done.stderr


def test_leftovers_of_a_killed_job_are_replaced(tmp_path: Path, job: Job) -> None:
    (tmp_path / "out" / ".incomplete").mkdir(parents=True)
    (tmp_path / "out" / ".incomplete" / "half").touch()
    assert job("").returncode == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["job.json", "result"]


def publish_and_die(publication: Any, lines: int) -> int:
    """Publish in a fork that is killed after so many lines; its exit code."""

    def trace(frame: FrameType, _event: str, _argument: object) -> Any:
        nonlocal lines
        if frame.f_code is not runtime._Publication.publish.__code__:
            return None
        lines -= 1
        if lines < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    child = os.fork()
    if not child:
        sys.settrace(trace)
        publication.publish("job.json", '{"hosts": 1}')
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_kill_at_any_line_of_the_publication_leaves_no_mixture(tmp_path: Path) -> None:
    for lines in range(1000):
        outputs = [tmp_path / f"{lines}-{name}" for name in ("model", "scores")]
        for output in outputs:
            for name in ("a", "b", "job.json"):
                (output / name).parent.mkdir(exist_ok=True)
                (output / name).write_text('{"hosts": 1}' if name == "job.json" else "old")
        publication = runtime._Publication(outputs)
        for staged in publication.begin():
            for name in ("a", "b"):
                (staged / name).write_text("new")
        code = publish_and_die(publication, lines)
        for output in outputs:
            with suppress(argparse.ArgumentTypeError):
                result = runtime.result(str(output))
                assert (result / "a").read_text() == (result / "b").read_text()
        if code == 0:
            break
    assert lines > 20
    assert {(output / "a").read_text() for output in outputs} == {"new"}


PROGRESS = "for _ in runtime.progress(range(300), 'rows'): __import__('time').sleep(0.001)"


def test_progress_is_plain_lines_where_there_is_no_terminal(job: Job) -> None:
    done = job(PROGRESS)
    lines = [line for line in done.stdout.splitlines() if "rows" in line]
    assert "300/300" in lines[-1]
    assert len(lines) <= 2  # at the start and at the end, as it takes less than a few seconds
    assert "\r" not in done.stdout + done.stderr


def test_progress_is_a_bar_on_a_terminal(tmp_path: Path) -> None:
    program = tmp_path / "job.py"
    program.write_text(JOB.format(body=PROGRESS))
    terminal, job_side = pty.openpty()
    command = [sys.executable, str(program), "--output_path", str(tmp_path / "out")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=job_side, text=True, check=True)
    os.close(job_side)
    assert b"\r" in os.read(terminal, 4096)
    os.close(terminal)
    assert "rows" not in done.stdout
