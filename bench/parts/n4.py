"""N4 bias correction: brainreel beside ANTsPy, with ANTs' defaults, on the whole image and inside a brain mask.

The images are the real head at 1 mm (if there is one) and simulated heads, whose field is known. Everything
is compared inside the brain mask, which is brainreel's own. Fields are matched in scale by their mean
logarithm. On the whole image brainreel is told to take zeros as ITK does (`non_positive`); by default it
leaves them out, a row of its own. Rotations are taken out of the headers: with an even number of voxels
ITK's choice of every fourth depends on the rounding of the rotation, and fields from other voxels of a noisy
image differ by half a percent, whichever tool. ANTsPy runs in a process of its own for every image: it reads the number of threads once.
Times are of the correction alone, without reading and writing.
"""

import os
import re
import statistics
import subprocess
import sys
import time

import numpy as np

PACKAGES = ["antspyx==0.6.3", "SimpleITK==2.5.7", "scipy", "nibabel==5.4.2"]
PART = "N4"
WHOLE = "the whole image"
AS_ITK = '{"non_positive": "as_logarithm"}'
MEAN, PERCENTILE, CORRELATION, SPEED_UP, RSS_BYTES = 0.005, 0.02, 0.999, 20, 1e9
# Two estimates of a field whose errors differ by less than this are equally good: a hundredth of a percent.
EQUAL = 1e-4


def row(line, measured, asked, met):
    return {"part": PART, "line": line, "measured": measured, "asked": asked, "met": None if met is None else bool(met)}


def load(path):
    import ants

    return ants.image_read(str(path)).numpy()


def peer(image, mask, field):
    """ANTsPy's field; prints the seconds."""
    import ants

    image = ants.image_read(image)
    mask = ants.image_read(mask)
    start = time.perf_counter()
    found = ants.n4_bias_field_correction(image, mask=mask, return_bias_field=True)
    print(f"n4: {time.perf_counter() - start:.3f} s")
    np.save(field, found.numpy())


def run(command, threads):
    """What a command printed as its seconds, and its peak memory."""
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(threads)}
    process = subprocess.Popen([str(word) for word in command], env=environment, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return float(re.search(r"n4: ([\d.]+) s", output)[1]), 1024 * usage.ru_maxrss


def ours(tools, image, mask, folder, threads=None, config="{}"):
    folder.mkdir(exist_ok=True)
    return run([tools.examples / "n4_nifti", image, mask, folder, config], threads or tools.threads)


def upright(path):
    """Takes the rotation out of a file's header."""
    import ants

    image = ants.image_read(str(path))
    image.set_direction(np.eye(3))
    image.to_filename(str(path))


def images(tools):
    """Name, head, brain mask and known field (or nothing) of every image."""
    import ants

    n_heads = 1 if tools.quick else 3
    folder = tools.scratch / "n4"
    folder.mkdir()
    subprocess.run([tools.examples / "heads", folder, str(n_heads), "41"], check=True, stdout=subprocess.DEVNULL)
    found = [(f"simulated head {i}", folder / f"{i:02}_head.nii.gz", folder / f"{i:02}_gain.nii.gz") for i in range(n_heads)]
    if tools.shared:
        head = folder / "real_head.nii.gz"
        at_1mm = ants.resample_image(ants.image_read(str(tools.shared / "mri" / "chris_t1.nii.gz")), (1, 1, 1), False, 0)
        at_1mm.to_filename(str(head))
        found.insert(0, ("real head at 1 mm", head, None))
    for name, head, gain in found:
        mask = folder / head.name.replace("_head.nii", "_brain.nii")
        subprocess.run([tools.examples / "bet", head, mask], check=True, stdout=subprocess.DEVNULL)
        for path in (head, mask, *([gain] if gain else [])):
            upright(path)
        yield name, head, mask, gain


def centred(field, inside):
    log = np.log(field[inside].astype(np.float64))
    return log - log.mean()


def everywhere(mask, path):
    import ants

    image = ants.image_read(str(mask))
    (image * 0 + 1).to_filename(str(path))
    return path


def compare(tools, name, region, paths, inside, truth):
    """Rows of one image and one region for the estimate; seconds of both; our peak memory."""
    head, mask = paths
    folder, field = tools.scratch / "n4_ours", tools.scratch / "n4_ants.npy"
    config = AS_ITK if region == WHOLE else "{}"
    us, them, peak = [], [], 0
    for _ in range(1 if tools.quick else 3):
        seconds, rss = ours(tools, head, mask, folder, config=config)
        us.append(seconds)
        peak = max(peak, rss)
        them.append(run([sys.executable, __file__, "--peer", head, mask, field], tools.threads)[0])
    a, b = centred(load(folder / "field.nii.gz"), inside), centred(np.load(field), inside)
    off = np.abs(np.expm1(b - a))
    mean, percentile, correlation = off.mean(), np.percentile(off, 99), np.corrcoef(a, b)[0, 1]
    met = mean <= MEAN and percentile <= PERCENTILE and correlation >= CORRELATION
    where = f"{name}, field from {region}"
    text = f"mean {100 * mean:.3f} %, 99th percentile {100 * percentile:.3f} %, correlation {correlation:.5f}"
    rows = [row(f"{where}: difference from ANTsPy", text, "0.5 %, 2 %, 0.999", met)]
    if truth is not None:
        known = centred(truth, inside)
        mine, theirs = np.abs(a - known).mean(), np.abs(b - known).mean()
        text = f"{100 * mine:.3f} % (ANTsPy {100 * theirs:.3f} %)"
        rows.append(row(f"{where}: mean error of the known field", text, "no more than ANTsPy's", mine <= theirs + EQUAL))
    if region == WHOLE:
        ours(tools, head, mask, folder)
        off = np.abs(np.expm1(b - centred(load(folder / "field.nii.gz"), inside)))
        text = f"mean {100 * off.mean():.3f} %, 99th percentile {100 * np.percentile(off, 99):.3f} %"
        rows.append(row(f"{where}, zeros left out: difference from ANTsPy", text, "-", None))
    return rows, (statistics.median(us), statistics.median(them)), peak


def same_for_threads(tools, head, mask):
    folders = [tools.scratch / f"n4_{threads}" for threads in (1, 2)]
    for threads, folder in zip((1, 2), folders):
        ours(tools, head, mask, folder, threads)
    return all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in ("field.nii.gz", "corrected.nii.gz"))


def measure(tools):
    """Rows of the table."""
    rows, times, peak, same = [], [], 0, None
    for name, head, mask, gain in images(tools):
        inside = load(mask) > 0
        truth = load(gain) if gain else None
        whole = everywhere(mask, tools.scratch / "n4_everywhere.nii.gz")
        for region, mask_path in (("the brain mask", mask), (WHOLE, whole)):
            more, pair, rss = compare(tools, name, region, (head, mask_path), inside, truth)
            rows += more
            times.append((f"{name}, {region}", *pair))
            peak = max(peak, rss)
        same = same_for_threads(tools, head, mask) if same is None else same
    for what, us, them in times:
        text = f"{us:.2f} s, ANTsPy {them:.2f} s: {them / us:.1f} times"
        rows.append(row(f"time, {what}", text, f"at least {SPEED_UP} times faster", them / us >= SPEED_UP))
    rows.append(row("peak memory, file to file", f"{peak / 1e6:.0f} MB", "below 1 GB", peak < RSS_BYTES))
    rows.append(row("files for 1 and 2 threads", "identical" if same else "different", "identical", same))
    return rows


if __name__ == "__main__" and sys.argv[1] == "--peer":
    peer(*sys.argv[2:])
