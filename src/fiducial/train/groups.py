"""The groups that training is made fairer to: which case belongs to which, and what it counts. Needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fiducial.errors import LabelError
from fiducial.records.plan import Mitigation, Plan
from fiducial.study import Study
from fiducial.train.cache import Cached

NOT_STATED = "not stated"


def with_groups(
    cases: Sequence[Cached], validation: Sequence[Cached], values: Mapping[str, str], study: Study, plan: Plan
) -> tuple[list[Cached], list[Cached], Mitigation | None]:
    """Give each case its group and weight, as the study's ``train.mitigate`` says; the groups go into the plan.

    A group is the value of the attribute, and the class where a case has exactly one (Sagawa et al., ICLR 2020). Under
    reweighing a case counts n(value) n(class) / (n n(value, class)) (Kamiran and Calders, Data preprocessing techniques
    for classification without discrimination, 2012); the mean weight is 1. Validation cases get what training cases of
    their kind have; one of a kind that is not in training gets group -1 and weight 0.

    Args:
        cases: the training cases.
        validation: the validation cases.
        values: the attribute's value of each image; an image without one belongs to a group of its own.
        study: the study.
        plan: the plan, for the classes.

    Raises:
        LabelError: all cases have the same value.
    """
    if study.train.mitigate is None:
        return list(cases), list(validation), None
    attribute: str = study.train.mitigate.attribute
    method = study.train.mitigate.method
    told = [values.get(case.image, "") or NOT_STATED for case in cases]
    if len(set(told)) < 2:
        raise LabelError(
            f"every training case has {attribute} = {told[0]}: there is nothing to balance",
            where=f"{study.source}, [train] mitigate",
            legal="an attribute with at least two values among the training cases",
        )
    kinds = list(zip(told, [class_of(case, plan) for case in cases], strict=True))
    names = tuple(sorted({_name(attribute, *kind) for kind in kinds}))
    n_told, n_class, n_both = Counter(told), Counter(own for _, own in kinds), Counter(kinds)

    def grouped(case: Cached) -> Cached:
        value, own = values.get(case.image, "") or NOT_STATED, class_of(case, plan)
        if (value, own) not in n_both:
            return replace(case, group=-1, weight=0.0)
        weight = n_told[value] * n_class[own] / (len(cases) * n_both[value, own]) if method == "reweighing" else 1.0
        return replace(case, group=names.index(_name(attribute, value, own)), weight=weight)

    mitigation = Mitigation(method=method, attribute=attribute, groups=names)
    return [grouped(case) for case in cases], [grouped(case) for case in validation], mitigation


def class_of(case: Cached, plan: Plan) -> str:
    """The class of a case that has exactly one, else empty."""
    if plan.label_type == "binary" and case.truth is not None:
        return f"{plan.targets[0]}={case.truth[0]:g}"
    if plan.label_type == "multiclass" and case.truth is not None:
        return f"{plan.targets[0]}={plan.classes[int(case.truth[0])]}"
    return ""


def _name(attribute: str, value: str, own: str) -> str:
    return f"{attribute}={value}" + (f"&{own}" if own else "")
