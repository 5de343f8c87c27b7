"""Clean one dataset in place: every element by its rule, sequences item by item, then what is left is searched."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fiducial.archive.deidentify.identity import Identity
from fiducial.archive.deidentify.profile import DATES, FREE_TEXT, SHORT_TEXT, Action, Rules, keyword_of
from fiducial.archive.deidentify.values import LONGEST, age, dummy, moved
from fiducial.archive.deidentify.vocabulary import cleaned
from fiducial.archive.dicom.headers import PIXEL_TAGS
from fiducial.archive.pseudonym import Pseudonyms

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.dataset import Dataset

DEEPEST = 32
NUMBERS = re.compile(rb"[0-9eE+\-. \\\0]*")
# Removed or replaced values of these attributes are looked for in everything that is kept.
IDENTIFIERS = {
    "AccessionNumber",
    "AdmissionID",
    "ClinicalTrialSubjectID",
    "DeviceSerialNumber",
    "InstitutionAddress",
    "InstitutionName",
    "IssuerOfPatientID",
    "MedicalRecordLocator",
    "OtherPatientIDs",
    "PatientAddress",
    "PatientID",
    "PatientTelephoneNumbers",
    "ReferringPhysicianAddress",
    "ReferringPhysicianTelephoneNumbers",
    "ResponsibleOrganization",
    "StationName",
}
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
    kept: list[tuple[Dataset, int, str]] = field(default_factory=list, repr=False)

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


def clean(dataset: Dataset, about: Subject) -> None:
    """Apply the rules to ``dataset`` in place, items of sequences included; then search the texts that stay."""
    _clean(dataset, about, depth=0)
    search = about.identity.search()
    for holder, tag, vr in about.kept:
        element = holder.get_item(tag)
        if element is None:
            continue
        if element.is_raw and not search.may_be_in(element.value or b""):
            continue
        new = _each(holder[tag].value, lambda text, vr=vr: search.replaced(text, vr)[: LONGEST.get(vr)])
        if new != holder[tag].value:
            holder[tag].value = new
            _count(about, tag, "an identifier cut out")


def _clean(dataset: Dataset, about: Subject, *, depth: int) -> None:
    for tag in list(dataset.keys()):
        number = int(tag)
        if number in PIXEL_TAGS and depth == 0:
            continue
        raw = dataset.get_item(tag)
        vr = _vr(dataset, tag, raw)
        action = Action.REMOVE if number in PIXEL_TAGS or depth > DEEPEST else about.rules.of(number, vr)
        if action is not Action.KEEP and action is not Action.SEARCH:
            _learn(dataset, number, vr, about)
        _apply(dataset, number, vr, action, about, depth)


def _vr(dataset: Dataset, tag: Any, raw: DataElement | RawDataElement | None) -> str:
    """The VR of the value: the file's where it says one, else the dictionary's, else UN."""
    from pydicom.datadict import dictionary_VR

    stated = None if raw is None else raw.VR
    if stated and stated != "UN":
        return str(stated)
    try:
        known = dictionary_VR(tag)
    except KeyError:
        return "UN"
    # An element that was sent as UN is read as what the dictionary says (PS3.5, 6.2.2), or goes.
    return str(dataset[tag].VR) if stated == "UN" else str(known)


def _apply(dataset: Dataset, tag: int, vr: str, action: Action, about: Subject, depth: int) -> None:
    """Do one action; whatever cannot be done for a malformed value ends in its removal."""
    if action is Action.SEARCH and vr not in WORDS:
        if vr in ("DS", "IS") and not _is_number(dataset, tag):
            action = Action.REMOVE
        else:
            return
    if action is Action.KEEP:
        return
    if action is Action.SEARCH:
        about.kept.append((dataset, tag, vr))
        return
    _count(about, tag, str(action))
    if action is Action.REMOVE:
        del dataset[tag]
    elif action is Action.ITEMS:
        _items(dataset, tag, about, depth)
    elif action is Action.EMPTY:
        dataset.add_new(tag, vr, [] if vr == "SQ" else None)
    elif action is Action.DUMMY:
        _dummy(dataset, tag, vr, about)
    else:
        _replace(dataset, tag, vr, action, about)


def _items(dataset: Dataset, tag: int, about: Subject, depth: int) -> None:
    element = dataset[tag]
    if element.VR != "SQ":
        del dataset[tag]
        return
    for item in element.value:
        _clean(item, about, depth=depth + 1)


def _dummy(dataset: Dataset, tag: int, vr: str, about: Subject) -> None:
    """A value that says nothing; of a sequence, its first item with nothing but such values."""
    from pydicom.dataset import Dataset as NewDataset

    keyword = keyword_of(tag)
    if keyword == "TrackingID":
        dataset.add_new(tag, vr, about.names.of("tracking", str(dataset[tag].value)))
        return
    if vr != "SQ":
        dataset.add_new(tag, vr, dummy(vr))
        return
    first = next(iter(dataset[tag].value or ()), None)
    item = NewDataset()
    for inner in first or ():
        if inner.VR != "SQ" and inner.tag.group % 2 == 0:
            item.add_new(inner.tag, inner.VR, about.names.uid(about.subject) if inner.VR == "UI" else dummy(inner.VR))
    dataset.add_new(tag, vr, [item])


def _replace(dataset: Dataset, tag: int, vr: str, action: Action, about: Subject) -> None:
    """A value made from the old one; an empty one stays empty."""
    old = dataset[tag].value
    if action is Action.SUBJECT:
        same = vr == "PN" or keyword_of(tag) == "ClinicalTrialSubjectID"
        new: Any = about.subject if same else about.names.subject(str(old)) if old else None
    elif action is Action.SITE:
        new = about.site if old else None
    elif action is Action.UID:
        new = _each(old, about.uid)
    elif action is Action.AGE:
        new = _each(old, age)
    elif action is Action.CLEAN:
        new = _each(old, cleaned)
        about.kept.append((dataset, tag, vr))
    else:
        new = _each(old, lambda text: moved(vr, text, about.days))
        about.new_dates.update(str(one)[:8] for one in _texts(new))
    dataset.add_new(tag, vr, new or None)


def _each(value: Any, change: Any) -> Any:
    """A text value after ``change``, one by one where there are several; those that become empty stay empty."""
    texts = [change(text) for text in _texts(value)]
    return texts[0] if len(texts) == 1 else texts if any(texts) else None


def _texts(value: Any) -> list[str]:
    """A value as texts: pydicom gives one, or a list of several."""
    if value is None or value == "":
        return []
    many = not isinstance(value, str) and hasattr(value, "__iter__") and not hasattr(value, "family_name")
    return [str(one) for one in value] if many else [str(value)]


def _is_number(dataset: Dataset, tag: int) -> bool:
    """Whether a DS or IS holds nothing but numbers."""
    raw = dataset.get_item(tag)
    value = None if raw is None else raw.value
    if isinstance(value, bytes):
        return NUMBERS.fullmatch(value) is not None
    return all(NUMBERS.fullmatch(text.encode("utf-8", "replace")) for text in _texts(value))


def _learn(dataset: Dataset, tag: int, vr: str, about: Subject) -> None:
    """Note what a value that goes says of the person, so that it is looked for in what stays."""
    if vr == "PN" or vr in DATES or vr == "SQ" or keyword_of(tag) in IDENTIFIERS:
        element = dataset[tag]
        if vr == "SQ":
            if about.rules.of(tag, vr) is not Action.ITEMS and element.VR == "SQ":
                for item in element.value:
                    _learn_item(item, about)
            return
        for text in _texts(element.value):
            if vr == "PN":
                about.identity.add_name(text)
            elif vr in ("DA", "DT"):
                about.identity.add_date(text)
            elif vr != "TM":
                about.identity.add_id(text)


def _learn_item(item: Dataset, about: Subject) -> None:
    for tag in list(item.keys()):
        _learn(item, int(tag), _vr(item, tag, item.get_item(tag)), about)


def _count(about: Subject, tag: int, what: str) -> None:
    """One action more for the report, under the attribute's keyword (a private or unknown tag is not told)."""
    group = tag >> 16
    if group % 2:
        name = "private"
    elif group & 0xFF00 in (0x5000, 0x6000):
        name = "curve or overlay"
    else:
        name = keyword_of(tag) or "unknown"
    about.counts[name, what] += 1
