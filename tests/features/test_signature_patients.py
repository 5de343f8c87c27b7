"""One row for each patient: which region counts, who is left out, and what each refusal says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.features.signature_tables import features_table, planted

from fiducial.errors import InputRefused, LabelError, TableError
from fiducial.features.signature.patients import patients_of
from fiducial.features.signature.settings import Asked, SignatureSettings
from fiducial.records.radiomics import STABILITY
from fiducial.records.tables import table

SPREAD = Asked(target="spread")
DEFAULTS = SignatureSettings()


def two() -> pd.DataFrame:
    """Patients A and B with a region each."""
    own = {"morphology.volume_mesh": 8.0, "statistics.maximum": 3.0, "glcm.contrast": 1.0}
    return features_table({"A": own, "B": {**own, "morphology.volume_mesh": 9.0}})


def outcomes(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"subject": ["A", "B"], "spread": [0, 1], **columns})


def more(frame: pd.DataFrame, subject: str, mask: str, *, factor: float, **change: object) -> pd.DataFrame:
    """The table with another region of a patient, each value times ``factor``."""
    own = frame[frame["subject"] == subject]
    return pd.concat([frame, own.assign(mask=mask, value=own["value"] * factor, **change)], ignore_index=True)


def test_columns_are_features_and_rows_patients():
    found = patients_of(two(), outcomes(), SPREAD, DEFAULTS)
    assert found.subject == ("A", "B")
    assert found.names == ["morphology.volume_mesh", "statistics.maximum", "glcm.contrast"]
    assert found.numbers.features.tolist() == [[8, 3, 1], [9, 3, 1]]
    assert (found.numbers.volume, found.numbers.value) == (0, 1)
    assert found.outcome.event.tolist() == [False, True]
    assert found.notes == ()


def test_the_largest_of_several_regions_counts_whole():
    frame = more(two(), "A", "mask-small", factor=0.5)
    found = patients_of(frame, outcomes(), SPREAD, DEFAULTS)
    assert found.numbers.features[0].tolist() == [8, 3, 1]
    assert found.notes == ("1 patient with several regions: the largest counts",)
    larger = patients_of(more(two(), "A", "mask-large", factor=2), outcomes(), SPREAD, DEFAULTS)
    assert larger.numbers.features[0].tolist() == [16, 6, 2]


def test_the_mean_of_several_regions():
    found = patients_of(more(two(), "A", "m2", factor=3), outcomes(), SPREAD, SignatureSettings(regions="mean"))
    assert found.numbers.features[0].tolist() == [16, 6, 2]


@pytest.mark.parametrize("change", [{"rater": "second"}, {"visit": "v2"}, {"perturbation": "turned"}])
def test_other_raters_later_visits_and_perturbations_do_not_count(change):
    frame = two().assign(visit="v1")
    frame = more(frame, "A", "mask-A" if "perturbation" in change else "mask-other", factor=10, **change)
    found = patients_of(frame, outcomes(), SPREAD, DEFAULTS)
    assert found.numbers.features[0].tolist() == [8, 3, 1]


def test_raters_count_where_there_is_no_reference():
    frame = two()
    frame.loc[frame["subject"] == "A", "rater"] = "second"
    assert len(patients_of(frame, outcomes(), SPREAD, DEFAULTS).subject) == 2


def test_the_test_part_is_left_out():
    frame = pd.concat([two(), two().replace({"subject": {"A": "C", "B": "D"}}).assign(split="test")])
    given = pd.DataFrame({"subject": list("ABCD"), "spread": [0, 1, 0, 1]})
    found = patients_of(frame, given, SPREAD, DEFAULTS)
    assert found.subject == ("A", "B")
    assert "2 patients of the test part left out: it is for the audit" in found.notes


def test_who_is_in_one_table_only_is_counted_and_not_named():
    given = pd.DataFrame({"subject": ["A", "B", "Smith^John"], "spread": [0, 1, 1]})
    found = patients_of(two(), given, SPREAD, DEFAULTS)
    assert found.notes == ("1 patient with an outcome and no features: left out",)


def test_clinical_variables_become_numbers():
    given = outcomes(age=[50, 60], sex=["F", "M"], smoker=[0, 1])
    found = patients_of(two(), given, Asked(target="spread", clinical=("age", "sex", "smoker")), DEFAULTS)
    assert found.clinical == ("age", "sex=M", "smoker")
    assert found.numbers.clinical.tolist() == [[50, 0, 0], [60, 1, 1]]
    assert found.numbers.indicator.tolist() == [False, True, True]


def test_what_is_not_reproducible_is_not_usable():
    rows = [
        {"family": "glcm", "feature": "contrast", "icc_1_1_low": 0.7},
        {"family": "statistics", "feature": "maximum", "icc_1_1_low": 0.8},
    ]
    found = patients_of(two(), outcomes(), SPREAD, DEFAULTS, stability=table(rows, STABILITY))
    assert found.numbers.usable.tolist() == [False, True, False]


def test_another_value_may_be_named():
    assert patients_of(two(), outcomes(), Asked(target="spread", value="glcm.contrast"), DEFAULTS).numbers.value == 2


def test_patients_without_an_outcome_are_left_out():
    frame = pd.concat([two(), two()[two()["subject"] == "A"].replace({"subject": {"A": "C"}})])
    given = pd.DataFrame({"subject": ["A", "B", "C"], "spread": [0, 1, np.nan]})
    found = patients_of(frame, given, SPREAD, DEFAULTS)
    assert found.subject == ("A", "B")
    assert found.notes == ("1 patient without spread: left out",)


SURVIVAL = Asked(time="days", event="died")
CLINICAL = Asked(target="spread", clinical=("age",))


@pytest.mark.parametrize(
    ("given", "asked", "kind", "message"),
    [
        (
            outcomes().assign(subject=["x-01", "x-02"]),
            SPREAD,
            TableError,
            "ids of the 2 with features look like a, .* a-99",
        ),
        (outcomes().assign(spread=[1, 2]), SPREAD, LabelError, "2 in 1 of 2 patients"),
        (outcomes().assign(spread=["yes", "no"]), SPREAD, LabelError, "no, yes in 2 of 2 patients"),
        (
            outcomes(),
            Asked(target="cured"),
            TableError,
            "missing column.* cured of the outcomes; it has subject, spread",
        ),
        (pd.concat([outcomes(), outcomes(spread=[1, 1])]), SPREAD, TableError, "1 patient with two outcomes or more"),
        (outcomes(days=[5, 0], died=[1, 0]), SURVIVAL, LabelError, "1 times that are not above 0, such as '0'"),
        (outcomes(days=[5, "x"], died=[1, 0]), SURVIVAL, LabelError, "1 times that are not above 0, such as 'x'"),
        (outcomes(age=[50, np.nan]), CLINICAL, InputRefused, r"missing in 1 of 2 patients \(age 1\)"),
        (outcomes(), Asked(target="spread", structure="liver"), InputRefused, "no region of structure 'liver'"),
        (outcomes(), Asked(target="spread", value="glcm.none"), InputRefused, "no feature 'glcm.none'"),
    ],
)
def test_what_is_refused(given, asked, kind, message):
    with pytest.raises(kind, match=message):
        patients_of(two(), given, asked, DEFAULTS)


def test_missing_clinical_values_are_filled_or_left_out_on_request():
    given = outcomes(age=[50, np.nan])
    filled = patients_of(two(), given, CLINICAL, SignatureSettings(missing="median"))
    assert np.isnan(filled.numbers.clinical).tolist() == [[False], [True]]
    dropped = patients_of(two(), given, CLINICAL, SignatureSettings(missing="drop"))
    assert dropped.subject == ("A",)
    assert dropped.notes == ("1 patient without every clinical value: left out",)


def test_combat_needs_two_sites():
    settings = SignatureSettings(combat=True)
    with pytest.raises(InputRefused, match="2 patients without a site, 0 sites"):
        patients_of(two(), outcomes(), SPREAD, settings)
    both = two().assign(site=lambda rows: "site " + rows["subject"])
    assert patients_of(both, outcomes(), SPREAD, settings).numbers.site.tolist() == ["site A", "site B"]


def test_a_text_of_many_words_is_no_variable():
    frame, given = planted(n=30)
    given["name"] = [f"word {k}" for k in range(30)]
    with pytest.raises(InputRefused, match="30 different texts"):
        patients_of(frame, given, Asked(target="spread", clinical=("name",)), DEFAULTS)


def test_no_volume_no_signature():
    with pytest.raises(InputRefused, match="no volume among the features") as refused:
        patients_of(
            features_table({"A": {"glcm.contrast": 1.0}, "B": {"glcm.contrast": 2.0}}), outcomes(), SPREAD, DEFAULTS
        )
    assert "morphology" in refused.value.action


def test_a_volume_that_a_patient_lacks_is_none():
    frame = two()
    frame.loc[0, "value"] = np.nan
    with pytest.raises(InputRefused, match="or not of every patient"):
        patients_of(frame, outcomes(), SPREAD, DEFAULTS)


def test_an_infinite_feature_is_a_missing_one():
    frame = two()
    frame.loc[frame["feature"] == "contrast", "value"] = np.inf
    assert np.isnan(patients_of(frame, outcomes(), SPREAD, DEFAULTS).numbers.features[:, 2]).all()


@pytest.mark.parametrize(
    "words",
    [{}, {"target": "a", "time": "t", "event": "e"}, {"time": "t"}, {"event": "e"}, {"target": "a", "time": "t"}],
)
def test_one_outcome_is_named(words):
    with pytest.raises(InputRefused, match=r"named$|named\n"):
        Asked(**words)


@pytest.mark.parametrize(
    ("word", "value"),
    [("seed", -1), ("folds", 1), ("repeats", 0), ("regions", "first"), ("selection_threshold", 0.5), ("level", 1.0)],
)
def test_settings_that_are_not_legal(word, value):
    with pytest.raises(InputRefused, match=f"{word} = {value!r}"):
        SignatureSettings(**{word: value})
