"""Radiomics beside PyRadiomics and MIRP, in one run; then feature maps.

    python benchmarks/22_radiomics.py --pyradiomics PYTHON --mirp PYTHON [--only WHAT ...] [--out FILE.json]

PYTHON is an interpreter that has PyRadiomics 3.0.1 (it needs a C compiler, NumPy < 2, setuptools < 70 and Cython, and
is installed with --no-build-isolation), or MIRP 2.7. Cases: brain1 and breast1 of PyRadiomics, the IBSI CT phantom, and
a synthetic volume of 512 x 512 x 300 voxels of 0.8 mm with a lobed region of 300 ml. All tools get 32 grey levels.

``basic``: PyRadiomics' 107 features, beside all of the same families here (more numbers; ``fiducial``), and beside the
same 107 by its own definitions (``profile``). ``filtered``: its 1,316 features, with LoG of 1 to 5 mm and eight wavelet
bands, beside IBSI's filters here and beside the profile, whose values are PyRadiomics' own. PyRadiomics cuts the image
first (``preCrop``, 40 voxels around), as its manual advises. ``ibsi``: everything that MIRP computes by default, beside
all of the standard here. ``maps``: PyRadiomics' voxel-based features of the first-order, GLCM, GLRLM, GLSZM, NGTDM and
GLDM classes, kernel radius 1.

Maps are compared where each of the 13 directions has a pair of neighbours in the cube: where one has none, PyRadiomics
leaves it out of run lengths too, though it has runs of one voxel, and its joint average is NaN.

Each tool and case is a process of its own that has read its image (PyRadiomics and MIRP from NIfTI; the functions here
take arrays), imported everything and run once (start-up and compilation are outside, and printed by themselves). Then
tools take turns; the shortest of the repeats counts, in time by the clock and in processor time of all threads. Peak
memory is the process's own (VmHWM), imports included; beside it stands what it was before the first run. Values are
compared first, where the definitions are the same: the table of PyRadiomics' names says where, and MIRP's columns bear
the tags of the standard's reference files.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
LEVELS = 32
SIGMAS_MM = (1.0, 2.0, 3.0, 4.0, 5.0)
CASES = ("breast1", "brain1", "phantom", "large")
JOBS = {
    "basic": ("fiducial", "profile", "pyradiomics"),
    "filtered": ("fiducial", "profile", "pyradiomics"),
    "ibsi": ("fiducial", "mirp"),
    "maps": ("fiducial", "pyradiomics"),
}
"""Who takes turns; the last is the peer."""
MAPPED = ("firstorder", "glcm", "glrlm", "glszm", "ngtdm", "gldm")
Values = dict[str, Any]
Job = Callable[[], Values]


# What each process runs: a function from the folder of a case to one that computes its features, by name.


def given_case(folder: Path) -> tuple[Any, Any, tuple[float, float, float]]:
    """Image, mask and spacing of a case, as arrays, which is what the functions here take."""
    x, y, z = np.load(folder / "spacing_mm.npy").tolist()
    return np.load(folder / "image.npy"), np.load(folder / "mask.npy"), (x, y, z)


def fiducial_job(folder: Path, job: str) -> Job:
    """Our features; of filtered images under the filter's name."""
    from fiducial.features.radiomics import FAMILIES, Settings
    from fiducial.features.radiomics.engine import region_rows
    from fiducial.features.radiomics.kernels import warm_up
    from fiducial.features.radiomics.settings import LogFilter, WaveletFilter

    warm_up()
    image, mask, mm = given_case(folder)
    same = ("statistics", "intensity_histogram", "glcm", "glrlm", "glszm", "ngtdm", "ngldm")
    if job == "maps":
        from fiducial.features.radiomics import radiomics_map

        given = Settings(families=same, bin_number=LEVELS, aggregations=("3d_averaged",))
        return lambda: {
            f"{f}/{name}": values for f, name, values in radiomics_map(image, mask, mm, given, radius=1).by_feature()
        }
    if job == "ibsi":
        families = tuple(f for f in FAMILIES if f != "diagnostics")
        settings = Settings(families=families, bin_number=LEVELS, ivh="arbitrary")
    else:
        settings = Settings(families=("morphology", *same), bin_number=LEVELS, aggregations=("3d_averaged",))
    if job == "filtered":
        flat = bool(np.ptp(mm) > 1e-3)  # the filter wants equal spacing, and otherwise works in slices
        filters = {f"log-{s:g}": LogFilter(sigma_mm=s, in_slice=flat) for s in SIGMAS_MM}
        bands = [x + y + z for x in "LH" for y in "LH" for z in "LH"]
        filters |= {f"wavelet-{b}": WaveletFilter(wavelet="coif1", bands=b) for b in bands}
        settings = settings.model_copy(update={"filters": filters})

    def run() -> Values:
        return {
            f"{of}|{family}/{name}" if of else f"{family}/{name}": value
            for of, family, name, _, _, value, _ in region_rows(image, mask, mm, settings)
        }

    return run


def profile_job(folder: Path, job: str) -> Job:
    """Ours by PyRadiomics' definitions, under its names."""
    from fiducial.features.radiomics import PyRadiomicsSettings
    from fiducial.features.radiomics.kernels import warm_up
    from fiducial.features.radiomics.pyradiomics.engine import pyradiomics_rows

    warm_up()
    image, mask, mm = given_case(folder)
    said: dict[str, Any] = {"binCount": LEVELS, "additionalInfo": False}
    if job == "filtered":
        types = {"Original": {}, "LoG": {"sigma": list(SIGMAS_MM)}, "Wavelet": {}}
        said |= {"preCrop": True, "padDistance": 40, "imageType": types}
    settings = PyRadiomicsSettings(**said)

    def run() -> Values:
        rows = pyradiomics_rows(image, mask, mm, settings)
        return {str(row[-1]).removeprefix("original_"): row[5] for row in rows}

    return run


def pyradiomics_job(folder: Path, job: str) -> Job:
    """PyRadiomics' features under ``class_name``; of filtered images with the filter before."""
    import SimpleITK as sitk  # noqa: N813
    from radiomics import featureextractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    image, mask = (sitk.ReadImage(str(folder / name)) for name in ("image.nii", "mask.nii"))
    given: dict[str, Any] = {"binCount": LEVELS}
    if job == "filtered":
        given |= {"preCrop": True, "padDistance": 40}
    if job == "maps":
        given |= {"kernelRadius": 1, "maskedKernel": True}
    extractor = featureextractor.RadiomicsFeatureExtractor(additionalInfo=False, **given)
    if job == "filtered":
        extractor.enableImageTypeByName("LoG", customArgs={"sigma": list(SIGMAS_MM)})
        extractor.enableImageTypeByName("Wavelet")
    if job == "maps":
        extractor.disableAllFeatures()
        for name in MAPPED:
            extractor.enableFeatureClassByName(name)

    def run() -> Values:
        found = extractor.execute(image, mask, voxelBased=job == "maps")
        if job != "maps":
            return {k.removeprefix("original_"): float(v) for k, v in found.items()}
        region = sitk.GetArrayFromImage(mask) > 0
        values = {}
        for name, map_ in found.items():
            # Maps are cut to the region's box and the radius around.
            first = [int(n) for n in mask.TransformPhysicalPointToIndex(map_.GetOrigin())][::-1]
            array = sitk.GetArrayFromImage(map_)
            part = region[tuple(slice(a, a + n) for a, n in zip(first, array.shape))]  # noqa: B905 - old interpreters
            # In the order of x, y, z.
            values[name.removeprefix("original_")] = array.T[part.T]
        return values

    return run


def mirp_job(folder: Path, job: str) -> Job:  # noqa: ARG001 - one job
    """MIRP's features under its own column names; it reads the files each time."""
    from mirp import extract_features

    logging.disable(logging.WARNING)
    given = {"base_discretisation_method": "fixed_bin_number", "base_discretisation_n_bins": LEVELS}

    def run() -> Values:
        table = extract_features(
            image=str(folder / "image.nii"), mask=str(folder / "mask.nii"), base_feature_families="all", **given
        )[0]
        start = list(table.columns).index("morph_volume")
        return {k: float(table[k].iloc[0]) for k in table.columns[start:]}

    return run


TOOLS = {"fiducial": fiducial_job, "profile": profile_job, "pyradiomics": pyradiomics_job, "mirp": mirp_job}


def peak_mb() -> float:
    """Peak memory of this process so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def serve(tool: str, folder: Path, job: str) -> None:
    """Answer each line of standard input with one run: seconds, and on the first its values beside the start-up's."""
    out = sys.stdout
    sys.stdout = sys.stderr
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    run = TOOLS[tool](folder, job)
    prepared, before = time.perf_counter() - began, peak_mb()
    for number, _ in enumerate(sys.stdin):
        began, used = time.perf_counter(), time.process_time()
        values = run()
        said: dict[str, Any] = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - used}
        said |= {"peak_mb": peak_mb(), "before_mb": before, "prepared_s": prepared, "n": len(values)}
        if number == 0:
            np.savez(folder / f"{job}-{tool}.npz", **{k.replace("/", ":"): v for k, v in values.items()})
        print(json.dumps(said), file=out, flush=True)


# The run itself.


class Peer:
    """A process that runs one tool on one case."""

    def __init__(self, python: str, tool: str, folder: Path, job: str) -> None:
        command = [python, __file__, "--serve", tool, str(folder), job]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.tool, self.folder, self.job = tool, folder, job
        self.first = self.run()

    def run(self) -> dict[str, Any]:
        """One run."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    @property
    def values(self) -> Values:
        """What the first run found."""
        with np.load(self.folder / f"{self.job}-{self.tool}.npz") as file:
            return {k.replace(":", "/"): file[k] for k in file.files}

    def end(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def write_case(folder: Path, name: str, data: Path) -> tuple[int, int]:
    """A case as image.nii and mask.nii; numbers of voxels of the image and of the region."""
    import nibabel

    folder.mkdir()
    if name == "large":
        image, mask, mm = synthetic()
    elif name == "phantom":
        source = data / "ibsi/ibsi_1_ct_radiomics_phantom"
        read = nibabel.load(source / "image/phantom.nii.gz")
        image, mm = np.asarray(read.dataobj), read.header.get_zooms()[:3]
        mask = np.asarray(nibabel.load(source / "mask/mask.nii.gz").dataobj)
    else:
        import SimpleITK as sitk  # noqa: N813

        read = sitk.ReadImage(str(data / f"pyradiomics/{name}_image.nrrd"))
        image, mm = sitk.GetArrayFromImage(read).T, read.GetSpacing()
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(data / f"pyradiomics/{name}_label.nrrd"))).T == 1
    affine = np.diag([-mm[0], -mm[1], mm[2], 1.0])
    for file, array in (("image.nii", image.astype(np.int16)), ("mask.nii", (mask > 0).astype(np.uint8))):
        nibabel.save(nibabel.Nifti1Image(array, affine), folder / file)
        np.save(folder / file.replace(".nii", ".npy"), array)
    # As NIfTI holds it: a spacing that differs in its eighth digit moves responses across edges of grey levels.
    np.save(folder / "spacing_mm.npy", np.array(mm, dtype=np.float32).astype(np.float64))
    return image.size, int((mask > 0).sum())


def synthetic() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], tuple[float, float, float]]:
    """Smooth noise about 40 HU in air, and a lobed ball of 300 ml in it."""
    from scipy.ndimage import gaussian_filter

    rng, shape, mm = np.random.default_rng(0), (512, 512, 300), 0.8
    image = np.full(shape, -1000, dtype=np.int16)
    part = (slice(150, 360), slice(150, 360), slice(50, 250))
    size = tuple(p.stop - p.start for p in part)
    noise = gaussian_filter(rng.normal(size=size).astype(np.float32), 1.0)
    image[part] = np.rint(40 + 30 * noise / noise.std())
    x, y, z = (mm * (np.arange(p.start, p.stop) - (p.start + p.stop) / 2) for p in part)
    x, y, z = np.meshgrid(x, y, z, indexing="ij", sparse=True)
    r = np.sqrt(x**2 + y**2 + z**2)
    lobes = 1 + 0.12 * np.sin(3 * np.arctan2(y, x)) * np.sin(4 * np.arctan2(np.hypot(x, y), z))
    inner = (r / lobes).ravel()
    radius = np.partition(inner, round(300_000 / mm**3))[round(300_000 / mm**3)]
    mask = np.zeros(shape, dtype=np.uint8)
    mask[part] = (inner < radius).reshape(size)
    return image, mask, (mm, mm, mm)


def pairs(tool: str, job: str, theirs: Values) -> dict[str, str]:
    """Our names by the peer's, where the definition is the same."""
    if tool == "profile":
        return {name: name for name in theirs}
    if job == "ibsi":
        with (ROOT / "tools/ibsi_tags.csv").open() as file:
            known = {row["tag"]: f"{row['family']}/{row['feature']}" for row in csv.DictReader(file)}
        # MIRP's columns go on with distance, aggregation and discretisation.
        tags = {key: [t for t in known if key == t or key.startswith(f"{t}_")] for key in theirs}
        return {key: known[max(found, key=len)] for key, found in tags.items() if found}
    with (ROOT / "src/fiducial/features/radiomics/pyradiomics.csv").open() as file:
        return {
            f"{row['class']}_{row['name']}": f"{row['family']}/{row['feature']}"
            for row in csv.DictReader(file)
            if row["computed"] and not row["difference"]
        }


def with_every_direction(folder: Path) -> np.ndarray[Any, Any]:
    """Of each voxel of the region, whether its cube has a pair of neighbours in each of the 13 directions."""
    mask = np.pad(given_case(folder)[1] > 0, 1)
    steps = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (z, y, x) > (0, 0, 0)]

    def paired(cube: np.ndarray[Any, Any], step: tuple[int, ...]) -> bool:
        one = cube[tuple(slice(max(-d, 0), 3 - max(d, 0)) for d in step)]
        return bool((one & cube[tuple(slice(max(d, 0), 3 + min(d, 0)) for d in step)]).any())

    cubes = [mask[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] for x, y, z in np.argwhere(mask)]
    return np.array([all(paired(cube, step) for step in steps) for cube in cubes])


def compared(ours: Peer, theirs: Peer) -> tuple[int, list[str]]:
    """How many features were compared, and those that differ by more than a millionth."""
    mine, others = ours.values, theirs.values
    seen = with_every_direction(ours.folder) if ours.job == "maps" else ...
    wrong, n = [], 0
    for key, name in pairs(ours.tool, ours.job, others).items():
        if key not in others or name not in mine:
            continue
        a, b = np.asarray(mine[name], float)[seen], np.asarray(others[key], float)[seen]
        n += 1
        if a.shape != b.shape or not np.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True):
            wrong.append(f"{name} ({float(np.nanmax(np.abs(a - b) / np.maximum(np.abs(b), 1e-9))):.1e})")
    return n, wrong


def measure(job: str, folder: Path, pythons: dict[str, str], repeats: int) -> list[dict[str, Any]]:
    """All tools of a job on one case, in turns; a row for each of ours."""
    tools = [Peer(pythons[name], name, folder, job) for name in JOBS[job]]
    *ours, peer = tools
    checked = [compared(tool, peer) for tool in ours]
    # Without repeats the first run counts, with what is imported late.
    found: dict[str, list[dict[str, Any]]] = {tool.tool: [] if repeats else [tool.first] for tool in tools}
    for turn in range(repeats):
        for tool in tools:
            # A slow tool need not be asked often.
            if turn == 0 or sum(one["seconds"] for one in found[tool.tool]) < 60:
                found[tool.tool].append(tool.run())
    for tool in tools:
        tool.end()

    def least(tool: Peer, what: str) -> float:
        return min(float(one[what]) for one in found[tool.tool])

    rows = []
    for tool, (n_same, wrong) in zip(ours, checked, strict=True):
        row: dict[str, Any] = {"job": job, "case": folder.name, "ours": tool.tool, "peer": peer.tool}
        row |= {"n_compared": n_same, "differ": wrong, "load": Path("/proc/loadavg").read_text().split()[0]}
        for name, one in (("ours", tool), ("peer", peer)):
            row[f"{name}_s"], row[f"{name}_cpu_s"] = least(one, "seconds"), least(one, "cpu_s")
            row[f"{name}_start_s"], row[f"{name}_first_s"] = one.first["prepared_s"], one.first["seconds"]
            last = found[one.tool][-1]
            row |= {f"{name}_{what}": last[what] for what in ("n", "peak_mb", "before_mb")}
        row |= {"ratio": row["peer_s"] / row["ours_s"], "cpu_ratio": row["peer_cpu_s"] / row["ours_cpu_s"]}
        rows.append(row)
    return rows


HEAD = (
    f"{'':>26}{'ours':>9}{'peer':>10}{'ratio':>8}{'cpu':>8}   {'features':<12}{'equal':<15}{'peak MB (before)':<24}load"
)


def said(row: dict[str, Any]) -> str:
    """One line of the table."""
    line = f"{row['case']:<9}{row['job']:<9}{row['ours']:<8}{row['ours_s']:>9.4f}{row['peer_s']:>10.3f}"
    line += f"{row['ratio']:>8.1f}{row['cpu_ratio']:>8.1f}   {row['ours_n']:>4}, {row['peer_n']:<6}"
    line += f"{row['n_compared'] - len(row['differ']):>4} of {row['n_compared']:<7}"
    for name in ("ours", "peer"):
        line += f"{row[f'{name}_peak_mb']:>5.0f} ({row[f'{name}_before_mb']:.0f})"
    line += f"   {row['load']}"
    shown = row["differ"][:12]
    more = [f"and {len(row['differ']) - len(shown)} more"] if len(row["differ"]) > len(shown) else []
    return line + "".join(f"\n{'':>19}differs: {one}" for one in (*shown, *more))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pyradiomics", default="")
    parser.add_argument("--mirp", default="")
    parser.add_argument("--only", nargs="*", default=[], help=f"jobs and cases: {', '.join((*JOBS, *CASES))}")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--repeats", type=int, default=5, help="0: the first run counts")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        tool, folder, job = given.serve
        return serve(tool, Path(folder), job)
    pythons = {"pyradiomics": given.pyradiomics, "mirp": given.mirp} | dict.fromkeys(
        ("fiducial", "profile"), sys.executable
    )
    jobs = [j for j in JOBS if pythons[JOBS[j][-1]] and (j in given.only or not set(JOBS) & set(given.only))]
    cases = [c for c in CASES if c in given.only or not set(CASES) & set(given.only)]
    rows = []
    print(HEAD)
    with tempfile.TemporaryDirectory() as name:
        for case in cases:
            n_image, n_region = write_case(Path(name) / case, case, given.data)
            print(f"{case}: {n_image:,} voxels, {n_region:,} in the region", flush=True)
            for job in jobs:
                if job == "maps" and case in ("phantom", "large"):
                    continue  # hours of PyRadiomics
                for row in measure(job, Path(name) / case, pythons, given.repeats):
                    rows.append(row)
                    print(said(row), flush=True)
    if given.out:
        given.out.write_text(json.dumps(rows, indent=2))
    return None


if __name__ == "__main__":
    main()
