"""Golden answers of scipy and nibabel for the crates `kernels` and `volume`."""

import nibabel as nib
import nibabel.processing
import numpy as np
from golden import save
from scipy import ndimage

SEED = 20260
rng = np.random.default_rng(SEED)


def phantom(shape):
    """An L of tissue in noise: no mirror image of it is the same."""
    x, y, z = np.indices(shape)
    a, b, c = (n // 3 for n in shape)
    inside = (z >= c) & ((x < a) | (y < b))
    return (100 * inside + 8 * np.sin(x + 2 * y) + rng.normal(0, 5, shape)).astype(np.float32)


def rotation(degrees):
    """Rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        step = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        matrix = step @ matrix
    return matrix


def prefilter():
    arrays = {}
    for n in (1, 2, 3, 4, 7, 8, 9, 33, 65):
        line = rng.normal(0, 100, n)
        arrays[f"line_{n}"] = line
        arrays[f"coefficients_{n}"] = ndimage.spline_filter1d(line, 3, mode="mirror") if n > 1 else line
    save("kernels", "prefilter", arrays, generator=__file__, tools=["scipy", "numpy"], seed=SEED)


def zoom():
    arrays, cases = {}, []
    for size, target in [
        ((7, 9, 11), (5, 12, 8)),
        ((7, 9, 11), (7, 9, 23)),
        ((2, 3, 4), (9, 8, 7)),
        ((16, 17, 15), (8, 8, 8)),
        ((21, 13, 19), (32, 32, 32)),
        ((5, 4, 3), (1, 2, 6)),
    ]:
        name = f"{'x'.join(map(str, size))}_{'x'.join(map(str, target))}"
        image = phantom(size)
        out = ndimage.zoom(image, [t / s for t, s in zip(target, size)], order=3)
        assert out.shape == target, (out.shape, target)
        arrays[f"in_{name}"], arrays[f"out_{name}"] = image, out
        cases.append(name)
    save("volume", "zoom", arrays, generator=__file__, tools=["scipy", "numpy"], seed=SEED, parameters={"cases": cases})


def resample():
    arrays, cases = {}, []
    for size, spacing, target in [
        ((9, 11, 7), (1.2, 0.9, 2.5), (1.0, 1.0, 1.0)),
        ((12, 8, 10), (0.88, 0.88, 0.88), (1.0, 1.0, 1.0)),
        ((11, 10, 9), (1.0, 1.0, 1.5), (2.0, 0.7, 1.1)),
    ]:
        name = f"{'x'.join(map(str, size))}_{len(cases)}"
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = (-30.5, 12.25, 7.0)
        image = nib.Nifti1Image(phantom(size), affine)
        out = nibabel.processing.resample_to_output(image, target, order=3)
        arrays |= {
            f"in_{name}": image.get_fdata(dtype=np.float32),
            f"in_affine_{name}": affine,
            f"target_{name}": np.array(target),
            f"out_{name}": out.get_fdata(dtype=np.float32),
            f"out_affine_{name}": out.affine,
        }
        cases.append(name)
    # Onto a rotated grid.
    source, grid = nib.Nifti1Image(phantom((10, 9, 8)), np.diag([1.1, 0.9, 1.4, 1.0])), np.eye(4)
    grid[:3, :3] = rotation((10, -20, 35)) * 0.8
    grid[:3, 3] = (2.0, 1.0, 3.0)
    out = nibabel.processing.resample_from_to(source, ((9, 7, 11), grid), order=3)
    arrays |= {"onto_in": source.get_fdata(dtype=np.float32), "onto_in_affine": source.affine}
    arrays |= {"onto_out": out.get_fdata(dtype=np.float32), "onto_out_affine": grid}
    tools = ["nibabel", "scipy", "numpy"]
    save("volume", "resample", arrays, generator=__file__, tools=tools, seed=SEED, parameters={"cases": cases})


def orientation():
    """Affines of every handedness, sheared and oblique, with what nibabel makes of a numbered image."""
    affines = []
    for _ in range(60):
        permutation = np.eye(3)[rng.permutation(3)] * rng.choice([-1.0, 1.0], 3)
        shear = np.eye(3) + np.triu(rng.uniform(-0.2, 0.2, (3, 3)), 1)
        linear = rotation(rng.uniform(-60, 60, 3)) @ permutation @ shear @ np.diag(rng.uniform(0.4, 3.0, 3))
        affines.append(np.block([[linear, rng.uniform(-100, 100, (3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]]))
    dims, codes, out_affines, data = (3, 4, 5), [], [], []
    numbered = np.arange(60, dtype=np.int32).reshape(dims)
    for affine in affines:
        image = nib.Nifti1Image(numbered, affine)
        canonical = nib.as_closest_canonical(image)
        codes.append("".join(nib.aff2axcodes(affine)))
        out_affines.append(canonical.affine)
        # First axis fastest; the shape follows from the codes.
        data.append(np.asarray(canonical.dataobj, np.int32).ravel(order="F"))
    arrays = {"in": numbered, "affines": np.array(affines), "out_affines": np.array(out_affines), "out": np.array(data)}
    save(
        "volume", "orientation", arrays, generator=__file__, tools=["nibabel", "numpy"], seed=SEED,
        parameters={"codes": codes},
    )


if __name__ == "__main__":
    prefilter()
    zoom()
    resample()
    orientation()
