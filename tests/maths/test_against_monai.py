"""The same values as MONAI's separate functions, and several times faster."""

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fiducial.maths.segmentation import labelmap_metrics

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    metrics = pytest.importorskip("monai.metrics")

LABELS = {"one": 1, "two": 2, "three": 3}
pytestmark = pytest.mark.filterwarnings("ignore")


def blobs(shape, seed, level=0.0):
    """A label map of smooth blobs; the second seed gives a related one."""
    rng = np.random.default_rng(seed)
    field = (
        gaussian_filter(np.random.default_rng(0).normal(size=shape), 4) * 30
        + gaussian_filter(rng.normal(size=shape), 3) * 8
    )
    return np.digitize(field, [level, level + 0.7, level + 1.4]).astype(np.uint8)


def one_hot(array):
    return torch.from_numpy(np.stack([array == v for v in LABELS.values()])[None].astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((48, 40, 30), (1.0, 1.0, 1.0)),
        ((40, 44, 14), (0.7, 0.7, 5.0)),
        ((64, 56), (0.5, 0.8)),
        ((20, 24, 28), (3, 1, 2)),
    ],
)
def test_values(shape, spacing):
    prediction, truth = blobs(shape, 1), blobs(shape, 2)
    found = labelmap_metrics(prediction, truth, LABELS, spacing, tolerance_mm=1.5)
    p, t = one_hot(prediction), one_hot(truth)
    space = {"include_background": True, "spacing": spacing}
    expected = {
        "dice": metrics.compute_dice(p, t, include_background=True),
        "iou": metrics.compute_iou(p, t, include_background=True),
        "hd95": metrics.compute_hausdorff_distance(p, t, percentile=95, **space),
        "nsd": metrics.compute_surface_dice(p, t, [1.5] * len(LABELS), **space),
        "masd": (
            metrics.compute_average_surface_distance(p, t, **space)
            + metrics.compute_average_surface_distance(t, p, **space)
        )
        / 2,
    }
    for metric, values in expected.items():
        assert [found[name][metric] for name in LABELS] == pytest.approx(values[0].tolist(), rel=1e-5, abs=1e-5), metric
