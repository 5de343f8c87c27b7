"""Every reason for which the archive refuses a file, a series or a structure set, under a stable code.

A refusal's text is ``code: what was found``; it holds counts, places and closed DICOM vocabularies, and never a name,
an identifier or a date of a patient.
"""

from __future__ import annotations

from fiducial.errors import UnreadableFile

# code: what to do. Codes are stable: reports, scripts and monitoring may rely on them.
REFUSALS: dict[str, str] = {
    # files
    "not-dicom": "leave it, or give it to a reader of its own format",
    "truncated": "send the file again: the copy is shorter than its header says",
    "unreadable": "send the file again, or repair it with a DICOM toolkit",
    "broken-neighbours": "send the unreadable files again, or take them away if they are not of this series",
    "dicomdir": "nothing: an index of the medium; its images are read themselves",
    "missing-files": "copy the whole medium: its directory names files that are not there",
    "missing-tags": "export the series again with its complete header",
    # objects that are no plain series
    "enhanced-multiframe": "export as classic single-frame or as enhanced CT, MR or PET",
    "colour": "give the original series instead of a colour rendering",
    "whole-slide": "give the slide's own file to a reader of slides, or export regions as PNG",
    "segmentation-object": "give segmentations as SEG of voxels, RTSTRUCT or NIfTI: a surface is no mask",
    "structured-report": "give findings as a TID 1500 measurement report, or as a labels table",
    "key-objects": "nothing: a list of key images says nothing about them",
    "sr-empty": "nothing: the report measures nothing",
    "presentation-state": "nothing: display settings hold no voxels",
    "radiotherapy-object": "nothing: plans and records are not read; structure sets and doses are",
    "unsupported-modality": "give CT, MR or PET",
    "burned-in-annotation": "have the burned-in text removed, then give the series again",
    # pixel data
    "transfer-syntax": "convert the files to an uncompressed transfer syntax",
    "no-decoder": "install the named decoder, or convert the files to an uncompressed transfer syntax",
    "corrupt-pixels": "send the file again: its compressed pixels cannot be decoded",
    "bit-depth": "export with 8, 16 or 32 bits allocated for each voxel",
    "modality-lut": "export with RescaleSlope and RescaleIntercept instead of a lookup table",
    "photometric": "export as MONOCHROME1, MONOCHROME2, RGB, YBR or PALETTE COLOR",
    "palette": "export as RGB: the colour table is incomplete or of a kind that readers do not take alike",
    "video": "convert the video to single JPEG or uncompressed frames (for example with a DICOM toolkit)",
    "frames-ambiguous": "split the file so that its frames differ in one way only",
    "rescale-missing": "export with RescaleSlope and RescaleIntercept",
    "rescale-invalid": "export with finite rescale values and a slope that is not 0",
    "rescale-type": "export CT in Hounsfield units (RescaleType HU)",
    # stacks
    "localizer": "nothing: a localizer is no volume",
    "mixed-patients": "have the archive give each patient's series its own UID",
    "mixed-orientation": "give slices that are parallel",
    "mosaic": "export with the scanner's private header, or the original slices instead of mosaics",
    "too-many-frames": "export the series in several files",
    "mixed-objects": "split the series by SOP class",
    "bad-orientation": "export again: row and column directions are not perpendicular unit vectors",
    "single-slice": "give the whole series; one slice alone states no spacing",
    "conflicting-copies": "find which copy is right: one SOPInstanceUID stands for different contents",
    "duplicate-slices": "remove the slices that lie where others lie",
    "multiple-volumes": "split the series, or export it with a tag that tells its volumes apart",
    "missing-slices": "send the missing slices",
    "uneven-slices": "give a reconstruction with equal slice spacing",
    "sheared-stack": "export again: slices do not lie above each other",
    # PET
    "pet-units": "export PET in Bq/ml (BQML) or SUV body weight (GML)",
    "pet-suv-type": "export SUV by body weight (SUVType BW)",
    "pet-series-type": "export with a SeriesType of PS3.3 C.8.9.1",
    "pet-not-corrected": "give the attenuation- and decay-corrected series",
    "pet-decay-correction": "export with DecayCorrection START, ADMIN or NONE",
    "suv-tags-missing": "export with the tags named; SUV is not guessed",
    "suv-values": "correct weight (kg), dose (Bq) or half-life (s) in the header",
    "suv-times": "correct injection and series times in the header",
    # structure sets and other objects drawn on a series
    "object-no-series": "give the series on which the structures were drawn",
    "object-ambiguous": "give one series only of those that the object may belong to",
    "object-series-refused": "see the row of the series on which the structures were drawn",
    "rtstruct-empty": "nothing: the structure has no contours",
    "rtstruct-contour-type": "draw closed planar contours",
    "rtstruct-off-slice": "export the contours in the planes of the series' slices",
    "rtstruct-outside": "give the whole series: contours lie outside its grid",
    "seg-type": "export as a BINARY, FRACTIONAL or LABELMAP segmentation",
    "seg-tiled": "nothing: segmentations of slides are not read",
    "seg-frame-of-reference": "find the series on which it was drawn: places in two frames of reference do not compare",
    "seg-empty": "nothing: the segment has no voxels",
    "seg-place": "export again with the place and the source image of each frame",
    "seg-repeated": "export one frame for each place and segment; a mask that changes over time is not read",
    "seg-outside": "give the whole series: voxels lie outside its grid",
    "seg-other-grid": "resample the segmentation onto the image's grid and export that",
    "dose-units": "export the dose in gray (DoseUnits GY)",
    "dose-type": "give a physical or effective dose",
    "dose-scaling": "export with DoseGridScaling",
    "dose-offsets": "export on evenly spaced planes with GridFrameOffsetVector",
    "map-frames": "export one quantity on evenly spaced parallel planes",
    "map-mapping": "export with one RealWorldValueMapping of slope and intercept, or a table that covers every value",
    "export-source": "give the series as one file for each slice, or as one multi-frame file",
    # containers
    "no-files": "give a folder or a zip with files in it",
    "zip-unreadable": "make the archive again",
    "zip-encrypted": "give an archive without a password",
    "zip-path": "make the archive again with relative paths inside one folder",
    "zip-link": "make the archive again with files instead of links",
    "zip-damaged": "make the archive again; its other entries were read",
    "zip-too-large": "unpack it yourself and give the folder, if its size is intended",
    "zip-too-many": "unpack it yourself and give the folder, if the number of files is intended",
    # archives
    "pacs-address": "correct the address",
    "pacs-not-installed": "install the package named: pip install 'fiducial[pacs]'",
    "pacs-unencrypted": "use dicomweb+https, or say --insecure if the network is trusted",
    "pacs-credentials": "correct the credentials, or have the archive grant the right to query and retrieve",
    "pacs-unreachable": "correct host and port, start the archive, or open the way to it",
    "pacs-tls": "give the certificates that this archive's is signed by (--ca FILE), or correct the host's name",
    "pacs-rejected": "check the called AE title, and have the calling one entered in the archive",
    "pacs-timeout": "ask again later, or for less at once",
    "pacs-busy": "ask again later: the archive could not serve this",
    "pacs-cut": "ask again: the connection ended before the answer did",
    "pacs-answer": "check that the address is that of the service: this answer is none of its protocol",
    "pacs-empty": "correct the query: nothing that it matches is there, or may be seen with these credentials",
    "pacs-too-many-series": "narrow the query, or raise --max-series",
    "pacs-too-large": "narrow the query, or make room on the disk",
    "pacs-move": "correct move_port and listen, and have the archive know the calling AE title at that address",
    "pacs-series-incomplete": "ask for this series again: it is not used, because a part of it did not arrive",
    # NIfTI, NRRD, pictures, npz
    "format": "give a file of the format named",
    "no-such-file": "correct the path",
    "no-such-entry": "correct the key or index after #",
    "too-large": "cut the image into parts, or give it at a lower resolution",
    "voxel-type": "give whole or real numbers: one value, or one for each channel, at each voxel; a mask's are whole",
    "nrrd-detached": "write header and voxels into one file (.nrrd)",
    "nrrd-encoding": "write it again with the encoding raw or gzip",
    "nrrd-space": "write it in a patient's space: left-posterior-superior, or right- or left-anterior-superior",
    "alpha": "flatten the picture onto its background first",
    # everything else
    "unexpected": "report this file's kind to the developers; the private log has the details",
    "worker-died": "give the process more memory, or fewer workers",
}

# code: what was mended. A repaired series is an image like any other; its row says what was done to get it.
REPAIRS: dict[str, str] = {
    "exact-copies": "files or slices that repeat another are left out",
    "same-pixels": "files that repeat another in a different encoding are left out",
    "damaged-copies": "files that should repeat another, but end early or cannot be read, are left out",
    "split": "a series that holds several volumes gives an image for each",
    "single-slice": "one slice is as thick as its header says",
    "resampled": "a segmentation on another grid is sampled at the image's voxel centres",
    "gantry-tilt": "slices that lean are resampled onto a perpendicular grid, and masks drawn on them too",
    "unused-bits": "bits above BitsStored (old overlays) are cleared",
    "suv-clock": "the series' time was overwritten: another stated time of the scan counts",
    "suv-midnight": "an injection without a date, after the scan by the clock, was before midnight",
    "suv-decay": "slices that are not corrected for decay are brought to the time of injection",
    "suv-type": "another kind of SUV is turned into SUV by body weight",
    "suv-vendor": "counts are scaled by the scanner's private factor",
}


def refuse(code: str, found: str, *, where: str = "") -> UnreadableFile:
    """The refusal ``code`` with what was found, ready to raise."""
    return UnreadableFile(f"{code}: {found}", where=where, action=REFUSALS[code])


def code_of(error: UnreadableFile) -> str:
    """The code of a refusal, empty if it was not made by `refuse`."""
    code = error.given.partition(":")[0]
    return code if code in REFUSALS else ""
