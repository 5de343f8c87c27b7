"""Terms in a clinician's words. A report shows the terms it uses."""

from __future__ import annotations

from collections.abc import Iterable

TERMS: dict[str, tuple[str, str]] = {
    "interval": (
        "95 % interval",
        "The range of values that the data do not contradict. A narrow one means many patients; a wide one means that "
        "the figure beside it is uncertain. Read the interval before the figure.",
    ),
    "clustered": (
        "Clustered by patient",
        "Several images of one patient resemble each other and are not as informative as as many patients. Intervals "
        "here take the patient as the unit; where the patient behind an image is unknown, intervals are by image and "
        "are too narrow.",
    ),
    "verdict": (
        "Pass, fail, inconclusive",
        "The criterion was stated before training. Pass: the whole interval lies on the accepted side of the bound. "
        "Fail: the whole interval lies on the other side. Inconclusive: the interval crosses the bound, and more "
        "patients would be needed to decide.",
    ),
    "parts": (
        "Training, validation, calibration and test part",
        "Four groups of patients that do not overlap. The model learns from the first and is steered by the second; "
        "the decision threshold is set on the third; the test part is kept aside and only audited. The more often "
        "the test part is opened, the less it proves.",
    ),
    "threshold": (
        "Operating point",
        "The score above which a case counts as positive. It is chosen on the calibration part and applied to the "
        "test part unchanged; if the two disagree, the new patients differ from the old ones.",
    ),
    "auc": (
        "AUC",
        "The probability that a randomly chosen diseased patient gets a higher score than a randomly chosen healthy "
        "one. 0.5 is chance, 1 is perfect. It says nothing about whether the scores are right as probabilities.",
    ),
    "sensitivity": ("Sensitivity", "Of the patients with the disease, the share that the model calls positive."),
    "specificity": ("Specificity", "Of the patients without the disease, the share that the model calls negative."),
    "ppv": (
        "Positive and negative predictive value (PPV, NPV)",
        "Of the patients called positive, the share with the disease; of those called negative, the share without. "
        "Both depend on how common the disease is, and do not carry over to a hospital where that differs.",
    ),
    "calibration_slope": (
        "Calibration slope and intercept",
        "How the scores relate to observed frequencies. Slope 1 and intercept 0 are ideal. A slope below 1 means that "
        "scores are too extreme; a positive intercept means that risk is underestimated overall. Calibration in "
        "the large is that same overall error alone, with the slope held at 1.",
    ),
    "ece": (
        "Calibration error (ECE)",
        "The average distance between predicted probability and observed frequency, over ten ranges of the score: of "
        "equal width, or holding equally many cases. Chance alone makes it larger in few patients.",
    ),
    "brier": (
        "Brier score and log loss",
        "The mean squared difference between predicted probability and outcome. 0 is perfect; lower is better. It is "
        "reliability (how far probabilities are off) minus resolution (how well they tell patients apart) plus "
        "uncertainty (how open the question is). Log loss punishes confident errors harder.",
    ),
    "map": (
        "Maps of recalibration",
        "A correction of the scores that is learnt on one half of the calibration part. Temperature: one number that "
        "makes all scores more or less extreme. Logistic: a slope and a shift. Isotonic: any rising staircase. "
        "Venn–Abers: a staircase for each answer that the new case could have, which gives a range.",
    ),
    "ood_auroc": (
        "Foreignness",
        "How well a score tells images of the test part from images of the calibration part: 0.5 means that both are "
        "alike, 1 that every test image looks foreign. Foreign is not wrong, but nobody has checked there.",
    ),
    "predicted_quality": (
        "Predicted Dice",
        "What the model expects its Dice to be, without a reference. Bias above 0 means that it flatters itself.",
    ),
    "dice": (
        "Dice coefficient",
        "The overlap of two outlines: 0 none, 1 identical. Small structures lose more Dice from the same error in "
        "millimetres. Two empty outlines count as 1, one empty outline as 0.",
    ),
    "iou": ("IoU", "Intersection over union, another measure of overlap; always at most the Dice coefficient."),
    "nsd": (
        "Normalised surface Dice (NSD)",
        "The share of the two surfaces that lie within a stated tolerance of each other.",
    ),
    "hd95": (
        "HD95",
        "A distance in millimetres: 95 % of each surface lies nearer to the other than this. It shows the large "
        "errors that an overlap hides.",
    ),
    "masd": ("MASD", "The mean distance in millimetres between the two surfaces."),
    "coverage": (
        "Conformal sets and coverage",
        "Instead of one answer the model gives all answers that its score does not rule out. How generous it must be "
        "is learnt from calibration patients, so that the set holds the truth for a promised share of new patients "
        "like them. Coverage is the share for whom it did. An open set says: I do not know.",
    ),
    "error_auroc": (
        "Order of errors",
        "The chance that a wrong answer was given with less confidence than a right one: 0.5 means that confidence "
        "says nothing about errors, 1 that every error could be caught by looking at the least sure answers.",
    ),
    "aurc": (
        "Risk–coverage curve",
        "The error among the cases that the model keeps for itself if the least confident ones go to a person. Its "
        "area sums it up (small is good); the area above the best order is what a better confidence could still gain.",
    ),
    "deferral_rate": (
        "Deferral",
        "The share of cases that must go to a person so that the error of the others stays below a stated bound.",
    ),
    "net_benefit": (
        "Net benefit and decision curve",
        "True positives among all patients, less the false alarms at the price that the threshold names: who acts at a "
        "risk of 10 % accepts nine false alarms for one found patient. A model is of use at a threshold if its net "
        "benefit lies above those of acting on everybody and on nobody.",
    ),
    "likelihood_ratio_positive": (
        "Likelihood ratios",
        "How a call changes the odds of disease: a positive call multiplies them by LR+, a negative one by LR−. They "
        "do not depend on how common the disease is; 10 and 0.1 change a diagnosis, 2 and 0.5 hardly do. The "
        "diagnostic odds ratio is LR+ divided by LR−.",
    ),
    "noise_rate": (
        "Wrong truths",
        "The share of reference answers that the model contradicts with more confidence than it can have by chance. "
        "The named cases are suspects: a person must look whether the reference or the model is wrong.",
    ),
    "cohen_kappa": (
        "Kappa and alpha",
        "Agreement of raters beyond what chance would give: 0 is chance, 1 is full agreement. Cohen’s is for a pair, "
        "Fleiss’ and Krippendorff’s for many; all are low where nearly all answers are alike.",
    ),
    "excess_disagreement": (
        "Excess disagreement",
        "How much more often a rater differs from another one than those others differ among themselves, on the same "
        "images; of masks, how much lower its Dice with them is. It does not say who is right.",
    ),
    "consensus_dice": (
        "Consensus of raters",
        "The mask that explains best what all raters drew, if each has a sensitivity and a specificity of their own "
        "(STAPLE). It is no truth: an error that all share is in it.",
    ),
    "equalised_odds": (
        "Equal opportunity, equalised odds, under-diagnosis",
        "Equal opportunity: patients with the disease are found equally often in every group; the share that is not "
        "found is the under-diagnosis rate. Equalised odds asks as well that patients without it are called equally "
        "often. Neither can hold together with equal calibration where the disease is more common in one group.",
    ),
    "bnsp_auc": (
        "Ranking of events",
        "The chance that a diseased patient of the group scores above a healthy patient of any group. It compares "
        "groups without a threshold.",
    ),
    "score_shift": (
        "Shortcut",
        "Something beside the disease, such as a marker or the scanner, that the model reads from the image and that "
        "its score follows among patients of the same truth. The shift is in logits: 0.7 doubles the odds.",
    ),
    "gap": (
        "Gap between groups",
        "The largest difference of a figure between groups of patients (for example by sex or hospital), counting "
        "only groups that are large enough to be judged.",
    ),
    "adjusted": (
        "Adjusted p",
        "Where many groups are compared, some differ by chance. The adjusted p accounts for the number of comparisons.",
    ),
}
ALWAYS = ("interval", "clustered", "verdict", "parts")
_OWNERS = {
    "equal_opportunity": "equalised_odds",
    "underdiagnosis_rate": "equalised_odds",
    "false_positive_rate": "equalised_odds",
    "calibration_within_group": "calibration_slope",
    "decodability": "score_shift",
    "shortcut": "score_shift",
    "npv": "ppv",
    "calibration_intercept": "calibration_slope",
    "calibration_in_the_large": "calibration_slope",
    "likelihood_ratio_negative": "likelihood_ratio_positive",
    "diagnostic_odds_ratio": "likelihood_ratio_positive",
    "fleiss_kappa": "cohen_kappa",
    "krippendorff_alpha": "cohen_kappa",
    "weighted_kappa": "cohen_kappa",
    "self_confidence": "noise_rate",
    "ece_adaptive": "ece",
    "log_loss": "brier",
    "brier_reliability": "brier",
    "brier_resolution": "brier",
    "brier_uncertainty": "brier",
    "best_map": "map",
    "map_temperature": "map",
    "map_slope": "map",
    "map_intercept": "map",
    "map_log_odds": "map",
    "venn_abers_width": "map",
    "correlation": "predicted_quality",
    "bias": "predicted_quality",
    "mae": "predicted_quality",
    "set_size": "coverage",
    "staple_sensitivity": "consensus_dice",
    "pairwise_dice": "dice",
    "reference_dice": "dice",
    "excess_aurc": "aurc",
    "kept_error": "deferral_rate",
}


def entry_of(metric: str) -> str:
    """The glossary's key for a metric; empty where it has none."""
    key = _OWNERS.get(metric, metric)
    return key if key in TERMS else ""


def used_terms(metrics: Iterable[str], statistics: Iterable[str], *, adjusted: bool) -> list[tuple[str, str, str]]:
    """(key, term, meaning) of the terms that a report uses, in the glossary's order."""
    keys = set(ALWAYS) | {entry_of(name) for name in metrics} | {name for name in statistics if name == "gap"}
    if adjusted:
        keys.add("adjusted")
    return [(key, *text) for key, text in TERMS.items() if key in keys]
