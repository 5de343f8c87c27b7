"""Clean one dataset in place: every element by its rule, sequences item by item, then what is left is searched."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from fiducial.archive.deidentify.elements import changed, put, texts_of
from fiducial.archive.deidentify.identity import Identity
from fiducial.archive.deidentify.profile import FREE_TEXT, SHORT_TEXT, Action, Rules, keyword_of
from fiducial.archive.deidentify.values import LONGEST, age, dummy, moved
from fiducial.archive.deidentify.vocabulary import cleaned
from fiducial.archive.dicom.wanted import PIXEL_TAGS
from fiducial.archive.pseudonym import Pseudonyms

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

DEEPEST = 32
COUNTS = ("US", "SS", "UL", "SL")
ICC_PROFILE = 0x00282000
CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
NUMBERS = re.compile(rb"[0-9eE+\-. \\\0]*")
# Removed or replaced values of these attributes are looked for in everything that is kept.
IDENTIFIERS = {
    "AccessionNumber",
    "AdmissionID",
    "ClinicalTrialSubjectID",
    "DeviceSerialNumber",
    "FillerOrderNumberImagingServiceRequest",
    "InstitutionAddress",
    "InstitutionName",
    "InsurancePlanIdentification",
    "IssuerOfPatientID",
    "MedicalRecordLocator",
    "OtherPatientIDs",
    "PatientAddress",
    "PatientID",
    "PatientTelephoneNumbers",
    "PlacerOrderNumberImagingServiceRequest",
    "ReferringPhysicianAddress",
    "ReferringPhysicianTelephoneNumbers",
    "RequestedProcedureID",
    "ResponsibleOrganization",
    "StationName",
}
PIXELS = frozenset(PIXEL_TAGS)
WORDS = ("AE", *SHORT_TEXT, *FREE_TEXT)


@dataclass
class Subject:
    """Whose file it is, under which names it goes out, and what is learned while it is cleaned."""

    names: Pseudonyms
    rules: Rules
    subject: str
    site: str
    days: int
    identity: Identity = field(default_factory=Identity)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    uids: dict[str, str] = field(default_factory=dict, repr=False)
    new_dates: set[str] = field(default_factory=set, repr=False)
    kept: list[tuple[Dataset, BaseTag, str]] = field(default_factory=list, repr=False)

    def uid(self, raw: str) -> str:
        """The new UID in place of ``raw``; a UID that the standard itself defines stays."""
        if is_registered(raw):
            return raw
        self.identity.add_uid(raw)
        return self.uids.setdefault(raw, self.names.uid(raw))


def is_registered(uid: str) -> bool:
    """Whether the standard defines this UID (a class, a syntax, a well-known frame of reference)."""
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    return bool(UID(uid, validation_mode=IGNORE).name != uid)


@cache
def known_vrs() -> frozenset[str]:
    """The VRs of PS3.5."""
    from pydicom.valuerep import VR

    return frozenset(map(str, VR))


def clean(dataset: Dataset, about: Subject) -> None:
    """Apply the rules to ``dataset`` in place, items of sequences included; then search the texts that stay."""
    _clean(dataset, about, depth=0)
    search = about.identity.search()
    for holder, tag, vr in about.kept:
        element = holder.get_item(tag)
        if element is None or (element.is_raw and not search.may_be_in(element.value or b"")):
            continue
        old = texts_of(holder, tag)
        cut = [search.replaced(text, vr) for text in old]
        new = [text if text == before else text[: LONGEST.get(vr)] for text, before in zip(cut, old, strict=True)]
        if new != old:
            put(holder, tag, vr, new)
            _count(about, tag, "an identifier cut out")


def _clean(dataset: Dataset, about: Subject, *, depth: int) -> None:
    for tag in list(dataset.keys()):
        if int(tag) in PIXELS:
            if depth:
                del dataset[tag]
            continue
        vr = _vr(dataset, tag, dataset.get_item(tag))
        action = Action.REMOVE if depth > DEEPEST else about.rules.of(tag, vr)
        if action is not Action.KEEP and action is not Action.SEARCH:
            _learn(dataset, tag, vr, about)
            _count(about, tag, action.value)
        _apply(dataset, tag, vr, action, about, depth)


def _vr(dataset: Dataset, tag: BaseTag, raw: DataElement | RawDataElement | None) -> str:
    """The VR of the value: the file's where it says one, else the dictionary's, else UN."""
    from pydicom.datadict import dictionary_VR

    stated = None if raw is None else raw.VR
    if stated and stated != "UN":
        # Two letters that are no VR say nothing about what follows them.
        return str(stated) if stated in known_vrs() else "UN"
    try:
        known = dictionary_VR(tag)
    except KeyError:
        return "UN"
    # An element that was sent as UN is read as what the dictionary says (PS3.5, 6.2.2), or goes.
    return str(dataset[tag].VR) if stated == "UN" else str(known)


def _apply(dataset: Dataset, tag: BaseTag, vr: str, action: Action, about: Subject, depth: int) -> None:
    """Do one action; whatever cannot be done for a malformed value ends in its removal."""
    if action is Action.SEARCH and not _is_well_formed(dataset, tag, vr):
        _count(about, tag, Action.REMOVE.value)
        del dataset[tag]
    elif action is Action.SEARCH and vr in WORDS:
        about.kept.append((dataset, tag, vr))
    elif action is Action.REMOVE:
        del dataset[tag]
    elif action is Action.ITEMS:
        _items(dataset, tag, about, depth)
    elif action is Action.EMPTY and vr != "SQ":
        put(dataset, tag, vr, [])
    elif action is Action.EMPTY:
        dataset.add_new(tag, vr, [])
    elif action is Action.DUMMY:
        _dummy(dataset, tag, vr, about)
    elif action is not Action.KEEP and action is not Action.SEARCH:
        _replace(dataset, tag, vr, action, about)


def _items(dataset: Dataset, tag: BaseTag, about: Subject, depth: int) -> None:
    element = dataset[tag]
    if element.VR != "SQ":
        del dataset[tag]
        return
    for item in element.value:
        _clean(item, about, depth=depth + 1)


def _dummy(dataset: Dataset, tag: BaseTag, vr: str, about: Subject) -> None:
    """A value that says nothing; of a sequence that has items, one with nothing but such values and mapped UIDs."""
    if keyword_of(tag) == "TrackingID":
        put(dataset, tag, vr, [about.names.of("tracking", "\\".join(texts_of(dataset, tag)))])
        return
    if vr != "SQ":
        value = dummy(vr)
        if isinstance(value, str):
            put(dataset, tag, vr, [value])
        else:
            dataset.add_new(tag, vr, value)
        return
    items = list(dataset[tag].value or ())[:1]
    dataset.add_new(tag, vr, [_dummy_item(item, about) for item in items])


def _dummy_item(item: Dataset, about: Subject) -> Dataset:
    """An item of a sequence with dummies only; counts and classes stay, other UIDs are mapped."""
    from pydicom.dataset import Dataset as NewDataset

    made = NewDataset()
    for inner in item:
        if inner.VR == "SQ" or inner.tag.group % 2:
            continue
        if inner.VR in COUNTS or (inner.VR == "UI" and about.rules.of(inner.tag, "UI") is Action.SEARCH):
            made.add(inner)
        elif inner.VR != "UI":
            made.add_new(inner.tag, inner.VR, dummy(inner.VR))
        else:
            put(made, inner.tag, "UI", changed(item, inner.tag, about.uid))
    return made


def _replace(dataset: Dataset, tag: BaseTag, vr: str, action: Action, about: Subject) -> None:
    """A value made from the old one; an empty one stays empty."""
    if action is Action.SUBJECT:
        same = vr == "PN" or keyword_of(tag) == "ClinicalTrialSubjectID"
        old = "\\".join(texts_of(dataset, tag))
        new = [about.subject if same else about.names.subject(old) if old else ""]
    elif action is Action.SITE:
        new = [about.site if texts_of(dataset, tag) else ""]
    elif action is Action.UID:
        new = changed(dataset, tag, about.uid)
    elif action is Action.AGE:
        new = changed(dataset, tag, age)
    elif action is Action.CLEAN:
        new = changed(dataset, tag, cleaned)
        if not new:
            _apply(dataset, tag, vr, about.rules.without_option(tag, vr), about, 0)
            return
        about.kept.append((dataset, tag, vr))
    else:
        new = changed(dataset, tag, lambda text: moved(vr, text, about.days))
        about.new_dates.update(text[:8] for text in new)
    put(dataset, tag, vr, new)


def _is_well_formed(dataset: Dataset, tag: BaseTag, vr: str) -> bool:
    """Whether numbers in text are numbers, and text holds no byte that no text holds: else its length or VR lies."""
    if vr not in WORDS and vr not in ("DS", "IS") and tag != ICC_PROFILE:
        return True
    raw = dataset.get_item(tag)
    value = None if raw is None else raw.value
    if not isinstance(value, bytes):
        value = "\\".join(texts_of(dataset, tag)).encode("utf-8", "replace")
    if tag == ICC_PROFILE:
        return value[36:40] == b"acsp" and int.from_bytes(value[:4], "big") in (len(value), len(value) - 1)
    if vr in WORDS:
        return CONTROLS.search(value.rstrip(b"\0 ")) is None
    return NUMBERS.fullmatch(value) is not None


def _learn(dataset: Dataset, tag: BaseTag, vr: str, about: Subject) -> None:
    """Note what a value that goes says of the person, so that it is looked for in what stays."""
    if vr == "SQ":
        # What private sequences hold is not parsed.
        if tag >> 16 & 1 or about.rules.of(tag, vr) is Action.ITEMS or dataset[tag].VR != "SQ":
            return
        for item in dataset[tag].value:
            for inner in list(item.keys()):
                _learn(item, inner, _vr(item, inner, item.get_item(inner)), about)
        return
    add = {"PN": about.identity.add_name, "DA": about.identity.add_date, "DT": about.identity.add_date}.get(vr)
    if add is None and vr != "TM" and keyword_of(tag) in IDENTIFIERS:
        add = about.identity.add_id
    if add is not None:
        for text in texts_of(dataset, tag):
            add(text)


def _count(about: Subject, tag: BaseTag, what: str) -> None:
    """One action more for the report, under the attribute's keyword (a private or unknown tag is not told)."""
    group = tag >> 16
    if group % 2:
        name = "private"
    elif group & 0xFF00 in (0x5000, 0x6000):
        name = "curve or overlay"
    else:
        name = keyword_of(tag) or "unknown"
    about.counts[name, what] += 1
