"""The number of CPUs that a job uses: those of its container, not those of the machine."""

import math
import os
from pathlib import Path

from .messages import JobError

_VARIABLE = "JOB_CPUS"
_THREAD_VARIABLES = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
"""Variables of Polars; of OpenMP, OpenBLAS and MKL; and of joblib."""

_CSV_CHUNK_BYTES = 1 << 20
"""Polars reads two chunks ahead per thread; its default of 32 MB would need much memory."""


def cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the value of ``JOB_CPUS``, or by default the number of CPUs the container may use.

    Fewer CPUs need less memory, because libraries hold data for each of their threads.

    Raises:
        JobError: ``JOB_CPUS`` is not a positive integer.
    """
    value = os.environ.get(_VARIABLE, "")
    if not value:
        return max(1, min(_schedulable(), _cgroup_limit(cgroup) or _schedulable()))
    if not value.isdecimal() or int(value) < 1:
        raise JobError(f"{_VARIABLE} must be a whole number of 1 or more")
    return int(value)


def limit_threads() -> None:
    """Make libraries that are imported afterwards use ``cpus()`` threads.

    By default, most of them use as many as the machine has CPUs. Variables that are already set are
    kept.

    Raises:
        JobError: See ``cpus``.
    """
    count = str(cpus())
    for name in _THREAD_VARIABLES:
        os.environ.setdefault(name, count)
    os.environ.setdefault("POLARS_CSV_CHUNK_SIZE", str(_CSV_CHUNK_BYTES))


def _schedulable() -> int:
    """Return the number of CPUs that the system may schedule this process on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


def _cgroup_limit(cgroup: Path) -> int | None:
    """Return the CPU limit of the control group (``docker run --cpus``), rounded up.

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
