"""SynthStrip: brainreel beside the same steps in Python with PyTorch, and parity with nipreps-synthstrip.

A part of `bench/preprocess`. Needs torch, numpy, scipy, nibabel, nitransforms and nipreps-synthstrip (the versions are in
`reference/synthstrip.py`), and brainreel's example `network_distance`. The weights are random, by formula.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "reference"))

PACKAGES = [
    "torch==2.15.0", "numpy", "scipy", "nibabel==5.4.2", "nitransforms==25.1.0", "nipreps-synthstrip==0.0.1",
    "h5py",
]
PART = "SynthStrip"
SPEED_UP, SECONDS, RSS_BYTES, DISTANCE_MM = 5.0, 6.0, 3e9, 1e-3


def timed(command, environment):
    """Wall seconds, processor seconds and peak memory of a command, and what it printed."""
    start = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], env=environment, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss": 1024 * usage.ru_maxrss, "output": output}


def peer(scan, weights, target, threads):
    """File in, mask out: the published tool's steps in floating point, with the network in its fastest layout."""
    import nibabel as nib
    import numpy as np
    import torch
    from nipreps.synthstrip.model import StripModel
    from scipy import ndimage

    torch.set_num_threads(threads)
    start, start_cpu = time.perf_counter(), time.process_time()
    image = nib.load(scan)
    head, shape = image.get_fdata(dtype="float32"), np.array(image.shape)
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij"), -1).reshape(-1, 3)
    world = nib.affines.apply_affine(image.affine, corners)
    dims = np.clip(np.ceil((np.ptp(world, axis=0) + 0.999).astype(int) / 64).astype(int) * 64, 192, 320)[[0, 2, 1]]
    affine = np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    affine[:3, 3] = nib.affines.apply_affine(image.affine, (shape - 1) / 2) - affine[:3, :3] @ ((dims - 1) / 2)
    conformed = ndimage.affine_transform(head, np.linalg.inv(image.affine) @ affine, output_shape=tuple(dims), order=3)
    conformed -= conformed.min()
    conformed = np.clip(conformed / np.percentile(conformed, 99), 0, 1)
    model = StripModel().eval()
    model.load_state_dict(torch.load(weights, weights_only=True)["model_state_dict"])
    model = model.to(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        data = torch.from_numpy(conformed)[None, None].to(memory_format=torch.channels_last_3d)
        distance = model(data)[0, 0].contiguous().numpy()
    back = np.linalg.inv(affine) @ image.affine
    distance = ndimage.affine_transform(distance, back, output_shape=image.shape, order=1, cval=100)
    labels, _ = ndimage.label(distance < 1)
    mask = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    mask = ndimage.binary_fill_holes(mask).astype(np.uint8)
    nib.Nifti1Image(mask, image.affine).to_filename(target)
    print(time.perf_counter() - start, time.process_time() - start_cpu)


def row(line, measured, asked="", met=None):
    return {"part": PART, "line": line, "measured": measured, "asked": asked, "met": met}


def parity(tools, scan, weights, scratch):
    """Grid, network input and distances on the network's grid."""
    import nibabel as nib
    import numpy as np
    import synthstrip as reference
    import torch

    torch.set_num_threads(tools.threads)
    program = pathlib.Path(tools.examples) / "network_distance"
    environment = {**os.environ, "RAYON_NUM_THREADS": str(tools.threads)}
    subprocess.run([str(program), str(scan), str(weights), str(scratch)], check=True, env=environment)
    got, distance = nib.load(scratch / "conformed.nii.gz"), nib.load(scratch / "distance.nii.gz")
    distance = distance.get_fdata(dtype="float32").transpose(2, 1, 0)
    conformed = reference.conform(reference.as_float(nib.load(scan)))
    off_mm = np.abs(got.affine - conformed.affine).max()
    same = got.shape == conformed.shape and off_mm < 1e-4
    expected = reference.distances(reference.network(), reference.scaled(conformed))
    off = np.abs(distance - expected)
    spread = f"distances {expected.min():.1f} to {expected.max():.1f} mm"
    return [
        row("conformed grid beside nipreps-synthstrip", f"{got.shape}, origin {off_mm:.0e} mm off", "identical", bool(same)),
        row("distance map beside nipreps-synthstrip's network", f"at most {off.max():.1e} mm ({spread})", f"{DISTANCE_MM} mm", bool(off.max() <= DISTANCE_MM)),
    ]


def measure(tools):
    if tools.shared is None:
        return [row("chris_t1", "no data on this machine")]
    scan = pathlib.Path(tools.shared) / "mri/chris_t1.nii.gz"
    scratch = pathlib.Path(tools.scratch)
    weights = scratch / "random.pt"
    subprocess.run([sys.executable, str(ROOT / "reference/synthstrip.py"), "--weights", str(weights)], check=True)
    threads = str(tools.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    masks = {name: scratch / f"{name}.nii.gz" for name in ("brainreel", "python", "one_thread")}

    def strip(name, n):
        return [tools.brainreel, "strip", scan, "--mask", masks[name], "--weights", weights, "--threads", n, "--overwrite", "-q"]

    runs = {"brainreel": [], "python": []}
    for _ in range(1 if tools.quick else 3):
        runs["brainreel"].append(timed(strip("brainreel", threads), environment))
        runs["python"].append(timed([sys.executable, __file__, "--peer", scan, weights, masks["python"], threads], environment))
        runs["brainreel"].append(timed(strip("brainreel", threads), environment))
    timed(strip("one_thread", 1), environment)
    median = {name: {key: statistics.median(run[key] for run in found) for key in ("wall", "cpu", "rss")} for name, found in runs.items()}
    steps, steps_cpu = (statistics.median(float(run["output"].split()[i]) for run in runs["python"]) for i in (0, 1))
    ours, theirs = median["brainreel"], median["python"]
    import nibabel as nib
    import numpy as np

    a, b = (np.asarray(nib.load(masks[name]).dataobj) > 0 for name in ("brainreel", "python"))
    dice = 2 * (a & b).sum() / (a.sum() + b.sum())
    ratio = steps / ours["wall"]
    same_bytes = masks["brainreel"].read_bytes() == masks["one_thread"].read_bytes()
    return parity(tools, scan, weights, scratch) + [
        row("whole command beside Python's steps (without its imports)", f"{ratio:.1f} times as fast, {ours['wall']:.1f} s beside {steps:.1f} s", f"{SPEED_UP} times", ratio >= SPEED_UP),
        row("the same, with Python's start", f"{theirs['wall'] / ours['wall']:.1f} times as fast"),
        row("the same in processor time (without imports), for machines that do other work", f"{steps_cpu / ours['cpu']:.1f} times as fast, {ours['cpu']:.1f} s beside {steps_cpu:.1f} s"),
        row("seconds for a head, file in to mask out", f"{ours['wall']:.2f} s", f"under {SECONDS} s", ours["wall"] < SECONDS),
        row("peak memory", f"{ours['rss'] / 1e9:.2f} GB beside {theirs['rss'] / 1e9:.2f} GB", "under 3 GB", ours["rss"] < RSS_BYTES),
        row("mask beside Python's", f"Dice {dice:.6f}", "at least 0.9999", bool(dice >= 0.9999)),
        row("one thread and two", "same bytes" if same_bytes else "other bytes", "same bytes", same_bytes),
    ]


if __name__ == "__main__":
    _, flag, *arguments = sys.argv
    if flag != "--peer":
        sys.exit(__doc__)
    peer(*arguments[:3], int(arguments[3]))
