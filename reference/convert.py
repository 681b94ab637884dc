"""Compares `brainreel convert` with ground-truth volumes, voxel for voxel, after closest-canonical reorientation.

The truth is a file, or the name of a tool that makes one: `dcm2niix` (then sidecars are compared as well) or
`dicom2nifti`.

    cargo build --release
    pip install -r reference/requirements.txt dcm2niix==1.0.20260724 dicom2nifti==2.6.2
    python reference/convert.py DICOM_DIR TRUTH [DICOM_DIR TRUTH ...]
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import nibabel
import numpy as np

BINARY = pathlib.Path(__file__).resolve().parent.parent / "target" / "release" / "brainreel"
# dcm2niix writes vendors in its own spelling and adds words to ImageType.
OTHER_SPELLING = {"Manufacturer", "ImageType", "ConversionSoftware", "ConversionSoftwareVersion"}


def ours(dicom, folder):
    command = [BINARY, "convert", dicom, f"{folder}/bids", "--any-contrast", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    images = sorted(pathlib.Path(folder).glob("bids/sub-*/ses-*/anat/*.nii.gz"))
    if len(images) != 1:
        raise RuntimeError(f"{len(images)} images: {done.stderr.strip()}")
    return images[0]


def by_tool(name, dicom, folder):
    out = pathlib.Path(folder) / name
    out.mkdir()
    if name == "dcm2niix":
        command = [pathlib.Path(sys.executable).parent / name, "-z", "y", "-o", out, dicom]
    else:
        code = "import sys, dicom2nifti; dicom2nifti.convert_directory(*sys.argv[1:], compression=True, reorient=True)"
        command = [sys.executable, "-c", code, dicom, out]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    images = sorted(out.glob("*.nii.gz"))
    if len(images) != 1:
        raise RuntimeError(f"{name} made {len(images)} images: {(done.stdout + done.stderr).strip()}")
    return images[0]


def compare_volumes(image, truth):
    a, b = (nibabel.as_closest_canonical(nibabel.load(path)) for path in (image, truth))
    if a.shape != b.shape:
        return f"shape {a.shape}, expected {b.shape}", False
    voxels = np.abs(a.get_fdata() - b.get_fdata()).max()
    affine = np.abs(a.affine - b.affine).max()
    return f"largest difference {voxels:.2g} in voxels, {affine:.2g} in the affine", voxels < 1e-3 and affine < 1e-3


def compare_sidecars(image, truth):
    a, b = (json.loads(pathlib.Path(str(path).replace(".nii.gz", ".json")).read_text()) for path in (image, truth))
    shared = sorted((a.keys() & b.keys()) - OTHER_SPELLING)
    differ = [key for key in shared if not equal(a[key], b[key])]
    text = f"{len(shared) - len(differ)} of {len(shared)} shared sidecar fields equal"
    return text + "".join(f"; {key} is {a[key]}, expected {b[key]}" for key in differ), not differ


def equal(a, b):
    if isinstance(a, (int, float)) or isinstance(a, list) and a and isinstance(a[0], float):
        return np.allclose(a, b, rtol=1e-5, atol=1e-5)
    return a == b


def compare(dicom, truth):
    with tempfile.TemporaryDirectory() as folder:
        image = ours(dicom, folder)
        if truth not in ("dcm2niix", "dicom2nifti"):
            return compare_volumes(image, truth)
        made = by_tool(truth, dicom, folder)
        text, good = compare_volumes(image, made)
        if truth == "dcm2niix":
            fields, same = compare_sidecars(image, made)
            text, good = f"{text}; {fields}", good and same
        return text, good


def main(arguments):
    if not arguments or len(arguments) % 2:
        sys.exit(__doc__)
    all_good = True
    for dicom, truth in zip(arguments[::2], arguments[1::2]):
        try:
            text, good = compare(dicom, truth)
        except RuntimeError as error:
            text, good = str(error), False
        all_good &= good
        print(f"{dicom} against {truth}: {text}")
    sys.exit(0 if all_good else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
