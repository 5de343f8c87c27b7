"""A residual U-Net in two or three dimensions: MONAI's DynUNet, with sub-voxel output if the first stride is above 1.

With a first stride s the network works on a grid coarser by s, and its last layer predicts all s^d sub-voxels of each
coarse voxel at once (Shi et al., Real-time single image and video super-resolution using an efficient sub-pixel
convolutional neural network, CVPR 2016). On a CPU this costs about a third of a full-resolution network, so three
times as many samples are seen in a fixed time; the planner chooses it when the budget is short.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fiducial.records.plan import Plan


def build(plan: Plan) -> nn.Module:
    """Build the network of a plan; it maps [batch, channel, x, y(, z)] to logits [batch, class, x, y(, z)].

    Every spatial size must be divisible by the product of the plan's strides on that axis.
    """
    from monai.networks.nets import DynUNet

    d = plan.dimensions
    strides = [list(s[:d]) for s in plan.strides]
    first = tuple(strides[0])
    n_classes = len(plan.classes)
    trunk = DynUNet(
        spatial_dims=d,
        in_channels=plan.n_channels,
        out_channels=n_classes * math.prod(first),
        kernel_size=[list(k[:d]) for k in plan.kernels],
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=list(plan.widths),
        res_block=True,
        dropout=plan.dropout or None,
    )
    return trunk if math.prod(first) == 1 else nn.Sequential(trunk, SubVoxels(first))


def deepest(network: nn.Module) -> nn.Module:
    """The layer whose output, averaged over space, says where an image lies: the bottom of the U."""
    trunk = network[0] if isinstance(network, nn.Sequential) else network
    layer: nn.Module = trunk.get_submodule("bottleneck")
    return layer


class SubVoxels(nn.Module):
    """Rearrange [batch, class * prod(factors), ...] to [batch, class, ... * factors]: channels become sub-voxels."""

    def __init__(self, factors: tuple[int, ...]) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, x: Tensor) -> Tensor:
        """Interleave the channel groups along each spatial axis."""
        d, sizes = len(self.factors), x.shape[2:]
        x = x.reshape(x.shape[0], -1, *self.factors, *sizes)
        order = [0, 1] + [axis for i in range(d) for axis in (2 + d + i, 2 + i)]
        x = x.permute(order)
        return x.reshape(x.shape[0], x.shape[1], *[n * f for n, f in zip(sizes, self.factors, strict=True)])


def count_parameters(network: torch.nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
