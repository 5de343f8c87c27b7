"""PyRadiomics' own baselines of brain1 and breast1: every value, with the settings that each file states."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from fiducial.features.radiomics import PyRadiomicsSettings, radiomics

ROOT = Path(__file__).parents[2]
N_VALUES = {
    "firstorder": 144,
    "glcm": 384,
    "gldm": 196,
    "glrlm": 256,
    "glszm": 224,
    "ngtdm": 70,
    "shape": 56,
    "shape2D": 18,
}
# Of PyRadiomics 3.0.1 (featureextractor.execute, defaults) on brain1, where its baseline file is of 2.0.1b1.
MESH_301 = {
    "original_shape_MeshVolume": 16147.51180013021,
    "original_shape_SurfaceArea": 6438.821603779402,
    "original_shape_SurfaceVolumeRatio": 0.3987500788652454,
    "original_shape_Sphericity": 0.4798234536231475,
}


@pytest.fixture(scope="module")
def tool():
    """tools/pyradiomics.py."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        yield importlib.import_module("pyradiomics")
    finally:
        sys.path.remove(str(ROOT / "tools"))


@pytest.mark.real_data
@pytest.mark.parametrize("of_class", N_VALUES)
def test_every_value_is_given(tool, data, of_class):
    rows = list(tool.compared(data, of_class))
    assert len(rows) == N_VALUES[of_class]
    differing = [one for one in rows if not one.error <= tool.EXACT]
    assert {(one.case, one.configuration, one.feature) for one in differing} == {
        key for key in tool.KNOWN if f"_{of_class}_" in key[2]
    }
    assert all(one.error < 1e-3 for one in differing)


@pytest.mark.real_data
def test_where_the_baseline_is_of_another_mesh_the_last_version_agrees(tool, data):
    table = radiomics(
        *tool.image_and_mask(data, "brain1"), PyRadiomicsSettings.model_validate({"featureClass": {"shape": []}})
    )
    found = table.set_index("pyradiomics")["value"]
    for name, value in MESH_301.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name
    assert {key[2] for key in tool.KNOWN} == set(MESH_301)


@pytest.mark.real_data
@pytest.mark.parametrize("case", ["brain1", "breast1"])
def test_the_baselines_are_of_these_regions(tool, data, case):
    _, labels, _ = tool.image_and_mask(data, case)
    held = tool.baseline(data, "firstorder")[case]
    assert int(held["diagnostics_Mask-original_VoxelNum"]) == (labels == 1).sum()
    (slice_,) = (
        int(number.split(",")[2])
        for name, number in tool.baseline(data, "shape2D")[f"{case}_shape2D"].items()
        if name == "diagnostics_Mask-corrected_BoundingBox"
    )
    assert slice_ == tool.SLICES[case]


def test_agreement_can_fail(tool):
    made = tool.Compared("glcm", "brain1", "", "original_glcm_Contrast", 2.0, 2.000001)
    assert made.error == pytest.approx(5e-7)
    assert not tool.Compared("glcm", "brain1", "", "original_glcm_Contrast", 2.0, float("nan")).error <= tool.EXACT
    rows = {of_class: [] for of_class in tool.CLASSES} | {"glcm": [made]}
    assert "Together 1 of 1 values" in tool.agreement_page(rows)
    wrong = tool.Compared("glcm", "brain1", "", "original_glcm_Contrast", 2.0, 2.1)
    assert "not explained" in tool.agreement_page({**rows, "glcm": [wrong]})


def test_the_pages_in_the_docs_are_whole(tool):
    assert (ROOT / "docs/reference/pyradiomics.md").read_text() == tool.names_page()
    page = (ROOT / "docs/reference/pyradiomics-agreement.md").read_text()
    assert re.search(r"Together 1,344 of 1,348 values within a relative error of 1e-06\.", page)
    assert "not explained" not in page
    with tool.BESIDE.open() as file:
        rows = [line.strip().split(",") for line in file][1:]
    assert len(rows) == 2 * 35
    # 14 of shape, and 93 for each image.
    assert all(row[-3] == row[-2] and int(row[-3]) >= 107 for row in rows)
