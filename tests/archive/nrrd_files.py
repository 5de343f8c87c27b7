"""NRRD files written by hand, so that every line of a header can be wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

TYPES = {"uint8": "unsigned char", "int16": "short", "uint16": "ushort", "int32": "int", "float32": "float"}
LPS = {
    "space": "left-posterior-superior",
    "space directions": "(1,0,0) (0,2,0) (0,0,3)",
    "space origin": "(10,20,30)",
}


def nrrd(path: Path, voxels: np.ndarray, *, pairs: dict[str, str] | None = None, **changed: str | None) -> Path:
    """Write voxels with the first axis fastest; a field that is None is left out, ``_`` in its name is a space."""
    fields = {
        "type": TYPES[str(voxels.dtype)],
        "dimension": str(voxels.ndim),
        **LPS,
        "sizes": " ".join(map(str, voxels.shape)),
        "endian": "little",
        "encoding": "raw",
    }
    for name, value in changed.items():
        fields[name.replace("_", " ")] = value
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    lines += [f"{key}:={value}" for key, value in (pairs or {}).items()]
    content = voxels.tobytes(order="F")
    if fields["encoding"] in ("gzip", "gz"):
        content = gzip.compress(content)
    elif fields["encoding"] == "ascii":
        content = " ".join(map(str, voxels.ravel(order="F"))).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("NRRD0004\n# by hand\n" + "\n".join(lines) + "\n\n").encode() + content)
    return path


def segments(path: Path, layers: list[np.ndarray], named: dict[str, tuple[int, int]], **changed: str | None) -> Path:
    """A segmentation: label maps in layers, and segments (layer, value) by name."""
    pairs = {}
    for number, (name, (layer, value)) in enumerate(named.items()):
        pairs |= {f"Segment{number}_{key}": str(v) for key, v in (("Name", name), ("LabelValue", value))}
        pairs[f"Segment{number}_Layer"] = str(layer)
    if len(layers) == 1:
        return nrrd(path, layers[0], pairs=pairs, **changed)
    fields = {"space_directions": f"none {LPS['space directions']}", "kinds": "list domain domain domain"}
    return nrrd(path, np.stack(layers), pairs=pairs, **(fields | changed))
