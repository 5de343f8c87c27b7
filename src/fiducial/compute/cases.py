"""`map_cases`: apply one function to every case of a cohort, and let no case stop the others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiducial.compute.cores import visible_cores
from fiducial.compute.ledger import Ledger
from fiducial.compute.workers import Outcome, attempt, in_worker, outcomes_of_workers
from fiducial.records.progress import Progress, silent

OF_THE_MACHINE = ("WorkerDied", "OtherVersion")
"""Failures that say nothing of the case."""


@dataclass(frozen=True)
class Failure:
    """A case that was set aside: ``error`` is the exception's class (or ``WorkerDied``), ``trace`` its traceback."""

    key: str
    error: str
    message: str
    trace: str = ""


@dataclass(frozen=True)
class MapResult:
    """What came of the cases: ``results`` by key and ``failures``, both in the order of the cases."""

    results: dict[str, Any]
    failures: tuple[Failure, ...]

    def forget(self, ledger: Path) -> None:
        """Remove the ledger of work that is done; it stays where a case may do better the next time.

        That is one whose worker died, with more memory, or that a machine of another version was given: the same
        command then runs it again, and nothing else.
        """
        if not any(failure.error in OF_THE_MACHINE for failure in self.failures):
            ledger.unlink(missing_ok=True)


def map_cases(  # noqa: PLR0913 - where and how a loop runs
    function: Callable[[Any], Any],
    cases: Mapping[str, Any],
    *,
    workers: int = 0,
    cluster: str = "",
    progress: Progress = silent,
    title: str = "",
    resume: Path | None = None,
    isolated: bool = False,
) -> MapResult:
    """Call ``function(case)`` for every case, in worker processes; failed cases are set aside and named.

    A case that raises is a `Failure`; so is one whose worker dies (killed for memory, a crash in a library), after
    a second try alone at the end. All other cases finish. A worker holds one case at a time and cases are sent
    one by one, so memory does not grow with their number (results are kept). Ctrl-C stops all workers at once and
    propagates. Functions must bear being called again for the same case.

    Args:
        function: defined at the top level of an importable module (or a `functools.partial` of such a function).
        cases: what to call it with, by key. Both travel to the workers by pickling in memory.
        workers: processes; 0 = as many as cores this process may use, 1 = in this process (where a crash of the
            process is a crash). Never more than cases. A worker's numeric libraries run on one thread.
        cluster: ``HOST:PORT`` of a Ray cluster that this machine belongs to; cases then run on all of its machines,
            ``workers`` of them at once (0 = as many as the cluster has processors). Empty: here.
        progress: called with (title, cases done, cases in all).
        title: what the work is called in ``progress``.
        resume: a ledger file; cases that finished in an earlier call are not run again, failed ones are. Results
            must then be JSON values.
        isolated: work in worker processes even where one suffices, because ``function`` calls what may end its
            process (a decoder, say).

    Raises:
        InputRefused: the function cannot be sent to a worker, the ledger is not this function's, or there is no such
            cluster.
    """
    with _ledger(resume, function) as ledger:
        finished: dict[str, Any] = {} if ledger is None else {k: v for k, v in ledger.finished.items() if k in cases}
        waiting = [key for key in cases if key not in finished]
        n_workers = min(workers if workers > 0 else visible_cores(), len(waiting))
        in_process = in_worker() or (n_workers <= 1 and not isolated and not cluster)
        progress(title, len(finished), len(cases))
        failures: dict[str, Failure] = {}
        where = _Where(0, "") if in_process else _Where(workers if cluster else n_workers, cluster)
        # Closing ends every worker at once, whatever stops this loop.
        with closing(_outcomes(function, cases, waiting, where)) as outcomes:
            for key, outcome in outcomes:
                if outcome.error:
                    failures[key] = Failure(key, outcome.error, outcome.message, outcome.trace)
                else:
                    finished[key] = outcome.result if ledger is None else ledger.add(key, outcome.result)
                progress(title, len(finished) + len(failures), len(cases))
    return MapResult(
        {key: finished[key] for key in cases if key in finished},
        tuple(failures[key] for key in cases if key in failures),
    )


@dataclass(frozen=True)
class _Where:
    """So many workers on a cluster (0: as many as it bears), or here (0: in this process)."""

    n_workers: int
    cluster: str


def _outcomes(
    function: Callable[[Any], Any], cases: Mapping[str, Any], keys: list[str], where: _Where
) -> Generator[tuple[str, Outcome], None, None]:
    """Outcomes as they come; inside a worker a nested map runs in that worker, so that cores are not overbooked."""
    if where.cluster and keys:
        from fiducial.compute.cluster import outcomes_of_cluster

        return outcomes_of_cluster(function, cases, keys, address=where.cluster, n_at_once=where.n_workers)
    if where.n_workers == 0:
        return ((key, attempt(function, cases[key])) for key in keys)
    return outcomes_of_workers(function, cases, keys, n_workers=where.n_workers)


def _ledger(path: Path | None, function: Callable[[Any], Any]) -> Ledger | nullcontext[None]:
    if path is None:
        return nullcontext(None)
    inner = function
    while hasattr(inner, "func"):
        inner = inner.func
    name = f"{getattr(inner, '__module__', '')}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"
    return Ledger(Path(path), name)
