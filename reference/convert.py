"""Compares `brainreel convert` with ground-truth volumes, voxel for voxel, after closest-canonical reorientation.

    cargo build --release
    python reference/convert.py DICOM_DIR GROUND_TRUTH.nii.gz [DICOM_DIR GROUND_TRUTH.nii.gz ...]
"""

import pathlib
import subprocess
import sys
import tempfile

import nibabel
import numpy as np

BINARY = pathlib.Path(__file__).resolve().parent.parent / "target" / "release" / "brainreel"


def compare(dicom, truth):
    with tempfile.TemporaryDirectory() as folder:
        command = [BINARY, "convert", dicom, f"{folder}/bids", "--any-contrast", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True)
        images = sorted(pathlib.Path(folder).glob("bids/sub-*/ses-*/anat/*.nii.gz"))
        if len(images) != 1:
            return f"{len(images)} images: {done.stderr.strip()}", False
        ours = nibabel.as_closest_canonical(nibabel.load(images[0]))
        theirs = nibabel.as_closest_canonical(nibabel.load(truth))
        if ours.shape != theirs.shape:
            return f"shape {ours.shape}, expected {theirs.shape}", False
        voxels = np.abs(ours.get_fdata() - theirs.get_fdata()).max()
        affine = np.abs(ours.affine - theirs.affine).max()
        return f"largest difference {voxels:.2g} in voxels, {affine:.2g} in the affine", voxels < 1e-3 and affine < 1e-3


def main(arguments):
    if not arguments or len(arguments) % 2:
        sys.exit(__doc__)
    all_good = True
    for dicom, truth in zip(arguments[::2], arguments[1::2]):
        text, good = compare(dicom, truth)
        all_good &= good
        print(f"{dicom}: {text}")
    sys.exit(0 if all_good else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
