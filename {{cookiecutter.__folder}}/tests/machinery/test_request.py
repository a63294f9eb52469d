"""The request of a launch, and what is rejected before anything starts."""

import json
from pathlib import Path
from typing import Any

import pytest

from aws_faults import BUCKET, store
from launch import LaunchError
from launch.requests import jobs, request
from launch.requests.options import Launch, parse
from launch.settings import project
from launch.storage import folders


def probe(*words: str) -> Launch:
    return parse(jobs.read("probe"), words)


def prepare(*words: str) -> dict[str, Any]:
    return request.prepare(probe(*words))


@pytest.fixture
def data(small_project: Path) -> str:
    return str(small_project / "data")


def test_the_request_says_what_was_asked_for(data: str) -> None:
    words = ["--do", "a b", "-1", "--instance_count", "3", "--shard", "input_path", "--env", "A=1"]
    asked = prepare("--input_path", data, *words, "--instance_type", "ml.m5.large")
    application = asked["AppSpecification"]
    assert application["ContainerEntrypoint"] == ["python", "-u", "entrypoints/probe.py"]
    assert application["ContainerArguments"] == ["--do", "a b", "-1"]
    assert asked["Environment"] == {"A": "1"}
    cluster = asked["ProcessingResources"]["ClusterConfig"]
    assert (cluster["InstanceCount"], cluster["InstanceType"]) == (3, "ml.m5.large")
    (item,) = asked["ProcessingInputs"]
    assert item["S3Input"]["LocalPath"] == "/opt/ml/processing/input/some"
    assert item["S3Input"]["S3DataDistributionType"] == "ShardedByS3Key"
    assert {tag["Key"] for tag in asked["Tags"]} == {"project", "job", "commit", "run"}


def test_a_request_without_arguments_has_no_list_of_them(data: str) -> None:
    assert "ContainerArguments" not in prepare("--input_path", data)["AppSpecification"]


def test_a_plan_names_local_inputs_by_their_content(data: str, small_project: Path) -> None:
    def address() -> str:
        asked = prepare("--input_path", data, "--plan")
        return str(asked["ProcessingInputs"][0]["S3Input"]["S3Uri"])

    first = address()
    assert first == address()
    assert first.endswith("/")
    (small_project / "data" / "1.csv").write_text("other")
    assert address() != first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--instance_type", "ml.m5.xlarg"], "InstanceType: .*ml.m5.xlarge"),
        (["--instance_count", "101"], "InstanceCount: 101"),
        (["--instance_count", "0"], "InstanceCount: 0"),
        (["--volume_size_in_gb", "16385"], "VolumeSizeInGB: 16385"),
        (["--max_runtime_in_seconds", "777601"], "MaxRuntimeInSeconds: 777601"),
        (["--do", "n" * 257], "257 characters"),
        (["--do", *"n" * 101], "102 items"),
        (["--do", ""], "empty"),
        (["--do", "a\nb"], "does not match"),
        (["--env", "A-B=1"], "'A-B'"),
        (["--run_name", "r" * 1024], "S3Uri: 10"),
        (["--no-wait"], "--no-wait"),
        (["--input_path", "nowhere"], "nowhere"),
        (["--backend", "sagemaker"], "S3_BUCKET"),
    ],
)
def test_a_wrong_launch_is_rejected(
    data: str, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("S3_BUCKET", raising=False)
    with pytest.raises(LaunchError, match=message):
        prepare("--input_path", data, *words)


def test_a_name_that_is_too_long_is_rejected(data: str, small_project: Path) -> None:
    (small_project / "pyproject.toml").write_text(f'[project]\nname = "{"p" * 40}"\n')
    with pytest.raises(LaunchError, match="ProcessingJobName: 69 characters"):
        prepare("--input_path", data)


@pytest.mark.parametrize("output", [".", "data", "data/below"])
def test_an_output_may_not_mix_with_an_input(
    small_project: Path, data: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_project)
    with pytest.raises(LaunchError, match="--output_path"):
        prepare("--input_path", data, "--output_path", output)


def test_an_output_that_holds_files_is_rejected(small_project: Path, data: str) -> None:
    (small_project / "old").mkdir()
    assert prepare("--input_path", data, "--output_path", str(small_project / "old"))
    (small_project / "old" / "file").touch()
    with pytest.raises(LaunchError, match="--output_path"):
        prepare("--input_path", data, "--output_path", str(small_project / "old"))
    with pytest.raises(LaunchError, match="--output_path"):
        prepare("--input_path", data, "--output_path", str(small_project / "old" / "file"))


def rejection(*words: str) -> str:
    with pytest.raises(LaunchError) as error:
        prepare(*words)
    return str(error.value)


def test_missing_wrong_and_empty_inputs_are_told_apart(small_project: Path) -> None:
    (small_project / "empty").mkdir()
    messages = set()
    for name in ("nowhere", "empty", "pyproject.toml"):
        message = rejection("--input_path", str(small_project / name))
        assert f"{small_project}/{name}" in message
        assert ": name " in message or ": correct " in message
        messages.add(message.replace(name, ""))
    assert len(messages) == 3


def test_a_wrong_address_is_reported_where_it_is_written(small_project: Path, data: str) -> None:
    table = small_project / "launch.toml"
    table.write_text('[inputs.probe]\ninput_path = "nowhere"\n')
    assert rejection().startswith("launch.toml: inputs.probe.input_path: ")
    assert rejection("--input_path", "absent").startswith("argument --input_path: ")
    assert prepare("--input_path", data)
    table.write_text('[inputs.probe]\ninput_path = "data/1.csv"\n')
    assert rejection().startswith("launch.toml: inputs.probe.input_path: ")
    (small_project / "out").mkdir()
    (small_project / "out" / "a").touch()
    table.write_text('[inputs.probe]\ninput_path = "out"\n')
    message = rejection("--run_name", "r")
    assert message.startswith("launch.toml: inputs.probe.input_path: ")
    assert str(small_project / "out" / "r" / "probe" / "seen") in message


@pytest.mark.usefixtures("faults")
def test_missing_and_wrong_inputs_in_s3_are_told_apart(small_project: Path) -> None:
    assert small_project.exists()
    store("raw/a.csv")
    assert "no files" in rejection("--input_path", f"s3://{BUCKET}/nowhere")
    message = rejection("--input_path", f"s3://{BUCKET}/raw/a.csv")
    assert message.endswith(f"is a file, but a folder is required: name s3://{BUCKET}/raw")
    prepare("--input_path", f"s3://{BUCKET}/raw")


def lookup_address(data: str, lookup: object, *words: str) -> str:
    """Return the address of the input that takes one file, as SageMaker gets it."""
    asked = prepare("--input_path", data, "--lookup_path", str(lookup), *words)
    items = {item["InputName"]: item["S3Input"] for item in asked["ProcessingInputs"]}
    assert items["lookup"]["S3DataType"] == "S3Prefix"
    assert items["lookup"]["LocalPath"] == "/opt/ml/processing/input/lookup"
    return str(items["lookup"]["S3Uri"])


def test_one_file_is_stored_like_a_folder_that_holds_it(data: str, small_project: Path) -> None:
    (small_project / "alone").mkdir()
    (small_project / "alone" / "1.csv").write_text("1.csv")
    address = lookup_address(data, f"{data}/1.csv", "--plan")
    assert address == lookup_address(data, small_project / "alone", "--plan")
    assert address.endswith(f"/inputs/{folders.snapshot(Path(data, '1.csv')).digest}/")
    assert address != lookup_address(data, f"{data}/2.csv", "--plan")


@pytest.mark.usefixtures("faults")
def test_one_file_in_s3_is_named_by_its_key(data: str) -> None:
    store("dir/lookup.csv")
    store("dir/other.csv")
    store("alone/lookup.csv")
    address = f"s3://{BUCKET}/dir/lookup.csv"
    assert lookup_address(data, address) == address
    # A folder keeps its final slash, or SageMaker would read "alone-2", too.
    assert lookup_address(data, f"s3://{BUCKET}/alone") == f"s3://{BUCKET}/alone/"


@pytest.mark.usefixtures("faults")
def test_what_is_not_one_file_is_rejected_with_advice(data: str, small_project: Path) -> None:
    (small_project / "empty").mkdir()
    store("dir/lookup.csv")
    store("dir/lookup.csv.bak")
    store("deep/below/lookup.csv")
    faulty = {
        small_project / "nowhere.csv": "does not exist",
        small_project / "empty": "empty",
        data: "more than one file",
        f"s3://{BUCKET}/nowhere.csv": "does not exist",
        f"s3://{BUCKET}/dir": "holds lookup.csv, lookup.csv.bak",
        f"s3://{BUCKET}/deep": "holds below/lookup.csv",
        f"s3://{BUCKET}/dir/lookup.csv": "lookup.csv.bak",
    }
    for lookup, reason in faulty.items():
        message = rejection("--input_path", data, "--lookup_path", str(lookup))
        assert message.startswith("argument --lookup_path: ")
        assert reason in message
        assert any(f": {verb} " in message for verb in ("name", "correct", "copy"))


def test_one_file_is_not_distributed(data: str) -> None:
    words = ["--input_path", data, "--lookup_path", f"{data}/1.csv", "--instance_count", "2"]
    assert "--lookup_path" in rejection(*words, "--shard", "lookup_path")


@pytest.mark.usefixtures("faults")
def test_an_output_may_not_begin_like_one_file(data: str) -> None:
    store("dir/lookup.csv")
    address = f"s3://{BUCKET}/dir/lookup.csv"
    words = ["--input_path", data, "--lookup_path", address, "--output_path", f"{address}-out"]
    assert "--lookup_path" in rejection(*words)


def test_one_file_cannot_be_what_another_job_writes(data: str, small_project: Path) -> None:
    lookup = str(small_project / "later")
    words = ["--input_path", data, "--lookup_path", lookup]
    launched = parse(jobs.read("probe"), words, upstream={"lookup_path": "writer"})
    with pytest.raises(LaunchError, match=r"--lookup_path: writer.*finished_output"):
        request.prepare(launched)


def test_the_output_of_another_job_is_complete_or_rejected(small_project: Path, data: str) -> None:
    result = small_project / "result"
    result.mkdir()
    with pytest.raises(LaunchError, match="--result_path"):
        prepare("--input_path", data, "--result_path", str(result))
    (result / "table").write_text("12")
    files = {"table": {"size": 2, "sha256": "0" * 64}}
    record = {"job": "probe", "hosts": 1, "host": "algo-1", "arguments": {}, "files": files}
    (result / "job.json").write_text(json.dumps(record))
    words = ["--input_path", data, "--result_path", str(result)]
    assert len(prepare(*words)["ProcessingInputs"]) == 2
    with pytest.raises(LaunchError, match="--shard"):
        prepare(*words, "--shard", "result_path")
    (result / "table").write_text("123")
    with pytest.raises(LaunchError, match="table"):
        prepare(*words)
    (result / "table").unlink()
    with pytest.raises(LaunchError, match="table"):
        prepare(*words)


def test_sagemaker_writes_to_s3_only(
    data: str, small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_BUCKET", "bucket")
    monkeypatch.setenv("SAGEMAKER_ROLE_ARN", "arn:aws:iam::123456789012:role/jobs")
    words = ["--backend", "sagemaker", "--output_path", str(small_project / "new")]
    with pytest.raises(LaunchError, match="s3://"):
        prepare("--input_path", data, *words)


def test_a_missing_setting_is_a_matter_of_set_up(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_BUCKET", "bucket")
    monkeypatch.delenv("SAGEMAKER_ROLE_ARN", raising=False)
    with pytest.raises(project.SetupError, match="SAGEMAKER_ROLE_ARN"):
        prepare("--input_path", data, "--backend", "sagemaker")
