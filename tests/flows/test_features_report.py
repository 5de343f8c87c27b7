"""The page of a table of features: what it must hold, of any table, with and without repeats and a signature."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.errors import FiducialError, InputRefused, TableError
from fiducial.features.radiomics import Settings
from fiducial.features.radiomics.catalogue import catalogue
from fiducial.features.signature.settings import Asked, SignatureSettings
from fiducial.flows import SignatureTables, features_report
from fiducial.flows import signature as learn
from fiducial.flows.audit import audit
from fiducial.flows.features_record import record_path, write_record
from fiducial.records.files import write_json
from fiducial.records.radiomics import FEATURES, STABILITY, grade_of
from fiducial.records.radiomics_signature import SIGNATURE, SIGNATURE_MODELS
from fiducial.records.runs import seal
from fiducial.records.tables import PREDICTIONS, table, write_table

PLAIN = ("morphology", "local_intensity", "statistics", "intensity_histogram", "intensity_volume")
N = 30
SEALED = ("models.parquet", "signature.parquet", "choices.json")
HOSTILE = "<script>alert(1)</script>&amp;\"'"


def feature_keys(families: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {
            "family": family,
            "feature": one.name,
            "aggregation": "" if family in PLAIN else "3d_merged",
            "filter": "",
            "ibsi_code": one.code,
            "reason": "" if one.consensus else "no consensus: the standard has no reference value",
        }
        for family in families
        for one in catalogue()[family]
    ]


def feature_table(families: tuple[str, ...] = ("statistics", "glcm"), **said: str) -> pd.DataFrame:
    """Features of N regions: mixtures of three things that vary; the first region lacks the last feature."""
    rng = np.random.default_rng(0)
    keys = feature_keys(families)
    hidden = rng.normal(size=(N, 3))
    weights = rng.normal(size=(3, len(keys))) * (rng.random((3, len(keys))) < 0.5)
    values = np.exp(hidden @ weights) + 0.02 * rng.normal(size=(N, len(keys)))
    rows = []
    for k in range(N):
        region = {"subject": f"p{k}", "image": f"i{k}", "mask": f"i{k}~t", "structure": "tumour", "site": "A"}
        rows += [{**region, **key, "value": value, **said} for key, value in zip(keys, values[k], strict=True)]
    frame = pd.DataFrame(rows)
    lacking = len(keys) - 1
    frame.loc[lacking, ["value", "reason"]] = [np.nan, "undefined: too flat"]
    return table(frame.to_dict("records"), FEATURES)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    path = tmp_path / "features.parquet"
    write_table(feature_table(), path, FEATURES)
    settings = Settings(bin_width=25, resegment=(-1000, 400), spacing_mm=(3, 3, 3), families=("statistics", "glcm"))
    write_record(path, settings.model_dump(mode="json"), [("i30~t", "empty-mask: no voxel")])
    return path


@pytest.fixture
def stability(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    rows = []
    for place, key in enumerate(feature_keys(("statistics", "glcm"))):
        value = float(rng.uniform(0.2, 0.99))
        low = value - 0.08
        row = {name: key[name] for name in ("family", "feature", "aggregation", "filter")}
        if place == 3:
            rows.append({**row, "reason": "one value in every region", "repeats": "perturbation"})
            continue
        ends = {"icc_1_1": value, "icc_1_1_low": low, "icc_1_1_high": min(1.0, value + 0.05), "grade": grade_of(low)}
        rows.append({**row, **ends, "n_subjects": N, "n_regions": N, "n_repeats": 10, "repeats": "perturbation"})
    rows[3] |= {"n_subjects": N, "n_regions": N, "n_repeats": 10}
    path = tmp_path / "stability.parquet"
    write_table(table(rows, STABILITY), path, STABILITY)
    return path


@pytest.fixture
def signature(tmp_path: Path, learned: Path) -> Path:
    """A copy, which a test may change."""
    return Path(shutil.copytree(learned, tmp_path / "signature"))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a signature, with the audit of two of its models."""
    folder = tmp_path_factory.mktemp("learned") / "signature"
    folder.mkdir()
    rng = np.random.default_rng(2)
    truth = np.arange(N) % 3 == 0
    for model, skill in (("volume", 0.5), ("radiomics", 1.0)):
        risk = 1 / (1 + np.exp(-(skill * (2 * truth - 1) + rng.normal(size=N))))
        rows = [
            {"subject": f"p{k}", "image": f"p{k}", "target": "metastasis", "value": risk[k], "truth": float(truth[k])}
            for k in range(N)
        ]
        write_table(table(rows, PREDICTIONS), folder / f"{model}.parquet", PREDICTIONS)
        audit(folder / f"{model}.parquet", folder / "audit" / model)
    common = {"n": N, "n_events": int(truth.sum()), "method": "pairs within folds"}
    models = [
        {"model": "volume", "metric": "auc", "value": 0.66, "low": 0.5, "high": 0.81, **common},
        {"model": "value", "metric": "auc", "value": 0.71, "low": 0.55, "high": 0.85, **common},
        {"model": "radiomics", "metric": "auc", "value": 0.7, "low": 0.52, "high": 0.86, **common},
        {"model": "radiomics", "metric": "auc_pooled", "value": 0.69, "low": 0.5, "high": 0.85, **common},
        {"model": "radiomics", "metric": "calibration_slope", "value": 0.8, "low": 0.1, "high": 1.6, **common},
        {"model": "radiomics", "metric": "auc_difference", "beside": "volume", "value": 0.04, "low": -0.1, "high": 0.2},
        {
            "model": "radiomics",
            "metric": "auc_difference",
            "beside": "value",
            "value": 0.11,
            "low": 0.02,
            "high": 0.2,
            "verdict": "better",
        },
    ]
    write_table(table(models, SIGNATURE_MODELS), folder / "models.parquet", SIGNATURE_MODELS)
    rows = []
    for place, key in enumerate(feature_keys(("statistics", "glcm"))):
        row = {name: key[name] for name in ("family", "feature", "aggregation", "filter", "ibsi_code")}
        if place < 2:
            chosen = {"chosen": 1, "share": 0.9, "selected": 0.8, "coefficient": 0.7 - place, "low": -0.4, "high": 0.9}
        elif place < 9:
            chosen = {"reason": "redundant", "stands_for_it": "statistics.mean"}
        else:
            chosen = {"share": 0.2, "selected": 0.1 if place == 9 else 0.0, "low": 0.0, "high": 0.0}
        rows.append(row | chosen)
    write_table(table(rows, SIGNATURE), folder / "signature.parquet", SIGNATURE)
    choices = {
        "asked": {"target": "metastasis"},
        "settings": asdict(SignatureSettings()),
        "n_subjects": N,
        "n_events": int(truth.sum()),
        "value": "statistics.maximum",
        "notes": ["2 patients without metastasis: left out"],
        "all_patients": {"false_selections_at_most": 0.8},
        "tables": {"features": {"file": "features.parquet"}},
        "versions": {"fiducial": "1", "scikit-learn": "1"},
    }
    write_json(folder / "choices.json", choices)
    seal(folder, *SEALED, radiomics_signature={"outcome": "metastasis"})
    return folder


def page_of(table_path: Path, **given: Any) -> str:
    made = features_report(table_path, **given)
    return made.page.read_text(encoding="utf-8")


# counts, by hand


def test_the_page_lies_beside_the_table_and_its_counts_are_those_of_the_table(features: Path) -> None:
    made = features_report(features)
    assert made.page == features.with_suffix(".html")
    assert (made.n_subjects, made.n_regions, made.n_features, made.n_missing) == (N, N, 18 + 25, 1)
    text = made.page.read_text(encoding="utf-8")
    assert "30 regions of 30 patients, 43 features of each." in text
    assert "Intensity statistics: 18 features" in text
    assert "Co-occurrence (GLCM): 25 features" in text
    assert text.count('class="glyph"') == 43
    assert "undefined: too flat" in text
    assert "1 of 1\u202f290 values are missing, in 1 feature; each has a reason." in text
    assert f"{made.n_clusters} different things are measured, not 43" in text


def test_what_was_set_aside_and_how_it_was_made_come_from_the_record(features: Path) -> None:
    text = page_of(features)
    assert "1 region was set aside" in text
    assert "i30~t" in text
    assert "empty-mask: no voxel" in text
    assert "Resampled to 3 x 3 x 3 mm: images linear, masks linear with threshold 0.5" in text
    assert "Grey levels of a fixed width of 25, from \u22121000 on" in text
    assert "Regions kept to intensities from \u22121000 to 400" in text


def test_regions_without_any_value_are_set_aside_and_do_not_spoil_the_rest(features: Path) -> None:
    frame = feature_table()
    frame.loc[frame["subject"].isin([f"p{k}" for k in range(5, 12)]), ["value", "reason"]] = [np.nan, "empty-mask"]
    write_table(frame, features, FEATURES)
    record_path(features).unlink()
    made = features_report(features)
    assert (made.n_regions, made.n_missing) == (N - 7, 1)
    text = made.page.read_text(encoding="utf-8")
    assert "7 regions were set aside" in text
    assert "i5~t" in text
    assert "23 regions of 23 patients, 43 features of each." in text
    assert made.n_clusters > 1


def test_without_a_record_nothing_is_said_of_how_it_was_made(features: Path) -> None:
    record_path(features).unlink()
    text = page_of(features)
    assert "How these features were made is not known" in text
    assert "was set aside" not in text


def test_a_record_of_another_table_is_not_believed(features: Path) -> None:
    frame = feature_table()
    frame["value"] *= 2
    write_table(frame, features, FEATURES)
    text = page_of(features)
    assert "the table was changed after it was made" in text
    assert "How these features were made is not known" in text
    assert "a fixed width" not in text


def test_the_page_stands_alone_and_says_what_it_is_for(features: Path) -> None:
    text = page_of(features)
    assert "Research use" in text
    assert "Content-Security-Policy" in text
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", text)
    assert "<script" not in text
    assert not re.search(r">\s*(nan|None|inf)\s*<", text)


def test_the_same_table_gives_the_same_bytes(features: Path, stability: Path) -> None:
    assert page_of(features, stability=stability) == page_of(features, stability=stability)


# repeats


def test_repeatability_is_counted_by_family_and_grade(features: Path, stability: Path) -> None:
    text = page_of(features, stability=stability)
    rows = pd.read_parquet(stability)
    good = int(rows["grade"].isin(["excellent", "good"]).sum())
    assert f"{good} of 43 features repeat well or excellently" in text
    assert "10 repeats of 30 regions of 30 patients" in text
    assert "one value in every region" in text
    assert text.count('class="glyph"') == 43 + 42


def test_a_table_without_any_correlation_says_so(features: Path, stability: Path) -> None:
    rows = pd.read_parquet(stability)
    for name in ("icc_1_1", "icc_1_1_low", "icc_1_1_high"):
        rows[name] = np.nan
    write_table(rows.assign(grade="", reason="one value"), stability, STABILITY)
    assert "No feature has an intraclass correlation." in page_of(features, stability=stability)


def test_whether_contours_were_disturbed_comes_from_the_record_of_this_table(features: Path, stability: Path) -> None:
    repeats = [feature_table(perturbation=f"n.{k}") for k in range(10)]
    write_table(pd.concat([feature_table(), *repeats], ignore_index=True), features, FEATURES)
    for contour, points in ((True, 1), (False, 0)):
        done = {"perturbation": [{"name": "n", "noise": 1.0, "contour": contour, "repeats": 10}]}
        write_record(features, {}, [], perturbations=done)
        assert features_report(features, stability=stability).sheets["RQS"] == (points, 1, 15)
    write_record(features, {}, [])
    assert features_report(features, stability=stability).sheets["RQS"] == (0, 0, 16)


def test_the_folder_of_a_table_of_repeats_will_do(features: Path, stability: Path) -> None:
    assert 'id="stability"' in page_of(features, stability=stability.parent)


# a signature


def test_models_stand_beside_simpler_ones_and_no_difference_is_no_gain(features: Path, signature: Path) -> None:
    text = page_of(features, signature=signature)
    beside = "the volume alone 0.660, the single value alone (largest intensity) 0.710"
    assert f"AUC of the signature 0.700 [0.520, 0.860]; {beside}." in text
    assert "was not shown to differ from the volume alone (difference 0.040 [\u22120.100, 0.200])" in text
    assert "is better than the single value alone" in text
    for section in ("models", "signature", "calibration", "decisions", "sheets", "evidence"):
        assert f'<section id="{section}">' in text
    assert "2 features of 43 were chosen." in text
    assert "7 features left out: another feature says the same" in text
    assert "1 feature was chosen in some training sets only" in text
    assert "2 patients without metastasis: left out" in text
    assert "It is no confidence interval." in text


def test_what_signature_writes_is_read(tmp_path: Path) -> None:
    """The product's own folder, of few patients and repeats."""
    path, outcomes = tmp_path / "features.parquet", tmp_path / "outcomes.csv"
    frame = feature_table(("morphology", "statistics"))
    write_table(frame, path, FEATURES)
    size = frame[frame["ibsi_code"] == "RNU0"].set_index("subject")["value"]
    lines = [f"{name},{int(value > size.median())}" for name, value in size.items()]
    outcomes.write_text("\n".join(["subject,event", *lines]))
    settings = SignatureSettings(repeats=1, folds=3, inner_folds=2, n_pairs=5, strengths=(0.1, 1.0))
    learn(SignatureTables(path, outcomes), tmp_path / "s", asked=Asked(target="event"), settings=settings, workers=1)
    made = features_report(path, signature=tmp_path / "s")
    assert made.sheets["RQS"][1] >= 11
    text = made.page.read_text(encoding="utf-8")
    for section in ("models", "signature", "calibration", "decisions", "evidence"):
        assert f'<section id="{section}">' in text
    assert "event: 15 of 30 patients" in text
    assert "3 folds by patient, dealt once, seed 0, 2 inner folds" in text
    write_table(frame.assign(value=frame["value"] + 1), path, FEATURES)
    with pytest.raises(InputRefused, match="learned from another table"):
        features_report(path, signature=tmp_path / "s")


def test_evidence_rows_that_the_sheets_name_are_on_the_page(features: Path, signature: Path) -> None:
    text = page_of(features, signature=signature)
    linked = set(re.findall(r'href="#(e\d+)"', text))
    assert linked
    assert linked <= set(re.findall(r'id="(e\d+)"', text))


def test_sheets_are_filled_from_the_run(features: Path, signature: Path, stability: Path) -> None:
    made = features_report(features, stability=stability, signature=signature)
    points, decided, waiting = made.sheets["RQS"]
    # 3 for redundancy, 0 of 1 for no joint model, 1 for a risk, 2 and 2 for figures with resampling, 2 for decisions.
    assert (points, decided) == (10, 11)
    assert waiting == 16 - 6
    text = made.page.read_text(encoding="utf-8")
    assert "10 of the 11 points that could be decided; 10 items wait for a person" in text
    assert "Does not apply" in text


def test_a_signature_of_survival_has_no_curves_of_a_class(features: Path, signature: Path) -> None:
    shutil.rmtree(signature / "audit")
    models = pd.read_parquet(signature / "models.parquet")
    models = models[~models["metric"].isin(["auc_pooled", "calibration_slope"])]
    models["metric"] = models["metric"].str.replace("auc", "c_index")
    write_table(models, signature / "models.parquet", SIGNATURE_MODELS)
    seal(signature, *SEALED, radiomics_signature={"outcome": "metastasis"})
    made = features_report(features, signature=signature)
    text = made.page.read_text(encoding="utf-8")
    assert "C index of the signature 0.700 [0.520, 0.860]" in text
    for section in ("calibration", "decisions", "evidence"):
        assert f'<section id="{section}">' not in text
    # 3 for redundancy, 0 of 1 for no joint model, 1 for a risk, 2 for a figure with resampling; no calibration.
    assert made.sheets["RQS"][:2] == (6, 7)


def test_a_signature_without_any_feature_is_an_answer(features: Path, signature: Path) -> None:
    rows = pd.read_parquet(signature / "signature.parquet").assign(chosen=0, coefficient=0.0)
    write_table(rows, signature / "signature.parquet", SIGNATURE)
    seal(
        signature, "models.parquet", "signature.parquet", "choices.json", radiomics_signature={"outcome": "metastasis"}
    )
    assert "No feature was chosen: the signature is empty" in page_of(features, signature=signature)


# sheets never guess


def test_a_bare_table_decides_nothing_that_it_does_not_say(tmp_path: Path) -> None:
    path = tmp_path / "bare.parquet"
    write_table(feature_table(site=""), path, FEATURES)
    made = features_report(path)
    assert made.sheets["RQS"] == (0, 0, 16)
    assert made.sheets["METRICS"][:2] == (0, 0)
    text = made.page.read_text(encoding="utf-8")
    assert "no points could be decided; 16 items wait for a person" in text


# names, odd tables, errors


def test_names_are_text_and_never_markup(tmp_path: Path, stability: Path) -> None:
    frame = feature_table(structure=HOSTILE, reason=HOSTILE, site=HOSTILE)
    frame["feature"] = [f"{HOSTILE}{k % 43}" for k in range(len(frame))]
    frame["family"] = HOSTILE
    frame.loc[:3, "value"] = np.nan
    path = tmp_path / "features.parquet"
    write_table(frame, path, FEATURES)
    write_record(path, {"filter": {"kind": HOSTILE}}, [(HOSTILE, HOSTILE)])
    text = page_of(path, stability=stability)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (lambda frame: frame[frame["subject"] == "p1"], "1 regions with 0 features that vary"),
        (lambda frame: frame.assign(value=1.0), "30 regions with 0 features that vary"),
    ],
)
def test_a_table_with_nothing_to_compare_still_has_a_page(tmp_path: Path, keep: Any, said: str) -> None:
    path = tmp_path / "features.parquet"
    write_table(keep(feature_table()), path, FEATURES)
    text = page_of(path)
    assert said in text
    assert not re.search(r">\s*(nan|None|inf)\s*<", text)


def test_1316_features_are_drawn(tmp_path: Path) -> None:
    frame = feature_table()
    many = [frame.assign(filter=f"wavelet-{k}", value=np.roll(frame["value"], k)) for k in range(31)]
    path = tmp_path / "features.parquet"
    write_table(pd.concat(many, ignore_index=True), path, FEATURES)
    made = features_report(path)
    assert made.n_features == 1333
    assert made.page.stat().st_size < 4e6


def test_what_is_no_table_of_features_is_refused(tmp_path: Path, features: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        features_report(tmp_path / "none.parquet")
    for frame in (feature_table(perturbation="noise"), feature_table().assign(value=np.nan)):
        write_table(frame, features, FEATURES)
        with pytest.raises(TableError, match="no region has a feature"):
            features_report(features)


def test_a_folder_that_holds_no_signature_is_refused(tmp_path: Path, features: Path, signature: Path) -> None:
    with pytest.raises(InputRefused, match="no such folder"):
        features_report(features, signature=tmp_path / "none")
    with pytest.raises(InputRefused, match="no signature here"):
        features_report(features, signature=signature / "audit" / "volume")


def test_a_signature_that_was_edited_is_refused(features: Path, signature: Path) -> None:
    held = json.loads((signature / "choices.json").read_text())
    (signature / "choices.json").write_text(json.dumps(held | {"n_events": 29}))
    with pytest.raises(FiducialError, match=r"choices\.json"):
        features_report(features, signature=signature)


def test_how_regions_were_disturbed_is_told(features: Path, stability: Path) -> None:
    chain = {"name": "chain", "noise": 1.0, "rotate_degrees": 5.0, "translate_voxels": [0.25, 0, 0], "volume": 0.0}
    plan = {"seed": 1, "perturbation": [{**chain, "contour": True, "repeats": 4}, {"name": "small", "volume": -0.1}]}
    write_record(features, Settings().model_dump(mode="json"), [], perturbations=plan)
    text = page_of(features, stability=stability)
    first = "Chain, 4 times: noise of 1 times its level, turned by 5 degrees, shifted by 0.25 0 0 voxels"
    assert f"{first}, contour drawn anew; small: volume changed by \u22120.1" in text.replace("-0.1", "\u22120.1")
