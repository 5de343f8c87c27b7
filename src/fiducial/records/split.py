"""How a cohort is divided: the four parts and what rules them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PART = Literal["train", "validation", "calibration", "test"]


class Carve(BaseModel):
    """Take a calibration part out of a part that a given split has (data sets often come with three)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["train", "validation"] = "validation"
    fraction: float = Field(default=0.5, gt=0, lt=1)


class SplitRule(BaseModel):
    """The rule of a split.

    ``by``: ``subject`` (a person is never in two parts), ``site`` (neither is a hospital) or ``given`` (the
    cohort's own ``split`` column). ``fractions`` are of subjects and sum to 1. ``stratify`` names columns whose mix
    is kept alike in all parts. ``folds`` > 1 divides train + validation into that many folds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Literal["subject", "site", "given"] = "subject"
    fractions: dict[PART, float] = {"train": 0.6, "validation": 0.1, "calibration": 0.1, "test": 0.2}
    stratify: tuple[str, ...] = ()
    seed: int = 0
    folds: int = Field(default=1, ge=1)
    carve_calibration: Carve | None = None

    @model_validator(mode="after")
    def _sums_to_one(self) -> SplitRule:
        if any(f < 0 for f in self.fractions.values()) or abs(sum(self.fractions.values()) - 1) > 1e-6:
            raise ValueError(f"fractions {self.fractions} must be positive and sum to 1")
        return self
