"""The same loop over cases on several machines: one task of a Ray cluster for each case.

Ray itself is loaded by a process of its own (`driver`), because it ends the process that it is in when the head or this
machine's part of the cluster is gone; here that is a refusal, and finished cases stay finished.
"""

from __future__ import annotations

import multiprocessing
import socket
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from fiducial.compute import driver
from fiducial.compute.workers import Outcome, failed, require_sendable, tried_twice
from fiducial.errors import InputRefused

CONNECT_S = 5.0
LEAVE_S = 10.0


def outcomes_of_cluster(
    function: Callable[[Any], Any], cases: Mapping[str, Any], keys: list[str], *, address: str, n_at_once: int = 0
) -> Generator[tuple[str, Outcome], None, None]:
    """Yield (key, outcome) in the order of finishing, of cases that ran on the machines of a Ray cluster.

    What travels is what travels to a worker process here. A case whose process or machine was lost is tried once more
    at the end, when no more cases run than there are machines. When the iteration ends, for whatever reason, every
    task of it is cancelled and the connection is closed.

    Args:
        function: as for `map_cases`; importable on every machine.
        cases: what to call it with, by key.
        keys: which of them.
        address: ``HOST:PORT`` of the cluster's head; this machine must belong to the cluster.
        n_at_once: cases at once, 0 = one for each processor of the cluster (and one that waits).

    Raises:
        InputRefused: Ray is not installed, there is no such cluster, or it is lost.
    """
    require_sendable(function)
    if find_spec("ray") is None:
        raise InputRefused("this needs ray, which is not installed", action="pip install 'fiducial[cluster]'")
    _require_reachable(address)
    with _driver(address) as pipe:

        def run(some: list[str], again: bool) -> Generator[tuple[str, Outcome], None, None]:
            if some:
                pipe.send((bytes(ForkingPickler.dumps(function)), n_at_once, again))
            return _run(pipe, cases, some, address)

        yield from tried_twice(run, keys)


def _run(
    pipe: Connection, cases: Mapping[str, Any], keys: list[str], address: str
) -> Generator[tuple[str, Outcome], None, None]:
    """Give the driver as many cases as it has room for, and yield what comes back."""
    waiting = deque(keys)
    n_running = 0
    while waiting or n_running:
        message = _receive(pipe, address)
        if isinstance(message, int):
            sent: list[tuple[str, bytes]] = []
            while waiting and len(sent) < message:
                key = waiting.popleft()
                try:
                    sent.append((key, bytes(ForkingPickler.dumps(cases[key]))))
                except Exception as error:
                    yield key, failed(error)
            n_running += len(sent)
            pipe.send((sent, bool(waiting)))
        else:
            key, packed = message
            n_running -= 1
            yield key, _unpacked(packed)


def _unpacked(packed: bytes | Outcome) -> Outcome:
    if isinstance(packed, Outcome):
        return packed
    try:
        outcome = ForkingPickler.loads(packed)
    except Exception as error:
        return failed(error)
    return outcome if isinstance(outcome, Outcome) else Outcome(None, "TypeError", "no outcome came back")


def _receive(pipe: Connection, address: str) -> Any:
    """The driver's next message; what it refuses is raised here."""
    try:
        message = pipe.recv()
    except (EOFError, OSError) as error:
        raise InputRefused(
            f"the cluster at {address} is lost: its head, or this machine's part of it, has ended",
            action="start it again, then give the same command: with a resume ledger finished cases are not run again",
        ) from error
    if isinstance(message, Exception):
        raise message
    return message


@contextmanager
def _driver(address: str) -> Generator[Connection, None, None]:
    """A process that is connected to the cluster; it ends with the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=driver.drive, args=(theirs, address), daemon=True)
    process.start()
    theirs.close()
    try:
        _ready(ours, address)
        yield ours
    finally:
        # A closed pipe tells the driver to cancel its tasks and to take leave.
        ours.close()
        process.join(LEAVE_S)
        process.kill()
        process.join()
        process.close()


def _ready(pipe: Connection, address: str) -> None:
    try:
        message = pipe.recv()
    except (EOFError, OSError) as error:
        raise InputRefused(
            "the process that talks to the cluster could not start",
            legal='a script whose own work stands under `if __name__ == "__main__":`, and a cluster that runs',
            action=f"guard the script; `ray status --address {address}` says whether the cluster runs",
        ) from error
    if message != driver.READY:
        raise _no_cluster(address, str(message))


def _require_reachable(address: str) -> None:
    """Refuse at once what Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputRefused(
            f"the cluster address {address!r}",
            legal="HOST:PORT of the head, as `ray start --head` prints it (this machine belongs to the cluster)",
        )
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise _no_cluster(address, error.strerror or type(error).__name__) from error


def _no_cluster(address: str, reason: str) -> InputRefused:
    return InputRefused(
        f"no Ray cluster can be used at {address} ({reason})",
        legal="HOST:PORT of a running head, with this machine one of the cluster's and Python and Ray alike everywhere",
        action="ray start --head --port=PORT on one machine, ray start --address=HOST:PORT on all others, this too",
    )
