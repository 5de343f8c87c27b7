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
from fiducial.train.ensemble import members_of
from fiducial.train.fingerprint import Traits
from fiducial.train.geometry import bfloat16_is_sound, classification_shape, segmentation_shape

RESERVE = 0.02  # share of the minutes kept for checkpoints and writing
TIMING_SHARE = 0.02  # share of the minutes that may go into timing steps
MIN_TIMED = 4
MAX_TIMED = 60
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


@dataclass(frozen=True)
class Pace:
    """What training costs on this machine: seconds per step in each precision, seconds of all validation checks."""

    seconds_per_step: dict[str, float]
    seconds_checking: float = 0.0


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
    unit = traits[0].looks[0].unit
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
        augmentation=_augmentation(
            study.task.kind, flat=flat, sided=sided, region=region is not None, absolute=unit in ABSOLUTE_UNITS
        ),
        test_mirror_axes=() if sided else (0,),
        members=members_of(study, seed),
        head=study.train.head,
        dropout=study.train.dropout,
        views=study.predict.views,
        draws=study.predict.draws,
        embeddings=study.predict.embeddings,
        maps=study.predict.maps and labels.label_type == "structures",
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


def _augmentation(kind: str, *, flat: bool, sided: bool, region: bool, absolute: bool) -> Augmentation:
    """Ranges of random changes.

    A region of soft tissue has no preferred side and hardly a preferred direction; a whole image may have both. Where
    a volume is classified, its size in mm and, in absolute units, its brightness are part of the answer: the size is
    left as it is, and the brightness nearly so.
    """
    mirror = () if sided else (0, 1, 2) if region and not flat else (0,)
    if kind == "segmentation":
        return Augmentation(
            mirror_axes=mirror, rotate_degrees=15, scale=0.12, intensity=0.2, noise=0.05, spatial_probability=0.5
        )
    return Augmentation(
        mirror_axes=mirror,
        rotate_degrees=45 if region and not flat else 15,
        scale=0.12 if flat else 0.0,
        intensity=0.05 if absolute else 0.2,
        noise=0.05 if absolute else 0.1,
        shift_voxels=2,
        spatial_probability=0.9 if region and not flat else 0.7,
    )


def time_plan(plan: Plan, pace: Pace, budget: Budget, *, n_cases: int) -> Plan:
    """Choose the faster precision and as many steps as the budget's remaining seconds hold, shared by all networks.

    Never fewer than 30 steps, and never more than a fixed number of passes over the cases (1,000 for segmentation,
    150 for classification), beyond which training only memorises them.
    """
    seconds_per_step = pace.seconds_per_step
    precision = min(seconds_per_step, key=lambda name: seconds_per_step[name])
    each = seconds_per_step[precision]
    n_networks = len(plan.members)
    left = max(0.0, budget.seconds_left / n_networks - pace.seconds_checking)
    useful = math.ceil(MAX_EPOCHS[plan.task] * n_cases / plan.batch)
    n_steps = max(MIN_STEPS, min(int(left / each), useful))
    timed = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in seconds_per_step.items())
    why = f"a step takes {timed}; {left:.0f} s are left beside {pace.seconds_checking:.1f} s of validation"
    if n_networks > 1:
        why += f", for each of {n_networks} networks"
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


def measure_pace(plan: Plan, cases: Sequence[Cached], validation: Sequence[Cached]) -> Pace:
    """Time training steps and one validation check on the prepared cases themselves, which are left as they are.

    Every precision that the device offers is timed over a few steps; the faster one then for up to 2 % of the plan's
    minutes, because the mean of few steps is too rough to fill minutes with. The first steps of each (memory,
    kernels) are not counted. On a CPU without bfloat16 instructions only 32 bit is timed.
    """
    from fiducial.train.loop import N_CHECKS, set_up, train_step, validation_loss

    def seconds_of(precision: str, seconds: float) -> float:
        candidate = plan.model_copy(update={"precision": precision, "n_steps": 1000})
        machinery = set_up(candidate)
        times: list[float] = []
        while len(times) < MIN_TIMED or (sum(times) < seconds and len(times) < MAX_TIMED):
            began = time.perf_counter()
            train_step(machinery, candidate, cases, len(times))
            times.append(time.perf_counter() - began)
        return float(np.mean(times[MIN_TIMED // 2 :]))

    steps = {precision: seconds_of(precision, 0.0) for precision in _precisions(plan)}
    best = min(steps, key=lambda name: steps[name])
    steps[best] = seconds_of(best, TIMING_SHARE * plan.minutes * 60)
    if not validation:
        return Pace(steps)
    machinery = set_up(plan.model_copy(update={"precision": best}))
    began = time.perf_counter()
    validation_loss(machinery, plan, validation)
    return Pace(steps, N_CHECKS * (time.perf_counter() - began))


def _average_decay(n_steps: int) -> float:
    """Average over about the last thirtieth of training, where the learning rate is already low."""
    return float(min(0.999, max(0.9, 1 - 30 / n_steps)))


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
