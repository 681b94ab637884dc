"""Resampling to 1 mm and zoom to 128³: brainreel beside ITK, ANTs and scipy.

Third-order B-splines with prefilter everywhere. Compared are voxels inside the field of view of the scan; beyond
it every tool has a rule of its own. Times are of the computation alone, medians, two threads where the tool has any.
"""

import os
import pathlib
import re
import statistics
import subprocess
import time

import nibabel
import numpy as np

PACKAGES = ["antspyx==0.6.3", "SimpleITK==2.5.7", "scipy", "nibabel==5.4.2"]
PART = "resampling"
LIMIT = 1e-3


def row(line, measured, asked, met):
    return {"part": PART, "line": line, "measured": measured, "asked": asked, "met": None if met is None else bool(met)}


def ours(tools, scan):
    folder = tools.scratch / "resample"
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "RAYON_NUM_THREADS": str(tools.threads)}
    command = [str(tools.examples / "resample_nifti"), str(scan), str(folder), "3"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return {name: float(seconds) for name, seconds in re.findall(r"(\w+): ([\d.]+) s", text)}, folder


def median_of(work, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def peers_of_resampling(scan, target):
    """Name and work of each, on the grid of `target`."""
    import ants
    import SimpleITK as sitk
    from scipy import ndimage

    moving, fixed = sitk.ReadImage(str(scan), sitk.sitkFloat32), sitk.ReadImage(str(target))
    a_moving, a_fixed = ants.image_read(str(scan)).clone("float"), ants.image_read(str(target))
    image, grid = nibabel.as_closest_canonical(nibabel.load(scan)), nibabel.load(target)
    data = np.asfortranarray(image.get_fdata(dtype=np.float32))
    step = np.diag(np.linalg.inv(image.affine) @ grid.affine)[:3]
    return {
        "ITK": lambda: sitk.GetArrayFromImage(sitk.Resample(moving, fixed, sitk.Transform(), sitk.sitkBSpline3)).T,
        "ANTs": lambda: ants.resample_image_to_target(a_moving, a_fixed, interp_type="bSpline").numpy(),
        "scipy": lambda: ndimage.affine_transform(data, step, output_shape=grid.shape, order=3, mode="mirror"),
    }


def measure(tools):
    """Rows of the table."""
    if tools.shared is None:
        return []
    import SimpleITK as sitk
    from scipy import ndimage

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(tools.threads)
    scan = pathlib.Path(tools.shared) / "mri" / "chris_t1.nii.gz"
    image = nibabel.as_closest_canonical(nibabel.load(scan))
    seconds, folder = ours(tools, scan)
    repeats = 1 if tools.quick else 3
    got = np.asarray(nibabel.load(folder / "resampled.nii.gz").dataobj)
    spread = float(np.ptp(got))
    # Inside the field of view, and where the last plane is no matter of rounding.
    inside = tuple(slice(0, n - 1) for n in got.shape)
    rows = []
    for name, work in peers_of_resampling(scan, folder / "resampled.nii.gz").items():
        took, theirs = median_of(work, repeats)
        error = float(np.abs(theirs[inside] - got[inside]).max()) / spread
        ratio = took / seconds["resample"]
        rows.append(row(f"to 1 mm, largest difference from {name}", f"{error:.1e} of the range", f"below {LIMIT:.0e}", error < LIMIT))
        rows.append(row(f"to 1 mm, time beside {name}", f"{ratio:.1f} times faster", "faster", ratio > 1))
    data = np.asfortranarray(image.get_fdata(dtype=np.float32))
    took, theirs = median_of(lambda: ndimage.zoom(data, [128 / n for n in data.shape], order=3, mode="mirror"), repeats)
    got = np.asarray(nibabel.load(folder / "zoomed.nii.gz").dataobj)
    error, ratio = float(np.abs(theirs - got).max()) / float(np.ptp(got)), took / seconds["zoom"]
    rows.append(row("zoom to 128³, largest difference from scipy", f"{error:.1e} of the range", f"below {LIMIT:.0e}", error < LIMIT))
    rows.append(row("zoom to 128³, time beside scipy", f"{ratio:.1f} times faster", "faster", ratio > 1))
    return rows
