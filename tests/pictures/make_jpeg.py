"""Makes jpeg.safetensors: JPEG files of every kind with the pixels that libjpeg-turbo decodes from them.

Needs Pillow, numpy, safetensors (any recent) and cjpeg of libjpeg-turbo (`apt-get install libjpeg-turbo-progs`). Run it
in this folder: `python make_jpeg.py`. No build and no test needs it, because the numbers are committed.

Each case is two tensors. NAME.file holds the bytes of the file. NAME.pixels is what Pillow's libjpeg-turbo decodes (H x
W x 3 after Pillow's `convert("RGB")`). Files that must be refused have only NAME.file.
"""
import io
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

SAMPLES = {
    "444": "1x1,1x1,1x1",
    "422": "2x1,1x1,1x1",
    "420": "2x2,1x1,1x1",
    "411": "4x1,1x1,1x1",
    "440": "1x2,1x1,1x1",
    "410": "4x2,1x1,1x1",
    "441": "1x4,1x1,1x1",
    "1x1_2x2_1x1": "1x1,2x2,1x1",
    "1x1_1x1_2x2": "1x1,1x1,2x2",
    "2x1_1x2_1x1": "2x1,1x2,1x1",
    "2x2_2x1_1x2": "2x2,2x1,1x2",
    "2x2_2x1_2x1": "2x2,2x1,2x1",
    "3x1_1x1_1x1": "3x1,1x1,1x1",
    "1x2_1x2_1x2": "1x2,1x2,1x2",
}
SIZES = [(35, 27), (16, 16), (41, 18), (88, 88)]  # width, height: some odd, some multiples of the block size


def picture(width, height, seed):
    """Makes soft shapes of saturated colours with an edge and some noise, so that any decoding error changes pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = [np.sin(x / (5 + 3 * c) + c) * np.cos(y / (7 - 2 * c) + seed) for c in range(3)]
    image = np.stack([127 + 90 * w for w in waves], axis=-1)
    image[height // 3 : height // 2 + 1, width // 4 : width // 2 + 1] = (230, 30, 40)
    image += rng.normal(0, 6, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def cjpeg(image, *args, scans=None):
    """Compresses an array with cjpeg."""
    with tempfile.TemporaryDirectory() as folder:
        ppm, out = Path(folder, "in.ppm"), Path(folder, "out.jpg")
        Image.fromarray(image).save(ppm)
        words = ["cjpeg", "-quality", "88", *args]
        if scans:
            Path(folder, "scans.txt").write_text(scans)
            words += ["-scans", str(Path(folder, "scans.txt"))]
        subprocess.run([*words, "-outfile", str(out), str(ppm)], check=True)
        return out.read_bytes()


def decoded(data):
    """Decodes a file with libjpeg-turbo."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return np.asarray(image.convert("RGB"))


def segments(data):
    """Lists (marker, start, end) of every segment before the first scan."""
    at = 2
    while data[at + 1] != 0xDA:
        size = struct.unpack(">H", data[at + 2 : at + 4])[0]
        yield data[at + 1], at, at + 2 + size
        at += 2 + size


def without(data, marker):
    """Removes the segments of a marker from the file."""
    out, last = b"", 0
    for found, start, end in segments(data):
        if found == marker:
            out, last = out + data[last:start], end
    return out + data[last:]


def adobe(data, transform):
    """Puts one Adobe segment with a colour transform directly after SOI."""
    body = b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform)
    return data[:2] + b"\xff\xee" + struct.pack(">H", len(body) + 2) + body + without(data, 0xEE)[2:]


def renamed(data, ids):
    """Changes the component ids in the frame and in every scan of all components."""
    out = bytearray(data)
    for marker, start, _ in segments(data):
        if marker in (0xC0, 0xC1, 0xC2):
            old = [out[start + 10 + 3 * i] for i in range(len(ids))]
            for i, new in enumerate(ids):
                out[start + 10 + 3 * i] = new
    at = data.index(b"\xff\xda")
    for i in range(data[at + 4]):
        out[at + 5 + 2 * i] = ids[old.index(out[at + 5 + 2 * i])]
    return bytes(out)


def pillow(image, mode, **how):
    """Compresses an array with Pillow."""
    out = io.BytesIO()
    Image.fromarray(image, mode).save(out, "JPEG", **how)
    return out.getvalue()


SEPARATE = "0;\n1;\n2;\n"
CHROMA_FIRST = "2;\n1;\n0;\n"
TWO_AND_ONE = "0;\n1,2;\n"
SPECTRAL = "0,1,2: 0-0, 0, 0;\n0: 1-5, 0, 0;\n2: 1-63, 0, 0;\n1: 1-63, 0, 0;\n0: 6-63, 0, 0;\n"
REFINED = (
    "0,1,2: 0-0, 0, 1;\n0: 1-9, 0, 2;\n2: 1-63, 0, 1;\n1: 1-63, 0, 1;\n0: 10-63, 0, 2;\n0: 1-63, 2, 1;\n"
    "0,1,2: 0-0, 1, 0;\n2: 1-63, 1, 0;\n1: 1-63, 1, 0;\n0: 1-63, 1, 0;\n"
)


def main():
    files, refused = {}, {}
    for s, (name, sample) in enumerate(SAMPLES.items()):
        for width, height in SIZES[: 4 if s == 2 else 3 if s < 8 else 1]:
            image = picture(width, height, s)
            tag = f"{name}_{width}x{height}"
            files[f"base_{tag}"] = cjpeg(image, "-sample", sample)
            files[f"prog_{tag}"] = cjpeg(image, "-sample", sample, "-progressive")
            if (width, height) != (16, 16):
                files[f"separate_{tag}"] = cjpeg(image, "-sample", sample, scans=SEPARATE)
        image = picture(35, 27, 100 + s)
        if s < 8:
            files[f"restart_{name}"] = cjpeg(image, "-sample", sample, "-restart", "1B")
            files[f"restart_prog_{name}"] = cjpeg(image, "-sample", sample, "-progressive", "-restart", "3B")
            files[f"restart_separate_{name}"] = cjpeg(image, "-sample", sample, "-restart", "2B", scans=SEPARATE)
            files[f"chroma_first_{name}"] = cjpeg(image, "-sample", sample, scans=CHROMA_FIRST)
            files[f"two_and_one_{name}"] = cjpeg(image, "-sample", sample, scans=TWO_AND_ONE)
            files[f"optimized_{name}"] = cjpeg(image, "-sample", sample, "-optimize")
        if s < 4:
            files[f"spectral_{name}"] = cjpeg(image, "-sample", sample, scans=SPECTRAL)
            files[f"refined_{name}"] = cjpeg(image, "-sample", sample, scans=REFINED)
    files["separate_420_88x88"] = cjpeg(picture(88, 88, 9), "-sample", "2x2", "-quality", "95", scans=SEPARATE)
    for width, height in [(1, 1), (1, 9), (9, 1), (2, 3), (8, 8), (17, 3), (3, 33)]:
        files[f"tiny_{width}x{height}"] = cjpeg(picture(width, height, 5), "-sample", "2x2")
        files[f"tiny_prog_{width}x{height}"] = cjpeg(picture(width, height, 6), "-sample", "2x2", "-progressive")
    # libjpeg repeats colours that are one or two columns wide and interpolates all others.
    for width in (1, 2, 3, 4, 5, 6):
        for name in ("422", "420", "440", "411"):
            files[f"narrow_{name}_{width}x9"] = cjpeg(picture(width, 9, 7), "-sample", SAMPLES[name])

    # JFIF says what the components are; without it Adobe's segment does, and without that the component ids.
    image = picture(35, 27, 50)
    plain = cjpeg(image, "-sample", "1x1")
    bare = without(plain, 0xE0)
    files["rgb"] = cjpeg(image, "-rgb")
    files["rgb_ids"] = renamed(without(without(files["rgb"], 0xEE), 0xE0), [0x52, 0x47, 0x42])
    files["adobe_0"] = adobe(bare, 0)
    files["adobe_1"] = adobe(bare, 1)
    files["jfif_and_adobe_0"] = plain[:20] + adobe(bare, 0)[2:]
    files["no_jfif"] = bare
    files["ids_0_1_2"] = renamed(bare, [0, 1, 2])
    files["ids_9_5_7"] = renamed(bare, [9, 5, 7])
    gray = image[..., 1].copy()
    files["gray"] = pillow(gray, "L", quality=90)
    files["gray_prog"] = pillow(gray, "L", quality=90, progressive=True)
    files["gray_2x2"] = cjpeg(gray, "-sample", "2x2")
    files["gray_adobe_0"] = adobe(without(files["gray"], 0xE0), 0)
    files["gray_adobe_1"] = adobe(without(files["gray"], 0xE0), 1)
    files["gray_restart"] = cjpeg(gray, "-grayscale", "-restart", "2B")
    four = np.dstack([image, 255 - gray])
    files["cmyk"] = pillow(four, "CMYK", quality=90)
    files["cmyk_prog"] = pillow(four, "CMYK", quality=90, progressive=True)
    files["cmyk_420"] = pillow(four, "CMYK", quality=90, subsampling=2)
    files["ycck"] = adobe(files["cmyk"], 2)
    files["ycck_420"] = adobe(files["cmyk_420"], 2)
    files["cmyk_no_adobe"] = without(files["cmyk"], 0xEE)
    for quality in (1, 30, 100):
        files[f"quality_{quality}"] = pillow(image, "RGB", quality=quality)
    files["steps_of_16_bits"] = cjpeg(image, "-quality", "2")  # whose coefficients are divided by up to 3,025
    files["fill_bytes"] = plain[:2] + b"\xff\xff\xff" + plain[2:]
    files["behind_end"] = plain + b"some words behind the end"
    files["comment"] = plain[:2] + b"\xff\xfe\x00\x09\xff\xd9\xff\xda." + b".." + plain[2:]
    files["extended"] = plain.replace(b"\xff\xc0\x00\x11", b"\xff\xc1\x00\x11")

    refused["arithmetic"] = cjpeg(image, "-arithmetic")
    refused["arithmetic_prog"] = cjpeg(image, "-arithmetic", "-progressive")
    refused["twelve_bit"] = plain.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c")
    refused["lossless"] = plain.replace(b"\xff\xc0\x00\x11", b"\xff\xc3\x00\x11")
    refused["hierarchical"] = plain.replace(b"\xff\xc0\x00\x11", b"\xff\xc5\x00\x11")
    refused["two_components"] = two_components(files["gray"])

    tensors = {}
    for name, data in files.items():
        tensors[f"{name}.file"] = np.frombuffer(data, np.uint8)
        tensors[f"{name}.pixels"] = np.ascontiguousarray(decoded(data))
    for name, data in refused.items():
        tensors[f"{name}.file"] = np.frombuffer(data, np.uint8)
    save_file(tensors, "jpeg.safetensors")
    print(len(files), "files with pixels,", len(refused), "to refuse")


def two_components(gray):
    """Makes a frame of two components, to which no decoder assigns colours."""
    (start, end) = next((s, e) for m, s, e in segments(gray) if m == 0xC0)
    frame = bytearray(gray[start:end] + bytes([2, 0x11, 0]))
    frame[2:4] = struct.pack(">H", len(frame) - 2)
    frame[9] = 2
    return gray[:start] + bytes(frame) + gray[end:]


main()
