"""Weights and inputs by formula, so that torch and brainreel generate the same ones without a file.

Value i of tensor `name` is u = splitmix64(fnv1a(name) + i) / 2^64 in [0, 1) (top 53 bits), then scaled by role.
"""

import numpy as np


def fnv1a(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def uniform(name, count):
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(name)) + np.arange(count, dtype=np.uint64)
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**53


def tensor(name, shape):
    """The float32 value of a state-dict entry."""
    u = uniform(name, int(np.prod(shape)))
    if name.endswith("running_mean"):
        values = 0.4 * (u - 0.5)
    elif name.endswith("running_var"):
        values = 0.5 + u
    elif len(shape) == 5:  # uniform of the Kaiming (fan-out) variance
        values = np.sqrt(3.0 * 2.0 / (shape[0] * np.prod(shape[2:]))) * (2.0 * u - 1.0)
    elif name == "fc.weight" or name == "fc.bias":
        values = (2.0 * u - 1.0) / np.sqrt(512.0)
    elif name.endswith("weight"):  # gamma
        values = 0.8 + 0.4 * u
    else:  # beta
        values = 0.2 * (u - 0.5)
    return values.astype(np.float32).reshape(shape)


def volume(name, shape):
    """A z-normalised-looking input [n, 1, d, h, w]."""
    return (3.4 * (uniform(name, int(np.prod(shape))) - 0.5)).astype(np.float32).reshape(shape)


def video(name):
    """torchvision's r3d_18, mc3_18 or r2plus1d_18 with a one-channel stem, two outputs and the formula's weights."""
    import torch
    import torchvision

    model = getattr(torchvision.models.video, name)(weights=None)
    old = model.stem[0]
    model.stem[0] = torch.nn.Conv3d(1, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False)
    model.fc = torch.nn.Linear(512, 2)
    state = {
        name: torch.tensor(0) if name.endswith("tracked") else torch.from_numpy(tensor(name, tuple(value.shape)))
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state, strict=True)
    return model


def r3d18():
    return video("r3d_18")
