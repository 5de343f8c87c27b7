"""How an image and a mask are to be changed slightly: the records that a file of perturbations holds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Perturbation(BaseModel):
    """One way to change an image and a mask; frozen, unknown keys are refused.

    What is asked for is done in this order: noise, turn and shift together, volume, contour (`perturb.perturb`).

    - ``noise``: white noise, of so many times the image's own level around the region;
    - ``rotate_degrees``: a turn of image and mask in the plane of x and y, about the region's centre;
    - ``translate_voxels``: a shift of both along x, y and z, in voxels of the grid that features are computed on;
    - ``volume``: the mask grows (0.1: by a tenth) or shrinks (-0.1) by a fraction of its volume;
    - ``contour``: the mask is drawn anew along supervoxels of about ``supervoxel_mm``.

    ``repeats`` is how often it is done with other draws of noise and contour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_+-]{1,60}$")
    noise: float = Field(default=0.0, ge=0, le=100)
    rotate_degrees: float = Field(default=0.0, ge=-180, le=180)
    translate_voxels: tuple[float, float, float] = (0.0, 0.0, 0.0)
    volume: float = Field(default=0.0, gt=-1, le=10)
    contour: bool = False
    supervoxel_mm: float = Field(default=6.0, gt=0)
    repeats: int = Field(default=1, ge=1, le=1000)

    @model_validator(mode="after")
    def _legal(self) -> Perturbation:
        if not (self.drawn or self.moves or self.volume):
            raise ValueError("nothing is changed; legal: noise, rotate_degrees, translate_voxels, volume or contour")
        if any(abs(shift) > 100 for shift in self.translate_voxels):
            raise ValueError(f"translate_voxels {self.translate_voxels}; legal: at most 100 voxels")
        if self.repeats > 1 and not self.drawn:
            raise ValueError("repeats of what is not random are all alike; legal: with noise or contour")
        return self

    @property
    def drawn(self) -> bool:
        """Whether another seed gives another result."""
        return self.noise > 0 or self.contour

    @property
    def moves(self) -> bool:
        """Whether the image is turned or shifted."""
        return self.rotate_degrees != 0 or any(self.translate_voxels)


class Perturbations(BaseModel):
    """What a file holds: a seed, and one or more tables ``[[perturbation]]`` of different names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0)
    perturbation: tuple[Perturbation, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _named(self) -> Perturbations:
        names = [one.name for one in self.perturbation]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands twice; legal: a name of its own for each perturbation")
        return self

    def repeats(self) -> tuple[tuple[str, Perturbation], ...]:
        """Every repeat under its name: ``name``, or ``name.1``, ``name.2`` ... where there are several."""
        return tuple(
            (one.name if one.repeats == 1 else f"{one.name}.{number}", one)
            for one in self.perturbation
            for number in range(1, one.repeats + 1)
        )
