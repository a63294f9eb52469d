"""The command line of a launch: what is typed for a job is what the job is given."""

import argparse
import json
import re
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from {{ cookiecutter.__package_name }} import runtime

from launch import LaunchError
from launch.requests import jobs
from launch.requests.jobs import Channel, Job
from launch.requests.options import new_id, parse, to_argv
from launch.settings import project


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def build_parser() -> runtime.JobParser:
    """Return a parser with an option of each kind that an entrypoint may have."""
    parser = runtime.JobParser("Try every kind of option.")
    parser.add_argument("--input_path", default=f"{runtime.INPUT}/raw")
    parser.add_argument("--output_path", type=Path, default=f"{runtime.OUTPUT}/seen")
    parser.add_argument("--text", default="as it is")
    parser.add_argument("--whole", type=int, default=3)
    parser.add_argument("--real", type=float)
    parser.add_argument("--path", type=Path, default=Path("some/where"))
    parser.add_argument("--colour", type=Colour, default=Colour.RED)
    parser.add_argument("--json", type=json.loads)
    parser.add_argument("--choice", type=int, choices=[1, 2, 3])
    parser.add_argument("--numbers", type=float, nargs="+", default=[])
    parser.add_argument("--words", nargs="*")
    parser.add_argument("--objects", nargs="*", type=json.loads)
    parser.add_argument("--pair", nargs=2, type=int)
    parser.add_argument("--again", action="append", type=int)
    parser.add_argument("--more", action="extend", nargs="+", type=int)
    parser.add_argument("--verbose", "-v", action="count", default=0)
    parser.add_argument("--on", action="store_true")
    parser.add_argument("--off", action="store_false")
    parser.add_argument("--both", action=argparse.BooleanOptionalAction)
    parser.add_argument("--api_key", default="none")
    return parser


JOB = Job(
    name="kinds",
    inputs=[Channel("input_path", "raw", f"{runtime.INPUT}/raw", required=True, finished=False)],
    outputs=[
        Channel("output_path", "seen", f"{runtime.OUTPUT}/seen", required=False, finished=False)
    ],
    build_parser=build_parser,
)

WORD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
REAL = st.floats(allow_nan=False)
NOT_AN_OPTION = WORD.filter(lambda word: not word.startswith("-"))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": st.text(),
    "whole": st.integers(),
    "real": REAL,
    "path": WORD.map(Path),
    "colour": st.sampled_from(Colour),
    "json": st.dictionaries(st.text(), st.lists(st.integers() | st.text() | st.booleans())),
    "choice": st.sampled_from([1, 2, 3]),
    "numbers": st.lists(st.floats(min_value=0, allow_infinity=False), min_size=1),
    "words": st.lists(NOT_AN_OPTION),
    "pair": st.lists(st.integers(min_value=-99), min_size=2, max_size=2),
    "again": st.lists(st.integers(), min_size=1),
    "more": st.lists(st.integers(), min_size=1),
    "verbose": st.integers(min_value=0, max_value=3),
    "on": st.booleans(),
    "off": st.booleans(),
    "both": st.booleans(),
}
ADDRESS = st.sampled_from(["data", "s3://bucket/raw", "--plan", "a=b", "x y"])
LAUNCH_OPTIONS = st.lists(
    st.sampled_from(
        [
            ["--plan"],
            ["--no-wait"],
            ["--backend", "docker"],
            ["--backend=sagemaker"],
            ["--run_name", "r-1"],
            ["--env", "A=--plan"],
            ["--env=B=1 2"],
            ["--instance_count", "3"],
            ["--shard=input_path"],
        ]
    )
)


def read(words: list[str]) -> dict[str, Any]:
    """Return what the job's own parser reads, with folders that need not exist."""
    parser = build_parser()
    return vars(parser.parse_args(words))


@settings(max_examples=200)
@given(st.fixed_dictionaries({}, optional=VALUES))
def test_keyword_arguments_become_words_that_are_read_back(values: dict[str, Any]) -> None:
    words = to_argv(JOB, values)
    assert read(words) == read([]) | values


@settings(max_examples=200)
@given(
    st.fixed_dictionaries({}, optional=VALUES),
    LAUNCH_OPTIONS,
    ADDRESS,
    st.randoms(use_true_random=False),
)
def test_the_job_is_given_its_words_and_no_others(
    values: dict[str, Any], launch_options: list[list[str]], address: str, random: Any
) -> None:
    own = [to_argv(JOB, {name: value}) for name, value in values.items()]
    groups = [*own, *launch_options, [f"--input_path={address}"]]
    random.shuffle(groups)
    launch = parse(JOB, [word for group in groups for word in group])
    mine = [word for group in groups if group in own for word in group]
    assert launch.arguments == mine
    assert {name: launch.values[name] for name in values} == {
        name: read(mine)[name] for name in values
    }


@pytest.mark.parametrize(
    "words",
    [
        ["--text", "a", "--plan", "b"],
        ["--words", "a", "--backend", "docker", "b"],
        ["--sed", "1"],
        ["--text"],
        ["--tex", "abbreviated"],
        ["--words", "--", "--plan"],
        ["--whole", "one"],
        ["--choice", "4"],
        ["--backend", "here"],
        ["--shard", "whole"],
        ["--env", "NAME"],
        ["--run_name", "a/b"],
        ["stray"],
    ],
)
def test_a_wrong_command_line_is_rejected(words: list[str]) -> None:
    with pytest.raises(LaunchError):
        parse(JOB, ["--input_path", "data", *words])


def test_unknown_options_are_reported_before_missing_inputs() -> None:
    with pytest.raises(LaunchError, match="--sed"):
        parse(JOB, ["--sed", "1"])
    with pytest.raises(LaunchError, match="--input_path"):
        parse(JOB, [])


def test_unknown_keyword_arguments_are_rejected() -> None:
    with pytest.raises(LaunchError, match="--sed"):
        parse(JOB, to_argv(JOB, {"input_path": "data", "sed": 1}))


def test_none_stands_for_the_default() -> None:
    assert to_argv(JOB, {"text": None, "input_path": None}) == []


def test_instance_types_can_be_a_list() -> None:
    words = to_argv(JOB, {"input_path": "data", "instance_type": ["ml.m5.large", "ml.c5.large"]})
    launch = parse(JOB, words)
    assert launch.options.instance_type == "ml.m5.large,ml.c5.large"
    assert launch.is_typed("instance_type")
    assert not launch.is_typed("instance_count")


def test_environment_variables_can_be_a_dictionary() -> None:
    words = to_argv(JOB, {"input_path": "data", "env": {"A": "1", "B": "x=y"}})
    assert dict(parse(JOB, words).options.env) == {"A": "1", "B": "x=y"}


@pytest.mark.parametrize("value", [{"a": [1, None]}, [{"a": True}], 3, 0.5, False, (1, 2)])
def test_an_option_that_takes_json_takes_values(value: Any) -> None:
    words = to_argv(JOB, {"input_path": "data", "json": value})
    assert parse(JOB, words).values["json"] == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [("words", "a", ["a"]), ("numbers", 3, [3.0]), ("objects", {"a": 1}, [{"a": 1}])],
)
def test_one_value_may_stand_for_a_list(name: str, value: Any, read: list[Any]) -> None:
    assert parse(JOB, to_argv(JOB, {"input_path": "data", name: value})).values[name] == read


def test_what_json_cannot_hold_is_rejected() -> None:
    with pytest.raises(LaunchError, match="--json"):
        to_argv(JOB, {"json": {"path": Path()}})


def test_a_list_for_an_option_of_one_value_is_rejected() -> None:
    with pytest.raises(LaunchError, match="--real"):
        parse(JOB, to_argv(JOB, {"input_path": "data", "real": [1.0, 2.0]}))


def test_addresses_are_absolute_or_in_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse(JOB, ["--input_path", "data/"]).inputs == {"input_path": f"{tmp_path}/data"}
    launch = parse(JOB, ["--input_path", "s3://bucket/raw//", "--output_path", "s3://bucket/new/"])
    assert launch.inputs == {"input_path": "s3://bucket/raw"}
    assert launch.outputs == launch.named_outputs == {"output_path": "s3://bucket/new"}


@pytest.mark.parametrize("option", ["--input_path", "--output_path"])
@pytest.mark.parametrize(
    "address",
    [
        "S3://bucket/raw",
        "s3:/bucket",
        "s3:bucket",
        "s3://",
        "s3:///raw",
        "https://x/y",
        "file:///x",
    ],
)
def test_other_addresses_are_rejected_with_those_that_are_allowed(
    option: str, address: str
) -> None:
    with pytest.raises(LaunchError, match=rf"argument {option}: .*file, or s3://bucket/prefix"):
        parse(JOB, ["--input_path", "data", option, address])


def test_an_address_with_a_null_byte_is_rejected() -> None:
    with pytest.raises(LaunchError, match=r"argument --input_path: .*null byte"):
        parse(JOB, ["--input_path", "a\0b"])


@pytest.mark.parametrize("name", ["a:b", "s3", "s3/x", "http:x"])
def test_a_path_may_have_a_colon(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse(JOB, ["--input_path", name]).inputs == {"input_path": f"{tmp_path}/{name}"}


def test_names_of_launches_in_the_same_moment_differ() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"\d{8}-\d{6}-[a-z0-9]{6}", each) for each in ids)


def test_outputs_lie_in_the_folder_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_BUCKET", "bucket")
    here = parse(JOB, ["--input_path", "data", "--run_name", "r"])
    assert here.outputs["output_path"].endswith("/out/r/kinds/seen")
    assert here.named_outputs == {}
    there = parse(JOB, ["--input_path", "data", "--run_name", "r", "--backend", "sagemaker"])
    assert re.fullmatch(
        f"s3://bucket/{project.name()}/runs/r/kinds/seen", there.outputs["output_path"]
    )
    assert parse(JOB, ["--input_path", "data"]).outputs != parse(JOB, ["--input_path", "d"]).outputs


def test_a_command_repeats_the_launch_elsewhere_and_hides_secrets() -> None:
    words = ["--input_path", "data", "--text", "a b", "--api_key", "hunter2", "--run_name", "r"]
    words += ["--env", "API_TOKEN=hunter2", "--env", "B=1", "--backend=sagemaker", "--no-wait"]
    command = parse(JOB, [*words, "--output_path", "s3://b/x"]).command(backend="docker")
    assert "hunter2" not in command
    assert "--backend docker" in command
    assert "--text 'a b'" in command
    assert command.startswith(f"{project.COMMAND} kinds ")
    assert "B=1" in command
    for left_out in ("run_name", "no-wait", "output_path", "sagemaker"):
        assert left_out not in command


def test_a_command_names_the_inputs_that_another_job_writes() -> None:
    launch = parse(JOB, [], upstream={"input_path": "w"}, upstream_inputs={"input_path": "/out/x"})
    assert launch.typed == []
    assert launch.command(backend="docker").endswith("kinds --input_path /out/x --backend docker")
    assert launch.command(input_path="s3://b/x").endswith("kinds --input_path s3://b/x")


def test_an_option_that_launch_has_too_is_rejected() -> None:
    def build() -> runtime.JobParser:
        parser = build_parser()
        parser.add_argument("--backend")
        return parser

    with pytest.raises(LaunchError, match="--backend"):
        parse(Job("kinds", JOB.inputs, JOB.outputs, build), ["--input_path", "data"])


@pytest.mark.parametrize("name", jobs.names())
def test_every_entrypoint_is_a_job(name: str) -> None:
    job = jobs.read(name)
    assert job.entrypoint[-1] == f"entrypoints/{name}.py"


def test_an_unknown_job_is_rejected() -> None:
    with pytest.raises(LaunchError, match="prepare_nothing") as error:
        jobs.read("prepare_nothing")
    assert any(name in str(error.value) for name in jobs.names())


@pytest.mark.parametrize(
    "words",
    [
        ["--api_kye", "hunter2"],
        ["--api_kye=hunter2"],
        ["--api_key", "a", "--whole", "1", "--pasword", "hunter2"],
    ],
)
def test_a_rejection_hides_secrets(words: list[str]) -> None:
    with pytest.raises(LaunchError) as error:
        parse(JOB, ["--input_path", "data", *words])
    assert "hunter2" not in str(error.value)


def test_a_channel_has_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "entrypoints").mkdir()
    option = '"--output-path", "-o", default=f"{runtime.OUTPUT}/x"'
    module = runtime.__name__.rpartition(".")[0]
    lines = [f"from {module} import runtime", "def build_parser():"]
    lines += ["    parser = runtime.JobParser(None)", f"    parser.add_argument({option})"]
    (tmp_path / "entrypoints" / "job.py").write_text("\n".join([*lines, "    return parser"]))
    monkeypatch.setattr(project, "ROOT", tmp_path)
    with pytest.raises(LaunchError, match="--output_path"):
        jobs.read("job")
