"""How classification is learned: cross-entropy or evidence, binary or over exclusive classes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from fiducial.records.plan import Plan


def make_loss(plan: Plan) -> Callable[[Tensor, Tensor], Tensor]:
    """The mean of `make_case_losses` over what is known; missing labels have no part in it."""
    losses_of = make_case_losses(plan)

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        losses, known = losses_of(logits, truth, 1.0)
        return losses.sum() / known.sum().clamp(min=1e-6)

    return loss


def make_case_losses(plan: Plan) -> Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]:
    """The loss of each case, and how much is known of it: both [batch]; their sums' ratio is the mean loss.

    Cross-entropy of logits, or with an evidential head `evidential_loss`, at a share ``done`` of the training.

    ``multiclass``: truth [batch] of class indices, -1 for a missing label. ``binary`` and ``multilabel``: truth
    [batch, class] of 0 and 1, NaN for a missing label.
    """
    weights = torch.tensor(plan.class_weights) if plan.class_weights else None
    evidential = plan.head == "evidential"
    if plan.label_type == "multiclass":

        def exclusive(logits: Tensor, truth: Tensor, done: float) -> tuple[Tensor, Tensor]:
            known = (truth >= 0).to(logits.dtype)
            index = truth.long().clamp(min=0)
            if weights is not None:
                known = known * weights.to(logits)[index]
            if evidential:
                each = evidential_loss(logits, index, done)
            else:
                each = functional.cross_entropy(logits, index, reduction="none")
            return each * known, known

        return exclusive

    def independent(logits: Tensor, truth: Tensor, done: float) -> tuple[Tensor, Tensor]:
        known = torch.isfinite(truth)
        target = torch.where(known, truth, torch.zeros_like(truth))
        if evidential:
            each = evidential_loss(_pairs(logits), target.long(), done)
        else:
            each = functional.binary_cross_entropy_with_logits(
                logits, target, pos_weight=None if weights is None else weights.to(logits), reduction="none"
            )
        return (each * known).sum(dim=1), known.sum(dim=1).to(logits.dtype)

    return independent


def decode(logits: Tensor, plan: Plan) -> Tensor:
    """Probabilities [batch, class]: softmax for exclusive classes, else a sigmoid each; or the mean of the evidence."""
    logits = logits.float()
    if plan.head == "evidential":
        alpha = _concentration(logits if plan.label_type == "multiclass" else _pairs(logits))
        mean = alpha / alpha.sum(dim=-1, keepdim=True)
        return mean if plan.label_type == "multiclass" else mean[..., 1]
    return torch.softmax(logits, dim=1) if plan.label_type == "multiclass" else torch.sigmoid(logits)


def vacuity(logits: Tensor, plan: Plan) -> Tensor:
    """How little evidence there is, K / sum of concentrations, in (0, 1]: [batch, target] of an evidential head."""
    alpha = _concentration(logits.float() if plan.label_type == "multiclass" else _pairs(logits.float()))
    lack = alpha.shape[-1] / alpha.sum(dim=-1)
    return lack[:, None] if plan.label_type == "multiclass" else lack


def evidential_loss(logits: Tensor, truth: Tensor, done: float) -> Tensor:
    """Expected cross-entropy under a Dirichlet of the evidence, and a penalty on evidence for wrong classes.

    With concentrations a = 1 + softplus(logits) of sum S and the true class t: digamma(S) - digamma(a_t), plus
    min(1, done) KL(Dir(b) | Dir(1)), where b is a with the true class set to 1 (Sensoy, Kaplan and Kandemir, Evidential
    deep learning to quantify classification uncertainty, NeurIPS 2018, equations 4 and 5).

    Args:
        logits: [..., class].
        truth: [...] class indices.
        done: share of the training that is done, in [0, 1].
    """
    alpha = _concentration(logits.float())
    own = alpha.gather(-1, truth[..., None])[..., 0]
    fit = torch.digamma(alpha.sum(dim=-1)) - torch.digamma(own)
    wrong = torch.scatter(alpha, -1, truth[..., None], 1.0)
    return fit + min(1.0, done) * _from_uniform(wrong)


def _from_uniform(alpha: Tensor) -> Tensor:
    """KL divergence of Dir(alpha) from the uniform Dirichlet, over the last axis."""
    total = alpha.sum(dim=-1)
    n_classes = torch.tensor(float(alpha.shape[-1]), device=alpha.device)
    constant = torch.lgamma(total) - torch.lgamma(alpha).sum(dim=-1) - torch.lgamma(n_classes)
    slope = (alpha - 1) * (torch.digamma(alpha) - torch.digamma(total)[..., None])
    return constant + slope.sum(dim=-1)


def _concentration(logits: Tensor) -> Tensor:
    return 1 + functional.softplus(logits)


def _pairs(logits: Tensor) -> Tensor:
    """[batch, 2 * target] as [batch, target, 2]: evidence against and for each."""
    return logits.reshape(len(logits), -1, 2)
