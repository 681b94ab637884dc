"""Compares brainreel's N4 bias correction of a NIfTI file with SimpleITK's and ANTsPy's.

    python reference/n4.py SCAN.nii.gz [THREADS]
    python reference/n4.py --golden
    python reference/n4.py --golden-weights

Both run with ANTs' defaults inside Otsu's mask of the scan: shrink factor 4, four levels of 50
iterations, threshold 1e-7. Prints times, and how far the corrected images differ in the mask after
matching their scale; fails above 0.5 % on average or 2 % at the 99th percentile. ANTsPy is left out
if it is not installed: it wants an older numpy than `requirements.txt`, so give it an environment of
its own (`pip install antspyx==0.6.3 SimpleITK==2.5.7 scipy`).

With `--golden`, writes SimpleITK's log fields of a small phantom for the tests of the crate
`preprocess`; with `--golden-weights` ANTsPy's with weights, which SimpleITK does not have.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import SimpleITK as sitk
from golden import save
from scipy import ndimage

ROOT = pathlib.Path(__file__).resolve().parent.parent
MEAN_LIMIT, PERCENTILE_LIMIT, CORRELATION_LIMIT = 0.005, 0.02, 0.999
DEFAULTS = {
    "shrink_factor": 4, "n_iterations": [50] * 4, "convergence_threshold": 1e-7,
    "mesh": {"elements": [1, 1, 1]}, "n_histogram_bins": 200, "wiener_noise": 0.01, "bias_fwhm": 0.15,
}


def over_the_edges(image, distance):
    """Voxels to add before and after each axis, and elements, for a mesh of `distance` mm (as ANTs)."""
    before, after, elements = [], [], []
    for n, spacing in zip(image.GetSize(), image.GetSpacing()):
        length = (n - 1) * spacing
        elements.append(int(np.ceil(length / distance)))
        more = int((elements[-1] * distance - length) / spacing + 0.5)
        before.append(more // 2)
        after.append(more - more // 2)
    return before, after, elements


def log_field(image, mask, config):
    """SimpleITK's log field on the grid of `image`; the mask may be None."""
    distance = config["mesh"].get("spline_distance_mm")
    before, after, elements = over_the_edges(image, distance) if distance else ([0] * 3, [0] * 3, config["mesh"]["elements"])
    shrink = [config["shrink_factor"]] * 3
    padded = [i and sitk.ConstantPad(i, before, after, 0) for i in (image, mask)]
    small = [i and sitk.Shrink(i, shrink) for i in padded]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(config["n_iterations"])
    n4.SetConvergenceThreshold(config["convergence_threshold"])
    n4.SetNumberOfControlPoints([n + 3 for n in elements])
    n4.SetSplineOrder(3)
    n4.SetNumberOfHistogramBins(config["n_histogram_bins"])
    n4.SetWienerFilterNoise(config["wiener_noise"])
    n4.SetBiasFieldFullWidthAtHalfMaximum(config["bias_fwhm"])
    n4.Execute(*[i for i in small if i is not None])
    field = n4.GetLogBiasFieldAsImage(padded[0])
    return sitk.Crop(field, before, after)


def to_itk(array, spacing):
    """`[x, y, z]` to an image."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing([float(s) for s in spacing])
    return image


def phantom():
    """A lopsided head of about 160 x 190 x 160 mm in noisy air, under a field of +-30 %."""
    # Odd sizes: the middle sample is then a voxel, and no rounding decides which voxels Shrink takes.
    seed, shape, spacing = 20262, (41, 45, 33), (4.0, 4.2, 4.8)
    x, y, z = (2 * np.indices(shape)[a] / (shape[a] - 1) - 1 for a in range(3))

    def ellipsoid(centre, size):
        return sum(((p - c) / s) ** 2 for p, c, s in zip((x, y, z), centre, size)) < 1

    clean = np.zeros(shape)
    for centre, size, value in [
        ((0, 0, 0), (0.95, 0.95, 0.93), 300), ((0, 0, 0), (0.88, 0.89, 0.86), 70),
        ((0, 0, 0.02), (0.82, 0.84, 0.79), 190), ((0.03, 0, 0.05), (0.66, 0.7, 0.6), 280),
        ((-0.5, 0.3, -0.3), (0.12, 0.25, 0.2), 190), ((0.12, -0.1, 0.1), (0.13, 0.35, 0.2), 80),
        ((-0.15, -0.1, 0.1), (0.1, 0.3, 0.18), 80), ((0.3, 0.5, -0.2), (0.2, 0.1, 0.25), 190),
    ]:
        clean[ellipsoid(centre, size)] = value
    field = np.exp(0.2 * x - 0.15 * y * y + 0.12 * x * z + 0.08 * np.cos(2 * y - z))
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 5, (2, *shape))
    data = np.hypot(ndimage.gaussian_filter(clean, 0.5) * field + noise[0], noise[1]).astype(np.float32)
    return seed, data, np.array(spacing)


MASK_ABOVE = 45.0
THREE_LEVELS = {**DEFAULTS, "n_iterations": [20, 20, 15]}


def every_other(field):
    """`[z, y, x]` to every other voxel of `[x, y, z]`."""
    return np.float32(field.T[::2, ::2, ::2])


def golden():
    seed, data, spacing = phantom()
    image, mask = to_itk(data, spacing), to_itk((data > MASK_ABOVE).astype(np.uint8), spacing)
    cases = {
        "whole": ({**THREE_LEVELS, "shrink_factor": 1}, None),
        "mask": ({**THREE_LEVELS, "shrink_factor": 1, "mesh": {"elements": [2, 1, 1]}}, mask),
        "shrunk": ({**THREE_LEVELS, "shrink_factor": 2}, mask),
        "distance": ({**THREE_LEVELS, "shrink_factor": 2, "n_iterations": [20, 20], "mesh": {"spline_distance_mm": 100.0}}, mask),
    }
    arrays, listing = {"in": data, "spacing_mm": spacing}, {}
    for name, (config, inside) in cases.items():
        arrays[f"log_field_{name}"] = every_other(sitk.GetArrayFromImage(log_field(image, inside, config)))
        listing[name] = {"config": config, "mask": inside is not None}
    parameters = {"mask_above": MASK_ABOVE, "cases": listing}
    save("preprocess", "n4", arrays, generator=__file__, tools=["SimpleITK", "scipy", "numpy"], seed=seed, parameters=parameters)


def golden_weights():
    """The same phantom, read back, so that both entries are of the same image."""
    import ants

    seed, data, spacing = phantom()
    blob = (ROOT / "crates/preprocess/tests/golden/n4.bin").read_bytes()
    data = np.frombuffer(blob, "<f4", data.size).reshape(data.shape)
    i, j, _ = np.indices(data.shape)
    weights = np.where(j < 8, 0.0, 0.2 + 0.8 * i / data.shape[0])
    image, mask, weights = (ants.from_numpy(np.float32(a), spacing=list(spacing)) for a in (data, data > MASK_ABOVE, weights))
    config = {**THREE_LEVELS, "shrink_factor": 2}
    convergence = {"iters": config["n_iterations"], "tol": config["convergence_threshold"]}
    field = ants.n4_bias_field_correction(
        image, mask, shrink_factor=2, convergence=convergence, weight_mask=weights, return_bias_field=True
    )
    arrays = {"log_field_weights": every_other(np.log(field.numpy().T))}
    parameters = {"config": config}
    save("preprocess", "n4_weights", arrays, generator=__file__, tools=["antspyx", "numpy"], seed=seed, parameters=parameters)


def compare(name, ours, theirs, mask):
    """Prints how far two fields differ in the mask; whether that is little enough."""
    a, b = (np.log(f[mask].astype(np.float64)) for f in (ours, theirs))
    off = np.abs(np.expm1((b - b.mean()) - (a - a.mean())))
    correlation = np.corrcoef(a, b)[0, 1]
    print(f"  brainreel and {name}: mean {100 * off.mean():.3f} %, 99th percentile {100 * np.percentile(off, 99):.3f} %, correlation {correlation:.6f}")
    return off.mean() <= MEAN_LIMIT and np.percentile(off, 99) <= PERCENTILE_LIMIT and correlation >= CORRELATION_LIMIT


def ours(scan, mask, folder):
    cargo = ["cargo", "run", "--release", "--quiet", "-p", "brainreel-preprocess", "--example", "n4_nifti", "--"]
    run = subprocess.run([*cargo, scan, mask, folder], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    print(f"  brainreel {run.stdout.decode().strip()}")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "field.nii.gz")))


def by_simple_itk(image, mask):
    start = time.perf_counter()
    field = log_field(image, mask, DEFAULTS)
    print(f"  SimpleITK: {time.perf_counter() - start:.2f} s")
    return np.exp(sitk.GetArrayFromImage(field))


def by_ants(scan, mask):
    try:
        import ants
    except ImportError:
        return None
    image, mask = ants.image_read(str(scan)), ants.image_read(str(mask))
    start = time.perf_counter()
    field = ants.n4_bias_field_correction(image, mask, shrink_factor=4, return_bias_field=True)
    print(f"  ANTsPy: {time.perf_counter() - start:.2f} s")
    return field.numpy().T


def main(arguments):
    if arguments == ["--golden"]:
        return golden()
    if arguments == ["--golden-weights"]:
        return golden_weights()
    scan = pathlib.Path(arguments[0]).resolve()
    threads = arguments[1] if len(arguments) > 1 else "2"
    # Before ANTsPy is loaded: it reads the number of threads once.
    os.environ.update(ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=threads, RAYON_NUM_THREADS=threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(int(threads))
    image = sitk.ReadImage(str(scan), sitk.sitkFloat32)
    mask = sitk.And(sitk.OtsuThreshold(image, 0, 1, 200), image > 0)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        sitk.WriteImage(mask, str(folder / "mask.nii.gz"))
        print(f"{scan.name}, {image.GetSize()}, {threads} threads")
        found = ours(scan, folder / "mask.nii.gz", folder)
        references = {"SimpleITK": by_simple_itk(image, mask), "ANTsPy": by_ants(scan, folder / "mask.nii.gz")}
    inside = sitk.GetArrayFromImage(mask) > 0
    good = [compare(name, found, field, inside) for name, field in references.items() if field is not None]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else __doc__)
