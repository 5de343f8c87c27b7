"""What a radiomics run knows about itself: facts for the sheets and lines for the page; only what a file says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fiducial.flows.perturbations_told import told
from fiducial.report import radiomics_words

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.flows.features_record import FeaturesRecord

MOST_NAMED = 6
OTHER = "pyradiomics"
AUTOMATIC = "automatic"
"""How ingest begins the rater of a mask that an algorithm drew alone."""
FILTERS: dict[str, str] = {
    "mean": "mean filter",
    "log": "Laplacian of Gaussian",
    "laws": "Laws kernels",
    "gabor": "Gabor filter",
    "wavelet": "separable wavelet",
    "simoncelli": "Simoncelli wavelet",
}
LEARNED_BY = (
    "repeats",
    "folds",
    "inner_folds",
    "seed",
    "clip",
    "redundancy",
    "reproducible",
    "selection_threshold",
    "expected_false",
    "strengths",
    "l1_ratio",
)
LARGEST = "statistics.maximum"
BASELINES = {"volume": "volume_model", "value": "single_model", "clinical": "clinical_model"}


def of_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Resampling, image processing, grey levels and filters, by the names of facts; empty without settings."""
    if not settings:
        return {}
    if settings.get("profile") == OTHER:
        return _of_pyradiomics(settings)
    return {
        "resampling": _resampling(settings),
        "image_processing": "; ".join([_resampling(settings), *_intensities(settings)]),
        "discretisation": _grey_levels(settings),
        "image_types": _images(settings),
    }


def settings_shown(record: FeaturesRecord | None, rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of name and text for the page, in the order of the work."""
    if record is None or record.changed:
        return []
    said, disturbed = of_settings(record.settings), [("Disturbed by", told(record.perturbations))]
    if record.settings.get("profile") == OTHER:
        words = {"resampling": "Grid", "discretisation": "Grey levels", "image_types": "Images"}
        pairs = [("Definitions", "those of PyRadiomics"), *((words[name], said[name]) for name in words)]
        pairs += [*disturbed, ("With", ", ".join(f"{name} {version}" for name, version in record.versions.items()))]
        return [(label, text) for label, text in pairs if text]
    pairs = [
        ("Grid", said.get("resampling", "")),
        ("Intensities", "; ".join(_intensities(record.settings)) or "as they are"),
        ("Grey levels", said.get("discretisation", "")),
        ("Images", said.get("image_types", "")),
        ("Families", ", ".join(radiomics_words.short_family(str(name)) for name in dict.fromkeys(rows["family"]))),
        ("Aggregations", ", ".join(str(one).replace("_", " ") for one in record.settings.get("aggregations", ()))),
        ("Neighbours", _neighbours(record.settings)),
        *disturbed,
        ("With", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
    ]
    return [(label, text) for label, text in pairs if text]


def _of_pyradiomics(settings: Mapping[str, Any]) -> dict[str, str]:
    """The same of settings by PyRadiomics' names; what is not told here stands in the record."""
    spacing = settings.get("resampled_pixel_spacing")
    grid = "images on their own grid, not resampled"
    if spacing:
        grid = f"resampled to {' x '.join(f'{mm:g}' for mm in spacing)} mm by {settings.get('interpolator')}"
    bins = settings.get("bin_count")
    kept = settings.get("resegment_range")
    said = [grid, *(["normalised"] if settings.get("normalize") else [])]
    said += [f"regions kept to intensities {' to '.join(f'{end:g}' for end in kept)}"] if kept else []
    width = f"grey levels of a fixed width of {settings.get('bin_width')}"
    return {
        "resampling": grid,
        "image_processing": "; ".join(said),
        "discretisation": f"a fixed number of {bins} grey levels" if bins else width,
        "image_types": ", ".join(
            f"{name} ({', '.join(f'{key} {value}' for key, value in own.items())})" if own else str(name)
            for name, own in _mapping(settings.get("image_types")).items()
        ),
    }


def _resampling(settings: Mapping[str, Any]) -> str:
    spacing = settings.get("spacing_mm")
    if not spacing:
        return "images on their own grid, not resampled"
    grid = " x ".join("as it is" if not mm else f"{mm:g}" for mm in spacing)
    return (
        f"resampled to {grid} mm: images {settings.get('image_interpolation')}, masks "
        f"{settings.get('mask_interpolation')} with threshold {settings.get('mask_threshold')}"
    )


def _intensities(settings: Mapping[str, Any]) -> list[str]:
    said = ["rounded to whole numbers"] if settings.get("round_intensities") else []
    low, high = (settings.get("resegment") or (None, None))[:2]
    if low is not None or high is not None:
        ends = [f"{word} {end:g}" for word, end in (("from", low), ("to", high)) if end is not None]
        said.append(f"regions kept to intensities {' '.join(ends)}")
    if settings.get("outlier_sigma"):
        said.append(f"outliers beyond {settings['outlier_sigma']:g} standard deviations left out")
    return said


def _grey_levels(settings: Mapping[str, Any]) -> str:
    if settings.get("bin_number"):
        return f"a fixed number of {settings['bin_number']} grey levels"
    if settings.get("bin_width"):
        low = (settings.get("resegment") or (None,))[0]
        begin = f", from {low:g} on" if low is not None else ", from the region's smallest intensity on"
        return f"grey levels of a fixed width of {settings['bin_width']:g}{begin}"
    return "intensities are the grey levels"


def _images(settings: Mapping[str, Any]) -> str:
    """The image, or what filters made of it."""
    several = settings.get("filters")
    if not several:
        return _filtered(settings.get("filter"))
    said = "; ".join(f"{name}: {_filtered(given)}" for name, given in several.items())
    levels = settings.get("response_bin_number") or settings.get("bin_number")
    return f"the image itself, and response maps in {levels} grey levels: {said}"


def _filtered(given: Any) -> str:
    if not isinstance(given, Mapping):
        return "the image itself, no filter"
    kind = str(given.get("kind", ""))
    said = [FILTERS.get(kind, kind), *(_parameter(key, value) for key, value in given.items() if key != "kind")]
    return ", ".join(part for part in said if part)


def _parameter(key: str, value: Any) -> str:
    """``sigma 3 mm``, ``boundary mirror``, ``in slice``; nothing of what is switched off."""
    name = key.replace("_", " ")
    if isinstance(value, bool):
        return name if value else ""
    shown = f"{value:g}" if isinstance(value, int | float) else str(value)
    return f"{name.removesuffix(' mm')} {shown} mm" if key.endswith("_mm") else f"{name} {shown}"


def _neighbours(settings: Mapping[str, Any]) -> str:
    if "distance" not in settings:
        return ""
    return f"distance {settings['distance']}, coarseness {settings.get('coarseness')}"


def of_features(rows: pd.DataFrame, record: FeaturesRecord | None, *, raters: Collection[str] = ()) -> dict[str, str]:
    """Facts of the table of features and of the record beside it.

    Args:
        rows: of regions as they are.
        record: None where there is none; one of another table says nothing.
        raters: who drew regions of the whole table; what an algorithm drew alone is no reader's.
    """
    regions = rows.drop_duplicates("mask")
    if regions.empty:
        return {}
    keys = rows.drop_duplicates(["family", "feature", "aggregation", "filter"])
    counts = ", ".join(f"{name} {n}" for name, n in keys["family"].value_counts(sort=False).items())
    missing = rows[rows["value"].isna()]
    reasons = Counter(str(reason).partition(":")[0] for reason in missing["reason"]).most_common(3)
    whys = f" ({', '.join(f'{name or chr(63)} {n}' for name, n in reasons)})" if reasons else ""
    readers = {name for name in raters if name and not name.lower().startswith(AUTOMATIC)}
    sites = sorted(set(regions["site"]) - {""})
    everywhere = not (regions["site"] == "").any()
    facts = {
        "regions": f"{len(regions)} regions of {regions['image'].nunique()} images of "
        f"{regions['subject'].nunique()} patients",
        "features": f"{len(keys)} features of each region: {counts}",
        "missing_values": f"{len(missing)} of {len(rows)} values are missing{whys}",
        "several_raters": f"regions of {len(readers)} named readers" if len(readers) > 1 else "",
        "several_sites": f"{len(sites)} sites: {', '.join(sites[:MOST_NAMED])}" if len(sites) > 1 else "",
        "one_site": f"all regions come from {sites[0]}" if len(sites) == 1 and everywhere else "",
    }
    if record is not None and not record.changed:
        n_coded = int((keys["ibsi_code"] != "").sum())
        facts |= of_settings(record.settings)
        version = f"Fiducial {record.versions.get('fiducial', '')}"
        if record.settings.get("profile") == OTHER:
            facts["other_definitions"] = f"{version}, by PyRadiomics' definitions; differences stand beside each value"
        else:
            facts["software"] = (
                f"{version}, {n_coded} of {len(keys)} features with their IBSI code; agreement with the standard is in "
                "its documentation"
            )
        facts |= {
            "configuration": "every setting is in the JSON file beside the table",
            "set_aside": f"{len(record.set_aside)} regions set aside, each with its reason",
        }
    return {name: text for name, text in facts.items() if text}


def of_stability(rows: Sequence[Mapping[str, Any]], perturbations: Sequence[Mapping[str, Any]] = ()) -> dict[str, str]:
    """Facts of the table of stability.

    Args:
        rows: of `STABILITY`; none gives no fact.
        perturbations: what was done to images and masks, where that is known.
    """
    if not rows:
        return {}
    first = rows[0]
    grades = Counter(str(row["grade"]) or "not graded" for row in rows)
    listed = ", ".join(f"{name} {n}" for name, n in grades.most_common())
    text = (
        f"{str(first['graded_by']).upper().replace('_', ' ')} of {len(rows)} features, {first['n_repeats']} repeats of "
        f"{first['n_regions']} regions: {listed}"
    )
    facts = {"stability": text}
    if first["repeats"] in ("rater", "visit"):
        return facts | {f"stability_{first['repeats']}s": text}
    if first["repeats"] == "perturbation" and perturbations:
        contours = [str(one.get("name")) for one in perturbations if one.get("contour") or one.get("volume")]
        if contours:
            facts["stability_contours"] = f"{text}; contours changed by {', '.join(contours[:MOST_NAMED])}"
        else:
            facts["stability_images_only"] = text
    return facts


def of_signature(
    models: Sequence[Mapping[str, Any]], signature: Sequence[Mapping[str, Any]], choices: Any
) -> dict[str, str]:
    """Facts of a signature's folder: its tables and ``choices.json``."""
    if not models:
        return {}
    headline = {str(row["model"]): row for row in models if row["metric"] in ("auc", "c_index")}
    settings = _settings(choices)
    facts = {"models": "; ".join(f"{name} {_figure(row)}" for name, row in headline.items())}
    for name, fact in BASELINES.items():
        if name in headline:
            facts[fact] = f"{name} {_figure(headline[name])}"
    if "clinical_radiomics" in headline:
        facts["combined_model"] = f"clinical_radiomics {_figure(headline['clinical_radiomics'])}"
    else:
        facts["no_combined_model"] = "no model joins radiomics and clinical variables"
    facts |= _compared(models) | _calibrated(models)
    if settings:
        facts |= _learned(settings, choices, signature)
    return facts | _chosen(signature, choices)


def _chosen(signature: Sequence[Mapping[str, Any]], choices: Mapping[str, Any]) -> dict[str, str]:
    """Which features were chosen, and which fell away."""
    facts = {}
    fallen = Counter(str(row["reason"]) for row in signature if row["reason"])
    n_chosen = sum(int(row["chosen"]) for row in signature)
    if signature:
        facts["signature"] = f"{n_chosen} of {len(signature)} features chosen"
        if n_chosen == len(signature):
            facts["no_feature_reduction"] = f"all {n_chosen} features are in the signature"
    if fallen["redundant"]:
        facts["redundancy"] = f"{fallen['redundant']} features left out because another says the same"
    tables = _mapping(choices.get("tables"))
    if "stability" in tables:
        facts["robust_features"] = f"{fallen['not_reproducible']} features left out because they do not repeat"
    elif tables:
        facts["no_robust_features"] = "no table of stability was given, and no feature was left out for it"
    return facts


def _compared(models: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    rows = [row for row in models if row["metric"] in ("auc_difference", "c_index_difference")]
    said = "; ".join(f"{row['model']} less {row['beside']} {_figure(row)}" for row in rows)
    return {"model_comparison": said} if said else {}


def _calibrated(models: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    rows = [row for row in models if row["metric"] == "calibration_slope" and math.isfinite(row["value"])]
    said = "; ".join(f"slope of {row['model']} {_figure(row)}" for row in rows)
    return {"calibration": said} if said else {}


def _learned(settings: Mapping[str, Any], choices: Mapping[str, Any], signature: Any) -> dict[str, str]:
    """How patients were dealt, and what was learned inside training folds."""
    asked = _mapping(choices.get("asked"))
    outcome = asked.get("target") or asked.get("event") or ""
    having = f"{outcome}: {choices.get('n_events')} of {choices.get('n_subjects')} patients" if outcome else ""
    repeats, folds, seed = (settings.get(name) for name in ("repeats", "folds", "seed"))
    versions = _mapping(choices.get("versions"))
    inner, times = settings.get("inner_folds"), "once" if repeats == 1 else f"{repeats} times"
    learned = "every step is learned from training patients alone"
    facts = {
        "outcome": having,
        "cross_validation": f"{folds} folds by patient, dealt {times}, seed {seed}, {inner} inner folds; {learned}",
        "risk": "a predicted risk for each patient, from models that did not see the patient",
        "scaling": f"standardised and cut off at {settings.get('clip')} standard deviations, by training patients",
        "training": f"penalties among {settings.get('strengths')}, l1 ratio {settings.get('l1_ratio')}, seed {seed}",
        "model_choice": f"penalties by {inner} inner folds; no model was picked by its figures",
        "model_software": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    if signature:
        facts["feature_selection"] = (
            f"stability selection, threshold {settings.get('selection_threshold')}, at most "
            f"{settings.get('expected_false')} false selections expected"
        )
    return {name: text for name, text in facts.items() if text}


def value_shown(choices: Mapping[str, Any]) -> str:
    """What the single value is."""
    name = str(choices.get("value") or "")
    return "largest intensity" if name == LARGEST else name


def horizon_shown(choices: Mapping[str, Any]) -> str:
    """``by 365 in the unit of the times (as stated)``; empty where risks have no horizon."""
    horizon = _mapping(choices.get("horizon"))
    at = horizon.get("at")
    return f"by {at:g} in the unit of the times ({horizon.get('said')})" if isinstance(at, int | float) else ""


def choices_shown(choices: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs of name and text about how a signature was learned."""
    settings, final = _settings(choices), _mapping(choices.get("all_patients"))
    if not settings:
        return []
    facts = _learned(settings, choices, True)
    measured = "not measured: no table of it was given"
    if "stability" in _mapping(choices.get("tables")):
        measured = f"lower end of the correlation at least {settings.get('reproducible')}"
    pairs = [
        ("Outcome", facts.get("outcome", "")),
        ("Cross-validation", facts["cross_validation"]),
        ("Horizon", horizon_shown(choices)),
        ("Clusters", f"features with |rank correlation| of {settings.get('redundancy')} and more stand for each other"),
        ("Repeatability", measured),
        ("Choice", facts["feature_selection"]),
        ("Penalty", facts["training"]),
        ("Single value", value_shown(choices)),
        ("Clinical variables", ", ".join(map(str, choices.get("clinical") or ()))),
        ("False selections", _bound(final.get("false_selections_at_most"))),
    ]
    return [(label, text) for label, text in pairs if text]


def _bound(value: Any) -> str:
    return f"at most {value:.2g} are expected" if isinstance(value, int | float) else ""


def _figure(row: Mapping[str, Any]) -> str:
    """``0.81 [0.68, 0.93]``; without an interval only the value."""
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    ends = f" [{low:.2f}, {high:.2f}]" if math.isfinite(low) and math.isfinite(high) else ""
    return f"{value:.2f}{ends}"


def _settings(choices: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a signature, if every one that is told of is there."""
    found = _mapping(choices.get("settings"))
    return found if all(found.get(name) is not None for name in LEARNED_BY) else {}


def _mapping(value: Any) -> dict[str, Any]:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}
