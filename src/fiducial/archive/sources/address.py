"""Addresses of archives: ``dicomweb+https://host/path?Key=value`` and ``dimse://CALLED@host:port?Key=value``.

The part before ``?`` says where an archive is and may be shown. What stands after it names patients: no message
quotes it, and neither `str` nor `repr` shows it. Credentials never stand in an address.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile

DICOMWEB = {"dicomweb+https": 443, "dicomweb+http": 80}
DIMSE = {"dimse": 104}
EXAMPLES = "dicomweb+https://host/path?Key=value, dicomweb+http://localhost/path, dimse://CALLED@host:port?Key=value"
MAX_QUERIES = 256
"""Values given several times are asked for one after the other; this many combinations at most."""

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})")
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_DATE = re.compile(r"\d{8}(-(\d{8})?)?|-\d{8}")
_CODE = re.compile(r"[A-Z0-9_ *?]{1,16}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f\\]{1,64}")

# Matching keys by the level that has them, and what a value may look like.
STUDY_KEYS: dict[str, re.Pattern[str]] = {
    "PatientID": _TEXT,
    "PatientName": _TEXT,
    "PatientBirthDate": _DATE,
    "PatientSex": re.compile("[FMO]"),
    "StudyInstanceUID": _UID,
    "StudyDate": _DATE,
    "StudyID": _TEXT,
    "StudyDescription": _TEXT,
    "AccessionNumber": _TEXT,
    "ModalitiesInStudy": _CODE,
}
SERIES_KEYS: dict[str, re.Pattern[str]] = {
    "Modality": _CODE,
    "SeriesInstanceUID": _UID,
    "SeriesNumber": re.compile(r"\d{1,9}"),
    "SeriesDescription": _TEXT,
    "BodyPartExamined": _CODE,
}


@dataclass(frozen=True)
class Filters:
    """Matching keys with their values; a key may have several, of which any may match."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def queries(self, keys: Mapping[str, object]) -> Iterator[dict[str, str]]:
        """One query for each combination of values of the keys named; one empty query where none is given."""
        given = [[(key, value) for value in self.values[key]] for key in keys if key in self.values]
        for chosen in itertools.product(*given):
            yield dict(chosen)


@dataclass(frozen=True)
class DicomwebAddress:
    """A DICOMweb service; ``path`` is its root without a slash at the end."""

    host: str
    port: int
    path: str
    secure: bool
    filters: Filters = field(repr=False)

    @property
    def base_url(self) -> str:
        """The service root as a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == (443 if self.secure else 80) else f":{self.port}"
        return f"http{'s' if self.secure else ''}://{host}{port}{self.path}"

    def __str__(self) -> str:
        return f"dicomweb+{self.base_url}"


@dataclass(frozen=True)
class DimseAddress:
    """An application entity. With ``retrieve="move"`` the archive sends to ``listen``, where ``calling`` answers."""

    called: str
    host: str
    port: int
    calling: str
    retrieve: Literal["get", "move"]
    listen: tuple[str, int]
    filters: Filters = field(repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"dimse://{self.called}@{host}:{self.port}"


Address = DicomwebAddress | DimseAddress


def is_address(source: object) -> bool:
    """Whether a source is an address and no path: a scheme and ``://``."""
    return isinstance(source, str) and _SCHEME.match(source) is not None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name or number; other names are not looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_uid(text: str) -> bool:
    """Whether a text is a UID that can be asked for: numbers and points, at most 64 characters."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def parse_address(text: str) -> Address:
    """The address in ``text``; without a query it matches everything that the archive holds.

    Raises:
        UnreadableFile: ``pacs-address``; the message names the part that is wrong and quotes no value of the query.
    """
    scheme = text.partition("://")[0].lower()
    if scheme not in DICOMWEB | DIMSE:
        raise _wrong(f"no scheme that is known: {scheme[:40]}://", legal=EXAMPLES)
    if any(not character.isprintable() or character == " " for character in text):
        raise _wrong("a space or an unprintable character", legal="percent-encode it, a space as %20")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _wrong("host or port cannot be read", legal=EXAMPLES) from None
    if parts.fragment or "#" in text:
        raise _wrong("a part after #", legal="percent-encode it as %23")
    return (_dimse if scheme in DIMSE else _dicomweb)(parts, scheme, port)


def _dicomweb(parts: SplitResult, scheme: str, port: int | None) -> DicomwebAddress:
    if "@" in parts.netloc:
        raise _wrong(
            "a user or password before the host",
            legal="give credentials by an environment variable: --credentials-from NAME",
        )
    if not _PATH.fullmatch(parts.path) or {"..", "."} & set(parts.path.split("/")):
        raise _wrong("the path is not one of plain segments", legal=EXAMPLES)
    filters = _filters(_pairs(parts.query), {})
    secure = scheme.endswith("https")
    return DicomwebAddress(_host(parts), port or DICOMWEB[scheme], parts.path.rstrip("/"), secure, filters)


def _dimse(parts: SplitResult, scheme: str, port: int | None) -> DimseAddress:
    user, at, _ = parts.netloc.rpartition("@")
    if not at:
        raise _wrong("no called AE title before the host", legal=EXAMPLES)
    if parts.path not in ("", "/"):
        raise _wrong("a path after host and port", legal=EXAMPLES)
    pairs = _pairs(parts.query)
    options = {key: value for key, value in pairs if key in _OPTIONS}
    for key, value in options.items():
        if not _OPTIONS[key](value):
            raise _wrong(f"{key} has a value that is not legal", legal=_OPTIONS_LEGAL)
    host = _host(parts)
    retrieve: Literal["get", "move"] = "move" if options.get("retrieve") == "move" else "get"
    listen = options.get("listen", host if is_loopback(host) else "")
    if retrieve == "move" and "move_port" not in options:
        raise _wrong(
            "retrieve=move without move_port", legal="the port that the archive knows for the calling AE title"
        )
    if retrieve == "move" and not listen:
        raise _wrong("retrieve=move without listen", legal="this machine's own address that the archive can reach")
    return DimseAddress(
        called=_title(unquote(user), "the called AE title"),
        host=host,
        port=port or DIMSE[scheme],
        calling=_title(options.get("calling", "FIDUCIAL"), "calling"),
        retrieve=retrieve,
        listen=(listen, int(options.get("move_port", "0"))),
        filters=_filters(pairs, _OPTIONS),
    )


def _is_host(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return _HOST.fullmatch(text) is not None


def _is_title(text: str) -> bool:
    """1 to 16 printable ASCII characters without backslash, not spaces alone (PS3.5, value representation AE)."""
    return bool(re.fullmatch(r"[ -\[\]-~]{1,16}", text) and text.strip())


_OPTIONS: dict[str, Callable[[str], bool]] = {
    "calling": _is_title,
    "retrieve": lambda text: text in ("get", "move"),
    "move_port": lambda text: bool(re.fullmatch(r"[1-9]\d{0,4}", text)) and int(text) < 2**16,
    "listen": _is_host,
}
_OPTIONS_LEGAL = "calling=AE title, retrieve=get or move, move_port=1 to 65535, listen=address or host name"


def _title(text: str, what: str) -> str:
    if not _is_title(text):
        raise _wrong(f"{what} is no AE title", legal="1 to 16 printable ASCII characters, no backslash")
    return text.strip()


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not _is_host(host):
        raise _wrong("the host is no name or number", legal=EXAMPLES)
    return host


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=MAX_QUERIES + 8)
    except ValueError:
        raise _wrong("the query is not Key=value&Key=value", legal=_legal_keys()) from None


def _filters(pairs: list[tuple[str, str]], others: Mapping[str, object]) -> Filters:
    """The matching keys among the pairs; a repeated key has several values."""
    keys = STUDY_KEYS | SERIES_KEYS
    values: dict[str, tuple[str, ...]] = {}
    for key, value in pairs:
        if key in others:
            continue
        if key not in keys:
            # An unknown key may be a value that was torn at & or =: it is not shown unless it looks like a keyword.
            shown = key if re.fullmatch(r"[A-Z][a-z]+([A-Z][A-Za-z]*)+", key) else "a key that is no DICOM keyword"
            raise _wrong(f"cannot ask for {shown}", legal=_legal_keys())
        if not keys[key].fullmatch(value) or not value.strip() or (keys[key] is _UID and len(value) > 64):
            raise _wrong(f"{key} has a value that is not legal", legal=_legal_value(keys[key]))
        values[key] = (*values.get(key, ()), *(() if value in values.get(key, ()) else (value,)))
    filters = Filters(MappingProxyType(values))
    n_queries = 1
    for given in values.values():
        n_queries *= len(given)
    if n_queries > MAX_QUERIES:
        raise _wrong(f"{n_queries:,} combinations of values", legal=f"at most {MAX_QUERIES}; ask several times")
    return filters


def _legal_value(pattern: re.Pattern[str]) -> str:
    said = {
        _UID: "a UID: numbers and points, at most 64 characters",
        _DATE: "YYYYMMDD, or a range: YYYYMMDD-YYYYMMDD, YYYYMMDD-, -YYYYMMDD",
        _CODE: "1 to 16 capital letters, digits, _, space; * and ? match anything",
        _TEXT: "1 to 64 printable characters without backslash; * and ? match anything; percent-encode + & % #",
    }
    return said.get(pattern, pattern.pattern)


def _legal_keys() -> str:
    return ", ".join([*STUDY_KEYS, *SERIES_KEYS])


def _wrong(found: str, *, legal: str) -> UnreadableFile:
    error = refuse("pacs-address", found)
    error.legal = legal
    return error
