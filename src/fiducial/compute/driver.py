"""The process that is connected to a Ray cluster: it hands out cases, one task each, and brings back their outcomes."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import time
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from fiducial import __version__
from fiducial.compute.cores import THREAD_LIMITS
from fiducial.compute.workers import Outcome, attempt, become_worker, failed
from fiducial.errors import InputRefused

READY = "ready"
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Read by Ray as it is loaded: no telemetry, and graphics cards as they are."""
LOOK_S = 1.0
PATIENCE_S = 60.0
"""How long the cluster may be without any processor before the work ends."""
AHEAD = 2
"""Cases on their way for each processor: one at work and one that waits."""


def drive(pipe: Connection, address: str) -> None:
    """The driver's life: connect, then serve one round of cases after another until the pipe closes.

    It asks for cases by a number (as many as there is room for), is given pairs of key and packed case and whether
    there are more, and sends pairs of key and packed outcome. What ends the work is sent as an exception.
    """
    # Ctrl-C reaches the whole process group; the other end decides, and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _be_silent()
    os.environ.update(QUIET)
    ray: Any = importlib.import_module("ray")
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        pipe.send(str(error).splitlines()[0] if str(error) else type(error).__name__)
        return
    try:
        pipe.send(READY)
        while True:
            function, n_at_once, again = pipe.recv()
            _Round(ray, pipe, function, _n_machines(ray) if again else n_at_once).serve()
    except (EOFError, OSError):
        return
    except InputRefused as refusal:
        pipe.send(refusal)
    except Exception as error:
        pipe.send(RuntimeError(f"{type(error).__name__} in the process that talks to the cluster: {error}"))
    finally:
        ray.shutdown()


def _be_silent() -> None:
    """Ray prints messages of the cluster on stdout and stderr, which are the command's."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _n_machines(ray: Any) -> int:
    return max(1, sum(1 for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1))


class _Round:
    """Cases of one function, as many at once as the cluster has room for: it grows and shrinks while it works."""

    def __init__(self, ray: Any, pipe: Connection, function: bytes, n_at_once: int) -> None:
        self.ray = ray
        self.pipe = pipe
        self.function = function
        self.n_at_once = n_at_once
        # No retries of Ray's own, which would run a case again beside others and say nothing of it.
        self.task = ray.remote(_task).options(
            num_cpus=1,
            max_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": dict.fromkeys(THREAD_LIMITS, "1")},
        )
        self.running: dict[Any, str] = {}
        self.n_cpus = 0
        self.seen = -LOOK_S
        self.alive = time.monotonic()

    def serve(self) -> None:
        """Until no case waits and none runs.

        Raises:
            InputRefused: the cluster has been without a processor for a minute.
            EOFError: the other end has closed the pipe.
        """
        try:
            more = True
            while more or self.running:
                room = self._room() - len(self.running)
                if more and room > 0:
                    self.pipe.send(room)
                    given, more = self.pipe.recv()
                    for key, case in given:
                        self.running[self.task.remote(self.function, case, __version__)] = key
                self._collect()
        finally:
            for ref in self.running:
                self.ray.cancel(ref, force=True)

    def _collect(self) -> None:
        if not self.running:
            return
        done, _ = self.ray.wait(list(self.running), num_returns=1, timeout=LOOK_S)
        for ref in done:
            self.pipe.send((self.running.pop(ref), _outcome(self.ray, ref)))
        if not done and self.pipe.poll():
            # Nothing is sent to us unasked: the pipe was closed.
            raise EOFError

    def _room(self) -> int:
        now = time.monotonic()
        if now - self.seen >= LOOK_S:
            self.seen = now
            self.n_cpus = int(self.ray.cluster_resources().get("CPU", 0))
        if self.n_cpus:
            self.alive = now
        elif now - self.alive > PATIENCE_S:
            raise InputRefused(
                "no machine of the cluster takes cases any more",
                action="start its machines again, then give the same command: finished cases are not run again",
            )
        else:
            time.sleep(LOOK_S / 4)
        return self.n_at_once if self.n_at_once > 0 else AHEAD * self.n_cpus


def _outcome(ray: Any, ref: Any) -> bytes | Outcome:
    """What a task gave, packed; an error of Ray's own means that its process or machine is gone."""
    try:
        return bytes(ray.get(ref))
    except ray.exceptions.RayTaskError as error:
        # The task itself did not begin: most often Fiducial is not installed there.
        return Outcome(None, type(error.cause or error).__name__, f"a machine could not begin: {error.cause or error}")
    except ray.exceptions.OutOfMemoryError:
        return Outcome(None, "WorkerDied", "the worker process was killed because its machine ran out of memory")
    except ray.exceptions.RayError as error:
        return Outcome(None, "WorkerDied", f"the worker process or its machine was lost ({type(error).__name__})")


def _task(function: bytes, case: bytes, version: str) -> bytes:
    """One case, on some machine of the cluster; whatever goes wrong is an outcome, so that Ray logs nothing of it."""
    become_worker()
    if version != __version__:
        outcome = Outcome(
            None, "OtherVersion", f"this machine has Fiducial {__version__}, the command {version}: install the same"
        )
    else:
        try:
            outcome = attempt(ForkingPickler.loads(function), ForkingPickler.loads(case))
        except Exception as error:
            outcome = failed(error)
    try:
        return bytes(ForkingPickler.dumps(outcome))
    except Exception as error:
        return bytes(ForkingPickler.dumps(failed(error)))
