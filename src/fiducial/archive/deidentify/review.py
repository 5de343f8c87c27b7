"""What is not passed on before a person has looked: pixels that may show a name, objects made of free text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fiducial.archive.dicom.headers import FileHeader

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# code: what to do. Codes are stable, as those of `fiducial.archive.refusal`.
LOOK = "look at every picture; where none shows text, say NO in BurnedInAnnotation, then give them again"
SET_ASIDE: dict[str, str] = {
    "burned-in-annotation": "remove the text from the pictures, say NO in BurnedInAnnotation, then give them again",
    "burned-in-unstated": LOOK,
    "screen-capture": LOOK,
    "slide-label": "leave it, or black out the label; then say NO in BurnedInAnnotation and give it again",
    "structured-report": "give what you need of it as a labels table: its text is free text",
    "presentation-state": "nothing: display settings hold no voxels, and their text is free text",
    "encapsulated-document": "give what you need of it as a labels table: a document is not searched",
    "voice-recording": "leave it: speech is not searched",
    "overlay-in-pixels": "have the overlay moved out of the pixel data, or removed, then give the series again",
    "identifier-in-pixels": "re-compress the pictures without comments, then give them again",
    "identifier-left": "find the attribute that holds it (the reason names its kind) and have it corrected",
}
CLASSES: dict[str, str] = {
    "1.2.840.10008.5.1.4.1.1.88": "structured-report",
    "1.2.840.10008.5.1.4.1.1.11": "presentation-state",
    "1.2.840.10008.5.1.4.1.1.104": "encapsulated-document",
    "1.2.840.10008.5.1.4.1.1.9.4": "voice-recording",
    "1.2.840.10008.5.1.4.1.1.7": "secondary-capture",
    "1.2.840.10008.5.1.4.1.1.6": "ultrasound",
    "1.2.840.10008.5.1.4.1.1.3": "ultrasound",
    "1.2.840.10008.5.1.4.1.1.1.1": "digital X-ray",
}
NEEDS_A_WORD = ("secondary-capture", "ultrasound", "digital X-ray")
MODALITIES = ("US", "IVUS", "SC", "DX")
LABELS = ("LABEL", "OVERVIEW")
CAPTURES = ("SCREEN SAVE", "SCREENSAVE", "SCREEN_SAVE", "SCREEN CAPTURE", "SCREENSHOT", "DOSE_INFO", "DOSE INFO")


@dataclass(frozen=True)
class Review:
    """Why something is set aside: a code of `SET_ASIDE` and what was found, without any value of a person."""

    code: str
    found: str


def review(header: FileHeader) -> Review | None:
    """Why a file is not passed on without a look at it; None if it may be."""
    sop_class = header.text("SOPClassUID")
    kinds = [kind for root, kind in CLASSES.items() if sop_class == root or sop_class.startswith(root + ".")]
    kind = kinds[0] if kinds else ""
    if kind in SET_ASIDE:
        return Review(kind, kind.replace("-", " "))
    stated = header.text("BurnedInAnnotation").upper()
    if stated == "YES":
        return Review("burned-in-annotation", "BurnedInAnnotation is YES")
    if stated == "NO":
        return None
    found = _shows_text(header, kind)
    said = f"BurnedInAnnotation is {'neither YES nor NO' if stated else 'absent'}"
    return None if found is None else Review(found.code, f"{said}{found.found}")


def _shows_text(header: FileHeader, kind: str) -> Review | None:
    """What speaks for text in the pictures where the header does not say whether there is any."""
    modality = header.text("Modality").upper()
    words = {word.upper() for word in header.words("ImageType")}
    if kind in NEEDS_A_WORD or modality in MODALITIES:
        return Review("burned-in-unstated", f" in {kind or modality}")
    if modality == "SM" and words & set(LABELS):
        return Review("slide-label", ", and ImageType says that it shows a slide's label")
    if words & set(CAPTURES):
        return Review("screen-capture", ", and ImageType says that it is a capture of a screen")
    return None


def overlay_in_pixels(dataset: Dataset) -> bool:
    """Whether an overlay lies in bits of the pixel data (retired in 2004): then it cannot be removed beside them."""
    for group in sorted({tag.group for tag in dataset.keys() if 0x6000 <= tag.group < 0x6100}):  # noqa: SIM118
        position, allocated, data = (dataset.get((group, number)) for number in (0x0102, 0x0100, 0x3000))
        if data is None and ((position and position.value) or (allocated and allocated.value not in (None, 1))):
            return True
    return False
