"""Files that are not what they say, as the command line meets them: each command names each of them, and goes on."""

from __future__ import annotations

import gzip
import json
import shutil

import nibabel
import numpy as np
import pytest

from fiducial.archive import write_nifti
from fiducial.cli.main import run
from fiducial.cohort.ingest import ingest
from fiducial.records.image import Geometry, Image

SHAPE = (16, 14, 9)
TYPES = {"float32": "float", "uint8": "uchar"}
VOXELS = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
MASK = np.zeros(SHAPE, np.uint8)
MASK[4:12, 4:10, 2:7] = 1


def nrrd_header(kind, sizes):
    """NRRD's, up to the voxels, on a grid of 1 mm; a fourth axis is none of space."""
    directions = ["(1,0,0)", "(0,1,0)", "(0,0,1)", "none"][: len(sizes)]
    lines = (
        "NRRD0004",
        f"type: {kind}",
        f"dimension: {len(sizes)}",
        "space: right-anterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {' '.join(directions)}",
        "endian: little",
        "encoding: gzip",
        "space origin: (0,0,0)",
    )
    return ("\n".join(lines) + "\n\n").encode()


def write(path, voxels):
    if path.suffix == ".nrrd":
        path.parent.mkdir(exist_ok=True)
        held = gzip.compress(voxels.tobytes(order="F"))
        path.write_bytes(nrrd_header(TYPES[voxels.dtype.name], voxels.shape) + held)
    else:
        write_nifti(Image(voxels[None], Geometry(np.eye(4), voxels.shape)), path)


def claims_much(path):
    """A header that declares terabytes before a few kilobytes of zeros."""
    if path.suffix == ".nrrd":
        path.write_bytes(nrrd_header("double", (40000, 40000, 40000)) + gzip.compress(bytes(10**6)))
        return
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.float64)
    header.set_data_shape((32000, 32000, 32000))
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(10**6)))


def cut(path):
    path.write_bytes(path.read_bytes()[:-400])


def mirrored(path):
    """The same voxels, whose place alone is another."""
    write_nifti(Image(MASK[None], Geometry(np.diag([-1.0, 1.0, 1.0, 1.0]), SHAPE)), path)


def nan_in_a_slice(path):
    voxels = VOXELS.copy()
    voxels[0, 0, 2] = np.nan
    write(path, voxels)


# What is done to a file of an ingested cohort, and what every command says of it then (None: nothing is wrong).
SPOILT = {
    "good.nii.gz": ("images", None, None),
    "good.nrrd": ("images", None, None),
    "nan_aside.nrrd": ("images", nan_in_a_slice, None),
    "cut.nii.gz": ("images", cut, "truncated: the file ends early or is damaged (EOFError)"),
    "cut.nrrd": ("images", cut, "truncated: the voxels end early or are damaged"),
    "cut_mask.nrrd": ("labels", lambda p: p.write_bytes(p.read_bytes()[:-9]), "truncated: the voxels end early or are"),
    "text.nii.gz": ("images", lambda p: p.write_text("no image\n"), "format: the name says gzip, but the file is none"),
    "text.nrrd": ("images", lambda p: p.write_text("no image\n"), "format: no NRRD file (its first line is none of"),
    "nothing.nii.gz": ("images", lambda p: p.write_bytes(b""), "truncated: the file is empty"),
    "bomb.nii.gz": ("images", claims_much, "truncated: 262,144,000,000,000 bytes declared, at most "),
    "bomb.nrrd": ("images", claims_much, "truncated: 512,000,000,000,000 bytes declared, at most "),
    "four.nrrd": ("images", lambda p: write(p, np.stack([VOXELS] * 3, axis=3)), "several-volumes: 3 volumes or"),
    "four_mask.nrrd": ("labels", lambda p: write(p, np.stack([MASK] * 2, axis=3)), "voxel-type: a label map of 2"),
    "half.nii.gz": ("labels", lambda p: write(p, MASK * np.float32(0.5)), "voxel-type: labels that are not whole"),
    "mirrored.nii.gz": ("labels", mirrored, "two grids differ: 16 x 14 x 9 voxels of 1 x 1 x 1 mm at (0, 0, 0) along"),
    "other.nrrd": ("labels", lambda p: write(p, 7 * MASK), "label-missing: no voxel of value 1; the mask holds 7"),
    "empty.nrrd": ("labels", lambda p: write(p, 0 * MASK), "empty-mask: no voxel"),
}
COMMANDS = {
    "features": ["features", "cohort", "--config", "few.toml"],
    "features by the profile": ["features", "cohort", "--profile", "pyradiomics"],
    "features after perturbations": ["features", "cohort", "--config", "few.toml", "--perturb", "perturb.toml"],
    "the profile after perturbations": ["features", "cohort", "--profile", "pyradiomics", "--perturb", "perturb.toml"],
    "feature-maps": ["feature-maps", "cohort", "--config", "few.toml"],
}


def subject(name):
    return name.replace(".", "_")


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name in SPOILT:
        suffix = ".nrrd" if name.endswith("nrrd") else ".nii.gz"
        write(folder / f"images/{subject(name)}{suffix}", VOXELS)
        write(folder / f"labels/{subject(name)}{suffix}", MASK)
    ingest(folder, folder / "cohort", workers=1)
    for name, (where, spoil, _) in SPOILT.items():
        if spoil is not None:
            spoil(folder / where / f"{subject(name)}{'.nrrd' if name.endswith('nrrd') else '.nii.gz'}")
    (folder / "few.toml").write_text('families = ["statistics"]\nbin_number = 8\n')
    (folder / "perturb.toml").write_text('[[perturbation]]\nname = "noisy"\nnoise = 1\nvolume = 0.1\n')
    return folder


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_each_file_is_named_and_the_rest_goes_on(spoilt, tmp_path, capfd, monkeypatch, command):
    monkeypatch.chdir(spoilt)
    assert run([*command, "--out", str(tmp_path / "out"), "--workers", "1", "--quiet", "--json"]) == 0
    out, errors = capfd.readouterr()
    assert errors == ""
    said = json.loads(out)
    reasons = {name.removesuffix("~label_1"): reason for name, reason in said["set_aside"]}
    wrong = {subject(name): reason for name, (_, _, reason) in SPOILT.items() if reason is not None}
    assert reasons.keys() == wrong.keys()
    for name, reason in wrong.items():
        assert reason in reasons[name]
    assert said["n_regions"] == len(SPOILT) - len(wrong)


def test_ingest_names_them_too(spoilt, tmp_path, capfd):
    for name in ("images", "labels"):
        shutil.copytree(spoilt / name, tmp_path / name)
    assert run(["ingest", str(tmp_path), "--out", str(tmp_path / "cohort"), "--workers", "1", "--quiet", "--json"]) == 0
    out, errors = capfd.readouterr()
    assert errors == ""
    rows = json.loads((tmp_path / "cohort/ingest.json").read_text())["rows"]
    reasons = {row["series"]: row["reason"] for row in rows if row["status"] == "rejected"}
    # It looks at files: NaN anywhere is refused, while several volumes, other labels and empty masks may be meant.
    meant = {"four_nrrd", "other_nrrd", "empty_nrrd"}
    wrong = {subject(name): reason for name, (_, _, reason) in SPOILT.items() if reason is not None}
    assert reasons.keys() == wrong.keys() - meant | {"nan_aside_nrrd"}
    for name in reasons.keys() & wrong.keys():
        assert wrong[name] in reasons[name]
    assert json.loads(out)["n_images"] == len(SPOILT) - len(reasons)
