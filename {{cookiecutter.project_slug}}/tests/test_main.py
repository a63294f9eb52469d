"""The command line ``python -m launch``: exit codes and what is printed."""

import json
from pathlib import Path

import pytest

from launch import LaunchError, launch, plan
from launch.__main__ import main


@pytest.fixture
def data(small_project: Path) -> str:
    return str(small_project / "data")


def test_help_lists_the_jobs(small_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "probe" in capsys.readouterr().out
    assert main([]) == 2
    assert small_project.exists()


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
