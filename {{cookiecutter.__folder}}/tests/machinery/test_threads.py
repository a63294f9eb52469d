"""How many CPUs a job uses, and work on several items at the same time."""

import os
import threading
import time
from pathlib import Path

import pytest

from {{ cookiecutter.__package_name }}.runtime import JobError, cpus, parallel

SECONDS = 60
"""After which threads that should meet are taken for threads that do not."""

available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOB_CPUS", raising=False)


def cgroup(folder: Path, **files: str) -> Path:
    """A folder in place of ``/sys/fs/cgroup``; ``__`` stands for a slash and ``_`` for a dot."""
    for name, text in files.items():
        file = folder / name.replace("__", "/").replace("cpu_", "cpu.", 1)
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return folder


@pytest.mark.parametrize(
    "files",
    [
        {"cpu_max": "100000 100000\n"},
        {"cpu_max": "20000 100000\n"},
        {"cpu__cpu_cfs_quota_us": "100000\n", "cpu__cpu_cfs_period_us": "100000\n"},
    ],
)
def test_a_container_that_may_use_one_cpu_or_less(tmp_path: Path, files: dict[str, str]) -> None:
    assert cpus(cgroup(tmp_path, **files)) == 1


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"cpu_max": "max 100000\n"},
        {"cpu_max": "990000000 100000\n"},
        {"cpu__cpu_cfs_quota_us": "-1\n", "cpu__cpu_cfs_period_us": "100000\n"},
    ],
)
def test_a_container_without_a_limit_uses_all_cpus(tmp_path: Path, files: dict[str, str]) -> None:
    assert cpus(cgroup(tmp_path, **files)) == available


@pytest.mark.skipif(available == 1, reason="there is one CPU only")
def test_a_limit_between_two_numbers_is_used_up(tmp_path: Path) -> None:
    assert cpus(cgroup(tmp_path, cpu_max="110000 100000\n")) == 2


def test_the_setting_has_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_CPUS", "7")
    assert cpus(cgroup(tmp_path, cpu_max="100000 100000\n")) == 7


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_setting_that_is_no_number_of_cpus(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("JOB_CPUS", value)
    with pytest.raises(JobError, match="JOB_CPUS"):
        cpus()


def busy(seconds: float) -> None:
    """Use the CPU, whatever else runs on it."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize("threads", ["1", "2", "4"])
@pytest.mark.parametrize("min_seconds", [0, 0.001, SECONDS])
def test_results_are_in_the_order_of_the_items(
    monkeypatch: pytest.MonkeyPatch, threads: str, min_seconds: float
) -> None:
    def work(item: int) -> int:
        busy(0.002 if item % 2 else 0.004)
        return item * item

    monkeypatch.setenv("JOB_CPUS", threads)
    assert list(parallel(work, range(9), min_seconds)) == [item * item for item in range(9)]
    assert list(parallel(work, [], min_seconds)) == []


@pytest.mark.parametrize("min_seconds", [0, 0.001])
def test_items_are_worked_on_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, min_seconds: float
) -> None:
    together = threading.Barrier(3)

    def work(item: int) -> int:
        busy(0.002)
        return item if item == 0 and min_seconds else together.wait(SECONDS)

    monkeypatch.setenv("JOB_CPUS", "3")
    items = range(4 if min_seconds else 3)
    assert {0, 1, 2} == set(parallel(work, items, min_seconds))


@pytest.mark.parametrize(("threads", "min_seconds"), [("1", 0), ("3", SECONDS)])
def test_one_cpu_or_little_work_needs_no_threads(
    monkeypatch: pytest.MonkeyPatch, threads: str, min_seconds: float
) -> None:
    monkeypatch.setenv("JOB_CPUS", threads)
    workers = set(parallel(lambda _: threading.current_thread(), range(4), min_seconds))
    assert workers == {threading.main_thread()}


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_first_error_ends_the_work(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    started = []

    def work(item: int) -> None:
        started.append(item)
        time.sleep(0.01)
        if item == 3:
            raise JobError("no")

    monkeypatch.setenv("JOB_CPUS", threads)
    with pytest.raises(JobError, match="no"):
        list(parallel(work, range(1000), min_seconds=0))
    assert 3 in started
    assert 999 not in started
