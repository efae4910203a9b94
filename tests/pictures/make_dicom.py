"""Makes dicom.safetensors: DICOM files, with the pixels that pydicom gives, and files that must be refused.

Needs pydicom 3, Pillow, numpy and safetensors. Run it in this folder: `python make_dicom.py`. No build and no test needs
it.

NAME.file has the bytes, NAME.pixels the picture as H x W x 3. Gray pictures are pydicom's `pixel_array` after
`apply_modality_lut` and `apply_voi_lut` (the window where there is one), as a share of pydicom's output range, turned
round for MONOCHROME1, and rounded to the nearest of 256 levels. Without a window the share is that of the picture's own
range, or of the bits where they are 8. Values of padding are taken out before, and black: pydicom itself shows them as any
other. Of several frames the first is taken. Palettes are pydicom's `apply_color_lut`, as a share of the bits of an entry. Files that must be refused have no pixels; their name says with which word.
"""
import io
import struct

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, apply_windowing, pixel_array
from pydicom.uid import (UID, CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian,
                         ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit,
                         JPEGExtended12Bit, JPEGLosslessSV1, JPEGLSLossless, MPEG2MPML, RLELossless)
from safetensors.numpy import save_file

H, W = 14, 18
rng = np.random.default_rng(5)
WAVE = np.add.outer(np.sin(np.arange(H) / 3), np.cos(np.arange(W) / 4)) / 4 + 0.5
GRAY12 = np.clip(WAVE * 4095 + rng.normal(0, 100, (H, W)), 0, 4095).astype(np.uint16)
GRAY8 = (GRAY12 >> 4).astype(np.uint8)
SIGNED = (GRAY12.astype(np.int32) - 1500).astype(np.int16)
RGB = np.dstack([GRAY8, GRAY8[::-1], 255 - GRAY8[:, ::-1]])
tensors = {}


def dataset(pixels, syntax=ExplicitVRLittleEndian, bits=None, photometric="MONOCHROME2", **more):
    """Makes a data set of these samples."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = UID("1.2.3.4")
    ds.Modality, ds.PatientID, ds.PatientName = "DX", "p 7", "Nobody"
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    ds.PhotometricInterpretation = photometric
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored = bits or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"
    if len(ds.PixelData) % 2:
        ds.PixelData += b"\0"
    for name, value in more.items():
        setattr(ds, name, value)
    return ds


def written(ds):
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def levels(share):
    return np.floor(np.clip(share, 0, 1) * 255 + 0.5).astype(np.uint8)


def shown(ds):
    """The picture that pydicom gives."""
    values = pixel_array(ds, index=0) if "NumberOfFrames" in ds else pixel_array(ds)
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        return levels(apply_color_lut(values, ds) / (2.0 ** ds.RedPaletteColorLookupTableDescriptor[2] - 1))
    if values.ndim == 3:
        return values
    padding = np.zeros(values.shape, bool)
    if "PixelPaddingValue" in ds:
        ends = sorted([ds.PixelPaddingValue, ds.get("PixelPaddingRangeLimit", ds.PixelPaddingValue)])
        padding = (values >= ends[0]) & (values <= ends[1])
    values = apply_modality_lut(values, ds)
    if "WindowCenter" in ds:
        low, high = (0, 2**ds.BitsStored - 1) if ds.PixelRepresentation == 0 else (
            -(2 ** (ds.BitsStored - 1)), 2 ** (ds.BitsStored - 1) - 1)
        low, high = (v * ds.get("RescaleSlope", 1) + ds.get("RescaleIntercept", 0) for v in (low, high))
        share = (apply_windowing(values, ds).astype(np.float64) - low) / (high - low)
    elif "VOILUTSequence" in ds:
        share = apply_voi(values, ds).astype(np.float64) / (2 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1)
    elif ds.BitsStored <= 8 and "RescaleSlope" not in ds:
        share = values / (2**ds.BitsStored - 1)
    else:
        seen = values[~padding]
        share = (values - seen.min()) / (float(seen.max()) - seen.min())
    share = 1 - share if ds.PhotometricInterpretation == "MONOCHROME1" else share
    return levels(np.where(padding, 0, share))


def add(name, ds, pixels=None, data=None, refused=False):
    data = data or written(ds)
    tensors[f"{name}.file"] = np.frombuffer(data, np.uint8)
    if not refused:
        pixels = shown(ds) if pixels is None else pixels
        pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
        tensors[f"{name}.pixels"] = np.ascontiguousarray(pixels)


def lut(first, entries, bits, vr="US"):
    item = Dataset()
    item.add_new((0x0028, 0x3002), vr, [len(entries), first, bits])
    item.add_new((0x0028, 0x3006), "US", [int(v) for v in entries])
    return [item]


def grays():
    window = {"WindowCenter": 2000, "WindowWidth": 1500}
    add("gray_16", dataset(GRAY12, bits=12, **window))
    add("gray_16_mono1", dataset(GRAY12, bits=12, photometric="MONOCHROME1", **window))
    add("gray_implicit", dataset(GRAY12, ImplicitVRLittleEndian, 12, **window))
    add("gray_big_endian", dataset(GRAY12, ExplicitVRBigEndian, 12, **window))
    add("gray_deflated", dataset(GRAY12, DeflatedExplicitVRLittleEndian, 12, **window))
    add("gray_8", dataset(GRAY8))
    add("gray_8_odd", dataset(np.ascontiguousarray(GRAY8[:13, :17])))
    add("gray_8_mono1", dataset(GRAY8, photometric="MONOCHROME1"))
    add("gray_8_window", dataset(GRAY8, WindowCenter=100, WindowWidth=90))
    add("gray_6_of_8", dataset(GRAY8 >> 2, bits=6))
    big = dataset(GRAY8, ExplicitVRBigEndian)
    big["PixelData"].VR = "OW"
    big.PixelData = GRAY8.reshape(-1, 2)[:, ::-1].tobytes()
    add("gray_8_words_big_endian", big, GRAY8)
    add("gray_full_range", dataset(GRAY12 // 2 + 300, bits=12))
    add("gray_full_range_mono1", dataset(SIGNED, bits=16, photometric="MONOCHROME1"))
    add("gray_constant", dataset(np.full((H, W), 700, np.uint16), bits=12), np.zeros((H, W), np.uint8))
    ct = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": [40, 400], "WindowWidth": [400, 2000]}
    add("ct", dataset(GRAY12, bits=12, **ct))
    add("ct_signed", dataset(SIGNED, bits=16, **ct | {"WindowCenter": -20.5, "WindowWidth": 1900.75}))
    stored = SIGNED.astype(np.int16) & 0x1FFF
    stored = np.where(stored & 0x1000, stored - 0x2000, stored).astype(np.int16)
    add("signed_13_of_16", dataset(stored, bits=13, WindowCenter=0, WindowWidth=4000))
    add("slope", dataset(GRAY12, bits=12, RescaleSlope="0.25", RescaleIntercept="-7.5", WindowCenter="300", WindowWidth="700"))
    add("slope_full_range", dataset(GRAY12, bits=12, RescaleSlope="-0.25", RescaleIntercept="7.5"))
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        add(f"function_{function.lower()}", dataset(GRAY12, bits=12, VOILUTFunction=function, **window))
    add("window_of_one", dataset(GRAY12, bits=12, WindowCenter=2000, WindowWidth=1))
    curve = np.sqrt(np.arange(3000) / 2999) * 1023
    add("voi_lut", dataset(GRAY12, bits=12, VOILUTSequence=lut(500, curve, 10)))
    add("voi_lut_signed", dataset(SIGNED, bits=16, VOILUTSequence=lut(-900, curve, 10, "SS")))
    add("gray_32", dataset(GRAY12.astype(np.uint32) * 70000, bits=32))
    junk = dataset(GRAY12 | 0xA000, bits=12, **window)
    add("junk_in_high_bits", junk, shown(dataset(GRAY12, bits=12, **window)))
    many = dataset(GRAY12, bits=12, **window)
    many.add_new((0x0009, 0x0010), "LO", "SOMEBODY")
    many.add_new((0x0009, 0x1001), "UN", b"\1\2\3\4")
    item = Dataset()
    item.Rows, item.Columns, item.PixelData = 9, 9, b"\7" * 82
    item["PixelData"].VR = "OB"
    many.IconImageSequence = [item]
    many.PixelSpacing = [0.2, 0.2]
    add("icon_and_private", many)


def padded():
    outside = np.add.outer((np.arange(H) - 6.5) ** 2, (np.arange(W) - 8.5) ** 2) > 50
    ct = np.where(outside, -2000, SIGNED // 4).astype(np.int16)
    add("padding_full_range", dataset(ct, bits=16, PixelPaddingValue=-2000))
    add("padding_mono1", dataset(ct, bits=16, photometric="MONOCHROME1", PixelPaddingValue=-2000,
                                 WindowCenter=0, WindowWidth=800))
    high = np.where(outside, 4000 + np.arange(W) % 3, GRAY12 // 2).astype(np.uint16)
    add("padding_range", dataset(high, bits=12, PixelPaddingValue=4002, PixelPaddingRangeLimit=4000))
    add("padding_none_of_it", dataset(GRAY12 // 2 + 300, bits=12, PixelPaddingValue=0))


def several_frames():
    def frames(one, n, syntax=ExplicitVRLittleEndian, **more):
        stack = np.stack([one] + [np.roll(one, 3 * k, axis=1) for k in range(1, n)])
        ds = dataset(one, syntax, **more)
        ds.NumberOfFrames = n
        ds.PixelData = stack.tobytes() + b"\0" * (stack.nbytes % 2)
        return ds
    add("frames_gray", frames(GRAY12, 3, bits=12, WindowCenter=2000, WindowWidth=1500))
    add("frames_odd", frames(np.ascontiguousarray(GRAY8[:13, :17]), 3))
    add("frames_rgb", frames(RGB, 2, photometric="RGB"))
    packed = frames(GRAY12, 2, bits=12)
    right = shown(packed)
    packed.compress(RLELossless, generate_instance_uid=False)
    add("frames_rle", packed, right)
    jpegs = []
    for pixels in (GRAY8, GRAY8[::-1]):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=92)
        jpegs.append(out.getvalue())
    for name, fragments, table in (("frames_jpeg", 1, True), ("frames_jpeg_fragments", 2, False)):
        ds = dataset(GRAY8, JPEGBaseline8Bit)
        ds.NumberOfFrames = 2
        ds.PixelData = encapsulate(jpegs, fragments_per_frame=fragments, has_bot=table)
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        add(name, ds, np.asarray(Image.open(io.BytesIO(jpegs[0]))))


def palettes():
    def colored(pixels, first, tables, wide, **more):
        ds = dataset(pixels, photometric="PALETTE COLOR", **more)
        for color, table in zip(("Red", "Green", "Blue"), tables):
            entries = np.asarray(table, np.uint8 if wide == 8 else np.uint16)
            data = entries.tobytes() + b"\0" * (entries.nbytes % 2)
            setattr(ds, f"{color}PaletteColorLookupTableDescriptor", [len(entries) % 65536, first, wide])
            setattr(ds, f"{color}PaletteColorLookupTableData", data)
            ds[f"{color}PaletteColorLookupTableData"].VR = "OW"
        return ds
    ramp = np.arange(256)
    tables = ramp * 257, (255 - ramp) * 200, np.abs(ramp - 128) * 300
    add("palette_16", colored(GRAY8, 0, tables, 16))
    add("palette_8", colored(GRAY8, 0, (ramp, ramp[::-1], ramp // 2), 8))
    add("palette_first_40", colored(GRAY8, 40, [t[:150] for t in tables], 16))
    many = np.arange(4096)
    add("palette_of_12_bits", colored(GRAY12, 0, (many * 16, 65535 - many * 16, many * 5), 16, bits=12))
    packed = colored(GRAY8, 0, tables, 16)
    right = shown(packed)
    packed.compress(RLELossless, generate_instance_uid=False)
    add("palette_rle", packed, right)
    return colored(GRAY8, 0, tables, 16)


def colors():
    add("rgb", dataset(RGB, photometric="RGB"))
    planar = dataset(RGB, photometric="RGB", PlanarConfiguration=1)
    planar.PixelData = RGB.transpose(2, 0, 1).tobytes()
    add("rgb_planar", planar)
    add("rgb_16", dataset(RGB.astype(np.uint16) * 16 + 3, bits=12, photometric="RGB"),
        levels((RGB.astype(np.float64) * 16 + 3) / 4095))
    ybr = np.dstack([GRAY8, GRAY8[::-1], GRAY8[:, ::-1]])
    add("ybr", dataset(ybr, photometric="YBR_FULL"))
    half = dataset(ybr, photometric="YBR_FULL_422")
    pairs = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1)
    half.PixelData = pairs.tobytes()
    add("ybr_422", half)


def compressed():
    window = {"WindowCenter": 2000, "WindowWidth": 1500}
    for name, ds in (("gray_8", dataset(GRAY8)), ("gray_16", dataset(GRAY12, bits=12, **window)),
                     ("rgb", dataset(RGB, photometric="RGB")), ("signed", dataset(SIGNED, bits=16, **window))):
        right = shown(ds)
        ds.compress(RLELossless, generate_instance_uid=False)
        add(f"rle_{name}", ds, right)
    def jpeg(pixels, syntax, photometric, fragments=1, **how):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=92, **how)
        ds = dataset(pixels, syntax, photometric=photometric)
        ds.PixelData = encapsulate([out.getvalue()], fragments_per_frame=fragments)
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        return ds
    add("jpeg_gray", jpeg(GRAY8, JPEGBaseline8Bit, "MONOCHROME2"))
    add("jpeg_extended", jpeg(GRAY8, JPEGExtended12Bit, "MONOCHROME1"))
    add("jpeg_fragments", jpeg(GRAY8, JPEGBaseline8Bit, "MONOCHROME2", 3))
    add("jpeg_ybr", jpeg(RGB, JPEGBaseline8Bit, "YBR_FULL_422", subsampling=0))
    add("jpeg_rgb", jpeg(RGB, JPEGBaseline8Bit, "RGB", keep_rgb=True))


def refused():
    def no(name, ds, **more):
        add(name, ds, refused=True, **more)
    no("its_NumberOfFrames_is_0", dataset(GRAY8, NumberOfFrames=0))
    no("number_of_frames_need_756", dataset(GRAY8, NumberOfFrames=3))
    no("has_no_red_palette", dataset(GRAY8, photometric="PALETTE COLOR"))
    segmented = palettes()
    segmented.SegmentedRedPaletteColorLookupTableData = b"\0\0\1\0\5\0"
    segmented["SegmentedRedPaletteColorLookupTableData"].VR = "OW"
    no("a_segmented_palette", segmented)
    short_table = palettes()
    short_table.GreenPaletteColorLookupTableData = b"\0" * 20
    no("green_palette_has_20_bytes_for_256_entries", short_table)
    for name, syntax in (("JPEG_2000", JPEG2000Lossless), ("JPEG-LS", JPEGLSLossless), ("JPEG_Lossless", JPEGLosslessSV1),
                         ("MPEG2", MPEG2MPML)):
        ds = dataset(GRAY8, syntax)
        ds.PixelData = encapsulate([b"nothing!"])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        no(name, ds)
    twelve = dataset(GRAY12, JPEGExtended12Bit, 12)
    twelve.PixelData = encapsulate([b"nothing!"])
    twelve["PixelData"].VR, twelve["PixelData"].is_undefined_length = "OB", True
    no("12_of_16_bits", twelve)
    item = lut(0, np.arange(4096), 12)
    no("modality_lookup_table", dataset(GRAY12, bits=12, ModalityLUTSequence=item))
    report = dataset(GRAY8, Modality="SR")
    del report.PixelData
    no("no_pixels,_and_its_modality_is_SR", report)
    real = dataset(GRAY8)
    del real.PixelData
    real.add_new((0x7FE0, 0x0008), "OF", np.zeros(H * W, "<f4").tobytes())
    no("floating-point_pixels", real)
    short = dataset(GRAY8)
    short.PixelData = short.PixelData[:-20]
    no("its_size_needs_252", short)
    no("has_no_Rows", without(dataset(GRAY8), "Rows"))
    no("WindowWidth_without_the_other", dataset(GRAY12, bits=12, WindowCenter=9))
    no("is_0.5_wide", dataset(GRAY12, bits=12, WindowCenter=9, WindowWidth="0.5"))
    no("end_at_bit_15", dataset(GRAY12, bits=12, HighBit=15))
    no("no_DICM", None, data=written(dataset(GRAY8))[132:])
    unknown = written(dataset(GRAY8)).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0")
    no("1.2.840.10008.9.9.9", None, data=unknown)


def without(ds, name):
    delattr(ds, name)
    return ds


grays()
padded()
several_frames()
colors()
compressed()
refused()
save_file(tensors, "dicom.safetensors")
cases = [n for n in tensors if n.endswith(".file")]
print(len(cases), "files,", len(cases) - sum(n.endswith(".pixels") for n in tensors), "to refuse,",
      sum(t.nbytes for t in tensors.values()), "bytes")
