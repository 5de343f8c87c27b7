"""Networks: a plan in, logits of the right shape out; sub-voxels land where they belong."""

from __future__ import annotations

import pytest
import torch

from fiducial.models import MODEL_TASKS, MODELS
from fiducial.models.resunet import SubVoxels
from fiducial.records.plan import Normalisation, Plan


def make_plan(model, dimensions, first, label_type):
    d3 = (1, 1, 1)
    two = (2, 2, 2) if dimensions == 3 else (2, 2, 1)
    return Plan(
        task="segmentation" if model == "resunet" else "classification",
        dimensions=dimensions,
        inputs=("CT",),
        n_channels=1,
        targets=("a", "b"),
        label_type=label_type,
        classes=("background", "a", "b"),
        spacing_mm=(1, 1, 1),
        normalisation=(Normalisation(kind="zscore"),),
        patch=(16, 16, 16 if dimensions == 3 else 1),
        model=model,
        widths=(4, 8, 16) if model == "resunet" else (4, 8, 16, 16),
        strides=(two if first == 2 else d3, two, two),
        kernels=((3, 3, 3) if dimensions == 3 else (3, 3, 1),) * 3,
        blocks=(1, 1, 1, 1),
        batch=2,
        n_steps=1,
        learning_rate=1e-3,
        weight_decay=0,
        warmup_steps=1,
        average_decay=0.9,
        precision="32-true",
        device="cpu",
        n_threads=1,
        seed=0,
        minutes=1,
        memory_gb=1,
    )


def test_sub_voxels_by_hand():
    x = torch.arange(4.0).reshape(1, 4, 1, 1)  # one class, four sub-pixels of one coarse pixel
    assert SubVoxels((2, 2))(x).tolist() == [[[[0, 1], [2, 3]]]]
    two = torch.arange(8.0).reshape(1, 8, 1, 1)  # two classes
    assert SubVoxels((2, 2))(two)[0, 1].tolist() == [[4, 5], [6, 7]]


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_network_gives_one_logit_per_class(model, dimensions, first):
    plan = make_plan(model, dimensions, first, "structures" if model == "resunet" else "multiclass")
    torch.manual_seed(0)
    network = MODELS[model](plan)
    x = torch.randn(2, 1, *plan.patch[:dimensions])
    out = network(x)
    assert out.shape == ((2, 3, *plan.patch[:dimensions]) if model == "resunet" else (2, 3))
    out.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_every_task_has_a_network():
    assert set(MODEL_TASKS) == {"segmentation", "classification"}
    assert {name for names in MODEL_TASKS.values() for name in names} == set(MODELS)
