"""What becomes of each attribute: PS3.15 Table E.1-1 (2026c) as data, under the options that were chosen.

`profile.csv` lists the table; `Rules.of` answers for any tag. What the table does not list is judged by its VR, and
more strictly than the profile asks: names, addresses, free text, unknown and binary data go, dates are moved and UIDs
mapped like those of the table, and short text stays after it was searched for the patient's identifiers.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Literal

EDITION = "2026c"

# CID 7050 (PS3.16): code and meaning of what was done.
CODES = {
    "113100": "Basic Application Confidentiality Profile",
    "113105": "Clean Descriptors Option",
    "113106": "Retain Longitudinal Temporal Information Full Dates Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
}


class Action(StrEnum):
    """What is done to an attribute."""

    REMOVE = "removed"
    EMPTY = "emptied"
    DUMMY = "replaced by a dummy"
    UID = "UID mapped"
    SHIFT = "date or time"
    SUBJECT = "replaced by the pseudonym"
    SITE = "replaced by the site's pseudonym"
    CLEAN = "cleaned text"
    AGE = "age, 90 at most"
    ITEMS = "items cleaned"
    SEARCH = "text searched"
    KEEP = "kept"


@dataclass(frozen=True)
class Options:
    """The declared options.

    ``dates``: ``modified`` moves them (113107), ``full`` keeps them (113106), ``removed`` follows the basic profile.
    ``shift``: one for each site, or the stricter one for each patient. ``patient_characteristics`` keeps sex, age, size
    and weight (113108), ``device_identity`` the scanner's names and numbers (113109). ``clean_descriptors`` keeps the
    words of descriptions and labels that are terms of anatomy or imaging (113105).
    """

    dates: Literal["modified", "full", "removed"] = "modified"
    shift: Literal["site", "patient"] = "site"
    patient_characteristics: bool = False
    device_identity: bool = False
    clean_descriptors: bool = False

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of CID 7050 that say so."""
        dates = {"modified": ("113107",), "full": ("113106",), "removed": ()}[self.dates]
        chosen = [("113105", self.clean_descriptors), ("113108", self.patient_characteristics)]
        chosen += [("113109", self.device_identity)]
        return tuple(sorted(("113100", *dates, *(code for code, wanted in chosen if wanted))))

    @property
    def temporal(self) -> str:
        """Longitudinal Temporal Information Modified (0028,0303)."""
        return {"modified": "MODIFIED", "full": "UNMODIFIED", "removed": "REMOVED"}[self.dates]


DATES = ("DA", "TM", "DT")
SHORT_TEXT = ("LO", "SH", "CS")
FREE_TEXT = ("ST", "LT", "UT", "UC", "UR")
TEXT = (*SHORT_TEXT, *FREE_TEXT)
BINARY = ("OB", "OW", "OB or OW", "UN", "OV")
TIMEZONE = 0x00080201
SUBJECTS = {"PatientID", "PatientName", "ClinicalTrialSubjectID"}
SITES = {"InstitutionName", "ClinicalTrialSiteID"}
# Not in the table, and of a kind that it lists: identifiers, addresses, dates in words, owners and operators.
ALSO_REMOVED = {
    "PatientBirthDateInAlternativeCalendar",
    "PatientDeathDateInAlternativeCalendar",
    "BreedRegistrationNumber",
    "ComponentWelderIDs",
    "ContactDisplayName",
    "FillerOrderNumberImagingServiceRequestRetired",
    "FillerOrderNumberProcedure",
    "HangingProtocolCreator",
    "HangingProtocolUserGroupName",
    "NTPSourceAddress",
    "OwnerID",
    "PlacerOrderNumberImagingServiceRequestRetired",
    "PlacerOrderNumberProcedure",
    "PrinterName",
    "PrintJobID",
    "PrintQueueID",
    "RouteOfAdmissions",
    "StorageMediaFileSetID",
    "SubstanceAdministrationNotes",
    "SystemStatusComment",
    "TestResultComment",
    "WorklistLabel",
}
ALSO_DEVICES = {"DeviceID", "GridID", "RadiationMachineName", "SubstanceAdministrationDeviceID"}
# Free text of which something must stand where it stands.
ALSO_DUMMIES = {"LocalNamespaceEntityID", "TrackingID", "UniversalEntityID"}
# Binary and free-text attributes that hold no words of a person: lookup tables, offsets, curves of a waveform, codes.
KNOWN_SAFE = {
    "AlphaPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "ChannelMaximumValue",
    "ChannelMinimumValue",
    "EdgePointIndexList",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "GreenPaletteColorLookupTableData",
    "ICCProfile",
    "LUTData",
    "LUTDescriptor",
    "LongCodeValue",
    "PrimitivePointIndexList",
    "RecommendedDisplayCIELabValueList",
    "RedPaletteColorLookupTableData",
    "SegmentedAlphaPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "TrianglePointIndexList",
    "URNCodeValue",
    "VertexPointIndexList",
    "WaveformData",
    "WaveformPaddingValue",
}


@dataclass(frozen=True)
class Row:
    """One row of the table; ``tag`` has eight hexadecimal digits or ``x`` for any."""

    tag: str
    keyword: str
    vr: str
    basic: str
    full_dates: str
    modified_dates: str
    patient: str
    device: str
    descriptors: str
    options: str


@cache
def rows() -> tuple[Row, ...]:
    """Table E.1-1."""
    text = files(__package__).joinpath("profile.csv").read_text(encoding="utf-8")
    return tuple(Row(**line) for line in csv.DictReader(text.splitlines()))


@dataclass
class Rules:
    """The action for every tag under some options; `Rules.of` remembers its answers."""

    options: Options
    _known: dict[tuple[int, str], Action] = field(default_factory=dict, repr=False)
    _table: dict[int, Row] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._table = {int(row.tag, 16): row for row in rows() if "x" not in row.tag}

    def of(self, tag: int, vr: str) -> Action:
        """What is done to ``tag`` whose value has ``vr``: the one in the file, or the dictionary's where none is."""
        answer = self._known.get((tag, vr))
        if answer is None:
            answer = self._known[tag, vr] = self._answer(int(tag), vr)
        return answer

    def without_option(self, tag: int, vr: str) -> Action:
        """What the basic profile does to a listed attribute."""
        return _basic(self._table[tag].basic, vr)

    def _answer(self, tag: int, vr: str) -> Action:
        group = tag >> 16
        # Private, commands, file meta, directories; curves and overlays; what follows the pixels; security screening.
        if group % 2 or group < 8 or group & 0xFF00 in (0x5000, 0x6000) or group > 0x7FE0 or group == 0x4010:
            return Action.REMOVE
        if not tag & 0xFFFF:
            return Action.REMOVE
        row = self._table.get(tag)
        return self._unlisted(tag, keyword_of(tag), vr) if row is None else self._listed(row, vr)

    def _listed(self, row: Row, vr: str) -> Action:
        options = self.options
        if row.keyword in SUBJECTS | SITES:
            return Action.SUBJECT if row.keyword in SUBJECTS else Action.SITE
        if row.full_dates and options.dates != "removed" and (vr in DATES or int(row.tag, 16) == TIMEZONE):
            return Action.SHIFT
        if options.patient_characteristics and row.patient == "K":
            return Action.AGE if vr == "AS" else Action.KEEP if vr not in TEXT else Action.SEARCH
        if options.device_identity and row.device == "K":
            return {"SQ": Action.ITEMS, "UI": Action.KEEP}.get(vr, Action.SEARCH)
        if options.clean_descriptors and row.descriptors == "C" and vr in TEXT:
            return Action.CLEAN
        return _basic(row.basic, vr)

    def _unlisted(self, tag: int, keyword: str, vr: str) -> Action:
        """Stricter than the profile, which keeps what its table does not list."""
        device = keyword in ALSO_DEVICES and not self.options.device_identity
        # Text where the dictionary says numbers or a UID is not what it says it is.
        if not keyword or keyword in ALSO_REMOVED or device or (vr in SHORT_TEXT and vr_of(tag) not in TEXT):
            return Action.REMOVE
        if vr in FREE_TEXT or vr in BINARY:
            unsafe = Action.DUMMY if keyword in ALSO_DUMMIES else Action.REMOVE
            return Action.SEARCH if keyword in KNOWN_SAFE and vr != "UN" else unsafe
        if vr in DATES and self.options.dates == "removed":
            return Action.EMPTY
        if vr == "UI" and re.search("ClassUID|TransferSyntaxUID", keyword):
            return Action.SEARCH
        by_vr = {"PN": Action.REMOVE, "AE": Action.REMOVE, "UI": Action.UID, "SQ": Action.ITEMS, "AS": Action.AGE}
        return by_vr.get(vr, Action.SHIFT if vr in DATES else Action.SEARCH)


def _basic(basic: str, vr: str) -> Action:
    """One of the actions that the basic profile allows: the one that keeps an object valid wherever it stands.

    References are kept with their UIDs mapped where the table offers that.
    """
    choices = basic.split("/")
    if vr == "UI" and "D" in choices:
        return Action.UID
    if "U*" in choices:
        return Action.ITEMS if vr == "SQ" else Action.REMOVE
    first = next(letter for letter in "UDZX" if letter in choices)
    return {"U": Action.UID, "Z": Action.EMPTY, "D": Action.DUMMY, "X": Action.REMOVE}[first]


@cache
def keyword_of(tag: int) -> str:
    """The dictionary's keyword of a tag, "" for one that it does not know."""
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag)


def vr_of(tag: int) -> str:
    """The dictionary's VR of a tag that it knows."""
    from pydicom.datadict import dictionary_VR

    return str(dictionary_VR(tag))
