"""PET keeps its meaning: SUV is computed while weight and times are still there.

Only the rescale values change, and the display window with them, so that the stored voxels stay bit for bit what they
were; slope and intercept are written with the 16 characters that DICOM's decimal text allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fiducial.archive.deidentify.profile import Options
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.dicom.suv import suv_factor
from fiducial.errors import UnreadableFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SCALED = ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth")


def factor_of(headers: tuple[FileHeader, ...], options: Options) -> tuple[float | None, str]:
    """What a PET series in Bq/ml is multiplied with, and a remark; None where it stays as it is.

    It stays where weight and times stay, too, and where SUV cannot be computed: then the remark says why.
    """
    if headers[0].text("Modality") != "PT" or headers[0].text("Units").upper() != "BQML":
        return None, ""
    if options.patient_characteristics and options.dates != "removed":
        return None, "Bq/ml kept: body weight and times stay"
    try:
        return suv_factor(headers), "SUV by body weight, computed before the weight was removed"
    except UnreadableFile as refusal:
        return None, f"SUV cannot be computed any more: {refusal.given}"


def to_suv(dataset: Dataset, factor: float) -> None:
    """Turn Bq/ml into g/ml in place: rescale values and display window times ``factor``."""
    from pydicom.valuerep import DSfloat

    for keyword in SCALED:
        if dataset.get(keyword) is None:
            continue
        value = dataset[keyword].value
        many = isinstance(value, list | tuple) or hasattr(value, "append")
        scaled = [DSfloat(float(one) * factor, auto_format=True) for one in (value if many else [value])]
        setattr(dataset, keyword, scaled if many else scaled[0])
    dataset.Units, dataset.SUVType = "GML", "BW"
