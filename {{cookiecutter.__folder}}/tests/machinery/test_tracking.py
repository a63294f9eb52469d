"""Launches are logged to MLflow where a server is set, and never fail because of it."""

import importlib.util
import json
import threading
from pathlib import Path

import pytest

import launch as launching
from aws_faults import BUCKET, Faults, store
from earlier_runs import COMMIT, result
from fake_mlflow import Server
from launch.__main__ import main
from launch.commands import mlflow_client, tracking
from launches import Launches, job_step
from repositories import add_options
from test_execution import answer

RAW = ("--input_path.make_data", "raw")
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/team"


@pytest.fixture(autouse=True)
def in_repository(small_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_pipeline)
    monkeypatch.setattr("launch.settings.project.stamp", lambda: COMMIT)


def make_data(*words: str) -> int:
    return main(["make_data", "--input_path", "raw", *words])


def test_a_job_is_one_run_with_its_options_and_where_its_outputs_are(
    small_pipeline: Path, mlflow_server: Server
) -> None:
    assert make_data("--run_name", "first", "--seed", "3", "--names", "a b", "c") == 0
    (run,) = mlflow_server.runs
    assert (run["experiment"], run["name"], run["status"]) == ("small", "first", "FINISHED")
    assert 0 < run["started"] <= run["ended"]
    assert run["params"]["make_data.seed"] == "3"
    assert run["params"]["make_data.names"] == '["a b", "c"]'
    assert not [name for name in run["params"] if "path" in name]
    tags = run["tags"]
    assert tags["launch"].startswith("small-make-data-")
    assert (tags["job"], tags["backend"]) == ("make_data", "local")
    assert tags["make_data.commit"] == tags["mlflow.source.git.commit"] == COMMIT
    output = small_pipeline / "out" / "first" / "make_data" / "data"
    assert tags["make_data.output.data"] == str(output)
    assert len(tags["make_data.digest.data"]) == 64
    assert tags["make_data.input.raw"].startswith("raw (")


def test_a_run_of_the_pipeline_is_one_run_with_the_metrics(mlflow_server: Server) -> None:
    report = '{"score": 0.95, "of (each)": {"a": 1}, "name": "x"}'
    assert main(["pipeline", *RAW, "--run_name", "r", "--report", report]) == 0
    (run,) = mlflow_server.runs
    assert (run["name"], run["status"], run["tags"]["job"]) == ("r", "FINISHED", "pipeline")
    assert {name: points[0][0] for name, points in run["metrics"].items()} == {
        "fit.score": 0.95,
        "fit.of _each_.a": 1.0,
    }
    assert all(points == [[points[0][0], run["ended"]]] for points in run["metrics"].values())
    assert {name.partition(".")[0] for name in run["params"]} == {"make_data", "fit"}


def test_a_pipeline_whose_metric_is_not_good_enough_is_logged_as_failed(
    mlflow_server: Server,
) -> None:
    assert main(["pipeline", *RAW, "--report", '{"score": 0.5}']) == 1
    (run,) = mlflow_server.runs
    assert run["status"] == "FAILED"
    assert run["metrics"]["fit.score"][0][0] == 0.5


def test_a_job_without_results_is_not_logged(mlflow_server: Server) -> None:
    assert make_data("--fail") == 1
    assert mlflow_server.runs == []


def test_of_a_pipeline_whose_second_job_fails_the_first_is_logged(
    small_pipeline: Path, mlflow_server: Server
) -> None:
    file = small_pipeline / "entrypoints" / "fit.py"
    file.write_text(file.read_text().replace("def run(args):", "def run(args):\n    raise OSError"))
    assert main(["pipeline", *RAW]) == 1
    (run,) = mlflow_server.runs
    assert run["status"] == "FAILED"
    assert {name.partition(".")[0] for name in run["params"]} == {"make_data"}


def test_many_options_are_sent_in_parts(small_pipeline: Path, mlflow_server: Server) -> None:
    add_options(small_pipeline, "make_data", *(f'"--o{n}", default="{n}"' for n in range(150)))
    assert make_data() == 0
    (run,) = mlflow_server.runs
    assert {f"make_data.o{n}": str(n) for n in range(150)}.items() <= run["params"].items()


def test_secrets_are_not_logged(small_pipeline: Path, mlflow_server: Server) -> None:
    add_options(small_pipeline, "make_data", '"--api_key"')
    assert make_data("--api_key", "hunter2", "--env", "TOKEN=hunter3") == 0
    (run,) = mlflow_server.runs
    assert run["params"]["make_data.api_key"] == "***"
    assert "hunter" not in json.dumps(run)


def test_a_launch_in_python_is_logged(small_pipeline: Path, mlflow_server: Server) -> None:
    launching.launch("make_data", input_path=small_pipeline / "raw", run_name="a")
    launching.again("a", seed=2, run_name="b")
    launching.launch("pipeline", make_data={"input_path": small_pipeline / "raw"}, run_name="c")
    assert [run["name"] for run in mlflow_server.runs] == ["a", "b", "c"]


def test_the_setting_may_be_in_aws_env(
    small_pipeline: Path, mlflow_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(tracking.SETTING)
    assert make_data() == 0
    assert mlflow_server.runs == []
    (small_pipeline / "aws.env").write_text(f"{tracking.SETTING}={mlflow_server.address}\n")
    assert make_data() == 0
    assert len(mlflow_server.runs) == 1


# Once, and only once


def test_following_a_launch_again_does_not_log_it_twice(
    mlflow_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_data("--run_name", "a") == 0
    assert "logged to MLflow" in capsys.readouterr().out
    logged = mlflow_server.runs
    assert main(["logs", "a"]) == 0
    assert mlflow_server.runs == logged
    assert "logged to MLflow" not in capsys.readouterr().out


def test_what_was_left_incomplete_is_completed_later(
    mlflow_server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("FAKE_MLFLOW_FAILS", "1")
        words = ["pipeline", *RAW, "--report", '{"score": 0.95}', "--run_name", "a"]
        assert main(words) == 0
    (run,) = mlflow_server.runs
    assert run["status"] == "RUNNING"
    later = capsys.readouterr().err.partition("launch logs ")[2].partition("`")[0]
    assert main(["logs", later]) == 0
    (run,) = mlflow_server.runs
    assert run["status"] == "FINISHED"
    assert [len(points) for points in run["metrics"].values()] == [1]


def test_a_launch_that_is_followed_twice_is_logged_once(
    mlflow_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_data("--run_name", "a") == 0
    mlflow_server.file.unlink()
    monkeypatch.setenv("FAKE_MLFLOW_SECONDS", "1")  # between looking for a run and making one
    both = [threading.Thread(target=launching.logs, args=("a",)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(mlflow_server.runs) == 1


# Whatever goes wrong


def failure(capsys: pytest.CaptureFixture[str]) -> str:
    """Launch a job that completes, and return the one line on standard error."""
    assert make_data() == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("not logged to MLflow: ")
    assert "logs small-make-data-" in line
    return line


@pytest.mark.usefixtures("mlflow_server")
def test_a_server_that_rejects_does_not_make_a_launch_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_MLFLOW_FAILS", "1")
    assert "rejected, rejected, as it is told: check MLFLOW_TRACKING_URI" in failure(capsys)


def replace_client(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Let another program log."""
    (folder / "client.py").write_text(code)
    monkeypatch.setattr(mlflow_client, "__file__", str(folder / "client.py"))


def test_a_server_that_does_not_answer_is_given_up_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(tracking.SETTING, "http://user:hunter2@server")
    monkeypatch.setattr(tracking, "TIMEOUT_SECONDS", 0.1)
    replace_client(monkeypatch, tmp_path, "import time; time.sleep(60)")
    line = failure(capsys)
    assert "no answer" in line
    assert "http://***@server" in line
    assert "hunter2" not in line


def test_a_client_that_dies_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(tracking.SETTING, ARN)
    replace_client(monkeypatch, tmp_path, "import os; os.abort()")
    assert "exit code -6" in failure(capsys)


def test_without_the_group_the_command_that_installs_it_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(tracking.SETTING, ARN)
    replace_client(monkeypatch, tmp_path, f"raise SystemExit({mlflow_client.NOT_INSTALLED})")
    assert "make install GROUPS='dev launch notebook mlflow'" in failure(capsys)


@pytest.mark.parametrize(
    ("address", "needed"),
    [("http://server", {"mlflow"}), (ARN, {"mlflow", "sagemaker_mlflow"})],
)
def test_an_arn_needs_the_plugin_as_well(
    address: str, needed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tracking.SETTING, address)
    for missing in needed:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, gone=missing: name != gone)
        assert mlflow_client.main() == mlflow_client.NOT_INSTALLED


@pytest.mark.parametrize(
    "address",
    [
        "arn:aws:sagemaker:eu-west-1:123456789012:processing-job/team",
        "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/",
        "arn:aws:s3:::bucket",
    ],
)
def test_another_arn_is_rejected(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(tracking.SETTING, address)
    line = failure(capsys)
    assert address in line
    assert "list-mlflow-tracking-servers" in line


@pytest.mark.usefixtures("mlflow_server")
def test_results_that_are_gone_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("launch.history.results.at", fail)
    assert "the disk is gone" in failure(capsys)


@pytest.mark.usefixtures("mlflow_server")
def test_an_interrupt_is_not_held_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("launch.history.results.at", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_data("--run_name", "a")
    printed = capsys.readouterr()
    assert "Completed: small-make-data" in printed.out
    assert "interrupted" in printed.err


# On SageMaker


@pytest.fixture
def launches(account: Faults, monkeypatch: pytest.MonkeyPatch) -> Launches:
    monkeypatch.setattr("launch.backends.sagemaker.QUIET_SECONDS", 0.0)
    made = Launches()
    made.install(account)
    return made


def finished_job(launches: Launches, name: str, job: str, run: str) -> dict[str, object]:
    """Make a job that has completed, and its result in S3; return its description."""
    channel = {"fit": "model"}.get(job, "data")
    address = f"small/runs/{run}/{job}/{channel}"
    files = {"report.json": '{"score": 0.75}'}
    made = result(job, files, arguments={"seed": 4}, processing_job_name=name)
    for file, content in made.items():
        store(f"{address}/{file}", content)
    source = {"S3Uri": f"s3://{BUCKET}/small/inputs/{'3' * 64}/"}
    target = {"S3Uri": f"s3://{BUCKET}/{address}"}
    return launches.add_job(
        name,
        tags={"project": "small", "job": job, "run": run},
        AppSpecification={"ImageUri": "registry/image@sha256:1"},
        ProcessingInputs=[{"InputName": "raw", "S3Input": source}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": channel, "S3Output": target}]},
    )


def test_a_job_that_is_followed_to_its_end_is_logged(
    account: Faults, mlflow_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.backends.sagemaker.QUIET_SECONDS", 0.0)

    def complete(_: object) -> None:
        for file, content in result("make_data", {"a": "1"}, arguments={"seed": 4}).items():
            store(f"small/runs/r/make_data/data/{file}", content)

    account.intercept("CreateProcessingJob", complete)
    words = ("--backend", "sagemaker", "--image", "registry/image:1", "--run_name", "r")
    assert make_data(*words) == 0
    (run,) = mlflow_server.runs
    assert (run["name"], run["tags"]["backend"]) == ("r", "sagemaker")
    assert run["params"] == {"make_data.seed": "4"}
    assert run["tags"]["make_data.output.data"] == f"s3://{BUCKET}/small/runs/r/make_data/data"


def test_a_job_that_nobody_waited_for_is_logged_when_it_is_followed(
    launches: Launches, mlflow_server: Server
) -> None:
    name = "small-fit-20261130-120000-abc123"
    finished_job(launches, name, "fit", "r")
    assert main(["logs", name]) == 0
    (run,) = mlflow_server.runs
    assert (run["name"], run["status"]) == ("r", "FINISHED")
    assert run["tags"]["launch"] == name
    assert run["tags"]["fit.output.model"] == f"s3://{BUCKET}/small/runs/r/fit/model"
    assert run["tags"]["fit.image"] == "registry/image@sha256:1"
    assert run["tags"]["fit.input.raw"] == "3" * 64
    assert run["params"] == {"fit.seed": "4"}
    assert run["metrics"]["fit.score"][0][0] == 0.75
    assert main(["logs", name]) == 0
    assert len(mlflow_server.runs) == 1


def test_an_execution_is_logged_when_it_is_followed(
    launches: Launches, mlflow_server: Server
) -> None:
    arn = launches.add_execution("small-launched", "e1", PipelineExecutionDisplayName="r")
    jobs = {"make-data": "make_data", "fit": "fit"}
    for step, job in jobs.items():
        finished_job(launches, f"small-{step}-1", job, "e1")
    launches.steps[arn] = [job_step(step, f"small-{step}-1") for step in jobs]
    assert main(["logs", arn]) == 0
    (run,) = mlflow_server.runs
    assert (run["name"], run["tags"]["launch"], run["tags"]["job"]) == ("r", arn, "pipeline")
    assert set(run["params"]) == {"make_data.seed", "fit.seed"}
    assert set(run["metrics"]) == {"fit.score"}


def test_a_launch_that_goes_on_is_not_logged(account: Faults, mlflow_server: Server) -> None:
    account.intercept("CreateProcessingJob", lambda _: answer({"ProcessingJobArn": "arn"}))
    words = ("--backend", "sagemaker", "--no-wait", "--image", "registry/image:1")
    assert make_data(*words) == 0
    assert mlflow_server.runs == []
