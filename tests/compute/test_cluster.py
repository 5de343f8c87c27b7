"""`map_cases` on the machines of a Ray cluster: two real raylets on loopback, one of which is killed at work."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.archive import write_nifti
from fiducial.cli.main import run
from fiducial.cohort.ingest import ingest
from fiducial.compute import cluster, driver, map_cases, workers
from fiducial.compute.workers import in_worker
from fiducial.errors import InputRefused
from fiducial.records.image import Geometry, Image

pytest.importorskip("ray")
HERE = Path(__file__).parent
STARTED_S = 300


@pytest.fixture
def functions() -> Any:
    return importlib.import_module("case_functions")


@dataclass
class Machine:
    """One `ray start --block` with a single processor."""

    process: subprocess.Popen[bytes]

    @property
    def raylet(self) -> int:
        """The process id of its raylet, which starts its workers."""
        return next(pid for pid in children(self.process.pid) if b"raylet/raylet" in command(pid))

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]


def start(*arguments: str, log: Path, **more: str) -> Machine:
    ray = Path(sys.executable).with_name("ray")
    small = ["--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats", "--block"]
    paths = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, **more}
    with log.open("wb") as said:
        process = subprocess.Popen([ray, "start", *arguments, *small], stdout=said, stderr=said, env=environment)
    until = time.monotonic() + STARTED_S
    while b"Ray runtime started" not in log.read_bytes():
        if time.monotonic() > until or process.poll() is not None:
            process.kill()
            raise RuntimeError(log.read_text())
        time.sleep(0.05)
    return Machine(process)


@dataclass
class Two:
    """Two machines: the head, to which the tests connect, and another one."""

    address: str
    head: Machine
    other: Machine
    folder: Path


def start_head(folder: Path, **environment: str) -> tuple[str, Machine]:
    """A head on a free port, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = [f"--port={port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false", f"--temp-dir={folder}"]
    return f"127.0.0.1:{port}", start("--head", *where, log=folder / "head.log", **environment)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Not pytest's folder: Ray's sockets want a short path."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    address, head = start_head(folder)
    other = start(f"--address={address}", "--node-ip-address=127.0.0.1", log=folder / "other.log")
    try:
        yield Two(address, head, other, folder)
    finally:
        other.stop()
        head.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_every_end_of_a_case_is_that_of_local_workers(functions: Any, two: Two) -> None:
    cases = {str(n): n for n in range(6)}
    here = map_cases(functions.ends_in_every_way, cases, workers=2)
    there = map_cases(functions.ends_in_every_way, cases, cluster=two.address)
    assert there.results == here.results
    assert there.results.keys() == {"0", "5"}
    assert [(f.key, f.error) for f in there.failures] == [(f.key, f.error) for f in here.failures]
    assert there.failures[0] == here.failures[0]
    assert "ends_in_every_way" in there.failures[1].trace
    assert there.failures[2].message == "the worker process or its machine was lost (WorkerCrashedError)"


def test_a_task_is_a_worker_on_one_thread(functions: Any, two: Two) -> None:
    given = map_cases(functions.surroundings, {"a": 1, "b": 2}, cluster=two.address)
    for result in given.results.values():
        assert result["threads"] == "1"
        assert set(result["nested"]) == {result["pid"]} != {os.getpid()}


def test_cases_are_sent_as_the_cluster_has_room(functions: Any, two: Two) -> None:
    class Lazy(dict[str, int]):
        n_read = 0

        def __getitem__(self, key: str) -> int:
            self.n_read += 1
            return super().__getitem__(key)

    cases = Lazy({str(n): n for n in range(60)})
    ahead: list[int] = []
    given = map_cases(
        functions.double, cases, cluster=two.address, progress=lambda *call: ahead.append(cases.n_read - call[1])
    )
    assert given.results == {str(n): 2 * n for n in range(60)}
    assert max(ahead) <= 2 * driver.AHEAD


def test_a_stop_in_the_middle_frees_the_machines_and_resume_goes_on(functions: Any, two: Two, tmp_path: Path) -> None:
    calls, ledger = tmp_path / "calls", tmp_path / "ledger"
    calls.mkdir()
    machines = {machine.raylet: 600.0 for machine in (two.head, two.other)}
    cases = {str(n): (n, str(calls), {} if n < 3 else machines) for n in range(8)}

    def stop(title: str, n_done: int, n_all: int) -> None:
        if n_done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_cases(functions.where_it_ran, cases, cluster=two.address, resume=ledger, progress=stop, workers=2)
    assert multiprocessing.active_children() == []
    finished = {json.loads(line)["key"] for line in ledger.read_text().splitlines()[1:]}
    assert finished == {"0", "1", "2"}
    # The two that were begun sleep for ten minutes, unless they were ended.
    cases = {str(n): (n, str(calls), {}) for n in range(8)}
    given = map_cases(functions.where_it_ran, cases, cluster=two.address, resume=ledger)
    assert given.results == {str(n): n * n for n in range(8)}
    assert {(calls / key).read_text().count("\n") for key in finished} == {1}


def test_no_word_of_a_case_is_in_the_logs_of_ray(functions: Any, two: Two, capfd: pytest.CaptureFixture[str]) -> None:
    name = "Doe-Jane-19500101"
    given = map_cases(functions.tells_a_name, {name: name}, cluster=two.address)
    assert given.failures[0].message == f"of {name}"
    assert capfd.readouterr() == ("", "")
    logs = [path for path in two.folder.rglob("*") if path.is_file()]
    assert len(logs) > 5
    assert not [path for path in logs if name.encode() in path.read_bytes()]


@pytest.fixture
def broken_cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cohort of three images with a mask each, of which the second image is broken; its folder is the current one."""
    rng = np.random.default_rng(0)
    grid = Geometry(np.diag([1.0, 1.0, 2.0, 1.0]), (12, 11, 6))
    mask = np.zeros(grid.shape, np.uint8)
    mask[2:6, 2:6, 1:4] = 1
    for number in range(3):
        voxels = rng.integers(1, 9, grid.shape).astype(np.int16)
        write_nifti(Image(voxels[None], grid, "MR", ""), tmp_path / f"images/case{number}.nii.gz")
        write_nifti(Image(mask[None], grid), tmp_path / f"labels/case{number}.nii.gz")
    ingest(tmp_path, tmp_path / "cohort", workers=1)
    (tmp_path / "images/case1.nii.gz").write_bytes(b"broken")
    (tmp_path / "radiomics.toml").write_text('families = ["statistics"]\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", ["features", "feature-maps"])
def test_a_cohort_gives_the_same_on_a_cluster(
    two: Two, broken_cohort: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    said = []
    for where in (["here", "--workers", "1"], ["there", "--cluster", two.address]):
        assert run([command, "cohort", "--config", "radiomics.toml", "--quiet", "--json", "--out", *where]) == 0
        said.append(json.loads(capfd.readouterr().out))
    assert [name for name, _ in said[1]["set_aside"]] == ["case1~label_1"]
    assert said[0] | {"out": "", "table": ""} == said[1] | {"out": "", "table": ""}
    if command == "features":
        pd.testing.assert_frame_equal(pd.read_parquet("here"), pd.read_parquet("there"))
    else:
        here, there = (
            {str(p.relative_to(name)): p.read_bytes() for p in Path(name).rglob("*.*")} for name in ("here", "there")
        )
        assert len(here) == 2 * 18 + 1
        assert here == there


def test_a_machine_with_another_version_is_named(functions: Any) -> None:
    """What a machine answers that is given work of another version."""
    packed = [bytes(ForkingPickler.dumps(value)) for value in (functions.double, 1)]
    before = in_worker()
    try:
        outcome = ForkingPickler.loads(driver._task(*packed, "0.0.0"))
    finally:
        workers._state["in_worker"] = before
    assert outcome.error == "OtherVersion"
    assert outcome.message.endswith("the command 0.0.0: install the same")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://127.0.0.1:10001", r"cluster address 'ray://127\.0\.0\.1:10001'\n  legal: HOST:PORT of the head"),
        ("auto", "cluster address 'auto'"),
        ("127.0.0.1:9", r"no Ray cluster can be used at 127\.0\.0\.1:9 \(Connection refused\)"),
    ],
)
def test_an_address_without_a_cluster_is_refused(functions: Any, address: str, message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        map_cases(functions.double, {"a": 1}, cluster=address)


def test_ray_that_is_not_installed_is_refused(functions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(InputRefused, match=r"needs ray, which is not installed\n.*'fiducial\[cluster\]'"):
        map_cases(functions.double, {"a": 1}, cluster="127.0.0.1:9")


@pytest.mark.slow
def test_a_cluster_with_a_token_is_open_to_who_has_it_alone(
    functions: Any, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
    address, head = start_head(short_path, **token)
    try:
        with pytest.raises(InputRefused, match=r"no Ray cluster can be used at \S+ \(Failed to connect"):
            map_cases(functions.double, {"a": 1}, cluster=address)
        for name, value in token.items():
            monkeypatch.setenv(name, value)
        assert map_cases(functions.double, {"a": 1}, cluster=address).results == {"a": 2}
    finally:
        head.stop()


# The last two: the one leaves one machine, the other none.


def test_a_machine_that_is_killed_loses_no_case(functions: Any, two: Two, tmp_path: Path) -> None:
    victim, survivor = two.other.raylet, two.head.raylet
    # Whatever the victim begins it does not end: only its death sets these cases free.
    cases = {f"p{n:02}": (n, str(tmp_path), {victim: 600.0, survivor: 0.1}) for n in range(12)}

    def kill(title: str, n_done: int, n_all: int) -> None:
        if n_done == 3:
            # A busy machine starts its worker late.
            until = time.monotonic() + STARTED_S
            while not any(str(victim) in path.read_text() for path in tmp_path.iterdir()):
                assert time.monotonic() < until
                time.sleep(0.05)
            os.kill(victim, signal.SIGKILL)

    given = map_cases(functions.where_it_ran, cases, cluster=two.address, progress=kill, title="killed")
    assert given.failures == ()
    machines = [(tmp_path / str(n)).read_text().split() for n in range(12)]
    assert sorted(map(len, machines)) in ([1] * 11 + [2], [1] * 10 + [2, 2])
    assert {pids[-1] for pids in machines} == {str(survivor)}
    assert {pids[0] for pids in machines} == {str(survivor), str(victim)}
    assert given.results == map_cases(functions.where_it_ran, cases, workers=2).results


@pytest.mark.slow
def test_a_lost_cluster_is_a_refusal_and_what_is_finished_stays(
    functions: Any, two: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ray looks for its head for a minute; here for a moment.
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "3")
    cases = {str(n): (n, str(tmp_path), {}) for n in range(400)}

    def kill(title: str, n_done: int, n_all: int) -> None:
        if n_done == 3:
            os.kill(two.head.raylet, signal.SIGKILL)

    with pytest.raises(InputRefused, match=r"the cluster at \S+ is lost: .*\n.*start it again, then give the same"):
        map_cases(functions.where_it_ran, cases, cluster=two.address, progress=kill, resume=tmp_path / "ledger")
    assert 4 <= (tmp_path / "ledger").read_text().count("\n") < 400
    assert multiprocessing.active_children() == []
