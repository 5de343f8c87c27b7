"""PyRadiomics' settings under its own names, so that its parameter files are read as they are."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fiducial.features.radiomics.pyradiomics.names import names
from fiducial.features.radiomics.settings import known_wavelet

INTERPOLATORS = (
    "sitkNearestNeighbor",
    "sitkLinear",
    "sitkBSpline",
    "sitkGaussian",
    "sitkHammingWindowedSinc",
    "sitkCosineWindowedSinc",
    "sitkWelchWindowedSinc",
    "sitkLanczosWindowedSinc",
    "sitkBlackmanWindowedSinc",
)
IMAGE_TYPES = (
    "Original",
    "Wavelet",
    "LoG",
    "Square",
    "SquareRoot",
    "Logarithm",
    "Exponential",
    "Gradient",
    "LBP2D",
)
DEFAULT_CLASSES = ("firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm", "shape")
"""All but shape2D, which is of a region in one slice."""
NOT_HERE = {
    "geometryTolerance": "a mask on another grid is refused, whatever the tolerance: resample the mask to the image",
    "kernelRadius": "this is of one number for each region, not of maps: leave the voxel settings away",
    "maskedKernel": "this is of one number for each region, not of maps: leave the voxel settings away",
    "initValue": "this is of one number for each region, not of maps: leave the voxel settings away",
    "voxelBatch": "this is of one number for each region, not of maps: leave the voxel settings away",
    "lbp3DLevels": "the image type LBP3D is not here: leave it away",
    "lbp3DIcosphereRadius": "the image type LBP3D is not here: leave it away",
    "lbp3DIcosphereSubdivision": "the image type LBP3D is not here: leave it away",
}
"""Settings of PyRadiomics that are refused, and what to do instead."""


class ImageTypeSettings(BaseModel):
    """What may be said once for all image types, and again for one of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    bin_width: float = Field(default=25, gt=0, alias="binWidth", description="width of a grey level's bin")
    bin_count: int | None = Field(
        default=None, gt=0, alias="binCount", description="number of bins instead; takes precedence over the width"
    )
    distances: tuple[int, ...] = Field(
        default=(1,), min_length=1, description="Chebyshev distances of neighbours in GLCM, GLDM and NGTDM"
    )
    force_2d: bool = Field(default=False, alias="force2D", description="neighbours in the plane alone")
    force_2d_dimension: int = Field(
        default=0, ge=0, le=2, alias="force2Ddimension", description="across the plane: 0 is z, 1 is y, 2 is x"
    )
    symmetrical_glcm: bool = Field(
        default=True, alias="symmetricalGLCM", description="count both ways of a pair of neighbours"
    )
    weighting_norm: Literal["manhattan", "euclidean", "infinity", "no_weighting"] | None = Field(
        default=None,
        alias="weightingNorm",
        description="weight of a direction's matrix when GLCM and GLRLM are merged; without it they are averaged",
    )
    gldm_a: int = Field(default=0, ge=0, description="largest difference of grey level that counts as dependent")
    voxel_array_shift: int = Field(
        default=0, alias="voxelArrayShift", description="added to intensities in Energy, TotalEnergy and RMS"
    )
    sigma: tuple[int | float, ...] = Field(default=(), description="LoG: standard deviations in mm, one image each")
    start_level: int = Field(default=0, ge=0, le=8, description="Wavelet: levels to go down first")
    level: int = Field(default=1, ge=1, le=8, description="Wavelet: levels to give")
    wavelet: str = Field(default="coif1", description="Wavelet: its name in PyWavelets")
    gradient_use_spacing: bool = Field(
        default=True, alias="gradientUseSpacing", description="Gradient: by mm instead of by voxel"
    )
    lbp_2d_radius: float = Field(default=1, gt=0, alias="lbp2DRadius", description="LBP2D: radius in pixels")
    lbp_2d_samples: int = Field(default=8, ge=1, alias="lbp2DSamples", description="LBP2D: points on the circle")
    lbp_2d_method: Literal["default", "ror", "uniform", "var"] = Field(
        default="uniform", alias="lbp2DMethod", description="LBP2D: kind of pattern"
    )

    @field_validator("distances")
    @classmethod
    def _whole_steps(cls, given: tuple[int, ...]) -> tuple[int, ...]:
        if min(given) < 1 or len(set(given)) != len(given):
            raise ValueError("legal: different whole numbers from 1 on")
        return given

    @field_validator("sigma")
    @classmethod
    def _positive(cls, given: tuple[int | float, ...]) -> tuple[int | float, ...]:
        if any(sigma <= 0 for sigma in given) or len(set(given)) != len(given):
            raise ValueError("legal: different lengths above 0 mm")
        return given

    @field_validator("wavelet")
    @classmethod
    def _known_wavelet(cls, given: str) -> str:
        return known_wavelet(given)


class PyRadiomicsSettings(ImageTypeSettings):
    """All settings of a run: preparation, image types and feature classes; frozen, unknown names are refused.

    The defaults are PyRadiomics' own: bins of width 25, no resampling, the original image, all classes but shape2D.
    Names are either ours (``bin_width``) or PyRadiomics' (``binWidth``).
    """

    profile: Literal["pyradiomics"] = "pyradiomics"
    label: int = Field(default=1, ge=1, description="value of the region in the mask")
    label_channel: Literal[0] = Field(default=0, description="masks are of one channel")
    minimum_roi_dimensions: int = Field(
        default=2, ge=1, le=3, alias="minimumROIDimensions", description="axes that a region must extend along"
    )
    minimum_roi_size: int | None = Field(
        default=None, gt=0, alias="minimumROISize", description="a region must have more voxels than that"
    )
    correct_mask: Literal[False] = Field(
        default=False, alias="correctMask", description="a mask on another grid is refused, not resampled unasked"
    )
    additional_info: bool = Field(
        default=False, alias="additionalInfo", description="rows of image and mask before and after their preparation"
    )
    normalize: bool = Field(default=False, description="the whole image to mean 0 and standard deviation 1 first")
    normalize_scale: float = Field(default=1, gt=0, alias="normalizeScale", description="then times this")
    remove_outliers: float | None = Field(
        default=None, gt=0, alias="removeOutliers", description="normalised intensities are cut there"
    )
    resampled_pixel_spacing: tuple[float, float, float] | None = Field(
        default=None, alias="resampledPixelSpacing", description="new spacing in mm; 0 leaves an axis as it is"
    )
    interpolator: str | None = Field(default="sitkBSpline", description="of the image; masks take the nearest voxel")
    pad_distance: int = Field(default=5, ge=0, alias="padDistance", description="voxels kept around the region's box")
    pre_crop: bool = Field(
        default=False, alias="preCrop", description="cut the image to the box before it is filtered, if not resampled"
    )
    resegment_range: tuple[float, ...] | None = Field(
        default=None, alias="resegmentRange", description="least, or least and largest, intensity of the region"
    )
    resegment_mode: Literal["absolute", "relative", "sigma"] = Field(
        default="absolute",
        alias="resegmentMode",
        description="as they are, as shares of the region's maximum, or as standard deviations from its mean",
    )
    resegment_shape: bool = Field(default=False, alias="resegmentShape", description="shape features of it too")
    image_types: dict[str, dict[str, Any]] = Field(default={"Original": {}}, alias="imageType")
    feature_classes: dict[str, tuple[str, ...]] = Field(
        default=dict.fromkeys(DEFAULT_CLASSES, ()), alias="featureClass"
    )

    def for_image(self, image_type: str) -> ImageTypeSettings:
        """The settings of one image type: its own before those of all."""
        shared = {name: getattr(self, name) for name in ImageTypeSettings.model_fields}
        own = ours_of(self.image_types[image_type])
        if own:
            checked = ImageTypeSettings(**own)
            shared |= {name: getattr(checked, name) for name in checked.model_fields_set}
        # What was checked once is not checked again.
        return ImageTypeSettings.model_construct(**shared)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        """Refuse by name what is not here; blocks without content are those without a word."""
        if not isinstance(given, dict):
            return given
        for name, action in NOT_HERE.items():
            if given.get(name) is not None:
                raise ValueError(f"{name} is not honoured; {action}")
        known = {*cls.model_fields, *(field.alias for field in cls.model_fields.values() if field.alias), *NOT_HERE}
        for name in given:
            if name not in known:
                theirs = {
                    (field.alias or ours).lower(): field.alias or ours for ours, field in cls.model_fields.items()
                }
                near = get_close_matches(str(name).lower(), theirs, n=1)
                raise ValueError(f"no setting {name!r}" + (f"; did you mean {theirs[near[0]]}?" if near else ""))
        said = {name: value for name, value in given.items() if name not in NOT_HERE}
        return {name: value for name, value in said.items() if value is not None or name in NULLABLE}

    @field_validator("interpolator")
    @classmethod
    def _known_interpolator(cls, given: str | None) -> str | None:
        if given is not None and given not in INTERPOLATORS:
            raise ValueError(f"no interpolator {given!r}; legal: {', '.join(INTERPOLATORS)}, null")
        return given

    @field_validator("resampled_pixel_spacing")
    @classmethod
    def _lengths(cls, given: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
        if given is not None and min(given) < 0:
            raise ValueError("legal: three lengths in mm, 0 for an axis that stays as it is")
        return given

    @field_validator("resegment_range")
    @classmethod
    def _one_or_two(cls, given: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if given is not None and len(given) not in (1, 2):
            raise ValueError(f"{len(given)} numbers; legal: one or two")
        return given

    @field_validator("feature_classes", mode="before")
    @classmethod
    def _none_is_all(cls, given: Any) -> Any:
        if isinstance(given, dict):
            given = {of_class: wanted or () for of_class, wanted in given.items()}
        return given or dict.fromkeys(DEFAULT_CLASSES, ())

    @field_validator("image_types", mode="before")
    @classmethod
    def _none_is_nothing(cls, given: Any) -> Any:
        if isinstance(given, dict):
            given = {image_type: own or {} for image_type, own in given.items()}
        return given or {"Original": {}}

    @model_validator(mode="after")
    def _legal(self) -> PyRadiomicsSettings:
        for of_class, wanted in self.feature_classes.items():
            _require_class(of_class, wanted)
        for image_type, own in self.image_types.items():
            _require_image_type(image_type, own)
            made = self.for_image(image_type)
            if image_type == "LoG" and not made.sigma:
                raise ValueError("imageType.LoG: no sigma; legal: a list of lengths in mm")
        return self


NULLABLE = {"interpolator"}
"""Settings whose null is not their default."""


def ours_of(given: dict[str, Any]) -> dict[str, Any]:
    """The same settings under our names."""
    aliases = {field.alias: name for name, field in ImageTypeSettings.model_fields.items() if field.alias}
    return {aliases.get(name, name): value for name, value in given.items() if value is not None}


def _require_class(of_class: str, wanted: tuple[str, ...]) -> None:
    if of_class not in names():
        raise ValueError(f"featureClass: no class {of_class!r}; legal: {', '.join(names())}")
    known = {one.name: one for one in names()[of_class]}
    for name in wanted:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"featureClass.{of_class}: no feature {name!r}{hint}")
        if known[name].computed == "no":
            raise ValueError(f"featureClass.{of_class}.{name}: {known[name].difference}; name that, or leave it away")


def _require_image_type(image_type: str, own: dict[str, Any]) -> None:
    if image_type == "LBP3D":
        raise ValueError(f"imageType.LBP3D is not here; legal: {', '.join(IMAGE_TYPES)}")
    if image_type not in IMAGE_TYPES:
        raise ValueError(f"imageType: no image type {image_type!r}; legal: {', '.join(IMAGE_TYPES)}")
    try:
        ImageTypeSettings(**own)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise ValueError(
                f"imageType.{image_type}.{place}: cannot be said for one image type; "
                f"legal: {', '.join(field.alias or name for name, field in ImageTypeSettings.model_fields.items())}"
            ) from error
        raise ValueError(f"imageType.{image_type}.{place}: {first['msg']}") from error
