"""A pipeline is checked before its first step starts, and run on this machine step by step."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from launch import LaunchError, backends
from launch.backends import steps
from launch.pipelines import pipeline
from launch.pipelines.graph import Pipeline
from launch.requests import jobs, options, request
from launch.requests.options import Launch
from launch.run import ExitCode, Run
from launch.settings import project
from small_pipeline import ENTRYPOINTS, edit_table


@pytest.fixture
def raw(small_pipeline: Path) -> str:
    return str(small_pipeline / "raw")


def parse(raw: str, *words: str) -> Pipeline:
    return pipeline.parse(["--input_path.make_data", raw, *words])


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
        (["--rate", "-1", "--seed.fit", "3"], [0, 3]),
        (["--names", "a", "b", "--seed", "2", "--fail", "--seed.fit=3"], [2, 3]),
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
        (["--seed.walrus", "1"], "there is no job 'walrus' in the pipeline"),
        (["--seed.fitt", "1"], "did you mean fit?"),
        (["--rats", "3"], "--rate"),
        (["--sed.fit", "3"], "--seed.fit"),
        (["--rate.fit", "3"], "--rate.fit"),
        (["--min_score.fit", "3"], "--min_score.fit: this option belongs to the pipeline"),
        (["--no-such", "1", "--sed=3"], "--no-such"),
        (["--seed", "1", "2"], "make_data: unrecognized arguments: 2"),
        (["stray", "--seed", "1"], "stray"),
        (["--names", "--", "a"], "bare --"),
        (["-x"], "-x"),
        (["--seed.fit", "-1"], "fit: argument --seed"),
        (
            ["--data_path.fit", "data"],
            "argument --data_path: the pipeline sets it",
        ),
        (["--data_path.fit=data"], "fit: argument --data_path"),
        (["--shard.fit", "data_path", "--instance_count", "2"], "fit: argument --shard"),
        (["--instance_count.fit", "101"], "fit: ProcessingResources"),
        (["--min_score", "nan"], "argument --min_score: 'nan'"),
        (["--min_score=-inf"], "argument --min_score"),
        (["--min_score", "high"], "argument --min_score: 'high'"),
        (["--max_score", "1"], "did you mean --min_score?"),
        (["--input_path", "data", "--data_path", "data"], "fit: argument --data_path"),
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
    raw: str, small_pipeline: Path
) -> None:
    text = (small_pipeline / "entrypoints" / "make_data.py").read_text()
    text = text.replace('OUTPUT}/data"', 'OUTPUT}/more"')
    (small_pipeline / "entrypoints" / "more.py").write_text(text)
    edit_table(small_pipeline, '"fit"]', '"more", "fit"]')
    words = ["--input_path.more", raw, "--output_path.more", str(small_pipeline / "mine")]
    with pytest.raises(LaunchError, match=r"--output_path.more: .*mine contains"):
        parse(raw, *words, "--output_path.make_data", str(small_pipeline / "mine" / "data"))


def test_a_missing_input_is_reported(small_pipeline: Path) -> None:
    assert small_pipeline
    with pytest.raises(LaunchError, match=r"make_data: .*required: --input_path"):
        pipeline.parse([])


def test_an_option_that_no_job_has_is_reported_before_missing_inputs(small_pipeline: Path) -> None:
    assert small_pipeline
    for words in (["--rats", "3"], ["--sed.fit", "3"]):
        with pytest.raises(LaunchError, match="did you mean"):
            pipeline.parse(words)
    for values in ({"rats": 3}, {"fit": {"sed": 3}}):
        with pytest.raises(LaunchError, match="did you mean"):
            pipeline.from_options(values)


def test_every_command_line_is_checked_before_the_first_request(raw: str) -> None:
    with pytest.raises(LaunchError, match="fit: argument --seed"):
        parse(raw, "--instance_count.make_data", "1000", "--seed.fit", "x")


def test_an_option_is_for_the_jobs_that_have_it(raw: str) -> None:
    words = ["--rate", "-1", "--config", '{"a": [1]}', "--names", "a", "b", "--no-strict"]
    words += ["--label=--a b", "--instance_count", "2", "--seed=4"]
    make_data, fit = (step.launch for step in parse(raw, *words).steps)
    shown = ["--rate", "-1", "--names", "a", "b", "--no-strict", "--label=--a b", "--seed=4"]
    assert make_data.arguments == shown
    assert make_data.values["label"] == "--a b"
    assert fit.arguments == ["--config", '{"a": [1]}', "--seed=4"]
    assert fit.values["config"] == {"a": [1]}
    assert (make_data.options.instance_count, fit.options.instance_count) == (2, 2)


def clusters(made: Pipeline) -> list[dict[str, Any]]:
    return [step.request["ProcessingResources"]["ClusterConfig"] for step in made.steps]


def test_each_job_has_its_instance_types(raw: str, small_pipeline: Path) -> None:
    edit_table(
        small_pipeline,
        "[metric]",
        "[job.make_data.ProcessingResources.ClusterConfig]\nInstanceType = 'ml.r5.large'\n[metric]",
    )
    make_data, fit = clusters(parse(raw, "--instance_type.fit", "ml.m5.large,ml.c5.xlarge"))
    assert make_data["InstanceType"] == "ml.r5.large"
    types = [each["InstanceType"] for each in fit["InstancePreferences"]]
    assert types == ["ml.m5.large", "ml.c5.xlarge"]
    make_data, fit = clusters(parse(raw, "--instance_type", "ml.m5.large"))
    assert make_data["InstanceType"] == fit["InstanceType"] == "ml.m5.large"


def test_what_the_table_says_wrong_about_a_job_is_reported_by_its_path(
    raw: str, small_pipeline: Path
) -> None:
    edit_table(small_pipeline, "[metric]", "[job.fit.Tag]\n[metric]")
    with pytest.raises(LaunchError, match=r"^launch\.toml: job\.fit\.Tag: .* did you mean Tags"):
        parse(raw)


def test_keyword_arguments_are_for_the_jobs_that_have_them(raw: str) -> None:
    made = pipeline.from_options(
        {
            "make_data": {"input_path": raw, "rows": [{"b": None}]},
            "config": {"a": 1},
            "rate": -1,
            "names": ["a", "b"],
            "strict": False,
            "env": {"A": "b"},
            "instance_count": 2,
            "label": None,
        }
    )
    make_data, fit = (step.launch for step in made.steps)
    assert fit.values["config"] == {"a": 1}
    assert make_data.values["rows"] == [{"b": None}]
    assert (make_data.values["rate"], make_data.values["names"]) == (-1, ["a", "b"])
    assert (make_data.values["strict"], make_data.values["label"]) == (False, "as it is")
    for launch in (make_data, fit):
        assert launch.options.env == [("A", "b")]
        assert launch.options.instance_count == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fit": 3}, "fit: the options of a job are a dictionary"),
        ({"walrus": {"seed": 3}}, "walrus"),
        ({"config": {"a": Path()}}, "argument --config"),
        ({"min_score": "high"}, "argument --min_score"),
    ],
)
def test_wrong_keyword_arguments_are_rejected(
    raw: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(LaunchError, match=message):
        pipeline.from_options({"make_data": {"input_path": raw}, **values})


def test_a_rejection_hides_secrets(raw: str, small_pipeline: Path) -> None:
    entrypoint = small_pipeline / "entrypoints" / "fit.py"
    text = entrypoint.read_text()
    entrypoint.write_text(
        text.replace(
            '"--report"', '"--api_key", type=int, default=0)\n    parser.add_argument("--report"'
        )
    )
    for words in (
        ["--api_key", "hunter2"],
        ["--api_key.fit=hunter2"],
        ["--api_kye", "hunter2"],
        ["--api_kye.fit=hunter2"],
        ["-phunter2"],
        ["--api_key", "1", "--sed", "hunter2"],
    ):
        with pytest.raises(LaunchError) as caught:
            parse(raw, *words)
        assert "hunter2" not in str(caught.value)


def test_an_input_that_several_jobs_have_is_named_for_one(raw: str, small_pipeline: Path) -> None:
    entrypoint = small_pipeline / "entrypoints" / "fit.py"
    entrypoint.write_text(entrypoint.read_text().replace("data_path", "input_path"))
    with pytest.raises(LaunchError, match=r"fit: .*--input_path.make_data"):
        pipeline.parse(["--input_path", raw])


def test_help_says_what_the_table_says(
    small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        pipeline.parse(["--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for text in ("make_data, fit", "--min_score", "0.9", "--instance_count.fit", project.COMMAND):
        assert text in shown
    edit_table(small_pipeline, "minimum = 0.9", "maximum = 7")
    with pytest.raises(SystemExit):
        pipeline.parse(["-h"])
    shown = capsys.readouterr().out
    assert "--max_score" in shown
    assert "--min_score" not in shown


# What launch.toml says


def test_inputs_of_the_table_are_read_by_a_job_alone_and_in_a_pipeline(
    small_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_table(small_pipeline, "[metric]", '[inputs.make_data]\ninput_path = "raw"\n[metric]')
    monkeypatch.chdir(tmp_path)
    raw = str(small_pipeline / "raw")
    make_data = jobs.read("make_data")
    for launch in (pipeline.parse([]).steps[0].launch, options.parse(make_data, [])):
        assert launch.inputs == {"input_path": raw}
        assert launch.typed == []
    typed = options.parse(make_data, ["--input_path", "s3://bucket/raw"])
    assert typed.inputs == {"input_path": "s3://bucket/raw"}
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.csv").write_text("c")
    made = pipeline.parse(["--input_path.make_data", "more"])
    assert made.steps[0].launch.inputs == {"input_path": str(tmp_path / "more")}
    assert (
        pipeline.parse(["--input_path", "more"]).steps[0].launch.inputs
        == made.steps[0].launch.inputs
    )


def test_what_a_step_writes_has_precedence_over_the_table(small_pipeline: Path) -> None:
    table = (
        '[inputs.make_data]\ninput_path = "raw"\n[inputs.fit]\ndata_path = "out/r/make_data/data"'
    )
    edit_table(small_pipeline, "[metric]", f"{table}\n[metric]")
    (fit,) = (step.launch for step in pipeline.parse([]).steps[1:])
    assert fit.upstream == {"data_path": "make_data"}
    assert fit.inputs["data_path"] == pipeline_output(fit)
    alone = options.parse(jobs.read("fit"), [])
    assert alone.upstream == {}
    assert alone.inputs == {"data_path": str(small_pipeline / "out/r/make_data/data")}


def pipeline_output(launch: Launch) -> str:
    return str(Path(launch.outputs["model_path"]).parents[1] / "make_data" / "data")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('jobs = ["make_data", "fit"]', "", r"launch.toml.*\n.*jobs = \["),
        ('["make_data", "fit"]', "[]", "launch.toml"),
        ('["make_data", "fit"]', '["make_date", "fit"]', r"launch.toml.* did you mean make_data\?"),
        ('["make_data", "fit"]', '["make_data", "../fit"]', r"launch.toml.* no entrypoints/../fit"),
        ('["make_data", "fit"]', '["make_data"]', "launch.toml: metric.job is 'fit'"),
        ('output = "model"', 'output = "model_path"', "launch.toml: .* did you mean model?"),
        ('output = "model"', 'output = "x"', "launch.toml: .* choose from model"),
        ("[metric]", '[inputs.fit]\nprior = "x"\n[metric]', "launch.toml: .*mean prior_path"),
        (
            "[metric]",
            '[inputs.fit]\nmodel_path = "x"\n[metric]',
            "launch.toml: inputs.fit.model_path",
        ),
        ("[metric]", '[inputs.fitt]\nx = "x"\n[metric]', r"launch.toml: .* did you mean fit\?"),
    ],
)
def test_a_table_that_does_not_fit_the_jobs_is_rejected(
    raw: str, small_pipeline: Path, old: str, new: str, message: str
) -> None:
    edit_table(small_pipeline, old, new)
    with pytest.raises(LaunchError) as caught:
        parse(raw)
    assert re.search(message, str(caught.value), flags=re.DOTALL)


def add_option(root: Path, job: str, option: str) -> None:
    file = root / "entrypoints" / f"{job}.py"
    added = f'parser.add_argument("{option}", type=int)\n    return parser'
    file.write_text(file.read_text().replace("return parser", added))


@pytest.mark.parametrize(
    ("job", "option", "metric", "messages"),
    [
        ("make_data", "--min_score", "score", ["launch.toml: metric.name", "make_data"]),
        ("fit", "--min_score", "score", ["launch.toml: metric.name", "--min_score", "fit"]),
        ("fit", "--cache", "score", ["entrypoints/fit.py: --cache", "rename it"]),
        ("fit", "--no-cache", "score", ["entrypoints/fit.py: --no-cache", "rename it"]),
        ("fit", "--x", "runtime_in_seconds", ["launch.toml: metric.name", "option of launch"]),
    ],
)
def test_the_pipeline_takes_no_option_of_a_job_for_its_own(
    raw: str, small_pipeline: Path, job: str, option: str, metric: str, messages: list[str]
) -> None:
    edit_table(small_pipeline, 'name = "score"\nminimum', f'name = "{metric}"\nminimum')
    if metric != "score":
        edit_table(small_pipeline, "minimum", "maximum")
    add_option(small_pipeline, job, option)
    with pytest.raises(LaunchError) as caught:
        parse(raw)
    assert all(each in str(caught.value) for each in messages)


def test_a_job_that_reads_what_is_written_after_it_is_rejected(
    raw: str, small_pipeline: Path
) -> None:
    """This holds for optional inputs, too; otherwise, the job would run without them."""
    text = ENTRYPOINTS["make_data"].replace('OUTPUT}/data"', 'OUTPUT}/prior"')
    (small_pipeline / "entrypoints" / "guess.py").write_text(text)
    edit_table(small_pipeline, '"fit"]', '"fit", "guess"]')
    start = "launch.toml: pipeline.jobs: "
    with pytest.raises(LaunchError, match=f"^{start}fit reads prior, .*list guess before fit"):
        parse(raw, "--input_path.guess", raw)
    edit_table(small_pipeline, '"make_data", "fit", "guess"', '"guess", "fit", "make_data"')
    with pytest.raises(LaunchError, match=f"^{start}fit reads data, .*list make_data before fit"):
        parse(raw, "--input_path.guess", raw)


def test_the_jobs_of_a_new_table_are_proposed_in_their_order(
    raw: str, small_pipeline: Path
) -> None:
    (small_pipeline / "launch.toml").write_text("[pipeline]\njobs = []")
    with pytest.raises(LaunchError, match=re.escape('jobs = ["make_data", "fit"]')):
        parse(raw)
    made = small_pipeline / "entrypoints" / "make_data.py"
    made.write_text(made.read_text().replace('INPUT}/raw"', 'INPUT}/model"'))
    with pytest.raises(LaunchError, match=re.escape('jobs = ["fit", "make_data"]')):
        parse(raw)  # each reads what the other writes


def test_a_wrong_address_is_reported_where_it_is_written(small_pipeline: Path) -> None:
    table = '[inputs.make_data]\ninput_path = "nowhere"\n[metric]'
    edit_table(small_pipeline, "[metric]", table)
    for address in ("nowhere", "https://bucket/raw"):
        edit_table(small_pipeline, '"nowhere"', f'"{address}"')
        with pytest.raises(LaunchError) as caught:
            pipeline.parse([])
        assert str(caught.value).startswith("launch.toml: inputs.make_data.input_path: ")
        assert "--OPTION" not in str(caught.value)
    edit_table(small_pipeline, '"https://bucket/raw"', '"raw"')
    with pytest.raises(LaunchError, match=r"^make_data: argument --input_path: .*--OPTION"):
        pipeline.parse(["--input_path", "nowhere"])


def test_without_a_table_there_is_no_pipeline_but_there_are_jobs(
    raw: str, small_pipeline: Path
) -> None:
    (small_pipeline / "launch.toml").unlink()
    with pytest.raises(LaunchError, match=r"list its jobs in launch\.toml"):
        parse(raw)
    assert options.parse(jobs.read("make_data"), ["--input_path", raw]).inputs


def test_a_job_that_writes_an_optional_input_can_be_left_out(
    raw: str, small_pipeline: Path
) -> None:
    text = ENTRYPOINTS["make_data"].replace('OUTPUT}/data"', 'OUTPUT}/prior"')
    (small_pipeline / "entrypoints" / "guess.py").write_text(text)
    edit_table(small_pipeline, '"fit"]', '"guess", "fit"]')
    whole = parse(raw, "--input_path.guess", raw)
    assert whole.step("fit").launch.upstream == {"data_path": "make_data", "prior_path": "guess"}
    edit_table(small_pipeline, '"guess", ', "")
    run = backends.run_pipeline(parse(raw, "--run_name", "r", "--min_score", "0"))
    assert run.status == "Completed"
    data = run.outputs["output_path.make_data"]
    alone = options.parse(jobs.read("fit"), ["--data_path", data])
    assert backends.run(alone, request.prepare(alone)).status == "Completed"


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
    assert made.metric
    assert (made.metric.limit, made.cache) == (0.5, False)
    with pytest.raises(LaunchError, match="fit: argument --seed"):
        pipeline.from_options({"make_data": {"input_path": raw}, "fit": {"seed": -1}})


# Running the steps on this machine


def test_the_steps_run_one_after_the_other(
    raw: str, small_pipeline: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = backends.run_pipeline(parse(raw, "--run_name", "r", "--min_score", "0.75"))
    assert (run.status, run.exit_code, run.exit_message) == ("Completed", ExitCode.COMPLETED, "")
    assert run.metric == "score 0.75 (minimum 0.75)"
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
        ('{"score": NaN}', "0", "'score' in report.json of fit is NaN"),
        ('{"loss": 0.1}', "0", "report.json of fit has no key 'score'; it has loss"),
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


@pytest.mark.parametrize(
    ("value", "limit", "message"),
    [
        ("45.1", "40", "test.rmse 45.1 is above 40.0"),
        ("0", "-0.5", "test.rmse 0 is above -0.5"),
        ("40", "40", ""),
        ("-3e5", "-2e5", ""),
    ],
)
def test_a_metric_with_a_maximum_must_not_be_above(
    raw: str, small_pipeline: Path, value: str, limit: str, message: str
) -> None:
    edit_table(small_pipeline, 'name = "score"', 'name = "test.rmse"')
    edit_table(small_pipeline, "minimum = 0.9", f"maximum = {limit}")

    report = {"test": {"rmse": json.loads(value)}}

    def write(launch: Launch, _: Any) -> Run:
        for address in launch.outputs.values():
            Path(address).mkdir(parents=True)
            Path(address, "report.json").write_text(json.dumps(report))
        return Run(launch.name, "Completed", launch.outputs)

    run = steps.run(parse(raw), write)
    assert (run.status == "Completed", run.exit_message) == (not message, message)
    assert bool(run.metric) is not bool(message)


def test_a_pipeline_whose_metric_has_a_maximum(raw: str, small_pipeline: Path) -> None:
    edit_table(small_pipeline, 'name = "score"', 'name = "test.rmse"')
    edit_table(small_pipeline, "minimum = 0.9", "maximum = 40")
    report = """--report={"test": {"rmse": 45.1}}"""
    run = steps.run(parse(raw, report), backends.run)
    assert (run.status, run.exit_message) == ("Failed", "test.rmse 45.1 is above 40.0")
    assert set(run.outputs) == {"output_path.make_data", "model_path.fit"}
    run = steps.run(parse(raw, report, "--max_test_rmse", "45.1"), backends.run)
    assert (run.status, run.metric) == ("Completed", "test.rmse 45.1 (maximum 45.1)")


def test_a_pipeline_without_a_metric_completes(raw: str, small_pipeline: Path) -> None:
    table = (small_pipeline / "launch.toml").read_text()
    (small_pipeline / "launch.toml").write_text(table.partition("[metric]")[0])
    run = steps.run(parse(raw), lambda launch, _: Run(launch.name, "Completed", launch.outputs))
    assert (run.status, run.metric) == ("Completed", "")
    with pytest.raises(LaunchError, match="--min_score"):
        parse(raw, "--min_score", "1")


def test_a_missing_metric_file_is_a_failure(raw: str) -> None:
    run = steps.run(parse(raw), lambda launch, _: Run(launch.name, "Completed", launch.outputs))
    assert run.status == "Failed"
    assert "score cannot be read: report.json of fit: No such file" in run.exit_message


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


def test_the_value_of_a_short_option_is_never_taken_for_a_job(
    raw: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--input_path.make_data", raw, "-kS3CR3T.fit=x"]
    with pytest.raises(LaunchError, match=r"-k: none of the jobs") as error:
        pipeline.parse(words)
    assert "S3CR3T" not in str(error.value) + capsys.readouterr().out
    assert list(pipeline.split(["-k.fit", "1", "-k2.fit", "-x.fit=3"])) == [
        ("-k", "fit", ["-k", "1"]),
        ("-k2.fit", "", ["-k2.fit"]),
        ("-x", "fit", ["-x=3"]),
    ]
