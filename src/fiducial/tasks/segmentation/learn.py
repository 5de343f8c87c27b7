"""How segmentation is learned: Dice and cross-entropy on exclusive classes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fiducial.records.plan import Plan


def make_loss(plan: Plan) -> Callable[[Tensor, Tensor], Tensor]:
    """Soft Dice of the structures over the whole batch, plus cross-entropy (MONAI's ``DiceCELoss``).

    The loss takes logits [batch, class, ...] and label maps [batch, 1, ...] of class indices.
    """
    from monai.losses import DiceCELoss

    weights = torch.tensor(plan.class_weights) if plan.class_weights else None
    loss: Callable[[Tensor, Tensor], Tensor] = DiceCELoss(
        to_onehot_y=True, softmax=True, batch=True, include_background=False, weight=weights
    )
    return loss


def decode(logits: Tensor, plan: Plan) -> Tensor:  # noqa: ARG001 - one signature for all tasks
    """Probabilities [batch, class, ...] that sum to 1 over classes."""
    return torch.softmax(logits.float(), dim=1)
