"""Progress on stderr: Rich bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    from rich.progress import Progress as RichBars
    from rich.progress import TaskID

LINE_EVERY_S = 10.0


@contextmanager
def progress_shown(*, quiet: bool = False) -> Iterator[Progress]:
    """Yield a ``progress(title, n_done, n_total)`` that draws on stderr."""
    if quiet:
        yield silent
    elif sys.stderr.isatty():
        with _bars() as bars:
            yield _on_bars(bars)
    else:
        yield _in_lines()


def _bars() -> RichBars:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichBars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return RichBars(*columns, console=Console(stderr=True))


def _on_bars(bars: RichBars) -> Progress:
    """One bar for each title; a title that starts again gets a fresh bar."""
    tasks: dict[str, TaskID] = {}

    def progress(title: str, n_done: int, n_total: int) -> None:
        if title not in tasks or (n_done < bars.tasks[bars.task_ids.index(tasks[title])].completed):
            tasks[title] = bars.add_task(title, total=n_total or None)
        bars.update(tasks[title], completed=n_done, total=n_total or None)

    return progress


def _in_lines() -> Progress:
    """For logs: a line when a title starts and ends, and every ten seconds between."""
    last: dict[str, float] = {}

    def progress(title: str, n_done: int, n_total: int) -> None:
        now = time.monotonic()
        ends = bool(n_total) and n_done >= n_total
        if title not in last or ends or now - last[title] >= LINE_EVERY_S:
            last[title] = now
            print(f"{title}: {n_done}/{n_total or '?'}", file=sys.stderr, flush=True)

    return progress
