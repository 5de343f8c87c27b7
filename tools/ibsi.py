"""Every reference value of IBSI 1 beside ours, and the table of agreement in the docs.

    python tools/ibsi.py [--data ../shared/data] [--write]

Reads the standard's digital phantom, its CT phantom and its reference values (2,104 with a consensus), computes every
feature in the standard's own configurations and compares each within the tolerance in its row. A reference value is
given to three digits: ours agrees where it, or it rounded to three digits, lies within the tolerance. `--write` writes
docs/reference/ibsi.md.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from fiducial.features.radiomics import AGGREGATIONS, FAMILIES, Settings, radiomics

ROOT = Path(__file__).parents[1]
FLAT, DEEP = AGGREGATIONS[:4], AGGREGATIONS[4:]
# Table 5.1 of the reference manual.
CONFIGURATIONS = {
    "dig_phantom": Settings(aggregations=AGGREGATIONS),
    "chest_config_a": Settings(aggregations=FLAT, resegment=(-500, 400), bin_width=25),
    "chest_config_b": Settings(
        aggregations=FLAT, spacing_mm=(2, 2, 0), resegment=(-500, 400), bin_number=32, round_intensities=True
    ),
    "chest_config_c": Settings(
        aggregations=DEEP,
        spacing_mm=(2, 2, 2),
        resegment=(-1000, 400),
        bin_width=25,
        ivh="continuous",
        ivh_bin_width=2.5,
        round_intensities=True,
    ),
    "chest_config_d": Settings(
        aggregations=DEEP, spacing_mm=(2, 2, 2), outlier_sigma=3, bin_number=32, round_intensities=True
    ),
    "chest_config_e": Settings(
        aggregations=DEEP,
        spacing_mm=(2, 2, 2),
        image_interpolation="cubic",
        resegment=(-1000, 400),
        outlier_sigma=3,
        bin_number=32,
        ivh="arbitrary",
        round_intensities=True,
    ),
}
TITLES = {"dig_phantom": "digital phantom", **{f"chest_config_{c}": f"CT phantom, {c.upper()}" for c in "abcde"}}
ENDINGS = {
    "_2D_avg": "2d_averaged",
    "_2D_comb": "2d_merged",
    "_2_5D_avg": "2.5d_averaged",
    "_2_5D_comb": "2.5d_merged",
    "_3D_avg": "3d_averaged",
    "_3D_comb": "3d_merged",
    "_2D": "2d",
    "_2_5D": "2.5d",
    "_3D": "3d",
}
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Compared:
    """One reference value beside ours; ``reference`` is None where the standard has none."""

    family: str
    feature: str
    aggregation: str
    reference: float | None
    tolerance: float
    ours: float

    @property
    def agrees(self) -> bool:
        """Whether ours, or ours to three digits, lies within the tolerance."""
        if self.reference is None:
            return True
        rounded = float(f"{self.ours:.3g}")
        edge = self.tolerance + 1e-9 * abs(self.reference)
        return min(abs(self.ours - self.reference), abs(rounded - self.reference)) <= edge


def _key(tag: str, known: dict[str, tuple[str, str]]) -> Key:
    """(family, feature, aggregation) of a tag of the reference files."""
    if tag in known:
        return (*known[tag], "")
    ending = next(e for e in ENDINGS if tag.endswith(e) and tag.removesuffix(e) in known)
    return (*known[tag.removesuffix(ending)], ENDINGS[ending])


def reference_values(data: Path, name: str) -> dict[Key, tuple[float, float] | None]:
    """Value and tolerance by (family, feature, aggregation); None where the standard has no consensus."""
    with (Path(__file__).parent / "ibsi_tags.csv").open() as file:
        known = {row["tag"]: (row["family"], row["feature"]) for row in csv.DictReader(file)}
    found: dict[Key, tuple[float, float] | None] = {}
    with (data / "ibsi/ibsi_1_reference_values" / f"ibsi_1_{name}.csv").open() as file:
        for row in csv.DictReader(file, delimiter=";"):
            value = row["reference value"]
            found[_key(row["tag"], known)] = (float(value), float(row["tolerance"])) if value else None
    return found


def phantom(data: Path, name: str) -> tuple[Any, Any, tuple[float, float, float]]:
    """Image, mask and spacing of the digital or of the CT phantom."""
    folder = data / "ibsi" / ("ibsi_1_digital_phantom" if name == "dig_phantom" else "ibsi_1_ct_radiomics_phantom")
    image = nibabel.load(folder / "image/phantom.nii.gz")
    mask = nibabel.load(folder / "mask/mask.nii.gz")
    x, y, z = (float(mm) for mm in image.header.get_zooms()[:3])
    return np.asarray(image.dataobj), np.asarray(mask.dataobj), (x, y, z)


def computed(data: Path, name: str) -> dict[Key, float]:
    """Our values in one configuration; the digital phantom has no reference of its preparation."""
    settings = CONFIGURATIONS[name]
    if name == "dig_phantom":
        settings = settings.model_copy(update={"families": tuple(f for f in FAMILIES if f != "diagnostics")})
    table = radiomics(*phantom(data, name), settings)
    return {(row.family, row.feature, row.aggregation): row.value for row in table.itertuples()}


def compared(data: Path, name: str) -> Iterator[Compared]:
    """Each reference value of one configuration beside ours."""
    ours = computed(data, name)
    for key, stated in reference_values(data, name).items():
        value, tolerance = stated if stated is not None else (None, 0.0)
        yield Compared(*key, value, tolerance, ours.get(key, float("nan")))


def page(rows: dict[str, list[Compared]]) -> str:
    """The table of agreement."""
    families = list(dict.fromkeys(one.family for found in rows.values() for one in found))
    lines = [
        "# Agreement with IBSI 1",
        "",
        "<!-- Made by `python tools/ibsi.py --write`: change it there. -->",
        "",
        "How many of the reference values of the Image Biomarker Standardisation Initiative (part 1, Zwanenburg et al.",
        "2020) Fiducial gives within the tolerance that the standard states beside each, in the standard's own six",
        "configurations. Reference values have three digits. Five features of each configuration (the densities in the",
        "smallest oriented box and in the smallest enclosing ellipsoid, and the area under the intensity-volume curve)",
        "have no consensus; they are computed and say so.",
        "",
        "| family | " + " | ".join(TITLES[name] for name in rows) + " |",
        "|---" * (len(rows) + 1) + "|",
    ]
    for family in families:
        cells = []
        for found in rows.values():
            mine = [one for one in found if one.family == family and one.reference is not None]
            cells.append(f"{sum(one.agrees for one in mine)} of {len(mine)}" if mine else "·")
        lines.append(f"| {family.replace('_', ' ')} | " + " | ".join(cells) + " |")
    totals = [[one for one in found if one.reference is not None] for found in rows.values()]
    lines.append("| **all** | " + " | ".join(f"{sum(o.agrees for o in t)} of {len(t)}" for t in totals) + " |")
    n, n_all = sum(o.agrees for t in totals for o in t), sum(len(t) for t in totals)
    lines += ["", f"Together {n:,} of {n_all:,}.", ""]
    return "\n".join(lines)


def main() -> None:
    """Compare, print what differs, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    rows = {name: list(compared(given.data, name)) for name in CONFIGURATIONS}
    for name, found in rows.items():
        for one in found:
            if not one.agrees:
                print(f"{name}: {one}")
    text = page(rows)
    print(text)
    if given.write:
        (ROOT / "docs/reference/ibsi.md").write_text(text, encoding="utf-8")
    sys.exit(not all(one.agrees for found in rows.values() for one in found))


if __name__ == "__main__":
    main()
