"""The identifiers that one file states, and whether any of them still stands in what is left of it.

A name counts in parts, an identifier whole. How short a part may be follows from where it is looked for: in text from
two letters on, where it stands alone; in the bytes of the written header from five letters on, wherever it stands.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache

MIN_PART = 2
MIN_ID = 4
MIN_PART_IN_CODE = 4
MIN_ANYWHERE = 8
MIN_PART_IN_BYTES = 5
PARTS = re.compile(r"[\^=\\\s,;._\-/]+")
COMPONENTS = re.compile(r"[\^=\\]")
ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")


@dataclass
class Identity:
    """What a file says of the person, of people beside him, and of the study; gathered while it is cleaned."""

    parts: set[str] = field(default_factory=set, repr=False)
    ids: set[str] = field(default_factory=set, repr=False)
    dates: set[str] = field(default_factory=set, repr=False)
    uids: set[str] = field(default_factory=set, repr=False)
    encodings: tuple[str, ...] = ENCODINGS

    def add_name(self, name: str) -> None:
        """A person's name: each part of it, and each component and the whole written without separators."""
        whole = name.replace("\0", "").strip(" ^=")
        found = [part for part in PARTS.split(whole) if not part.isdigit()]
        found += ["".join(PARTS.split(text)) for text in (whole, *COMPONENTS.split(whole))]
        self.parts.update(part.casefold() for part in found if len(part) >= MIN_PART)

    def add_id(self, text: str) -> None:
        """An identifier, a number of an order, an address or an institution."""
        for one in text.replace("\0", "").split("\\"):
            if len(one.strip()) >= MIN_ID:
                self.ids.add(one.strip().casefold())

    def add_date(self, text: str) -> None:
        """A day, from a DA or DT."""
        for one in text.split("\\"):
            day = one.strip(" \0")[:8]
            if len(day) == 8 and day.isascii() and day.isdigit():
                self.dates.add(day)

    def add_uid(self, text: str) -> None:
        """A UID that is mapped."""
        if len(text) >= MIN_ANYWHERE:
            self.uids.add(text)

    def search(self) -> Search:
        """Something that finds them in text."""
        return Search(self)

    def survivors(self, header: bytes, *, kept: set[str], own: str) -> list[str]:
        """Kinds of identifiers (``name``, ``identifier``, ``date``, ``uid``) that stand in ``header``.

        ``kept`` are dates that a file now says on purpose, ``own`` is text that we write into every file.
        """
        lowered, own = header.lower(), own.casefold()
        names = [part for part in self.parts if len(part) >= MIN_PART_IN_BYTES and part not in own]
        ids = [one for one in self.ids if len(one) >= MIN_ANYWHERE and one not in own]
        found = []
        for kind, needles in (("name", names), ("identifier", ids), ("uid", sorted(self.uids))):
            if any(self._stands(needle, lowered, kind) for needle in needles):
                found.append(kind)
        if any(re.search(rb"(?<![0-9.])%b(?![0-9])" % day.encode(), header) for day in self.dates - kept):
            found.append("date")
        return found

    def _stands(self, needle: str, lowered: bytes, kind: str) -> bool:
        for encoding in self.encodings:
            try:
                raw = needle.encode(encoding).lower()
            except (UnicodeEncodeError, LookupError):
                continue
            if raw not in lowered:
                continue
            if kind != "uid" and len(needle) >= MIN_ANYWHERE:
                return True
            around = rb"[0-9.]" if kind == "uid" else rb"[A-Za-z]"
            if re.search(rb"(?<!%b)%b(?!%b)" % (around, re.escape(raw), around), lowered):
                return True
        return False


class Search:
    """Finds a file's identifiers in the texts that it keeps."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._patterns: dict[int, re.Pattern[str] | None] = {}
        needles = {*identity.parts, *identity.ids, *identity.uids}
        needles |= {form for day in identity.dates for form in _date_forms(day)}
        self._raw = {raw for needle in needles for raw in _raw_forms(needle, identity.encodings)}

    def may_be_in(self, raw: bytes) -> bool:
        """Whether bytes need to be decoded and looked at: a quick answer, wrong only towards yes."""
        lowered = raw.lower()
        return b"\x1b" in raw or any(needle in lowered for needle in self._raw)

    def replaced(self, text: str, vr: str) -> str:
        """``text`` with every identifier replaced by ``REMOVED``; a code (CS) that holds one becomes empty."""
        min_part = MIN_PART_IN_CODE if vr in ("CS", "SH") else MIN_PART
        if min_part not in self._patterns:
            self._patterns[min_part] = _pattern(self._identity, min_part)
        pattern = self._patterns[min_part]
        if pattern is None or pattern.search(text) is None:
            return text
        return "" if vr == "CS" else pattern.sub("REMOVED", text)


def _pattern(identity: Identity, min_part: int) -> re.Pattern[str] | None:
    anywhere = {one for one in identity.parts | identity.ids if len(one) >= MIN_ANYWHERE}
    alone = {one for one in identity.parts if len(one) >= min_part} | identity.ids
    digits = {form for day in identity.dates for form in _date_forms(day)}
    choices = [*map(re.escape, sorted(anywhere, key=len, reverse=True))]
    choices += [rf"(?<![^\W_]){re.escape(one)}(?![^\W_])" for one in sorted(alone - anywhere, key=len, reverse=True)]
    choices += [rf"(?<!\d){re.escape(one)}(?!\d)" for one in sorted(digits)]
    choices += [rf"(?<![\d.]){re.escape(one)}(?![\d.])" for one in sorted(identity.uids, key=len, reverse=True)]
    return re.compile("|".join(choices), flags=re.IGNORECASE) if choices else None


@cache
def _date_forms(day: str) -> tuple[str, ...]:
    year, month, date = day[:4], day[4:6], day[6:]
    orders = ((year, month, date), (date, month, year), (month, date, year))
    return (day, *(separator.join(order) for separator in "-./ " for order in orders))


def _raw_forms(needle: str, encodings: tuple[str, ...]) -> set[bytes]:
    """A needle as it may stand in a text's bytes, ASCII letters small."""
    if needle.isascii():
        return {needle.lower().encode()}
    forms = set()
    for encoding in encodings:
        for text in (needle, needle.upper(), needle.title()):
            with suppress(UnicodeEncodeError, LookupError):
                forms.add(text.encode(encoding).lower())
    return forms
