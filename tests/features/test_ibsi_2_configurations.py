"""Each configuration of IBSI 2's second phase can be said in a settings file, and gives the 18 statistics."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fiducial.features.radiomics import Settings, radiomics

PAGE = Path(__file__).parents[2] / "docs/reference/ibsi-2.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMON = dict(zip("AB", re.findall(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL), strict=True))
FILTERS = dict(re.findall(r"^\| (\d+\.[AB]) \| [^|]+ \| (?:`(.*)`)? ?\|$", TEXT, flags=re.MULTILINE))
NUMBERS = [f"{number}.{kind}" for number in range(1, 10) for kind in "AB"]


def settings_of(number):
    return Settings(**tomllib.loads(COMMON[number[-1]] + FILTERS[number]))


@pytest.fixture(scope="module")
def phantom(data):
    """A piece of the CT phantom at the border of its region, small enough for every filter: image, mask, spacing."""
    folder = data / "ibsi/ibsi_1_ct_radiomics_phantom"
    image, mask = nibabel.load(folder / "image/phantom.nii.gz"), nibabel.load(folder / "mask/mask.nii.gz")
    inside = np.asarray(mask.dataobj) > 0
    middle = [int(np.median(places)) for places in np.nonzero(inside)]
    middle[0] = int(np.flatnonzero(inside[:, middle[1], middle[2]])[0])
    near = tuple(slice(m - half, m + half) for m, half in zip(middle, (10, 10, 4), strict=True))
    return np.asarray(image.dataobj)[near], inside[near], tuple(float(mm) for mm in image.header.get_zooms()[:3])


def test_every_configuration_has_its_line():
    assert list(FILTERS) == NUMBERS
    lines = [line for number, line in FILTERS.items() if number[0] != "1"]
    assert len(set(lines)) == 16
    assert all(settings_of(number).filter is not None for number in NUMBERS[2:])
    assert settings_of("1.A").filter is None
    for number in NUMBERS:
        made = settings_of(number)
        assert made.resegment == (-1000, 400)
        assert made.spacing_mm == (None if number.endswith("A") else (1.0, 1.0, 1.0))
        # In slices, what has a choice works in slices.
        flat = getattr(made.filter, "in_slice", None)
        assert flat is None or flat == number.endswith("A")


@pytest.mark.real_data
@pytest.mark.parametrize("number", NUMBERS)
def test_it_gives_the_18_statistics(phantom, number):
    image, mask, spacing_mm = phantom
    table = radiomics(image, mask, spacing_mm, settings_of(number))
    found = dict(zip(table["feature"], table["value"], strict=True))
    assert len(table) == 18
    assert table["value"].notna().all()
    ordered = [found[name] for name in ("minimum", "percentile_10", "median", "percentile_90", "maximum")]
    assert ordered == sorted(ordered)
    assert found["minimum"] < found["maximum"]
    assert found["root_mean_square"] ** 2 == pytest.approx(found["variance"] + found["mean"] ** 2)
    if number[0] == "1":
        assert found["minimum"] >= -1000
        assert found["maximum"] <= 400
    if number[0] in "45":  # energies and moduli
        assert found["minimum"] >= 0
