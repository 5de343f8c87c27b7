"""Loops are compiled once on a machine, which takes a while: whoever waits for it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from fiducial.records.progress import Progress

COMPILING = "compiling the loops of radiomics, once on this machine (up to half a minute)"
LOGGER = logging.getLogger("fiducial")


def compiled_before(loop: Any) -> bool:
    """Whether the disk holds a compiled form of a Numba function with a cache, not older than its source.

    With ``NUMBA_DISABLE_JIT``, where functions stay Python's, nothing will be compiled either.
    """
    if not hasattr(loop, "stats"):
        return True
    folder, function = Path(loop.stats.cache_path), loop.py_func
    module = function.__module__.rpartition(".")[2]
    written = Path(function.__code__.co_filename).stat().st_mtime
    return any(file.stat().st_mtime >= written for file in folder.glob(f"{module}.{function.__qualname__}-*.nbi"))


@cache
def announce(loop: Any) -> None:
    """Log, once in a process, that loops will be compiled where they will; a warning, which Python shows by itself."""
    if not compiled_before(loop):
        LOGGER.warning(COMPILING)


def compile_all(loop: Any, warm_up: Callable[[], None], progress: Progress) -> None:
    """``warm_up()``, shown as progress where ``loop`` is not compiled yet."""
    if compiled_before(loop):
        return warm_up()
    progress(COMPILING, 0, 1)
    warm_up()
    return progress(COMPILING, 1, 1)
