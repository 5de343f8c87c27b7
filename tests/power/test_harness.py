"""The harness counts what it says: every defect and seed once, findings as findings, and nothing kept too long."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from fiducial.audit import CHECKS
from fiducial.phantom.defects import DEFECTS


def test_every_defect_and_every_seed_is_a_task_once(power: ModuleType) -> None:
    tasks = [t for stage in power.tasks_of(CHECKS, seeds={200: 25}, clean_seeds={1000: 12}) for t in stage]
    planted = Counter((t.defect, t.size, seed) for t in tasks if t.size for seed in range(t.start, t.stop))
    expected = [(d, s, k) for d, p in DEFECTS.items() if p.check in CHECKS for s in p.sizes for k in range(25)]
    assert planted == Counter(expected)
    clean = Counter((t.n, seed) for t in tasks if not t.defect for seed in range(t.start, t.stop))
    assert clean == Counter((1000, seed) for seed in range(12))
    assert all(t.checks == tuple(CHECKS) for t in tasks if not t.defect)


def test_only_the_checks_that_were_asked_for_are_run(power: ModuleType) -> None:
    tasks = [t for stage in power.tasks_of(["subgroups"], seeds={200: 5}, clean_seeds={200: 5}) for t in stage]
    assert {check for task in tasks for check in task.checks} == {"subgroups"}
    assert {task.defect for task in tasks} == {"", "weak_group", "weak_group_masks"}


def test_a_large_defect_is_found_and_none_is_not(power: ModuleType) -> None:
    found = power.run(power.Task("shifted_scores", 0.8, 300, 0, 3, ("calibration",)))
    assert found == {"letters": {"calibration": "FFF"}, "errors": {}}
    assert power.run(power.Task("", 0.0, 300, 0, 1, ("score_distribution",)))["letters"] == {"score_distribution": "C"}
    few = power.run(power.Task("", 0.0, 30, 0, 1, ("conformal",)))["letters"]
    assert few == {"conformal": "N"}


def test_an_error_of_a_check_is_counted_and_told(power: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(given: object) -> None:
        raise ValueError("a planted error")

    monkeypatch.setitem(CHECKS, "openings", broken)
    found = power.run(power.Task("", 0.0, 30, 4, 6, ("openings",)))
    assert found["letters"] == {"openings": "EE"}
    assert found["errors"] == {"openings": "seed 5: ValueError: a planted error"}


def test_the_cache_keeps_seeds_in_order_and_forgets_what_changed(
    power: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = power.Cache(tmp_path / "power.json", ["openings"])
    second, first = (power.Task("", 0.0, 30, start, start + 2, ("openings",)) for start in (2, 0))
    for task, letters in ((second, "FC"), (first, "NN")):
        assert cache.lacking(task) == task
        cache.add(task, {"letters": {"openings": letters}, "errors": {}})
    assert cache.letters("openings", "", 0.0, 30) == "NNFC"
    assert cache.lacking(first) is None
    cache.write()
    again = power.Cache(tmp_path / "power.json", ["openings"])
    assert again.letters("openings", "", 0.0, 30) == "NNFC"
    monkeypatch.setattr(power, "digest_of", lambda _: "another")
    assert power.Cache(tmp_path / "power.json", ["openings"]).letters("openings", "", 0.0, 30) == ""


def test_the_digest_follows_the_sources_of_a_check(
    power: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    source = power.ROOT / "src"
    shutil.copytree(source, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(power, "ROOT", tmp_path)
    before = {name: power.digest_of(name) for name in ("calibration", "leakage")}
    held = tmp_path / "src" / "fiducial" / "maths" / "calibration.py"
    held.write_text(held.read_text() + "\n# a comment\n")
    assert power.digest_of("calibration") == before["calibration"]
    held.write_text(held.read_text() + "\nCHANGED = 1\n")
    assert power.digest_of("calibration") != before["calibration"]
    assert power.digest_of("leakage") == before["leakage"]


def test_a_share_counts_findings_only(power: ModuleType) -> None:
    assert power.share("FFCN") == 0.5
    assert power.share("-E") == 0.0


def test_coverage_of_a_rate_by_hand(interval_coverage: ModuleType) -> None:
    cell = interval_coverage.Cell("rate", "0.8", 1, 50, 200)
    found = interval_coverage.measured(cell)
    assert found["given"] == 200
    assert 0.9 <= found["held"] / 200 <= 1.0
    assert interval_coverage.minimum_n({cell.key: found}, "rate", 50) == 0


def test_truths_of_coverage_agree_with_large_samples(interval_coverage: ModuleType) -> None:
    import numpy as np

    from fiducial.maths.bootstrap import clustered_bootstrap
    from fiducial.maths.calibration import brier, ece
    from fiducial.maths.decision_curve import net_benefit_of

    rng = np.random.default_rng(0)
    metrics = interval_coverage.METRICS
    column = interval_coverage.column_of(rng, 200_000, 1, auc=0.9)
    assert brier(column.truth, column.score) == pytest.approx(metrics["brier"].truths["AUC 0.9"][1], abs=0.002)
    statistic = net_benefit_of(column.truth, column.score, threshold=0.1)
    benefit = clustered_bootstrap({"it": statistic}, None, n_replicates=1).value("it")
    assert benefit == pytest.approx(metrics["net_benefit"].truths["0.1"][1], abs=0.003)
    moved = interval_coverage.column_of(rng, 200_000, 1, auc=0.9, change=interval_coverage.shifted(0.5))
    assert ece(moved.truth, moved.score) == pytest.approx(metrics["ece"].truths["shift 0.5"][1], abs=0.003)


def test_fewer_tables_are_drawn_above_what_every_table_showed(power: ModuleType, tmp_path: Path) -> None:
    cache = power.Cache(tmp_path / "power.json", ["subgroups"])
    sizes = DEFECTS["weak_group"].sizes
    later = power.Task("weak_group", sizes[3], 1000, 20, 30, ("subgroups",))
    assert power.needed(cache, later)
    for start in (0, 10):
        task = power.Task("weak_group", sizes[2], 1000, start, start + 10, ("subgroups",))
        cache.add(task, {"letters": {"subgroups": "F" * 10}, "errors": {}})
    assert not power.needed(cache, later)
    assert power.needed(cache, power.Task("weak_group", sizes[3], 1000, 10, 20, ("subgroups",)))
    assert not power.needed(cache, power.Task("weak_group", sizes[2], 5000, 20, 30, ("subgroups",)))
    assert power.needed(cache, power.Task("weak_group", sizes[1], 5000, 20, 30, ("subgroups",)))
