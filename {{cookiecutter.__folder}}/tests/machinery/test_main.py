"""The command line ``python -m launch``: exit codes and what is printed."""

import json
import re
from pathlib import Path

import pytest

from aws_faults import ROLE
from launch import LaunchError, backends, launch, plan
from launch.__main__ import main
from launch.settings import names, project


@pytest.fixture
def data(small_project: Path) -> str:
    return str(small_project / "data")


def test_help_lists_the_jobs(small_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "probe" in capsys.readouterr().out
    assert main([]) == 2
    assert small_project.exists()


@pytest.mark.parametrize("verb", names.VERBS)
@pytest.mark.usefixtures("small_pipeline")
def test_help_of_a_command_does_nothing_else(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backends, "clean", lambda: pytest.fail("it cleans"))
    try:
        code = main([verb, "--help"])
    except SystemExit as ended:
        code = ended.code  # type: ignore[assignment]
    assert code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: {project.COMMAND}")
    assert verb in shown.partition("\n\n")[0]


@pytest.mark.usefixtures("small_project")
def test_clean_takes_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "clean", lambda: pytest.fail("it cleans"))
    assert main(["clean", "everything"]) == 2


def test_help_of_a_job_lists_its_options_and_those_of_the_launch(
    data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["probe", "--input_path", data, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--do" in shown
    assert "--backend {local,docker,sagemaker}" in shown
    assert "SUPPRESS" not in shown
    assert project.COMMAND in shown
    assert not re.search(r"default: (None|\[\])", " ".join(shown.split()))


def test_help_of_a_job_shows_the_address_of_the_table(
    small_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_project / "launch.toml").write_text('[inputs.probe]\ninput_path = "s3://bucket/x"')
    with pytest.raises(SystemExit):
        main(["probe", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "(default: s3://bucket/x)" in shown


@pytest.mark.parametrize("words", [["prepare"], ["probe"], ["probe", "--input_path", "nowhere"]])
@pytest.mark.usefixtures("small_project")
def test_a_rejected_launch_prints_one_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1


def test_a_plan_is_printed_and_nothing_is_started(
    data: str, small_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", "--input_path", data, "--do", "x", "--plan"]) == 0
    printed = json.loads(capsys.readouterr().out)
    planned = plan("probe", input_path=data, do=["x"])
    assert planned["AppSpecification"]["ImageUri"] == printed["AppSpecification"]["ImageUri"]
    assert planned["ProcessingInputs"] == printed["ProcessingInputs"]
    assert not (small_project / "out").exists()


CLUSTER = "[job.probe.ProcessingResources.ClusterConfig]\n"


def test_help_of_a_job_shows_what_the_table_sets(
    small_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown() -> str:
        with pytest.raises(SystemExit):
            main(["probe", "--help"])
        return " ".join(capsys.readouterr().out.split())

    assert "(default: ml.m5.xlarge)" in shown()
    table = small_project / "launch.toml"
    table.write_text(CLUSTER + "InstanceType = 'ml.c5.xlarge'\nInstanceCount = 7")
    assert "(default: ml.c5.xlarge)" in shown()
    assert "number of hosts (default: 7)" in shown()
    types = "[{InstanceType = 'ml.m5.large'}, {InstanceType = 'ml.c5.large'}]"
    table.write_text(f"{CLUSTER}InstancePreferences = {types}\n")
    assert "(default: ml.m5.large,ml.c5.large)" in shown()
    table.write_text(f"{CLUSTER}InstanceType = 3\n")
    assert "(default: ml.m5.xlarge)" in shown()


@pytest.mark.parametrize(
    ("backend", "ignored"),
    [
        ("local", "request.NetworkConfig, job.probe.ProcessingResources"),
        ("docker", "request.NetworkConfig"),
        ("sagemaker", ""),
    ],
)
def test_a_plan_names_what_its_backend_ignores(
    data: str,
    small_project: Path,
    backend: str,
    ignored: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("S3_BUCKET", "bucket")
    monkeypatch.setenv("SAGEMAKER_ROLE_ARN", "arn:aws:iam::123456789012:role/jobs")
    monkeypatch.setattr("launch.storage.s3.check_new", lambda _: None)
    monkeypatch.setattr("launch.requests.access.check", lambda *_: None)
    monkeypatch.setattr("launch.aws.prices.ceiling", lambda _: "ceiling")
    words = ["probe", "--input_path", data, "--plan", "--backend", backend, "--image", "image"]
    assert main(words) == 0
    assert "ignores" not in capsys.readouterr().err
    table = "[request.NetworkConfig]\nEnableNetworkIsolation = true\n"
    table += f"{CLUSTER}InstanceType = 'ml.c5.xlarge'\nInstanceCount = 2\n"
    (small_project / "launch.toml").write_text(table)
    assert main(words) == 0
    printed = capsys.readouterr()
    made = json.loads(printed.out)
    assert made["NetworkConfig"]["EnableNetworkIsolation"] is True
    assert printed.err.count("ignores") == bool(ignored)
    assert ignored in printed.err
    assert "InstanceCount" not in printed.err
    assert ("InstanceType" in printed.err) == (backend == "local")


def test_a_plan_of_a_pipeline_names_what_its_backend_ignores_once(
    small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = small_pipeline / "launch.toml"
    tag = "[[request.Tags]]\nKey = 'team'\nValue = 'x'\n"
    table.write_text(f"{table.read_text()}{tag}[job.fit.NetworkConfig]\n")
    words = ["--input_path.make_data", str(small_pipeline / "raw"), "--plan", "--image", "image"]
    assert main(["pipeline", *words]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["Steps"]
    (line,) = printed.err.splitlines()
    assert line.endswith(" ignores request.Tags, job.fit.NetworkConfig")


@pytest.mark.parametrize("word", ["prob", "pipelin", "cleen", "deply"])
@pytest.mark.usefixtures("small_project")
def test_a_misspelt_job_or_verb_is_rejected_with_the_nearest(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word]) == 2
    printed = capsys.readouterr().err
    assert any(f"did you mean {name}?" in printed for name in ("probe", *names.VERBS))


def test_jobs_without_a_pipeline_are_launched_and_listed(
    data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pipeline", "--input_path.probe", data]) == 2
    assert 'jobs = ["probe"]' in capsys.readouterr().err
    assert main(["probe", "--input_path", data]) == 0


def test_the_metric_is_printed_when_a_pipeline_has_completed(
    small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pipeline", "--input_path.make_data", str(small_pipeline / "raw")]
    assert main([*words, "--min_score", "0.5"]) == 0
    assert "score 0.75 (minimum 0.5)" in capsys.readouterr().out
    assert main([*words, "--run_name", "r"]) == 1
    printed = capsys.readouterr().out
    assert "score 0.75 is below 0.9" in printed
    assert f"--model_path.fit {small_pipeline / 'out' / 'r' / 'fit' / 'model'}" in printed
    assert main([*words, "--plan"]) == 0
    assert json.loads(capsys.readouterr().out)["Steps"]


def test_a_table_that_is_wrong_does_not_keep_help_from_listing_the_jobs(
    small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_pipeline / "launch.toml").write_text("[pipeline")
    assert main(["--help"]) == 0
    assert "fit, make_data" in capsys.readouterr().out
    assert main(["pipeline", "--help"]) == 2
    assert "launch.toml" in capsys.readouterr().err


def test_outputs_are_printed_when_a_job_has_completed(
    data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", "--input_path", data, "--run_name", "r"]) == 0
    assert "--output_path" in capsys.readouterr().out.splitlines()[-1]


def test_a_job_that_fails_is_told_from_a_rejected_launch(
    data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", "--input_path", data, "--do", "fail"]) == 1
    assert "the last host failed" in capsys.readouterr().out


def test_in_python_a_rejected_launch_raises(data: str) -> None:
    with pytest.raises(LaunchError, match="--sed"):
        launch("probe", input_path=data, sed=1)


@pytest.mark.parametrize("verb", names.VERBS)
def test_no_job_has_the_name_of_a_command(
    small_project: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    probe = small_project / "entrypoints" / "probe.py"
    probe.rename(probe.with_stem(verb))
    for words in ([verb], ["--help"]):
        assert main(words) == 2
        assert f"entrypoints/{verb}.py" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["local", "sagemaker"])
def test_secrets_that_sagemaker_would_show_are_named(
    small_project: Path,
    backend: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for key, value in {"S3_BUCKET": "b", "SAGEMAKER_ROLE_ARN": ROLE}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr("launch.requests.access.check", lambda *_: None)
    words = ["probe", "--input_path", str(small_project / "data"), "--image", "image", "--plan"]
    secrets = ["--env", "API_TOKEN=hunter2", "--env", "COLOUR=blue", "--api_key", "hunter2"]
    assert main([*words, "--backend", backend, *secrets]) == 0
    told = capsys.readouterr().err
    assert ("--env API_TOKEN, --api_key: anyone" in told) is (backend == "sagemaker")
    assert "hunter2" not in told
