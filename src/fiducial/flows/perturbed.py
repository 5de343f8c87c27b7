"""Perturbations of a cohort's regions: the file that states them, and the features of each region after each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.flows.toml_file import illegal, read_toml

if TYPE_CHECKING:
    from fiducial.features.radiomics import PyRadiomicsSettings, Settings
    from fiducial.features.radiomics.perturbations import Perturbations


def load_perturbations(path: str | Path) -> Perturbations:
    """Perturbations of a TOML file.

    Raises:
        InputRefused: no such file, no TOML, or an illegal perturbation; the message names it.
    """
    from pydantic import ValidationError

    from fiducial.features.radiomics.perturbations import Perturbation, Perturbations

    path = Path(path)
    try:
        return Perturbations(**read_toml(path))
    except ValidationError as error:
        legal = f"seed, and tables [[perturbation]] of {', '.join(Perturbation.model_fields)}"
        raise illegal(error, path, legal=legal) from error


def features_after(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    settings: Settings | PyRadiomicsSettings,
    asked: Perturbations,
    *,
    region: str,
) -> tuple[list[list[Any]], list[tuple[str, str]]]:
    """Rows of features after each perturbation, its name first; and those that left no features, with their reason.

    ``region`` names the region: its draws are its own, and the same in every run.
    """
    from fiducial.errors import InputRefused
    from fiducial.features.radiomics.perturb import perturbed_rows, seed_of

    rows: list[list[Any]] = []
    aside: list[tuple[str, str]] = []
    # A mask is used often; looking at it once is enough.
    inside = np.asarray(mask) != 0
    for name, one in asked.repeats():
        seed = seed_of(asked.seed, region, name)
        try:
            made = perturbed_rows(image, inside, spacing_mm, settings, one, seed=seed)
        except InputRefused as refusal:
            aside.append((f"{region} ({name})", str(refusal)))
            continue
        rows += [[name, *row] for row in made]
    return rows, aside
