"""How a job is launched: arguments there and back, refusals, hosts on this machine, the plan."""

import argparse
import json
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch import ROOT, LaunchError, launch, plan
from launch.__main__ import main
from launch.job import arguments, names, read, text
from launch.options import parser

DATA = ROOT / "data" / "penguins"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def build_parser() -> argparse.ArgumentParser:
    """An option of each kind that an entrypoint may have."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--string", default="as it is")
    parser.add_argument("--whole", type=int, default=3)
    parser.add_argument("--real", type=float)
    parser.add_argument("--path", type=Path, default=Path("some/where"))
    parser.add_argument("--colour", type=Colour, default=Colour.RED)
    parser.add_argument("--json", type=json.loads)
    parser.add_argument("--choice", type=int, choices=[1, 2, 3])
    parser.add_argument("--numbers", type=float, nargs="+", default=[])
    parser.add_argument("--words", nargs="*")
    parser.add_argument("--pair", nargs=2, type=int)
    parser.add_argument("--again", action="append", type=int)
    parser.add_argument("--more", action="extend", nargs="+", type=int)
    parser.add_argument("--verbose", "-v", action="count", default=0)
    parser.add_argument("--on", action="store_true")
    parser.add_argument("--off", action="store_false")
    parser.add_argument("--both", action=argparse.BooleanOptionalAction)
    return parser


WORD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
REAL = st.floats(allow_nan=False)
NOT_AN_OPTION = WORD.filter(lambda word: not word.startswith("-"))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(),
    "whole": st.integers(),
    "real": REAL,
    "path": WORD.map(Path),
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


@settings(max_examples=50)
@given(st.fixed_dictionaries({}, optional=VALUES))
def test_arguments_are_read_back_to_the_same_values(values: dict[str, Any]) -> None:
    written = arguments(build_parser(), values)
    found = vars(build_parser().parse_args(written))
    assert found == vars(build_parser().parse_args([])) | values
    again = arguments(build_parser(), text(build_parser(), written))
    assert vars(build_parser().parse_args(again)) == found


def test_a_type_of_ones_own_keeps_its_spelling() -> None:
    argv = ["--colour", "blue", "--json", '{"a": [1, true]}']
    assert arguments(build_parser(), text(build_parser(), argv)) == argv


def test_what_is_at_its_default_is_left_out() -> None:
    values = {"whole": 3, "path": "some/where", "real": None, "numbers": [], "off": True}
    assert arguments(build_parser(), values) == []


@pytest.mark.parametrize("name", names())
def test_every_entrypoint_can_be_read(name: str) -> None:
    job = read(name)
    assert job.outputs
    assert "--where" in parser(job).format_help()


@pytest.fixture
def preprocess(tmp_path: Path) -> list[str]:
    """A command line that is right, with an output of its own."""
    return ["preprocess", "--input_path", str(DATA), "--output_path", str(tmp_path / "out")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sed", "1"], "unrecognized arguments: --sed 1"),
        (["--seed", "one"], "argument --seed: invalid"),
        (["--input_path", "nowhere"], "there is no file in"),
        (["--output_path", str(DATA)], "holds --input_path"),
        (["--output_path", str(ROOT / "scripts")], "already holds files"),
        (["--instance_type", "ml.m5.xlarg"], "does not know 'ml.m5.xlarg', but ml.m5.xlarge"),
        (["--instance_count", "101"], "SageMaker takes 100 or fewer"),
        (["--env", "A-B=1"], "'A-B' does not match"),
        (["--shard", "seed"], "argument --shard: invalid choice"),
    ],
)
def test_a_wrong_launch_is_refused(
    preprocess: list[str],
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*preprocess, *words]) == 2
    assert message in capsys.readouterr().err
    with pytest.raises(LaunchError, match="unrecognized arguments: --sed=1"):
        launch("preprocess", input_path=DATA, sed=1)


def test_three_hosts_give_the_rows_of_one(tmp_path: Path) -> None:
    shards = {"instance_count": 3, "shard": "input_path"}
    one = launch("preprocess", input_path=DATA, output_path=tmp_path / "1")
    three = launch("preprocess", input_path=DATA, output_path=tmp_path / "3", **shards)
    assert (one.status, three.status) == ("Completed", "Completed")
    rows = [
        {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*.parquet")}
        for folder in (tmp_path / "1", tmp_path / "3")
    ]
    assert rows[0] == rows[1] != {}


def test_a_host_that_fails_fails_the_job(
    tmp_path: Path, preprocess: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "table.csv").write_text("no,such,columns\n1,2,3\n")
    assert main([*preprocess, "--input_path", str(tmp_path / "raw")]) == 1
    assert "table.csv: no column species" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_the_plan_is_the_request(preprocess: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*preprocess, "--seed", "7", "--plan"]) == 0
    shown = json.loads(capsys.readouterr().out)
    request = plan("preprocess", input_path=DATA, seed=7)
    assert request["AppSpecification"]["ContainerArguments"] == ["--seed", "7"]
    assert request["AppSpecification"] == shown["AppSpecification"]
    assert (
        request["ProcessingInputs"][0]["S3Input"]["LocalPath"] == read("preprocess").inputs[0].path
    )
    assert "sagemaker" not in sys.modules
