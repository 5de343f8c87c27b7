"""What the audit finds in models that were really trained: ten that had a shortcut to learn, and ten that had none.

    python tools/trained_truth.py [--models 10] [--draws 4] [--cache build/trained] [--out build/trained.json]

In the training pictures of a planted model a corner letter stands in 90 % of the events and 10 % of the others; in
those of a clean model in half of both (`fiducial.phantom.marked`). Every model is trained once, and kept under a digest
of its study, pictures, sources and versions. Then new pictures, in which the letter says nothing, are drawn over seeds,
predicted with their embeddings and shown to the audit. ``shortcut`` must find the letter in the planted models and not
in the others.

Three ways of mitigation are trained on the planted pictures of the first models, and audited in the same way: the
figures are the shift of the score by the letter at equal truth, the AUC, and the AUC where the letter contradicts.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from fiducial.audit import AuditInput, AuditSettings
from fiducial.audit.shortcut import check_shortcut
from fiducial.audit.tables import prepared
from fiducial.cohort import ingest
from fiducial.maths.classification import auc
from fiducial.phantom.marked import write_marked
from fiducial.predict.run import predict_cohort
from fiducial.records.files import write_json
from fiducial.records.tables import CASES, PREDICTIONS, final_answers, read_table, table
from fiducial.study import parse_study
from fiducial.train.run import train_study

ASSOCIATION = 0.8
N_TRAIN = 600
N_DRAWN = 400
MITIGATIONS = ("reweighing", "balanced", "group_dro")
N_MITIGATED = 3
LEAST_STEPS = 60
STUDY = """
[study]
name = "marked"
intended_use = "to prove the audit: tell large discs from small ones"
[data]
cohort = "cohort"
attributes = ["marker"]
split = {{by = "subject", seed = 0, fractions = {{train = 0.8, validation = 0.2}}}}
[task]
kind = "classification"
targets = ["finding"]
[train]
minutes = {minutes}
seed = {seed}
{mitigate}
"""


def trained(cache: Path, seed: int, association: float, *, minutes: float, mitigation: str = "") -> Path:
    """The run folder of one model, trained if the cache lacks it."""
    mitigate = f'mitigate = {{method = "{mitigation}", attribute = "marker"}}' if mitigation else ""
    text = STUDY.format(minutes=minutes, seed=seed, mitigate=mitigate)
    said = f"{text} {seed} {association} {N_TRAIN} {version('torch')} {version('monai')} {_sources()}"
    folder = cache / hashlib.sha256(said.encode()).hexdigest()[:16]
    if (folder / "run" / "run.json").is_file():
        return folder / "run"
    shutil.rmtree(folder, ignore_errors=True)
    write_marked(folder, N_TRAIN, seed=1000 + seed, association=association)
    ingest(folder / "images", folder / "cohort", labels=folder / "labels.csv", workers=1)
    made = train_study(parse_study(text, source=folder / "study.toml"), folder / "run")
    if made.n_steps < LEAST_STEPS:
        # Kept, it would stand for a model that learned; the minutes are those of an idle machine.
        shutil.rmtree(folder)
        raise RuntimeError(
            f"{made.n_steps} steps in {minutes:g} minutes, and {LEAST_STEPS} are the least: the machine is busy, and a "
            "model that learned nothing proves nothing; run this when the machine is idle"
        )
    return folder / "run"


def _sources() -> str:
    """Digest of what a trained model depends on: pictures, tasks, models and training."""
    import fiducial

    root = Path(fiducial.__file__).parent
    files = sorted(f for room in ("tasks", "models", "train") for f in (root / room).rglob("*.py"))
    digest = hashlib.sha256()
    for file in (root / "phantom" / "marked.py", *files):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def drawn(folder: Path, seed: int) -> Path:
    """A cohort of new pictures in which the letter says nothing."""
    write_marked(folder, N_DRAWN, seed=seed, association=0.0, split="test")
    ingest(folder / "images", folder / "cohort", labels=folder / "labels.csv", workers=1)
    return folder


def judged(run: Path, pictures: Path, out: Path) -> dict[str, Any]:
    """The verdict of ``shortcut`` on one model and one draw, and the figures that mitigation is to change."""
    import pandas as pd

    predict_cohort(run, pictures / "cohort", out)
    rows = read_table(out / "predictions.parquet", PREDICTIONS)
    attributes = pd.read_csv(pictures / "labels.csv", dtype={"subject": str, "image": str})
    settings = AuditSettings(attributes=("marker",), n_replicates=20)
    attributes = attributes[["image", "subject", "split", "marker"]]
    given = AuditInput(rows.assign(split="test"), table([], CASES), attributes, settings=settings)
    evidence = pd.DataFrame(check_shortcut(prepared(given)).evidence)
    scores = final_answers(rows).merge(attributes[["image", "marker"]], on="image")
    truth, value = scores["truth"].to_numpy(), scores["value"].to_numpy()
    against = truth != (scores["marker"] == "yes")
    logit = np.log(np.clip(value, 1e-6, 1 - 1e-6) / np.clip(1 - value, 1e-6, 1))
    shift = np.mean([_difference(logit[truth == t], scores["marker"][truth == t] == "yes") for t in (0, 1)])
    return {
        "verdict": evidence.loc[evidence["statistic"] == "test", "verdict"].iloc[0],
        "auc": auc(truth, value),
        "auc_against": auc(truth[against], value[against]),
        "shift": float(shift),
    }


def _difference(values: np.ndarray, marked: Any) -> float:
    marked = np.asarray(marked)
    return float(values[marked].mean() - values[~marked].mean())


def main() -> None:
    """Train what is lacking, draw, judge, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--first", type=int, default=0, help="seed of the first draw")
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--cache", type=Path, default=Path("build/trained"))
    parser.add_argument("--out", type=Path, default=Path("build/trained.json"))
    arguments = parser.parse_args()
    wanted = [
        (kind, k, a, "") for kind, a in (("planted", ASSOCIATION), ("clean", 0.0)) for k in range(arguments.models)
    ]
    wanted += [(m, k, ASSOCIATION, m) for m in MITIGATIONS for k in range(min(N_MITIGATED, arguments.models))]
    runs = []
    for kind, k, association, mitigation in wanted:
        run = trained(arguments.cache, k, association, minutes=arguments.minutes, mitigation=mitigation)
        runs.append((kind, k, run))
        print(f"  {kind} {k}: {run}", flush=True)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(arguments.first, arguments.first + arguments.draws):
            pictures = drawn(Path(scratch) / f"drawn{seed}", seed)
            for kind, k, run in runs:
                out = Path(scratch) / f"{kind}{k}"
                found.append({"kind": kind, "model": k, "draw": seed, **judged(run, pictures, out)})
                shutil.rmtree(out)
            print(f"  drawn {seed - arguments.first + 1} of {arguments.draws}", flush=True)
    write_json(arguments.out, {"n": N_DRAWN, "association": ASSOCIATION, "rows": found})
    print(summary(found))


def clean_shifts(found: list[dict[str, Any]]) -> list[float]:
    """The mean shift of each clean model over its draws."""
    clean = [row for row in found if row["kind"] == "clean"]
    models = sorted({row["model"] for row in clean})
    return [float(np.mean([row["shift"] for row in clean if row["model"] == model])) for model in models]


def summary(found: list[dict[str, Any]]) -> str:
    """One line for each kind of model."""
    lines = [
        "| models | verdicts | `finding` | shift by the letter (logits) | AUC | AUC where it contradicts |",
        "|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(row["kind"] for row in found):
        own = [row for row in found if row["kind"] == kind]
        hits = sum(row["verdict"] == "finding" for row in own)
        means = [np.mean([row[name] for row in own]) for name in ("shift", "auc", "auc_against")]
        figures = " | ".join("–" if math.isnan(m) else f"{m:.2f}" for m in means)
        n_models = len({row["model"] for row in own})
        lines.append(f"| {n_models} {kind} | {len(own)} | {hits / len(own):.2f} ({hits}) | {figures} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
