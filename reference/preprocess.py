"""Compares brainreel's preprocessing of a NIfTI file with the same steps in nibabel and scipy.

    python reference/preprocess.py SCAN.nii.gz [MORE.nii.gz ...]
    python reference/preprocess.py --golden

Builds and runs the example `preprocess_nifti`, does closest canonical, 1 mm, foreground crop with 3
voxels and zoom to 128^3 itself, and prints the largest difference of each step over the range of
intensity. Fails if one is above 1e-3. With `--golden`, writes the chain's answer on a small phantom
for the tests of the crate `preprocess`.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import nibabel as nib
import nibabel.processing
import numpy as np
from golden import save
from scipy import ndimage

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMIT = 1e-3


def resampled(image, spacing):
    """Cubic B-spline along the image's own axes, by `nibabel.processing.resample_to_output`.

    That function would turn an oblique image onto the world axes, so it gets the image with its axes
    straightened; the directions are put back afterwards.
    """
    if np.allclose(nib.affines.voxel_sizes(image.affine), spacing, atol=1e-5):
        return image
    own = np.diag([*nib.affines.voxel_sizes(image.affine), 1.0])
    straight = nib.Nifti1Image(np.asanyarray(image.dataobj), own)
    out = nibabel.processing.resample_to_output(straight, [spacing] * 3, order=3, mode="mirror")
    data = out.get_fdata(dtype=np.float32)
    # Zero outside, as with mode="constant"; but that also blanks the last plane of the image when
    # rounding (of the header's float32, or of scipy's product) puts it a hair outside.
    for axis, (n, old) in enumerate(zip(data.shape, image.shape)):
        outside = np.arange(n) * spacing / own[axis, axis] > old - 1 + 1e-4
        data[(slice(None),) * axis + (outside,)] = 0
    return nib.Nifti1Image(data, image.affine @ np.linalg.inv(own) @ out.affine)


def otsu(data):
    """Threshold between the classes of least variance, 256 bins up to the 99.9th percentile."""
    low, high = data.min(), np.percentile(data, 99.9)
    counts, edges = np.histogram(np.clip(data, low, high), 256, (low, high))
    variance = []
    for split in range(1, 256):
        parts = [(counts[:split], np.arange(split)), (counts[split:], np.arange(split, 256))]
        variance.append(sum(np.sum(c * (b - np.average(b, weights=c)) ** 2) if c.any() else np.inf for c, b in parts))
    # Splits between empty bins are equally good; the first is taken, not the one rounding prefers.
    return edges[1 + int(np.argmax(variance <= min(variance) * (1 + 1e-12)))]


def reference(path, spacing=1.0, padding=3, size=128):
    """The steps one by one on a file, or on an image."""
    image = nib.as_closest_canonical(nib.load(path) if isinstance(path, (str, pathlib.Path)) else path)
    ras = nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine)
    start = time.perf_counter()
    mm = resampled(ras, spacing)
    data = mm.get_fdata(dtype=np.float32)
    threshold = otsu(data.astype(np.float64))
    where = np.nonzero(data > threshold)
    box = [(max(w.min() - padding, 0), min(w.max() + 1 + padding, n)) for w, n in zip(where, data.shape)]
    cropped = data[tuple(slice(*edge) for edge in box)]
    network = ndimage.zoom(cropped, [size / n for n in cropped.shape], order=3)
    step = np.diag([*((np.array(cropped.shape) - 1) / (size - 1)), 1.0])
    corner = np.eye(4)
    corner[:3, 3] = [edge[0] for edge in box]
    seconds = time.perf_counter() - start
    return ras, mm, threshold, box, nib.Nifti1Image(network, mm.affine @ corner @ step), seconds


def compare(name, ours, theirs):
    """Prints and returns the largest difference over the range of intensity."""
    got, want = ours.get_fdata(), theirs.get_fdata()
    if got.shape != want.shape:
        print(f"  {name:14} dims {got.shape}, expected {want.shape}")
        return np.inf
    worst = np.abs(got - want).max() / np.ptp(want)
    corners = nib.affines.apply_affine(np.eye(4), np.indices((2, 2, 2)).reshape(3, -1).T * (np.array(got.shape) - 1))
    moved = np.abs(nib.affines.apply_affine(ours.affine - theirs.affine, corners)).max()
    print(f"  {name:14} dims {got.shape}  intensity {worst:.1e} of range  corners {moved:.1e} mm")
    return max(worst, moved)


def golden():
    """A sagittal, oblique, left-handed, anisotropic L in noisy air."""
    seed, shape = 20261, (31, 27, 16)
    rng = np.random.default_rng(seed)
    i, j, k = np.indices(shape)
    inside = (i > 7) & (i < 26) & (j > 4) & (j < 20) & (k > 3) & (k < 13) & ((i < 14) | (j < 10))
    data = (400 * inside + 15 * (i + j + k) * inside + np.abs(rng.normal(0, 20, shape))).astype(np.float32)
    affine = np.array([[0.1, 0.2, -3.2, 20.0], [-1.9, 0.3, 0.1, 31.0], [0.3, 2.1, 0.2, -40.0], [0, 0, 0, 1.0]])
    spacing, padding, size = 1.5, 2, 26
    _, mm, threshold, box, network, _ = reference(nib.Nifti1Image(data, affine), spacing, padding, size)
    arrays = {
        "in": data,
        "in_affine": affine,
        "native_affine": mm.affine,
        "out": network.get_fdata(dtype=np.float32),
        "out_affine": network.affine,
    }
    parameters = {
        "spacing_mm": spacing, "padding_voxels": padding, "size_voxels": size, "threshold": threshold,
        "native_dims": mm.shape, "start": [int(low) for low, _ in box], "end": [int(high) for _, high in box],
    }
    tools = ["nibabel", "scipy", "numpy"]
    save("preprocess", "chain", arrays, generator=__file__, tools=tools, seed=seed, parameters=parameters)


def main(paths):
    if paths == ["--golden"]:
        return golden()
    cargo = ["cargo", "run", "--release", "--quiet", "-p", "brainreel-preprocess", "--example", "preprocess_nifti", "--"]
    worst = 0.0
    for path in paths:
        print(path)
        with tempfile.TemporaryDirectory() as folder:
            command = [*cargo, pathlib.Path(path).resolve(), folder]
            run = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
            print(" ", run.stdout.decode().strip())
            out = pathlib.Path(folder)
            qc = json.loads((out / "qc.json").read_text())
            ras, mm, threshold, box, network, seconds = reference(path)
            print(f"  nibabel + scipy: {seconds:.2f} s")
            worst = max(worst, compare("RAS", nib.load(out / "ras.nii.gz"), ras))
            worst = max(worst, compare("1 mm", nib.load(out / "native_1mm.nii.gz"), mm))
            ours = list(zip(qc["crop_box"]["start"], qc["crop_box"]["end"]))
            same = [tuple(map(int, edge)) for edge in box] == ours
            print(f"  threshold {qc['foreground']['threshold']:.4f} and {threshold:.4f}; box {ours} {'equal' if same else box}")
            worst = max(worst, 0.0 if same else np.inf)
            worst = max(worst, compare("network input", nib.load(out / "network_input.nii.gz"), network))
            gain = qc["resolution"]
            by_axis = ", ".join(f"{100 * g:.0f} %" for g in gain["gain_by_axis"])
            print(f"  resolution gained by cropping: {100 * gain['gain']:.0f} % ({by_axis}), kept {100 * qc['fraction_kept']:.0f} %")
    print(f"worst {worst:.1e}, allowed {LIMIT:.0e}")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else __doc__)
