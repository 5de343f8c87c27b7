"""What a run knows about itself, as the facts that fill checklist items; nothing is said that no file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fiducial.audit.given import AuditInput
    from fiducial.study import Study

MOST_VALUES = 8
"""An attribute with more values is named without them."""


def checklist_facts(source: Path, given: AuditInput) -> dict[str, str]:
    """The facts about what was audited, by the names of `fiducial.audit.checklists.FACTS`.

    Args:
        source: what was audited: a run, a folder of predictions made with one, or a table.
        given: the audit's input.
    """
    from fiducial.records.runs import RECORD, read_record

    facts = {"characteristics": _characteristics(given), "sites": _sites(given)}
    if given.openings:
        facts["openings"] = f"the test part was opened {given.openings} times, this audit included"
    if given.study is not None:
        facts |= _of_study(given.study)
    if (source / RECORD).is_file():
        facts |= _of_run(source, read_record(source), given)
    return {name: text for name, text in facts.items() if text}


def _of_study(study: Study) -> dict[str, str]:
    """What the study file states."""
    point = study.operating_point
    n = len(study.accept)
    return {
        "intended_use": study.study.intended_use,
        "excluded_uses": "; ".join(study.study.not_for),
        "criteria": f"{n} acceptance criteria in the study file" if n else "",
        "operating_point": "" if point is None else f"rule {point.rule}" + (f" {point.value:g}" if point.value else ""),
        "task": f"{study.task.kind} of {', '.join(study.task.targets)}",
        "attributes": ", ".join(study.data.attributes),
    }


def _of_run(source: Path, record: dict[str, Any], given: AuditInput) -> dict[str, str]:
    """What the records of the run say, and of the run whose model made the predictions."""
    from fiducial.records.runs import RECORD, read_record
    from fiducial.records.statement import MODEL_FILE, model_file

    model = model_file(source, record)
    origin = source if model is None else model.parent
    whole = read_record(origin) if (origin / RECORD).is_file() else record
    digest = str(whole["files"].get(MODEL_FILE, ""))
    versions = whole.get("versions")
    facts = {
        "data_name": str(record.get("data_name", "")),
        "digests": f"SHA-256 of {len(record['files'])} files in run.json",
        "fingerprint": str(record.get("fingerprint", "")),
        "ingest": _ingest(source, record),
        "model_digest": f"SHA-256 {digest}" if digest else "",
        "software": ", ".join(f"{name} {version}" for name, version in versions.items())
        if isinstance(versions, dict)
        else "",
    }
    facts |= _of_plan(origin, whole)
    if digest:
        facts |= _origin(source, record, origin, whole)
    if (source / "cohort.parquet").is_file() and given.study is not None and origin == source:
        facts["split"] = _split(source, given.study)
    return facts


def _of_plan(origin: Path, record: dict[str, Any]) -> dict[str, str]:
    """What plan and contract say about network, preparation, training and accepted images."""
    from fiducial.records.plan import InputContract, Plan
    from fiducial.records.runs import verify

    facts = {}
    if "plan.json" in record["files"]:
        verify(origin, "plan.json")
        plan = Plan.model_validate_json((origin / "plan.json").read_text(encoding="utf-8"))
        kinds = ", ".join(dict.fromkeys(part.kind for part in plan.normalisation))
        spacing = " x ".join(f"{mm:g}" for mm in plan.spacing_mm)
        facts["architecture"] = f"{plan.model}, {plan.dimensions}-D, widths {', '.join(map(str, plan.widths))}"
        facts["preprocessing"] = (
            f"grid of {spacing} mm, patches of {' x '.join(map(str, plan.patch))}, intensities by {kinds}"
        )
        facts["training"] = (
            f"{plan.n_steps} steps of {plan.batch} samples, learning rate {plan.learning_rate:g}, weight decay "
            f"{plan.weight_decay:g}, {plan.precision}, seed {plan.seed}; augmentation in plan.json"
        )
    if "contract.json" in record["files"]:
        verify(origin, "contract.json")
        contract = InputContract.model_validate_json((origin / "contract.json").read_text(encoding="utf-8"))
        channels = ", ".join(f"{one.modality or 'any'} {one.unit}".strip() for one in contract.channels)
        low = " x ".join(f"{mm:.3g}" for mm in contract.spacing_min_mm)
        high = " x ".join(f"{mm:.3g}" for mm in contract.spacing_max_mm)
        facts["input_contract"] = f"{contract.dimensions}-D, {channels}, spacing {low} to {high} mm (contract.json)"
    return facts


def _origin(source: Path, record: dict[str, Any], origin: Path, whole: dict[str, Any]) -> dict[str, str]:
    """Whether the audited cohort is the one that the model was made from."""
    folders = [record.get("cohort_folder"), whole.get("cohort_folder")]
    if not all(isinstance(folder, str) for folder in folders):
        return {}
    here, there = (source / str(folders[0])).resolve(), (origin / str(folders[1])).resolve()
    if here == there:
        return {"internal_test": "the audited part was split off from the cohort that the model was made from"}
    names = [str(one.get("data_name", "")) or folder.name for one, folder in ((record, here), (whole, there))]
    return {"external_test": f"audited on {names[0]}; the model was made from {names[1]}"}


def _ingest(source: Path, record: dict[str, Any]) -> str:
    """Images accepted, repaired and rejected when the cohort was made."""
    from collections import Counter

    from fiducial.errors import IntegrityError
    from fiducial.records.untrusted import read_json_strictly

    folder = record.get("cohort_folder")
    path = source / folder / "ingest.json" if isinstance(folder, str) else Path()
    if not path.is_file():
        return ""
    try:
        held = read_json_strictly(path)
    except IntegrityError:
        return ""
    rows = held.get("rows", []) if isinstance(held, dict) else held
    counts = Counter(str(row.get("status", "")) for row in rows if isinstance(row, dict))
    return ", ".join(f"{counts[name]} {name}" for name in ("accepted", "repaired", "rejected") if counts[name])


def _split(source: Path, study: Study) -> str:
    """The rule, and patients by part."""
    from fiducial.flows.check import subjects_by_split
    from fiducial.records.tables import COHORT, read_table

    cohort = read_table(source / "cohort.parquet", COHORT)
    counts = subjects_by_split(cohort[cohort["role"] != "mask"])
    return f"by {study.data.split.by}; patients: " + ", ".join(f"{part} {n}" for part, n in counts.items())


def _characteristics(given: AuditInput) -> str:
    """Patients by part, and the values of the attributes that divide them."""
    rows = given.attributes
    if "image" not in rows.columns or "subject" not in rows.columns or not len(rows):
        return ""
    stated = given.settings.attributes or (given.study.data.attributes if given.study is not None else ())
    names = [name for name in stated if name in rows.columns]
    if not names:
        return ""
    texts = []
    for name in names:
        values = rows.drop_duplicates("subject")[name].map(str).value_counts().sort_index()
        listed = ", ".join(f"{value or '(missing)'} {n}" for value, n in values.items())
        texts.append(f"{name}: {listed}" if len(values) <= MOST_VALUES else f"{name}: {len(values)} values")
    return f"{rows['subject'].nunique()} patients; " + "; ".join(texts)


def _sites(given: AuditInput) -> str:
    """The hospitals in the data, where the tables name any."""
    if "site" not in given.attributes.columns:
        return ""
    names = sorted({str(name) for name in given.attributes["site"].dropna()} - {""})
    return f"{len(names)} sites: {', '.join(names[:MOST_VALUES])}" if names else ""
