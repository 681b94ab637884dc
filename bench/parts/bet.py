"""The classical brain extraction: Dice on simulated heads, and beside other tools on a real head.

The truth of a simulated head is the envelope of cerebrum, cerebellum and brainstem down to the foramen
magnum, sulci and ventricles included. On the real head nothing is true; masks of brainextractor (PyPI,
Smith's algorithm in Python with numba) and of a chain of SimpleITK's filters (Otsu, opening by 4 mm,
largest component, closing, holes) show whether the brain lies inside ours, and whether the volume is that
of an adult. Times are of the extraction alone, without reading and writing and, for brainextractor,
without compiling: its second run counts.
"""

import contextlib
import io
import os
import re
import statistics
import subprocess
import time

import nibabel
import numpy as np

PACKAGES = ["brainextractor==0.3.0", "SimpleITK==2.5.7", "nibabel==5.4.2"]
PART = "brain extraction"


def row(line, measured, asked, met):
    return {"part": PART, "line": line, "measured": measured, "asked": asked, "met": None if met is None else bool(met)}


def load(path):
    return np.asarray(nibabel.load(path).dataobj) > 0


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def extract(tools, head, mask, threads=None):
    """Writes our mask; seconds of the extraction."""
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads or tools.threads)}
    command = [str(tools.examples / "bet"), str(head), str(mask)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(re.search(r"bet: ([\d.]+) s", done.stdout)[1])


def simulated(tools):
    n_heads = 4 if tools.quick else 20
    folder = tools.scratch / "bet_heads"
    folder.mkdir()
    subprocess.run([str(tools.examples / "heads"), str(folder), str(n_heads)], check=True, stdout=subprocess.DEVNULL)
    scores = []
    for head in sorted(folder.glob("*_head.nii.gz")):
        found = folder / head.name.replace("_head.nii", "_found.nii")
        extract(tools, head, found)
        scores.append(dice(load(found), load(folder / head.name.replace("_head.nii", "_mask.nii"))))
    mean, worst = statistics.mean(scores), min(scores)
    one, two = folder / "one.nii.gz", folder / "two.nii.gz"
    head = folder / "00_head.nii.gz"
    extract(tools, head, one, 1)
    extract(tools, head, two, 2)
    same = (load(one) == load(two)).all()
    what = f"Dice with the truth, {n_heads} simulated heads, both diagnoses"
    return [
        row(f"{what}: mean", f"{mean:.4f}", "at least 0.95", mean >= 0.95),
        row(f"{what}: worst", f"{worst:.4f}", "at least 0.92", worst >= 0.92),
        row("mask for 1 and 2 threads", "the same" if same else "differs", "the same", same),
    ]


def by_filters(path):
    """A mask from SimpleITK's filters, and the seconds that it took."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path), sitk.sitkFloat32)
    start = time.perf_counter()
    voxels = [int(round(4 / mm)) for mm in image.GetSpacing()]
    bright = sitk.OtsuThreshold(sitk.CurvatureFlow(image, 0.125, 5), 0, 1)
    core = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.BinaryErode(bright, voxels))) == 1
    grown = sitk.And(sitk.BinaryDilate(core, voxels), bright)
    mask = sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(grown, [2 * n for n in voxels]))
    seconds = time.perf_counter() - start
    return sitk.GetArrayFromImage(mask).T > 0, seconds


def by_brainextractor(path):
    """A mask from brainextractor, and the seconds of a run."""
    from brainextractor import BrainExtractor

    with contextlib.redirect_stdout(io.StringIO()):
        extractor = BrainExtractor(img=nibabel.load(path))
        start = time.perf_counter()
        extractor.run()
        seconds = time.perf_counter() - start
        return extractor.compute_mask() > 0, seconds


def real(tools):
    head = tools.shared / "mri" / "chris_t1.nii.gz"
    ours_path = tools.scratch / "bet_chris.nii.gz"
    by_brainextractor(head)  # compiles
    ours_seconds, peers = [], {"brainextractor": (by_brainextractor, []), "filters of SimpleITK": (by_filters, [])}
    masks = {}
    for _ in range(1 if tools.quick else 3):
        ours_seconds.append(extract(tools, head, ours_path))
        for name, (tool, seconds) in peers.items():
            masks[name], took = tool(head)
            seconds.append(took)
    ours = load(ours_path)
    voxel_ml = abs(np.linalg.det(nibabel.load(head).affine)) / 1000
    ml, ours_median = ours.sum() * voxel_ml, statistics.median(ours_seconds)
    rows = [row("volume on the real head, fluid included", f"{ml:.0f} ml", "1100 to 1700 ml", 1100 <= ml <= 1700)]
    for name, mask in masks.items():
        inside = (mask & ours).sum() / mask.sum()
        text = f"Dice {dice(mask, ours):.3f}, {100 * inside:.1f} % of it in ours, {mask.sum() * voxel_ml:.0f} ml"
        rows.append(row(f"mask of {name} on the real head", text, "-", None))
    ratio = statistics.median(peers["brainextractor"][1]) / ours_median
    rows.append(row("time beside brainextractor, real head", f"{ours_median:.2f} s, {ratio:.1f} times faster", "-", None))
    return rows


def measure(tools):
    """Rows of the table."""
    return simulated(tools) + (real(tools) if tools.shared else [])
