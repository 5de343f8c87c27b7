"""``fiducial report``: what an audit found, as one HTML file."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import InputRefused
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    from fiducial.report import ReportInput, SignatureShown

HIDDEN = ("files", "audit", "run_folder", "cohort_folder", "schema")
SHOWN = ("evidence.json", "curves.parquet", "cases.parquet")
SHOWN_WHERE_THERE = ("study.toml", "cohort.parquet", "checklists.json", "pictures")
SHOWN_OF_MODEL = ("history.parquet", "plan.json", "contract.json")


@dataclass(frozen=True)
class Report:
    """The report that was written, and how many criteria have which verdict."""

    report: Path
    title: str
    verdicts: dict[str, int]

    @property
    def passed(self) -> bool:
        """Whether there are criteria and every one is passed."""
        return set(self.verdicts) == {"pass"}


def report(folder: str | Path, out: str | Path | None = None, *, progress: Progress = silent) -> Report:
    """Write the report of a run, or of any folder that an audit wrote.

    Args:
        folder: A run folder, or an audit's ``--out`` folder.
        out: The HTML file; ``report.html`` in the folder unless named.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: the folder was not audited, or one of its files was changed since.
    """
    from fiducial.records.runs import seal
    from fiducial.report import write_report

    folder = Path(folder)
    path = folder / "report.html" if out is None else Path(out)
    progress("report", 0, 1)
    given = report_input(folder)
    write_report(given, path)
    if path.parent.resolve() == folder.resolve():
        seal(folder, path.name)
    progress("report", 1, 1)
    criteria = given.evidence[given.evidence["check"] == "acceptance"]
    return Report(report=path, title=given.title, verdicts=dict(Counter(criteria["verdict"])))


def report_input(folder: Path) -> ReportInput:
    """Gather everything that the report of a folder shows; every file is verified first."""
    import pandas as pd

    from fiducial.audit.bias_register import register_records
    from fiducial.audit.evidence import read_evidence
    from fiducial.records.picture import read_pictures
    from fiducial.records.runs import read_record, verify
    from fiducial.records.tables import CASES, CURVES, read_table
    from fiducial.report import ReportInput
    from fiducial.study import load_study

    record = read_record(folder)
    if "evidence.json" not in record["files"]:
        raise InputRefused(
            "no evidence yet",
            where=str(folder),
            action="audit it first: fiducial audit RUN, or fiducial run STUDY.toml",
        )
    # First, because it names the row that was edited, where `verify` names the file only.
    evidence = read_evidence(folder / "evidence.json")
    verify(folder, *SHOWN, *(name for name in SHOWN_WHERE_THERE if (folder / name).exists()))
    audited = record.get("audit", {})
    origin = (folder / record["run_folder"]).resolve() if "run_folder" in record else folder
    if of_model := [name for name in SHOWN_OF_MODEL if (origin / name).exists()]:
        verify(origin, *of_model)
    study = load_study(folder / "study.toml") if (folder / "study.toml").is_file() else None
    facts = _facts(origin, record)
    history = origin / "history.parquet"
    return ReportInput(
        title=study.name if study else _named(str(audited.get("source", folder.name))),
        evidence=evidence,
        curves=read_table(folder / "curves.parquet", CURVES),
        study=study,
        run=facts,
        history=pd.read_parquet(history) if history.is_file() else None,
        description=_description(folder),
        pictures=read_pictures(folder / "pictures"),
        cases=read_table(folder / "cases.parquet", CASES).query("rater == ''"),
        ingest=_ingest_rows(folder, record),
        leaks=audited.get("leaks"),
        openings=audited.get("openings") or None,
        data_name=str(record.get("data_name", "")),
        phantom=bool(record.get("phantom", False)),
        notes=tuple(audited.get("notes", ())),
        signatures=_signatures(folder),
        checklists=_checklists(folder),
        bias_register=register_records(evidence),
    )


def _named(source: str) -> str:
    """What was audited, where no study names it: the table's file without its ending, or both folders of masks."""
    name = source.split(" sha256:", maxsplit=1)[0].split(", ", maxsplit=1)[0]
    return name if " " in name else Path(name).stem


def _signatures(folder: Path) -> tuple[SignatureShown, ...]:
    """Who signed, and whether what lies in the folder is still what they signed."""
    from fiducial.flows.verify import signatories
    from fiducial.report import SignatureShown

    return tuple(SignatureShown(who.name, who.signed_at, who.key, who.holds, who.reason) for who in signatories(folder))


def _checklists(folder: Path) -> tuple[dict[str, Any], ...]:
    """The checklists that the audit filled; none in a folder of an earlier version."""
    from fiducial.records.untrusted import read_json_strictly

    path = folder / "checklists.json"
    return tuple(read_json_strictly(path)["checklists"]) if path.is_file() else ()


def _facts(origin: Path, record: dict[str, Any]) -> dict[str, Any]:
    """The run's facts for the report: its record, plan and contract."""
    from fiducial.records.files import read_json
    from fiducial.records.runs import RECORD, read_record

    whole = read_record(origin) if (origin / RECORD).is_file() else {}
    facts = {key: value for key, value in {**whole, **record}.items() if key not in HIDDEN}
    facts["files"] = whole.get("files") or record["files"]
    if "model.safetensors" in facts["files"]:
        facts["model_sha256"] = facts["files"]["model.safetensors"]
    for name in ("plan", "contract"):
        if (origin / f"{name}.json").is_file():
            facts[name] = read_json(origin / f"{name}.json")
    return facts


def _description(folder: Path) -> dict[str, Any] | None:
    """The cohort's description tables, where the folder holds a cohort."""
    if not (folder / "cohort.parquet").is_file():
        return None
    from fiducial.cohort import describe
    from fiducial.flows.check import described
    from fiducial.records.tables import COHORT, read_table

    return described(describe(read_table(folder / "cohort.parquet", COHORT)))


def _ingest_rows(folder: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    """The ingest report of the cohort, if the cohort still lies where the run found it."""
    if "cohort_folder" not in record:
        return []
    path = (folder / record["cohort_folder"] / "ingest.json").resolve()
    if not path.is_file():
        return []
    stored = json.loads(path.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = stored["rows"] if isinstance(stored, dict) else stored
    return rows
