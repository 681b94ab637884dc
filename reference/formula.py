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
    elif "pos_encoding" in name or "rel_pos" in name:
        values = 0.5 * (2.0 * u - 1.0)
    elif name.startswith("classifier."):  # the 1024 features of S3D
        values = (2.0 * u - 1.0) / np.sqrt(1024.0)
    elif name.startswith(("conv_proj.weight", "blocks.", "head.", "features.")) and len(shape) >= 2:  # variance 1 / fan-in
        values = np.sqrt(3.0 / np.prod(shape[1:])) * (2.0 * u - 1.0)
    elif len(shape) == 5:  # uniform of the Kaiming (fan-out) variance
        values = np.sqrt(3.0 * 2.0 / (shape[0] * np.prod(shape[2:]))) * (2.0 * u - 1.0)
    elif name == "fc.weight" or name == "fc.bias":
        values = (2.0 * u - 1.0) / np.sqrt(512.0)
    elif name.endswith("weight"):  # gamma
        values = 0.8 + 0.4 * u
    else:  # beta, or a bias of a transformer
        values = 0.2 * (u - 0.5)
    return values.astype(np.float32).reshape(shape)


def volume(name, shape):
    """A z-normalised-looking input [n, 1, d, h, w]."""
    return (3.4 * (uniform(name, int(np.prod(shape))) - 0.5)).astype(np.float32).reshape(shape)


def adapted(name):
    """torchvision's network `name` with one input channel and two outputs, without dropout or stochastic depth, and
    with an average over all positions where it has one of fixed size."""
    import torch
    import torchvision

    model = getattr(torchvision.models.video, name)(weights=None, num_classes=2)
    for path, module in list(model.named_modules()):
        replacement = None
        if isinstance(module, torch.nn.Conv3d) and module.in_channels == 3:
            has_bias = module.bias is not None
            replacement = torch.nn.Conv3d(
                1, module.out_channels, module.kernel_size, module.stride, module.padding, bias=has_bias)
        elif isinstance(module, torch.nn.AvgPool3d):
            replacement = torch.nn.AdaptiveAvgPool3d(1)
        elif isinstance(module, (torch.nn.Dropout, torchvision.ops.StochasticDepth)):
            module.p = 0.0
        if replacement is not None:
            parent, _, field = path.rpartition(".")
            setattr(model.get_submodule(parent) if parent else model, field, replacement)
    return model


def stretched(state, old, new):
    """Positional tensors for inputs of `new` voxels, from those for `old`: linear, without corner alignment."""
    from torch.nn.functional import interpolate

    def linear(rows, n):
        return rows if len(rows) == n else interpolate(rows.T[None], size=n, mode="linear")[0].T.contiguous()

    out = dict(state)
    for name, tensor in state.items():
        if name.endswith("rel_pos_t"):
            out[name] = linear(tensor, 2 * (new[0] // 2) - 1)
        elif "rel_pos" in name:
            places = (len(tensor) + 1) // 2 * new[1] // old[1]  # relative positions run from -(n - 1) to n - 1
            out[name] = linear(tensor, 2 * places - 1)
        elif name.endswith("temporal_pos"):
            out[name] = linear(tensor, new[0] // 2)
        elif name.endswith("spatial_pos"):
            maps = tensor.T.reshape(1, -1, old[1] // 4, old[2] // 4)
            maps = interpolate(maps, size=(new[1] // 4, new[2] // 4), mode="bilinear")
            out[name] = maps.flatten(2)[0].T.contiguous()
    return out


def load(model, state, dims):
    """Loads `state`, laid out for inputs of `dims` voxels, with strict=True."""
    import torch

    for name, old in list(model.named_parameters()):
        if old.shape != state[name].shape:
            module, _, field = name.rpartition(".")
            setattr(model.get_submodule(module), field, torch.nn.Parameter(torch.empty_like(state[name])))
    if hasattr(model, "pos_encoding"):
        model.pos_encoding.temporal_size = dims[0] // 2
        model.pos_encoding.spatial_size = (dims[1] // 4, dims[2] // 4)
    model.load_state_dict(state, strict=True)
    return model


NATIVE = (16, 224, 224)


def video(name, dims=None):
    """A video network of torchvision with a one-channel stem, two outputs and the formula's weights."""
    import torch

    model = adapted(name)
    state = {
        name: torch.tensor(0) if name.endswith("tracked") else torch.from_numpy(tensor(name, tuple(value.shape)))
        for name, value in model.state_dict().items()
    }
    if hasattr(model, "pos_encoding") and dims is not None:
        return load(model, stretched(state, NATIVE, dims), dims)
    model.load_state_dict(state, strict=True)
    return model


def r3d18():
    return video("r3d_18")
