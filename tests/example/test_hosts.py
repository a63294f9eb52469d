"""The example's jobs come to the same on one host and on several, on every backend."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import emulator
import pytest
from conftest import SLUG

pytest_plugins = ["launching"]
pytestmark = pytest.mark.slow

Launch = Callable[..., subprocess.CompletedProcess[str]]

SHARDS = ("--instance_count", "3", "--shard", "input_path")


def rows(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*.parquet")
    }


@pytest.mark.docker
@pytest.mark.usefixtures("image")
def test_three_hosts_give_the_rows_of_one(launch: Launch, project: Path) -> None:
    for backend, words in {"local": (), "docker": SHARDS}.items():
        output = ("--output_path", f"out/{backend}")
        done = launch("preprocess", "--backend", backend, *words, *output)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(rows(project / "out" / "local")) == 6
    assert rows(project / "out" / "docker") == rows(project / "out" / "local")


@pytest.mark.docker
def test_three_instances_give_the_rows_of_one(
    launch: Launch, project: Path, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    assert launch("preprocess", "--output_path", "out/one").returncode == 0
    done = launch("preprocess", "--backend", "sagemaker", *SHARDS, "--run_name", "r", env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    prefix = f"{SLUG}/runs/r/preprocess/dataset/"
    found = [key.removeprefix(prefix) for key in service.objects(prefix)]
    parts = {key: service.read(prefix + key) for key in found if key.endswith(".parquet")}
    assert parts == rows(project / "out" / "one")


def test_a_pipeline_on_two_hosts_gives_the_metrics_of_one(launch: Launch, project: Path) -> None:
    metrics = []
    for name, words in {
        "one": (),
        "two": ("--instance_count.preprocess", "2", "--shard.preprocess", "input_path"),
    }.items():
        done = launch("pipeline", "--run_name", name, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        metrics.append(
            json.loads((project / "out" / name / "train" / "model" / "metrics.json").read_text())
        )
    assert metrics[0] == metrics[1]
