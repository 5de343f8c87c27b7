"""The loop: it learns, it is deterministic, and a resumed training equals an uninterrupted one."""

from __future__ import annotations

import resource
import signal

import pytest
import torch

from fiducial.errors import InputRefused, IntegrityError, RunMismatch
from fiducial.train import loop
from fiducial.train.checkpoint import save_tensors
from fiducial.train.loop import rate_factor, train_loop


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_rate_by_hand(plan):
    assert rate_factor(0, plan) == pytest.approx(0.5)  # half of the warm-up, cosine at its top
    assert rate_factor(6, plan) == pytest.approx(0.5)  # half-way down
    assert rate_factor(12, plan) == pytest.approx(0.0)


def test_it_learns_to_find_a_ball(plan, cases, tmp_path):
    longer = plan.model_copy(update={"n_steps": 80, "learning_rate": 2e-2})
    trained = train_loop(longer, cases, cases[:2], tmp_path / "c.safetensors", plan_digest="p")
    losses = [row["validation_loss"] for row in trained.history]
    assert len(losses) >= 10
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_same_plan_same_weights(plan, cases, tmp_path, precision):
    # Twice the size: no level of the network has an axis of 2 voxels (decision 0008).
    plan = plan.model_copy(update={"precision": precision, "patch": (32, 16, 16)})
    runs = [train_loop(plan, cases, [], tmp_path / f"{i}.safetensors", plan_digest="p").weights for i in range(2)]
    assert same(*runs)
    other = train_loop(plan.model_copy(update={"seed": 9}), cases, [], tmp_path / "o", plan_digest="p").weights
    assert not same(runs[0], other)


def test_ctrl_c_saves_and_resuming_gives_the_same_weights(plan, cases, tmp_path):
    whole = train_loop(plan, cases, cases[:1], tmp_path / "whole", plan_digest="p")

    def interrupt_at_five(title, done, total):
        if done == 5:
            signal.raise_signal(signal.SIGINT)

    path = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_loop(plan, cases, cases[:1], path, plan_digest="p", progress=interrupt_at_five)
    assert path.exists()
    resumed = train_loop(plan, cases, cases[:1], path, plan_digest="p", resume=True)
    assert same(whole.weights, resumed.weights)
    assert whole.history == resumed.history


def test_ctrl_c_in_the_middle_of_a_step_waits_for_its_end(plan, cases, tmp_path, monkeypatch):
    """Weights already moved, average not yet: saved like that, the step would be done twice."""
    whole = train_loop(plan, cases, cases[:1], tmp_path / "whole", plan_digest="p")
    update, calls = loop.update_average, []

    def interrupted(average, network, decay):
        calls.append(decay)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        update(average, network, decay)

    monkeypatch.setattr(loop, "update_average", interrupted)
    path = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_loop(plan, cases, cases[:1], path, plan_digest="p")
    assert len(calls) == 4
    resumed = train_loop(plan, cases, cases[:1], path, plan_digest="p", resume=True)
    assert len(calls) == plan.n_steps  # no step twice
    assert same(whole.weights, resumed.weights)
    assert whole.history == resumed.history
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_checkpoint_of_another_plan_or_a_torn_one_is_refused(plan, cases, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    path = tmp_path / "state.safetensors"
    train_loop(plan, cases, [], path, plan_digest="p")
    with pytest.raises(RunMismatch, match="another plan"):
        train_loop(plan, cases, [], path, plan_digest="q", resume=True)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(IntegrityError, match="not a whole checkpoint"):
        train_loop(plan, cases, [], path, plan_digest="p", resume=True)


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path):
    """The kernel refuses to write beyond a file-size limit, as it refuses on a full disk."""
    path = tmp_path / "state.safetensors"
    save_tensors({"a": torch.zeros(10)}, path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(InputRefused, match="disk is full") as refusal:
            save_tensors({"a": torch.zeros(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert "--resume" in refusal.value.action
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]
