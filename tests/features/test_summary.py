"""A table of features in figures, countable by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fiducial.features.radiomics.summary import (
    compared_columns,
    feature_summaries,
    plain_regions,
    with_values,
)
from fiducial.records.radiomics import FEATURES
from fiducial.records.tables import table

NAN = float("nan")


def regions(values: dict[str, list[float]], **said: str) -> pd.DataFrame:
    """A row for each region and feature; a missing value has a reason."""
    return table(
        [
            {
                "subject": f"p{k}",
                "image": f"i{k}",
                "mask": f"i{k}~tumour",
                "structure": "tumour",
                "family": "statistics",
                "feature": name,
                "value": value,
                "reason": "undefined: too flat" if np.isnan(value) else "",
                **said,
            }
            for name, own in values.items()
            for k, value in enumerate(own)
        ],
        FEATURES,
    )


def test_quartiles_histogram_and_missing_values_by_hand() -> None:
    (found,) = feature_summaries(regions({"mean": [0.0, 1.0, 2.0, 24.0, NAN]}))
    assert found.key == ("statistics", "mean", "", "")
    assert (found.n, found.n_missing, found.reasons) == (4, 1, (("undefined: too flat", 1),))
    assert found.quantiles == (0.0, 0.75, 1.5, 7.5, 24.0)
    assert found.histogram == (1, 1, 1, *[0] * 20, 1)
    assert not found.constant


def test_one_value_everywhere_is_constant_and_none_at_all_is_missing() -> None:
    constant, none = feature_summaries(regions({"a": [3.0, 3.0], "b": [NAN, NAN]}))
    assert constant.constant
    assert constant.histogram == ()
    assert (none.n, none.n_missing, none.constant) == (0, 2, False)
    assert np.isnan(none.quantiles).all()


@pytest.mark.parametrize("values", [[-1e308, 1e308, 0.0], [1e-310, 2e-310], [-5.0, -5.0 + 1e-14]])
def test_values_at_the_ends_of_what_a_number_can_be_have_a_histogram(values: list[float]) -> None:
    (found,) = feature_summaries(regions({"a": values}))
    assert sum(found.histogram) in (0, len(values))
    assert np.isfinite(found.quantiles).all()


def test_a_reason_beside_a_value_is_no_missing_value() -> None:
    rows = regions({"moran": [1.0, 2.0]}, reason="no consensus: the standard has no reference value")
    (found,) = feature_summaries(rows)
    assert (found.n_missing, found.reasons, found.consensus) == (0, (), False)


def test_another_definition_is_said_beside_its_value() -> None:
    rows = regions({"kurtosis": [1.0, 2.0]}, reason="PyRadiomics' definition: 3 higher")
    (found,) = feature_summaries(rows)
    assert (found.n_missing, found.reasons, found.consensus, found.difference) == (0, (), True, "3 higher")
    (plain,) = feature_summaries(regions({"kurtosis": [1.0, 2.0]}))
    assert plain.difference == ""


def test_perturbed_regions_diagnostics_and_other_raters_do_not_count() -> None:
    plain = regions({"mean": [1.0, 2.0]})
    rows = pd.concat(
        [
            plain,
            regions({"mean": [5.0]}, perturbation="noise"),
            regions({"mean": [6.0]}, rater="B", mask="i0~B"),
            regions({"n_voxels": [9.0]}, family="diagnostics"),
            regions({"mean": [7.0]}, rater="B", mask="i9~B", image="i9"),
        ]
    )
    kept = plain_regions(rows)
    assert kept["value"].tolist() == [1.0, 2.0, 7.0]


def test_a_region_without_any_value_is_set_apart_with_its_reason() -> None:
    rows = regions({"mean": [1.0, NAN, NAN], "median": [2.0, 3.0, NAN]})
    kept, empty = with_values(rows)
    assert kept["mask"].unique().tolist() == ["i0~tumour", "i1~tumour"]
    assert empty == [("i2~tumour", "undefined: too flat")]
    assert with_values(rows.head(0))[1] == []


def test_what_is_compared_varies_and_is_nearly_whole() -> None:
    n = 20
    up = [float(k) for k in range(n)]
    found = compared_columns(
        regions(
            {
                "up": up,
                "down": up[::-1],
                "constant": [1.0] * n,
                "seldom": [NAN] * 5 + up[5:],
                "once": [NAN, *up[1:]],
            }
        )
    )
    assert [key[1] for key in found.keys] == ["up", "down", "once"]
    assert (found.missing, found.constant, found.incomplete) == (1, 1, 1)
    assert found.values.shape == (19, 3)
    assert (found.n_subjects, found.structure) == (19, "tumour")


def test_the_commonest_structure_is_compared() -> None:
    rows = pd.concat([regions({"a": [1.0, 2.0, 3.0]}), regions({"a": [9.0]}, structure="node", mask="n")])
    found = compared_columns(rows)
    assert found.structure == "tumour"
    assert found.values[:, 0].tolist() == [1.0, 2.0, 3.0]


def test_nothing_to_compare_is_no_error() -> None:
    assert compared_columns(regions({"a": [NAN, NAN]})).values.shape[1] == 0
    assert compared_columns(plain_regions(regions({"a": [1.0]}, family="diagnostics"))).values.size == 0
