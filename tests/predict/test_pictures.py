"""Pictures of cases: which are chosen, which slice, how it is turned, and that files are read safely."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from fiducial.archive import write_nifti
from fiducial.errors import LabelError, UnreadableFile
from fiducial.predict.drawing import LUNG_HU, SOFT_TISSUE_HU, View, Window, window_of
from fiducial.predict.pictures import (
    MaskCase,
    Selection,
    draw_masks,
    draw_scores,
    mask_picture,
    score_picture,
    select_cases,
    select_scores,
)
from fiducial.records.image import Geometry, Image
from fiducial.records.picture import INDEX, Picture, read_pictures, write_pictures

SHAPE = (40, 36, 12)
RAS = np.diag([1.0, 1.0, 3.0, 1.0])


def volume(array: NDArray[Any] | None = None, affine: NDArray[np.float64] = RAS, unit: str = "") -> Image:
    array = np.random.default_rng(0).normal(100, 20, SHAPE) if array is None else array
    return Image(array[np.newaxis], Geometry(affine, array.shape), "MR", unit)  # type: ignore[arg-type]


def box(*bounds: tuple[int, int]) -> NDArray[np.int16]:
    mask = np.zeros(SHAPE, dtype=np.int16)
    mask[tuple(slice(*bound) for bound in bounds)] = 1
    return mask


def cases(values: dict[str, float], metric: str = "dice") -> pd.DataFrame:
    rows = [{"image": name, "target": "t", "metric": metric, "value": value} for name, value in values.items()]
    return pd.DataFrame(rows)


def pixels(png: bytes) -> NDArray[np.int64]:
    return np.asarray(Pillow.open(io.BytesIO(png)).convert("RGB")).astype(np.int64)


# Which cases


def test_best_typical_and_worst_are_counted_by_hand() -> None:
    table = cases({"a": 0.1, "b": 0.9, "c": 0.5, "d": 0.6, "e": 0.4, "f": 0.2, "g": 0.8})
    assert select_cases(table, n=2) == Selection(best=("b", "g"), typical=("d", "c"), worst=("a", "f"))


def test_a_distance_is_better_when_smaller() -> None:
    chosen = select_cases(cases({"a": 1.0, "b": 9.0, "c": 5.0}, "hd95"), "hd95", n=1)
    assert chosen == Selection(best=("a",), typical=("c",), worst=("b",))


def test_no_image_is_shown_twice_and_ties_go_by_name() -> None:
    chosen = select_cases(cases(dict.fromkeys("dcba", 0.5)), n=3)
    shown = [image for _, image in chosen.items()]
    assert sorted(shown) == ["a", "b", "c", "d"]
    assert chosen.best == ("a", "b")
    assert select_cases(cases({"only": 0.5})).items() == [("best", "only")]


def test_structures_are_averaged_and_missing_values_left_out() -> None:
    table = pd.concat([cases({"a": 1.0, "b": 0.6}), cases({"a": 0.0, "b": float("nan")})])
    assert select_cases(table, n=1).best == ("b",)


def scores() -> pd.DataFrame:
    rows = [("a", 0.9, 1), ("b", 0.2, 1), ("c", 0.4, 0), ("d", 0.1, 0)]
    frame = pd.DataFrame(rows, columns=["image", "value", "truth"])
    return frame.assign(target="t", item="", kind="score")


def test_scores_are_ordered_by_their_distance_from_the_truth() -> None:
    assert select_scores(scores(), "t", n=1) == Selection(best=("a",), typical=("d",), worst=("b",))


def test_several_classes_are_ordered_by_the_true_class() -> None:
    frame = scores().iloc[:2].assign(truth=1, item="x")
    other = frame.assign(truth=0, item="y", value=[0.1, 0.8])
    assert select_scores(pd.concat([frame, other]), "t", n=1).worst == ("b",)


def test_nothing_to_choose_from_is_said() -> None:
    with pytest.raises(LabelError, match="no case has a value of 'nsd'"):
        select_cases(cases({"a": 1.0}), "nsd")
    with pytest.raises(LabelError, match="no scored row of target 'u'"):
        select_scores(scores(), "u")


# How they are turned


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_the_patients_right_is_on_the_left_and_anterior_is_up(flips: tuple[int, int, int]) -> None:
    """One bright voxel at the right anterior corner stands at the upper left, however the file stores its axes."""
    ras = np.zeros(SHAPE)
    ras[-1, -1, 5] = 1.0
    stored = ras[:: flips[0], :: flips[1], :: flips[2]]
    image = volume(stored, np.diag([1.0 * flips[0], 1.0 * flips[1], 3.0 * flips[2], 1.0]))
    view = View.of(image)
    flat = view.plane(view.oriented(np.asarray(image.array)), 2, 5)[..., 0]
    assert flat.shape == (SHAPE[1], SHAPE[0])
    assert flat[0, 0] == 1.0


def test_axes_in_another_order_are_put_right() -> None:
    ras = np.zeros(SHAPE)
    ras[-1, -1, 5] = 1.0
    affine = np.array([[0, 0, 1.0, 0], [1.0, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, 0, 1]])
    image = volume(np.transpose(ras, (1, 2, 0)), affine)
    view = View.of(image)
    assert view.spacing_mm == (1.0, 1.0, 3.0)
    assert view.plane(view.oriented(np.asarray(image.array)), 2, 5)[0, 0, 0] == 1.0


def test_sagittal_has_anterior_left_and_superior_up() -> None:
    ras = np.zeros(SHAPE)
    ras[3, -1, -1] = 1.0
    image = volume(ras)
    view = View.of(image)
    assert view.plane(view.oriented(np.asarray(image.array)), 0, 3)[0, 0, 0] == 1.0


def test_slices_are_taken_in_the_plane_of_acquisition() -> None:
    assert View.of(volume()).axis == 2
    assert View.of(volume(affine=np.diag([1.0, 4.0, 1.0, 1.0]))).axis == 1
    assert View.of(volume(affine=np.eye(4))).axis == 2


def test_a_plain_picture_is_not_turned() -> None:
    array = np.zeros((8, 6, 1))
    array[0, 0, 0] = 1.0
    image = Image(array[np.newaxis], Geometry(np.eye(4), (8, 6, 1)), "", "grey")
    view = View.of(image)
    flat = view.plane(view.oriented(np.asarray(image.array)), 2, 0)
    assert view.is_picture
    assert flat.shape == (6, 8, 1)
    assert flat[0, 0, 0] == 1.0
    assert view.words(0) == ""


@pytest.mark.parametrize("n_frames", [1, 4])
def test_a_picture_of_known_pixel_size_and_a_film_are_not_turned(n_frames: int) -> None:
    array = np.zeros((1, 8, 6, n_frames))
    array[0, 0, 0, :] = 1.0
    grid = Geometry(np.diag([0.2, 0.2, 1.0, 1.0]), (8, 6, n_frames))
    view = View.of(Image(array, grid, "US", "grey"))
    assert view.is_picture
    assert view.plane(view.oriented(array), 2, n_frames - 1)[0, 0, 0] == 1.0
    assert not View.of(Image(array, grid, "MR", "")).is_picture
    moved = np.diag([0.2, 0.2, 1.0, 1.0])
    moved[:3, 3] = 5
    assert not View.of(Image(array, Geometry(moved, grid.shape), "US", "grey")).is_picture


def test_of_a_film_the_middle_first_and_last_frame_are_shown() -> None:
    array = np.zeros((1, 40, 40, 5), np.uint8)
    for frame, value in ((0, 60), (2, 250), (4, 150)):
        array[..., frame] = value
    array[0, 0, 0, 1] = 255
    image = Image(array, Geometry(np.eye(4), (40, 40, 5)), "XA", "")
    with Pillow.open(io.BytesIO(score_picture("x", image, kind="typical", said="", window=Window(0, 255)).png)) as png:
        shown = np.asarray(png.convert("L"))
    height, width = shown.shape
    places = ((height // 2, width // 3), (height // 4, width * 5 // 6), (height * 3 // 4, width * 5 // 6))
    assert [int(shown[place]) for place in places] == pytest.approx([250, 60, 150], abs=3)


def test_colour_of_more_than_8_bits_is_not_all_white() -> None:
    array = np.full((3, 4, 4, 1), 2000, np.uint16)
    image = Image(array, Geometry(np.eye(4), (4, 4, 1)), "OP", "grey")
    assert window_of(image, array).high == 4095.0


# What they show


def test_the_slice_is_where_prediction_and_reference_differ_most() -> None:
    truth, predicted = box((10, 20), (10, 20), (2, 9)), box((10, 20), (10, 20), (2, 9))
    predicted[10:20, 10:18, 4] = 0
    case = MaskCase(volume(), volume(predicted), volume(truth))
    picture = mask_picture("case-1", case, kind="worst", values={"nodule": 0.5})
    assert picture.caption == "Dice: nodule 0.50. Axial slice 5 of 12."
    assert (picture.case, picture.kind) == ("case-1", "worst")


def test_without_a_difference_the_fullest_slice_is_shown() -> None:
    truth = box((10, 20), (10, 20), (2, 9))
    truth[5:25, 5:25, 7] = 1
    picture = mask_picture("c", MaskCase(volume(), volume(truth), volume(truth)), kind="best", values={})
    assert picture.caption == "Axial slice 8 of 12."


def test_both_outlines_are_drawn_in_their_colours() -> None:
    case = MaskCase(volume(), volume(box((8, 18), (8, 18), (3, 9))), volume(box((14, 26), (14, 26), (3, 9))))
    red, green, blue = np.moveaxis(pixels(mask_picture("c", case, kind="worst", values={}).png), -1, 0)
    assert ((red > 200) & (green > 130) & (green < 215) & (blue < 90)).sum() > 100
    assert ((red < 130) & (green > 150) & (blue > 210)).sum() > 60


@pytest.mark.parametrize("which", ["truth", "predicted", "both"])
def test_empty_masks_are_drawn(which: str) -> None:
    full, empty = volume(box((8, 18), (8, 18), (3, 9))), volume(np.zeros(SHAPE, dtype=np.int16))
    truth, predicted = (empty if which in (name, "both") else full for name in ("truth", "predicted"))
    assert mask_picture("c", MaskCase(volume(), predicted, truth), kind="worst", values={}).png.startswith(b"\x89PNG")


def test_a_prediction_without_reference_or_image_is_drawn() -> None:
    case = MaskCase(None, volume(box((8, 18), (8, 18), (3, 9))), None)
    assert mask_picture("c", case, kind="typical", values={}).png.startswith(b"\x89PNG")


def test_the_same_case_gives_the_same_bytes() -> None:
    case = MaskCase(volume(), volume(box((8, 18), (8, 18), (3, 9))), volume(box((9, 18), (8, 18), (3, 9))))
    first, second = (mask_picture("c", case, kind="best", values={"t": 0.9}).png for _ in range(2))
    assert first == second


def test_windows() -> None:
    lung, belly = np.full(SHAPE, -800.0), np.full(SHAPE, 40.0)
    for array, expected in ((lung, LUNG_HU), (belly, SOFT_TISSUE_HU)):
        image = volume(array, unit="HU")
        found = window_of(image, np.asarray(image.array))
        assert (found.low, found.high) == expected
        assert "HU" in found.text
    flat = volume(np.full(SHAPE, 7.0))
    assert window_of(flat, np.asarray(flat.array)).high > 7.0


def test_the_window_follows_what_the_picture_is_about() -> None:
    """A nodule in a small lung of a large body is shown in the lung window, a tumour of the same body is not."""
    array = np.full(SHAPE, 40.0)
    array[:14, :14] = -850.0
    image = volume(array, unit="HU")
    in_lung, outside = box((4, 7), (4, 7), (5, 7)).astype(bool), box((28, 32), (24, 28), (5, 7)).astype(bool)
    assert window_of(image, np.asarray(image.array), in_lung, (1, 1, 3)).low == LUNG_HU[0]
    assert window_of(image, np.asarray(image.array), outside, (1, 1, 3)).low == SOFT_TISSUE_HU[0]


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_scores(channels: int) -> None:
    array = np.random.default_rng(1).integers(0, 255, (channels, 28, 28, 1)).astype(np.uint8)
    image = Image(array, Geometry(np.eye(4), (28, 28, 1)), "", "grey")
    picture = score_picture("c", image, kind="best", said="t: score 0.90, reference positive.")
    assert picture.caption == "t: score 0.90, reference positive."
    width, height = Pillow.open(io.BytesIO(picture.png)).size
    assert width == height


def test_a_volume_is_shown_in_three_planes_around_its_focus() -> None:
    focus = box((30, 34), (4, 8), (8, 10)).astype(bool)
    array = np.where(focus, 1000.0, 0.0)
    seen = pixels(score_picture("c", volume(array), kind="best", said="", focus=focus).png).sum(axis=2)
    height, width = seen.shape
    assert width == pytest.approx(1.5 * height, abs=2)
    assert seen[height // 2, height // 2] > 600
    assert score_picture("c", volume(array), kind="best", said="", focus=np.zeros(SHAPE, dtype=bool)).png


# From files


@pytest.fixture
def payloads(tmp_path: Path) -> pd.DataFrame:
    rows = []
    for k, name in enumerate(("a", "b", "c")):
        truth = box((10, 20), (10, 20), (3, 9)) * 2
        predicted = box((10 + k, 20 + k), (10, 20), (3, 9)) * 2
        for kind, mask in (("truth", truth), ("payload", predicted)):
            write_nifti(volume(mask), tmp_path / f"{name}-{kind}.nii.gz")
        files = {"payload": f"{name}-payload.nii.gz", "truth_payload": f"{name}-truth.nii.gz"}
        rows.append({"image": name, "target": "t", "kind": "mask", "label": "2", **files})
    return pd.DataFrame(rows)


def test_masks_are_drawn_from_a_predictions_table(payloads: pd.DataFrame, tmp_path: Path) -> None:
    table = cases({"a": 1.0, "b": 0.9, "c": 0.8})
    drawn = draw_masks(table, payloads, base=tmp_path, load=lambda _: volume(), n=1)
    assert [(p.kind, p.case) for p in drawn] == [("worst", "c"), ("typical", "b"), ("best", "a")]
    assert drawn[0].caption == "Dice: t 0.80. Axial slice 4 of 12."


def test_a_case_whose_file_is_gone_is_left_out(payloads: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "b-payload.nii.gz").write_bytes(b"not an image")
    drawn = draw_masks(cases({"a": 1.0, "b": 0.9, "c": 0.8}), payloads, base=tmp_path, n=1)
    assert [p.case for p in drawn] == ["c", "a"]


def test_scores_are_drawn_where_there_is_an_image() -> None:
    drawn = draw_scores(scores(), "t", load=lambda name: None if name == "b" else volume(), n=1)
    assert [p.caption for p in drawn] == ["t: score 0.10, reference negative.", "t: score 0.90, reference positive."]


def test_pictures_are_written_and_read(tmp_path: Path) -> None:
    pictures = (Picture("../../x", "Caption é", b"\x89PNG1", "worst"), Picture("b", "", b"\x89PNG2", "best"))
    write_pictures(pictures, tmp_path)
    assert read_pictures(tmp_path) == pictures
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01-worst.png", "02-best.png", INDEX]
    (tmp_path / "01-worst.png").unlink()
    with pytest.raises(UnreadableFile, match="a picture is missing"):
        read_pictures(tmp_path)
    assert read_pictures(tmp_path / "none") == ()
