"""The planner: a cohort's traits and a budget become a plan, once; training then follows it exactly.

Geometry and network are rules (below, each with its reason in the plan); the number of steps is measured: a few steps
are timed in each precision that the device offers, and the faster one fills the minutes that are left.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiducial.errors import StudyError
from fiducial.models import MODEL_TASKS
from fiducial.records.plan import Augmentation, Normalisation, Plan, RegionPlan
from fiducial.study import Study
from fiducial.tasks.labels import Labels
from fiducial.train.cache import Cached
from fiducial.train.fingerprint import Traits
from fiducial.train.geometry import bfloat16_is_sound, classification_shape, segmentation_shape

RESERVE = 0.04  # share of the minutes kept for validation, checkpoints and writing
MIN_STEPS = 30
MAX_EPOCHS = {"segmentation": 1000, "classification": 150}
ABSOLUTE_UNITS = ("HU", "SUV", "Bq/ml")
SIDES = {"left", "right", "l", "r", "lt", "rt", "sinister", "dexter"}


@dataclass(frozen=True)
class Budget:
    """What training may use: the clock (monotonic seconds) at which it began, minutes, memory, device, threads."""

    started: float
    minutes: float
    memory_gb: float
    device: str
    n_threads: int

    @property
    def seconds_left(self) -> float:
        """Seconds until the minutes are spent, less the reserve."""
        return self.minutes * 60 * (1 - RESERVE) - (time.monotonic() - self.started)


def draft_plan(study: Study, traits: Sequence[Traits], labels: Labels, budget: Budget, *, seed: int) -> Plan:
    """Everything of a plan but precision and number of steps, which `time_plan` measures.

    Raises:
        StudyError: the study names a model that does not exist for its task.
    """
    model = study.train.model or MODEL_TASKS[study.task.kind][0]
    if model not in MODEL_TASKS[study.task.kind]:
        raise StudyError(
            f"model {model!r}",
            where=f"{study.source}, [train] model",
            legal=", ".join(MODEL_TASKS[study.task.kind]),
            action="leave it out to let the planner choose",
        )
    flat = traits[0].looks[0].flat
    if study.task.kind == "segmentation":
        shape = segmentation_shape(traits, device=budget.device, memory_gb=budget.memory_gb)
    else:
        shape = classification_shape(traits, study.task.region, device=budget.device, memory_gb=budget.memory_gb)
    n_channels = sum(one.components for one in traits[0].looks)
    sided = any(SIDES & set(re.split(r"[^a-z]+", target.lower())) for target in study.task.targets)
    region = study.task.region
    reasons = shape.reasons | {
        "normalisation": "absolute units are clipped and scaled alike for all; arbitrary ones per image",
        "augmentation": "no mirroring: a target names a side" if sided else "mirrored left and right",
    }
    return Plan(
        task=study.task.kind,
        dimensions=2 if flat else 3,
        inputs=study.data.inputs or (traits[0].looks[0].modality,),
        n_channels=n_channels,
        targets=study.task.targets,
        label_type=labels.label_type,
        classes=labels.classes,
        spacing_mm=shape.spacing_mm,
        normalisation=tuple(_normalisation(i, traits) for i in range(len(traits[0].looks))),
        patch=shape.patch,
        region=RegionPlan(mask=region.mask, margin_mm=region.margin_mm) if region else None,
        model=model,
        widths=shape.widths,
        strides=shape.strides,
        kernels=tuple((3, 3, 1) if flat else (3, 3, 3) for _ in shape.strides),
        blocks=shape.blocks,
        batch=shape.batch,
        n_steps=MIN_STEPS,
        learning_rate=shape.learning_rate,
        weight_decay=shape.weight_decay,
        warmup_steps=20,
        average_decay=0.99,
        foreground_fraction=shape.foreground_fraction,
        overlap=shape.overlap,
        augmentation=_augmentation(study.task.kind, flat=flat, sided=sided, region=region is not None),
        test_mirror_axes=() if sided else (0,),
        precision="32-true",
        device=budget.device,
        n_threads=budget.n_threads,
        seed=seed,
        minutes=budget.minutes,
        memory_gb=budget.memory_gb,
        reasons=reasons,
    )


def _normalisation(index: int, traits: Sequence[Traits]) -> Normalisation:
    """One input's normalisation: a window for HU and SUV, grey levels for pictures, else the image's own z-score."""
    unit = traits[0].looks[index].unit
    values = np.concatenate([t.samples[index] for t in traits])
    if unit in ABSOLUTE_UNITS:
        low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
        inside = np.clip(values, low, high)
        return Normalisation(
            kind="window",
            low=low,
            high=max(high, low + 1e-3),
            mean=float(inside.mean()),
            std=float(inside.std()) or 1.0,
        )
    if unit == "grey":
        return Normalisation(kind="unit", low=0.0, high=float(max(t.looks[index].p99 for t in traits)) or 1.0)
    return Normalisation(kind="zscore")


def _augmentation(kind: str, *, flat: bool, sided: bool, region: bool) -> Augmentation:
    """Ranges of random changes; a region of soft tissue has no preferred side, a whole image may."""
    mirror = () if sided else (0, 1, 2) if region and not flat else (0,)
    if kind == "segmentation":
        return Augmentation(
            mirror_axes=mirror, rotate_degrees=15, scale=0.12, intensity=0.2, noise=0.05, spatial_probability=0.5
        )
    return Augmentation(
        mirror_axes=mirror,
        rotate_degrees=15,
        scale=0.12,
        intensity=0.2,
        noise=0.1,
        shift_voxels=2,
        spatial_probability=0.7,
    )


def time_plan(plan: Plan, seconds_per_step: dict[str, float], budget: Budget, *, n_cases: int) -> Plan:
    """Choose the faster precision and as many steps as the budget's remaining seconds hold.

    Never fewer than 30 steps, and never more than a fixed number of passes over the cases (1,000 for segmentation,
    150 for classification), beyond which training only memorises them.
    """
    precision = min(seconds_per_step, key=lambda name: seconds_per_step[name])
    each = seconds_per_step[precision]
    affordable = int(budget.seconds_left / each)
    useful = math.ceil(MAX_EPOCHS[plan.task] * n_cases / plan.batch)
    n_steps = max(MIN_STEPS, min(affordable, useful))
    timed = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in seconds_per_step.items())
    why = f"a step takes {timed}; {max(0.0, budget.seconds_left):.0f} s are left"
    if n_steps == useful:
        why += f"; {MAX_EPOCHS[plan.task]} passes over {n_cases} cases are enough"
    return Plan.model_validate(
        plan.model_dump()
        | {
            "precision": precision,
            "n_steps": n_steps,
            "warmup_steps": max(1, min(100, n_steps // 20)),
            "average_decay": _average_decay(n_steps),
            "seconds_per_step": round(each, 4),
            "reasons": plan.reasons | {"n_steps": why},
        }
    )


def measure_step_seconds(plan: Plan, *, n_timed: int = 4) -> dict[str, float]:
    """Seconds per training step in each precision that the device offers, on random voxels of the plan's shape.

    The first step (memory, kernels) is not counted; the median of the others is. On a CPU without bfloat16
    instructions only 32 bit is timed.
    """
    from fiducial.train.loop import set_up, train_step

    cases = _random_cases(plan)
    seconds = {}
    for precision in _precisions(plan):
        candidate = plan.model_copy(update={"precision": precision, "n_steps": 1000})
        machinery = set_up(candidate)
        times = []
        for step in range(n_timed + 1):
            began = time.perf_counter()
            train_step(machinery, candidate, cases, step)
            times.append(time.perf_counter() - began)
        seconds[precision] = float(np.median(times[1:]))
    return seconds


def _average_decay(n_steps: int) -> float:
    """Average over about the last thirtieth of training, where the learning rate is already low."""
    return float(min(0.999, max(0.9, 1 - 30 / n_steps)))


def _random_cases(plan: Plan) -> list[Cached]:
    """Two cases of noise in the plan's shape, for timing."""
    generator = np.random.default_rng(0)
    cases = []
    for name in ("a", "b"):
        voxels = generator.standard_normal((plan.n_channels, *plan.patch)).astype(np.float32)
        labels = None
        truth: np.ndarray | None = np.zeros(1 if plan.label_type == "multiclass" else len(plan.classes), np.float32)
        if plan.label_type == "structures":
            labels = generator.integers(0, len(plan.classes), plan.patch).astype(np.uint8)
            truth = None
        cases.append(Cached(name, name, voxels, labels, truth, ()))
    return cases


def _precisions(plan: Plan) -> list[str]:
    import torch

    if plan.device == "cuda":
        return ["bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"]
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    # A residual classifier halves three times after its stem.
    n_halvings = 3 if plan.task == "classification" else 0
    sound = bfloat16_is_sound(plan.dimensions, plan.patch, plan.strides, n_halvings)
    return ["bf16-mixed", "32-true"] if native and sound else ["32-true"]
