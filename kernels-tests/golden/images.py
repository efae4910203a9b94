"""Golden values of augmentation by torchvision; make_golden.py writes them.

Keys are `<op>/<case>/<tensor>`. Random numbers are drawn here with Philox, as in wgslab, and then given to torchvision.
`indices` are the samples. The scalars of the step are all EPOCH, the seed is SEED, the stream STREAM and the view 0.
"""

import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF

SEED, STREAM, EPOCH = 11, 3, 5


def philox(counter, key):
    """Philox4x32-10 (Salmon et al. 2011, Random123)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


# Random123's published result for this input.
assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def words(sample, block=0):
    """The four random words of a sample's block."""
    return philox([block, sample, EPOCH, STREAM], [SEED, 0])


def unit(word):
    return (word >> 8) / 2**24


def below(word, n):
    return word * n >> 32


def images(n, c, h, w):
    return torch.rand(n, c, h, w)


def store(out, key, x, y, **others):
    """Stores the images, their sample numbers, the result and the op's other inputs."""
    out |= {f"{key}/x": x, f"{key}/y": y, f"{key}/indices": torch.arange(len(x)) * 7 + 1}
    out |= {f"{key}/{name}": value for name, value in others.items()}


def each(x, f):
    """Applies f to each image and the number of its sample."""
    return torch.stack([f(image, 7 * i + 1) for i, image in enumerate(x)])


def color_jitter(out):
    """Applies torchvision's four adjustments in the drawn order, and makes the image gray where that is drawn."""
    strengths, hue, grayscale = (0.4, 0.5, 0.6), 0.2, 0.3

    def one(image, sample):
        first, second = words(sample, 0), words(sample, 1)
        order, choice = [0, 1, 2, 3], below(first[2], 24)
        for last, other in [(3, choice // 6), (2, choice % 6 // 2), (1, choice % 2)]:
            order[last], order[other] = order[other], order[last]
        for stage in order:
            if stage == 3:
                image = TF.adjust_hue(image, hue * (2 * unit(second[3]) - 1))
            else:
                factor = 1 - strengths[stage] + 2 * strengths[stage] * unit(second[stage])
                adjust = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation)[stage]
                image = adjust(image, factor)
        return TF.rgb_to_grayscale(image, 3) if unit(first[1]) < grayscale else image

    x = images(9, 3, 7, 5)
    store(out, "color_jitter/all", x, each(x, one))


def gaussian_blur(out):
    for radius, sigma in [(1, 0.7), (3, 1.9)]:
        x = images(3, 3, 9, 11)
        y = TF.gaussian_blur(x, [2 * radius + 1] * 2, [sigma, sigma])
        store(out, f"gaussian_blur/r{radius}s{sigma}", x, y)


def solarize(out):
    x = images(3, 3, 5, 6)
    store(out, "solarize/t0.6", x, TF.solarize(x, 0.6))


def normalize(out):
    x, mean, std = images(3, 3, 5, 6), [0.49, 0.48, 0.44], [0.25, 0.24, 0.26]
    out |= {"normalize_images/rgb/x": x, "normalize_images/rgb/y": TF.normalize(x, mean, std)}


def cutout(out):
    """Fills a square of side 4 around the drawn pixel by torchvision's erase; the square is cut at the border."""

    def one(image, sample):
        _, h, w = image.shape
        top, left = (below(word, n) - 2 for word, n in zip(words(sample)[1:3], (h, w)))
        bottom, right = min(top + 4, h), min(left + 4, w)
        top, left = max(top, 0), max(left, 0)
        return TF.erase(image, top, left, bottom - top, right - left, torch.tensor(0.25))

    x = images(5, 3, 9, 7)
    store(out, "cutout/side4", x, each(x, one))


def cutmix(out):
    """Uses the authors' rand_bbox (clovaai/CutMix-PyTorch) around the drawn place."""
    x, pair, mix = images(4, 3, 9, 12), torch.tensor([2, 0, 3, 1]), torch.tensor([0.2, 0.5, 0.7, 0.9])

    def box(sample, i):
        h, w = x.shape[2:]
        ratio = (1 - mix[i].item()) ** 0.5
        cut_h, cut_w = round(h * ratio), round(w * ratio)
        y, z = below(words(sample)[0], h), below(words(sample)[1], w)
        rows = max(y - cut_h // 2, 0), min(y + cut_h - cut_h // 2, h)
        return slice(*rows), slice(max(z - cut_w // 2, 0), min(z + cut_w - cut_w // 2, w))

    y, kept = x.clone(), torch.ones(4)
    for i in range(4):
        rows, columns = box(7 * i + 1, i)
        y[i, :, rows, columns] = x[pair[i], :, rows, columns]
        kept[i] = 1 - x[0, 0, rows, columns].numel() / x[0, 0].numel()
    store(out, "cutmix/four", x, y, pair=pair, mix=mix, kept=kept)


def jigsaw(out):
    """Cuts the tiles by unfold and joins them by fold."""
    x, table = images(4, 3, 6, 9), torch.stack([torch.randperm(9) for _ in range(5)])
    rows = torch.tensor([below(words(7 * i + 1)[0], 5) for i in range(4)])
    tile = (2, 3)
    tiles = F.unfold(x, tile, stride=tile)
    tiles = torch.stack([t[:, order] for t, order in zip(tiles, table[rows])])
    store(out, "jigsaw/nine", x, F.fold(tiles, x.shape[2:], tile, stride=tile), table=table, row=rows)


def shrunk(x, size):
    return F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)


def magnify(out):
    x = images(2, 3, 12, 16)
    views = [shrunk(TF.center_crop(x, [int(12 / m), int(16 / m)]), (5, 7)) for m in (1, 2, 4)]
    out |= {"magnify/three/x": x, "magnify/three/y": torch.cat(views)}


def crop(out):
    """Takes a window of each image; a share of 0.999 is the last place."""
    x, shares = images(3, 2, 9, 8), torch.tensor([[0.0, 0.999], [0.5, 0.25], [0.999, 0.0]])
    at = (shares * torch.tensor([9 - 4 + 1, 8 - 5 + 1])).long().tolist()
    y = torch.stack([TF.crop(image, top, left, 4, 5) for image, (top, left) in zip(x, at)])
    out |= {"crop/windows/x": x, "crop/windows/shares": shares, "crop/windows/y": y}


def crop_resize(out):
    """Resizes whole images that are given as bytes: to a smaller size, and to a larger size with a flip."""
    for case, size, channels, side in [("smaller", 12, 3, 5), ("larger", 6, 1, 11)]:
        pixels = torch.randint(0, 256, (3, size, size, channels))
        flat = pixels.reshape(3, -1, 4)
        packed = sum(flat[:, :, i] << 8 * i for i in range(4)).reshape(-1)
        y = shrunk(pixels.permute(0, 3, 1, 2).float() / 255, (side, side))
        y = TF.hflip(y) if case == "larger" else y
        order = torch.tensor([2, 0, 1])
        out |= {f"crop_resize/{case}/pages": packed, f"crop_resize/{case}/indices": order, f"crop_resize/{case}/y": y[order]}


def make():
    torch.manual_seed(8)
    out = {}
    for part in (color_jitter, gaussian_blur, solarize, normalize, cutout, cutmix, jigsaw, magnify, crop_resize, crop):
        part(out)
    return out
