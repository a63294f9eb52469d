"""How many CPUs a job uses: those that its container may use, not those that the machine has."""

import math
import os
from pathlib import Path

from .messages import JobError

_SETTING = "JOB_CPUS"
_LIBRARIES = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
"""The settings of Polars; of OpenMP, OpenBLAS and MKL; and of joblib."""

_CSV_CHUNK = str(1 << 20)
"""Bytes of a chunk of CSV, of which Polars reads two ahead for each thread: by default 32 MB."""


def cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """The value of ``JOB_CPUS``, or else the number of CPUs that the container may use.

    Fewer CPUs need less memory, because every library holds some data for each of its threads.

    Raises:
        JobError: ``JOB_CPUS`` is not a whole number of 1 or more.
    """
    setting = os.environ.get(_SETTING, "")
    if not setting:
        return max(1, min(_schedulable(), _limit(cgroup) or _schedulable()))
    if not setting.isdecimal() or int(setting) < 1:
        raise JobError(f"{_SETTING} must be a whole number of 1 or more")
    return int(setting)


def limit_threads() -> None:
    """Make the libraries that are imported from now on use ``cpus()`` threads.

    Most of them would count the machine's. A setting that is already in the environment is kept.

    Raises:
        JobError: As ``cpus``.
    """
    count = str(cpus())
    for name in _LIBRARIES:
        os.environ.setdefault(name, count)
    os.environ.setdefault("POLARS_CSV_CHUNK_SIZE", _CSV_CHUNK)


def _schedulable() -> int:
    """The CPUs that the system may schedule this process on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


def _limit(cgroup: Path) -> int | None:
    """The CPU time that the control group may use per second (``docker run --cpus``), rounded up.

    https://docs.kernel.org/admin-guide/cgroup-v2.html (``cpu.max``) and
    https://docs.kernel.org/scheduler/sched-bwc.html (version 1)
    """
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((cgroup / name).read_text() for name in names).split()
        except (OSError, ValueError):
            continue
        return math.ceil(int(quota) / int(period)) if quota.isdecimal() else None
    return None
