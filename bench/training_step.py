"""Seconds a training step and peak memory, brainreel beside PyTorch, in one run on one machine.

    cargo build --release -p brainreel-training --example step_bench
    python bench/training_step.py [--edge 128] [--steps 5] [--threads 2]

The step: batch 2, R3D-18, stem to layer3 frozen, AdamW on layer4 and fc, float32. "cached" starts from the
trunk's output (brainreel reads it from its feature cache, PyTorch has it in memory); "uncached" runs the
trunk first. PyTorch's trunk runs in eval mode without autograd, its best case. Each figure is the median
over the steps of a process of its own, after one step that is not counted.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def torch_step(edge, n_steps, mode):
    import torch

    sys.path.insert(0, str(ROOT / "reference"))
    import formula
    import train_step

    model = formula.r3d18()
    train_step.freeze(model)
    trunk = torch.nn.Sequential(model.stem, model.layer1, model.layer2, model.layer3).eval()
    model.layer4.train()
    optimizer = train_step.optimizer(model)
    criterion = torch.nn.CrossEntropyLoss(weight=torch.ones(2))
    labels = torch.tensor([0, 1])
    volume = torch.rand(2, 1, edge, edge, edge)

    def features():
        with torch.no_grad():  # one scan at a time, as brainreel does
            return torch.cat([trunk(volume[i : i + 1]) for i in range(2)])

    kept = features() if mode == "cached" else None
    seconds = []
    for _ in range(n_steps + 1):
        start = time.perf_counter()
        x = features() if kept is None else kept
        optimizer.zero_grad(set_to_none=True)
        logits = model.fc(model.avgpool(model.layer4(x)).flatten(1))
        criterion(logits, labels).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": statistics.median(seconds[1:]), "peak_gb": peak}))


def run(command, threads):
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(output)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--edge", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--torch", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.torch:
        torch_step(options.edge, options.steps, options.torch)
        return
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    sizes = [str(options.edge), str(options.steps)]
    print(f"edge {options.edge}, batch 2, {options.threads} threads, load {os.getloadavg()[0]:.1f}")
    print(f"{'':12}{'mode':10}{'s a step':>10}{'peak GB':>10}")
    for mode in ("cached", "uncached"):
        rust = [str(target / "release/examples/step_bench"), *sizes, mode]
        torch = [sys.executable, __file__, "--edge", sizes[0], "--steps", sizes[1], "--torch", mode]
        for name, command in (("brainreel", rust), ("PyTorch", torch)):
            result = run(command, options.threads)
            print(f"{name:12}{mode:10}{result['seconds']:10.2f}{result['peak_gb']:10.2f}")


if __name__ == "__main__":
    main()
