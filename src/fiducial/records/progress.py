"""How long work reports itself: a callable, so that rooms print nothing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""``progress(title, n_done, n_total)``; the command line draws a bar, a notebook may draw another."""


def silent(title: str, n_done: int, n_total: int) -> None:
    """Report nothing."""
