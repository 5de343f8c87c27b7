"""Folds and seeds: who sees what, and a run of several networks from training to its rows by member."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from fiducial.errors import LabelError
from fiducial.records.plan import Member
from fiducial.train import ensemble
from fiducial.train.ensemble import fit, members_of, parts_of
from fiducial.train.loop import train_loop


class Asked:
    def __init__(self, folds=1, seeds=1):
        self.train = type("Train", (), {"folds": folds, "seeds": seeds})()


def test_members_by_hand():
    assert members_of(Asked(), 4) == (Member(name="", seed=4, fold=-1),)
    assert members_of(Asked(folds=2), 4) == (Member(name="fold1", seed=4, fold=0), Member(name="fold2", seed=5, fold=1))
    assert [m.name for m in members_of(Asked(seeds=3), 0)] == ["seed1", "seed2", "seed3"]


def test_each_fold_is_seen_by_all_networks_but_its_own(cases):
    folds = {case.image: k % 2 for k, case in enumerate(cases)}
    for member in members_of(Asked(folds=2), 0):
        train, validation = parts_of(member, cases, [], folds)
        assert {folds[c.image] for c in validation} == {member.fold}
        assert {c.image for c in train} | {c.image for c in validation} == set(folds)
        assert not {c.image for c in train} & {c.image for c in validation}
    alone = dict.fromkeys(folds, 0)
    with pytest.raises(LabelError, match="no labelled case outside fold1: all 5 lie in that fold"):
        parts_of(members_of(Asked(folds=2), 0)[0], cases, [], alone)
    assert parts_of(Member(), cases[:3], cases[3:], {}) == (cases[:3], cases[3:])


@pytest.fixture
def two_folds(plan):
    return plan.model_copy(update={"members": members_of(Asked(folds=2), 3), "n_steps": 6})


def test_two_networks_lie_in_one_file_each_as_if_trained_alone(two_folds, cases, tmp_path):
    folds = {case.image: k % 2 for k, case in enumerate(cases)}
    fit(tmp_path, two_folds, cases, [], folds)
    weights = load_file(tmp_path / "model.safetensors")
    for member in two_folds.members:
        seen, aside = parts_of(member, cases, [], folds)
        own = two_folds.model_copy(update={"seed": member.seed})
        alone = train_loop(own, seen, aside, tmp_path / "alone" / member.name, plan_digest="p").weights
        theirs = {k.removeprefix(f"{member.name}."): v for k, v in weights.items() if k.startswith(f"{member.name}.")}
        assert theirs.keys() == alone.keys()
        assert all(torch.equal(theirs[k], alone[k]) for k in alone)
    history = pd.read_parquet(tmp_path / "history.parquet")
    assert set(history["member"]) == {"fold1", "fold2"}


def test_an_interrupted_ensemble_goes_on_with_the_network_it_was_at(two_folds, cases, tmp_path, monkeypatch):
    folds = {case.image: k % 2 for k, case in enumerate(cases)}
    fit(tmp_path / "whole", two_folds, cases, [], folds)
    seen = []

    def stop(title, done, total):
        seen.append(done)
        if done == 8:  # in the second network
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "torn", two_folds, cases, [], folds, progress=stop)
    assert not (tmp_path / "torn" / "model.safetensors").exists()
    again = []
    fit(tmp_path / "torn", two_folds, cases, [], folds, resume=True, progress=lambda *told: again.append(told[1:]))
    assert again == [(k, 12) for k in range(9, 13)]  # the first network is not trained again
    whole, torn = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "torn"))
    assert all(torch.equal(whole[k], torn[k]) for k in whole)


def test_groups_of_cases_survive_the_folds(cases):
    marked = [replace(case, group=1, weight=2.0) for case in cases]
    train, _ = parts_of(Member(fold=0), marked, [], dict.fromkeys([c.image for c in marked], 1))
    assert {(c.group, c.weight) for c in train} == {(1, 2.0)}
    assert ensemble.members_of(Asked(), 0)[0].name == ""
    assert np.isfinite(float(train[0].voxels.sum()))
