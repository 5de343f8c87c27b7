"""How a region is prepared before its features are computed: the image processing of IBSI 1, chapter 2."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

FAMILIES = (
    "diagnostics",
    "morphology",
    "local_intensity",
    "statistics",
    "intensity_histogram",
    "intensity_volume",
    "glcm",
    "glrlm",
    "glszm",
    "gldzm",
    "ngtdm",
    "ngldm",
)
RESPONSE_FAMILIES = ("statistics", "intensity_histogram", "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm")
"""Families of response maps that stand beside the image; the others are of its mask, its unit or its millimetres."""
MASK_FAMILIES = ("diagnostics", "morphology")
"""Families that no filter changes: they are of the mask, and of the image before it."""
LEVELLED = set(RESPONSE_FAMILIES[1:])
"""Families that count grey levels."""
TEXTURES = ("glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm")
"""Families that are put together as ``aggregations`` say."""
AGGREGATIONS = ("2d_averaged", "2d_merged", "2.5d_averaged", "2.5d_merged", "3d_averaged", "3d_merged")
"""Names of IBSI 1, section 3.6: by slice and direction; directions merged by slice; slices merged by direction; all of
the slices merged; in the volume by direction; in the volume merged."""


FilterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
Boundary = Literal["zero", "nearest", "periodic", "mirror"]


def known_wavelet(given: str) -> str:
    """The name of a discrete wavelet of PyWavelets.

    Raises:
        ValueError: it is none.
    """
    import pywt

    legal = pywt.wavelist(kind="discrete")
    if given not in legal:
        raise ValueError(f"no wavelet {given!r}; legal: {', '.join(legal)}")
    return given


class _Filter(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MeanFilter(_Filter):
    """`filters.mean_filter`."""

    kind: Literal["mean"] = "mean"
    support: int = Field(ge=1)
    boundary: Boundary = "mirror"
    in_slice: bool = False


class LogFilter(_Filter):
    """`filters.laplacian_of_gaussian`."""

    kind: Literal["log"] = "log"
    sigma_mm: float = Field(gt=0)
    cutoff: float = Field(default=4.0, gt=0)
    boundary: Boundary = "mirror"
    in_slice: bool = False


class LawsFilter(_Filter):
    """`filters.laws_filter`."""

    kind: Literal["laws"] = "laws"
    kernels: str
    boundary: Boundary = "mirror"
    rotation_invariant: bool = False
    energy_reach: int = Field(default=0, ge=0)
    pooling: Literal["max", "mean"] = "max"


class GaborFilter(_Filter):
    """`filters.gabor_filter`."""

    kind: Literal["gabor"] = "gabor"
    sigma_mm: float = Field(gt=0)
    wavelength_mm: float = Field(gt=0)
    ratio: float = Field(gt=0)
    angle: float = 0.0
    angle_step: float = Field(default=0.0, ge=0)
    boundary: Boundary = "mirror"
    orthogonal_planes: bool = False


class WaveletFilter(_Filter):
    """`filters.wavelet_filter`."""

    kind: Literal["wavelet"] = "wavelet"
    wavelet: str
    bands: str
    level: int = Field(default=1, ge=1, le=8)
    boundary: Boundary = "mirror"
    rotation_invariant: bool = False

    @field_validator("wavelet")
    @classmethod
    def _known(cls, given: str) -> str:
        return known_wavelet(given)


class SimoncelliFilter(_Filter):
    """`filters.simoncelli_filter`."""

    kind: Literal["simoncelli"] = "simoncelli"
    level: int = Field(default=1, ge=1, le=8)
    in_slice: bool = False


Filter = MeanFilter | LogFilter | LawsFilter | GaborFilter | WaveletFilter | SimoncelliFilter


class Settings(BaseModel):
    """Image processing and what to compute; frozen, unknown keys are refused.

    ``spacing_mm`` is the grid to interpolate to (None: as the image is; 0 along an axis: as the image is along it).
    ``resegment`` is a closed range of intensities, ``outlier_sigma`` keeps what lies within so many standard
    deviations of the region's mean. One of ``bin_number`` (fixed bin number) and ``bin_width`` (fixed bin size) is
    given. ``ivh`` says how the intensity-volume histogram is binned: ``definite`` (intensities are whole
    numbers in the image's unit), a bin width for continuous calibrated intensities, or a number of bins for
    arbitrary units. ``filter`` turns the whole interpolated image into a response map, of which the features are
    computed (IBSI 2); the region is re-segmented by the intensities before. ``filters`` are several by name: then
    features are computed of the image itself and of every response map, of these `RESPONSE_FAMILIES`. Responses have
    no unit, so their grey levels are a fixed number, ``response_bin_number`` (without it ``bin_number``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Literal["ibsi"] = Field(
        default="ibsi", description="whose definitions; pyradiomics has settings of its own"
    )
    families: tuple[str, ...] = FAMILIES
    aggregations: tuple[str, ...] = ("3d_merged",)
    spacing_mm: tuple[float, float, float] | None = None
    image_interpolation: Literal["nearest", "linear", "cubic"] = "linear"
    mask_interpolation: Literal["nearest", "linear", "cubic"] = "linear"
    mask_threshold: float = Field(default=0.5, gt=0, lt=1)
    round_intensities: bool = False
    resegment: tuple[float | None, float | None] = (None, None)
    outlier_sigma: float | None = Field(default=None, gt=0)
    bin_number: int | None = Field(default=None, ge=2, le=4096)
    bin_width: float | None = Field(default=None, gt=0)
    ivh: Literal["definite", "continuous", "arbitrary"] = "definite"
    ivh_bin_width: float | None = Field(default=None, gt=0)
    ivh_bin_number: int = Field(default=1000, ge=2)
    distance: int = Field(default=1, ge=1, description="Chebyshev distance of neighbours in GLCM, NGTDM and NGLDM")
    filter: Annotated[Filter, Field(discriminator="kind")] | None = None
    filters: dict[FilterName, Annotated[Filter, Field(discriminator="kind")]] = Field(
        default={}, description="features of these response maps, by name, beside those of the image"
    )
    response_bin_number: int | None = Field(default=None, ge=2, le=4096)
    coarseness: int = Field(
        default=0, ge=0, description="NGLDM: largest difference of grey level that counts as dependent"
    )

    @model_validator(mode="after")
    def _legal(self) -> Settings:
        unknown = [name for name in self.families if name not in FAMILIES]
        if unknown:
            raise ValueError(f"families {unknown}; legal: {', '.join(FAMILIES)}")
        strange = [name for name in self.aggregations if name not in AGGREGATIONS]
        if strange:
            raise ValueError(f"aggregations {strange}; legal: {', '.join(AGGREGATIONS)}")
        for field in ("families", "aggregations"):
            if len(set(getattr(self, field))) < len(getattr(self, field)):
                raise ValueError(f"{field} {list(getattr(self, field))}; legal: each once")
        if not self.aggregations and set(TEXTURES) & set(self.families):
            raise ValueError("texture families without aggregations; legal: one or more")
        if self.bin_number is not None and self.bin_width is not None:
            raise ValueError("bin_number and bin_width; legal: one of the two")
        if self.filter is not None and self.filters:
            raise ValueError("filter and filters; legal: one of the two")
        if self.filters and not (self.response_bin_number or self.bin_number) and LEVELLED & set(self.families):
            raise ValueError("filters without response_bin_number; legal: a number of grey levels of response maps")
        return self

    @model_validator(mode="after")
    def _filters_count(self) -> Settings:
        if self.response_bin_number and not self.filters:
            raise ValueError("response_bin_number without filters; legal: bin_number, of a single filter too")
        if self.filters and not set(RESPONSE_FAMILIES) & set(self.families):
            raise ValueError(f"filters, and no family of response maps; legal: also of {', '.join(RESPONSE_FAMILIES)}")
        return self

    @property
    def parts(self) -> tuple[tuple[str, Filter | None, Settings], ...]:
        """What features are computed of: name in the table (empty: the image itself), filter, and settings for it.

        Of a single ``filter``, what is of the mask is of the image all the same.
        """
        if self.filter is None:
            levels = {"bin_number": self.response_bin_number or self.bin_number, "bin_width": None}
            response = self._with([name for name in self.families if name in RESPONSE_FAMILIES], **levels)
            return ("", None, self), *((name, given, response) for name, given in self.filters.items())
        mask = [name for name in self.families if name in MASK_FAMILIES]
        rest = [name for name in self.families if name not in MASK_FAMILIES]
        image = (("", None, self._with(mask)),) if mask else ()
        return *image, (self.filter.kind, self.filter, self._with(rest))

    @property
    def used_filters(self) -> tuple[Filter, ...]:
        """Every filter that these settings apply."""
        return tuple(given for _, given, _ in self.parts if given is not None)

    def _with(self, families: list[str], **more: int | float | None) -> Settings:
        return self.model_copy(update={"families": tuple(families), **more})
