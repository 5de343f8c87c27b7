"""Networks: one builder per file, a plan in, a module out; no I/O and no knowledge of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from fiducial.records.plan import Plan


def _resunet(plan: Plan) -> nn.Module:
    from fiducial.models.resunet import build

    return build(plan)


def _resnet(plan: Plan) -> nn.Module:
    from fiducial.models.resnet import build

    return build(plan)


MODELS: dict[str, Callable[[Plan], nn.Module]] = {
    "resunet": _resunet,
    "resnet": _resnet,
}
"""Model name (as a study or plan says it) -> builder. A network maps [batch, channel, x, y(, z)] to logits."""


def deepest(network: nn.Module, plan: Plan) -> nn.Module:
    """The layer of a plan's network that embeddings are read from."""
    from fiducial.models import resnet, resunet

    return {"resunet": resunet.deepest, "resnet": resnet.deepest}[plan.model](network)


MODEL_TASKS: dict[str, tuple[str, ...]] = {"segmentation": ("resunet",), "classification": ("resnet",)}
"""Task -> the models that can learn it, the planner's default first."""
