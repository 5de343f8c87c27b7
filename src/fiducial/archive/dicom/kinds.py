"""What each SOP class (PS3.4, B.5) is to the archive: one table from class to kind."""

from __future__ import annotations

from fiducial.archive.dicom.header import CT_IMAGE, MR_IMAGE, PET_IMAGE, RT_STRUCTURE_SET

_IMAGE = "1.2.840.10008.5.1.4.1.1."
# Projections, photographs, ultrasound and captures: each file is an image, or a cine where it has several frames.
PICTURES: dict[str, str] = {
    f"{_IMAGE}1": "CR",
    f"{_IMAGE}1.1": "DX",
    f"{_IMAGE}1.1.1": "DX",
    f"{_IMAGE}1.2": "MG",
    f"{_IMAGE}1.2.1": "MG",
    f"{_IMAGE}1.3": "IO",
    f"{_IMAGE}1.3.1": "IO",
    f"{_IMAGE}3": "US",
    f"{_IMAGE}3.1": "US",
    f"{_IMAGE}5": "NM",
    f"{_IMAGE}6": "US",
    f"{_IMAGE}6.1": "US",
    f"{_IMAGE}7": "OT",
    f"{_IMAGE}7.1": "OT",
    f"{_IMAGE}7.2": "OT",
    f"{_IMAGE}7.3": "OT",
    f"{_IMAGE}7.4": "OT",
    f"{_IMAGE}12.1": "XA",
    f"{_IMAGE}12.1.1": "XA",
    f"{_IMAGE}12.2": "RF",
    f"{_IMAGE}12.2.1": "RF",
    f"{_IMAGE}12.3": "XA",
    f"{_IMAGE}14.1": "IVOCT",
    f"{_IMAGE}14.2": "IVOCT",
    f"{_IMAGE}20": "NM",
    f"{_IMAGE}77.1.1": "ES",
    f"{_IMAGE}77.1.1.1": "ES",
    f"{_IMAGE}77.1.2": "GM",
    f"{_IMAGE}77.1.2.1": "GM",
    f"{_IMAGE}77.1.3": "SM",
    f"{_IMAGE}77.1.4": "XC",
    f"{_IMAGE}77.1.4.1": "XC",
    f"{_IMAGE}77.1.5.1": "OP",
    f"{_IMAGE}77.1.5.2": "OP",
    f"{_IMAGE}77.1.5.4": "OPT",
    f"{_IMAGE}77.1.5.5": "OP",
    f"{_IMAGE}77.1.5.6": "OP",
    f"{_IMAGE}77.1.5.7": "OPT",
    f"{_IMAGE}77.1.7": "DMS",
    f"{_IMAGE}481.1": "RTIMAGE",
}
# Enhanced CT, MR and PET, their legacy converted kind, and volumes of X-ray projections (PS3.4, B.5): many frames in a
# file, and their modality.
ENHANCED: dict[str, str] = {
    f"{CT_IMAGE}.1": "CT",
    f"{CT_IMAGE}.2": "CT",
    f"{MR_IMAGE}.1": "MR",
    f"{MR_IMAGE}.4": "MR",
    f"{PET_IMAGE}.1": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
    f"{_IMAGE}13.1.1": "XA",
    f"{_IMAGE}13.1.2": "DX",
    f"{_IMAGE}13.1.3": "MG",
}
# Kinds of which a series becomes images: `DECODERS` (archive/decoders.py) reads them.
IMAGES: dict[str, str] = {
    CT_IMAGE: "slices",
    MR_IMAGE: "slices",
    PET_IMAGE: "slices",
    **dict.fromkeys(PICTURES, "picture"),
    **dict.fromkeys(ENHANCED, "frames"),
    f"{_IMAGE}481.2": "dose",
    f"{_IMAGE}30": "parametric_map",
}
# Kinds of which each file is an image of its own, however many its series holds.
ALONE = frozenset({"picture", "cine", "dose", "parametric_map"})
# Kinds that say something about an image: `DRAWERS` and `REFERENCES` (archive/drawers.py) read them, file by file.
OBJECTS: dict[str, str] = {
    RT_STRUCTURE_SET: "structure_set",
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "segmentation",
    # Enhanced, Comprehensive and Comprehensive 3D SR: those that hold TID 1500.
    f"{_IMAGE}88.22": "report",
    f"{_IMAGE}88.33": "report",
    f"{_IMAGE}88.34": "report",
}
# What the Modality of a kind's images is, whatever the header says.
MODALITIES: dict[str, str] = {CT_IMAGE: "CT", MR_IMAGE: "MR", PET_IMAGE: "PT", **ENHANCED}
MODALITIES |= {f"{_IMAGE}481.2": "RTDOSE", f"{_IMAGE}30": "PMAP"}
DICOMDIR = "1.2.840.10008.1.3.10"
# SOP class UIDs (PS3.6 A) that begin so are refused under this code; the longest match counts.
REFUSED: dict[str, str] = {
    "1.2.840.10008.5.1.4.1.1.4.3": "enhanced-multiframe",
    "1.2.840.10008.5.1.4.1.1.77.1.6": "whole-slide",
    "1.2.840.10008.5.1.4.1.1.66.5": "segmentation-object",
    "1.2.840.10008.5.1.4.1.1.88": "structured-report",
    "1.2.840.10008.5.1.4.1.1.88.59": "key-objects",
    "1.2.840.10008.5.1.4.1.1.11": "presentation-state",
    "1.2.840.10008.5.1.4.1.1.481": "radiotherapy-object",
}


def picture_modality(sop_class: str, stated: str) -> str:
    """The Modality that a picture states, else that of its class; a capture of CT, MR or PET is no such image: OT."""
    is_capture = sop_class == f"{_IMAGE}7" or sop_class.startswith(f"{_IMAGE}7.")
    captured = is_capture and stated in ("CT", "MR", "PT")
    is_code = stated.isascii() and stated.isalnum() and stated.isupper() and len(stated) <= 16
    return "OT" if captured else stated if is_code else PICTURES[sop_class]


def refusal_code(sop_class: str) -> str:
    """The code under which a class that is in no table above is refused."""
    prefixes = [prefix for prefix in REFUSED if sop_class == prefix or sop_class.startswith(prefix + ".")]
    return REFUSED[max(prefixes, key=len)] if prefixes else "unsupported-modality"
