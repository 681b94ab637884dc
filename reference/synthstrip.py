"""Compares brainreel's SynthStrip with the network and the conforming of nipreps-synthstrip.

    python reference/synthstrip.py SCAN.nii.gz [THREADS]
    python reference/synthstrip.py --golden
    python reference/synthstrip.py --weights FILE

The weights are random (by formula, so that brainreel's tests make the same ones), saved by PyTorch in the layout of the
published checkpoint. The first form runs both on a scan: the grid of the conformed image has to be identical, the
distance maps on that grid have to agree within 1e-3 mm. nipreps-synthstrip rounds the conformed image to the number
type of the file and the distances to whole millimetres; the comparison is of the numbers before that, and the mask of
the unchanged tool is compared for information.

`--golden` writes conformed grids and distances of small simulated heads for the tests of the crate `synthstrip`;
`--weights` only the checkpoint.

Beside `requirements.txt`: pip install nipreps-synthstrip==0.0.1 nitransforms==25.1.0
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import nibabel as nib
import numpy as np
import torch
from formula import uniform
from golden import save
from nipreps.synthstrip.cli import conform
from nipreps.synthstrip.model import StripModel

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMIT_MM = 1e-3
LAST = "remaining.2.conv"
# Of the last layer: makes distances of some millimetres out of activations of about one, with both signs.
LAST_GAIN, LAST_BIAS = 8.0, 0.0


def tensor(name, shape):
    """Kaiming's variance for the network's leaky rectifiers, so that activations neither vanish nor explode."""
    u = 2.0 * uniform(name, int(np.prod(shape))) - 1.0
    if name == f"{LAST}.bias":
        values = LAST_BIAS + 0.0 * u
    elif len(shape) == 5:
        values = np.sqrt(3.0 * 2.0 / (1.04 * np.prod(shape[1:]))) * u
        values *= LAST_GAIN if name == f"{LAST}.weight" else 1.0
    else:
        values = 0.1 * u
    return values.astype(np.float32).reshape(shape)


def network():
    model = StripModel().eval()
    state = {name: torch.from_numpy(tensor(name, tuple(value.shape))) for name, value in model.state_dict().items()}
    model.load_state_dict(state, strict=True)
    assert sum(p.numel() for p in model.parameters()) == 2_566_561
    return model


def write_checkpoint(model, path):
    """As the published one: weights, and the state of an optimizer that has made a step."""
    optimizer = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.save({"epoch": 1, "model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}, path)


def scaled(conformed):
    data = conformed.get_fdata(dtype="float32")
    data = data - data.min()
    return np.clip(data / np.percentile(data, 99), 0, 1)


def distances(model, data):
    with torch.inference_mode():
        return model(torch.from_numpy(data)[None, None])[0, 0].numpy()


def as_float(image):
    """The image in single precision, which nitransforms then keeps."""
    return nib.Nifti1Image(image.get_fdata(dtype="float32"), image.affine)


def tiny_heads():
    """Lopsided simulated heads of thick voxels: upright and anisotropic, oblique and left-handed."""
    oblique = np.array([[-5.1, 1.3, 0.4, 60.0], [1.0, 6.2, -1.1, -80.0], [0.3, 1.2, 7.5, -70.0], [0, 0, 0, 1]])
    permuted = np.array([[0, 0, 8.0, -88.0], [-6.5, 0, 0, 95.0], [0, 7.25, 0, -90.0], [0, 0, 0, 1]])
    # Upright, but for the order of axes: the field of view is longer than 320 mm, and is cut.
    long = np.array([[7.0, 0, 0, -90.0], [0, 7.0, 0, -100.0], [0, 0, 14.0, -200.0], [0, 0, 0, 1]])
    for name, shape, affine in [
        ("oblique", (26, 27, 24), oblique), ("permuted", (29, 25, 22), permuted), ("long", (26, 29, 30), long)
    ]:
        index = np.indices(shape).reshape(3, -1)
        x, y, z = (affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, *shape)
        r = np.sqrt((x / 75) ** 2 + (y / 95) ** 2 + (z / 85) ** 2)
        head = np.where(r < 1, 300.0, 0) * (1 - 0.6 * ((r > 0.8) & (r < 0.9))) * (1 + 0.3 * np.sin(x / 17) * np.cos(y / 23))
        head += 80 * np.exp(-((x - 20) ** 2 + (y - 30) ** 2 + z**2) / 500) + np.random.default_rng(20265).normal(0, 4, shape)
        # No signal at the border: brainreel counts points beyond it by less than 1e-4 voxels as inside, scipy does not.
        inside = np.pad(np.ones(np.subtract(shape, 2)), 1)
        yield name, nib.Nifti1Image((head * inside).astype(np.float32), affine)


def golden():
    model, arrays, parameters = network(), {}, {"every": 16, "last_gain": LAST_GAIN, "last_bias": LAST_BIAS}
    for name, image in tiny_heads():
        conformed = conform(image)
        data = scaled(conformed)
        arrays[f"{name}.head"] = image.get_fdata(dtype="float32")
        arrays[f"{name}.affine"] = image.affine
        arrays[f"{name}.conformed_dims"] = np.array(data.shape, np.int32)
        arrays[f"{name}.conformed_affine"] = conformed.affine
        arrays[f"{name}.conformed"] = data[8::16, 8::16, 8::16]
        if name == "long":
            continue
        found = distances(model, data)
        print(f"{name}: {data.shape}, distances {found.min():.2f} to {found.max():.2f} mm, {100 * (found < 1).mean():.1f} % within 1 mm")
        arrays[f"{name}.distance"] = found[8::16, 8::16, 8::16]
    save("synthstrip", "synthstrip", arrays, generator=__file__, tools=["nipreps-synthstrip", "nitransforms", "torch", "scipy", "numpy"], seed=20265, parameters=parameters)


def ours(scan, weights, folder, threads):
    cargo = ["cargo", "run", "--release", "--quiet", "-p", "brainreel", "-p", "brainreel-synthstrip", "--example", "network_distance", "--"]
    subprocess.run([*cargo, scan, weights, folder], cwd=ROOT, check=True, env={**os.environ, "RAYON_NUM_THREADS": threads})
    conformed, distance = nib.load(folder / "conformed.nii.gz"), nib.load(folder / "distance.nii.gz")
    # brainreel's distances have the axes in reverse order.
    return conformed, distance.get_fdata(dtype="float32").transpose(2, 1, 0)


def main(arguments):
    if arguments == ["--golden"]:
        return golden()
    if arguments[0] == "--weights":
        return write_checkpoint(network(), arguments[1])
    scan, threads = pathlib.Path(arguments[0]).resolve(), (arguments + ["2"])[1]
    torch.set_num_threads(int(threads))
    image, model = nib.load(scan), network()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_checkpoint(model, folder / "synthstrip.pt")
        got, distance = ours(scan, folder / "synthstrip.pt", folder, threads)
        got_data = got.get_fdata(dtype="float32")
    conformed = conform(as_float(image))
    data = scaled(conformed)
    start = time.perf_counter()
    expected = distances(model, data)
    print(f"{scan.name}, {image.shape}: conformed to {data.shape}; PyTorch's network {time.perf_counter() - start:.1f} s")
    same_grid = got.shape == conformed.shape and np.abs(got.affine - conformed.affine).max() < 1e-4
    print(f"  grid identical: {same_grid} (affines differ by {np.abs(got.affine - conformed.affine).max():.1e} mm, stored in single precision)")
    off = np.abs(distance - expected)
    print(f"  network input: largest difference {np.abs(got_data - data).max():.1e} of 1")
    print(f"  distances {expected.min():.1f} to {expected.max():.1f} mm, {100 * (expected < 1).mean():.1f} % within 1 mm; largest difference {off.max():.1e} mm, mean {off.mean():.1e} mm")
    alone = np.abs(distances(model, got_data) - distance).max()
    print(f"  the same from brainreel's conformed image: largest difference {alone:.1e} mm")
    rounded = distances(model, scaled(conform(image)))
    print(f"  for information, with the image rounded to {image.get_data_dtype()} as nipreps does: {np.abs(rounded - distance).max():.1e} mm")
    return 0 if same_grid and off.max() <= LIMIT_MM else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else __doc__)
