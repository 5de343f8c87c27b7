"""A run's network as a `Predictor`: voxels in, probabilities out, in bounded memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fiducial.errors import IntegrityError
from fiducial.models import MODELS
from fiducial.models.weights import load_weights
from fiducial.records.files import read_json
from fiducial.records.plan import Plan
from fiducial.tasks import LEARN

WHOLE_IMAGE_FACTOR = 1.5
BATCH_VOXELS = 200_000  # windows are applied together up to this many voxels: more cost memory and no less time


def apply_network(network: nn.Module, x: Tensor, plan: Plan) -> Tensor:
    """Apply a network to [batch, channel, x, y, z]; a two-dimensional one does not see z = 1."""
    if plan.dimensions == 3:
        out: Tensor = network(x)
        return out
    out = network(x.squeeze(-1))
    return out.unsqueeze(-1) if plan.label_type == "structures" else out


class TorchPredictor:
    """A trained network on a device; fulfils `fiducial.records.predictor.Predictor`.

    Args:
        network: weights loaded, on the device, in evaluation mode.
        plan: the plan that it was trained under.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, network: nn.Module, plan: Plan, device: str) -> None:
        self.network = network.eval().to(device)
        self.plan = plan
        self.device = device

    @torch.no_grad()
    def __call__(self, voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [class, x, y, z] or [class] of prepared voxels, averaged over the plan's mirrored views."""
        x = torch.from_numpy(np.ascontiguousarray(voxels))[None].to(self.device)
        total: Tensor | None = None
        views = [(), *((axis,) for axis in self.plan.test_mirror_axes)]
        for axes in views:
            flips = [axis + 2 for axis in axes]
            seen = self._view(x.flip(flips) if flips else x)
            if flips and self.plan.label_type == "structures":
                seen = seen.flip(flips)
            total = seen if total is None else total + seen
        if total is None:
            raise RuntimeError("no view")
        result: NDArray[np.float32] = (total[0] / len(views)).cpu().numpy().astype(np.float32)
        return result

    def _view(self, x: Tensor) -> Tensor:
        """Probabilities of one view: in one piece where that fits, else in Gaussian-weighted windows."""
        learn = LEARN[self.plan.task]()
        autocast = torch.autocast(self.device, torch.bfloat16, enabled=self.plan.precision == "bf16-mixed")

        def run(part: Tensor) -> Tensor:
            with autocast:
                logits = apply_network(self.network, part, self.plan)
            probabilities: Tensor = learn.decode(logits, self.plan)
            return probabilities

        if self.plan.label_type != "structures":
            return run(x)
        from monai.inferers import sliding_window_inference

        window = window_size(x.shape[2:], self.plan)
        result: Any = sliding_window_inference(
            x,
            roi_size=window,
            sw_batch_size=max(1, BATCH_VOXELS // math.prod(window)),
            predictor=run,
            overlap=self.plan.overlap,
            mode="gaussian",
        )
        return torch.as_tensor(result)


def window_size(shape: Any, plan: Plan) -> tuple[int, ...]:
    """The window of each axis: the plan's patch, or the whole axis where that is little more.

    A whole axis is rounded up to what the network's strides divide.
    """
    sizes = []
    for axis, (n, patch) in enumerate(zip(shape, plan.patch, strict=True)):
        divisor = int(np.prod([s[axis] for s in plan.strides]))
        whole = -(-int(n) // divisor) * divisor
        sizes.append(max(whole, 2 * divisor) if whole <= WHOLE_IMAGE_FACTOR * patch and n > 1 else patch)
    return tuple(sizes)


def load_predictor(run: Path, *, device: str = "auto") -> TorchPredictor:
    """Load a run's plan and weights; digests are verified by the caller.

    Raises:
        IntegrityError: the weights are not a whole safetensors file or do not fit the plan's network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    plan = Plan.model_validate(read_json(run / "plan.json"))
    network = MODELS[plan.model](plan)
    try:
        load_weights(network, load_file(run / "model.safetensors"))
    except (SafetensorError, ValueError, OSError) as error:
        raise IntegrityError(
            f"weights cannot be loaded ({str(error).splitlines()[0]})",
            where=str(run / "model.safetensors"),
            action="restore the run's own file, or train again",
        ) from error
    return TorchPredictor(network, plan, resolve_device(device))


def resolve_device(device: str) -> str:
    """``auto`` is ``cuda`` where PyTorch sees one, else ``cpu``."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
