"""Times the zoom of a 1 mm head (176x240x256) to 128^3: brainreel beside scipy, in the same run.

    python bench/zoom.py

scipy uses one thread; brainreel's divan bench is run on one and on two. Prints medians and ratios.
"""

import pathlib
import re
import statistics
import subprocess
import sys
import time

import numpy as np
import scipy
from scipy import ndimage

ROOT = pathlib.Path(__file__).resolve().parent.parent
UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}


def brainreel():
    """Median seconds by number of threads."""
    command = ["cargo", "bench", "--quiet", "-p", "brainreel-kernels", "--bench", "spline", "--", "zoom_128_on_threads"]
    table = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = re.findall(r"─ (\d+) +[^│]+│[^│]+│ ([\d.]+) (s|ms|µs) ", table)
    return {int(threads): float(value) * UNITS[unit] for threads, value, unit in rows}


def scipy_seconds(repeats=5):
    """Median seconds, first axis fastest as NIfTI arrays are."""
    head = np.asfortranarray(np.random.default_rng(0).random((176, 240, 256), np.float32))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        ndimage.zoom(head, [128 / n for n in head.shape], order=3)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main():
    ours, theirs = brainreel(), scipy_seconds()
    print(f"scipy {scipy.__version__}, 1 thread: {1000 * theirs:.0f} ms")
    for threads, seconds in ours.items():
        print(f"brainreel, {threads} thread{'s' if threads > 1 else ''}: {1000 * seconds:.0f} ms, {theirs / seconds:.0f} times faster")
    return 0 if ours else 1


if __name__ == "__main__":
    sys.exit(main())
