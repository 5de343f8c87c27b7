"""What a task is to learn, read from the cohort: the record that both tasks return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LabelType = Literal["structures", "binary", "multiclass", "multilabel"]


@dataclass(frozen=True)
class Labels:
    """The classes of a network's output, in order.

    ``structures``: background and one class per structure, exclusive (softmax). ``binary`` and ``multilabel``: one
    probability per target (sigmoid). ``multiclass``: one probability per class of the only target (softmax).
    """

    label_type: LabelType
    classes: tuple[str, ...]
