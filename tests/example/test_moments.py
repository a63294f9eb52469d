"""Jobs that are stopped or killed at any moment leave a complete result or none.

``make moments`` tries more moments, and prints what the jobs left.
"""

import hashlib
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # pytest loads it
    from jobs import Jobs

pytest_plugins = ["jobs"]
pytestmark = pytest.mark.slow

RUNS = int(os.environ.get("MOMENTS", "2"))
"""Of each job with each signal: half are stopped at any time, half while they publish."""

STOP_SECONDS = 5
STAGING = ".incomplete-algo-1"
OLD = f"{STAGING}/old"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)


@dataclass(frozen=True)
class Job:
    """An entrypoint with its options, and what it does when nobody stops it."""

    name: str
    options: Mapping[str, object]
    result: Mapping[str, str]
    seconds: float


def contents(output: Path) -> dict[str, str]:
    """Every file that a reader finds, except the record, which holds times."""
    return {
        path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name != "job.json"
    }


@pytest.fixture(scope="module")
def counts() -> Iterator[Counter[tuple[str, str, str]]]:
    counts: Counter[tuple[str, str, str]] = Counter()
    yield counts
    for (job, name, outcome), count in sorted(counts.items()):
        print(f"\n{job}, {name}: {count} left {outcome}", end="")
    print(f"\n{counts.total()} jobs were stopped")


@pytest.fixture(scope="module", params=["preprocess", "tune", "train"])
def job(
    request: pytest.FixtureRequest, jobs: "Jobs", tmp_path_factory: pytest.TempPathFactory
) -> Job:
    folder = tmp_path_factory.mktemp("outputs")
    base, name = folder / "ml", request.param
    options: dict[str, object] = {"input_path": repeat_rows(jobs.raw, folder / "raw")}
    if name != "preprocess":
        jobs.run("preprocess", base, folder / "dataset", **options)
        options["input_path"] = folder / "dataset"
    if name == "tune":
        options |= {"trials": 4, "folds": 2}
    first, second = folder / "first", folder / "second"
    jobs.run(name, base, first, **options)
    started = time.monotonic()
    jobs.run(name, base, second, **options)
    seconds = time.monotonic() - started
    assert contents(first) == contents(second)
    return Job(name, options, contents(second), seconds)


def repeat_rows(raw: Path, tables: Path) -> Path:
    """Make tables with rows enough that the fits of tune run beside each other."""
    tables.mkdir()
    for table in raw.iterdir():
        header, *rows = table.read_text().splitlines(keepends=True)
        (tables / table.name).write_text(header + "".join(rows * 20))
    return tables


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_job_that_is_stopped_at_any_moment(
    jobs: "Jobs",
    job: Job,
    number: signal.Signals,
    tmp_path: Path,
    counts: Counter[tuple[str, str, str]],
) -> None:
    for turn in range(RUNS):
        moment = random.Random(f"{job.name} {number} {turn}")  # noqa: S311
        folder = tmp_path / str(turn)
        output, base = folder / "output", folder / "ml"
        (base / "reader").mkdir(parents=True)
        if moment.random() < 0.5:  # what a killed job has left
            (output / STAGING).mkdir(parents=True)
            (output / OLD).touch()
        process = jobs.start(job.name, base, output_path=output, **job.options)
        if turn % 2:
            await_publication(process, output)
            time.sleep(moment.uniform(0, 0.002))
        else:
            time.sleep(moment.uniform(0, 1.1 * job.seconds))
        os.kill(process, number)
        stopped = time.monotonic()
        code, names = jobs.wait(process, output)
        assert time.monotonic() - stopped < STOP_SECONDS

        outcome = left(jobs, job, output, base)
        counts[job.name, number.name, outcome] += 1
        if code == 0:
            assert outcome == "the result"
        elif number is signal.SIGKILL:
            assert code == -number
        else:
            assert code in (128 + number, -number)  # before the job handles signals
            assert outcome != "leftovers"
        if code == 128 + number:
            assert (base / "output" / "message").read_text() == f"stopped by {number.name}"
        before = contents(output) if output.exists() else {}
        if names == [STAGING]:
            jobs.run(job.name, base, output, **job.options)
            assert left(jobs, job, output, base) == "the result"
            assert not (output / STAGING).exists()
        elif names:
            again = jobs.start(job.name, base, output_path=output, **job.options)
            assert jobs.wait(again, output)[0] == 2
            assert contents(output) == before
        shutil.rmtree(folder)


def await_publication(process: int, output: Path) -> None:
    """Wait until the job has done its work and is about to move its files into the output."""
    written = output / STAGING / "job.json"
    while not written.exists() and Path(f"/proc/{process}/exe").exists():
        pass


def left(jobs: "Jobs", job: Job, output: Path, base: Path) -> str:
    """What a stopped job has left; if the next job accepts it, it must be the result."""
    options = {"input_path": output, "output_path": base / "out", "folds": 9999}
    rejected = jobs.wait(jobs.start("tune", base / "reader", **options), output)[0] == 2
    found = contents(output) if output.exists() else {}
    if rejected:
        return "leftovers" if set(found) - {OLD} else "nothing"
    assert found == job.result
    return "the result"
