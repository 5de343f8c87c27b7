"""How many processor cores this process may use, and how a child is kept to one of them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Read by the thread pools of OpenMP, OpenBLAS, MKL, Apple's Accelerate, NumExpr and ITK when they are loaded.
THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def visible_cores() -> int:
    """Cores that this process may run on: its CPU affinity, or a container's CPU quota if that is less; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, quota_cores(Path("/sys/fs/cgroup"))))


def quota_cores(cgroup: Path) -> int:
    """Cores that a Linux control group grants (version 2, then 1), rounded up; a very large number if unlimited."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((cgroup / name).read_text() for name in files).split()
        except (OSError, ValueError):
            continue
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            return max(1, math.ceil(int(quota) / int(period)))
    return 1_000_000


@contextmanager
def one_thread_each() -> Iterator[None]:
    """While this is open, processes that are started keep their numeric libraries to one thread each.

    The variables must stand before the child's libraries load, so they are set here and restored afterwards.
    """
    before = {name: os.environ.get(name) for name in THREAD_LIMITS}
    os.environ.update(dict.fromkeys(THREAD_LIMITS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
