"""A run's network as a `Predictor`: voxels in, probabilities out, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fiducial.errors import IntegrityError
from fiducial.maths.disagreement import disagreement
from fiducial.models import MODELS, deepest
from fiducial.models.weights import load_weights, prefix_of
from fiducial.predict.views import View, views_of
from fiducial.records.files import read_json
from fiducial.records.plan import Plan
from fiducial.records.predictor import Answer
from fiducial.tasks import LEARN

MAX_COORDINATES = 64  # of an embedding: more cost rows, and distances in them need more cases than a study has
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
    """A run's trained networks on a device; fulfils `fiducial.records.predictor.Predictor`.

    Args:
        networks: one for each member of the plan, weights loaded.
        plan: the plan that they were trained under.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, networks: Sequence[nn.Module], plan: Plan, device: str) -> None:
        self.networks = [network.eval().to(device) for network in networks]
        self.plan = plan
        self.device = device

    def __call__(self, voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [class, x, y, z] or [class] of prepared voxels, averaged over networks and views."""
        return self.answer(voxels).probabilities

    @torch.no_grad()
    def answer(self, voxels: NDArray[np.float32], *, seed: int = 0) -> Answer:
        """The final answer, and whatever else the plan asks for.

        The final answer is the mean over networks and views. Members are the networks (each over its views) if there
        are several, else draws of the network with its dropout left on, else views. The uncertainty is an evidential
        head's vacuity, else the members' mutual information as a share of the largest possible. The embedding is that
        of the first network and the first view, because coordinates of different networks cannot be compared.

        Args:
            voxels: [channel, x, y, z], prepared.
            seed: of the draws; the same seed gives the same draws.
        """
        x = torch.from_numpy(np.ascontiguousarray(voxels))[None].to(self.device)
        views = views_of(self.plan)
        members: dict[str, NDArray[np.float32]] = {}
        lacking: list[Tensor] = []
        total: Tensor | None = None
        embedding = None
        with _read(self.networks[0], self.plan) as seen:
            for member, network in zip(self.plan.members, self.networks, strict=True):
                mean: Tensor | None = None
                for number, view in enumerate(views):
                    probabilities = self._view(network, x, view, lacking)
                    embedding = seen.mean() if embedding is None and seen.n else embedding
                    mean = probabilities if mean is None else mean + probabilities
                    if self.plan.views and len(self.networks) == 1:
                        members[f"view{number + 1}"] = _array(probabilities)
                mean = _present(mean) / len(views)
                if len(self.networks) > 1:
                    members[member.name] = _array(mean)
                total = mean if total is None else total + mean
        members |= self._draws(x, seed)
        final = _array(_present(total) / len(self.networks))
        uncertainty = _array(torch.stack(lacking).mean(dim=0)) if lacking else None
        if uncertainty is None and members and self.plan.label_type != "structures":
            uncertainty = disagreement(np.stack(list(members.values())), exclusive=self.plan.label_type == "multiclass")
        return Answer(final, members, uncertainty, embedding)

    def _draws(self, x: Tensor, seed: int) -> dict[str, NDArray[np.float32]]:
        """Answers of the first network with dropout left on (Gal and Ghahramani, ICML 2016)."""
        if not self.plan.draws:
            return {}
        dropping = [m for m in self.networks[0].modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
        drawn = {}
        with torch.random.fork_rng(devices=[] if self.device == "cpu" else None):
            for module in dropping:
                module.train()
            for number in range(self.plan.draws):
                torch.manual_seed(seed + number)
                drawn[f"draw{number + 1}"] = _array(self._view(self.networks[0], x, View(), []))
            for module in dropping:
                module.eval()
        return drawn

    def _view(self, network: nn.Module, x: Tensor, view: View, lacking: list[Tensor]) -> Tensor:
        """Probabilities of one view, moved back: in one piece where that fits, else in Gaussian-weighted windows."""
        learn = LEARN[self.plan.task]()
        autocast = torch.autocast(self.device, torch.bfloat16, enabled=self.plan.precision == "bf16-mixed")

        def run(part: Tensor) -> Tensor:
            with autocast:
                logits = apply_network(network, part, self.plan)
            if self.plan.head == "evidential":
                lacking.append(learn.vacuity(logits, self.plan))
            probabilities: Tensor = learn.decode(logits, self.plan)
            return probabilities

        x = view.there(x)
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
        return view.back(torch.as_tensor(result))


class _Features:
    """What the deepest layer gave, averaged over space and, where an image is read in windows, over windows."""

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.n = 0

    def add(self, _module: nn.Module, _given: Any, out: Tensor) -> None:
        """Called after each pass."""
        each = out.detach().float().flatten(2).mean(dim=2)
        self.total = each.sum(dim=0) if self.total is None else self.total + each.sum(dim=0)
        self.n += len(each)

    def mean(self) -> NDArray[np.float32]:
        """The mean so far; at most 64 coordinates, by a fixed orthonormal projection of more."""
        features = (_present(self.total) / self.n).cpu().numpy().astype(np.float64)
        if len(features) > MAX_COORDINATES:
            features = features @ _projection(len(features))
        result: NDArray[np.float32] = features.astype(np.float32)
        return result


@lru_cache(maxsize=4)
def _projection(n_features: int) -> NDArray[np.float64]:
    """Orthonormal columns [feature, 64], the same in every run."""
    random = np.random.default_rng(0).standard_normal((n_features, MAX_COORDINATES))
    return np.linalg.qr(random)[0]


@contextmanager
def _read(network: nn.Module, plan: Plan) -> Iterator[_Features]:
    """Listen to a network's deepest layer, where the plan asks for embeddings."""
    features = _Features()
    hook = deepest(network, plan).register_forward_hook(features.add) if plan.embeddings else None
    try:
        yield features
    finally:
        if hook is not None:
            hook.remove()


def _array(x: Tensor) -> NDArray[np.float32]:
    """The first of a batch as an array."""
    result: NDArray[np.float32] = x[0].float().cpu().numpy()
    return result


def _present(x: Tensor | None) -> Tensor:
    if x is None:
        raise RuntimeError("no view")
    return x


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
    networks = [MODELS[plan.model](plan) for _ in plan.members]
    try:
        weights = load_file(run / "model.safetensors")
        for member, network in zip(plan.members, networks, strict=True):
            prefix = prefix_of(member)
            own = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
            load_weights(network, own)
    except (SafetensorError, ValueError, OSError) as error:
        raise IntegrityError(
            f"weights cannot be loaded ({str(error).splitlines()[0]})",
            where=str(run / "model.safetensors"),
            action="restore the run's own file, or train again",
        ) from error
    return TorchPredictor(networks, plan, resolve_device(device))


def resolve_device(device: str) -> str:
    """``auto`` is ``cuda`` where PyTorch sees one, else ``cpu``."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
