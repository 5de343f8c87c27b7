"""`fiducial features` where the worker of one case is killed in the middle of it, as happens without memory left."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fiducial.archive import write_nifti
from fiducial.cli.main import run
from fiducial.cohort.ingest import ingest
from fiducial.records.image import Geometry, Image

SLOW = 160
"""Voxels along each side of a case that takes its worker far longer than everything else here."""
PATIENCE_S = 120


def written(folder: Path, name: str, size: int) -> None:
    grid = Geometry(np.eye(4), (size, size, size))
    voxels = np.random.default_rng(size).integers(0, 400, grid.shape).astype(np.int16)
    write_nifti(Image(voxels[None], grid, "CT", ""), folder / f"images/{name}.nii.gz")
    write_nifti(Image(np.ones((1, *grid.shape), np.uint8), grid), folder / f"labels/{name}.nii.gz")


def children() -> set[int]:
    tasks = Path("/proc/self/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


def at_work(of: set[int]) -> list[int]:
    """Those that have begun a case: the compiled loops are loaded inside of one."""
    begun = []
    for pid in of:
        with suppress(OSError):  # it may have ended meanwhile
            begun += [pid] * ("llvmlite" in Path(f"/proc/{pid}/maps").read_text())
    return begun


def n_lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob(".*.ledger"))


def kill_twice(folder: Path, others: set[int]) -> int:
    """Once when all other cases are in the ledger, and once more when the last is tried again, alone; how many died."""
    killed: set[int] = set()
    until = time.monotonic() + PATIENCE_S
    for _ in range(2):
        begun: list[int] = []
        while not begun or n_lines(folder) < 3:  # a head, and two cases
            assert time.monotonic() < until
            time.sleep(0.02)
            begun = at_work(children() - others - killed)
        for pid in begun:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
    return len(killed)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the worker in /proc")
def test_a_killed_case_is_named_and_the_same_command_finishes_it(tmp_path, capfd, monkeypatch):
    for name in ("a", "b"):
        written(tmp_path, name, 8)
    written(tmp_path, "slow", SLOW)
    ingest(tmp_path, tmp_path / "cohort", workers=1)
    (tmp_path / "radiomics.toml").write_text("bin_number = 32\n")
    monkeypatch.chdir(tmp_path)
    command = ["features", "cohort", "--config", "radiomics.toml", "--out", "f.parquet", "--workers", "2", "--json"]
    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill_twice, tmp_path, children())
        assert run(command) == 0
        # Of the first two, one may have had nothing more to do.
        assert killer.result() in (2, 3)
    said = json.loads(capfd.readouterr().out)
    ((name, reason),) = said["set_aside"]
    assert name == "slow~label_1"
    assert reason.startswith("WorkerDied: the worker process was killed (SIGKILL), as the system does when memory runs")
    first = pd.read_parquet("f.parquet")
    assert first[first["image"] == "slow"]["value"].isna().all()
    assert set(first[first["image"] == "slow"]["reason"]) == {reason}
    assert len(list(tmp_path.glob(".*.ledger"))) == 1

    # A smaller cut of it fits. The others are finished: nothing is read of them, nor could it be.
    written(tmp_path, "slow", 8)
    for name in ("a", "b"):
        (tmp_path / f"images/{name}.nii.gz").unlink()
    assert run(command) == 0
    assert json.loads(capfd.readouterr().out)["set_aside"] == []
    second = pd.read_parquet("f.parquet")
    assert second[second["image"] == "slow"]["value"].notna().any()
    kept = [table[table["image"] != "slow"].reset_index(drop=True) for table in (first, second)]
    pd.testing.assert_frame_equal(*kept)
    assert list(tmp_path.glob(".*.ledger")) == []
