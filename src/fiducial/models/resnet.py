"""A residual network for whole images or regions, two- or three-dimensional: MONAI's ResNet with a small stem."""

from __future__ import annotations

from torch import nn

from fiducial.records.plan import Plan


def build(plan: Plan) -> nn.Module:
    """Build the network of a plan; it maps [batch, channel, x, y(, z)] to logits [batch, class].

    The stem is a 3-wide convolution with the plan's first stride and no pooling, because medical regions are often
    only a few dozen voxels wide (He et al., Deep residual learning, CVPR 2016, appendix on small images).
    """
    from monai.networks.nets import ResNet

    d = plan.dimensions
    network: nn.Module = ResNet(
        block="basic",
        layers=list(plan.blocks),
        block_inplanes=list(plan.widths),
        spatial_dims=d,
        n_input_channels=plan.n_channels,
        conv1_t_size=list(plan.kernels[0][:d]),
        conv1_t_stride=list(plan.strides[0][:d]),
        no_max_pool=True,
        num_classes=plan.n_outputs,
    )
    if plan.dropout:
        network.fc = nn.Sequential(nn.Dropout(plan.dropout), network.get_submodule("fc"))
    return network


def deepest(network: nn.Module) -> nn.Module:
    """The layer whose output, averaged over space, says where an image lies: the pooled features."""
    layer: nn.Module = network.get_submodule("avgpool")
    return layer
