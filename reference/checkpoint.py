"""Writes tiny checkpoints with PyTorch, in both of its formats, for the tests of the crate `checkpoint`.

    python reference/checkpoint.py

One golden entry: the bytes of each file (as int32, one a byte) and the tensors that should be read.
"""

import io

import numpy as np
import torch
from golden import save


def tensors():
    generator = torch.Generator().manual_seed(20264)
    base = torch.randn(4, 6, generator=generator)
    return {
        "encoder.0.0.conv.weight": torch.randn(2, 1, 3, 3, 3, generator=generator),
        "encoder.0.0.conv.bias": torch.randn(2, generator=generator),
        "transposed": base.t(),
        "view": base[1:3, 2:5],
        "half": torch.randn(3, generator=generator).half(),
        "bfloat16": torch.randn(3, generator=generator).bfloat16(),
        "double": torch.randn(2, 2, generator=generator, dtype=torch.float64),
        "scalar": torch.tensor(0.25),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(2, generator=generator)),
        "num_batches_tracked": torch.tensor(7),
    }


def as_module(state):
    """What `Module.state_dict()` gives: an ordered dict with `_metadata`."""
    ordered = torch.nn.Module().state_dict()
    ordered.update(state)
    return ordered


def trained(state):
    """What a training script saves: weights beside the optimizer's state and numbers of all kinds."""
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    return {
        "epoch": 3, "loss": np.float64(0.5), "best": float("inf"), "lr": 1e-4, "seed": 2**70, "note": "h\u00e9",
        "shape": torch.Size([1, 2]), "device": torch.device("cpu"), "done": True, "nothing": None,
        "optimizer_state_dict": optimizer.state_dict(), "model_state_dict": as_module(state),
    }


def main():
    state = tensors()
    files = {
        "zip": (as_module(state), {}),
        "zip_plain_dict": (dict(state), {}),
        "zip_trained": (trained(state), {}),
        "zip_protocol_4": (trained(state), {"pickle_protocol": 4}),
        "legacy": (as_module(state), {"_use_new_zipfile_serialization": False}),
        "legacy_trained": (trained(state), {"_use_new_zipfile_serialization": False}),
    }
    arrays = {}
    for name, (content, options) in files.items():
        buffer = io.BytesIO()
        torch.save(content, buffer, **options)
        arrays[f"file:{name}"] = np.frombuffer(buffer.getvalue(), np.uint8).astype(np.int32)
    for name, tensor in state.items():
        if tensor.dtype.is_floating_point:
            arrays[name] = tensor.detach().float().numpy()
    save("checkpoint", "checkpoint", arrays, generator=__file__, tools=["torch", "numpy"], seed=20264)


if __name__ == "__main__":
    main()
