"""Perturbations of a cohort's regions: the file that states them, and the features of each region after each."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fiducial.features.radiomics import Settings
    from fiducial.features.radiomics.perturbations import Perturbations


def load_perturbations(path: str | Path) -> Perturbations:
    """Perturbations of a TOML file.

    Raises:
        InputRefused: no such file, no TOML, or an illegal perturbation; the message names it.
    """
    from pydantic import ValidationError

    from fiducial.errors import InputRefused
    from fiducial.features.radiomics.perturbations import Perturbation, Perturbations

    path = Path(path)
    try:
        return Perturbations(**tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputRefused("no such file", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputRefused(f"no TOML: {error}", where=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputRefused(
            f"{place}: {first['msg']}" if place else str(first["msg"]),
            where=str(path),
            legal=f"seed, and tables [[perturbation]] of {', '.join(Perturbation.model_fields)}",
        ) from error


def features_after(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    settings: Settings,
    asked: Perturbations,
    *,
    region: str,
) -> tuple[list[list[Any]], list[tuple[str, str]]]:
    """Rows of features after each perturbation, its name first; and those that left no features, with their reason.

    ``region`` names the region: its draws are its own, and the same in every run.
    """
    from fiducial.errors import InputRefused
    from fiducial.features.radiomics.perturb import perturbed_radiomics, seed_of

    rows: list[list[Any]] = []
    aside: list[tuple[str, str]] = []
    # A mask is used often; looking at it once is enough.
    inside = np.asarray(mask) != 0
    for name, one in asked.repeats():
        try:
            seed = seed_of(asked.seed, region, name)
            table = perturbed_radiomics(image, inside, spacing_mm, settings, one, seed=seed)
        except InputRefused as refusal:
            aside.append((f"{region} ({name})", str(refusal)))
            continue
        rows += [[name, *row] for row in table.itertuples(index=False, name=None)]
    return rows, aside
