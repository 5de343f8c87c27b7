"""`fiducial stability`: from a cohort, perturbed, to a table of correlations; and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from fiducial.archive import write_nifti
from fiducial.cli.main import run
from fiducial.cohort.ingest import ingest
from fiducial.errors import InputRefused, TableError
from fiducial.flows import features, stability
from fiducial.records.image import Geometry, Image
from fiducial.records.radiomics import STABILITY
from fiducial.records.tables import read_table

GRID = Geometry(np.diag([1.0, 1.0, 2.0, 1.0]), (24, 22, 10))
PERTURB = """
[[perturbation]]
name = "turned"
rotate_degrees = 5
translate_voxels = [0.25, 0.25, 0]

[[perturbation]]
name = "smaller"
volume = -0.1

[[perturbation]]
name = "noisy"
noise = 1.0
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Features of five balls of different size and brightness, as they are and after three perturbations."""
    folder = tmp_path_factory.mktemp("stability")
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in GRID.shape], indexing="ij"), axis=-1)
    apart = np.sqrt((((grid - (np.array(GRID.shape) - 1) / 2) * [1, 1, 2]) ** 2).sum(axis=-1))
    for number, radius in enumerate((4.0, 5.0, 6.0, 7.0, 8.0)):
        voxels = 100 + 40 * number * (apart <= radius) + rng.normal(0, 3, GRID.shape)
        write_nifti(Image(voxels.astype(np.float32)[None], GRID, "MR", ""), folder / f"images/case{number}.nii.gz")
        mask = (apart <= radius).astype(np.uint8)
        write_nifti(Image(mask[None], GRID, "", ""), folder / f"labels/case{number}.nii.gz")
    ingest(folder, folder / "cohort", workers=1)
    (folder / "radiomics.toml").write_text('families = ["morphology", "statistics"]\n')
    (folder / "perturb.toml").write_text(PERTURB)
    given = {"config": folder / "radiomics.toml", "perturb": folder / "perturb.toml", "workers": 1}
    return features(folder / "cohort", folder / "features.parquet", **given).out


def test_what_is_planted_is_found(table, tmp_path):
    """Five balls of known size: volume is read well whatever is done; skewness of noise is not."""
    made = stability(table, tmp_path / "out")
    assert (made.repeats, made.n_repeats, made.n_regions, made.n_subjects) == ("perturbation", 4, 5, 5)
    found = read_table(made.out, STABILITY).set_index("feature")
    assert found["grade"]["volume_mesh"] == "excellent"
    assert found["grade"]["mean"] == "excellent"
    assert found["grade"]["skewness"] == "poor"
    assert sum(made.grades.values()) == made.n_features == len(found)
    assert {word: sum(one[word] for one in made.families.values()) for word in made.grades} == made.grades
    assert made.notes[-1] == "5 regions are few: the intervals are wide"


def test_the_command_says_what_it_found(table, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["stability", str(table), "--out", "out", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "5 regions of 5 persons, 4 repeats each (perturbation), by the lower end of icc_1_1" in said
    assert "morphology" in said
    assert run(["stability", str(table), "--out", "out", "--graded-by", "icc_3_1", "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["graded_by"] == "icc_3_1"
    assert set(pd.read_parquet("out/stability.parquet")["graded_by"]) == {"icc_3_1"}


def test_repeats_that_shift_all_regions_alike_are_said(tmp_path):
    rng = np.random.default_rng(0)
    even = rng.normal(size=(20, 1)) + 0.3 * rng.normal(size=(20, 4))
    rows = [
        {
            **dict.fromkeys(("subject", "image", "mask"), f"p{i}"),
            **{"perturbation": f"t{j}", "family": "statistics", "feature": name, "value": value},
        }
        for name, values in (("even", even), ("shifted", even + np.array([0, 1, 0, 1])))
        for (i, j), value in np.ndenumerate(values)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "features.parquet")
    made = stability(tmp_path / "features.parquet", tmp_path / "out")
    (note,) = made.notes
    assert note.startswith("repeats shift 1 feature(s) in all regions alike")


def test_refusals(table, tmp_path):
    whole = pd.read_parquet(table)
    once = tmp_path / "once.parquet"
    whole[whole["perturbation"] == ""].to_parquet(once)
    with pytest.raises(InputRefused, match="each of them once"):
        stability(once, tmp_path / "out")
    with pytest.raises(InputRefused, match="repeats 'scanner'") as refused:
        stability(table, tmp_path / "out", repeats="scanner")
    assert refused.value.legal == "perturbation, rater, visit"
    with pytest.raises(InputRefused, match="graded_by 'icc'"):
        stability(table, tmp_path / "out", graded_by="icc")
    with pytest.raises(InputRefused, match="level 2"):
        stability(table, tmp_path / "out", level=2)
    other = tmp_path / "other.parquet"
    whole.drop(columns="family").to_parquet(other)
    with pytest.raises(TableError, match="missing column"):
        stability(other, tmp_path / "out")
    with pytest.raises(TableError, match="no such file"):
        stability(tmp_path / "none.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_second_readings_are_repeats(tmp_path):
    """A second reader draws each ball half a voxel larger: both readings, from the cohort on."""
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in GRID.shape], indexing="ij"), axis=-1)
    apart = np.sqrt((((grid - (np.array(GRID.shape) - 1) / 2) * [1, 1, 2]) ** 2).sum(axis=-1))
    for number, radius in enumerate((3.0, 5.0, 7.0, 9.0)):
        voxels = 100 * number + rng.normal(0, 3, GRID.shape)
        write_nifti(Image(voxels.astype(np.float32)[None], GRID, "MR", ""), tmp_path / f"images/case{number}.nii.gz")
        for folder, reach in (("labels", radius), ("raters/second", radius + 0.5)):
            mask = (apart <= reach).astype(np.uint8)
            write_nifti(Image(mask[None], GRID, "", ""), tmp_path / folder / f"case{number}.nii.gz")
    ingest(tmp_path, tmp_path / "cohort", workers=1)
    (tmp_path / "radiomics.toml").write_text('families = ["morphology", "statistics"]\n')
    made = features(tmp_path / "cohort", tmp_path / "features.parquet", config=tmp_path / "radiomics.toml", workers=1)
    found = stability(made.out, tmp_path / "out")
    assert (found.repeats, found.n_repeats, found.n_regions, found.n_subjects) == ("rater", 2, 4, 4)
    rows = read_table(found.out, STABILITY).set_index("feature")
    assert rows["icc_3_1"]["volume_mesh"] > 0.98
    assert rows["icc_2_1"]["volume_mesh"] < rows["icc_3_1"]["volume_mesh"]
    assert rows["grade"]["mean"] == "excellent"
