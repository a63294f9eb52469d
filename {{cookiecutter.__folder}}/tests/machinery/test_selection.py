"""A pipeline begins at any job, with the complete results of an earlier run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aws_faults import BUCKET, Faults, store
from earlier_runs import COMMIT, result, write
from launch import LaunchError, backends, compare
from launch.backends import execution, sources
from launch.pipelines import definition, pipeline
from launch.pipelines.graph import Pipeline
from launch.run import Run
from launch.settings import project
from small_pipeline import edit_table
from test_execution import answer, job, moto_job, state

DATA = {"a.csv": "a", "b.csv": "b"}


@pytest.fixture
def out(small_pipeline: Path) -> Path:
    return small_pipeline / "out"


def add_run(out: Path, name: str, finished: str = "2026-01-02T03:04:05+00:00") -> Path:
    folder = out / name / "make_data" / "data"
    write(folder, result("make_data", DATA, finished=finished))
    return folder


def parse(*words: str) -> Pipeline:
    return pipeline.parse(["--from", "fit", "--min_score", "0", *words])


# On this machine


def test_the_results_of_the_newest_complete_run_are_taken(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(out, "newer", "2026-01-03T00:00:00+00:00")
    add_run(out, "older", "2026-01-01T00:00:00+00:00")
    partial = add_run(out, "partial", "2026-01-04T00:00:00+00:00")
    (partial / "b.csv").unlink()
    done = backends.run_pipeline(parse("--run_name", "r"))
    assert done.status == "Completed", done.exit_message
    data = str(out / "newer" / "make_data" / "data")
    assert done.outputs["output_path.make_data"] == data
    files = json.loads((out / "r" / "fit" / "model" / "files.json").read_text())
    assert files == ["a.csv", "b.csv", "job.json"]
    assert not (out / "r" / "make_data").exists()
    printed = capsys.readouterr().out
    assert "data is taken from newer, a result of commit 1234567890ab " in printed


def test_a_result_of_this_commit_needs_no_remark(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "stamp", lambda: COMMIT)
    add_run(out, "earlier")
    backends.run_pipeline(parse())
    assert "make_data: data is taken from earlier\n" in capsys.readouterr().out


def test_a_run_can_be_named_and_what_it_took_itself_is_found(out: Path) -> None:
    first = add_run(out, "first", "2026-01-01T00:00:00+00:00")
    add_run(out, "other", "2026-01-03T00:00:00+00:00")
    backends.run_pipeline(parse("--from_run", "first", "--run_name", "second"))
    third = parse("--from_run", "small-second", "--run_name", "third")
    assert third.step("fit").launch.inputs["data_path"] == str(first)


def test_a_run_that_failed_goes_on_under_its_own_name(out: Path) -> None:
    add_run(out, "r")
    done = backends.run_pipeline(parse("--from_run", "r", "--run_name", "r"))
    assert done.status == "Completed", done.exit_message
    assert (out / "r" / "fit" / "model" / "job.json").exists()


def test_a_run_takes_the_results_of_a_job_from_one_run_only(out: Path) -> None:
    add_run(out, "first")
    add_run(out, "second")
    backends.run_pipeline(parse("--from_run", "first", "--run_name", "r"))
    model = str(out / "elsewhere")
    words = ["--from_run", "second", "--run_name", "r", "--model_path.fit", model]
    with pytest.raises(LaunchError, match="choose another run name"):
        backends.run_pipeline(parse(*words))


def test_keyword_arguments_begin_at_a_job_too(out: Path) -> None:
    add_run(out, "earlier")
    made = pipeline.from_options({"from_job": "fit", "from_run": "earlier", "seed": 3})
    assert [step.job for step in made.steps] == ["fit"]


def test_the_first_job_needs_nothing(small_pipeline: Path) -> None:
    words = ["--from", "make_data", "--input_path.make_data", str(small_pipeline / "raw")]
    assert [step.job for step in pipeline.parse(words).steps] == ["make_data", "fit"]


def test_the_metric_of_a_job_that_does_not_run_is_not_checked(out: Path) -> None:
    write(out / "r" / "fit" / "model", result("fit", {"report.json": "{}"}))
    edit_table(out.parent, '"fit"]', '"fit", "check"]')
    text = (out.parent / "entrypoints" / "fit.py").read_text()
    text = text.replace('INPUT}/data"', 'INPUT}/model"').replace('OUTPUT}/model"', 'OUTPUT}/z"')
    (out.parent / "entrypoints" / "check.py").write_text(text)
    assert pipeline.parse(["--from", "check"]).metric is None
    with pytest.raises(LaunchError, match="--min_score: fit does not run"):
        pipeline.parse(["--from", "check", "--min_score", "0"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "fut"], "argument --from: .*did you mean fit"),
        (["--from_run", "earlier"], "argument --from_run: it needs --from"),
        (["--from", "make_data", "--from_run", "earlier"], "first job of the pipeline"),
        (["--from", "fit", "--from_run", "earlie"], "no run 'earlie'.*did you mean earlier"),
        (["--from", "fit", "--from_run", "partial"], "b.csv is missing.*name another run"),
        (["--from", "fit", "--from_run", "empty"], "it has no data of make_data"),
        (["--from", "fit", "--seed.make_data", "3"], "--seed.make_data: make_data does not run"),
        (["--from", "fit", "--rate", "3"], "argument --rate: make_data does not run"),
        (["--from", "fit", "--input_path", "raw"], "argument --input_path: make_data does not"),
        (["--from", "fit", "--data_path.fit", "raw"], "sets it to the output of make_data"),
    ],
)
def test_what_cannot_be_is_rejected(out: Path, words: list[str], message: str) -> None:
    add_run(out, "earlier")
    (add_run(out, "partial") / "b.csv").unlink()
    (out / "empty").mkdir()
    with pytest.raises(LaunchError, match=message):
        pipeline.parse(words)


def test_an_option_of_all_jobs_is_for_those_that_run(out: Path) -> None:
    add_run(out, "earlier")
    assert parse("--seed", "7").step("fit").launch.values["seed"] == 7


def test_without_a_complete_run_all_jobs_must_run(out: Path) -> None:
    with pytest.raises(LaunchError, match="run the pipeline without --from first"):
        parse()
    (add_run(out, "changed") / "a.csv").write_text("x")  # of the same size
    with pytest.raises(LaunchError, match=r"a\.csv was changed"):
        parse()


def test_a_deployed_pipeline_runs_all_jobs(small_pipeline: Path) -> None:
    words = ["--from", "fit", "--input_path.make_data", str(small_pipeline / "raw")]
    with pytest.raises(LaunchError, match="runs all of its jobs"):
        pipeline.parse(words, deployed=True)


def test_a_plan_shows_all_steps_and_needs_no_results(small_pipeline: Path) -> None:
    words = ["--plan", "--input_path.make_data", str(small_pipeline / "raw")]
    made = parse(*words)
    assert [step["Name"] for step in definition.build(made)["Steps"]][:2] == ["make-data", "fit"]
    assert [step.job for step in made.running] == ["fit"]


# On SageMaker

ACCOUNT = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/small-launched/execution"


class Executions:
    """The executions that there are, the newest first, and what their steps have done."""

    def __init__(self, account: Faults) -> None:
        self.summaries: list[Mapping[str, Any]] = []
        self.states: dict[str, list[Mapping[str, Any]]] = {}
        self.started: list[dict[str, Any]] = []
        account.intercept("ListPipelineExecutions", self._list)
        account.intercept("ListPipelineExecutionSteps", self._steps)
        account.intercept("DescribePipelineExecution", self._describe)
        account.intercept("StartPipelineExecution", self._start)

    def add(self, name: str, *, status: str = "Succeeded", step: str = "Succeeded") -> str:
        """Add an execution that is older than the others; return the address of its data."""
        arn = f"{ACCOUNT}/{name}-id"
        self.summaries.append(
            {
                "PipelineExecutionArn": arn,
                "PipelineExecutionStatus": status,
                "PipelineExecutionDisplayName": name,
            }
        )
        made = f"make-data-{name}"
        self.states[arn] = [state("make-data", step, job(made))]
        for file, content in result("make_data", DATA).items():
            store(f"{made}/{file}", content)
        return f"s3://{BUCKET}/{made}"

    def _list(self, _: Any) -> Any:
        return answer({"PipelineExecutionSummaries": self.summaries})

    def _steps(self, request: Any) -> Any:
        arn = json.loads(request.body)["PipelineExecutionArn"]
        steps = self.states.get(arn, [state("fit", "Succeeded", job("fit-new"))])
        return answer({"PipelineExecutionSteps": steps})

    def _describe(self, _: Any) -> Any:
        return answer({"PipelineExecutionStatus": "Succeeded"})

    def _start(self, request: Any) -> None:
        self.started.append(json.loads(request.body))


@pytest.fixture
def executions(account: Faults) -> Executions:
    return Executions(account)


def run(root: Path, *words: str) -> Run:
    made = parse("--backend", "sagemaker", "--image", "image", *remote(root), *words)
    return execution.run(made, definition.build(made), sources.find(made))


def remote(root: Path) -> list[str]:
    """The definition has all steps, so the inputs of all of them are named."""
    return ["--input_path.make_data", str(root / "raw")]


def test_an_execution_selects_its_steps_and_their_source(
    executions: Executions, small_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    executions.add("running", status="Executing")
    executions.add("stopped", status="Stopped")
    executions.add("failed", status="Failed", step="Failed")
    address = executions.add("complete", status="Failed")
    executions.add("older")
    done = run(small_pipeline)
    (started,) = executions.started
    assert started["SelectiveExecutionConfig"] == {
        "SourcePipelineExecutionArn": f"{ACCOUNT}/complete-id",
        "SelectedSteps": [
            {"StepName": "fit"},
            {"StepName": "check-score"},
            {"StepName": "low-score"},
        ],
    }
    assert done.outputs["output_path.make_data"] == address
    assert "taken from complete, a result of commit 1234567890ab" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["my_run", "my-run", "my-run-id", f"{ACCOUNT}/my-run-id"])
def test_an_execution_is_named_by_its_run_its_id_or_its_arn(
    executions: Executions, small_pipeline: Path, name: str
) -> None:
    executions.add("newer")
    executions.add("my-run")
    run(small_pipeline, "--from_run", name, "--no-wait")
    config = executions.started[0]["SelectiveExecutionConfig"]
    assert config["SourcePipelineExecutionArn"] == f"{ACCOUNT}/my-run-id"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "has complete results of make_data: run the pipeline without --from first"),
        (["--from_run", "runing"], "no execution 'runing'.*did you mean running"),
        (["--from_run", "running"], "is Executing"),
        (["--from_run", "failed"], "make_data has not succeeded"),
        (["--from_run", "partial"], "b.csv is missing"),
        (["--from_run", "running", "--seed.make_data", "1"], "make_data does not run"),
    ],
)
def test_an_execution_without_complete_results_is_rejected(
    executions: Executions,
    account: Faults,
    small_pipeline: Path,
    words: list[str],
    message: str,
) -> None:
    executions.add("running", status="Executing")
    executions.add("failed", status="Failed", step="Failed")
    executions.add("partial")
    files = result("make_data", DATA)
    store("partial/job.json", files["job.json"])
    store("partial/a.csv", files["a.csv"])
    at = {"OutputName": "data", "S3Output": {"S3Uri": f"s3://{BUCKET}/partial"}}
    output = {"ProcessingOutputConfig": {"Outputs": [at]}}
    account.intercept("DescribeProcessingJob", lambda _: answer(output))
    with pytest.raises(LaunchError, match=message):
        run(small_pipeline, *words)
    assert not executions.started
    assert not account.calls["CreatePipeline"]


@pytest.mark.usefixtures("account")
def test_a_pipeline_that_was_never_launched_has_no_results(small_pipeline: Path) -> None:
    with pytest.raises(LaunchError, match="run the pipeline without --from first"):
        run(small_pipeline)


def test_a_denied_list_is_explained(account: Faults, small_pipeline: Path) -> None:
    account.fail("ListPipelineExecutions", "AccessDeniedException")
    with pytest.raises(LaunchError, match="ListPipelineExecutions: AccessDenied"):
        run(small_pipeline)


def test_few_calls_search_many_executions(
    executions: Executions, account: Faults, small_pipeline: Path
) -> None:
    for number in range(30):
        executions.add(f"failed{number}", status="Failed", step="Failed")
    with pytest.raises(LaunchError, match="the last 20 executions"):
        sources.find(parse("--backend", "sagemaker", "--image", "image", *remote(small_pipeline)))
    assert account.calls["ListPipelineExecutionSteps"] == 20


def test_the_results_of_an_execution_are_compared_with_those_it_took(
    executions: Executions,
) -> None:
    executions.add("a")
    executions.add("b")
    files = result("make_data", DATA, arguments={"seed": 3})
    for file, content in files.items():
        store(f"small/runs/a-id/make_data/data/{file}", content)
    at = {"S3Uri": f"s3://{BUCKET}/small/runs/a-id/make_data/data", "LocalPath": "/x"}
    output = {"OutputName": "data", "S3Output": at | {"S3UploadMode": "EndOfJob"}}
    moto_job("make-data-b").processing_output_config = {"Outputs": [output]}
    first, second = compare(["a", f"{ACCOUNT}/b-id"]).runs
    assert (first.name, second.name) == ("a", "b")
    assert first.jobs["make_data"].options == {}
    assert second.jobs["make_data"].options == {"seed": 3}
    assert second.jobs["make_data"].run == "a-id"
