"""A table that harmonisation can take as it is: a row for each image with its batch, covariates and figures.

ComBat and its relatives estimate, for each figure, a shift and a scale of every batch (site and scanner) while they
keep what covariates explain. They need enough images in each batch, and covariates that are not tied to the batch.
This makes the table and says where either fails; it changes no figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fiducial.cohort.features import feature_table, words_of
from fiducial.cohort.shortcuts import ASKED
from fiducial.cohort.table import images_of
from fiducial.records.tables import COHORT

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 20
"""Images of a batch below which its shift and scale are poorly known (Orlhac et al., J Nucl Med 63 (2022) 172-179)."""
STRONG = 0.3
"""Cramér's V or correlation ratio from which on a covariate and the batch are said to go together: Cohen's medium."""
LIKE_A_NAME = 0.5
UNKNOWN = "(not stated)"
MADE = (
    *("image_type", "echo_time_ms", "b_value", "spacing_source", "frames", "frame_time_ms", "photometric", "voi"),
    *("window_center", "window_width", "padding", "padding_value", "series_description", "body_part", "laterality"),
    *("suv_lbm_per_bw", "suv_lbm_james_per_bw", "suv_bsa_per_bw", "patient_orientation", "icc_profile", "n_frames"),
    *("spacing_calibration", "ultrasound_regions"),
)
"""Further columns that say how an image was made or stored: no covariates either."""
PREFIX = "feature_"


@dataclass(frozen=True)
class Tie:
    """How closely a covariate goes with the batch: ``value`` in [0, 1] by ``measure``, with p; ``warning`` or ""."""

    covariate: str
    measure: str
    value: float
    p: float
    n_images: int
    warning: str


@dataclass(frozen=True)
class SiteTable:
    """``frame``: ``image, subject, modality, batch``, covariates, then figures as ``feature_<key>``.

    ``batches``: counts of each batch and its warning. ``ties``: covariates against the batch.
    """

    frame: pd.DataFrame
    batches: pd.DataFrame
    covariates: tuple[str, ...]
    ties: tuple[Tie, ...]

    @property
    def warnings(self) -> list[str]:
        """What stands against harmonising by this batch, in sentences."""
        small = [f"batch {b['batch']}: {b['warning']}" for b in self.batches.to_dict("records") if b["warning"]]
        return small + [f"{tie.covariate}: {tie.warning}" for tie in self.ties if tie.warning]


def site_table(
    cohort: pd.DataFrame, *, batch: tuple[str, ...] = ("site", "scanner"), fewest: int = FEWEST
) -> SiteTable:
    """The table of a cohort's images.

    Args:
        cohort: with fingerprints.
        batch: columns that together name the batch, as far as the cohort has them; values are joined by `` | ``.
        fewest: images below which a batch is warned of.
    """
    import pandas as pd

    figures = feature_table(cohort)
    images = images_of(cohort).set_index("image").loc[figures.frame["image"]].reset_index()
    named = [name for name in batch if name in images.columns and (words_of(images[name]) != "").any()]
    words = [words_of(images[name]).where(lambda w: w != "", UNKNOWN) for name in named]
    batches = [" | ".join(parts) for parts in zip(*words, strict=True)] if words else [UNKNOWN] * len(images)
    covariates = _covariates(images, named)
    frame = pd.concat(
        [
            images[["image", "subject", "modality"]].assign(batch=batches),
            images[list(covariates)],
            figures.frame[[f.key for f in figures.features]].add_prefix(PREFIX),
        ],
        axis=1,
    )
    return SiteTable(frame, _counts(frame, fewest), covariates, tuple(_tie(frame, name) for name in covariates))


def _covariates(images: pd.DataFrame, batch: list[str]) -> tuple[str, ...]:
    """Attributes and labels that vary: not how the image was made, not the batch, not as good as a name."""
    import pandas as pd

    extra = [str(name) for name in images.columns if name not in COHORT.names and name != "fold"]
    kept = []
    for name in extra:
        words = words_of(images[name])
        n_values = words[words != ""].nunique()
        number = pd.api.types.is_numeric_dtype(images[name])
        if name in ASKED or name in MADE or name in batch or n_values < 2:
            continue
        if number or n_values <= LIKE_A_NAME * len(images):
            kept.append(name)
    return tuple(kept)


def _counts(frame: pd.DataFrame, fewest: int) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for (modality, name), own in frame.groupby(["modality", "batch"], sort=True):
        n = len(own)
        few = f"{n} image{'' if n == 1 else 's'}, fewer than {fewest}: its shift and scale are poorly known"
        warning = few if n < fewest else ""
        rows.append(
            {
                "batch": name,
                "modality": modality,
                "n_subjects": int(own["subject"].nunique()),
                "n_images": n,
                "warning": warning,
            }
        )
    if {row["batch"] for row in rows} == {UNKNOWN}:
        rows = [{**row, "warning": ""} for row in rows]
    elif len({row["batch"] for row in rows}) == 1:
        rows = [{**row, "warning": "the only batch: there is nothing to harmonise"} for row in rows]
    return pd.DataFrame(rows, columns=["batch", "modality", "n_subjects", "n_images", "warning"])


def _tie(frame: pd.DataFrame, name: str) -> Tie:
    """A covariate against the batch, over the first image of each person."""
    import pandas as pd

    from fiducial.maths.association import correlation_ratio, cramers_v

    people = frame.sort_values("image").drop_duplicates("subject")
    words = words_of(people[name])
    people, words = people[words != ""], words[words != ""]
    if pd.api.types.is_numeric_dtype(people[name]) and words.nunique() > 5:
        found, measure = correlation_ratio(people[name].to_numpy(dtype=float), people["batch"]), "correlation ratio"
    else:
        found, measure = cramers_v(words, people["batch"]), "Cramér's V"
    alone = _of_one_value(people["batch"], words) if measure != "correlation ratio" else []
    warning = ""
    if alone and people["batch"].nunique() > 1 and words.nunique() > 1:
        warning = f"all people of {', '.join(alone[:3])} have one value: batch and {name} cannot be told apart there"
    elif found.value >= STRONG and found.p < 0.05:
        warning = f"goes with the batch ({measure} {found.value:.2f}): harmonising may remove it, or fail to"
    return Tie(name, measure, found.value, found.p, found.n, warning)


def _of_one_value(batch: pd.Series[Any], words: pd.Series[Any]) -> list[str]:
    """Batches of five or more people who all have one value."""
    found = words.groupby(batch).agg(["size", "nunique"])
    return [str(name) for name in found.index[(found["size"] >= 5) & (found["nunique"] == 1)]]
