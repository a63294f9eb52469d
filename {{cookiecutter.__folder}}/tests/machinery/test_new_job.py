"""``make job`` in a small repository: what it writes, adds to the table, and rejects."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from small_pipeline import ENTRYPOINTS

TABLE = """\
# The jobs.
[pipeline]
jobs = [
    "make_data", # first
    "fit",
]

[inputs.make_data]
input_path = "raw" # two files
"""


@pytest.fixture
def small_repository(repository: Path, tmp_path: Path) -> Path:
    """A repository with code of its own, whose jobs are ``make_data`` and ``fit``."""
    root = tmp_path / "repository"
    package = next((repository / "src").glob("*/runtime")).parent
    for folder in ("launch", "scripts", f"src/{package.name}/runtime"):
        shutil.copytree(repository / folder, root / folder)  # with its bytecode
    (root / "src" / package.name / "__init__.py").touch()
    (root / "pyproject.toml").write_text('[project]\nname = "small"\n')
    (root / "launch.toml").write_text(TABLE)
    (root / "entrypoints").mkdir()
    for name, text in ENTRYPOINTS.items():
        (root / "entrypoints" / f"{name}.py").write_text(text)
    (root / "raw").mkdir()
    for name in ("a.csv", "b.csv"):
        (root / "raw" / name).write_text(name)
    return root


def python(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the repository. Its code is a copy, of which no coverage is measured."""
    environment = {key: value for key, value in os.environ.items() if "COV" not in key}
    return subprocess.run(
        [sys.executable, *words],
        cwd=root,
        env=environment | {"PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def make_job(root: Path, name: str, channel: str = "") -> str:
    """Add a job and return what was printed."""
    done = python(root, "scripts/new_job.py", name, channel)
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents(root: Path) -> dict[str, bytes]:
    """The files of a repository by path, without what git ignores."""
    return {
        file.relative_to(root).as_posix(): file.read_bytes()
        for file in root.rglob("*")
        if file.is_file() and file.relative_to(root).parts[0] != "out"
    }


def test_a_new_job_runs_alone_and_in_the_pipeline(small_repository: Path) -> None:
    make_job(small_repository, "evaluate")
    done = python(small_repository, "-m", "launch", "pipeline", "--run_name", "first")
    assert done.returncode == 0, done.stdout + done.stderr
    runs = small_repository / "out" / "first"
    listed = (runs / "evaluate" / "evaluate" / "algo-1.txt").read_text().splitlines()
    model = runs / "fit" / "model"
    assert sorted(listed) == sorted({file.name for file in model.iterdir()} - {"job.json"})
    assert listed

    words = ("evaluate", "--input_path", str(model), "--instance_count", "2", "--run_name", "two")
    done = python(small_repository, "-m", "launch", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    lists = (small_repository / "out" / "two" / "evaluate" / "evaluate").glob("*.txt")
    assert sorted(line for file in lists for line in file.read_text().splitlines()) == sorted(
        listed
    )


def test_a_new_job_checks_that_its_input_is_complete(small_repository: Path) -> None:
    make_job(small_repository, "evaluate")
    done = python(small_repository, "-m", "launch", "evaluate", "--input_path", "raw")
    assert done.returncode != 0
    assert "input_path" in done.stdout + done.stderr
    assert "job.json" in done.stdout + done.stderr


def test_the_tests_of_a_new_job_need_nothing_else(small_repository: Path) -> None:
    make_job(small_repository, "evaluate")
    words = ("--import-mode=importlib", "-p", "no:cacheprovider", "tests/jobs")
    done = python(small_repository, "-m", "pytest", *words)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


REQUESTS = """
[[request.Tags]]
Key = "team"
Value = "1"

[job.fit.ProcessingResources.ClusterConfig]
InstanceType = "ml.m5.large" # small

[[pipeline.retries]]
ExceptionType = ["SageMaker.CAPACITY_ERROR"]
MaxAttempts = 2

#[stack]
#Path = "x"
"""


def test_what_jobs_are_launched_with_stays_as_it_is(small_repository: Path) -> None:
    table = small_repository / "launch.toml"
    table.write_text(TABLE + REQUESTS)
    make_job(small_repository, "evaluate")
    expected = TABLE.replace('    "fit",\n', '    "fit",\n    "evaluate",\n')
    assert table.read_text() == expected + REQUESTS
    done = python(small_repository, "-m", "launch", "pipeline", "--plan", "--image", "image")
    assert done.returncode == 0, done.stderr


def test_the_table_is_changed_only_where_the_job_is_added(small_repository: Path) -> None:
    before = contents(small_repository)
    make_job(small_repository, "evaluate")
    after = contents(small_repository)
    new = after.keys() - before.keys()
    assert {file.partition("/")[0] for file in new} == {"entrypoints", "src", "tests"}
    assert {file for file in before if before[file] != after[file]} == {"launch.toml"}
    expected = TABLE.replace('    "fit",\n', '    "fit",\n    "evaluate",\n')
    assert after["launch.toml"].decode() == expected


def test_a_table_may_begin_with_a_byte_order_mark(small_repository: Path) -> None:
    file = small_repository / "launch.toml"
    file.write_bytes(b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode())
    make_job(small_repository, "evaluate")
    table = file.read_bytes().decode("utf-8-sig")
    assert tomllib.loads(table)["pipeline"]["jobs"] == ["make_data", "fit", "evaluate"]
    assert "# first\r\n" in table


def test_a_job_reads_the_last_output_or_the_one_that_is_named(small_repository: Path) -> None:
    assert "model of fit" in make_job(small_repository, "evaluate")
    assert "evaluate of evaluate" in make_job(small_repository, "publish")
    assert "data of make_data" in make_job(small_repository, "describe", "data")
    table = tomllib.loads((small_repository / "launch.toml").read_text())
    jobs = ["make_data", "fit", "evaluate", "publish", "describe"]
    assert table["pipeline"]["jobs"] == jobs
    done = python(small_repository, "-m", "launch", "pipeline", "--run_name", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    described = small_repository / "out" / "all" / "describe" / "describe" / "algo-1.txt"
    assert set(described.read_text().splitlines()) == {"a.csv", "b.csv"}


def test_a_table_that_is_a_symbolic_link_stays_one(small_repository: Path) -> None:
    table = small_repository / "launch.toml"
    target = small_repository / "raw" / "table.toml"
    table.rename(target)
    table.symlink_to(target)
    make_job(small_repository, "evaluate")
    assert table.is_symlink()
    jobs = tomllib.loads(target.read_text())["pipeline"]["jobs"]
    assert jobs == ["make_data", "fit", "evaluate"]


@pytest.mark.parametrize("table", [None, "", "[pipeline]\njobs = []\n"])
def test_the_first_job_reads_a_folder(small_repository: Path, table: str | None) -> None:
    file = small_repository / "launch.toml"
    if table is None:
        file.unlink()
    else:
        file.write_text(table)
    assert "[inputs.first]" in make_job(small_repository, "first")
    assert tomllib.loads(file.read_text()) == {"pipeline": {"jobs": ["first"]}}
    with file.open("a") as added:
        added.write('\n[inputs.first]\ninput_path = "raw"\n')
    done = python(small_repository, "-m", "launch", "first", "--run_name", "alone")
    assert done.returncode == 0, done.stdout + done.stderr
    listed = (small_repository / "out" / "alone" / "first" / "first" / "algo-1.txt").read_text()
    assert listed.splitlines() == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("name", "channel", "reason"),
    [
        pytest.param("", "", "NAME=", id="no name"),
        pytest.param("Evaluate", "", "lower-case", id="capital letter"),
        pytest.param("../evaluate", "", "lower-case", id="path"),
        pytest.param("class", "", "keyword", id="keyword"),
        pytest.param("json", "", "module", id="standard library"),
        pytest.param("pytest", "", "module", id="library"),
        pytest.param("test_model", "", "test", id="handler that looks like a test"),
        pytest.param("a'b", "", "lower-case", id="quote"),
        pytest.param("pipeline", "", "launch pipeline", id="verb"),
        pytest.param("fit", "", "entrypoints/fit.py", id="entrypoint"),
        pytest.param("runtime", "", "runtime", id="package"),
        pytest.param("model", "", "output of fit", id="output"),
        pytest.param("long_" * 8 + "name", "", "63", id="too long"),
        pytest.param("evaluate", "dataset", "data", id="unknown output"),
    ],
)
def test_what_cannot_be_added_changes_nothing(
    small_repository: Path, name: str, channel: str, reason: str
) -> None:
    before = contents(small_repository)
    done = python(small_repository, "scripts/new_job.py", name, channel)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(small_repository) == before


@pytest.mark.parametrize(
    "table",
    ['[pipeline]\njobs = ["fit"', '[pipeline]\njobs = "fit"\n', '[pipeline]\njobs = ["missing"]\n'],
)
def test_a_table_with_a_mistake_is_not_changed(small_repository: Path, table: str) -> None:
    (small_repository / "launch.toml").write_text(table)
    before = contents(small_repository)
    done = python(small_repository, "scripts/new_job.py", "evaluate")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert contents(small_repository) == before


def test_all_files_are_written_or_none(small_repository: Path) -> None:
    (small_repository / "tests").touch()  # a file, where the folder of a test would be
    before = contents(small_repository)
    done = python(small_repository, "scripts/new_job.py", "evaluate")
    assert done.returncode == 1
    assert "tests" in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(small_repository) == before
