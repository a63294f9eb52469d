"""The steps of docs/another_model.md, and the resulting repository on every backend."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emulator
import pytest
import registry
from conftest import SLUG, TEMPLATE, copy_template, run, runs
from launching import service_with_image, shorten_waits
from reader import Reader, blocks
from rooms import TESTS_OF_THE_EXAMPLE
from test_notebook import EXECUTE

pytestmark = [pytest.mark.docker, pytest.mark.own_account, pytest.mark.slow]

PAGE = TEMPLATE.parent / "docs" / "another_model.md"
FILES = TEMPLATE.parent / "tests" / "another_model"
METRICS = "fit/model/metrics.json"
EXAMPLE = ("data/", "entrypoints/", "tests/jobs/", "launch.toml", "image.env", "README.md")
LOCK = "poetry.lock"
OTHERS = {
    f"tests/machinery/{file.name}" for file in TEMPLATE.glob("tests/machinery/test_*.py")
}.difference(TESTS_OF_THE_EXAMPLE)
CHECKED = " ".join(f"--ignore={name}" for name in sorted(OTHERS))
"""What `make check` leaves out here: tests that do not read the example."""


@dataclass(frozen=True)
class Repository:
    """What somebody has who has typed the page."""

    folder: Path
    environment: Mapping[str, str]

    def launch(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [".venv/bin/python", "-m", "launch", *words],
            cwd=self.folder,
            env={**self.environment, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def metrics(self, run_name: str) -> Any:
        return json.loads((self.folder / "out" / run_name / METRICS).read_text())


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of somebody who has Python, git, make, Docker and cookiecutter, and no account."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "cookiecutter").symlink_to(Path(sys.executable).with_name("cookiecutter"))
    dropped = ("AWS_", "PYTHONDONTWRITEBYTECODE", "GITHUB_REPOSITORY")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return ours | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def unreadable_data(folder: Path) -> Iterator[None]:
    """Turn each table into a terabyte that is no Parquet, which no test may read or wait for."""
    tables = {table: table.read_bytes() for table in folder.glob("data/strikes/*")}
    assert tables
    for table in tables:
        os.truncate(table, 1 << 40)
    yield
    for table, content in tables.items():
        table.write_bytes(content)


@pytest.fixture(scope="module")
def repository(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Repository]:
    """The repository at the end of the page, every command of which has succeeded."""
    registry.need_engine()
    template = copy_template(tmp_path_factory.mktemp("template"))
    shorten_waits(template / TEMPLATE.name)
    reader = Reader(tmp_path_factory.mktemp("work"), environment, template)
    typed = blocks(PAGE)
    for block in typed[:2]:
        reader.type(block)
    with registry.images_of(reader.folder):
        for block in typed[2:]:
            if "make check" in block:
                with unreadable_data(reader.folder):
                    reader.type(f"export PYTEST_ADDOPTS='{CHECKED}'\n{block}")
            else:
                reader.type(block)
        yield Repository(reader.folder, environment)


@pytest.fixture(scope="module")
def metrics(repository: Repository) -> Any:
    """Those of the first two jobs, which were launched one by one."""
    return repository.metrics("first")


def test_the_metrics_do_not_depend_on_the_backend_or_the_hosts(
    repository: Repository, metrics: Any
) -> None:
    folders = runs(repository.folder)
    assert len(folders) == 4  # job by job, `make run`, `make run-image`, and with three hosts
    for folder in folders:
        assert json.loads((folder / METRICS).read_text()) == metrics
    assert 0 < metrics["rmse"] < metrics["constant"]["rmse"]
    hosts = {len(list(folder.glob("prepare/dataset/job*.json"))) for folder in folders}
    assert hosts == {1, 3}


def test_only_files_of_the_example_were_edited(repository: Repository) -> None:
    """The page lists each of them with the number of its new lines."""
    first, last = run(repository.folder, "git", "rev-list", "--reverse", "HEAD").split()
    compare = ("git", "diff", "--no-renames", first, last)
    changed = run(repository.folder, *compare, "--name-only").splitlines()
    modules = {name for name in changed if re.fullmatch(r"src/strike_speed/\w+\.py", name)}
    known = {name for name in changed if name.startswith(EXAMPLE)} | modules
    assert set(changed) - known == {"pyproject.toml", LOCK}

    counts = run(repository.folder, *compare, "--numstat", "--diff-filter=d").splitlines()
    lines: dict[str, int] = {"data/": 0}
    for added, _, name in (line.split("\t") for line in counts):
        if not name.startswith("data/") and name != LOCK:
            lines[name] = int(added)
    rows = re.findall(r"^\| `([^`]+)` \| (\d*) ?\|", PAGE.read_text(), flags=re.MULTILINE)
    assert {name: int(count or 0) for name, count in rows} == lines
    assert len(lines) <= 10
    assert sum(lines.values()) <= 400


def test_every_file_of_the_model_is_used(repository: Repository) -> None:
    """The code that the page shows is code of these files, and none of them was left out."""
    texts = []
    for file in filter(Path.is_file, FILES.rglob("*")):
        name = file.relative_to(FILES)
        if file.suffix != ".parquet":
            texts.append(file.read_text())
        if name != Path("README.md"):
            assert (repository.folder / name).read_bytes() == file.read_bytes()
    shown = [*blocks(PAGE, "python"), *blocks(PAGE, "toml")]
    assert shown
    assert not [block for block in shown if not any(block in text for text in texts)]


def test_a_model_that_is_too_far_off_fails(repository: Repository, metrics: Any) -> None:
    done = repository.launch("pipeline", "--max_rmse", "20", "--run_name", "strict")
    assert done.returncode == 1, done.stdout
    assert repository.metrics("strict") == metrics
    assert f"rmse {metrics['rmse']} is above 20.0" in done.stdout


def test_the_limit_for_a_metric_whose_lower_values_are_better(repository: Repository) -> None:
    done = repository.launch("pipeline", "--min_rmse", "20")
    assert done.returncode == 2
    assert "--min_rmse" in done.stdout


def test_the_notebook_runs_unedited(repository: Repository, metrics: Any) -> None:
    run(repository.folder, ".venv/bin/python", "-c", EXECUTE, "local", "notebook")
    assert repository.metrics("notebook") == metrics


@pytest.fixture(scope="module")
def service(
    repository: Repository, shared_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[emulator.Emulator]:
    """SageMaker, with the image that the page builds."""
    folder = tmp_path_factory.mktemp("service")
    with service_with_image(repository.folder, folder, shared_folder / "layers" / SLUG) as service:
        yield service


def test_the_pipeline_on_sagemaker(
    repository: Repository, metrics: Any, service: emulator.Emulator
) -> None:
    aws = service.environment() | {
        "S3_BUCKET": emulator.BUCKET,
        "SAGEMAKER_ROLE_ARN": f"arn:aws:iam::{registry.ACCOUNT}:role/jobs",
    }
    sharded = ("--instance_count.prepare", "2", "--shard.prepare", "input_path")
    done = repository.launch("pipeline", "--backend", "sagemaker", *sharded, **aws)
    assert done.returncode == 0, done.stdout
    (key,) = [key for key in service.objects() if key.endswith(METRICS)]
    assert json.loads(service.read(key)) == metrics

    done = repository.launch("pipeline", "--backend", "sagemaker", "--max_rmse", "20", **aws)
    assert done.returncode == 1, done.stdout
    assert "rmse" in done.stdout
