"""What the command line says of an archive: credentials from the environment, and a query counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fiducial.cli.bars import progress_shown
from fiducial.errors import InputRefused

if TYPE_CHECKING:
    from fiducial.flows import PacsAccess


def access(credentials_from: str, *, ca: Path | None, insecure: bool, max_series: int) -> PacsAccess:
    """How an archive is reached; the credentials are those of the environment variable named, and are never shown.

    Raises:
        InputRefused: there is no such variable, or it is empty.
    """
    from fiducial.flows import PacsAccess

    credentials = os.environ.get(credentials_from, "") if credentials_from else ""
    if credentials_from and not credentials:
        raise InputRefused(
            "no such environment variable, or an empty one",
            where="--credentials-from",
            legal="the name of a variable that holds USER:PASSWORD or Bearer TOKEN",
            action="set it in the environment of this command; do not write the credentials on the command line",
        )
    return PacsAccess(credentials=credentials, ca=ca, insecure=insecure, max_series=max_series)


def dry_run(source: str, reach: PacsAccess, *, as_json: bool, quiet: bool) -> None:
    """Print what an archive's address matches, in numbers by modality."""
    from fiducial.cli.show import counted, safe, show
    from fiducial.flows import count_archive

    with progress_shown(quiet=quiet) as progress:
        found = count_archive(source, access=reach, progress=progress)
    lines = [
        f"[bold]{counted(found.n_patients, 'patient')}, {counted(found.n_series, 'series', 'series')}, "
        f"{counted(found.n_instances, 'instance')}[/]",
        *[
            f"  {safe(modality)}: {counted(n_series, 'series', 'series')}, {counted(n_instances, 'instance')}"
            for modality, n_series, n_instances in found.modalities
        ],
        "Nothing was received.",
    ]
    show(found, lines, as_json=as_json)
