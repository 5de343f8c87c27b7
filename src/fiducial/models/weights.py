"""A network's weights by name, each tensor once.

MONAI's DynUNet registers its blocks under two names; a plain state dict would hold, save and average each twice.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fiducial.records.plan import Member


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved buffers by their first name; the tensors themselves, not copies."""
    names = set(network.state_dict())
    tensors: dict[str, Tensor] = dict(network.named_parameters())
    return tensors | {name: buffer for name, buffer in network.named_buffers() if name in names}


def prefix_of(member: Member) -> str:
    """What the names of one network's weights begin with in a file that holds several."""
    return f"{member.name}." if member.name else ""


@torch.no_grad()
def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a network.

    Raises:
        ValueError: a name is missing or unknown, or a shape differs.
    """
    own = weights_of(network)
    if own.keys() != weights.keys():
        odd = sorted(own.keys() ^ weights.keys())
        raise ValueError(f"{len(odd)} weights do not belong together, first {odd[0]!r}")
    for name, tensor in own.items():
        if tensor.shape != weights[name].shape:
            raise ValueError(f"{name} has shape {tuple(weights[name].shape)}, not {tuple(tensor.shape)}")
        tensor.copy_(weights[name])
