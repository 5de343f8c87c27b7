"""Lung metastasis of 51 soft-tissue sarcomas from FDG-PET: SUVmax alone, volume alone, and a radiomics signature.

    python benchmarks/24_sarcoma_pet.py --data ../shared/data/sarcoma_pet [--out FOLDER] [--repeats 20] [--workers 2]
    python benchmarks/24_sarcoma_pet.py --page FILE.html

The product's own commands: `ingest`, `features`, `signature` (nested cross-validation by patient, each model audited).
Settled before any result was seen: SUV on a grid of 3 mm, linear; bins of 0.25 SUV from 0; all families of IBSI 1, in
three dimensions; the defaults of `signature` (20 repeats of 5 folds, seed 0). The set has no clinical variables, so
there is no clinical model. Two questions, each answered by a paired interval of 95 %: is the signature
better than SUVmax alone, and than volume alone? Changed after the first result, in which the signature was mostly
empty: an elastic net of every feature that is left stands beside it (`radiomics_all`). Changed after simulations of
noise: volume and SUVmax order patients without a learned direction, and intervals of learned models are wider. No
setting was changed. `plain` is the AUC of the largest SUV in the mask as the
files hold it, without interpolation and without any model.

With ``--page`` features are computed again of disturbed regions (`PERTURBED`, settled before its result was seen),
those that do not repeat are left out of the signature, and families, correlations, stability and models stand on one
page.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd

from fiducial.maths.intervals import auc_interval

FAMILIES = (
    *("morphology", "local_intensity", "statistics", "intensity_histogram", "intensity_volume"),
    *("glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm"),
)
CONFIG = f"""
families = {json.dumps(FAMILIES)}
aggregations = ["3d_merged"]
spacing_mm = [3, 3, 3]
resegment = [0, 100]
bin_width = 0.25
ivh = "arbitrary"
"""
PERTURBED = """
seed = 1

[[perturbation]]
name = "chain"
noise = 1
rotate_degrees = 5
translate_voxels = [0.25, 0.5, 0.25]
contour = true
repeats = 4
"""
TARGET = "lung_metastasis"
DRAWN = ("net_benefit", "net_benefit_difference", "calibration_slope", "calibration_in_the_large", "brier")


def laid_out(data: Path, folder: Path) -> Path:
    """Links in the layout that `ingest` reads: images/ and labels/ with equal names."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for case in sorted(path for path in data.iterdir() if path.is_dir()):
        (folder / "images" / f"{case.name}.nii.gz").symlink_to((case / "PET_image.nii.gz").resolve())
        (folder / "labels" / f"{case.name}.nii.gz").symlink_to((case / "PET_mask.nii.gz").resolve())
    return folder


def plain_maximum(data: Path, outcome: pd.DataFrame) -> pd.DataFrame:
    """The largest SUV in each mask, as the files hold it."""
    rows = []
    for subject in outcome["subject"]:
        image, mask = (
            np.asanyarray(nibabel.load(data / subject / f"PET_{name}.nii.gz").dataobj) for name in ("image", "mask")
        )
        rows.append(float(image[mask > 0].max()))
    return outcome.assign(suv_max=rows)


def command(*words: object) -> None:
    """One command of the product; what it prints is shown."""
    fiducial = Path(sys.executable).with_name("fiducial")
    shown = [str(word) for word in words]
    print(f"$ fiducial {' '.join(word.rsplit('/', 1)[-1] for word in shown)}")
    done = subprocess.run([str(fiducial), *shown, "--quiet"], check=True, capture_output=True, text=True)
    print(done.stdout)


def rows_of(out: Path) -> list[dict[str, object]]:
    """What the audit of each model says of calibration and net benefit."""
    found = []
    for folder in sorted(path for path in (out / "audit").iterdir() if path.is_dir()):
        evidence = json.loads((folder / "evidence.json").read_text())["rows"]
        found += [
            {"model": folder.name, **{key: row[key] for key in ("metric", "item", "statistic", "value", "low", "high")}}
            for row in evidence
            if row["metric"] in DRAWN and row["group"] == "all" and row["value"] is not None
        ]
    return found


def answer(models: pd.DataFrame, model: str, other: str) -> str:
    """The question, answered by its interval."""
    row = models[
        (models["model"] == model) & (models["metric"] == "auc_difference") & (models["beside"] == other)
    ].iloc[0]
    bounds = f"{row['value']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}), p = {row['p']:.2f}"
    return f"{model} against {other}: {bounds}: {row['verdict'].replace('_', ' ')}"


def carried_out(asked: argparse.Namespace, folder: Path, temporary: Path) -> None:
    """The commands, one after the other."""
    source = laid_out(asked.data, temporary / "source")
    cohort, features = temporary / "cohort", folder / "features.parquet"
    (folder / "radiomics.toml").write_text(CONFIG)
    (folder / "perturb.toml").write_text(PERTURBED)
    workers = ("--workers", asked.workers)
    command("ingest", source, "--out", cohort, *workers)
    disturbed = ("--perturb", folder / "perturb.toml") if asked.page else ()
    command("features", cohort, "--config", folder / "radiomics.toml", *disturbed, "--out", features, *workers)
    repeats = ()
    if asked.page:
        command("stability", features, "--out", folder / "stability")
        repeats = ("--stability", folder / "stability")
    given = ("--outcomes", asked.data / "outcome.csv", "--target", TARGET, "--repeats", asked.repeats)
    command("signature", features, *given, *repeats, "--out", folder / "signature", *workers)
    if asked.page:
        command("features-report", features, *repeats, "--signature", folder / "signature", "--out", asked.page)


def main() -> None:
    """Carry it out and print it; with --out keep everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/sarcoma_pet"))
    parser.add_argument("--out", type=Path, help="folder to keep; a temporary one unless named")
    parser.add_argument("--page", type=Path, help="disturb regions too, and write one page of everything")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    outcome = plain_maximum(asked.data, pd.read_csv(asked.data / "outcome.csv"))
    plain = auc_interval(outcome[TARGET], outcome["suv_max"])
    print(f"{len(outcome)} patients, {int(outcome[TARGET].sum())} with lung metastasis")
    print(f"plain: AUC of the largest SUV {plain.value:.3f} ({plain.low:.3f} to {plain.high:.3f})\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        carried_out(asked, folder, Path(temporary))
        models = pd.read_parquet(folder / "signature" / "models.parquet")
        chosen = pd.read_parquet(folder / "signature" / "signature.parquet")
        audited = rows_of(folder / "signature")
    for row in models.to_dict("records"):
        beside = f" - {row['beside']}" if row["beside"] else ""
        bounds = f"({row['low']:+.3f} to {row['high']:+.3f})"
        said = f"{row['verdict']} {row['reason']}"
        print(f"{row['metric']:<22}{row['model'] + beside:<24} {row['value']:+.3f} {bounds} {said}")
    for row in audited:
        bounds = f"({row['low']:+.3f} to {row['high']:+.3f})" if row["low"] is not None else ""
        print(f"{row['metric']:<26}{row['model']:<14}{row['item']} {row['statistic']:<12}{row['value']:+.3f} {bounds}")
    print()
    for row in chosen[chosen["selected"] > 0.05].to_dict("records"):
        name = f"{row['family']}.{row['feature']}"
        bounds = f"({row['low']:+.2f} to {row['high']:+.2f})"
        print(f"in {row['selected']:.0%} of training sets  {name:<50} {row['coefficient']:+.2f} {bounds}")
    answers = [
        answer(models, model, other) for model in ("radiomics", "radiomics_all") for other in ("value", "volume")
    ]
    print("\n" + "\n".join(answers))
    if asked.out:
        said = {"plain": [plain.value, plain.low, plain.high], "answers": answers, "audit": audited}
        (asked.out / "sarcoma.json").write_text(json.dumps(said, indent=2))


if __name__ == "__main__":
    main()
