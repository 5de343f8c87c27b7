"""Loops over a region shared between threads. Compiled loops release the interpreter, so threads use every core.

What is shared is counted in whole numbers or written to places of its own: any number of threads gives the same result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import parent_process
from typing import TypeVar

T = TypeVar("T")
WORTHWHILE = 20_000
"""Voxels from which on a second thread is worth its start."""


def n_threads(asked: int, n_voxels: int) -> int:
    """Threads for a region: those asked for, one where the region is small.

    0 is as many as cores that this process may use; one in a process that is itself one of several.
    """
    if n_voxels < WORTHWHILE:
        return 1
    if asked:
        return asked
    if parent_process() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_parts(work: Callable[[int, int], T], n: int, threads: int) -> list[T]:
    """``work(first, end)`` on as many parts of ``range(n)`` as there are threads, in order."""
    threads = max(1, min(threads, n))
    edges = [n * k // threads for k in range(threads + 1)]
    if threads == 1:
        return [work(0, n)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, edges[:-1], edges[1:]))
