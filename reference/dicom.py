"""DICOM files in every transfer syntax and in the multi-frame layouts of vendors, for crates/formats.

Files go to crates/formats/tests/dicom/, the numbers that other decoders find in them to
crates/formats/tests/golden/dicom.{json,bin}. All of it is simulated.

    pip install -r reference/requirements.txt pydicom==3.0.2 pylibjpeg==2.1.0 pylibjpeg-libjpeg==2.5.0 \
        pylibjpeg-openjpeg==2.6.0 pylibjpeg-rle==2.2.0 pyjpegls==1.5.1 imagecodecs==2026.3.6
    python reference/dicom.py
"""

import pathlib

import golden
import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, generate_uid

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "crates" / "formats" / "tests" / "dicom"
COLUMNS, ROWS, SLICES = 37, 33, 4
TOOLS = ["numpy", "pydicom", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pyjpegls", "imagecodecs"]
SYNTAX = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "deflated": "1.2.840.10008.1.2.1.99",
    "big_endian": "1.2.840.10008.1.2.2",
    "jpeg_baseline": "1.2.840.10008.1.2.4.50",
    "jpeg_lossless": "1.2.840.10008.1.2.4.57",
    "jpeg_lossless_sv1": "1.2.840.10008.1.2.4.70",
    "jpeg_ls": "1.2.840.10008.1.2.4.80",
    "jpeg_ls_near": "1.2.840.10008.1.2.4.81",
    "jpeg_2000": "1.2.840.10008.1.2.4.90",
    "jpeg_2000_lossy": "1.2.840.10008.1.2.4.91",
    "rle": "1.2.840.10008.1.2.5",
}
# Sagittal and slightly oblique, LPS+.
ROW = np.array([0.04, 0.9992, 0.0])
ROW /= np.linalg.norm(ROW)
COLUMN = np.array([0.0, 0.0, -1.0])
NORMAL = np.cross(ROW, COLUMN)
SPACING = (1.05, 0.95, 1.2)  # between rows, columns, slices
ORIGIN = np.array([-30.5, 20.25, 10.125])


def phantom(seed=1):
    """A blob with texture and an even background, as 0 to 1: [slice, row, column]."""
    k, j, i = np.indices((SLICES, ROWS, COLUMNS)).astype(float)
    blob = np.exp(-(((i - 15) / 9) ** 2 + ((j - 14) / 8) ** 2 + ((k - 1.2) / 2) ** 2))
    noise = np.random.default_rng(seed).normal(size=blob.shape)
    return np.clip(np.where(blob > 0.1, blob * (1 + 0.05 * noise), 0), 0, 1)


def stored(kind):
    """The phantom in the range of a number type: u8, u12, u16, i12, i16, u32, i32, f4, f8."""
    bits, values = int(kind[1:]), phantom()
    if kind[0] == "f":
        return (values * 1.5 - 0.25).astype(f"<f{bits}")
    low, high = (0, 2**bits - 1) if kind[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    width = max(w for w in (8, 16, 32) if w >= bits and w // 2 < bits) if bits > 8 else 8
    return np.round(low + values * (high - low)).astype(f"{kind[0]}{width // 8}")


def dataset(name, syntax, frames, bits):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.4.1")
    meta.MediaStorageSOPInstanceUID = UID(generate_uid(entropy_srcs=[name]))
    meta.TransferSyntaxUID = UID(SYNTAX[syntax])
    meta.ImplementationClassUID = UID("2.25.1")
    encoding = {"is_implicit_VR": syntax == "implicit", "is_little_endian": syntax != "big_endian"}
    out = FileDataset(None, {}, file_meta=meta, preamble=bytes(128), **encoding)
    out.SOPClassUID, out.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    out.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    out.SeriesInstanceUID = generate_uid(entropy_srcs=["series", name])
    out.PatientID, out.PatientName, out.Modality = "phantom", "Doe^Jane", "MR"
    out.ImageType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    out.MagneticFieldStrength, out.Manufacturer = "1.5", "simulated"
    out.SamplesPerPixel, out.PhotometricInterpretation = 1, "MONOCHROME2"
    out.Rows, out.Columns, out.NumberOfFrames = ROWS, COLUMNS, len(frames)
    out.BitsAllocated = frames.dtype.itemsize * 8
    out.BitsStored, out.HighBit = bits, bits - 1
    out.PixelRepresentation = int(frames.dtype.kind == "i")
    return out


def item(**elements):
    out = Dataset()
    for keyword, value in elements.items():
        setattr(out, keyword, value)
    return out


def sequence(**elements):
    return Sequence([item(**elements)])


def position(k):
    return [f"{v:.6f}" for v in ORIGIN + k * SPACING[2] * NORMAL]


def cosines():
    return [f"{v:.9f}" for v in (*ROW, *COLUMN)]


def orientation():
    return sequence(ImageOrientationPatient=cosines())


def measures():
    return sequence(PixelSpacing=list(SPACING[:2]), SliceThickness=SPACING[2])


def functional_groups(out, slices):
    """Where each frame lies, as briefly as the standard allows; frame n shows slice `slices[n]`."""
    out.SharedFunctionalGroupsSequence = Sequence(
        [item(PlaneOrientationSequence=orientation(), PixelMeasuresSequence=measures())]
    )
    out.PerFrameFunctionalGroupsSequence = Sequence(
        [item(PlanePositionSequence=sequence(ImagePositionPatient=position(k))) for k in slices]
    )


def write(path, out):
    path.parent.mkdir(parents=True, exist_ok=True)
    syntax = out.file_meta.TransferSyntaxUID
    if syntax == SYNTAX["big_endian"] and "PixelData" in out and out["PixelData"].VR == "OW":
        words = np.frombuffer(out.PixelData, dtype=f"<u{max(2, out.BitsAllocated // 8)}")
        out.PixelData = words.byteswap().tobytes()
    out.save_as(path, enforce_file_format=True)


# --- encoders ---------------------------------------------------------------------------------------


def lossless_jpeg(frame, bits, predictor):
    """A lossless JPEG (ITU-T T.81, annex H) of any prediction, with a table of codes of equal length."""
    frame = frame.astype(np.int64) & (2**bits - 1)
    rows, columns = frame.shape
    padded = np.zeros((rows, columns), dtype=np.int64)
    for y in range(rows):
        for x in range(columns):
            a = frame[y, x - 1] if x else 0
            b = frame[y - 1, x] if y else 0
            c = frame[y - 1, x - 1] if x and y else 0
            if y == 0:
                padded[y, x] = a if x else 2 ** (bits - 1)
            elif x == 0:
                padded[y, x] = b
            else:
                padded[y, x] = [0, a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1][predictor]
    difference = ((frame - padded + 2**15) & 0xFFFF) - 2**15
    difference[difference == -(2**15)] = 2**15
    text = ""
    for value in difference.ravel():
        size = int(abs(value)).bit_length()
        text += f"{size:05b}"
        if 0 < size < 16:
            text += f"{value if value > 0 else value + 2**size - 1:0{size}b}"
    text += "1" * (-len(text) % 8)
    data = bytes(int(text[n : n + 8], 2) for n in range(0, len(text), 8)).replace(b"\xff", b"\xff\x00")
    table = bytes([0, 0, 0, 0, 0, 17] + [0] * 11) + bytes(range(17))
    head = b"\xff\xd8\xff\xc3" + bytes([0, 11, bits, 0, rows, 0, columns, 1, 1, 0x11, 0])
    head += b"\xff\xc4" + (2 + len(table)).to_bytes(2, "big") + table
    return head + b"\xff\xda" + bytes([0, 8, 1, 1, 0, predictor, 0, 0]) + data + b"\xff\xd9"


def jpeg_ls(frame, bits, near=0):
    import jpeg_ls as codec

    bare = np.ascontiguousarray(frame).view(f"u{frame.dtype.itemsize}") & (2**bits - 1)
    return bytes(codec.encode_array(bare.astype(f"u{frame.dtype.itemsize}"), lossy_error=near))


def jpeg_2000(frame, bits, ratio=None):
    import openjpeg.utils

    options = {"compression_ratios": [ratio]} if ratio else {}
    return bytes(openjpeg.utils.encode_array(frame, bits_stored=bits, photometric_interpretation=2, **options))


def rle(frame, bits):
    from pydicom.pixels.encoders.native import _encode_frame  # pydicom's own RLE
    from pydicom.pixels.encoders.base import EncodeRunner

    runner = EncodeRunner(UID(SYNTAX["rle"]))
    runner.set_options(
        rows=frame.shape[0], columns=frame.shape[1], samples_per_pixel=1, bits_allocated=frame.dtype.itemsize * 8,
        bits_stored=bits, pixel_representation=0, photometric_interpretation="MONOCHROME2", number_of_frames=1,
        pixel_keyword="PixelData",
    )
    return bytes(_encode_frame(frame.tobytes(), runner))


# --- transfer syntaxes ------------------------------------------------------------------------------


def syntaxes():
    """Name, transfer syntax, kind of number, encoder of a frame (None: native), decoder that is not ours."""
    for syntax, kinds in {
        "implicit": ["u12"], "explicit": ["i16", "u32", "i32", "i12", "f4", "f8"], "big_endian": ["i16", "u8", "u32"],
        "deflated": ["u16"],
    }.items():
        for kind in kinds:
            yield f"{syntax}_{kind}", syntax, kind, None
    for kind in ("u8", "u12", "i16"):
        yield f"rle_{kind}", "rle", kind, rle
    yield "jpeg_baseline_u8", "jpeg_baseline", "u8", lambda f, b: imagecodecs.jpeg8_encode(f, level=95)
    for kind in ("u8", "u12", "u16", "i16"):
        yield f"jpeg_lossless_sv1_{kind}", "jpeg_lossless_sv1", kind, lambda f, b: lossless_jpeg(f, b, 1)
        yield f"jpeg_ls_{kind}", "jpeg_ls", kind, jpeg_ls
        yield f"jpeg_2000_{kind}", "jpeg_2000", kind, jpeg_2000
    for predictor in range(2, 8):
        yield f"jpeg_lossless_{predictor}_u12", "jpeg_lossless", "u12", lambda f, b, p=predictor: lossless_jpeg(f, b, p)
    yield "jpeg_lossless_foreign_u12", "jpeg_lossless", "u12", lambda f, b: imagecodecs.ljpeg_encode(f, bitspersample=b)
    yield "jpeg_ls_near_u12", "jpeg_ls_near", "u12", lambda f, b: jpeg_ls(f, b, 3)
    yield "jpeg_ls_near_u8", "jpeg_ls_near", "u8", lambda f, b: jpeg_ls(f, b, 2)
    yield "jpeg_ls_foreign_u16", "jpeg_ls", "u16", lambda f, b: imagecodecs.jpegls_encode(f)
    yield "jpeg_2000_lossy_u12", "jpeg_2000_lossy", "u12", lambda f, b: jpeg_2000(f, b, 4)


def decoded(path, frames):
    """What pydicom and its plugins read if it is not the phantom itself, as stored numbers."""
    array = pydicom.dcmread(path).pixel_array
    largest = np.abs(array.astype(np.float64) - frames.astype(np.float64)).max()
    print(f"{path.name}: within {largest:g} of the phantom, by pydicom")
    return array if largest > 0 else None


def write_syntaxes(arrays):
    order = [2, 0, 3, 1]  # frames do not come in the order of slices
    for name, syntax, kind, encode in syntaxes():
        bits, volume = int(kind[1:]), stored(kind)
        frames = volume[order]
        out = dataset(name, syntax, frames, bits)
        functional_groups(out, order)
        if kind[0] == "f":
            for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
                delattr(out, keyword)
            out.BitsAllocated = bits * 8
            element = "FloatPixelData" if kind == "f4" else "DoubleFloatPixelData"
            setattr(out, element, frames.tobytes())
        elif encode is None:
            out.PixelData = frames.tobytes() + bytes(frames.nbytes % 2)
            out["PixelData"].VR = "OW"
        else:
            out.PixelData = encapsulate([encode(np.ascontiguousarray(frame), bits) for frame in frames])
            out["PixelData"].VR = "OB"
        path = FOLDER / "syntaxes" / f"{name}.dcm"
        write(path, out)
        arrays[kind] = narrow(volume)
        read = decoded(path, frames)
        if read is not None:
            arrays[name] = narrow(in_slice_order(read, order))
    write_fragmented(order)


def narrow(array):
    """In the smallest type of golden files that holds it exactly."""
    if array.dtype.kind in "ui" and array.max() < 2**31:
        return array.astype(np.int32)
    return array.astype(np.float32 if array.dtype == "<f4" else np.float64)


def in_slice_order(frames, order):
    """The frame of slice 0, of slice 1..."""
    return frames[np.argsort(order)]


def write_fragmented(order):
    """Frames in several fragments: with an offset table, and with none."""
    frames = stored("u12")[order]
    streams = [jpeg_ls(np.ascontiguousarray(frame), 12) for frame in frames]
    streams = [stream + bytes(len(stream) % 2) for stream in streams]
    for name, has_table in (("fragments_with_table", True), ("fragments_without_table", False)):
        out = dataset(name, "jpeg_ls", frames, 12)
        functional_groups(out, order)
        out.PixelData = encapsulate(streams, fragments_per_frame=2, has_bot=has_table)
        out["PixelData"].VR = "OB"
        write(FOLDER / "syntaxes" / f"{name}.dcm", out)


# --- layouts of vendors -----------------------------------------------------------------------------


def content(stack="1", place=1, time=1, indices=None):
    out = item(StackID=stack, InStackPositionNumber=place, TemporalPositionIndex=time)
    if indices:
        out.DimensionIndexValues = indices
    return Sequence([out])


def dimension(pointer, group):
    return item(
        DimensionOrganizationUID="2.25.2", DimensionIndexPointer=pointer, FunctionalGroupPointer=group
    )


def siemens():
    """Everything per frame but the pixel measures, frames from the last slice to the first, a private group."""
    volume = stored("u12")
    order = list(range(SLICES))[::-1]
    out = dataset("siemens", "explicit", volume, 12)
    out.Manufacturer, out.SoftwareVersions = "Siemens Healthineers", "syngo MR XA50"
    out.DimensionIndexSequence = Sequence([dimension(0x00209056, 0x00209111), dimension(0x00209057, 0x00209111)])
    timing = sequence(RepetitionTime=2300.0, FlipAngle=9.0, EchoTrainLength=1)
    out.SharedFunctionalGroupsSequence = Sequence(
        [item(
            PixelMeasuresSequence=measures(), MRTimingAndRelatedParametersSequence=timing,
            MRModifierSequence=sequence(InversionRecovery="YES", InversionTimes=[900.0]),
            MRImagingModifierSequence=sequence(PixelBandwidth=240.0, TransmitterFrequency=123.25),
        )]
    )
    out.PerFrameFunctionalGroupsSequence = Sequence(
        [item(
            PlanePositionSequence=sequence(ImagePositionPatient=position(k)),
            PlaneOrientationSequence=orientation(),
            FrameContentSequence=content(place=k + 1, indices=[1, k + 1]),
            MREchoSequence=sequence(EffectiveEchoTime=2.98),
            MRImageFrameTypeSequence=sequence(
                FrameType=["ORIGINAL", "PRIMARY", "M", "ND"], ComplexImageComponent="MAGNITUDE"
            ),
            PixelValueTransformationSequence=sequence(RescaleIntercept=0, RescaleSlope=1, RescaleType="US"),
        ) for k in order]
    )
    out.add_new(0x00210010, "LO", "SIEMENS MR SDI 02")
    out.add_new(0x002110FE, "SQ", sequence(PatientComments="not for eyes"))
    out.PixelData = volume[order].tobytes()
    return out, {"siemens": volume}


def philips():
    """Magnitude and phase in turn, a slope for each kind, a vendor's header in every frame that says otherwise."""
    volume = stored("u12")
    phase = (volume // 3 + 7).astype(volume.dtype)
    out = dataset("philips", "explicit", volume, 12)
    out.Manufacturer, out.ComplexImageComponent = "Philips Medical Systems", "MIXED"
    out.DimensionIndexSequence = Sequence(
        [dimension(0x00209056, 0x00209111), dimension(0x00209057, 0x00209111), dimension(0x20051011, 0x00209111)]
    )
    out.SharedFunctionalGroupsSequence = Sequence([item(
        MRTimingAndRelatedParametersSequence=sequence(RepetitionTime=8.1, FlipAngle=8.0),
        MRFOVGeometrySequence=sequence(PercentPhaseFieldOfView=78.5),
    )])
    frames, groups = [], []
    for k in range(SLICES):
        for kind, part, slope in ((1, "MAGNITUDE", 2.5), (2, "PHASE", 1.5)):
            frames.append((volume if kind == 1 else phase)[k])
            frame = item(
                PlanePositionSequence=sequence(ImagePositionPatient=position(k)),
                PlaneOrientationSequence=orientation(),
                PixelMeasuresSequence=measures(),
                FrameContentSequence=content(place=k + 1, indices=[1, k + 1, kind]),
                MREchoSequence=sequence(EffectiveEchoTime=3.7),
                MRImageFrameTypeSequence=sequence(
                    FrameType=["ORIGINAL", "PRIMARY", "M_FFE" if kind == 1 else "PHASE MAP", "M"],
                    ComplexImageComponent=part,
                ),
                PixelValueTransformationSequence=sequence(RescaleIntercept=0, RescaleSlope=slope, RescaleType="normalized"),
            )
            frame.add_new(0x20050014, "LO", "Philips MR Imaging DD 005")
            frame.add_new(0x2005140F, "SQ", sequence(
                ImagePositionPatient=[9.0, 9.0, 9.0], PixelSpacing=[7.0, 7.0], RescaleSlope=99.0, EchoTime=77.0
            ))
            groups.append(frame)
    out.PerFrameFunctionalGroupsSequence = Sequence(groups)
    out.NumberOfFrames = len(frames)
    out.PixelData = np.stack(frames).tobytes()
    return out, {"philips_magnitude": volume * 2.5, "philips_phase": phase * 1.5}


def ge():
    """Two echoes, signed numbers, orientation shared, positions per frame."""
    volume = stored("i16")
    second = (volume // 2).astype(volume.dtype)
    out = dataset("ge", "explicit", volume, 16)
    out.Manufacturer = "GE MEDICAL SYSTEMS"
    out.SharedFunctionalGroupsSequence = Sequence([item(
        PlaneOrientationSequence=orientation(), PixelMeasuresSequence=measures(),
        MRImageFrameTypeSequence=sequence(FrameType=["ORIGINAL", "PRIMARY", "T1", "NONE"]),
    )])
    groups, frames = [], []
    for echo, data in ((3.1, volume), (9.4, second)):
        for k in (3, 1, 0, 2):
            frames.append(data[k])
            groups.append(item(
                PlanePositionSequence=sequence(ImagePositionPatient=position(k)),
                FrameContentSequence=content(place=k + 1),
                MREchoSequence=sequence(EffectiveEchoTime=echo),
            ))
    out.PerFrameFunctionalGroupsSequence = Sequence(groups)
    out.NumberOfFrames = len(frames)
    out.PixelData = np.stack(frames).tobytes()
    return out, {"ge_echo_1": volume, "ge_echo_2": second}


def hitachi():
    """Implicit encoding, everything per frame, two stacks of different slices."""
    volume = stored("u12")
    other = (volume[::-1] // 2).astype(volume.dtype)
    out = dataset("hitachi", "implicit", volume, 12)
    out.Manufacturer = "Hitachi Medical Corporation"
    groups, frames = [], []
    for stack, data, shift in (("1", volume, 0), ("2", other, 40)):
        for k in range(SLICES):
            frames.append(data[k])
            groups.append(item(
                PlanePositionSequence=sequence(ImagePositionPatient=position(k + shift)),
                PlaneOrientationSequence=orientation(),
                PixelMeasuresSequence=measures(),
                FrameContentSequence=content(stack=stack, place=k + 1),
            ))
    out.PerFrameFunctionalGroupsSequence = Sequence(groups)
    out.NumberOfFrames = len(frames)
    out.PixelData = np.stack(frames).tobytes()
    out["PixelData"].VR = "OW"
    return out, {"hitachi_stack_1": volume, "hitachi_stack_2": other}


def hyperfine():
    """A low field, one file, orientation shared, no stack and no dimensions, an intercept."""
    volume = stored("u16")
    out = dataset("hyperfine", "explicit", volume, 16)
    out.Manufacturer, out.MagneticFieldStrength = "Hyperfine", "0.064"
    functional_groups(out, range(SLICES))
    out.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = sequence(
        RescaleIntercept=-12.5, RescaleSlope=0.25, RescaleType="US"
    )
    out.PixelData = volume.tobytes()
    return out, {"hyperfine": volume * 0.25 - 12.5}


def time_points():
    """The same slices three times: not one volume."""
    volume = stored("u12")
    out = dataset("time_points", "explicit", volume, 12)
    out.SharedFunctionalGroupsSequence = Sequence(
        [item(PlaneOrientationSequence=orientation(), PixelMeasuresSequence=measures())]
    )
    groups = [
        item(
            PlanePositionSequence=sequence(ImagePositionPatient=position(k)),
            FrameContentSequence=content(place=k + 1, time=time),
        )
        for time in (1, 2, 3) for k in range(SLICES)
    ]
    out.PerFrameFunctionalGroupsSequence = Sequence(groups)
    out.NumberOfFrames = len(groups)
    out.PixelData = np.concatenate([volume] * 3).tobytes()
    return out, {}


def main():
    arrays = {}
    write_syntaxes(arrays)
    for vendor in (siemens, philips, ge, hitachi, hyperfine, time_points):
        out, volumes = vendor()
        write(FOLDER / "vendors" / f"{vendor.__name__}.dcm", out)
        arrays |= {name: volume.astype(np.float32) for name, volume in volumes.items()}
    affine = np.stack([SPACING[1] * ROW, SPACING[0] * COLUMN, SPACING[2] * NORMAL, ORIGIN], axis=1)
    arrays["affine"] = np.vstack([np.diag([-1, -1, 1]) @ affine, [0, 0, 0, 1]])
    parameters = {"columns": COLUMNS, "rows": ROWS, "slices": SLICES}
    golden.save("formats", "dicom", arrays, generator=__file__, tools=TOOLS, seed=1, parameters=parameters)


if __name__ == "__main__":
    main()
