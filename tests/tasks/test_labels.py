"""Label types from a cohort's values, and the refusals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from fiducial.errors import LabelError
from fiducial.records.tables import COHORT, table
from fiducial.tasks import LEARN, TASKS
from fiducial.tasks.classification import learn as classify
from fiducial.tasks.classification import task as classification
from fiducial.tasks.segmentation import task as segmentation


def cohort(**columns):
    n = len(next(iter(columns.values())))
    rows = [{"subject": str(i), "image": str(i), "role": "image"} for i in range(n)]
    return table([row | {k: v[i] for k, v in columns.items()} for i, row in enumerate(rows)], COHORT)


def test_types_by_hand():
    assert classification.labels(cohort(m=[0, 1, 1]), ("m",)).label_type == "binary"
    many = classification.labels(cohort(m=[0, 1, 1], e=[1, 0, np.nan]), ("m", "e"))
    assert (many.label_type, many.classes) == ("multilabel", ("m", "e"))
    grade = classification.labels(cohort(g=[10, 2, 1]), ("g",))
    assert (grade.label_type, grade.classes) == ("multiclass", ("1", "2", "10"))
    words = classification.labels(cohort(g=["benign", "", "malignant"]), ("g",))
    assert (words.label_type, words.classes) == ("multiclass", ("benign", "malignant"))


def test_structures_in_the_studys_order():
    rows = [{"subject": "1", "image": "1", "role": "image"}]
    rows += [{"subject": "1", "image": f"1-{s}", "of": "1", "role": "mask", "structure": s} for s in ("a", "b")]
    found = segmentation.labels(table(rows, COHORT), ("b", "a"))
    assert found.classes == ("background", "b", "a")
    with pytest.raises(LabelError, match="no mask of c") as refusal:
        segmentation.labels(table(rows, COHORT), ("c",))
    assert refusal.value.legal == "a, b"
    with pytest.raises(LabelError, match="no masks"):
        segmentation.labels(table(rows[:1], COHORT), ("a",))


@pytest.mark.parametrize(
    ("columns", "targets", "message"),
    [
        ({"m": [0, 1]}, ("x",), "no column 'x'"),
        ({"m": [1, 1, 1]}, ("m",), "every label of 'm' is '1': one class only"),
        ({"m": [np.nan, np.nan]}, ("m",), "holds no label"),
        ({"m": [0, 1, 0], "g": [0, 1, 2]}, ("m", "g"), "g hold"),
    ],
)
def test_refusals(columns, targets, message):
    with pytest.raises(LabelError, match=message):
        classification.labels(cohort(**columns), targets)


def test_missing_labels_have_no_part_in_the_loss():
    class Binary:
        label_type, class_weights, head = "multilabel", (), "plain"

    loss = classify.make_loss(Binary())
    logits = torch.tensor([[2.0, -5.0], [-1.0, 3.0]])
    full = loss(logits, torch.tensor([[1.0, float("nan")], [0.0, float("nan")]]))
    only = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], torch.tensor([1.0, 0.0]))
    assert float(full) == pytest.approx(float(only))

    class Many:
        label_type, class_weights, head = "multiclass", (), "plain"

    assert float(classify.make_loss(Many())(logits, torch.tensor([0, -1]))) == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits[:1], torch.tensor([0])))
    )


def test_the_evidential_loss_by_hand():
    # Concentrations 1 + log 2 and 3; digamma(1) = -gamma and digamma(x + 1) = digamma(x) + 1/x give digamma(3).
    logits = torch.tensor([[0.0, math.log(math.e**2 - 1)]])
    first, second = 1 + math.log(2), 3.0
    digamma = torch.special.digamma(torch.tensor([first + second, second])).tolist()
    fit = digamma[0] - digamma[1]
    assert float(classify.evidential_loss(logits, torch.tensor([1]), 0.0)) == pytest.approx(fit, rel=1e-5)
    wrong = torch.distributions.Dirichlet(torch.tensor([first, 1.0]))
    apart = torch.distributions.kl_divergence(wrong, torch.distributions.Dirichlet(torch.ones(2)))
    whole = classify.evidential_loss(logits, torch.tensor([1]), 1.0)
    assert float(whole) == pytest.approx(fit + float(apart), rel=1e-4)


@pytest.mark.parametrize("label_type", ["binary", "multilabel", "multiclass"])
def test_evidence_becomes_probabilities_and_doubt(label_type):
    class Evidential:
        class_weights, head = (), "evidential"

    Evidential.label_type = label_type
    logits = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    probabilities, doubt = classify.decode(logits, Evidential()), classify.vacuity(logits, Evidential())
    exclusive = label_type == "multiclass"
    assert probabilities.shape == ((5, 6) if exclusive else (5, 3))
    assert doubt.shape == ((5, 1) if exclusive else (5, 3))
    assert bool(((doubt > 0) & (doubt <= 1)).all())
    if exclusive:
        torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(5))
    truth = torch.tensor([0, 5, -1, 2, 1]) if exclusive else torch.tensor([[1.0, float("nan"), 0.0]] * 5)
    logits.requires_grad_()
    classify.make_loss(Evidential())(logits, truth).backward()
    assert bool(torch.isfinite(logits.grad).all())
    unknown = logits.grad[2] if exclusive else logits.grad[:, 2:4]
    assert bool((unknown == 0).all())


def test_every_task_says_what_it_is_and_can_learn():
    assert set(TASKS) == set(LEARN)
    for name, load in TASKS.items():
        task = load()
        for heading in ("What it measures", "Why it matters", "What it cannot see", "Example", "References"):
            assert heading in task.__doc__, (name, heading)
        assert task.KIND in ("mask", "score")
        assert pd.Series([task.HEADLINE]).isin(["dice", "auc"]).all()
        learn = LEARN[name]()
        assert all(callable(getattr(learn, part)) for part in ("make_loss", "decode"))
