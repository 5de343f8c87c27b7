"""Folders of image files: pairs of images and label maps, nnU-Net's layout, and plain trees."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fiducial.cohort.collection import SPLIT_NAMES, Collection
from fiducial.cohort.examine import SEGMENTATION, CaseFiles, Refusal
from fiducial.errors import InputRefused

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".png", ".jpg", ".jpeg")
PICTURES = (".png", ".jpg", ".jpeg")
CHANNEL = re.compile(r"^(.+)_(\d{4})$")
LABEL_FOLDERS = ("labels", "masks")
MASK = re.compile(r"[_-](mask|seg|segmentation|label)$", re.IGNORECASE)
IMAGE = re.compile(r"[_-](image|img)$", re.IGNORECASE)


def is_pairs(source: Path) -> bool:
    """Whether there is an ``images/`` folder that holds image files itself."""
    folder = source / "images"
    return folder.is_dir() and any(_stem(path.name) for path in folder.iterdir() if path.is_file())


def any_image(source: Path) -> bool:
    """Whether a source is, or holds at any depth, a NIfTI, NRRD, PNG or JPEG file."""
    if source.is_file():
        return bool(_stem(source.name))
    return next(iter(_image_files(source, None)), None) is not None


def collect_pairs(source: Path, out: Path) -> Collection:
    """``images/`` with ``labels/`` (or ``masks/``): equal names belong together; ``raters/A/`` holds what A drew."""
    labels = next((source / name for name in LABEL_FOLDERS if (source / name).is_dir()), None)
    structures, modalities, notes = _dataset_json(source / "dataset.json")
    files = _by_stem(_image_files(source / "images", out), source / "images")
    masks = _by_stem(_image_files(labels, out), labels) if labels else _Files()
    cases, unmatched = _paired(files, masks, modalities, {})
    if labels is None:
        notes.append("no labels/ folder: images without masks")
    drawn = _by_rater(source / "raters", out)
    cases = [
        replace(c, raters={r: str(own.paths[c.case]) for r, own in drawn.items() if c.case in own.paths}) for c in cases
    ]
    known = {case.case for case in cases}
    unmatched += [
        f"label map {s} of rater {r} has no image" for r, own in drawn.items() for s in own.paths if s not in known
    ]
    refused = (*files.refused, *masks.refused, *(refusal for own in drawn.values() for refusal in own.refused))
    return Collection(tuple(cases), structures, refused, tuple(unmatched), tuple(notes))


def _by_rater(folder: Path, out: Path) -> dict[str, _Files]:
    """Label maps of single raters: a folder for each, named after them."""
    inside = sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".") if folder.is_dir() else []
    return {own.name: _by_stem(_image_files(own, out), own) for own in inside}


def collect_nnunet(source: Path, out: Path) -> Collection:
    """nnU-Net's folders; with an ``imagesTs/`` its images become the test part and the others train.

    Files ``<case>_0000``, ``<case>_0001`` ... are the channels of one case: one cohort row each, with one ``exam``.
    """
    structures, modalities, notes = _dataset_json(source / "dataset.json")
    if not (source / "dataset.json").is_file():
        notes.append("no dataset.json: structures are called by their value")
    has_test = (source / "imagesTs").is_dir()
    cases: list[CaseFiles] = []
    refused: list[Refusal] = []
    unmatched: list[str] = []
    for ending, split in (("Tr", "train"), ("Ts", "test")):
        images, labels = source / f"images{ending}", source / f"labels{ending}"
        if not images.is_dir():
            continue
        files = _by_stem(_image_files(images, out), images)
        masks = _by_stem(_image_files(labels, out), labels) if labels.is_dir() else _Files()
        found, lonely = _paired(files, masks, modalities, {"split": split} if has_test else {})
        cases += found
        unmatched += lonely
        refused += [*files.refused, *masks.refused]
    names = [case.case for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise InputRefused(f"case {twice[0]} stands in imagesTr and in imagesTs", where=str(source))
    return Collection(tuple(cases), structures, tuple(refused), tuple(unmatched), tuple(notes))


def collect_folder(source: Path, out: Path) -> Collection:
    """A plain tree of images. What its folders mean is said in the notes.

    First folders that are all names of parts (train, val, test) become ``split``. Pictures that all lie one folder
    deep, at least three in each of two or more folders, are in classes: the folder becomes the column ``class``.
    For volumes in folders the first folder is the subject, and ``x_mask`` (or ``_seg``) beside ``x_image`` is its mask;
    so is ``x.seg.nrrd``, or a segmentation that lies in a folder with one image only.
    """
    root = source if source.is_dir() else source.parent
    files = _by_stem(_image_files(source, out) if source.is_dir() else [source], root, segmentation="_seg")
    notes: list[str] = []
    inside = dict(files.folders)
    splits: dict[str, str] = {}
    if inside and all(len(parts) and parts[0].lower() in SPLIT_NAMES for parts in inside.values()):
        splits = {stem: SPLIT_NAMES[parts[0].lower()] for stem, parts in inside.items()}
        inside = {stem: parts[1:] for stem, parts in inside.items()}
        notes.append("the split column is taken from the first folder's name")
    classes = _classes(files.paths, inside)
    if classes:
        notes.append(f"the column class is taken from folder names: {', '.join(sorted(set(classes.values())))}")
    subjects = (
        {} if classes else {stem: parts[0] for stem, parts in inside.items() if parts and _is_volume(files, stem)}
    )
    if subjects:
        notes.append("the subject of a volume is its first folder")
    masks = _masks_beside(files.paths)
    masks, unmatched = _lonely_segmentations(files, masks)
    cases = []
    for stem, path in files.paths.items():
        if stem in masks.values() or path.name.lower().endswith(SEGMENTATION):
            continue
        columns: dict[str, str | int] = {}
        columns |= {"split": splits[stem]} if stem in splits else {}
        columns |= {"class": classes[stem]} if stem in classes else {}
        mask = (str(files.paths[masks[stem]]),) if stem in masks else ()
        cases.append(CaseFiles(stem, {stem: (str(path), "")}, mask, subjects.get(stem, ""), columns))
    return Collection(tuple(cases), {}, tuple(files.refused), unmatched, tuple(notes))


class _Files:
    """Image files by id, the folders below the root that each lies in, and files that would make the id of another."""

    def __init__(self) -> None:
        self.paths: dict[str, Path] = {}
        self.folders: dict[str, tuple[str, ...]] = {}
        self.refused: list[Refusal] = []


def _by_stem(paths: Iterable[Path], root: Path, *, segmentation: str = "") -> _Files:
    """Files by id: the path below ``root`` without its suffix, folders joined by ``-``.

    ``segmentation`` stands at the end of the id of a ``.seg.nrrd``.
    """
    files = _Files()
    for path in paths:
        folders = path.relative_to(root).parts[:-1]
        own = _stem(path.name)
        if path.name.lower().endswith(SEGMENTATION):
            own = own[: -len(".seg")] + segmentation
        stem = "-".join((*folders, own))
        if stem in files.paths:
            found = f"{path.name} and {files.paths[stem].name} make one id, {stem}"
            files.refused.append(Refusal(str(path), "same-id", found, "rename one of them"))
        else:
            files.paths[stem] = path.resolve()  # a link may lead anywhere; its id is where the link lies
            files.folders[stem] = folders
    return files


def _image_files(folder: Path | None, out: Path | None) -> Iterable[Path]:
    """Image files below a folder in order, without hidden ones and without the cohort's own folder."""
    if folder is None:
        return
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            n for n in folders if not n.startswith(".") and (out is None or Path(place, n).resolve() != out)
        )
        yield from (Path(place, name) for name in sorted(names) if _stem(name))


def _stem(name: str) -> str:
    """A file's name without the suffix of an image; empty if it has none or is hidden."""
    suffix = next((s for s in SUFFIXES if name.lower().endswith(s)), "")
    return "" if not suffix or name.startswith(".") else name[: -len(suffix)]


def _paired(
    files: _Files, masks: _Files, modalities: dict[int, str], columns: dict[str, str | int]
) -> tuple[list[CaseFiles], list[str]]:
    """Cases of one or several channels with their label maps, and label maps without an image."""
    groups: dict[str, dict[int, str]] = {}
    for stem in files.paths:
        match = CHANNEL.match(stem)
        # nnU-Net numbers the channels of every case; MSD's files end in numbers that are none.
        channelled = match is not None and stem not in masks.paths and (f"{match[1]}_0000" in files.paths)
        case, channel = (match[1], int(match[2])) if match and channelled else (stem, 0)
        groups.setdefault(case, {})[channel] = stem
    cases = []
    for case, channels in groups.items():
        single = len(channels) == 1
        images = {
            case if single else stem: (str(files.paths[stem]), modalities.get(channel, ""))
            for channel, stem in sorted(channels.items())
        }
        mask = (str(masks.paths[case]),) if case in masks.paths else ()
        cases.append(CaseFiles(case, images, mask, columns=columns))
    return cases, [f"label map {stem} has no image" for stem in masks.paths if stem not in groups]


def _dataset_json(path: Path) -> tuple[dict[int, str], dict[int, str], list[str]]:
    """Names of structures by value and of channels by number, from either version of nnU-Net's file."""
    notes: list[str] = []
    if not path.is_file():
        return {}, {}, notes
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        labels = dict(stated.get("labels", {}))
        channels = dict(stated.get("channel_names", stated.get("modality", {})))
        modalities = {int(number): _modality(str(name)) for number, name in channels.items()}
        structures: dict[int, str] = {}
        for one, other in labels.items():
            # Version 1 has {"1": "liver"}, version 2 {"liver": 1}, and lists of values for regions.
            value, name = (int(one), str(other)) if str(one).isdigit() else (other, str(one))
            if not isinstance(value, int):
                notes.append(f"region {name!r} of dataset.json is not taken over; its single values are")
            elif name.lower() == "ignore":
                notes.append(f"value {value} (ignore) of dataset.json is taken as a structure of that name")
                structures[value] = name
            elif value != 0:
                structures[value] = name
    except (ValueError, AttributeError, TypeError) as error:
        raise InputRefused(
            f"no dataset.json of nnU-Net ({error})",
            where=str(path),
            legal='{"labels": {"background": 0, "liver": 1}, "channel_names": {"0": "CT"}}',
        ) from error
    return structures, modalities, notes


def _modality(name: str) -> str:
    """DICOM's word where nnU-Net's is known; else the name as it stands (T1, FLAIR)."""
    return {"ct": "CT", "mri": "MR", "mr": "MR", "pet": "PT", "pt": "PT"}.get(name.lower(), name)


def _classes(paths: dict[str, Path], inside: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Class by file, where the folders can be nothing else."""
    depth_one = all(len(parts) == 1 for parts in inside.values())
    if not depth_one or not all(path.name.lower().endswith(PICTURES) for path in paths.values()):
        return {}
    folders = [parts[0] for parts in inside.values()]
    n_classes = len(set(folders))
    return {stem: parts[0] for stem, parts in inside.items()} if 2 <= n_classes <= len(folders) / 3 else {}


def _masks_beside(paths: dict[str, Path]) -> dict[str, str]:
    """Image to mask, for ``x_mask`` beside ``x_image`` or ``x``."""
    by_base: dict[str, str] = {}
    for stem in paths:
        if not MASK.search(stem):
            by_base.setdefault(IMAGE.sub("", stem), stem)
    pairs = ((by_base.get(MASK.sub("", stem)), stem) for stem in paths if MASK.search(stem))
    return {image: mask for image, mask in pairs if image is not None}


def _lonely_segmentations(files: _Files, masks: dict[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Masks with segmentations that lie in a folder with one image alone, and those that are of no image."""
    unmatched = []
    masks = dict(masks)
    for stem, path in files.paths.items():
        if not path.name.lower().endswith(SEGMENTATION) or stem in masks.values():
            continue
        beside = [other for other, at in files.paths.items() if at.parent == path.parent and other != stem]
        images = [other for other in beside if other not in masks.values()]
        if len(images) == 1 and images[0] not in masks and not images[0].endswith("_seg"):
            masks[images[0]] = stem
        else:
            unmatched.append(f"segmentation {stem} has no image")
    return masks, tuple(unmatched)


def _is_volume(files: _Files, stem: str) -> bool:
    return files.paths[stem].name.lower().endswith((".nii", ".nii.gz", ".nrrd", ".nhdr"))
