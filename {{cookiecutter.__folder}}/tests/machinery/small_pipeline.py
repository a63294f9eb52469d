"""A small repository whose pipeline has two jobs, so that its tests know nothing about yours.

``make_data`` reads raw files and writes data; ``fit`` reads the data and writes a model with its
score. Between them they have an option of each kind.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from aws_faults import Faults
from repositories import make_repository

MAKE_DATA = '''\
"""Copy the raw files, and do what a test asks for."""

import argparse
import json
from pathlib import Path

from {{ cookiecutter.__package_name }} import runtime


def build_parser():
    parser = runtime.JobParser(__doc__)
    parser.add_argument(
        "--input_path", type=runtime.existing_dir, default=f"{runtime.INPUT}/raw"
    )
    parser.add_argument("--output_path", type=Path, default=f"{runtime.OUTPUT}/data")
    parser.add_argument("--seed", type=runtime.at_least(0), default=0)
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--label", default="as it is")
    parser.add_argument("--kilobytes", type=lambda text: int(text) * 1024, default=1024)
    parser.add_argument("--rows", type=json.loads)
    parser.add_argument("--names", nargs="*", default=[])
    parser.add_argument("--strict", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--fail", action="store_true")
    return parser


def run(args):
    if args.fail:
        raise runtime.JobError("asked to fail")
    for file in args.input_path.iterdir():
        (args.output_path / file.name).write_bytes(file.read_bytes())


if __name__ == "__main__":
    runtime.main(build_parser(), run)
'''

FIT = '''\
"""Write a score."""

import json
from pathlib import Path

from {{ cookiecutter.__package_name }} import runtime


def build_parser():
    parser = runtime.JobParser(__doc__)
    parser.add_argument(
        "--data_path", type=runtime.finished_output, default=f"{runtime.INPUT}/data"
    )
    parser.add_argument(
        "--prior_path", type=runtime.existing_dir, default=Path(runtime.INPUT, "prior")
    )
    parser.add_argument("--model_path", type=Path, default=f"{runtime.OUTPUT}/model")
    parser.add_argument("--seed", type=runtime.at_least(0), default=0)
    parser.add_argument("--report", default='{"score": 0.75}')
    parser.add_argument("--config", type=json.loads)
    return parser


def run(args):
    files = sorted(path.name for path in args.data_path.iterdir())
    (args.model_path / "files.json").write_text(json.dumps(files))
    (args.model_path / "report.json").write_text(args.report)


if __name__ == "__main__":
    runtime.main(build_parser(), run)
'''

ENTRYPOINTS: Mapping[str, str] = {"make_data": MAKE_DATA, "fit": FIT}

TABLE = """\
[pipeline]
jobs = ["make_data", "fit"]

[metric]
job = "fit"
output = "model"
file = "report.json"
name = "score"
minimum = 0.9
"""


@pytest.fixture
def small_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository, which launch takes for its own; the folder ``raw`` in it has two files."""
    root = make_repository(tmp_path / "repository", ENTRYPOINTS, monkeypatch)
    (root / "launch.toml").write_text(TABLE)
    (root / "raw").mkdir()
    (root / "raw" / "a.csv").write_text("a")
    (root / "raw" / "b.csv").write_text("b")
    return root


def edit_table(root: Path, old: str, new: str) -> None:
    """Replace a part of a small repository's table."""
    table = (root / "launch.toml").read_text()
    assert old in table
    (root / "launch.toml").write_text(table.replace(old, new))


@pytest.fixture
def account(faults: Faults, small_pipeline: Path) -> Faults:
    """The repository's AWS account."""
    assert small_pipeline.exists()
    return faults
