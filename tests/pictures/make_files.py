"""Makes files.safetensors: PNG, TIFF, BMP, GIF and WebP files, and rotated pictures of every format, with their pixels.

Needs Pillow, numpy and safetensors. Run it in this folder: `python make_files.py`. No build and no test needs it.

Each case has NAME.ENDING.file, the bytes, and NAME.ENDING.pixels, H x W x 3. The pixels are what Pillow decodes, turned
by `ImageOps.exif_transpose`. Where Pillow has no such mode (16 bits for each colour) or keeps transparency, they are
the samples that were written, blended over black and rounded to the nearest of 256 levels by numpy. Files that must be
refused have no pixels.
"""
import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

H, W = 7, 11
rng = np.random.default_rng(1)
RGB = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
RGB[:, : W // 2] = (200, 40, 90)
GRAY = RGB[..., 1].copy()
ALPHA = rng.integers(0, 256, (H, W), dtype=np.uint8)
ALPHA[0], ALPHA[1] = 0, 255
RGB16 = rng.integers(0, 65536, (H, W, 3)).astype(np.uint16)
ALPHA16 = rng.integers(0, 65536, (H, W)).astype(np.uint16)
ALPHA16[0], ALPHA16[1] = 0, 65535
files = {}


def levels(v, top=65535):
    """Converts samples to bytes, rounded to the nearest."""
    return np.floor(np.asarray(v, np.float64) * 255 / top + 0.5).astype(np.uint8)


def over_black(color, alpha, top=255):
    """Multiplies colours by alpha."""
    return levels(color.astype(np.float64) * (alpha.astype(np.float64) / top)[..., None], top)


def three(gray):
    return np.repeat(np.asarray(gray)[..., None], 3, axis=-1)


def saved(image, kind, **how):
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def add(name, data, pixels=None, pillow=True):
    """Adds a case. By default the pixels are Pillow's; a file that must be refused has none."""
    if pixels is None and pillow:
        pixels = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    files[name] = (data, pixels)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(samples, color, bits, *before, after=()):
    """Writes a PNG of samples (H x bytes of a row) by hand."""
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, bits, color, 0, 0, 0)), *before]
    parts += [chunk(b"IDAT", zlib.compress(rows)), *after, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def packed(gray, bits):
    """Packs samples of 1, 2 or 4 bits; rows are filled up to whole bytes."""
    per = 8 // bits
    wide = np.zeros((H, -(-W // per) * per), np.uint8)
    wide[:, :W] = gray
    return sum(wide[:, i::per] << (8 - bits * (i + 1)) for i in range(per)).astype(np.uint8)


def tiff(data, entries, order="<", big=False, more=b"", following=False):
    """Writes a TIFF of one strip. Entries are tag -> value or list of shorts; the strip and the size are filled in."""
    long, count = ("Q", 16) if big else ("I", 4)
    tags = {256: W, 257: H, 259: 1, 262: 1, 277: 1, 278: H, 273: 0, 279: len(data)} | entries
    head = 16 if big else 8
    directory = (8 + 20 * len(tags) + 8) if big else (2 + 12 * len(tags) + 4)
    out, tail, at = b"", b"", head + directory
    for tag, value in sorted(tags.items()):
        values = value if isinstance(value, list) else [value]
        wide = tag in (273, 279)
        body = struct.pack(f"{order}{len(values)}{'I' if wide else 'H'}", *values)
        room = 8 if big else 4
        if tag == 273:
            body = b"STRI"
        if len(body) > room:
            tail += body
            body = struct.pack(order + long, at + len(tail) - len(body))
        out += struct.pack(order + "HH" + long, tag, 4 if wide else 3, len(values)) + body.ljust(room, b"\0")
    place = at + len(tail)
    out = out.replace(b"STRI", struct.pack(order + "I", place), 1)
    mark = {"<": b"II", ">": b"MM"}[order]
    start = struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    link = struct.pack(order + long, head if following else 0)
    return mark + start + struct.pack(order + ("Q" if big else "H"), len(tags)) + out + link + tail + data + more


def exif(orientation):
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">H", orientation) + bytes(6)


def turned():
    image = Image.fromarray(RGB)
    for o in range(1, 9):
        head = exif(o)
        add(f"turned_{o}.jpg", saved(image, "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0" + head))
        add(f"turned_{o}.webp", saved(image, "WEBP", lossless=True, exif=head))
        add(f"turned_before_{o}.png", png(RGB.reshape(H, -1), 2, 8, chunk(b"eXIf", head)))
        add(f"turned_after_{o}.png", png(RGB.reshape(H, -1), 2, 8, after=[chunk(b"eXIf", head)]))
        add(f"turned_{o}.tif", tiff(RGB.tobytes(), {258: [8] * 3, 262: 2, 277: 3, 274: o}))
    add("turned_9.jpg", saved(image, "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0" + exif(9)))


def pngs():
    for bits in (1, 2, 4):
        few = GRAY >> (8 - bits)
        add(f"gray_{bits}.png", png(packed(few, bits), 0, bits))
        palette = rng.integers(0, 256, (1 << bits, 3), dtype=np.uint8)
        add(f"palette_{bits}.png", png(packed(few, bits), 3, bits, chunk(b"PLTE", palette.tobytes())))
        shares = rng.integers(0, 256, 1 << bits, dtype=np.uint8)
        data = png(packed(few, bits), 3, bits, chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", shares.tobytes()))
        add(f"palette_alpha_{bits}.png", data, over_black(palette[few], shares[few]))
    add("gray_8.png", png(GRAY, 0, 8))
    add("rgb_8.png", png(RGB.reshape(H, -1), 2, 8))
    add("rgb_8_interlaced.png", saved(Image.fromarray(RGB), "PNG", optimize=True))
    add("alpha_8.png", png(np.dstack([RGB, ALPHA]).reshape(H, -1), 6, 8), over_black(RGB, ALPHA))
    add("gray_alpha_8.png", png(np.dstack([GRAY, ALPHA]).reshape(H, -1), 4, 8), over_black(three(GRAY), ALPHA))
    deep = RGB16.astype(">u2")
    add("rgb_16.png", png(deep.reshape(H, -1), 2, 16), levels(RGB16))
    add("gray_16.png", png(deep[..., 1], 0, 16), three(levels(RGB16[..., 1])))
    twelve = RGB16[..., 1] >> 4
    twelve[0, 0] = 4095
    add("gray_12_of_16.png", png(twelve.astype(">u2"), 0, 16), three(levels(twelve)))
    both = np.dstack([RGB16, ALPHA16]).astype(">u2")
    add("alpha_16.png", png(both.reshape(H, -1), 6, 16), over_black(RGB16, ALPHA16, 65535))
    add("gray_alpha_16.png", png(both[..., 2:].reshape(H, -1), 4, 16), over_black(three(RGB16[..., 2]), ALPHA16, 65535))
    key = struct.pack(">HHH", 200, 40, 90)
    hidden = (RGB != (200, 40, 90)).any(axis=-1)
    add("rgb_key.png", png(RGB.reshape(H, -1), 2, 8, chunk(b"tRNS", key)), RGB * hidden[..., None])
    gray_key = chunk(b"tRNS", struct.pack(">H", 40))
    add("gray_key.png", png(GRAY, 0, 8, gray_key), three(GRAY * (GRAY != 40)))
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
    add("several.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:]), RGB)


def tiffs():
    rgb = {258: [8] * 3, 262: 2, 277: 3}
    add("gray_8.tif", tiff(GRAY.tobytes(), {258: 8}))
    add("gray_white_is_zero.tif", tiff((255 - GRAY).tobytes(), {258: 8, 262: 0}), three(GRAY))
    for photometric in (0, 1):
        bits = packed(GRAY >> 7, 1)
        white = three((GRAY >> 7 ^ (1 - photometric)) * 255).astype(np.uint8)
        add(f"gray_1_{photometric}.tif", tiff(bits.tobytes(), {258: 1, 262: photometric}), white)
    add("rgb_8.tif", tiff(RGB.tobytes(), rgb))
    add("rgb_8_big_endian.tiff", tiff(RGB.tobytes(), rgb, ">"))
    add("rgb_8_bigtiff.tif", tiff(RGB.tobytes(), rgb, big=True), RGB)
    add("rgb_8_bigtiff_big_endian.tif", tiff(RGB.tobytes(), rgb, ">", big=True), RGB)
    for how in ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"):
        add(f"rgb_{how}.tif", saved(Image.fromarray(RGB), "TIFF", compression=how))
    add("rgb_predictor.tif", saved(Image.fromarray(RGB), "TIFF", compression="tiff_lzw", tiffinfo={317: 2}))
    add("rgb_16.tif", tiff(RGB16.astype("<u2").tobytes(), {258: [16] * 3, 262: 2, 277: 3}), levels(RGB16))
    add("rgb_16_be.tif", tiff(RGB16.astype(">u2").tobytes(), {258: [16] * 3, 262: 2, 277: 3}, ">"), levels(RGB16))
    add("gray_16.tif", tiff(RGB16[..., 0].astype("<u2").tobytes(), {258: 16}), three(levels(RGB16[..., 0])))
    four = {258: [8] * 4, 262: 2, 277: 4}
    both = np.dstack([RGB, ALPHA]).tobytes()
    add("alpha_8.tif", tiff(both, four | {338: 2}), over_black(RGB, ALPHA))
    add("alpha_done.tif", tiff(both, four | {338: 1}), RGB)
    add("alpha_unknown.tif", tiff(both, four | {338: 0}), RGB)
    both = np.dstack([RGB16, ALPHA16]).astype("<u2").tobytes()
    add("alpha_16.tif", tiff(both, {258: [16] * 4, 262: 2, 277: 4, 338: 2}), over_black(RGB16, ALPHA16, 65535))
    both = np.dstack([GRAY, ALPHA]).tobytes()
    add("gray_alpha_8.tif", tiff(both, {258: [8] * 2, 277: 2, 338: 2}), pillow=False)
    inks = np.dstack([255 - RGB, ALPHA // 2])
    add("cmyk.tif", tiff(inks.tobytes(), {258: [8] * 4, 262: 5, 277: 4}))
    add("palette.tif", saved(Image.fromarray(RGB).quantize(16), "TIFF"), pillow=False)
    pages = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
    add("several.tif", saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]), RGB)
    add("planes.tif", tiff(RGB.transpose(2, 0, 1).tobytes(), rgb | {284: 2, 278: H}), pillow=False)
    real = (RGB / 255).astype("<f4")
    add("float_rgb.tif", tiff(real.tobytes(), {258: [32] * 3, 262: 2, 277: 3, 339: [3] * 3}), RGB)
    add("float_gray.tif", tiff(real[..., 0].tobytes(), {258: 32, 339: 3}), three(RGB[..., 0]))
    add("float_white_is_zero.tif", tiff(real[..., 0].tobytes(), {258: 32, 262: 0, 339: 3}), three(255 - RGB[..., 0]))
    add("float_turned.tif", tiff(real.tobytes(), {258: [32] * 3, 262: 2, 277: 3, 274: 6, 339: [3] * 3}), np.rot90(RGB, -1))
    for name, wrong in (("over", 1.5), ("nan", np.nan), ("under", -0.25)):
        spoilt = real[..., 0].copy()
        spoilt[3, 4] = wrong
        add(f"sample_{name}.tif", tiff(spoilt.tobytes(), {258: 32, 339: 3}), pillow=False)
    add("float_alpha.tif", tiff(np.dstack([real, real[..., :1]]).tobytes(),
        {258: [32] * 4, 262: 2, 277: 4, 338: 2, 339: [3] * 4}), over_black(RGB, RGB[..., 0]))
    add("half_rgb.tif", tiff(real.astype("<f2").tobytes(), {258: [16] * 3, 262: 2, 277: 3, 339: [3] * 3}), RGB)
    add("double_gray.tif", tiff(real[..., 0].astype("<f8").tobytes(), {258: 64, 339: 3}), three(RGB[..., 0]))
    signed = (RGB.astype(np.int16) - 128).astype(np.int8)
    add("signed_gray.tif", tiff(signed[..., 0].tobytes(), {258: 8, 339: 2}), pillow=False)
    add("jpeg_in.tif", saved(Image.fromarray(RGB), "TIFF", compression="jpeg", quality=95))
    add("jpeg_in_gray.tif", saved(Image.fromarray(GRAY), "TIFF", compression="jpeg", quality=95))
    add("jpeg_in_white_is_zero.tif", jpeg_tiles(three(255 - GRAY)[..., 0], {258: 8, 262: 0}, (16, 16)))
    wide = np.tile(RGB, (3, 2, 1))
    for name, space, how in (("rgb", 2, {"keep_rgb": True}), ("ybr", 6, {"subsampling": 0})):
        entries = {258: [8] * 3, 262: space, 277: 3}
        add(f"jpeg_in_tiles_{name}.tif", jpeg_tiles(wide, entries, (16, 16), **how))
    for name, code in (("raw", 1), ("deflate", 8), ("lzw", 5)):
        add(f"tiles_{name}.tif", tiles(wide, rgb, code, (16, 16)))
    strips = saved(Image.fromarray(np.tile(RGB, (4, 1, 1))), "TIFF", compression="tiff_lzw", tiffinfo={278: 8})
    add("strips_lzw.tif", strips)
    add("old_jpeg.tif", tiff(RGB.tobytes(), rgb | {259: 6}), pillow=False)
    add("cycle.tif", tiff(RGB.tobytes(), rgb, following=True), pillow=False)


def cut(pixels, size):
    """The tiles of a picture, filled up by the last column and row."""
    across, down = size
    h, w = pixels.shape[:2]
    edge = [(0, -h % down), (0, -w % across)] + [(0, 0)] * (pixels.ndim - 2)
    full = np.pad(pixels, edge, mode="edge")
    return [full[y:y + down, x:x + across] for y in range(0, h, down) for x in range(0, w, across)]


def tiled(pixels, entries, code, size, parts):
    """A TIFF of these tiles."""
    at, places, more = 8, [], b""
    for part in parts:
        places.append((at + len(more), len(part)))
        more += part + bytes(len(part) % 2)
    tags = {256: pixels.shape[1], 257: pixels.shape[0], 259: code, 322: size[0], 323: size[1],
            324: [a for a, _ in places], 325: [n for _, n in places]} | entries
    tail = b""
    out = struct.pack("<H", len(tags))
    start = 8 + len(more)
    beyond = start + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        values = value if isinstance(value, list) else [value]
        body = struct.pack(f"<{len(values)}{'I' if tag >= 322 else 'H'}", *values)
        if len(body) > 4:
            body, tail = struct.pack("<I", beyond + len(tail)), tail + body
        out += struct.pack("<HHI", tag, 4 if tag >= 322 else 3, len(values)) + body.ljust(4, b"\0")
    return struct.pack("<HHI", 0x4949, 42, start) + more + out + bytes(4) + tail


def tiles(pixels, entries, code, size):
    def part(tile):
        if code == 5:  # LZW as Pillow's library writes it, in one strip
            data = saved(Image.fromarray(np.ascontiguousarray(tile)), "TIFF", compression="tiff_lzw")
            tags = Image.open(io.BytesIO(data)).tag_v2
            return data[tags[273][0]:tags[273][0] + tags[279][0]]
        return zlib.compress(tile.tobytes()) if code == 8 else tile.tobytes()
    return tiled(pixels, entries, code, size, [part(t) for t in cut(pixels, size)])


def jpeg_tiles(pixels, entries, size, **how):
    parts = [saved(Image.fromarray(np.ascontiguousarray(t)), "JPEG", quality=98, **how) for t in cut(pixels, size)]
    return tiled(pixels, entries, 7, size, parts)


def others():
    image = Image.fromarray(RGB)
    for name, mode in (("1", "1"), ("palette", "P"), ("gray", "L"), ("rgb", "RGB")):
        add(f"{name}.bmp", saved(image.convert(mode), "BMP"))
    four = np.dstack([RGB[..., ::-1], ALPHA])
    add("rgbx.bmp", bmp(four[::-1].tobytes(), 32), RGB)
    add("top_down.bmp", bmp(four.tobytes(), 32, -H), RGB)
    add("rle8.bmp", rle8())
    add("still.gif", saved(image.quantize(64), "GIF"))
    frames = [image.quantize(32), Image.fromarray(RGB[::-1].copy()).quantize(32)]
    add("several.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    clear = image.quantize(32)
    add("transparent.gif", saved(clear, "GIF", transparency=int(np.asarray(clear)[0, 0])),
        np.asarray(clear.convert("RGB")) * (np.asarray(clear) != np.asarray(clear)[0, 0])[..., None])
    add("lossless.webp", saved(image, "WEBP", lossless=True))
    add("alpha.webp", saved(Image.fromarray(np.dstack([RGB, ALPHA]), "RGBA"), "WEBP", lossless=True, exact=True),
        over_black(RGB, ALPHA))
    add("several.webp", saved(image, "WEBP", lossless=True, save_all=True, append_images=[image.rotate(180)]), RGB)
    add("png_named.jpg", png(RGB.reshape(H, -1), 2, 8))
    add("jpeg_named.png", saved(image, "JPEG", quality=95, subsampling=0))
    add("bmp_named.tif", saved(image, "BMP"))
    add("words.png", b"These are words, no picture.", pillow=False)
    add("empty.png", b"", pillow=False)


def bmp(data, bits, height=H):
    head = struct.pack("<IiiHHIIiiII", 40, W, height, 1, bits, 0, len(data), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54) + head + data


def rle8():
    palette = bytes(v for i in range(256) for v in (i, i, i, 0))
    rows = b"".join(b"".join(bytes([1, v]) for v in row) + b"\0\0" for row in GRAY[::-1])
    data = rows + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, W, H, 1, 8, 1, len(data), 2835, 2835, 256, 0)
    start = 54 + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + palette + data


turned()
pngs()
tiffs()
others()
tensors = {}
for name, (data, pixels) in files.items():
    tensors[f"{name}.file"] = np.frombuffer(data, np.uint8)
    if pixels is not None:
        tensors[f"{name}.pixels"] = np.ascontiguousarray(pixels.astype(np.uint8))
save_file(tensors, "files.safetensors")
print(len(files), "files,", sum(p is None for _, p in files.values()), "to refuse")
