"""What training minimises: the task's loss, weighted by case or by the groups that fare worst."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fiducial.records.plan import Plan
from fiducial.tasks import LEARN

if TYPE_CHECKING:
    from fiducial.train.sampling import Batch

DRO_STEP = 0.01
"""Step size of the groups' weights (Sagawa et al., Distributionally robust neural networks, ICLR 2020)."""


class Objective(nn.Module):
    """The loss of a batch. Under ``group_dro`` it carries the groups' weights, which are saved with a checkpoint."""

    shares: Tensor

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        learn = LEARN[plan.task]()
        self.method = plan.mitigation.method if plan.mitigation else ""
        # The loss of single cases is needed only to weight them; Dice is a loss of the whole batch.
        self.by_case = learn.make_case_losses(plan) if plan.task == "classification" else None
        self.loss = learn.make_loss(plan)
        if plan.mitigation and self.method == "group_dro":
            n_groups = len(plan.mitigation.groups)
            self.register_buffer("shares", torch.full((n_groups,), 1 / n_groups))

    def forward(self, logits: Tensor, batch: Batch, done: float = 1.0) -> Tensor:
        """The loss to minimise, at a share ``done`` of the training; moves the groups' weights under ``group_dro``."""
        truth = batch.y.to(logits.device)
        if self.by_case is None:
            loss: Tensor = self.loss(logits, truth)
            return loss
        losses, known = self.by_case(logits, truth, done)
        if self.method == "group_dro":
            return self._robust(losses, known, batch.group.to(logits.device))
        weight = batch.weight.to(logits.device)
        mean: Tensor = (weight * losses).sum() / (weight * known).sum().clamp(min=1e-6)
        return mean

    def plain(self, logits: Tensor, batch: Batch) -> Tensor:
        """The task's own mean loss, by which weights are compared on the validation part."""
        loss: Tensor = self.loss(logits, batch.y.to(logits.device))
        return loss

    def chosen_by(self, losses: Tensor, known: Tensor, group: Tensor, weight: Tensor) -> float:
        """What weights are compared by under a mitigation; a mean over cases would be that of the largest group.

        ``reweighing``: the weighted mean; ``balanced``: the mean of the groups' means; ``group_dro``: the worst mean.
        NaN where no case counts.

        Args:
            losses: of all validation cases [n], 0 where not known.
            known: how much is known of each [n].
            group: of each [n]; -1, which no training case belongs to, does not count.
            weight: of each [n].

        Source: Idrissi et al., Simple data balancing achieves competitive worst-group-accuracy, CLeaR 2022.
        """
        if self.method == "reweighing":
            return float((weight * losses).sum() / (weight * known).sum())
        numbers = sorted({int(k) for k in group[known > 0]} - {-1})
        means = [float(losses[group == k].sum() / known[group == k].sum()) for k in numbers]
        if not means:
            return math.nan
        return max(means) if self.method == "group_dro" else sum(means) / len(means)

    def _robust(self, losses: Tensor, known: Tensor, group: Tensor) -> Tensor:
        """Sum over groups of weight times mean loss; a group that is not in the batch keeps its weight."""
        n = torch.zeros_like(self.shares).index_add(0, group, known.to(self.shares.dtype))
        total = torch.zeros_like(self.shares).index_add(0, group, losses.to(self.shares.dtype))
        mean = total / n.clamp(min=1e-6)
        with torch.no_grad():
            grown = self.shares * torch.exp(DRO_STEP * mean.detach() * (n > 0))
            self.shares.copy_(grown / grown.sum())
        return (self.shares * mean).sum()
