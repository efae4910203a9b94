"""Measures the generator of a BigBiGAN that wgslab trained, beside the one that it began with. It makes no golden file.

    python generated.py trained/state.safetensors initial/state.safetensors manifest.csv SIZE [IMAGES]

`manifest.csv` lists RGB pictures with the columns path, label and split. Each generator makes an image for each picture of the split test,
which no training saw, or for the first IMAGES of them. Both are averaged to 8 × 8 × 3 numbers and compared by the
squared distance of Fréchet between normal distributions (Heusel et al. 2017, arXiv 1706.08500, equation 6), with these numbers in the place
of Inception's. Lower is nearer. The generator is that of bigbigan.py, in PyTorch. It needs torch, lightly, scipy, Pillow and safetensors.
"""

import csv
import pathlib
import sys

import bigbigan
import numpy
import scipy.linalg
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

SIDE = 8


def pictures(manifest, size):
    """The pictures of each split, [N, 3, size, size] in 0 to 1."""
    splits = {"train": [], "test": []}
    folder = pathlib.Path(manifest).parent
    for row in csv.DictReader(open(manifest)):
        pixels = numpy.asarray(Image.open(folder / row["path"]).convert("RGB").resize((size, size)), dtype=numpy.float32) / 255
        splits.setdefault(row["split"], []).append(torch.from_numpy(pixels).permute(2, 0, 1))
    return [torch.stack(splits[name]) for name in ("train", "test")]


def generator(path, size):
    """The generator of a state file, with batch norm over what it makes. The power iteration goes on until it stands: that of
    an untrained generator has only begun."""
    state = {k.removeprefix("generator."): v for k, v in load_file(path).items() if k.startswith("generator.")}
    blocks = sorted({int(k.split(".")[0][5:]) for k in state if k.startswith("block")})
    bigbigan.SIZE = size
    bigbigan.GENERATOR = [state[f"block{i}.conv2.weight"].shape[0] for i in blocks]
    lengths = [state["linear.weight"].shape[1]] + [state[f"block{i}.bn1.gain.weight"].shape[1] for i in blocks]
    bigbigan.LATENT = sum(lengths)
    made = bigbigan.Generator(bigbigan.spectral_norm)
    assert [b - a for a, b in zip(made.ends, made.ends[1:])] == lengths, (made.ends, lengths)
    made.conv = bigbigan.spectral_norm(nn.Conv2d(bigbigan.GENERATOR[-1], 3, 3, padding=1, bias=False))
    own = {bigbigan.named(k): k for k in made.state_dict() if not k.endswith("num_batches_tracked")}
    missing = [k for k in own if k not in state]
    assert not missing, missing
    made.load_state_dict({own[k]: state[k] for k in own}, strict=False)
    with torch.no_grad():
        for _ in range(50):
            made(torch.randn(2, bigbigan.LATENT))
    return made


def distance(a, b):
    """Fréchet's distance of two sets [N, D], squared."""
    a, b = a.double().numpy(), b.double().numpy()
    root = scipy.linalg.sqrtm(numpy.cov(a.T) @ numpy.cov(b.T)).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + numpy.trace(numpy.cov(a.T) + numpy.cov(b.T) - 2 * root)


def main():
    trained, initial, manifest, size = sys.argv[1:5]
    train, test = pictures(manifest, int(size))
    test = test[: int(sys.argv[5])] if len(sys.argv) > 5 else test
    mean, std = train.mean((0, 2, 3), keepdim=True)[0], train.std((0, 2, 3), keepdim=True)[0]
    averaged = lambda x: nn.functional.adaptive_avg_pool2d(x, SIDE).flatten(1)
    real = averaged((test - mean) / std)
    said = {"as many pictures of training": distance(averaged((train[: len(real)] - mean) / std), real)}
    for name, path in (("trained", trained), ("initial", initial)):
        torch.manual_seed(0)
        made = generator(path, int(size))
        with torch.no_grad():
            said[name] = distance(averaged(made(torch.randn(len(real), bigbigan.LATENT))), real)
    for name, value in said.items():
        print(f"{name}: {value:.1f}")


if __name__ == "__main__":
    main()
