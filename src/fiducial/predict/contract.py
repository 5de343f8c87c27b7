"""The input contract: what training images looked like, with stated slack, and the refusal of what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiducial.errors import ContractError
from fiducial.records.image import Image
from fiducial.records.plan import ChannelContract, InputContract, TripleMm

SPACING_SLACK = 1.5
INTENSITY_SLACK = 0.25


@dataclass(frozen=True)
class Look:
    """What the contract looks at in one image: see `look`."""

    modality: str
    unit: str
    components: int
    flat: bool
    spacing_mm: tuple[float, float, float]
    p1: float
    p99: float


def look(image: Image) -> Look:
    """Look at one image: spacing is sorted, so that its orientation does not matter."""
    p1, p99 = np.percentile(image.array.astype(np.float32), [1, 99])
    x, y, z = sorted(image.geometry.spacing_mm)
    flat = 1 in image.geometry.shape
    return Look(image.modality, image.unit, image.array.shape[0], flat, (x, y, z), float(p1), float(p99))


def learn_contract(exams: Sequence[Sequence[Look]], *, region_mask: str = "") -> InputContract:
    """Learn a contract from the training exams (each a list of looks, one per input).

    Spacing may leave the range seen by a factor of 1.5. The 1st and 99th percentile may leave their own ranges by a
    quarter of the whole intensity range seen (largest p99 minus smallest p1).
    """
    channels = []
    for looks in zip(*exams, strict=True):
        p1 = np.array([one.p1 for one in looks])
        p99 = np.array([one.p99 for one in looks])
        slack = INTENSITY_SLACK * float(p99.max() - p1.min())
        channels.append(
            ChannelContract(
                modality=looks[0].modality,
                unit=looks[0].unit,
                p1=(float(p1.min()) - slack, float(p1.max()) + slack),
                p99=(float(p99.min()) - slack, float(p99.max()) + slack),
            )
        )
    spacing = np.array([one.spacing_mm for exam in exams for one in exam])
    return InputContract(
        dimensions=2 if exams[0][0].flat else 3,
        channels=tuple(channels),
        components=exams[0][0].components,
        spacing_min_mm=_triple(spacing.min(axis=0) / SPACING_SLACK),
        spacing_max_mm=_triple(spacing.max(axis=0) * SPACING_SLACK),
        region_mask=region_mask,
    )


def require(contract: InputContract, looks: Sequence[Look], *, where: str = "") -> None:
    """Refuse an exam that breaks the contract.

    Raises:
        ContractError: naming what differs, the legal range and what to do.
    """
    if len(looks) != len(contract.channels):
        raise ContractError(f"{len(looks)} input(s)", where=where, legal=f"{len(contract.channels)} input(s)")
    for given, legal in zip(looks, contract.channels, strict=True):
        _require_kind(contract, given, legal, where)
        for axis, (s, low, high) in enumerate(
            zip(given.spacing_mm, contract.spacing_min_mm, contract.spacing_max_mm, strict=True)
        ):
            if not low * (1 - 1e-6) <= s <= high * (1 + 1e-6):
                order = ("smallest", "middle", "largest")[axis]
                raise ContractError(
                    f"{order} spacing {s:.4g} mm",
                    where=where,
                    legal=f"{low:.4g} to {high:.4g} mm (the training images' range, by a factor of {SPACING_SLACK})",
                    action="use images of the kind that the model was trained on, or train on such images",
                )
        _require_range("1st", given.p1, legal.p1, where)
        _require_range("99th", given.p99, legal.p99, where)


def _require_kind(contract: InputContract, given: Look, legal: ChannelContract, where: str) -> None:
    """Dimensions, modality, unit and colour channels."""
    dimensions = 2 if given.flat else 3
    facts = (
        ("dimensions", dimensions, contract.dimensions),
        ("modality", given.modality, legal.modality),
        ("unit", given.unit, legal.unit),
        ("colour channels", given.components, contract.components),
    )
    for name, found, wanted in facts:
        if found != wanted:
            raise ContractError(
                f"{name} {found!r}",
                where=where,
                legal=repr(wanted),
                action="the model was trained on that only; give such images",
            )


def _require_range(which: str, value: float, legal: tuple[float, float], where: str) -> None:
    if not legal[0] <= value <= legal[1]:
        raise ContractError(
            f"{which} percentile of the intensities is {value:.5g}",
            where=where,
            legal=f"{legal[0]:.5g} to {legal[1]:.5g} (the training images' range with a quarter of it as slack)",
            action="check rescale, units and padding: the voxels are not on the scale that the model was trained on",
        )


def _triple(values: np.ndarray) -> TripleMm:
    return float(values[0]), float(values[1]), float(values[2])
