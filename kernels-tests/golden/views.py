"""Golden values of whole views by torchvision; make_golden.py writes them. `check` is also what compare_views.py uses.

Keys are `<case>/<tensor>`. What is drawn for an image is drawn here with Philox, as in wgslab, and given to torchvision's own
functions, which work on fractions of 255 in f64. Nothing is rounded to bytes on the way.
"""

import math

import torch
import torchvision.transforms.functional as TF
from images import philox, unit, below
from torchvision.transforms import InterpolationMode

# The streams of src/data/augment.rs.
CROP, JITTER, BLUR, SOLARIZE = 0x4352, 0x4A49, 0x424C, 0x534F

MEAN, STD = [0.49, 0.48, 0.44], [0.25, 0.24, 0.26]


def single(value):
    """A number as f32 holds it."""
    return torch.tensor(value, dtype=torch.float32).item()


def draw(recipe, size, channels, sample, key):
    """What wgslab draws for an image, by the names that `data views --npz` gives it."""
    seed, epoch, view = key
    words = lambda stream, block: philox([block, sample, epoch, stream | view << 16], [seed, 0])
    between = lambda low, high, word: low + (high - low) * unit(word)
    crop = None
    for block in range(10):  # torchvision's RandomResizedCrop.get_params
        w = words(CROP, block)
        area = size * size * between(*recipe["crop_scale"], w[0])
        ratio = math.exp(between(*map(math.log, recipe["crop_ratio"]), w[1]))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if crop is None and 0 < width <= size and 0 < height <= size:
            crop = [below(w[3], size - width + 1), below(w[2], size - height + 1), width, height]
    assert crop, "take another seed: this one needs the fallback"
    first, second, blur = words(JITTER, 0), words(JITTER, 1), words(BLUR, 0)
    order, choice = [0, 1, 2, 3], below(first[2], 24)
    for last, other in [(3, choice // 6), (2, choice % 6 // 2), (1, choice % 2)]:
        order[last], order[other] = order[other], order[last]
    strengths = recipe["jitter"]
    factors = [between(max(1 - s, 0), 1 + s, word) for s, word in zip(strengths[:3], second)]
    drawn = {
        "crop": crop,
        "flip": unit(words(CROP, 10)[0]) < recipe["flip_probability"],
        "jitter": unit(first[0]) < recipe["jitter_probability"],
        "jitter_order": order,
        "jitter_factors": factors + [strengths[3] * (2 * unit(second[3]) - 1)],
        "grayscale": channels == 3 and unit(first[1]) < recipe["grayscale_probability"],
        "blur": unit(blur[0]) < recipe["blur_probability"],
        "blur_sigma": between(*recipe["blur_sigma"], blur[1]),
        "solarize": unit(words(SOLARIZE, 0)[0]) < recipe["solarize_probability"],
    }
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in drawn.items()}


def whole(image, drawn, out, mean, std):
    """A view of an image [C, H, W] in f64 by torchvision, given what was drawn; a step that is not in `drawn` is left out."""
    left, top, width, height = (int(v) for v in drawn["crop"])
    x = TF.resized_crop(image, top, left, height, width, [out, out], InterpolationMode.BILINEAR, antialias=True)
    x = TF.hflip(x) if drawn["flip"] else x
    if drawn.get("jitter"):
        adjust = [TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue]
        for stage in drawn["jitter_order"]:
            x = adjust[int(stage)](x, float(drawn["jitter_factors"][int(stage)]))
    x = TF.rgb_to_grayscale(x, len(x)) if drawn.get("grayscale") and len(x) == 3 else x
    if drawn.get("blur"):
        # SimCLR's kernel is a tenth of the image wide; an odd number, three at least.
        taps, sigma = 2 * max(out // 20, 1) + 1, float(drawn["blur_sigma"])
        x = TF.gaussian_blur(x, [taps, taps], [sigma, sigma])
    if drawn.get("solarize"):
        # Both sides must agree which values are turned round.
        near = (x - 0.5).abs().min().item()
        x = TF.solarize(x, 0.5)
    else:
        near = 1.0
    return TF.normalize(x, mean[: len(x)], std[: len(x)]), near


def case(out, name, size, channels, side, count, key, **recipe):
    recipe = {k: [single(v) for v in value] if isinstance(value, list) else single(value) for k, value in recipe.items()}
    pixels = torch.randint(0, 256, (count, size, size, channels))
    flat = torch.cat([pixels.reshape(-1), torch.zeros(-pixels.numel() % 4, dtype=torch.int64)]).reshape(-1, 4)
    mean, std = [single(v) for v in MEAN], [single(v) for v in STD]
    views, all_drawn = [], []
    for sample in range(count):
        drawn = draw(recipe, size, channels, sample, key)
        view, near = whole(pixels[sample].permute(2, 0, 1).double() / 255, drawn, side, mean, std)
        assert near > 3e-6, "take another seed: a value lies at the threshold of solarize"
        views.append(view)
        all_drawn.append(drawn)
    out |= {f"{name}/bytes": sum(flat[:, i] << 8 * i for i in range(4))}
    out |= {f"{name}/shape": torch.tensor([count, size, size, channels]), f"{name}/key": torch.tensor(key)}
    out |= {f"{name}/recipe/{k}": torch.tensor(value).reshape(-1) for k, value in recipe.items()}
    out |= {f"{name}/drawn/{k}": torch.stack([d[k] for d in all_drawn]).float() for k in all_drawn[0]}
    out |= {f"{name}/mean": torch.tensor(mean), f"{name}/std": torch.tensor(std)}
    out |= {f"{name}/y": torch.stack(views).float()}


def make():
    torch.manual_seed(21)
    out = {}
    often = {
        "crop_scale": [0.2, 1.0],
        "crop_ratio": [0.75, 4 / 3],
        "flip_probability": 0.5,
        "jitter_probability": 0.8,
        "jitter": [0.8, 0.8, 0.8, 0.2],
        "grayscale_probability": 0.2,
        "blur_probability": 0.5,
        "blur_sigma": [0.1, 2.0],
        "solarize_probability": 0.4,
    }
    case(out, "colour_larger", 17, 3, 24, 8, (12, 3, 0), **often)
    case(out, "colour_smaller", 29, 3, 13, 8, (12, 0, 1), **often | {"crop_scale": [0.6, 1.0], "jitter": [0.4, 0.4, 0.2, 0.1]})
    case(out, "gray_smaller", 37, 1, 11, 8, (13, 7, 0), **often)
    case(out, "five_taps", 23, 3, 41, 3, (15, 100, 2), **often | {"blur_probability": 1.0, "grayscale_probability": 0.0})
    return out
