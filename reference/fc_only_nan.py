"""Which set-ups make the loss NaN when only fc of R3D-18 is trained, in PyTorch.

    python reference/fc_only_nan.py [--edge 32] [--steps 10] [--only TEXT] [--weights r3d_18-b3b3357e.pth]

The thesis reports NaN losses with everything frozen but fc. Its script, its weights and its machine (an M1) are not at
hand, so each suspect is tried alone: batch 2, AdamW with 1e-3, frozen batch norms in train mode as PyTorch leaves
them, weights by formula unless a file is given. Prints the first step with a loss or gradient that is not finite, and
what was not finite first. Float16 takes minutes on a CPU: an edge of 16 will do. See docs/explanation/fc-only-nan.md.
"""

import argparse
import warnings

import formula
import numpy as np
import torch
import torchio

warnings.filterwarnings("ignore")
LEARNING_RATE = 1e-3


def network(path=None):
    """R3D-18 with one channel and two outputs, everything frozen but fc."""
    model = formula.r3d18()
    if path:
        state = torch.load(path, weights_only=True)
        state["stem.0.weight"] = state["stem.0.weight"].sum(1, keepdim=True)
        state.update({name: value for name, value in model.state_dict().items() if name.startswith("fc.")})
        model.load_state_dict(state)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("fc.")
    return model.train()


def raw(index, edge, peak=1000.0):
    """A brain-like blob on zeros, intensities up to `peak`."""
    places = np.meshgrid(*[np.linspace(-1, 1, edge)] * 3, indexing="ij")
    blob = np.exp(-4 * sum(place**2 for place in places)) * (0.7 + 0.3 * formula.uniform(f"nan{index}", edge**3).reshape((edge,) * 3))
    blob[blob < 0.1] = 0
    return torch.from_numpy((peak * blob / blob.max()).astype(np.float32))[None]


def normalised(volume):
    return (volume - volume.mean()) / volume.std()


def nothing(volume):
    return volume


def case(name, *, prepare=normalised, peak=1000.0, batch=2, flat=None, labels=None, weights=None, mode="train",
         dtype=torch.float32, autocast=None, scaler=False, learning_rate=LEARNING_RATE, epsilon=1e-8):
    return dict(name=name, prepare=prepare, peak=peak, batch=batch, flat=flat, labels=labels, weights=weights, mode=mode,
                dtype=dtype, autocast=autocast, scaler=scaler, learning_rate=learning_rate, epsilon=epsilon)


def blind_gamma(volume):
    return normalised(volume) ** 0.9


def torchio_gamma(volume):
    return torchio.Gamma(0.9)(normalised(volume))


def torchio_order(volume):
    return torchio.ZNormalization()(torchio.Gamma(0.9)(torchio.Noise(0.0, 0.1, 1)(volume)))


HALF = torch.float16
CASES = [
    case("z-normalised"),
    case("z-normalised, batch of 1", batch=1),
    case("z-normalised, frozen part in eval mode", mode="eval"),
    case("raw intensities to 1,000", prepare=nothing),
    case("raw intensities to 1,000, eval mode", prepare=nothing, mode="eval"),
    case("raw intensities to 60,000", prepare=nothing, peak=6e4),
    case("raw intensities to 60,000, eval mode", prepare=nothing, peak=6e4, mode="eval"),
    case("raw, eval mode, learning rate 1", prepare=nothing, mode="eval", learning_rate=1.0),
    case("the thesis's noise, gamma, z-normalisation", prepare=torchio_order),
    case("TorchIO's gamma after z-normalisation", prepare=torchio_gamma),
    case("x ** gamma without the sign, after z-normalisation", prepare=blind_gamma),
    case("one flat image in the batch, (x - mean) / std by hand", flat=0),
    case("one flat image, TorchIO's ZNormalization", prepare=torchio.ZNormalization(), flat=0),
    case("one flat image, not normalised", prepare=nothing, flat=0),
    case("class weights with a zero, a batch of that class alone", weights=[0.0, 1.0], labels=[0, 0]),
    case("class weights n / 0 for a class without scans", weights=[float("inf"), 1.0], labels=[0, 1]),
    case("bfloat16 autocast, z-normalised", autocast=torch.bfloat16),
    case("bfloat16 autocast, raw", autocast=torch.bfloat16, prepare=nothing),
    case("float16 autocast, z-normalised", autocast=HALF),
    case("float16 autocast, raw to 1,000", autocast=HALF, prepare=nothing),
    case("float16 autocast, raw to 60,000", autocast=HALF, prepare=nothing, peak=6e4),
    case("float16 autocast, raw to 1,000, eval mode", autocast=HALF, prepare=nothing, mode="eval"),
    case("float16 autocast, raw to 60,000, eval mode", autocast=HALF, prepare=nothing, peak=6e4, mode="eval"),
    case("float16 autocast and GradScaler, raw to 60,000", autocast=HALF, prepare=nothing, peak=6e4, scaler=True),
    case("whole network in float16, z-normalised, AdamW's epsilon 1e-8", dtype=HALF),
    case("whole network in float16, z-normalised, AdamW's epsilon 1e-3", dtype=HALF, epsilon=1e-3),
]


def first_broken(model, batch):
    """The first module whose output is not finite."""
    if not torch.isfinite(batch).all():
        return "the input"
    found = []
    hooks = [
        module.register_forward_hook(lambda module, args, output, name=name: found.append(name) if not torch.isfinite(output).all() else None)
        for name, module in model.named_modules() if not list(module.children())
    ]
    with torch.no_grad():
        model(batch)
    for hook in hooks:
        hook.remove()
    return found[0] if found else "no output, the loss"


def attempt(settings, edge, n_steps, path):
    """What happened to one set-up."""
    torch.manual_seed(0)
    model = network(path).to(settings["dtype"])
    if settings["mode"] == "eval":
        model.eval()
    volumes = [raw(index, edge, settings["peak"]) for index in range(settings["batch"])]
    if settings["flat"] is not None:
        volumes[settings["flat"]] = torch.full_like(volumes[0], 300.0)
    try:
        batch = torch.stack([settings["prepare"](volume) for volume in volumes]).to(settings["dtype"])
    except RuntimeError as error:
        return f"refused: {str(error).splitlines()[0].split(' in image')[0]}"
    labels = torch.tensor(settings["labels"] or [index % 2 for index in range(settings["batch"])])
    weights = torch.tensor(settings["weights"] or [1.0, 1.0], dtype=settings["dtype"])
    optimizer = torch.optim.AdamW(model.fc.parameters(), lr=settings["learning_rate"], weight_decay=0.01, eps=settings["epsilon"])
    scaler = torch.amp.GradScaler("cpu", enabled=settings["scaler"])
    losses = []
    for step in range(n_steps):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", settings["autocast"] or torch.bfloat16, enabled=settings["autocast"] is not None):
            loss = torch.nn.functional.cross_entropy(model(batch), labels, weight=weights)
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            with torch.autocast("cpu", settings["autocast"] or torch.bfloat16, enabled=settings["autocast"] is not None):
                return f"**loss {losses[-1]} in step {step + 1}**, first in {first_broken(model, batch)}"
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if not all(torch.isfinite(parameter).all() for parameter in model.fc.parameters()):
            return f"**weights of fc not finite after step {step + 1}** (loss {losses[-1]:.3g})"
    largest = max(float(parameter.abs().max()) for parameter in model.fc.parameters())
    return f"finite: loss {losses[0]:.3g} to {losses[-1]:.3g}, largest weight of fc {largest:.2g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--weights", help="torchvision's Kinetics weights")
    parser.add_argument("--only", default="", help="only set-ups with this in their name")
    options = parser.parse_args()
    print("| set-up | what happens |\n|---|---|")
    for settings in [case for case in CASES if options.only in case["name"]]:
        print(f"| {settings['name']} | {attempt(settings, options.edge, options.steps, options.weights)} |", flush=True)


if __name__ == "__main__":
    main()
