"""DIMSE by pynetdicom: C-FIND by level, then C-GET on the same association or C-MOVE to a listener of our own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fiducial.archive.refusal import refuse
from fiducial.archive.sources.access import PacsAccess
from fiducial.archive.sources.address import SERIES_KEYS, STUDY_KEYS, DimseAddress, is_uid
from fiducial.archive.sources.staging import Arriving, SeriesEntry
from fiducial.archive.sources.watch import Watch
from fiducial.errors import UnreadableFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pynetdicom import AE
    from pynetdicom.association import Association
    from pynetdicom.events import Event

MAX_CONTEXTS = 128
MAX_PDU = 2**18
MAX_INSTANCES = 10**6
SETTLE_S = 5.0
"""How long instances may still arrive after an archive has said that a C-MOVE is done."""
# Proposed one by one, so that the archive may send whatever it holds as it holds it.
SYNTAXES = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
)
# For an archive that does not say of what class its instances are: CT, MR, PET, their enhanced kinds, RTSTRUCT, SEG.
USUAL_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.128",
    "1.2.840.10008.5.1.4.1.1.130",
    "1.2.840.10008.5.1.4.1.1.481.3",
    "1.2.840.10008.5.1.4.1.1.66.4",
)
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
"""The Study Root information models (PS3.4, C.6.2)."""
SUCCESS, PENDING, SUBOPERATIONS_FAILED, NO_DESTINATION, NOT_PERFORMED = 0x0000, (0xFF00, 0xFF01), 0xB000, 0xA801, 0xA702


class Dimse:
    """An application entity that is queried, and the listener that its C-MOVE answers go to."""

    def __init__(self, address: DimseAddress, access: PacsAccess) -> None:
        """Prepare; for C-MOVE also listen.

        Raises:
            UnreadableFile: ``pacs-not-installed``, or ``pacs-move`` if the port to listen on cannot be had.
        """
        try:
            from pynetdicom import _config
        except ImportError:
            raise refuse("pacs-not-installed", "pynetdicom is not installed", where=str(address)) from None
        _config.LOG_HANDLER_LEVEL = "none"  # its own handlers put every message's keys into words
        self._where = str(address)
        self._address = address
        self._access = access
        self._lock = threading.Lock()
        self._arriving: Arriving | None = None
        self._problem: UnreadableFile | OSError | None = None
        self._last_s = 0.0
        self._n_pending = 0
        self._watch = Watch(access.timeout_s)
        self._server = self._listen() if address.retrieve == "move" else None

    def close(self) -> None:
        """Stop listening, and close what is still open."""
        self._watch.shut()
        if self._server is not None:
            self._server.shutdown()
        self._watch.end()

    def list_series(self, limit: int) -> list[SeriesEntry]:
        """The series that match, without their instances; one more than ``limit`` at most."""
        filters = self._address.filters
        found: dict[str, SeriesEntry] = {}
        with self._association(self._find_contexts()) as association:
            studies: dict[str, str] = {}
            for query in filters.queries(STUDY_KEYS):
                asked = _identifier("STUDY", {"StudyInstanceUID": "", "PatientID": ""} | query)
                for answer in self._find(association, asked, 50 * limit):
                    if is_uid(uid := _text(answer, "StudyInstanceUID")):
                        studies[uid] = _text(answer, "PatientID")
            wanted = {"SeriesInstanceUID": "", "Modality": "", "NumberOfSeriesRelatedInstances": ""}
            for study, patient in studies.items():
                for query in filters.queries(SERIES_KEYS):
                    asked = _identifier("SERIES", {"StudyInstanceUID": study} | wanted | query)
                    for answer in self._find(association, asked, limit + 1):
                        if not is_uid(uid := _text(answer, "SeriesInstanceUID")):
                            continue
                        found.setdefault(uid, SeriesEntry(study, uid, _text(answer, "Modality"), patient))
                        if len(found) > limit:
                            return list(found.values())
        return list(found.values())

    def with_instances(self, entry: SeriesEntry) -> SeriesEntry:
        """The series with the instances that the archive announces, and their classes where it says them."""
        keys = {"StudyInstanceUID": entry.study_uid, "SeriesInstanceUID": entry.series_uid}
        asked = _identifier("IMAGE", keys | {"SOPInstanceUID": "", "SOPClassUID": ""})
        with self._association(self._find_contexts()) as association:
            answers = list(self._find(association, asked, MAX_INSTANCES))
        uids = {_text(answer, "SOPInstanceUID") for answer in answers}
        classes = {_text(answer, "SOPClassUID") for answer in answers}
        return replace(entry, instances=frozenset(filter(is_uid, uids)), sop_classes=frozenset(filter(is_uid, classes)))

    def receive(self, arriving: Arriving) -> None:
        """Take a series as a whole; instances that are here already are not kept twice."""
        keys = {"StudyInstanceUID": arriving.entry.study_uid, "SeriesInstanceUID": arriving.entry.series_uid}
        asked = _identifier("SERIES", keys)
        self._problem, self._arriving, self._n_pending = None, arriving, 0
        try:
            if self._server is None:
                self._get(asked, arriving.entry)
            else:
                self._move(asked, arriving)
        finally:
            with self._lock:
                self._arriving = None
        if self._problem is not None:
            raise self._problem

    def _get(self, asked: Dataset, entry: SeriesEntry) -> None:
        from pynetdicom import build_context, build_role

        classes = sorted(entry.sop_classes) or list(USUAL_CLASSES)
        each = max(1, (MAX_CONTEXTS - 1) // len(classes))
        storage = [build_context(name, syntax) for name in classes for syntax in SYNTAXES[:each]]
        contexts = [build_context(GET), *storage][:MAX_CONTEXTS]
        roles = [build_role(name, scp_role=True) for name in classes]
        with self._association(contexts, ext_neg=roles) as association:
            self._finished(_sent(association.send_c_get, asked, GET, where=self._where), "C-GET")

    def _move(self, asked: Dataset, arriving: Arriving) -> None:
        from pynetdicom import build_context

        self._last_s = time.monotonic()
        with self._association([build_context(MOVE)]) as association:
            answers = _sent(association.send_c_move, asked, self._address.calling, MOVE, where=self._where)
            self._finished(answers, "C-MOVE")
        while arriving.missing and self._problem is None and time.monotonic() - self._last_s < SETTLE_S:
            time.sleep(0.05)

    def _listen(self) -> Any:
        from pynetdicom import AllStoragePresentationContexts

        entity = self._entity()
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(str(context.abstract_syntax), list(SYNTAXES))
        host, port = self._address.listen
        try:
            # The library leaves its socket open where it cannot bind it: one of our own tries the port first.
            socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
            return entity.start_server((host, port), block=False, evt_handlers=self._handlers())
        except OSError as error:
            raise refuse(
                "pacs-move", f"cannot listen on {host} port {port}: {error.strerror}", where=self._where
            ) from None

    def _handlers(self) -> list[Any]:
        from pynetdicom import evt

        return [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_CONN_OPEN, self._watch.opened),
            *(
                (event, handler)
                for event in (evt.EVT_DATA_RECV, evt.EVT_DATA_SENT)
                for handler in (self._watch.alive, _acknowledge)
            ),
            (evt.EVT_DATA_RECV, self._count),
        ]

    def _store(self, event: Event) -> int:
        """One instance arrives; the status that the archive is told."""
        with self._lock:
            self._n_pending = 0
            self._last_s = time.monotonic()
            if self._arriving is None or self._problem is not None:
                return 0xA700
            try:
                self._arriving.store([event.encoded_dataset()])
            except (UnreadableFile, OSError) as problem:  # raised again where the retrieval is waited for
                self._problem = problem
                return 0xA700
        return SUCCESS

    def _count(self, event: Event) -> None:
        """Bytes of an instance that is not whole yet; a connection that sends more than any is closed."""
        self._n_pending += len(event.data)
        if self._n_pending > self._access.max_instance_bytes + MAX_PDU:
            limit = self._access.max_instance_bytes
            self._problem = refuse("pacs-too-large", f"an instance of more than {limit:,} bytes", where=self._where)
            if event.assoc.dul.socket is not None:
                event.assoc.dul.socket.close()

    def _find(self, association: Association, asked: Dataset, limit: int) -> Iterator[Dataset]:
        """The answers to a C-FIND.

        Raises:
            UnreadableFile: ``pacs-too-many-series`` beyond ``limit`` answers, or why there is none.
        """
        n_answers = 0
        for status, identifier in _sent(association.send_c_find, asked, FIND, where=self._where):
            if self._status(status, "C-FIND") not in PENDING or identifier is None:
                continue
            n_answers += 1
            if n_answers > limit:
                found = f"more than {limit:,} answers at the level {asked.QueryRetrieveLevel}"
                raise refuse("pacs-too-many-series", found, where=self._where)
            yield identifier

    def _finished(self, answers: Iterator[tuple[Dataset, Dataset | None]], what: str) -> None:
        """Follow a retrieval to its end; failed suboperations are seen by what is missing."""
        for status, _ in answers:
            code = self._status(status, what)
            if self._problem is not None:
                raise self._problem
            if code == NO_DESTINATION:
                raise refuse("pacs-move", "the archive does not know the calling AE title", where=self._where)
            if code == NOT_PERFORMED and self._arriving is not None and not self._arriving.received:
                raise refuse("pacs-move", "the archive could not send to this machine", where=self._where)

    def _status(self, status: Dataset, what: str) -> int:
        """The status of an answer.

        Raises:
            UnreadableFile: ``pacs-cut`` if there was none, ``pacs-rejected`` or ``pacs-answer`` if it is a failure.
        """
        if "Status" not in status:
            if self._problem is not None:
                raise self._problem
            if self._watch.expired:
                raise refuse("pacs-timeout", f"no answer to {what} in time", where=self._where)
            found = f"no answer to {what}; so ends an archive that does not know the calling AE title, too"
            raise refuse("pacs-cut", found, where=self._where)
        code = int(status.Status)
        if code in (SUCCESS, *PENDING, SUBOPERATIONS_FAILED, NO_DESTINATION, NOT_PERFORMED):
            return code
        if code == 0x0124:
            raise refuse("pacs-rejected", f"{what} is not authorised", where=self._where)
        if code & 0xF000 in (0xA000, 0xC000):
            raise refuse("pacs-busy", f"{what} failed with status 0x{code:04X}", where=self._where)
        raise refuse("pacs-answer", f"{what} failed with status 0x{code:04X}", where=self._where)

    def _entity(self) -> AE:
        from pynetdicom import AE

        entity = AE(ae_title=self._address.calling)
        entity.acse_timeout = entity.connection_timeout = self._access.timeout_s
        entity.dimse_timeout = entity.network_timeout = None  # how long silence may last is for the watch to say
        entity.maximum_pdu_size = MAX_PDU
        return entity

    def _find_contexts(self) -> list[Any]:
        from pynetdicom import build_context

        return [build_context(FIND)]

    @contextmanager
    def _association(self, contexts: list[Any], **given: Any) -> Iterator[Association]:
        """An association that is released at the end.

        Raises:
            UnreadableFile: ``pacs-unreachable``, ``pacs-timeout`` or ``pacs-rejected``.
        """
        self._watch.arm()
        try:
            association = self._associated(contexts, **given)
            try:
                yield association
            except BaseException:
                association.abort()  # whatever it would still send is not waited for
                raise
            if association.is_established:
                association.release()
        finally:
            self._watch.disarm()

    def _associated(self, contexts: list[Any], **given: Any) -> Association:
        address = self._address
        try:
            association = self._entity().associate(
                address.host,
                address.port,
                contexts,
                ae_title=address.called,
                max_pdu=MAX_PDU,
                evt_handlers=self._handlers(),
                **given,
            )
        except OSError:
            raise refuse("pacs-unreachable", "the host has no address", where=self._where) from None
        if not association.is_established:
            raise self._not_associated(association)
        return association

    def _not_associated(self, association: Association) -> UnreadableFile:
        """Why there is no association; a connection of its own tells a closed port from a refusal."""
        if association.is_rejected:
            answer = association.acceptor.primitive
            reason = getattr(answer, "reason_str", "") or "no reason given"
            return refuse("pacs-rejected", f"the association was rejected: {reason}", where=self._where)
        if self._watch.expired:
            return refuse("pacs-timeout", "no answer to the request for an association in time", where=self._where)
        try:
            with socket.create_connection((self._address.host, self._address.port), self._access.timeout_s):
                return refuse("pacs-rejected", "it answers, but accepts no association for this", where=self._where)
        except TimeoutError:
            return refuse("pacs-timeout", "no connection in time", where=self._where)
        except OSError as error:
            return refuse("pacs-unreachable", f"no connection ({error.strerror})", where=self._where)


def _sent(send: Callable[..., Any], *given: Any, where: str) -> Iterator[tuple[Dataset, Dataset | None]]:
    """A request on an association.

    Raises:
        UnreadableFile: ``pacs-cut`` if the association has ended, ``pacs-rejected`` if it does not offer the service.
    """
    try:
        answers: Iterator[tuple[Dataset, Dataset | None]] = send(*given)
    except RuntimeError:
        raise refuse("pacs-cut", "the archive ended the association", where=where) from None
    except ValueError:
        raise refuse("pacs-rejected", "it does not offer this query or retrieval", where=where) from None
    return answers


def _acknowledge(event: Event) -> None:
    """Have the kernel acknowledge at once what arrives.

    An archive that writes a message in two pieces waits for the acknowledgement of the first before it sends the
    second (Nagle's algorithm), and by default a receiver keeps it back for 40 ms: that is 40 ms for each instance.
    """
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None and hasattr(socket, "TCP_QUICKACK"):
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _identifier(level: str, keys: dict[str, str]) -> Dataset:
    from pydicom.dataset import Dataset

    asked = Dataset()
    if any(not value.isascii() for value in keys.values()):
        asked.SpecificCharacterSet = "ISO_IR 192"
    asked.QueryRetrieveLevel = level
    for key, value in keys.items():
        setattr(asked, key, value)
    return asked


def _text(answer: Dataset, keyword: str) -> str:
    """An attribute of an answer as text, "" where it is absent or cannot be read."""
    try:
        return str(answer.get(keyword, "") or "").strip()
    except Exception:  # a value that breaks its representation raises anything
        return ""
