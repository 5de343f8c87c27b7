"""The audit on models that were really trained: a planted shortcut is found, and is small where none was planted."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

N_MODELS, N_DRAWS = 10, 4


@pytest.mark.slow
def test_a_shortcut_that_training_learned_is_found_and_others_are_small(tools: Path, tmp_path: Path) -> None:
    """Ten planted and ten clean models, trained once (kept in build/trained), four draws each.

    A clean model depends on the letter a little, by chance in its training pictures, and the check may find that: it
    is measured, and must stay far below what is planted.
    """
    truth = importlib.import_module("trained_truth")
    cache = tools.parent / "build" / "trained"
    judged: dict[str, list[dict[str, Any]]] = {"planted": [], "clean": []}
    pictures = [truth.drawn(tmp_path / f"drawn{seed}", seed) for seed in range(N_DRAWS)]
    for kind, association in (("planted", truth.ASSOCIATION), ("clean", 0.0)):
        for k in range(N_MODELS):
            run = truth.trained(cache, k, association, minutes=0.5)
            found = [truth.judged(run, one, tmp_path / f"{kind}{k}-{i}") for i, one in enumerate(pictures)]
            judged[kind] += [row | {"kind": kind, "model": k} for row in found]
    assert np.mean([row["verdict"] == "finding" for row in judged["planted"]]) >= 0.9
    assert min(row["shift"] for row in judged["planted"]) > 1.0
    assert max(map(abs, truth.clean_shifts(judged["clean"]))) < 0.5
