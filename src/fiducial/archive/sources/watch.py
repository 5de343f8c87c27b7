"""A watch over associations: one that is silent for too long is closed, because the library would wait for ever."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pynetdicom.events import Event


class Watch:
    """Closes every connection it knows of once none of them has brought or sent a whole message unit for a time.

    pynetdicom reads a message unit (PDU) without a time limit, and joins the thread that reads it. A peer that stops
    or trickles in the middle of one would hold this process for ever. Activity on any connection counts for all: while
    instances arrive on one, another may wait for the word that they are complete.
    """

    def __init__(self, timeout_s: float) -> None:
        self.expired = False
        self._timeout_s = timeout_s
        self._last_s = time.monotonic()
        self._armed = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def arm(self) -> None:
        """Begin to count silence."""
        self.expired = False
        self.alive()
        self._armed.set()

    def disarm(self) -> None:
        """Nothing is waited for."""
        self._armed.clear()

    def opened(self, event: Event) -> None:
        """A connection to watch (for ``EVT_CONN_OPEN``)."""
        connection = event.assoc.dul.socket
        if connection is not None and connection.socket is not None:
            with self._lock:
                self._sockets = [known for known in self._sockets if known.fileno() >= 0] + [connection.socket]

    def alive(self, _: Event | None = None) -> None:
        """Something came or went (for ``EVT_DATA_RECV`` and ``EVT_DATA_SENT``)."""
        self._last_s = time.monotonic()

    def shut(self) -> None:
        """End every connection: whoever reads from one is told that there is no more."""
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):  # it has ended already
                    connection.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Stop watching, and close what the library leaves open: it closes no socket that has ended before."""
        self._ended.set()
        self._thread.join()
        self.shut()
        with self._lock:
            for connection in self._sockets:
                connection.close()
            self._sockets = []

    def _run(self) -> None:
        while not self._ended.wait(min(1.0, self._timeout_s / 5)):
            if self._armed.is_set() and time.monotonic() - self._last_s > self._timeout_s:
                self.expired = True
                self.shut()
