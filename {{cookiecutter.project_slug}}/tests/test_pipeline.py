"""The pipeline: which step feeds which, options for one step or for all, refusals."""

import pytest

from launch import ROOT, LaunchError, launch
from launch.__main__ import main
from launch.pipeline import JOBS, parse

DATA = ROOT / "data" / "penguins"


def test_each_step_reads_what_the_steps_before_it_write() -> None:
    pipeline = parse(["--input_path.preprocess", str(DATA), "--run_name", "r"])
    assert [step.name for step in pipeline.steps] == list(JOBS)
    preprocess, tune, train = pipeline.steps
    assert (preprocess.fed, tune.fed) == ({}, {"input_path": "preprocess"})
    assert train.fed == {"input_path": "preprocess", "trials_path": "tune"}
    dataset, trials = preprocess.plan.outputs["output_path"], tune.plan.outputs["output_path"]
    assert dataset.endswith("out/r/preprocess/dataset")
    assert train.plan.call.channels == {"input_path": dataset, "trials_path": trials}


def test_an_option_is_for_all_steps_or_for_one() -> None:
    words = ["--input_path.preprocess", str(DATA), "--seed", "2", "--seed.tune=3"]
    seeds = [step.plan.call.options.seed for step in parse([*words, "--trials.tune", "1"]).steps]
    assert seeds == [2, 3, 2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "preprocess: the following arguments are required: --input_path"),
        (["--seed.walrus", "1"], "'walrus' is no step"),
        (["--folds", "3"], "preprocess: unrecognized arguments: --folds"),
        (["--folds.tune", "1"], "tune: argument --folds: 1 is less than 2"),
        (["--input_path.tune", "data"], "tune: argument --input_path: it is what preprocess"),
        (["--min_accuracy", "90"], "argument --min_accuracy: 90 is not from 0 to 1"),
    ],
)
def test_a_wrong_pipeline_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--input_path.preprocess", str(DATA)] if words else []
    assert main(["pipeline", *data, *words]) == 2
    assert message in capsys.readouterr().err


def test_options_in_python_are_those_of_the_command_line() -> None:
    with pytest.raises(LaunchError, match="train: argument --seed: -1 is less than 0"):
        launch("pipeline", preprocess={"input_path": DATA}, train={"seed": -1})
