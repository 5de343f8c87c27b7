"""Tables that `fiducial signature` writes: how models compare, what each patient was given, and the signature itself.

The folder holds ``models.parquet`` (`SIGNATURE_MODELS`), ``predictions.parquet`` (`SIGNATURE_PREDICTIONS`),
``signature.parquet`` (`SIGNATURE`), ``choices.json`` (every setting, what fell away and why, what each training set
chose, the bound on false selections), ``model.json`` (the model of all patients: features, centres, spreads,
coefficients); for a class a folder ``audit/MODEL`` each, which `fiducial audit` wrote, and for a survival
``curves.parquet`` (`SIGNATURE_CURVES`), of risks by the horizon.
"""

from __future__ import annotations

from fiducial.records.tables import NAN, Column, Schema

MODELS = ("volume", "value", "clinical", "radiomics", "radiomics_all", "clinical_radiomics")
"""Volume alone; the best-known single value alone (the largest intensity, SUVmax of a PET); clinical variables alone;
the signature, of features that are stable; an elastic net of every feature that is left, stable or not; clinical
variables and signature. The first three are always beside the others, ``clinical`` where there are variables."""

REFERENCE = "kaplan_meier"
"""Everybody's risk is that of the training patients by Kaplan and Meier; of a survival alone."""

SIGNATURE_MODELS = Schema(
    "signature_models",
    (
        Column("model", default=None, legal=(*MODELS, REFERENCE)),
        Column(
            "metric",
            default=None,
            legal=(
                "auc",
                "auc_at_horizon",
                "auc_difference",
                "auc_pooled",
                "auc_of_value",
                "brier",
                "brier_at_horizon",
                "brier_at_horizon_difference",
                "brier_integrated",
                "calibration_intercept",
                "calibration_slope",
                "c_index",
                "c_index_difference",
                "c_index_of_value",
                "observed_to_expected",
            ),
            meaning="auc and c_index: pairs within folds, over repeats (volume and value order patients as they are, "
            "larger first); pooled: of each patient's mean prediction; of_value: of the number itself, all pairs; "
            "auc_at_horizon: events by the horizon against who is free of it then; brier_at_horizon, and "
            "brier_integrated from 0 to it (both weighted by the inverse chance of follow-up), calibration_slope and "
            "observed_to_expected of a survival: of each patient's mean risk",
        ),
        Column("beside", legal=("", *MODELS, REFERENCE), meaning="for a difference: the model that is taken off"),
        Column("value", "number", NAN),
        Column("low", "number", NAN),
        Column("high", "number", NAN),
        Column("level", "number", 0.95),
        Column("p", "number", NAN, meaning="of no difference; for auc and c_index, of 0.5"),
        Column("n", "integer", 0, meaning="patients"),
        Column("n_events", "integer", 0),
        Column("method", meaning="how value and interval were computed"),
        Column("reason", meaning="why there is no interval, or no ordinary one"),
        Column(
            "verdict",
            legal=("", "skill", "no_skill_shown", "better", "worse", "no_difference_shown"),
            meaning="skill: low is above 0.5; better (worse): the difference's interval is above (below) 0, and the "
            "better of the two has skill",
        ),
    ),
    unique=("model", "metric", "beside"),
)

SIGNATURE_PREDICTIONS = Schema(
    "signature_predictions",
    (
        Column("model", default=None, legal=MODELS),
        Column("subject", default=None),
        Column("repeat", "integer", 0, meaning="from 1; 0 for the mean over repeats"),
        Column("fold", "integer", 0, meaning="from 1: the fold that the patient was left out with; 0 for the mean"),
        Column("value", "number", NAN, meaning="probability of the event; for survival, log hazard ratio"),
        Column("risk", "number", NAN, meaning="for survival, chance of the event by the horizon"),
        Column("truth", "number", NAN, meaning="1 is the event"),
        Column("time", "number", NAN, meaning="for survival, in the unit that was given"),
    ),
    unique=("model", "subject", "repeat"),
)

SIGNATURE_CURVES = Schema(
    "signature_curves",
    (
        Column("model", default=None, legal=(*MODELS, REFERENCE)),
        Column("metric", default=None, legal=("calibration", "net_benefit")),
        Column("series", legal=("", "model", "all"), meaning="whom net benefit acts on: the model's patients, or all"),
        Column("x", "number", NAN, meaning="mean predicted risk of a group; or the threshold"),
        Column("y", "number", NAN, meaning="observed risk of the group by Kaplan and Meier; or net benefit"),
        Column("low", "number", NAN),
        Column("high", "number", NAN),
        Column("n", "integer", 0, meaning="patients"),
        Column("n_events", "integer", 0, meaning="events by the horizon"),
        Column("reason", meaning="why there is no value, or no ordinary interval"),
    ),
    unique=("model", "metric", "series", "x"),
)

SIGNATURE = Schema(
    "signature",
    (
        Column("family", default=None),
        Column("feature", default=None),
        Column("aggregation", meaning="how texture matrices are put together; empty where there is none"),
        Column("filter", meaning="the response map that the feature is of; empty for the image itself"),
        Column("ibsi_code"),
        Column("chosen", "integer", 0, meaning="1: in the signature that was learned from all patients"),
        Column("share", "number", NAN, meaning="of the halves of all patients that chose it; missing if it fell away"),
        Column("selected", "number", 0.0, meaning="share of all training sets whose signature has it"),
        Column("coefficient", "number", 0.0, meaning="of all patients, for one standard deviation; 0 if not chosen"),
        Column("low", "number", NAN, meaning="2.5 % of the coefficients over training sets, 0 where not selected"),
        Column("high", "number", NAN, meaning="97.5 % of them; no confidence interval"),
        Column("reason", meaning="why it fell away: missing, constant, not_reproducible, redundant"),
        Column("stands_for_it", meaning="the feature that stands for its cluster, if another"),
    ),
    unique=("family", "feature", "aggregation", "filter"),
)
