"""Answers of several networks, draws and views, by hand on networks that can be computed on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from fiducial.maths.disagreement import disagreement
from fiducial.models import MODELS
from fiducial.predict.engine import MAX_COORDINATES, TorchPredictor
from fiducial.predict.run import agreement_dice, expected_dice
from fiducial.predict.views import View, views_of
from fiducial.records.plan import Augmentation, Member, Normalisation, Plan


def make_plan(**more):
    said = {
        "task": "classification",
        "dimensions": 3,
        "inputs": ("CT",),
        "n_channels": 1,
        "targets": ("ill",),
        "label_type": "binary",
        "classes": ("ill",),
        "spacing_mm": (1, 1, 1),
        "normalisation": (Normalisation(kind="zscore"),),
        "patch": (16, 16, 16),
        "model": "resnet",
        "widths": (4, 8, 8, 8),
        "strides": ((1, 1, 1),),
        "kernels": ((3, 3, 3),),
        "blocks": (1, 1, 1, 1),
        "batch": 2,
        "n_steps": 5,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "warmup_steps": 1,
        "average_decay": 0.9,
        "precision": "32-true",
        "device": "cpu",
        "n_threads": 1,
        "seed": 0,
        "minutes": 1,
        "memory_gb": 1,
    }
    return Plan.model_validate(said | more)


def networks(plan):
    made = []
    for member in plan.members:
        torch.manual_seed(member.seed)
        made.append(MODELS[plan.model](plan))
    return made


@pytest.fixture
def voxels():
    return np.random.default_rng(0).normal(size=(1, 16, 16, 16)).astype(np.float32)


def test_an_ensembles_answer_is_the_mean_of_its_members(voxels):
    plan = make_plan(members=(Member(name="seed1", seed=1), Member(name="seed2", seed=2)), test_mirror_axes=(0,))
    answer = TorchPredictor(networks(plan), plan, "cpu").answer(voxels)
    assert set(answer.members) == {"seed1", "seed2"}
    np.testing.assert_allclose(answer.probabilities, np.mean(list(answer.members.values()), axis=0), rtol=1e-6)
    for member, network in zip(plan.members, networks(plan), strict=True):
        alone = TorchPredictor([network], plan.model_copy(update={"members": (member,)}), "cpu")
        np.testing.assert_allclose(alone(voxels), answer.members[member.name], rtol=1e-5)
    np.testing.assert_allclose(
        answer.uncertainty, disagreement(np.stack(list(answer.members.values())), exclusive=False)
    )


def test_one_network_says_nothing_beside_its_answer_unless_asked(voxels):
    plan = make_plan()
    answer = TorchPredictor(networks(plan), plan, "cpu").answer(voxels)
    assert (answer.members, answer.uncertainty, answer.embedding) == ({}, None, None)


def test_draws_differ_are_repeatable_and_leave_the_answer_alone(voxels):
    plan = make_plan(dropout=0.5, draws=5)
    predictor = TorchPredictor(networks(plan), plan, "cpu")
    first, again, other = (predictor.answer(voxels, seed=seed) for seed in (7, 7, 8))
    values = [float(first.members[f"draw{k}"][0]) for k in range(1, 6)]
    assert len(set(values)) > 1
    assert all(np.array_equal(first.members[k], again.members[k]) for k in first.members)
    assert any(not np.array_equal(first.members[k], other.members[k]) for k in first.members)
    plain = TorchPredictor(networks(plan), plan.model_copy(update={"draws": 0}), "cpu").answer(voxels)
    np.testing.assert_array_equal(first.probabilities, plain.probabilities)
    assert not any(module.training for module in predictor.networks[0].modules())


def test_views_are_each_noted_and_averaged(voxels):
    plan = make_plan(views=4, augmentation=Augmentation(mirror_axes=(0, 1)))
    answer = TorchPredictor(networks(plan), plan, "cpu").answer(voxels)
    assert list(answer.members) == ["view1", "view2", "view3", "view4"]
    np.testing.assert_allclose(answer.probabilities, np.mean(list(answer.members.values()), axis=0), rtol=1e-6)
    mirrored = TorchPredictor(networks(plan), plan.model_copy(update={"views": 0}), "cpu")(voxels[:, ::-1].copy())
    np.testing.assert_allclose(answer.members["view2"], mirrored, rtol=1e-5)


def test_views_of_a_sided_target_are_never_mirrored():
    sided = views_of(make_plan(views=14))
    assert len(sided) == 7  # the image, and a voxel along three axes and back
    assert all(view.flips == () for view in sided)
    free = views_of(make_plan(views=14, augmentation=Augmentation(mirror_axes=(0, 1, 2))))
    assert len(free) == len(set(free)) == 14


@pytest.mark.parametrize("view", [View((0, 2)), View((), (1, 0, 0)), View((), (0, -1, 0)), View((1,), (0, 0, 1))])
def test_a_view_finds_its_way_back(view):
    x = torch.arange(4 * 5 * 6, dtype=torch.float32).reshape(1, 1, 4, 5, 6)
    inner = (..., slice(1, -1), slice(1, -1), slice(1, -1))  # the edge that left the image is lost
    torch.testing.assert_close(view.back(view.there(x))[inner], x[inner])


class Whole(nn.Module):
    """Says where it is brighter than 0, voxel by voxel; its deepest layer is the image itself."""

    def __init__(self):
        super().__init__()
        self.bottleneck = nn.Identity()

    def forward(self, x):
        bright = self.bottleneck(x)
        return torch.cat([-bright, bright], dim=1)


def test_a_segmentations_views_lie_on_the_image_again(voxels):
    plan = make_plan(
        task="segmentation",
        label_type="structures",
        classes=("background", "ill"),
        model="resunet",
        strides=((1, 1, 1),),
        augmentation=Augmentation(mirror_axes=(0, 1, 2)),
        views=8,
        embeddings=True,
    )
    answer = TorchPredictor([Whole()], plan, "cpu").answer(voxels)
    expected = 1 / (1 + np.exp(-2 * voxels[0]))
    for member in answer.members.values():
        np.testing.assert_allclose(member[1], expected, rtol=1e-4)
    np.testing.assert_allclose(answer.embedding, [voxels.mean()], rtol=1e-3)


def test_an_embedding_is_the_deepest_layer_and_long_ones_are_projected(voxels):
    plan = make_plan(embeddings=True)
    [network] = networks(plan)
    answer = TorchPredictor([network], plan, "cpu").answer(voxels)
    pooled = {}
    network.avgpool.register_forward_hook(lambda _m, _x, out: pooled.update(out=out.detach().flatten().numpy()))
    with torch.no_grad():
        network(torch.from_numpy(voxels)[None])
    np.testing.assert_allclose(answer.embedding, pooled["out"], rtol=1e-5)
    wide = make_plan(embeddings=True, widths=(4, 8, 8, 96))
    long = TorchPredictor(networks(wide), wide, "cpu").answer(voxels).embedding
    assert long.shape == (MAX_COORDINATES,)


def test_an_evidential_head_states_its_doubt(voxels):
    plan = make_plan(head="evidential")
    [network] = networks(plan)
    for weights in network.fc.parameters():
        weights.data.zero_()
    network.fc.bias.data = torch.tensor([-50.0, -50.0])  # no evidence for either
    answer = TorchPredictor([network], plan, "cpu").answer(voxels)
    assert answer.probabilities == pytest.approx([0.5])
    assert answer.uncertainty == pytest.approx([1.0])
    network.fc.bias.data = torch.tensor([0.0, 20.0])  # softplus(0) = log 2, softplus(20) = 20
    answer = TorchPredictor([network], plan, "cpu").answer(voxels)
    total = (1 + math.log(2)) + 21
    assert answer.probabilities == pytest.approx([21 / total], rel=1e-5)
    assert answer.uncertainty == pytest.approx([2 / total], rel=1e-5)


def test_disagreement_by_hand():
    sure_of_each = np.array([[1.0], [0.0]], np.float32)
    assert disagreement(sure_of_each, exclusive=False) == pytest.approx([1.0], abs=1e-6)
    assert disagreement(np.array([[0.3], [0.3]], np.float32), exclusive=False) == pytest.approx([0.0], abs=1e-6)
    mixed = disagreement(np.array([[0.9], [0.5]], np.float32), exclusive=False)
    entropy = lambda p: -(p * math.log2(p) + (1 - p) * math.log2(1 - p))  # noqa: E731
    assert mixed == pytest.approx([entropy(0.7) - (entropy(0.9) + 1.0) / 2], rel=1e-5)
    classes = disagreement(np.eye(3, dtype=np.float32), exclusive=True)
    assert classes == pytest.approx([1.0], abs=1e-6)
    assert disagreement(np.eye(3, dtype=np.float32), exclusive=False).shape == (3,)


def test_the_dice_that_a_mask_may_expect_by_hand():
    probability = np.array([0.9, 0.8, 0.4, 0.2], np.float32)
    assert expected_dice(probability, probability >= 0.5) == pytest.approx(2 * 1.7 / (2.3 + 2))
    far = np.concatenate([probability, np.full(10_000, 0.01, np.float32)])  # a hundred voxels' worth of next to nothing
    assert expected_dice(far, far >= 0.5) == pytest.approx(2 * 1.7 / (2.3 + 2))
    assert math.isnan(expected_dice(probability, probability > 1))
    assert expected_dice(np.array([1.0, 0.0], np.float32), np.array([True, False])) == 1.0
    final, other = np.array([1, 1, 0, 0], np.uint8), np.array([1, 0, 0, 0], np.uint8)
    assert agreement_dice(final, [final, other], 1) == pytest.approx((1 + 2 / 3) / 2)
    assert math.isnan(agreement_dice(final, [other], 2))
