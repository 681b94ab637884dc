"""Conversion of DICOM: the same volumes as other tools, refusals, a large tree, speed and size.

Used by bench/preprocess. Peers: dcm2niix and dicom2nifti, in the environment that runs this script.
"""

import csv
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import nibabel
import numpy as np

PACKAGES = [
    "dcm2niix==1.0.20260724", "dicom2nifti==2.6.2", "pylibjpeg==2.1.0", "pylibjpeg-libjpeg==2.5.0",
    "pylibjpeg-openjpeg==2.6.0", "pydicom==3.0.2", "nibabel==5.4.2", "python-gdcm==3.2.6",
]
PART = "dicom"
TREE_FILES = 20_000
TREE_LIMIT_MB = 1000.0

# Series that have a ground truth, and the largest difference that single precision explains.
WITH_TRUTH = {
    "generic/anatomical/001": 0, "generic/anatomical/001_implicit": 0, "generic/anatomical/002_non_isotropic": 1e-6,
    "generic/compressed/001": 0, "generic/compressed_j2k/001": 0, "generic/compressed_jpeg/001": 0,
    "generic/compressed_jpegls/001": 0, "generic/compressed_rle/001": 0, "ge_axial/001": 0,
    "ge_axial/001_implicit": 0, "philips/001": 0, "philips/001_implicit": 0,
}
REFUSED = {
    "refused/gantrytilting/001": ["gantry tilt of", "degrees"],
    "refused/notavolume/001": ["is not a volume", "4 slices"],
    "refused/slicecount/001": ["has 2 slices", "at least 4"],
    "refused/sliceincrement/001": ["unequal slice increments", "10.0000 mm", "5.0000 mm"],
    "refused/sliceincrement/002": ["unequal slice increments"],
    "refused/sliceorientation/001": ["mixes slice orientations", "degrees"],
    "generic/rgb/001": ["a colour image (RGB"],
}


def row(line, measured, asked, met):
    return {"part": PART, "line": line, "measured": measured, "asked": asked, "met": met}


def measure(tools):
    rows = []
    if tools.shared is None:
        rows.append(row("series of the shared data", "not there", "equal to ground truth", None))
    else:
        dicom = pathlib.Path(tools.shared) / "dicom"
        rows += equality(tools, dicom) + refusals(tools, dicom) + speed(tools, dicom)
    return rows + [tree(tools)]


# --- other tools ------------------------------------------------------------------------------------


def dcm2niix():
    beside = pathlib.Path(sys.executable).parent / "dcm2niix"
    found = beside if beside.is_file() else shutil.which("dcm2niix")
    if not found:
        raise FileNotFoundError("dcm2niix is not in this environment: pip install dcm2niix")
    return str(found)


def fresh(tools, name):
    folder = pathlib.Path(tools.scratch) / "dicom" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def images(folder):
    return sorted(pathlib.Path(folder).rglob("*.nii.gz"))


def by_brainreel(tools, source):
    out = fresh(tools, "brainreel")
    command = [tools.brainreel, "convert", source, out / "bids", "--any-contrast", "--quiet"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    found = images(out)
    if len(found) != 1:
        raise RuntimeError(f"{source}: {len(found)} images: {done.stderr.strip()}")
    return found[0]


def by_dcm2niix(tools, source):
    out = fresh(tools, "dcm2niix")
    subprocess.run([dcm2niix(), "-z", "y", "-b", "n", "-o", str(out), str(source)], capture_output=True)
    found = images(out)
    return found[0] if len(found) == 1 else None


DICOM2NIFTI = """
import sys, time, dicom2nifti, dicom2nifti.settings
start = time.perf_counter()
dicom2nifti.convert_directory(sys.argv[1], sys.argv[2], compression=True, reorient=True)
print(time.perf_counter() - start)
"""


def by_dicom2nifti(tools, source):
    """The image, and the seconds that the conversion took without Python's start."""
    out = fresh(tools, "dicom2nifti")
    done = subprocess.run([sys.executable, "-c", DICOM2NIFTI, str(source), str(out)], capture_output=True, text=True)
    found = images(out)
    return (found[0], float(done.stdout.split()[-1])) if len(found) == 1 else (None, None)


# --- the same volumes -------------------------------------------------------------------------------


def difference(ours, theirs):
    """Largest relative difference of voxels and largest difference of affines, both closest canonical."""
    a, b = (nibabel.as_closest_canonical(nibabel.load(path)) for path in (ours, theirs))
    if a.shape != b.shape:
        return float("inf"), float("inf")
    x, y = a.get_fdata(), b.get_fdata()
    return np.abs(x - y).max() / max(1.0, np.abs(y).max()), np.abs(a.affine - b.affine).max()


def truth_of(folder):
    return folder.with_name(f"{folder.name}_ground_truth.nii.gz")


def equality(tools, dicom):
    cases = [(name, dicom / name, truth_of(dicom / name), tolerance) for name, tolerance in WITH_TRUTH.items()]
    missed, peers = [], {"dcm2niix": [0, 0, []], "dicom2nifti": [0, 0, []]}
    for name, folder, truth, tolerance in cases:
        ours = by_brainreel(tools, folder)
        voxels, affine = difference(ours, truth)
        if voxels > tolerance or affine > 1e-3:
            missed.append(f"{name} ({voxels:.2g}, {affine:.2g} mm)")
        for peer, image in (("dcm2niix", by_dcm2niix(tools, folder)), ("dicom2nifti", by_dicom2nifti(tools, folder)[0])):
            if image is None:
                continue
            voxels, affine = difference(ours, image)
            peers[peer][0] += 1
            if voxels <= max(tolerance, 1e-6) and affine <= 1e-3:
                peers[peer][1] += 1
            else:
                peers[peer][2].append(f"{name} {voxels:.2g} of the range, {affine:.2g} mm")
    whole = by_brainreel(tools, dicom / "adni_layout")
    scan = pathlib.Path(tools.shared) / "mri" / "chris_t1.nii.gz"
    times_8 = fresh(tools, "times_8") / "truth.nii.gz"
    image = nibabel.load(scan)
    nibabel.save(nibabel.Nifti1Image((image.get_fdata() * 8).astype(np.int16), image.affine), times_8)
    voxels, affine = difference(whole, times_8)
    if voxels > 0 or affine > 1e-3:
        missed.append(f"adni_layout ({voxels:.2g}, {affine:.2g} mm)")
    n_cases = len(cases) + 1
    rows = [row(
        "volumes equal to their ground truth", f"{n_cases - len(missed)} of {n_cases}" + "".join(f"; {m}" for m in missed),
        f"{n_cases} of {n_cases}", not missed,
    )]
    for peer, (n_compared, n_equal, others) in peers.items():
        text = f"{n_equal} of the {n_compared} that it converts" + "".join(f"; {other}" for other in others)
        rows.append(row(f"volumes equal to those of {peer}", text, "information", None))
    return rows


def refusals(tools, dicom):
    wrong = []
    for name, words in REFUSED.items():
        out = fresh(tools, "refused")
        command = [str(pathlib.Path(tools.examples) / "dicom_to_nifti"), str(dicom / name), str(out)]
        said = subprocess.run(command, capture_output=True, text=True).stdout
        if images(out) or not all(word in said for word in words):
            wrong.append(name)
    n_right = len(REFUSED) - len(wrong)
    text = f"{n_right} of {len(REFUSED)}" + "".join(f"; not {name}" for name in wrong)
    return [row("series refused with their own message and numbers", text, f"{len(REFUSED)} of {len(REFUSED)}", not wrong)]


# --- speed and size ---------------------------------------------------------------------------------


def timed(command):
    start = time.perf_counter()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-300:]}")
    return seconds


def speed(tools, dicom):
    source = dicom / "adni_layout"
    seconds = {"brainreel": [], "dcm2niix": [], "dicom2nifti": []}
    sizes = {}
    for _ in range(4 if tools.quick else 10):
        out = fresh(tools, "brainreel")
        seconds["brainreel"].append(timed([tools.brainreel, "convert", source, out / "bids", "--quiet"]))
        sizes["brainreel"] = images(out)[0].stat().st_size
        out = fresh(tools, "dcm2niix")
        seconds["dcm2niix"].append(timed([dcm2niix(), "-z", "y", "-o", out, source]))
        sizes["dcm2niix"] = images(out)[0].stat().st_size
        image, inside = by_dicom2nifti(tools, source)
        seconds["dicom2nifti"].append(inside)
        sizes["dicom2nifti"] = image.stat().st_size
    # The first round reads the files from disk.
    median = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    against_niix = median["dcm2niix"] / median["brainreel"]
    against_nifti = median["dicom2nifti"] / median["brainreel"]
    size = sizes["brainreel"] / sizes["dcm2niix"]
    times = ", ".join(f"{name} {value:.2f} s" for name, value in median.items())
    return [
        row("188 slices, compressed: speed against dcm2niix", f"{against_niix:.2f} times ({times})", "at least 1 times", against_niix >= 1),
        row("188 slices, compressed: speed against dicom2nifti", f"{against_nifti:.1f} times", "at least 3 times", against_nifti >= 3),
        row("size of the compressed output against dcm2niix", f"{100 * (size - 1):+.1f} %", "at most +5 %", size <= 1.05),
    ]


# --- a large tree -----------------------------------------------------------------------------------


def peak(command):
    """Seconds and peak memory in MB, from the kernel's account of the child."""
    script = (
        "import resource, subprocess, sys, time\n"
        "start = time.perf_counter()\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, done.returncode)\n"
        "print(done.stderr[-500:], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *map(str, command)], capture_output=True, text=True)
    seconds, kilobytes, code = done.stdout.split()
    if int(code) != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()}")
    return float(seconds), float(kilobytes) / 1024


def tree(tools):
    n_files = 2_000 if tools.quick else TREE_FILES
    source = fresh(tools, "tree")
    subprocess.run([str(pathlib.Path(tools.examples) / "dicom_tree"), str(source), str(n_files)], check=True)
    n_found = sum(1 for path in source.rglob("*.dcm"))
    out = fresh(tools, "tree_out") / "bids"
    seconds, megabytes = peak([tools.brainreel, "convert", source, out, "--quiet"])
    with open(out / "conversion_ledger.tsv") as ledger:
        outcomes = [line["outcome"] for line in csv.DictReader(ledger, delimiter="\t")]
    shutil.rmtree(source)
    text = f"{megabytes:.0f} MB, {seconds:.1f} s, {outcomes.count('kept')} of {len(outcomes)} series kept"
    met = megabytes < TREE_LIMIT_MB and outcomes.count("kept") == len(outcomes)
    return row(f"a tree of {n_found} simulated files: peak memory", text, f"below {TREE_LIMIT_MB:.0f} MB, all kept", met)
