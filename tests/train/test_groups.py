"""Groups and weights that make training fairer, against figures by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fiducial.errors import LabelError
from fiducial.records.plan import Mitigation
from fiducial.study import parse_study
from fiducial.train.cache import Cached
from fiducial.train.groups import with_groups
from fiducial.train.objective import DRO_STEP, Objective
from fiducial.train.sampling import Batch

VALUES = {"a": "M", "b": "M", "c": "M", "d": "F", "e": ""}
TRUTH = {"a": 1, "b": 1, "c": 0, "d": 0, "e": 0}


def study(method, attribute="sex"):
    return parse_study(f"""
[study]
name = "s"
intended_use = "to test"
[data]
cohort = "cohort"
attributes = ["sex"]
[task]
kind = "classification"
targets = ["ill"]
[train]
mitigate = {{method = "{method}", attribute = "{attribute}"}}
""")


@pytest.fixture
def classifier(plan):
    said = {"task": "classification", "label_type": "binary", "classes": ("ill",), "targets": ("ill",)}
    return plan.model_copy(update=said)


@pytest.fixture
def labelled():
    empty = np.zeros((1, 2, 2, 2), np.float32)
    return [Cached(k, k, empty, None, np.array([float(t)], np.float32), ()) for k, t in TRUTH.items()]


def test_reweighing_makes_group_and_class_independent(classifier, labelled):
    cases, _, how = with_groups(labelled, [], VALUES, study("reweighing"), classifier)
    weight = {case.image: case.weight for case in cases}
    # n = 5; sex M 3, F 1, not stated 1; ill 2. Weight: n(sex) n(ill) / (n n(sex, ill)).
    assert weight == pytest.approx({"a": 3 * 2 / (5 * 2), "b": 3 * 2 / (5 * 2), "c": 3 * 3 / 5, "d": 3 / 5, "e": 3 / 5})
    assert sum(weight.values()) == pytest.approx(3 * 2 / 5 + 3 * 3 / 5 + 6 / 5)
    assert how is not None
    assert how.groups == ("sex=F&ill=0", "sex=M&ill=0", "sex=M&ill=1", "sex=not stated&ill=0")
    assert how.groups[cases[4].group] == "sex=not stated&ill=0"


def test_other_methods_leave_weights_alone_and_no_mitigation_leaves_all(classifier, labelled):
    cases, _, _ = with_groups(labelled, [], VALUES, study("balanced"), classifier)
    assert {case.weight for case in cases} == {1.0}
    plain = parse_study(study("balanced").to_toml().replace('mitigate = {method = "balanced", attribute = "sex"}', ""))
    assert with_groups(labelled, [], {}, plain, classifier) == (labelled, [], None)


def test_one_value_cannot_be_balanced(classifier, labelled):
    with pytest.raises(LabelError, match="every training case has sex = M: there is nothing to balance"):
        with_groups(labelled, [], dict.fromkeys(VALUES, "M"), study("group_dro"), classifier)


def test_validation_cases_get_what_training_cases_of_their_kind_have(classifier, labelled):
    train, validation = labelled[:4], [labelled[0], labelled[4]]
    grouped, aside, how = with_groups(train, validation, VALUES, study("reweighing"), classifier)
    assert how is not None
    assert (aside[0].group, aside[0].weight) == (grouped[0].group, grouped[0].weight)
    assert (aside[1].group, aside[1].weight) == (-1, 0.0)  # nobody of unstated sex is in training


def batch(truth, group, weight):
    y = torch.tensor(truth, dtype=torch.float32)[:, None]
    return Batch(torch.zeros(len(truth)), y, torch.tensor(group), torch.tensor(weight), np.random.default_rng(0))


def test_the_objective_without_mitigation_is_the_tasks_loss_and_weights_weigh(classifier):
    logits = torch.tensor([[2.0], [-1.0], [0.5]])
    objective = Objective(classifier)
    even = batch([1, 0, 0], [0, 0, 0], [1.0, 1.0, 1.0])
    assert float(objective(logits, even)) == pytest.approx(float(objective.plain(logits, even)), rel=1e-6)
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, even.y, reduction="none")[:, 0]
    weighted = objective(logits, batch([1, 0, 0], [0, 0, 0], [2.0, 1.0, 0.5]))
    assert float(weighted) == pytest.approx(float((each * torch.tensor([2.0, 1.0, 0.5])).sum() / 3.5), rel=1e-6)


def test_group_dro_moves_weight_to_the_group_that_fares_worse(classifier):
    how = Mitigation(method="group_dro", attribute="sex", groups=("sex=F", "sex=M", "sex=X"))
    objective = Objective(classifier.model_copy(update={"mitigation": how}))
    logits = torch.tensor([[4.0], [4.0], [-4.0]])
    given = batch([1, 1, 1], [0, 0, 1], [1.0, 1.0, 1.0])
    good, bad = (
        float(torch.nn.functional.softplus(torch.tensor(-4.0))),
        float(torch.nn.functional.softplus(torch.tensor(4.0))),
    )
    grown = np.array([np.exp(DRO_STEP * good), np.exp(DRO_STEP * bad), 1.0])  # X is not in the batch
    shares = grown / grown.sum()
    assert float(objective(logits, given)) == pytest.approx(shares[0] * good + shares[1] * bad, rel=1e-5)
    np.testing.assert_allclose(objective.shares.numpy(), shares, rtol=1e-5)
    for _ in range(200):
        objective(logits, given)
    assert float(objective.shares[1]) > 0.99


@pytest.mark.parametrize(
    ("method", "expected"),
    [("reweighing", (2 * 0.5 + 2 * 0.1 + 1 * 0.9) / 5), ("balanced", (0.3 + 0.9) / 2), ("group_dro", 0.9)],
)
def test_weights_are_chosen_by_groups_and_not_by_the_largest_of_them(classifier, method, expected):
    how = Mitigation(method=method, attribute="sex", groups=("sex=F", "sex=M"))
    objective = Objective(classifier.model_copy(update={"mitigation": how}))
    losses, known = torch.tensor([0.5, 0.1, 0.9, 7.0]), torch.ones(4)
    group, weight = torch.tensor([0, 0, 1, -1]), torch.tensor([2.0, 2.0, 1.0, 0.0])
    assert objective.chosen_by(losses, known, group, weight) == pytest.approx(expected)
    assert np.isnan(objective.chosen_by(losses[3:], known[3:], group[3:], weight[3:]))
