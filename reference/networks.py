"""Compares brainreel's video networks with torchvision's, weights and inputs by formula; exits 1 on a miss.

    cargo build --release -p brainreel-training -p brainreel --example network_parity
    python reference/networks.py --check target/release/examples/network_parity [--only mvit_v2_s] [--quick]

Tolerances: logits 1e-4 of the largest; the gradient of every trained tensor 1e-3 of the tensor's own norm
(Euclidean distance over Euclidean norm); each loss of 20 AdamW steps 1 %. Gradients and curves are compared with
torch in double precision.

Networks with rectifiers do not have such gradients: one whose input is within rounding of zero passes its gradient or
not. How far this goes is measured each time, with torch alone: in single precision, and in double precision with all
weights changed by a millionth (normal, relative), which is about what single precision does to the logits. Where these
are further from the unchanged network than the tolerance, twice the furthest is allowed, and the line says so.
Without --check it writes the golden entries `network_NAME` of the crate `models`, with --only those of some.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file

import formula
import golden

# What `last-stage` trains of each network.
LAST_STAGE = {
    "r3d_18": ("layer4.", "fc."),
    "mc3_18": ("layer4.", "fc."),
    "r2plus1d_18": ("layer4.", "fc."),
    "mvit_v1_b": ("blocks.14.", "blocks.15.", "norm.", "head."),
    "mvit_v2_s": ("blocks.14.", "blocks.15.", "norm.", "head."),
    "s3d": ("features.14.", "features.15.", "classifier."),
}
NAMES = tuple(LAST_STAGE)
# Where the test may not ask for its usual tolerance at the small size: twice what torch itself, in double precision, is
# away when all weights change by a millionth (S3D: loss 5.9e-4, a tensor's gradient 0.10 of its norm). Its last batch
# norms see 16 values there.
ROUNDING = {"s3d": {"loss": 1.2e-3, "gradient": 0.2}}
CLASSIFIERS = ("fc.", "head.", "classifier.")
LABELS = [1, 0]
WEIGHTS = [0.75, 1.5]
MILLIONTH, N_CHANGED, SLACK = 1e-6, 3, 2.0
CANCELS = "attn.pool_k.norm_act.0.bias"
STEPS, STEPS_PER_EPOCH, T_0 = 20, 4, 5


def is_trained(name, policy, parameter):
    """Whether the policy trains a parameter of the network."""
    last = {
        "none": ("",),
        "last-stage": LAST_STAGE[name],
        "fc-only": CLASSIFIERS,
    }[policy]
    return parameter.startswith(last)


def volume(name, shape, dtype=torch.float32):
    return torch.from_numpy(formula.volume(name, shape)).to(dtype)


def criterion(dtype=torch.float32):
    return torch.nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS, dtype=dtype))


def dtype_of(model):
    return next(model.parameters()).dtype


def evaluate(model, shape):
    with torch.no_grad():
        return model.eval()(volume("parity", shape)).numpy().ravel()


def gradients(model, shape):
    model.train().zero_grad(set_to_none=True)
    dtype = dtype_of(model)
    loss = criterion(dtype)(model(volume("parity", shape, dtype)), torch.tensor(LABELS))
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


def curve(model, shape):
    """Losses of AdamW's steps; the schedule moves once an epoch, as torch's does when stepped per epoch."""
    final = [p for n, p in model.named_parameters() if p.requires_grad and n.startswith(CLASSIFIERS)]
    rest = [p for n, p in model.named_parameters() if p.requires_grad and not n.startswith(CLASSIFIERS)]
    groups = [{"params": final, "lr": 1e-3}] + ([{"params": rest, "lr": 1e-4}] if rest else [])
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=T_0)
    losses, dtype = [], dtype_of(model)
    model.train()
    for step in range(STEPS):
        if step and step % STEPS_PER_EPOCH == 0:
            scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(dtype)(model(volume(f"step{step}", shape, dtype)), torch.tensor(LABELS))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


def build(name, policy, shape):
    torch.manual_seed(0)
    model = formula.video(name, shape[2:])
    for parameter, tensor in model.named_parameters():
        tensor.requires_grad = is_trained(name, policy, parameter)
    return model


def changed(name, policy, shape, seed):
    """The network in double precision, all weights changed by a millionth."""
    model = build(name, policy, shape).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.mul_(1 + MILLIONTH * noise)
    return model


def ours(example, folder, name, policy, shape, **options):
    job = {
        "architecture": name, "policy": policy, "shape": shape, "labels": LABELS, "class_weights": WEIGHTS,
        "gradients": False, "export": False, "n_steps": 0, "steps_per_epoch": STEPS_PER_EPOCH, **options,
    }
    path = pathlib.Path(folder) / "job.json"
    path.write_text(json.dumps(job))
    subprocess.run([example, path, folder], check=True, stdout=subprocess.DEVNULL)
    return json.loads((pathlib.Path(folder) / "result.json").read_text())


class Verdict:
    def __init__(self):
        self.all_good = True

    def say(self, what, distance, limit):
        good = bool(distance <= limit)
        self.all_good &= good
        print(f"{'ok  ' if good else 'MISS'} {what}: {distance:.2g}, at most {limit:.2g}", flush=True)

    def say_rounded(self, what, distance, tolerance, rounded):
        """`rounded`: how far torch is from itself when it rounds."""
        limit = max(tolerance, SLACK * max(rounded))
        beside = "" if limit == tolerance else f" ({tolerance:.2g} asked; torch itself {', '.join(f'{r:.2g}' for r in rounded)})"
        self.say(what + beside, distance, limit)


def check_logits(verdict, example, name, dims):
    shape = (1, 1, *dims)
    with tempfile.TemporaryDirectory() as folder:
        result = ours(example, folder, name, "last-stage", shape, export=True)
        model = build(name, "none", shape)
        want = evaluate(model, shape)
        got = np.array(result["logits"])
        size = "x".join(map(str, dims))
        verdict.say(f"{name} {size} logits", np.abs(got - want).max() / np.abs(want).max(), 1e-4)
        verdict.say(f"{name} {size} parameters {result['total']}", abs(sum(p.numel() for p in model.parameters()) - result["total"]), 0)
        exported = load_file(pathlib.Path(folder) / "weights.safetensors")
        fresh = formula.adapted(name)
        again = evaluate(formula.load(fresh, exported, dims), shape)
        verdict.say(f"{name} {size} logits of the export, loaded with strict=True", np.abs(again - want).max() / np.abs(want).max(), 1e-5)


def distances(got, want):
    """Of each gradient from the double-precision one; and how large those are that should cancel, beside the median."""
    median = np.median([tensor.norm().item() for tensor in want.values()])
    # Softmax does not see what is added to all keys: those gradients are rounding errors.
    left = max([got[name].norm().item() / median for name in want if name.endswith(CANCELS)], default=0.0)
    # One that is nearly zero is measured by the typical norm instead.
    floor = 1e-4 * median
    rest = [name for name in want if not name.endswith(CANCELS)]
    return {n: ((got[n].double() - want[n]).norm() / max(want[n].norm().item(), floor)).item() for n in rest}, left


def check_gradients(verdict, example, name, policy, shape):
    with tempfile.TemporaryDirectory() as folder:
        result = ours(example, folder, name, policy, shape, gradients=True)
        got = load_file(pathlib.Path(folder) / "gradients.safetensors")
        loss, single = gradients(build(name, policy, shape), shape)
        _, want = gradients(build(name, policy, shape).double(), shape)
        rounded = [single] + [gradients(changed(name, policy, shape, seed), shape)[1] for seed in range(N_CHANGED)]
        rounded = [list(distances(other, want)[0].values()) for other in rounded]
        what = f"{name} {policy} {'x'.join(map(str, shape))}"
        verdict.say(f"{what} tensors that only one side trains", len(want.keys() ^ got.keys()), 0)
        verdict.say(f"{what} loss", abs(result["loss"] - loss) / loss, 1e-4)
        found, left = distances(got, want)
        verdict.say(f"{what} gradients that cancel, beside the median", left, 1e-3)
        worst, typical = max(found, key=found.get), np.median(list(found.values()))
        medians, furthest = [np.median(d) for d in rounded], [max(d) for d in rounded]
        verdict.say_rounded(f"{what} gradients of {len(want)} tensors, median", typical, 1e-3, medians)
        verdict.say_rounded(f"{what} gradients, worst {worst}", found[worst], 1e-3, furthest)


def check_curve(verdict, example, name, policy, shape):
    with tempfile.TemporaryDirectory() as folder:
        result = ours(example, folder, name, policy, shape, n_steps=STEPS)
        want = curve(build(name, policy, shape).double(), shape)
        others = [curve(build(name, policy, shape), shape), curve(changed(name, policy, shape, 0), shape)]
        rounded = [(np.abs(other - want) / want).max() for other in others]
        distance = np.abs(np.array(result["losses"]) - want) / want
        print(f"     losses {' '.join(f'{v:.4f}' for v in want)}")
        what = f"{name} {policy} {'x'.join(map(str, shape))} {STEPS} steps, worst step {distance.argmax() + 1}"
        verdict.say_rounded(what, distance.max(), 1e-2, rounded)


def check(example, names, quick):
    verdict = Verdict()
    for name in names:
        mvit = name.startswith("mvit")
        edge = 32 if mvit else 48
        check_gradients(verdict, example, name, "last-stage", (2, 1, edge, edge, edge))
        check_gradients(verdict, example, name, "none", (2, 1, 64, 64, 64))
        for policy in ("last-stage", "none", "fc-only"):
            check_curve(verdict, example, name, policy, (2, 1, edge, edge, edge))
        if not quick:
            for dims in [(16, 224, 224), (128, 128, 128)] if mvit else [(128, 128, 128)]:
                check_logits(verdict, example, name, dims)
        else:
            check_logits(verdict, example, name, (32, 64, 64))
    return verdict.all_good


SMALL = (2, 1, 16, 64, 64)


def native_shape(name):
    """One clip of the published weights' size."""
    edge = 112 if name.endswith("_18") else 224
    return (1, 1, 16, edge, edge)


def write_golden(name):
    """Logits at the native size; at a small one logits, and for every tensor norm and three entries of its gradient."""
    model = build(name, "none", native_shape(name))
    arrays = {"logits_native": evaluate(model, native_shape(name))}
    model = build(name, "none", SMALL)
    arrays["logits"] = evaluate(model, SMALL)
    loss, found = gradients(model.double(), SMALL)
    arrays["loss"] = np.array([loss])
    flat = [found[n].numpy().ravel() for n in sorted(found)]
    arrays["norms"] = np.array([np.linalg.norm(g.astype(np.float64)) for g in flat], np.float32)
    arrays["entries"] = np.array([[g[len(g) // 3], g[len(g) // 2], g[-1]] for g in flat], np.float32)
    parameters = {
        "shape": SMALL, "native_shape": native_shape(name), "labels": LABELS, "class_weights": WEIGHTS,
        "total": sum(p.numel() for p in model.parameters()),
        "last_stage": LAST_STAGE[name],
        **({"tolerance": ROUNDING[name]} if name in ROUNDING else {}),
    }
    golden.save("models", f"network_{name}", arrays, generator=__file__, tools=["torch", "torchvision"], parameters=parameters)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", metavar="EXAMPLE")
    parser.add_argument("--only", action="append", choices=NAMES)
    parser.add_argument("--quick", action="store_true", help="small inputs for the logits")
    arguments = parser.parse_args()
    if arguments.check is None:
        for name in arguments.only or NAMES:
            write_golden(name)
    elif not check(arguments.check, arguments.only or NAMES, arguments.quick):
        sys.exit(1)


if __name__ == "__main__":
    main()
