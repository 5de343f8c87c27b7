"""The one training loop: Lightning Fabric for device and precision, everything else in sight."""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fiducial.models import MODELS
from fiducial.models.weights import weights_of
from fiducial.predict.engine import apply_network
from fiducial.records.plan import Plan
from fiducial.records.progress import Progress, silent
from fiducial.train.augmentation import augment
from fiducial.train.cache import Cached
from fiducial.train.checkpoint import State, load_checkpoint, save_checkpoint
from fiducial.train.objective import Objective
from fiducial.train.sampling import batch_at

CHECKPOINT_SECONDS = 30.0
N_CHECKS = 10
N_VALIDATION_BATCHES = 16


@dataclass(frozen=True)
class Trained:
    """What a training gives: the weights to keep, and one history row per noted step."""

    weights: dict[str, Tensor]
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Machinery:
    """The parts that a step needs, set up for the plan's device and precision."""

    fabric: Any
    network: Any
    average: nn.Module
    optimizer: Any
    objective: Objective


def set_up(plan: Plan) -> Machinery:
    """Build network, optimiser and loss of a plan; the seed decides the initial weights."""
    import logging
    import warnings

    from lightning_fabric import Fabric

    torch.set_num_threads(plan.n_threads)
    torch.manual_seed(plan.seed)
    network = MODELS[plan.model](plan)
    average = copy.deepcopy(network).requires_grad_(False).eval()
    groups: list[dict[str, Any]] = [
        {"params": [p for p in network.parameters() if p.ndim > 1]},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups,
        lr=plan.learning_rate,
        weight_decay=plan.weight_decay,
        betas=(0.9, 0.99),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Fabric advises on hardware that is not used
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # and announces its precision
        fabric = Fabric(accelerator=plan.device, devices=1, precision=plan.precision)
        wrapped, optimizer = fabric.setup(network.train(), optimizer)
    return Machinery(fabric, wrapped, average.to(fabric.device), optimizer, Objective(plan).to(fabric.device))


def train_step(machinery: Machinery, plan: Plan, cases: Sequence[Cached], step: int) -> float:
    """One optimiser step on the batch of that number; returns the loss."""
    factor = rate_factor(step, plan)
    for group in machinery.optimizer.param_groups:
        group["lr"] = plan.learning_rate * factor
    batch = batch_at(step, cases, plan)
    x, moved = augment(
        batch.x, batch.y if plan.label_type == "structures" else None, plan.augmentation, batch.generator
    )
    if moved is not None:
        batch = replace(batch, y=moved)
    if plan.dropout:
        torch.manual_seed(plan.seed * 1_000_003 + step)  # a resumed training drops what an uninterrupted one does
    logits = apply_network(machinery.network, x.to(machinery.fabric.device), plan)
    loss: Tensor = machinery.objective(logits.float(), batch, step / plan.n_steps)
    machinery.optimizer.zero_grad()
    machinery.fabric.backward(loss)
    machinery.fabric.clip_gradients(machinery.network, machinery.optimizer, max_norm=12.0)
    machinery.optimizer.step()
    update_average(machinery.average, machinery.network.module, min(plan.average_decay, (1 + step) / (10 + step)))
    return float(loss.detach())


def train_loop(
    plan: Plan,
    cases: Sequence[Cached],
    validation: Sequence[Cached],
    checkpoint: Path,
    *,
    plan_digest: str,
    resume: bool = False,
    progress: Progress = silent,
) -> Trained:
    """Follow a plan to its last step, from its start or from a checkpoint.

    The averaged weights are kept: those of the last step for segmentation, for classification those of the lowest
    validation loss among ten checks (a classifier of few cases overfits, a segmentation network rarely does).
    On Ctrl-C the step in progress is finished and the state is saved before the interrupt goes on.

    Raises:
        InputRefused: the disk is full. RunMismatch: the checkpoint belongs to another plan.
    """
    machinery = set_up(plan)
    state = State(machinery.network.module, machinery.average, machinery.optimizer.optimizer, machinery.objective)
    if resume and checkpoint.exists():
        load_checkpoint(state, checkpoint, plan_digest=plan_digest)
    every = max(1, plan.n_steps // N_CHECKS)
    saved_at = time.monotonic()
    try:
        while state.step < plan.n_steps:
            with interrupts_held():
                state.losses.append(train_step(machinery, plan, cases, state.step))
                state.step += 1
                if state.step % every == 0 or state.step == plan.n_steps:
                    _note(state, machinery, plan, validation)
            progress("training", state.step, plan.n_steps)
            if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                save_checkpoint(state, checkpoint, plan_digest=plan_digest)
                saved_at = time.monotonic()
    except KeyboardInterrupt:
        save_checkpoint(state, checkpoint, plan_digest=plan_digest)
        raise
    save_checkpoint(state, checkpoint, plan_digest=plan_digest)  # what comes next may be interrupted too
    keep_best = plan.task == "classification" and bool(state.best)
    return Trained(state.best if keep_best else weights_of(state.average), state.history)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block: a step that is torn in two could not be resumed exactly.

    Outside the main thread, which alone receives signals, nothing needs to wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


def rate_factor(step: int, plan: Plan) -> float:
    """Learning rate relative to the plan's: linear warm-up, then half a cosine down to 0."""
    warm = min(1.0, (step + 1) / max(1, plan.warmup_steps))
    return warm * 0.5 * (1 + math.cos(math.pi * step / max(1, plan.n_steps)))


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of weights and of running statistics; whole-number buffers are copied."""
    for mean, now in zip(weights_of(average).values(), weights_of(network).values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now.to(mean.dtype), 1 - decay)
        else:
            mean.copy_(now)


def _note(state: State, machinery: Machinery, plan: Plan, validation: Sequence[Cached]) -> None:
    """Add a history row; remember the weights if the validation loss is the lowest so far."""
    row = {
        "step": float(state.step),
        "learning_rate": plan.learning_rate * rate_factor(state.step - 1, plan),
        "train_loss": sum(state.losses) / len(state.losses),
        "validation_loss": validation_loss(machinery, plan, validation) if validation else math.nan,
    }
    state.history.append({key: value for key, value in row.items() if not math.isnan(value)})
    state.losses.clear()
    score = row["validation_loss"]
    if plan.task == "classification" and score < state.best_score:
        state.best_score = score
        state.best = {key: value.detach().clone() for key, value in weights_of(state.average).items()}


@torch.no_grad()
def validation_loss(machinery: Machinery, plan: Plan, validation: Sequence[Cached]) -> float:
    """Mean loss of the averaged weights over fixed validation batches, without augmentation.

    Under a mitigation of a classifier it is the mean over groups, or the worst of them: `Objective.chosen_by`.
    """
    fixed = plan.model_copy(update={"seed": 0, "batch": min(plan.batch, len(validation)), "mitigation": None})
    n_batches = min(N_VALIDATION_BATCHES, math.ceil(len(validation) / fixed.batch))
    total, by_case = 0.0, []
    objective = machinery.objective
    for number in range(n_batches):
        batch = batch_at(number, validation, fixed)
        with machinery.fabric.autocast():
            logits = apply_network(machinery.average, batch.x.to(machinery.fabric.device), plan)
        if objective.method and objective.by_case is not None:
            losses, known = objective.by_case(logits.float(), batch.y.to(logits.device), 1.0)
            by_case.append((losses.cpu(), known.cpu(), batch.group, batch.weight))
        else:
            total += float(objective.plain(logits.float(), batch))
    if by_case:
        return objective.chosen_by(*(torch.cat(parts) for parts in zip(*by_case, strict=True)))
    return total / n_batches
