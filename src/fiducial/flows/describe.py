"""``fiducial describe``: a page of what a cohort is, that people would show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import InputRefused
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.cohort.by_site import Spread
    from fiducial.cohort.copies import Copy
    from fiducial.cohort.outliers import Outlier
    from fiducial.cohort.shortcuts import Probe
    from fiducial.cohort.site_table import SiteTable
    from fiducial.cohort.visits import VisitProblem
    from fiducial.records.picture import Picture
    from fiducial.report import DescriptionInput

PAGE = "description.html"
MOST_PICTURES = 12
MOST_SPREADS = 24
UNMEASURED = "Quality"


@dataclass(frozen=True)
class Described:
    """What describing a cohort found.

    ``outliers``, ``probes``, ``copies``, ``visit_problems`` and ``leaks`` are lists of mappings, worst first;
    ``batch_warnings`` says what stands against harmonising; ``told`` are the attributes that can be told from images.
    ``pairs`` holds each image with its priors. ``site_table`` is the file that was asked for, or None.
    """

    cohort: Path
    page: Path
    site_table: Path | None
    n_subjects: int
    n_images: int
    n_followed: int
    splits: dict[str, int]
    outliers: tuple[dict[str, Any], ...]
    told: tuple[str, ...]
    probes: tuple[dict[str, Any], ...]
    batches: tuple[dict[str, Any], ...]
    batch_warnings: tuple[str, ...]
    pairs: tuple[dict[str, Any], ...]
    visit_problems: tuple[dict[str, Any], ...]
    copies: tuple[dict[str, Any], ...]
    leaks: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """Everything that was found in a cohort, before it is put into words."""

    cohort: pd.DataFrame
    compared_by: str
    spreads: list[Spread]
    outliers: list[Outlier]
    probes: list[Probe]
    table: SiteTable
    pairs: pd.DataFrame
    problems: list[VisitProblem]
    copies: list[Copy]
    leaks: list[Any]
    notes: list[str]


def describe(
    cohort: str | Path,
    out: str | Path | None = None,
    *,
    site_table: str | Path | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Described:
    """Describe a cohort folder on one page; nothing in the folder is changed but that page.

    Args:
        cohort: A cohort folder.
        out: The page to write; ``description.html`` in the folder if None. It holds pictures of outliers.
        site_table: Also write the table that harmonisation takes (CSV, or Parquet by its ending).
        workers: Processes that draw pictures; 0 takes the cores that this process may use.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: no cohort is there, its table is broken, or ``site_table`` has another ending.
    """
    from fiducial.cohort import load_cohort
    from fiducial.flows.about import read_about
    from fiducial.flows.check import subjects_by_split
    from fiducial.report import write_description

    folder = Path(cohort)
    if site_table is not None and Path(site_table).suffix.lower() not in (".csv", ".parquet"):
        raise InputRefused(f"{Path(site_table).name}", where="site table", legal="a name that ends in .csv or .parquet")
    found = _find(load_cohort(folder), progress)
    wanted = {one.image: _why(one) for one in found.outliers[:MOST_PICTURES]}
    rows = _rows(found.cohort[found.cohort["image"].isin(wanted)])
    pictures, undrawn = _pictures(rows, folder, wanted, workers=workers, progress=progress)
    found.notes.extend(f"{name} could not be drawn" for name in undrawn)
    page = write_description(
        _input(found, read_about(folder.resolve()), pictures), folder / PAGE if out is None else Path(out)
    )
    if site_table is not None:
        _write(found.table.frame, Path(site_table))
    images = found.cohort[found.cohort["role"] == "image"]
    return Described(
        cohort=folder,
        page=page,
        site_table=None if site_table is None else Path(site_table),
        n_subjects=int(images["subject"].nunique()),
        n_images=len(images),
        n_followed=_followed(found.cohort),
        splits=subjects_by_split(images),
        outliers=_records(found.outliers),
        told=tuple(dict.fromkeys(p.attribute for p in found.probes if p.verdict == "finding")),
        probes=_records(found.probes),
        batches=tuple(_rows(found.table.batches)),
        batch_warnings=tuple(found.table.warnings),
        pairs=tuple(_rows(found.pairs)),
        visit_problems=_records(found.problems),
        copies=tuple({**asdict(copy), "same_person": copy.same_person} for copy in found.copies),
        leaks=_records(found.leaks),
        notes=tuple(found.notes),
    )


def _find(cohort: pd.DataFrame, progress: Progress) -> _Found:
    """Ask everything that a table can answer; each question is a step of the progress."""
    from fiducial.cohort.by_site import site_of, spreads
    from fiducial.cohort.copies import find_copies
    from fiducial.cohort.features import feature_table
    from fiducial.cohort.leaks import find_leaks
    from fiducial.cohort.outliers import FEWEST, find_outliers, not_compared
    from fiducial.cohort.shortcuts import probe_shortcuts
    from fiducial.cohort.site_table import site_table
    from fiducial.cohort.visits import pair_visits, visit_problems

    figures = feature_table(cohort)
    notes = [
        f"Outliers among {name}: it takes {FEWEST} images to say what is usual; there {'is' if n == 1 else 'are'} {n}"
        for name, n in not_compared(cohort).items()
    ]
    if "noise" not in figures.frame.columns:
        notes.append(f"{UNMEASURED}: this cohort was made by an earlier version; ingest it again to have it measured")
    steps: dict[str, Callable[[], Any]] = {
        "spreads": lambda: spreads(cohort, figures),
        "outliers": lambda: find_outliers(cohort),
        "shortcuts": lambda: probe_shortcuts(cohort),
        "site table": lambda: site_table(cohort),
        "visits": lambda: (pair_visits(cohort), visit_problems(cohort)),
        "copies": lambda: (find_copies(cohort), find_leaks(cohort)),
    }
    done = []
    for k, step in enumerate(steps.values()):
        progress("describing", k, len(steps))
        done.append(step())
    progress("describing", len(steps), len(steps))
    shown, outliers, probes, table, (pairs, problems), (copies, leaks) = done
    return _Found(cohort, site_of(cohort)[0], shown, outliers, probes, table, pairs, problems, copies, leaks, notes)


def _pictures(
    rows: list[dict[str, Any]], folder: Path, said: dict[str, str], *, workers: int, progress: Progress
) -> tuple[list[Picture], list[str]]:
    """Pictures of the first outliers, worst first; files that are gone are named, not missed."""
    from fiducial.flows.thumbnails import draw_thumbnails

    if not rows:
        return [], []
    few = workers or min(len(rows), 1)
    drawn, failed = draw_thumbnails(rows, folder, said=said, workers=few, progress=progress)
    return [drawn[name] for name in said if name in drawn], failed


def _why(one: Outlier) -> str:
    text = one.reasons[0].text
    return text[:1].upper() + text[1:] + "."


def _followed(cohort: pd.DataFrame) -> int:
    """People of several visits."""
    from fiducial.cohort.visits import order_visits

    return int((order_visits(cohort).groupby("subject")["visit"].nunique() > 1).sum())


def _input(found: _Found, about: dict[str, Any], pictures: list[Picture]) -> DescriptionInput:
    """Everything that the page shows, as plain rows."""
    from fiducial.cohort import describe as describe_cohort
    from fiducial.cohort.by_site import acquisition_table, missing_by_site, people, prevalence_by_site, site_of
    from fiducial.cohort.outliers import FEWEST
    from fiducial.flows.check import described
    from fiducial.report import DescriptionInput

    cohort = found.cohort
    images, masks = cohort[cohort["role"] == "image"], cohort[cohort["role"] == "mask"]
    counts = [("Subjects", int(images["subject"].nunique())), ("Images", len(images)), ("Masks", len(masks))]
    visits = _n_visits(cohort)
    counts += [("Visits", visits)] if visits else []
    counts += (
        [("Sites", int(images.loc[images["site"] != "", "site"].nunique()))] if (images["site"] != "").any() else []
    )
    tables = {str(title): list(rows) for title, rows in described(describe_cohort(cohort)).items()}
    return DescriptionInput(
        name=str(about["data_name"]),
        phantom=bool(about["phantom"]),
        compared_by=found.compared_by,
        counts=counts,
        people=_rows(people(cohort)),
        tables=tables,
        missing=_rows(missing_by_site(cohort)),
        prevalence=_rows(prevalence_by_site(cohort)),
        acquisition=_rows(acquisition_table(cohort)),
        spreads=_shown(found),
        outliers=_records(found.outliers),
        pictures=pictures,
        probes=_records(found.probes),
        batches=_rows(found.table.batches),
        ties=_records(found.table.ties),
        pairs=_rows(found.pairs),
        n_followed=_followed(cohort),
        problems=_records(found.problems),
        copies=[{**asdict(copy), "same_person": copy.same_person} for copy in found.copies],
        leaks=_records(found.leaks),
        notes=found.notes,
        n_groups=int(site_of(cohort)[1].nunique()),
        measured=not any(note.startswith(UNMEASURED) for note in found.notes),
        compared=bool((images["modality"].value_counts() >= FEWEST).any()),
    )


def _n_visits(cohort: pd.DataFrame) -> int:
    """Visits that have a name or a date."""
    from fiducial.cohort.visits import order_visits

    order = order_visits(cohort)
    return int((order["visit"] != "").sum())


def _shown(found: _Found) -> list[dict[str, Any]]:
    """Spreads as rows with what an outlier is marked by; of each modality the first figures of each kind."""
    from fiducial.cohort.features import GRID, INTENSITIES

    marked = {(reason.feature, one.image) for one in found.outliers for reason in one.reasons}
    rows = []
    for spread in found.spreads[: 4 * MOST_SPREADS]:
        key = spread.feature.key
        rows.append(
            {
                "modality": spread.modality,
                "key": key,
                "label": spread.feature.label,
                "unit": spread.unit,
                "kind": "grid"
                if spread.feature in GRID
                else "intensity"
                if spread.feature in INTENSITIES
                else "quality",
                "values": spread.values,
                "marked": {
                    group: [
                        value for value, image in zip(own, spread.images[group], strict=True) if (key, image) in marked
                    ]
                    for group, own in spread.values.items()
                },
            }
        )
    return rows


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _records(found: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    return tuple(asdict(one) for one in found)


def _write(frame: pd.DataFrame, path: Path) -> None:
    """The site table, atomically; CSV or Parquet by the name's ending."""
    from fiducial.records.files import atomic_path

    with atomic_path(path) as part:
        if path.suffix.lower() == ".csv":
            frame.to_csv(part, index=False)
        else:
            frame.to_parquet(part, index=False)
