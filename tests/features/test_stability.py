"""Stability tables by hand, by each kind of repeat, and where a region or a repeat is missing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.features.radiomics.stability import repeats_of, stability_table
from fiducial.maths.icc import intraclass_correlations
from fiducial.records.radiomics import FEATURES, STABILITY
from fiducial.records.tables import table

SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def row(region, value, *, feature="mean", family="statistics", **given):
    said = {"subject": region, "image": f"{region}-image", "mask": f"{region}-mask", "structure": "tumour"}
    return {**said, "family": family, "feature": feature, "value": float(value), **given}


def perturbed(values=SHROUT_FLEISS, **given):
    names = ["", "turned", "drawn.1", "drawn.2"]
    return [
        row(f"p{i}", value, perturbation=name, **given)
        for i, line in enumerate(values)
        for name, value in zip(names, line, strict=True)
    ]


def test_shrout_and_fleiss_through_the_table():
    found = stability_table(table(perturbed(), FEATURES), "perturbation")
    (one,) = found.table.to_dict("records")
    assert (one["n_regions"], one["n_subjects"], one["n_repeats"], one["repeats"]) == (6, 6, 4, "perturbation")
    assert [round(one[form], 2) for form in ("icc_1_1", "icc_2_1", "icc_3_1")] == [0.17, 0.29, 0.71]
    assert round(one["icc_3_1_low"], 2) == 0.34
    assert one["grade"] == "poor"
    assert list(found.table.columns) == STABILITY.names
    assert found.repeats == ("", "drawn.1", "drawn.2", "turned")


def test_the_grade_is_by_the_lower_end_of_what_was_asked_for():
    rng = np.random.default_rng(0)
    values = 10 * rng.normal(size=(30, 1)) + rng.normal(size=(30, 4)) + [0, 9, 0, 9]
    rows = table(perturbed(values), FEATURES)
    graded = {form: stability_table(rows, "perturbation", graded_by=form).table for form in ("icc_1_1", "icc_3_1")}
    assert graded["icc_1_1"]["grade"].item() in ("poor", "moderate")
    assert graded["icc_3_1"]["grade"].item() == "excellent"
    assert graded["icc_3_1"]["icc_1_1"].item() == graded["icc_1_1"]["icc_1_1"].item()


def test_features_are_told_apart_by_family_aggregation_and_filter():
    values = np.random.default_rng(1).normal(size=(4, 6, 4))
    kinds = [
        {"aggregation": "3d_merged"},
        {"aggregation": "2d_merged"},
        {"aggregation": "2d_merged", "filter": "log"},
        {"family": "glcm"},
    ]
    rows = [one for lines, kind in zip(values, kinds, strict=True) for one in perturbed(lines, **kind)]
    np.random.default_rng(0).shuffle(rows)
    found = stability_table(table(rows, FEATURES), "perturbation").table
    assert len(found) == 4
    for lines, kind in zip(values, kinds, strict=True):
        wanted = {"family": "statistics", "aggregation": "", "filter": "", **kind}
        own = found[np.logical_and.reduce([found[name] == text for name, text in wanted.items()])]
        assert own["icc_2_1"].item() == pytest.approx(intraclass_correlations(lines).agreement.value[0])


def test_raters_of_one_image_are_repeats():
    rows = [
        row(f"p{i}", value, mask=f"p{i}-{rater}", rater=rater)
        for i, line in enumerate(SHROUT_FLEISS)
        for rater, value in zip(["", "A", "B", "C"], line, strict=True)
    ]
    frame = table(rows, FEATURES)
    assert repeats_of(frame) == "rater"
    found = stability_table(frame, "rater")
    assert found.table["icc_2_1"].item() == pytest.approx(0.289764, abs=1e-6)
    assert found.repeats == ("", "A", "B", "C")


def visits(extra=()):
    scans = [("p0", "2001", 9), ("p0", "2002", 8), ("p1", "b", 4), ("p1", "a", 5), ("p2", "1", 1), ("p2", "2", 2)]
    return table(
        [
            row(person, value, visit=visit, image=f"{person}-{visit}", mask=f"{person}-{visit}-m{n}")
            for n, (person, visit, value) in enumerate([*scans, *extra])
        ],
        FEATURES,
    )


def test_visits_are_test_and_retest():
    frame = visits()
    assert repeats_of(frame) == "visit"
    found = stability_table(frame, "visit")
    assert found.table["icc_1_1"].item() == pytest.approx(
        intraclass_correlations([[9, 8], [5, 4], [1, 2]]).one_way.value[0]
    )
    assert found.table["repeats"].item() == "visit"


def test_a_third_visit_does_not_count_and_a_single_one_is_named():
    found = stability_table(visits([("p0", "2003", 100), ("p3", "1", 5)]), "visit")
    assert found.table["n_regions"].item() == 3
    assert found.left_out == (("p3 tumour", "repeat-missing: 2"),)


def test_two_masks_of_one_structure_at_one_visit_are_ambiguous():
    found = stability_table(visits([("p1", "a", 5.5)]), "visit")
    assert found.left_out == (("p1 tumour", "ambiguous: 2 masks in 1"),)
    assert found.table["n_regions"].item() == 2


def test_a_region_that_lacks_a_repeat_is_left_out_by_name():
    rows = [one for one in perturbed() if (one["subject"], one["perturbation"]) not in {("p1", "turned"), ("p4", "")}]
    found = stability_table(table(rows, FEATURES), "perturbation")
    assert found.left_out == (
        ("p1-mask", "repeat-missing: turned"),
        ("p4-mask", "repeat-missing: (as it is)"),
    )
    assert found.table["n_regions"].item() == 4
    assert found.table["icc_1_1"].item() == pytest.approx(
        intraclass_correlations([SHROUT_FLEISS[i] for i in (0, 2, 3, 5)]).one_way.value[0]
    )


def test_a_region_without_any_value_in_a_repeat_is_left_out_by_name():
    rows = perturbed()
    rows[5]["value"], rows[5]["reason"] = math.nan, "empty-mask: no voxel belongs to the region"
    found = stability_table(table(rows, FEATURES), "perturbation")
    assert found.left_out == (("p1-mask", "no-value: turned"),)
    assert (found.n_regions, found.table["n_regions"].item()) == (5, 5)


def test_a_value_that_is_missing_costs_that_feature_one_region():
    rows = perturbed() + perturbed(feature="variance")
    rows[5]["value"] = math.nan
    found = stability_table(table(rows, FEATURES), "perturbation").table.set_index("feature")
    assert found["n_regions"].to_dict() == {"mean": 5, "variance": 6}


def test_a_constant_feature_has_a_reason_and_no_grade():
    found = stability_table(table(perturbed(np.full((6, 4), 0.3)), FEATURES), "perturbation").table
    assert found["reason"].item() == "constant: one value everywhere"
    assert found["grade"].item() == ""
    assert math.isnan(found["icc_1_1"].item())


def test_one_region_has_a_reason():
    found = stability_table(table(perturbed(SHROUT_FLEISS[:1]), FEATURES), "perturbation").table
    assert found["reason"].item().startswith("too-few-regions: 1")


def test_diagnostics_are_no_features():
    rows = perturbed() + perturbed(family="diagnostics", feature="image_mean_initial")
    assert set(stability_table(table(rows, FEATURES), "perturbation").table["family"]) == {"statistics"}


def test_what_the_repeats_are_is_found_or_refused():
    frame = table(perturbed(), FEATURES)
    assert repeats_of(frame) == "perturbation"
    with pytest.raises(InputRefused, match="6 regions, each of them once") as refused:
        repeats_of(frame[frame["perturbation"] == ""])
    assert "--perturb" in refused.value.action


def test_one_repeat_is_refused():
    frame = table(perturbed(), FEATURES)
    with pytest.raises(InputRefused, match="1 perturbation"):
        stability_table(frame[frame["perturbation"] == ""], "perturbation")
    with pytest.raises(InputRefused, match="1 rater"):
        stability_table(frame, "rater")


def test_no_region_with_every_repeat_is_refused_with_the_first():
    rows = [one for i, one in enumerate(perturbed()) if i % 5]
    rows = [one for one in rows if not (one["subject"] in {"p4", "p5"} and one["perturbation"] == "drawn.2")]
    with pytest.raises(InputRefused, match="no region has all 4 repeats"):
        stability_table(table(rows, FEATURES), "perturbation")
