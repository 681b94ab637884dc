"""Turns torchvision's r3d_18 checkpoint (.pth) into the safetensors file that `brainreel train --weights` reads.

    python reference/convert_weights.py r3d_18-b3b3357e.pth r3d_18.safetensors
"""

import sys

import torch
from safetensors.torch import save_file


def main(source, target):
    weights = torch.load(source, map_location="cpu", weights_only=True)
    # Batch norms count their batches in integers, which nobody needs.
    tensors = {name: t.float().contiguous() for name, t in weights.items() if not name.endswith("num_batches_tracked")}
    save_file(tensors, target, metadata={"format": "pt"})
    print(f"{target}: {len(tensors)} tensors")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
