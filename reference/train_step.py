"""Golden values of training: one and three steps of torch on r3d_18, the schedule, intensity transforms."""

import numpy as np
import torch

import formula
import golden

SHAPE = (2, 1, 24, 33, 40)
LABELS = [1, 0]
WEIGHTS = [0.75, 1.5]
KEPT = ["fc.weight", "fc.bias", "layer4.1.conv2.1.weight", "layer4.0.downsample.1.bias",
        "stem.1.running_mean", "layer2.0.downsample.1.running_var", "layer4.1.conv2.1.running_var"]


def freeze(model):
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith(("layer4.", "fc."))


def optimizer(model):
    return torch.optim.AdamW(
        [{"params": model.fc.parameters(), "lr": 1e-3}, {"params": model.layer4.parameters(), "lr": 1e-4}],
        weight_decay=0.01,
    )


def steps(arrays):
    model = formula.r3d18().train()
    freeze(model)
    step = optimizer(model)
    criterion = torch.nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS))
    losses = []
    for index in range(3):
        x = torch.from_numpy(formula.volume(f"step{index}", SHAPE))
        step.zero_grad(set_to_none=True)
        loss = criterion(model(x), torch.tensor(LABELS))
        loss.backward()
        step.step()
        losses.append(loss.item())
        if index == 0:
            state = model.state_dict()
            arrays.update({f"after1/{name}": state[name].numpy().copy() for name in KEPT})
            arrays["after1/layer4.0.conv1.0.weight"] = state["layer4.0.conv1.0.weight"][:2, :8].numpy().copy()
            arrays["after1/layer4.1.conv2.0.weight"] = state["layer4.1.conv2.0.weight"][-2:, :8].numpy().copy()
    arrays["losses"] = np.array(losses)


def schedule(arrays):
    parameter = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([parameter], lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(sgd, T_0=5)
    rates = []
    for _ in range(17):
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        scheduler.step()
    arrays["schedule"] = np.array(rates)


def adamw(arrays):
    """Ten steps of AdamW alone, on gradients by formula."""
    parameter = torch.nn.Parameter(torch.from_numpy(formula.volume("adamw", (50,))))
    step = torch.optim.AdamW([parameter], lr=1e-3, weight_decay=0.01)
    for index in range(10):
        parameter.grad = torch.from_numpy(formula.volume(f"gradient{index}", (50,))) * 10.0 ** -index
        step.step()
    arrays["adamw_10_steps"] = parameter.detach().numpy()


def intensity(arrays):
    x = (1000.0 * (formula.uniform("intensity", 13 * 7 * 5) - 0.1)).astype(np.float32)
    arrays["intensity"] = x
    double = x.astype(np.float64)
    arrays["z_normalized"] = ((double - double.mean()) / double.std(ddof=1)).astype(np.float32)
    arrays["gamma_085"] = (np.sign(double) * np.abs(double) ** 0.85).astype(np.float32)


def main():
    torch.manual_seed(0)
    arrays = {}
    for part in (steps, schedule, adamw, intensity):
        part(arrays)
    golden.save(
        "training", "train_step", arrays, generator=__file__, tools=["torch", "torchvision"],
        parameters={"shape": SHAPE, "labels": LABELS, "class_weights": WEIGHTS},
    )


if __name__ == "__main__":
    main()
