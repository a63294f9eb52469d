"""The definition is made from the requests of the steps, and says when a result may be reused."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from aws_faults import BUCKET, Faults
from launch import LaunchError
from launch.aws import clients
from launch.pipelines import definition, pipeline, retries
from launch.pipelines.graph import Pipeline
from small_pipeline import edit_table

MINE = f"s3://{BUCKET}/mine"
PLAN = ("--plan", "--image", "image")


@pytest.fixture
def raw(small_pipeline: Path) -> str:
    return str(small_pipeline / "raw")


def parse(raw: str, *words: str, deployed: bool = False) -> Pipeline:
    return pipeline.parse(["--input_path.make_data", raw, *PLAN, *words], deployed=deployed)


def build(raw: str, *words: str, deployed: bool = False) -> dict[str, Any]:
    return definition.build(parse(raw, *words, deployed=deployed))


def steps(built: Mapping[str, Any]) -> dict[str, Any]:
    return {step["Name"]: step for step in built["Steps"]}


def arguments(built: Mapping[str, Any], step: str) -> dict[str, Any]:
    found: dict[str, Any] = steps(built)[step]["Arguments"]
    return found


def parameters(built: Mapping[str, Any]) -> dict[str, Any]:
    return {item["Name"]: item.get("DefaultValue") for item in built["Parameters"]}


def uris(built: Mapping[str, Any], step: str, kind: str = "Input") -> dict[str, Any]:
    """The addresses of a step's inputs or outputs by channel."""
    found = arguments(built, step)
    items = found[f"Processing{kind}s"] if kind == "Input" else None
    items = items or found["ProcessingOutputConfig"]["Outputs"]
    return {item[f"{kind}Name"]: item[f"S3{kind}"]["S3Uri"] for item in items}


def resolve(value: Any, given: Mapping[str, Any]) -> Any:
    """A part of a definition with references replaced by values, as an execution does it."""
    if isinstance(value, list):
        return [resolve(item, given) for item in value]
    if not isinstance(value, dict):
        return value
    if "Get" in value:
        return given[value["Get"]]
    if "Std:Join" in value:
        values = resolve(value["Std:Join"]["Values"], given)
        return value["Std:Join"]["On"].join(map(str, values))
    return {key: resolve(item, given) for key, item in value.items()}


def defaults(built: Mapping[str, Any]) -> dict[str, Any]:
    return {f"Parameters.{name}": value for name, value in parameters(built).items()}


def is_cached(built: Mapping[str, Any]) -> dict[str, bool]:
    return {
        name: step.get("CacheConfig", {}).get("Enabled", False)
        for name, step in steps(built).items()
        if step["Type"] == "Processing"
    }


def cache_key(built: Mapping[str, Any], step: str) -> str:
    """What SageMaker compares; outputs of other steps are as they were."""
    found = arguments(built, step)
    keys = ("AppSpecification", "Environment", "ProcessingInputs")
    written = re.findall(r'"Get": "(Steps[^"]*)"', json.dumps(found))
    given = defaults(built) | {name: name for name in written}
    return json.dumps(resolve([found.get(key) for key in keys], given))


def test_every_field_of_the_requests_survives(raw: str) -> None:
    made = parse(raw, "--env", "A=b", "--seed", "3", "--instance_count.fit", "2")
    extra = {
        "NetworkConfig": {
            "EnableNetworkIsolation": True,
            "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        },
    }
    for step in made.steps:
        step.request.update(extra)
        step.request["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] = "disk-key"
        step.request["ProcessingOutputConfig"]["KmsKeyId"] = "output-key"
        step.request["Tags"].append({"Key": "team", "Value": "birds"})
    built = definition.build(made)
    given = {
        **defaults(built),
        "Execution.PipelineExecutionId": made.options.run_name,
        "Steps.make-data.ProcessingOutputConfig.Outputs['data'].S3Output.S3Uri": "s3://data",
    }
    for step in made.steps:
        found = resolve(arguments(built, step.name), given)
        expected = step.request | {"ProcessingJobName": f"small-{step.name}"}
        words = [
            f"--{option}={step.launch.values[option]}"
            for option in (
                ("seed", "rate", "label") if step.job == "make_data" else ("seed", "report")
            )
        ]
        expected["AppSpecification"] = expected["AppSpecification"] | {"ContainerArguments": words}
        if step.job == "fit":
            (data,) = expected["ProcessingInputs"]
            assert found["ProcessingInputs"][0]["S3Input"].pop("S3Uri") == "s3://data/"
            data["S3Input"].pop("S3Uri")
        assert found == expected


def test_everything_of_a_request_but_numbers_arrives_in_a_deployed_step(raw: str) -> None:
    made = parse(raw, deployed=True)
    vpc = {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}
    for step in made.steps:
        step.request["NetworkConfig"] = vpc
        step.request["RoleArn"] = "arn:aws:iam::123456789012:role/another"
        step.request["StoppingCondition"] = {"MaxRuntimeInSeconds": 60}
        step.request["ProcessingOutputConfig"]["KmsKeyId"] = "output-key"
    built = definition.build(made)
    for step in made.steps:
        found = arguments(built, step.name)
        for field in ("NetworkConfig", "RoleArn", "StoppingCondition"):
            assert found[field] == step.request[field]
        kept = [tag for tag in step.request["Tags"] if tag["Key"] != "run"]
        assert found["Tags"] == kept
        assert found["ProcessingOutputConfig"]["KmsKeyId"] == "output-key"


def test_inputs_and_outputs_that_are_no_channels_are_left_alone(raw: str) -> None:
    made = parse(raw)
    dataset = {"InputName": "dataset", "DatasetDefinition": {"LocalPath": "/opt/ml/processing/x"}}
    store = {"OutputName": "store", "FeatureStoreOutput": {"FeatureGroupName": "group"}}
    request = made.steps[0].request
    request["ProcessingInputs"].append(dataset)
    request["ProcessingOutputConfig"]["Outputs"].append(store)
    found = arguments(definition.build(made), "make-data")
    assert found["ProcessingInputs"][-1] == dataset
    assert found["ProcessingOutputConfig"]["Outputs"][-1] == store


def test_the_experiment_of_all_steps_is_that_of_the_pipeline(raw: str) -> None:
    made = parse(raw)
    for step in made.steps:
        step.request["ExperimentConfig"] = {"ExperimentName": "a", "TrialName": "b"}
    built = definition.build(made)
    assert built["PipelineExperimentConfig"] == {"ExperimentName": "a", "TrialName": "b"}
    assert "ExperimentConfig" not in json.dumps(steps(built))
    assert "PipelineExperimentConfig" not in build(raw)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ExperimentName": "a", "TrialName": "b"}, {}),
        ({"ExperimentName": "a", "TrialName": "b"}, {"ExperimentName": "a", "TrialName": "c"}),
        ({"ExperimentName": "a"}, {"ExperimentName": "a"}),
        ({"RunName": "a"}, {"RunName": "a"}),
    ],
    ids=str,
)
def test_an_experiment_that_a_pipeline_cannot_have_is_rejected(
    raw: str, first: Mapping[str, str], second: Mapping[str, str]
) -> None:
    made = parse(raw)
    for step, config in zip(made.steps, (first, second), strict=True):
        if config:
            step.request["ExperimentConfig"] = dict(config)
    with pytest.raises(LaunchError, match=r"ExperimentConfig.*ExperimentName and TrialName"):
        definition.build(made)


# Names and retries

SUFFIX = "-p4jn9xou8a8s-tMgXry49ug-99"
"""What SageMaker appends to the prefix: execution, token of the step, number of failures."""


def test_the_names_of_jobs_begin_with_the_project_and_the_job(raw: str) -> None:
    built = build(raw)
    prefixes = [arguments(built, name)["ProcessingJobName"] for name in ("make-data", "fit")]
    assert prefixes == ["small-make-data", "small-fit"]


@pytest.mark.parametrize("name", ["p" * 29, f"{'p' * 23}-{'q' * 5}"])
def test_a_long_name_leaves_room_for_what_sagemaker_appends(
    raw: str, small_pipeline: Path, name: str
) -> None:
    made = parse(raw)
    (small_pipeline / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
    for step in definition.build(made)["Steps"][:2]:
        prefix = step["Arguments"]["ProcessingJobName"]
        assert prefix.startswith(f"{name}-{step['Name'][:1]}")
        assert re.fullmatch("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", prefix + SUFFIX)
        assert not prefix.endswith("-")


@pytest.mark.parametrize("deployed", [False, True])
def test_each_step_has_the_retry_policies(raw: str, small_pipeline: Path, deployed: bool) -> None:
    built = build(raw, deployed=deployed)
    for name in ("make-data", "fit"):
        assert steps(built)[name]["RetryPolicies"] == retries.policies()
    assert "RetryPolicies" not in steps(built)["check-score"]
    edit_table(small_pipeline, "[metric]", "retries = []\n[metric]")
    assert all("RetryPolicies" not in step for step in build(raw)["Steps"])


def test_the_requests_stay_as_they_were(raw: str) -> None:
    made = parse(raw)
    before = json.dumps([step.request for step in made.steps])
    assert definition.build(made) == definition.build(made)
    assert json.dumps([step.request for step in made.steps]) == before


def test_addresses_that_a_step_writes_end_with_a_slash_where_they_are_read(raw: str) -> None:
    read = uris(build(raw), "fit")["data"]
    reference = "Steps.make-data.ProcessingOutputConfig.Outputs['data'].S3Output.S3Uri"
    assert resolve(read, {reference: "s3://b/data"}) == "s3://b/data/"


@pytest.mark.parametrize("deployed", [False, True])
def test_each_execution_writes_to_a_folder_of_its_own(
    raw: str, account: Faults, deployed: bool
) -> None:
    assert not account.calls
    built = build(raw, "--run_name", "r", "--backend", "sagemaker", deployed=deployed)
    for step, folder in (("make-data", "make_data/data"), ("fit", "fit/model")):
        (address,) = uris(built, step, "Output").values()
        given = {"Execution.PipelineExecutionId": "abc"}
        assert resolve(address, given) == f"s3://{BUCKET}/small/runs/abc/{folder}"


def test_an_execution_can_set_numbers_and_strings(raw: str) -> None:
    built = build(raw, "--label.make_data", "a b", "--seed.fit=3", "--min_score", "0.5")
    types = {item["Name"]: item["Type"] for item in built["Parameters"]}
    assert types == {
        "make_data_instance_type": "String",
        "make_data_instance_count": "Integer",
        "make_data_seed": "Integer",
        "make_data_rate": "Float",
        "make_data_label": "String",
        "fit_instance_type": "String",
        "fit_instance_count": "Integer",
        "fit_seed": "Integer",
        "fit_report": "String",
        "min_score": "Float",
    }
    values = parameters(built)
    assert (values["make_data_label"], values["fit_seed"], values["min_score"]) == ("a b", 3, 0.5)
    cluster = arguments(built, "fit")["ProcessingResources"]["ClusterConfig"]
    assert cluster["InstanceType"] == {"Get": "Parameters.fit_instance_type"}


def test_other_options_are_given_to_the_job_as_they_were_typed(raw: str) -> None:
    words = ["--names", "x", "y", "--seed", "3", "--rows", "[1, 2]", "--no-strict"]
    words += ["--kilobytes", "5"]
    own = [f"{word}.make_data" if word.startswith("--") else word for word in words]
    built = build(raw, *own)
    application = resolve(arguments(built, "make-data")["AppSpecification"], defaults(built))
    assert application["ContainerArguments"] == [
        *("--names", "x", "y", "--rows", "[1, 2]", "--no-strict", "--kilobytes", "5"),
        *("--seed=3", "--rate=0.5", "--label=as it is"),
    ]
    assert "make_data_kilobytes" not in parameters(built)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_what_json_cannot_hold_is_no_parameter(raw: str, value: str) -> None:
    built = build(raw, "--rate.make_data", value)
    assert "make_data_rate" not in parameters(built)
    assert value in arguments(built, "make-data")["AppSpecification"]["ContainerArguments"]


def test_instances_of_several_types_are_left_alone(raw: str) -> None:
    made = parse(raw)
    preferences = [{"InstanceType": "ml.m5.large", "InstanceCount": 1}]
    cluster = {"InstancePreferences": preferences, "VolumeSizeInGB": 30}
    made.steps[0].request["ProcessingResources"]["ClusterConfig"] = cluster
    built = definition.build(made)
    assert arguments(built, "make-data")["ProcessingResources"]["ClusterConfig"] == cluster
    assert "make_data_instance_type" not in parameters(built)


def test_two_options_never_share_a_parameter(raw: str, small_pipeline: Path) -> None:
    folder = small_pipeline / "entrypoints"
    text = (folder / "make_data.py").read_text().replace("--rate", "--data_seed")
    (folder / "make.py").write_text(text.replace('OUTPUT}/data"', 'OUTPUT}/made"'))
    edit_table(small_pipeline, '["make_data"', '["make", "make_data"')
    with pytest.raises(LaunchError, match="make_data_seed"):
        build(raw, "--input_path.make", raw)


def test_options_of_one_job_that_take_json_are_kept(raw: str) -> None:
    values = {"make_data": {"input_path": raw}, "plan": True, "image": "image"}
    rows, config = [1, {"a": None}], {"a": [1.5, "b c"], "d": {"e": True}}
    built = definition.build(pipeline.from_options({**values, "rows": rows, "config": config}))
    for step, option, value in (("make-data", "--rows", rows), ("fit", "--config", config)):
        words = arguments(built, step)["AppSpecification"]["ContainerArguments"]
        (word,) = [word for word in words if str(word).startswith(f"{option}=")]
        assert json.loads(word.removeprefix(f"{option}=")) == value
        assert not any("rows" in name or "config" in name for name in parameters(built))


def test_inputs_of_the_table_are_those_of_the_definition(
    raw: str, small_pipeline: Path, stored: str
) -> None:
    edit_table(small_pipeline, "[metric]", f'[inputs.make_data]\ninput_path = "{stored}"\n[metric]')
    built = definition.build(pipeline.parse(list(PLAN)))
    assert uris(built, "make-data") == {"raw": f"{stored}/"}
    built = definition.build(pipeline.parse(list(PLAN), deployed=True))
    assert parameters(built)["make_data_input_path"] == stored
    assert uris(build(raw), "make-data") != {"raw": f"{stored}/"}


def test_the_metric_is_compared_with_its_minimum(raw: str) -> None:
    built = build(raw)
    (file,) = steps(built)["fit"]["PropertyFiles"]
    assert (file["OutputName"], file["FilePath"]) == ("model", "report.json")
    check = steps(built)["check-score"]
    (condition,) = check["Arguments"]["Conditions"]
    value = condition["LeftValue"]["Std:JsonGet"]
    assert value["PropertyFile"] == {"Get": f"Steps.fit.PropertyFiles.{file['PropertyFileName']}"}
    assert value["Path"] == "score"
    assert condition["RightValue"] == {"Get": "Parameters.min_score"}
    assert (check["Arguments"]["IfSteps"], len(check["Arguments"]["ElseSteps"])) == ([], 1)


def test_a_lower_metric_is_better_if_it_has_a_maximum(raw: str, small_pipeline: Path) -> None:
    edit_table(small_pipeline, 'name = "score"\nminimum', 'name = "test.rmse_log"\nmaximum')
    built = build(raw, "--max_test_rmse_log", "40")
    assert parameters(built)["max_test_rmse_log"] == 40.0
    check = steps(built)["check-test-rmse-log"]
    (condition,) = check["Arguments"]["Conditions"]
    assert condition["Type"] == "LessThanOrEqualTo"
    assert condition["LeftValue"]["Std:JsonGet"]["Path"] == "test.rmse_log"
    (fail,) = check["Arguments"]["ElseSteps"]
    words = fail["Arguments"]["ErrorMessage"]["Std:Join"]["Values"]
    given = {"Parameters.max_test_rmse_log": 40.0}
    assert resolve([words[0], *words[2:]], given) == ["test.rmse_log", "is above", 40.0]
    assert {words[1]["Std:JsonGet"]["Path"]} == {"test.rmse_log"}


def test_without_a_metric_nothing_is_checked(raw: str, small_pipeline: Path) -> None:
    table = (small_pipeline / "launch.toml").read_text()
    (small_pipeline / "launch.toml").write_text(table.partition("[metric]")[0])
    built = build(raw)
    assert list(steps(built)) == ["make-data", "fit"]
    assert "PropertyFiles" not in steps(built)["fit"]
    assert not [name for name in parameters(built) if name.startswith(("min_", "max_"))]


@pytest.mark.parametrize("name", ["score", "a" * 100])
def test_the_steps_of_the_metric_have_names_of_their_own(
    raw: str, small_pipeline: Path, name: str
) -> None:
    text = (small_pipeline / "entrypoints" / "make_data.py").read_text()
    for job in ("check_score", "low_score"):
        renamed = text.replace('OUTPUT}/data"', f'OUTPUT}}/{job}"')
        (small_pipeline / "entrypoints" / f"{job}.py").write_text(renamed)
    edit_table(small_pipeline, '["make_data"', '["check_score", "low_score", "make_data"')
    edit_table(small_pipeline, '"score"', f'"{name}"')
    built = build(raw, "--input_path.check_score", raw, "--input_path.low_score", raw)
    names = [step["Name"] for step in built["Steps"]]
    names += [step["Name"] for step in built["Steps"][-1]["Arguments"]["ElseSteps"]]
    assert len(set(names)) == 6
    assert all(re.fullmatch("[A-Za-z0-9](-*[A-Za-z0-9]){0,63}", each) for each in names)


def test_a_definition_that_is_too_long_is_rejected(raw: str) -> None:
    made = parse(raw)
    made.steps[0].request["Environment"] = {"A": "a" * 1_100_000}
    with pytest.raises(LaunchError, match="PipelineDefinition"):
        definition.build(made)


# Named outputs


def test_a_named_output_belongs_to_one_execution(raw: str, account: Faults) -> None:
    assert not account.calls
    made = parse(raw, "--model_path.fit", MINE)
    built = definition.build(made)
    assert uris(built, "fit", "Output")["model"] == {"Get": "Parameters.fit_model_path"}
    (parameter,) = [item for item in built["Parameters"] if item["Name"] == "fit_model_path"]
    assert "DefaultValue" not in parameter


def test_a_named_output_cannot_be_deployed(raw: str, account: Faults) -> None:
    assert not account.calls
    with pytest.raises(LaunchError, match=r"argument --model_path.fit"):
        parse(raw, "--model_path.fit", MINE, deployed=True)


# Inputs and the cache


@pytest.mark.parametrize("folder", ["small/runs/r/make_data/data", "small/runs", "small"])
def test_a_deployed_pipeline_reads_nothing_that_expires(
    raw: str, account: Faults, folder: str
) -> None:
    assert not account.calls
    put("small/runs/a.csv", b"a")
    put("small/runs/r/make_data/data/a.csv", b"a")
    address = f"s3://{BUCKET}/{folder}"
    with pytest.raises(LaunchError, match=rf"fit: argument --prior_path: {address} .*expire"):
        build(raw, "--prior_path.fit", address, deployed=True)


def test_an_input_of_the_table_that_expires_is_named_by_its_place(
    raw: str, small_pipeline: Path, account: Faults
) -> None:
    assert not account.calls
    put("small/runs/r/a.csv", b"a")
    address = f"s3://{BUCKET}/small/runs/r"
    edit_table(small_pipeline, "[metric]", f'[inputs.fit]\nprior_path = "{address}"\n[metric]')
    with pytest.raises(LaunchError, match=r"launch.toml: inputs.fit.prior_path: .*expire"):
        build(raw, deployed=True)


@pytest.mark.parametrize("key", ["small/runs-old/a.csv", "small/inputs/d/a.csv", "runs/a.csv"])
def test_a_deployed_pipeline_reads_what_stays(raw: str, account: Faults, key: str) -> None:
    assert not account.calls
    put(key, b"a")
    address = f"s3://{BUCKET}/{key.rpartition('/')[0]}"
    built = build(raw, "--prior_path.fit", address, deployed=True)
    assert parameters(built)["fit_prior_path"] == address


def test_a_launched_pipeline_may_read_an_earlier_run(raw: str, account: Faults) -> None:
    assert not account.calls
    put("small/runs/r/a.csv", b"a")
    built = build(raw, "--prior_path.fit", f"s3://{BUCKET}/small/runs/r")
    assert uris(built, "fit")["prior"] == f"s3://{BUCKET}/small/runs/r/"


@pytest.fixture
def stored(account: Faults) -> str:
    """An input in S3 with one file."""
    assert not account.calls
    clients.client("s3").put_object(Bucket=BUCKET, Key="raw/a.csv", Body=b"a")
    return f"s3://{BUCKET}/raw"


def put(key: str, body: bytes) -> None:
    clients.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)


def test_the_inputs_of_a_launched_pipeline_are_fixed(raw: str, stored: str) -> None:
    assert uris(build(stored), "make-data") == {"raw": f"{stored}/"}
    address = uris(build(raw), "make-data")["raw"]
    assert re.fullmatch(rf"s3://{BUCKET}/small/inputs/[0-9a-f]+/", address)


def test_the_inputs_of_a_deployed_pipeline_are_parameters(stored: str, account: Faults) -> None:
    account.clear()
    built = build(stored, deployed=True)
    assert parameters(built)["make_data_input_path"] == stored
    assert resolve(uris(built, "make-data"), defaults(built)) == {"raw": f"{stored}/"}
    assert "Environment" not in arguments(built, "make-data")


@pytest.mark.parametrize("deployed", [False, True])
@pytest.mark.parametrize("name", ["raw/a.csv", "raw"])
def test_a_single_file_is_read_from_its_own_address(
    raw: str, stored: str, small_pipeline: Path, deployed: bool, name: str
) -> None:
    assert stored
    entrypoint = small_pipeline / "entrypoints" / "make_data.py"
    option = (
        'parser.add_argument("--one_path", type=runtime.existing_file, '
        'default=f"{runtime.INPUT}/one")\n    return parser'
    )
    entrypoint.write_text(entrypoint.read_text().replace("return parser", option))
    words = ["--backend", "sagemaker", "--one_path.make_data", f"s3://{BUCKET}/{name}"]
    built = build(raw, *words, deployed=deployed)
    expected = f"s3://{BUCKET}/{name}" + ("" if name.endswith(".csv") else "/")
    assert resolve(uris(built, "make-data")["one"], defaults(built)) == expected


def test_a_local_folder_hits_the_cache_until_a_file_changes(raw: str) -> None:
    first = build(raw)
    assert is_cached(first) == {"make-data": True, "fit": True}
    assert cache_key(build(raw, "--run_name", "another"), "make-data") == cache_key(
        first, "make-data"
    )
    Path(raw, "a.csv").write_text("b")
    assert cache_key(build(raw), "make-data") != cache_key(first, "make-data")


@pytest.mark.parametrize(
    ("key", "body"),
    [("raw/a.csv", b"b"), ("raw/b.csv", b"b"), ("raw/below/c.csv", b"")],
    ids=["changed", "added", "added below"],
)
def test_an_input_in_s3_hits_the_cache_until_its_listing_changes(
    stored: str, key: str, body: bytes
) -> None:
    first = build(stored)
    assert is_cached(first) == {"make-data": True, "fit": True}
    put("raw2/a.csv", b"a sibling")
    assert cache_key(build(stored), "make-data") == cache_key(first, "make-data")
    put(key, body)
    assert cache_key(build(stored), "make-data") != cache_key(first, "make-data")


def test_the_fingerprint_keeps_the_rest_of_the_environment(stored: str) -> None:
    environment = arguments(build(stored, "--env", "A=b"), "make-data")["Environment"]
    assert environment["A"] == "b"
    assert len(environment) == 2


def test_a_fingerprint_also_needs_room_in_the_environment(stored: str) -> None:
    settings = [word for number in range(100) for word in ("--env.make_data", f"A{number}=b")]
    with pytest.raises(LaunchError, match="Environment"):
        build(stored, *settings)


def test_an_input_that_cannot_be_listed_is_rejected(stored: str, account: Faults) -> None:
    made = parse(stored)
    account.fail("ListObjectsV2", "AccessDenied")
    with pytest.raises(LaunchError, match="AccessDenied"):
        definition.build(made)


@pytest.mark.parametrize(
    ("words", "deployed", "cached"),
    [
        (["--no-cache"], False, {"make-data": False, "fit": False}),
        (["--no-cache"], True, {"make-data": False, "fit": False}),
        ([], True, {"make-data": False, "fit": True}),
        (["--prior_path.fit", "STORED"], True, {"make-data": False, "fit": False}),
        (["--prior_path.fit", "STORED"], False, {"make-data": True, "fit": True}),
        (["--model_path.fit", MINE], False, {"make-data": True, "fit": False}),
        (["--output_path.make_data", MINE], False, {"make-data": False, "fit": False}),
    ],
    ids=str,
)
def test_a_step_is_cached_where_its_addresses_stand_for_one_content(
    stored: str, words: Sequence[str], deployed: bool, cached: Mapping[str, bool]
) -> None:
    words = [stored if word == "STORED" else word for word in words]
    assert is_cached(build(stored, *words, deployed=deployed)) == cached


def test_what_is_typed_at_its_default_hits_the_cache(raw: str) -> None:
    typed = build(raw, "--seed", "0", "--rate.make_data", "0.5")
    assert cache_key(typed, "make-data") == cache_key(build(raw), "make-data")
    assert cache_key(build(raw, "--seed", "1"), "make-data") != cache_key(typed, "make-data")


@pytest.mark.parametrize("deployed", [False, True])
def test_a_plan_needs_no_aws(raw: str, monkeypatch: pytest.MonkeyPatch, deployed: bool) -> None:
    def fail() -> None:
        raise AssertionError("AWS was called")

    monkeypatch.setattr(clients, "session", fail)
    for name in ("AWS_REGION", "S3_BUCKET", "SAGEMAKER_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    made = pipeline.parse(["--input_path.make_data", raw, "--plan"], deployed=deployed)
    assert definition.build(made)["Version"] == "2020-12-01"
