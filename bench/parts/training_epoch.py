"""A whole epoch of the thesis's recipe over 64 simulated scans: brainreel beside PyTorch and TorchIO.

A part of `bench/training`. Both read the same NIfTI files (128³, compressed): R3D-18, stem to layer3 frozen, AdamW with
two learning rates, batch 2, RandomNoise, RandomGamma and ZNormalization drawn afresh for each scan. PyTorch reads with
nibabel through a DataLoader; its memory layout and its number of loader processes are the fastest of short trials, and a
first step is not counted. brainreel's seconds are those that `brainreel train` logs for an epoch's training.

Frozen batch norms are compared in two states: statistics of each batch (what PyTorch does in train mode: the thesis), and
fixed ones (brainreel's default, calibrated before the first epoch; PyTorch's frozen part in eval mode). brainreel's two
epochs with statistics of the batch are run before and after PyTorch's. With a pool of augmented variants brainreel
computes the frozen part before the first epoch only; PyTorch has nothing of the kind, so that its epoch there is the
faster of its two. Whatever was timed on fewer scans is scaled up to 64, and the table says so.
"""

import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import training_steps
from training_steps import LAYOUTS

PACKAGES = ["torch==2.15.0", "torchvision==0.29.2", "torchio==1.2.1", "nibabel==5.4.2", "scipy==1.17.1"]
PART = "epoch"
N_SCANS, N_SHORT, N_TRIAL = 64, 8, 4
PARTITIONS_BEHIND = ["validation", "validation", "test", "test"]
FRESH, POOLED = 4.0, 8.0


def volume(seed, edge):
    """A smooth head-like blob on nothing; larger for odd seeds."""
    import numpy as np
    from scipy import ndimage

    random = np.random.default_rng(seed)
    coarse = random.normal(size=(10, 10, 10))
    texture = ndimage.zoom(coarse, edge / 10, order=1, grid_mode=True, mode="nearest")
    places = np.meshgrid(*[np.linspace(-1, 1, edge)] * 3, indexing="ij")
    inside = sum(place**2 for place in places) < (0.8 + 0.1 * (seed % 2)) ** 2
    noise = 20 * random.normal(size=texture.shape)
    return np.where(inside, 700 + 150 * texture + noise, 0).astype(np.float32)


def write_scans(folder, n_scans, edge):
    """A folder as `brainreel preprocess` leaves it, and a split."""
    import nibabel
    import numpy as np

    (folder / "derivatives").mkdir(parents=True)
    scans = ["scan_id\tparticipant_id\tsession_id\trun\tdiagnosis\tage\tsex\timage\tsha256"]
    split = ["scan_id\tparticipant_id\tsession_id\tdiagnosis\tpartition"]
    for index, partition in enumerate(["train"] * n_scans + PARTITIONS_BEHIND):
        subject, session = f"sub-{index:03}", "ses-m00"
        name, diagnosis = f"{subject}_{session}.nii.gz", ("CN", "AD")[index % 2]
        nibabel.Nifti1Image(volume(index, edge), np.diag([1.1, 1.4, 1.2, 1.0])).to_filename(folder / "derivatives" / name)
        digest = hashlib.sha256((folder / "derivatives" / name).read_bytes()).hexdigest()
        scans.append(f"{subject}_{session}\t{subject}\t{session}\tn/a\t{diagnosis}\tn/a\tn/a\t{name}\t{digest}")
        split.append(f"{subject}_{session}\t{subject}\t{session}\t{diagnosis}\t{partition}")
    (folder / "derivatives/scans.tsv").write_text("\n".join(scans) + "\n")
    (folder / "split.tsv").write_text("\n".join(split) + "\n")


class Scans:
    """A dataset for torch's DataLoader."""

    def __init__(self, folder, n_scans):
        import torchio

        self.paths = sorted(folder.glob("derivatives/*.nii.gz"))[:n_scans]
        self.transform = torchio.Compose([
            torchio.RandomNoise(mean=0, std=0.1, p=0.3), torchio.RandomGamma(log_gamma=(-0.2, 0.2), p=0.3),
            torchio.ZNormalization(),
        ])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        import nibabel
        import torch

        voxels = torch.from_numpy(nibabel.load(self.paths[index]).get_fdata(dtype="float32"))
        return self.transform(voxels[None]), index % 2


def peer(folder, n_scans, edge, state, layout, n_workers):
    """Prints PyTorch's seconds for an epoch."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = training_steps.network("r3d_18", edge)
    optimizer = training_steps.optimizer_of(*training_steps.freeze(model, "thesis", state == "batch"))
    memory_format = torch.contiguous_format if layout == LAYOUTS[0] else torch.channels_last_3d
    model = model.to(memory_format=memory_format)
    criterion = torch.nn.CrossEntropyLoss(weight=torch.ones(2))

    def step(volumes, labels):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=layout == LAYOUTS[2]):
            loss = criterion(model(volumes.contiguous(memory_format=memory_format)), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    step(torch.rand(2, 1, edge, edge, edge), torch.tensor([0, 1]))
    loader = torch.utils.data.DataLoader(Scans(folder, n_scans), batch_size=2, shuffle=True, num_workers=n_workers)
    start = time.perf_counter()
    losses = [step(volumes, labels) for volumes, labels in loader]
    print(json.dumps({"seconds": time.perf_counter() - start, "n_steps": len(losses)}))


class Bench:
    """The tools, the scans, and PyTorch's best settings."""

    def __init__(self, tools):
        self.tools, self.n_scans = tools, N_SHORT if tools.quick else N_SCANS
        self.folder, self.short = tools.scratch / "scans", tools.scratch / "short"
        write_scans(self.folder, self.n_scans, tools.edge)
        write_scans(self.short, N_SHORT, tools.edge)
        self.layout, self.n_workers = LAYOUTS[1], 1
        self.layout = min(LAYOUTS[:2], key=lambda layout: self.torch_seconds(N_TRIAL // 2, "batch", layout=layout))
        trial = lambda n_workers: self.torch_seconds(N_TRIAL, "batch", n_workers=n_workers)
        self.n_workers = min([0, 1, 2], key=trial)

    def torch_seconds(self, n_scans, state, layout=None, n_workers=None):
        """PyTorch's seconds for an epoch, scaled up to all scans."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.tools.threads)}
        n_workers = self.n_workers if n_workers is None else n_workers
        command = [sys.executable, __file__, self.folder, n_scans, self.tools.edge, state, layout or self.layout, n_workers]
        output = subprocess.run([str(word) for word in command], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(output)["seconds"] * N_SCANS / n_scans

    def brainreel(self, folder, n_scans, name, norm, pool=0, n_epochs=1):
        """The timing log of a run, scaled up to all scans, and the seconds that went before the first epoch."""
        environment = {**os.environ, "RAYON_NUM_THREADS": str(self.tools.threads)}
        run = folder / name
        command = [self.tools.brainreel, "train", folder / "derivatives", "--split", folder / "split.tsv", "--out", run]
        command += ["--augmentation", "thesis", "--pool", pool, "--norm", norm, "--epochs", n_epochs, "--patience", "100"]
        command += ["--threads", self.tools.threads, "--offline", "--quiet"]
        start = time.perf_counter()
        subprocess.run([str(word) for word in command], env=environment, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - start
        epochs = [json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()]
        before = wall - sum(epoch["seconds_train"] + epoch["seconds_validate"] for epoch in epochs)
        scale = N_SCANS / n_scans
        seconds = [scale * epoch["seconds_train"] for epoch in epochs]
        return seconds, sum(epoch["seconds_waiting"] for epoch in epochs) / sum(epoch["seconds_train"] for epoch in epochs), scale * before


def told(values):
    return " and ".join(f"{value:.1f}" for value in values) + " s"


def row(line, ours, theirs, asked, remarks):
    """`ours` beside `theirs`: the ratio of PyTorch's seconds to the median of brainreel's."""
    ratio = theirs / statistics.median(ours)
    measured = f"{ratio:.1f} times: brainreel {told(ours)}, PyTorch {told([theirs])}; {remarks}"
    return {"part": PART, "line": line, "measured": measured, "asked": f"{asked:.0f} times", "met": ratio >= asked}


def measure(tools):
    bench = Bench(tools)
    n, short, folder = bench.n_scans, N_SHORT, bench.folder
    settings = f"{bench.layout}, {bench.n_workers} loader processes"
    scaled = lambda n: "" if n == N_SCANS else f"; from {n} scans, scaled up"
    of = f"{N_SCANS} scans at {tools.edge}³"

    first, waiting, _ = bench.brainreel(folder, n, "first", "batch")
    by_batch = bench.torch_seconds(n, "batch")
    second, waiting_again, _ = bench.brainreel(folder, n, "second", "batch")
    half = bench.torch_seconds(short, "batch", layout="bf16")
    rows = [row(
        f"an epoch, fresh augmentation, frozen norms by batch (the thesis), {of}", first + second, by_batch, FRESH,
        f"PyTorch: {settings}; bf16 {half:.1f} s{scaled(short)}; brainreel waited for scans for "
        f"{50 * (waiting + waiting_again):.0f} % of the time{scaled(n)}",
    )]
    fixed, waiting, before = bench.brainreel(bench.short, short, "fixed", "calibrated", n_epochs=2)
    fixed_peer = bench.torch_seconds(short, "fixed")
    rows.append(row(
        f"an epoch, fresh augmentation, frozen norms fixed, {of}", fixed[1:], fixed_peer, FRESH,
        f"calibration before the first epoch {before:.0f} s; waited {100 * waiting:.0f} %{scaled(short)}",
    ))
    pooled, _, before = bench.brainreel(folder, n, "pool", "calibrated", pool=2, n_epochs=2)
    rows.append(row(
        f"an epoch from the second on, pool of 2, {of}", pooled[1:], min(by_batch, fixed_peer), POOLED,
        f"calibration and features before the first epoch {before:.0f} s, first epoch {pooled[0]:.1f} s{scaled(n)}",
    ))
    return rows


if __name__ == "__main__":
    peer(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:4]), sys.argv[4], sys.argv[5], int(sys.argv[6]))
