"""How classification is learned: cross-entropy, binary or over exclusive classes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from fiducial.records.plan import Plan


def make_loss(plan: Plan) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy of logits [batch, class] against truth.

    ``multiclass``: truth [batch] of class indices, -1 for a missing label. ``binary`` and ``multilabel``: truth
    [batch, class] of 0 and 1, NaN for a missing label. Missing labels have no part in the loss.
    """
    weights = torch.tensor(plan.class_weights) if plan.class_weights else None
    if plan.label_type == "multiclass":

        def exclusive(logits: Tensor, truth: Tensor) -> Tensor:
            return functional.cross_entropy(logits, truth.long(), weight=weights, ignore_index=-1)

        return exclusive

    def independent(logits: Tensor, truth: Tensor) -> Tensor:
        known = torch.isfinite(truth)
        each = functional.binary_cross_entropy_with_logits(
            logits, torch.where(known, truth, torch.zeros_like(truth)), pos_weight=weights, reduction="none"
        )
        return (each * known).sum() / known.sum().clamp(min=1)

    return independent


def decode(logits: Tensor, plan: Plan) -> Tensor:
    """Probabilities [batch, class]: softmax for exclusive classes, else a sigmoid each."""
    logits = logits.float()
    return torch.softmax(logits, dim=1) if plan.label_type == "multiclass" else torch.sigmoid(logits)
