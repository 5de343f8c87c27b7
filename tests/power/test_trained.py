"""The audit on models that were really trained: a planted shortcut is found, and none where there is none."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

N_MODELS, N_DRAWS = 10, 4


@pytest.mark.slow
def test_a_shortcut_that_training_learned_is_found_and_no_other(tools: Path, tmp_path: Path) -> None:
    """Ten planted and ten clean models, trained once (kept in build/trained), four draws each.

    Draws of one model are not independent; with ten clean models at 5 % more than four that fire even once in four
    draws (chance 0.19 each) have a probability below 0.02, more than six below 0.001.
    """
    truth = importlib.import_module("trained_truth")
    cache = tools.parent / "build" / "trained"
    fired: dict[str, list[bool]] = {"planted": [], "clean": []}
    pictures = [truth.drawn(tmp_path / f"drawn{seed}", seed) for seed in range(N_DRAWS)]
    for kind, association in (("planted", truth.ASSOCIATION), ("clean", 0.0)):
        for k in range(N_MODELS):
            run = truth.trained(cache, k, association, minutes=0.5)
            found = [truth.judged(run, one, tmp_path / f"{kind}{k}-{i}") for i, one in enumerate(pictures)]
            fired[kind] += [row["verdict"] == "finding" for row in found]
    assert np.mean(fired["planted"]) >= 0.9
    clean = np.array(fired["clean"]).reshape(N_MODELS, N_DRAWS)
    assert clean.any(axis=1).sum() <= 6
