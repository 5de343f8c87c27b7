"""``fiducial audit``: a run, a table of predictions or two folders of masks become evidence."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import InputRefused, RunMismatch
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.audit.given import AuditInput, AuditSettings
    from fiducial.flows.doors import Opened
    from fiducial.study import Study


@dataclass(frozen=True)
class Criterion:
    """One acceptance criterion with its verdict: the bound, the figure and its interval."""

    verdict: str
    metric: str
    statistic: str
    target: str
    group: str
    value: float
    low: float
    high: float
    direction: str
    threshold: float
    reason: str


@dataclass(frozen=True)
class Audited:
    """What an audit found.

    ``criteria`` are the verdicts on the study's acceptance criteria; ``findings`` say what the checks found (leakage,
    missing values, groups that differ); ``n_not_possible`` counts checks that could not be made; ``openings`` is how
    often the test part has been opened under this study, 0 where nobody counts.
    """

    out: Path
    source: str
    criteria: tuple[Criterion, ...]
    findings: tuple[str, ...]
    n_not_possible: int
    n_evidence: int
    n_subjects: int
    n_images: int
    openings: int

    @property
    def passed(self) -> bool:
        """Whether there are criteria and every one is passed."""
        return bool(self.criteria) and all(c.verdict == "pass" for c in self.criteria)

    @property
    def verdicts(self) -> dict[str, int]:
        """Criteria by verdict."""
        return dict(Counter(c.verdict for c in self.criteria))


def audit(  # noqa: PLR0913 - what a user may say of an audit
    source: str | Path,
    out: str | Path | None = None,
    *,
    truth: str | Path | None = None,
    raters: str | Path | None = None,
    study: str | Path | None = None,
    attributes: str | Path | None = None,
    settings: AuditSettings | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Audited:
    """Audit predictions and write ``evidence.json``, ``curves.parquet``, ``cases.parquet`` and pictures of cases.

    Args:
        source: A run folder; or a table of predictions (CSV or Parquet); or, with ``truth``, a folder of masks; or a
            folder that holds a folder of masks for each rater, where no model is to be audited.
        out: Where to write; a run folder is audited in place unless another folder is named.
        truth: The folder of reference masks, for a folder of masks: files of one name belong together.
        raters: With ``truth``: a folder that holds a folder of masks for each of two raters or more.
        study: A study file with intended use and acceptance criteria; a run brings its own.
        attributes: CSV of attributes by image or subject; its columns become groups.
        settings: Level, replicates, seed, minimum n and attributes; None for the defaults.
        workers: Processes for measuring masks; 0 takes the cores that this process may use.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: the source is none of the three, a file of the run was changed, the run is of another study, or
            a table breaks its rules.
    """
    from fiducial.audit.given import AuditSettings
    from fiducial.flows import doors
    from fiducial.predict.raters import is_rater_folder
    from fiducial.records.runs import RECORD

    source, stated = Path(source), _stated(study)
    settings = settings or AuditSettings()
    folder = _out(source, out)
    paths = [None if named is None else Path(named) for named in (attributes, raters)]
    asked = doors.Asked(stated, paths[0], settings, workers, progress, raters=paths[1])
    if raters is not None and truth is None:
        raise InputRefused(
            "raters without a folder of masks and its reference",
            where=str(raters),
            legal="MASKS --truth DIR --raters DIR; or the folder of raters alone, as what is audited",
        )
    if truth is not None:
        opened = doors.from_masks(source, Path(truth), asked)
    elif (source / RECORD).is_file():
        opened = doors.from_run(source, asked)
    elif source.suffix.lower() in (".csv", ".parquet"):
        opened = doors.from_table(source, asked)
    elif is_rater_folder(source):
        opened = doors.from_raters(source, asked)
    else:
        what = "a folder without run.json" if source.is_dir() else "no run and no table"
        raise InputRefused(
            f"nothing to audit: {what if source.exists() else 'no such file or folder'}",
            where=str(source),
            legal="a run folder, a table of predictions (.csv, .parquet), a folder of masks with --truth DIR, or a "
            "folder that holds a folder of masks for each rater",
            action="for a folder of masks, name the reference masks with --truth",
        )
    return _carry_out(opened, source, folder, progress)


def _carry_out(opened: Opened, source: Path, out: Path, progress: Progress) -> Audited:
    """Run every check, write the tables and seal them."""
    from fiducial.audit import audit as audit_tables
    from fiducial.audit.checklists import checklists, write_checklists
    from fiducial.audit.evidence import write_evidence
    from fiducial.flows.checklists import checklist_facts
    from fiducial.records.files import write_text
    from fiducial.records.runs import RECORD, seal
    from fiducial.records.tables import CASES, CURVES, PREDICTIONS, write_table

    given = opened.given
    result = audit_tables(given, progress=progress)
    # Only an audit that shows figures is an opening: one that was refused is not counted.
    opened.opening()
    _make_room(out, source)
    write_evidence(result.evidence, out / "evidence.json")
    write_table(result.curves, out / "curves.parquet", CURVES)
    write_table(_measured(given), out / "cases.parquet", CASES)
    write_table(_kept(given), out / "audited.parquet", PREDICTIONS)
    write_checklists(checklists(result.evidence, checklist_facts(source, given)), out / "checklists.json")
    names = ["evidence.json", "checklists.json", "curves.parquet", "cases.parquet", "audited.parquet"]
    had_pictures = (out / "pictures").exists()
    shutil.rmtree(out / "pictures", ignore_errors=True)
    if opened.pictures(out / "pictures", progress) or had_pictures:
        names.append("pictures")
    if given.study is not None and out.resolve() != source.resolve():
        write_text(out / "study.toml", given.study.to_toml())
        names.append("study.toml")
    facts: dict[str, Any] = {
        "audit": {
            "source": given.source or source.name,
            "openings": given.openings,
            "leaks": None if given.leaks is None else [_plain(leak) for leak in given.leaks],
            "person_known": given.settings.person_known,
            "notes": list(opened.notes),
        }
    }
    if (source / RECORD).is_file() and out.resolve() != source.resolve():
        facts["run_folder"] = os.path.relpath(source.resolve(), out.resolve())
    seal(out, *names, **facts)
    return _audited(result.evidence, out, given)


def _measured(given: AuditInput) -> pd.DataFrame:
    """The model's cases, and those of raters' masks, which name a rater."""
    import pandas as pd

    if given.rated is None or not len(given.rated):
        return given.cases
    return pd.concat([given.cases, given.rated], ignore_index=True)


def _kept(given: AuditInput) -> pd.DataFrame:
    """The final, clean predictions that the figures rest on, with the attributes of their images as further columns.

    Two audits are compared case by case from these, and a figure is traced to its rows.
    """
    from fiducial.records.tables import PREDICTIONS

    rows = given.predictions
    final = (rows["condition"] == "clean") & (rows["member"] == "") & (rows["rater"] == "")
    rows = rows.loc[final & (rows["kind"] != "embedding"), PREDICTIONS.names]
    names = [name for name in given.attributes.columns if name not in PREDICTIONS.names]
    if not names or "image" not in given.attributes.columns:
        return rows
    attributes = given.attributes[["image", *names]].drop_duplicates("image")
    return rows.merge(attributes.assign(image=attributes["image"].map(str)), on="image", how="left")


def _make_room(out: Path, source: Path) -> None:
    """Make the folder, without the study of an earlier audit in it; another run is never written over.

    Raises:
        RunMismatch: ``out`` holds a run that is not the one being audited.
    """
    from fiducial.records.runs import RECORD, read_record

    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() != source.resolve():
        if (out / RECORD).is_file() and "predictions.parquet" in read_record(out)["files"]:
            raise RunMismatch(
                "this folder holds a run, and what is audited is not that run",
                where=str(out),
                action="choose another --out",
            )
        (out / "study.toml").unlink(missing_ok=True)


def _audited(evidence: Any, out: Path, given: AuditInput) -> Audited:
    """The findings of an evidence table, for a person in a hurry."""
    from fiducial.audit.tables import audited_table

    rows = evidence.to_dict("records")
    fields = list(Criterion.__dataclass_fields__)
    criteria = [Criterion(**{name: row[name] for name in fields}) for row in rows if row["check"] == "acceptance"]
    order = {"fail": 0, "inconclusive": 1, "not_assessed": 2, "pass": 3}
    criteria.sort(key=lambda c: order.get(c.verdict, 9))
    findings = [f"{row['check']}: {row['reason'] or row['metric']}" for row in rows if row["verdict"] == "finding"]
    audited = audited_table(given)
    parts = set(audited["split"])
    tested = audited[audited["split"] == "test"] if "test" in parts else audited
    return Audited(
        out=out,
        source=given.source,
        criteria=tuple(criteria),
        findings=tuple(dict.fromkeys(findings)),
        n_not_possible=sum(row["verdict"] == "not_possible" for row in rows),
        n_evidence=len(rows),
        n_subjects=int(tested["subject"].nunique()),
        n_images=int(tested["image"].nunique()),
        openings=given.openings,
    )


def _stated(study: str | Path | None) -> Study | None:
    if study is None:
        return None
    from fiducial.study import load_study

    return load_study(study)


def _out(source: Path, out: str | Path | None) -> Path:
    """The folder to write to: the run itself, or the one that was named."""
    if out is not None:
        return Path(out)
    if source.is_dir() and (source / "run.json").is_file():
        return source
    raise InputRefused(
        "no folder to write to", where=str(source), action="name one with --out DIR (only a run is audited in place)"
    )


def _plain(leak: Any) -> dict[str, Any]:
    """A leak as JSON values."""
    return asdict(leak) if is_dataclass(leak) and not isinstance(leak, type) else dict(leak)
