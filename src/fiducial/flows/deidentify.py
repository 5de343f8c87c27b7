"""``fiducial deidentify``: DICOM files that may be sent, under the options that a study needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fiducial.archive.deidentify import Options
from fiducial.errors import InputRefused
from fiducial.records.progress import Progress, silent

# Attributes of a cohort whose values lie in what an option keeps.
OF_PATIENTS = ("sex", "age", "weight", "size", "height", "ethnic_group", "smoking")
OF_DEVICES = ("scanner", "station", "device")
BANDED = "_band"


@dataclass(frozen=True)
class Deidentification:
    """What came of a de-identification.

    ``send`` is the folder that may be sent; ``private`` must not. ``set_aside`` and ``refused`` count files by code;
    ``codes`` are those of (0012,0064). ``n_said_no_text`` files say in their header that no text is burned in: about
    the others, and about those too, burned-in text is not proven absent.
    """

    send: Path
    private: Path
    report: Path
    table: Path
    codes: dict[str, str]
    n_subjects: int
    n_series: int
    n_files: int
    n_written: int
    n_copies: int
    n_said_no_text: int
    set_aside: dict[str, int]
    refused: dict[str, int]
    notes: tuple[str, ...]
    burned_in_text: str


def deidentify(
    source: str | Path,
    out: str | Path,
    *,
    options: Options | None = None,
    study: str | Path | None = None,
    key_of: str | Path | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Deidentification:
    """Write the DICOM files of ``source`` without identifiers into ``out/send``.

    Args:
        source: A DICOM folder, zip or file; never written to.
        out: The folder to write: ``send/``, ``private/``, ``deidentification.json`` and ``.csv``.
        options: Declared options; by default dates moved by one shift for each site and nothing else kept.
        study: A study file: sex, age or weight among its attributes keeps patient characteristics (113108), scanner
            keeps the device's identity (113109), beside what ``options`` say.
        key_of: A cohort folder, or another ``out``, whose key is used, so that subjects are called the same.
        workers: Processes; 0 takes the cores that this process may use.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: nothing is there to read, ``out`` is taken, or ``key_of`` has no key.
    """
    from fiducial.archive import private_key
    from fiducial.archive.deidentify import deidentify_dicom
    from fiducial.archive.deidentify.profile import CODES
    from fiducial.archive.deidentify.report import NOT_PROVEN, counted_reasons

    out = Path(out)
    chosen = options or Options()
    if study is not None:
        chosen = with_study(chosen, study)
    if not Path(source).exists():
        raise InputRefused("no such file or folder", where=str(source))
    key = private_key(_keeper(out, key_of))
    made = deidentify_dicom(Path(source), out, key=key, options=chosen, workers=workers, progress=progress)
    written = [row for row in made.rows if row.n_written]
    return Deidentification(
        send=made.send,
        private=out / "private",
        report=made.report,
        table=made.table,
        codes={code: CODES[code] for code in chosen.codes},
        n_subjects=len({row.subject for row in written}),
        n_series=len(written),
        n_files=sum(row.n_files for row in made.rows),
        n_written=sum(row.n_written for row in made.rows),
        n_copies=sum(row.n_copies for row in made.rows),
        n_said_no_text=sum(row.n_said_no_text for row in made.rows),
        set_aside=counted_reasons(made.rows, "set aside"),
        refused=counted_reasons(made.rows, "refused"),
        notes=tuple(sorted({row.note for row in made.rows if row.note})),
        burned_in_text=NOT_PROVEN,
    )


def with_study(options: Options, study: str | Path) -> Options:
    """``options`` and what a study's attributes need beside them."""
    from fiducial.study import load_study

    data = load_study(study).data
    names = {name.removesuffix(BANDED) for name in (*data.attributes, *data.bands)}
    return replace(
        options,
        patient_characteristics=options.patient_characteristics or bool(names & set(OF_PATIENTS)),
        device_identity=options.device_identity or bool(names & set(OF_DEVICES)),
    )


def _keeper(out: Path, key_of: str | Path | None) -> Path:
    if key_of is None:
        return out
    if not (Path(key_of) / "private" / "key").is_file():
        raise InputRefused(
            "no key in it", where=str(key_of), legal="a cohort folder made from DICOM, or the folder of an earlier run"
        )
    return Path(key_of)
