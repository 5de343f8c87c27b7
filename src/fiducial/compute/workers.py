"""Worker processes that take one case at a time, so that a dead one names exactly the case that it died on."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

from fiducial.compute.cores import one_thread_each
from fiducial.errors import FiducialError, InputRefused

READY = "ready"
_state = {"in_worker": False}


@dataclass(frozen=True)
class Outcome:
    """What one call gave: a result, or an error's class, message and traceback.

    They are text because not every exception survives the way between processes.
    """

    result: Any = None
    error: str = ""
    message: str = ""
    trace: str = ""


@dataclass
class _Worker:
    """A process, our end of its pipe, and the case it holds (empty: none)."""

    process: Any
    pipe: Connection
    key: str = ""
    ready: bool = False


def in_worker() -> bool:
    """Whether this process is a worker of `map_cases`."""
    return _state["in_worker"]


def become_worker() -> None:
    """From now on a `map_cases` in this process stays in it."""
    _state["in_worker"] = True


def attempt(function: Callable[[Any], Any], case: Any) -> Outcome:
    """Call ``function(case)``; an exception becomes an `Outcome`."""
    try:
        return Outcome(function(case))
    except Exception as error:
        return failed(error)


def failed(error: Exception) -> Outcome:
    """The `Outcome` of an exception; one of our own needs no traceback."""
    trace = "" if isinstance(error, FiducialError) else traceback.format_exc(limit=-8)
    return Outcome(None, type(error).__name__, str(error), trace)


def outcomes_of_workers(
    function: Callable[[Any], Any], cases: Mapping[str, Any], keys: list[str], *, n_workers: int
) -> Generator[tuple[str, Outcome], None, None]:
    """Yield (key, outcome) in the order of finishing. Cases whose worker died are tried once more, alone, at the end.

    The second try tells a case that kills its worker from one that was killed beside a large neighbour. When the
    iteration ends, for whatever reason, every worker is gone.
    """
    require_sendable(function)
    yield from tried_twice(lambda some, again: _run(function, cases, some, 1 if again else n_workers), keys)


def tried_twice(
    run: Callable[[list[str], bool], Generator[tuple[str, Outcome], None, None]], keys: list[str]
) -> Generator[tuple[str, Outcome], None, None]:
    """Outcomes of ``run(keys, False)``, and of ``run(died, True)`` for those whose worker died."""
    died: list[str] = []
    with closing(run(keys, False)) as outcomes:
        for key, outcome in outcomes:
            if outcome.error == "WorkerDied":
                died.append(key)
            else:
                yield key, outcome
    yield from run(died, True)


def _run(
    function: Callable[[Any], Any], cases: Mapping[str, Any], keys: list[str], n_workers: int
) -> Generator[tuple[str, Outcome], None, None]:
    waiting = deque(keys)
    crew: list[_Worker] = []
    try:
        while waiting or any(worker.key for worker in crew):
            while len(crew) < min(n_workers, len(waiting) + sum(bool(w.key) for w in crew)):
                crew.append(_start(function))
            for worker in crew:
                if worker.ready and not worker.key and waiting:
                    yield from _hand_over(worker, waiting, cases)
            for pipe in wait([worker.pipe for worker in crew]):
                worker = next(w for w in crew if w.pipe is pipe)
                key = worker.key
                outcome = _receive(worker)
                if outcome.error == "WorkerDied":
                    _stop(worker)
                    crew.remove(worker)
                if key:
                    yield key, outcome
    finally:
        for worker in crew:
            _stop(worker)


def _start(function: Callable[[Any], Any]) -> _Worker:
    """Start one worker. ``spawn`` gives a clean process: safe beside torch's threads, and no stray open files."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    with one_thread_each():
        process.start()
    # Our copy of the child's end must go, or its death would not close the pipe.
    theirs.close()
    worker = _Worker(process, ours)
    try:
        ours.send(function)
    except OSError as error:
        raise _no_start(worker, "it ended before it was given its work") from error
    return worker


def _hand_over(worker: _Worker, waiting: deque[str], cases: Mapping[str, Any]) -> Iterator[tuple[str, Outcome]]:
    """Send the next case; one that cannot be pickled is an outcome, a pipe that broke meanwhile is seen by `wait`."""
    key = waiting.popleft()
    try:
        worker.pipe.send(cases[key])
    except OSError:
        waiting.appendleft(key)
    except Exception as error:
        yield key, failed(error)
    else:
        worker.key = key


def _receive(worker: _Worker) -> Outcome:
    """One message: that the worker is ready, or a case's outcome; a closed pipe means that it died."""
    try:
        message = worker.pipe.recv()
    except (EOFError, OSError) as error:
        if not worker.ready:
            raise _no_start(worker, "it ended while starting") from error
        worker.process.join()
        return Outcome(None, "WorkerDied", _death(worker.process.exitcode))
    except Exception as error:
        worker.key = ""
        return failed(error)
    worker.key = ""
    if isinstance(message, Outcome):
        return message
    if message != READY:
        raise _no_start(worker, message)
    worker.ready = True
    return Outcome()


def _death(exit_code: int) -> str:
    if exit_code == -signal.SIGKILL:
        return "the worker process was killed (SIGKILL), as the system does when memory runs out"
    if exit_code < 0:
        return f"the worker process was ended by {signal.Signals(-exit_code).name}"
    return f"the worker process ended by itself with exit code {exit_code}"


def _stop(worker: _Worker) -> None:
    """End a worker; one that was stopped before (it could not start) is left alone."""
    if worker.pipe.closed:
        return
    worker.process.kill()
    worker.process.join()
    worker.process.close()
    worker.pipe.close()


def _work(pipe: Connection) -> None:
    """The worker's life: receive the function, then one case after another, until the pipe closes."""
    # Ctrl-C reaches the whole process group; the parent decides, and kills.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    become_worker()
    try:
        function = pipe.recv()
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send(READY)
    while True:
        try:
            outcome = attempt(function, pipe.recv())
        except EOFError:
            return
        except Exception as error:
            outcome = failed(error)
        try:
            pipe.send(outcome)
        except OSError:
            return
        except Exception as error:
            pipe.send(failed(error))


def require_sendable(function: Callable[[Any], Any]) -> None:
    """Refuse a function that workers could not import.

    Raises:
        InputRefused: it is a lambda, or lives inside another function.
    """
    try:
        ForkingPickler.dumps(function)
    except Exception as error:
        raise InputRefused(
            f"{function!r} cannot be sent to a worker process ({error})",
            legal="a function at the top level of an importable module, or a functools.partial of one",
            action="move it there, or give workers=1",
        ) from error


def _no_start(worker: _Worker, reason: str) -> InputRefused:
    _stop(worker)
    return InputRefused(
        f"a worker process could not start: {reason}",
        legal="a function at the top level of a module that the worker can import, and a script whose own work "
        'stands under `if __name__ == "__main__":`',
        action="move the function into a module (not the prompt), guard the script, or give workers=1",
    )
