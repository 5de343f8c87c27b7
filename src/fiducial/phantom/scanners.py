"""The phantom hospital's sites and CT scanners: how each one blurs, samples and disturbs what it sees."""

from __future__ import annotations

from dataclasses import dataclass

from fiducial.errors import InputRefused


@dataclass(frozen=True)
class Scanner:
    """A CT scanner with one chest protocol.

    ``noise_hu`` is the standard deviation of the noise in a patient of average size. ``kernel`` (``soft``,
    ``medium`` or ``sharp``) rules resolution and noise texture together, as a reconstruction kernel does.
    ``spacing_mm`` is the usual pixel spacing (the field of view changes it from patient to patient), ``slice_mm``
    both thickness and distance of the slices, ``offset_hu`` an error of calibration that every voxel carries. The
    makers are invented.
    """

    name: str
    manufacturer: str
    kernel: str
    noise_hu: float
    spacing_mm: float
    slice_mm: float
    offset_hu: float = 0.0

    @property
    def full_name(self) -> str:
        """Maker and model, as an archive names the scanner."""
        return f"{self.manufacturer} {self.name}"


SCANNERS: tuple[Scanner, ...] = (
    Scanner("Aquila 64", "Northlight", "soft", 12.0, 3.0, 5.0),
    Scanner("Boreas 16", "Northlight", "sharp", 30.0, 3.0, 5.0, 4.0),
    Scanner("Corvus 128", "Meridian", "medium", 16.0, 2.9, 4.0, -3.0),
    Scanner("Aquila 64", "Northlight", "soft", 12.0, 3.0, 5.0),
    Scanner("Draco 8", "Estuary", "medium", 36.0, 3.1, 6.0, 8.0),
)
"""All scanners in order of site: A has the first two, B the next two (one model is shared with A), C the last."""

_PER_SITE = ((0, 1), (2, 3), (4,))


def site_name(index: int) -> str:
    """The name of site ``index``: A, B, C ... Z, then S26, S27 ..."""
    return chr(ord("A") + index) if index < 26 else f"S{index}"


def scanners_of(site_index: int) -> tuple[Scanner, ...]:
    """The scanners that stand at a site; the three layouts repeat from the fourth site on.

    Raises:
        InputRefused: a negative index.
    """
    if site_index < 0:
        raise InputRefused(f"site index {site_index}", legal="0 or more")
    return tuple(SCANNERS[i] for i in _PER_SITE[site_index % len(_PER_SITE)])
