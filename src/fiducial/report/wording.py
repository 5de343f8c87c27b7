"""Numbers, verdicts and criteria as people read them. Missing values never print as ``nan``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MISSING = "–"


@dataclass(frozen=True)
class Metric:
    """How a metric is written: ``label`` in tables, ``phrase`` in a sentence, ``digits`` after the point."""

    label: str
    phrase: str
    digits: int = 3
    unit: str = ""
    bounds: tuple[float, float] | None = (0.0, 1.0)


METRICS: dict[str, Metric] = {
    "auc": Metric("AUC", "area under the ROC curve (AUC)"),
    "average_precision": Metric("Average precision", "average precision"),
    "sensitivity": Metric("Sensitivity", "sensitivity"),
    "specificity": Metric("Specificity", "specificity"),
    "ppv": Metric("PPV", "positive predictive value"),
    "npv": Metric("NPV", "negative predictive value"),
    "accuracy": Metric("Accuracy", "accuracy"),
    "balanced_accuracy": Metric("Balanced accuracy", "balanced accuracy"),
    "f1": Metric("F1", "F1 score"),
    "mcc": Metric("MCC", "Matthews correlation", bounds=(-1.0, 1.0)),
    "prevalence": Metric("Prevalence", "prevalence"),
    "brier": Metric("Brier score", "Brier score"),
    "calibration_in_the_large": Metric("Calibration in the large", "calibration in the large", 2, bounds=None),
    "ece": Metric("Calibration error (ECE)", "expected calibration error"),
    "ece_adaptive": Metric("ECE, bins of equal number", "expected calibration error over bins of equal number"),
    "log_loss": Metric("Log loss", "log loss", bounds=None),
    "brier_reliability": Metric("Brier score: reliability", "reliability part of the Brier score", 4),
    "brier_resolution": Metric("Brier score: resolution", "resolution part of the Brier score", 4),
    "brier_uncertainty": Metric("Brier score: uncertainty", "uncertainty part of the Brier score", 4),
    "best_map": Metric("Best map, by cross-validated log loss", "best map", bounds=None),
    "map_temperature": Metric("Temperature", "temperature of the map", 2, bounds=None),
    "map_slope": Metric("Slope of the map", "slope of the map", 2, bounds=None),
    "map_intercept": Metric("Intercept of the map", "intercept of the map", 2, bounds=None),
    "map_log_odds": Metric("Log odds of the map", "log odds of the map", 2, bounds=None),
    "venn_abers_width": Metric("Width of the Venn–Abers interval", "width of the Venn–Abers interval"),
    "ood_auroc": Metric("Foreignness (AUROC)", "AUROC of foreignness"),
    "correlation": Metric("Correlation", "correlation", 2, bounds=(-1.0, 1.0)),
    "bias": Metric("Bias", "mean of predicted minus real", bounds=None),
    "mae": Metric("Mean absolute error", "mean absolute error"),
    "calibration_slope": Metric("Calibration slope", "calibration slope", 2, bounds=None),
    "calibration_intercept": Metric("Calibration intercept", "calibration intercept", 2, bounds=None),
    "threshold": Metric("Threshold", "decision threshold"),
    "dice": Metric("Dice", "Dice coefficient"),
    "iou": Metric("IoU", "intersection over union"),
    "nsd": Metric("NSD", "normalised surface Dice"),
    "hd95": Metric("HD95", "95th percentile Hausdorff distance", 2, "mm", None),
    "masd": Metric("MASD", "mean average surface distance", 2, "mm", None),
    "volume_difference_ml": Metric("Volume difference", "volume difference", 2, "ml", None),
    "volume_ml_predicted": Metric("Predicted volume", "predicted volume", 2, "ml", None),
    "volume_ml_true": Metric("True volume", "true volume", 2, "ml", None),
    "coverage": Metric("Coverage", "coverage of the sets"),
    "set_size": Metric("Size of the sets", "size of the sets", 2, bounds=None),
    "interval_width": Metric("Width of the interval", "width of the interval", 2, bounds=None),
    "mask_size": Metric("Size of the mask against the truth", "size of the mask against the true one", 2, bounds=None),
    "false_negative_rate": Metric("False-negative rate", "false-negative rate"),
    "error_auroc": Metric("Order of errors (AUROC)", "AUROC of confidence for errors"),
    "aurc": Metric("Area under risk–coverage", "area under the risk–coverage curve", 4),
    "excess_aurc": Metric("Area above the best order", "excess area under the risk–coverage curve", 4),
    "deferral_rate": Metric("Deferred cases", "share of deferred cases"),
    "kept_error": Metric("Error of the kept cases", "error of the kept cases"),
    "net_benefit": Metric("Net benefit", "net benefit", bounds=None),
    "likelihood_ratio_positive": Metric("LR+", "positive likelihood ratio", 2, bounds=None),
    "likelihood_ratio_negative": Metric("LR−", "negative likelihood ratio", 3, bounds=None),
    "diagnostic_odds_ratio": Metric("Diagnostic odds ratio", "diagnostic odds ratio", 1, bounds=None),
    "number_needed_to_evaluate": Metric("Called patients for each found", "number needed to evaluate", 2, bounds=None),
    "noise_rate": Metric("Wrong truths", "share of truths that look wrong", 3),
    "self_confidence": Metric("Chance of the stated truth", "chance of the stated truth"),
    "percent_agreement": Metric("Agreement of a pair", "agreement of a random pair of raters"),
    "cohen_kappa": Metric("Cohen’s kappa", "Cohen’s kappa", 2, bounds=(-1.0, 1.0)),
    "weighted_kappa": Metric("Weighted kappa", "weighted kappa", 2, bounds=(-1.0, 1.0)),
    "fleiss_kappa": Metric("Fleiss’ kappa", "Fleiss’ kappa", 2, bounds=(-1.0, 1.0)),
    "krippendorff_alpha": Metric("Krippendorff’s alpha", "Krippendorff’s alpha", 2, bounds=(-1.0, 1.0)),
    "pairwise_dice": Metric("Dice of two raters", "Dice of two raters' masks"),
    "consensus_dice": Metric("Dice with the consensus", "Dice with the raters' consensus"),
    "staple_sensitivity": Metric("Sensitivity to the consensus", "sensitivity to the raters' consensus"),
    "reference_dice": Metric("Dice with the reference", "Dice of a rater's mask with the reference"),
    "excess_disagreement": Metric("Excess disagreement", "excess disagreement", bounds=(-1.0, 1.0)),
    "equal_opportunity": Metric("Equal opportunity", "difference in true positive rate"),
    "equalised_odds": Metric("Equalised odds", "larger difference of true and false positive rate"),
    "underdiagnosis_rate": Metric("Under-diagnosis rate", "share of events that are not called"),
    "false_positive_rate": Metric("False positive rate", "share of non-events that are called"),
    "demographic_parity": Metric("Demographic parity", "difference in the share of called patients"),
    "bnsp_auc": Metric("Ranking of events (BNSP AUC)", "AUC of a group's events against everyone's non-events"),
    "calibration_within_group": Metric("Calibration within group", "calibration within group", 2, "logits", None),
    "shortcut": Metric("Shortcut", "shift of the score at equal truth", 2, "logits", None),
    "decodability": Metric("Read from the embeddings (AUC)", "AUC of a probe of the embeddings"),
    "score_shift": Metric("Shift of the score", "shift of the score at equal truth", 2, "logits", None),
    "n_subjects": Metric("Patients", "number of patients", 0, "", None),
    "n_images": Metric("Images", "number of images", 0, "", None),
}

VERDICT_WORDS: dict[str, str] = {
    "pass": "Pass",
    "fail": "Fail",
    "inconclusive": "Inconclusive",
    "not_assessed": "Not assessed",
    "finding": "Finding",
    "clear": "Clear",
    "not_possible": "Not possible",
}
CRITERION_VERDICTS = ("pass", "fail", "inconclusive", "not_assessed")
CHECK_VERDICTS = ("finding", "clear", "not_possible")

_STATISTICS: dict[str, str] = {
    "value": "",
    "low": "lower end of the {level} interval of the ",
    "high": "upper end of the {level} interval of the ",
    "gap": "largest gap in ",
    "mean": "mean ",
    "median": "median ",
    "std": "standard deviation of ",
}
_KEEP_UPPER = {
    "ct",
    "mr",
    "pt",
    "id",
    "n",
    "auc",
    "auroc",
    "roc",
    "iou",
    "nsd",
    "hd95",
    "masd",
    "ppv",
    "npv",
    "ece",
    "p",
    "gpu",
    "cpu",
}


def plain(name: str) -> str:
    """A column or key as words: ``n_subjects`` becomes ``patients``, ``size_mm`` becomes ``size (mm)``."""
    if name in ("n_subjects", "n_images"):
        return "Patients" if name == "n_subjects" else "Images"
    words = name.removeprefix("n_").replace("_", " ").replace("-", " ").strip().split(" ")
    if len(words) > 1 and words[-1] in ("mm", "ml", "hu", "s", "gb", "mb", "days"):
        unit = {"hu": "HU", "gb": "GB", "mb": "MB"}.get(words[-1], words[-1])
        words = [*words[:-1], f"({unit})"]
    words = [word.upper() if word.lower() in _KEEP_UPPER and word.lower() != "n" else word for word in words]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def metric(name: str) -> Metric:
    """The wording of a metric; an unknown one is written as its own name."""
    known = METRICS.get(name)
    return known if known else Metric(plain(name), name.replace("_", " "), bounds=None)


def is_missing(value: Any) -> bool:
    """Whether there is nothing to print: None, empty text, or a number that is not finite."""
    if value is None or value == "":
        return True
    try:
        return not math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def number(value: Any, digits: int = 3, unit: str = "") -> str:
    """A number with fixed digits and a true minus sign; missing values as a dash; thousands with a thin space."""
    if is_missing(value):
        return MISSING
    text = f"{float(value):,.{digits}f}".replace(",", "\u202f")
    if text.strip("-0.\u202f") == "":
        text = text.lstrip("-")
    text = text.replace("-", "\u2212")
    return f"{text} {unit}" if unit else text


def count(value: Any) -> str:
    """A whole number with a thin space between thousands."""
    return number(value, 0)


def percent(level: Any) -> str:
    """A confidence level, 0.95, as ``95 %``."""
    return MISSING if is_missing(level) else f"{float(level) * 100:g}\u00a0%"


def anything(value: Any) -> str:
    """Any fact for a table cell: numbers to four significant digits, lists joined, missing as a dash."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {anything(item)}" for key, item in value.items()) or MISSING
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_inner(item) for item in value) or MISSING
    if is_missing(value):
        return MISSING
    return value if isinstance(value, str) else _quantity(value)


def _inner(item: Any) -> str:
    """An item of a list; a list inside a list is told apart by crosses: ``2 × 2 × 1``."""
    return " × ".join(anything(part) for part in item) if isinstance(item, list | tuple) else anything(item)


def _quantity(value: Any) -> str:
    """A number of unknown meaning: four significant digits, but whole from 10,000 on; anything else as text."""
    try:
        size = float(value)
    except (TypeError, ValueError):
        return str(value)
    whole = abs(size) < 1e15 and (size.is_integer() or abs(size) >= 1e4)
    return count(round(size)) if whole else f"{size:.4g}".replace("-", "\u2212")


def digits_beside(value: Any, threshold: Any, digits: int) -> int:
    """Digits to print so that rounding does not make a value look equal to a threshold that it differs from."""
    if is_missing(value) or is_missing(threshold) or float(value) == float(threshold):
        return digits
    while digits < 6 and number(value, digits) == number(threshold, digits):
        digits += 1
    return digits


def unit_of(row: Mapping[str, Any]) -> str:
    """The row's unit, else the metric's own."""
    return str(row.get("unit") or "") or metric(str(row["metric"])).unit


def value_text(row: Mapping[str, Any], digits: int | None = None) -> str:
    """The row's value with its unit."""
    name, statistic = str(row["metric"]), str(row.get("statistic", ""))
    if name.startswith("n_") or statistic.startswith("n_"):
        return number(row["value"], 0)
    if name not in METRICS and digits is None:
        return anything(row["value"])
    return number(row["value"], metric(name).digits if digits is None else digits, unit_of(row))


def interval_text(row: Mapping[str, Any], digits: int | None = None) -> str:
    """``[low, high]``; empty when neither end is known; an open end as a dash."""
    low, high = row.get("low"), row.get("high")
    if is_missing(low) and is_missing(high):
        return ""
    places = metric(str(row["metric"])).digits if digits is None else digits
    return f"[{number(low, places)}, {number(high, places)}]"


def bound_text(row: Mapping[str, Any]) -> str:
    """What a criterion asks for: ``at least 0.85``."""
    if is_missing(row.get("threshold")):
        return MISSING
    words = {"at_least": "at least ", "at_most": "at most "}.get(str(row.get("direction", "")), "")
    threshold = f"{float(row['threshold']):.6g}".replace("-", "\u2212")
    unit = unit_of(row)
    return f"{words}{threshold} {unit}".strip()


def group_text(group: str) -> str:
    """``sex=F&site=B`` as ``sex F, site B``; ``all`` as ``all patients``."""
    if group in ("", "all"):
        return "all patients"
    pairs = (part.partition("=") for part in group.split("&"))
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}".strip() for name, _, value in pairs)


def group_values(group: str) -> str:
    """Only the values: ``sex=F&site=B`` as ``F, B``."""
    return ", ".join(_value(part.partition("=")[2]) for part in group.split("&"))


def _value(text: str) -> str:
    """A group's value as it stood in the table (``&`` and ``%`` are escaped in the grammar)."""
    return text.replace("%26", "&").replace("%25", "%").replace(">=", "≥\u2009").replace("-<", " to <")


ITEMS: dict[str, dict[str, str]] = {
    "conformal": {
        "lac": "label sets (LAC)",
        "aps": "label sets (APS)",
        "raps": "label sets (RAPS)",
        "lac_all_images": "all images of a patient (LAC)",
        "lac_by_class": "own quantile by class (LAC)",
        "lac_by_group": "own quantile by group (LAC)",
        "interval": "interval of the volume",
        "survival": "lower bound of survival",
        "mask_risk": "threshold of the mask",
    },
    "out_of_distribution": {
        "mahalanobis": "Mahalanobis distance",
        "knn": "nearest neighbour",
        "discriminant": "discriminant",
        "energy": "energy",
    },
    "predicted_quality": {"pearson": "Pearson", "spearman": "Spearman"},
}
"""What a check calls its items, in words; the items of other checks are classes, instances or boxes."""


def target_text(row: Mapping[str, Any]) -> str:
    """Target and class of a row, or what its check made of the target."""
    target, item = str(row.get("target") or ""), str(row.get("item") or "")
    item = ITEMS.get(str(row.get("check") or ""), {}).get(item, item)
    return ": ".join(part for part in (target, item) if part)


def statement(row: Mapping[str, Any]) -> str:
    """A criterion as one sentence, without its result."""
    words = metric(str(row["metric"]))
    statistic = str(row.get("statistic") or "value")
    lead = _STATISTICS.get(statistic, f"{statistic.replace('_', ' ')} of the ").format(level=percent(row.get("level")))
    group = str(row.get("group") or "all")
    text = f"{lead}{words.phrase}"
    target = target_text(row)
    if target:
        text += f" for {target}"
    if statistic == "gap":
        text += f" between groups of {group.replace('&', ' and ')}"
    elif group != "all":
        text += f" in {group_text(group)}"
    text = f"{text} is {bound_text(row)}"
    return text[:1].upper() + text[1:]


def by_image(row: Mapping[str, Any]) -> bool:
    """Whether the row says that no person is known, so that its cases are images."""
    return "by image" in f"{row.get('method', '')} {row.get('reason', '')}".lower()


def population(row: Mapping[str, Any]) -> str:
    """``98 patients, 120 images`` (images only where they differ, or where no person is known)."""
    n_subjects, n_images = int(row.get("n_subjects") or 0), int(row.get("n_images") or 0)
    if by_image(row):
        n_subjects, n_images = 0, n_images or n_subjects
    parts = []
    if n_subjects:
        parts.append(f"{count(n_subjects)}\u00a0{'patient' if n_subjects == 1 else 'patients'}")
    if n_images and n_images != n_subjects:
        parts.append(f"{count(n_images)}\u00a0{'image' if n_images == 1 else 'images'}")
    return ", ".join(parts) or MISSING


def verdict_sentence(counts: Mapping[str, int]) -> str:
    """All verdicts of a study in one sentence."""
    total = sum(counts.get(name, 0) for name in CRITERION_VERDICTS)
    if not total:
        return "No acceptance criteria were stated, so nothing passes or fails: the figures below are descriptive."
    one = {"pass": "passes", "fail": "fails", "inconclusive": "is inconclusive", "not_assessed": "was not assessed"}
    many = {"pass": "pass", "fail": "fail", "inconclusive": "are inconclusive", "not_assessed": "were not assessed"}
    parts = [
        f"{counts[name]} {(one if counts[name] == 1 else many)[name]}"
        for name in CRITERION_VERDICTS
        if counts.get(name)
    ]
    listed = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    noun = "criterion" if total == 1 else "criteria"
    return f"Of {total} acceptance {noun}, {listed}."


def probability(p: Any) -> str:
    """A p value: three digits, ``< 0.001`` below that."""
    if is_missing(p):
        return MISSING
    return "< 0.001" if float(p) < 0.001 else number(p, 3)


def plural(n: int, one: str, many: str) -> str:
    """``1 patient``, ``2 patients``."""
    return f"{count(n)} {one if n == 1 else many}"


def sentence(text: str) -> str:
    """``text`` with a capital first letter; a metric's key becomes its label, and a group (``sex=F``) stays so."""
    first, space, rest = text.partition(" ")
    text = re.sub(r"(?<![\w-])-(?=\d)", "\u2212", text)
    if first in METRICS:
        return f"{METRICS[first].label}{space}{rest}"
    if text.startswith("n = ") or "=" in first:
        return text
    return text[:1].upper() + text[1:]


def tested(row: Mapping[str, Any]) -> tuple[str, str]:
    """The adjusted p, and the p that it was made of; a p that nobody adjusted is only told as such."""
    adjusted, p = probability(row.get("p_adjusted")), probability(row.get("p"))
    return adjusted, "" if p == MISSING else f"unadjusted {p}"


def moment(stamp: str) -> str:
    """An ISO time in UTC as ``2026-11-24, 10:30 UTC``; another text as it is."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)?(\+00:00|Z)", stamp)
    return f"{match[1]}, {match[2]} UTC" if match else stamp
