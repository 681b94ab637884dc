"""Compares brainreel's augmentation with TorchIO's.

    python reference/augmentation.py [--edge 128]
    python reference/augmentation.py --golden

For given parameters: both transform one image (anisotropic voxels, oblique) and may differ by at most 1e-5 of its
range. Noise comes from another generator: given the field, the sum is compared, and the field's distribution.
For draws: Kolmogorov-Smirnov over 4,000 of brainreel's against 4,000 of TorchIO's own sampler (1,000 or more of them with
each transform), whose parameters are read from TorchIO's history of applied transforms. Seeds are fixed; exits with 1 if an image is off or a p-value is
below 0.001. With `--golden`, writes small images for the tests of the crate `augmentation`.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import formula
import numpy as np
import torch
import torchio as tio
from golden import save
from scipy import stats

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE, LEAST_P, N_DRAWS = 1e-5, 1e-3, 4000
RUN = ["cargo", "run", "--release", "--quiet", "-p", "brainreel-augmentation", "--example"]
AFFINE = np.array([[1.1, 0.1, 0.0, -60.0], [-0.1, 1.4, 0.05, -70.0], [0.0, -0.05, 1.2, -50.0], [0.0, 0.0, 0.0, 1.0]])

BIAS = [round(0.5 * float(np.cos(3 * i + 1)), 6) for i in range(20)]
# Name, brainreel's transform, TorchIO's, and whether a cube is needed.
CASES = [
    ("z-normalization", {}, tio.ZNormalization(), False),
    ("gamma", {"gamma": 0.85}, tio.Gamma(0.85), False),
    ("gamma", {"gamma": 1.21}, tio.Gamma(1.21), False),
    ("flip", {"axes": ["x"]}, tio.Flip(0), False),
    ("flip", {"axes": ["y", "z"]}, tio.Flip((1, 2)), False),
    ("affine", {"scales": [0.93, 1.08, 1.02], "degrees": [7.0, -12.0, 4.0]},
     tio.Affine((0.93, 1.08, 1.02), (7.0, -12.0, 4.0), (0.0, 0.0, 0.0)), False),
    ("affine", {"scales": [1.1, 0.9, 1.0], "degrees": [0.0, 0.0, 0.0]},
     tio.Affine((1.1, 0.9, 1.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)), False),
    ("bias-field", {"order": 3, "coefficients": BIAS}, tio.BiasField(BIAS, 3), False),
    ("bias-field", {"order": 1, "coefficients": BIAS[:4]}, tio.BiasField(BIAS[:4], 1), False),
    ("blur", {"std_mm": [0.4, 1.3, 2.0]}, tio.Blur((0.4, 1.3, 2.0)), False),
    ("blur", {"std_mm": [0.0, 5.0, 0.2]}, tio.Blur((0.0, 5.0, 0.2)), False),
    ("ghosting", {"number": 4, "axis": "x", "intensity": 0.7, "restore": None}, tio.Ghosting(4, 0, 0.7, None), False),
    ("ghosting", {"number": 7, "axis": "y", "intensity": 1.0, "restore": 0.3}, tio.Ghosting(7, 1, 1.0, 0.3), False),
    ("ghosting", {"number": 3, "axis": "z", "intensity": 0.5, "restore": 0.0}, tio.Ghosting(3, 2, 0.5, 0.0), False),
    *[("rotate90", {"axis": axis, "quarters": quarters}, tio.Affine((1, 1, 1), tuple(
        (90.0 if quarters == 1 else -90.0) * (i == index) for i in range(3)), (0.0, 0.0, 0.0)), True)
      for index, axis in enumerate("xyz") for quarters in (1, 3)],
]


def image(shape):
    """Smooth blobs and texture, some of it negative, as `[x, y, z]`."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    blob = 900 * np.exp(-3 * ((x - 0.2) ** 2 + y**2 + 1.5 * (z + 0.1) ** 2))
    return (blob + 60 * (formula.uniform("augmentation", x.size).reshape(shape) - 0.3)).astype(np.float32)


def by_torchio(transform, voxels, affine):
    subject = tio.Subject(image=tio.ScalarImage(tensor=torch.from_numpy(voxels)[None], affine=affine))
    start = time.perf_counter()
    transformed = transform(subject)
    return transformed.image.data[0].numpy(), time.perf_counter() - start


def by_brainreel(draws, voxels, affine):
    """Each draw applied to the image, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "in").write_bytes(voxels.astype("<f4").tobytes(order="F"))
        request = {"dims": voxels.shape, "affine": affine.tolist(), "draws": draws,
                   "input": str(folder / "in"), "output": str(folder / "out")}
        (folder / "request.json").write_text(json.dumps(request))
        answer = subprocess.run([*RUN, "apply", "--", folder / "request.json"], cwd=ROOT, check=True, capture_output=True)
        values = np.fromfile(folder / "out", "<f4").reshape(len(draws), voxels.size)
        return [value.reshape(voxels.shape, order="F") for value in values], json.loads(answer.stdout)


def images_agree(edge):
    shape = {False: (edge, edge - 7, edge - 3), True: (edge,) * 3}
    missed = 0
    print(f"{'transform':17}{'worst difference':>18}{'of range':>10}{'brainreel s':>13}{'TorchIO s':>11}")
    for is_cube in (False, True):
        affine = np.eye(4) if is_cube else AFFINE
        voxels = image(shape[is_cube])
        cases = [case for case in CASES if case[3] == is_cube]
        got, seconds = by_brainreel([[{"transform": name, **keys}] for name, keys, _, _ in cases], voxels, affine)
        for (name, _, transform, _), ours, ours_seconds in zip(cases, got, seconds):
            theirs, theirs_seconds = by_torchio(transform, voxels, affine)
            span = float(theirs.max() - theirs.min())
            difference = float(np.abs(ours - theirs).max()) / span
            verdict = "" if difference <= TOLERANCE else "  MISSED"
            missed += bool(verdict)
            print(f"{name:17}{difference * span:18.3g}{difference:10.1e}{ours_seconds:13.4f}{theirs_seconds:11.4f}{verdict}")
    return missed


def noise_agrees(edge):
    """Both add mean + std x field; both fields are standard normal and white."""
    voxels = image((edge,) * 3)
    seed, std, mean = 20250101, 3.5, 2.0
    noise = lambda mean, std: [{"transform": "noise", "mean": mean, "std": std, "seed": seed}]
    zero = np.zeros_like(voxels)
    (field,), _ = by_brainreel([noise(0.0, 1.0)], zero, np.eye(4))
    (noisy,), _ = by_brainreel([noise(mean, std)], voxels, np.eye(4))
    torch.manual_seed(seed)
    torch_field = torch.randn(1, *voxels.shape)[0].numpy()
    torch_noisy, _ = by_torchio(tio.Noise(mean, std, seed), voxels, np.eye(4))
    missed = 0
    for name, result, f in (("brainreel", noisy, field), ("TorchIO", torch_noisy, torch_field)):
        difference = np.abs(result - (voxels + std * f + mean)).max() / np.ptp(result)
        missed += difference > TOLERANCE
        print(f"noise given the field, {name:10}{difference:8.1e} of the range")
    p = stats.ks_2samp(field.ravel()[:: max(1, field.size // 200_000)], torch_field.ravel()[:200_000]).pvalue
    p_normal = stats.kstest(field.ravel(), "norm").pvalue
    lag = max(abs(float(np.corrcoef(field.ravel(order="F")[:-k], field.ravel(order="F")[k:])[0, 1])) for k in (1, 2, 3, edge))
    print(f"noise field: against TorchIO's p = {p:.3f}, against the normal distribution p = {p_normal:.3f}, "
          f"largest correlation of near voxels {lag:.1e}")
    return missed + (p < LEAST_P) + (p_normal < LEAST_P) + (lag > 4.5 / np.sqrt(field.size))


CONFIG = {
    "pool": 0, "noise_probability": 0.3, "noise_std": 0.1, "noise_mean": 0.5, "gamma_probability": 0.3, "log_gamma": 0.2,
    "flip_probability": 0.5, "flip_axes": ["x", "y"], "affine_probability": 0.5, "rotation_degrees": 10.0,
    "scale_range": [0.9, 1.1], "bias_field_probability": 0.5, "blur_probability": 0.5, "ghosting_probability": 0.5,
    "ghosting_restore": 0.2,
}


def values_of(name, p):
    """What a history entry of either says, under one set of names."""
    if name == "Noise":
        return {"noise mean": p["mean"], "noise std": p["std"]}
    if name == "Gamma":
        return {"gamma": p["gamma"]}
    if name == "Affine":
        return {f"{what} {axis}": p[what][i] for what in ("scales", "degrees") for i, axis in enumerate("xyz")}
    if name == "BiasField":
        return {f"bias coefficient {i}": p["coefficients"][i] for i in (0, 7, 19)}
    if name == "Blur":
        return {f"blur std {axis}": p["std"][i] for i, axis in enumerate("xyz")}
    if name == "Ghosting":
        return {f"ghosting {key}": p[key] for key in ("number", "axis", "intensity", "restore")}
    return {}


def collect(histories):
    values = collections.defaultdict(list)
    for history in histories:
        for name, parameters in history.items():
            for key, value in values_of(name, parameters).items():
                values[key].append(value)
        for name in ("Noise", "Gamma", "Affine", "BiasField", "Blur", "Ghosting"):
            values[f"{name} applied"].append(float(name in history))
        axes = history.get("Flip", {"axes": []})["axes"]
        for index in range(3):
            values[f"Flip {'xyz'[index]}"].append(float(index in axes))
    return values


def torchio_histories():
    torch.manual_seed(5)
    transform = tio.Compose([
        tio.RandomFlip(axes=(0, 1), flip_probability=0.5), tio.RandomAffine(scales=0.1, degrees=10, p=0.5),
        tio.RandomBiasField(p=0.5), tio.RandomBlur(p=0.5), tio.RandomGhosting(restore=0.2, p=0.5),
        tio.RandomNoise(mean=0.5, std=0.1, p=0.3), tio.RandomGamma(log_gamma=(-0.2, 0.2), p=0.3),
    ])
    voxels = torch.from_numpy(image((4, 4, 4)))[None]
    for _ in range(N_DRAWS):
        subject = transform(tio.Subject(image=tio.ScalarImage(tensor=voxels.clone())))
        yield {entry.name: {name: first(getattr(entry, attribute)) for name, attribute in attributes(entry)}
               for entry in subject.history}


def attributes(entry):
    renamed = {"Noise": {"mean": "noise_mean", "std": "noise_std"}, "Ghosting": {"number": "num_ghosts"}}
    names = {"Noise": ["mean", "std"], "Gamma": ["gamma"], "Affine": ["scales", "degrees"], "Flip": ["axes"],
             "BiasField": ["coefficients"], "Blur": ["std"], "Ghosting": ["number", "axis", "intensity", "restore"]}
    return [(name, renamed.get(entry.name, {}).get(name, name)) for name in names.get(entry.name, [])]


def first(value):
    """Parameters are kept by image, and gamma by channel."""
    value = value["image"] if isinstance(value, dict) else value
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def brainreel_histories():
    names = {"noise": "Noise", "gamma": "Gamma", "affine": "Affine", "bias-field": "BiasField", "blur": "Blur",
             "ghosting": "Ghosting", "flip": "Flip"}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        config.write(json.dumps(CONFIG))
        config.flush()
        command = [*RUN, "draws", "--", str(N_DRAWS), config.name]
        lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    for line in lines:
        history = {names[t["transform"]]: t for t in json.loads(line) if t["transform"] in names}
        if "Flip" in history:
            history["Flip"]["axes"] = ["xyz".index(axis) for axis in history["Flip"]["axes"]]
        if "Blur" in history:
            history["Blur"]["std"] = history["Blur"]["std_mm"]
        if "Ghosting" in history:
            history["Ghosting"]["axis"] = "xyz".index(history["Ghosting"]["axis"])
        yield history


def draws_agree():
    ours, theirs = collect(brainreel_histories()), collect(torchio_histories())
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    missed = 0
    print(f"{'drawn':22}{'brainreel':>10}{'TorchIO':>10}{'means':>20}{'p':>8}")
    for key in sorted(ours):
        a, b = ours[key], theirs[key]
        if set(a) | set(b) <= {0.0, 1.0}:
            counts = np.array([[sum(v), len(v) - sum(v)] for v in (a, b)])
            p = 1.0 if not counts[:, 0].any() else stats.chi2_contingency(counts).pvalue
        elif key in ("ghosting number", "ghosting axis"):
            levels = sorted(set(a) | set(b))
            p = stats.chi2_contingency([[v.count(level) for level in levels] for v in (a, b)]).pvalue
        else:
            p = stats.ks_2samp(a, b).pvalue
        verdict = "" if p >= LEAST_P else "  MISSED"
        missed += bool(verdict)
        print(f"{key:22}{len(a):10}{len(b):10}{np.mean(a):10.4f}{np.mean(b):10.4f}{p:8.3f}{verdict}")
    control = stats.ks_2samp(1.3 * np.array(ours["noise std"]), theirs["noise std"]).pvalue
    print(f"a standard deviation of 0.13 instead of 0.1 would have p = {control:.1e}")
    return missed + (control >= LEAST_P)


def golden():
    arrays, draws = {}, []
    for is_cube, shape, affine in ((False, (13, 10, 9), AFFINE), (True, (8, 8, 8), np.eye(4))):
        kind = "cube" if is_cube else "odd"
        arrays[f"{kind}/image"] = voxels = image(shape)
        for name, keys, transform, needs_cube in CASES:
            if needs_cube == is_cube:
                arrays[f"{kind}/{len(draws)}"] = by_torchio(transform, voxels, affine)[0].astype(np.float32)
                draws.append([{"transform": name, **keys}])
    save("augmentation", "torchio", arrays, generator=__file__, tools=["torch", "torchio", "scipy", "SimpleITK"],
         parameters={"affines": {"odd": AFFINE.tolist(), "cube": np.eye(4).tolist()}, "draws": draws})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=128)
    parser.add_argument("--golden", action="store_true")
    options = parser.parse_args()
    if options.golden:
        golden()
        return 0
    missed = images_agree(options.edge) + noise_agrees(options.edge) + draws_agree()
    print(f"{missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
