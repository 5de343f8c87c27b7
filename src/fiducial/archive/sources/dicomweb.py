"""DICOMweb: QIDO-RS by dicomweb-client, WADO-RS from its session to the disk piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from fiducial.archive.refusal import refuse
from fiducial.archive.sources.access import PacsAccess
from fiducial.archive.sources.address import SERIES_KEYS, STUDY_KEYS, DicomwebAddress, is_loopback, is_uid
from fiducial.archive.sources.multipart import media_type, split_parts
from fiducial.archive.sources.session import PIECE, named_errors, open_session
from fiducial.archive.sources.staging import Arriving, SeriesEntry

PAGE = 200
ANY_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*'
MAX_INSTANCES = 10**6
SINGLY = 16
"""So many missing instances are asked for one by one; more than that, by the whole series again."""
STUDY, SERIES, INSTANCE, MODALITY, PATIENT = "0020000D", "0020000E", "00080018", "00080060", "00100020"
N_INSTANCES = "00201209"


class Dicomweb:
    """A DICOMweb service: one session, closed at the end."""

    def __init__(self, address: DicomwebAddress, access: PacsAccess) -> None:
        """Prepare a session; nothing is sent yet.

        Raises:
            UnreadableFile: ``pacs-unencrypted``, ``pacs-not-installed`` or ``pacs-tls`` (no certificates in the file).
        """
        if not address.secure and not access.insecure and not is_loopback(address.host):
            raise refuse("pacs-unencrypted", "plain HTTP to another machine", where=str(address))
        try:
            from dicomweb_client import DICOMwebClient
        except ImportError:
            raise refuse("pacs-not-installed", "dicomweb-client is not installed", where=str(address)) from None
        self._where = str(address)
        self._address = address
        self._access = access
        self._session = open_session(access, self._where)
        timeout = (access.timeout_s, access.timeout_s)
        self._client = DICOMwebClient(address.base_url, session=self._session, timeout=timeout)
        self._client.set_http_retry_params(retry=False)  # what is tried again, and how often, is for the caller to say

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def list_series(self, limit: int) -> list[SeriesEntry]:
        """The series that match, without their instances; one more than ``limit`` at most."""
        filters = self._address.filters
        studies: dict[str, str] = {}
        for query in filters.queries(STUDY_KEYS):
            pages = self._pages(self._client.search_for_studies, STUDY, 50 * limit, search_filters=query)
            studies |= {_text(item, STUDY): _text(item, PATIENT) for item in pages}
        found: dict[str, SeriesEntry] = {}
        for study, patient in studies.items():
            for query in filters.queries(SERIES_KEYS):
                pages = self._pages(
                    self._client.search_for_series, SERIES, limit + PAGE, study_instance_uid=study, search_filters=query
                )
                for item in pages:
                    uid = _text(item, SERIES)
                    n_stated = _count(item, N_INSTANCES)
                    found.setdefault(uid, SeriesEntry(study, uid, _text(item, MODALITY), patient, n_stated))
                    if len(found) > limit:
                        return list(found.values())
        return list(found.values())

    def with_instances(self, entry: SeriesEntry) -> SeriesEntry:
        """The series with the instances that the archive announces."""
        pages = self._pages(
            self._client.search_for_instances,
            INSTANCE,
            MAX_INSTANCES,
            n_stated=entry.n_stated,
            study_instance_uid=entry.study_uid,
            series_instance_uid=entry.series_uid,
        )
        return replace(entry, instances=frozenset(_text(item, INSTANCE) for item in pages))

    def receive(self, arriving: Arriving) -> None:
        """Take what is missing of a series: the series as a whole, or the last few instances one by one."""
        from dicomweb_client import URI

        entry, missing = arriving.entry, arriving.missing
        if len(missing) < len(entry.instances) and len(missing) <= SINGLY:
            for uid in sorted(missing):
                self._take(str(URI(self._address.base_url, entry.study_uid, entry.series_uid, uid)), arriving, 1)
            return
        n_most = len(entry.instances) + SINGLY
        self._take(str(URI(self._address.base_url, entry.study_uid, entry.series_uid)), arriving, n_most)

    def _take(self, url: str, arriving: Arriving, n_most: int) -> None:
        with named_errors(self._where):
            timeout = (self._access.timeout_s, self._access.timeout_s)
            with self._session.get(url, headers={"Accept": ANY_SYNTAX}, stream=True, timeout=timeout) as response:
                response.raise_for_status()
                kind, boundary = media_type(response.headers.get("Content-Type", ""))
                if kind == "application/dicom":
                    arriving.store(response.iter_content(PIECE))
                    return
                if kind != "multipart/related" or not boundary:
                    raise refuse("pacs-answer", "instances that are not multipart/related", where=self._where)
                for number, body in enumerate(split_parts(response.iter_content(PIECE), boundary)):
                    if number >= n_most:
                        raise refuse("pacs-answer", "more instances than were announced", where=self._where)
                    arriving.store(body)

    def _pages(
        self, search: Callable[..., Any], tag: str, limit: int, *, n_stated: int = 0, **given: Any
    ) -> Iterator[dict[str, Any]]:
        """The items of every page until one brings nothing new; items without a legal UID are passed over.

        A server may serve shorter pages than it is asked for, so a short page is the last only where ``n_stated``
        items, which the level above has stated, are there.
        """
        seen: set[str] = set()
        offset = 0
        while True:
            with named_errors(self._where):
                page = search(limit=PAGE, offset=offset, **given)
            if not isinstance(page, list):
                raise refuse("pacs-answer", "a search that is not answered by a list", where=self._where)
            offset += len(page)
            new = {_text(item, tag): item for item in page if is_uid(_text(item, tag)) and _text(item, tag) not in seen}
            seen |= new.keys()
            if len(seen) > limit:
                raise refuse("pacs-too-many-series", f"more than {limit:,} answers to one search", where=self._where)
            yield from new.values()
            if not new or (len(page) < PAGE and 0 < n_stated <= len(seen)):
                return


def _text(item: Any, tag: str) -> str:
    """The first value of an attribute of a DICOM JSON object as text, "" where it is absent or of another kind."""
    element = item.get(tag) if isinstance(item, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    value = values[0] if isinstance(values, list) and values else ""
    return value.strip() if isinstance(value, str) else ""


def _count(item: dict[str, Any], tag: str) -> int:
    """A count of a DICOM JSON object, 0 where it is absent or none."""
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    value = values[0] if isinstance(values, list) and values else 0
    return int(value) if isinstance(value, int | str) and str(value).isdecimal() and len(str(value)) < 10 else 0
