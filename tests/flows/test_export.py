"""`fiducial export`: a run's masks and scores, and anybody's masks, back on the original series."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from fiducial.archive import read_image, write_nifti
from fiducial.archive.dicom import DicomHeader, find_series, stack_series, write_series
from fiducial.archive.segmentation import read_segmentation
from fiducial.errors import InputRefused, IntegrityError
from fiducial.flows import ExportSettings, export, ingest
from fiducial.records.files import sha256_file
from fiducial.records.image import Geometry, Image
from fiducial.records.runs import seal
from fiducial.records.tables import PREDICTIONS, table, write_table

SHAPE = (12, 10, 6)
AFFINE = np.array([[-0.9, 0, 0, 12.5], [0, -0.8, 0, 20.25], [0, 0, 2.5, -7.75], [0, 0, 0, 1.0]])


@dataclass(frozen=True)
class Scene:
    """Two patients' CT, their cohort, and a folder of label maps named by image id."""

    source: Path
    cohort: Path
    masks: Path
    images: tuple[str, ...]
    labels: np.ndarray


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    for number in (1, 2):
        image = Image(np.full((1, *SHAPE), number, np.int16), Geometry(AFFINE, SHAPE), "CT", "HU")
        write_series(image, folder / "source" / str(number), DicomHeader(f"SECRET-{number}", patient_name="Doe^Jane"))
    ingest(folder / "source", folder / "cohort", workers=1)
    cohort = pd.read_parquet(folder / "cohort" / "cohort.parquet")
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:5, 3:8, 1:4], labels[7, 2:4, 2] = 1, 2
    for row in cohort.to_dict("records"):
        geometry = read_image(folder / "cohort" / row["path"]).geometry
        write_nifti(Image(labels[None], geometry), folder / "masks" / f"{row['image']}.nii.gz")
    return Scene(folder / "source", folder / "cohort", folder / "masks", tuple(cohort["image"]), labels)


def series_of(scene: Scene, path: Path) -> Path:
    """The source folder of the patient that an object names."""
    patient = str(pydicom.dcmread(path).PatientID)
    return scene.source / patient.removeprefix("SECRET-")


def test_masks_of_a_folder_go_to_their_own_patients(made: Scene, tmp_path: Path) -> None:
    settings = ExportSettings(("seg", "rtstruct", "sr", "nifti"), structures=(("Liver", 1), ("Nodule", 2)), model="m")
    done = export(made.masks, made.source, tmp_path / "out", cohort=made.cohort, settings=settings, workers=1)
    assert not done.failures
    assert set(done.files) == set(made.images)
    for image in made.images:
        path = tmp_path / "out" / f"{image}.seg.dcm"
        grid = stack_series(find_series(series_of(made, path))[0]).reference
        read = read_segmentation(path, grid)
        np.testing.assert_array_equal(read["Liver"], made.labels == 1)
        np.testing.assert_array_equal(read["Nodule"], made.labels == 2)
        nifti = read_image(tmp_path / "out" / f"{image}.nodule.nii.gz")
        np.testing.assert_array_equal(nifti.array[0] > 0, made.labels == 2)
    patients = {str(pydicom.dcmread(p).PatientID) for p in (tmp_path / "out").glob("*.dcm")}
    assert patients == {"SECRET-1", "SECRET-2"}
    assert not any("SECRET" in p.name or "Doe" in p.name for p in (tmp_path / "out").iterdir())
    assert "SECRET" not in repr(done)


def run_of(scene: Scene, folder: Path) -> Path:
    """A run folder as `predict` leaves it: a table, payloads, a record."""
    rows = []
    for image in scene.images:
        payload = folder / "payload" / f"{image}.nii.gz"
        payload.parent.mkdir(parents=True, exist_ok=True)
        payload.write_bytes((scene.masks / f"{image}.nii.gz").read_bytes())
        common = {"study": "s", "model": "0123456789ab", "subject": "p", "image": image, "target": "Nodule"}
        mask = {"kind": "mask", "payload": f"payload/{image}.nii.gz", "payload_sha256": sha256_file(payload)}
        rows.append(common | mask | {"label": "1+2"})
        rows.append(common | {"kind": "score", "target": "malignant", "value": 0.75})
        rows.append(common | mask | {"member": "fold_0", "label": "1"})
    (folder / "model.safetensors").write_bytes(b"weights")
    write_table(table(rows, PREDICTIONS), folder / "predictions.parquet", PREDICTIONS)
    facts = {"study_name": "nodules", "fingerprint": "f" * 64, "cohort_folder": str(scene.cohort)}
    seal(folder, "predictions.parquet", "payload", "model.safetensors", **facts)
    return folder


def test_a_run_says_who_it_is_and_its_final_answers(made: Scene, tmp_path: Path) -> None:
    run = run_of(made, tmp_path / "run")
    done = export(run, made.source, tmp_path / "out", settings=ExportSettings(("sr",)), workers=1)
    assert {name.rpartition(".")[0].rpartition(".")[2] for files in done.files.values() for name in files} == {
        "seg",
        "sr",
    }
    path = tmp_path / "out" / f"{made.images[0]}.seg.dcm"
    dataset = pydicom.dcmread(path)
    (segment,) = dataset.SegmentSequence
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("nodules", "f" * 12)
    assert sha256_file(run / "model.safetensors") in algorithm.AlgorithmParameters
    grid = stack_series(find_series(series_of(made, path))[0]).reference
    np.testing.assert_array_equal(read_segmentation(path, grid)["Nodule"], made.labels > 0)
    content = pydicom.dcmread(tmp_path / "out" / f"{made.images[0]}.sr.dcm").to_json()
    assert "malignant" in content
    assert "0.75" in content


def test_a_changed_mask_is_set_aside_and_a_changed_table_refused(made: Scene, tmp_path: Path) -> None:
    run = run_of(made, tmp_path / "run")
    first, second = made.images
    (run / "payload" / f"{first}.nii.gz").write_bytes((made.masks / f"{first}.nii.gz").read_bytes() + b"0")
    done = export(run, made.source, tmp_path / "out", workers=1)
    assert list(done.files) == [second]
    assert done.failures[0][0] == first
    assert "SHA-256 differs" in done.failures[0][1]
    (run / "predictions.parquet").write_bytes(b"x")
    with pytest.raises(IntegrityError):
        export(run, made.source, tmp_path / "again", workers=1)


def test_a_mask_on_another_grid_leaves_nothing_behind(made: Scene, tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[0, 3] += 0.9
    write_nifti(Image(made.labels[None], Geometry(moved, SHAPE)), tmp_path / "masks" / f"{made.images[0]}.nii.gz")
    settings = ExportSettings(("seg", "rtstruct"))
    done = export(tmp_path / "masks", made.source, tmp_path / "out", cohort=made.cohort, settings=settings, workers=1)
    ((image, message),) = done.failures
    assert image == made.images[0]
    assert message.count("12 x 10 x 6 voxels of") == 2
    assert not list((tmp_path / "out").iterdir())


def test_files_of_an_earlier_export_are_not_replaced(made: Scene, tmp_path: Path) -> None:
    export(made.masks, made.source, tmp_path, cohort=made.cohort, workers=1)
    before = {p.name: sha256_file(p) for p in tmp_path.iterdir()}
    done = export(made.masks, made.source, tmp_path, cohort=made.cohort, workers=1)
    assert {message.partition(":")[0] for _, message in done.failures}
    assert all("already here" in message for _, message in done.failures)
    assert {p.name: sha256_file(p) for p in tmp_path.iterdir()} == before


def test_without_a_cohort_one_series_is_enough_and_two_are_not(made: Scene, tmp_path: Path) -> None:
    write_nifti(read_image(made.masks / f"{made.images[0]}.nii.gz"), tmp_path / "masks" / "any.nii.gz")
    done = export(tmp_path / "masks", made.source / "1", tmp_path / "out", workers=1)
    assert done.files == {"any": ("any.seg.dcm",)}
    with pytest.raises(InputRefused, match="2 image series"):
        export(tmp_path / "masks", made.source, tmp_path / "out2", workers=1)


def test_an_image_of_another_source_is_named(made: Scene, tmp_path: Path) -> None:
    done = export(made.masks, made.source / "1", tmp_path / "out", cohort=made.cohort, workers=1)
    assert len(done.files) == 1
    ((image, message),) = done.failures
    assert image in made.images
    assert "not below the source" in message
    write_series(
        Image(np.zeros((1, *SHAPE), np.int16), Geometry(AFFINE, SHAPE), "CT", "HU"), tmp_path / "ct", DicomHeader("Z")
    )
    with pytest.raises(InputRefused, match="none of 2 images has its series there"):
        export(made.masks, tmp_path / "ct", tmp_path / "out2", cohort=made.cohort, workers=1)


def test_a_cohort_without_its_key_is_refused(made: Scene, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="key is not here"):
        export(made.masks, made.source, tmp_path / "out", cohort=tmp_path, workers=1)
    assert not (tmp_path / "private").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [(ExportSettings(("pdf",)), "pdf"), (ExportSettings(()), "nothing"), (ExportSettings(kind="x"), "x")],  # type: ignore[arg-type]
)
def test_unknown_words_are_refused(settings: ExportSettings, said: str, made: Scene, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=said):
        export(made.masks, made.source, tmp_path / "out", cohort=made.cohort, settings=settings)


def test_the_command_writes_and_says_so(made: Scene, tmp_path: Path) -> None:
    main = "from fiducial.cli.main import main; main()"
    command = [sys.executable, "-c", main, "export", str(made.masks), "--source", str(made.source)]
    options = ["--out", str(tmp_path / "out"), "--cohort", str(made.cohort), "--structure", "Liver=1", "--workers", "1"]
    done = subprocess.run([*command, *options, "--json", "--quiet"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_images"] == 2
    assert "SECRET" not in done.stdout + done.stderr
    wrong = subprocess.run(
        [*command, *options[:4], "--structure", "Liver"], capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "NAME=VALUE" in wrong.stderr
