"""What a radiomics page says first of its models: a win over every simpler one, or beyond which nothing was shown."""

from __future__ import annotations

import pytest

from fiducial.report.radiomics import RadiomicsInput
from fiducial.report.radiomics_conclusion import conclusion


def given(verdicts: dict[tuple[str, str], str], skill: tuple[str, ...] = ()) -> RadiomicsInput:
    """Volume 0.70, single value 0.81, signature 0.51, all features 0.82; ``verdicts`` by model and what is beside."""
    common = {"low": 0.6, "high": 0.9, "level": 0.95, "n": 51, "n_events": 19, "reason": "", "method": ""}
    values = {"volume": 0.7, "value": 0.806, "radiomics": 0.514, "radiomics_all": 0.82}
    rows = [
        {"model": name, "metric": "auc", "beside": "", "value": value, "verdict": "skill" * (name in skill), **common}
        for name, value in values.items()
    ]
    rows += [
        {"model": name, "metric": "auc_difference", "beside": beside, "value": 0.1, "verdict": verdict, **common}
        for (name, beside), verdict in verdicts.items()
    ]
    return RadiomicsInput("t", [], [], [], [], models=rows, value="largest intensity")


NONE = {
    (name, beside): "no_difference_shown" for name in ("radiomics", "radiomics_all") for beside in ("volume", "value")
}


def test_where_no_model_wins_the_best_simpler_one_is_named():
    said = conclusion(given(NONE, skill=("volume", "value", "radiomics_all")))
    assert said[0] == (
        "Nothing was shown beyond the single value alone (largest intensity): AUC 0.806 [0.600, 0.900]. "
        "No model with radiomics is better than it."
    )
    assert conclusion(given(NONE, skill=("volume",)))[0].startswith(
        "Nothing was shown beyond the volume alone: AUC 0.700"
    )


def test_better_than_one_of_them_is_not_enough():
    said = conclusion(given(NONE | {("radiomics_all", "volume"): "better"}, skill=("value",)))
    assert said[0].startswith("Nothing was shown beyond the single value alone")


def test_a_model_that_beats_all_of_them_is_named():
    won = {("radiomics_all", "volume"): "better", ("radiomics_all", "value"): "better"}
    said = conclusion(given(NONE | won, skill=("value", "radiomics_all")))
    assert said[0] == "Better than every simpler model that stands beside: Radiomics, all features (AUC 0.820)."


def test_where_nothing_has_skill_that_is_said():
    assert conclusion(given(NONE))[0] == (
        "Nothing was shown beyond the simpler models, and none of these was shown to be better than chance."
    )


@pytest.mark.parametrize("verdicts", [{}, {("value", "volume"): "better"}])
def test_without_a_comparison_there_is_no_conclusion(verdicts):
    assert conclusion(given(verdicts, skill=("value",))) == []
