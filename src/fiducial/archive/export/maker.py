"""Who made what is written: the model's name, version and digest, as every object states them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fiducial import RESEARCH_USE, __version__

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER = "Fiducial"
DESCRIPTION = "Research use only"
LONG_STRING = 64


@dataclass(frozen=True)
class Maker:
    """A model: ``name`` and ``version`` for people, ``digest`` (SHA-256 of its weights or mask) for machines."""

    name: str
    version: str = ""
    digest: str = ""

    @property
    def stated_version(self) -> str:
        """The version, or that none is known: DICOM wants one."""
        return self.version or "unknown"

    def describe(self, what: str) -> str:
        """SeriesDescription: that it is for research only, then what it is and who made it."""
        return f"{DESCRIPTION}: {what} by {self.name}"[:LONG_STRING]

    def identification(self) -> Any:
        """AlgorithmIdentificationSequence (PS3.3 10.16): family, name, version, digest."""
        from highdicom import AlgorithmIdentificationSequence
        from pydicom.sr.codedict import codes

        return AlgorithmIdentificationSequence(
            name=self.name[:LONG_STRING],
            family=codes.cid7162.ArtificialIntelligence,
            version=self.stated_version[:LONG_STRING],
            source=MANUFACTURER,
            parameters={"sha256": self.digest} if self.digest else None,
        )


def state_equipment(dataset: Dataset) -> None:
    """Say on an object which software wrote it, and that it is for research only."""
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MANUFACTURER
    dataset.SoftwareVersions = __version__
    dataset.DeviceSerialNumber = "none"
    dataset.ContentQualification = "RESEARCH"
    dataset.SeriesDescription = str(dataset.get("SeriesDescription", "")) or RESEARCH_USE[:LONG_STRING]
