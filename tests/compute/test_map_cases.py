import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fiducial.compute import Failure, MapResult, map_cases, visible_cores
from fiducial.compute.cores import quota_cores
from fiducial.errors import InputRefused


@pytest.fixture
def functions() -> Any:
    return importlib.import_module("case_functions")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_case_is_mapped_in_order(functions: Any, workers: int) -> None:
    seen: list[tuple[str, int, int]] = []
    cases = {f"case-{n}": n for n in range(7)}
    given = map_cases(
        functions.double, cases, workers=workers, progress=lambda *call: seen.append(call), title="doubling"
    )
    assert list(given.results.items()) == [(f"case-{n}", 2 * n) for n in range(7)]
    assert given.failures == ()
    assert seen == [("doubling", n, 7) for n in range(8)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failed_case_is_named_and_the_rest_goes_on(functions: Any, workers: int) -> None:
    given = map_cases(functions.fails_on_three, {str(n): n for n in range(6)}, workers=workers)
    assert given.results == {"0": 0, "1": 1, "2": 2, "5": 5}
    geometry, key = given.failures
    assert (geometry.key, geometry.error, geometry.trace) == ("3", "GeometryError", "")
    assert geometry.message == "case 3: two grids differ\n  legal: one grid"
    assert (key.key, key.error) == ("4", "KeyError")
    assert "fails_on_three" in key.trace


def test_a_killed_worker_names_exactly_its_case(functions: Any) -> None:
    killers = (4, 17)
    given = map_cases(functions.killed_on, {f"p{n:02}": (n, killers) for n in range(24)}, workers=2)
    assert [failure.key for failure in given.failures] == ["p04", "p17"]
    assert {failure.error for failure in given.failures} == {"WorkerDied"}
    assert "SIGKILL" in given.failures[0].message
    assert given.results == {f"p{n:02}": n * n for n in range(24) if n not in killers}


def test_an_isolated_case_cannot_end_this_process(functions: Any) -> None:
    given = map_cases(functions.killed_on, {"a": (4, (4,)), "b": (5, (4,))}, workers=1, isolated=True)
    assert [(failure.key, failure.error) for failure in given.failures] == [("a", "WorkerDied")]
    assert given.results == {"b": 25}


def test_a_case_that_died_once_is_tried_again_alone(functions: Any, tmp_path: Path) -> None:
    marker = str(tmp_path / "killed")
    given = map_cases(functions.killed_the_first_time, {str(n): (n, marker) for n in range(8)}, workers=2)
    assert given.failures == ()
    assert given.results == {str(n): n for n in range(8)}


def test_a_worker_that_exits_says_its_code(functions: Any) -> None:
    given = map_cases(functions.exits, {"a": 0, "b": 1, "c": 2}, workers=2)
    assert [(f.key, f.message) for f in given.failures] == [
        ("b", "the worker process ended by itself with exit code 7")
    ]
    assert given.results == {"a": 0, "c": 2}


def test_workers_keep_to_one_thread_and_do_not_nest(functions: Any) -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    given = map_cases(functions.surroundings, {"a": 1, "b": 2}, workers=2)
    for result in given.results.values():
        assert result["threads"] == "1"
        assert result["pid"] != os.getpid()
        assert set(result["nested"]) == {result["pid"]}
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_a_partial_is_a_legal_function(functions: Any) -> None:
    given = map_cases(partial(functions.scaled, factor=3), {"a": 1, "b": 2}, workers=2)
    assert given.results == {"a": 3, "b": 6}


def test_what_cannot_travel_is_a_failed_case(functions: Any) -> None:
    given = map_cases(functions.unsendable_result, {"a": 0, "b": 1, "c": 2}, workers=2)
    assert [f.key for f in given.failures] == ["b"]
    given = map_cases(functions.double, {"a": 1, "b": functions.Unsendable(), "c": 3}, workers=2)
    assert [(f.key, f.message) for f in given.failures] == [("b", "this case stays here")]
    assert given.results == {"a": 2, "c": 6}


def test_no_worker_outlives_an_error_in_the_loop(functions: Any) -> None:
    def stop(title: str, n_done: int, n_all: int) -> None:
        if n_done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_cases(functions.double, {str(n): n for n in range(50)}, workers=2, progress=stop)
    assert multiprocessing.active_children() == []


def test_no_cases_is_an_empty_result(functions: Any) -> None:
    assert map_cases(functions.double, {}).results == {}


def test_many_small_cases_do_not_pile_up(functions: Any) -> None:
    class Lazy(dict[str, int]):
        n_read = 0

        def __getitem__(self, key: str) -> int:
            self.n_read += 1
            return super().__getitem__(key)

    cases = Lazy({str(n): n for n in range(2_000)})
    ahead: list[int] = []
    given = map_cases(functions.double, cases, workers=2, progress=lambda *call: ahead.append(cases.n_read - call[1]))
    assert len(given.results) == 2_000
    assert max(ahead) <= 3


@pytest.mark.parametrize("workers", [1, 2])
def test_resume_runs_only_what_is_missing(functions: Any, tmp_path: Path, workers: int) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    ledger = tmp_path / "ledger.jsonl"
    cases = {f"c{n}": (n, str(folder)) for n in range(4)}
    first = map_cases(functions.noted, cases, workers=workers, resume=ledger)
    assert [f.key for f in first.failures] == ["c2"]
    with ledger.open("a") as file:
        file.write('{"key": "c2", "res')
    (folder / "mended").touch()
    again = map_cases(functions.noted, cases, workers=workers, resume=ledger)
    assert again.results == {"c0": 0, "c1": 10, "c2": 20, "c3": 30}
    assert [(folder / str(n)).read_text().count("called") for n in range(4)] == [1, 1, 2, 1]
    assert [json.loads(line).get("key") for line in ledger.read_text().splitlines()][3:] == ["c3", "c2"] or workers == 2
    third = map_cases(functions.noted, cases, workers=workers, resume=ledger)
    assert third == again


def test_a_ledger_torn_in_its_first_line_starts_anew(functions: Any, tmp_path: Path) -> None:
    (tmp_path / "l").write_text('{"ledg')
    assert map_cases(functions.double, {"a": 1}, resume=tmp_path / "l").results == {"a": 2}
    assert len((tmp_path / "l").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("error", "stays"), [("WorkerDied", True), ("OtherVersion", True), ("UnreadableFile", False), ("", False)]
)
def test_a_ledger_stays_where_a_case_may_do_better_the_next_time(tmp_path: Path, error: str, stays: bool) -> None:
    ledger = tmp_path / "ledger"
    ledger.touch()
    MapResult({"a": 1}, (Failure("b", error, ""),) if error else ()).forget(ledger)
    assert ledger.exists() == stays
    MapResult({}, ()).forget(ledger)
    assert not ledger.exists()


def test_resumed_results_equal_fresh_ones(functions: Any, tmp_path: Path) -> None:
    fresh = map_cases(functions.pair, {"a": 1}, resume=tmp_path / "l")
    assert fresh.results == {"a": [1, 1]}
    assert map_cases(functions.pair, {"a": 1}, resume=tmp_path / "l") == fresh


def test_ctrl_c_stops_at_once_and_keeps_the_ledger(functions: Any, tmp_path: Path) -> None:
    here = Path(__file__).parent
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom case_functions import slow\n"
        "from fiducial.compute import map_cases\n"
        'if __name__ == "__main__":\n'
        f"    root = Path({str(tmp_path)!r})\n"
        "    map_cases(slow, {k: str(root / k) for k in 'abcd'}, workers=2, resume=root / 'ledger')\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(here)}, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 30
    while not ((tmp_path / "a").exists() and (tmp_path / "b").exists()) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    assert (tmp_path / "ledger").read_text().count("\n") == 1
    assert not (tmp_path / "c").exists()


def test_a_container_quota_is_respected(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert quota_cores(tmp_path) == 2
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert quota_cores(tmp_path) > 1000
    assert 1 <= visible_cores() <= (os.cpu_count() or 1)


def test_a_function_that_cannot_be_pickled_is_refused(functions: Any) -> None:
    with pytest.raises(InputRefused, match="cannot be sent to a worker process") as refused:
        map_cases(lambda value: value, {"a": 1, "b": 2}, workers=2)
    assert "top level of an importable module" in str(refused.value)
    assert map_cases(lambda value: value, {"a": 1, "b": 2}, workers=1).results == {"a": 1, "b": 2}


@pytest.mark.parametrize("how", ["prompt", "unguarded"])
def test_a_script_that_workers_cannot_import_is_told_so(tmp_path: Path, how: str) -> None:
    code = (
        "from fiducial.compute import map_cases\n"
        "def local(value):\n    return value\n"
        "print(map_cases(local, {'a': 1, 'b': 2}, workers=2))\n"
    )
    script = tmp_path / "unguarded.py"
    script.write_text(code)
    command = [sys.executable, "-"] if how == "prompt" else [sys.executable, str(script)]
    ran = subprocess.run(command, input=code, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert "a worker process could not start" in ran.stderr
    assert '__name__ == "__main__"' in ran.stderr


def test_a_ledger_of_another_function_is_refused(functions: Any, tmp_path: Path) -> None:
    map_cases(functions.double, {"a": 1}, resume=tmp_path / "l")
    with pytest.raises(InputRefused, match=r"holds results of case_functions\.double, not of case_functions\.exits"):
        map_cases(functions.exits, {"a": 1}, resume=tmp_path / "l")
    (tmp_path / "other").write_text("subject,age\n")
    for text in ("subject,age\n", "no line end"):
        (tmp_path / "other").write_text(text)
        with pytest.raises(InputRefused, match="other, line 1: this is not a line of a resume ledger"):
            map_cases(functions.double, {"a": 1}, resume=tmp_path / "other")
        assert (tmp_path / "other").read_text() == text


def test_a_result_that_is_not_json_is_refused_with_a_ledger(functions: Any, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="the result of case 'a' cannot be kept"):
        map_cases(functions.not_json, {"a": 1}, resume=tmp_path / "l")
