"""A table with two named filters: the features of each are apart in stability, signature, page and wide tables."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fiducial.flows import (
    Asked,
    SignatureSettings,
    SignatureTables,
    features,
    features_report,
    ingest,
    signature,
    stability,
)
from fiducial.phantom.hospital import make_patients, write_hospital
from fiducial.records.radiomics import FEATURES, STABILITY
from fiducial.records.radiomics_signature import SIGNATURE
from fiducial.records.tables import read_table, table, write_table

QUICK = SignatureSettings(repeats=1, folds=3, inner_folds=2, n_pairs=10, strengths=(1.0,))
FILTERS = ("", "smooth", "edges")


def rows_of(n: int = 45, *, seed: int = 0):
    """One feature of the same name under three filters; that of ``edges`` alone follows the outcome."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) < n // 3).astype(int)
    rows = []
    for k in range(n):
        region = {"subject": f"P{k:02d}", "image": f"i{k}", "mask": f"m{k}"}
        plain = {"family": "morphology", "feature": "volume_mesh", "ibsi_code": "RNU0", "value": np.exp(rng.normal())}
        rows.append({**region, **plain})
        for name in FILTERS:
            value = float(rng.normal() + 4 * truth[k] * (name == "edges"))
            code = {"family": "statistics", "feature": "maximum", "ibsi_code": "84IY", "filter": name, "value": value}
            again = {**code, "value": value + (5 if name == "smooth" else 0.05) * rng.normal()}
            rows += [{**region, **code}, {**region, **again, "perturbation": "noise"}]
        rows.append({**region, **plain, "value": plain["value"] * 1.01, "perturbation": "noise"})
    return table(rows, FEATURES), truth


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filters")
    frame, truth = rows_of()
    write_table(frame, folder / "features.parquet", FEATURES)
    lines = [f"P{k:02d},{event}" for k, event in enumerate(truth)]
    (folder / "outcomes.csv").write_text("\n".join(["subject,event", *lines]))
    return folder


def test_stability_grades_each_filter_apart(folder):
    found = read_table(stability(folder / "features.parquet", folder / "stability").out, STABILITY)
    assert len(found) == 4
    by_filter = found[found["feature"] == "maximum"].set_index("filter")
    assert set(by_filter.index) == set(FILTERS)
    assert by_filter.loc["edges", "grade"] == "excellent"
    assert by_filter.loc["smooth", "grade"] == "poor"


def test_a_signature_names_the_filter_and_drops_the_one_that_does_not_repeat(folder):
    stability(folder / "features.parquet", folder / "stability")
    made = signature(
        SignatureTables(folder / "features.parquet", folder / "outcomes.csv", folder / "stability"),
        folder / "signature",
        asked=Asked(target="event"),
        settings=QUICK,
        workers=1,
    )
    assert made.n_features == 4
    assert made.chosen == ("statistics.maximum@edges",)
    # The single value is that of the image itself.
    assert made.value == "statistics.maximum"
    rows = read_table(folder / "signature" / "signature.parquet", SIGNATURE).set_index(["feature", "filter"])
    assert rows.loc[("maximum", "smooth"), "reason"] == "not_reproducible"
    assert rows.loc[("maximum", ""), "chosen"] == 0
    model = json.loads((folder / "signature" / "model.json").read_text())
    assert [one["filter"] for one in model["features"]] == ["edges"]
    page = features_report(
        folder / "features.parquet",
        folder / "page.html",
        stability=folder / "stability",
        signature=folder / "signature",
    )
    assert page.n_features == 4
    text = page.page.read_text(encoding="utf-8")
    assert "Intensity statistics: maximum (filter edges)" in text
    assert "filter smooth" in text


def test_a_filtered_value_may_be_the_single_one(folder):
    found = signature(
        SignatureTables(folder / "features.parquet", folder / "outcomes.csv"),
        folder / "other",
        asked=Asked(target="event", value="statistics.maximum@edges"),
        settings=QUICK,
        workers=1,
    )
    assert found.value == "statistics.maximum@edges"
    own = next(figure for figure in found.figures if (figure.model, figure.metric) == ("value", "auc_of_value"))
    assert own.value > 0.9


def test_named_filters_of_a_cohort_stay_apart(tmp_path):
    """From the settings to the page: two filters of the same family beside the image itself."""
    write_hospital(make_patients(3, seed=4), tmp_path / "hospital", workers=1)
    ingest(tmp_path / "hospital" / "dicom", tmp_path / "cohort", labels=tmp_path / "hospital" / "labels.csv", workers=1)
    (tmp_path / "radiomics.toml").write_text(
        'families = ["statistics"]\nspacing_mm = [4, 4, 4]\n'
        '[filters.smooth]\nkind = "mean"\nsupport = 3\n[filters.edges]\nkind = "log"\nsigma_mm = 4.0\n'
    )
    made = features(tmp_path / "cohort", tmp_path / "f.parquet", config=tmp_path / "radiomics.toml", workers=1)
    found = read_table(made.out, FEATURES)
    counts = found.groupby("filter")["feature"].nunique()
    assert {"smooth", "edges"} <= set(counts.index)
    assert (counts == 18).all()
    page = features_report(made.out, tmp_path / "page.html")
    assert page.n_features == 18 * len(counts)
