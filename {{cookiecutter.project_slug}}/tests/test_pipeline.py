"""A pipeline is checked before its first step starts, and run on this machine step by step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from launch import LaunchError, backends, pipeline
from launch.backends import steps
from launch.graph import Pipeline
from launch.options import Launch
from launch.run import ExitCode, Run


@pytest.fixture
def raw(small_pipeline: Path) -> str:
    return str(small_pipeline / "raw")


def parse(raw: str, *words: str) -> Pipeline:
    return pipeline.parse(["--input_path.make_data", raw, *words])


def test_the_pipeline_of_this_repository_can_be_read() -> None:
    from launch import jobs

    read = {name: jobs.read(name) for name in pipeline.JOBS}
    assert pipeline.METRIC.output in {each.name for each in read[pipeline.METRIC.job].outputs}


def test_a_step_reads_what_a_step_before_it_writes(raw: str, small_pipeline: Path) -> None:
    make_data, fit = parse(raw, "--run_name", "r").steps
    assert (make_data.name, fit.name) == ("make-data", "fit")
    data = str(small_pipeline / "out" / "r" / "make_data" / "data")
    assert make_data.launch.inputs == {"input_path": raw}
    assert make_data.launch.outputs == {"output_path": data}
    assert fit.launch.inputs == {"data_path": data}
    assert fit.launch.upstream == {"data_path": "make_data"}


def test_an_input_that_no_step_writes_can_be_named(raw: str) -> None:
    fit = parse(raw, "--prior_path.fit", raw).step("fit")
    assert fit.launch.inputs["prior_path"] == raw
    assert set(fit.launch.upstream) == {"data_path"}


def test_all_steps_belong_to_one_launch(raw: str) -> None:
    first, second = (parse(raw) for _ in range(2))
    names = {step.launch.options.run_name for step in first.steps}
    assert len(names) == 1
    assert names.isdisjoint(step.launch.options.run_name for step in second.steps)


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        (["--seed", "2"], [2, 2]),
        (["--seed", "2", "--seed.fit", "3"], [2, 3]),
        (["--seed.fit=3"], [0, 3]),
        (["--rate.make_data", "-1", "--seed", "2"], [2, 2]),
    ],
)
def test_an_option_is_for_all_steps_or_for_one(
    raw: str, words: Sequence[str], seeds: Sequence[int]
) -> None:
    assert [step.launch.values["seed"] for step in parse(raw, *words).steps] == seeds


def test_a_value_is_given_to_the_job_as_it_was_typed(raw: str) -> None:
    words = ("--label.make_data=a=b c", "--names.make_data", "x.y", "z")
    typed = parse(raw, *words).steps[0].launch.arguments
    assert typed == ["--label=a=b c", "--names", "x.y", "z"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed.walrus", "1"], "there is no job 'walrus': choose from make_data, fit"),
        (["--rate", "3"], "fit: unrecognized arguments: --rate"),
        (["--seed.fit", "-1"], "fit: argument --seed"),
        (
            ["--data_path.fit", "data"],
            "argument --data_path: the pipeline sets it",
        ),
        (["--data_path.fit=data"], "fit: argument --data_path"),
        (["--shard.fit", "data_path", "--instance_count", "2"], "fit: argument --shard"),
        (["--instance_count.fit", "101"], "fit: ProcessingResources"),
        (["--min_score", "90"], "argument --min_score: 90"),
        (["--backend.fit", "docker"], "argument --backend"),
        (["--run_name.fit", "r"], "argument --run_name"),
        (["--output_path.make_data", "out/x", "--model_path.fit", "out/x/y"], "--model_path"),
    ],
)
def test_a_wrong_pipeline_is_rejected(raw: str, words: Sequence[str], message: str) -> None:
    with pytest.raises(LaunchError) as caught:
        parse(raw, *words)
    assert message in str(caught.value)


def test_outputs_of_steps_that_do_not_feed_each_other_may_not_meet(
    raw: str, monkeypatch: pytest.MonkeyPatch, small_pipeline: Path
) -> None:
    again = (small_pipeline / "entrypoints" / "make_data.py").read_text()
    again = again.replace('OUTPUT}/data"', 'OUTPUT}/more"')
    (small_pipeline / "entrypoints" / "again.py").write_text(again)
    monkeypatch.setattr(pipeline, "JOBS", ("make_data", "again", "fit"))
    words = ["--input_path.again", raw, "--output_path.again", str(small_pipeline / "mine")]
    with pytest.raises(LaunchError, match=r"--output_path.again: .*mine contains"):
        parse(raw, *words, "--output_path.make_data", str(small_pipeline / "mine" / "data"))


def test_a_missing_input_is_reported(small_pipeline: Path) -> None:
    assert small_pipeline
    with pytest.raises(LaunchError, match=r"make_data: .*required: --input_path"):
        pipeline.parse([])


def test_a_deployed_pipeline_runs_on_sagemaker_only(raw: str) -> None:
    words = ["--input_path.make_data", raw, "--backend", "docker", "--image", "image"]
    with pytest.raises(LaunchError, match="argument --backend"):
        pipeline.parse(words, deployed=True)


def test_keyword_arguments_are_those_of_the_command_line(raw: str) -> None:
    made = pipeline.from_options(
        {
            "make_data": {"input_path": Path(raw), "strict": False},
            "fit": {"seed": 3},
            "seed": 2,
            "min_score": 0.5,
            "cache": False,
        }
    )
    assert [step.launch.values["seed"] for step in made.steps] == [2, 3]
    assert made.steps[0].launch.values["strict"] is False
    assert (made.minimum, made.cache) == (0.5, False)
    with pytest.raises(LaunchError, match="fit: argument --seed"):
        pipeline.from_options({"make_data": {"input_path": raw}, "fit": {"seed": -1}})


# Running the steps on this machine


def test_the_steps_run_one_after_the_other(
    raw: str, small_pipeline: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = backends.run_pipeline(parse(raw, "--run_name", "r", "--min_score", "0.75"))
    assert (run.status, run.exit_code, run.exit_message) == ("Completed", ExitCode.COMPLETED, "")
    folder = small_pipeline / "out" / "r"
    assert run.outputs == {
        "output_path.make_data": str(folder / "make_data" / "data"),
        "model_path.fit": str(folder / "fit" / "model"),
    }
    files = (folder / "fit" / "model" / "files.json").read_text()
    assert files == '["a.csv", "b.csv", "job.json"]'
    lines = capfd.readouterr().out.splitlines()
    assert lines.index("make-data:") < lines.index("fit:")


@pytest.mark.parametrize(
    ("report", "minimum", "message"),
    [
        ('{"score": 0.75}', "0.76", "score 0.75 is below 0.76"),
        ('{"score": NaN}', "0", "score nan is below 0.0"),
        ('{"loss": 0.1}', "0", "score cannot be read from report.json of fit"),
        ('{"score": null}', "0", "score cannot be read from report.json of fit"),
        ("[0.75]", "0", "score cannot be read from report.json of fit"),
        ("no JSON", "0", "score cannot be read from report.json of fit"),
    ],
)
def test_a_pipeline_fails_without_a_metric_that_is_good_enough(
    raw: str, report: str, minimum: str, message: str
) -> None:
    def write(launch: Launch, _: Any) -> Run:
        for address in launch.outputs.values():
            Path(address).mkdir(parents=True)
            Path(address, "report.json").write_text(report)
        return Run(launch.name, "Completed", launch.outputs)

    run = steps.run(parse(raw, "--min_score", minimum), write)
    assert (run.status, run.exit_code) == ("Failed", ExitCode.FAILED)
    assert message in run.exit_message
    assert set(run.outputs) == {"output_path.make_data", "model_path.fit"}


def test_a_missing_metric_file_is_a_failure(raw: str) -> None:
    run = steps.run(parse(raw), lambda launch, _: Run(launch.name, "Completed", launch.outputs))
    assert run.status == "Failed"
    assert "score cannot be read from report.json of fit" in run.exit_message


def test_nothing_follows_a_step_that_fails(raw: str) -> None:
    started: list[str] = []

    def fail(launch: Launch, _: Any) -> Run:
        started.append(launch.job.name)
        return Run(launch.name, "Failed", {}, "no memory", 137)

    made = parse(raw)
    run = steps.run(made, fail)
    assert started == ["make_data"]
    assert run == Run(made.steps[0].launch.name, "Failed", {}, "no memory", 137)


@pytest.mark.parametrize("step", [0, 1])
def test_only_the_first_step_can_reject_a_pipeline(raw: str, step: int) -> None:
    made = parse(raw)

    def reject(launch: Launch, _: Any) -> Run:
        if launch is made.steps[step].launch:
            raise LaunchError("the disk is full")
        return Run(launch.name, "Completed", launch.outputs)

    if step == 0:
        with pytest.raises(LaunchError, match="the disk is full"):
            steps.run(made, reject)
    else:
        run = steps.run(made, reject)
        assert (run.status, run.exit_code) == ("Failed", ExitCode.FAILED)
        assert run.exit_message == "the disk is full"
        assert set(run.outputs) == {"output_path.make_data"}
