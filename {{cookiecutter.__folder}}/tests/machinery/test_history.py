"""What is kept of launches on this machine: shown, followed, stopped and repeated later."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from launch import LaunchError, Run, launch
from launch import again as launch_again
from launch import list as list_launches
from launch.__main__ import main
from launch.backends import local
from launch.commands import attach, detail, repeat
from launch.history import listing, recordings
from launch.history.recordings import Recording
from launch.storage import folders
from repositories import REPOSITORY, add_options

HIDDEN = "hunter2"
RUN = """
import sys
from pathlib import Path
from launch.settings import project
project.ROOT = Path(sys.argv.pop(1))
project.OUT = project.ROOT / "out"
from launch import __main__
sys.exit(__main__.command(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No region and no credentials, so that nothing looks for an account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def data(small_project: Path) -> Path:
    return small_project / "data"


@pytest.fixture
def background(small_project: Path, data: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Launches in another process, which is left alone until the test ends."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", RUN, str(small_project), "probe"]
        command += ["--input_path", str(data), *words]
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout
        for line in process.stdout:
            if "asleep" in line:
                break
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    local.remove_abandoned()  # the jobs, which outlive their launcher


def only() -> Any:
    """Return the one launch that there is."""
    (name,) = recordings.names()
    entry = recordings.read(name)
    assert entry
    return entry


def test_a_launch_is_kept_with_its_request_log_and_end(data: Path) -> None:
    run = launch("probe", input_path=data, do=["log paths"], run_name="r")
    entry = only()
    assert (entry.name, entry.job, entry.run) == (run.name, "probe", "r")
    assert (entry.status, entry.backend) == ("Completed", "local")
    assert entry.outputs == run.outputs
    assert 0 <= entry.seconds < 600
    assert "algo-1 | " in recordings.log_file(entry).read_text()
    assert any("reads " in line for line in recordings.last_lines(entry))
    assert list_launches()[0].name == run.name


def test_a_failed_launch_is_kept_and_explained(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = launch("probe", input_path=data, do=["fail"])
    assert only().message == run.exit_message
    assert only().outputs == {}
    capsys.readouterr()
    assert main(["show", "probe"]) == 0
    shown = capsys.readouterr().out
    for part in ("Failed", "the last host failed", "algo-1 | ", f"again {only().short_name}"):
        assert part in shown


def test_a_rejected_launch_is_not_kept(data: Path) -> None:
    with pytest.raises(LaunchError):
        launch("probe", input_path=data, output_path=data)
    assert recordings.names() == []


def test_secrets_are_not_kept(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch("probe", input_path=data, api_key=HIDDEN, env={"TOKEN": HIDDEN, "COLOUR": "blue"})
    for file in recordings.root().rglob("*"):
        assert not file.is_file() or HIDDEN not in file.read_text()
    capsys.readouterr()
    assert main(["show", "probe"]) == 0
    shown = capsys.readouterr().out
    assert HIDDEN not in shown
    assert "blue" in shown


KEY = '"-k", "--key"'
NUMBER = '"-n", "--number", default=""'
TOKENS = '"--tokens", nargs="+"'
QUIET = '"-q", "--quiet", action="store_true"'
SECRETS = [
    (["-k", HIDDEN], ["-k"]),
    ([f"-k{HIDDEN}"], ["-k"]),
    ([f"-k={HIDDEN}"], ["-k"]),
    ([f"-qk{HIDDEN}"], ["-k"]),
    ([f"--key={HIDDEN}"], ["--key"]),
    (["--key", HIDDEN, "-k", HIDDEN], ["--key"]),
    (["--key", f"-my {HIDDEN} phrase"], ["--key"]),
    (["--key", f"--my {HIDDEN} phrase"], ["--key"]),
    (["--key", f"-my={HIDDEN} phrase"], ["--key"]),
    (["--tokens", "a", f"-my {HIDDEN}", HIDDEN], ["--tokens"]),
    (["--tokens", HIDDEN, "--tokens", HIDDEN], ["--tokens"]),
    (["--env", f"TOKEN={HIDDEN}", f"--env=TOKEN={HIDDEN}"], ["--env TOKEN"]),
]


@pytest.mark.parametrize(("typed", "hidden"), SECRETS, ids=[" ".join(each) for each, _ in SECRETS])
def test_a_secret_is_hidden_however_it_is_typed(
    data: Path, typed: list[str], hidden: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    add_options(data.parent, "probe", KEY, TOKENS, NUMBER, QUIET)
    words = ["--input_path", str(data), "--do", "a", "-my b", *typed, "-n5", "--run_name", "r"]
    assert main(["probe", *words]) == 0
    for file in recordings.root().rglob("*"):
        assert not file.is_file() or HIDDEN not in file.read_text()
    assert recordings.request(only())["hidden"] == hidden
    capsys.readouterr()
    assert main(["show", "probe"]) == 0
    shown = capsys.readouterr().out
    assert HIDDEN not in shown
    assert "phrase" not in shown
    assert main(["again", "r"]) == 2
    example = "--env TOKEN=VALUE" if "--env" in typed else f"{hidden[0]} VALUE with"
    told = capsys.readouterr().err
    assert f"add {example}" in told
    assert HIDDEN not in told
    anew = [typed[0], f"-my {HIDDEN}"] if typed[0] in ("--key", "--tokens") else typed
    assert main(["again", "r", *anew]) == 0
    repeated = arguments_of(listing.newest(9).entries[0])
    assert (repeated["do"], repeated["number"]) == (["a", "-my b"], "5")
    assert repeated["quiet"] == typed[0].startswith("-q")


def test_a_secret_is_hidden_in_a_pipeline(
    small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_options(small_pipeline, "fit", KEY, NUMBER)
    words = ["--input_path.make_data", str(small_pipeline / "raw"), "--report", '{"score": 0.95}']
    words += ["--env.fit", f"TOKEN={HIDDEN}", "-n=v1.5", "--label", "-my label"]
    forms = [
        ["--key.fit", HIDDEN],
        [f"--key.fit={HIDDEN}"],
        [f"-k{HIDDEN}"],
        [f"-k.fit={HIDDEN}"],
        ["--key.fit", f"-my {HIDDEN} phrase"],
    ]
    for number, typed in enumerate(forms):
        run = f"run{number}"
        assert main(["pipeline", *words, *typed, "--run_name", run]) == 0
        for file in recordings.root().rglob("*"):
            assert not file.is_file() or HIDDEN not in file.read_text()
        capsys.readouterr()
        assert main(["show", run]) == 0
        assert main(["again", run, "--env", "TOKEN=x"]) == 2
        shown = capsys.readouterr()
        name = "-k.fit" if typed[0].startswith("-k") else "--key.fit"
        assert f"add {name} VALUE with" in shown.err
        assert "phrase" not in shown.out + shown.err
        assert HIDDEN not in shown.out + shown.err
        assert main(["again", run, "--env.fit", "TOKEN=x", *forms[1 - number]]) == 0
    fit = next(entry for entry in listing.newest(9).entries if entry.job == "fit")
    assert arguments_of(fit)["number"] == "v1.5"
    made = next(entry for entry in listing.newest(9).entries if entry.job == "make_data")
    assert arguments_of(made)["label"] == "-my label"


def test_a_short_option_replaces_the_long_one(data: Path) -> None:
    add_options(data.parent, "probe", NUMBER, QUIET)
    first = launch("probe", input_path=data, number=4, quiet=True, run_name="r")
    assert arguments(first)["number"] == "4"
    assert main(["again", "r", "-n5"]) == 0
    assert arguments_of(listing.newest(9).entries[0])["number"] == "5"
    assert (recordings.request(listing.newest(9).entries[0])["options"]).count(["-n=5"]) == 1
    assert ["--number=4"] not in recordings.request(listing.newest(9).entries[0])["options"]


def test_a_history_that_cannot_be_written_does_not_fail_the_job(
    data: Path, small_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_project / "out").mkdir()
    (small_project / "out" / ".launches").write_text("a file")
    run = launch("probe", input_path=data)
    assert run.status == "Completed"
    assert "is not listed" in capsys.readouterr().err


def test_a_disk_that_fills_up_ends_the_history_only(
    small_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    assert small_project.exists()
    with recordings.recording("small-probe-1", lambda: {"job": "probe"}) as recording:
        recording.begin()
        monkeypatch.setattr(recordings, "_write", full)
        recording.end(Run("small-probe-1", "Completed", {}))
        recording.write("more\n")
    assert "No space left" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_ends_the_log_only(
    small_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small_project.exists()
    with recordings.recording("small-probe-1", _facts) as recording:
        recording.begin()
        log = recording._log
        assert log
        os.close(log.fileno())
        recording.write("lost\n")
        assert "log is not recorded" in capsys.readouterr().err
        recordings.request_stop(only())
        assert (only().status, recording.stop_requested) == ("Stopping", True)
        recording.end(Run("small-probe-1", "Completed", {"seen": "there"}))
    assert (only().status, only().outputs) == ("Completed", {"seen": "there"})


def _facts() -> dict[str, Any]:
    return {"job": "probe", "run": "r", "backend": "local", "outputs": {"seen": "planned"}}


def test_a_stopped_launch_has_no_outputs(small_project: Path) -> None:
    assert small_project.exists()
    with recordings.recording("small-probe-1", _facts) as recording:
        recording.begin()
        assert only().outputs == {"seen": "planned"}
        recording.end(Run("small-probe-1", "Stopped", {}))
    assert only().outputs == {}


@pytest.mark.parametrize("plan", [True, False])
def test_a_plan_starts_nothing_in_python(data: Path, plan: bool) -> None:
    if plan:
        with pytest.raises(LaunchError, match="plan"):
            launch("probe", input_path=data, plan=plan)
        assert recordings.names() == []
    else:
        assert launch("probe", input_path=data, plan=plan).status == "Completed"


def test_a_log_does_not_grow_without_limit(
    small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert small_project.exists()
    monkeypatch.setattr(recordings, "_LOG_BYTES", 1000)
    facts = {"job": "probe", "run": "r", "backend": "local"}
    with recordings.recording("small-probe-1", lambda: facts) as recording:
        recording.begin()
        for number in range(1000):
            recording.write(f"line {number}\n")
        recording.end(Run("small-probe-1", "Failed", {}))
    assert recordings.log_file(only()).stat().st_size < 1200
    assert recordings.last_lines(only())[-1] == "line 999"


def test_lines_that_arrive_in_pieces_are_put_together(small_project: Path) -> None:
    assert small_project.exists()
    recording = Recording("small-probe-1", lambda: {"job": "probe", "run": "", "backend": ""})
    recording.begin()
    for piece in ("al", "go-1 | a", "\nalgo-1 | b\nalgo", "-1 | c"):
        recording.write(piece)
    recording.end(Run("small-probe-1", "Failed", {}))
    recording.close()
    assert recordings.last_lines(only()) == ["algo-1 | a", "algo-1 | b", "algo-1 | c"]


def test_what_is_no_launch_is_left_out(small_project: Path, data: Path) -> None:
    launch("probe", input_path=data)
    broken = (None, "", "[]", "{}", '{"started": 1}', '{"started": "2026-11-30T12:00:00Z"}')
    for number, content in enumerate(broken):
        folder = small_project / "out" / ".launches" / f"small-probe-{number}"
        folder.mkdir()
        if content is not None:
            (folder / "request.json").write_text(content)
    assert len(listing.newest(20).entries) == 1


def test_results_without_a_history_are_listed(data: Path, small_project: Path) -> None:
    launch("probe", input_path=data, run_name="older")
    kept = small_project / "out" / ".launches"
    kept.rename(small_project / "elsewhere")
    (entry,) = listing.newest(20).entries
    assert (entry.name, entry.job, entry.run) == ("older/probe", "probe", "older")
    assert listing.find("older").outputs["output_path"].endswith("out/older/probe/seen")
    with pytest.raises(LaunchError, match="was launched before"):
        repeat.prepare(["older"])
    (action,) = detail.show("older").next_actions
    assert "again" not in action.split("`")[1]
    assert "record" in action


# Following and stopping


def test_a_launch_beyond_the_limit_is_not_listed_by_its_results(data: Path) -> None:
    names = [launch("probe", input_path=data).name for _ in range(3)]
    assert [run.name for run in list_launches(limit=2)] == names[:0:-1]


def test_a_launch_is_stopped_from_another_process(
    background: Callable[..., subprocess.Popen[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    process = background("--do", "sleep")
    assert only().status == "InProgress"
    assert main(["stop", "probe"]) == 0
    assert process.wait(timeout=60) == 1
    assert only().status == "Stopped"
    assert "launch stop" in only().message
    assert not folders.abandoned(only().folder.parents[1])
    capsys.readouterr()
    assert main(["stop", "probe"]) == 0
    assert "has ended already: Stopped" in capsys.readouterr().out


def test_a_running_launch_is_followed_to_its_end(
    background: Callable[..., subprocess.Popen[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    background("--do", "sleep")
    timer = threading.Timer(1, lambda: recordings.request_stop(only()))
    timer.start()
    capsys.readouterr()
    assert main(["logs", "probe"]) == 1
    timer.join()
    shown = capsys.readouterr().out
    assert "algo-1 | asleep" in shown
    assert shown.rstrip().endswith(f"Stopped: {only().name}")


def test_the_log_of_a_finished_launch_is_printed(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch("probe", input_path=data)
    printed = capsys.readouterr().out
    assert main(["logs", "probe"]) == 0
    assert printed in capsys.readouterr().out


def test_an_interrupt_ends_the_following_only(
    background: Callable[..., subprocess.Popen[str]], small_project: Path
) -> None:
    job = background("--do", "sleep")
    command = [sys.executable, "-c", RUN, str(small_project), "logs", "probe"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout
        for line in follower.stdout:
            if "asleep" in line:
                break
        follower.send_signal(signal.SIGINT)
        rest = follower.stdout.read()
    assert follower.returncode == 128 + signal.SIGINT
    assert f"logs {only().short_name}" in rest
    assert f"stop {only().short_name}" in rest
    assert job.poll() is None
    assert only().status == "InProgress"


def test_a_killed_launch_is_told_from_a_running_one(
    background: Callable[..., subprocess.Popen[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    process = background("--do", "sleep")
    process.kill()
    process.wait()
    assert only().status == "Failed"
    assert "was killed" in only().message
    assert main(["logs", "probe"]) == 1
    assert main(["stop", "probe"]) == 0
    assert "has been ended" in capsys.readouterr().out
    assert not folders.abandoned(only().folder.parents[1])


def test_a_launch_is_not_stopped_by_its_process_id(data: Path) -> None:
    launch("probe", input_path=data)
    assert not any("pid" in file.read_text() for file in only().folder.glob("*.json"))


def test_several_may_look_at_a_launch_at_once(small_project: Path) -> None:
    assert small_project.exists()
    facts = {"job": "probe", "run": "r", "backend": "local"}
    recording = Recording("small-probe-1", lambda: facts)
    recording.begin()
    recording.close()
    with (only().folder / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert only().status == "Failed"


def test_a_launch_that_cannot_be_stopped_says_what_to_do(
    background: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def denied(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    background("--do", "sleep")
    monkeypatch.setattr(recordings, "request_stop", denied)
    assert main(["stop", "probe"]) == 2
    assert "Ctrl-C where it was launched" in capsys.readouterr().err


# Again


def arguments_of(entry: Any) -> dict[str, Any]:
    """Return the options in the record of a launch's first output."""
    found: dict[str, Any] = detail.show(entry.name).record["arguments"]
    return found


def arguments(run: Run) -> dict[str, Any]:
    record = json.loads(Path(run.outputs["output_path"], "job.json").read_text())
    found: dict[str, Any] = record["arguments"]
    return found


def test_a_launch_is_repeated_with_changes(data: Path) -> None:
    first = launch("probe", input_path=data, do=["a b", "c"], env={"COLOUR": "blue"}, run_name="r")
    second = launch_again("r")
    assert second.outputs != first.outputs
    assert arguments(second)["do"] == ["a b", "c"]
    seen = json.loads(Path(second.outputs["output_path"], "below", "algo-1.json").read_text())
    assert seen["env"]["COLOUR"] == "blue"
    third = launch_again("r", do=["d"])
    assert arguments(third)["do"] == ["d"]


def test_what_differs_is_said(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch("probe", input_path=data, run_name="r")
    capsys.readouterr()
    assert main(["again", "r"]) == 0
    assert "are the same" in capsys.readouterr().err
    monkeypatch.setattr("launch.settings.project.stamp", lambda: "def")
    (data / "1.csv").write_text("changed since")
    (data.parent / "other").mkdir()
    (data.parent / "other" / "1.csv").write_text("other")
    assert main(["again", "r"]) == 0
    told = capsys.readouterr().err
    assert "commit: unknown → def" in told
    assert "--input_path: the files in" in told
    assert main(["again", "r", "--input_path", str(data.parent / "other")]) == 0
    assert f"--input_path: {data} → " in capsys.readouterr().err


def test_secrets_must_be_given_again(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch("probe", input_path=data, api_key=HIDDEN, env={"TOKEN": HIDDEN}, run_name="r")
    assert main(["again", "r"]) == 2
    told = capsys.readouterr().err
    assert "--api_key" in told
    assert "--env TOKEN=VALUE" in told
    assert main(["again", "r", "--api_key=x"]) == 2
    assert "--api_key" not in capsys.readouterr().err
    assert main(["again", "r", "--env", "TOKEN=x", "--api_key", "y"]) == 0


def test_a_plan_of_a_repetition_starts_nothing(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch("probe", input_path=data, run_name="r")
    capsys.readouterr()
    assert main(["again", "r", "--plan"]) == 0
    assert json.loads(capsys.readouterr().out)["ProcessingJobName"].startswith("small-probe-")
    assert len(recordings.names()) == 1


@pytest.mark.parametrize("words", [["again"], ["again", "--seed=1"], ["show"], ["stop"], ["logs"]])
@pytest.mark.usefixtures("small_project")
def test_a_missing_name_says_how_to_find_one(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert "error" in capsys.readouterr().err


# Pipelines


def test_a_run_of_the_pipeline_and_its_jobs_are_kept(
    small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = str(small_pipeline / "raw")
    words = ["--input_path.make_data", raw, "--report", '{"score": 0.95}', "--run_name", "r"]
    assert main(["pipeline", *words, "--rate.make_data", "0.25"]) == 0
    jobs = [entry.job for entry in listing.newest(9).entries]
    assert sorted(jobs) == ["fit", "make_data", "pipeline"]
    run = listing.find("r")
    assert (run.job, run.status) == ("pipeline", "Completed")
    assert set(run.outputs) == {"output_path.make_data", "model_path.fit"}
    assert listing.find("repository-r" if "repository" in run.name else "small-r").name == run.name
    capsys.readouterr()
    assert main(["show", "r"]) == 0
    assert "step fit" in capsys.readouterr().out
    assert main(["logs", "r"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("make_data:") < shown.index("fit:")
    assert main(["again", "r", "--seed", "4"]) == 0
    newest = listing.newest(1).entries[0]
    made = detail.show(newest.name).record["arguments"]
    assert made["seed"] == 4
    repeated = next(each for each in listing.newest(9).entries if each.job == "make_data")
    assert detail.show(repeated.name).record["arguments"]["rate"] == 0.25


def test_a_run_that_began_at_a_job_is_repeated_from_there(small_pipeline: Path) -> None:
    words = ["--input_path.make_data", str(small_pipeline / "raw"), "--rate.make_data", "0.25"]
    report = ["--report", '{"score": 0.95}']
    assert main(["pipeline", *words, *report, "--run_name", "whole"]) == 0
    assert main(["again", "whole", "--from", "fit", "--run_name", "part"]) == 0
    assert main(["again", "part", "--from_run", "part", "--run_name", "again"]) == 0
    repeated = [entry for entry in listing.newest(9).entries if entry.run == "again"]
    assert [entry.job for entry in repeated] == ["fit", "pipeline"]
    kept = recordings.request(repeated[-1])["options"]
    assert ["--from_run=part"] in kept


def test_a_failed_run_names_the_job_that_has_failed(
    small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = str(small_pipeline / "raw")
    assert main(["pipeline", "--input_path.make_data", raw, "--fail.make_data"]) == 1
    capsys.readouterr()
    assert main(["show", "pipeline"]) == 0
    shown = capsys.readouterr().out
    assert "asked to fail" in shown
    assert "show make-data-" in shown
    assert "not started" in shown


def test_a_job_that_begins_while_its_pipeline_is_stopped_is_stopped(
    small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert small_project
    name = "small-pipeline-20261130-120000-abc123"
    step = "small-probe-20261130-120000-abc123"
    facts = {"job": "pipeline", "run": "r", "backend": "local", "steps": {"probe": step}}
    stopped: list[bool] = []
    with (
        recordings.recording(name, lambda: facts) as pipeline,
        recordings.recording(step, lambda: {**facts, "job": "probe", "steps": {}}) as job,
    ):
        pipeline.begin()

        def sleep(_: float) -> None:
            stopped.append(job.stop_requested)
            if len(stopped) == 1:
                job.begin()
            if len(stopped) == 3:
                pipeline.end(Run(name, "Stopped", {}))

        monkeypatch.setattr("launch.commands.attach.time.sleep", sleep)
        attach.stop(name)
    assert stopped == [False, True, True]


def test_a_run_of_the_pipeline_is_stopped_between_its_jobs(
    small_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recording, "stop_requested", property(lambda _: True))
    raw = str(small_pipeline / "raw")
    assert main(["pipeline", "--input_path.make_data", raw]) == 1
    (entry,) = listing.newest(9).entries
    assert (entry.job, entry.status) == ("pipeline", "Stopped")


# Python


def test_a_run_in_python_is_followed_and_shown(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = launch("probe", input_path=data, run_name="r")
    assert "asleep" not in capsys.readouterr().out
    assert run.logs().status == "Completed"
    assert "algo-1 | " in capsys.readouterr().out
    assert run.stop().status == "Completed"
    assert "out/r/probe/seen" in run._repr_html_()
    assert "<table>" in detail.show("r")._repr_html_()


def test_html_is_escaped(data: Path) -> None:
    run = launch("probe", input_path=data, do=["fail"])
    escaped = type(run)(name="<script>", status="Failed", outputs={}, exit_message="a<b & c")
    assert "&lt;script&gt;" in escaped._repr_html_()
    assert "a&lt;b &amp; c" in escaped._repr_html_()


def test_stopping_waits_for_the_end(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert data.exists()
    monkeypatch.setattr(attach, "STOP_SECONDS", 0.0)
    facts = {"job": "probe", "run": "r", "backend": "local"}
    with recordings.recording("small-probe-1", lambda: facts) as recording:
        recording.begin()
        before = time.monotonic()
        assert main(["stop", "r"]) == 2
        assert time.monotonic() >= before
        assert "still running" in capsys.readouterr().err
        assert recording.stop_requested


@pytest.mark.parametrize("verb", ["list", "show", "logs", "stop", "again"])
def test_every_verb_has_a_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main([verb, "--help"])
    except SystemExit as ended:  # argparse's own
        code = int(ended.code or 0)
    assert code == 0
    assert verb in capsys.readouterr().out
