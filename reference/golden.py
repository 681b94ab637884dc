"""Writes golden entries: NAME.json (provenance, shapes) and NAME.bin (arrays, little-endian)."""

import hashlib
import importlib.metadata
import json
import pathlib
import platform
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent


def save(crate, name, arrays, *, generator, tools, seed=None, parameters=None):
    """Stores `arrays` (a dict) as the entry `name` of `crates/<crate>/tests/golden`."""
    stem = ROOT / "crates" / crate / "tests" / "golden" / name
    stem.parent.mkdir(parents=True, exist_ok=True)
    listing, blob = [], b""
    for key, array in arrays.items():
        array = np.ascontiguousarray(array)
        if array.dtype not in (np.float32, np.float64, np.int32):
            raise TypeError(f"{key}: dtype {array.dtype} is not one that the loader reads")
        listing.append({"name": key, "shape": list(array.shape), "dtype": array.dtype.name})
        blob += array.astype(array.dtype.newbyteorder("<")).tobytes()
    header = {
        "generator": f"reference/{pathlib.Path(generator).name}",
        "tools": {"python": platform.python_version(), **{t: importlib.metadata.version(t) for t in tools}},
        "seed": seed,
        "sha256": hashlib.sha256(blob).hexdigest(),
        "licence": "MIT OR Apache-2.0; made from simulated data",
        "parameters": parameters or {},
        "arrays": listing,
    }
    stem.with_suffix(".bin").write_bytes(blob)
    stem.with_suffix(".json").write_text(json.dumps(header, indent=1) + "\n")
    print(f"{stem.relative_to(ROOT)}: {len(blob)} bytes", file=sys.stderr)
