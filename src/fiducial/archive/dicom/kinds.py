"""What each SOP class (PS3.4, B.5) is to the archive: one table from class to kind."""

from __future__ import annotations

from fiducial.archive.dicom.header import CT_IMAGE, MR_IMAGE, PET_IMAGE, RT_STRUCTURE_SET

# Kinds of which a series becomes images: `DECODERS` (archive/decoders.py) reads them.
IMAGES: dict[str, str] = {
    CT_IMAGE: "slices",
    MR_IMAGE: "slices",
    PET_IMAGE: "slices",
}
# Kinds that say something about an image: `DRAWERS` and `REFERENCES` (archive/drawers.py) read them, file by file.
OBJECTS: dict[str, str] = {
    RT_STRUCTURE_SET: "structure_set",
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "segmentation",
}
# What the Modality of a kind's images is, whatever the header says.
MODALITIES: dict[str, str] = {CT_IMAGE: "CT", MR_IMAGE: "MR", PET_IMAGE: "PT"}
DICOMDIR = "1.2.840.10008.1.3.10"
# SOP class UIDs (PS3.6 A) that begin so are refused under this code; the longest match counts.
REFUSED: dict[str, str] = {
    "1.2.840.10008.5.1.4.1.1.2.1": "enhanced-multiframe",
    "1.2.840.10008.5.1.4.1.1.2.2": "enhanced-multiframe",
    "1.2.840.10008.5.1.4.1.1.4.1": "enhanced-multiframe",
    "1.2.840.10008.5.1.4.1.1.4.3": "enhanced-multiframe",
    "1.2.840.10008.5.1.4.1.1.4.4": "enhanced-multiframe",
    "1.2.840.10008.5.1.4.1.1.128.1": "enhanced-multiframe",
    "1.2.840.10008.5.1.4.1.1.130": "enhanced-multiframe",
    "1.2.840.10008.5.1.4.1.1.7": "secondary-capture",
    "1.2.840.10008.5.1.4.1.1.66.5": "segmentation-object",
    "1.2.840.10008.5.1.4.1.1.88": "structured-report",
    "1.2.840.10008.5.1.4.1.1.11": "presentation-state",
    "1.2.840.10008.5.1.4.1.1.481": "radiotherapy-object",
}


def refusal_code(sop_class: str) -> str:
    """The code under which a class that is in no table above is refused."""
    prefixes = [prefix for prefix in REFUSED if sop_class == prefix or sop_class.startswith(prefix + ".")]
    return REFUSED[max(prefixes, key=len)] if prefixes else "unsupported-modality"
