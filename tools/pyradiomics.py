"""PyRadiomics beside ours: the page of names and differences, and the page of agreement with its baselines.

``python tools/pyradiomics.py`` writes docs/reference/pyradiomics.md from the tables of the code, and, where the real
data is (``--data``), docs/reference/pyradiomics-agreement.md from PyRadiomics' own baseline files and from what
tools/pyradiomics_beside.py found.
"""

from __future__ import annotations

import argparse
import ast
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from fiducial.features.radiomics import radiomics
from fiducial.features.radiomics.pyradiomics import PyRadiomicsSettings, parameters_of
from fiducial.features.radiomics.pyradiomics.names import names
from fiducial.features.radiomics.pyradiomics.settings import NOT_HERE, ImageTypeSettings

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs/reference"
CLASSES = ("firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm", "shape", "shape2D")
SLICES = {"brain1": 16, "breast1": 9}
"""The slice that the baseline of shape2D is of (its corrected mask's bounding box)."""
EXACT = 1e-6
OLD_MESH = (
    "the file holds 2.0.1b1's mesh, which divided ambiguous cubes otherwise; 3.0.1 gives what stands here "
    "(volume 16147.51180, area 6438.82160)"
)
KNOWN = {
    ("brain1", "", f"original_shape_{name}"): OLD_MESH
    for name in ("MeshVolume", "SurfaceArea", "SurfaceVolumeRatio", "Sphericity")
}
"""Values that differ, each with its reason: (image, configuration, feature)."""
NAMES_LEAD = """\
# PyRadiomics' names and definitions

<!-- Made by `python tools/pyradiomics.py` from fiducial/features/radiomics/pyradiomics*: change it there. -->

What PyRadiomics 3.0.1 calls each of its features, which feature of the Image Biomarker Standardisation Initiative that
is, and how the definitions differ. An empty last column: on the same grey levels, put together the same way, both are
one number. The profile `pyradiomics` ([how to](../how-to/radiomics.md#coming-from-pyradiomics)) computes the first
column; [its agreement](pyradiomics-agreement.md) with PyRadiomics is measured. Differences of preparation, which move
every value, stand [below](#preparation-and-definitions).
"""
SETTINGS_LEAD = """\
## Settings

Under PyRadiomics' names, in `setting` of a parameter file; those with an asterisk may be said for one image type too,
in `imageType`. Every other name is refused. One default differs: `additionalInfo` is off; on, it gives what is one
number.
"""
BESIDE = Path(__file__).with_name("pyradiomics_beside.csv")
BESIDE_LEAD = """\
## With version 3.0.1

The same two images through PyRadiomics 3.0.1 itself, in an environment of its own, with every setting and image type
that the profile knows (`python tools/pyradiomics_beside.py PYTHON`). Each run has the 14 features of shape, and the
other 93 for each image of the type named.
"""
AGREEMENT_LEAD = """\
# Agreement with PyRadiomics

<!-- Made by `python tools/pyradiomics.py`: change it there. -->

## With its baselines

PyRadiomics tests itself against values that it ships for its sample images. Of `brain1` and `breast1`, here is how many
of them the profile `pyradiomics` gives, with the settings that each file states, within a relative error of 1e-6
(absolute where the value is 0), and the largest error. The files were written by versions 1.3 to 2.1; PyRadiomics holds
itself to them within 3 %.
"""


@dataclass(frozen=True)
class Compared:
    """One value of a baseline beside ours."""

    of_class: str
    case: str
    configuration: str
    feature: str
    theirs: float
    ours: float

    @property
    def error(self) -> float:
        """Relative, and absolute where theirs is (next to) 0."""
        apart = abs(self.ours - self.theirs)
        return apart / abs(self.theirs) if abs(self.theirs) > 1e-9 else apart


def baseline(data: Path, of_class: str) -> dict[str, dict[str, str]]:
    """The columns of one baseline file whose images are there: ``brain1``, ``breast1`` and their configurations."""
    with (data / "pyradiomics/baseline" / f"baseline_{of_class}.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    found: dict[str, dict[str, str]] = {}
    for place, column in enumerate(rows[0]):
        if column.startswith(("brain1", "breast1")):
            found[column] = {row[0]: row[place] for row in rows[1:]}
    return found


def settings_of(column: dict[str, str], of_class: str) -> PyRadiomicsSettings:
    """The settings that a column states; a mask that was corrected is on the image's grid here."""
    said = ast.literal_eval(column["diagnostics_Configuration_Settings"])
    said.pop("correctMask", None)
    return parameters_of({"setting": said, "featureClass": {of_class: []}})


def image_and_mask(data: Path, case: str) -> tuple[Any, Any, tuple[float, float, float]]:
    """Voxels [x, y, z], labels and spacing."""
    image = SimpleITK.ReadImage(str(data / "pyradiomics" / f"{case}_image.nrrd"))
    label = SimpleITK.ReadImage(str(data / "pyradiomics" / f"{case}_label.nrrd"))
    x, y, z = image.GetSpacing()
    voxels, labels = (SimpleITK.GetArrayFromImage(one).transpose(2, 1, 0) for one in (image, label))
    return voxels, labels, (x, y, z)


def compared(data: Path, of_class: str) -> Iterator[Compared]:
    """Every value of a class's baseline beside ours."""
    held = {case: image_and_mask(data, case) for case in SLICES}
    for column, rows in baseline(data, of_class).items():
        case, _, configuration = column.partition("_")
        image, labels, spacing_mm = held[case]
        if of_class == "shape2D":
            labels = np.where(np.arange(labels.shape[2]) == SLICES[case], labels, 0)
        table = radiomics(image, labels, spacing_mm, settings_of(rows, of_class))
        ours = dict(zip(table["pyradiomics"], table["value"], strict=True))
        for name, value in rows.items():
            if name.startswith("original_") and value:
                yield Compared(of_class, case, configuration, name, float(value), ours.get(name, float("nan")))


def names_page() -> str:
    """The page of names, differences and settings."""
    lines = [NAMES_LEAD, "## Names", ""]
    for of_class, features in names().items():
        lines += [
            f"### {of_class}",
            "",
            "| PyRadiomics | family | feature | IBSI | difference |",
            "|---|---|---|---|---|",
        ]
        for one in features:
            asked = " (only if named)" if one.computed == "named" else ""
            how = f", {one.aggregation}" if one.aggregation else ""
            code = one.ibsi_code or "·"
            lines.append(f"| {one.name}{asked} | {one.family}{how} | {one.feature} | {code} | {one.difference} |")
        lines.append("")
    lines += ["## Preparation and definitions", "", "| what | PyRadiomics 3.0.1 | IBSI | source |", "|---|---|---|---|"]
    lines += [f"| {d['what']} | {d['pyradiomics']} | {d['ibsi']} | {d['source']} |" for d in differences()]
    lines += ["", SETTINGS_LEAD, "| setting | default | meaning |", "|---|---|---|"]
    for ours, field in PyRadiomicsSettings.model_fields.items():
        if ours not in ("profile", "image_types", "feature_classes"):
            name = field.alias or ours
            each = "*" if ours in ImageTypeSettings.model_fields else ""
            lines.append(f"| `{name}`{each} | {_shown(field.default)} | {field.description} |")
    lines += ["", "Refused by name:", "", "| setting | why, and what to do |", "|---|---|"]
    lines += [f"| `{name}` | {action} |" for name, action in NOT_HERE.items()]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)


def differences() -> list[dict[str, str]]:
    """How the preparation of image and region differs, and definitions that several features share."""
    text = (files("fiducial.features.radiomics") / "pyradiomics_differences.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def agreement_page(rows: dict[str, list[Compared]]) -> str:
    """The table of agreement with the baselines, and each value that differs."""
    every = [one for found in rows.values() for one in found]
    cases = sorted({(one.case, one.configuration) for one in every}, key=lambda c: (c[1] != "", c[1], c[0]))
    lines = [AGREEMENT_LEAD, "| settings | image | " + " | ".join(CLASSES) + " |", "|---" * (len(CLASSES) + 2) + "|"]
    for case, configuration in cases:
        cells = []
        for of_class in CLASSES:
            mine = [one for one in rows[of_class] if (one.case, one.configuration) == (case, configuration)]
            worst = max((one.error for one in mine), default=0.0)
            cells.append(f"{sum(one.error <= EXACT for one in mine)} of {len(mine)} ({worst:.0e})" if mine else "·")
        lines.append(f"| {configuration or 'as it is'} | {case} | " + " | ".join(cells) + " |")
    within = sum(one.error <= EXACT for one in every)
    lines += ["", f"Together {within:,} of {len(every):,} values within a relative error of {EXACT:g}.", ""]
    lines += ["### What differs", "", "| value | baseline | ours | relative error | why |", "|---|---|---|---|---|"]
    for one in every:
        if not one.error <= EXACT:
            where = f"{one.feature}, {one.case}{one.configuration and f' {one.configuration}'}"
            why = KNOWN.get((one.case, one.configuration, one.feature), "not explained")
            lines.append(f"| {where} | {one.theirs:.7g} | {one.ours:.7g} | {one.error:.1e} | {why} |")
    lines += ["", BESIDE_LEAD, "| settings | image | values | within 1e-6 | largest error |", "|---|---|---|---|---|"]
    with BESIDE.open(encoding="utf-8") as file:
        beside = list(csv.DictReader(file))
    lines += [
        f"| {b['settings']} | {b['image']} | {b['values']} | {b['within']} | {b['largest_error']} |" for b in beside
    ]
    n, n_within = sum(int(b["values"]) for b in beside), sum(int(b["within"]) for b in beside)
    return "\n".join([*lines, "", f"Together {n_within:,} of {n:,} values."]) + "\n"


def main() -> None:
    """Write the page of names, and, where the data is, of agreement; exit 1 where a difference is unexplained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    given = parser.parse_args()
    (REFERENCE / "pyradiomics.md").write_text(names_page(), encoding="utf-8")
    if not (given.data / "pyradiomics").is_dir():
        sys.exit(f"no baselines in {given.data}: the page of agreement stays as it is")
    rows = {of_class: list(compared(given.data, of_class)) for of_class in CLASSES}
    text = agreement_page(rows)
    (REFERENCE / "pyradiomics-agreement.md").write_text(text, encoding="utf-8")
    print(text)
    sys.exit("not explained" in text)


if __name__ == "__main__":
    main()
