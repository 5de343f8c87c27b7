"""Tasks: what is right (`task.py`, no torch) and how it is learned (`learn.py`). One folder and one dict line each."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType


def _segmentation() -> ModuleType:
    from fiducial.tasks.segmentation import task

    return task


def _classification() -> ModuleType:
    from fiducial.tasks.classification import task

    return task


def _learn_segmentation() -> ModuleType:
    from fiducial.tasks.segmentation import learn

    return learn


def _learn_classification() -> ModuleType:
    from fiducial.tasks.classification import learn

    return learn


TASKS: dict[str, Callable[[], ModuleType]] = {
    "segmentation": _segmentation,
    "classification": _classification,
}
"""Task name -> its ``task`` module: ``KIND``, ``HEADLINE`` and ``labels(cohort, targets)``."""

LEARN: dict[str, Callable[[], ModuleType]] = {
    "segmentation": _learn_segmentation,
    "classification": _learn_classification,
}
"""Task name -> its ``learn`` module (torch): ``make_loss`` and ``decode``."""
