"""Facts of a radiomics run: only what a file says, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from fiducial.audit.checklists import RADIOMICS_FACTS
from fiducial.features.radiomics import PyRadiomicsSettings, Settings
from fiducial.flows import radiomics_facts as facts
from fiducial.flows.features_record import FeaturesRecord
from fiducial.records.radiomics import FEATURES
from fiducial.records.tables import table


def rows(*said: dict[str, Any]) -> Any:
    first = {"family": "glcm", "feature": "contrast", "aggregation": "3d_merged", "ibsi_code": "ACUI", "value": 1.0}
    return table(
        [{"subject": f"p{k}", "image": f"i{k}", "mask": f"m{k}", **first, **one} for k, one in enumerate(said)],
        FEATURES,
    )


@pytest.mark.parametrize(
    ("given", "grey", "grid"),
    [
        ({"bin_number": 32}, "a fixed number of 32 grey levels", "images on their own grid, not resampled"),
        (
            {"bin_width": 0.5, "resegment": (0, None), "spacing_mm": (2, 2, 0)},
            "grey levels of a fixed width of 0.5, from 0 on",
            "resampled to 2 x 2 x as it is mm: images linear, masks linear with threshold 0.5; regions kept to "
            "intensities from 0",
        ),
        (
            {"bin_width": 25, "outlier_sigma": 3, "round_intensities": True},
            "grey levels of a fixed width of 25, from the region's smallest intensity on",
            "images on their own grid, not resampled; rounded to whole numbers; outliers beyond 3 standard deviations "
            "left out",
        ),
        ({}, "intensities are the grey levels", "images on their own grid, not resampled"),
    ],
)
def test_settings_in_words(given: dict[str, Any], grey: str, grid: str) -> None:
    said = facts.of_settings(Settings(**given).model_dump(mode="json"))
    assert said["discretisation"] == grey
    assert said["image_processing"] == grid
    assert said["image_types"] == "the image itself, no filter"


def test_a_filter_is_told_with_its_parameters() -> None:
    said = facts.of_settings(Settings(filter={"kind": "log", "sigma_mm": 3.0}).model_dump(mode="json"))  # type: ignore[arg-type]
    assert said["image_types"] == "Laplacian of Gaussian, sigma 3 mm, cutoff 4, boundary mirror"


def test_several_filters_are_told_by_name_with_their_grey_levels() -> None:
    given = {
        "filters": {"fine": {"kind": "log", "sigma_mm": 1.0}, "even": {"kind": "mean", "support": 3}},
        "response_bin_number": 16,
    }
    said = facts.of_settings(Settings(**given).model_dump(mode="json"))["image_types"]  # type: ignore[arg-type]
    assert said.startswith("the image itself, and response maps in 16 grey levels: fine: Laplacian of Gaussian")
    assert "; even: mean" in said


def test_definitions_of_another_tool_are_not_called_the_standard() -> None:
    given = PyRadiomicsSettings(
        binWidth=10, resampledPixelSpacing=(1, 1, 0), imageType={"Original": {}, "LoG": {"sigma": [3.0]}}
    )
    record = FeaturesRecord(given.model_dump(mode="json"), (), {"fiducial": "1.2"})
    said = facts.of_features(rows({}), record)
    assert "software" not in said
    assert said["other_definitions"].startswith("Fiducial 1.2, by PyRadiomics' definitions")
    assert said["discretisation"] == "grey levels of a fixed width of 10.0"
    assert said["resampling"] == "resampled to 1 x 1 x 0 mm by sitkBSpline"
    assert said["image_types"] == "Original, LoG (sigma [3.0])"
    assert ("Definitions", "those of PyRadiomics") in facts.settings_shown(record, rows({}))


def test_hospitals_are_counted_only_where_every_region_names_one() -> None:
    assert facts.of_features(rows({"site": "A"}, {"site": "B"}), None)["several_sites"] == "2 sites: A, B"
    assert facts.of_features(rows({"site": "A"}, {"site": "A"}), None)["one_site"] == "all regions come from A"
    said = facts.of_features(rows({"site": "A"}, {"site": ""}), None)
    assert "one_site" not in said
    assert "several_sites" not in said


def test_without_a_record_nothing_is_said_of_software_and_settings() -> None:
    made_by = {"software", "configuration", "set_aside", "discretisation", "image_types", "image_processing"}
    assert not made_by & set(facts.of_features(rows({}), None))
    record = FeaturesRecord(Settings(bin_number=8).model_dump(mode="json"), (), {"fiducial": "1.2"})
    said = facts.of_features(rows({}, {"ibsi_code": "", "feature": "own"}), record)
    assert made_by <= set(said)
    assert said["software"].startswith("Fiducial 1.2, 1 of 2 features with their IBSI code")
    changed = FeaturesRecord(record.settings, (), record.versions, changed=True)
    assert not made_by & set(facts.of_features(rows({}), changed))


@pytest.mark.parametrize(("raters", "said"), [(("A", "B", ""), True), (("A", "", "automatic net"), False), ((), False)])
def test_several_readers_are_people_with_names(raters: tuple[str, ...], said: bool) -> None:
    assert ("several_raters" in facts.of_features(rows({}), None, raters=raters)) is said


def test_missing_values_are_counted_by_reason() -> None:
    said = facts.of_features(rows({}, {"value": float("nan"), "reason": "undefined: flat"}), None)
    assert said["missing_values"] == "1 of 2 values are missing (undefined 1)"


@pytest.mark.parametrize(
    ("repeats", "perturbations", "fact"),
    [
        ("rater", (), "stability_raters"),
        ("visit", (), "stability_visits"),
        ("perturbation", ({"name": "c", "contour": True},), "stability_contours"),
        ("perturbation", ({"name": "n", "noise": 1.0},), "stability_images_only"),
        ("perturbation", (), ""),
    ],
)
def test_what_was_repeated_is_told_from_the_table_or_not_at_all(repeats: str, perturbations: Any, fact: str) -> None:
    row = {"graded_by": "icc_1_1", "grade": "good", "n_repeats": 5, "n_regions": 9, "repeats": repeats}
    said = facts.of_stability([row], perturbations)
    assert set(said) == {"stability", fact} - {""}
    assert said["stability"] == "ICC 1 1 of 1 features, 5 repeats of 9 regions: good 1"


def figure(model: str, metric: str = "auc", beside: str = "") -> dict[str, Any]:
    return {"model": model, "metric": metric, "beside": beside, "value": 0.7, "low": 0.6, "high": 0.8}


def test_a_joint_model_is_said_to_be_there_or_not() -> None:
    said = facts.of_signature([figure("radiomics"), figure("clinical_radiomics")], [], {})
    assert said["combined_model"] == "clinical_radiomics 0.70 [0.60, 0.80]"
    assert "no_combined_model" not in said
    assert "no_combined_model" in facts.of_signature([figure("radiomics")], [], {})


def test_settings_that_are_not_all_there_are_not_told() -> None:
    said = facts.of_signature([figure("radiomics")], [], {"settings": {"folds": 5}})
    assert not {"cross_validation", "training", "scaling", "risk"} & set(said)
    assert facts.choices_shown({"settings": {"folds": 5}}) == []


def test_no_models_say_nothing() -> None:
    assert facts.of_signature([], [], {}) == {}
    assert facts.of_stability([]) == {}
    assert facts.of_features(rows().head(0), None) == {}


def test_every_fact_has_a_name_that_the_sheets_know() -> None:
    chosen = {"chosen": 1, "reason": ""}
    said = facts.of_signature(
        [figure("radiomics"), figure("value"), figure("radiomics", "auc_difference", "value")], [chosen], {}
    )
    assert set(said) <= set(RADIOMICS_FACTS)
    assert said["no_feature_reduction"] == "all 1 features are in the signature"
