"""Seconds a training step and peak memory of every architecture: brainreel beside PyTorch and torchvision.

A part of `bench/training`; needs brainreel's example `training_bench`. The step: forward, loss, backward, AdamW, random
weights, the thesis's policy (the last stage is trained), batch 2 as the thesis's, 1 for the transformers. The frozen part
runs in eval mode and leaves nothing for autograd, in both: PyTorch's best case. Every figure comes from a process of its
own, whose first step is not counted; memory is the peak of that process. brainreel and PyTorch's faster float32 layout
take turns; the other layout and bfloat16 run once. PyTorch may use as much memory as is free.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

PACKAGES = ["torch==2.15.0", "torchvision==0.29.2", "torchio==1.2.1", "nibabel==5.4.2", "scipy==1.17.1"]
PART = "step"
ARCHITECTURES = ["r3d_18", "mc3_18", "r2plus1d_18", "mvit_v1_b", "mvit_v2_s"]
POLICY = "thesis"
LAYOUTS = ["as it comes", "channels-last", "bf16"]
MVIT_GB = 12.0


def network(name, edge):
    """torchvision's network for one channel, two classes and cubes."""
    import torch
    import torchvision

    maker = getattr(torchvision.models.video, name)
    if not name.startswith("mvit"):
        model = maker(weights=None)
        old = model.stem[0]
        model.stem[0] = torch.nn.Conv3d(1, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False)
        model.fc = torch.nn.Linear(512, 2)
        return model
    model = sized_mvit(name, edge)
    old = model.conv_proj
    model.conv_proj = torch.nn.Conv3d(1, old.out_channels, old.kernel_size, old.stride, old.padding)
    return model


def sized_mvit(name, edge):
    """torchvision's maker with its fixed size of clips replaced."""
    from unittest import mock

    from torchvision.models.video import mvit

    make = mvit._mvit
    sizes = {"spatial_size": (edge, edge), "temporal_size": edge}
    with mock.patch.object(mvit, "_mvit", lambda **settings: make(**{**settings, **sizes})):
        return getattr(mvit, name)(weights=None, num_classes=2, stochastic_depth_prob=0.0)


def freeze(model, policy, frozen_in_train_mode=False):
    """Trains what the policy says, and gives the trained tensors: the head's and the others'."""
    is_residual = hasattr(model, "layer4")
    head = model.fc if is_residual else model.head
    last = [model.layer4] if is_residual else [*model.blocks[-2:], model.norm]
    model.train()
    if policy == "thesis":
        for parameter in model.parameters():
            parameter.requires_grad = False
        if not frozen_in_train_mode:
            model.eval()
        for module in [head, *last]:
            module.train()
            for parameter in module.parameters():
                parameter.requires_grad = True
    own = {id(parameter) for parameter in head.parameters()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return list(head.parameters()), [parameter for parameter in trained if id(parameter) not in own]


def optimizer_of(head, others):
    import torch

    return torch.optim.AdamW([{"params": head, "lr": 1e-3}, {"params": others, "lr": 1e-4}], weight_decay=0.01)


def limit_memory():
    """An allocation beyond what is free fails, instead of taking the machine down."""
    import resource

    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    resource.setrlimit(resource.RLIMIT_DATA, (int(0.95 * free),) * 2)


def peer(name, policy, layout, edge, batch, n_steps):
    """Prints PyTorch's seconds a step."""
    import torch

    limit_memory()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = network(name, edge)
    optimizer = optimizer_of(*freeze(model, policy))
    volume, labels = torch.rand(batch, 1, edge, edge, edge), torch.arange(batch) % 2
    if layout != LAYOUTS[0]:
        model = model.to(memory_format=torch.channels_last_3d)
        volume = volume.to(memory_format=torch.channels_last_3d)
    seconds = []
    for _ in range(n_steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=layout == "bf16"):
            loss = torch.nn.functional.cross_entropy(model(volume), labels)
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(seconds[1:])}))


def run(command, threads):
    """What a command printed as JSON, with its peak memory; nothing if it failed."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    process = subprocess.Popen([str(word) for word in command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, errors = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        print(errors[-2000:], file=sys.stderr)
        return {"failed": "out of memory" if "memory" in errors else f"failed with {process.returncode}"}
    return {**json.loads(output), "peak_gb": usage.ru_maxrss * 1024 / 1e9}


def row(line, measured, asked="", met=None):
    return {"part": PART, "line": line, "measured": measured, "asked": asked, "met": met}


def told(results):
    """Median seconds and largest memory of several runs, or why one failed."""
    failed = [result["failed"] for result in results if "failed" in result]
    if failed:
        return failed[0]
    seconds = statistics.median(result["seconds"] for result in results)
    return f"{seconds:.2f} s, {max(result['peak_gb'] for result in results):.1f} GB"


def compare(tools, name, n_rounds, n_steps):
    """A row; brainreel and PyTorch's best take turns."""
    batch = 1 if name.startswith("mvit") else 2
    settings = [name, POLICY]
    sizes = [tools.edge, batch, n_steps]
    ours = lambda: run([tools.examples / "training_bench", *settings, *sizes], tools.threads)
    theirs = lambda layout: run([sys.executable, __file__, *settings, layout, *sizes], tools.threads)
    results = {"brainreel": [ours()], **{layout: [theirs(layout)] for layout in LAYOUTS}}
    best = min(LAYOUTS[:2], key=lambda layout: results[layout][0].get("seconds", float("inf")))
    for _ in range(n_rounds - 1):
        results["brainreel"].append(ours())
        results[best].append(theirs(best))
    pairs = zip(results["brainreel"], results[best])
    ratios = [peer["seconds"] / own["seconds"] for own, peer in pairs if "seconds" in own and "seconds" in peer]
    ratio = f"; {statistics.median(ratios):.1f} times PyTorch's best float32" if ratios else ""
    measured = f"brainreel {told(results['brainreel'])}; PyTorch " + ", ".join(f"{layout} {told(results[layout])}" for layout in LAYOUTS)
    works = not any("failed" in result for result in results["brainreel"])
    return row(f"{name}, policy {POLICY}, batch {batch} at {tools.edge}³", measured + ratio, "works", works)


def measure(tools):
    n_rounds, n_steps = (1, 1) if tools.quick else (2, 1)
    rows = [compare(tools, name, n_rounds, n_steps) for name in ARCHITECTURES]
    alone = run([tools.examples / "training_bench", "mvit_v2_s", "none", tools.edge, 1, 1], tools.threads)
    met = "peak_gb" in alone and alone["peak_gb"] < MVIT_GB
    return [*rows, row(f"mvit_v2_s, everything trained, one scan at {tools.edge}³", f"brainreel {told([alone])}", f"peak below {MVIT_GB:.0f} GB", met)]


if __name__ == "__main__":
    peer(*sys.argv[1:4], *map(int, sys.argv[4:]))
