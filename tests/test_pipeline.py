"""The jobs as a pipeline, in every place."""

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import emulator
import pytest
from conftest import DATA, SLUG, run

pytest_plugins = ["launching"]
pytestmark = pytest.mark.slow

Launch = Callable[..., subprocess.CompletedProcess[str]]

RAW = ("pipeline", "--input_path.preprocess", DATA)


@pytest.fixture(scope="session")
def metrics(installed_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the three jobs come to without a launcher."""
    folder = tmp_path_factory.mktemp("by hand") / installed_project.name
    shutil.copytree(installed_project, folder, symlinks=True)
    run(folder, "make", "run")
    return json.loads((folder / "out" / "model" / "metrics.json").read_text())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--instance_count.train", "101"], "train: ProcessingResources"),
        (["--plan"], "SDK for pipelines is needed"),
    ],
    ids=["limit", "no SDK"],
)
def test_a_wrong_pipeline_is_refused_before_it_starts(
    launch: Launch, no_aws: dict[str, str], words: Sequence[str], message: str, project: Path
) -> None:
    done = launch(*RAW, *words, env=no_aws | {"AWS_REGION": "eu-west-1"})
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((project / "out").glob("*/*"))


@pytest.mark.parametrize("where", ["here", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_pipeline_comes_to_what_its_jobs_come_to(
    launch: Launch, where: str, metrics: Any, project: Path, request: pytest.FixtureRequest
) -> None:
    if where == "docker":
        request.getfixturevalue("image")
    hosts = ("--instance_count.preprocess", "2", "--shard.preprocess", "input_path")
    done = launch(*RAW, *hosts, "--where", where, "--run_name", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"--output_path.train {project}/out/r/train/model" in done.stdout
    assert json.loads((project / "out/r/train/model/metrics.json").read_text()) == metrics
    assert {path.name for path in (project / "out/r/preprocess/dataset").glob("job*.json")} == {
        "job-algo-1.json",
        "job-algo-2.json",
    }


def test_a_pipeline_stops_at_the_first_step_that_fails(launch: Launch, project: Path) -> None:
    done = launch(*RAW, "--folds.tune", "500", "--run_name", "r")
    assert done.returncode == 1
    assert f"Failed: {SLUG}-tune-" in done.stdout
    assert [path.name for path in (project / "out" / "r").iterdir()] == ["preprocess"]


def test_a_pipeline_fails_where_the_metric_is_too_low(launch: Launch, metrics: Any) -> None:
    done = launch(*RAW, "--trials.tune", "1", "--min_accuracy", "1")
    assert metrics["accuracy"] < 1
    assert done.returncode == 1
    assert f"Failed: {SLUG}-" in done.stdout
    assert "is below 1.0" in done.stdout


def test_a_definition_is_made_without_aws(
    launch: Launch, sdk: Path, no_aws: dict[str, str], project: Path
) -> None:
    env = no_aws | {"AWS_REGION": "eu-west-1", "S3_BUCKET": "penguins"}
    words = ("--seed", "3", "--trials.tune", "5", "--instance_type.train", "ml.m5.large", "--plan")
    done = launch(*RAW, *words, env=env, python=sdk)
    assert done.returncode == 0, done.stderr
    definition = json.loads(done.stdout)
    parameters = {item["Name"]: item for item in definition["Parameters"]}
    assert parameters["preprocess_test_fraction"]["Type"] == "Float"
    assert parameters["preprocess_input_path"]["DefaultValue"].startswith("s3://penguins/")
    for name, value in {"tune_trials": 5, "train_seed": 3, "tune_instance_count": 1}.items():
        assert (parameters[name]["Type"], parameters[name]["DefaultValue"]) == ("Integer", value)
    assert parameters["train_instance_type"]["DefaultValue"] == "ml.m5.large"
    steps = {step["Name"]: step for step in definition["Steps"]}
    assert list(steps) == ["preprocess", "tune", "train", "check-accuracy"]
    written = "Steps.{}.ProcessingOutputConfig.Outputs['{}'].S3Output.S3Uri"
    assert [
        (item["InputName"], item["S3Input"]["S3Uri"]["Get"])
        for item in steps["train"]["Arguments"]["ProcessingInputs"]
    ] == [
        ("dataset", written.format("preprocess", "dataset")),
        ("trials", written.format("tune", "trials")),
    ]
    commit = run(project, "git", "rev-parse", "HEAD").strip()
    for job in ("preprocess", "tune", "train"):
        assert steps[job]["CacheConfig"]["Enabled"]
        assert {"Key": "commit", "Value": commit} in steps[job]["Arguments"]["Tags"]


@pytest.mark.docker
def test_sagemaker_runs_the_steps_and_the_cache_spares_them(
    launch: Launch,
    sdk: Path,
    service: emulator.Emulator,
    aws: dict[str, str],
    metrics: Any,
    project: Path,
) -> None:
    words = (*RAW, "--where", "sagemaker", "--run_name", "r")
    done = launch(*words, "--instance_count.preprocess", "2", env=aws, python=sdk)
    assert done.returncode == 0, done.stdout + done.stderr
    (arn,) = service.executions
    assert f"Completed: {arn}" in done.stdout
    prefix = f"{SLUG}/{arn.rpartition('/')[2]}"
    assert json.loads(service.read(f"{prefix}/train/model/metrics.json")) == metrics
    assert f"--output_path.train s3://penguins/{prefix}/train/model" in done.stdout

    requests = service.requests["CreateProcessingJob"]
    entrypoints = [item["AppSpecification"]["ContainerEntrypoint"][-1] for item in requests]
    assert entrypoints == [f"entrypoints/{job}.py" for job in ("preprocess", "tune", "train")]
    assert all("@sha256:" in item["AppSpecification"]["ImageUri"] for item in requests)
    assert requests[0]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 2
    check = "import json, sys; from launch.request import check; "
    check += "[check('CreateProcessingJob', item) for item in json.load(sys.stdin)]"
    python = project / ".venv" / "bin" / "python"
    text = json.dumps(requests)
    subprocess.run([python, "-c", check], input=text, text=True, cwd=project, check=True)

    service.requests.clear()
    raw = f"s3://penguins/{SLUG}/r/input/raw/"
    again = ("pipeline", "--input_path.preprocess", raw, "--where", "sagemaker")
    done = launch(*again, "--min_accuracy", "1", env=aws, python=sdk)
    assert done.returncode == 1
    assert f"low-accuracy: accuracy {metrics['accuracy']} is below 1.0" in done.stdout
    assert done.stdout.count("from the cache") == 3
    assert not service.requests["CreateProcessingJob"]
    assert service.requests["UpdatePipeline"]


@pytest.mark.docker
def test_a_step_that_fails_on_sagemaker_is_explained(
    launch: Launch, sdk: Path, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    words = (*RAW, "--where", "sagemaker", "--folds.tune", "500")
    done = launch(*words, env=aws, python=sdk)
    assert done.returncode == 1
    name = next(reversed(service.executions)).rpartition("/")[2]
    for line in (
        "tune: Failed",
        "ExitMessage: ",
        f"--input_path s3://penguins/{SLUG}/{name}/preprocess/dataset",
        "--where docker --folds 500",
        "Failed: arn:aws:sagemaker:",
    ):
        assert line in done.stdout
    assert len(service.requests["CreateProcessingJob"]) == 2
