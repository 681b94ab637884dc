"""The whole of `brainreel preprocess`, beside a Python script of nibabel, ANTsPy and scipy that does the same.

Simulated heads of 1 mm with the classical extractor. The script is given brainreel's brain masks for nothing, draws
no pictures and writes no tables; it starts Python once for all heads. Then brainreel is killed again and again
(SIGKILL) and has to end with the same bytes, without doing a finished scan twice.
"""

import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

PACKAGES = ["antspyx==0.6.3", "SimpleITK==2.5.7", "scipy", "nibabel==5.4.2"]
PART = "whole chain"
TIMES = 10


def row(line, measured, asked, met):
    return {"part": PART, "line": line, "measured": measured, "asked": asked, "met": None if met is None else bool(met)}


def peer(dataset, masks, out):
    """Every head of a dataset to 128³; prints the seconds of each."""
    import ants
    import nibabel
    import nibabel.processing
    import numpy as np
    from scipy import ndimage

    for path in sorted(pathlib.Path(dataset).glob("sub-*/ses-*/anat/*_T1w.nii.gz")):
        start = time.perf_counter()
        name = path.name.replace("_T1w.nii.gz", "")
        image = nibabel.as_closest_canonical(nibabel.load(path))
        (mask_path,) = pathlib.Path(masks).glob(f"sub-*/ses-*/anat/{name}_desc-brain_mask.nii.gz")
        mask = nibabel.as_closest_canonical(nibabel.load(mask_path))
        inside = np.asarray(mask.dataobj) > 0
        data = np.where(inside, image.get_fdata(dtype=np.float32), 0)
        # Along the image's own axes: resample_to_output would turn an oblique image onto the world's.
        straight = np.diag([*nibabel.affines.voxel_sizes(image.affine), 1.0])
        at_1mm = nibabel.processing.resample_to_output(nibabel.Nifti1Image(data, straight), [1, 1, 1], order=3)
        brain = nibabel.processing.resample_to_output(nibabel.Nifti1Image(inside.astype(np.float32), straight), [1, 1, 1], order=3)
        inside = brain.get_fdata(dtype=np.float32) > 0.5
        data = np.where(inside, at_1mm.get_fdata(dtype=np.float32), 0)
        corrected = ants.n4_bias_field_correction(ants.from_numpy(data), mask=ants.from_numpy(inside.astype(np.float32)))
        data = np.where(inside, corrected.numpy(), 0)
        where = np.argwhere(inside)
        low = np.maximum(where.min(0) - 3, 0)
        high = np.minimum(where.max(0) + 4, data.shape)
        cube = data[tuple(slice(a, b) for a, b in zip(low, high))]
        cube = ndimage.zoom(cube, [128 / n for n in cube.shape], order=3, mode="mirror")
        nibabel.save(nibabel.Nifti1Image(cube, np.eye(4)), pathlib.Path(out) / f"{name}.nii.gz")
        print(json.dumps({"scan": name, "seconds": time.perf_counter() - start}), flush=True)


def dataset(tools, n_heads):
    heads, bids = tools.scratch / "chain_heads", tools.scratch / "bids"
    heads.mkdir()
    subprocess.run([str(tools.examples / "heads"), str(heads), str(n_heads)], check=True, stdout=subprocess.DEVNULL)
    for at, head in enumerate(sorted(heads.glob("*_head.nii.gz")), 1):
        anat = bids / f"sub-{at:02}" / "ses-1" / "anat"
        anat.mkdir(parents=True)
        shutil.copy(head, anat / f"sub-{at:02}_ses-1_T1w.nii.gz")
    return bids


def command(tools, bids, out):
    return [str(tools.brainreel), "preprocess", str(bids), str(out), "--extractor", "bet", "--threads", str(tools.threads), "-q"]


def contents(folder):
    """Every file but the hidden ones, and its bytes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def killed(tools, bids, out, whole_seconds, expected):
    n_kills = 3 if tools.quick else 10
    for kill in range(n_kills):
        process = subprocess.Popen(command(tools, bids, out))
        time.sleep(whole_seconds * (0.15 + 0.05 * (kill % 5)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    report = tools.scratch / "chain.json"
    finished = len(list(out.glob("sub-*/ses-*/anat/*_space-network_desc-preproc_T1w.json")))
    subprocess.run([*command(tools, bids, out), "--json", str(report)], check=True)
    up_to_date = json.loads(report.read_text())["n_up_to_date"]
    same = contents(out) == expected
    return [
        row(f"killed {n_kills} times and run again: bytes", "the same" if same else "differ", "the same", same),
        row("scans that were finished and not done again", f"{up_to_date} of {finished}", "all", up_to_date == finished),
    ]


def difference(out, theirs):
    """Mean |ratio - 1| inside the brain, after matching the overall scale, over all scans."""
    import nibabel
    import numpy as np

    differences = []
    for path in sorted(theirs.glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        (ours,) = out.glob(f"sub-*/ses-*/anat/{name}_space-network_desc-preproc_T1w.nii.gz")
        a, b = (np.asarray(nibabel.load(p).dataobj) for p in (ours, path))
        bright = b > 0.3 * np.percentile(b[b > 0], 99)
        ratio = a[bright] / b[bright]
        differences.append(float(np.abs(ratio / np.median(ratio) - 1).mean()))
    return statistics.mean(differences)


def measure(tools):
    """Rows of the table."""
    n_heads = 3 if tools.quick else 8
    bids, out, theirs = dataset(tools, n_heads), tools.scratch / "derivatives", tools.scratch / "theirs"
    theirs.mkdir()
    environment = {**os.environ, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(tools.threads), "OMP_NUM_THREADS": str(tools.threads)}
    seconds = []
    for _ in range(2):
        shutil.rmtree(out, ignore_errors=True)
        start = time.perf_counter()
        subprocess.run(command(tools, bids, out), check=True)
        seconds.append(time.perf_counter() - start)
    ours = statistics.median(seconds) / n_heads
    done = subprocess.run([sys.executable, __file__, "--peer", bids, out, theirs], check=True, capture_output=True, text=True, env=environment)
    peers = [json.loads(line)["seconds"] for line in done.stdout.splitlines() if line.startswith("{")]
    python = statistics.mean(peers)
    rows = [
        row(f"{n_heads} heads of 1 mm", f"{ours:.2f} s a scan, Python {python:.1f} s", "-", None),
        row("speed beside the script", f"{python / ours:.1f} times", f"at least {TIMES} times", python / ours >= TIMES),
        row("network inputs, mean difference in the brain", f"{100 * difference(out, theirs):.2f} %", "-", None),
    ]
    return rows + killed(tools, bids, tools.scratch / "killed", ours * n_heads, contents(out))


if __name__ == "__main__":
    if sys.argv[1] == "--peer":
        peer(*sys.argv[2:5])
