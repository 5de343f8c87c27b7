"""What is planted into phantom tables to prove the audit's checks: the defects and their sizes, as data.

The sizes were written down before the checks that have to find them, and are not changed to suit a check: where a
check needs a larger effect than a reader would hope, its table of power says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PlantedDefect:
    """One defect at four sizes, and the check that has to find it.

    ``unit`` says what a size means; size 0 is a clean table. ``check`` is a key of the audit's ``CHECKS``.
    """

    check: str
    sizes: tuple[float, float, float, float]
    unit: str
    meaning: str


DEFECTS: dict[str, PlantedDefect] = {
    "stretched_scores": PlantedDefect(
        "calibration", (0.1, 0.2, 0.4, 0.8), "stretch of the log-odds above 1", "scores too sure of themselves"
    ),
    "shifted_scores": PlantedDefect(
        "calibration", (0.1, 0.2, 0.4, 0.8), "logits added", "every risk is too high by the same factor of odds"
    ),
    "group_miscalibration": PlantedDefect(
        "fairness", (0.2, 0.4, 0.6, 1.0), "logits added in one sex", "risks too high in one group only"
    ),
    "missed_group": PlantedDefect(
        "fairness",
        (0.05, 0.1, 0.2, 0.3),
        "share of one sex's events scored as if healthy",
        "events of one group are overlooked (equal opportunity, under-diagnosis)",
    ),
    "weak_group": PlantedDefect(
        "subgroups", (0.2, 0.4, 0.6, 0.8), "standard deviations", "events of one scanner score lower"
    ),
    "weak_group_masks": PlantedDefect(
        "subgroups", (0.01, 0.02, 0.05, 0.1), "Dice", "masks of one site are worse on average"
    ),
    "weak_intersection": PlantedDefect(
        "fairness",
        (0.3, 0.6, 0.9, 1.2),
        "standard deviations",
        "events of one sex at one site score lower; each attribute by itself is nearly alike",
    ),
    "marker_shortcut": PlantedDefect(
        "shortcut",
        (0.25, 0.5, 1.0, 1.5),
        "logits added where a marker is burned in",
        "embeddings show a marker that is more frequent among events, and the score follows it beyond the truth",
    ),
    "test_shift": PlantedDefect(
        "operating_point", (0.2, 0.4, 0.6, 1.0), "logits added in the test part", "the threshold moved between parts"
    ),
    "not_exchangeable": PlantedDefect(
        "conformal",
        (0.02, 0.05, 0.1, 0.2),
        "share of test truths replaced by a coin",
        "test and calibration cases are not alike, so the promised coverage is missed",
    ),
    "idle_confidence": PlantedDefect(
        "selective",
        (0.5, 0.7, 0.9, 1.0),
        "share of cases whose distance from the threshold is drawn anew",
        "confidence does not tell right answers from wrong ones",
    ),
    "foreign_images": PlantedDefect(
        "out_of_distribution",
        (0.25, 0.5, 1.0, 2.0),
        "standard deviations along one direction of 16",
        "embeddings of the test part lie elsewhere",
    ),
    "flattering_quality": PlantedDefect(
        "predicted_quality", (0.01, 0.02, 0.05, 0.1), "Dice", "the predicted Dice is too high"
    ),
    "label_noise": PlantedDefect(
        "label_noise", (0.01, 0.02, 0.05, 0.1), "share of truths flipped", "some reference answers are wrong"
    ),
    "careless_rater": PlantedDefect(
        "agreement", (0.05, 0.1, 0.2, 0.3), "share of one rater's answers flipped", "one of four raters errs more"
    ),
    "drift": PlantedDefect(
        "temporal",
        (0.3, 0.6, 0.9, 1.2),
        "standard deviations lost from the first month to the last",
        "events score lower and lower with time",
    ),
    "weak_site": PlantedDefect(
        "sites", (0.2, 0.4, 0.6, 0.8), "standard deviations", "events of one hospital of six score lower"
    ),
    "harmful_decisions": PlantedDefect(
        "decisions",
        (0.25, 0.5, 0.75, 1.0),
        "share of cases whose score is drawn anew",
        "acting on the model does more harm than acting on nobody or on everybody",
    ),
    "events_missing": PlantedDefect(
        "missingness", (0.02, 0.05, 0.1, 0.2), "share of events without a value", "failed cases are not like the rest"
    ),
    "default_value": PlantedDefect(
        "score_distribution", (0.1, 0.3, 0.6, 0.9), "share of cases with one value", "a default stands for failures"
    ),
    "repeated_rows": PlantedDefect(
        "duplicates",
        (0.005, 0.01, 0.02, 0.05),
        "share of cases that appear again under another id",
        "one image is counted as several patients",
    ),
    "levelling_down": PlantedDefect(
        "levelling_down",
        (0.2, 0.4, 0.6, 0.8),
        "standard deviations",
        "a second model closes a gap by lowering the better group",
    ),
}
