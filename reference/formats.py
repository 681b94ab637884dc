"""Small NIfTI files as nibabel writes them, and what nibabel reads in them, for crates/formats.

Good files lie in crates/formats/tests/good, damaged ones in tests/bad; what nibabel answers for the good
ones is tests/good/expected.json (affine, and the sum of the scaled values weighted by their position).
"""

import gzip
import json
import pathlib
import sys

import nibabel
import numpy as np

TESTS = pathlib.Path(__file__).resolve().parent.parent / "crates" / "formats" / "tests"
GOOD, BAD = TESTS / "good", TESTS / "bad"
SHAPE = (4, 3, 2)
OBLIQUE = np.array(
    [[0.98, 0.12, -0.21, -70.25], [-0.11, 1.07, 0.05, -90.5], [0.2, -0.05, 1.2, 33.125], [0, 0, 0, 1.0]]
)
DTYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
KINDS = {1: (nibabel.Nifti1Image, nibabel.Nifti1Header), 2: (nibabel.Nifti2Image, nibabel.Nifti2Header)}


def values(dtype):
    """Distinct values that use the type's range, exact in double precision."""
    dtype = np.dtype(dtype)
    ramp = np.arange(np.prod(SHAPE)).reshape(SHAPE, order="F")
    if dtype.kind == "f":
        return (ramp * 1.25 - 7.5).astype(dtype)
    top = 2 ** (8 * dtype.itemsize - (dtype.kind == "i")) - 1
    top = min(top, 2**52)
    if dtype.kind == "i":
        return (ramp - 12).astype(dtype) * dtype.type(top // 16)
    return ramp.astype(dtype) * dtype.type(top // 32)


def raw(image):
    """The bytes of an image with the header exactly as it stands."""
    return image.to_bytes()


def cases():
    for version, (image_class, header_class) in KINDS.items():
        for endianness, letter in (("<", "le"), (">", "be")):
            for dtype in DTYPES:
                header = header_class(endianness=endianness)
                header.set_data_dtype(np.dtype(dtype).newbyteorder(endianness))
                image = image_class(values(dtype), OBLIQUE, header)
                yield f"v{version}_{letter}_{dtype}.nii", raw(image)
    yield from geometry_cases()
    yield from layout_cases()


def plain(version=1, data=None):
    image_class, _ = KINDS[version]
    data = values("i2") if data is None else data
    image = image_class(data, OBLIQUE)
    image.header["scl_slope"], image.header["scl_inter"] = 1, 0
    return image


def edit(content, **fields):
    """Rewrites header fields of the bytes of a version 1 file, past nibabel's setters."""
    header = nibabel.Nifti1Header(content[:348], check=False)
    for field, value in fields.items():
        header[field] = value
    return header.binaryblock + content[348:]


def geometry_cases():
    base = raw(plain())
    yield "qform_only.nii", edit(base, sform_code=0, qform_code=1)
    yield "no_form.nii", edit(base, sform_code=0, qform_code=0)
    yield "sform_differs.nii", edit(base, sform_code=2, qform_code=1, qoffset_x=99)
    yield "unknown_codes.nii", edit(base, sform_code=77, qform_code=1)
    yield "qfac_zero.nii", edit(base, sform_code=0, qform_code=1, pixdim=[0, 1, 2, 3, 1, 1, 1, 1])
    yield "pixdim_negative.nii", edit(base, sform_code=0, qform_code=0, pixdim=[1, -1, 2, 0, 1, 1, 1, 1])
    half_turn = {"quatern_b": 0.6, "quatern_c": 0.8, "quatern_d": 0.0}
    yield "half_turn.nii", edit(base, sform_code=0, qform_code=1, **half_turn)
    flipped = nibabel.Nifti1Image(values("i2"), np.diag([-1.5, 1.25, 2.0, 1.0]))
    yield "left_handed_qform.nii", edit(raw(flipped), sform_code=0, qform_code=1)
    version_two = plain(2)
    version_two.set_qform(OBLIQUE, 1)
    version_two.set_sform(None, 0)
    yield "v2_qform_only.nii", raw(version_two)


def layout_cases():
    base = raw(plain())
    yield "scaled.nii", edit(base, scl_slope=0.37, scl_inter=-12.5)
    yield "slope_zero.nii", edit(base, scl_slope=0, scl_inter=5)
    yield "slope_nan.nii", edit(base, scl_slope=np.nan, scl_inter=5)
    yield "four_axes.nii", raw(plain(data=values("i2")[..., None]))
    extended = plain()
    extended.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"made for a test"))
    yield "extension.nii", raw(extended)
    yield "compressed.nii.gz", gzip.compress(base, mtime=0)
    yield "two_members.nii.gz", gzip.compress(base[:360], mtime=0) + gzip.compress(base[360:], mtime=0)


def bad_cases():
    base = raw(plain())
    yield "text.nii", b"subject\tdiagnosis\n" * 40
    yield "empty.nii", b""
    yield "trillion_voxels.nii", edit(base, dim=[3, 10000, 10000, 10000, 1, 1, 1, 1])
    yield "trillion_voxels.nii.gz", gzip.compress(edit(base, dim=[3, 10000, 10000, 10000, 1, 1, 1, 1]), mtime=0)
    yield "billion_voxels.nii", edit(base, dim=[3, 1024, 1024, 1024, 1, 1, 1, 1])
    yield "billion_voxels.nii.gz", gzip.compress(edit(base, dim=[3, 1024, 1024, 1024, 1, 1, 1, 1]), mtime=0)
    yield "axis_negative.nii", edit(base, dim=[3, 4, -3, 2, 1, 1, 1, 1])
    yield "axes_nine.nii", edit(base, dim=[9, 4, 3, 2, 1, 1, 1, 1])
    yield "two_axes.nii", edit(base, dim=[2, 4, 3, 1, 1, 1, 1, 1])
    yield "time_series.nii", raw(plain(data=np.stack([values("i2")] * 2, axis=-1)))
    yield "complex.nii", raw(nibabel.Nifti1Image(values("f4").astype(np.complex64), OBLIQUE))
    yield "rgb.nii", edit(base, datatype=128, bitpix=24)
    yield "magic.nii", edit(base, magic=b"nix")
    yield "analyze.nii", edit(base, magic=b"")
    yield "quaternion_long.nii", edit(base, sform_code=0, qform_code=1, quatern_b=0.9, quatern_c=0.9)
    yield "quaternion_nan.nii", edit(base, sform_code=0, qform_code=1, quatern_b=np.nan)
    yield "sform_singular.nii", edit(base, sform_code=1, srow_x=[0, 0, 0, 0])
    yield "sform_nan.nii", edit(base, sform_code=1, srow_y=[np.nan, 0, 0, 0])
    yield "offset_inside_header.nii", edit(base, vox_offset=100)
    yield "offset_huge.nii", edit(base, vox_offset=1e30)
    yield "offset_nan.nii", edit(base, vox_offset=np.nan)
    yield "intercept_nan.nii", edit(base, scl_slope=2, scl_inter=np.nan)
    squeezed = bytearray(gzip.compress(base, mtime=0))
    yield "truncated.nii.gz", bytes(squeezed[: len(squeezed) - 20])
    squeezed[len(squeezed) // 2] ^= 0xFF
    yield "flipped_byte.nii.gz", bytes(squeezed)


def expectation(path):
    image = nibabel.load(path)
    data = np.asarray(image.dataobj, dtype=np.float64).reshape(SHAPE)
    flat = data.ravel(order="F")
    return {"affine": image.affine.tolist(), "values": flat.tolist()}


def main():
    for folder, made in ((GOOD, cases()), (BAD, bad_cases())):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in made:
            (folder / name).write_bytes(content)
    expected = {path.name: expectation(path) for path in sorted(GOOD.glob("*.nii*"))}
    pair = nibabel.Nifti1Pair(values("i2"), OBLIQUE)
    nibabel.save(pair, GOOD / "pair.hdr")
    expected["pair.hdr"] = expectation(GOOD / "pair.hdr")
    record = {"generator": "reference/formats.py", "nibabel": nibabel.__version__, "files": expected}
    (GOOD / "expected.json").write_text(json.dumps(record, indent=None, separators=(",", ":")) + "\n")
    print(f"{len(expected)} good files", file=sys.stderr)


if __name__ == "__main__":
    main()
