"""Loads an export of brainreel by torchvision and compares the logits.

    python reference/export.py [ARCHITECTURE ...]

    pip install -r reference/requirements.txt

Simulates, preprocesses and trains for an epoch at a small size, runs `brainreel export` and the Python lines
that it prints (with `strict=True`), and feeds torchvision's network the network inputs of the test partition.
Prints the largest difference to the logits in `predictions.tsv`; exit code 1 above 1e-4. By default for every
architecture; those of the transformers take an input of their own size, a multiple of 32.
"""

import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import nibabel
import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
ARCHITECTURES = ("r3d_18", "mc3_18", "r2plus1d_18", "mvit_v1_b", "mvit_v2_s")
LIMIT = 1e-4
EXPERIMENT = """
out = "out"
[input]
simulate = { n_subjects = 8, n_visits = 1, seed = 5, spacing_mm = 6.0, truth_images = false }
[preprocess]
brain_extractor = "bet"
size_voxels = SIZE
spacing_mm = 6.0
[split]
train = 0.5
validation = 0.25
test = 0.25
[train]
max_epochs = 1
architecture = "ARCHITECTURE"
"""


def brainreel(folder, *arguments):
    command = ["cargo", "run", "--release", "-q", "-p", "brainreel", "--manifest-path", str(ROOT / "Cargo.toml"), "--"]
    done = subprocess.run([*command, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def network_input(path):
    """The image as model.json says: z-normalised, [1, 1, x, y, z]."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    voxels = image.get_fdata(dtype=np.float32).astype(np.float64)
    voxels = (voxels - voxels.mean()) / voxels.std(ddof=1)
    return torch.from_numpy(voxels.astype(np.float32))[None, None]


def difference(architecture, folder):
    size = "64" if architecture.startswith("mvit") else "48"
    text = EXPERIMENT.replace("ARCHITECTURE", architecture).replace("SIZE", size)
    (folder / "experiment.toml").write_text(text)
    brainreel(folder, "run", "experiment.toml")
    lines = brainreel(folder, "export", "out/run", "--out", "model.safetensors").splitlines()
    names = {}
    loading = "\n".join(lines).replace("model.safetensors", str(folder / "model.safetensors"))
    exec(loading, names)  # What a reader would paste.
    record = json.loads((folder / "model.json").read_text())
    model = names["model"]
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    assert record["n_parameters"] == n_parameters, (record["n_parameters"], n_parameters)
    images = scan_images(folder / "out")
    worst = 0.0
    with open(folder / "out/run/evaluation/predictions.tsv") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            x = network_input(images[row["scan_id"]])
            assert list(x.shape) == record["input"]["shape"], x.shape
            with torch.no_grad():
                logits = model(x)[0].numpy()
            expected = np.array([float(row["logit_cn"]), float(row["logit_ad"])])
            worst = max(worst, float(np.abs(logits - expected).max() / max(1.0, np.abs(expected).max())))
    return worst, len(lines)


def scan_images(out):
    table = next(out.rglob("scans.tsv"))
    with open(table) as file:
        rows = list(csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t"))
    return {row["scan_id"]: table.parent / row["image"] for row in rows}


def main():
    misses = 0
    for architecture in sys.argv[1:] or ARCHITECTURES:
        with tempfile.TemporaryDirectory() as scratch:
            worst, n_lines = difference(architecture, pathlib.Path(scratch))
        verdict = "ok" if worst <= LIMIT else "MISS"
        print(f"{architecture}: logits differ by at most {worst:.1e} (limit {LIMIT}), {n_lines} lines: {verdict}")
        misses += verdict == "MISS"
    sys.exit(bool(misses))


main()
