"""Checkpoints in safetensors: weights, averaged weights, optimiser state and the step; no pickle."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fiducial.errors import InputRefused, IntegrityError, RunMismatch
from fiducial.models.weights import load_weights, weights_of
from fiducial.records.files import atomic_path


@dataclass
class State:
    """What training carries from step to step; ``losses`` are those since the last row of the history."""

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    objective: nn.Module = field(default_factory=nn.Module)
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_score: float = float("inf")


def save_checkpoint(state: State, path: Path, *, plan_digest: str) -> None:
    """Write the whole state atomically; a full disk leaves the previous checkpoint as it was.

    Raises:
        InputRefused: the disk is full or the file may not be written.
    """
    tensors = _prefixed("network", weights_of(state.network)) | _prefixed("average", weights_of(state.average))
    tensors |= _prefixed("best", state.best) | _prefixed("objective", weights_of(state.objective))
    for index, values in state.optimizer.state_dict()["state"].items():
        tensors |= _prefixed(f"optimizer.{index}", values)
    metadata = {
        "plan": plan_digest,
        "step": str(state.step),
        "best_score": repr(state.best_score),
        "history": json.dumps(state.history),
        "losses": json.dumps(state.losses),
    }
    save_tensors(tensors, path, metadata)


def load_checkpoint(state: State, path: Path, *, plan_digest: str) -> None:
    """Restore a state in place.

    Raises:
        RunMismatch: the checkpoint was written under another plan.
        IntegrityError: the file is not a whole safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise IntegrityError(
            f"not a whole checkpoint ({error})", where=str(path), action="train again without --resume"
        ) from error
    if metadata.get("plan") != plan_digest:
        raise RunMismatch(
            "the checkpoint was written under another plan",
            where=str(path),
            action="resume the run that it belongs to, or train again into an empty folder",
        )
    load_weights(state.network, _without_prefix("network", tensors))
    load_weights(state.average, _without_prefix("average", tensors))
    load_weights(state.objective, _without_prefix("objective", tensors))
    state.best = _without_prefix("best", tensors)
    saved = state.optimizer.state_dict()
    for index in (i for group in saved["param_groups"] for i in group["params"]):
        values = _without_prefix(f"optimizer.{index}", tensors)
        if values:
            saved["state"][index] = values
    state.optimizer.load_state_dict(saved)
    state.step = int(metadata["step"])
    state.best_score = float(metadata["best_score"])
    state.history = json.loads(metadata["history"])
    state.losses = json.loads(metadata["losses"])


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically.

    Raises:
        InputRefused: the disk is full or the file may not be written.
    """
    from safetensors.torch import save_file

    whole = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    try:
        with atomic_path(path) as part:
            save_file(whole, part, metadata=metadata)
    except Exception as error:
        code = getattr(error, "errno", None)
        if (
            code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
            or "os error 28" in str(error)
            or "os error 27" in str(error)
        ):
            raise InputRefused(
                "the disk is full: nothing was left half-written",
                where=str(path.parent),
                action="make room and run the same command with --resume",
            ) from error
        raise


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Tensor]:
    return {f"{prefix}.{key}": torch.as_tensor(value).detach().clone() for key, value in values.items()}


def _without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
