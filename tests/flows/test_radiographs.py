"""Radiographs of phantom patients, as DICOM of two makers, from the archive to an audited model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fiducial.flows import ingest, run
from fiducial.phantom.patients import make_patients
from fiducial.phantom.render import render

N_PATIENTS = 90
WATER_PER_MM = 0.02
OPACITY_MM = 45.0
STUDY = """
[study]
name = "opacity"
intended_use = "Tests: rank phantom chest radiographs by their chance of an opacity"

[data]
cohort = "cohort"
inputs = ["DX"]
split = {by = "subject", fractions = {train = 0.5, validation = 0.1, calibration = 0.1, test = 0.3}, seed = 0}
attributes = ["maker"]
minimum_n = 5

[task]
kind = "classification"
targets = ["opacity"]

[train]
minutes = 1.5
memory_gb = 3

[[accept]]
metric = "auc"
at_least = 0.75
"""


def radiograph(index: int, *, opaque: bool) -> NDArray[np.float64]:
    """Attenuation [row, column] of a phantom patient seen from the front: feet down, the left side on the right."""
    patient = make_patients(index + 1, seed=11)[index]
    scan, _ = render(patient)
    density = np.clip(1 + scan.array[0].astype(np.float64) / 1000, 0, None)
    x_mm, y_mm, z_mm = scan.geometry.spacing_mm
    if opaque:
        rng = np.random.default_rng(index)
        n_x, n_y, n_z = density.shape
        side = rng.choice([0.32, 0.68])
        centre = np.array([side * n_x + rng.normal(0, 2), n_y / 2, 0.55 * n_z + rng.normal(0, 2)])
        place = np.stack(np.meshgrid(*(np.arange(n) for n in density.shape), indexing="ij"), axis=-1)
        away_mm = np.linalg.norm((place - centre) * (x_mm, y_mm, z_mm), axis=-1)
        density = np.maximum(density, (away_mm < OPACITY_MM) * 1.0)
    # Columns of the scan run to the patient's left, slices upwards: a picture's rows run down.
    rows = (density.sum(axis=1) * y_mm * WATER_PER_MM).T[::-1]
    # Two columns become one: pixels of about 6 mm, so that a minute of a busy machine is enough.
    return np.asarray((rows[:, ::2] + rows[:, 1::2]) / 2)


def stored(attenuation: NDArray[np.float64], *, bits: int, inverted: bool) -> NDArray[np.uint16]:
    """What a detector stores: dark where much passes (MONOCHROME2), or the other way round (MONOCHROME1)."""
    values = np.rint(attenuation / 8.0 * (2**bits - 1)).clip(0, 2**bits - 1).astype(np.uint16)
    return (2**bits - 1 - values) if inverted else values


@pytest.mark.slow
def test_radiographs_of_two_makers_train_one_model(tmp_path: Path, dicom_picture: Callable[..., Path]) -> None:
    """One maker stores 12 bits and MONOCHROME1, the other 14 bits and MONOCHROME2: the model must not care."""
    labels = ["subject,opacity,maker"]
    for index in range(N_PATIENTS):
        opaque, older = bool(index % 2), bool(index // 2 % 2)
        bits = 12 if older else 14
        dicom_picture(
            tmp_path / "export" / f"{index}.dcm",
            stored(radiograph(index, opaque=opaque), bits=bits, inverted=older),
            "1.1",
            PatientID=f"RX-{index:04d}",
            StudyInstanceUID=f"2.25.{1000 + index}",
            SeriesInstanceUID=f"2.25.{2000 + index}",
            BitsStored=bits,
            HighBit=bits - 1,
            PhotometricInterpretation="MONOCHROME1" if older else "MONOCHROME2",
            ImagerPixelSpacing=[6.0, 6.2],
            BurnedInAnnotation="NO",
            PatientOrientation=["L", "F"],
            Modality="DX",
        )
        labels.append(f"RX-{index:04d},{int(opaque)},{'AB'[older]}")
    (tmp_path / "labels.csv").write_text("\n".join(labels) + "\n")
    made = ingest(tmp_path / "export", tmp_path / "cohort", labels=tmp_path / "labels.csv")
    assert (made.n_subjects, made.n_images, made.repaired, made.rejected) == (N_PATIENTS, N_PATIENTS, 44, 0)
    assert made.notes == ("layout: DICOM",)
    (tmp_path / "opacity.toml").write_text(STUDY)
    run(tmp_path / "opacity.toml", tmp_path / "run")
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["normalisation"][0]["kind"] == "zscore"
    predictions = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    scores = predictions[
        (predictions["split"] == "test") & (predictions["kind"] == "score") & (predictions["item"] == "")
    ]
    for maker, own in scores.merge(pd.read_parquet(tmp_path / "cohort" / "cohort.parquet"), on="image").groupby(
        "maker"
    ):
        positive, negative = own[own["truth"] == 1]["value"], own[own["truth"] == 0]["value"]
        auc = float(np.mean(positive.to_numpy()[:, None] > negative.to_numpy()))
        assert auc > 0.7, (maker, auc)
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_radiograph_shows_the_heart_on_the_patients_left() -> None:
    """The phantom's heart lies to the left, which is right in a picture from the front: nothing is flipped."""
    attenuation = radiograph(0, opaque=False)
    middle = attenuation[attenuation.shape[0] // 2 :, :]
    width = attenuation.shape[1]
    assert middle[:, width // 2 :].sum() > 1.02 * middle[:, : width // 2].sum()
